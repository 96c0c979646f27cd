//! What a store holds after the end of its process.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;

use super::conformance::Stores;
use super::conformance_asking::{
    LATER, NOW, after, answered, dead, feed, inserted, key, listed, owner, record, replaced,
    told_until,
};
use super::{Insert, Kind, Store as _};

pub(super) async fn reopening_keeps_the_records<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let mut expected = Vec::new();
    for number in 0..20 {
        let mut put = record(&number.to_string(), after(LATER, number));
        put.owners = vec![owner(1), owner(2)];
        let key = key(Kind::Grant, number);
        let mut version = inserted(&store, key, put.clone()).await;
        if number % 4 == 0 {
            put.value = Bytes::from_static(b"\"replaced\"");
            version = replaced(&store, key, version, put.clone()).await;
        }
        if number % 4 == 1 {
            answered(store.remove(key).await);
            expected.push((key, None));
        } else {
            expected.push((key, Some((put, version))));
        }
    }
    let Some(store) = stores.reopen(store).await else {
        return;
    };
    for (key, expected) in &expected {
        assert_eq!(
            &answered(store.get(*key).await),
            expected,
            "a reopened store does not hold what was answered before"
        );
    }
    let stand: BTreeSet<_> = expected
        .iter()
        .filter_map(|(key, stands)| stands.as_ref().map(|_| key.digest))
        .collect();
    for owner in [owner(1), owner(2)] {
        let listed: BTreeSet<_> = listed(&store, (Kind::Grant, owner), 7)
            .await
            .into_iter()
            .collect();
        assert!(
            listed.is_superset(&stand),
            "a reopened store does not list what stands"
        );
    }
    for (key, stands) in expected {
        let again = answered(store.insert(key, record("1", LATER), NOW).await);
        match stands {
            Some((record, version)) => {
                assert_eq!(
                    again,
                    Insert::Exists,
                    "a reopened store wrote over a record that stands"
                );
                replaced(&store, key, version, record).await;
            }
            None => assert_ne!(
                again,
                Insert::Exists,
                "a reopened store holds a record that was removed"
            ),
        }
    }
}

pub(super) async fn reopening_does_not_use_versions_again<S: Stores>(stores: &S) {
    let mut store = stores.fresh().await;
    let key = key(Kind::Grant, 0);
    let mut used = HashSet::new();
    for _ in 0..3 {
        let first = inserted(&store, key, record("1", LATER)).await;
        let second = replaced(&store, key, first, record("2", LATER)).await;
        assert!(
            used.insert(first) && used.insert(second),
            "a reopened store used a version of a key again"
        );
        answered(store.remove(key).await);
        match stores.reopen(store).await {
            Some(reopened) => store = reopened,
            None => return,
        }
    }
}

pub(super) async fn reopening_does_not_hide_a_death<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let Some(cursor) = feed(&store).await else {
        return;
    };
    let [before, after] = [0, 1].map(|number| key(Kind::Grant, number));
    inserted(&store, before, dead()).await;
    let Some(store) = stores.reopen(store).await else {
        return;
    };
    inserted(&store, after, dead()).await;
    let (told, _) = told_until(&store, cursor, after).await;
    if let Some(told) = told {
        assert!(
            told.contains(&before),
            "after a reopening the feed left out a death and did not say Lost"
        );
    }
}
