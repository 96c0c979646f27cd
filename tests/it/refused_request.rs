//! An invalid request of a client that the host registered: nobody is sent away with its error before they have signed in, so that a
//! link to the server is no way to another place (RFC 9700 §4.11.2), unless the request wants no page to be shown.

use http::Response;
use http::request::Parts;
use tower_oauth::server::Registration;
use tower_oauth::types::{Body, Subject};
use tower_oauth::{Approval, Decision, Interaction, PendingRequest};

use crate::support::{Answer, Harness, alice, changed};

const WRONG: [(&str, Option<&str>, &str); 6] = [
    ("scope", Some("bad"), "invalid_scope"),
    ("response_type", Some("token"), "unsupported_response_type"),
    ("response_mode", Some("fragment"), "invalid_request"),
    ("code_challenge", None, "invalid_request"),
    ("resource", Some("nope"), "invalid_target"),
    ("state", Some("%0D%0A"), "invalid_request"),
];

/// The id of an invalid request, for which nobody is signed in.
async fn waiting(server: &Harness, wrong: (&str, Option<&str>)) -> String {
    let login = server.get(&changed(&[wrong]), None).await;
    let location = login.location();
    assert!(location.starts_with("/login?"), "{location}");
    for told in ["error", "state", "harbor.test"] {
        assert!(!location.contains(told), "{location}");
    }
    login.parameter("interaction").unwrap()
}

// req: 9700-4.11.2-2, 6749-4.1.1-3
#[tokio::test]
async fn rfc9700_4_11_2_nobody_is_sent_away_with_an_error_before_they_have_signed_in() {
    let server = Harness::new().await;
    for (name, value, code) in WRONG {
        let id = waiting(&server, (name, value)).await;
        let path = server.oauth.resume_path(&id);
        // Still nobody: to the login again, with the same request.
        let again = server.get(&path, None).await;
        assert_eq!(again.location(), format!("/login?interaction={id}"));
        let told = server.get(&path, Some("alice")).await;
        told.redirected_error(code);
        if name != "state" {
            assert_eq!(told.parameter("state").as_deref(), Some("s1"));
        }
        // It is told once, and there is no page of it that could be answered.
        let once = server.get(&path, Some("alice")).await;
        once.page(400);
        assert!(once.text().contains("Already answered"));
        // Who is signed in is told at once.
        let told = server.get(&changed(&[(name, value)]), Some("alice")).await;
        told.redirected_error(code);
    }
}

// req: oidc-core-3.1.2.1-6, 9700-4.11.2-2, 9700-4.11.2-3
#[tokio::test]
async fn oidc_core_3_1_2_1_an_invalid_request_that_wants_no_page_goes_back_without_one() {
    let server = Harness::with(|builder| builder.registration(Registration::open())).await;
    let itself = server
        .register(r#"{"redirect_uris":["https://app.harbor.test/cb"],"token_endpoint_auth_method":"none"}"#)
        .await
        .member("client_id");
    for (name, value, code) in WRONG {
        for user in [None, Some("alice")] {
            let mut silent = vec![(name, value), ("prompt", Some("none"))];
            let told = server.get(&changed(&silent), user).await;
            told.redirected_error(code);
            if name != "state" {
                assert_eq!(told.parameter("state").as_deref(), Some("s1"));
            }
            // Not to an address that nobody has vouched for: that one is shown first.
            silent.push(("client_id", Some(&itself)));
            server.get(&changed(&silent), user).await.page(400);
        }
    }
    // Whoever wants no page and one has asked for nothing that can be shown; other values are no wish for silence.
    for (prompt, silent) in [("none%20login", true), ("None", false), ("login", false)] {
        let request = changed(&[("prompt", Some(prompt)), ("scope", Some("bad"))]);
        let answer = server.get(&request, None).await;
        let is_login = answer.location().starts_with("/login?");
        assert_eq!(is_login, !silent, "{prompt}");
    }
    // An address that is not the client's is nobody's, silent or not.
    let elsewhere = [
        ("prompt", Some("none")),
        ("redirect_uri", Some("https://evil.test/")),
    ];
    server.get(&changed(&elsewhere), None).await.page(400);
}

#[tokio::test]
async fn an_invalid_request_waits_no_longer_than_a_valid_one_and_no_form_answers_it() {
    let server = Harness::new().await;
    let id = waiting(&server, ("scope", Some("bad"))).await;
    for decision in ["allow", "deny"] {
        let form = format!("interaction={id}&csrf=x&decision={decision}");
        let answer = server.submit("/auth/authorize", "alice", &form).await;
        answer.page(403);
    }
    server.advance(600);
    let late = server
        .get(&server.oauth.resume_path(&id), Some("alice"))
        .await;
    late.page(400);
    assert!(late.text().contains("has expired or is not known"));
}

/// A host that lets everybody see who asks, and says what is wrong.
struct Tells;

impl Interaction for Tells {
    async fn decide(&self, pending: &PendingRequest, _: &Parts) -> Decision {
        let error = pending.error().unwrap_or("none").to_owned();
        Decision::Respond(Response::new(Body::from(error)))
    }
}

#[tokio::test]
async fn a_host_knows_an_invalid_request_and_whatever_it_says_no_code_comes_of_it() {
    let server = Harness::with(|builder| builder.interaction("/login", Tells)).await;
    let valid = server.get(&changed(&[]), None).await;
    assert_eq!(valid.text(), "none");
    let invalid = server.get(&changed(&[("scope", Some("bad"))]), None).await;
    assert_eq!(
        (invalid.status.as_u16(), invalid.text().as_str()),
        (200, "invalid_scope")
    );

    let server = Harness::new().await;
    let approve: fn() -> Decision = || Decision::Approve(Approval::new(alice()));
    let ask: fn() -> Decision = || Decision::Ask(alice().into());
    for decide in [approve, ask, || Decision::Deny] {
        let id = waiting(&server, ("scope", Some("bad"))).await;
        let answer = server.oauth.resume(&id, decide()).await;
        let answer = server.sent_to_a_known_place(answer).await;
        answer.redirected_error("invalid_scope");
        let again = server.oauth.resume(&id, decide()).await;
        Answer::of(again).await.page(400);
    }
    let subject = Subject::new("alice").unwrap();
    assert!(
        server
            .oauth
            .grants()
            .by_subject(&subject)
            .await
            .unwrap()
            .is_empty()
    );
}
