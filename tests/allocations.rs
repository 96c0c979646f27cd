//! What a request costs whose token is known: nothing in our check, and what `http::Extensions` takes to hold the answer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use tower::{Layer as _, Service};
use tower_oauth::resource::{
    AccessToken, BearerToken, Facts, Issuer, NotActive, OwnedToken, ResourceServer, TokenFacts,
    Unavailable, Validator,
};
use tower_oauth::types::{ManualClock, Subject, Timestamp};

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

impl Service<Request<()>> for Quiet {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
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
            .audience(["https://api.example/".parse().unwrap()])
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
