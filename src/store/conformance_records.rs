//! What single records keep: get, insert, replace and remove, one caller at a time.

use std::collections::HashSet;

use super::conformance::Stores;
use super::conformance_asking::{
    LATER, NOW, after, answered, before, inserted, key, listed, owner, record, replaced, standing,
};
use super::{Insert, Key, Kind, Replace, Store as _};
use crate::types::{Digest, Timestamp};

pub(super) async fn get_returns_what_was_put<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let none = answered(store.get(key(Kind::Grant, 0)).await);
    assert_eq!(none, None, "get gave a record where none was put");

    let large = format!(r#"{{"v":1,"text":"{}"}}"#, "näh \\u0000 ".repeat(20_000));
    let owners = [vec![], vec![owner(1)], vec![owner(2), owner(1)]];
    for (number, owners) in (0..).zip(owners) {
        for (text, expires_at) in [(r#"{"v":1}"#, LATER), (&*large, Timestamp::MAX)] {
            let key = key(Kind::Grant, number + text.len() as u64);
            let mut record = record(text, expires_at);
            record.owners = owners.clone();
            record.announce = true;
            let version = inserted(&store, key, record.clone()).await;
            let (found, read) = standing(&store, key).await;
            assert_eq!(read, version, "get gave another version than insert did");
            assert_eq!(
                found.value, record.value,
                "get gave another value than was put"
            );
            assert_eq!(
                found.expires_at, record.expires_at,
                "get gave another expiry than was put"
            );
            assert_eq!(
                found.owners, record.owners,
                "get gave other owners than were put"
            );
            assert!(
                !found.announce,
                "announce was kept; a record that was read says false"
            );
        }
    }
}

pub(super) async fn insert_does_not_touch_what_stands<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for (number, expires_at) in (0..).zip([after(NOW, 1), Timestamp::MAX]) {
        let key = key(Kind::Code, number);
        let version = inserted(&store, key, record("1", expires_at)).await;
        let again = answered(store.insert(key, record("2", LATER), NOW).await);
        assert_eq!(
            again,
            Insert::Exists,
            "insert wrote over a record that has not expired"
        );
        assert_eq!(
            standing(&store, key).await,
            (record("1", expires_at), version),
            "an insert that said Exists has changed the record"
        );
    }
}

pub(super) async fn insert_takes_the_place_of_what_has_expired<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for (number, expires_at) in (0..).zip([NOW, before(NOW, 5)]) {
        let key = key(Kind::Client, number);
        let mut first = record("1", expires_at);
        first.owners = vec![owner(1)];
        let old = answered(store.insert(key, first, before(NOW, 10)).await);
        let Insert::Inserted(old) = old else {
            panic!("insert said Exists where nothing stood");
        };
        let mut second = record("2", LATER);
        second.owners = vec![owner(2)];
        let new = answered(store.insert(key, second.clone(), NOW).await);
        let Insert::Inserted(new) = new else {
            panic!(
                "insert said Exists over a record that has expired by the now that it was given"
            );
        };
        assert_ne!(
            old, new,
            "insert over an expired record used its version again"
        );
        assert_eq!(
            standing(&store, key).await,
            (second, new),
            "insert over an expired record did not put the new one"
        );
        let stale = answered(store.replace(key, old, record("3", LATER)).await);
        assert_eq!(
            stale,
            Replace::Changed,
            "the version of an expired record replaced the record that took its place"
        );
        let listed = listed(&store, (Kind::Client, owner(2)), 1000).await;
        assert!(
            listed.contains(&key.digest),
            "list left out a record that took the place of an expired one"
        );
    }
}

pub(super) async fn kinds_are_separate<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let mut versions = Vec::new();
    for kind in Kind::ALL {
        let text = format!(r#"{{"kind":"{}"}}"#, kind.as_str());
        let done = answered(store.insert(key(kind, 0), record(&text, LATER), NOW).await);
        let Insert::Inserted(version) = done else {
            panic!("insert said Exists for a digest that stands under another kind only");
        };
        versions.push((kind, text, version));
    }
    for (kind, text, version) in &versions {
        let found = answered(store.get(key(*kind, 0)).await);
        assert_eq!(
            found,
            Some((record(text, LATER), *version)),
            "a record was touched or hidden by one of another kind with the same digest"
        );
    }
    let removed = answered(store.remove(key(Kind::Device, 0)).await);
    assert!(removed.is_some(), "remove did not find its record");
    for (kind, text, _) in &versions {
        let found = answered(store.get(key(*kind, 0)).await).map(|(record, _)| record);
        let expected = (*kind != Kind::Device).then(|| record(text, LATER));
        assert_eq!(found, expected, "remove touched a record of another kind");
    }
}

pub(super) async fn digests_that_are_alike_are_separate<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let ends_in = |rest: u8, last: u8| {
        let mut bytes = [rest; 32];
        let [.., end] = &mut bytes;
        *end = last;
        Digest::from_bytes(bytes)
    };
    let alike = [(0, 0), (0, 1), (b' ', b' '), (255, 254), (255, 255)];
    let alike = alike.map(|(rest, last)| ends_in(rest, last));
    let put = |digest: Digest| {
        let mut record = record(&format!("{:?}", digest.as_bytes()), LATER);
        record.owners = vec![digest];
        record
    };
    for digest in alike {
        let done = store.insert(Key::new(Kind::Grant, digest), put(digest), NOW);
        assert!(
            matches!(answered(done.await), Insert::Inserted(_)),
            "insert said Exists for a digest that is like another"
        );
    }
    for digest in alike {
        assert_eq!(
            standing(&store, Key::new(Kind::Grant, digest)).await.0,
            put(digest),
            "get gave the record of a digest that is like another"
        );
        assert_eq!(
            listed(&store, (Kind::Grant, digest), 7).await,
            [digest],
            "list took an owner for one that is like it"
        );
    }
}

pub(super) async fn replace_needs_the_version_that_stands<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let key = key(Kind::Grant, 0);
    let owned = |text, expires_at| {
        let mut record = record(text, expires_at);
        record.owners = vec![owner(1), owner(2)];
        record
    };
    let first = inserted(&store, key, owned("1", LATER)).await;
    let second = replaced(&store, key, first, owned("2", after(LATER, 7))).await;
    assert_eq!(
        standing(&store, key).await,
        (owned("2", after(LATER, 7)), second),
        "replace did not put the new value, expiry and version, and keep the owners"
    );
    let stale = answered(store.replace(key, first, owned("3", LATER)).await);
    assert_eq!(
        stale,
        Replace::Changed,
        "replace took a version that no longer stands"
    );
    assert_eq!(
        standing(&store, key).await,
        (owned("2", after(LATER, 7)), second),
        "a replace that said Changed has changed the record"
    );
    replaced(&store, key, second, owned("4", LATER)).await;
    for owner in [owner(1), owner(2)] {
        assert_eq!(
            listed(&store, (Kind::Grant, owner), 7).await,
            [key.digest],
            "list left out a record after it was replaced"
        );
    }
}

pub(super) async fn replace_keeps_the_owners<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let others = [vec![], vec![owner(3)], vec![owner(2), owner(1)]];
    for (number, others) in (0..).zip(others) {
        let key = key(Kind::Grant, number);
        let mut put = record("1", LATER);
        put.owners = vec![owner(1), owner(2)];
        let read = inserted(&store, key, put.clone()).await;
        let mut new = record("2", LATER);
        new.owners = others;
        replaced(&store, key, read, new).await;
        assert_eq!(
            standing(&store, key).await.0.owners,
            put.owners,
            "replace changed the owners of a record"
        );
        for owner in put.owners {
            let listed = listed(&store, (Kind::Grant, owner), 7).await;
            assert!(
                listed.contains(&key.digest),
                "list left out a record after a replace that names other owners"
            );
        }
    }
    assert_eq!(
        listed(&store, (Kind::Grant, owner(3)), 7).await,
        [],
        "list named a record for an owner that only a replace named"
    );
}

pub(super) async fn replace_needs_a_record<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let taken = inserted(&store, key(Kind::Grant, 0), record("1", LATER)).await;
    let nowhere = key(Kind::Grant, 1);
    let missing = answered(store.replace(nowhere, taken, record("2", LATER)).await);
    assert_eq!(
        missing,
        Replace::Changed,
        "replace wrote where nothing stands"
    );
    assert_eq!(
        answered(store.get(nowhere).await),
        None,
        "a replace that said Changed has put a record"
    );
    answered(store.remove(key(Kind::Grant, 0)).await);
    let removed = answered(
        store
            .replace(key(Kind::Grant, 0), taken, record("2", LATER))
            .await,
    );
    assert_eq!(
        removed,
        Replace::Changed,
        "replace brought a removed record back"
    );
}

pub(super) async fn versions_are_not_used_again<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let key = key(Kind::Grant, 0);
    let mut used = HashSet::new();
    for life in 0..5 {
        let mut version = inserted(&store, key, record("1", after(NOW, 1))).await;
        for old in &used {
            let done = answered(store.replace(key, *old, record("3", LATER)).await);
            assert_eq!(
                done,
                Replace::Changed,
                "a version of an earlier record under the key replaced the one that stands now"
            );
        }
        for _ in 0..3 {
            assert!(used.insert(version), "a version of a key was used again");
            version = replaced(&store, key, version, record("2", after(NOW, 1))).await;
        }
        assert!(used.insert(version), "a version of a key was used again");
        if life % 2 == 0 {
            answered(store.remove(key).await);
        } else {
            answered(store.purge(after(NOW, 1), 1000).await);
            answered(store.remove(key).await); // a store may be slow to forget
        }
    }
}

pub(super) async fn remove_gives_the_record_once<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let key = key(Kind::Client, 0);
    assert_eq!(
        answered(store.remove(key).await),
        None,
        "remove gave a record where none stood"
    );
    let mut put = record("1", LATER);
    put.owners = vec![owner(1)];
    inserted(&store, key, put.clone()).await;
    assert_eq!(
        answered(store.remove(key).await),
        Some(put),
        "remove did not give the record that stood there"
    );
    assert_eq!(
        answered(store.remove(key).await),
        None,
        "remove gave a record a second time"
    );
    assert_eq!(
        answered(store.get(key).await),
        None,
        "get gave a record that was removed"
    );
    inserted(&store, key, record("2", LATER)).await;
}
