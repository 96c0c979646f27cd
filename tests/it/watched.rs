//! A store that can be watched, stopped and broken.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tower_oauth::MemoryStore;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::Timestamp;

use crate::support::Harness;

/// A memory store that gives way before each step, fails when told, stops before one step, and notes what is written.
#[derive(Clone)]
pub(crate) struct Watched(Arc<Inner>);

struct Inner {
    store: MemoryStore,
    down: AtomicBool,
    fails: Mutex<Option<Step>>,
    stops: Mutex<Option<Stop>>,
    reads: AtomicUsize,
    written: Mutex<Vec<Bytes>>,
}

/// A verb of the store and the kind of record that it touches.
pub(crate) type Step = (&'static str, Kind);

/// Where somebody stops, and how they meet whoever lets them go.
#[derive(Clone)]
pub(crate) struct Stop {
    step: Step,
    reached: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

impl Stop {
    /// Waits until somebody has come there.
    pub(crate) async fn reached(&self) {
        drop(self.reached.acquire().await);
    }

    pub(crate) fn let_go(&self) {
        self.go.add_permits(1);
    }
}

impl Watched {
    /// A server on such a store.
    pub(crate) async fn start() -> (Arc<Harness>, Self) {
        let store = Self(Arc::new(Inner {
            store: MemoryStore::new(),
            down: AtomicBool::new(false),
            fails: Mutex::new(None),
            stops: Mutex::new(None),
            reads: AtomicUsize::new(0),
            written: Mutex::default(),
        }));
        let kept = store.clone();
        (
            Arc::new(Harness::with(|builder| builder.store(kept)).await),
            store,
        )
    }

    pub(crate) fn down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// The next such step fails.
    pub(crate) fn fail(&self, step: Step) {
        *self.0.fails.lock().unwrap() = Some(step);
    }

    /// Whoever comes to this step first waits there.
    pub(crate) fn stop(&self, step: Step) -> Stop {
        let none = || Arc::new(Semaphore::new(0));
        let (reached, go) = (none(), none());
        let stop = Stop { step, reached, go };
        *self.0.stops.lock().unwrap() = Some(stop.clone());
        stop
    }

    /// How often a record was read.
    pub(crate) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    /// All that was ever written.
    pub(crate) fn written(&self) -> String {
        String::from_utf8(self.0.written.lock().unwrap().concat()).unwrap()
    }

    async fn pass(&self, step: Step) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        let stop = self
            .0
            .stops
            .lock()
            .unwrap()
            .take_if(|stop| stop.step == step);
        if let Some(stop) = stop {
            stop.reached.add_permits(1);
            drop(stop.go.acquire().await);
        }
        let fails = self.0.fails.lock().unwrap().take_if(|fails| *fails == step);
        if fails.is_some() || self.0.down.load(Ordering::SeqCst) {
            return Err(StoreError::new("the disk is on fire"));
        }
        Ok(())
    }

    fn note(&self, record: &Record) {
        self.0.written.lock().unwrap().push(record.value.clone());
    }
}

impl Store for Watched {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.pass(("insert", key.kind)).await?;
        self.note(&record);
        self.0.store.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.pass(("get", key.kind)).await?;
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        self.0.store.get(key).await
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        self.pass(("replace", key.kind)).await?;
        self.note(&record);
        self.0.store.replace(key, read, record).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.pass(("remove", key.kind)).await?;
        self.0.store.remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.pass(("list", listing.kind)).await?;
        self.0.store.list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.0.store.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.0.store.changes(after).await
    }
}
