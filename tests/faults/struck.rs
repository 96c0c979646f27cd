//! A store that stops for good before or after a write, so that its process can be killed there.

use std::future::pending;
use std::sync::{Arc, Mutex};

use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::Timestamp;

/// The point at which it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// At which write from now on, from 0.
    pub(crate) write: usize,
    pub(crate) when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

impl Point {
    /// Whether this write of the flow was done.
    pub(crate) fn has_done(self, write: usize) -> bool {
        write < self.write || (write == self.write && self.when == When::After)
    }
}

#[derive(Clone)]
pub(crate) struct Struck<S> {
    store: Arc<S>,
    point: Arc<Mutex<Option<Point>>>,
}

impl<S: Store> Struck<S> {
    pub(crate) fn over(store: S) -> Self {
        Self {
            store: Arc::new(store),
            point: Arc::default(),
        }
    }

    /// Where it strikes next.
    pub(crate) fn at(&self) -> Arc<Mutex<Option<Point>>> {
        Arc::clone(&self.point)
    }

    async fn around<T: Send>(&self, key: Key, write: impl Future<Output = T> + Send) -> T {
        let when = {
            let mut point = self.point.lock().unwrap();
            match point.as_mut() {
                Some(point) if point.write > 0 => {
                    point.write -= 1;
                    None
                }
                _ => point.take().map(|point| point.when),
            }
        };
        if when == Some(When::Before) {
            strike(key).await;
        }
        let done = write.await;
        if when == Some(When::After) {
            strike(key).await;
        }
        done
    }
}

/// Says that the point is reached, and never comes back.
async fn strike(key: Key) {
    println!("node: struck {}", key.kind.as_str());
    pending().await
}

impl<S: Store> Store for Struck<S> {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.around(key, self.store.insert(key, record, now)).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.store.get(key).await
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        self.around(key, self.store.replace(key, read, record))
            .await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.around(key, self.store.remove(key)).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.store.list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.store.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.store.changes(after).await
    }
}
