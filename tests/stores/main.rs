//! The stores: each passes the suite, the suite fails stores that are wrong, and SQLite keeps what it has answered.
#![cfg(all(feature = "sqlite", feature = "testing"))]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};
use tower_oauth::store::conformance::{self, Stores};
use tower_oauth::store::{
    Changes, CommitPoint, Cursor, Insert, Key, Kind, Listing, MemoryStore, Owner, Page, Record,
    Replace, SqliteOpenError, SqliteStore, Store, StoreError, Version,
};
use tower_oauth::types::{Digest, Timestamp};

// The suite, on the stores of the crate.

struct Memory;

impl Stores for Memory {
    type Store = MemoryStore;

    async fn fresh(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn reopen(&self, _: MemoryStore) -> Option<MemoryStore> {
        None
    }
}

struct Sqlite {
    folder: TempDir,
    files: AtomicU32,
}

impl Sqlite {
    async fn open(&self) -> SqliteStore {
        let number = self.files.load(Ordering::SeqCst);
        let path = self.folder.path().join(format!("{number}.db"));
        SqliteStore::open(path).await.expect("the file opens")
    }
}

impl Stores for Sqlite {
    type Store = SqliteStore;

    async fn fresh(&self) -> SqliteStore {
        self.files.fetch_add(1, Ordering::SeqCst);
        self.open().await
    }

    async fn reopen(&self, store: SqliteStore) -> Option<SqliteStore> {
        store.close().await;
        Some(self.open().await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_passes_the_suite() {
    conformance::run(&Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_store_passes_the_suite() {
    let stores = Sqlite {
        folder: tempfile::tempdir().unwrap(),
        files: AtomicU32::new(0),
    };
    conformance::run(&stores).await;
}

// The suite, on stores that are wrong.

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    ForgetsOwners,
    KeepsAnnounce,
    ChangesExpiry,
    InsertOverwrites,
    InsertNeverOverwrites,
    InsertChecksThenWrites,
    InsertClearsThenWrites,
    IgnoresKind,
    ReplacesStale,
    ReplaceCreates,
    ReplaceChecksThenWrites,
    CountsVersionsPerRecord,
    RemoveOnlyReads,
    RemoveReadsThenWrites,
    ListsAfterInclusive,
    ListsWithoutTheLast,
    ListsOneMore,
    ListsAnotherOwner,
    ForgetsOwnersOfWhatComesBack,
    PurgesTooEarly,
    PurgesWithoutLimit,
    PurgesInWordsOnly,
    PurgesTheEverlasting,
    FeedBeginsWithEvents,
    FeedMissesInserts,
    FeedTellsEveryWrite,
    FeedNeverWakes,
    FeedHidesThatItLost,
    ForgetsOnReopening,
}

/// A memory store that is right but for its fault.
struct Wrong {
    fault: Fault,
    inner: MemoryStore,
    /// By key: a number that begins again with each record, and the version it stands for.
    counted: Mutex<HashMap<Key, (u64, Version)>>,
    removed: Mutex<HashSet<Key>>,
}

impl Wrong {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            inner: MemoryStore::new(),
            counted: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn key(&self, key: Key) -> Key {
        if self.is(Fault::IgnoresKind) {
            Key::new(Kind::Client, key.digest)
        } else {
            key
        }
    }

    fn record(&self, mut record: Record) -> Record {
        match self.fault {
            Fault::ForgetsOwners => record.owners.clear(),
            Fault::ChangesExpiry => record.expires_at = later(record.expires_at, 1),
            Fault::FeedTellsEveryWrite => record.announce = true,
            Fault::PurgesTheEverlasting if record.expires_at == Timestamp::MAX => {
                record.expires_at = Timestamp::from_secs(Timestamp::MAX.as_secs() - 1);
            }
            _ => {}
        }
        record
    }

    fn was_removed(&self, key: Key) -> bool {
        self.removed
            .lock()
            .expect("no thread panics")
            .contains(&key)
    }

    fn counted(&self, key: Key) -> Option<(u64, Version)> {
        let counted = self.counted.lock().expect("no thread panics");
        counted.get(&key).copied()
    }

    fn count(&self, key: Key, version: Version, number: u64) -> Version {
        if self.is(Fault::CountsVersionsPerRecord) {
            let mut counted = self.counted.lock().expect("no thread panics");
            counted.insert(key, (number, version));
            Version::new(number)
        } else {
            version
        }
    }
}

impl Store for Wrong {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        let key = self.key(key);
        let mut record = self.record(record);
        let mut now = now;
        match self.fault {
            Fault::FeedMissesInserts => record.announce = false,
            Fault::InsertOverwrites => now = Timestamp::MAX,
            Fault::InsertNeverOverwrites => now = Timestamp::from_secs(0),
            Fault::InsertChecksThenWrites => {
                let found = self.inner.get(key).await?;
                if found.is_some_and(|(found, _)| found.expires_at > now) {
                    return Ok(Insert::Exists);
                }
                tokio::task::yield_now().await;
                now = Timestamp::MAX;
            }
            Fault::InsertClearsThenWrites => {
                let found = self.inner.get(key).await?;
                if found.is_some_and(|(found, _)| found.expires_at <= now) {
                    tokio::task::yield_now().await;
                    self.inner.remove(key).await?;
                }
            }
            Fault::ForgetsOwnersOfWhatComesBack if self.was_removed(key) => record.owners.clear(),
            _ => {}
        }
        Ok(match self.inner.insert(key, record, now).await? {
            Insert::Inserted(version) => Insert::Inserted(self.count(key, version, 1)),
            Insert::Exists => Insert::Exists,
        })
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        let key = self.key(key);
        let found = self.inner.get(key).await?;
        Ok(found.map(|(mut record, mut version)| {
            record.announce = self.is(Fault::KeepsAnnounce);
            if let Some((number, _)) = self.counted(key) {
                version = Version::new(number);
            }
            (record, version)
        }))
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        let key = self.key(key);
        let record = self.record(record);
        let stands = self.inner.get(key).await?.map(|(_, version)| version);
        let mut read = read;
        let mut number = 0;
        match (self.fault, stands) {
            (Fault::ReplacesStale, Some(stands)) => read = stands,
            (Fault::ReplaceCreates, None) => {
                return Ok(
                    match self.inner.insert(key, record, Timestamp::MAX).await? {
                        Insert::Inserted(version) => Replace::Replaced(version),
                        Insert::Exists => Replace::Changed,
                    },
                );
            }
            (Fault::ReplaceChecksThenWrites, Some(stands)) if stands == read => {
                tokio::task::yield_now().await;
                if let Some((_, stands)) = self.inner.get(key).await? {
                    read = stands;
                }
            }
            (Fault::CountsVersionsPerRecord, Some(_)) => match self.counted(key) {
                Some((counted, version)) if read.number() == counted => {
                    (number, read) = (counted + 1, version);
                }
                _ => return Ok(Replace::Changed),
            },
            _ => {}
        }
        Ok(match self.inner.replace(key, read, record).await? {
            Replace::Replaced(version) => Replace::Replaced(self.count(key, version, number)),
            Replace::Changed => Replace::Changed,
        })
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        let key = self.key(key);
        self.removed.lock().expect("no thread panics").insert(key);
        match self.fault {
            Fault::RemoveOnlyReads => Ok(self.inner.get(key).await?.map(|(record, _)| record)),
            Fault::RemoveReadsThenWrites => {
                let found = self.inner.get(key).await?;
                tokio::task::yield_now().await;
                self.inner.remove(key).await?;
                Ok(found.map(|(record, _)| record))
            }
            _ => self.inner.remove(key).await,
        }
    }

    async fn list(&self, mut listing: Listing) -> Result<Page, StoreError> {
        let asked = listing;
        match self.fault {
            Fault::ListsOneMore => listing.limit += 1,
            Fault::ListsAnotherOwner => listing.kind = Kind::Client,
            _ => {}
        }
        let mut page = self.inner.list(listing).await?;
        match self.fault {
            Fault::ListsAfterInclusive => page.digests.splice(0..0, asked.after).for_each(drop),
            Fault::ListsWithoutTheLast if page.next.is_none() => drop(page.digests.pop()),
            _ => {}
        }
        Ok(page)
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        match self.fault {
            Fault::PurgesTooEarly => self.inner.purge(later(now, 1), limit).await,
            Fault::PurgesWithoutLimit => self.inner.purge(now, u32::MAX).await,
            Fault::PurgesInWordsOnly => Ok(u32::from(now.as_secs() >= NOW) * limit.min(3)),
            _ => self.inner.purge(now, limit).await,
        }
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        if self.is(Fault::FeedNeverWakes) && after.is_some() {
            return std::future::pending().await;
        }
        match self.inner.changes(after).await? {
            Changes::Lost { next } if after.is_some() && self.is(Fault::FeedHidesThatItLost) => {
                let recent = Cursor::new(next.number() - 10);
                self.inner.changes(Some(recent)).await
            }
            Changes::Lost { next } if self.is(Fault::FeedBeginsWithEvents) => Ok(Changes::Events {
                dead: Vec::new(),
                next,
            }),
            told => Ok(told),
        }
    }
}

/// The moment at which the suite plays.
const NOW: u64 = 4_102_444_800;

fn later(time: Timestamp, secs: u64) -> Timestamp {
    time.saturating_add(std::time::Duration::from_secs(secs))
}

struct WrongStores(Fault);

impl Stores for WrongStores {
    type Store = Wrong;

    async fn fresh(&self) -> Wrong {
        Wrong::new(self.0)
    }

    async fn reopen(&self, store: Wrong) -> Option<Wrong> {
        Some(match self.0 {
            Fault::ForgetsOnReopening => Wrong::new(self.0),
            _ => store,
        })
    }
}

/// What a case says of a store with this fault; `None` if it passes.
async fn verdict(fault: Fault, case: &str) -> Option<String> {
    let case = conformance::cases::<WrongStores>()
        .into_iter()
        .find(|known| known.name() == case)
        .expect("the suite has this case");
    let ran = tokio::spawn(async move { case.run(&WrongStores(fault)).await }).await;
    let panic = ran.err()?.into_panic();
    let sentence = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    Some(sentence.expect("a case panics with a sentence"))
}

// The runtime has one thread and a clock that jumps when all wait: races are the yields above, and patience costs no time.
#[tokio::test(start_paused = true)]
async fn every_case_of_the_suite_fails_a_store_that_breaks_its_promise() {
    let wrong = [
        (
            Fault::ForgetsOwners,
            "get returns what was put",
            "get gave other owners",
        ),
        (
            Fault::KeepsAnnounce,
            "get returns what was put",
            "announce was kept",
        ),
        (
            Fault::ChangesExpiry,
            "get returns what was put",
            "get gave another expiry",
        ),
        (
            Fault::InsertOverwrites,
            "insert does not touch what stands",
            "insert wrote over a record",
        ),
        (
            Fault::InsertNeverOverwrites,
            "insert takes the place of what has expired",
            "insert said Exists over a record that has expired",
        ),
        (
            Fault::IgnoresKind,
            "kinds are separate",
            "stands under another kind only",
        ),
        (
            Fault::ReplacesStale,
            "replace needs the version that stands",
            "replace took a version that no longer stands",
        ),
        (
            Fault::ReplaceCreates,
            "replace needs a record",
            "replace wrote where nothing stands",
        ),
        (
            Fault::CountsVersionsPerRecord,
            "versions are not used again",
            "a version of",
        ),
        (
            Fault::RemoveOnlyReads,
            "remove gives the record once",
            "remove gave a record a second time",
        ),
        (
            Fault::InsertChecksThenWrites,
            "one of many inserts wins",
            "not exactly one got Inserted",
        ),
        (
            Fault::InsertClearsThenWrites,
            "one of many inserts over an expired record wins",
            "not exactly one got Inserted",
        ),
        (
            Fault::ReplaceChecksThenWrites,
            "one of many replaces wins",
            "not exactly one got Replaced",
        ),
        (
            Fault::RemoveReadsThenWrites,
            "one of many removes wins",
            "not exactly one got it",
        ),
        (
            Fault::ForgetsOwners,
            "list names all of an owner",
            "list left out a record that stands",
        ),
        (
            Fault::ListsWithoutTheLast,
            "list names all of an owner",
            "list left out a record that stands",
        ),
        (
            Fault::ListsAfterInclusive,
            "list names all of an owner",
            "list",
        ),
        (
            Fault::ListsOneMore,
            "list names all of an owner",
            "more than its limit",
        ),
        (
            Fault::ListsAnotherOwner,
            "list names all of an owner",
            "list",
        ),
        (
            Fault::ForgetsOwnersOfWhatComesBack,
            "list follows the records",
            "put again after it had gone",
        ),
        (
            Fault::PurgesTooEarly,
            "purge forgets only what has expired",
            "purge counted records that have not expired",
        ),
        (
            Fault::PurgesWithoutLimit,
            "purge forgets only what has expired",
            "purge forgot more than its limit",
        ),
        (
            Fault::PurgesInWordsOnly,
            "purge forgets only what has expired",
            "purge counted records that it did not forget",
        ),
        (
            Fault::PurgesTheEverlasting,
            "what never expires is never purged",
            "purge counted a record that never expires",
        ),
        (
            Fault::FeedBeginsWithEvents,
            "the feed begins with lost",
            "a call without a cursor",
        ),
        (
            Fault::FeedMissesInserts,
            "the feed tells what was announced",
            "the feed did not tell an announced insert",
        ),
        (
            Fault::FeedTellsEveryWrite,
            "the feed tells nothing else",
            "the feed told a write that was not announced",
        ),
        (
            Fault::FeedNeverWakes,
            "the feed wakes all who wait",
            "was not told what died",
        ),
        (
            Fault::FeedHidesThatItLost,
            "the feed never leaves out in silence",
            "did not say Lost",
        ),
        (
            Fault::ForgetsOnReopening,
            "reopening keeps the records",
            "does not hold what was answered",
        ),
        (
            Fault::ForgetsOnReopening,
            "reopening does not use versions again",
            "used a version of a key again",
        ),
        (
            Fault::ForgetsOnReopening,
            "reopening does not hide a death",
            "left out a death",
        ),
    ];
    for (fault, case, expected) in wrong {
        let sentence = verdict(fault, case)
            .await
            .unwrap_or_else(|| panic!("{fault:?} passes the case {case:?}"));
        assert!(
            sentence.contains(expected),
            "{fault:?} fails {case:?} for another reason: {sentence}"
        );
    }
    let failed: BTreeSet<_> = wrong.iter().map(|(_, case, _)| *case).collect();
    for case in conformance::cases::<WrongStores>() {
        assert!(
            failed.contains(case.name()),
            "no wrong store fails {:?}",
            case.name()
        );
        assert_eq!(
            verdict(Fault::None, case.name()).await,
            None,
            "the store without a fault fails"
        );
    }
}

// What SQLite adds: one opener, one commit for many, and nothing answered that can be lost.

type Asked<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

fn key(number: u64) -> Key {
    Key::new(Kind::Grant, Digest::of("stores", &number.to_be_bytes()))
}

fn owner() -> Owner {
    Digest::of("owner", b"alice")
}

fn record(json: &'static str) -> Record {
    let mut record = Record::new(Bytes::from_static(json.as_bytes()), Timestamp::MAX);
    record.owners = vec![owner()];
    record
}

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

/// An insert that waits to be answered: it stands in the writer's queue.
fn asked_insert(store: &SqliteStore, number: u64) -> Asked<Insert> {
    let store = store.clone();
    let mut asked: Asked<Insert> =
        Box::pin(async move { store.insert(key(number), record("1"), now()).await });
    assert!(!is_answered(&mut asked), "no write is answered at once");
    asked
}

fn is_answered<T>(asked: &mut Asked<T>) -> bool {
    let mut nobody = Context::from_waker(Waker::noop());
    matches!(asked.as_mut().poll(&mut nobody), Poll::Ready(_))
}

/// Holds each commit until it is let go, and tells where it holds.
struct Held {
    at: mpsc::UnboundedReceiver<CommitPoint>,
    let_go: Arc<Semaphore>,
}

impl Held {
    fn each_commit(store: &SqliteStore) -> Self {
        let (tell, at) = mpsc::unbounded_channel();
        let let_go = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&let_go);
        store.on_commit(move |point| {
            let gate = Arc::clone(&gate);
            let tell = tell.clone();
            async move {
                tell.send(point).map_err(StoreError::new)?;
                gate.acquire().await.map_err(StoreError::new)?.forget();
                Ok(())
            }
        });
        Self { at, let_go }
    }

    async fn at(&mut self, point: CommitPoint) {
        assert_eq!(self.at.recv().await, Some(point));
    }

    fn let_go(&self) {
        self.let_go.add_permits(1);
    }
}

/// Another connection to the file, as an administrator would have.
async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .expect("the file is a database")
}

async fn count(path: &Path, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&mut raw(path).await)
        .await
        .expect("the query is right")
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("oauth.db");
    (folder, path)
}

fn causes(error: &StoreError) -> String {
    format!("{error:?}")
}

#[tokio::test]
async fn a_second_opening_in_the_same_process_is_refused() {
    let (folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let same_by_another_name = folder.path().join(".").join("oauth.db");
    for path in [&path, &same_by_another_name] {
        let refused = SqliteStore::open(path).await.unwrap_err();
        assert!(
            matches!(refused, SqliteOpenError::AlreadyOpen { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("is open already"));
    }
    // The refused openings have not taken anything from the first.
    store.insert(key(1), record("1"), now()).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(store.get(key(1)).await.unwrap().is_some());
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_opening_through_a_link_is_refused_and_the_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.insert(key(1), record("1"), now()).await.unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let refused = SqliteStore::open(&link).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::AlreadyOpen { .. }));
    for name in ["oauth.db", "oauth.db-wal", "oauth.db-shm", "oauth.db-lock"] {
        let metadata = std::fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

/// Starts this binary again with one test of it, for the file.
fn child(test: &str, path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("a test has a binary"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("TOWER_OAUTH_TEST_FILE", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts again");
    let stdout = child.stdout.take().expect("it is piped");
    (child, BufReader::new(stdout))
}

/// The next line of a child that begins so.
fn line(child: &mut BufReader<ChildStdout>, begin: &str) -> String {
    child
        .lines()
        .map(|line| line.expect("the child writes text"))
        // The test runner may have begun the line.
        .find_map(|line| {
            let at = line.find(begin)?;
            line.get(at..).map(str::to_owned)
        })
        .expect("the child lives until it has said so")
}

#[tokio::test]
#[ignore = "a process that other tests start"]
async fn child_that_opens_the_file() {
    let path = std::env::var_os("TOWER_OAUTH_TEST_FILE").unwrap();
    match SqliteStore::open(PathBuf::from(path)).await {
        Ok(_store) => {
            println!("child: open");
            std::io::stdin().read_line(&mut String::new()).unwrap(); // until it is killed
        }
        Err(error) => println!("child: {error}"),
    }
}

#[tokio::test]
#[ignore = "a process that other tests start"]
async fn child_that_writes_until_it_is_killed() {
    let path = std::env::var_os("TOWER_OAUTH_TEST_FILE").unwrap();
    let store = SqliteStore::open(PathBuf::from(path)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0.. {
                let number = task * 1_000_000 + number;
                let put = store.insert(key(number), record("1"), now()).await.unwrap();
                assert!(matches!(put, Insert::Inserted(_)));
                println!("child: answered {number}");
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn another_process_is_refused_until_the_first_is_killed() {
    let (_folder, path) = file();
    let (mut holder, mut says) = child("child_that_opens_the_file", &path);
    assert_eq!(line(&mut says, "child: "), "child: open");
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::AlreadyOpen { .. }));
    holder.kill().unwrap();
    holder.wait().unwrap();

    let _store = SqliteStore::open(&path).await.unwrap();
    let (mut second, mut says) = child("child_that_opens_the_file", &path);
    assert!(line(&mut says, "child: ").contains("is open already, here or in another process"));
    assert!(second.wait().unwrap().success());
}

#[tokio::test]
async fn what_was_answered_survives_the_killing_of_the_process() {
    let (_folder, path) = file();
    let (mut writer, mut says) = child("child_that_writes_until_it_is_killed", &path);
    let mut answered = Vec::new();
    while answered.len() < 300 {
        answered.push(line(&mut says, "child: answered "));
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    let rest = says.lines().map(Result::unwrap);
    answered.extend(rest.filter(|line| line.starts_with("child: answered ")));
    let store = SqliteStore::open(&path).await.unwrap();
    for answer in answered {
        let number = answer.trim_start_matches("child: answered ");
        let found = store.get(key(number.parse().unwrap())).await.unwrap();
        assert!(found.is_some(), "{answer}, but it is gone");
    }
}

#[tokio::test]
async fn writes_that_wait_share_one_commit_and_none_is_answered_before_it() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let mut held = Held::each_commit(&store);

    let mut first = asked_insert(&store, 0);
    held.at(CommitPoint::Before).await;
    let mut fifty: Vec<_> = (1..=50)
        .map(|number| asked_insert(&store, number))
        .collect();
    assert!(!is_answered(&mut first));
    assert_eq!(
        store.get(key(0)).await.unwrap(),
        None,
        "what is not committed is not seen"
    );
    held.let_go();
    held.at(CommitPoint::After).await;
    assert!(
        !is_answered(&mut first),
        "the answer follows the commit, it does not race with it"
    );
    held.let_go();
    assert!(matches!(first.await.unwrap(), Insert::Inserted(_)));

    held.at(CommitPoint::Before).await;
    assert!(!fifty.iter_mut().any(is_answered));
    assert_eq!(store.get(key(1)).await.unwrap(), None);
    held.let_go();
    held.at(CommitPoint::After).await;
    assert!(!fifty.iter_mut().any(is_answered));
    assert!(store.get(key(50)).await.unwrap().is_some());
    held.let_go();
    for asked in fifty {
        assert!(matches!(asked.await.unwrap(), Insert::Inserted(_)));
    }
    assert!(
        held.at.try_recv().is_err(),
        "fifty answers needed more than one commit"
    );
}

#[tokio::test]
async fn a_commit_that_fails_fails_its_whole_group_and_nothing_of_it_stands() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let Insert::Inserted(read) = store.insert(key(0), record("0"), now()).await.unwrap() else {
        panic!("nothing stood there");
    };
    let before = store.get(key(0)).await.unwrap();
    let Changes::Lost { next: cursor } = store.changes(None).await.unwrap() else {
        panic!("a first call says Lost");
    };

    // The first group is held, so that all others are in the second; that one fails.
    let mut held = Held::each_commit(&store);
    let first = asked_insert(&store, 99);
    held.at(CommitPoint::Before).await;
    let mut replace: Asked<Replace> = Box::pin({
        let store = store.clone();
        async move {
            let mut dead = record("2");
            dead.announce = true;
            store.replace(key(0), read, dead).await
        }
    });
    assert!(!is_answered(&mut replace));
    let inserts: Vec<_> = (1..10).map(|number| asked_insert(&store, number)).collect();
    store.on_commit(|point| async move {
        match point {
            CommitPoint::Before => Err(StoreError::new("the disk is full")),
            CommitPoint::After => Ok(()),
        }
    });
    held.let_go();
    assert!(matches!(first.await.unwrap(), Insert::Inserted(_)));

    assert!(causes(&replace.await.unwrap_err()).contains("the disk is full"));
    for insert in inserts {
        assert!(causes(&insert.await.unwrap_err()).contains("the disk is full"));
    }
    assert_eq!(store.get(key(0)).await.unwrap(), before);
    for number in 1..10 {
        assert_eq!(store.get(key(number)).await.unwrap(), None);
    }

    // The store goes on, and the feed has told nothing of what has not happened.
    store.on_commit(|_| async { Ok(()) });
    assert!(store.remove(key(99)).await.unwrap().is_some());
    assert!(matches!(
        store.replace(key(0), read, record("3")).await.unwrap(),
        Replace::Replaced(_)
    ));
    let Changes::Events { dead, .. } = store.changes(Some(cursor)).await.unwrap() else {
        panic!("next to nothing has happened");
    };
    assert_eq!(dead, [key(99)]);
}

#[tokio::test]
async fn a_commit_that_sqlite_refuses_and_a_statement_that_fails_fail_the_whole_group() {
    let tampering = [
        // A deferred foreign key fails at COMMIT.
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER fail AFTER INSERT ON records WHEN NEW.kind = 'device'
         BEGIN INSERT INTO child VALUES (1); END",
        "CREATE TRIGGER fail AFTER INSERT ON records WHEN NEW.kind = 'device'
         BEGIN SELECT RAISE(ABORT, 'no device today'); END",
        // This one takes the transaction with it.
        "CREATE TRIGGER fail AFTER INSERT ON records WHEN NEW.kind = 'device'
         BEGIN SELECT RAISE(ROLLBACK, 'no device today'); END",
    ];
    for sql in tampering {
        let (_folder, path) = file();
        let store = SqliteStore::open(&path).await.unwrap();
        let mut other = raw(&path).await;
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        other.close().await.unwrap();

        let mut held = Held::each_commit(&store);
        let first = asked_insert(&store, 0);
        held.at(CommitPoint::Before).await;
        let mut good: Vec<_> = (1..10).map(|number| asked_insert(&store, number)).collect();
        let mut bad: Asked<Insert> = Box::pin({
            let store = store.clone();
            async move {
                let device = Key::new(Kind::Device, key(0).digest);
                store.insert(device, record("1"), now()).await
            }
        });
        assert!(!is_answered(&mut bad));
        good.push(asked_insert(&store, 10));
        store.on_commit(|_| async { Ok(()) });
        held.let_go();
        assert!(matches!(first.await.unwrap(), Insert::Inserted(_)));
        bad.await.unwrap_err();
        for asked in good {
            asked.await.unwrap_err();
        }
        assert_eq!(count(&path, "SELECT count(*) FROM records").await, 1);
        assert_eq!(count(&path, "SELECT count(*) FROM owners").await, 1);
        let again = store.insert(key(1), record("1"), now()).await.unwrap();
        assert!(
            matches!(again, Insert::Inserted(_)),
            "the store has not recovered"
        );
    }
}

#[tokio::test]
async fn an_error_after_the_commit_loses_the_answer_and_not_the_write() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.on_commit(|point| async move {
        match point {
            CommitPoint::Before => Ok(()),
            CommitPoint::After => Err(StoreError::new("nobody hears")),
        }
    });
    store.insert(key(0), record("1"), now()).await.unwrap_err();
    assert!(store.get(key(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_away_harms_nobody() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let mut held = Held::each_commit(&store);
    drop(asked_insert(&store, 0));
    held.at(CommitPoint::Before).await;
    drop(asked_insert(&store, 1));
    let last = asked_insert(&store, 2);
    store.on_commit(|_| async { Ok(()) });
    held.let_go();
    assert!(matches!(last.await.unwrap(), Insert::Inserted(_)));
    for number in 0..3 {
        assert!(store.get(key(number)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn closing_makes_the_writes_that_wait_and_then_every_clone_answers_with_an_error() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let clone = store.clone();
    let waiting: Vec<_> = (0..50).map(|number| asked_insert(&store, number)).collect();
    store.close().await;
    for asked in waiting {
        assert!(matches!(asked.await.unwrap(), Insert::Inserted(_)));
    }
    clone.insert(key(99), record("1"), now()).await.unwrap_err();
    clone.get(key(0)).await.unwrap_err();
    clone.changes(None).await.unwrap_err();
    clone.close().await;
    let wal = path.with_extension("db-wal");
    assert!(!wal.exists(), "the log was not taken into the file");

    let store = SqliteStore::open(&path).await.unwrap();
    for number in 0..50 {
        assert!(store.get(key(number)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_writer_ends_and_the_file_is_free_after_the_last_clone_is_dropped() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let clone = store.clone();
    drop(asked_insert(&store, 0));
    drop(store);
    clone.insert(key(1), record("1"), now()).await.unwrap();
    drop(clone);
    let store = loop {
        match SqliteStore::open(&path).await {
            Err(SqliteOpenError::AlreadyOpen { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    assert!(store.get(key(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_of_a_newer_schema_is_refused() {
    let (_folder, path) = file();
    SqliteStore::open(&path).await.unwrap().close().await;
    let mut other = raw(&path).await;
    sqlx::raw_sql("PRAGMA user_version = 2")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(
        refused,
        SqliteOpenError::NewerSchema {
            found: 2,
            known: 1,
            ..
        }
    ));
}

#[tokio::test]
async fn a_database_of_something_else_is_refused_and_left_as_it_was() {
    let (_folder, path) = file();
    let mut other = raw(&path).await;
    sqlx::raw_sql("CREATE TABLE records (mine TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::NotOurs { .. }));
    assert!(before == std::fs::read(&path).unwrap());

    std::fs::write(
        &path,
        "not a database, but long enough to look like one. ".repeat(100),
    )
    .unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::Failed { .. }));
    let nowhere = path.join("no").join("folder.db");
    let refused = SqliteStore::open(&nowhere).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::Failed { .. }));
}

#[tokio::test]
async fn purging_forgets_records_and_owners_by_the_index() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    for number in 0..10 {
        let mut record = record("1");
        record.expires_at = later(now(), number);
        store.insert(key(number), record, now()).await.unwrap();
    }
    assert_eq!(store.purge(later(now(), 6), 4).await.unwrap(), 4);
    for number in 0..4 {
        assert_eq!(
            store.get(key(number)).await.unwrap(),
            None,
            "the oldest go first"
        );
    }
    assert_eq!(store.purge(later(now(), 6), 4).await.unwrap(), 3);
    assert_eq!(store.purge(later(now(), 6), 4).await.unwrap(), 0);
    assert_eq!(count(&path, "SELECT count(*) FROM records").await, 3);
    assert_eq!(count(&path, "SELECT count(*) FROM owners").await, 3);
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
        "EXPLAIN QUERY PLAN SELECT id FROM records \
         WHERE expires_at <= 7 AND expires_at < 9223372036854775807 ORDER BY expires_at LIMIT 9",
    )
    .fetch_all(&mut raw(&path).await)
    .await
    .unwrap();
    assert!(plan[0].3.contains("records_by_expiry"), "{plan:?}");
}

#[tokio::test]
async fn the_file_has_a_write_ahead_log() {
    let (_folder, path) = file();
    let _store = SqliteStore::open(&path).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut raw(&path).await)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_paused_and_jumps_does_not_disturb_the_store() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let readers = (0..20).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            store.insert(key(number), record("1"), now()).await.unwrap();
            store.get(key(number)).await.unwrap().unwrap();
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
}
