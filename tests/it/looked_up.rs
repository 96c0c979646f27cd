//! How what somebody presents is looked up: by a digest of all of it, so that the time of a look tells nothing of what is there.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tower_oauth::MemoryStore;
use tower_oauth::server::AccessTokenFormat;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{Digest, ManualClock, Timestamp};
use tower_oauth::{Issuer, ResourceServer};

use crate::in_process::send;
use crate::support::{FOR_ITSELF, Harness, LEDGER, NOW, SECRET, redemption};

/// A store that notes by which keys it is asked and what it is given to keep.
#[derive(Clone, Default)]
struct Noting(Arc<Notes>);

#[derive(Default)]
struct Notes {
    records: MemoryStore,
    asked: Mutex<Vec<Key>>,
    kept: Mutex<Vec<Bytes>>,
}

impl Noting {
    /// The keys by which it was asked since the last time.
    fn asked(&self) -> Vec<Key> {
        std::mem::take(&mut self.0.asked.lock().unwrap())
    }

    fn note(&self, key: Key, record: Option<&Record>) {
        self.0.asked.lock().unwrap().push(key);
        let kept = record.map(|record| record.value.clone());
        self.0.kept.lock().unwrap().extend(kept);
    }
}

impl Store for Noting {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.note(key, Some(&record));
        self.0.records.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.note(key, None);
        self.0.records.get(key).await
    }

    async fn replace(&self, key: Key, read: Version, new: Record) -> Result<Replace, StoreError> {
        self.note(key, Some(&new));
        self.0.records.replace(key, read, new).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.note(key, None);
        self.0.records.remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.0.records.list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.0.records.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.0.records.changes(after).await
    }
}

/// The same secret with another last letter.
fn nearly(secret: &str) -> String {
    let (most, last) = secret.split_at(secret.len() - 1);
    format!("{most}{}", if last == "A" { "E" } else { "A" })
}

/// The one key of this kind by which the store was asked.
#[track_caller]
fn only(keys: &[Key], kind: Kind) -> Digest {
    let mut found: Vec<_> = keys.iter().filter(|key| key.kind == kind).collect();
    found.dedup();
    assert_eq!(found.len(), 1, "{kind:?} in {keys:?}");
    found[0].digest
}

async fn start() -> (Harness, Noting) {
    let store = Noting::default();
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| {
        builder.access_token_format(AccessTokenFormat::Opaque)
    });
    server.create_clients().await;
    (server, store)
}

#[tokio::test]
async fn v30_what_is_presented_is_looked_up_by_a_digest_of_all_of_it() {
    let (server, store) = start().await;
    let api = ResourceServer::builder(LEDGER)
        .issuer(Issuer::in_process(&server.oauth))
        .clock(server.clock.clone())
        .build()
        .unwrap();
    let code = server.code_for("web", "").await;
    let (access, _) = server.web(&redemption("web", &code)).await.pair();
    let code = server.code_for("web", "").await;
    let (device_code, _) = server.device().await;
    for (kind, secret) in [
        (Kind::AccessToken, &access),
        (Kind::Code, &code),
        (Kind::Device, &device_code),
    ] {
        let mut looked_up = Vec::new();
        for presented in [secret.clone(), nearly(secret)] {
            store.asked();
            match kind {
                Kind::AccessToken => drop(send(&api, &presented).await),
                Kind::Code => drop(server.web(&redemption("rs", &presented)).await),
                _ => drop(server.poll(&presented).await),
            }
            if kind == Kind::Code {
                server.web(&redemption("web", &nearly(&presented))).await;
            }
            let digest = only(&store.asked(), kind);
            let bytes = digest.as_bytes();
            let text = presented.as_bytes();
            assert!(
                !text
                    .windows(8)
                    .any(|part| bytes.windows(8).any(|other| part == other)),
                "a part of it stands in the key"
            );
            looked_up.push(digest);
        }
        // Keys of two that differ in one letter have no more in common than any two.
        let [one, other] = looked_up.as_slice() else {
            panic!("two")
        };
        let same = one.as_bytes().iter().zip(other.as_bytes());
        let same = same.take_while(|(one, other)| one == other).count();
        assert!(same < 8, "{same} bytes are the same");
    }
}

#[tokio::test]
async fn v30_a_store_is_never_given_what_opens_anything() {
    let (server, store) = start().await;
    let (access, refresh) = server.tokens("&scope=ledger.read").await.pair();
    let (newer, newest) = server.refresh(&refresh, "").await.pair();
    let for_itself = server.web(FOR_ITSELF).await.access_token();
    let code = server.code_for("app", "").await;
    let (device_code, user_code) = server.device().await;
    let plain = user_code.replace('-', "");
    let kept = store.0.kept.lock().unwrap().concat();
    let kept = String::from_utf8_lossy(&kept);
    assert!(kept.contains("ledger.read"), "it is what was kept");
    for secret in [
        &access,
        &refresh,
        &newer,
        &newest,
        &for_itself,
        &code,
        &device_code,
        &user_code,
        &plain,
        &SECRET.to_owned(),
    ] {
        assert!(!kept.contains(secret.as_str()));
        let inner = secret.get(4..).unwrap_or(secret);
        assert!(!kept.contains(inner));
    }
}
