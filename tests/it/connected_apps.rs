//! People see which applications may use their account, and take it back.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use http::{Method, Request};
use http_body_util::Full;
use tower_oauth::server::{ConfigError, Endpoint, Event, EventSink, Registration, RevokedBy};
use tower_oauth::types::{Client, Subject};
use tower_oauth::{AuthorizationServer, Decision, Interaction, PendingRequest};

use crate::consent_details::{AT_CALLBACK, pretender};
use crate::support::{
    Answer, CALLBACK, DEVICE_CODE, Harness, authorization_request, builder, redemption,
};

const PATH: &str = "/connected-apps";

async fn server() -> Harness {
    Harness::with(|builder| builder.connected_apps()).await
}

/// The form of the first application on the page.
fn form(page: &Answer) -> String {
    let (client_id, csrf) = (page.hidden("client_id"), page.hidden("csrf"));
    format!("client_id={client_id}&csrf={csrf}")
}

async fn json(server: &Harness, user: Option<&str>, target: &str) -> Answer {
    let mut request = Request::get(target).header("accept", "application/json");
    if let Some(user) = user {
        request = request.header("x-user", user);
    }
    server.send(request.body(Full::default()).unwrap()).await
}

async fn is_alive(server: &Harness, token: &str) -> bool {
    server.refresh(token, "").await.status == 200
}

#[tokio::test]
async fn a_person_sees_who_has_access_and_takes_it_back() {
    let server = server().await;
    let empty = server.get(PATH, Some("alice")).await;
    assert_eq!(empty.status, 200);
    assert!(empty.text().contains("No application has access"));
    assert!(!empty.text().contains("<form"));

    let (_, refresh) = server.tokens("").await.pair();
    server.advance(3 * 24 * 3600);
    let (_, refresh) = server.refresh(&refresh, "").await.pair();
    server.advance(120);
    let page = server.get(PATH, Some("alice")).await;
    for part in [
        "<h2><bdi id=\"a1\">Harbor App</bdi></h2>",
        "Signed in as <bdi>alice</bdi>",
        "Read your ledger <code>ledger.read</code>",
        "<dd><bdi>app.harbor.test</bdi></dd>",
        "2026-11-22</time> (3 days ago)",
        "<dd>2 minutes ago</dd>",
    ] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    assert!(!page.text().contains("Registered itself"));
    let bob = server.get(PATH, Some("bob")).await;
    assert!(bob.text().contains("No application has access"));

    let removed = server.submit(PATH, "alice", &form(&page)).await;
    let after = server.get(&removed.location(), Some("alice")).await;
    assert!(after.text().contains("The access was removed."));
    assert!(after.text().contains("No application has access"));
    assert!(!is_alive(&server, &refresh).await);
    // Once more is harmless, and says the same.
    let again = server.submit(PATH, "alice", &form(&page)).await;
    assert_eq!(again.location(), removed.location());
}

#[tokio::test]
async fn only_who_has_just_removed_something_is_told_so() {
    const NOTICE: &str = "The access was removed.";
    let server = server().await;
    server.tokens("").await.pair();
    let page = server.get(PATH, Some("alice")).await;
    let csrf = page.hidden("csrf");
    let removed = server.submit(PATH, "alice", &form(&page)).await.location();
    let (path, told) = removed.split_once("?removed=").unwrap();
    assert_eq!(path, PATH);
    let says = async |target: String, user| {
        let page = server.get(&target, Some(user)).await;
        assert_eq!(page.status, 200, "{page:?}");
        page.text().contains(NOTICE)
    };
    assert!(says(removed.clone(), "alice").await);
    assert!(!says(removed.clone(), "bob").await, "another person's link");
    let (ends, digest) = told.split_once('.').unwrap();
    let later = ends.parse::<u64>().unwrap() + 1;
    for made_up in ["1", "", "true", &csrf, digest, &format!("{later}.{digest}")] {
        let target = format!("{PATH}?removed={made_up}");
        assert!(!says(target, "alice").await, "{made_up}");
    }
    // Nor is what tells it a value for the form.
    server.tokens("").await.pair();
    let forged = format!("client_id=app&csrf={told}");
    server.submit(PATH, "alice", &forged).await.page(403);
    server.advance(59);
    assert!(says(removed.clone(), "alice").await);
    server.advance(1);
    assert!(!says(removed, "alice").await);
}

#[tokio::test]
async fn rfc9110_12_5_5_what_is_html_or_json_by_accept_says_so_beside_what_else_it_varies_by() {
    let server = server().await;
    let vary = |answer: &Answer| {
        let values = answer.headers.get_all("vary").iter();
        let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
        values.join(", ")
    };
    server.tokens("").await.pair();
    let page = server.get(PATH, Some("alice")).await;
    assert_eq!(vary(&page), "accept-language, accept");
    assert_eq!(vary(&json(&server, Some("alice"), PATH).await), "accept");
    assert_eq!(vary(&json(&server, None, PATH).await), "accept");
    let forged = server.submit(PATH, "alice", "client_id=app").await;
    assert_eq!(vary(&forged), "accept-language, accept");
    let removed = server.submit(PATH, "alice", &form(&page)).await;
    assert_eq!(vary(&removed), "accept");
    // A request that waits, at the authorization endpoint.
    let consent = server.authorize("").await;
    assert_eq!(vary(&consent), "accept-language, accept");
    let id = consent.hidden("interaction");
    let pending = format!("/auth/authorize?interaction={id}");
    let shown = server.get(&pending, Some("alice")).await;
    assert_eq!(vary(&shown), "accept-language, accept");
    let view = json(&server, Some("alice"), &pending).await;
    assert_eq!(view.header("content-type"), "application/json");
    assert_eq!(vary(&view), "accept");
    // What answers in one form alone does not.
    let metadata = "/.well-known/oauth-authorization-server";
    let metadata = server.get(metadata, None).await;
    assert_eq!(
        (metadata.status.as_u16(), vary(&metadata).as_str()),
        (200, "")
    );
}

#[tokio::test]
async fn grants_of_one_application_are_one_and_what_was_agreed_to_is_forgotten() {
    let server = server().await;
    let first = server.tokens("").await.pair().1;
    server.advance(60);
    let second = server.tokens("").await.pair().1;
    let page = server.get(PATH, Some("alice")).await;
    assert_eq!(page.text().matches("<h2>").count(), 1);
    server.submit(PATH, "alice", &form(&page)).await.location();
    for token in [first, second] {
        assert!(!is_alive(&server, &token).await);
    }
    let asked = server.authorize("").await;
    assert_eq!(asked.status, 200, "the owner is asked again: {asked:?}");
}

// req: 6749-10.12-1, http-csrf-1
#[tokio::test]
async fn s13_nothing_is_removed_but_by_the_page_that_was_shown_to_this_person() {
    let server = server().await;
    let (_, refresh) = server.tokens("").await.pair();
    let page = server.get(PATH, Some("alice")).await;
    let good = form(&page);
    let csrf = page.hidden("csrf");
    let (ends, value) = csrf.split_once('.').unwrap();
    let later = ends.parse::<u64>().unwrap() + 1;
    let same: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];
    let cases: [(String, &[(&str, &str)]); 11] = [
        (good.clone(), &[]),
        (good.clone(), &[("sec-fetch-site", "cross-site")]),
        (good.clone(), &[("sec-fetch-site", "same-site")]),
        (good.clone(), &[("origin", "https://evil.test")]),
        (good.clone(), &[("origin", "null")]),
        ("client_id=app".to_owned(), same),
        ("client_id=app&csrf=".to_owned(), same),
        (format!("client_id=app&csrf={value}"), same),
        (format!("client_id=app&csrf={later}.{value}"), same),
        (format!("client_id=web&csrf={csrf}"), same),
        (format!("client_id=%22%3E%3Cscript%3E&csrf={csrf}"), same),
    ];
    for (form, headers) in cases {
        let headers = [headers, &[("x-user", "alice")]].concat();
        let answer = server.post_with(PATH, &headers, &form).await;
        answer.page(403);
        assert!(answer.text().contains("Nothing was removed"), "{form}");
        assert!(answer.text().contains("href=\"?\""));
    }
    // Bob's browser with a form that was made for Alice: another's application is as unknown as any.
    server.submit(PATH, "bob", &good).await.page(403);
    for form in ["", &format!("csrf={csrf}"), &format!("{good}&csrf=x")] {
        server.submit(PATH, "alice", form).await.page(400);
    }
    // A GET changes nothing, whatever it carries.
    server.get(&format!("{PATH}?{good}"), Some("alice")).await;
    assert!(is_alive(&server, &refresh).await);
    server.advance(3600);
    let late = server.submit(PATH, "alice", &good).await;
    late.page(403);
    let listed = server.get(PATH, Some("alice")).await;
    assert!(listed.text().contains("Harbor App"));
}

#[tokio::test]
async fn who_is_not_signed_in_goes_to_the_login_and_comes_back_and_never_round_in_circles() {
    let server = server().await;
    let login = server.get(PATH, None).await.location();
    assert_eq!(login, "/login?interaction=connected-apps");
    // What the host's login does for every request.
    let resume = server.oauth.resume_path("connected-apps");
    let back = server.get(&resume, Some("alice")).await.location();
    assert_eq!(back, "/connected-apps?signed_in=1");
    assert_eq!(server.get(&back, Some("alice")).await.status, 200);
    let lost = server.get(&back, None).await;
    lost.page(403);
    assert!(lost.text().contains("nobody is signed in here"));
    let subject = Subject::new("alice").unwrap();
    let resumed = server
        .oauth
        .resume("connected-apps", Decision::Ask(subject.into()))
        .await;
    assert_eq!(Answer::of(resumed).await.location(), back);
    // A form that comes after the session has ended.
    let form = "client_id=app&csrf=1.x";
    let answer = server
        .post_with(PATH, &[("sec-fetch-site", "same-origin")], form)
        .await;
    assert_eq!(answer.location(), login);
    let off = Harness::new().await;
    off.get(&resume, Some("alice")).await.page(400);
}

#[tokio::test]
async fn a_host_in_full_control_says_who_is_signed_in() {
    struct Nobody;
    impl Interaction for Nobody {
        async fn decide(&self, _: &PendingRequest, _: &http::request::Parts) -> Decision {
            Decision::Login
        }
    }
    let silent = |builder: tower_oauth::server::AuthorizationServerBuilder| {
        builder.interaction("/login", Nobody).connected_apps()
    };
    let server = Harness::with(silent).await;
    let login = server.get(PATH, Some("alice")).await.location();
    assert_eq!(login, "/login?interaction=connected-apps");
    server
        .get("/connected-apps?signed_in=1", Some("alice"))
        .await
        .page(403);
}

// req: 7591-5-6
#[tokio::test]
async fn rfc7591_5_an_application_is_where_its_codes_went_and_not_where_it_says() {
    let server =
        Harness::with(|builder| builder.connected_apps().registration(Registration::open())).await;
    let places = async |server: &Harness| {
        let page = server.get(PATH, Some("alice")).await.text();
        assert!(!page.contains("bank.test"), "{page}");
        let (_, places) = page.split_once("<dt>Where it is</dt>").unwrap();
        places.split("</div>").next().unwrap().trim().to_owned()
    };
    let id = pretender(
        &server,
        &[
            "https://bank.test/cb",
            "https://evil.test/cb",
            "http://127.0.0.1/cb",
        ],
    )
    .await;
    let form = format!("client_id={id}&scope=ledger.read");
    let device = server.post("/auth/device", &form).await;
    let page = server.enter(&device.member("user_code"), "alice").await;
    server.decide(&page, "alice", "allow").await;
    let form = format!(
        "grant_type={DEVICE_CODE}&client_id={id}&device_code={}",
        device.member("device_code")
    );
    server.post("/auth/token", &form).await.access_token();
    let on_device = "<dd><bdi>A device</bdi></dd>";
    assert_eq!(places(&server).await, on_device);

    for to in [
        "https://evil.test/cb",
        "http://127.0.0.1:1234/cb",
        "http://127.0.0.1:5678/cb",
    ] {
        let request = authorization_request(&id, "").replace(AT_CALLBACK, to);
        let code = server.allow(&request).await.parameter("code").unwrap();
        let form = redemption(&id, &code).replace(CALLBACK, to);
        server.post("/auth/token", &form).await.access_token();
    }
    let mut all: Vec<_> = places(&server)
        .await
        .split_inclusive("</dd>")
        .map(ToOwned::to_owned)
        .collect();
    all.sort();
    let elsewhere = [
        "<dd><bdi>A program on a computer</bdi></dd>",
        "<dd><bdi>evil.test</bdi></dd>",
    ];
    assert_eq!(all, [on_device, elsewhere[0], elsewhere[1]]);
    let app = json(&server, Some("alice"), PATH).await.json()["apps"][0].clone();
    assert_eq!(app["on_device"], true);
    assert_eq!(app["redirect_uris"].as_array().unwrap().len(), 2, "{app}");
    assert!(app.get("client_uri").is_none(), "{app}");
}

#[tokio::test]
async fn the_same_is_there_as_json() {
    let server = server().await;
    json(&server, None, PATH).await.error(403, "access_denied");
    server.tokens("").await.pair();
    let list = json(&server, Some("alice"), PATH).await;
    assert_eq!(list.status, 200);
    assert_eq!(list.header("content-type"), "application/json");
    let app = list.json()["apps"][0].clone();
    assert_eq!(app["client_id"], "app");
    assert_eq!(app["client_name"], "Harbor App");
    assert_eq!(app["vouched_for"], true);
    assert_eq!(app["redirect_uris"], serde_json::json!([CALLBACK]));
    assert_eq!(app["on_device"], false);
    assert_eq!(app["scope"], "ledger.read");
    assert_eq!(app["since"], app["renewed"]);
    assert!(list.json().get("next").is_none());
    let form = format!("client_id=app&csrf={}", app["csrf"].as_str().unwrap());
    let headers = |site| {
        [
            ("x-user", "alice"),
            ("accept", "application/json"),
            ("sec-fetch-site", site),
        ]
    };
    let forged = server.post_with(PATH, &headers("cross-site"), &form).await;
    forged.error(403, "invalid_request");
    for removed in [true, false] {
        let answer = server.post_with(PATH, &headers("same-origin"), &form).await;
        assert_eq!(answer.json()["removed"], removed);
    }
    let empty = json(&server, Some("alice"), PATH).await;
    assert_eq!(empty.json()["apps"], serde_json::json!([]));
    // What is wanted is read as it is for a request that waits.
    for (accept, content_type) in [
        ("Application/JSON", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        (
            "application/json;q=0.5, text/html",
            "text/html; charset=utf-8",
        ),
        ("application/json-seq", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
    ] {
        let request = Request::get(PATH).header("accept", accept);
        let request = request.header("x-user", "alice").body(Full::default());
        let answer = server.send(request.unwrap()).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
    }
}

#[tokio::test]
async fn many_applications_are_shown_in_pages_that_are_small() {
    let server = server().await;
    for number in 0..23 {
        let client = Client::public(format!("app-{number}").parse().unwrap())
            .name(format!(
                "{number} \"><script>alert(1)</script>{}",
                "W".repeat(60)
            ))
            .redirect_uri(CALLBACK.parse().unwrap());
        server.create(client).await;
        let id = format!("app-{number}");
        let code = server.code_for(&id, "").await;
        server
            .post("/auth/token", &redemption(&id, &code))
            .await
            .pair();
    }
    let mut seen = 0;
    for (number, count) in [(1, 10), (2, 10), (3, 3)] {
        let target = format!("{PATH}?page={number}");
        let page = server.get(&target, Some("alice")).await;
        assert!(page.body.len() < 30_000, "{}", page.body.len());
        assert!(!page.text().contains("<script"));
        assert_eq!(page.text().matches("<h2>").count(), count);
        let list = json(&server, Some("alice"), &target).await.json();
        seen += list["apps"].as_array().unwrap().len();
        let at = |number: usize| format!("{PATH}?page={number}");
        let next = (number < 3).then(|| at(number + 1));
        assert_eq!(
            list.get("next").and_then(|next| next.as_str()),
            next.as_deref()
        );
        let to: Vec<_> = (1..=3)
            .filter(|to| page.text().contains(&format!("href=\"{}\"", at(*to))))
            .collect();
        let beside = [number - 1, number + 1].into_iter();
        assert_eq!(
            to,
            beside.filter(|to| (1..=3).contains(to)).collect::<Vec<_>>()
        );
        assert!(!page.text().contains(&at(0)));
    }
    assert_eq!(seen, 23);
    // A page that is gone since its last application was removed is the last one, and does not say that nobody has access.
    let beyond = server.get(&format!("{PATH}?page=4"), Some("alice")).await;
    assert!(!beyond.text().contains("No application has access"));
    assert_eq!(beyond.text().matches("<h2>").count(), 3);
    assert!(beyond.text().contains("page=2"));
    for odd in [
        "0",
        "-1",
        "x",
        "99999999999999999999",
        "18446744073709551615",
    ] {
        let page = server
            .get(&format!("{PATH}?page={odd}"), Some("alice"))
            .await;
        assert_eq!(page.status, 200, "{odd}");
    }
}

// The store lists a hundred grants at a time.
#[tokio::test]
async fn more_applications_than_a_store_lists_at_once_are_all_shown_and_a_last_page_may_be_full() {
    let server = server().await;
    for number in 0..110 {
        let id = format!("app-{number}");
        let client = Client::public(id.parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap());
        server.create(client).await;
        let code = server.code_for(&id, "").await;
        let tokens = server.post("/auth/token", &redemption(&id, &code)).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
    }
    for number in [10, 11] {
        let target = format!("{PATH}?page={number}");
        let list = json(&server, Some("alice"), &target).await.json();
        assert_eq!(list["apps"].as_array().unwrap().len(), 10);
        assert_eq!(list.get("next").is_some(), number < 11);
    }
}

#[tokio::test]
async fn what_has_ended_in_another_way_is_not_shown() {
    let server = server().await;
    let shown = async || {
        let list = json(&server, Some("alice"), PATH).await.json();
        list["apps"].as_array().unwrap().len()
    };
    let (alice, app) = (Subject::new("alice").unwrap(), "app".parse().unwrap());
    server.tokens("").await;
    assert_eq!(shown().await, 1);
    server
        .oauth
        .grants()
        .revoke_all_of_subject(&alice)
        .await
        .unwrap();
    assert_eq!(shown().await, 0, "all of hers was revoked");
    server.tokens("").await;
    assert_eq!(shown().await, 1);
    assert!(server.oauth.clients().revoke_tokens(&app).await.unwrap());
    assert_eq!(shown().await, 0, "all of the client's was revoked");
    server.tokens("").await;
    assert_eq!(shown().await, 1);
    assert!(server.oauth.clients().disable(&app, true).await.unwrap());
    assert_eq!(shown().await, 0, "the client is disabled");
}

#[tokio::test]
async fn the_link_of_an_application_is_its_website_and_none_of_its_others() {
    let server = server().await;
    let client = Client::public("linked".parse().unwrap())
        .policy_uri("https://app.harbor.test/policy")
        .client_uri("https://app.harbor.test/")
        .redirect_uri(CALLBACK.parse().unwrap());
    server.create(client).await;
    let code = server.code_for("linked", "").await;
    server
        .post("/auth/token", &redemption("linked", &code))
        .await
        .pair();
    let list = json(&server, Some("alice"), PATH).await.json();
    assert_eq!(list["apps"][0]["client_uri"], "https://app.harbor.test/");
    let page = server.get(PATH, Some("alice")).await;
    assert!(page.text().contains("href=\"https://app.harbor.test/\""));
}

#[tokio::test]
async fn it_is_there_if_it_is_switched_on_and_somebody_can_be_known() {
    let off = Harness::new().await;
    assert_eq!(off.get(PATH, Some("alice")).await.status, 404);
    let nobody = AuthorizationServer::builder("https://auth.harbor.test").connected_apps();
    let error = nobody.build().unwrap_err();
    assert!(matches!(
        error,
        ConfigError::Contradiction {
            setting: "connected_apps",
            ..
        }
    ));
    let moved = Harness::with(|builder| {
        builder
            .connected_apps()
            .path(Endpoint::ConnectedApps, "/account/apps")
    })
    .await;
    assert_eq!(moved.get("/account/apps", Some("alice")).await.status, 200);
    assert_eq!(moved.get(PATH, Some("alice")).await.status, 404);
    let path = builder().path(Endpoint::ConnectedApps, "/account/apps");
    assert!(path.build().is_err(), "a path for what is not served");
    let put = Request::builder().method(Method::PUT).uri("/account/apps");
    let put = moved.send(put.body(Full::default()).unwrap()).await;
    put.page(405);
    assert_eq!(put.header("allow"), "GET, HEAD, POST");
}

#[tokio::test]
async fn the_host_can_do_the_same_and_hears_who_did_it() {
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<RevokedBy>>>);
    impl EventSink for Heard {
        fn event(&self, event: &Event<'_>) {
            if let Event::GrantRevoked { by, .. } = event {
                self.0.lock().unwrap().push(*by);
            }
        }
    }
    let heard = Heard::default();
    let server = Harness::with(|builder| builder.connected_apps().events(heard.clone())).await;
    let (alice, app) = (Subject::new("alice").unwrap(), "app".parse().unwrap());
    let (_, refresh) = server.tokens("").await.pair();
    let grants = server.oauth.grants();
    assert!(grants.revoke_client(&alice, &app).await.unwrap());
    assert!(!grants.revoke_client(&alice, &app).await.unwrap());
    assert!(!is_alive(&server, &refresh).await);
    server.tokens("").await;
    let page = server.get(PATH, Some("alice")).await;
    server.submit(PATH, "alice", &form(&page)).await.location();
    server.submit(PATH, "alice", &form(&page)).await.location();
    let by = [RevokedBy::Host, RevokedBy::Owner];
    assert_eq!(*heard.0.lock().unwrap(), by);
}

#[tokio::test]
async fn self_check_reaches_the_page_behind_a_layer_and_beside_a_nested_service() {
    let server = server().await;
    let oauth = &server.oauth;
    let host = || Router::new().route("/login", get(|| async { "Sign in" }));
    let layered = host().layer(oauth.layer());
    assert_eq!(oauth.self_check(&layered).await, Ok(()));
    let nested = host().nest_service("/auth", oauth.service().nested_at("/auth"));
    let whole = nested.clone().fallback_service(oauth.service());
    assert_eq!(oauth.self_check(&whole).await, Ok(()));
    let found = oauth.self_check(&nested).await.unwrap_err().to_string();
    assert!(found.contains("/connected-apps"), "{found}");
}
