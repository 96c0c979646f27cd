//! Several stores over the same data are one store.

use std::collections::HashSet;

use super::conformance::Stores;
use super::conformance_asking::{
    LATER, NOW, answered, before, dead, feed, inserted, key, listed, owner, record, replaced,
    standing, told_until,
};
use super::{Insert, Kind, Replace, Store as _};

pub(super) async fn another_node_sees_each_write<S: Stores>(stores: &S) {
    let here = stores.fresh().await;
    let Some(there) = stores.beside(&here).await else {
        return;
    };
    let mut used = HashSet::new();
    let (mut one, mut other) = (&here, &there);
    for number in 0..4 {
        let key = key(Kind::Grant, number);
        let mut put = record("1", LATER);
        put.owners = vec![owner(1)];
        let first = inserted(one, key, put.clone()).await;
        assert_eq!(
            standing(other, key).await,
            (put, first),
            "another node does not see an insert that was answered"
        );
        assert_eq!(
            answered(other.insert(key, record("2", LATER), NOW).await),
            Insert::Exists,
            "another node wrote over a record that stands"
        );
        let second = replaced(other, key, first, record("2", LATER)).await;
        assert!(
            used.insert(first) && used.insert(second),
            "two nodes gave one version to two writings"
        );
        assert_eq!(
            answered(one.replace(key, first, record("3", LATER)).await),
            Replace::Changed,
            "a node replaced a version that another node had replaced before"
        );
        assert!(
            listed(other, (Kind::Grant, owner(1)), 7)
                .await
                .contains(&key.digest),
            "another node does not list what stands"
        );
        assert!(
            answered(one.remove(key).await).is_some(),
            "a node did not find what another node has written"
        );
        assert_eq!(
            answered(other.get(key).await),
            None,
            "another node sees what was removed"
        );
        (one, other) = (other, one);
    }
}

pub(super) async fn another_node_is_told_what_has_died<S: Stores>(stores: &S) {
    let here = stores.fresh().await;
    let Some(there) = stores.beside(&here).await else {
        return;
    };
    let Some(cursor) = feed(&there).await else {
        return;
    };
    let [inserted_dead, replaced_dead, removed] = [0, 1, 2].map(|number| key(Kind::Grant, number));
    let version = inserted(&here, replaced_dead, record("1", LATER)).await;
    inserted(&here, removed, record("1", LATER)).await;
    inserted(&here, inserted_dead, dead()).await;
    replaced(&here, replaced_dead, version, dead()).await;
    answered(here.remove(removed).await);
    let (told, _) = told_until(&there, cursor, removed).await;
    if let Some(told) = told {
        assert_eq!(
            told,
            [inserted_dead, replaced_dead, removed],
            "the feed of one node did not tell what died at another"
        );
    }
}

pub(super) async fn nodes_that_purge_at_once_share_the_work<S: Stores>(stores: &S) {
    let here = stores.fresh().await;
    let Some(there) = stores.beside(&here).await else {
        return;
    };
    for number in 0..100 {
        let expired = record("1", before(NOW, 1));
        answered(
            here.insert(key(Kind::Code, number), expired, before(NOW, 9))
                .await,
        );
    }
    let mut forgotten = 0;
    loop {
        let (one, other) = tokio::join!(here.purge(NOW, 30), there.purge(NOW, 30));
        let count = answered(one) + answered(other);
        forgotten += count;
        assert!(
            forgotten <= 100,
            "nodes that purged at once counted a record twice"
        );
        if count == 0 {
            break;
        }
    }
}
