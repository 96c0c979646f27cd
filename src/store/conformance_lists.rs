//! Listings, and forgetting what has expired.

use std::collections::BTreeSet;

use super::conformance::Stores;
use super::conformance_asking::{
    LATER, NOW, after, answered, before, inserted, key, listed, owner, page, record, replaced,
};
use super::{Insert, Kind, Listing, Store as _};
use crate::types::Timestamp;

pub(super) async fn list_names_all_of_an_owner<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    // Grants 0..30: all of owner 1, every third of owner 2 too. Beside them a stranger's, and clients of both owners.
    let mut firsts = BTreeSet::new();
    let mut seconds = BTreeSet::new();
    for number in 0..40 {
        let grant = key(Kind::Grant, number);
        let mut record = record("1", LATER);
        record.owners = match number {
            30.. => vec![owner(3)],
            _ if number % 3 == 0 => vec![owner(1), owner(2)],
            _ => vec![owner(1)],
        };
        if record.owners.contains(&owner(1)) {
            firsts.insert(grant.digest);
        }
        if record.owners.contains(&owner(2)) {
            seconds.insert(grant.digest);
        }
        inserted(&store, grant, record).await;
    }
    for number in 100..110 {
        let mut record = record("1", LATER);
        record.owners = vec![owner(1), owner(2)];
        inserted(&store, key(Kind::Client, number), record).await;
    }
    for limit in [1, 7, 1000] {
        for (owner, all) in [(owner(1), &firsts), (owner(2), &seconds)] {
            let listed = listed(&store, (Kind::Grant, owner), limit).await;
            let listed: BTreeSet<_> = listed.into_iter().collect();
            assert!(
                listed.is_superset(all),
                "list left out a record that stands"
            );
            assert!(
                listed.is_subset(all),
                "list named a record of another owner or kind"
            );
        }
    }
    assert_eq!(
        listed(&store, (Kind::Grant, owner(9)), 7).await,
        [],
        "list named a record for an owner that has none"
    );
}

pub(super) async fn list_follows_the_records<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let keys: Vec<_> = (0..30).map(|number| key(Kind::Grant, number)).collect();
    let mut all: BTreeSet<_> = keys.iter().map(|key| key.digest).collect();
    for (key, expires_at) in keys.iter().zip([NOW, LATER].into_iter().cycle()) {
        let mut record = record("1", expires_at);
        record.owners = vec![owner(1)];
        let done = store.insert(*key, record, before(NOW, 9)).await;
        answered(done);
    }
    // Some go while the listing is under way: they may be named or not, but all others must be.
    let ever = all.clone();
    let begin = Listing {
        kind: Kind::Grant,
        owner: owner(1),
        after: None,
        limit: 7,
    };
    let first = page(&store, begin).await;
    for key in keys.iter().filter(|key| key.digest.as_bytes()[0] % 3 == 0) {
        answered(store.remove(*key).await);
        all.remove(&key.digest);
    }
    answered(store.purge(NOW, 5).await);
    for key in keys.iter().step_by(2) {
        all.remove(&key.digest); // expired: nothing is promised of them
    }
    let mut named: BTreeSet<_> = first.digests.into_iter().collect();
    let mut next = first.next;
    while let Some(after) = next {
        let page = page(
            &store,
            Listing {
                after: Some(after),
                ..begin
            },
        )
        .await;
        named.extend(page.digests);
        next = page.next;
    }
    assert!(
        named.is_superset(&all),
        "list left out a record that stood all the time, since others went meanwhile"
    );
    assert!(
        named.is_subset(&ever),
        "list named a record that never was there"
    );
    // What comes back is listed again.
    for key in &keys {
        let mut record = record("2", LATER);
        record.owners = vec![owner(1)];
        answered(store.insert(*key, record, after(NOW, 1)).await);
    }
    let listed: BTreeSet<_> = listed(&store, (Kind::Grant, owner(1)), 7)
        .await
        .into_iter()
        .collect();
    assert_eq!(
        listed, ever,
        "list left out a record that was put again after it had gone"
    );
}

pub(super) async fn purge_forgets_only_what_has_expired<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for number in 0..20 {
        let expires_at = if number % 2 == 0 { NOW } else { after(NOW, 1) };
        let mut record = record("1", expires_at);
        record.owners = vec![owner(1)];
        let key = key(Kind::Grant, number);
        answered(store.insert(key, record, before(NOW, 9)).await);
    }
    assert_eq!(
        answered(store.purge(before(NOW, 1), 1000).await),
        0,
        "purge counted records that have not expired"
    );
    let mut forgotten = 0;
    loop {
        let count = answered(store.purge(NOW, 3).await);
        assert!(count <= 3, "purge forgot more than its limit");
        forgotten += u64::from(count);
        assert!(forgotten <= 10, "purge counted more than have expired");
        let mut gone = 0;
        for number in 0..20 {
            let found = answered(store.get(key(Kind::Grant, number)).await);
            if number % 2 == 1 {
                assert!(
                    found.is_some(),
                    "purge forgot a record that has not expired"
                );
            } else if found.is_none() {
                gone += 1;
            }
        }
        assert!(
            gone >= forgotten,
            "purge counted records that it did not forget"
        );
        if count == 0 {
            break;
        }
    }
    let listed = listed(&store, (Kind::Grant, owner(1)), 1000).await;
    for number in (1..20).step_by(2) {
        assert!(
            listed.contains(&key(Kind::Grant, number).digest),
            "list left out a record that stands after a purge"
        );
    }
}

pub(super) async fn purge_goes_by_the_expiry_that_stands<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for (number, longer) in (0..).zip([after(NOW, 1), Timestamp::MAX]) {
        let key = key(Kind::Grant, number);
        let put = store.insert(key, record("1", NOW), before(NOW, 9));
        let Insert::Inserted(version) = answered(put.await) else {
            panic!("insert said Exists where nothing stood");
        };
        replaced(&store, key, version, record("2", longer)).await;
    }
    answered(store.purge(NOW, 1000).await);
    for number in 0..2 {
        let found = answered(store.get(key(Kind::Grant, number)).await);
        assert!(
            found.is_some(),
            "purge forgot a record whose expiry a replace had put off"
        );
    }
}

pub(super) async fn what_never_expires_is_never_purged<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    inserted(&store, key(Kind::ServerKey, 0), record("1", Timestamp::MAX)).await;
    let version = inserted(&store, key(Kind::Client, 0), record("1", LATER)).await;
    replaced(
        &store,
        key(Kind::Client, 0),
        version,
        record("2", Timestamp::MAX),
    )
    .await;
    for now in [LATER, Timestamp::MAX] {
        assert_eq!(
            answered(store.purge(now, 1000).await),
            0,
            "purge counted a record that never expires"
        );
    }
    for kind in [Kind::ServerKey, Kind::Client] {
        assert!(
            answered(store.get(key(kind, 0)).await).is_some(),
            "purge forgot a record that never expires"
        );
    }
}
