//! The store of many machines: one table of a PostgreSQL that they share.
//!
//! Each verb is one statement, and therefore one transaction and one round trip. What happens at the same time is the server's
//! work: a unique key, a row lock, `ON CONFLICT`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, PgPool, Postgres, Row as _, SqlStr};
use tokio::task::JoinHandle;

use super::feed::Feed;
use super::postgres_connections::{Connections, Lent};
use super::postgres_listener::Listener;
use super::postgres_open::{BoxError, PostgresOpenError, PostgresStoreBuilder};
use super::postgres_schema::Table;
use super::{
    Changes, Cursor, Insert, Key, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use crate::types::{Digest, Timestamp};

const NO_ANSWER: &str = "Postgres has not answered in time";

/// Records in a table of PostgreSQL (12 or newer): the durable store for many nodes, all equal.
///
/// [`migrate`](Self::migrate) makes the table. Every node may call it at each start.
///
/// - **What was answered is committed.** What a commit survives is up to the server's `synchronous_commit` and `fsync`, and to its
///   replication: after a failover to a replica that had not heard of a commit, what was revoked by it lives again.
/// - **Nobody waits for long.** A step that takes longer than [`timeout`](PostgresStoreBuilder::timeout) fails, whether it waits for a
///   connection, a lock or the network. A failed step may have been done all the same. A connection that has failed, or whose caller
///   went away before the answer, is closed; after a lost connection those that idle are closed too, so that the next step opens
///   one, whatever became of the server.
/// - **[`changes`](Store::changes)** hears the deaths of all nodes by `LISTEN`, in one task and on one more connection for each store, from
///   the first call on. While that connection is down, the feed fails; afterwards it says `Lost`. A network that goes away in silence is
///   noticed within 2 seconds and the timeout. `NOTIFY` makes the commits of one database wait for each other, so only writes that
///   make something dead have one.
/// - **What a server has cached it believes no longer than 2 seconds and the timeout**, 7 seconds by default, after another node has revoked
///   it, should the network go away without a word; where nothing is wrong it is some milliseconds. While the feed fails, all that is
///   cached is dropped once a second. A shorter [`timeout`](PostgresStoreBuilder::timeout) makes it less.
/// - **A pooler** that lends connections for one transaction (PgBouncer's `transaction` mode) has no `LISTEN`, and needs prepared
///   statements switched on. Give the store the server's own address, or `session` mode.
/// - **Encryption** of the connection needs one of the `tls-…` features of `sqlx`, which the host switches on.
///
/// Clones are the same store. It needs a Tokio runtime with its timer on.
///
/// ```no_run
/// # async fn open() -> Result<(), tower_oauth::store::PostgresOpenError> {
/// use tower_oauth::store::PostgresStore;
///
/// let store = PostgresStore::connect("postgres://oauth@db.example/oauth").await?;
/// store.migrate().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    connections: Connections,
    table: Table,
    timeout: Duration,
    feed: Arc<Feed>,
    /// None until somebody asks for changes.
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresStore {
    /// Schema, table, timeout, number of connections.
    pub fn builder() -> PostgresStoreBuilder {
        PostgresStoreBuilder::default()
    }

    /// A store in the table `tower_oauth.records` of this database, with connections of its own.
    ///
    /// # Errors
    /// [`PostgresOpenError::Failed`] if the URL is none, or nobody answers in time.
    pub async fn connect(url: &str) -> Result<Self, PostgresOpenError> {
        Self::builder().connect(url).await
    }

    /// A store in the table `tower_oauth.records`, over a pool that the host has already, and may use for other things.
    ///
    /// [`connect`](Self::connect) is better where nothing else needs the pool. A pool asks the server for an answer whenever a connection is
    /// given back, and the place stays taken until it has come: on a network that has gone away in silence, until TCP gives up.
    ///
    /// The pool should have `max_connections` for the requests that are served at once; `test_before_acquire(false)`, or each step has
    /// one more round trip; and, by `after_connect`, a `statement_timeout`, without which a statement that was given up here goes on at
    /// the server. The transactions of the pool must be `read committed`, which they are by default: in others a race that is lost may
    /// be an error.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self::builder().pool(pool)
    }

    pub(super) fn over(connections: Connections, table: Table, timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            connections,
            table,
            timeout,
            feed: Arc::new(Feed::not_begun()),
            listener: Mutex::default(),
        }))
    }

    /// Makes the schema and the table if they are not there. All of it or nothing; of nodes that call it at once one does it, and the
    /// others wait. Until it was called once, every step of the store fails, and says so.
    ///
    /// It needs the right to create; all else needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the table.
    ///
    /// # Errors
    /// [`PostgresOpenError`] says why not. One that is not done within [`timeout`](PostgresStoreBuilder::timeout) has failed as well.
    pub async fn migrate(&self) -> Result<(), PostgresOpenError> {
        self.in_time(async {
            let mut connection = self.0.connections.lend().await?;
            let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
            let mut transaction = connection.get()?.begin_with(begin).await?;
            self.0.table.migrate(&mut transaction).await?;
            transaction.commit().await?;
            connection.give_back();
            Ok(())
        })
        .await
    }

    /// A connection, in time.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, PostgresOpenError> {
        self.in_time(async { Ok(self.0.connections.lend().await?) })
            .await
    }

    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, PostgresOpenError>>,
    ) -> Result<T, PostgresOpenError> {
        let answer = tokio::time::timeout(self.0.timeout, asked).await;
        answer.unwrap_or_else(|_elapsed| {
            Err(PostgresOpenError::Failed {
                source: NO_ANSWER.into(),
            })
        })
    }

    /// The rows of a statement, after its commit.
    async fn rows(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let answer = tokio::time::timeout(self.0.timeout, async {
            let mut connection = self.0.connections.lend().await?;
            // All that the server says, since it commits behind the last row.
            let rows = query.fetch_all(connection.get()?).await?;
            connection.give_back();
            Ok(rows)
        });
        match answer.await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_elapsed) => {
                self.0.connections.close_idle();
                Err(StoreError::new(NO_ANSWER))
            }
        }
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            // undefined_table, invalid_schema_name
            Some("42P01" | "3F000") => {
                return StoreError::new(format!(
                    "there is no table {}: PostgresStore::migrate makes it",
                    self.0.table
                ));
            }
            // The server has ended the connection: it shuts down, or an administrator wants it so.
            Some(code) if code.starts_with("57P") => self.0.connections.close_idle(),
            None if matches!(error, sqlx::Error::Io(_)) => self.0.connections.close_idle(),
            Some(_) | None => {}
        }
        StoreError::new(error)
    }

    /// Starts the listener, once; again if the runtime it was in is gone.
    fn listen(&self) -> Result<(), StoreError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(StoreError::new)?;
        let mut listener = self
            .0
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listener.as_ref().is_none_or(JoinHandle::is_finished) {
            let new = Listener {
                options: self.0.connections.options(),
                channel: self.0.table.channel(),
                timeout: self.0.timeout,
                feed: Arc::clone(&self.0.feed),
            };
            *listener = Some(runtime.spawn(new.run()));
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let listener = self
            .listener
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener.take() {
            listener.abort();
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("table", &format_args!("{}", self.0.table))
            .finish_non_exhaustive()
    }
}

impl Store for PostgresStore {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        let (owner_1, owner_2) = match &*record.owners {
            [] => (None, None),
            [one] => (Some(one), None),
            [one, other] => (Some(one), Some(other)),
            _ => return Err(StoreError::new("a record has at most two owners")),
        };
        let query = about(self.0.table.insert.text(record.announce), &key)
            .bind(signed(record.expires_at))
            .bind(owner_1.map(Digest::as_bytes))
            .bind(owner_2.map(Digest::as_bytes))
            .bind(&*record.value)
            .bind(signed(now));
        Ok(match written(&self.rows(query).await?)? {
            Some(version) => Insert::Inserted(version),
            None => Insert::Exists,
        })
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        let rows = self.rows(about(self.0.table.get.clone(), &key)).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let version = row.try_get::<i64, _>(4).map_err(StoreError::new)?;
        let record = record(row).map_err(StoreError::new)?;
        Ok(Some((record, Version::new(version.cast_unsigned()))))
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        let query = about(self.0.table.replace.text(record.announce), &key)
            .bind(signed(record.expires_at))
            .bind(&*record.value)
            .bind(read.number().cast_signed());
        Ok(match written(&self.rows(query).await?)? {
            Some(version) => Replace::Replaced(version),
            None => Replace::Changed,
        })
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        let rows = self.rows(about(self.0.table.remove.clone(), &key)).await?;
        let gone = rows.first().map(record).transpose();
        gone.map_err(StoreError::new)
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        let limit = listing.limit.max(1);
        // Every digest is greater than no bytes at all.
        let after = listing
            .after
            .as_ref()
            .map_or(&[] as &[u8], |after| after.as_bytes());
        let query = sqlx::query(self.0.table.list.clone())
            .bind(listing.kind.as_str())
            .bind(listing.owner.as_bytes())
            .bind(after)
            .bind(i64::from(limit));
        let rows = self.rows(query).await?;
        let digests = rows
            .iter()
            .map(|row| digest(row.try_get(0)?))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StoreError::new)?;
        let full = u32::try_from(digests.len()).is_ok_and(|found| found == limit);
        let next = digests.last().copied().filter(|_| full);
        Ok(Page { digests, next })
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let query = sqlx::query(self.0.table.purge.clone())
            .bind(signed(now))
            .bind(i64::from(limit));
        let rows = self.rows(query).await?;
        let row = rows.first().ok_or_else(|| StoreError::new("no count"))?;
        let count = row.try_get::<i64, _>(0).map_err(StoreError::new)?;
        u32::try_from(count).map_err(StoreError::new)
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.listen()?;
        self.0.feed.changes(after).await
    }
}

/// A statement that begins with a key.
fn about(statement: SqlStr, key: &Key) -> Query<'_, Postgres, PgArguments> {
    sqlx::query(statement)
        .bind(key.kind.as_str())
        .bind(key.digest.as_bytes())
}

/// The version that a write has made; `None` if it has written nothing.
fn written(rows: &[PgRow]) -> Result<Option<Version>, StoreError> {
    let version = rows.first().map(|row| row.try_get::<i64, _>(0));
    let version = version.transpose().map_err(StoreError::new)?;
    Ok(version.map(|version| Version::new(version.cast_unsigned())))
}

/// The record of a row that begins with value, expiry and both owners.
fn record(row: &PgRow) -> Result<Record, BoxError> {
    let value: Vec<u8> = row.try_get(0)?;
    let expires_at = u64::try_from(row.try_get::<i64, _>(1)?)?;
    let mut record = Record::new(Bytes::from(value), Timestamp::from_secs(expires_at));
    for column in [2, 3] {
        if let Some(owner) = row.try_get::<Option<&[u8]>, _>(column)? {
            record.owners.push(digest(owner)?);
        }
    }
    Ok(record)
}

fn digest(bytes: &[u8]) -> Result<Digest, BoxError> {
    Ok(Digest::from_bytes(bytes.try_into()?))
}

fn signed(time: Timestamp) -> i64 {
    time.as_secs().cast_signed() // at most i64::MAX: see Timestamp::MAX
}
