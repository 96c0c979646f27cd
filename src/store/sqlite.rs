//! The embedded durable store: one SQLite file, opened by one process.
//!
//! Reads have a few connections of their own. Writes wait for one task, which does all that wait in one transaction and answers
//! when the sync of that transaction is over: see `sqlite_writer.rs`. Nothing here asks a clock or a timer.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};

use super::feed::Feed;
use super::sqlite_writer::{CommitHook, Job, Outcome, QUEUE, Write, Writer};
use super::{
    Changes, Cursor, Insert, Key, Listing, Owner, Page, Record, Replace, Store, StoreError, Version,
};
use crate::types::{Digest, Timestamp};

/// `toau`, in the header of every file of ours.
const APPLICATION_ID: i64 = 0x746f_6175;
/// What the tables of this version are; a file with a higher number is refused.
const SCHEMA_VERSION: i64 = 1;
/// How many reads run at once.
const READERS: u32 = 4;

// A table with row ids, since values are longer than SQLite likes in its key trees. `owners` beside a record is what was put, in
// its order; the table is the index over it. `meta` numbers the writings of all records, for good.
const SCHEMA: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        last_version INTEGER NOT NULL
    ) STRICT;
    INSERT INTO meta (one, last_version) VALUES (1, 0);
    CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        digest BLOB NOT NULL,
        version INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        owners BLOB NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (kind, digest)
    ) STRICT;
    CREATE INDEX records_by_expiry ON records (expires_at) WHERE expires_at < 9223372036854775807;
    CREATE TABLE owners (
        kind TEXT NOT NULL,
        owner BLOB NOT NULL,
        digest BLOB NOT NULL,
        record INTEGER NOT NULL REFERENCES records (id) ON DELETE CASCADE,
        PRIMARY KEY (kind, owner, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX owners_by_record ON owners (record);
    PRAGMA application_id = 0x746f6175;
    PRAGMA user_version = 1;
    COMMIT;
";

/// Records in one SQLite file: the durable store for a single node.
///
/// What was answered survives the death of the process and of the machine: the file is in WAL mode with `synchronous=FULL`, and a
/// write is answered only after the sync of the transaction it is in. Writes that wait at the same time share one transaction,
/// and therefore one sync. If that transaction fails, each of them fails and none stands. A write whose caller has gone away may
/// still be made.
///
/// **One process opens one file, once**; clones are the same store. Next to `oauth.db` stand `oauth.db-wal` and `oauth.db-shm`,
/// which belong to it, and `oauth.db-lock`, which says that it is open and stays empty. On Unix the files are made for their owner
/// only. The feed of changes lives in this process: after the file was opened again, old cursors are told `Lost`.
///
/// A task of the Tokio runtime in which the store was opened does the writing. It ends when the last clone is dropped, a moment
/// later; [`close`](Self::close) waits for it.
///
/// ```no_run
/// # async fn open() -> Result<(), tower_oauth::store::SqliteOpenError> {
/// use tower_oauth::store::SqliteStore;
///
/// let store = SqliteStore::open("oauth.db").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    path: PathBuf,
    readers: Readers,
    queue: mpsc::Sender<Job>,
    feed: Arc<Feed>,
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "only tests set a hook")
    )]
    hook: Arc<CommitHook>,
    /// Closed once the writer has ended and the file may be opened again.
    ended: watch::Receiver<()>,
}

impl SqliteStore {
    /// Opens the file, and makes it if it is not there. Its folder must exist.
    ///
    /// # Errors
    /// [`SqliteOpenError`] says why not.
    pub async fn open(path: impl AsRef<Path> + Send) -> Result<Self, SqliteOpenError> {
        let path = path.as_ref().to_owned();
        let failed = |source: BoxError| SqliteOpenError::Failed {
            path: path.clone(),
            source,
        };
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| failed(e.into()))?;
        let file = resolve(&path).map_err(|e| failed(e.into()))?;
        let lock = lock(&file)
            .map_err(|e| failed(e.into()))?
            .ok_or_else(|| SqliteOpenError::AlreadyOpen { path: path.clone() })?;
        // Only under the lock: to open and close a file that SQLite has open in this process would take its locks away.
        create(&file).map_err(|e| failed(e.into()))?;

        let options = options(&file);
        let mut connection = options.connect().await.map_err(|e| failed(e.into()))?;
        let last_version = match prepare(&mut connection).await {
            Ok(Found::Ours { last_version }) => last_version,
            Ok(Found::Newer(found)) => {
                return Err(SqliteOpenError::NewerSchema {
                    path,
                    found,
                    known: SCHEMA_VERSION,
                });
            }
            Ok(Found::Foreign) => return Err(SqliteOpenError::NotOurs { path }),
            Err(source) => return Err(failed(source)),
        };

        let (queue, jobs) = mpsc::channel(QUEUE);
        let (ending, ended) = watch::channel(());
        let feed = Arc::new(Feed::starting_at(last_version));
        let hook = Arc::new(CommitHook::default());
        let writer = Writer {
            jobs,
            connection: Some(connection),
            options: options.clone(),
            feed: Arc::clone(&feed),
            hook: Arc::clone(&hook),
            _lock: lock,
            _ending: ending,
        };
        runtime.spawn(writer.run());
        Ok(Self(Arc::new(Inner {
            path,
            readers: Readers {
                options: options.pragma("query_only", "ON"),
                idle: Mutex::default(),
                permits: Semaphore::new(READERS as usize),
            },
            queue,
            feed,
            hook,
            ended,
        })))
    }

    /// Makes the writes that wait, closes the file and lets go of it; then it can be opened again. From now on every clone
    /// answers with an error.
    pub async fn close(&self) {
        // The writer's connection is the last one, so that it takes the write-ahead log into the file.
        self.0.readers.close().await;
        // An error would say that the writer has ended before.
        let _ = self.write(Write::Close).await;
        let mut ended = self.0.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    async fn write(&self, write: Write) -> Result<Outcome, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0
            .queue
            .send(Job { write, answer })
            .await
            .map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

#[cfg(feature = "testing")]
impl SqliteStore {
    /// Awaits this hook right before and right after each `COMMIT`, instead of the hook that was set before (feature `testing`).
    ///
    /// While it waits before a commit, the writes of the group are neither durable nor visible, and no later write is begun; while
    /// it waits after one, they stand and are announced, but none of their callers has been answered. An error before a commit
    /// makes it fail: the group is rolled back and each caller gets [`StoreError`]. An error after it loses the answers: each
    /// caller gets [`StoreError`], and what was written stands.
    pub fn on_commit<H, F>(&self, hook: H)
    where
        H: Fn(super::CommitPoint) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        self.0.hook.set(hook);
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        match self.write(Write::Insert { key, record, now }).await? {
            Outcome::Insert(outcome) => Ok(outcome),
            _ => Err(mixed_up()),
        }
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        let mut reader = self.0.readers.reader().await?;
        let row = sqlx::query(
            "SELECT value, expires_at, owners, version FROM records WHERE kind = ? AND digest = ?",
        )
        .bind(key.kind.as_str())
        .bind(key.digest.as_bytes().as_slice())
        .fetch_optional(&mut reader.connection)
        .await
        .map_err(StoreError::new)?;
        reader.give_back();
        let Some(row) = row else { return Ok(None) };
        let version = row.try_get::<i64, _>(3).map_err(StoreError::new)?;
        let record = record(&row).map_err(StoreError::new)?;
        Ok(Some((record, Version::new(version.cast_unsigned()))))
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        match self.write(Write::Replace { key, read, record }).await? {
            Outcome::Replace(outcome) => Ok(outcome),
            _ => Err(mixed_up()),
        }
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        match self.write(Write::Remove { key }).await? {
            Outcome::Remove(record) => Ok(record),
            _ => Err(mixed_up()),
        }
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        let limit = listing.limit.max(1);
        let mut reader = self.0.readers.reader().await?;
        let rows = sqlx::query(
            "SELECT digest FROM owners WHERE kind = ? AND owner = ? AND digest > ? ORDER BY digest LIMIT ?",
        )
        .bind(listing.kind.as_str())
        .bind(listing.owner.as_bytes().as_slice())
        // Every digest is greater than no bytes at all.
        .bind(listing.after.as_ref().map_or([].as_slice(), |after| after.as_bytes()))
        .bind(i64::from(limit))
        .fetch_all(&mut reader.connection)
        .await
        .map_err(StoreError::new)?;
        reader.give_back();
        let digests = rows
            .iter()
            .map(|row| Ok(digest(row.try_get(0)?)?))
            .collect::<Result<Vec<_>, BoxError>>()
            .map_err(StoreError::new)?;
        let full = u32::try_from(digests.len()).is_ok_and(|found| found == limit);
        let next = digests.last().copied().filter(|_| full);
        Ok(Page { digests, next })
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        match self.write(Write::Purge { now, limit }).await? {
            Outcome::Purge(count) => Ok(count),
            _ => Err(mixed_up()),
        }
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.0.feed.changes(after).await
    }
}

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteOpenError {
    /// It is open already, in this process or in another.
    #[error(
        "{path:?} is open already, here or in another process; one process opens one SQLite file, once (clone the store instead)"
    )]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this crate has written it.
    #[error(
        "{path:?} has the tables of a newer tower-oauth (schema {found}; this one knows {known})"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The highest that is known.
        known: i64,
    },
    /// It is a database of something else.
    #[error("{path:?} is a database of something else; give tower-oauth a file of its own")]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file system, SQLite or the lack of a Tokio runtime is in the way.
    #[error("{path:?} cannot be opened")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The record of a row that begins with value, expiry and owners.
pub(super) fn record(row: &SqliteRow) -> Result<Record, BoxError> {
    let value: Vec<u8> = row.try_get(0)?;
    let expires_at = u64::try_from(row.try_get::<i64, _>(1)?)?;
    let mut record = Record::new(Bytes::from(value), Timestamp::from_secs(expires_at));
    let owners: &[u8] = row.try_get(2)?;
    record.owners = owners
        .chunks(32)
        .map(digest)
        .collect::<Result<Vec<Owner>, _>>()?;
    Ok(record)
}

fn digest(bytes: &[u8]) -> Result<Digest, std::array::TryFromSliceError> {
    bytes.try_into().map(Digest::from_bytes)
}

fn closed() -> StoreError {
    StoreError::new("the store is closed, or the runtime it was opened in is gone")
}

fn mixed_up() -> StoreError {
    StoreError::new("the writer answered another question")
}

/// One name for one file, whichever way it was written: the lock stands beside it.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = std::path::absolute(path)?;
            match (path.parent(), path.file_name()) {
                (Some(folder), Some(name)) => Ok(folder.canonicalize()?.join(name)),
                _ => Err(error),
            }
        }
        found => found,
    }
}

/// Takes the lock that stands for the file; the operating system frees it however the process ends.
fn lock(file: &Path) -> io::Result<Option<File>> {
    let mut name = file.as_os_str().to_owned();
    name.push("-lock");
    let lock = private().create(true).truncate(false).open(name)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn create(file: &Path) -> io::Result<()> {
    match private().create_new(true).open(file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// SQLite gives the files it makes beside the database the same rights.
#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true) // owners go with their record
        .synchronous(SqliteSynchronous::Full)
        .pragma("fullfsync", "ON") // macOS: a plain fsync leaves the data in the disk's cache
}

enum Found {
    Ours { last_version: u64 },
    Newer(i64),
    Foreign,
}

/// Makes the tables of an empty file; changes nothing in one that is not ours.
async fn prepare(connection: &mut SqliteConnection) -> Result<Found, BoxError> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await?;
    let things: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await?;
    let empty = match (application, version) {
        (0, 0) if things == 0 => true,
        (APPLICATION_ID, SCHEMA_VERSION) => false,
        (APPLICATION_ID, newer) if newer > SCHEMA_VERSION => return Ok(Found::Newer(newer)),
        _ => return Ok(Found::Foreign),
    };
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut *connection)
        .await?;
    if mode != "wal" {
        return Err("the file system does not allow a write-ahead log".into());
    }
    if empty {
        sqlx::raw_sql(SCHEMA).execute(&mut *connection).await?;
    }
    let last_version: i64 = sqlx::query_scalar("SELECT last_version FROM meta")
        .fetch_one(&mut *connection)
        .await?;
    Ok(Found::Ours {
        last_version: u64::try_from(last_version)?,
    })
}

/// Connections for reads. They are not a pool of `sqlx`: that one asks the runtime's clock, and the connection, at every use.
struct Readers {
    options: SqliteConnectOptions,
    idle: Mutex<Vec<SqliteConnection>>,
    permits: Semaphore,
}

impl Readers {
    async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let idle = self.take_idle();
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(StoreError::new)?,
        };
        Ok(Reader {
            connection,
            readers: self,
            _permit: permit,
        })
    }

    fn take_idle(&self) -> Option<SqliteConnection> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    async fn close(&self) {
        // An error would say that they were closed before.
        let _all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        while let Some(connection) = self.take_idle() {
            let _ = connection.close().await; // it has nothing to lose
        }
    }
}

/// A connection in use. One that has failed, or whose caller went away in the middle, is dropped and not used again.
struct Reader<'a> {
    connection: SqliteConnection,
    readers: &'a Readers,
    _permit: SemaphorePermit<'a>,
}

impl Reader<'_> {
    fn give_back(self) {
        self.readers
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.connection);
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnection;

    use super::{APPLICATION_ID, SCHEMA, SCHEMA_VERSION, SqliteStore, options};

    async fn pragmas(connection: &mut SqliteConnection) -> (String, i64, i64, i64, i64) {
        sqlx::query_as(
            "SELECT (SELECT journal_mode FROM pragma_journal_mode), (SELECT synchronous FROM pragma_synchronous), \
             (SELECT fullfsync FROM pragma_fullfsync), (SELECT foreign_keys FROM pragma_foreign_keys), \
             (SELECT query_only FROM pragma_query_only)",
        )
        .fetch_one(connection)
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn connections_write_ahead_and_sync_in_full_and_those_for_reads_only_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oauth.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let mut writer = options(&path).connect().await.unwrap();
        // 2 is FULL.
        assert_eq!(pragmas(&mut writer).await, ("wal".into(), 2, 1, 1, 0));
        let mut reader = store.0.readers.reader().await.unwrap();
        assert_eq!(
            pragmas(&mut reader.connection).await,
            ("wal".into(), 2, 1, 1, 1)
        );
        sqlx::raw_sql("DELETE FROM records")
            .execute(&mut reader.connection)
            .await
            .unwrap_err();
    }

    #[test]
    fn the_schema_says_what_it_is() {
        assert!(SCHEMA.contains(&format!("user_version = {SCHEMA_VERSION};")));
        assert!(SCHEMA.contains(&format!("application_id = {APPLICATION_ID:#010x};")));
    }
}
