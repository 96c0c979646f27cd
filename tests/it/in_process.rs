//! Tokens of a server in the same process: what they say, when they die, and how soon that is noticed.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
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
use tower_oauth::{AuthorizationServer, Issuance, MemoryStore, Policy, Verdict};

use crate::support::{Answer, FILES, Harness, ISSUER, LEDGER, NOW, SECRET, builder};

/// A memory store that counts what it is asked, and fails, waits or forgets to tell when it is told to. Clones are the same one, as
/// two nodes share a database.
#[derive(Clone, Default)]
struct Watched(Arc<State>);

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
enum Feed {
    #[default]
    Tells,
    Silent,
    Fails,
    Unsupported,
    /// Once, and then it tells.
    Loses,
}

impl Watched {
    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Holds the next read of this kind: the first half tells when it was made, the second lets it go on.
    fn hold(&self, kind: Kind) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((made, was_made), (go, goes)) = (oneshot::channel(), oneshot::channel());
        *self.0.held.lock().unwrap() = Some((kind, made, goes));
        (was_made, go)
    }

    fn feed(&self, feed: Feed) {
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
struct Node {
    server: Harness,
    store: Watched,
    ledger: ResourceServer,
}

impl Node {
    async fn new() -> Self {
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
    async fn client_token(&self) -> String {
        let form = "grant_type=client_credentials&scope=ledger.read";
        let answer = self.server.post_as("/auth/token", ("web", SECRET), form);
        answer.await.member("access_token")
    }

    /// The status for a request that carries this token.
    async fn status(&self, token: &str) -> u16 {
        send(&self.ledger, token).await.status.as_u16()
    }

    /// Makes the token one that passes without asking the store, whatever the feed has to say first.
    async fn warm(&self, token: &str) {
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
async fn send(api: &ResourceServer, token: &str) -> Answer {
    let service = api.layer().layer(service_fn(async |request: Request<()>| {
        let token = request.extensions().get::<AccessToken>();
        let subject = token.map_or_else(String::new, |token| token.subject().to_string());
        Ok::<_, Infallible>(Response::new(http_body_util::Full::<Bytes>::from(subject)))
    }));
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    Answer::of(service.oneshot(request.body(()).unwrap()).await.unwrap()).await
}

/// Lets the other tasks run until something is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to pass");
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
        assert_eq!(facts.audience(), [LEDGER.parse().unwrap()]);
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

// req: 7519-4.1.4-1, 7662-4-14
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

// req: 6750-3.1-2
#[tokio::test]
async fn what_is_no_access_token_of_ours_is_401() {
    let node = Node::new().await;
    let code = node.server.code_for("app", "").await;
    let tokens = node.server.tokens("&scope=offline_access").await;
    let (device_code, _) = node.server.device().await;
    let access_token = tokens.member("access_token");
    let unknown = format!("toa_{}", "A".repeat(43));
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

/// Proves that something ends a warm token of alice's at once, with nothing told by the feed.
async fn ends(kill: impl AsyncFnOnce(&Node, &Tokens)) {
    let node = Node::new().await;
    node.store.feed(Feed::Silent);
    let code = node
        .server
        .code_for("app", "&scope=ledger.read+offline_access")
        .await;
    let answer = node.server.redeem(&code).await;
    let tokens = Tokens {
        code,
        access_token: answer.member("access_token"),
        refresh_token: answer.member("refresh_token"),
    };
    node.warm(&tokens.access_token).await;
    let known = node
        .ledger
        .authenticate(&tokens.access_token)
        .await
        .unwrap();
    let other = node.client_token().await;
    node.warm(&other).await;
    kill(&node, &tokens).await;
    assert!(!known.is_live());
    for _ in ["the very next request", "every other"] {
        let answer = send(&node.ledger, &tokens.access_token).await;
        answer.error(401, "invalid_token");
    }
    assert_eq!(node.status(&other).await, 200, "another client's token");
}

struct Tokens {
    code: String,
    access_token: String,
    refresh_token: String,
}

async fn revoke(node: &Node, token: &str) {
    let form = format!("client_id=app&token={token}");
    let answer = node.server.post("/auth/revoke", &form).await;
    assert_eq!(answer.status, 200);
}

// req: 7009-2-2, 7009-2.1-8
#[tokio::test]
async fn rfc7009_2_1_a_revoked_access_token_is_dead_at_the_next_request() {
    ends(async |node, tokens| revoke(node, &tokens.access_token).await).await;
}

// req: 7009-2-1, 7009-2.1-9
#[tokio::test]
async fn rfc7009_2_1_with_its_refresh_token_an_access_token_dies() {
    ends(async |node, tokens| revoke(node, &tokens.refresh_token).await).await;
}

// req: 6749-4.1.2-4
#[tokio::test]
async fn rfc6749_4_1_2_a_replayed_code_ends_what_came_of_it() {
    ends(async |node, tokens| {
        node.server
            .redeem(&tokens.code)
            .await
            .error(400, "invalid_grant");
    })
    .await;
}

#[tokio::test]
async fn rfc9700_4_14_a_reused_refresh_token_ends_the_family() {
    ends(async |node, tokens| {
        let next = node.server.refresh(&tokens.refresh_token, "").await;
        let newer = next.member("access_token");
        node.server.advance(31);
        node.warm(&newer).await;
        node.warm(&tokens.access_token).await;
        node.server
            .refresh(&tokens.refresh_token, "")
            .await
            .error(400, "invalid_grant");
        assert_eq!(node.status(&newer).await, 401);
    })
    .await;
}

#[tokio::test]
async fn the_host_ends_a_grant_a_subject_or_a_client() {
    let alice = || Subject::new("alice").unwrap();
    ends(async |node, _| {
        let grants = node.server.oauth.grants();
        for grant in grants.by_subject(&alice()).await.unwrap() {
            assert!(grants.revoke(&alice(), &grant.id).await.unwrap());
        }
    })
    .await;
    ends(async |node, _| {
        let grants = node.server.oauth.grants();
        grants.revoke_all_of_subject(&alice()).await.unwrap();
    })
    .await;
    let app = || "app".parse().unwrap();
    ends(async |node, _| {
        let clients = node.server.oauth.clients();
        assert!(clients.disable(&app(), true).await.unwrap());
    })
    .await;
    ends(async |node, _| {
        let clients = node.server.oauth.clients();
        assert!(clients.revoke_tokens(&app()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn what_kills_nothing_costs_a_look_and_never_a_401() {
    let node = Node::new().await;
    let token = node.client_token().await;
    node.warm(&token).await;
    let web = "web".parse().unwrap();
    let secret = node.server.oauth.clients().rotate_secret(&web).await;
    assert!(secret.unwrap().is_some());
    let asked = node.store.asked();
    assert_eq!(node.status(&token).await, 200);
    assert!(node.store.asked() > asked, "the store was asked again");
    node.warm(&token).await;
}

/// A feed begins by saying that something may have been missed.
#[tokio::test]
async fn a_token_of_an_earlier_life_is_good_from_the_first_request_on() {
    let before = Node::new().await;
    let token = before.client_token().await;
    let oauth = another_node(&before);
    let ledger = ResourceServer::builder(LEDGER)
        .issuer(Issuer::in_process(&oauth))
        .clock(before.server.clock.clone())
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(send(&ledger, &token).await.status, 200);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_revocation_while_a_token_is_checked_wins() {
    for kind in [
        Kind::AccessToken,
        Kind::Client,
        Kind::Grant,
        Kind::SubjectEpoch,
    ] {
        let node = Node::new().await;
        node.store.feed(Feed::Silent);
        let tokens = node
            .server
            .tokens("&scope=ledger.read+offline_access")
            .await;
        let token = tokens.member("access_token");
        let (was_made, go) = node.store.hold(kind);
        let check = tokio::spawn({
            let (ledger, token) = (node.ledger.clone(), token.clone());
            async move { ledger.authenticate(&token).await }
        });
        was_made.await.unwrap();
        match kind {
            Kind::AccessToken => revoke(&node, &token).await,
            Kind::Grant => revoke(&node, &tokens.member("refresh_token")).await,
            Kind::Client => {
                let clients = node.server.oauth.clients();
                assert!(
                    clients
                        .disable(&"app".parse().unwrap(), true)
                        .await
                        .unwrap()
                );
            }
            _ => {
                let (grants, alice) = (node.server.oauth.grants(), Subject::new("alice").unwrap());
                grants.revoke_all_of_subject(&alice).await.unwrap();
            }
        }
        go.send(()).unwrap();
        assert_eq!(check.await.unwrap().unwrap_err(), Refusal::InvalidToken);
        assert_eq!(node.status(&token).await, 401, "nothing was kept: {kind:?}");
    }
}

#[tokio::test]
async fn a_change_that_kills_nothing_while_a_token_is_checked_is_no_refusal() {
    let node = Node::new().await;
    let token = node.client_token().await;
    let (was_made, go) = node.store.hold(Kind::Client);
    let check = tokio::spawn({
        let (ledger, token) = (node.ledger.clone(), token.clone());
        async move { ledger.authenticate(&token).await }
    });
    was_made.await.unwrap();
    let web = "web".parse().unwrap();
    let secret = node.server.oauth.clients().rotate_secret(&web).await;
    assert!(secret.unwrap().is_some());
    go.send(()).unwrap();
    assert_eq!(check.await.unwrap().unwrap().subject().as_str(), "web");
}

#[tokio::test]
async fn what_another_node_kills_dies_here_without_a_request() {
    let node = Node::new().await;
    let other = another_node(&node);
    let token = node.server.tokens("").await.member("access_token");
    node.warm(&token).await;
    let known = node.ledger.authenticate(&token).await.unwrap();
    let alice = Subject::new("alice").unwrap();
    other.grants().revoke_all_of_subject(&alice).await.unwrap();
    let asked = node.store.asked();
    until(|| !known.is_live()).await;
    assert_eq!(node.store.asked(), asked, "the feed told it");
    assert_eq!(node.status(&token).await, 401);
}

fn another_node(node: &Node) -> AuthorizationServer {
    builder()
        .store(node.store.clone())
        .clock(node.server.clock.clone())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_feed_that_lost_something_or_broke_off_makes_everything_cold_and_nothing_dead() {
    for feed in [Feed::Loses, Feed::Fails] {
        let node = Node::new().await;
        node.store.feed(Feed::Silent);
        let token = node.server.tokens("").await.member("access_token");
        let lives = node.client_token().await;
        node.warm(&token).await;
        node.warm(&lives).await;
        let known = node.ledger.authenticate(&token).await.unwrap();
        let alice = Subject::new("alice").unwrap();
        let other = another_node(&node);
        other.grants().revoke_all_of_subject(&alice).await.unwrap();
        assert_eq!(node.status(&token).await, 200, "nobody told us yet");
        node.store.feed(feed);
        until(|| !known.is_live()).await;
        let asked = node.store.asked();
        assert_eq!(node.status(&token).await, 401, "{feed:?}");
        assert_eq!(node.status(&lives).await, 200, "{feed:?}");
        assert!(node.store.asked() > asked);
        node.warm(&lives).await;
    }
}

// req: 7009-PROJ-2
#[tokio::test]
async fn without_a_feed_nothing_is_believed_for_longer_than_the_store_says() {
    let node = Node::new().await;
    node.store.feed(Feed::Unsupported);
    let token = node.server.tokens("").await.member("access_token");
    node.warm(&token).await;
    let known = node.ledger.authenticate(&token).await.unwrap();
    let alice = Subject::new("alice").unwrap();
    let other = another_node(&node);
    other.grants().revoke_all_of_subject(&alice).await.unwrap();
    node.server.advance(4);
    assert_eq!(node.status(&token).await, 200, "five seconds are not over");
    node.server.advance(1);
    until(|| !known.is_live()).await;
    assert_eq!(node.status(&token).await, 401);
}

#[test]
fn background_tasks_start_as_soon_as_there_is_a_runtime() {
    let node = at_once(Node::new());
    let token = at_once(node.server.tokens("")).member("access_token");
    assert_eq!(at_once(node.status(&token)), 200);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        node.server.advance(60);
        node.warm(&token).await;
        let known = node.ledger.authenticate(&token).await.unwrap();
        let alice = Subject::new("alice").unwrap();
        let other = another_node(&node);
        other.grants().revoke_all_of_subject(&alice).await.unwrap();
        until(|| !known.is_live()).await;
    });
}

/// What comes of a future that has nothing to wait for, without a runtime.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test]
async fn background_tasks_end_with_the_last_clone() {
    for feed in [Feed::Tells, Feed::Silent, Feed::Unsupported] {
        let node = Node::new().await;
        node.store.feed(feed);
        let token = node.client_token().await;
        node.warm(&token).await;
        let clock = node.server.clock.clone();
        let Node {
            server,
            store,
            ledger,
        } = node;
        let store = Arc::downgrade(&{ store }.0);
        drop(server);
        // The resource server holds a clone: the feed is still listened to.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(store.strong_count() > 0);
        assert_eq!(send(&ledger, &token).await.status, 200);
        drop(ledger);
        until(|| store.strong_count() == 0).await;
        drop(clock);
    }
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

    // req: 6750-3.1-3, 6750-3.1-5
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
