//! What a second pair of eyes found: each of these failed once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::request::Parts;
use tower_oauth::server::Registration;
use tower_oauth::store::Kind;
use tower_oauth::types::Subject;
use tower_oauth::{Approval, Decision, Interaction, PendingRequest};

use crate::authorization_errors::Faulty;
use crate::register::{PUBLIC, with};
use crate::support::{Answer, DEVICE_CODE, FILES, Harness, LEDGER, authorization_request};

/// A client that registered itself for the code grant, as `id`.
async fn registered(server: &Harness) -> String {
    with(server, PUBLIC).await.member("client_id")
}

// req: 8707-2.2-1, 8707-2.2-2, 8707-2.2-5
#[tokio::test]
async fn rfc8707_2_2_a_device_asks_for_a_part_of_what_was_approved_and_for_no_more() {
    let server = Harness::new().await;
    let form =
        format!("client_id=tv&scope=ledger.read+files.read&resource={LEDGER}&resource={FILES}");
    let told = server.post("/auth/device", &form).await;
    let page = server.enter(&told.member("user_code"), "alice").await;
    server.decide(&page, "alice", "allow").await;
    let poll = async |more: &str| -> Answer {
        let code = told.member("device_code");
        server
            .post(
                "/auth/token",
                &format!("grant_type={DEVICE_CODE}&client_id=tv&device_code={code}{more}"),
            )
            .await
    };
    for bad in ["&resource=nope", "&resource=https://evil.test"] {
        poll(bad).await.error(400, "invalid_target");
    }
    let tokens = poll(&format!("&resource={FILES}")).await;
    let facts = server.introspect(&tokens.member("access_token")).await;
    assert_eq!(
        (facts["aud"].to_string(), facts["scope"].as_str()),
        (format!("[\"{FILES}\"]"), Some("files.read"))
    );
}

// req: 9700-4.11.2-3, 9700-4.11.2-4
#[tokio::test]
async fn s02_who_was_not_asked_is_not_sent_to_a_client_that_registered_itself() {
    struct Never;
    impl Interaction for Never {
        async fn decide(&self, _: &PendingRequest, _: &Parts) -> Decision {
            Decision::Deny
        }
    }
    let server = Harness::with(|builder| {
        builder
            .registration(Registration::open())
            .interaction("/login", Never)
    })
    .await;
    let id = registered(&server).await;
    let answer = server.get(&authorization_request(&id, ""), None).await;
    answer.page(400);
    assert!(answer.text().contains("access_denied"), "{}", answer.text());
    server.authorize("").await.redirected_error("access_denied");
}

#[tokio::test]
async fn an_outage_is_503_with_retry_after_for_a_client_that_registered_itself_too() {
    let store = Faulty::default();
    let server = Harness::with(|builder| {
        builder
            .store(store.clone())
            .registration(Registration::open())
    })
    .await;
    let id = registered(&server).await;
    store.break_down(&[Kind::Interaction]);
    let answer = server
        .get(&authorization_request(&id, ""), Some("alice"))
        .await;
    answer.page(503);
    assert_eq!(answer.header("retry-after"), "1");
}

// req: 6749-4.1.2.1-6
#[tokio::test]
async fn s13_who_pressed_deny_has_denied_whatever_the_host_thinks_by_then() {
    struct Changes(Arc<AtomicBool>);
    impl Interaction for Changes {
        async fn decide(&self, _: &PendingRequest, _: &Parts) -> Decision {
            let alice = Subject::new("alice").unwrap();
            match self.0.load(Ordering::SeqCst) {
                true => Decision::Approve(Approval::new(alice)),
                false => Decision::Ask(alice),
            }
        }
    }
    let approves = Arc::new(AtomicBool::new(false));
    let host = Changes(Arc::clone(&approves));
    let server = Harness::with(|builder| builder.interaction("/login", host)).await;
    let page = server.authorize("").await;
    approves.store(true, Ordering::SeqCst);
    server
        .decide(&page, "alice", "deny")
        .await
        .redirected_error("access_denied");
}

// req: 7591-2-18
#[tokio::test]
async fn rfc7591_2_scopes_of_which_none_is_known_are_replaced_by_those_that_are() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    let members = format!(r#"{PUBLIC},"scope":"mcp:tools openid""#);
    let told = with(&server, &members).await;
    assert_eq!(
        told.member("scope"),
        "files.read ledger.read ledger.write offline_access"
    );
    let request = authorization_request(&told.member("client_id"), "&scope=ledger.read");
    assert_eq!(server.get(&request, Some("alice")).await.status, 200);
}

#[tokio::test]
async fn a_token_that_a_retry_gets_lives_as_long_as_it_says() {
    let server =
        Harness::with(|builder| builder.refresh_token_lifetime(Duration::from_secs(60))).await;
    let first = server.tokens("").await.member("refresh_token");
    server.refresh(&first, "").await;
    server.advance(29);
    let again = server.refresh(&first, "").await;
    assert_eq!(again.json()["expires_in"], 600);
    server.advance(599);
    assert!(server.is_active(&again.member("access_token")).await);
}
