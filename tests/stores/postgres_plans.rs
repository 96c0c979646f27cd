//! Postgres: no step of a store looks through the table, whatever stands in it.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::{Duration, timeout};
use tower_oauth::PostgresStore;
use tower_oauth::store::{Insert, Key, Kind, Listing, Replace, Store as _};
use tower_oauth::types::{Digest, Timestamp};

use crate::postgres_server as server;
use crate::support::{key, now, record};

/// A plan for any arguments may take the place of those for each after five uses: both are to be good.
const USES: u64 = 12;
/// So many records stand for each first owner.
const OWNED: u64 = 50;

#[tokio::test]
async fn each_step_finds_its_records_by_an_index_among_a_hundred_thousand() {
    let Some(url) = server::url() else { return };
    let schema = server::schema();
    let builder = PostgresStore::builder()
        .schema(schema.clone())
        .max_connections(1);
    let store = builder.connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let fill = format!(
        "INSERT INTO {schema}.records (expires_at, kind, digest, owner_1, owner_2, value) \
         SELECT 1000 + n, 'grant', decode(lpad(to_hex(n), 64, '0'), 'hex'), \
         decode(lpad(to_hex(n / {OWNED}), 64, '0'), 'hex'), decode(lpad(to_hex(n % 1000), 64, '0'), 'hex'), '{{}}' \
         FROM generate_series(0, 99999) n; \
         ANALYZE {schema}.records;"
    );
    sqlx::raw_sql(AssertSqlSafe(fill))
        .execute(&mut raw)
        .await
        .unwrap();

    for number in 0..USES {
        let found = store.get(grant(50_000 + number)).await.unwrap();
        assert!(found.is_some());
        // All of a first owner, and a page of a second one.
        for (owner, limit) in [(20 + number, OWNED), (20 + number, 7)] {
            let listing = Listing {
                kind: Kind::Grant,
                owner: digest(owner),
                after: None,
                limit: u32::try_from(limit).unwrap(),
            };
            let page = store.list(listing).await.unwrap();
            assert_eq!(page.digests.len() as u64, limit);
        }
        let until = Timestamp::from_secs(1000 + 10 * number);
        store.purge(until, 7).await.unwrap();
        let inserted = store.insert(key(number), record("1"), now()).await.unwrap();
        let Insert::Inserted(version) = inserted else {
            panic!("{inserted:?}");
        };
        let replaced = store.replace(key(number), version, record("2")).await;
        assert!(matches!(replaced.unwrap(), Replace::Replaced(_)));
        assert!(store.remove(key(number)).await.unwrap().is_some());
    }

    // The server counts what a connection has done once that is closed. How the indexes were made has read the table too, when it was empty.
    drop(store);
    let counts = format!(
        "SELECT relname::text, seq_tup_read, idx_scan FROM pg_stat_user_tables \
         WHERE schemaname = '{schema}' AND relname = 'records' \
         UNION ALL SELECT indexrelname::text, 0::bigint, idx_scan FROM pg_stat_user_indexes \
         WHERE schemaname = '{schema}' AND relname = 'records'"
    );
    let counted = async {
        loop {
            let counts: Vec<(String, i64, i64)> = sqlx::query_as(AssertSqlSafe(counts.clone()))
                .fetch_all(&mut raw)
                .await
                .unwrap();
            assert_eq!(counts.len(), 5, "the table and its four indexes");
            if let Some((_, through, _)) = counts.iter().find(|(name, ..)| name == "records")
                && *through > 0
            {
                panic!("a step has looked through the table: {counts:?}");
            }
            if counts.iter().all(|(_, _, by)| *by >= USES.cast_signed()) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), counted)
        .await
        .expect("each index is used");
}

fn digest(number: u64) -> Digest {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    Digest::from_bytes(bytes)
}

fn grant(number: u64) -> Key {
    Key::new(Kind::Grant, digest(number))
}
