//! How a Postgres store is set up: where it keeps its records, and how long it waits.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

use super::postgres::PostgresStore;
use super::postgres_schema::{PostgresName, Table};

/// Longer than a request wants to wait, shorter than its client does.
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 10;
/// A connection that nobody has used for so long is asked whether it is alive before it is used.
const IDLE: Duration = Duration::from_secs(5);

/// Settings of a [`PostgresStore`].
///
/// ```no_run
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_oauth::store::PostgresStore;
///
/// let store = PostgresStore::builder()
///     .schema("tenant_a".parse()?)
///     .max_connections(20)
///     .connect("postgres://oauth@db.example/oauth")
///     .await?;
/// store.migrate().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PostgresStoreBuilder {
    schema: Option<PostgresName>,
    table: Option<PostgresName>,
    timeout: Option<Duration>,
    max_connections: Option<u32>,
}

impl PostgresStoreBuilder {
    /// The schema that the table is in; default `tower_oauth`. Stores over one database that differ in schema or table share nothing.
    pub fn schema(self, schema: PostgresName) -> Self {
        Self {
            schema: Some(schema),
            ..self
        }
    }

    /// The table; default `records`. Beside it stands `…_schema`, which holds the version of what the table is.
    pub fn table(self, table: PostgresName) -> Self {
        Self {
            table: Some(table),
            ..self
        }
    }

    /// How long a step of the store may take, the wait for a connection included; default 5 seconds. After that it fails, which clients
    /// are told as 503, and its connection is closed, whatever the server makes of the statement.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self
        }
    }

    /// How many connections [`connect`](Self::connect) opens at most; default 10, at least 1. One more hears what dies at other nodes.
    pub fn max_connections(self, most: u32) -> Self {
        Self {
            max_connections: Some(most),
            ..self
        }
    }

    /// A store with connections of its own to the database of this URL (`postgres://user:password@host/database`; see
    /// [`PgConnectOptions`] for what else it may say). One is opened now.
    ///
    /// # Errors
    /// [`PostgresOpenError::Failed`] if the URL is none, or nobody answers in time.
    pub async fn connect(self, url: &str) -> Result<PostgresStore, PostgresOpenError> {
        let options: PgConnectOptions = url.parse()?;
        let timeout = self.timeout.unwrap_or(TIMEOUT);
        // A little later than here, where the statement is given up: then the server lets go of it as well.
        let at_server = (timeout + timeout / 4).as_millis().max(1).to_string();
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections.unwrap_or(CONNECTIONS).max(1))
            .acquire_timeout(timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, was| {
                Box::pin(async move {
                    if was.idle_for >= IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                let at_server = at_server.clone();
                Box::pin(async move {
                    sqlx::query(
                        "SELECT set_config('statement_timeout', $1, false), \
                         set_config('default_transaction_isolation', 'read committed', false)",
                    )
                    .persistent(false)
                    .bind(at_server)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .map_err(|error| match error {
                // Whoever refuses a connection may be starting up: it was tried until now.
                sqlx::Error::PoolTimedOut => PostgresOpenError::Failed {
                    source: format!("nobody has answered within {timeout:?}").into(),
                },
                error => error.into(),
            })?;
        Ok(self.pool(pool))
    }

    /// A store over a pool of the host's own; see [`PostgresStore::new`].
    #[must_use]
    pub fn pool(self, pool: PgPool) -> PostgresStore {
        let schema = PostgresName::or_default(self.schema, "tower_oauth");
        let table = PostgresName::or_default(self.table, "records");
        let timeout = self.timeout.unwrap_or(TIMEOUT);
        PostgresStore::over(pool, Table::new(schema, table), timeout)
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresOpenError {
    /// A newer version of this crate has made the table, or changed it.
    #[error("the table {table} is of a newer tower-oauth (schema {found}; this one knows {known})")]
    NewerSchema {
        /// The table, with its schema.
        table: String,
        /// Its version.
        found: i32,
        /// The highest that is known.
        known: i32,
    },
    /// A table of this name is there, and is of something else.
    #[error("the table {table} is of something else; give tower-oauth a schema of its own")]
    NotOurs {
        /// The table, with its schema.
        table: String,
    },
    /// The network, the database or its permissions are in the way.
    #[error("the database cannot be used")]
    Failed {
        /// What failed.
        source: BoxError,
    },
}

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl From<sqlx::Error> for PostgresOpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed {
            source: error.into(),
        }
    }
}
