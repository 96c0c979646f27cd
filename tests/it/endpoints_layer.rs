//! The serving layer as a tower service: which instance serves, what reaches it, and how a body is read.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use tower::{Layer as _, Service, ServiceExt, service_fn};
use tower_oauth::server::{Endpoints, EndpointsLayer, NotFound};
use tower_oauth::{AuthorizationServer, Decision, Interaction, PendingRequest, Registration};

use crate::support::{Answer, Harness, authorization_request};

/// Becomes ready at the second time of asking, and panics if an instance that is not ready is called. Clones are never ready.
#[derive(Debug)]
struct Probe {
    polled: u8,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: AtomicUsize,
    clones: AtomicUsize,
}

impl Probe {
    fn new() -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let probe = Self {
            polled: 0,
            seen: Arc::clone(&seen),
        };
        (probe, seen)
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        self.seen.clones.fetch_add(1, Ordering::SeqCst);
        Self {
            polled: 0,
            seen: Arc::clone(&self.seen),
        }
    }
}

impl<B> Service<Request<B>> for Probe {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Self::Response, &'static str>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if self.polled > 0 {
            self.polled = 2;
            return Poll::Ready(Ok(()));
        }
        self.polled = 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert_eq!(self.polled, 2, "an instance that was not ready was called");
        self.polled = 0;
        self.seen.calls.fetch_add(1, Ordering::SeqCst);
        let pending = request.extensions().get::<PendingRequest>();
        let name = pending.and_then(|pending| pending.client().client_name());
        std::future::ready(Ok(Response::new(Full::from(
            name.unwrap_or("foreign").to_owned(),
        ))))
    }
}

/// A host that renders its own page.
struct OwnPage;

impl Interaction for OwnPage {
    async fn decide(&self, _: &PendingRequest, _: &Parts) -> Decision {
        tokio::task::yield_now().await;
        Decision::Forward
    }
}

async fn forwarding() -> Harness {
    Harness::with(|builder| builder.interaction("/login", OwnPage)).await
}

fn get(target: &str) -> Request<Empty<Bytes>> {
    Request::get(target).body(Empty::new()).unwrap()
}

fn page() -> String {
    authorization_request("app", "&scope=ledger.read")
}

#[tokio::test]
async fn readiness_is_passed_on_and_the_ready_instance_is_the_one_called() {
    let server = forwarding().await;
    for (target, text) in [("/foreign", "foreign"), (&*page(), "Harbor App")] {
        let (probe, seen) = Probe::new();
        let mut service = server.oauth.layer().layer(probe);
        let mut cx = Context::from_waker(Waker::noop());
        let ready = |service: &mut Endpoints<Probe>, cx: &mut Context<'_>| {
            Service::<Request<Empty<Bytes>>>::poll_ready(service, cx)
        };
        for calls in 1..=2 {
            // What stays behind has to become ready of its own.
            assert!(ready(&mut service, &mut cx).is_pending());
            assert!(ready(&mut service, &mut cx).is_ready());
            let answer = Answer::of(service.call(get(target)).await.unwrap()).await;
            assert_eq!(answer.text(), text);
            assert_eq!(seen.calls.load(Ordering::SeqCst), calls);
        }
        let clones = seen.clones.load(Ordering::SeqCst);
        assert_eq!(clones == 0, target == "/foreign", "{clones} clones");
    }
}

/// Is never ready, and says why.
#[derive(Debug, Clone)]
struct Broken;

impl<B> Service<Request<B>> for Broken {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Self::Response, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Err("broken"))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        panic!("a broken service was called")
    }
}

#[tokio::test]
async fn an_error_of_the_inner_service_is_passed_on() {
    let server = forwarding().await;
    let mut broken = server.oauth.layer().layer(Broken);
    let ready = ServiceExt::<Request<Empty<Bytes>>>::ready(&mut broken).await;
    assert_eq!(ready.err(), Some("broken"));
    let failing = service_fn(async |_: Request<_>| Err::<Response<Full<Bytes>>, _>("failed"));
    for target in ["/foreign", &page()] {
        let service = server.oauth.layer().layer(failing);
        assert_eq!(service.oneshot(get(target)).await.unwrap_err(), "failed");
    }
}

// req: http-path-1
#[tokio::test]
async fn what_is_ours_never_reaches_the_inner_service() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    let (probe, seen) = Probe::new();
    let service = server.oauth.layer().layer(probe);
    let paths = [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/ledger",
        "/auth/authorize",
        "/auth/token",
        "/auth/device",
        "/auth/introspect",
        "/auth/revoke",
        "/auth/register",
        "/device",
    ];
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let answer = service.clone().oneshot(request).await.unwrap();
            let text = Answer::of(answer).await.text();
            assert_ne!(text, "foreign");
        }
    }
    assert_eq!(seen.calls.load(Ordering::SeqCst), 0);
    // Paths match as a whole and byte for byte; a query changes nothing.
    for path in [
        "/auth/token/",
        "/auth//token",
        "/AUTH/token",
        "/auth/%74oken",
        "/x/auth/token",
        "/auth/toke",
        "/",
        "*",
    ] {
        let request = Request::options(path).body(Empty::<Bytes>::new()).unwrap();
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(Answer::of(answer).await.text(), "foreign", "{path}");
    }
    let answer = service.oneshot(get("/auth/token?x=/foreign")).await;
    assert_eq!(answer.unwrap().status(), 405);
}

#[tokio::test]
async fn a_caller_may_go_away_at_any_time() {
    let server = forwarding().await;
    let (probe, seen) = Probe::new();
    let mut service = server.oauth.layer().layer(probe);
    let ready = Service::<Request<Empty<Bytes>>>::poll_ready;
    let mut cx = Context::from_waker(Waker::noop());
    assert!(ready(&mut service, &mut cx).is_pending());
    assert!(ready(&mut service, &mut cx).is_ready());
    let mut waiting = Box::pin(service.call(get(&page())));
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    drop(waiting);
    assert_eq!(seen.calls.load(Ordering::SeqCst), 0);
    let answer = service.oneshot(get(&page())).await;
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn the_service_without_an_inner_one_has_nobody_to_forward_to() {
    let server = forwarding().await;
    let answer = server.oauth.service().oneshot(get(&page())).await.unwrap();
    assert_eq!(answer.status(), 500);
    let answer = server.oauth.service().oneshot(get("/foreign")).await;
    assert_eq!(answer.unwrap().status(), 404);
}

/// A body in pieces, which are handed out one at a time with a pause before each. Counts how often it was asked.
#[derive(Debug)]
struct Pieces {
    piece: Bytes,
    left: usize,
    says: Option<u64>,
    breaks_off: bool,
    paused: bool,
    asked: Arc<AtomicUsize>,
}

impl Pieces {
    fn new(left: usize) -> Self {
        Self {
            piece: Bytes::from_static(&[b'a'; 1024]),
            left,
            says: None,
            breaks_off: false,
            paused: false,
            asked: Arc::default(),
        }
    }
}

#[derive(Debug)]
struct BrokeOff;

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        self.paused = !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.left == 0 {
            return Poll::Ready(self.breaks_off.then_some(Err(BrokeOff)));
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }

    fn size_hint(&self) -> SizeHint {
        self.says.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

async fn post(oauth: &AuthorizationServer, path: &str, body: Pieces) -> Answer {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(body).unwrap();
    Answer::of(oauth.service().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn v19_a_body_that_is_too_long_is_413_and_is_not_read_on() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    for (path, kib) in [
        ("/auth/token", 16),
        ("/auth/revoke", 16),
        ("/auth/introspect", 16),
        ("/auth/device", 16),
        ("/auth/authorize", 16),
        ("/device", 16),
        ("/auth/register", 64),
    ] {
        let endless = Pieces::new(usize::MAX);
        let asked = Arc::clone(&endless.asked);
        assert_eq!(post(&server.oauth, path, endless).await.status, 413);
        assert_eq!(asked.load(Ordering::SeqCst), kib + 1, "{path}");

        let mut honest = Pieces::new(usize::MAX);
        honest.says = Some(kib as u64 * 1024 + 1);
        let asked = Arc::clone(&honest.asked);
        assert_eq!(post(&server.oauth, path, honest).await.status, 413);
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{path}");

        // To the last byte it is read, and then found wanting for what it says.
        let whole = post(&server.oauth, path, Pieces::new(kib)).await;
        assert_ne!(whole.status, 413, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400_and_nothing_is_done() {
    let server = Harness::new().await;
    let mut body = Pieces::new(1);
    body.piece = Bytes::from_static(
        b"grant_type=client_credentials&client_id=web&client_secret=web-secret-0123456789-0123456789-0123456789&scope=ledger.read",
    );
    body.breaks_off = true;
    let answer = post(&server.oauth, "/auth/token", body).await;
    answer.error(400, "invalid_request");
}

#[tokio::test]
async fn a_form_in_pieces_is_put_together_and_trailers_are_left_out() {
    let server = Harness::new().await;
    let pieces = [
        Frame::data(Bytes::from("grant_type=client_cred")),
        Frame::data(Bytes::new()),
        Frame::data(Bytes::from(
            "entials&client_id=web&client_secret=web-secret-0123456789-0123456789-0123456789&sco",
        )),
        Frame::data(Bytes::from("pe=ledger.read")),
        Frame::trailers(http::HeaderMap::new()),
    ];
    let frames = pieces.into_iter().map(Ok::<_, Infallible>).collect();
    let body = Frames(frames);
    let request = Request::post("/auth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .unwrap();
    let answer = Answer::of(server.oauth.service().oneshot(request).await.unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

struct Frames(std::collections::VecDeque<Result<Frame<Bytes>, Infallible>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front())
    }
}

#[tokio::test]
async fn only_a_posts_body_is_read_and_a_gets_goes_on_as_it_came() {
    let server = forwarding().await;
    let reads = service_fn(async |request: Request<Pieces>| {
        let body = request.into_body();
        assert_eq!(body.asked.load(Ordering::SeqCst), 0, "it was read");
        assert_eq!(body.left, 3);
        let whole = body.collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::new(Full::from(whole)))
    });
    let service = server.oauth.layer().layer(reads);
    for (method, target) in [
        (Method::GET, page().as_str()),
        (Method::GET, "/foreign"),
        (Method::POST, "/foreign"),
    ] {
        let request = Request::builder().method(method).uri(target);
        let request = request.body(Pieces::new(3)).unwrap();
        let answer = Answer::of(service.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(answer.body.len(), 3 * 1024, "{target}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let body = Pieces::new(usize::MAX);
        let asked = Arc::clone(&body.asked);
        let request = Request::builder().method(method.clone()).uri("/auth/token");
        let answer = service.clone().oneshot(request.body(body).unwrap()).await;
        assert_eq!(answer.unwrap().status(), 405, "{method}");
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{method}");
    }
}

#[tokio::test]
async fn layers_services_and_futures_go_wherever_a_server_takes_them() {
    fn everywhere<T: Clone + std::fmt::Debug + Send + Sync + 'static>(_: &T) {}
    fn sendable<T: Send + 'static>(future: T) -> T {
        future
    }
    let server = forwarding().await;
    let layer: EndpointsLayer = server.oauth.layer();
    let mut service = layer.layer(Probe::new().0);
    let bare: Endpoints<NotFound> = server.oauth.service();
    everywhere(&layer);
    everywhere(&service);
    everywhere(&bare);
    everywhere(&server.oauth);
    let mut cx = Context::from_waker(Waker::noop());
    while Service::<Request<Empty<Bytes>>>::poll_ready(&mut service, &mut cx).is_pending() {}
    let future = sendable(service.call(get(&page())));
    assert!(format!("{future:?} {service:?} {layer:?}").contains("auth.harbor.test"));
    future.await.unwrap();
}
