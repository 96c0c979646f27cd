//! What a request costs whose token is known: nothing in our check, and what `http::Extensions` takes to hold the answer. And what a
//! request costs that is none of ours: nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer as _, Service};
use tower_oauth::resource::{
    AccessToken, BearerToken, Facts, Issuer, NotActive, OwnedToken, ResourceServer, TokenFacts,
    Unavailable, Validator,
};
use tower_oauth::types::{Client, GrantType, ManualClock, Secret, Subject, Timestamp};
use tower_oauth::{AuthorizationServer, server::Endpoints};

struct OneToken(Arc<TokenFacts>);

impl Validator for OneToken {
    fn validate_now(&self, token: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        (token.expose() == "now").then(|| Ok(Arc::clone(&self.0)))
    }

    async fn validate(&self, token: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        match token.expose() {
            "cached" => Ok(Ok(Arc::clone(&self.0))),
            _ => Ok(Err(NotActive::because("no such token"))),
        }
    }
}

/// A service that allocates nothing itself.
#[derive(Clone)]
struct Quiet;

impl<B> Service<Request<B>> for Quiet {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

fn server(issuers: usize) -> ResourceServer {
    let mut builder = ResourceServer::builder("https://api.example")
        .clock(ManualClock::new(Timestamp::from_secs(1000)));
    for number in 0..issuers {
        let issuer = format!("https://as{number}.example");
        let subject = Subject::new("ada").unwrap();
        let facts = TokenFacts::builder(issuer.parse().unwrap(), subject, Timestamp::MAX)
            .audience(["https://api.example/"])
            .scope("a b".parse().unwrap())
            .build();
        builder = builder.issuer(Issuer::custom(&issuer, OneToken(Arc::new(facts))).cached());
    }
    builder.build().unwrap()
}

fn finished<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn request(token: &str) -> Request<()> {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap()
}

/// Allocations of the first and only insertion into the extensions of a request.
fn of_the_extensions(token: &AccessToken) -> u64 {
    let (mut request, token) = (request("now"), token.clone());
    let measured = allocation_counter::measure(|| {
        request.extensions_mut().insert(token);
    });
    measured.count_total
}

#[test]
fn a_warm_check_allocates_nothing_but_the_entry_in_the_extensions() {
    for issuers in [1, 3] {
        let server = server(issuers);
        for token in ["now", "cached"] {
            let known = finished(server.authenticate(token)).unwrap();
            let mut service = server.layer().layer(server.require("a").layer(Quiet));
            let send = |service: &mut tower_oauth::resource::Bearer<_>| {
                let request = request(token);
                allocation_counter::measure(|| {
                    let response = finished(service.call(request)).unwrap();
                    assert_eq!(response.status(), 200);
                })
                .count_total
            };
            let _first = send(&mut service);
            let counted = send(&mut service);
            assert_eq!(
                counted,
                of_the_extensions(&known),
                "{token}, {issuers} issuers"
            );
            assert_eq!(counted, 3, "what http::Extensions takes has changed");

            let check = allocation_counter::measure(|| {
                assert!(finished(server.authenticate(token)).is_ok());
            });
            assert_eq!(check.count_total, 0, "{token}, {issuers} issuers");
        }
    }
}

fn oauth() -> AuthorizationServer {
    AuthorizationServer::builder("https://as0.example")
        .resource("https://api.example", ["a", "b"])
        .login("/login", |_| None::<Subject>)
        .clock(ManualClock::new(Timestamp::from_secs(1000)))
        .build()
        .unwrap()
}

#[test]
fn a_warm_token_of_the_same_process_costs_no_more() {
    let oauth = oauth();
    let client = Client::confidential("c".parse().unwrap(), &Secret::new("s"))
        .grant_types([GrantType::ClientCredentials]);
    finished(oauth.clients().create(client)).unwrap();
    let form = "grant_type=client_credentials&client_id=c&client_secret=s&scope=a";
    let request = Request::post("/auth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
        .unwrap();
    let response = finished(oauth.service().call(request)).unwrap();
    let body = finished(http_body_util::BodyExt::collect(response.into_body())).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap();
    let token = json["access_token"].as_str().unwrap();

    let api = ResourceServer::builder("https://api.example")
        .issuer(Issuer::in_process(&oauth))
        .clock(ManualClock::new(Timestamp::from_secs(1000)))
        .build()
        .unwrap();
    assert!(finished(api.authenticate(token)).is_ok());
    // Now and then the cache puts itself in order, which is no matter of a single request.
    let check = (0..3).map(|_| {
        let check = allocation_counter::measure(|| {
            assert!(finished(api.authenticate(token)).is_ok());
        });
        check.count_total
    });
    assert_eq!(check.min(), Some(0));
}

#[test]
fn foreign_traffic_passes_the_endpoints_without_an_allocation() {
    let oauth = oauth();
    let send = |mut service: Endpoints<Quiet>| {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/notes?page=2"),
            ("POST", "/auth/tokens"),
            ("OPTIONS", "/notes"),
        ] {
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
            let counted = allocation_counter::measure(|| {
                let response = finished(service.call(request)).unwrap();
                assert_eq!(response.status(), 200);
            });
            assert_eq!(counted.count_total, 0, "{method} {path}");
        }
        // Routers clone a service for each request.
        let clone = allocation_counter::measure(|| drop(service.clone()));
        assert_eq!(clone.count_total, 0);
    };
    send(oauth.layer().layer(Quiet));
    send(oauth.layer().layer(Quiet).nested_at("/auth"));
}

#[test]
fn a_warm_token_of_another_issuer_costs_no_more_whatever_it_is() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let idp = tower_oauth::testing::Idp::new("https://as.example", "https://api.example");
    let jwt = idp.token("ada").scope("a b").mint();
    let opaque = idp.token("ada").scope("a b").mint_opaque();
    for (issuer, token) in [
        (Issuer::from(idp.issuer()), jwt.as_str()),
        (Issuer::from(idp.opaque_issuer()), opaque.as_str()),
    ] {
        let api = ResourceServer::builder("https://api.example")
            .issuer(issuer)
            .clock(idp.clock())
            .build()
            .unwrap();
        // Known to the cache, then to the table of the last ones.
        for _ in 0..2 {
            runtime.block_on(api.authenticate(token)).unwrap();
        }
        let check = allocation_counter::measure(|| {
            assert!(finished(api.authenticate(token)).is_ok());
        });
        assert_eq!(check.count_total, 0);
        let known = finished(api.authenticate(token)).unwrap();
        let mut service = api.layer().layer(api.require("a").layer(Quiet));
        let request = request(token);
        let counted = allocation_counter::measure(|| {
            let response = finished(service.call(request)).unwrap();
            assert_eq!(response.status(), 200);
        });
        assert_eq!(counted.count_total, of_the_extensions(&known));
    }
}
