//! What strangers do holds nobody else back, as far as they can be told apart.

use std::io;
use std::sync::{Arc, Mutex};

use http::Request;
use http_body_util::Full;
use tower_oauth::server::{AuthorizationServerBuilder, Limit, Registration};
use tower_oauth::types::Secret;

use crate::register;
use crate::support::{Answer, Harness, SECRET, authorization_request, basic};

/// Too long to be one that a person chose: it costs no slow digest.
const GUESS: &str = "guess-0123456789-0123456789-0123456789-0123";

/// Who calls is said by a header.
fn addressed(builder: AuthorizationServerBuilder) -> AuthorizationServerBuilder {
    builder.client_address(|parts| parts.headers.get("x-address")?.to_str().ok()?.parse().ok())
}

// Threat S20: there are as many names as somebody cares to make up.
#[tokio::test]
async fn s20_one_address_with_ten_thousand_made_up_clients_shuts_nobody_out() {
    let server = Harness::with(addressed).await;
    let ask = async |address: &str, target: &str| {
        let request = Request::get(target).header("x-address", address);
        let request = request.header("x-user", "alice");
        server.send(request.body(Full::default()).unwrap()).await
    };
    for n in 0..10_000 {
        let answer = ask("192.0.2.66", &format!("/auth/authorize?client_id=x{n}")).await;
        answer.page(if n < 60 { 400 } else { 429 });
    }
    for n in 0..60 {
        let request = authorization_request("app", "");
        let answer = ask(&format!("198.51.100.{n}"), &request).await;
        assert_eq!(answer.status, 200, "{n} {answer:?}");
    }
}

// Threat S20: who has no initial access token does not use up what those may do who have one.
#[tokio::test]
async fn s20_registrations_without_a_token_do_not_hold_back_those_with_one() {
    let token = Secret::new("initial-0123456789-0123456789-0123456789-01");
    let server = Harness::with(|builder| {
        let registration = Registration::with_initial_access_tokens([&token]);
        builder.registration(registration.limited_to(Limit::per_minute(2, 2)))
    })
    .await;
    let post = async |field: Option<&str>| {
        let mut request =
            Request::post("/auth/register").header("content-type", "application/json");
        if let Some(field) = field {
            request = request.header("authorization", field);
        }
        let body = Full::from(register::body(""));
        server.send(request.body(body).unwrap()).await
    };
    let right = format!("Bearer {}", token.expose());
    for field in [None, Some("Bearer guess")] {
        for _ in 0..300 {
            post(field).await.error(401, "invalid_token");
        }
    }
    for _ in 0..2 {
        assert_eq!(post(Some(&right)).await.status, 201);
    }
    assert_eq!(post(Some(&right)).await.status, 429, "holders are counted");
}

// Threat S20: a client that has a secret is not held back by who names it without.
#[tokio::test]
async fn s20_device_requests_with_a_wrong_secret_do_not_hold_back_those_of_the_client() {
    let limit = Limit::per_minute(500, 500).per_client(300);
    let server = Harness::with(|builder| {
        let builder = addressed(builder).device_requests(limit);
        builder.wrong_client_secrets(Limit::per_minute(500, 500))
    })
    .await;
    let ask = async |secret: &str| -> Answer {
        let authorization = basic("web", secret);
        let headers = [
            ("authorization", &*authorization),
            ("x-address", "192.0.2.66"),
        ];
        let form = "scope=ledger.read";
        server.post_with("/auth/device", &headers, form).await
    };
    for _ in 0..300 {
        ask(GUESS).await.error(401, "invalid_client");
    }
    for n in 0..300 {
        let right = ask(SECRET).await;
        assert_eq!(right.status, 200, "{n} {right:?}");
    }
    assert_eq!(ask(SECRET).await.status, 429, "its own are counted");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// Without addresses one machine holds everybody back, so operators hear of the setting; once, since strangers say how often it is so.
#[tokio::test]
async fn s20_operators_are_warned_once_that_no_address_is_known() {
    const SETTING: &str = "client_address";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With a second subscriber each log line asks who listens, and does not remember what another thread was told.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _guard = tracing::subscriber::set_default(subscriber);
    let warnings = || {
        let text = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
        text.lines().filter(|line| line.contains(SETTING)).count()
    };
    let limit = Limit::per_minute(1, 1);
    let server = Harness::with(|builder| addressed(builder).device_requests(limit)).await;
    let ask = async |headers: &[(&str, &str)]| {
        let form = "client_id=tv&scope=ledger.read";
        server.post_with("/auth/device", headers, form).await.status
    };
    assert_eq!(ask(&[]).await, 200);
    assert_eq!(ask(&[("x-address", "192.0.2.1")]).await, 429);
    assert_eq!(warnings(), 0, "that one has an address");
    for expected in [1, 0, 0] {
        assert_eq!(ask(&[]).await, 429);
        assert_eq!(warnings(), expected);
    }
}
