//! What the store is given to keep, and how often it is asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tower_oauth::MemoryStore;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::Timestamp;

use crate::support::{Harness, SECRET, VERIFIER};

/// A memory store that notes all that is written and counts how often it is read.
#[derive(Clone)]
struct Watched(Arc<Inner>);

struct Inner {
    store: MemoryStore,
    reads: AtomicUsize,
    written: Mutex<Vec<Bytes>>,
}

impl Watched {
    /// A server on such a store.
    async fn start() -> (Harness, Self) {
        let (reads, written) = (AtomicUsize::new(0), Mutex::default());
        let store = Self(Arc::new(Inner {
            store: MemoryStore::new(),
            reads,
            written,
        }));
        let kept = store.clone();
        (Harness::with(|builder| builder.store(kept)).await, store)
    }

    /// How often a record was read.
    fn reads(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    /// All that was ever written.
    fn written(&self) -> String {
        String::from_utf8(self.0.written.lock().unwrap().concat()).unwrap()
    }

    fn note(&self, record: &Record) {
        self.0.written.lock().unwrap().push(record.value.clone());
    }
}

impl Store for Watched {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.note(&record);
        self.0.store.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        self.0.store.get(key).await
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        self.note(&record);
        self.0.store.replace(key, read, record).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.0.store.remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.0.store.list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.0.store.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.0.store.changes(after).await
    }
}

// req: 6749-10.3-1, 6749-10.4-1, http-basic-6
#[tokio::test]
async fn rfc6749_10_3_nothing_that_is_kept_can_be_presented() {
    let (server, store) = Watched::start().await;
    let page = server.authorize("").await;
    let interaction = page.hidden("interaction");
    let answer = server.decide(&page, "alice", "allow").await;
    let code = answer.parameter("code").unwrap();
    let (access, first) = server.redeem(&code).await.pair();
    let (_, second) = server.refresh(&first, "").await.pair();
    let (device_code, user_code) = server.device().await;
    server.enter(&user_code, "bob").await;
    let web = "web".parse().unwrap();
    let secret = server.oauth.clients().rotate_secret(&web).await.unwrap();
    let secret = secret.unwrap().expose().to_owned();

    let text = store.written();
    assert!(text.contains("alice") && text.contains("ledger.read"));
    let typed = user_code.replace('-', "");
    for secret in [
        &*typed,
        &interaction,
        &code,
        &access,
        &first,
        &second,
        &device_code,
        &user_code,
        SECRET,
        &secret,
        VERIFIER,
    ] {
        for part in [secret, &secret[secret.len().saturating_sub(10)..]] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
    }
}

// req: 7009-5-1
#[tokio::test]
async fn rfc7009_5_a_useless_hint_or_token_costs_no_further_look_ups() {
    let (server, store) = Watched::start().await;
    let (access, refresh) = server.tokens("").await.pair();
    for (token, look_ups) in [("x", 1), (&*access, 2), (&refresh, 3)] {
        for hint in ["", "access_token", "refresh_token", "foo"] {
            let before = store.reads();
            let form = format!("client_id=tv&token={token}&token_type_hint={hint}");
            server.post("/auth/revoke", &form).await;
            let reads = store.reads() - before;
            assert!(reads <= look_ups, "{token} {hint}: {reads}");
        }
    }
}
