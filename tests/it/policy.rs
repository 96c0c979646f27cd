//! The host's say at every issue.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tower_oauth::types::Claims;
use tower_oauth::{Issuance, Policy, Verdict};

use crate::support::{DEVICE_CODE, FOR_ITSELF, Harness, LEDGER, SECRET, redemption};

/// Says what it was told to say, and notes what it was asked.
#[derive(Clone)]
struct Host(Arc<Mutex<(Verdict, Vec<Value>)>>);

impl Host {
    fn says(&self, verdict: Verdict) {
        self.0.lock().unwrap().0 = verdict;
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

impl Policy for Host {
    async fn issue(&self, issuance: Issuance<'_>) -> Verdict {
        let mut host = self.0.lock().unwrap();
        host.1.push(json!([
            issuance.grant_type.as_str(),
            issuance.client.client_id().as_str(),
            issuance.subject.map(|subject| subject.as_str()),
            issuance.scope,
            issuance.audience,
        ]));
        host.0.clone()
    }
}

fn allow(scope: &str) -> Verdict {
    let claims = Claims::none();
    let scope = scope.parse().unwrap();
    Verdict::Allow { scope, claims }
}

async fn start() -> (Harness, Host) {
    let all = allow("ledger.read ledger.write files.read offline_access");
    let host = Host(Arc::new(Mutex::new((all, Vec::new()))));
    let policy = host.clone();
    (Harness::with(|builder| builder.policy(policy)).await, host)
}

/// The form of each grant of `web`, ready to be used, and a name for it.
async fn grants(server: &Harness) -> Vec<(&'static str, String)> {
    let used = redemption("web", &server.code_for("web", "").await);
    let (_, refresh) = server.web(&used).await.pair();
    let code = server.code_for("web", "").await;
    let device = server
        .post_as("/auth/device", ("web", SECRET), "scope=ledger.read")
        .await;
    let page = server.enter(&device.member("user_code"), "alice").await;
    server.decide(&page, "alice", "allow").await;
    let device_code = device.member("device_code");
    vec![
        ("authorization_code", redemption("web", &code)),
        (
            "refresh_token",
            format!("grant_type=refresh_token&refresh_token={refresh}"),
        ),
        (
            DEVICE_CODE,
            format!("grant_type={DEVICE_CODE}&device_code={device_code}"),
        ),
        ("client_credentials", FOR_ITSELF.to_owned()),
    ]
}

#[tokio::test]
async fn the_host_is_asked_at_every_issue_and_told_what_it_would_be() {
    let (server, host) = start().await;
    for (grant_type, form) in grants(&server).await {
        host.asked();
        server.web(&form).await.access_token();
        let owner = (grant_type != "client_credentials").then_some("alice");
        let expected = json!([grant_type, "web", owner, "ledger.read", [LEDGER]]);
        assert_eq!(host.asked(), [expected]);
    }
    // Nobody is asked about what is refused anyway.
    server.web("grant_type=client_credentials&scope=nope").await;
    server.web("grant_type=refresh_token&refresh_token=x").await;
    assert!(host.asked().is_empty());
}

// req: 6749-3.3-4, 6749-3.3-3, 6749-5.1-5
#[tokio::test]
async fn rfc6749_3_3_the_host_grants_less_and_the_client_is_told_what() {
    let (server, host) = start().await;
    let asked = format!("&scope=ledger.read+ledger.write&resource={LEDGER}");
    host.says(allow("ledger.write files.read"));
    let code = server.code_for("app", &asked).await;
    let answer = server.redeem(&code).await;
    let (access, refresh) = answer.pair();
    assert_eq!(answer.member("scope"), "ledger.write");
    assert_eq!(server.introspect(&access).await["scope"], "ledger.write");
    // It was that one token's scope: the grant is what the owner approved.
    host.says(allow("ledger.read ledger.write files.read"));
    let answer = server.refresh(&refresh, "").await;
    assert_eq!(answer.member("scope"), "ledger.read ledger.write");
    host.asked();
    let (_, refresh) = answer.pair();
    let answer = server.refresh(&refresh, "&scope=ledger.read").await;
    assert_eq!(host.asked()[0][3], "ledger.read", "{answer:?}");
}

// req: 6749-5.1-5
#[tokio::test]
async fn rfc6749_5_1_a_host_that_leaves_no_scope_leaves_no_token_and_uses_nothing_up() {
    let (server, host) = start().await;
    for (grant_type, form) in grants(&server).await {
        for nothing in ["", "files.read"] {
            host.says(allow(nothing));
            let answer = server.web(&form).await;
            assert_eq!(answer.status, 400, "{grant_type}: {answer:?}");
            answer.error(400, "invalid_scope");
        }
        host.says(allow("ledger.read"));
        server.web(&form).await.access_token();
    }
}

// req: 7662-2.2-11, 7662-2.2-6
#[tokio::test]
async fn rfc7662_2_2_the_claims_of_the_host_come_back_from_introspection() {
    let (server, host) = start().await;
    let claims =
        json!({"tenant": "t1", "acr": "2", "auth_time": 1_795_348_800, "roles": ["a", "b"]});
    let Value::Object(claims) = claims else {
        panic!("an object")
    };
    let scope = "ledger.read".parse().unwrap();
    host.says(Verdict::Allow {
        scope,
        claims: Claims::new(claims.clone()).unwrap(),
    });
    for (grant_type, form) in grants(&server).await {
        let told = server
            .introspect(&server.web(&form).await.access_token())
            .await;
        for (name, value) in &claims {
            assert_eq!(&told[name], value, "{grant_type}");
        }
        assert_eq!(told["active"], true);
    }
    for reserved in [
        "active",
        "scope",
        "client_id",
        "sub",
        "aud",
        "iss",
        "exp",
        "jti",
        "cnf",
    ] {
        let claims = Map::from_iter([(reserved.to_owned(), json!("x"))]);
        assert!(Claims::new(claims).is_err(), "{reserved}");
    }
    // Without any, there are the registered members alone (RFC 7662 §2.2).
    host.says(allow("ledger.read"));
    let told = server
        .introspect(&server.web(FOR_ITSELF).await.access_token())
        .await;
    let mut names: Vec<_> = told.as_object().unwrap().keys().cloned().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "active",
            "aud",
            "client_id",
            "exp",
            "iat",
            "iss",
            "jti",
            "scope",
            "sub",
            "token_type"
        ]
    );
}

#[tokio::test]
async fn a_host_that_says_no_can_say_yes_later() {
    let (server, host) = start().await;
    for (grant_type, form) in grants(&server).await {
        host.says(Verdict::Deny);
        let error = if grant_type == "client_credentials" {
            "unauthorized_client"
        } else {
            "invalid_grant"
        };
        for _ in 0..2 {
            server.web(&form).await.error(400, error);
        }
        // Had a refresh token been used up, this would be reuse by now.
        server.advance(31);
        host.says(allow("ledger.read"));
        server.web(&form).await.access_token();
    }
}

#[tokio::test]
async fn a_person_who_is_disabled_stops_refreshing_and_starts_again() {
    let (server, host) = start().await;
    let (_, refresh) = server.tokens("").await.pair();
    host.says(Verdict::Deny);
    for _ in 0..3 {
        server
            .refresh(&refresh, "")
            .await
            .error(400, "invalid_grant");
        server.advance(3600);
    }
    host.says(allow("ledger.read"));
    server.refresh(&refresh, "").await.pair();
}

// req: http-err-2
#[tokio::test]
async fn a_host_that_cannot_tell_is_503_and_never_a_verdict() {
    let (server, host) = start().await;
    for (grant_type, form) in grants(&server).await {
        host.says(Verdict::Unavailable);
        let answer = server.web(&form).await;
        answer.error(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), "1", "{grant_type}");
        server.advance(31);
        host.says(allow("ledger.read"));
        server.web(&form).await.access_token();
    }
}
