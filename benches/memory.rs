//! What tokens that are known take in memory, and whether a flood of tokens that are good for nothing takes any.
//!
//! `cargo bench --bench memory --all-features`. Each case is a process of its own, and its figures are the resident memory of it
//! (`/proc/self/statm`). `jwt` and `opaque`: 100,000 tokens are presented with limits that allow for them; `limited`: the same JWTs with the
//! default limits; `weighed`: with 64 MiB and no other limit. `flood`: one good token is warm, then come 1,000,000 others, in turn forged JWTs that name the issuer and its key,
//! opaque ones that the other issuer is asked about, and junk.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a benchmark fails by panicking, reads the clock, prints its figures, and shares its tokens with others"
)]

#[path = "support/tokens.rs"]
mod tokens;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::Empty;
use serde_json::json;
use tower::{Layer as _, Service as _, service_fn};
use tower_oauth::resource::{
    BearerToken, CacheLimits, Facts, Issuer, NotActive, OwnedToken, ResourceServer, TokenFacts,
    Unavailable, Validator,
};
use tower_oauth::types::{Subject, Timestamp};

use tokens::{API, AS, Key, SCOPE, finished, request};

const TOKENS: usize = 100_000;
const FLOOD: usize = 1_000_000;
const OTHER: &str = "https://other.example";

/// Bytes of this process.
fn resident() -> f64 {
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = memory.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0
}

/// Nanoseconds of one check, each with this outcome.
fn present<'a>(api: &ResourceServer, tokens: impl IntoIterator<Item = &'a str>, good: bool) -> f64 {
    let (mut count, begun) = (0.0, Instant::now());
    for token in tokens {
        let checked = finished(api.authenticate(token));
        assert_eq!(checked.is_ok(), good, "{token}");
        count += 1.0;
    }
    begun.elapsed().as_secs_f64() * 1e9 / count
}

fn raised() -> CacheLimits {
    let entries = TOKENS as u64 * 2;
    CacheLimits::new()
        .ttl(Duration::from_secs(3600))
        .entries(entries)
        .bytes(entries * 4096)
}

fn jwt(limits: CacheLimits) {
    let key = Key::new("EdDSA"); // it signs fast
    let tokens: Vec<_> = (0..TOKENS).map(|number| key.token(number, 3600)).collect();
    let api = key.api(Duration::from_secs(3600), limits);
    grow(&api, &tokens);
}

/// Says yes to tokens that begin so, and counts how often it is asked.
struct Opaque(Arc<AtomicUsize>);

impl Validator for Opaque {
    fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        None
    }

    async fn validate(&self, token: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        self.0.fetch_add(1, Ordering::Relaxed);
        if !token.expose().starts_with("good_") {
            return Ok(Err(NotActive::because("unknown")));
        }
        let subject = Subject::new(token.expose()).unwrap();
        let facts = TokenFacts::builder(OTHER.parse().unwrap(), subject, Timestamp::MAX)
            .audience([API])
            .scope(SCOPE.parse().unwrap());
        Ok(Ok(Arc::new(facts.build())))
    }
}

fn opaque() {
    let tokens: Vec<_> = (0..TOKENS)
        .map(|number| format!("good_{number:038}"))
        .collect();
    let issuer = Issuer::custom(OTHER, Opaque(Arc::default())).cached();
    let builder = ResourceServer::builder(API).cache(raised());
    grow(&builder.issuer(issuer).build().unwrap(), &tokens);
}

fn grow(api: &ResourceServer, tokens: &[String]) {
    present(api, tokens.iter().map(String::as_str).take(1), true);
    let before = resident();
    let first = present(api, tokens.iter().map(String::as_str), true);
    let after = resident();
    let again = present(api, tokens.iter().map(String::as_str), true);
    let grown = after - before;
    println!(
        "{TOKENS} tokens of {} characters: {:.1} MiB, {:.0} bytes for each; {first:.0} ns to check one, {again:.0} ns again",
        tokens[0].len(),
        grown / f64::from(1 << 20),
        grown / TOKENS as f64,
    );
}

fn flood() {
    let key = Key::new("RS256");
    let asked = Arc::new(AtomicUsize::new(0));
    let keys = json!({"keys": [key.jwk]}).to_string();
    let api = ResourceServer::builder(API)
        .issuer(Issuer::jwt(AS).keys(keys))
        .issuer(Issuer::custom(OTHER, Opaque(Arc::clone(&asked))).cached())
        .cache(CacheLimits::new().ttl(Duration::from_secs(3600)))
        .build()
        .unwrap();
    let (good, good_opaque) = (key.token(1, 3600), format!("good_{:038}", 1));
    present(&api, [&*good, &*good_opaque].repeat(1000), true);
    let warm = warm(&api, &good);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let bad = |number: usize| match number % 3 {
        // All of the token is good but what it says of itself.
        0 => {
            let tail = signature.len() - 12;
            format!("{signed}.{number:012}{}", &signature[..tail])
        }
        1 => format!("bad_{number:039}"),
        _ => format!("junk.{number}.{}", "x".repeat(number % 900)),
    };
    let before = resident();
    println!(
        "       0 bad tokens: {:.1} MiB, {warm:.0} ns a warm check",
        before / f64::from(1 << 20)
    );
    for part in 0..5 {
        let numbers = part * FLOOD / 5..(part + 1) * FLOOD / 5;
        let end = numbers.end;
        for number in numbers {
            assert!(finished(api.authenticate(&bad(number))).is_err());
        }
        let before = asked.load(Ordering::Relaxed);
        let warm = self::warm(&api, &good);
        present(&api, [&*good_opaque], true);
        assert_eq!(asked.load(Ordering::Relaxed), before, "it is known still");
        println!(
            "{end:>8} bad tokens: {:.1} MiB, {warm:.0} ns a warm check",
            resident() / f64::from(1 << 20)
        );
    }
}

/// Nanoseconds of a request with this token, the service included.
fn warm(api: &ResourceServer, token: &str) -> f64 {
    let hello = service_fn(async |_| {
        Ok::<_, std::convert::Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
    });
    let mut service = api.layer().layer(api.require(SCOPE).layer(hello));
    let requests: Vec<_> = (0..1000).map(|_| request(Some(token))).collect();
    let begun = Instant::now();
    for request in requests {
        let answer = finished(service.call(request)).unwrap();
        assert_eq!(answer.status(), 200);
    }
    begun.elapsed().as_secs_f64() * 1e6
}

fn main() {
    match std::env::var("CASE").as_deref() {
        Ok("jwt") => jwt(raised()),
        Ok("limited") => jwt(CacheLimits::new()),
        Ok("weighed") => jwt(CacheLimits::new().entries(u64::MAX)),
        Ok("opaque") => opaque(),
        Ok(_) => flood(),
        Err(_) => {
            for case in ["jwt", "opaque", "limited", "weighed", "flood"] {
                println!("{case}");
                let program = std::env::current_exe().unwrap();
                let status = Command::new(program).env("CASE", case).status().unwrap();
                assert!(status.success(), "{case}");
            }
        }
    }
}
