//! How an owner is to sign in, as requests ask for it: `prompt`, `max_age`, `acr_values` (OpenID Connect Core 1.0 §3.1.2.1, RFC 9470).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use http::request::Parts;
use http_body_util::Empty;
use serde_json::json;
use tower_oauth::server::{AuthorizationServerBuilder, Event, EventSink, Registration};
use tower_oauth::types::{Subject, Timestamp};
use tower_oauth::{Approval, Decision, Interaction, PendingRequest, SignedIn};

use crate::register::{PUBLIC, with};
use crate::support::{Answer, Harness, NOW, alice, authorization_request, changed};

/// Who is signed in, since when and how: headers of the tests.
pub(crate) fn signed_in(parts: &Parts) -> Option<SignedIn> {
    let header = |name: &str| parts.headers.get(name)?.to_str().ok();
    let mut who = SignedIn::new(Subject::new(header("x-user")?).ok()?);
    if let Some(at) = header("x-auth-time") {
        who = who.auth_time(Timestamp::from_secs(at.parse().ok()?));
    }
    if let Some(acr) = header("x-acr") {
        who = who.acr(acr);
    }
    if let Some(name) = header("x-name") {
        who = who.name(name);
    }
    Some(who)
}

pub(crate) async fn host(
    more: impl FnOnce(AuthorizationServerBuilder) -> AuthorizationServerBuilder,
) -> Harness {
    Harness::with(|builder| more(builder.login("/login", signed_in))).await
}

/// Headers of somebody who has signed in so long ago, in this way.
pub(crate) fn since(server: &Harness, ago: u64, acr: &str) -> [(&'static str, String); 3] {
    let at = server.clock_now().as_secs() - ago;
    [
        ("x-user", "alice".to_owned()),
        ("x-auth-time", at.to_string()),
        ("x-acr", acr.to_owned()),
    ]
}

pub(crate) async fn get(server: &Harness, target: &str, who: &[(&str, String)]) -> Answer {
    let mut request = Request::get(target);
    for (name, value) in who {
        request = request.header(*name, value);
    }
    let answer = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = tower::ServiceExt::oneshot(server.oauth.service(), answer).await;
    server.sent_to_a_known_place(answer.unwrap()).await
}

/// Presses a button of the consent page.
pub(crate) async fn press(
    server: &Harness,
    page: &Answer,
    who: &[(&str, String)],
    decision: &str,
) -> Answer {
    let form = format!(
        "interaction={}&csrf={}&decision={decision}",
        page.hidden("interaction"),
        page.hidden("csrf")
    );
    let mut headers: Vec<_> = who.iter().map(|(name, value)| (*name, &**value)).collect();
    headers.push(("sec-fetch-site", "same-origin"));
    server.post_with("/auth/authorize", &headers, &form).await
}

/// What comes of a yes, whether the page is shown or the answer is remembered.
pub(crate) async fn allowed(server: &Harness, answer: Answer, who: &[(&str, String)]) -> Answer {
    if answer.status == 200 {
        return press(server, &answer, who, "allow").await;
    }
    answer
}

/// The path of a request that waits at the login.
fn resumed(server: &Harness, answer: &Answer) -> String {
    assert!(answer.location().starts_with("/login?"), "{answer:?}");
    server
        .oauth
        .resume_path(&answer.parameter("interaction").unwrap())
}

// req: oidc-core-3.1.2.1-7, oidc-core-3.1.2.1-11
#[tokio::test]
async fn oidc_core_3_1_2_1_who_has_to_sign_in_anew_is_sent_to_the_login_once_and_goes_on() {
    let server = host(|builder| builder).await;
    for more in ["&prompt=login", "&max_age=0", "&max_age=60"] {
        let request = authorization_request("app", more);
        let old = since(&server, 61, "pwd");
        let login = get(&server, &request, &old).await;
        let path = resumed(&server, &login);
        // Minutes later, and with a new sign-in.
        server.advance(300);
        let new = since(&server, 10, "pwd");
        let answer = get(&server, &path, &new).await;
        let answer = allowed(&server, answer, &new).await;
        let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
        let told = server.introspect(&tokens.access_token()).await;
        assert_eq!(told["auth_time"], server.clock_now().as_secs() - 10);
        // A login that signs nobody in anew is no loop: the client is told.
        let path = resumed(&server, &get(&server, &request, &old).await);
        let told = get(&server, &path, &since(&server, 500, "pwd")).await;
        told.redirected_error("login_required");
        get(&server, &path, &new).await.page(400);
    }
    let recent = since(&server, 60, "pwd");
    let request = authorization_request("app", "&max_age=60");
    let answer = get(&server, &request, &recent).await;
    assert!(answer.parameter("code").is_some());
}

#[tokio::test]
async fn a_host_that_does_not_say_when_is_believed_after_one_visit_to_its_login() {
    let server = Harness::new().await;
    for more in [
        "&prompt=login",
        "&max_age=60",
        "&prompt=select_account",
        "&acr_values=mfa",
    ] {
        let request = authorization_request("app", more);
        let path = resumed(&server, &server.get(&request, Some("alice")).await);
        for _ in 0..2 {
            assert_eq!(server.get(&path, Some("alice")).await.status, 200, "{more}");
        }
        // Nobody was signed in: that visit was the one.
        let path = resumed(&server, &server.get(&request, None).await);
        assert_eq!(server.get(&path, Some("alice")).await.status, 200, "{more}");
        // A host that sends to its login for ever does so itself, one visit at a time.
        for _ in 0..3 {
            assert_eq!(resumed(&server, &server.get(&path, None).await), path);
        }
    }
    // Two tabs of one request at once: each is sent, and the note of one does not end the other.
    let request = authorization_request("app", "&prompt=login");
    let path = resumed(&server, &server.get(&request, Some("alice")).await);
    let (one, other) = tokio::join!(
        server.get(&path, Some("alice")),
        server.get(&path, Some("alice"))
    );
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200));
}

// req: oidc-core-3.1.2.1-9
#[tokio::test]
async fn oidc_core_3_1_2_1_an_account_is_chosen_at_the_login_whoever_is_signed_in() {
    let server = host(|builder| builder).await;
    let request = authorization_request("app", "&prompt=select_account");
    let who = since(&server, 5, "pwd");
    let path = resumed(&server, &get(&server, &request, &who).await);
    let pending = server
        .oauth
        .pending(path.split_once("interaction=").unwrap().1);
    let prompt: Vec<_> = pending.await.unwrap().prompt().to_vec();
    assert_eq!(prompt, [tower_oauth::types::Prompt::SelectAccount]);
    assert_eq!(server.get(&path, Some("bob")).await.status, 200);
}

// req: oidc-core-3.1.2.1-8
#[tokio::test]
async fn oidc_core_3_1_2_1_what_is_remembered_is_asked_for_again_on_wish() {
    let server = Harness::new().await;
    let request = |more| authorization_request("web", more);
    server.allow(&request("")).await;
    let again = server.get(&request(""), Some("alice")).await;
    assert!(again.parameter("code").is_some());
    let asked = server.get(&request("&prompt=consent"), Some("alice")).await;
    assert_eq!(asked.status, 200);
    let answer = server.decide(&asked, "alice", "allow").await;
    assert!(answer.parameter("code").is_some());
}

// req: oidc-core-3.1.2.1-6, oidc-core-3.1.2.6-1, 9700-4.11.2-3
#[tokio::test]
async fn s13_prompt_none_shows_nothing_and_gives_nothing_that_was_not_given_before() {
    let server = host(|builder| builder.registration(Registration::open())).await;
    let fresh = since(&server, 5, "pwd");
    server.allow(&authorization_request("web", "")).await;
    let web = |more: &str| authorization_request("web", &format!("&prompt=none&state=s9{more}"));
    let nobody: [(&str, String); 0] = [];
    let silent = get(&server, &web(""), &fresh).await;
    assert!(silent.parameter("code").is_some());
    for (request, who, error) in [
        (web(""), &nobody[..], "login_required"),
        (web("&max_age=4"), &fresh[..], "login_required"),
        (web("&acr_values=mfa"), &fresh[..], "login_required"),
        (web("&scope=ledger.write"), &fresh[..], "consent_required"),
    ] {
        let answer = get(&server, &request, who).await;
        answer.redirected_error(error);
        assert_eq!(answer.parameter("state").as_deref(), Some("s9"));
    }
    // Nobody is sent to the address of a client that registered itself by a link alone; nothing of its is remembered.
    let json =
        r#"{"redirect_uris":["https://app.harbor.test/cb"],"token_endpoint_auth_method":"none"}"#;
    let id = server.register(json).await.member("client_id");
    let request = authorization_request(&id, "&prompt=none");
    for (who, error) in [
        (&nobody[..], "login_required"),
        (&fresh[..], "consent_required"),
    ] {
        let told = get(&server, &request, who).await;
        told.page(400);
        let link = format!("https://app.harbor.test/cb?error={error}");
        assert!(told.text().contains(&link), "{}", told.text());
    }
    // Alice gave one grant at most: that of the silent request, which nobody has redeemed.
    assert!(
        server
            .oauth
            .grants()
            .by_subject(&alice())
            .await
            .unwrap()
            .is_empty()
    );
}

// req: oidc-core-3.1.2.1-10, oidc-core-3.1.2.1-13
#[tokio::test]
async fn oidc_core_3_1_2_1_none_stands_alone_and_what_is_not_known_is_ignored() {
    let server = Harness::new().await;
    for wrong in [
        ("prompt", "none%20login"),
        ("prompt", "none%20dance"),
        ("max_age", "soon"),
    ] {
        let request = changed(&[(wrong.0, Some(wrong.1))]);
        let told = server.get(&request, Some("alice")).await;
        told.redirected_error("invalid_request");
    }
    for ignored in ["&prompt=dance", "&display=popup", "&ui_locales=tlh"] {
        let page = server.authorize(ignored).await;
        assert_eq!(page.status, 200, "{ignored}");
    }
}

#[tokio::test]
async fn rfc9470_5_a_class_that_is_not_reached_at_the_login_is_an_error_for_the_client() {
    let server = host(|builder| builder).await;
    let request = authorization_request("app", "&acr_values=mfa");
    let path = resumed(
        &server,
        &get(&server, &request, &since(&server, 5, "pwd")).await,
    );
    let told = get(&server, &path, &since(&server, 5, "pwd")).await;
    told.redirected_error("unmet_authentication_requirements");
    let path = resumed(
        &server,
        &get(&server, &request, &since(&server, 5, "pwd")).await,
    );
    let page = get(&server, &path, &since(&server, 5, "mfa")).await;
    assert_eq!(page.status, 200);
    // What was shown for one sign-in is not answered by a weaker one.
    let weaker = press(&server, &page, &since(&server, 5, "pwd"), "allow").await;
    weaker.redirected_error("unmet_authentication_requirements");
}

// req: 9068-2.2.1-1
#[tokio::test]
async fn rfc9068_2_2_1_how_an_owner_signed_in_stays_as_it_was_across_refreshes_and_for_devices() {
    let server = host(|builder| builder).await;
    let who = since(&server, 7, "mfa");
    let page = get(&server, &authorization_request("app", ""), &who).await;
    let answer = press(&server, &page, &who, "allow").await;
    let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
    let (first, refresh) = tokens.pair();
    server.advance(100);
    let (second, _) = server.refresh(&refresh, "").await.pair();
    let (device_code, user_code) = server.device().await;
    let form = format!("user_code={user_code}");
    let entered = server.submit("/device", "alice", &form).await;
    let page = get(&server, &entered.location(), &who).await;
    press(&server, &page, &who, "allow").await;
    let device = server.poll(&device_code).await.access_token();
    for token in [&first, &second, &device] {
        let told = server.introspect(token).await;
        assert_eq!(told["acr"], "mfa");
        assert_eq!(told["auth_time"], NOW.as_secs() - 7);
    }
    // A host that says nothing gives nothing to say.
    let silent = Harness::new().await;
    let told = silent
        .introspect(&silent.tokens("").await.access_token())
        .await;
    assert_eq!(
        (&told["acr"], &told["auth_time"]),
        (&json!(null), &json!(null))
    );
}

#[tokio::test]
async fn the_metadata_names_prompts_and_the_classes_that_the_host_names() {
    let path = "/.well-known/oauth-authorization-server";
    let plain = Harness::new().await.get(path, None).await.json();
    let all = json!(["none", "login", "consent", "select_account"]);
    assert_eq!(plain["prompt_values_supported"], all);
    assert!(plain.get("acr_values_supported").is_none());
    let server = host(|builder| builder.acr_values_supported(["pwd", "mfa"])).await;
    let named = server.get(path, None).await.json();
    assert_eq!(named["acr_values_supported"], json!(["pwd", "mfa"]));
    let wrong = crate::support::builder()
        .acr_values_supported(["a b"])
        .build();
    assert!(
        wrong
            .unwrap_err()
            .to_string()
            .contains("acr_values_supported")
    );
}

#[tokio::test]
async fn what_an_owner_is_called_is_shown_and_stands_for_nobody() {
    let server = host(|builder| builder).await;
    let named = |name: &str| [("x-user", "alice".to_owned()), ("x-name", name.to_owned())];
    let request = authorization_request("app", "");
    let page = get(&server, &request, &named("Alice <Smith>")).await;
    assert!(
        page.text().contains("Alice &#60;Smith&#62;"),
        "{}",
        page.text()
    );
    // Another name of the same person changes nothing; another person of the same name does.
    let bob = [
        ("x-user", "bob".to_owned()),
        ("x-name", "Alice <Smith>".to_owned()),
    ];
    press(&server, &page, &bob, "allow").await.page(403);
    let answer = press(&server, &page, &named("Ally"), "allow").await;
    let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
    assert_eq!(
        server.introspect(&tokens.access_token()).await["sub"],
        "alice"
    );
}

#[tokio::test]
async fn a_time_to_read_the_page_is_no_time_since_the_sign_in_that_was_asked_for() {
    let server = host(|builder| builder).await;
    let request = authorization_request("app", "&max_age=30");
    let path = resumed(
        &server,
        &get(&server, &request, &since(&server, 31, "pwd")).await,
    );
    let who = since(&server, 0, "pwd");
    let page = get(&server, &path, &who).await;
    server.clock.advance(Duration::from_secs(300));
    let answer = press(&server, &page, &who, "allow").await;
    assert!(answer.parameter("code").is_some());
}

/// Hears of refusals.
#[derive(Clone, Default)]
struct Refusals(Arc<Mutex<Vec<String>>>);

impl EventSink for Refusals {
    fn event(&self, event: &Event<'_>) {
        if let Event::RequestRefused {
            error, client_id, ..
        } = event
        {
            let client = client_id.map_or("nobody", |id| id.as_str());
            self.0.lock().unwrap().push(format!("{error} {client}"));
        }
    }
}

/// Whoever has made the link has been to the login themselves, and so the person who follows it would be sent on at once.
// req: 9700-4.11.2-3, 9700-4.11.2-4
#[tokio::test]
async fn s02_a_link_that_was_at_the_login_before_sends_nobody_to_a_client_that_registered_itself() {
    let server = host(|builder| builder.registration(Registration::open())).await;
    let id = with(&server, PUBLIC).await.member("client_id");
    for more in ["&prompt=login", "&max_age=5", "&acr_values=mfa"] {
        let request = authorization_request(&id, more);
        let path = resumed(&server, &get(&server, &request, &[]).await);
        let answer = get(&server, &path, &since(&server, 500, "pwd")).await;
        answer.page(400);
        assert!(answer.text().contains("Nobody has vouched"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_refused_for_its_sign_in_is_told_once() {
    let refusals = Refusals::default();
    let heard = refusals.clone();
    let server = host(|builder| builder.events(heard)).await;
    let who = since(&server, 5, "pwd");
    let silent = authorization_request("app", "&prompt=none");
    get(&server, &silent, &[]).await;
    get(&server, &silent, &who).await;
    let strong = authorization_request("app", "&acr_values=mfa");
    let path = resumed(&server, &get(&server, &strong, &who).await);
    get(&server, &path, &who).await;
    let expected = [
        "login_required app",
        "consent_required app",
        "unmet_authentication_requirements app",
    ];
    assert_eq!(*refusals.0.lock().unwrap(), expected);
}

/// A host that would rather show something.
struct Shows(fn() -> Decision);

impl Interaction for Shows {
    async fn decide(&self, _: &PendingRequest, _: &Parts) -> Decision {
        (self.0)()
    }
}

#[tokio::test]
async fn oidc_core_3_1_2_6_a_page_of_the_host_is_not_shown_either() {
    let respond: fn() -> Decision = || Decision::Respond(http::Response::new("page".into()));
    for (decide, error) in [
        (respond, "interaction_required"),
        (|| Decision::Forward, "interaction_required"),
        (|| Decision::Login, "login_required"),
        (|| Decision::Deny, "access_denied"),
    ] {
        let server = Harness::with(|builder| builder.interaction("/login", Shows(decide))).await;
        let silent = authorization_request("app", "&prompt=none");
        server
            .get(&silent, Some("alice"))
            .await
            .redirected_error(error);
    }
    // What the host approves by itself is approved, if the sign-in is what was asked for.
    let approve: fn() -> Decision = || Decision::Approve(Approval::new(alice()));
    let server = Harness::with(|builder| builder.interaction("/login", Shows(approve))).await;
    let silent = |more: &str| authorization_request("app", &format!("&prompt=none{more}"));
    assert!(
        server
            .get(&silent(""), None)
            .await
            .parameter("code")
            .is_some()
    );
    let old = server.get(&silent("&max_age=1"), None).await;
    old.redirected_error("login_required");
}

#[tokio::test]
async fn an_answer_by_somebody_else_is_refused_and_ends_nothing_however_they_signed_in() {
    let server = host(|builder| builder).await;
    let request = authorization_request("app", "&prompt=login");
    let before = since(&server, 5, "pwd");
    let path = resumed(&server, &get(&server, &request, &before).await);
    let page = get(&server, &path, &since(&server, 0, "pwd")).await;
    assert_eq!(page.status, 200);
    let mut bob = before;
    bob[0].1 = "bob".to_owned();
    press(&server, &page, &bob, "allow").await.page(403);
    let alice = since(&server, 0, "pwd");
    let answer = press(&server, &page, &alice, "allow").await;
    assert!(answer.parameter("code").is_some(), "{answer:?}");
}

#[tokio::test]
async fn who_has_no_name_to_show_is_called_by_their_subject() {
    let server = host(|builder| builder.connected_apps()).await;
    for name in ["", " "] {
        let who = [("x-user", "alice".to_owned()), ("x-name", name.to_owned())];
        for target in [&authorization_request("app", ""), "/connected-apps"] {
            let page = get(&server, target, &who).await;
            assert!(page.text().contains("<bdi>alice</bdi>"), "{}", page.text());
        }
    }
}
