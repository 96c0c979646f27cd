//! Many records that live for a minute: what is kept does not grow.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tower_oauth::store::Store;
use tower_oauth::types::Timestamp;
use tower_oauth::{PostgresStore, SqliteStore};

use crate::growth::{put, relation_size};
use crate::place::Place;

/// As many as the purge in the background forgets at once.
const AT_ONCE: u32 = 1000;
const GENERATIONS: u64 = 10;

pub(crate) async fn measure() {
    let total = std::env::var("TOTAL").map_or(1_000_000, |total| total.parse().unwrap());
    let some = std::env::var("STORES").unwrap_or_else(|_| "sqlite,postgres".to_owned());
    if some.contains("sqlite") {
        let place = Place::open("sqlite");
        let path = place.url.strip_prefix("sqlite:").unwrap();
        let store = SqliteStore::open(path).await.unwrap();
        let size = async || {
            let log = format!("{path}-wal");
            let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
            bytes(Path::new(path)) + bytes(Path::new(&log))
        };
        churn("sqlite", &store, total, size).await;
    }
    if some.contains("postgres") {
        let place = Place::postgres_without_sync();
        let store = PostgresStore::connect(&place.url).await.unwrap();
        store.migrate().await.unwrap();
        let size = async || {
            let mut database = PgConnection::connect(&place.url).await.unwrap();
            u64::try_from(relation_size(&mut database).await).unwrap()
        };
        churn("postgres", &store, total, size).await;
    }
}

async fn churn<S: Store + Clone>(name: &str, store: &S, total: u64, size: impl AsyncFn() -> u64) {
    let each = total / GENERATIONS;
    println!("{name}: records so far | MB | put a second | forgotten a second");
    let mut now = Timestamp::from_secs(1_795_348_800);
    for generation in 0..GENERATIONS {
        let ends = now.saturating_add(Duration::from_secs(60));
        let begun = Instant::now();
        let numbers = generation * each..(generation + 1) * each;
        put(store, numbers, (ends, now)).await;
        let put = each as f64 / begun.elapsed().as_secs_f64();
        now = now.saturating_add(Duration::from_secs(61));
        let begun = Instant::now();
        let mut forgotten = 0;
        loop {
            let some = store.purge(now, AT_ONCE).await.unwrap();
            forgotten += u64::from(some);
            if some < AT_ONCE {
                break;
            }
        }
        assert_eq!(forgotten, each, "all of them have expired");
        let purged = each as f64 / begun.elapsed().as_secs_f64();
        let (so_far, bytes) = ((generation + 1) * each, size().await);
        let megabytes = bytes as f64 / 1e6;
        println!("{so_far} | {megabytes:.1} | {put:.0} | {purged:.0}");
        println!(r#"{{"part":"purge","store":"{name}","records":{so_far},"bytes":{bytes}}}"#);
    }
}
