//! What a warm bearer check costs, beside a service that does the least that could be called one.
//!
//! `cargo bench --bench validate --all-features`. The request carries one header, a token of 47 characters; the answer is 14 bytes.
//! `layer` is the default of protection in the same process (audience, expiry, revocation) with one scope asked for; `baseline` reads
//! the same header, looks the token up in a `HashMap` behind an `Arc`, and answers the same bytes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use tower::{Layer as _, Service};
use tower_oauth::resource::{Issuer, ResourceServer};
use tower_oauth::types::{Client, GrantType, Secret};
use tower_oauth::{AuthorizationServer, server::EndpointsLayer};

const API: &str = "https://api.example";

/// The protected service, which does nothing.
#[derive(Clone)]
struct Hello;

impl<B> Service<Request<B>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::from("{\"hello\":true}"))))
    }
}

/// Lets a request through whose token it knows.
#[derive(Clone)]
struct Baseline {
    inner: Hello,
    tokens: Arc<HashMap<String, String>>,
}

impl<B> Service<Request<B>> for Baseline {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let field = request.headers().get(AUTHORIZATION);
        let token = field.and_then(|field| field.to_str().ok()?.strip_prefix("Bearer "));
        match token.and_then(|token| self.tokens.get(token)) {
            Some(subject) => {
                black_box(subject);
                self.inner.call(request)
            }
            None => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = http::StatusCode::UNAUTHORIZED;
                ready(Ok(response))
            }
        }
    }
}

/// What comes of a future that has nothing to wait for.
fn finished<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn oauth() -> AuthorizationServer {
    let oauth = AuthorizationServer::builder("https://as.example")
        .resource(API, ["notes:read", "notes:write"])
        .build()
        .unwrap();
    let client = Client::confidential("service".parse().unwrap(), &Secret::new("secret"))
        .grant_types([GrantType::ClientCredentials]);
    finished(oauth.clients().create(client)).unwrap();
    oauth
}

fn token(oauth: &AuthorizationServer) -> String {
    let form =
        "grant_type=client_credentials&client_id=service&client_secret=secret&scope=notes%3Aread";
    let request = Request::post("/auth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
        .unwrap();
    let response = finished(oauth.service().call(request)).unwrap();
    let body = finished(response.into_body().collect()).unwrap().to_bytes();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    json["access_token"].as_str().unwrap().to_owned()
}

fn request(token: &str) -> Request<Empty<Bytes>> {
    let request = Request::get("https://api.example/notes");
    let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    request.body(Empty::new()).unwrap()
}

fn measure<S>(c: &mut Criterion, name: &str, mut service: S, token: &str)
where
    S: Service<Request<Empty<Bytes>>, Error = Infallible>,
    S::Response: Status,
{
    c.bench_function(name, |bencher| {
        bencher.iter_batched(
            || request(token),
            |request| {
                let response = finished(service.call(request));
                assert_eq!(response.as_ref().map(Status::status), Ok(200));
                response
            },
            BatchSize::SmallInput,
        );
    });
}

trait Status {
    fn status(&self) -> u16;
}

impl<B> Status for Response<B> {
    fn status(&self) -> u16 {
        Self::status(self).as_u16()
    }
}

fn validate(c: &mut Criterion) {
    let oauth = oauth();
    // Other tokens are warm too, in both: one of a thousand is looked for.
    let tokens: Vec<_> = (0..1000).map(|_| token(&oauth)).collect();
    let api = ResourceServer::builder(API)
        .issuer(Issuer::in_process(&oauth))
        .build()
        .unwrap();
    for token in &tokens {
        finished(api.authenticate(token)).unwrap();
    }
    let known = tokens
        .iter()
        .map(|token| (token.clone(), "service".to_owned()));
    let baseline = Baseline {
        inner: Hello,
        tokens: Arc::new(known.collect()),
    };
    let token = &tokens[500];
    measure(c, "validate/baseline", baseline, token);
    measure(c, "validate/layer", api.layer().layer(Hello), token);
    let scoped = api.layer().layer(api.require("notes:read").layer(Hello));
    measure(c, "validate/layer_and_scope", scoped, token);
    c.bench_function("validate/check_alone", |bencher| {
        bencher.iter(|| finished(api.authenticate(black_box(token))).unwrap());
    });
    // A request that is none of ours: what the serving layer adds to it.
    let foreign = EndpointsLayer::layer(&oauth.layer(), Hello);
    measure(c, "foreign/baseline", Hello, token);
    measure(c, "foreign/endpoints", foreign, token);
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = validate
}
criterion_main!(benches);
