//! The one task that writes to a SQLite file: all writes that wait become one transaction, and share its sync.

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Sqlite};
use tokio::sync::{mpsc, oneshot, watch};

pub(super) use self::commit_point::CommitHook;
#[cfg(feature = "testing")]
pub use self::commit_point::CommitPoint;
#[cfg(not(feature = "testing"))]
use self::commit_point::CommitPoint;
use super::feed::Feed;
use super::sqlite::{BoxError, record};
use super::{Insert, Key, Record, Replace, StoreError, Version};
use crate::types::Timestamp;

/// How many writes may wait; who comes then waits until there is room.
pub(super) const QUEUE: usize = 1024;
/// How many writes are in one transaction at most.
const GROUP: usize = 256;

pub(super) struct Job {
    pub(super) write: Write,
    /// The caller may have gone away: then nobody hears the answer.
    pub(super) answer: oneshot::Sender<Result<Outcome, StoreError>>,
}

pub(super) enum Write {
    Insert {
        key: Key,
        record: Record,
        now: Timestamp,
    },
    Replace {
        key: Key,
        read: Version,
        record: Record,
    },
    Remove {
        key: Key,
    },
    Purge {
        now: Timestamp,
        limit: u32,
    },
    /// Ends the writer when all that was asked before is done.
    Close,
}

impl Write {
    /// Whether it puts something that nobody owns.
    fn is_plain(&self) -> bool {
        matches!(self, Self::Insert { record, .. } if record.owners.is_empty())
    }
}

pub(super) enum Outcome {
    Insert(Insert),
    Replace(Replace),
    Remove(Option<Record>),
    Purge(u32),
    Closing,
}

/// The fields are dropped in this order: the file is free when the connection is gone, and `ended` says so afterwards.
pub(super) struct Writer {
    pub(super) jobs: mpsc::Receiver<Job>,
    /// None after a failure. To close a connection is the rollback that works whatever state an error has left it in.
    pub(super) connection: Option<SqliteConnection>,
    pub(super) options: SqliteConnectOptions,
    pub(super) feed: Arc<Feed>,
    pub(super) hook: Arc<CommitHook>,
    pub(super) _lock: File,
    pub(super) _ending: watch::Sender<()>,
}

impl Writer {
    /// Writes until the last handle of the store is dropped, or until it is closed.
    pub(super) async fn run(mut self) {
        let mut waiting = Vec::new();
        while self.jobs.recv_many(&mut waiting, GROUP).await > 0 {
            let (writes, answers): (Vec<_>, Vec<_>) =
                waiting.drain(..).map(|job| (job.write, job.answer)).unzip();
            match self.write(&writes).await {
                Ok(outcomes) => {
                    for (answer, outcome) in answers.into_iter().zip(outcomes) {
                        let _ = answer.send(Ok(outcome));
                    }
                }
                Err(cause) => {
                    let cause: Arc<dyn Error + Send + Sync> = Arc::from(cause);
                    for answer in answers {
                        let _ = answer.send(Err(StoreError::new(Arc::clone(&cause))));
                    }
                }
            }
            if writes.iter().any(|write| matches!(write, Write::Close)) {
                self.jobs.close();
            }
            // Who is answered often asks again at once: those writes are to share the next sync, and not to wait for one of a few others.
            tokio::task::yield_now().await;
        }
        self.disconnect().await;
    }

    async fn write(&mut self, writes: &[Write]) -> Result<Vec<Outcome>, BoxError> {
        match self.commit(writes).await {
            Ok(outcomes) => {
                self.feed.announce(deaths(writes, &outcomes))?;
                self.hook.at(CommitPoint::After).await?;
                Ok(outcomes)
            }
            Err(error) => {
                self.disconnect().await;
                Err(error)
            }
        }
    }

    async fn commit(&mut self, writes: &[Write]) -> Result<Vec<Outcome>, BoxError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.options.connect().await?),
        };
        // Versions come from the file, so that none is used twice, whatever happened to the group before.
        let count = i64::try_from(writes.len())?;
        let last: i64 = sqlx::query_scalar(
            "BEGIN IMMEDIATE; UPDATE meta SET last_version = last_version + ? RETURNING last_version",
        )
        .bind(count)
        .fetch_one(&mut *connection)
        .await?;
        let outcomes = apply_all(connection, writes, last - count + 1).await?;
        self.hook.at(CommitPoint::Before).await?;
        sqlx::query("COMMIT").execute(connection).await?;
        Ok(outcomes)
    }

    async fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            // What was not committed is gone with the connection, whether it says goodbye or not.
            let _ = connection.close().await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whoever caches must not wait for news that nobody will bring.
        self.feed.close("the store is closed");
    }
}

fn deaths(writes: &[Write], outcomes: &[Outcome]) -> impl Iterator<Item = Key> {
    writes.iter().zip(outcomes).filter_map(|both| match both {
        (Write::Insert { key, record, .. }, Outcome::Insert(Insert::Inserted(_)))
        | (Write::Replace { key, record, .. }, Outcome::Replace(Replace::Replaced(_)))
            if record.announce =>
        {
            Some(*key)
        }
        (Write::Remove { key }, Outcome::Remove(Some(_))) => Some(*key),
        _ => None,
    })
}

/// Does the writes in their order, with the versions from this one on.
///
/// Each statement goes to the thread of the connection and back, which takes longer than what it does. So neighbours that put something
/// without owners, as all tokens are, share one; as many as a power of two, so that a few statements are kept prepared for all.
async fn apply_all(
    connection: &mut SqliteConnection,
    writes: &[Write],
    mut version: i64,
) -> Result<Vec<Outcome>, BoxError> {
    let mut outcomes = Vec::with_capacity(writes.len());
    for mut alike in writes.chunk_by(|one, next| one.is_plain() && next.is_plain()) {
        while let Some(power) = alike.len().checked_ilog2() {
            let (part, rest) = alike.split_at(1 << power);
            let put = match part {
                [_] => HashSet::new(),
                several => put_all(connection, several, version).await?,
            };
            for write in part {
                outcomes.push(if put.contains(&version) {
                    Outcome::Insert(Insert::Inserted(Version::new(version.cast_unsigned())))
                } else {
                    apply(connection, write, version).await?
                });
                version += 1;
            }
            alike = rest;
        }
    }
    Ok(outcomes)
}

/// Puts what stands nowhere yet, and says by their versions which that was.
async fn put_all(
    connection: &mut SqliteConnection,
    writes: &[Write],
    first: i64,
) -> Result<HashSet<i64>, BoxError> {
    let rows = writes.iter().zip(first..).filter_map(|row| match row {
        (Write::Insert { key, record, .. }, version) => Some((key, record, version)),
        _ => None,
    });
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO records (kind, digest, version, expires_at, owners, value) ",
    );
    insert.push_values(rows, |mut row, (key, record, version)| {
        row.push_bind(key.kind.as_str())
            .push_bind(key.digest.as_bytes().as_slice())
            .push_bind(version)
            .push_bind(signed(record.expires_at))
            .push_bind([].as_slice())
            .push_bind(&*record.value);
    });
    insert.push(" ON CONFLICT (kind, digest) DO NOTHING RETURNING version");
    let put = insert.build_query_scalar().fetch_all(connection).await?;
    Ok(put.into_iter().collect())
}

async fn apply(
    connection: &mut SqliteConnection,
    write: &Write,
    version: i64,
) -> Result<Outcome, BoxError> {
    Ok(match write {
        Write::Insert { key, record, now } => {
            let inserted = put(connection, *key, record, version).await?
                || (forget_expired(connection, *key, *now).await?
                    && put(connection, *key, record, version).await?);
            Outcome::Insert(if inserted {
                Insert::Inserted(Version::new(version.cast_unsigned()))
            } else {
                Insert::Exists
            })
        }
        Write::Replace { key, read, record } => Outcome::Replace(
            if replace(connection, (*key, *read), record, version).await? {
                Replace::Replaced(Version::new(version.cast_unsigned()))
            } else {
                Replace::Changed
            },
        ),
        Write::Remove { key } => Outcome::Remove(remove(connection, *key).await?),
        Write::Purge { now, limit } => Outcome::Purge(purge(connection, *now, *limit).await?),
        Write::Close => Outcome::Closing,
    })
}

async fn put(
    connection: &mut SqliteConnection,
    key: Key,
    record: &Record,
    version: i64,
) -> Result<bool, BoxError> {
    let owners: Vec<u8> = record
        .owners
        .iter()
        .flat_map(|owner| *owner.as_bytes())
        .collect();
    let done = sqlx::query(
        "INSERT INTO records (kind, digest, version, expires_at, owners, value) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (kind, digest) DO NOTHING",
    )
    .bind(key.kind.as_str())
    .bind(key.digest.as_bytes().as_slice())
    .bind(version)
    .bind(signed(record.expires_at))
    .bind(owners)
    .bind(&*record.value)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    for owner in &record.owners {
        sqlx::query(
            "INSERT INTO owners (kind, owner, digest, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(key.kind.as_str())
        .bind(owner.as_bytes().as_slice())
        .bind(key.digest.as_bytes().as_slice())
        .bind(done.last_insert_rowid())
        .execute(&mut *connection)
        .await?;
    }
    Ok(true)
}

async fn forget_expired(
    connection: &mut SqliteConnection,
    key: Key,
    now: Timestamp,
) -> Result<bool, BoxError> {
    let done = sqlx::query("DELETE FROM records WHERE kind = ? AND digest = ? AND expires_at <= ?")
        .bind(key.kind.as_str())
        .bind(key.digest.as_bytes().as_slice())
        .bind(signed(now))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Owners stay as they are: a replace never changes them.
async fn replace(
    connection: &mut SqliteConnection,
    (key, read): (Key, Version),
    record: &Record,
    version: i64,
) -> Result<bool, BoxError> {
    let Ok(read) = i64::try_from(read.number()) else {
        return Ok(false); // none of ours
    };
    let done = sqlx::query(
        "UPDATE records SET version = ?, expires_at = ?, value = ? WHERE kind = ? AND digest = ? AND version = ?",
    )
    .bind(version)
    .bind(signed(record.expires_at))
    .bind(&*record.value)
    .bind(key.kind.as_str())
    .bind(key.digest.as_bytes().as_slice())
    .bind(read)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn remove(connection: &mut SqliteConnection, key: Key) -> Result<Option<Record>, BoxError> {
    sqlx::query(
        "DELETE FROM records WHERE kind = ? AND digest = ? RETURNING value, expires_at, owners",
    )
    .bind(key.kind.as_str())
    .bind(key.digest.as_bytes().as_slice())
    .fetch_optional(connection)
    .await?
    .map(|row| record(&row))
    .transpose()
}

async fn purge(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: u32,
) -> Result<u32, BoxError> {
    // The second condition says that what never expires is not meant, and lets the index over all else be used.
    let done = sqlx::query(
        "DELETE FROM records WHERE id IN (SELECT id FROM records \
         WHERE expires_at <= ? AND expires_at < 9223372036854775807 ORDER BY expires_at LIMIT ?)",
    )
    .bind(signed(now))
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(u32::try_from(done.rows_affected())?)
}

fn signed(time: Timestamp) -> i64 {
    time.as_secs().cast_signed() // at most i64::MAX: see Timestamp::MAX
}

#[cfg(feature = "testing")]
mod commit_point {
    use std::fmt;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex, PoisonError};

    use crate::store::StoreError;

    /// Where in a group of writes a hook of [`SqliteStore::on_commit`](super::super::SqliteStore::on_commit) is called
    /// (feature `testing`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[expect(clippy::exhaustive_enums, reason = "there is nothing between the two")]
    pub enum CommitPoint {
        /// Each write of the group is done, and nothing is committed.
        Before,
        /// All is committed, and nobody has been answered.
        After,
    }

    type Answer = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
    type Hook = Arc<dyn Fn(CommitPoint) -> Answer + Send + Sync>;

    #[derive(Default)]
    pub(in crate::store) struct CommitHook(Mutex<Option<Hook>>);

    impl CommitHook {
        pub(in crate::store) fn set<H, F>(&self, hook: H)
        where
            H: Fn(CommitPoint) -> F + Send + Sync + 'static,
            F: Future<Output = Result<(), StoreError>> + Send + 'static,
        {
            let hook: Hook = Arc::new(move |point| Box::pin(hook(point)));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(hook);
        }

        pub(in crate::store) async fn at(&self, point: CommitPoint) -> Result<(), StoreError> {
            let hook = self
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            match hook {
                Some(hook) => hook(point).await,
                None => Ok(()),
            }
        }
    }

    impl fmt::Debug for CommitHook {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("CommitHook(…)")
        }
    }
}

/// Without the feature `testing` nothing can be hooked in.
#[cfg(not(feature = "testing"))]
mod commit_point {
    use crate::store::StoreError;

    pub(in crate::store) enum CommitPoint {
        Before,
        After,
    }

    #[derive(Default)]
    pub(in crate::store) struct CommitHook(());

    impl CommitHook {
        pub(in crate::store) async fn at(&self, _: CommitPoint) -> Result<(), StoreError> {
            Ok(())
        }
    }
}
