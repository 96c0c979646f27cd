//! What a check costs in process, warm and cold, behind this crate's layer and behind those of others: `benches/peers/run layers`.
//!
//! One thread, no runtime, no socket. Cases take turns for several rounds, and each round begins with another one; printed are medians
//! of the time over the bare service. Tokens have ten claims and 865 characters (RS256). Peers keep no verdict: each of their checks is
//! a cold one.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::Service;
use tower_oauth::resource::{CacheLimits, WhichTokens};
use tower_oauth_peers::tokens::{AS, Key, finished, request};
use tower_oauth_peers::verdicts::{Cached, Remember, verdicts};
use tower_oauth_peers::{Answer, Hello, axum_jwt_auth, jwt_authorizer, median, ours, tower_oauth2};

/// How many requests are made ready, and measured, at a time: few enough that most batches are not interrupted.
const WARM: usize = 64;
const COLD: usize = 4;

trait Status {
    fn status(&self) -> u16;
}

impl<B> Status for Response<B> {
    fn status(&self) -> u16 {
        self.status().as_u16()
    }
}

impl Status for Answer {
    fn status(&self) -> u16 {
        self.0.status().as_u16()
    }
}

/// So many batches of so many requests.
type Amount = (usize, usize);

/// Nanoseconds of a request with this token, each let through: of the middle batch.
fn requests<S>(mut service: S, token: &str, (batches, batch): Amount) -> Box<dyn FnMut() -> f64>
where
    S: Service<Request<Empty<Bytes>>, Error = Infallible> + 'static,
    S::Response: Status,
{
    let token = token.to_owned();
    let mut answers = Vec::with_capacity(batch);
    Box::new(move || {
        let mut measured = Vec::with_capacity(batches);
        for _ in 0..batches {
            let ready: Vec<_> = (0..batch).map(|_| request(Some(&token))).collect();
            let begun = Instant::now();
            for request in ready {
                answers.push(finished(service.call(request)).unwrap());
            }
            measured.push(begun.elapsed().as_nanos() as f64 / batch as f64);
            for answer in answers.drain(..) {
                assert_eq!(answer.status(), 200);
            }
        }
        median(measured)
    })
}

/// The signature alone.
fn verify(key: Key, token: &str, (batches, batch): Amount) -> Box<dyn FnMut() -> f64> {
    let (signed, signature) = Key::parts(token);
    let signed = signed.to_vec();
    Box::new(move || {
        let mut measured = Vec::with_capacity(batches);
        for _ in 0..batches {
            let begun = Instant::now();
            for _ in 0..batch {
                key.parsed.verify_sig(&signed, &signature).unwrap();
            }
            measured.push(begun.elapsed().as_nanos() as f64 / batch as f64);
        }
        median(measured)
    })
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn main() {
    let (rounds, batches) = (number("ROUNDS", 20), number("BATCHES", 400));
    let (warm, cold) = ((batches, WARM), (batches / 4, COLD));
    println!(
        "{rounds} rounds of {} warm and {} cold requests; nanoseconds, medians",
        warm.0 * warm.1,
        cold.0 * cold.1
    );
    for alg in ["RS256", "ES256", "EdDSA"] {
        compare(alg, rounds, (warm, cold));
    }
}

fn compare(alg: &str, rounds: usize, (warm, cold): (Amount, Amount)) {
    let key = Key::new(alg);
    let token = key.token(1, 3600);
    let api = key.api(Duration::from_secs(3600), CacheLimits::new());
    let uncached = key.api(Duration::ZERO, CacheLimits::new());
    let hello = Hello::<Response<Full<Bytes>>>::new();
    let verdicts = verdicts();
    let remember = Remember {
        verdicts: verdicts.clone(),
        inner: hello.clone(),
    };
    let cached = Cached {
        verdicts,
        peer: tower_oauth2(&key, remember),
        inner: hello.clone(),
    };
    let mut cases = vec![
        ("bare service", requests(hello.clone(), &token, warm)),
        ("ours, warm", requests(ours(&api), &token, warm)),
        (
            "a peer in a moka cache, warm",
            requests(cached, &token, warm),
        ),
        ("ours, cold", requests(ours(&uncached), &token, cold)),
        (
            "jwt-authorizer",
            requests(jwt_authorizer(&key), &token, cold),
        ),
        (
            "tower-oauth2-resource-server",
            requests(tower_oauth2(&key, hello.clone()), &token, cold),
        ),
        ("axum-jwt-auth", requests(axum_jwt_auth(&key), &token, cold)),
        ("the signature alone", verify(key, &token, cold)),
    ];
    for (_, run) in &mut cases {
        run(); // warms up
    }
    let mut spent = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        for turn in 0..cases.len() {
            let case = (round + turn) % cases.len();
            spent[case].push((cases[case].1)());
        }
    }
    let names: Vec<_> = cases.iter().map(|(name, _)| *name).collect();
    drop(cases);
    table(alg, token.len(), &names, spent);

    // The token that was measured is one that can be taken back.
    let this = WhichTokens::this(&token).unwrap();
    api.revoke(&AS.parse().unwrap(), &this).unwrap();
    let answer = finished(ours(&api).call(request(Some(&token)))).unwrap();
    assert_eq!(answer.status(), 401);
}

/// Each beside the bare service, our warm check and our cold one.
fn table(alg: &str, length: usize, names: &[&str], spent: Vec<Vec<f64>>) {
    let medians: Vec<_> = spent.into_iter().map(median).collect();
    let over = |case: usize| medians[case] - medians[0];
    println!("\n{alg}, {length} characters");
    println!("| | over bare | times ours, warm | times ours, cold |");
    println!("|---|---:|---:|---:|");
    println!("| {} ({:.0} in all) | | | |", names[0], medians[0]);
    for case in 1..names.len() {
        // The signature alone is not behind a service.
        let over = if case == names.len() - 1 {
            medians[case]
        } else {
            over(case)
        };
        println!(
            "| {} | {:.0} | {:.1} | {:.2} |",
            names[case],
            over,
            over / (medians[1] - medians[0]),
            over / (medians[3] - medians[0]),
        );
    }
}
