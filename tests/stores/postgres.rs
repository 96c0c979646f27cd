//! Postgres: the suite, and what the server, the network and other nodes can do to a store.

use tower_oauth::PostgresStore;
use tower_oauth::store::conformance::{self, Stores};
use tower_oauth::store::{PostgresName, Store as _};

use crate::postgres_server::{self as server, schema};
use crate::support::key;

struct Postgres {
    url: String,
    schema: std::sync::Mutex<PostgresName>,
}

impl Postgres {
    async fn open(&self) -> PostgresStore {
        let schema = self.schema.lock().unwrap().clone();
        let store = PostgresStore::builder().schema(schema).connect(&self.url);
        store.await.expect("the server answers")
    }
}

impl Stores for Postgres {
    type Store = PostgresStore;

    async fn fresh(&self) -> PostgresStore {
        *self.schema.lock().unwrap() = schema();
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
    let Some(url) = server::url() else { return };
    let store = PostgresStore::builder().schema(schema());
    let store = store.connect(&url).await.unwrap();
    let error = store.get(key(0)).await.unwrap_err();
    assert!(
        format!("{error:?}").contains("PostgresStore::migrate makes it"),
        "{error:?}"
    );
}
