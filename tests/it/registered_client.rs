//! The life of a client that registered itself: used, shared by its like, forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tower_oauth::server::Registration;
use tower_oauth::store::Kind;
use tower_oauth::types::{Client, ManualClock, RegisteredBy};

use crate::hooked::{Hooked, Verb, When};
use crate::register::{PUBLIC, open, with};
use crate::support::{CALLBACK, Harness, NOW, VERIFIER, authorization_request, changed};

const DAY: u64 = 24 * 3600;

// req: 7591-5-5, 7591-5-7, mcp-gen-1
#[tokio::test]
async fn rfc7591_5_a_registered_client_goes_through_the_whole_code_flow_and_nobody_vouches_for_it()
{
    let server = open().await;
    for method in ["none", "client_secret_basic", "client_secret_post"] {
        let members = format!(
            r#""token_endpoint_auth_method":"{method}","client_name":"Your Bank","logo_uri":"https://evil.test/logo","client_uri":"https://evil.test","grant_types":["authorization_code","refresh_token"]"#
        );
        let told = with(&server, &members).await.json();
        let id = told["client_id"].as_str().unwrap();
        let page = server
            .get(&authorization_request(id, "&state=s1"), Some("alice"))
            .await;
        assert!(
            page.text()
                .contains("Nobody has vouched for this application.")
        );
        assert!(page.text().contains("<bdi>app.harbor.test</bdi>"));
        assert!(!page.text().contains("evil.test") && !page.text().contains("<img"));
        let code = server
            .decide(&page, "alice", "allow")
            .await
            .parameter("code")
            .unwrap();
        let secret = told["client_secret"].as_str();
        let post = async |form: String| match (method, secret) {
            ("client_secret_basic", Some(secret)) => {
                server.post_as("/auth/token", (id, secret), &form).await
            }
            (_, Some(secret)) => {
                server
                    .post(
                        "/auth/token",
                        &format!("{form}&client_id={id}&client_secret={secret}"),
                    )
                    .await
            }
            _ => {
                server
                    .post("/auth/token", &format!("{form}&client_id={id}"))
                    .await
            }
        };
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
        );
        // Who knows the code alone has nothing: it takes the secret of a client that has one, and of all the verifier.
        if secret.is_some() {
            let named = format!("{form}&client_id={id}");
            let answer = server.post("/auth/token", &named).await;
            answer.error(401, "invalid_client");
        }
        let tokens = post(form.clone()).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        let page = server
            .get(&authorization_request(id, ""), Some("alice"))
            .await;
        let answer = server.decide(&page, "alice", "allow").await;
        let other = answer.parameter("code").unwrap();
        let guessed = form
            .replace(&code, &other)
            .replace(VERIFIER, &"x".repeat(43));
        post(guessed).await.error(400, "invalid_grant");
        let refresh_token = tokens.member("refresh_token");
        let again = post(format!(
            "grant_type=refresh_token&refresh_token={refresh_token}"
        ))
        .await;
        assert_eq!(again.status, 200, "{again:?}");
    }
    let hosts = server.authorize("").await;
    assert!(!hosts.text().contains("vouched"));
}

/// What `client` is told at the token endpoint, and at the authorization endpoint.
async fn is_known(server: &Harness, client: &str) -> bool {
    let token = server
        .post(
            "/auth/token",
            &format!("grant_type=refresh_token&client_id={client}&refresh_token=x"),
        )
        .await;
    let request = changed(&[("client_id", Some(client))]);
    let authorize = server.get(&request, Some("alice")).await;
    if token.json()["error"] == "invalid_client" {
        token.error(401, "invalid_client");
        authorize.page(400);
        return false;
    }
    assert_eq!(authorize.status, 200, "{authorize:?}");
    true
}

async fn registered(server: &Harness, members: &str) -> String {
    let answer = with(
        server,
        &format!(r#"{PUBLIC},"grant_types":["authorization_code","refresh_token"]{members}"#),
    )
    .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.member("client_id")
}

#[tokio::test]
async fn equal_registrations_of_public_clients_are_one_client_until_it_is_forgotten() {
    let server = open().await;
    let first = with(&server, PUBLIC).await;
    server.advance(600);
    let again = server
        .register(&format!(
            r#"{{{PUBLIC},"scope":null,"x":1,"redirect_uris":["{CALLBACK}"]}}"#
        ))
        .await;
    assert_eq!(again.json(), first.json());
    assert_eq!(again.status, 201);
    assert_eq!(again.json()["client_id_issued_at"], NOW.as_secs());
    let mut seen = vec![first.member("client_id")];
    for other in [
        r#","client_name":"n""#,
        r#","scope":"ledger.read""#,
        r#","grant_types":["authorization_code","refresh_token"]"#,
        r#","client_uri":"https://app.harbor.test""#,
        r#","application_type":"native""#,
    ] {
        let id = with(&server, &format!("{PUBLIC}{other}"))
            .await
            .member("client_id");
        assert!(!seen.contains(&id), "{other}");
        seen.push(id);
    }
    // Who has a secret has it alone.
    let confidential = [with(&server, "").await, with(&server, "").await];
    assert_ne!(
        confidential[0].member("client_id"),
        confidential[1].member("client_id")
    );
    // One that was switched off is not given out again.
    let id = first.member("client_id").parse().unwrap();
    server.oauth.clients().disable(&id, true).await.unwrap();
    assert_ne!(with(&server, PUBLIC).await.member("client_id"), id.as_str());
}

#[tokio::test]
async fn s07_equal_registrations_at_the_same_time_are_one_client() {
    let store = crate::authorization_errors::Faulty::default();
    let server =
        Harness::with(|builder| builder.store(store).registration(Registration::open())).await;
    let answers = (0..16).map(|_| with(&server, PUBLIC));
    let answers = crate::consent::all_at_once(answers).await;
    let ids: std::collections::HashSet<_> = answers
        .iter()
        .map(|answer| answer.member("client_id"))
        .collect();
    assert_eq!(ids.len(), 1);
    let clients = server.oauth.clients().list().await.unwrap();
    let own = |client: &&Client| client.registered_by() == RegisteredBy::Itself;
    assert_eq!(clients.iter().filter(own).count(), 1, "nobody is left over");
}

// req: 7591-5-3
#[tokio::test]
async fn a_client_that_nobody_uses_is_forgotten_after_a_day_and_makes_room_for_its_like() {
    let server = open().await;
    let first = registered(&server, "").await;
    server.advance(DAY - 1);
    assert!(is_known(&server, &first).await);
    server.advance(1);
    assert!(!is_known(&server, &first).await);
    let second = registered(&server, "").await;
    assert_ne!(second, first);
    assert!(is_known(&server, &second).await && !is_known(&server, &first).await);
    assert_eq!(registered(&server, "").await, second);
}

#[tokio::test]
async fn a_client_that_registers_again_has_time_to_be_used() {
    let server = open().await;
    let id = registered(&server, "").await;
    server.advance(DAY - 1);
    assert_eq!(registered(&server, "").await, id);
    server.advance(3600);
    assert!(is_known(&server, &id).await);
    // As soon as half of its time is over, it has all of it again.
    let server = open().await;
    let id = registered(&server, "").await;
    server.advance(DAY / 2 + 1);
    assert_eq!(registered(&server, "").await, id);
    server.advance(DAY - 1);
    assert!(is_known(&server, &id).await);
    server.advance(1);
    assert!(!is_known(&server, &id).await);
}

#[tokio::test]
async fn a_client_that_is_used_lives_on_until_it_has_been_idle_for_ninety_days() {
    let server = open().await;
    let id = registered(&server, "").await;
    let request = authorization_request(&id, "");
    let code = server.allow(&request).await.parameter("code").unwrap();
    let tokens = server
        .post("/auth/token", &crate::support::redemption(&id, &code))
        .await;
    let refresh = format!(
        "grant_type=refresh_token&client_id={id}&refresh_token={}",
        tokens.member("refresh_token")
    );
    server.advance(13 * DAY);
    assert_eq!(server.post("/auth/token", &refresh).await.status, 200);
    assert_eq!(registered(&server, "").await, id);
    server.advance(90 * DAY - 1);
    assert!(is_known(&server, &id).await);
    server.advance(1);
    assert!(!is_known(&server, &id).await);
    assert_ne!(registered(&server, "").await, id);
    // What the host has put there stays.
    assert!(is_known(&server, "app").await);
}

#[tokio::test]
async fn the_use_of_a_client_that_is_kept_for_a_day_is_noted_more_often_than_once_a_day() {
    let day = Duration::from_secs(DAY);
    let hour = Duration::from_secs(3600);
    let registration = Registration::open().idle_client_lifetime(day);
    let server = Harness::with(|builder| {
        let builder = builder.refresh_token_lifetime(hour);
        builder.registration(registration)
    })
    .await;
    let id = registered(&server, "").await;
    for hours in [0, 20] {
        server.advance(hours * 3600);
        let code = server.code_for(&id, "").await;
        let form = crate::support::redemption(&id, &code);
        server.post("/auth/token", &form).await.access_token();
    }
    server.advance(17 * 3600);
    assert!(is_known(&server, &id).await, "it was used this day");
}

#[tokio::test]
async fn a_use_is_noted_about_once_a_day_and_not_with_each_token() {
    let store = Hooked::open().await;
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| {
        builder.registration(Registration::open())
    });
    let id = registered(&server, "").await;
    store.feed_has_begun().await; // from now on the server keeps what it reads of a client
    let noted = Arc::new(AtomicUsize::new(0));
    store.on_step({
        let noted = Arc::clone(&noted);
        move |step| {
            if step.is(Verb::Replace, Kind::Client, When::Before) {
                noted.fetch_add(1, Ordering::SeqCst);
            }
            async { Ok(()) }
        }
    });
    let begun = server.clock_now();
    for (at, times) in [
        (0, 1),
        (1, 1),
        (DAY - 1, 1),
        (DAY, 2),
        (DAY + 1, 2),
        (2 * DAY - 1, 2),
        (2 * DAY, 3),
    ] {
        server.advance(at - server.clock_now().since(begun).as_secs());
        let code = server.code_for(&id, "").await;
        let form = crate::support::redemption(&id, &code);
        let tokens = server.post("/auth/token", &form).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        assert_eq!(noted.load(Ordering::SeqCst), times, "after {at} seconds");
    }
}
