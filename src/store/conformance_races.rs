//! Of callers that ask at once, one wins.

use std::sync::Arc;

use super::conformance::Stores;
use super::conformance_asking::{
    CALLERS, LATER, NOW, ROUNDS, answered, before, first, inserted, key, nodes, record, standing,
    together,
};
use super::{Insert, Key, Kind, Replace, Store};

pub(super) async fn one_of_many_inserts_wins<S: Stores>(stores: &S) {
    let nodes = nodes(stores).await;
    for round in 0..ROUNDS {
        let key = key(Kind::UserCode, round);
        insert_race(&nodes, key).await;
    }
}

pub(super) async fn one_of_many_inserts_over_an_expired_record_wins<S: Stores>(stores: &S) {
    let nodes = nodes(stores).await;
    for round in 0..ROUNDS {
        let key = key(Kind::UserCode, round);
        let expired = record("\"expired\"", before(NOW, 1));
        answered(first(&nodes).insert(key, expired, before(NOW, 9)).await);
        insert_race(&nodes, key).await;
    }
}

async fn insert_race<S: Store>(nodes: &[Arc<S>], key: Key) {
    let answers = together(nodes, move |store, caller| async move {
        let record = record(&caller.to_string(), LATER);
        (caller, answered(store.insert(key, record, NOW).await))
    })
    .await;
    let winners: Vec<_> = answers
        .into_iter()
        .filter_map(|(caller, outcome)| match outcome {
            Insert::Inserted(version) => Some((record(&caller.to_string(), LATER), version)),
            Insert::Exists => None,
        })
        .collect();
    assert_eq!(
        winners.len(),
        1,
        "of {CALLERS} callers that inserted at once, not exactly one got Inserted"
    );
    assert_eq!(
        winners,
        [standing(first(nodes), key).await],
        "the record of a caller that got Exists stands"
    );
}

pub(super) async fn one_of_many_replaces_wins<S: Stores>(stores: &S) {
    let nodes = nodes(stores).await;
    let key = key(Kind::Grant, 0);
    let mut version = inserted(first(&nodes), key, record("\"first\"", LATER)).await;
    for _ in 0..ROUNDS {
        let read = version;
        let answers = together(&nodes, move |store, caller| async move {
            let record = record(&caller.to_string(), LATER);
            (caller, answered(store.replace(key, read, record).await))
        })
        .await;
        let winners: Vec<_> = answers
            .into_iter()
            .filter_map(|(caller, outcome)| match outcome {
                Replace::Replaced(version) => Some((record(&caller.to_string(), LATER), version)),
                Replace::Changed => None,
            })
            .collect();
        assert_eq!(
            winners.len(),
            1,
            "of {CALLERS} callers that replaced one version, not exactly one got Replaced"
        );
        let stands = standing(first(&nodes), key).await;
        version = stands.1;
        assert_eq!(
            winners,
            [stands],
            "the record of a caller that got Changed stands"
        );
    }
}

pub(super) async fn one_of_many_removes_wins<S: Stores>(stores: &S) {
    let nodes = nodes(stores).await;
    for round in 0..ROUNDS {
        let key = key(Kind::Interaction, round);
        inserted(first(&nodes), key, record("1", LATER)).await;
        let answers = together(&nodes, move |store, _| async move {
            answered(store.remove(key).await)
        })
        .await;
        let winners = answers.into_iter().flatten().count();
        assert_eq!(
            winners, 1,
            "of {CALLERS} callers that removed one record, not exactly one got it"
        );
    }
}
