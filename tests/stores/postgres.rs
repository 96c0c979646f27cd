//! Postgres: the suite, and what the server, the network and other nodes can do to a store.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_oauth::PostgresStore;
use tower_oauth::store::conformance::{self, Stores};
use tower_oauth::store::{
    Changes, Cursor, Insert, PostgresName, PostgresOpenError, Record, Replace, Store as _,
    StoreError, Version,
};

use crate::postgres_server::{self as server, schema};
use crate::support::{causes, key, now, owner, record};

struct Postgres {
    url: String,
    schema: std::sync::Mutex<PostgresName>,
}

impl Postgres {
    async fn open(&self) -> PostgresStore {
        let schema = self.schema.lock().expect("no thread panics").clone();
        let store = PostgresStore::builder().schema(schema).connect(&self.url);
        store.await.expect("the server answers")
    }
}

impl Stores for Postgres {
    type Store = PostgresStore;

    async fn fresh(&self) -> PostgresStore {
        *self.schema.lock().expect("no thread panics") = schema();
        let store = self.open().await;
        store.migrate().await.expect("the schema is new");
        store
    }

    async fn reopen(&self, _: PostgresStore) -> Option<PostgresStore> {
        Some(self.open().await)
    }

    async fn beside(&self, _: &PostgresStore) -> Option<PostgresStore> {
        Some(self.open().await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_store_passes_the_suite() {
    let Some(url) = server::url() else { return };
    let schema = std::sync::Mutex::new(schema());
    conformance::run(&Postgres { url, schema }).await;
}

#[tokio::test]
async fn a_store_without_its_table_says_what_to_do() {
    let Some(store) = new(&schema()).await else {
        return;
    };
    let error = store.get(key(0)).await.unwrap_err();
    assert!(
        causes(&error).contains("PostgresStore::migrate makes it"),
        "{error:?}"
    );
    store.migrate().await.unwrap();
    assert_eq!(store.get(key(0)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_nodes_that_migrate_at_once_make_one_table() {
    let schema = schema();
    let mut nodes = Vec::new();
    for _ in 0..10 {
        let Some(node) = new(&schema).await else {
            return;
        };
        nodes.push(node);
    }
    let mut migrating = JoinSet::new();
    for node in nodes.clone() {
        migrating.spawn(async move { node.migrate().await });
    }
    for migrated in in_time(migrating.join_all()).await {
        migrated.unwrap();
    }
    let inserted = nodes[0].insert(key(0), record("1"), now()).await.unwrap();
    assert!(matches!(inserted, Insert::Inserted(_)));
    nodes[9].migrate().await.unwrap();
    assert!(
        nodes[9].get(key(0)).await.unwrap().is_some(),
        "a later migration has lost a record"
    );
}

#[tokio::test]
async fn a_table_of_a_newer_version_or_of_something_else_is_refused() {
    let schema = schema();
    let Some(store) = new(&schema).await else {
        return;
    };
    store.migrate().await.unwrap();
    sql(&format!("UPDATE {schema}.records_schema SET version = 2")).await;
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(
        error,
        PostgresOpenError::NewerSchema {
            found: 2,
            known: 1,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        format!(
            "the table {schema}.records is of a newer tower-oauth (schema 2; this one knows 1)"
        )
    );
    sql(&format!("DROP TABLE {schema}.records_schema")).await;
    let error = store.migrate().await.unwrap_err();
    assert!(
        matches!(error, PostgresOpenError::NotOurs { .. }),
        "{error:?}"
    );
}

#[test]
fn a_name_that_would_need_quotes_or_is_evil_is_none() {
    for good in [
        "a",
        "_",
        "tower_oauth",
        "select",
        "tenant_2",
        &"a".repeat(31),
    ] {
        assert_eq!(good.parse::<PostgresName>().unwrap().as_str(), good);
    }
    let evil = [
        "",
        "2a",
        "Records",
        "a b",
        "a-b",
        "a.b",
        "a\"b",
        "a'b",
        "a\"; DROP TABLE b; --",
        "a\\",
        "a\0",
        "é",
        "a\n",
        "$1",
        &"a".repeat(32),
    ];
    for evil in evil {
        evil.parse::<PostgresName>().unwrap_err();
    }
}

#[tokio::test]
async fn a_listener_that_is_killed_is_told_of_and_goes_on() {
    let schema = schema();
    let Some(store) = new(&schema).await else {
        return;
    };
    store.migrate().await.unwrap();
    let mut cursor = begun(&store).await;
    for round in 0..3 {
        sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{schema}.records'"
        ))
        .await;
        cursor = lost(&store, cursor).await;
        let mut dead = record("1");
        dead.announce = true;
        store.insert(key(round), dead, now()).await.unwrap();
        let told = in_time(store.changes(Some(cursor))).await.unwrap();
        let Changes::Events { dead, next } = told else {
            panic!("{told:?}");
        };
        assert_eq!(dead, [key(round)]);
        cursor = next;
    }
}

#[tokio::test]
async fn what_cannot_be_understood_may_have_been_a_death() {
    let schema = schema();
    let Some(store) = new(&schema).await else {
        return;
    };
    let cursor = begun(&store).await;
    sql(&format!(
        "SELECT pg_notify('{schema}.records', 'a_kind_of_tomorrow:00')"
    ))
    .await;
    let told = in_time(store.changes(Some(cursor))).await.unwrap();
    assert!(
        matches!(told, Changes::Lost { next } if next != cursor),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_paused_or_restarted_fails_in_bounded_time_and_is_used_again() {
    let Some(mut server) = server::Server::start(&["fsync=off"]) else {
        return;
    };
    let store = PostgresStore::builder()
        .timeout(Duration::from_secs(1))
        .max_connections(4);
    let store = store.connect(&server.url()).await.unwrap();
    store.migrate().await.unwrap();
    store.insert(key(0), record("1"), now()).await.unwrap();
    let cursor = begun(&store).await;
    all_get(&store, 20).await;

    server.order("pause");
    for outcome in all_get(&store, 20).await {
        outcome.unwrap_err();
    }
    let mut dead = record("1");
    dead.announce = true;
    in_time(store.insert(key(1), dead, now()))
        .await
        .unwrap_err();
    in_time(store.changes(Some(cursor))).await.unwrap_err();
    server.order("go");
    assert!(
        store.get(key(0)).await.unwrap().is_some(),
        "it has not recovered"
    );
    let cursor = lost(&store, cursor).await;

    all_get(&store, 20).await;
    server.order("restart");
    // One may find out that the connections are dead.
    let _ = in_time(store.get(key(0))).await;
    for outcome in all_get(&store, 20).await {
        assert!(outcome.unwrap().is_some(), "it has not recovered");
    }
    lost(&store, cursor).await;

    server.order("stop");
    for outcome in all_get(&store, 20).await {
        outcome.unwrap_err();
    }
    server.order("start");
    assert!(
        store.get(key(0)).await.unwrap().is_some(),
        "it has not recovered"
    );
}

#[tokio::test]
async fn a_migration_that_is_not_answered_fails_in_bounded_time() {
    let Some(mut server) = server::Server::start(&["fsync=off"]) else {
        return;
    };
    let store = PostgresStore::builder().timeout(Duration::from_secs(1));
    let store = store.connect(&server.url()).await.unwrap();
    // The connection stands already, and seems to be alive.
    server.order("pause");
    let error = in_time(store.migrate()).await.unwrap_err();
    assert!(
        matches!(error, PostgresOpenError::Failed { .. }),
        "{error:?}"
    );
    server.order("go");
    store.migrate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_lock_waits_in_bounded_time_and_leaves_the_pool_as_it_was() {
    let Some(url) = server::url() else { return };
    let schema = schema();
    let store = PostgresStore::builder()
        .schema(schema.clone())
        .max_connections(2);
    let store = store
        .timeout(Duration::from_secs(1))
        .connect(&url)
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let Insert::Inserted(read) = store.insert(key(0), record("1"), now()).await.unwrap() else {
        panic!("nothing stood there");
    };
    store.insert(key(1), record("1"), now()).await.unwrap();

    let mut other = raw().await;
    let mut lock = other.begin().await.unwrap();
    let text = format!("SELECT 1 FROM {schema}.records FOR UPDATE");
    sqlx::raw_sql(AssertSqlSafe(text))
        .execute(&mut *lock)
        .await
        .unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        waiting.spawn(async move { store.replace(key(0), read, record("2")).await });
    }
    for outcome in in_time(waiting.join_all()).await {
        outcome.unwrap_err();
    }
    // And callers that go away in the middle.
    for _ in 0..20 {
        let gone = store.replace(key(0), read, record("3"));
        timeout(Duration::from_millis(20), gone).await.unwrap_err();
    }
    assert!(
        store.get(key(1)).await.unwrap().is_some(),
        "the pool is exhausted"
    );
    lock.rollback().await.unwrap();
    let outcome = store.replace(key(1), read, record("2")).await.unwrap();
    assert_eq!(
        outcome,
        Replace::Changed,
        "an answer was given to another question"
    );
}

#[tokio::test]
async fn nothing_is_answered_before_its_commit() {
    let schema = schema();
    let Some(store) = new(&schema).await else {
        return;
    };
    store.migrate().await.unwrap();
    sql(&format!(
        "CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no commit today'; END $$;
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON {schema}.records
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()"
    ))
    .await;
    let cursor = begun(&store).await;
    let mut dead = record("1");
    dead.announce = true;
    for record in [record("1"), dead] {
        let error = store.insert(key(0), record, now()).await.unwrap_err();
        assert!(causes(&error).contains("no commit today"), "{error:?}");
    }
    assert_eq!(store.get(key(0)).await.unwrap(), None);
    sql(&format!("DROP TRIGGER refuse ON {schema}.records")).await;
    let mut dead = record("2");
    dead.announce = true;
    store.insert(key(1), dead, now()).await.unwrap();
    let told = in_time(store.changes(Some(cursor))).await.unwrap();
    let Changes::Events { dead, .. } = told else {
        panic!("{told:?}");
    };
    assert_eq!(dead, [key(1)], "a death was told that was not committed");
}

#[tokio::test]
async fn a_third_owner_is_refused_and_not_forgotten() {
    let Some(store) = server::store().await else {
        return;
    };
    let mut record = record("1");
    record.owners = vec![owner(); 3];
    store.insert(key(0), record, now()).await.unwrap_err();
    assert_eq!(store.get(key(0)).await.unwrap(), None);
}

/// A store that has not been migrated.
async fn new(schema: &PostgresName) -> Option<PostgresStore> {
    let url = server::url()?;
    let store = PostgresStore::builder()
        .schema(schema.clone())
        .connect(&url);
    Some(store.await.expect("the server answers"))
}

/// Another connection to the server, as an administrator would have.
async fn raw() -> PgConnection {
    let url = server::url().expect("the test has a store");
    PgConnection::connect(&url)
        .await
        .expect("the server answers")
}

async fn sql(text: &str) {
    let text = AssertSqlSafe(text.to_owned());
    sqlx::raw_sql(text)
        .execute(&mut raw().await)
        .await
        .expect("the statement is right");
}

async fn begun(store: &PostgresStore) -> Cursor {
    match in_time(store.changes(None))
        .await
        .expect("the server answers")
    {
        Changes::Lost { next } => next,
        told => panic!("{told:?}"),
    }
}

/// The feed fails while nobody listens, and says `Lost` afterwards.
async fn lost(store: &PostgresStore, cursor: Cursor) -> Cursor {
    in_time(async {
        loop {
            match store.changes(Some(cursor)).await {
                Ok(Changes::Lost { next }) => break next,
                Ok(told) => panic!("{told:?}"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

async fn all_get(
    store: &PostgresStore,
    callers: usize,
) -> Vec<Result<Option<(Record, Version)>, StoreError>> {
    let mut asked = JoinSet::new();
    for _ in 0..callers {
        let store = store.clone();
        asked.spawn(async move { store.get(key(0)).await });
    }
    in_time(asked.join_all()).await
}

/// Longer than any timeout of a store here, and than a loaded machine takes.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("it is answered in bounded time")
}
