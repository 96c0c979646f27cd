//! A store that is used in two runtimes, of which one ends: whoever waits in the other for what dies is not forgotten.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tower_oauth::store::{Changes, Cursor, Store};

use crate::postgres_server;

const PATIENCE: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("there is a runtime")
}

/// Where the feed stands once it has begun.
async fn begun(store: &impl Store) -> Cursor {
    let begun = async {
        loop {
            if let Ok(Changes::Lost { next }) = store.changes(None).await {
                return next;
            }
        }
    };
    let begun = timeout(PATIENCE, begun).await;
    begun.expect("somebody listens")
}

/// One waits in the second runtime when the first, in which the store listens, ends.
fn who_waits_is_told<S: Store + Clone>(open: impl Future<Output = Option<S>>) {
    let (first, second) = (runtime(), runtime());
    let Some(store) = first.block_on(open) else {
        return;
    };
    let next = first.block_on(begun(&store));
    let waits = second.spawn({
        let store = store.clone();
        async move { store.changes(Some(next)).await }
    });
    second.block_on(tokio::task::yield_now());
    drop(first);
    let told = second.block_on(async { timeout(PATIENCE, waits).await });
    let told = told.expect("it does not wait for ever");
    assert!(told.expect("it does not panic").is_err());
    second.block_on(begun(&store));
}

#[test]
fn who_waits_for_the_feed_of_postgres_is_told_that_its_listener_is_gone() {
    who_waits_is_told(postgres_server::store());
}

#[cfg(all(unix, feature = "redis"))]
#[test]
fn who_waits_for_the_feed_of_redis_is_told_that_its_listener_is_gone() {
    use crate::redis_server::{available, prefix, shared};
    who_waits_is_told(async {
        available()?;
        let builder = tower_oauth::RedisStore::builder(shared()).prefix(prefix());
        Some(builder.connect().await.expect("Redis answers"))
    });
}

#[test]
fn who_asks_in_a_runtime_that_has_ended_is_told_and_the_next_one_listens() {
    let (first, second) = (runtime(), runtime());
    let Some(store) = second.block_on(postgres_server::store()) else {
        return;
    };
    let ended = first.handle().clone();
    drop(first);
    let told = {
        let _inside = ended.enter();
        let mut nobody = Context::from_waker(Waker::noop());
        pin!(store.changes(None)).poll(&mut nobody)
    };
    assert!(matches!(told, Poll::Ready(Err(_))), "{told:?}");
    second.block_on(begun(&store));
}
