//! Databases that several processes can share, each of one test's own: of PostgreSQL and of Redis.
//!
//! Beside it stand `mod postgres_server` and `mod redis_server`.

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::Url;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{postgres_server, redis_server};

/// The URLs of a new database of each kind; of those that are not to be skipped.
pub(crate) async fn each() -> Vec<String> {
    postgres().await.into_iter().chain(redis()).collect()
}

/// The URL of a database that is new. `None` if it is to be skipped.
pub(crate) async fn postgres() -> Option<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = postgres_server::url()?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    let mut administrator = PgConnection::connect(&server).await.unwrap();
    for order in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
        let order = format!("{order} {name}");
        let done = sqlx::query(AssertSqlSafe(order)).execute(&mut administrator);
        done.await.unwrap();
    }
    let mut url = Url::parse(&server).unwrap();
    url.set_path(&name);
    Some(url.into())
}

/// The URL of a database that is empty. `None` if it is to be skipped.
pub(crate) fn redis() -> Option<String> {
    // A server has sixteen; the first is that of other tests.
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    redis_server::available()?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    assert!(number < 16, "more tests than databases");
    let url = match redis_server::shared().strip_prefix("unix://") {
        Some(socket) => format!("redis+unix://{socket}?db={number}"),
        None => {
            let mut url = Url::parse(redis_server::shared()).unwrap();
            url.set_path(&number.to_string());
            url.into()
        }
    };
    let mut administrator = redis::Client::open(url.as_str())
        .and_then(|client| client.get_connection())
        .unwrap();
    redis::cmd("FLUSHDB").exec(&mut administrator).unwrap();
    Some(url)
}
