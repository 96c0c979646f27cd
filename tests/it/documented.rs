//! What the documentation says of sizes, scopes and names is what is issued.

use tower_oauth::types::{Client, GrantType};

use crate::register::{open, with};
use crate::support::{DEVICE_CODE, FOR_ITSELF, Harness, authorization_request};

/// The documentation of the crate, as one line.
fn documentation() -> String {
    let lines = include_str!("../../src/lib.rs").lines();
    let lines = lines.filter_map(|line| line.strip_prefix("//!"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The number that the documentation gives after these words.
fn size(words: &str) -> usize {
    let text = documentation();
    let (_, sizes) = text
        .split_once("# Sizes of what is issued")
        .expect("the section is there");
    let (_, rest) = sizes
        .split_once(words)
        .unwrap_or_else(|| panic!("no {words} in {sizes}"));
    let number = rest
        .trim_start()
        .split(|c: char| !c.is_ascii_digit())
        .next();
    number.unwrap().parse().unwrap()
}

// req: 6749-2.2-2, 6749-4.1.2-8, 6749-5.1-7
#[tokio::test]
async fn rfc6749_what_is_issued_has_the_sizes_that_are_documented() {
    let server = open().await;
    for _ in 0..3 {
        let code = server.code_for("app", "").await;
        assert_eq!(code.len(), size("codes and device codes"));
        let tokens = server.redeem(&code).await;
        let (access_token, refresh_token) = tokens.pair();
        let next = server.refresh(&refresh_token, "").await;
        for token in [
            &access_token,
            &next.access_token(),
            &server.web(FOR_ITSELF).await.access_token(),
        ] {
            assert_eq!(token.len(), size("Access tokens"));
        }
        for token in [&refresh_token, &next.member("refresh_token")] {
            assert_eq!(token.len(), size("refresh tokens"));
        }
        let (device_code, user_code) = server.device().await;
        assert_eq!(device_code.len(), size("codes and device codes"));
        assert_eq!(user_code.len(), size("user codes"));
        let client = with(&server, "").await;
        assert!(client.member("client_id").len() <= size("client identifiers at most"));
        assert_eq!(client.member("client_secret").len(), size("client secrets"));
        for text in [
            &code,
            &access_token,
            &refresh_token,
            &device_code,
            &client.member("client_id"),
        ] {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            assert!(text.bytes().all(plain), "{text}");
        }
    }
}

// req: 6749-3.3-6
#[tokio::test]
async fn rfc6749_3_3_the_documentation_says_which_scopes_there_are_and_what_the_default_is() {
    let text = documentation();
    let (_, section) = text.split_once("# Scope ").expect("the section is there");
    for part in [
        "`default_scope`",
        "`resource`",
        "`scopes`",
        "`invalid_scope`",
        "`scopes_supported`",
    ] {
        let linked = part.trim_matches('`');
        assert!(
            section.contains(part) || section.contains(&format!("`{linked}`](")),
            "{part}"
        );
    }
    let server = Harness::new().await;
    let metadata = server
        .get("/.well-known/oauth-authorization-server", None)
        .await
        .json();
    let scopes: Vec<_> = metadata["scopes_supported"].as_array().unwrap().clone();
    assert_eq!(
        scopes,
        [
            "files.read",
            "ledger.read",
            "ledger.write",
            "offline_access"
        ]
    );
    let page = server.authorize("").await.text();
    assert!(page.contains("<code>ledger.read</code>") && !page.contains("ledger.write"));
    let bare = tower_oauth::AuthorizationServer::builder(crate::support::ISSUER)
        .resource(crate::support::LEDGER, ["ledger.read"]);
    let bare = Harness::of(bare).await;
    let limited = Client::confidential(
        "limited".parse().unwrap(),
        &tower_oauth::types::Secret::new("s"),
    )
    .grant_types([GrantType::ClientCredentials])
    .scope("ledger.read".parse().unwrap());
    bare.create(limited).await;
    let form = "grant_type=client_credentials";
    bare.web(form).await.error(400, "invalid_scope");
    let answer = bare.post_as("/auth/token", ("limited", "s"), form).await;
    assert_eq!(answer.member("scope"), "ledger.read");
}

// req: 6749-8.1-1, 6749-8.4-1
#[tokio::test]
async fn rfc6749_8_types_of_tokens_and_answers_fit_their_grammars_and_are_registered() {
    let server = Harness::new().await;
    let issued = server.tokens("").await;
    let told = server.introspect(&issued.access_token()).await;
    for name in [
        issued.member("token_type"),
        told["token_type"].as_str().unwrap().to_owned(),
    ] {
        // type-name = 1*name-char, name-char = "-" / "." / "_" / DIGIT / ALPHA; registered: Bearer, DPoP, N_A.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        assert!(!name.is_empty() && name.bytes().all(fits), "{name}");
        assert!(["Bearer", "DPoP", "N_A"].contains(&name.as_str()), "{name}");
    }
    let metadata = server
        .get("/.well-known/oauth-authorization-server", None)
        .await
        .json();
    for name in metadata["response_types_supported"].as_array().unwrap() {
        // response-type = response-name *( SP response-name ), response-name = 1*( "_" / DIGIT / ALPHA )
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let mut names = name.as_str().unwrap().split(' ');
        assert!(
            names.all(|name| !name.is_empty() && name.bytes().all(fits)),
            "{name}"
        );
    }
}

// req: 8628-3.4-1, 8628-3.4-2, 8628-3.4-3, 8628-3.4-4
#[tokio::test]
async fn rfc8628_3_4_a_device_asks_with_its_grant_its_code_and_who_it_is() {
    let server = Harness::new().await;
    let (device_code, _) = server.device().await;
    let post = async |form: &str| server.post("/auth/token", form).await;
    let short = format!("grant_type=device_code&client_id=tv&device_code={device_code}");
    post(&short).await.error(400, "unsupported_grant_type");
    let bare = format!("grant_type={DEVICE_CODE}&client_id=tv");
    post(&bare).await.error(400, "invalid_request");
    post(&format!("{bare}&device_code="))
        .await
        .error(400, "invalid_request");
    let nobody = format!("grant_type={DEVICE_CODE}&device_code={device_code}");
    post(&nobody).await.error(400, "invalid_request");
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");

    let asked = server
        .post_as(
            "/auth/device",
            ("web", crate::support::SECRET),
            "scope=ledger.read",
        )
        .await;
    let form = format!(
        "grant_type={DEVICE_CODE}&device_code={}",
        asked.member("device_code")
    );
    post(&format!("{form}&client_id=web"))
        .await
        .error(401, "invalid_client");
    let wrong = server.post_as("/auth/token", ("web", "wrong"), &form).await;
    wrong.error(401, "invalid_client");
    server.web(&form).await.error(400, "authorization_pending");
}

// req: 8628-3.5-7
#[tokio::test]
async fn rfc8628_3_5_what_else_goes_wrong_has_the_codes_of_the_token_endpoint() {
    let server = Harness::new().await;
    let (device_code, _) = server.device().await;
    for unknown in ["x", &device_code[1..], &format!("{device_code}A")] {
        server.poll(unknown).await.error(400, "invalid_grant");
    }
    let twice = format!(
        "grant_type={DEVICE_CODE}&client_id=tv&device_code={device_code}&device_code={device_code}"
    );
    server
        .post("/auth/token", &twice)
        .await
        .error(400, "invalid_request");
    let other = format!("grant_type={DEVICE_CODE}&client_id=app&device_code={device_code}");
    server
        .post("/auth/token", &other)
        .await
        .error(400, "unauthorized_client");
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
}

// req: 9700-2.3-4
#[tokio::test]
async fn rfc9700_2_3_a_token_is_for_one_resource_and_what_was_asked_there() {
    use crate::support::{FILES, LEDGER};
    let server = Harness::new().await;
    let more = format!("&scope=ledger.read+files.read&resource={LEDGER}&resource={FILES}");
    let page = server
        .get(&authorization_request("app", &more), Some("alice"))
        .await;
    let code = server
        .decide(&page, "alice", "allow")
        .await
        .parameter("code")
        .unwrap();
    let form = format!(
        "{}&resource={FILES}",
        crate::support::redemption("app", &code)
    );
    let token = server.post("/auth/token", &form).await.access_token();
    let told = server.introspect(&token).await;
    assert_eq!(
        (&told["aud"], &told["scope"]),
        (&serde_json::json!([FILES]), &"files.read".into())
    );
    let ask = async |resource: &str, scope: &str| {
        let api = tower_oauth::ResourceServer::builder(resource)
            .issuer(tower_oauth::Issuer::in_process(&server.oauth))
            .clock(server.clock.clone())
            .build()
            .unwrap();
        let inner = tower::service_fn(async |_: http::Request<String>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        });
        let inner = tower::Layer::layer(&api.require(scope), inner);
        let service = tower::Layer::layer(&api.layer(), inner);
        let request = http::Request::get("/")
            .header("authorization", format!("Bearer {token}"))
            .body(String::new())
            .unwrap();
        tower::ServiceExt::oneshot(service, request)
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(ask(FILES, "files.read").await, 200);
    assert_eq!(ask(FILES, "files.write").await, 403);
    assert_eq!(ask(LEDGER, "ledger.read").await, 401);
}

#[test]
fn the_table_of_metrics_names_each_on_whose_word_a_grant_is_revoked() {
    let (_, names) = include_str!("../../src/server/event.rs")
        .split_once("impl RevokedBy {")
        .unwrap();
    let (names, _) = names.split_once("\n}\n").unwrap();
    let names = names.lines().filter(|line| line.contains("=> \""));
    let names: Vec<_> = names.filter_map(|line| line.split('"').nth(1)).collect();
    let text = documentation();
    let (_, row) = text.split_once("`oauth_grants_revoked_total` | ").unwrap();
    let (_, labels) = row.split_once("`by`: ").unwrap();
    let (labels, _) = labels.split_once(" |").unwrap();
    let labels: Vec<_> = labels.split('`').skip(1).step_by(2).collect();
    assert_eq!(labels, names);
}
