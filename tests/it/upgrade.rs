//! Nodes of two versions of this crate share a store, as they do while one by one is replaced: neither loses what the other has written.
//!
//! A newer version may add members to a record, which an older one keeps; or it may raise the record's version, and then the older one
//! answers 503 and leaves the record as it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{ManualClock, Timestamp};

use crate::hooked::Hooked;
use crate::support::{Answer, Harness, NOW, alice, authorization_request};

/// What a newer version has added.
const ADDED: &str = r#","of_tomorrow":{"kept":[1,"é"]}}"#;

/// A store in which a newer version has been.
#[derive(Clone)]
struct Newer(Arc<Inner>);

struct Inner {
    store: Hooked,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Records of this kind are of a higher version; all others have a member more.
    raised: Option<Kind>,
    /// What was read.
    read: BTreeSet<(Key, Version)>,
    /// Of which kinds records with that member were written again.
    kept: BTreeSet<Kind>,
    /// Of which kinds records were written again, or removed, that should not have been.
    spoilt: BTreeSet<Kind>,
}

impl Newer {
    fn over(store: Hooked) -> Self {
        Self(Arc::new(Inner {
            store,
            state: Mutex::default(),
        }))
    }

    /// From now on records of this kind are of a higher version, or none is.
    fn raises(&self, kind: Option<Kind>) {
        self.0.state.lock().unwrap().raised = kind;
    }

    fn kept(&self) -> BTreeSet<Kind> {
        self.0.state.lock().unwrap().kept.clone()
    }

    fn spoilt(&self) -> BTreeSet<Kind> {
        self.0.state.lock().unwrap().spoilt.clone()
    }
}

impl Store for Newer {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.0.store.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        let Some((mut record, version)) = self.0.store.get(key).await? else {
            return Ok(None);
        };
        let value = std::str::from_utf8(&record.value).unwrap();
        let mut state = self.0.state.lock().unwrap();
        let changed = if state.raised == Some(key.kind) {
            value.replacen(r#"{"v":1,"#, r#"{"v":2,"#, 1)
        } else {
            state.read.insert((key, version));
            match value.ends_with(ADDED) {
                true => value.to_owned(),
                false => value.strip_suffix('}').unwrap().to_owned() + ADDED,
            }
        };
        record.value = Bytes::from(changed);
        Ok(Some((record, version)))
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        {
            let mut state = self.0.state.lock().unwrap();
            let is_kept = record.value.ends_with(ADDED.as_bytes());
            if state.raised == Some(key.kind) || (state.read.contains(&(key, read)) && !is_kept) {
                state.spoilt.insert(key.kind);
            }
            if is_kept {
                state.kept.insert(key.kind);
            }
        }
        self.0.store.replace(key, read, record).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        {
            let mut state = self.0.state.lock().unwrap();
            if state.raised == Some(key.kind) {
                state.spoilt.insert(key.kind);
            }
        }
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

async fn begin() -> (Newer, ManualClock, Harness) {
    let (store, clock) = (Newer::over(Hooked::open().await), ManualClock::new(NOW));
    let server = start(&store, &clock);
    server.create_clients().await;
    (store, clock, server)
}

fn start(store: &Newer, clock: &ManualClock) -> Harness {
    Harness::on(store.clone(), clock, |builder| builder)
}

#[track_caller]
fn is_ok(answer: Answer) -> Answer {
    assert!(answer.status.is_success(), "{answer:?}");
    answer
}

#[tokio::test]
async fn what_a_newer_node_has_added_survives_every_write_of_an_older_one() {
    let (store, _, server) = begin().await;
    let grants = server.oauth.grants();
    let tokens = server.tokens("&scope=ledger.read").await;
    let tokens = is_ok(server.refresh(&tokens.member("refresh_token"), "").await);
    is_ok(server.refresh(&tokens.member("refresh_token"), "").await);
    let (device_code, user_code) = server.device().await;
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
    let page = server.enter(&user_code, "alice").await;
    is_ok(server.decide(&page, "alice", "allow").await);
    is_ok(server.poll(&device_code).await);
    // More than was agreed to before.
    server
        .tokens("&scope=ledger.read+ledger.write&prompt=consent")
        .await;
    let id = "web".parse().unwrap();
    for disabled in [true, false] {
        server.oauth.clients().disable(&id, disabled).await.unwrap();
    }
    for _ in 0..2 {
        grants.revoke_all_of_subject(&alice()).await.unwrap();
    }
    assert_eq!(store.spoilt(), BTreeSet::new());
    let written = [
        Kind::Client,
        Kind::Code,
        Kind::Device,
        Kind::Grant,
        Kind::Interaction,
        Kind::SubjectEpoch,
    ];
    assert!(
        store.kept().is_superset(&written.into()),
        "only {:?} were written again",
        store.kept()
    );
}

/// What is there before another node comes.
struct Given {
    code: String,
    tokens: Answer,
    /// A page that asks.
    page: Answer,
    device_code: String,
    user_code: String,
}

async fn given(server: &Harness) -> Given {
    // So that the subject has an epoch.
    let grants = server.oauth.grants();
    grants.revoke_all_of_subject(&alice()).await.unwrap();
    let tokens = server.tokens("").await;
    let (device_code, user_code) = server.device().await;
    Given {
        code: server.code_for("app", "").await,
        tokens,
        page: server
            .get(&authorization_request("app", ""), Some("bob"))
            .await,
        device_code,
        user_code,
    }
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Redemption,
    Refresh,
    Introspection,
    Revocation,
    RevocationOfAccess,
    Poll,
    Typing,
    Decision,
    Authorization,
    Device,
}

async fn ask(server: &Harness, given: &Given, asked: Asked) -> Answer {
    let access = given.tokens.member("access_token");
    let refresh = given.tokens.member("refresh_token");
    let revoke = async |token: &str| {
        let form = format!("client_id=app&token={token}");
        server.post("/auth/revoke", &form).await
    };
    match asked {
        Asked::Redemption => server.redeem(&given.code).await,
        Asked::Refresh => server.refresh(&refresh, "").await,
        Asked::Introspection => {
            let all = ("all", "all-secret-0123456789-0123456789-0123456789");
            let form = format!("token={access}");
            server.post_as("/auth/introspect", all, &form).await
        }
        Asked::Revocation => revoke(&refresh).await,
        Asked::RevocationOfAccess => revoke(&access).await,
        Asked::Poll => server.poll(&given.device_code).await,
        Asked::Typing => {
            let form = format!("user_code={}", given.user_code);
            server.submit("/device", "alice", &form).await
        }
        Asked::Decision => server.decide(&given.page, "bob", "allow").await,
        Asked::Authorization => server.authorize("").await,
        Asked::Device => server.post("/auth/device", "client_id=tv").await,
    }
}

/// A client that is proven is told at its redirection endpoint.
fn is_unavailable(answer: &Answer) -> bool {
    match answer.status.as_u16() {
        503 => answer.header("retry-after") == "1",
        303 if answer.location().starts_with("https://") => {
            answer.parameter("error").as_deref() == Some("temporarily_unavailable")
        }
        _ => false,
    }
}

#[tokio::test]
async fn a_record_of_a_newer_version_is_503_and_stays_as_it_is() {
    use Asked::{
        Authorization, Decision, Device, Introspection, Poll, Redemption, Refresh, Revocation,
        RevocationOfAccess, Typing,
    };
    let cases = [
        (Kind::Client, vec![Redemption, Refresh, Poll, Authorization]),
        (Kind::Code, vec![Redemption]),
        (Kind::Grant, vec![Refresh, Introspection, Revocation]),
        (Kind::AccessToken, vec![Introspection, RevocationOfAccess]),
        (Kind::SubjectEpoch, vec![Refresh, Introspection]),
        (Kind::Device, vec![Poll, Typing]),
        (Kind::UserCode, vec![Typing]),
        (Kind::Interaction, vec![Decision]),
        (Kind::Consent, vec![Authorization]),
        (Kind::ServerKey, vec![Device, Typing]),
    ];
    for (kind, requests) in cases {
        for asked in requests {
            let (store, clock, server) = begin().await;
            let given = given(&server).await;
            // An older node that knows nothing yet.
            let server = start(&store, &clock);
            store.raises(Some(kind));
            let answer = ask(&server, &given, asked).await;
            assert!(is_unavailable(&answer), "{kind:?}, {asked:?}: {answer:?}");
            assert_eq!(store.spoilt(), BTreeSet::new(), "{kind:?}, {asked:?}");
            // A newer node takes it up, and nothing is lost.
            store.raises(None);
            let answer = ask(&server, &given, asked).await;
            let is_pending =
                answer.status == 400 && answer.text().contains("authorization_pending");
            assert!(
                is_pending || (answer.status.as_u16() < 400 && !is_unavailable(&answer)),
                "{kind:?}, {asked:?}: {answer:?}"
            );
        }
    }
}
