//! Tokens of a server in the same process: what they say, whom they open the door for, and what happens while the store is down.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::{Notify, oneshot};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::resource::{AccessToken, Issuer, Refusal, ResourceServer};
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{Claims, ManualClock, Subject, Timestamp};
use tower_oauth::{Issuance, MemoryStore, Policy, Verdict};

use crate::support::{Answer, FILES, Harness, ISSUER, LEDGER, NOW, SECRET};
use crate::waits::soon;

/// A memory store that counts what it is asked, and fails, waits or forgets to tell when it is told to. Clones are the same one, as
/// two nodes share a database.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<State>);

#[derive(Default)]
struct State {
    records: MemoryStore,
    asked: AtomicUsize,
    is_down: AtomicBool,
    /// The next read of this kind is held after it was made: who holds it is told, and says when it goes on.
    held: Mutex<Option<Held>>,
    feed: Mutex<Feed>,
    feed_changed: Notify,
}

type Held = (Kind, oneshot::Sender<()>, oneshot::Receiver<()>);

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Feed {
    #[default]
    Tells,
    Silent,
    Fails,
    Unsupported,
    /// Once, and then it tells.
    Loses,
    /// Again and again: it never knows what it has missed.
    Doubts,
}

impl Watched {
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Tells whether anybody still has the store.
    pub(crate) fn downgrade(self) -> Weak<impl Sized> {
        Arc::downgrade(&self.0)
    }

    /// Holds the next read of this kind: the first half tells when it was made, the second lets it go on.
    pub(crate) fn hold(&self, kind: Kind) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((made, was_made), (go, goes)) = (oneshot::channel(), oneshot::channel());
        *self.0.held.lock().unwrap() = Some((kind, made, goes));
        (was_made, go)
    }

    pub(crate) fn feed(&self, feed: Feed) {
        *self.0.feed.lock().unwrap() = feed;
        self.0.feed_changed.notify_waiters();
    }

    fn answer<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::new("no route to host"));
        }
        answer
    }
}

impl Store for Watched {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.answer(self.0.records.insert(key, record, now).await)
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        let answer = self.answer(self.0.records.get(key).await);
        let held = {
            let mut held = self.0.held.lock().unwrap();
            held.take_if(|(kind, ..)| *kind == key.kind)
        };
        if let Some((_, made, go)) = held {
            made.send(()).unwrap();
            go.await.unwrap();
        }
        answer
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        self.answer(self.0.records.replace(key, read, record).await)
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.answer(self.0.records.remove(key).await)
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.answer(self.0.records.list(listing).await)
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.0.records.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        loop {
            let changed = self.0.feed_changed.notified();
            let feed = *self.0.feed.lock().unwrap();
            let news = async {
                match feed {
                    Feed::Tells => self.0.records.changes(after).await,
                    Feed::Silent => std::future::pending().await,
                    Feed::Fails => Err(StoreError::new("the feed broke off")),
                    Feed::Unsupported => Ok(Changes::Unsupported {
                        staleness: Duration::from_secs(5),
                    }),
                    Feed::Loses => {
                        *self.0.feed.lock().unwrap() = Feed::Tells;
                        self.0.records.changes(None).await
                    }
                    Feed::Doubts => {
                        tokio::task::yield_now().await; // it never waits
                        self.0.records.changes(None).await
                    }
                }
            };
            tokio::select! {
                news = news => return news,
                () = changed => {}
            }
        }
    }
}

/// A server over a watched store, and the ledger that takes its tokens.
pub(crate) struct Node {
    pub(crate) server: Harness,
    pub(crate) store: Watched,
    pub(crate) ledger: ResourceServer,
}

impl Node {
    pub(crate) async fn new() -> Self {
        let store = Watched::default();
        let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
        server.create_clients().await;
        let ledger = resource(&server, LEDGER);
        Self {
            server,
            store,
            ledger,
        }
    }

    /// An access token of the web client, for itself.
    pub(crate) async fn client_token(&self) -> String {
        let form = "grant_type=client_credentials&scope=ledger.read";
        let answer = self.server.post_as("/auth/token", ("web", SECRET), form);
        answer.await.member("access_token")
    }

    /// The status for a request that carries this token.
    pub(crate) async fn status(&self, token: &str) -> u16 {
        send(&self.ledger, token).await.status.as_u16()
    }

    /// Makes the token one that passes without asking the store, whatever the feed has to say first.
    pub(crate) async fn warm(&self, token: &str) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
            let before = self.store.asked();
            assert_eq!(self.status(token).await, 200);
            if self.store.asked() == before {
                return;
            }
        }
        panic!("the token stays cold");
    }
}

fn resource(server: &Harness, resource: &str) -> ResourceServer {
    ResourceServer::builder(resource)
        .issuer(Issuer::in_process(&server.oauth))
        .clock(server.clock.clone())
        .build()
        .unwrap()
}

/// Sends a request with this token to a service behind the layer, which answers with the subject.
pub(crate) async fn send(api: &ResourceServer, token: &str) -> Answer {
    let service = api.layer().layer(service_fn(async |request: Request<()>| {
        let token = request.extensions().get::<AccessToken>();
        let subject = token.map_or_else(String::new, |token| token.subject().to_string());
        Ok::<_, Infallible>(Response::new(http_body_util::Full::<Bytes>::from(subject)))
    }));
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let answer = service.oneshot(request.body(()).unwrap());
    Answer::of(soon("an answer", answer).await.unwrap()).await
}

struct Tenants;

impl Policy for Tenants {
    async fn issue(&self, issuance: Issuance<'_>) -> Verdict {
        let tenant =
            serde_json::json!({"tenant": "north", "by": issuance.client.client_id().as_str()});
        Verdict::Allow {
            scope: issuance.scope.clone(),
            claims: Claims::new(tenant.as_object().unwrap().clone()).unwrap(),
        }
    }
}

#[tokio::test]
async fn the_facts_are_those_of_the_grant() {
    let server = Harness::with(|builder| builder.policy(Tenants)).await;
    let api = resource(&server, LEDGER);
    let tokens = server.tokens("&scope=ledger.read+ledger.write").await;
    let token = tokens.member("access_token");
    for _ in ["cold", "warm"] {
        let facts = api.authenticate(&token).await.unwrap();
        assert_eq!(facts.subject().as_str(), "alice");
        assert_eq!(facts.owner().map(Subject::as_str), Some("alice"));
        assert_eq!(facts.client_id().map(|id| id.as_str()), Some("app"));
        assert_eq!(facts.scope().to_string(), "ledger.read ledger.write");
        assert_eq!(facts.audience(), [LEDGER.into()]);
        assert_eq!(facts.issuer().as_str(), ISSUER);
        assert_eq!(facts.issued_at(), Some(NOW));
        assert_eq!(
            facts.expires_at(),
            NOW.saturating_add(Duration::from_secs(600))
        );
        let claims = serde_json::json!({"tenant": "north", "by": "app"});
        assert_eq!(Some(facts.claims().as_map()), claims.as_object());
        let jti = server.introspect(&token).await["jti"].clone();
        assert_eq!(facts.jti(), jti.as_str());
    }
}

// A client that speaks for itself is its own subject.
#[tokio::test]
async fn rfc9068_2_2_a_client_is_its_own_subject_and_has_no_owner() {
    let node = Node::new().await;
    let token = node.client_token().await;
    let facts = node.ledger.authenticate(&token).await.unwrap();
    assert_eq!(facts.subject().as_str(), "web");
    assert_eq!(facts.owner(), None);
}

// req: 7519-4.1.4-1, 7662-4-14, 6749-7-1
#[tokio::test]
async fn v23_a_token_is_dead_in_the_second_it_expires_warm_and_cold() {
    let node = Node::new().await;
    let token = node.client_token().await;
    node.server.advance(590);
    node.warm(&token).await;
    node.server.advance(9);
    let asked = node.store.asked();
    assert_eq!(node.status(&token).await, 200);
    assert_eq!(node.store.asked(), asked, "it was warm");
    node.server.advance(1);
    assert_eq!(node.status(&token).await, 401);
    let cold = resource(&node.server, LEDGER);
    assert_eq!(send(&cold, &token).await.status, 401);
}

// req: oauth21-5.2-1
#[tokio::test]
async fn v22_v24_resource_servers_of_one_server_share_no_verdict() {
    let node = Node::new().await;
    let (files, again) = (
        resource(&node.server, FILES),
        resource(&node.server, LEDGER),
    );
    let tokens = node
        .server
        .tokens(&format!("&resource={FILES}&scope=files.read"))
        .await;
    let (of_files, of_ledger) = (tokens.member("access_token"), node.client_token().await);
    for _ in ["cold", "warm", "warm"] {
        assert_eq!(node.status(&of_ledger).await, 200);
        assert_eq!(send(&again, &of_ledger).await.status, 200);
        assert_eq!(send(&files, &of_files).await.status, 200);
        send(&files, &of_ledger).await.error(401, "invalid_token");
        send(&node.ledger, &of_files)
            .await
            .error(401, "invalid_token");
        send(&again, &of_files).await.error(401, "invalid_token");
    }
    // A narrow route stays narrow after a wide one has warmed the cache.
    let narrow = node
        .ledger
        .layer()
        .layer(
            node.ledger
                .require("ledger.write")
                .layer(service_fn(async |_: Request<()>| {
                    Ok::<_, Infallible>(Response::new(String::new()))
                })),
        );
    let request = Request::get("/").header("authorization", format!("Bearer {of_ledger}"));
    let refused = narrow.oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(refused.status(), 403);
}

// req: 6750-3.1-2, 6749-7-1
#[tokio::test]
async fn what_is_no_access_token_of_ours_is_401() {
    let node = Node::new().await;
    let code = node.server.code_for("app", "").await;
    let tokens = node.server.tokens("&scope=offline_access").await;
    let (device_code, _) = node.server.device().await;
    let access_token = tokens.member("access_token");
    let unknown = format!("toa_{}", "A".repeat(51));
    let longer = format!("{access_token}A");
    let cut = access_token[..access_token.len() - 1].to_owned();
    let refresh_token = tokens.member("refresh_token");
    let renamed = refresh_token.replacen("tor_", "toa_", 1);
    for wrong in [
        code,
        device_code,
        refresh_token,
        renamed,
        unknown,
        longer,
        cut,
        "0815".to_owned(),
        "e30.e30.e30".to_owned(),
        "toa_".to_owned(),
    ] {
        for _ in 0..2 {
            let answer = send(&node.ledger, &wrong).await;
            answer.error(401, "invalid_token");
            assert!(!answer.text().contains(&wrong));
        }
    }
    assert_eq!(node.status(&access_token).await, 200);
}

// req: http-err-3
#[tokio::test]
async fn a_store_that_is_down_is_503_for_the_cold_and_nothing_for_the_warm() {
    let node = Node::new().await;
    let (warm, cold) = (node.client_token().await, node.client_token().await);
    node.warm(&warm).await;
    node.store.down(true);
    for _ in 0..2 {
        let answer = send(&node.ledger, &cold).await;
        answer.error(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), "5");
        assert!(!answer.headers.contains_key("www-authenticate"));
        assert_eq!(node.status(&warm).await, 200);
        assert_eq!(
            node.ledger.authenticate(&cold).await.unwrap_err(),
            Refusal::Unavailable
        );
    }
    // Facts that have grown old are not believed because nobody can be asked.
    node.server.advance(60);
    assert_eq!(node.status(&warm).await, 503);
    node.store.down(false);
    assert_eq!(node.status(&cold).await, 200);
    assert_eq!(node.status(&warm).await, 200);
}

mod in_axum {
    //! Both halves on one router, as the documentation shows them.

    use axum::body::Body;
    use axum::{Router, routing};
    use http_body_util::Full;

    use super::*;

    async fn who(token: AccessToken) -> String {
        token.subject().to_string()
    }

    async fn who_if_any(token: Option<AccessToken>) -> String {
        token.map_or_else(|| "nobody".to_owned(), |token| token.subject().to_string())
    }

    async fn get(app: &Router, path: &str, token: Option<&str>) -> Answer {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).unwrap();
        Answer::of(app.clone().oneshot(request).await.unwrap()).await
    }

    // req: 6750-3.1-3, 6750-3.1-5, 6749-7-1
    #[tokio::test]
    async fn v40_both_halves_on_one_router() {
        let node = Node::new().await;
        let api = &node.ledger;
        let ledger = Router::new()
            .route(
                "/ledger",
                routing::get(who).route_layer(api.require("ledger.read")),
            )
            .route(
                "/ledger/write",
                routing::get(who).route_layer(api.require("ledger.write")),
            )
            .route_layer(api.layer());
        let open = Router::new()
            .route("/anyone", routing::get(who_if_any))
            .route_layer(api.layer().optional());
        let app = Router::new()
            .route("/health", routing::get(async || "up"))
            .merge(ledger)
            .merge(open)
            .layer(node.server.oauth.layer());

        let token = node.server.tokens("&scope=ledger.read").await;
        let token = token.member("access_token");
        for _ in ["cold", "warm"] {
            let answer = get(&app, "/ledger", Some(&token)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.text().as_str()),
                (200, "alice")
            );
            get(&app, "/ledger/write", Some(&token))
                .await
                .error(403, "insufficient_scope");
            assert_eq!(get(&app, "/anyone", Some(&token)).await.text(), "alice");
        }
        assert_eq!(get(&app, "/health", None).await.text(), "up");
        assert_eq!(get(&app, "/anyone", None).await.text(), "nobody");
        let stranger = get(&app, "/ledger", None).await;
        assert_eq!(stranger.status, 401);
        assert!(!stranger.header("www-authenticate").contains("error"));
        // The challenge leads to a document that the serving half of the same router answers.
        let challenge = stranger.header("www-authenticate").to_owned();
        let path = "/.well-known/oauth-protected-resource/ledger";
        assert!(challenge.contains(path), "{challenge}");
        assert_eq!(get(&app, path, None).await.member("resource"), LEDGER);

        let form = format!("client_id=app&token={token}");
        let revocation = Request::post("/auth/revoke")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::new(Full::from(form)))
            .unwrap();
        let answer = app.clone().oneshot(revocation).await.unwrap();
        assert_eq!(answer.status(), 200);
        for path in ["/ledger", "/ledger/write", "/anyone"] {
            get(&app, path, Some(&token))
                .await
                .error(401, "invalid_token");
        }
    }
}
