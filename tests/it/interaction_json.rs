//! The pending request and its answer as JSON, for a host whose pages are a program in the browser.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tower_oauth::server::{AuthorizationServerBuilder, Limit, Registration};
use tower_oauth::types::Client;
use tower_oauth::{Decision, Interaction, PendingRequest};

use crate::step_up::{self, signed_in, since};
use crate::support::{Answer, CALLBACK, Harness, alice, authorization_request, builder, changed};

pub(crate) async fn spa(
    more: impl FnOnce(AuthorizationServerBuilder) -> AuthorizationServerBuilder,
) -> Harness {
    Harness::with(|builder| {
        let builder = builder
            .login("/login", signed_in)
            .consent_page("/app/consent?x=1");
        more(builder)
    })
    .await
}

/// Reads the request as the program does.
pub(crate) async fn look(server: &Harness, id: &str, user: Option<&str>) -> Answer {
    let request = Request::get(server.oauth.resume_path(id)).header("accept", "application/json");
    let request = user.map_or(request, |user| {
        Request::get(server.oauth.resume_path(id))
            .header("accept", "application/json, text/html;q=0.5")
            .header("sec-fetch-site", "same-origin")
            .header("x-user", user)
            .header("x-name", "Alice Smith")
    });
    server.send(request.body(Full::default()).unwrap()).await
}

pub(crate) async fn post(
    server: &Harness,
    headers: &[(&str, &str)],
    body: impl ToString,
) -> Answer {
    let mut request = Request::post("/auth/authorize");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = server
        .send(request.body(Full::from(body.to_string())).unwrap())
        .await;
    assert_eq!(
        answer.header("content-type"),
        "application/json",
        "{answer:?}"
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    // Whatever a test is about: a program is sent on to a registered address or a path of the host's (S2).
    if let Some(to) = answer.json().get("redirect_to") {
        let to = to.as_str().unwrap();
        let ours = to.starts_with('/') && !to.starts_with("//");
        assert!(ours || to.starts_with(&format!("{CALLBACK}?")), "{to}");
    }
    answer
}

pub(crate) const ALICE: [(&str, &str); 3] = [
    ("content-type", "application/json"),
    ("x-user", "alice"),
    ("sec-fetch-site", "same-origin"),
];

/// What the page of the host was sent for, and its view.
async fn asked(server: &Harness, request: &str) -> (String, Value) {
    let sent = server.get(request, Some("alice")).await;
    let location = sent.location();
    assert!(
        location.starts_with("/app/consent?x=1&interaction="),
        "{location}"
    );
    let id = sent.parameter("interaction").unwrap();
    let view = look(server, &id, Some("alice")).await;
    assert_eq!(view.status, 200, "{view:?}");
    (id, view.json())
}

pub(crate) fn said(view: &Value, decision: &str) -> Value {
    json!({"interaction": view["interaction"], "csrf": view["csrf"], "decision": decision})
}

#[tokio::test]
async fn a_program_shows_who_asks_for_what_and_sends_the_browser_on() {
    let server = spa(|builder| builder).await;
    let request = authorization_request(
        "app",
        "&state=s1&scope=ledger.read+ledger.write&login_hint=al",
    );
    let (id, view) = asked(&server, &request).await;
    let csrf = view["csrf"].as_str().unwrap();
    assert_eq!(csrf.len(), 43);
    let expected = json!({
        "interaction": id,
        "action": "/auth/authorize",
        "client": {"client_id": "app", "client_name": "Harbor App", "vouched_for": true},
        "scope": [
            {"scope": "ledger.read", "description": "Read your ledger"},
            {"scope": "ledger.write"},
        ],
        "resources": ["https://auth.harbor.test/ledger"],
        "redirect_uri": CALLBACK,
        "lifetime": 7_776_000,
        "login_hint": "al",
        "next": "consent",
        "csrf": csrf,
        "signed_in": {"sub": "alice", "name": "Alice Smith"},
    });
    assert_eq!(view, expected);
    // Looked at again, it is the same; and it is no page of ours that anybody is shown.
    assert_eq!(look(&server, &id, Some("alice")).await.json(), view);
    let answer = post(&server, &ALICE, said(&view, "allow")).await;
    assert_eq!(answer.status, 200);
    let to = answer.member("redirect_to");
    let (address, query) = to.split_once('?').unwrap();
    assert_eq!(address, CALLBACK);
    let pairs: std::collections::HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    assert_eq!(pairs["state"], "s1");
    let tokens = server.redeem(&pairs["code"]).await;
    assert_eq!(tokens.member("scope"), "ledger.read ledger.write");
    // An answer counts once, and its code was used.
    for decision in ["allow", "deny"] {
        let again = post(&server, &ALICE, said(&view, decision)).await;
        again.error(409, "already_decided");
    }
    look(&server, &id, Some("alice"))
        .await
        .error(409, "already_decided");
}

#[tokio::test]
async fn a_program_allows_a_part_or_denies() {
    let server = spa(|builder| builder).await;
    let request = authorization_request("app", "&prompt=consent&scope=ledger.read+ledger.write");
    for (scope, given) in [
        ("ledger.read", "ledger.read"),
        ("ledger.write files.read", "ledger.write"),
    ] {
        let (_, view) = asked(&server, &request).await;
        let mut part = said(&view, "allow");
        for wrong in ["", "\"", "a\u{e9}"] {
            part["scope"] = wrong.into();
            post(&server, &ALICE, &part)
                .await
                .error(400, "invalid_request");
        }
        part["scope"] = scope.into();
        let to = post(&server, &ALICE, &part).await.member("redirect_to");
        let code = to.split("code=").nth(1).unwrap().split('&').next().unwrap();
        assert_eq!(server.redeem(code).await.member("scope"), given);
    }
    let (_, view) = asked(&server, &request).await;
    let to = post(&server, &ALICE, said(&view, "deny"))
        .await
        .member("redirect_to");
    assert!(to.contains("error=access_denied"), "{to}");
}

#[tokio::test]
async fn the_form_may_allow_a_part_too() {
    let server = Harness::new().await;
    let page = server.authorize("&scope=ledger.read+ledger.write").await;
    let form = |scope: &str| {
        let (id, csrf) = (page.hidden("interaction"), page.hidden("csrf"));
        format!("interaction={id}&csrf={csrf}&decision=allow&scope={scope}")
    };
    server
        .submit("/auth/authorize", "alice", &form(""))
        .await
        .page(400);
    let answer = server
        .submit("/auth/authorize", "alice", &form("ledger.write"))
        .await;
    let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
    assert_eq!(tokens.member("scope"), "ledger.write");
}

// req: http-csrf-1, 6749-10.12-1
#[tokio::test]
async fn s13_only_the_program_of_the_host_answers_and_only_for_who_was_asked() {
    let server = spa(|builder| builder).await;
    let (id, view) = asked(&server, &changed(&[])).await;
    let json = ("content-type", "application/json");
    let alice = ("x-user", "alice");
    let right = said(&view, "allow");
    for headers in [
        vec![json, alice],
        vec![json, alice, ("sec-fetch-site", "cross-site")],
        vec![json, alice, ("sec-fetch-site", "same-site")],
        vec![json, alice, ("origin", "https://evil.test")],
        vec![json, ("x-user", "bob"), ("sec-fetch-site", "same-origin")],
    ] {
        post(&server, &headers, &right).await.error(403, "forged");
    }
    let (_, other) = asked(&server, &changed(&[])).await;
    for wrong in [Value::from("x"), other["csrf"].clone(), "".into()] {
        let mut forged = right.clone();
        forged["csrf"] = wrong;
        post(&server, &ALICE, &forged).await.error(403, "forged");
    }
    // A page of another origin does not get to read it, though a layer outside might let it.
    let request = Request::get(server.oauth.resume_path(&id))
        .header("accept", "application/json")
        .header("sec-fetch-site", "cross-site")
        .header("x-user", "alice");
    let read = server.send(request.body(Full::default()).unwrap()).await;
    read.error(403, "forged");
    assert!(!read.headers.contains_key("access-control-allow-origin"));
    // None of this has decided anything.
    assert_eq!(post(&server, &ALICE, &right).await.status, 200);
}

// req: 6749-10.14-1
#[tokio::test]
async fn s18_what_is_no_answer_or_about_nothing_is_told_in_fixed_sentences() {
    let server = spa(|builder| builder).await;
    let (id, view) = asked(&server, &changed(&[])).await;
    let (right, text) = (said(&view, "allow"), said(&view, "allow").to_string());
    let values = ["interaction", "csrf", "decision"].map(|name| right[name].clone());
    let list = serde_json::json!([values[0], values[1], values[2], "ledger.read"]).to_string();
    for body in [
        "",
        "{",
        "[]",
        &list,
        "null",
        "{}",
        r#"{"interaction":1,"csrf":"x","decision":"allow"}"#,
        &text.replacen('{', r#"{"decision":"deny","#, 1), // a member that stands there twice
        &text.replace("allow", "Allow"),
        &text.replace("allow", "<script>"),
    ] {
        let answer = post(&server, &ALICE, body).await;
        answer.error(400, "invalid_request");
        assert!(!answer.text().contains("<script"));
    }
    let mut unknown = right.clone();
    unknown["interaction"] = "nobody".into();
    let unknown = post(&server, &ALICE, &unknown).await;
    unknown.error(404, "unknown_interaction");
    server.advance(600);
    let expired = post(&server, &ALICE, &right).await;
    assert_eq!(
        (expired.status, &expired.body),
        (unknown.status, &unknown.body)
    );
    let gone = look(&server, &id, Some("alice")).await;
    assert_eq!((gone.status, &gone.body), (unknown.status, &unknown.body));
}

#[tokio::test]
async fn s20_too_much_and_too_many_are_told_in_json_as_the_documentation_says() {
    let server = spa(|builder| builder.authorization_requests(Limit::per_minute(1, 1))).await;
    let (_, view) = asked(&server, &changed(&[])).await;
    let long = format!("{}{}", said(&view, "allow"), " ".repeat(17_000));
    let answer = post(&server, &ALICE, long).await;
    answer.error(413, "invalid_request");
    let answer = post(&server, &ALICE, said(&view, "allow")).await;
    assert_eq!(answer.status, 200);
    // A second click is counted like a request.
    let answer = post(&server, &ALICE, said(&view, "allow")).await;
    answer.error(429, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), "60");
    let documented = include_str!("../../src/server/builder.rs");
    for line in [
        "/// | 413 | `{\"error\": \"invalid_request\"",
        "/// | 429 | `{\"error\": \"temporarily_unavailable\"",
    ] {
        assert!(documented.contains(line), "{line}");
    }
}

#[tokio::test]
async fn who_would_rather_have_a_page_is_sent_to_it() {
    let server = spa(|builder| builder).await;
    let (id, _) = asked(&server, &changed(&[])).await;
    for (accept, is_json) in [
        ("application/json", true),
        ("APPLICATION/JSON;charset=utf-8", true),
        ("application/json, text/plain, */*", true),
        ("text/html;q=0.8, application/json", true),
        ("text/html,application/xhtml+xml,*/*;q=0.8", false),
        ("application/json, text/html", false),
        ("application/json;q=0.1, text/html;q=0.2", false),
        ("*/*", false),
        ("application/json;q=0", false),
    ] {
        let request = Request::get(server.oauth.resume_path(&id))
            .header("accept", accept)
            .header("x-user", "alice");
        let answer = server.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status == 200, is_json, "{accept}");
    }
}

#[tokio::test]
async fn a_program_knows_a_device_and_says_yes_or_no_to_it() {
    let server = spa(|builder| builder).await;
    for (decision, status, polled) in [("allow", "device_connected", 200), ("deny", "denied", 400)]
    {
        let (device_code, user_code) = server.device().await;
        server.advance(7);
        let form = format!("user_code={user_code}");
        let entered = server.submit("/device", "alice", &form).await;
        let (_, view) = asked(&server, &entered.location()).await;
        assert_eq!(view["device"], json!({"user_code": user_code, "age": 7}));
        assert!(view.get("redirect_uri").is_none());
        let answer = post(&server, &ALICE, said(&view, decision)).await;
        assert_eq!(answer.json(), json!({"status": status}));
        // The same answer again is told the same, and changes nothing.
        let again = post(&server, &ALICE, said(&view, decision)).await;
        assert_eq!(again.json(), json!({"status": status}));
        let other = if decision == "allow" { "deny" } else { "allow" };
        post(&server, &ALICE, said(&view, other))
            .await
            .error(409, "already_decided");
        assert_eq!(server.poll(&device_code).await.status, polled);
    }
}

#[tokio::test]
async fn a_program_is_told_where_to_sign_in_and_what_the_host_decides_by_itself() {
    let server = spa(|builder| builder).await;
    let (id, view) = asked(&server, &changed(&[])).await;
    let login = format!("/login?interaction={id}");
    let told = look(&server, &id, None).await.json();
    assert_eq!(
        (&told["next"], &told["login"]),
        (&json!("login"), &json!(login))
    );
    assert!(told.get("csrf").is_none() && told.get("signed_in").is_none());
    // The session is lost between page and answer: to the login, and nothing is decided.
    let nobody = [
        ("content-type", "application/json"),
        ("sec-fetch-site", "same-origin"),
    ];
    let answer = post(&server, &nobody, said(&view, "allow")).await;
    assert_eq!(answer.member("redirect_to"), login);
    assert_eq!(post(&server, &ALICE, said(&view, "deny")).await.status, 200);
    // A step up is asked for here as well.
    let sent = server
        .get(
            &authorization_request("app", "&prompt=login"),
            Some("alice"),
        )
        .await;
    let id = sent.parameter("interaction").unwrap();
    assert!(sent.location().starts_with("/login?"));
    assert_eq!(
        look(&server, &id, Some("alice")).await.json()["next"],
        "consent"
    );

    for (decision, next) in [
        ("approve", "continue"),
        ("deny", "continue"),
        ("forward", "host"),
        ("respond", "host"),
    ] {
        let server = Harness::with(|builder| builder.interaction("/login", Says(decision))).await;
        let id = server
            .oauth
            .pending(&seed(&server).await)
            .await
            .unwrap()
            .id()
            .to_owned();
        let told = look(&server, &id, Some("alice")).await.json();
        assert_eq!(told["next"], next, "{decision}");
        if next == "continue" {
            assert_eq!(told["continue"], server.oauth.resume_path(&id));
        }
        // To look has decided nothing.
        assert!(server.oauth.pending(&id).await.is_ok());
    }
}

/// Sends who has no name to the login, and decides in one way for everybody else.
struct Says(&'static str);

impl Interaction for Says {
    async fn decide(&self, _: &PendingRequest, request: &http::request::Parts) -> Decision {
        match self.0 {
            _ if !request.headers.contains_key("x-user") => Decision::Login,
            "approve" => Decision::Approve(tower_oauth::Approval::new(alice())),
            "deny" => Decision::Deny,
            "forward" => Decision::Forward,
            _ => Decision::Respond(http::Response::new("host".into())),
        }
    }
}

async fn seed(server: &Harness) -> String {
    let login = server.get(&changed(&[]), None).await;
    login.parameter("interaction").unwrap()
}

#[tokio::test]
async fn rfc7591_5_a_program_is_told_that_nobody_vouched_and_of_no_address_that_is_not_the_clients()
{
    let server = spa(|builder| builder.registration(Registration::open())).await;
    let json = r#"{"client_name":"\"><script>","redirect_uris":["https://app.harbor.test/cb"],"token_endpoint_auth_method":"none",
        "client_uri":"https://app.harbor.test/","policy_uri":"https://elsewhere.test/","logo_uri":"https://app.harbor.test/l.png"}"#;
    let id = server.register(json).await.member("client_id");
    let (_, view) = asked(&server, &authorization_request(&id, "")).await;
    let expected = json!({
        "client_id": id, "client_name": "\"><script>", "vouched_for": false, "client_uri": "https://app.harbor.test/",
    });
    assert_eq!(view["client"], expected);
}

/// As on the page of ours: no marks that turn its letters round, and no more of them than leave the rest in sight.
#[tokio::test]
async fn a_program_is_told_what_an_application_is_called_as_the_page_would_call_it() {
    let server = spa(|builder| builder.registration(Registration::open())).await;
    let long = "n".repeat(200);
    let (cut, long) = (format!("{}…", "n".repeat(80)), long.as_str());
    for (name, shown) in [
        ("\u{202e}knab ruoY", json!("knab ruoY")),
        (long, json!(cut)),
        ("\u{200b}", json!(null)),
    ] {
        let metadata = json!({
            "client_name": name, "redirect_uris": ["https://app.harbor.test/cb"], "token_endpoint_auth_method": "none",
        });
        let id = server
            .register(&metadata.to_string())
            .await
            .member("client_id");
        let (_, view) = asked(&server, &authorization_request(&id, "")).await;
        assert_eq!(view["client"]["client_name"], shown, "{view}");
    }
}

#[tokio::test]
async fn a_page_of_the_host_has_a_path_and_somebody_who_signs_in() {
    // Browsers read `\` as `/` and skip a tab (URL Standard §4.4): these two would lead to another host.
    for path in [
        "app",
        "//app",
        "/\\app",
        "/\t/app",
        "/app#x",
        "/äpp",
        "/auth/token",
    ] {
        let refused = builder().consent_page(path).build().unwrap_err();
        assert!(
            refused.to_string().starts_with("consent_page: "),
            "{refused}"
        );
    }
    let login = builder().login("//app", |_| None::<tower_oauth::types::Subject>);
    let refused = login.build().unwrap_err().to_string();
    assert!(refused.starts_with("login: "), "{refused}");
    let nobody = tower_oauth::AuthorizationServer::builder("https://x.test").consent_page("/app");
    assert!(
        nobody
            .build()
            .unwrap_err()
            .to_string()
            .contains("consent_page")
    );
    // What is remembered needs no page.
    let server = spa(|builder| builder).await;
    let request = authorization_request("web", "");
    let (_, view) = asked(&server, &request).await;
    post(&server, &ALICE, said(&view, "allow")).await;
    let again = server.get(&request, Some("alice")).await;
    assert!(again.parameter("code").is_some());
    let _: Client = server.oauth.clients().list().await.unwrap().remove(0);
}

#[tokio::test]
async fn s13_of_answers_that_come_at_once_one_counts_and_the_others_are_told() {
    let server = spa(|builder| builder).await;
    let (_, view) = asked(&server, &changed(&[])).await;
    let press = |decision| post(&server, &ALICE, said(&view, decision));
    let answers = tokio::join!(press("allow"), press("deny"), press("allow"), press("deny"));
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let is = |answer: &Answer, part: &str| {
        answer.status == 200 && answer.member("redirect_to").contains(part)
    };
    let allowed = answers.iter().any(|answer| is(answer, "code="));
    let denied = answers.iter().any(|answer| is(answer, "error="));
    assert!(allowed != denied, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.error(409, "already_decided");
    }
}

// req: oidc-core-3.1.2.1-6
#[tokio::test]
async fn oidc_core_3_1_2_1_no_page_of_the_hosts_is_shown_where_none_is_wanted() {
    let server = spa(|builder| builder).await;
    let silent = authorization_request("app", "&prompt=none");
    let told = server.get(&silent, Some("alice")).await;
    told.redirected_error("consent_required");
    let told = server.get(&silent, None).await;
    told.redirected_error("login_required");
}

// Of an invalid request only its error can come: nobody is asked for a yes to it.
#[tokio::test]
async fn a_program_is_asked_nothing_about_a_request_that_is_invalid() {
    let server = spa(|builder| builder).await;
    let sent = server
        .get(&changed(&[("response_type", Some("token"))]), None)
        .await;
    let id = sent.parameter("interaction").unwrap();
    let told = look(&server, &id, Some("alice")).await.json();
    assert_eq!(told["error"], "unsupported_response_type");
    assert_eq!(told["next"], "continue", "{told}");
    assert!(told.get("csrf").is_none());
    let back = server
        .get(told["continue"].as_str().unwrap(), Some("alice"))
        .await;
    back.redirected_error("unsupported_response_type");
}

#[tokio::test]
async fn a_login_that_reads_the_request_before_anybody_has_signed_in_anew_ends_nothing() {
    let server = spa(|builder| builder).await;
    for more in ["&prompt=login", "&acr_values=mfa"] {
        let before = since(&server, 5, "pwd");
        let request = authorization_request("app", more);
        let sent = step_up::get(&server, &request, &before).await;
        let id = sent.parameter("interaction").unwrap();
        let login = format!("/login?interaction={id}");
        assert_eq!(sent.location(), login);
        // The login is a program: it reads what it is for, and again when it is loaded anew.
        for _ in 0..2 {
            let path = server.oauth.resume_path(&id);
            let json = ("accept", "application/json".to_owned());
            let headers = [&before[..], &[json]].concat();
            let told = step_up::get(&server, &path, &headers).await.json();
            assert_eq!(told["next"], "login", "{more}: {told}");
            assert_eq!(told["login"], login);
        }
        // Who comes back without a better sign-in ends it: nobody is sent in circles.
        let path = server.oauth.resume_path(&id);
        let back = step_up::get(&server, &path, &before).await;
        assert!(back.parameter("error").is_some(), "{back:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_in_json() {
    let server = spa(|builder| builder).await;
    let large = json!({"interaction": "x".repeat(20_000), "csrf": "", "decision": "deny"});
    let answer = post(&server, &ALICE, large).await;
    answer.error(413, "invalid_request");
}
