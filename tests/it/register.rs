//! The registration endpoint, and the life of what was registered there.

use std::net::IpAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower_oauth::server::{Limit, Registration};
use tower_oauth::types::Secret;

use crate::support::{Answer, CALLBACK, Harness};

pub(crate) async fn open() -> Harness {
    let often = Limit::per_minute(999, 999);
    Harness::with(|builder| builder.registration(Registration::open().limited_to(often))).await
}

/// A registration of these members beside an address to return to.
pub(crate) async fn with(server: &Harness, members: &str) -> Answer {
    server.register(&body(members)).await
}

pub(crate) fn body(members: &str) -> String {
    let joint = if members.is_empty() { "" } else { "," };
    format!(r#"{{"redirect_uris":["{CALLBACK}"]{joint}{members}}}"#)
}

pub(crate) const PUBLIC: &str = r#""token_endpoint_auth_method":"none""#;

pub(crate) fn refused(answer: &Answer, code: &str, case: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.json()["error"].as_str()),
        (400, Some(code)),
        "{case}: {answer:?}"
    );
    assert!(answer.json()["error_description"].is_string());
    assert_eq!(answer.header("cache-control"), "no-store");
}

// req: 7591-3.2-1, 7591-3.2.1-1, 7591-3.2.1-8, 7591-3-4
#[tokio::test]
async fn rfc7591_3_2_anybody_registers_where_it_is_open_and_nobody_where_it_is_off() {
    let server = open().await;
    let answer = with(&server, PUBLIC).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    assert!(answer.member("client_id").starts_with("toc_"));

    let off = Harness::new().await;
    assert_eq!(with(&off, PUBLIC).await.status, 404);
    let metadata = off
        .get("/.well-known/oauth-authorization-server", None)
        .await;
    assert!(metadata.json().get("registration_endpoint").is_none());
}

// req: 7591-3-1, http-json-1, http-method-1, 7591-3.2.2-2
#[tokio::test]
async fn rfc7591_3_1_a_registration_is_one_posted_json_object() {
    let server = open().await;
    let good = body(PUBLIC);
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(method).uri("/auth/register");
        let answer = server.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, "POST")
        );
    }
    for media_type in [
        "application/x-www-form-urlencoded",
        "text/json",
        "application/jsonx",
        "",
    ] {
        let request = Request::post("/auth/register").header("content-type", media_type);
        let answer = server
            .send(request.body(Full::from(good.clone())).unwrap())
            .await;
        refused(&answer, "invalid_client_metadata", media_type);
    }
    let request =
        Request::post("/auth/register").header("content-type", "Application/JSON; charset=utf-8");
    let answer = server
        .send(request.body(Full::from(good.clone())).unwrap())
        .await;
    assert_eq!(answer.status, 201);
    for bad in [
        String::new(),
        "[]".to_owned(),
        "null".to_owned(),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good} x"),
        good.replace('}', r#","client_name":"a","client_name":"b"}"#),
        good.replace("none", "n\u{0}ne"),
        format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000)),
    ] {
        let answer = server.register(&bad).await;
        refused(
            &answer,
            "invalid_client_metadata",
            &bad[..bad.len().min(80)],
        );
    }
    let request = Request::post("/auth/register").header("content-type", "application/json");
    let body = Full::from(Bytes::from_static(b"{\"client_name\":\"\xff\"}"));
    let answer = server.send(request.body(body).unwrap()).await;
    refused(&answer, "invalid_client_metadata", "bad UTF-8");
}

/// A registration with these `Authorization` fields.
async fn authorized(server: &Harness, fields: &[&str], json: &str) -> Answer {
    let mut request = Request::post("/auth/register").header("content-type", "application/json");
    for field in fields {
        request = request.header("authorization", *field);
    }
    let request = request.body(Full::from(json.to_owned())).unwrap();
    server.send(request).await
}

// req: http-auth-2
#[tokio::test]
async fn http_auth_2_two_authorization_fields_are_refused_where_registration_is_open_and_where_it_is_guarded()
 {
    let token = Secret::new("initial-access-token-number-one-of-two");
    let guarded = Registration::with_initial_access_tokens([&token]);
    let guarded = Harness::with(|builder| builder.registration(guarded)).await;
    for server in [open().await, guarded] {
        let two = [
            "Bearer initial-access-token-number-one-of-two",
            "Bearer initial-access-token-number-one-of-two",
        ];
        let answer = authorized(&server, &two, &body("")).await;
        answer.error(400, "invalid_request");
        let answer = authorized(&server, &two[..1], &body("")).await;
        assert_eq!(answer.status, 201);
    }
}

// req: 7591-3-3, 7591-3.2.2-1
#[tokio::test]
async fn rfc7591_3_an_initial_access_token_guards_the_endpoint() {
    let (one, two) = (
        Secret::new("initial-access-token-number-one-of-two"),
        Secret::new("initial-access-token-number-two-of-two"),
    );
    let registration = Registration::with_initial_access_tokens([&one, &two]);
    let server = Harness::with(|builder| builder.registration(registration)).await;
    let post = async |fields: &[&str], json: &str| authorized(&server, fields, json).await;
    let cases: [&[&str]; 8] = [
        &[],
        &["Bearer "],
        &["Bearer wrong"],
        &["Bearer initial-access-token-number-one-of-tw"],
        &["Bearer initial-access-token-number-one-of-two2"],
        &["Bearer INITIAL-ACCESS-TOKEN-NUMBER-ONE-OF-TWO"],
        &["Basic initial-access-token-number-one-of-two"],
        &["initial-access-token-number-one-of-two"],
    ];
    for fields in cases {
        // What is wrong with the rest is not even looked at.
        for json in [&*body(""), "[]"] {
            let answer = post(fields, json).await;
            answer.error(401, "invalid_token");
            assert!(
                answer.header("www-authenticate").starts_with("Bearer"),
                "{fields:?}"
            );
        }
    }
    for field in [
        "Bearer initial-access-token-number-one-of-two",
        "bearer initial-access-token-number-two-of-two",
        "BEARER initial-access-token-number-one-of-two",
    ] {
        assert_eq!(post(&[field], &body("")).await.status, 201, "{field}");
    }
    refused(
        &post(&["Bearer initial-access-token-number-one-of-two"], "[]").await,
        "invalid_client_metadata",
        "[]",
    );
}

// req: 7591-3-5
#[tokio::test]
async fn s20_registrations_are_counted_before_they_are_read() {
    let registration = Registration::open().limited_to(Limit::per_minute(2, 3));
    let server = Harness::with(|builder| {
        builder.registration(registration).client_address(|parts| {
            parts
                .headers
                .get("x-address")?
                .to_str()
                .ok()?
                .parse::<IpAddr>()
                .ok()
        })
    })
    .await;
    let from = async |address: &str, json: &str| {
        let request = Request::post("/auth/register")
            .header("content-type", "application/json")
            .header("x-address", address);
        server
            .send(request.body(Full::from(json.to_owned())).unwrap())
            .await
    };
    refused(
        &from("192.0.2.1", "[]").await,
        "invalid_client_metadata",
        "the first",
    );
    assert_eq!(from("192.0.2.1", &body("")).await.status, 201);
    for json in ["[]", &body("")] {
        let answer = from("192.0.2.1", json).await;
        answer.error(429, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), "60");
    }
    assert_eq!(from("192.0.2.2", &body("")).await.status, 201);
    assert_eq!(
        from("192.0.2.3", &body("")).await.status,
        429,
        "all together"
    );
    server.advance(60);
    assert_eq!(from("192.0.2.1", &body("")).await.status, 201);
    let default = Registration::open();
    let default = Harness::with(|builder| builder.registration(default)).await;
    // Nobody's address is known here: only what holds for all together is left.
    for n in 0..301 {
        let status = default.register("[]").await.status.as_u16();
        assert_eq!(status, if n < 300 { 400 } else { 429 });
    }
}
