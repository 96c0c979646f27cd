//! The feed of deaths.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::conformance::Stores;
use super::conformance_asking::{
    CALLERS, LATER, NOW, ROUNDS, answered, changes, dead, feed, first, inserted, key, nodes,
    record, replaced, standing, together, told_until,
};
use super::{Changes, Kind, Store as _};

pub(super) async fn the_feed_begins_with_lost<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for number in 0..2 {
        match changes(&store, None).await {
            Changes::Lost { .. } | Changes::Unsupported { .. } => {}
            Changes::Events { .. } => panic!("the feed told events to a call without a cursor"),
        }
        answered(store.insert(key(Kind::Code, number), dead(), NOW).await);
    }
}

pub(super) async fn the_feed_tells_what_was_announced<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let Some(mut cursor) = feed(&store).await else {
        return;
    };
    for number in 0..4 {
        let [inserted_dead, replaced_dead, removed] =
            [0, 1, 2].map(|n| key(Kind::Grant, n + 3 * number));
        let version = inserted(&store, replaced_dead, record("1", LATER)).await;
        inserted(&store, removed, record("1", LATER)).await;
        inserted(&store, inserted_dead, dead()).await;
        replaced(&store, replaced_dead, version, dead()).await;
        answered(store.remove(removed).await);
        let told;
        (told, cursor) = told_until(&store, cursor, removed).await;
        let told = told.expect("the feed said Lost though next to nothing had happened");
        assert_eq!(
            told,
            [inserted_dead, replaced_dead, removed],
            "the feed did not tell an announced insert, an announced replace and a remove, in this order"
        );
    }
}

pub(super) async fn the_feed_tells_what_can_be_read<S: Stores>(stores: &S) {
    let nodes = nodes(stores).await;
    let (here, there) = (first(&nodes), nodes.last().expect("a fresh store is one"));
    let Some(mut cursor) = feed(&**there).await else {
        return;
    };
    for number in 0..ROUNDS {
        let key = key(Kind::Grant, number);
        let version = inserted(here, key, record("1", LATER)).await;
        let hear = async {
            let (told, next) = told_until(&**there, cursor, key).await;
            (told, next, standing(&**there, key).await.0)
        };
        let (_, (told, next, found)) = tokio::join!(replaced(here, key, version, dead()), hear);
        cursor = next;
        assert!(
            told.is_none() || found.value == dead().value,
            "the feed told a death that could not be read yet"
        );
    }
}

pub(super) async fn the_feed_tells_nothing_else<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let Some(cursor) = feed(&store).await else {
        return;
    };
    let [silent, missing, last] = [0, 1, 2].map(|number| key(Kind::Grant, number));
    let version = inserted(&store, silent, record("1", LATER)).await;
    replaced(&store, silent, version, record("2", LATER)).await;
    // These change nothing, so nothing has died.
    answered(store.insert(silent, dead(), NOW).await);
    answered(store.replace(silent, version, dead()).await);
    answered(store.replace(missing, version, dead()).await);
    answered(store.remove(missing).await);
    inserted(&store, last, dead()).await;
    let (told, _) = told_until(&store, cursor, last).await;
    let told = told.expect("the feed said Lost though next to nothing had happened");
    assert_eq!(
        told,
        [last],
        "the feed told a write that was not announced, or that was not made"
    );
}

pub(super) async fn the_feed_wakes_all_who_wait<S: Stores>(stores: &S) {
    let store = Arc::new(stores.fresh().await);
    let Some(mut cursor) = feed(&*store).await else {
        return;
    };
    for round in 0..ROUNDS {
        let key = key(Kind::Grant, round);
        inserted(&*store, key, record("1", LATER)).await;
        let mut waiting = JoinSet::new();
        for _ in 0..2 {
            let store = Arc::clone(&store);
            waiting.spawn(async move {
                let changes = changes(&*store, Some(cursor)).await;
                // What is told must have happened.
                (changes, answered(store.get(key).await))
            });
        }
        tokio::task::yield_now().await;
        answered(store.remove(key).await);
        while let Some(heard) = waiting.join_next().await {
            let Ok((Changes::Events { dead, next }, found)) = heard else {
                panic!("a waiting call to the feed was not told what died");
            };
            assert_eq!(
                dead,
                [key],
                "a waiting call to the feed was told another death"
            );
            assert_eq!(
                found, None,
                "the feed told of a remove before it could be seen"
            );
            cursor = next;
        }
    }
}

pub(super) async fn the_feed_never_leaves_out_in_silence<S: Stores>(stores: &S) {
    let nodes = nodes(stores).await;
    let store = first(&nodes);
    let Some(cursor) = feed(store).await else {
        return;
    };
    let mut all = HashSet::new();
    for round in 0..25 {
        let made = together(&nodes, move |store, caller| async move {
            let key = key(Kind::Code, round * CALLERS as u64 + caller);
            answered(store.insert(key, dead(), NOW).await);
            key
        })
        .await;
        all.extend(made);
    }
    let last = key(Kind::Grant, 0);
    answered(store.insert(last, dead(), NOW).await);
    let (told, _) = told_until(store, cursor, last).await;
    if let Some(told) = told {
        let told: HashSet<_> = told.into_iter().collect();
        assert!(
            told.is_superset(&all),
            "the feed left out a death and did not say Lost"
        );
    }
}
