//! What a token of another issuer costs, warm and cold, beside a service that asks for none.
//!
//! `cargo bench --bench resource --all-features`. JWTs have ten claims and 865 characters (RS256, 2,048 bits); opaque tokens have 43. All
//! services are the default ones: audience, expiry and revocation are judged, and one scope is asked for. `bare` is the same service
//! without the layers; `verify` is the signature alone, with a key that was parsed before. Cold tokens are checked without a cache, so
//! that each check is a cold one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a benchmark fails by panicking, and shares its tokens with others"
)]

#[path = "support/tokens.rs"]
mod tokens;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::{Layer as _, Service};
use tower_oauth::resource::{
    BearerToken, CacheLimits, Facts, Issuer, NotActive, OwnedToken, ResourceServer, TokenFacts,
    Unavailable, Validator,
};
use tower_oauth::types::{Subject, Timestamp};

use tokens::{API, AS, Key, SCOPE, finished, request};

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

/// Says yes to one token, after a wait in name only.
struct Opaque(Arc<TokenFacts>);

impl Validator for Opaque {
    fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        None
    }

    async fn validate(&self, token: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        Ok(match token.expose().len() {
            43 => Ok(Arc::clone(&self.0)),
            _ => Err(NotActive::because("unknown")),
        })
    }
}

fn opaque() -> ResourceServer {
    let facts = TokenFacts::builder(
        AS.parse().unwrap(),
        Subject::new("ada").unwrap(),
        Timestamp::MAX,
    )
    .audience([API])
    .scope(SCOPE.parse().unwrap())
    .build();
    let issuer = Issuer::custom(AS, Opaque(Arc::new(facts))).cached();
    ResourceServer::builder(API).issuer(issuer).build().unwrap()
}

/// One token after the other, each answered like this.
fn measure<S, B>(c: &mut Criterion, name: &str, mut service: S, (tokens, status): (&[&str], u16))
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let mut turn = tokens.iter().cycle();
    c.bench_function(name, |bencher| {
        bencher.iter_batched(
            || request(turn.next().copied()),
            |request| {
                let response = finished(service.call(request)).unwrap();
                assert_eq!(response.status(), status);
                response
            },
            BatchSize::SmallInput,
        );
    });
}

fn warm(api: &ResourceServer, tokens: &[&str]) {
    // Without a runtime nobody shares a check, and all is done at the first poll.
    for _ in 0..3 {
        for token in tokens {
            finished(api.authenticate(token)).unwrap();
        }
    }
}

fn resource(c: &mut Criterion) {
    let key = Key::new("RS256");
    let good = key.token(1, 3600);
    assert!((820..900).contains(&good.len()), "{}", good.len());
    let opaque_token = "mF_9.B5f-4.1JqMmF_9.B5f-4.1JqMmF_9.B5f-4.1J";
    measure(c, "warm/bare", Hello, (&[&good], 200));

    let api = opaque();
    warm(&api, &[opaque_token]);
    let service = api.layer().layer(api.require(SCOPE).layer(Hello));
    measure(c, "warm/opaque", service, (&[opaque_token], 200));

    let api = key.api(Duration::from_secs(3600), CacheLimits::new());
    warm(&api, &[&good]);
    let service = api.layer().layer(api.require(SCOPE).layer(Hello));
    measure(c, "warm/jwt", service.clone(), (&[&good], 200));
    let many: Vec<_> = (0..1000).map(|number| key.token(number, 3600)).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    measure(c, "warm/bare_1000_in_turn", Hello, (&many, 200));
    warm(&api, &many);
    measure(c, "warm/jwt_1000_in_turn", service.clone(), (&many, 200));
    c.bench_function("warm/check_alone", |bencher| {
        bencher.iter(|| finished(api.authenticate(&good)).unwrap());
    });

    measure(c, "refused/no_token", service.clone(), (&[], 401));
    let garbage = "x".repeat(865);
    measure(c, "refused/garbage", service.clone(), (&[&garbage], 401));
    let expired = key.token(1, -3600);
    measure(c, "refused/expired", service, (&[&expired], 401));

    for key in [key, Key::new("ES256"), Key::new("EdDSA")] {
        let token = key.token(1, 3600);
        let (signed, signature) = Key::parts(&token);
        c.bench_function(&format!("cold/verify_{}", key.alg), |bencher| {
            bencher.iter(|| key.parsed.verify_sig(signed, &signature).unwrap());
        });
        let api = key.api(Duration::ZERO, CacheLimits::new());
        let service = api.layer().layer(api.require(SCOPE).layer(Hello));
        measure(
            c,
            &format!("cold/jwt_{}", key.alg),
            service,
            (&[&token], 200),
        );
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = resource
}
criterion_main!(benches);
