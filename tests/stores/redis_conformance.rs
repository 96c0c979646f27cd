//! The Redis store passes the suite: on one server, with several connections to it, and on a cluster.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_oauth::store::conformance::{self, Stores};
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Listing, Page, Record, RedisStore, RedisStoreBuilder, Replace,
    Store, StoreError, Version,
};
use tower_oauth::types::Timestamp;

use crate::redis_server as server;
use crate::redis_server::available;
use crate::redis_servers::Cluster;

/// Where stores come from: each has a prefix of its own, and is the same again by it.
struct Redis {
    builder: RedisStoreBuilder,
    prefix: Mutex<String>,
}

impl Redis {
    fn new(builder: RedisStoreBuilder) -> Self {
        let prefix = Mutex::default();
        Self { builder, prefix }
    }

    async fn open(&self) -> RedisStore {
        let prefix = self.prefix.lock().unwrap().clone();
        let builder = self.builder.clone().prefix(prefix);
        builder.connect().await.unwrap()
    }
}

impl Stores for Redis {
    type Store = RedisStore;

    async fn fresh(&self) -> RedisStore {
        *self.prefix.lock().unwrap() = server::prefix();
        self.open().await
    }

    async fn reopen(&self, store: RedisStore) -> Option<RedisStore> {
        drop(store);
        Some(self.open().await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_redis_store_passes_the_suite() {
    let Some(()) = available() else {
        return;
    };
    conformance::run(&Redis::new(RedisStore::builder(server::shared()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_redis_store_passes_the_suite_on_a_cluster() {
    let Some(()) = available() else {
        return;
    };
    let cluster = Cluster::start();
    conformance::run(&Redis::new(RedisStore::cluster_builder(cluster.urls()))).await;
}

/// Nodes that share a Redis: each verb is done by the next of them.
struct Nodes {
    nodes: Vec<RedisStore>,
    turn: AtomicUsize,
}

impl Nodes {
    fn next(&self) -> &RedisStore {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        &self.nodes[turn % self.nodes.len()]
    }
}

impl Store for Nodes {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.next().insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.next().get(key).await
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        self.next().replace(key, read, record).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.next().remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.next().list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.next().purge(now, limit).await
    }

    /// A cursor means something to the store that gave it.
    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.nodes[0].changes(after).await
    }
}

struct ManyNodes(Redis);

impl ManyNodes {
    async fn beside(&self, first: RedisStore) -> Nodes {
        let mut nodes = vec![first];
        for _ in 0..2 {
            nodes.push(self.0.open().await);
        }
        let turn = AtomicUsize::new(0);
        Nodes { nodes, turn }
    }
}

impl Stores for ManyNodes {
    type Store = Nodes;

    async fn fresh(&self) -> Nodes {
        let first = self.0.fresh().await;
        self.beside(first).await
    }

    async fn reopen(&self, store: Nodes) -> Option<Nodes> {
        drop(store);
        let first = self.0.open().await;
        Some(self.beside(first).await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_over_one_redis_pass_the_suite() {
    let Some(()) = available() else {
        return;
    };
    conformance::run(&ManyNodes(Redis::new(
        RedisStore::builder(server::shared()),
    )))
    .await;
}
