//! The same with more and more live tokens, and what each of them takes.

use std::time::Duration;

use bytes::Bytes;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tokio::task::JoinSet;
use tower_oauth::store::{Insert, Key, Kind, Record, Store};
use tower_oauth::types::{Digest, Timestamp};
use tower_oauth::{MemoryStore, RedisStore};

use crate::flows::{Flow, rate};
use crate::place::{Place, endpoint, server};
use crate::rates::{AT_ONCE, in_process};

const LASTS: Duration = Duration::from_millis(2000);
/// 2100-01-01, and as many seconds more as a token lives: what is there does not expire meanwhile.
const EXPIRES: i64 = 4_102_444_800;
const LIVES: i64 = 600;

pub(crate) async fn measure() {
    let sizes = std::env::var("SIZES").unwrap_or_else(|_| "1000,100000,5000000".to_owned());
    let some = std::env::var("STORES").unwrap_or_else(|_| "sqlite,postgres".to_owned());
    for name in ["sqlite", "postgres"] {
        if !some.split(',').any(|one| one == name) {
            continue;
        }
        println!("{name}: tokens | flow | 1 caller | {AT_ONCE} callers");
        for size in sizes.split(',').map(|size| size.parse::<i64>().unwrap()) {
            let place = Place::open(name);
            grow(&place, size).await;
        }
    }
}

async fn grow(place: &Place, size: i64) {
    // A token of a person is the model of all others.
    let oauth = server(&place.url).await;
    rate(
        in_process(&endpoint(&oauth), 1),
        Flow::Introspection,
        Duration::ZERO,
    )
    .await;
    drop(oauth);
    let bytes = match place.url.strip_prefix("sqlite:") {
        Some(path) => fill_sqlite(path, size).await,
        None => fill_postgres(&place.url, size).await,
    };
    let (store, each) = (place.name, bytes / size);
    println!(r#"{{"part":"bytes","store":"{store}","tokens":{size},"bytes":{each}}}"#);
    let endpoint = endpoint(&server(&place.url).await);
    for flow in Flow::ALL {
        let one = rate(in_process(&endpoint, 1), flow, LASTS).await;
        let many = rate(in_process(&endpoint, AT_ONCE), flow, LASTS).await;
        println!("{size} | {} | {one:.0} | {many:.0}", flow.name());
        for (how, rate) in [("one", one), ("many", many)] {
            println!(
                r#"{{"part":"growth","store":"{store}","tokens":{size},"flow":"{}","how":"{how}","rate":{rate:.0}}}"#,
                flow.name()
            );
        }
    }
}

/// Puts so many tokens; the size of the file with them.
async fn fill_sqlite(path: &str, size: i64) -> i64 {
    let mut file = closed(path).await;
    for setting in [
        "journal_mode = OFF",
        "synchronous = OFF",
        "cache_size = -1500000",
    ] {
        let setting = format!("PRAGMA {setting}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(setting))
            .execute(&mut file)
            .await
            .unwrap();
    }
    sqlx::query(
        "WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < ?1), \
         model AS MATERIALIZED (SELECT value FROM records WHERE kind = 'access_token' LIMIT 1) \
         INSERT INTO records (kind, digest, version, expires_at, owners, value) \
         SELECT 'access_token', unhex(printf('%08x', ?2 + i % ?3 - 600) || hex(randomblob(28))), i, ?2 + i % ?3, x'', value \
         FROM number, model",
    )
    .bind(size)
    .bind(EXPIRES)
    .bind(LIVES)
    .execute(&mut file)
    .await
    .unwrap();
    sqlx::query("UPDATE meta SET last_version = last_version + ?")
        .bind(size)
        .execute(&mut file)
        .await
        .unwrap();
    file.close().await.unwrap();
    // Else the system writes it out while others are measured.
    std::fs::File::open(path).unwrap().sync_all().unwrap();
    i64::try_from(std::fs::metadata(path).unwrap().len()).unwrap()
}

/// A connection to a file of a store that has just been dropped, once it has let go of it.
async fn closed(path: &str) -> SqliteConnection {
    let wait = std::time::Instant::now();
    let lock = std::fs::File::open(format!("{path}-lock")).unwrap();
    while lock.try_lock().is_err() {
        assert!(wait.elapsed() < Duration::from_secs(10), "it stays open");
        tokio::task::yield_now().await;
    }
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

/// Puts so many tokens; the size of the table and its indexes with them.
async fn fill_postgres(url: &str, size: i64) -> i64 {
    let mut database = PgConnection::connect(url).await.unwrap();
    sqlx::query(
        "INSERT INTO tower_oauth.records (kind, digest, expires_at, value) \
         SELECT 'access_token', substr(int8send($2 + i % $3 - 600), 5) || substr(sha256(int8send(i)), 5), $2 + i % $3, value FROM generate_series(1, $1) AS i, \
         (SELECT value FROM tower_oauth.records WHERE kind = 'access_token' LIMIT 1) AS model",
    )
    .bind(size)
    .bind(EXPIRES)
    .bind(LIVES)
    .execute(&mut database)
    .await
    .unwrap();
    for tidy in ["VACUUM ANALYZE tower_oauth.records", "CHECKPOINT"] {
        sqlx::raw_sql(tidy).execute(&mut database).await.unwrap();
    }
    let plan: Vec<(String,)> = sqlx::query_as(
        "EXPLAIN SELECT value FROM tower_oauth.records WHERE kind = 'access_token' AND digest = sha256('a')",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert!(plan[0].0.contains("Index Scan"), "{plan:?}");
    relation_size(&mut database).await
}

pub(crate) async fn relation_size(database: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT pg_total_relation_size('tower_oauth.records')")
        .fetch_one(database)
        .await
        .unwrap()
}

/// A record of the size of a person's token. Its key begins with when it was made, as an opaque token's does.
pub(crate) fn token(number: u64, expires_at: Timestamp) -> (Key, Record) {
    let mut digest = *Digest::of("access_token", &number.to_be_bytes()).as_bytes();
    digest[..4].copy_from_slice(&expires_at.as_secs().to_be_bytes()[4..]);
    let digest = Digest::from_bytes(digest);
    let record = Record::new(Bytes::from_static(&[b'x'; 330]), expires_at);
    (Key::new(Kind::AccessToken, digest), record)
}

/// Puts tokens of these numbers, many at once.
pub(crate) async fn put<S: Store + Clone>(
    store: &S,
    numbers: std::ops::Range<u64>,
    (expires_at, now): (Timestamp, Timestamp),
) {
    let mut putting = JoinSet::new();
    let step = numbers.end.saturating_sub(numbers.start).div_ceil(256);
    for first in numbers.clone().step_by(usize::try_from(step).unwrap()) {
        let (store, end) = (store.clone(), numbers.end.min(first + step));
        putting.spawn(async move {
            for number in first..end {
                let (key, record) = token(number, expires_at);
                let done = store.insert(key, record, now).await.unwrap();
                assert!(matches!(done, Insert::Inserted(_)));
            }
        });
    }
    putting.join_all().await;
}

/// What a token takes in memory and in Redis.
pub(crate) async fn bytes() {
    const TOKENS: u64 = 200_000;
    let now = Timestamp::from_secs(1_795_348_800);
    let ends = Timestamp::from_secs(1_795_349_400);
    let line = |store, bytes: u64| {
        println!(r#"{{"part":"bytes","store":"{store}","tokens":{TOKENS},"bytes":{bytes}}}"#);
    };
    let before = resident();
    let memory = MemoryStore::new();
    for number in 0..TOKENS {
        let (key, record) = token(number, ends);
        memory.insert(key, record, now).await.unwrap();
    }
    line("memory", (resident() - before) / TOKENS);
    drop(memory);

    let place = Place::open("redis");
    let store = RedisStore::connect(place.url.clone()).await.unwrap();
    let mut redis = redis::Client::open(place.url.clone())
        .unwrap()
        .get_connection()
        .unwrap();
    let mut used = || {
        let text: String = redis::cmd("INFO").arg("memory").query(&mut redis).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = used();
    put(&store, 0..TOKENS, (ends, now)).await;
    line("redis", (used() - before) / TOKENS);
    let key: Vec<u8> = redis::cmd("RANDOMKEY").query(&mut redis).unwrap();
    let one: u64 = redis::cmd("MEMORY")
        .arg("USAGE")
        .arg(key)
        .query(&mut redis)
        .unwrap();
    println!("one in Redis by MEMORY USAGE: {one} bytes");
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = memory.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
