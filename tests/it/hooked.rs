//! A store that calls a test before and after each step, so that the test can make it fail, wait, or never come back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::Timestamp;
use tower_oauth::{MemoryStore, PostgresStore, RedisStore, SqliteStore};

use crate::postgres_server;
use crate::support::redis;
use crate::waits::until;

/// A store over shared data, of the kind that `TEST_STORE` names. Clones share the data and the hook.
#[derive(Clone)]
pub(crate) struct Hooked {
    data: Data,
    hook: Arc<Mutex<Option<Hook>>>,
    feed: Arc<Mutex<Feed>>,
}

/// What the servers over this store have heard.
#[derive(Default)]
struct Feed {
    /// How often it was asked.
    asked: usize,
    /// Of which kinds a death was told, or `None` of whichever, and how often it had been asked by then.
    told: Vec<(Option<Kind>, usize)>,
    /// Why it failed. A server asks it again when its clock has moved, which it may never.
    failed: Option<String>,
}

impl Feed {
    fn hears(&mut self, after: Option<Cursor>, changes: &Result<Changes, StoreError>) {
        match changes {
            Ok(Changes::Events { dead, .. }) => {
                let told = dead.iter().map(|key| (Some(key.kind), self.asked));
                self.told.extend(told);
            }
            // What is lost before the first cursor is of an earlier life.
            Ok(Changes::Lost { .. }) if after.is_some() => self.told.push((None, self.asked)),
            Ok(_) => {}
            Err(error) => self.failed = Some(chain(error)),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
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
            feed: Arc::default(),
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
        self.feed_has("begun", |feed| feed.asked >= 2).await;
    }

    /// Waits until the server has heard of the death of something of this kind, whichever way that takes.
    pub(crate) async fn feed_has_told_of(&self, kind: Kind) {
        let what = format!("told of {kind:?}");
        self.feed_has(&what, |feed| {
            let mut told = feed.told.iter();
            told.any(|(told, when)| told.is_none_or(|told| told == kind) && *when < feed.asked)
        })
        .await;
    }

    async fn feed_has(&self, what: &str, has: impl Fn(&Feed) -> bool + Send + Sync) {
        until(&format!("a feed that has {what}"), async || {
            let (has, failed) = {
                let feed = self.feed.lock().unwrap();
                (has(&feed), feed.failed.clone())
            };
            let failed = failed.filter(|_| !has);
            assert_eq!(failed, None, "the feed failed before it had {what}");
            has
        })
        .await;
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
        self.feed.lock().unwrap().asked += 1;
        // A failure that the test makes itself is none of the store's.
        let step = async {
            let changes = step.await;
            self.feed.lock().unwrap().hears(after, &changes);
            changes
        };
        self.around((Verb::Changes, None), step).await
    }
}

#[tokio::test]
#[should_panic(expected = "the listener is gone")]
async fn whoever_waits_for_a_feed_is_told_why_it_has_failed() {
    let store = Hooked::over(Data::Memory(Arc::default()));
    let failed = Err(StoreError::new("the listener is gone"));
    store.feed.lock().unwrap().hears(None, &failed);
    store.feed_has_begun().await;
}

#[tokio::test]
async fn a_feed_that_has_lost_something_has_told_of_every_kind() {
    let store = Hooked::over(Data::Memory(Arc::default()));
    {
        let lost = Ok(Changes::Lost {
            next: Cursor::new(1),
        });
        let mut feed = store.feed.lock().unwrap();
        feed.asked = 1;
        feed.hears(Some(Cursor::new(0)), &lost);
        feed.asked = 2;
    }
    store.feed_has_told_of(Kind::Client).await;
}
