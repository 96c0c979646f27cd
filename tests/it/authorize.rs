//! The authorization endpoint, from the request to the code.

use std::time::Duration;

use http::Request;
use tower_oauth::AuthorizationServer;
use tower_oauth::types::{Client, GrantType, Subject};

use crate::support::{
    CALLBACK, FILES, Harness, ISSUER, LEDGER, SECRET, authorization_request, builder, changed,
    redemption,
};

// req: 6749-4.1.1-1, 9207-2-1, 6749-4.1.2-7
#[tokio::test]
async fn rfc6749_4_1_a_code_is_given_with_state_and_iss_and_redeemed() {
    let server = Harness::new().await;
    let page = server
        .authorize("&scope=ledger.read+ledger.write&state=a%2Bb%20c%C3%A9")
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    let answer = server.decide(&page, "alice", "allow").await;
    assert!(answer.location().starts_with(&format!("{CALLBACK}?")));
    assert_eq!(answer.parameter("state").as_deref(), Some("a+b cé"));
    assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
    let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert_eq!(tokens.member("scope"), "ledger.read ledger.write");
    let told = server.introspect(&tokens.member("access_token")).await;
    assert_eq!(
        (told["sub"].as_str(), told["client_id"].as_str()),
        (Some("alice"), Some("app"))
    );
    let again = server.refresh(&tokens.member("refresh_token"), "").await;
    assert_eq!(again.status, 200, "{again:?}");
}

// req: 6749-3.1-5, 6749-3.1-6, 9700-4.12-1, http-redirect-1
#[tokio::test]
async fn rfc6749_3_1_get_and_post_are_the_same_request_and_answered_by_303() {
    let server = Harness::new().await;
    let request = changed(&[]);
    let (path, query) = request.split_once('?').unwrap();
    for user in [None, Some("alice")] {
        let got = server.get(&request, user).await;
        let header = [("x-user", user.unwrap_or_default())];
        let headers = if user.is_some() { &header[..] } else { &[] };
        let posted = server.post_with(path, headers, query).await;
        let page = match user {
            None => {
                assert!(got.location().starts_with("/login?interaction="));
                server
                    .get(&resumed(&posted.location()), Some("alice"))
                    .await
            }
            Some(_) => posted,
        };
        let answer = server.allowed(page).await;
        assert_eq!(answer.parameter("state").as_deref(), Some("s1"));
        assert!(answer.parameter("code").is_some());
    }
}

fn resumed(login: &str) -> String {
    login.replace("/login?", "/auth/authorize?")
}

// req: 6749-3.1-2, 6749-3.1-7, 6749-3.1-8, http-form-9
#[tokio::test]
async fn rfc6749_3_1_empty_parameters_are_as_absent_and_unknown_ones_ignored() {
    let server = Harness::new().await;
    for more in [
        "&foo=bar",
        "&foo=1&foo=2&tenant=a&Scope=x",
        "&scope=",
        "&scope",
        "&&resource=&response_mode=",
        "&state=",
    ] {
        let code = server.code_for("app", more).await;
        let tokens = server.redeem(&code).await;
        assert_eq!(tokens.member("scope"), "ledger.read", "{more}");
    }
    let answer = server.allow(&changed(&[("state", Some(""))])).await;
    assert_eq!(answer.parameter("state"), None);
    let empty = server
        .get(&changed(&[("response_type", Some(""))]), Some("alice"))
        .await;
    empty.redirected_error("invalid_request");
}

// req: 6749-3.1-9, oauth21-3.1-2, http-form-3, 6749-4.1.2.1-4
#[tokio::test]
async fn s25_no_parameter_but_resource_may_stand_twice() {
    let server = Harness::new().await;
    for twice in [
        "&scope=ledger.read&scope=ledger.read",
        "&scope=ledger.read&scope=",
        "&scope&%73cope=ledger.read",
        "&response_type=code",
        "&code_challenge=x",
        "&code_challenge_method=S256",
        "&response_mode=query&response_mode=query",
    ] {
        let answer = server.authorize(&format!("&state=s1{twice}")).await;
        answer.redirected_error("invalid_request");
        assert_eq!(answer.parameter("state").as_deref(), Some("s1"), "{twice}");
    }
    let two_states = server.authorize("&state=a&state=b").await;
    two_states.redirected_error("invalid_request");
    assert_eq!(two_states.parameter("state"), None);
    let two_resources = server
        .authorize(&format!("&resource={LEDGER}&resource={FILES}"))
        .await;
    assert_eq!(two_resources.status, 200);
}

// req: 6749-4.1.2.1-13, 6749-10.14-1, tol-state-1, http-redirect-2
#[tokio::test]
async fn s25_state_comes_back_byte_for_byte_or_not_at_all() {
    let server = Harness::new().await;
    let longest = "x".repeat(4096);
    for state in [
        "a+b c",
        "\"><script>alert(1)</script>",
        "&code=forged&iss=https://evil.test#",
        "%00%0d%0aSet-Cookie: a=b",
        "é\u{202e}日本",
        "https://evil.test/?state=1",
        longest.as_str(),
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
        let page = server.authorize(&format!("&state={encoded}")).await;
        let allowed = server.allowed(page).await;
        let wrong = server
            .authorize(&format!("&scope=nope&state={encoded}"))
            .await;
        wrong.redirected_error("invalid_scope");
        for answer in [allowed, wrong] {
            assert_eq!(answer.parameter("state").as_deref(), Some(state));
            assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
        }
    }
    let too_long = "x".repeat(4097);
    for (bad, decoded) in [
        (too_long.as_str(), None), // it is kept nowhere
        ("a%0D%0AX-Evil:%201", Some("a\r\nX-Evil: 1")),
        ("%1B%5B2J", Some("\u{1b}[2J")),
    ] {
        let answer = server.authorize(&format!("&state={bad}")).await;
        answer.redirected_error("invalid_request");
        assert_eq!(answer.parameter("state").as_deref(), decoded);
    }
}

// req: 6749-4.1.2-1, 6749-4.1.2-2
#[tokio::test]
async fn rfc6749_4_1_2_a_code_lives_a_minute_and_can_be_given_no_more_than_ten() {
    let server = Harness::new().await;
    for (age, status) in [(59, 200), (60, 400)] {
        let code = server.code_for("app", "").await;
        server.advance(age);
        assert_eq!(server.redeem(&code).await.status, status, "{age}");
    }
    let lives = |seconds| builder().authorization_code_lifetime(Duration::from_secs(seconds));
    for (seconds, fits) in [(0, false), (1, true), (600, true), (601, false)] {
        assert_eq!(lives(seconds).build().is_ok(), fits, "{seconds}");
    }
}

// req: oauth21-3.1-1, 9700-2.6-7, http-cors-1, con-cors-1
#[tokio::test]
async fn rfc9700_2_6_pages_of_other_origins_cannot_call_the_endpoints_that_people_see() {
    let server = Harness::with(|builder| builder.browser_clients(["*"])).await;
    for path in ["/auth/authorize", "/device"] {
        for method in ["OPTIONS", "PUT", "DELETE", "PATCH"] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("origin", "https://app.harbor.test")
                .header("access-control-request-method", "POST");
            let answer = server
                .send(request.body(String::new().into()).unwrap())
                .await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), "GET, HEAD, POST");
            let cors = |name: &http::HeaderName| name.as_str().starts_with("access-control-");
            assert!(!answer.headers.keys().any(cors));
        }
        let origin = [("origin", "https://app.harbor.test")];
        let posted = server.post_with(path, &origin, "").await;
        assert!(!posted.headers.contains_key("access-control-allow-origin"));
    }
}

// req: 9207-2-2, 9207-2.3-2, http-host-1, http-host-3
#[tokio::test]
async fn s24_iss_is_the_issuer_of_the_metadata_byte_for_byte_whatever_the_host_header_says() {
    for issuer in [
        "https://auth.harbor.test",
        "https://auth.harbor.test/",
        "https://auth.harbor.test/t/acme",
        "http://127.0.0.1:8080",
    ] {
        let server = AuthorizationServer::builder(issuer)
            .path(tower_oauth::server::Endpoint::Authorize, "/auth/authorize")
            .login("/login", |_| Subject::new("alice").ok());
        let server = Harness::of(server).await;
        let suffix = if issuer.ends_with("acme") {
            "/t/acme"
        } else {
            ""
        };
        let metadata = format!("/.well-known/oauth-authorization-server{suffix}");
        for target in [metadata, changed(&[]), changed(&[("scope", Some("nope"))])] {
            let request = Request::get(target)
                .header("host", "evil.test")
                .header("forwarded", "host=evil.test;proto=http")
                .header("x-forwarded-host", "evil.test")
                .header("x-forwarded-proto", "http");
            let mut answer = server
                .send(request.body(String::new().into()).unwrap())
                .await;
            assert!(!answer.text().contains("evil"), "{answer:?}");
            if answer.body.starts_with(b"{") {
                assert_eq!(answer.member("issuer"), issuer);
                continue;
            }
            if answer.status == 200 {
                answer = server.decide(&answer, "alice", "deny").await;
            }
            assert_eq!(answer.parameter("iss").as_deref(), Some(issuer));
        }
    }
}

// req: 9700-4.12-2, oauth21-7.5.3-1, 9700-2.1-4, mcp-gen-9
#[tokio::test]
async fn rfc9700_4_12_an_answer_to_a_form_goes_on_by_303_and_takes_nothing_of_the_form_along() {
    let server = Harness::new().await;
    for decision in ["allow", "deny"] {
        let page = server.authorize("&state=s1").await;
        let (id, csrf) = (page.hidden("interaction"), page.hidden("csrf"));
        let form = format!("interaction={id}&csrf={csrf}&decision={decision}&password=hunter2");
        let answer = server.submit("/auth/authorize", "bob", &form).await;
        assert_eq!(answer.status, 403);
        let answer = server.submit("/auth/authorize", "alice", &form).await;
        assert_eq!(answer.status, 303);
        for secret in ["hunter2", &*id, &*csrf] {
            assert!(!answer.location().contains(secret), "{answer:?}");
        }
        assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
        let app = "app".parse().unwrap();
        assert!(server.oauth.clients().revoke_tokens(&app).await.unwrap());
    }
}

// req: 6749-A-1, 6749-3.2-1, oauth21-10-1
#[tokio::test]
async fn s21_no_character_in_any_parameter_makes_more_of_it_than_an_error() {
    let server = Harness::new().await;
    for text in [
        "%01",
        "%7F",
        "%C3%A9",
        "%E2%80%AE",
        "%F0%9F%98%80",
        "%0D%0A",
    ] {
        let page = server
            .get(&changed(&[("client_id", Some(text))]), None)
            .await;
        page.page(400);
        let code = server.redeem(text).await;
        code.error(400, "invalid_grant");
        server.refresh(text, "").await.error(400, "invalid_grant");
        let client = format!("grant_type=client_credentials&client_id={text}&client_secret={text}");
        let client = server.post("/auth/token?tenant=a", &client).await;
        client.error(401, "invalid_client");
    }
    for gone in ["password", "implicit"] {
        let form = format!("grant_type={gone}&client_id=app&username=alice&password=x");
        let answer = server.post("/auth/token", &form).await;
        answer.error(400, "unsupported_grant_type");
    }
    assert!(
        builder()
            .path(tower_oauth::server::Endpoint::Token, "/t#x")
            .build()
            .is_err()
    );
}

// req: 6749-10.2-1, 6749-2.1-1
#[tokio::test]
async fn rfc6749_10_2_a_code_of_a_confidential_client_is_redeemed_with_its_secret_alone() {
    let server = Harness::new().await;
    let code = server.code_for("web", "").await;
    let form = redemption("web", &code);
    server
        .post("/auth/token", &form)
        .await
        .error(401, "invalid_client");
    let wrong = server.post_as("/auth/token", ("web", "wrong"), &form).await;
    wrong.error(401, "invalid_client");
    let right = server.post_as("/auth/token", ("web", SECRET), &form).await;
    assert_eq!(right.status, 200);
    // A public client with something for a secret is not thereby a confidential one.
    let code = server.code_for("app", "").await;
    let public = server
        .post_as("/auth/token", ("app", "any"), &redemption("app", &code))
        .await;
    public.error(401, "invalid_client");
}

// req: 6749-4.1.2.1-5
#[tokio::test]
async fn rfc6749_4_1_2_1_a_client_without_the_grant_is_told_so() {
    let server = Harness::new().await;
    let job = Client::public("job".parse().unwrap())
        .redirect_uri(CALLBACK.parse().unwrap())
        .grant_types([GrantType::DeviceCode]);
    server.oauth.clients().create(job).await.unwrap();
    let answer = server
        .get(&authorization_request("job", ""), Some("alice"))
        .await;
    answer.redirected_error("unauthorized_client");
    assert_eq!(server.authorize("").await.status, 200);
}
