//! The purge in the background keeps up with what comes, in bounded pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tower_oauth::MemoryStore;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{ManualClock, Timestamp};

use crate::support::{Harness, NOW};
use crate::waits::until;

/// A store in which so many records have expired, of which nothing else is known.
#[derive(Clone)]
struct Full(Arc<Inner>);

struct Inner {
    records: MemoryStore,
    expired: AtomicU32,
    purges: AtomicU32,
}

impl Full {
    fn of(expired: u32) -> Self {
        Self(Arc::new(Inner {
            records: MemoryStore::new(),
            expired: expired.into(),
            purges: AtomicU32::new(0),
        }))
    }

    fn expired(&self) -> u32 {
        self.0.expired.load(Ordering::SeqCst)
    }

    /// Waits until it was asked to forget so often.
    async fn was_purged(&self, times: u32) {
        let is_asked = async || self.0.purges.load(Ordering::SeqCst) >= times;
        until(&format!("purge {times}"), is_asked).await;
        // Whoever would go on has had every chance.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.0.purges.load(Ordering::SeqCst), times);
    }
}

impl Store for Full {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.0.records.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.0.records.get(key).await
    }

    async fn replace(&self, key: Key, read: Version, new: Record) -> Result<Replace, StoreError> {
        self.0.records.replace(key, read, new).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.0.records.remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.0.records.list(listing).await
    }

    async fn purge(&self, _: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.0.purges.fetch_add(1, Ordering::SeqCst);
        let forgotten = self.expired().min(limit);
        self.0.expired.fetch_sub(forgotten, Ordering::SeqCst);
        Ok(forgotten)
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.0.records.changes(after).await
    }
}

#[tokio::test]
async fn what_expires_faster_than_once_a_minute_is_forgotten_a_second_later() {
    let store = Full::of(250_500);
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
    server.web("grant_type=password").await;
    store.was_purged(0).await;
    server.advance(60);
    store.was_purged(100).await;
    assert_eq!(store.expired(), 150_500, "a tick has its bound");
    server.advance(1);
    store.was_purged(200).await;
    server.advance(1);
    store.was_purged(251).await;
    assert_eq!(store.expired(), 0);
    server.advance(59);
    store.was_purged(251).await;
    server.advance(1);
    store.was_purged(252).await;
}
