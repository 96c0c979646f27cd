//! How often a flow waits for the store, and how often it asks: what is asked at once is waited for once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tower_oauth::MemoryStore;
use tower_oauth::server::AccessTokenFormat;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{ManualClock, Timestamp};

use crate::support::{FOR_ITSELF, Harness, NOW};
use crate::waits::until;

/// A store that is far away: while it is watched, what it is asked travels until all that could be asked has been.
#[derive(Clone, Default)]
struct Distant(Arc<Inner>);

#[derive(Default)]
struct Inner {
    records: MemoryStore,
    watched: AtomicBool,
    trips: AtomicUsize,
    asked: AtomicUsize,
    feeds: AtomicUsize,
}

impl Distant {
    async fn travel(&self) {
        if !self.0.watched.load(Ordering::SeqCst) {
            return;
        }
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let left = self.0.trips.load(Ordering::SeqCst);
        let has_arrived = |_: &mut Context<'_>| match self.0.trips.load(Ordering::SeqCst) > left {
            true => Poll::Ready(()),
            false => Poll::Pending,
        };
        poll_fn(has_arrived).await;
    }

    /// What comes of a flow, how often it waited for the store, and how often it asked.
    fn watch<T>(&self, flow: impl Future<Output = T>) -> (T, usize, usize) {
        self.0.trips.store(0, Ordering::SeqCst);
        self.0.asked.store(0, Ordering::SeqCst);
        self.0.watched.store(true, Ordering::SeqCst);
        let mut flow = pin!(flow);
        let mut nobody = Context::from_waker(Waker::noop());
        let done = loop {
            match flow.as_mut().poll(&mut nobody) {
                Poll::Ready(done) => break done,
                Poll::Pending => {
                    let trips = self.0.trips.fetch_add(1, Ordering::SeqCst);
                    assert!(trips < 1000, "it waits for something else");
                }
            }
        };
        self.0.watched.store(false, Ordering::SeqCst);
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (done, count(&self.0.trips), count(&self.0.asked))
    }

    /// Waits until the feed was asked so often.
    async fn feed_was_asked(&self, times: usize) {
        let is_asked = async || self.0.feeds.load(Ordering::SeqCst) >= times;
        until("the question for the feed", is_asked).await;
    }
}

impl Store for Distant {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.travel().await;
        self.0.records.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.travel().await;
        self.0.records.get(key).await
    }

    async fn replace(&self, key: Key, read: Version, new: Record) -> Result<Replace, StoreError> {
        self.travel().await;
        self.0.records.replace(key, read, new).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.travel().await;
        self.0.records.remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.travel().await;
        self.0.records.list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.0.records.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.0.feeds.fetch_add(1, Ordering::SeqCst);
        self.0.records.changes(after).await
    }
}

/// A server that knows its clients, as each node over one store does.
async fn node(store: &Distant) -> Harness {
    let asked = store.0.feeds.load(Ordering::SeqCst);
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| {
        builder.access_token_format(AccessTokenFormat::Opaque)
    });
    server.web("grant_type=password").await; // the feed is asked from the first request on
    store.feed_was_asked(asked + 2).await; // its first answer drops all that is known
    server
}

#[tokio::test]
async fn a_flow_waits_for_the_store_as_often_as_it_must() {
    let store = Distant::default();
    let server = node(&store).await;
    server.create_clients().await;
    let (_, refresh) = server.tokens("").await.pair();
    server.refresh(&refresh, "").await.pair();
    let for_itself = server.web(FOR_ITSELF).await.access_token();
    assert!(server.is_active(&for_itself).await);
    let code = server.code_for("app", "").await;

    let (answer, trips, asked) = store.watch(server.web(FOR_ITSELF));
    assert_eq!(answer.status, 200);
    assert_eq!((trips, asked), (1, 1), "client credentials: the token");

    let (answer, trips, asked) = store.watch(server.redeem(&code));
    let (access, refresh) = answer.pair();
    assert_eq!(
        (trips, asked),
        (5, 6),
        "the code, its use, the grant, the subject's epoch and a client of its name, the token"
    );

    let (active, trips, asked) = store.watch(server.is_active(&access));
    assert!(active);
    assert_eq!(
        (trips, asked),
        (2, 3),
        "introspection: the token, its grant and its subject's epoch"
    );

    let (active, trips, asked) = store.watch(server.is_active(&for_itself));
    assert!(active);
    assert_eq!((trips, asked), (1, 1), "introspection: the token alone");

    let (answer, trips, asked) = store.watch(server.refresh(&refresh, ""));
    answer.pair();
    assert_eq!(
        (trips, asked),
        (3, 4),
        "the grant, its next generation and the subject's epoch, the token"
    );
}

#[tokio::test]
async fn a_client_is_read_again_once_another_node_has_changed_it() {
    let store = Distant::default();
    let (here, there) = (node(&store).await, node(&store).await);
    there.create_clients().await;
    here.web(FOR_ITSELF).await.access_token();
    let (_, trips, _) = store.watch(here.web(FOR_ITSELF));
    assert_eq!(trips, 1);
    let asked = store.0.feeds.load(Ordering::SeqCst);
    there.forget("web").await;
    store.feed_was_asked(asked + 2).await;
    let (_, trips, _) = store.watch(here.web(FOR_ITSELF));
    assert_eq!(trips, 2, "the client, and the token");
    let (_, trips, _) = store.watch(here.web(FOR_ITSELF));
    assert_eq!(trips, 1);
}
