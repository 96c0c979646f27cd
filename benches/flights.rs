//! What becomes of many requests at once with one token that nobody has seen, if its issuer takes 20 ms to answer.
//!
//! `cargo bench --bench flights --all-features`. The issuer is an HTTP server on loopback, in a thread of its own. In each round 1,000
//! requests with a new token go through the default layer; printed are how often the issuer was asked, and the median and the longest time
//! until the last answer.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, reads the clock and prints its figures"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::routing::post;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::{Issuer, ResourceServer};

const API: &str = "https://api.example";
const AS: &str = "https://as.example";
const ROUNDS: usize = 21;
const REQUESTS: usize = 1000;
const TAKES: Duration = Duration::from_millis(20);

/// Answers that every token is good, after a while. Where it listens, and how often it was asked.
fn issuer() -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::clone(&asked);
    let answer = async move || -> Json<Value> {
        count.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(TAKES).await;
        Json(json!({
            "active": true, "iss": AS, "sub": "usr_50317", "aud": API, "client_id": "cl_7Qm2v9Tz", "scope": "notes:read",
            "token_type": "Bearer", "exp": u32::MAX,
        }))
    };
    std::thread::spawn(move || {
        runtime().block_on(async {
            let app = axum::Router::new().route("/introspect", post(answer));
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    (address, asked)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// How long it takes until all of these requests are let through.
async fn round(api: &ResourceServer, number: usize) -> Duration {
    let hello = service_fn(async |_: Request<Empty<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let service = api.layer().layer(api.require("notes:read").layer(hello));
    let begun = Instant::now();
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let request = Request::get("https://api.example/notes")
            .header("authorization", format!("Bearer at_{number}"))
            .body(Empty::new())
            .unwrap();
        requests.spawn(service.clone().oneshot(request));
    }
    for answer in requests.join_all().await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    begun.elapsed()
}

fn main() {
    let (address, asked) = issuer();
    let issuer = Issuer::opaque(AS)
        .client("notes", "s3cr3t")
        .endpoint(format!("http://{address}/introspect"));
    let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
    runtime().block_on(async {
        let mut times = Vec::new();
        for number in 0..ROUNDS {
            let before = asked.load(Ordering::SeqCst);
            times.push(round(&api, number).await);
            let calls = asked.load(Ordering::SeqCst) - before;
            assert_eq!(calls, 1, "one question for all");
        }
        let first = times.remove(0);
        times.sort();
        let (middle, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{REQUESTS} requests, {ROUNDS} rounds, one question in each, answered after {TAKES:?}");
        println!("the last answer: {middle:.1?} (median), {longest:.1?} (longest), {first:.1?} (the first round, which connects)");
    });
}
