//! What a token costs at the token endpoint, over the memory store and SQLite, beside a handler that only reads the form.
//!
//! `cargo bench --bench token --all-features`. Forms have 80 to 330 bytes, answers 130 to 250. `baseline` reads and parses the same
//! form and answers the same bytes, so what is above it is client authentication, the rules, randomness, digests and the store: one
//! write for client credentials, two for a refresh, three for a code. SQLite is a file in a temporary folder, synced at each write.
//!
//! `…_at_once` are so many callers who ask again as soon as they are answered, and the time for each answer: what 64 of them get
//! through beside one is the gain of syncing many writes together. Each is answered after the sync of its own write. `store` is an insert into the store alone.
//! `jwt` are client credentials again, answered with a JWT: what it is slower than `memory` by is the signature.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and reads the clock"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt as _, service_fn};
use tower_oauth::server::{AccessTokenFormat, Limit};
use tower_oauth::store::{Insert, Key, Kind, Record, Store};
use tower_oauth::types::{Client, Digest, GrantType, Secret, SigningAlgorithm, Subject, Timestamp};
use tower_oauth::{
    Approval, AuthorizationServer, Decision, Interaction, MemoryStore, PendingRequest, SqliteStore,
};

const API: &str = "https://api.example";
const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z";
const CHALLENGE: &str = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";
const SECRET: &str = "dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXkAB";
const CLIENT_CREDENTIALS: &str = "grant_type=client_credentials&client_id=service&client_secret=dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXkAB&scope=notes%3Aread";

type Endpoint = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

/// An owner who says yes to everything.
struct Yes;

impl Interaction for Yes {
    async fn decide(&self, _: &PendingRequest, _: &Parts) -> Decision {
        Decision::Approve(Approval::new(Subject::new("ada").unwrap()))
    }
}

async fn endpoint(store: impl Store, format: AccessTokenFormat) -> Endpoint {
    let oauth = AuthorizationServer::builder("https://as.example")
        .resource(API, ["notes:read", "notes:write"])
        .scopes(["offline_access"])
        .interaction("/login", Yes)
        // More than anybody asks for in earnest, and as much as a benchmark does.
        .authorization_requests(Limit::per_minute(u32::MAX, u32::MAX))
        .store(store)
        .access_token_format(format)
        .build()
        .unwrap();
    let service = Client::confidential("service".parse().unwrap(), &Secret::new(SECRET))
        .grant_types([GrantType::ClientCredentials]);
    let app = Client::public("app".parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap());
    for client in [service, app] {
        oauth.clients().create(client).await.unwrap();
    }
    let service = oauth.service();
    BoxCloneSyncService::new(service_fn(move |request| {
        let service = service.clone();
        async move {
            let (parts, body) = service.oneshot(request).await?.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Ok(Response::from_parts(parts, Full::from(body)))
        }
    }))
}

/// Reads the form, and answers what it is told to.
fn baseline(answer: Bytes) -> Endpoint {
    BoxCloneSyncService::new(service_fn(move |request: Request<Full<Bytes>>| {
        let answer = answer.clone();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let form: HashMap<_, _> = url::form_urlencoded::parse(&body).collect();
            assert!(form.contains_key("grant_type"));
            let response = Response::builder()
                .header("content-type", "application/json")
                .header("cache-control", "no-store")
                .header("pragma", "no-cache");
            Ok(response.body(Full::from(answer)).unwrap())
        }
    }))
}

async fn post(endpoint: &Endpoint, form: &str) -> Bytes {
    let request = Request::post("/auth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(form.to_owned()))
        .unwrap();
    let response = endpoint.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap().to_bytes()
}

async fn code(endpoint: &Endpoint) -> String {
    let target = format!(
        "/auth/authorize?response_type=code&client_id=app&redirect_uri={CALLBACK}&scope=notes:read+offline_access\
         &code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    let request = Request::get(target).body(Full::default()).unwrap();
    let response = endpoint.clone().oneshot(request).await.unwrap();
    let location = response.headers()["location"].to_str().unwrap();
    let url = url::Url::parse(location).unwrap();
    let code = url.query_pairs().find(|(name, _)| name == "code").unwrap();
    code.1.into_owned()
}

fn redemption(code: &str) -> String {
    format!(
        "grant_type=authorization_code&client_id=app&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
    )
}

fn refresh(answer: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(answer).unwrap();
    let token = json["refresh_token"].as_str().unwrap();
    format!("grant_type=refresh_token&client_id=app&refresh_token={token}")
}

/// The three grants; the forms of the baseline are read again and again.
fn grants(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    (runtime, server): (&Runtime, &Endpoint),
    answers: Option<&Answers>,
) {
    let of = |answer: fn(&Answers) -> &Bytes| {
        answers.map_or_else(
            || server.clone(),
            |answers| baseline(answer(answers).clone()),
        )
    };
    let endpoint = of(|answers| &answers.client_credentials);
    group.bench_function(format!("client_credentials/{name}"), |bencher| {
        bencher.iter(|| runtime.block_on(post(&endpoint, CLIENT_CREDENTIALS)));
    });
    let endpoint = of(|answers| &answers.code);
    group.bench_function(format!("code/{name}"), |bencher| {
        bencher.iter_batched(
            || match answers {
                Some(answers) => answers.form.clone(),
                None => redemption(&runtime.block_on(code(server))),
            },
            |form| runtime.block_on(post(&endpoint, &form)),
            BatchSize::SmallInput,
        );
    });
    let endpoint = of(|answers| &answers.code);
    let form = redemption(&runtime.block_on(code(server)));
    let mut last = runtime.block_on(post(server, &form));
    group.bench_function(format!("refresh/{name}"), |bencher| {
        bencher.iter(|| last = runtime.block_on(post(&endpoint, &refresh(&last))));
    });
}

/// How long `answers` answers take so many callers together, each of whom asks again as soon as it is answered.
async fn at_once<A, F>(callers: usize, answers: u64, ask: A) -> Duration
where
    A: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let left = Arc::new(AtomicU64::new(answers));
    let begun = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let (left, ask) = (Arc::clone(&left), ask.clone());
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        all.spawn(async move {
            while left
                .fetch_update(set, fetch, |left| left.checked_sub(1))
                .is_ok()
            {
                ask().await;
            }
        });
    }
    all.join_all().await;
    begun.elapsed()
}

/// Puts a record of the length of a token's where none stands.
async fn insert(store: SqliteStore) {
    let digest = Digest::of(
        "access_token",
        Secret::generate().unwrap().expose().as_bytes(),
    );
    let value = Bytes::from_static(&[b'x'; 220]);
    let record = Record::new(value, Timestamp::from_secs(1_795_348_800));
    let key = Key::new(Kind::AccessToken, digest);
    let now = Timestamp::from_secs(1_795_348_200);
    let done = store.insert(key, record, now).await.unwrap();
    assert!(matches!(done, Insert::Inserted(_)));
}

/// What a server has said, for the baseline to say again.
struct Answers {
    client_credentials: Bytes,
    code: Bytes,
    form: String,
}

fn token(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let memory = runtime.block_on(endpoint(MemoryStore::new(), AccessTokenFormat::Opaque));
    let jwt = AccessTokenFormat::Jwt(SigningAlgorithm::Es256);
    let jwt = runtime.block_on(endpoint(MemoryStore::new(), jwt));
    let open = |name| {
        runtime
            .block_on(SqliteStore::open(folder.path().join(name)))
            .unwrap()
    };
    let store = open("store.db");
    let sqlite = runtime.block_on(endpoint(open("oauth.db"), AccessTokenFormat::Opaque));
    let form = redemption(&runtime.block_on(code(&memory)));
    let answers = Answers {
        client_credentials: runtime.block_on(post(&memory, CLIENT_CREDENTIALS)),
        code: runtime.block_on(post(&memory, &form)),
        form,
    };

    let mut group = c.benchmark_group("token");
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    grants(&mut group, "baseline", (&runtime, &memory), Some(&answers));
    grants(&mut group, "memory", (&runtime, &memory), None);
    group.bench_function("client_credentials/jwt", |bencher| {
        bencher.iter(|| runtime.block_on(post(&jwt, CLIENT_CREDENTIALS)));
    });
    group.sample_size(20);
    grants(&mut group, "sqlite", (&runtime, &sqlite), None);
    // Writes that wait together are synced together.
    for callers in [1, 32, 64] {
        group.bench_function(
            format!("client_credentials/sqlite_{callers}_at_once"),
            |bencher| {
                bencher.iter_custom(|answers| {
                    let sqlite = sqlite.clone();
                    let ask = move || {
                        let sqlite = sqlite.clone();
                        async move { drop(post(&sqlite, CLIENT_CREDENTIALS).await) }
                    };
                    runtime.block_on(at_once(callers, answers, ask))
                });
            },
        );
        group.bench_function(format!("store/sqlite_{callers}_at_once"), |bencher| {
            bencher.iter_custom(|answers| {
                let store = store.clone();
                runtime.block_on(at_once(callers, answers, move || insert(store.clone())))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, token);
criterion_main!(benches);
