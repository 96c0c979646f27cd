//! The layers as tower services: which instance serves, what reaches it, what is remembered, and how layers stand within each other.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_oauth::resource::{
    AccessToken, BearerLayer, BearerToken, CacheLimits, Facts, Flag, Issuer, OwnedToken, Refusal,
    ResourceServer, Unavailable, Validator,
};
use tower_oauth::types::{ManualClock, Timestamp};

use crate::bearer::{API, AS, METADATA, NOW, Table, ada, challenge, get, param, server, settings};

const GOOD: &[&str] = &["Bearer good"];
const SLOW: &[&str] = &["Bearer slow-good"];

/// Becomes ready at the second time of asking, and panics if an instance that is not ready is called. Clones are never ready.
#[derive(Debug)]
struct Probe {
    polled: u8,
    calls: Arc<AtomicUsize>,
}

impl Probe {
    fn new() -> (Self, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let probe = Self {
            polled: 0,
            calls: Arc::clone(&calls),
        };
        (probe, calls)
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self {
            polled: 0,
            calls: Arc::clone(&self.calls),
        }
    }
}

impl Service<Request<String>> for Probe {
    type Response = Response<String>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Response<String>, &'static str>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if self.polled > 0 {
            self.polled = 2;
            return Poll::Ready(Ok(()));
        }
        self.polled = 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert_eq!(self.polled, 2, "an instance that was not ready was called");
        self.polled = 0;
        self.calls.fetch_add(1, Ordering::SeqCst);
        let token = request.extensions().get::<AccessToken>();
        let subject = token.map_or("nobody", |token| token.subject().as_str());
        std::future::ready(Ok(Response::new(subject.to_owned())))
    }
}

async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn readiness_is_passed_on_and_the_ready_instance_is_the_one_called() {
    let server = server(Table::new());
    for authorization in [GOOD, SLOW] {
        let (probe, calls) = Probe::new();
        let mut service = server
            .layer()
            .layer(server.require("notes:read").layer(probe));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_pending());
        assert!(service.poll_ready(&mut cx).is_ready());
        let response = service.call(get(authorization)).await.unwrap();
        assert_eq!(text(response).await, "ada");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        // What stays behind has to become ready of its own.
        let response = service
            .ready()
            .await
            .unwrap()
            .call(get(authorization))
            .await;
        assert_eq!(text(response.unwrap()).await, "ada");
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn an_error_of_the_inner_service_is_passed_on() {
    let failing = service_fn(async |_: Request<String>| Err::<Response<String>, _>("broken"));
    for authorization in [GOOD, SLOW] {
        let service = server(Table::new()).layer().layer(failing);
        let failed = service.oneshot(get(authorization)).await;
        assert_eq!(failed.unwrap_err(), "broken");
    }
}

#[tokio::test]
async fn a_refused_request_never_reaches_the_inner_service() {
    let table = Table::new();
    table.down(true);
    let server = server(table);
    let (probe, calls) = Probe::new();
    let service = server.layer().layer(probe.clone());
    let narrow = server
        .layer()
        .layer(server.require("notes:write").layer(probe));
    for (authorization, status) in [
        (&[][..], StatusCode::UNAUTHORIZED),
        (&["Bearer a b"], StatusCode::BAD_REQUEST),
        (&["Bearer good", "Bearer good"], StatusCode::BAD_REQUEST),
        (&["Bearer unknown"], StatusCode::UNAUTHORIZED),
        (SLOW, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let response = service.clone().oneshot(get(authorization)).await.unwrap();
        assert_eq!(response.status(), status);
    }
    let response = narrow.oneshot(get(GOOD)).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

/// A request that was given up while its token was checked takes its parked service with it.
#[tokio::test]
async fn a_caller_may_go_away_at_any_time() {
    let server = server(Table::new());
    let (probe, calls) = Probe::new();
    let mut service = server.layer().layer(probe);
    let mut waiting = Box::pin(service.ready().await.unwrap().call(get(SLOW)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    drop(waiting);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let response = service
        .ready()
        .await
        .unwrap()
        .call(get(SLOW))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

/// A body as tonic has it: it is made of nothing, ends with trailers, and fails in its own way.
#[derive(Debug)]
struct GrpcBody;

#[derive(Debug, PartialEq)]
struct GrpcStatus;

impl http_body::Body for GrpcBody {
    type Data = Bytes;
    type Error = GrpcStatus;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, GrpcStatus>>> {
        Poll::Ready(Some(Err(GrpcStatus)))
    }
}

#[tokio::test]
async fn the_inner_body_may_be_of_any_type_and_keeps_its_errors() {
    let server = server(Table::new());
    let layers = ServiceBuilder::new()
        .layer(server.layer())
        .layer(server.require("notes:read"));
    // The request body is of any type too: nothing is asked of it.
    let inner = service_fn(async |_: Request<std::cell::Cell<u8>>| {
        Ok::<_, Infallible>(Response::new(GrpcBody))
    });
    let request = |authorization| get(authorization).map(|_| std::cell::Cell::new(7));
    let service = layers.service(inner);
    let response = service.clone().oneshot(request(GOOD)).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap_err(),
        GrpcStatus
    );
    let response = service.oneshot(request(&[])).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
}

#[test]
fn a_tonic_server_takes_the_layers() {
    let api = server(Table::new());
    let serving = tonic::transport::Server::builder()
        .layer(api.layer())
        .layer(api.require("notes:read"))
        .add_routes(tonic::service::Routes::default())
        .serve(([127, 0, 0, 1], 0).into());
    drop(serving); // that it compiles is the point
}

#[tokio::test]
async fn v40_optional_means_that_a_token_may_be_absent_and_never_that_it_may_be_wrong() {
    let table = Table::new();
    let server = server(table.clone());
    let (probe, calls) = Probe::new();
    let service = server.layer().optional().layer(probe);
    let response = service.clone().oneshot(get(&[])).await.unwrap();
    assert_eq!(text(response).await, "nobody");
    let response = service.clone().oneshot(get(&["Basic YTpi"])).await.unwrap();
    assert_eq!(text(response).await, "nobody");
    for authorization in [GOOD, SLOW] {
        let response = service.clone().oneshot(get(authorization)).await.unwrap();
        assert_eq!(text(response).await, "ada");
    }
    table.down(true);
    let before = calls.load(Ordering::SeqCst);
    for (authorization, status) in [
        (&["Bearer unknown"][..], StatusCode::UNAUTHORIZED),
        (&["Bearer"], StatusCode::BAD_REQUEST),
        (&["Bearer good", ""], StatusCode::BAD_REQUEST),
        (SLOW, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let response = service.clone().oneshot(get(authorization)).await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert_eq!(calls.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_scope_behind_an_optional_layer_still_needs_a_token() {
    let server = server(Table::new());
    let (probe, calls) = Probe::new();
    let service = server
        .layer()
        .optional()
        .layer(server.require("notes:read").layer(probe));
    let response = service.clone().oneshot(get(&[])).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(param(&response, "scope").as_deref(), Some("notes:read"));
    assert_eq!(param(&response, "error"), None);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let response = service.oneshot(get(GOOD)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_scope_outside_of_its_layer_is_500_and_never_a_pass() {
    let (mine, other) = (server(Table::new()), server(Table::new()));
    let (probe, calls) = Probe::new();
    let outside = mine.require("notes:read").layer(probe.clone());
    let response = outside.oneshot(get(GOOD)).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);

    // Another resource server's layer is none, whether it found a token or did without one.
    let behind = |layer: BearerLayer| layer.layer(mine.require("notes:read").layer(probe.clone()));
    for (service, authorization) in [
        (behind(other.layer()), GOOD),
        (behind(other.layer().optional()), GOOD),
        (behind(other.layer().optional()), &[]),
    ] {
        let response = service.oneshot(get(authorization)).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    // Nor is an outer layer that found a token an answer to what an inner, optional one asks.
    let strip = |mut request: Request<String>| {
        request.headers_mut().remove("authorization");
        request
    };
    let inner = mine
        .layer()
        .optional()
        .layer(probe.clone())
        .map_request(strip);
    let response = other.layer().layer(inner).oneshot(get(GOOD)).await.unwrap();
    assert_eq!(text(response).await, "nobody");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_no_scope_is_500_and_never_a_pass() {
    let server = server(Table::new());
    let (probe, calls) = Probe::new();
    for text in ["", "  ", "a\"b", "é"] {
        let service = server
            .layer()
            .layer(server.require(text).layer(probe.clone()));
        let response = service.oneshot(get(GOOD)).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

fn cached(table: Table, clock: ManualClock) -> ResourceServer {
    ResourceServer::builder(API)
        .issuer(Issuer::custom(AS, table).cached())
        .clock(clock)
        .build()
        .unwrap()
}

// req: http-time-1, oauth21-5.2-1
#[tokio::test]
async fn v23_a_warm_token_dies_in_the_second_it_expires() {
    let clock = ManualClock::new(NOW);
    let server = cached(Table::new(), clock.clone());
    let token = server.authenticate("slow-good").await.unwrap();
    clock.advance(Duration::from_secs(599));
    assert!(server.authenticate("slow-good").await.is_ok());
    assert!(token.is_live());
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        server.authenticate("slow-good").await.unwrap_err(),
        Refusal::InvalidToken
    );
    assert!(!token.is_live());
}

#[tokio::test]
async fn facts_are_believed_for_the_ttl_and_outages_for_no_time_at_all() {
    let (table, clock) = (Table::new(), ManualClock::new(NOW));
    let server = cached(table.clone(), clock.clone());
    table.down(true);
    for _ in 0..2 {
        let refused = server.authenticate("slow-good").await.unwrap_err();
        assert_eq!(refused, Refusal::Unavailable);
    }
    assert_eq!(table.asked(), 2);
    table.down(false);
    for _ in 0..3 {
        assert!(server.authenticate("slow-good").await.is_ok());
    }
    assert_eq!(table.asked(), 3);
    table.forget("slow-good");
    clock.advance(Duration::from_secs(59));
    assert!(server.authenticate("slow-good").await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        server.authenticate("slow-good").await.unwrap_err(),
        Refusal::InvalidToken
    );
    // A refusal is believed for less long.
    let _table = table.with("slow-good", ada());
    clock.advance(Duration::from_secs(9));
    assert!(server.authenticate("slow-good").await.is_err());
    clock.advance(Duration::from_secs(1));
    assert!(server.authenticate("slow-good").await.is_ok());
}

#[tokio::test]
async fn one_issuer_may_be_believed_for_less_long() {
    let (table, clock) = (Table::new(), ManualClock::new(NOW));
    let server = ResourceServer::builder(API)
        .issuer(Issuer::custom(AS, table.clone()).cached_for(Duration::from_secs(5)))
        .clock(clock.clone())
        .build()
        .unwrap();
    for (after, asked) in [(0, 1), (4, 1), (1, 2)] {
        clock.advance(Duration::from_secs(after));
        assert!(server.authenticate("slow-good").await.is_ok());
        assert_eq!(table.asked(), asked);
    }
}

/// An issuer that takes ten minutes to answer.
struct Ponderous(ManualClock);

impl Validator for Ponderous {
    fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        None
    }

    async fn validate(&self, _: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        self.0.advance(Duration::from_secs(600));
        Ok(Ok(Arc::new(ada().build())))
    }
}

#[tokio::test]
async fn a_token_that_expires_while_it_is_checked_is_not_let_through() {
    let clock = ManualClock::new(NOW);
    let server = ResourceServer::builder(API)
        .issuer(Issuer::custom(AS, Ponderous(clock.clone())))
        .clock(clock)
        .build()
        .unwrap();
    let response = server
        .layer()
        .layer(Probe::new().0)
        .oneshot(get(GOOD))
        .await;
    assert_eq!(response.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What was logged since the last time.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test]
async fn the_log_says_why_and_never_what_the_token_was() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber alone, the thread that meets a log line first decides for all whether it is ever written; with two, all
    // subscribers are asked.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _guard = tracing::subscriber::set_default(subscriber);

    let table = Table::new().with(
        "hunter2",
        ada().dies_with({
            let flag = Flag::new();
            flag.set();
            flag
        }),
    );
    table.down(true);
    let server = server(table);
    let service = server
        .layer()
        .layer(server.require("notes:write").layer(Probe::new().0));
    for (authorization, level, why) in [
        ("Bearer hunter2", "DEBUG", "revoked"),
        ("Bearer hunter22", "DEBUG", "no such token"),
        ("Bearer hunter2 hunter2", "DEBUG", "malformed"),
        ("Bearer slow-hunter2", "ERROR", "no route to host"),
        ("Bearer good", "DEBUG", "insufficient_scope"),
    ] {
        let response = service
            .clone()
            .oneshot(get(&[authorization]))
            .await
            .unwrap();
        assert!(!response.status().is_success());
        let said = log.take();
        assert!(said.contains(level) && said.contains(why), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    // A mistake of the program is loud: when it is made, and whenever it is met.
    let wrong = server.require("a\"b");
    assert!(log.take().contains("ERROR"));
    for inner in [wrong, server.require("notes:read")] {
        let response = inner
            .layer(Probe::new().0)
            .oneshot(get(GOOD))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(log.take().contains("ERROR"));
    }
}

#[tokio::test]
async fn without_a_cache_the_validator_is_asked_every_time() {
    let table = Table::new();
    let uncached = server(table.clone());
    let no_time = settings(Table::new().with("slow-other", ada()))
        .cache(CacheLimits::new().ttl(Duration::ZERO))
        .build()
        .unwrap();
    for round in 1..=3 {
        assert!(uncached.authenticate("slow-good").await.is_ok());
        assert!(no_time.authenticate("slow-other").await.is_ok());
        assert_eq!(table.asked(), round);
    }
}

#[tokio::test]
async fn a_flag_ends_a_warm_token_at_once() {
    let revoked = Flag::new();
    let table = Table::new().with("slow-flagged", ada().dies_with(revoked.clone()));
    let server = cached(table.clone(), ManualClock::new(NOW));
    let token = server.authenticate("slow-flagged").await.unwrap();
    assert!(token.is_live());
    revoked.set();
    assert!(!token.is_live());
    let service = server.layer().layer(Probe::new().0);
    let response = service
        .oneshot(get(&["Bearer slow-flagged"]))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(table.asked(), 2, "what was warm has ended: the issuer says");
}

#[tokio::test]
async fn v22_a_token_that_one_resource_keeps_warm_is_refused_by_another() {
    let (table, clock) = (Table::new(), ManualClock::new(NOW));
    let notes = cached(table.clone(), clock.clone());
    let ledger = ResourceServer::builder("https://api.example/ledger")
        .issuer(Issuer::custom(AS, table).cached())
        .clock(clock)
        .build()
        .unwrap();
    for _ in 0..2 {
        assert!(notes.authenticate("slow-good").await.is_ok());
        assert_eq!(
            ledger.authenticate("slow-good").await.unwrap_err(),
            Refusal::InvalidToken
        );
    }
}

#[tokio::test]
async fn v24_a_narrow_route_is_narrow_after_a_wide_one_warmed_the_cache() {
    let server = cached(Table::new(), ManualClock::new(NOW));
    let wide = server.layer().layer(Probe::new().0);
    let narrow = server
        .layer()
        .layer(server.require("notes:write").layer(Probe::new().0));
    for _ in 0..2 {
        let response = wide.clone().oneshot(get(SLOW)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let response = narrow.clone().oneshot(get(SLOW)).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn with_several_issuers_each_sees_its_own_tokens_only() {
    const OTHER: &str = "https://other.example";
    let (first, second) = (Table::new(), Table::new());
    let server = settings(first.clone())
        .issuer(Issuer::custom(OTHER, second.clone()).token_prefix("slow-o_"))
        .build()
        .unwrap();
    let of_other = tower_oauth::resource::TokenFacts::builder(
        OTHER.parse().unwrap(),
        tower_oauth::types::Subject::new("bob").unwrap(),
        Timestamp::MAX,
    )
    .audience([API]);
    let second = second
        .with("slow-o_1", of_other.clone())
        .with("warm", of_other)
        .with("slow-o_2", ada());
    // Shown to the one it belongs to.
    let token = server.authenticate("slow-o_1").await.unwrap();
    assert_eq!(
        (token.issuer().as_str(), token.subject().as_str()),
        (OTHER, "bob")
    );
    assert_eq!((first.asked(), second.asked()), (0, 1));
    assert!(server.authenticate("slow-good").await.is_ok());
    assert_eq!((first.asked(), second.asked()), (1, 1));
    // And to no other one, though it would know it.
    assert!(server.authenticate("warm").await.is_err());
    // An issuer does not speak for another one.
    assert!(server.authenticate("slow-o_2").await.is_err());
    // A JWT of nobody's is shown to nobody.
    let stranger = "e30.eyJpc3MiOiJodHRwczovL2V2aWwudGVzdCJ9.c2ln";
    assert!(server.authenticate(stranger).await.is_err());
    assert_eq!((first.asked(), second.asked()), (1, 2));
}

// req: http-cors-6
#[tokio::test]
async fn a_preflight_needs_the_cors_layer_outside() {
    let server = server(Table::new());
    let service = server.layer().layer(Probe::new().0);
    let mut request = get(&[]);
    *request.method_mut() = Method::OPTIONS;
    request
        .headers_mut()
        .insert("origin", "https://a.example".parse().unwrap());
    request
        .headers_mut()
        .insert("access-control-request-method", "GET".parse().unwrap());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn nothing_shows_a_token() {
    let server = server(Table::new());
    let mut service = server
        .layer()
        .layer(server.require("notes:read").layer(Probe::new().0));
    let shown = format!(
        "{service:?} {:?} {:?}",
        server.layer(),
        server.require("notes:read")
    );
    assert!(shown.contains(API));
    let mut cx = Context::from_waker(Waker::noop());
    while service.poll_ready(&mut cx).is_pending() {}
    let waiting = service.call(get(SLOW));
    assert!(!format!("{waiting:?}").contains("good"));
}

mod in_axum {
    //! The extractor, and the layers in an axum router.

    use axum::Router;
    use axum::body::Body;
    use axum::routing;

    use super::*;

    async fn who(token: AccessToken) -> String {
        token.subject().to_string()
    }

    async fn who_if_any(token: Option<AccessToken>) -> String {
        token.map_or("nobody".to_owned(), |token| token.subject().to_string())
    }

    async fn send(app: &Router, request: Request<String>) -> Response<Body> {
        app.clone().oneshot(request.map(Body::from)).await.unwrap()
    }

    #[tokio::test]
    async fn layers_and_extractors_work_as_the_documentation_shows_them() {
        let api = server(Table::new());
        let app = Router::new()
            .route(
                "/notes",
                routing::get(who).route_layer(api.require("notes:read")),
            )
            .route(
                "/write",
                routing::get(who).route_layer(api.require("notes:write")),
            )
            .route_layer(api.layer())
            .route("/health", routing::get(async || "up"))
            .route_service(&api.metadata_path(), api.metadata_service());
        let at = |path: &str, authorization| {
            let mut request = get(authorization);
            *request.uri_mut() = path.parse().unwrap();
            request
        };
        for authorization in [GOOD, SLOW] {
            let response = send(&app, at("/notes", authorization)).await;
            assert_eq!(text(response).await, "ada");
            let response = send(&app, at("/write", authorization)).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
        }
        let response = send(&app, at("/notes", &[])).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(!challenge(response.headers()).is_empty());
        let response = send(&app, at("/health", &[])).await;
        assert_eq!(response.status(), StatusCode::OK);
        let path = METADATA.strip_prefix("https://api.example").unwrap();
        let response = send(&app, at(path, &[])).await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn an_extractor_without_its_layer_is_500_and_behind_an_optional_one_401() {
        let api = server(Table::new());
        let routes = Router::new()
            .route("/notes", routing::get(who))
            .route("/any", routing::get(who_if_any));
        let open = routes.clone();
        let optional = routes.layer(api.layer().optional());
        let any = |authorization| {
            let mut request = get(authorization);
            *request.uri_mut() = "/any".parse().unwrap();
            request
        };
        for request in [get(GOOD), any(GOOD), any(&[])] {
            let response = send(&open, request).await;
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        let response = send(&optional, get(&[])).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            param(&response, "resource_metadata").as_deref(),
            Some(METADATA)
        );
        assert_eq!(text(send(&optional, get(GOOD)).await).await, "ada");
        assert_eq!(text(send(&optional, any(&[])).await).await, "nobody");
        assert_eq!(text(send(&optional, any(GOOD)).await).await, "ada");
    }
}
