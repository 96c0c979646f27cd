//! What the host's sink hears: which events, in which order, with which fields, and nothing of what did not happen.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Request;
use http_body_util::Full;
use tower_oauth::server::{
    AccessTokenFormat, AuthorizationServerBuilder, Event, EventSink, Limit, Registration,
};
use tower_oauth::store::StoreError;
use tower_oauth::types::{ClientId, ManualClock, SigningAlgorithm, Subject};

use crate::hooked::{Hooked, Verb, When};
use crate::support::{
    Answer, FOR_ITSELF, Harness, NOW, SECRET, alice, authorization_request, redemption,
};
use crate::waits::soon;

/// Writes down what it hears.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl EventSink for Heard {
    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(line(event));
    }
}

impl Heard {
    /// What was heard since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    #[track_caller]
    fn heard<const N: usize>(&self, expected: [&str; N]) {
        assert_eq!(self.take(), expected);
    }
}

/// An event in one line. Names that are drawn by chance are there or not.
fn line(event: &Event<'_>) -> String {
    let text = |id: Option<&ClientId>| id.map_or("nobody", ClientId::as_str).to_owned();
    let who = |subject: Option<&Subject>| subject.map_or("itself", Subject::as_str).to_owned();
    match event {
        Event::TokenIssued {
            client_id,
            grant_type,
            subject,
            scope,
            audience,
            grant,
            jti,
            expires_at,
            ..
        } => {
            assert_eq!(jti.len(), 22);
            assert!(expires_at.as_secs() > NOW.as_secs() && audience.len() == 1);
            let (grant_type, subject) = (grant_type.as_str(), who(*subject));
            let under = grant.map_or("no grant", |_| "a grant");
            format!("token issued: {client_id} {grant_type} {subject} {scope} under {under}")
        }
        Event::RequestRefused {
            endpoint,
            error,
            client_id,
            grant_type,
            error_id,
            cause,
            is_forged,
            ..
        } => {
            let grant_type = grant_type.map_or("no grant", |grant_type| grant_type.as_str());
            let (id, cause) = (error_id.map_or("", |_| " with id"), cause.unwrap_or(""));
            let forged = if *is_forged { " forged" } else { "" };
            format!(
                "refused: {endpoint} {error} {} {grant_type}{forged}{id} {cause}",
                text(*client_id)
            )
            .trim_end()
            .to_owned()
        }
        Event::AuthorizationCodeReplayed {
            client_id, subject, ..
        } => {
            format!("code replayed: {client_id} {subject}")
        }
        Event::RefreshTokenReused {
            client_id, subject, ..
        } => {
            format!("refresh token reused: {client_id} {subject}")
        }
        Event::GrantRevoked {
            client_id,
            subject,
            grant,
            by,
            ..
        } => {
            assert_eq!(grant.len(), 43);
            format!("grant revoked: {client_id} {subject} by {}", by.as_str())
        }
        Event::TokenRevoked {
            client_id, subject, ..
        } => {
            format!("token revoked: {client_id} {}", who(*subject))
        }
        Event::ClientRevoked { client_id, .. } => format!("client revoked: {client_id}"),
        Event::SubjectRevoked { subject, .. } => format!("subject revoked: {subject}"),
        Event::ClientRegistered { by, .. } => format!("client registered: {by:?}"),
        Event::ClientDisabled { client_id, .. } => format!("client disabled: {client_id}"),
        Event::ClientEnabled { client_id, .. } => format!("client enabled: {client_id}"),
        Event::ClientSecretRotated { client_id, .. } => format!("new secret: {client_id}"),
        Event::ConsentGiven {
            client_id,
            subject,
            scope,
            on_page,
            ..
        } => {
            format!("consent given: {client_id} {subject} {scope} on page: {on_page}")
        }
        Event::ConsentDenied { client_id, .. } => format!("consent denied: {client_id}"),
        Event::DeviceApproved {
            client_id,
            subject,
            scope,
            ..
        } => {
            format!("device approved: {client_id} {subject} {scope}")
        }
        Event::DeviceDenied { client_id, .. } => format!("device denied: {client_id}"),
        Event::SigningKeyMade { kid, alg, .. } => format!("key made: {kid} {}", alg.as_str()),
        Event::SigningKeyRotated { kid, alg, .. } => {
            format!("key rotated: {kid} {}", alg.as_str())
        }
        Event::SigningKeyRemoved { kid, alg, .. } => {
            format!("key removed: {kid} {}", alg.as_str())
        }
        Event::UserCodeWrong { .. } => "user code wrong".to_owned(),
        Event::Throttled { endpoint, .. } => format!("throttled: {endpoint}"),
        Event::StoreFailed { verb, kind, .. } => format!("store failed: {verb} {kind}"),
        other => panic!("{other:?} is new"),
    }
}

async fn start(
    more: impl FnOnce(AuthorizationServerBuilder) -> AuthorizationServerBuilder,
) -> (Harness, Heard) {
    let heard = Heard::default();
    let server = Harness::with(|builder| more(builder.events(heard.clone()))).await;
    heard.heard(["client registered: Host"; 5]);
    (server, heard)
}

const ISSUED: &str = "token issued: app authorization_code alice ledger.read under a grant";
const REFRESHED: &str = "token issued: app refresh_token alice ledger.read under a grant";

#[tokio::test]
async fn a_code_its_tokens_and_what_is_used_twice_are_told_in_order() {
    let (server, heard) = start(|builder| builder).await;
    let page = server.authorize("").await;
    heard.heard([]); // asking somebody is nothing yet
    let given = server.decide(&page, "alice", "allow").await;
    heard.heard(["consent given: app alice ledger.read on page: true"]);
    let again = server.decide(&page, "alice", "deny").await;
    assert_eq!(again.status, 400);
    heard.heard([]); // what is decided is decided
    let (_, first) = server
        .redeem(&given.parameter("code").unwrap())
        .await
        .pair();
    heard.heard([ISSUED]);
    server.refresh(&first, "").await.pair();
    server.refresh(&first, "").await.pair(); // the answer was lost: there is a second access token
    heard.heard([REFRESHED, REFRESHED]);
    server.advance(31);
    server.refresh(&first, "").await.error(400, "invalid_grant");
    heard.heard([
        "grant revoked: app alice by refresh_token_reuse",
        "refresh token reused: app alice",
        "refused: token invalid_grant app refresh_token",
    ]);
    server.refresh(&first, "").await.error(400, "invalid_grant");
    heard.heard(["refused: token invalid_grant app refresh_token"]); // it was dead already

    let code = server.code_for("app", "").await;
    server.redeem(&code).await.pair();
    heard.take();
    for replay in 0..2 {
        server.redeem(&code).await.error(400, "invalid_grant");
        let told = heard.take();
        let replayed = [
            "code replayed: app alice",
            "refused: token invalid_grant app authorization_code",
        ];
        assert_eq!(told[1 - replay..], replayed, "{told:?}");
        let revoked = "grant revoked: app alice by code_replay";
        assert_eq!(told[..1 - replay], [revoked][replay..], "{told:?}");
    }
}

#[tokio::test]
async fn what_owners_say_is_told_and_so_is_a_consent_that_was_remembered() {
    let (server, heard) = start(|builder| builder).await;
    let page = server.authorize("").await;
    server.decide(&page, "alice", "deny").await;
    heard.heard(["consent denied: app"]);
    for on_page in [true, false] {
        let code = server.code_for("web", "").await;
        assert_eq!(code.len(), 43);
        heard.heard([&format!(
            "consent given: web alice ledger.read on page: {on_page}"
        )]);
    }

    let (device_code, user_code) = server.device().await;
    heard.heard([]);
    let waiting = "urn:ietf:params:oauth:grant-type:device_code";
    server.poll(&device_code).await;
    heard.heard([&format!(
        "refused: token authorization_pending tv {waiting}"
    )]);
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    heard.heard(["device approved: tv alice ledger.read"]);
    server.advance(10);
    server.poll(&device_code).await.pair();
    heard.heard([&format!(
        "token issued: tv {waiting} alice ledger.read under a grant"
    )]);
    server
        .submit("/device", "alice", "user_code=BCDF-GHJK")
        .await;
    heard.heard(["user code wrong"]);
    let page = server.enter(&server.device().await.1, "alice").await;
    server.decide(&page, "alice", "deny").await;
    heard.heard(["device denied: tv"]);
}

#[tokio::test]
async fn what_the_host_and_clients_end_is_told_once() {
    let (server, heard) = start(|builder| builder).await;
    let (access, refresh) = server.tokens("").await.pair();
    heard.take();
    for told in [&["token revoked: app alice"][..], &[]] {
        server
            .post("/auth/revoke", &format!("client_id=app&token={access}"))
            .await;
        assert_eq!(heard.take(), told);
    }
    for told in [&["grant revoked: app alice by client"][..], &[]] {
        server
            .post("/auth/revoke", &format!("client_id=app&token={refresh}"))
            .await;
        assert_eq!(heard.take(), told);
    }
    server.tokens("").await;
    let (clients, grants) = (server.oauth.clients(), server.oauth.grants());
    let granted = grants.by_subject(&alice()).await.unwrap();
    heard.take();
    for told in [&["grant revoked: app alice by host"][..], &[]] {
        grants.revoke(&alice(), &granted[0].id).await.unwrap();
        assert_eq!(heard.take(), told);
    }
    grants.revoke_all_of_subject(&alice()).await.unwrap();
    let (web, gone) = ("web".parse().unwrap(), "gone".parse().unwrap());
    for client in [&web, &gone] {
        clients.revoke_tokens(client).await.unwrap();
        clients.rotate_secret(client).await.unwrap();
        clients.disable(client, true).await.unwrap();
        clients.disable(client, false).await.unwrap();
    }
    heard.heard([
        "subject revoked: alice",
        "client revoked: web",
        "new secret: web",
        "client disabled: web",
        "client enabled: web",
    ]);
}

#[tokio::test]
async fn a_registration_is_told_when_it_makes_a_client_and_when_it_is_held_back() {
    let two = Registration::open().limited_to(Limit::per_minute(10, 4));
    let (server, heard) = start(|builder| builder.registration(two)).await;
    let public =
        r#"{"redirect_uris":["https://agent.test/cb"],"token_endpoint_auth_method":"none"}"#;
    let confidential = r#"{"redirect_uris":["https://agent.test/cb"]}"#;
    for json in [public, public, confidential, confidential] {
        assert_eq!(server.register(json).await.status, 201);
    }
    heard.heard(["client registered: Itself"; 3]);
    assert_eq!(server.register(public).await.status, 429);
    heard.heard([
        "throttled: register",
        "refused: register temporarily_unavailable nobody no grant",
    ]);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_endpoint_and_a_client_that_exists() {
    let (server, heard) = start(|builder| builder).await;
    let token = "/auth/token";
    server
        .post_as(token, ("web", "wrong-secret"), FOR_ITSELF)
        .await;
    server
        .post_as(token, ("nobody-here", SECRET), FOR_ITSELF)
        .await;
    server.web("grant_type=password").await;
    server
        .post("/auth/token", "grant_type=client_credentials&client_id=app")
        .await;
    server.get("/auth/token", None).await;
    server.post("/auth/token", &"x".repeat(20_000)).await;
    server.post("/auth/introspect", "token=x").await;
    server.post("/auth/revoke", "client_id=app").await;
    server.post("/auth/device", "client_id=app").await;
    heard.heard([
        "refused: token invalid_client web no grant",
        "refused: token invalid_client nobody no grant",
        "refused: token unsupported_grant_type web no grant",
        "refused: token unauthorized_client app client_credentials",
        "refused: token invalid_request nobody no grant",
        "refused: token invalid_request nobody no grant",
        "refused: introspect invalid_client nobody no grant",
        "refused: revoke invalid_request app no grant",
        "refused: device unauthorized_client app no grant",
    ]);
    server.authorize("&response_mode=fragment").await; // told at the redirection endpoint
    server.get("/auth/authorize?client_id=gone", None).await; // told on a page
    let request = Request::put("/device").body(Full::default()).unwrap();
    server.send(request).await;
    server
        .oauth
        .resume("no-such-id", tower_oauth::Decision::Deny)
        .await;
    heard.heard([
        "refused: authorize invalid_request app no grant",
        "refused: authorize invalid_request nobody no grant",
        "refused: verification invalid_request nobody no grant",
        "refused: authorize invalid_request nobody no grant",
    ]);
    // What is answered well, and what is somebody else's, is no refusal.
    server
        .get("/.well-known/oauth-authorization-server", None)
        .await;
    server.get("/elsewhere", None).await;
    heard.heard([]);
}

// req: http-csrf-1
#[tokio::test]
async fn s13_each_answer_that_is_forged_or_comes_too_late_is_told_once() {
    let (server, heard) = start(AuthorizationServerBuilder::connected_apps).await;
    let page = server.authorize("").await;
    let (id, csrf) = (page.hidden("interaction"), page.hidden("csrf"));
    let right = format!("interaction={id}&csrf={csrf}&decision=allow");
    let other_page = [("x-user", "alice"), ("sec-fetch-site", "cross-site")];
    let other_person = [("x-user", "bob"), ("sec-fetch-site", "same-origin")];
    for headers in [other_page, other_person] {
        let answer = server.post_with("/auth/authorize", &headers, &right).await;
        answer.page(403);
        heard.heard(["refused: authorize access_denied app no grant forged"]);
    }
    let code = "user_code=BCDF-GHJK";
    let answer = server.post_with("/device", &other_page, code).await;
    answer.page(403);
    heard.heard(["refused: verification access_denied nobody no grant forged"]);
    for media_type in ["text/html", "application/json"] {
        let headers = [&other_page[..], &[("accept", media_type)]].concat();
        let removal = "client_id=app&csrf=1.a";
        let answer = server.post_with("/connected-apps", &headers, removal).await;
        assert_eq!(answer.status, 403);
        heard.heard(["refused: connected_apps invalid_request nobody no grant forged"]);
    }
    let nobody = server.get("/connected-apps?signed_in=1", None).await;
    nobody.page(403);
    heard.heard(["refused: connected_apps access_denied nobody no grant"]);

    // In JSON what is told is what stands there.
    let json = async |method: &str, target: &str, headers: &[(&str, &str)], body: &str| {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-type", "application/json");
        let request = request.header("accept", "application/json");
        let body = Full::from(body.to_owned());
        server.send(request.body(body).unwrap()).await
    };
    let answered = |id: &str| {
        serde_json::json!({ "interaction": id, "csrf": csrf, "decision": "allow" }).to_string()
    };
    let (authorize, answer) = ("/auth/authorize", answered(&id));
    let forged = "refused: authorize forged app no grant forged";
    let told = json("POST", authorize, &other_page, &answer).await;
    told.error(403, "forged");
    heard.heard([forged]);
    let looked = server.oauth.resume_path(&id);
    let told = json("GET", &looked, &other_page, "").await;
    told.error(403, "forged");
    heard.heard(["refused: authorize forged nobody no grant forged"]);
    let same_page = [("x-user", "alice"), ("sec-fetch-site", "same-origin")];
    let told = json("POST", authorize, &same_page, &answered("gone")).await;
    told.error(404, "unknown_interaction");
    heard.heard(["refused: authorize unknown_interaction nobody no grant"]);
    server.decide(&page, "alice", "deny").await;
    heard.heard(["consent denied: app"]);
    let told = json("POST", authorize, &same_page, &answer).await;
    told.error(409, "already_decided");
    heard.heard(["refused: authorize already_decided app no grant"]);
}

#[tokio::test]
async fn a_method_that_is_not_there_is_told_once_by_each_endpoint_that_the_documentation_names() {
    let (server, heard) = start(|builder| {
        let jwt = AccessTokenFormat::Jwt(SigningAlgorithm::Es256);
        let builder = builder.access_token_format(jwt).connected_apps();
        builder.registration(Registration::open())
    })
    .await;
    server.oauth.signing_keys().list().await.unwrap();
    heard.take();
    let (_, documented) = include_str!("../../src/server/event.rs")
        .split_once("RequestRefused {")
        .unwrap();
    let (documented, _) = documented.split_once("endpoint: &'static str").unwrap();
    let mut documented: Vec<_> = documented.split('`').skip(1).step_by(2).collect();
    for (path, endpoint) in [
        ("/auth/authorize", "authorize"),
        ("/auth/token", "token"),
        ("/auth/device", "device"),
        ("/device", "verification"),
        ("/connected-apps", "connected_apps"),
        ("/auth/introspect", "introspect"),
        ("/auth/revoke", "revoke"),
        ("/auth/register", "register"),
        ("/.well-known/oauth-authorization-server", "metadata"),
        ("/auth/jwks.json", "jwks"),
        (
            "/.well-known/oauth-protected-resource/ledger",
            "protected_resource",
        ),
    ] {
        let request = Request::put(path).body(Full::default()).unwrap();
        assert_eq!(server.send(request).await.status, 405, "{path}");
        assert!(documented.contains(&endpoint), "{endpoint} is not named");
        heard.heard([&format!(
            "refused: {endpoint} invalid_request nobody no grant"
        )]);
        documented.retain(|name| *name != endpoint);
    }
    assert_eq!(documented, [""; 0], "named, and no endpoint");
}

#[tokio::test]
async fn a_failure_of_ours_is_told_with_an_id_that_the_answer_carries() {
    let (store, heard) = (Hooked::open().await, Heard::default());
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| {
        builder.events(heard.clone())
    });
    server.create_clients().await;
    let page = server.authorize("").await;
    heard.take();
    store.on_step(|step| async move {
        match (step.when, step.verb) {
            (When::Before, verb) if verb != Verb::Changes => Err(StoreError::new("disk full")),
            _ => Ok(()),
        }
    });
    let mut ids = Vec::new();
    for (answer, event) in [
        (server.web(FOR_ITSELF).await, "refused: token"),
        (
            server.decide(&page, "alice", "allow").await,
            "refused: authorize",
        ),
        (
            server
                .submit("/device", "alice", "user_code=BCDF-GHJK")
                .await,
            "refused: verification",
        ),
    ] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!answer.text().contains("disk full"));
        let id = answer.header("error-id").to_owned();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        ids.push(id);
        assert!(event.starts_with("refused"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each failure has its own");
    let told = heard.take();
    let refused = |endpoint: &str| {
        format!(
            "refused: {endpoint} temporarily_unavailable nobody no grant with id the store failed: disk full"
        )
    };
    assert_eq!(
        told,
        [
            "store failed: get client".to_owned(),
            refused("token"),
            "store failed: get interaction".to_owned(),
            refused("authorize"),
            "store failed: insert server_key".to_owned(),
            refused("verification"),
        ]
    );
    store.let_all_pass();
    // Mistakes of others have no such name.
    let answer = server.web("grant_type=password").await;
    assert!(!answer.headers.contains_key("error-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_at_once_only_what_won_is_told() {
    let (server, heard) = start(|builder| builder).await;
    let server = Arc::new(server);
    let count =
        |heard: &[String], begin: &str| heard.iter().filter(|line| line.starts_with(begin)).count();
    let succeeded =
        |answers: &[Answer]| answers.iter().filter(|answer| answer.status == 200).count();

    let page = server.authorize("").await;
    let answers = fifty(&server, move |server, number| {
        let page = page.clone();
        async move {
            let decision = if number % 2 == 0 { "allow" } else { "deny" };
            server.decide(&page, "alice", decision).await
        }
    })
    .await;
    let told = heard.take();
    assert!(answers.iter().any(|answer| answer.status == 303));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("consent "), "{told:?}");

    let code = server.code_for("app", "").await;
    heard.take();
    let form = redemption("app", &code);
    let answers = fifty(&server, move |server, _| {
        let form = form.clone();
        async move { server.post("/auth/token", &form).await }
    })
    .await;
    let told = heard.take();
    assert_eq!(count(&told, "token issued"), succeeded(&answers));
    assert_eq!(count(&told, "token issued"), 1);
    assert_eq!(count(&told, "grant revoked"), 1, "{told:?}");
    assert_eq!(count(&told, "code replayed"), 49);

    let (_, refresh) = server.tokens("").await.pair();
    heard.take();
    let form = format!("client_id=app&token={refresh}");
    fifty(&server, move |server, _| {
        let form = form.clone();
        async move { server.post("/auth/revoke", &form).await }
    })
    .await;
    heard.heard(["grant revoked: app alice by client"]);
}

async fn fifty<F>(
    server: &Arc<Harness>,
    ask: impl Fn(Arc<Harness>, usize) -> F + Clone + Send + 'static,
) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let asked: Vec<_> = (0..50)
        .map(|number| tokio::spawn(ask(Arc::clone(server), number)))
        .collect();
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(soon("one of fifty answers", asked).await.unwrap());
    }
    answers
}

/// Always breaks.
#[derive(Clone, Default)]
struct Broken(Arc<AtomicUsize>);

impl EventSink for Broken {
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("the audit trail is full");
    }
}

#[tokio::test]
async fn a_sink_that_panics_costs_no_answer() {
    let broken = Broken::default();
    let server = Harness::with(|builder| builder.events(broken.clone())).await;
    let before = broken.0.load(Ordering::SeqCst);
    let request = authorization_request("app", "");
    let code = server.allow(&request).await.parameter("code").unwrap();
    let (access, _) = server.redeem(&code).await.pair();
    assert!(server.is_active(&access).await);
    assert_eq!(broken.0.load(Ordering::SeqCst) - before, 2);
}

#[tokio::test]
async fn what_becomes_of_signing_keys_is_told_by_name_and_nothing_else() {
    let jwt = AccessTokenFormat::Jwt(SigningAlgorithm::Es256);
    let (server, heard) = start(|builder| builder.access_token_format(jwt)).await;
    let keys = server.oauth.signing_keys();
    let uses = keys.list().await.unwrap();
    let first = &uses[0].kid;
    heard.heard([&format!("key made: {first} ES256")]);
    let uses = keys.rotate().await.unwrap();
    let second = &uses[1].kid;
    heard.heard([
        &format!("key rotated: {first} ES256"),
        &format!("key made: {second} ES256"),
    ]);
    let left = keys.remove(first).await.unwrap();
    heard.heard([&format!("key removed: {first} ES256")]);
    // By the schedule as well.
    server.advance(left[0].signs_until.as_secs() - NOW.as_secs() - 86_400);
    let uses = keys.list().await.unwrap();
    let third = &uses[1].kid;
    heard.heard([
        &format!("key rotated: {second} ES256"),
        &format!("key made: {third} ES256"),
    ]);
    server.advance(2 * 86_400);
    assert_eq!(keys.list().await.unwrap().len(), 1);
    heard.heard([&format!("key removed: {second} ES256")]);
    keys.list().await.unwrap();
    heard.heard([]);
}
