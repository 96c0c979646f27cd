//! The connections of a Postgres store: its own, or those of the host's pool.
//!
//! A connection of its own is kept while it works, and closed at once when it has failed or its caller went away: then its place is
//! free for a new one, whatever the network makes of the old one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

/// A connection that nobody has used for so long is asked whether it is alive before it is used.
const IDLE: Duration = Duration::from_secs(5);
/// For so long a connection is used: then the name of the server is looked up again, which may have moved.
const LIFE: Duration = Duration::from_secs(30 * 60);

pub(super) enum Connections {
    Own(Own),
    Pool(PgPool),
}

pub(super) struct Own {
    options: Arc<PgConnectOptions>,
    /// How long a step may take.
    limit: Duration,
    idle: Mutex<Vec<Kept>>,
    places: Semaphore,
}

/// A connection, when it was made, and when it was last used.
struct Kept {
    connection: PgConnection,
    made: Instant,
    used: Instant,
}

impl Connections {
    /// Connections of the store's own, at most so many; none is made yet.
    pub(super) fn own(options: PgConnectOptions, most: u32, limit: Duration) -> Self {
        let places = usize::try_from(most).unwrap_or(usize::MAX);
        Self::Own(Own {
            options: Arc::new(options),
            limit,
            idle: Mutex::default(),
            places: Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)),
        })
    }

    pub(super) fn options(&self) -> Arc<PgConnectOptions> {
        match self {
            Self::Own(own) => Arc::clone(&own.options),
            Self::Pool(pool) => pool.connect_options(),
        }
    }

    /// A connection that is alive, as far as is known. Who asks has a limit of time.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, sqlx::Error> {
        match self {
            Self::Own(own) => own.lend().await,
            Self::Pool(pool) => Ok(Lent(Some(Connection::OfPool(pool.acquire().await?)))),
        }
    }

    /// Where one connection is dead, others are: so that one request finds it out, and not one for each.
    pub(super) fn close_idle(&self) {
        match self {
            Self::Own(own) => own.close_idle(),
            Self::Pool(pool) => {
                while let Some(connection) = pool.try_acquire() {
                    drop(connection.detach());
                }
            }
        }
    }
}

impl Own {
    async fn lend(&self) -> Result<Lent<'_>, sqlx::Error> {
        let place = self.places.acquire().await;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        let kept = match self.alive().await {
            Some(kept) => kept,
            None => self.make().await?,
        };
        Ok(Lent(Some(Connection::Own(kept, self, place))))
    }

    /// One that idles. If it does not answer, none of them is worth asking.
    async fn alive(&self) -> Option<Kept> {
        let mut kept = self.take_idle()?;
        if kept.used.elapsed() < IDLE {
            return Some(kept);
        }
        // A part of the time, so that there is some left to make another.
        match timeout(self.limit / 2, kept.connection.ping()).await {
            Ok(Ok(())) => Some(kept),
            Ok(Err(_)) | Err(_) => {
                self.close_idle();
                None
            }
        }
    }

    async fn make(&self) -> Result<Kept, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        // A little later than here, where a statement is given up: then the server lets go of it as well.
        let at_server = (self.limit + self.limit / 4).as_millis().max(1).to_string();
        sqlx::query(
            "SELECT set_config('statement_timeout', $1, false), \
             set_config('default_transaction_isolation', 'read committed', false)",
        )
        .persistent(false)
        .bind(at_server)
        .execute(&mut connection)
        .await?;
        let now = Instant::now();
        Ok(Kept {
            connection,
            made: now,
            used: now,
        })
    }

    fn take_idle(&self) -> Option<Kept> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn close_idle(&self) {
        while let Some(kept) = self.take_idle() {
            drop(kept);
        }
    }

    fn keep(&self, mut kept: Kept) {
        if kept.made.elapsed() < LIFE {
            kept.used = Instant::now();
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(kept);
        }
    }
}

/// A connection in use. One that has failed, or whose caller went away in the middle, is closed and not used again.
pub(super) struct Lent<'a>(Option<Connection<'a>>);

enum Connection<'a> {
    Own(Kept, &'a Own, SemaphorePermit<'a>),
    OfPool(PoolConnection<Postgres>),
}

impl Lent<'_> {
    pub(super) fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        match &mut self.0 {
            Some(Connection::Own(kept, ..)) => Ok(&mut kept.connection),
            Some(Connection::OfPool(connection)) => Ok(connection),
            None => Err(sqlx::Error::PoolClosed),
        }
    }

    pub(super) fn give_back(mut self) {
        match self.0.take() {
            Some(Connection::Own(kept, own, place)) => {
                own.keep(kept);
                drop(place); // whoever takes it finds the connection
            }
            Some(Connection::OfPool(connection)) => drop(connection),
            None => {}
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(Connection::OfPool(connection)) = self.0.take() {
            // Closed at once, and its place in the pool is free: the pool itself would first wait for an answer.
            drop(connection.detach());
        }
    }
}
