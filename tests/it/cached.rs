//! What a cache answers is never more than what would be answered without it.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use proptest::prelude::*;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::resource::{CacheLimits, ResourceServer};
use tower_oauth::types::{ManualClock, Subject};
use tower_oauth::{Issuer, MemoryStore};

use crate::support::{FILES, Harness, LEDGER, NOW, SECRET};

/// One of two demands of the same resource.
const SCOPES: [&str; 2] = ["ledger.read", "ledger.write"];

fn resource(server: &Harness, resource: &str, cache: CacheLimits) -> ResourceServer {
    ResourceServer::builder(resource)
        .issuer(Issuer::in_process(&server.oauth))
        .clock(server.clock.clone())
        .cache(cache)
        .build()
        .unwrap()
}

/// The status that a token gets where this scope is needed.
async fn status(api: &ResourceServer, scope: &str, token: &str) -> u16 {
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
    });
    let service = api.layer().layer(api.require(scope).layer(inner));
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let answer = service.oneshot(request.body(()).unwrap()).await.unwrap();
    answer.status().as_u16()
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A token of `web` for itself, or of alice's, for one resource or both, with one scope or both.
    Issue(u8),
    Ask(usize),
    Advance(u64),
    Revoke(usize),
    RevokeOwner,
    RevokeClient,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<u8>().prop_map(Step::Issue),
        8 => any::<usize>().prop_map(Step::Ask),
        2 => prop_oneof![Just(1), Just(30), Just(59), Just(60), Just(299), Just(541)].prop_map(Step::Advance),
        2 => any::<usize>().prop_map(Step::Revoke),
        1 => Just(Step::RevokeOwner),
        1 => Just(Step::RevokeClient),
    ];
    proptest::collection::vec(step, 1..24)
}

async fn issue(server: &Harness, seed: u8) -> String {
    let scope = ["ledger.read", "ledger.read+ledger.write", "files.read"][usize::from(seed % 3)];
    let files = if seed % 3 == 2 { FILES } else { LEDGER };
    let asked = format!("&scope={scope}&resource={files}");
    if seed & 4 == 0 {
        let form = format!("grant_type=client_credentials{asked}");
        let answer = server.post_as("/auth/token", ("web", SECRET), &form).await;
        return answer.access_token();
    }
    server.tokens(&asked).await.access_token()
}

/// Two that keep what they know, with different demands, beside two that always ask: after every step, whatever the first let through
/// the others do too. And what the others let through is not refused, since nothing is believed that is not so.
async fn never_more(steps: Vec<Step>) {
    let server = Harness::on(MemoryStore::new(), &ManualClock::new(NOW), |builder| {
        builder
    });
    server.create_clients().await;
    let asks = CacheLimits::new().ttl(Duration::ZERO);
    let pairs = [LEDGER, FILES].map(|uri| {
        let keeps = resource(&server, uri, CacheLimits::new());
        (keeps, resource(&server, uri, asks))
    });
    let mut tokens = vec![issue(&server, 0).await, issue(&server, 5).await];
    for step in steps {
        match step {
            Step::Issue(seed) => tokens.push(issue(&server, seed).await),
            Step::Advance(seconds) => server.advance(seconds),
            Step::Ask(_) => {}
            Step::Revoke(which) => {
                let token = &tokens[which % tokens.len()];
                let form = format!("token={token}");
                server.post_as("/auth/revoke", ("web", SECRET), &form).await;
                let form = format!("{form}&client_id=app");
                server.post("/auth/revoke", &form).await;
            }
            Step::RevokeOwner => {
                let alice = Subject::new("alice").unwrap();
                server
                    .oauth
                    .grants()
                    .revoke_all_of_subject(&alice)
                    .await
                    .unwrap();
            }
            Step::RevokeClient => {
                let web = "web".parse().unwrap();
                server.oauth.clients().revoke_tokens(&web).await.unwrap();
            }
        }
        let asked = match step {
            Step::Ask(which) => vec![&tokens[which % tokens.len()]],
            _ => tokens.iter().collect(),
        };
        for token in asked {
            for (keeps, asks) in &pairs {
                for scope in SCOPES.into_iter().chain(["files.read"]) {
                    let (kept, true_now) = (
                        status(keeps, scope, token).await,
                        status(asks, scope, token).await,
                    );
                    assert_eq!(kept, true_now, "{step:?} {scope}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s17_what_is_cached_opens_nothing_that_asking_would_not(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(never_more(steps));
    }
}
