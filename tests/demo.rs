//! The demo as a process on a file of SQLite, driven by the published `oauth2` crate and by a person at a browser.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/browser.rs"]
mod browser;
#[path = "support/example.rs"]
mod example;

use app::{App, REDIRECT_URI, Tokens};
use browser::Browser;
use example::Example;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The demo, and the file that outlives it.
struct Demo {
    running: Option<Example>,
    files: TempDir,
    access_token: &'static str,
}

impl Demo {
    /// What it is called. It listens elsewhere, so that a new process need not find the port of the old one free.
    const ISSUER: &str = "http://localhost";

    fn start() -> Self {
        Self::start_with("opaque")
    }

    /// With access tokens of this form.
    fn start_with(access_token: &'static str) -> Self {
        let mut demo = Self {
            running: None,
            access_token,
            files: tempfile::tempdir().unwrap(),
        };
        demo.crash();
        demo
    }

    /// Kills the process, as it is, and starts another one on the same file.
    fn crash(&mut self) {
        self.running = None;
        let store = format!("sqlite:{}", self.files.path().join("demo.db").display());
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--issuer",
            Self::ISSUER,
            "--store",
            &store,
            "--access-token",
            self.access_token,
        ];
        self.running = Some(Example::start("demo", &arguments));
    }

    fn base(&self) -> &str {
        self.running.as_ref().unwrap().base()
    }

    fn app(&self, client_id: &str) -> App {
        App::new(self.base(), client_id)
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Response {
        let request = Client::new().get(format!("{}{path}", self.base()));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// Whether the API takes the token.
    async fn takes(&self, tokens: &Tokens) -> bool {
        let status = self.get("/api/whoami", Some(&tokens.access)).await.status();
        assert!(matches!(status.as_u16(), 200 | 401), "{status}");
        status == 200
    }

    async fn introspect(&self, token: &str) -> Value {
        let request = Client::new().post(format!("{}/auth/introspect", self.base()));
        let request = request.basic_auth("demo-api", Some("demo-api-secret"));
        let answer = request.form(&[("token", token)]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// Revokes a token. (The `oauth2` crate does so by https only.)
    async fn revoke(&self, client_id: &str, token: &str) -> StatusCode {
        let request = Client::new().post(format!("{}/auth/revoke", self.base()));
        let form = [("client_id", client_id), ("token", token)];
        request.form(&form).send().await.unwrap().status()
    }
}

fn challenge(answer: &Response) -> &str {
    answer.headers()["www-authenticate"].to_str().unwrap()
}

#[tokio::test]
async fn a_code_becomes_tokens_that_open_the_api_until_they_are_revoked() {
    tokio::join!(
        a_code_becomes_tokens("opaque"),
        a_code_becomes_tokens("jwt")
    );
}

async fn a_code_becomes_tokens(access_token: &'static str) {
    let demo = Demo::start_with(access_token);
    let id = App::register(demo.base()).await;
    let app = demo.app(&id);

    let code = app.code("notes:read offline_access").await;
    let first = app.redeem(&code).await.unwrap();
    assert_eq!(first.access.contains('.'), access_token == "jwt");
    assert_eq!(first.scope, "notes:read offline_access");
    let whoami: Value = demo
        .get("/api/whoami", Some(&first.access))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        whoami,
        json!({ "sub": "alice", "client_id": id, "scope": first.scope })
    );

    let second = app.refresh(&first).await.unwrap();
    assert_ne!(
        (&second.access, &second.refresh),
        (&first.access, &first.refresh)
    );
    let facts = demo.introspect(&second.access).await;
    assert_eq!(facts["active"], true);
    assert_eq!(
        (&facts["sub"], &facts["client_id"]),
        (&json!("alice"), &json!(id))
    );
    assert_eq!(facts["aud"], json!([Demo::ISSUER]));

    assert_eq!(demo.revoke(&id, &second.refresh).await, 200);
    assert_eq!(
        demo.introspect(&second.access).await,
        json!({ "active": false })
    );
    let refused = demo.get("/api/whoami", Some(&second.access)).await;
    assert_eq!(refused.status(), 401);
    assert!(
        challenge(&refused).contains("error=\"invalid_token\""),
        "{refused:?}"
    );
    assert_eq!(app.refresh(&second).await.unwrap_err(), "invalid_grant");
}

#[tokio::test]
async fn nobody_gets_in_by_a_wrong_password_and_a_no_is_told_to_the_app() {
    let demo = Demo::start();
    let id = App::register(demo.base()).await;
    let app = demo.app(&id);
    let browser = Browser::new();

    let login = browser.open(&format!("{}/login", demo.base())).await;
    let wrong = [("Username", "alice"), ("Password", "builder")];
    let again = browser.submit(&login, &wrong, "Sign in").await;
    assert_eq!(again.status, 400);
    assert!(
        again.html.contains("Username or password is wrong."),
        "{again:?}"
    );

    let (consent, state, _) = app.ask(&browser, "notes:read").await;
    assert!(consent.html.contains("Notes on the go"), "{consent:?}");
    assert!(consent.html.contains("Read your notes"), "{consent:?}");
    let there = browser.submit(&consent, &[], "Deny").await;
    assert!(there.url.as_str().starts_with(REDIRECT_URI), "{there:?}");
    let told = ["error", "state", "iss", "code"].map(|name| there.parameter(name));
    let [error, same_state, iss, code] = told.each_ref().map(Option::as_deref);
    assert_eq!(
        (error, same_state),
        (Some("access_denied"), Some(state.as_str()))
    );
    assert_eq!((iss, code), (Some(Demo::ISSUER), None));
}

// req: http-cookie-1
#[tokio::test]
async fn behind_tls_the_session_has_a_name_that_no_other_host_can_plant() {
    let http = Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.build().unwrap();
    for (issuer, secure) in [("https://localhost", true), (Demo::ISSUER, false)] {
        let arguments = ["--listen", "127.0.0.1:0", "--store", "memory:", "--issuer"];
        let demo = Example::start("demo", &[arguments.as_slice(), &[issuer]].concat());
        let person = [("username", "alice"), ("password", "wonderland")];
        let enter = http.post(format!("{}/login", demo.base()));
        let enter = enter.header("sec-fetch-site", "same-origin").form(&person);
        let answer = enter.send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert_eq!(cookie.starts_with("__Host-session="), secure, "{cookie}");
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert_eq!(cookie.contains("Secure"), secure, "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}

#[tokio::test]
async fn a_device_waits_until_its_owner_has_typed_the_code_in() {
    let demo = Demo::start();
    let app = demo.app(&App::register(demo.base()).await);
    let device = app.device("notes:read notes:write").await;
    let meanwhile = async || {
        let done = app.decide(&device, "Allow").await;
        assert!(done.html.contains("Device connected"), "{done:?}");
    };
    let tokens = app.poll(&device, &meanwhile).await.unwrap();
    assert_eq!(tokens.scope, "notes:read notes:write");
    assert!(demo.takes(&tokens).await);

    let device = app.device("notes:read").await;
    let denied = app
        .poll(&device, async || drop(app.decide(&device, "Deny").await))
        .await;
    assert_eq!(denied.unwrap_err(), "access_denied");
}

#[tokio::test]
async fn the_api_asks_for_a_token_and_for_the_scope_of_each_request() {
    let demo = Demo::start();
    let stranger = demo.get("/api/notes", None).await;
    assert_eq!(stranger.status(), 401);
    assert_eq!(
        challenge(&stranger),
        "Bearer scope=\"notes:read\", resource_metadata=\"http://localhost/.well-known/oauth-protected-resource\""
    );
    assert_eq!(demo.get("/health", None).await.status(), 200);

    let request = Client::new().post(format!("{}/auth/token", demo.base()));
    let request = request.basic_auth("demo-job", Some("demo-job-secret"));
    let job = async |scope: &str| -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let answer = request
            .try_clone()
            .unwrap()
            .form(&form)
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let write = async |token: &str| {
        let request = Client::new().post(format!("{}/api/notes", demo.base()));
        let request = request
            .json(&json!({ "text": "Buy milk" }))
            .bearer_auth(token);
        request.send().await.unwrap()
    };
    let (reader, writer) = (job("notes:read").await, job("notes:write").await);
    assert_eq!(write(&writer).await.status(), 201);
    let refused = write(&reader).await;
    assert_eq!(refused.status(), 403);
    let challenge = challenge(&refused);
    assert!(
        challenge.contains("error=\"insufficient_scope\""),
        "{challenge}"
    );
    assert!(challenge.contains("scope=\"notes:write\""), "{challenge}");

    assert_eq!(demo.get("/api/notes", Some(&writer)).await.status(), 403);
    let notes: Value = demo
        .get("/api/notes", Some(&reader))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(notes, json!([{ "id": 1, "text": "Buy milk" }]));
}

/// Each answer is followed by the death of the process.
#[tokio::test]
async fn what_was_answered_stands_after_the_process_was_killed() {
    let mut demo = Demo::start();
    let id = App::register(demo.base()).await;
    demo.crash();
    let (code, further_code) = {
        let app = demo.app(&id);
        (app.code("notes:read").await, app.code("notes:read").await)
    };
    demo.crash();
    let first = demo.app(&id).redeem(&code).await.unwrap();
    demo.crash();
    assert!(demo.takes(&first).await);
    let second = demo.app(&id).refresh(&first).await.unwrap();
    demo.crash();
    assert!(demo.takes(&first).await && demo.takes(&second).await);
    let other = demo.app(&id).redeem(&further_code).await.unwrap();
    assert_eq!(demo.revoke(&id, &other.refresh).await, 200);
    demo.crash();
    assert!(!demo.takes(&other).await, "revoked stays revoked");
    assert_eq!(
        demo.app(&id).refresh(&other).await.unwrap_err(),
        "invalid_grant"
    );

    let device = demo.app(&id).device("notes:read").await;
    demo.crash();
    let done = demo.app(&id).decide(&device, "Allow").await;
    assert!(done.html.contains("Device connected"), "{done:?}");
    demo.crash();
    let asked_once = async || panic!("the approval was forgotten");
    let tokens = demo.app(&id).poll(&device, asked_once).await.unwrap();
    demo.crash();
    assert!(demo.takes(&tokens).await);

    let third = demo.app(&id).refresh(&second).await.unwrap();
    demo.crash();
    assert_eq!(demo.introspect(&third.access).await["active"], true);
    // A used code stays used, and is worth a revocation to whoever uses it again (RFC 6749 §4.1.2).
    assert_eq!(
        demo.app(&id).redeem(&code).await.unwrap_err(),
        "invalid_grant"
    );
    demo.crash();
    assert!(!demo.takes(&third).await);
    assert!(
        demo.takes(&tokens).await,
        "another grant is none of its business"
    );
}
