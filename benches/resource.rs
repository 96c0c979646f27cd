//! What a token of another issuer costs, warm and cold, beside a service that asks for none.
//!
//! `cargo bench --bench resource --all-features`. JWTs have ten claims and 865 characters (RS256, 2,048 bits); opaque tokens have 43. All
//! services are the default ones: audience, expiry and revocation are judged, and one scope is asked for. `bare` is the same service
//! without the layers; `verify` is the signature alone, with a key that was parsed before. Cold tokens are checked without a cache, so
//! that each check is a cold one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking"
)]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::header::AUTHORIZATION;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use serde_json::json;
use tower::{Layer as _, Service};
use tower_oauth::resource::{
    BearerToken, Facts, Issuer, NotActive, OwnedToken, ResourceServer, TokenFacts, Unavailable,
    Validator,
};
use tower_oauth::types::{Subject, Timestamp};

const API: &str = "https://api.example";
const AS: &str = "https://as.example";
const SCOPE: &str = "notes:read";

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

fn finished<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// A key, its public form, and how it signs.
struct Key {
    alg: &'static str,
    jwk: serde_json::Value,
    parsed: ParsedPublicKey,
    sign: Box<Sign>,
}

type Sign = dyn Fn(&[u8]) -> Vec<u8>;

impl Key {
    fn rs256() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({"kty": "RSA", "kid": "k", "use": "sig",
            "n": encode(public.modulus().big_endian_without_leading_zero()),
            "e": encode(public.exponent().big_endian_without_leading_zero())});
        let der = public.as_der().unwrap();
        let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_ref()).unwrap();
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .unwrap();
            signature
        };
        Self {
            alg: "RS256",
            jwk,
            parsed,
            sign: Box::new(sign),
        }
    }

    fn es256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k",
            "x": encode(&point[1..33]), "y": encode(&point[33..])});
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).unwrap();
        let sign = move |message: &[u8]| {
            let signature = pair.sign(&SystemRandom::new(), message).unwrap();
            signature.as_ref().to_vec()
        };
        Self {
            alg: "ES256",
            jwk,
            parsed,
            sign: Box::new(sign),
        }
    }

    fn eddsa() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k",
            "x": URL_SAFE_NO_PAD.encode(&public)});
        let parsed = ParsedPublicKey::new(&ED25519, &public).unwrap();
        Self {
            alg: "EdDSA",
            jwk,
            parsed,
            sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
        }
    }

    /// A token with ten claims.
    fn token(&self, number: usize, lives: i64) -> String {
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_secs();
        let claims = json!({
            "iss": AS, "sub": format!("usr_{number:06}"), "aud": API, "exp": now.checked_add_signed(lives).unwrap(),
            "iat": now - 60, "nbf": now - 60, "jti": format!("4f6d2c1e-9a7b-4c3d-8e5f-{number:012}"), "client_id": "cl_7Qm2v9Tz",
            "scope": "notes:read notes:write profile email",
            "groups": ["engineering", "on-call", "harbor-admins", "harbor-finance-readers", "harbor-ledger-auditors"],
        });
        let header = json!({"alg": self.alg, "typ": "at+jwt", "kid": "k"});
        let encode = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = (self.sign)(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn api(&self, cached_for: Duration) -> ResourceServer {
        let keys = json!({"keys": [self.jwk]}).to_string();
        let issuer = Issuer::jwt(AS).keys(keys).cached_for(cached_for);
        ResourceServer::builder(API).issuer(issuer).build().unwrap()
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

fn request(token: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::get("https://api.example/notes");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Empty::new()).unwrap()
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
    let key = Key::rs256();
    let good = key.token(1, 3600);
    assert!((820..900).contains(&good.len()), "{}", good.len());
    let opaque_token = "mF_9.B5f-4.1JqMmF_9.B5f-4.1JqMmF_9.B5f-4.1J";
    measure(c, "warm/bare", Hello, (&[&good], 200));

    let api = opaque();
    warm(&api, &[opaque_token]);
    let service = api.layer().layer(api.require(SCOPE).layer(Hello));
    measure(c, "warm/opaque", service, (&[opaque_token], 200));

    let api = key.api(Duration::from_secs(3600));
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

    for key in [key, Key::es256(), Key::eddsa()] {
        let token = key.token(1, 3600);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        c.bench_function(&format!("cold/verify_{}", key.alg), |bencher| {
            bencher.iter(|| {
                key.parsed
                    .verify_sig(signed.as_bytes(), &signature)
                    .unwrap()
            });
        });
        let api = key.api(Duration::ZERO);
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
