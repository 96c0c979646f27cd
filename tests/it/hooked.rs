//! A store that calls a test before and after each step, so that the test can make it fail, wait, or never come back.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::Timestamp;
use tower_oauth::{MemoryStore, PostgresStore, RedisStore, SqliteStore};

use crate::postgres_server;
use crate::support::redis;

/// A store over shared data, of the kind that `TEST_STORE` names. Clones share the data and the hook.
#[derive(Clone)]
pub(crate) struct Hooked {
    data: Data,
    hook: Arc<Mutex<Option<Hook>>>,
    /// How often the feed was asked.
    feeds: Arc<AtomicUsize>,
    /// Of which kinds a death was told, and how often the feed had been asked by then.
    told: Arc<Mutex<Vec<(Kind, usize)>>>,
}

#[derive(Clone)]
enum Data {
    Memory(Arc<MemoryStore>),
    Sqlite(
        SqliteStore,
        #[expect(dead_code, reason = "it lives as long as the file")] Arc<TempDir>,
    ),
    Redis(RedisStore),
    Postgres(PostgresStore),
}

type Answer = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
type Hook = Arc<dyn Fn(Step) -> Answer + Send + Sync>;

/// What the store is about to do, or has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) verb: Verb,
    /// Of which kind of record; `None` when it is about all.
    pub(crate) kind: Option<Kind>,
    pub(crate) when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Insert,
    Get,
    Replace,
    Remove,
    List,
    Purge,
    Changes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

impl Step {
    pub(crate) fn is(self, verb: Verb, kind: Kind, when: When) -> bool {
        (self.verb, self.kind, self.when) == (verb, Some(kind), when)
    }

    pub(crate) fn is_write(self) -> bool {
        matches!(self.verb, Verb::Insert | Verb::Replace | Verb::Remove)
    }
}

impl Hooked {
    pub(crate) async fn open() -> Self {
        match std::env::var("TEST_STORE").as_deref() {
            Ok("sqlite") => Self::sqlite().await.0,
            Ok("redis") => Self::over(Data::Redis(redis().await)),
            Ok("postgres") => {
                let store = postgres_server::store().await;
                Self::over(Data::Postgres(store.expect("TEST_STORE names it")))
            }
            _ => Self::memory(),
        }
    }

    /// The same in memory, whatever is named.
    pub(crate) fn memory() -> Self {
        Self::over(Data::Memory(Arc::default()))
    }

    /// The same on SQLite, whatever is named, and the store itself.
    pub(crate) async fn sqlite() -> (Self, SqliteStore) {
        let files = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(files.path().join("oauth.db"))
            .await
            .unwrap();
        let hooked = Self::over(Data::Sqlite(store.clone(), Arc::new(files)));
        (hooked, store)
    }

    fn over(data: Data) -> Self {
        Self {
            data,
            hook: Arc::default(),
            feeds: Arc::default(),
            told: Arc::default(),
        }
    }

    /// Whether what has expired is forgotten by a purge, and not by the database itself.
    pub(crate) fn purge_forgets(&self) -> bool {
        !matches!(self.data, Data::Redis(_))
    }

    /// The same data, and nothing that stands in the way: as another process would open it.
    pub(crate) fn revived(&self) -> Self {
        Self::over(self.data.clone())
    }

    /// Waits until the server has heard of the feed what there was to hear: from then on it keeps what it reads. A server over this
    /// store must have had a request.
    pub(crate) async fn feed_has_begun(&self) {
        while self.feeds.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the server has heard of the death of something of this kind, whichever way that takes.
    pub(crate) async fn feed_has_told_of(&self, kind: Kind) {
        let is_heard = || {
            let asked = self.feeds.load(Ordering::SeqCst);
            let told = self.told.lock().unwrap();
            told.iter()
                .any(|(told, when)| *told == kind && *when < asked)
        };
        while !is_heard() {
            tokio::task::yield_now().await;
        }
    }

    /// Awaits this before and after each step, instead of what was set before. An error before a step keeps it from being done; one
    /// after it loses only the answer.
    pub(crate) fn on_step<H, F>(&self, hook: H)
    where
        H: Fn(Step) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let hook: Hook = Arc::new(move |step| Box::pin(hook(step)));
        *self.hook.lock().unwrap() = Some(hook);
    }

    /// Steps are done again as if nothing had been set.
    pub(crate) fn let_all_pass(&self) {
        *self.hook.lock().unwrap() = None;
    }

    async fn around<T>(
        &self,
        (verb, kind): (Verb, Option<Kind>),
        step: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.hook(verb, kind, When::Before).await?;
        let done = step.await;
        self.hook(verb, kind, When::After).await?;
        done
    }

    async fn hook(&self, verb: Verb, kind: Option<Kind>, when: When) -> Result<(), StoreError> {
        let hook = self.hook.lock().unwrap().clone();
        match hook {
            Some(hook) => hook(Step { verb, kind, when }).await,
            None => Ok(()),
        }
    }
}

impl Store for Hooked {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        let step = async {
            match &self.data {
                Data::Memory(store) => store.insert(key, record, now).await,
                Data::Sqlite(store, _) => store.insert(key, record, now).await,
                Data::Redis(store) => store.insert(key, record, now).await,
                Data::Postgres(store) => store.insert(key, record, now).await,
            }
        };
        self.around((Verb::Insert, Some(key.kind)), step).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        let step = async {
            match &self.data {
                Data::Memory(store) => store.get(key).await,
                Data::Sqlite(store, _) => store.get(key).await,
                Data::Redis(store) => store.get(key).await,
                Data::Postgres(store) => store.get(key).await,
            }
        };
        self.around((Verb::Get, Some(key.kind)), step).await
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        let step = async {
            match &self.data {
                Data::Memory(store) => store.replace(key, read, record).await,
                Data::Sqlite(store, _) => store.replace(key, read, record).await,
                Data::Redis(store) => store.replace(key, read, record).await,
                Data::Postgres(store) => store.replace(key, read, record).await,
            }
        };
        self.around((Verb::Replace, Some(key.kind)), step).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        let step = async {
            match &self.data {
                Data::Memory(store) => store.remove(key).await,
                Data::Sqlite(store, _) => store.remove(key).await,
                Data::Redis(store) => store.remove(key).await,
                Data::Postgres(store) => store.remove(key).await,
            }
        };
        self.around((Verb::Remove, Some(key.kind)), step).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        let step = async {
            match &self.data {
                Data::Memory(store) => store.list(listing).await,
                Data::Sqlite(store, _) => store.list(listing).await,
                Data::Redis(store) => store.list(listing).await,
                Data::Postgres(store) => store.list(listing).await,
            }
        };
        self.around((Verb::List, Some(listing.kind)), step).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let step = async {
            match &self.data {
                Data::Memory(store) => store.purge(now, limit).await,
                Data::Sqlite(store, _) => store.purge(now, limit).await,
                Data::Redis(store) => store.purge(now, limit).await,
                Data::Postgres(store) => store.purge(now, limit).await,
            }
        };
        self.around((Verb::Purge, None), step).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        let step = async {
            match &self.data {
                Data::Memory(store) => store.changes(after).await,
                Data::Sqlite(store, _) => store.changes(after).await,
                Data::Redis(store) => store.changes(after).await,
                Data::Postgres(store) => store.changes(after).await,
            }
        };
        let asked = self.feeds.fetch_add(1, Ordering::SeqCst) + 1;
        let changes = self.around((Verb::Changes, None), step).await?;
        if let Changes::Events { dead, .. } = &changes {
            let told = dead.iter().map(|key| (key.kind, asked));
            self.told.lock().unwrap().extend(told);
        }
        Ok(changes)
    }
}
