//! Where nodes keep their records.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{postgres_server, redis_server};

/// A database, and what of it is one test's. Nodes over one place share their records.
pub(crate) struct Place {
    pub(crate) store: &'static str,
    /// A URL, or the path of a file.
    at: String,
    /// The schema, or the prefix.
    name: String,
    /// How long a step of the store may take.
    limit: Duration,
    _file: Option<TempDir>,
}

/// At most so many connections has a node to its PostgreSQL, and one more to hear what dies.
pub(crate) const CONNECTIONS: u32 = 4;

/// The machine may be busy: nothing is slow on purpose.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

impl Place {
    pub(crate) fn postgres(url: &str, limit: Duration) -> Self {
        let name = postgres_server::schema().to_string();
        Self::new("postgres", url.to_owned(), name, limit)
    }

    pub(crate) fn redis(url: &str, limit: Duration) -> Self {
        Self::new("redis", url.to_owned(), redis_server::prefix(), limit)
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("oauth.db");
        let at = file.to_str().expect("its name is text").to_owned();
        Self {
            _file: Some(folder),
            ..Self::new("sqlite", at, String::new(), PATIENT)
        }
    }

    /// The same records, by another way.
    pub(crate) fn at(&self, at: String) -> Self {
        let name = self.name.clone();
        Self::new(self.store, at, name, self.limit)
    }

    fn new(store: &'static str, at: String, name: String, limit: Duration) -> Self {
        Self {
            store,
            at,
            name,
            limit,
            _file: None,
        }
    }

    /// A new place of each kind that outlives a process. Those without a server are left out, if that is wanted.
    pub(crate) fn each() -> Vec<Self> {
        let postgres = postgres_server::url().map(|url| Self::postgres(&url, PATIENT));
        let redis =
            redis_server::available().map(|()| Self::redis(redis_server::shared(), PATIENT));
        let found = [Some(Self::sqlite()), postgres, redis];
        found.into_iter().flatten().collect()
    }

    /// What a node is told.
    pub(crate) fn to_json(&self) -> Value {
        let limit = u64::try_from(self.limit.as_millis()).expect("it is short");
        json!({ "store": self.store, "at": self.at, "name": self.name, "limit": limit })
    }
}
