//! Where an authorization response goes: the registered address, byte for byte, and its free loopback port.

use tower_oauth::types::Client;

use crate::support::{Harness, authorization_request, changed};

async fn with_client(redirect_uris: &[&str]) -> Harness {
    let server = Harness::new().await;
    let client = redirect_uris
        .iter()
        .fold(Client::public("c".parse().unwrap()), |client, uri| {
            client.redirect_uri(uri.parse().unwrap())
        });
    server.oauth.clients().create(client).await.unwrap();
    server
}

/// A request that names this address, or none.
fn to(redirect_uri: Option<&str>) -> String {
    let encoded = redirect_uri
        .map(|uri| url::form_urlencoded::byte_serialize(uri.as_bytes()).collect::<String>());
    changed(&[
        ("client_id", Some("c")),
        ("redirect_uri", encoded.as_deref()),
    ])
}

// req: 6749-3.1.2.3-2, 6749-3.1.2.3-3, 9700-4.1.3-1, oauth21-2.3.1-1
#[tokio::test]
async fn s01_a_redirect_uri_is_the_registered_one_byte_for_byte() {
    let server = with_client(&["https://app.harbor.test/cb?x=1&y=%7E"]).await;
    let answer = server
        .allow(&to(Some("https://app.harbor.test/cb?x=1&y=%7E")))
        .await;
    assert!(answer.parameter("code").is_some());
    for other in [
        "https://app.harbor.test/cb",
        "https://app.harbor.test/cb?y=%7E&x=1",
        "https://app.harbor.test/cb?x=1&y=~",
        "https://app.harbor.test/cb?x=1&y=%7e",
        "https://app.harbor.test/cb?x=1&y=%7E&z=2",
        "https://app.harbor.test/cb/?x=1&y=%7E",
        "https://APP.harbor.test/cb?x=1&y=%7E",
        "HTTPS://app.harbor.test/cb?x=1&y=%7E",
        "https://app.harbor.test:443/cb?x=1&y=%7E",
        "https://app.harbor.test:444/cb?x=1&y=%7E",
        "https://app.harbor.test./cb?x=1&y=%7E",
        "https://app.harbor.test/a/../cb?x=1&y=%7E",
        "https://app.harbor.test/%63b?x=1&y=%7E",
        "https://app.harbor.test\\/cb?x=1&y=%7E",
        "https://app.harbor.test@evil.test/cb?x=1&y=%7E",
        "https://evil.test/https://app.harbor.test/cb?x=1&y=%7E",
        "https://app.harbor.test.evil.test/cb?x=1&y=%7E",
        "https://app.harbor.test/cb?x=1&y=%7E#",
        "https://app.harbor.test/cb?x=1&y=%7E#f",
        " https://app.harbor.test/cb?x=1&y=%7E",
        "https://app.harbor.test/cb?x=1&y=%7E\t",
        "http://app.harbor.test/cb?x=1&y=%7E",
        "//app.harbor.test/cb?x=1&y=%7E",
        "/cb?x=1&y=%7E",
    ] {
        server.get(&to(Some(other)), Some("alice")).await.page(400);
    }
}

// req: tol-redirect-2, 6749-3.1.2.2-3, 6749-3.1.2.2-5, mcp-sec-6
#[tokio::test]
async fn s01_a_wildcard_a_prefix_or_a_subdomain_matches_nothing() {
    let server = with_client(&["https://app.harbor.test/*"]).await;
    for other in [
        "https://app.harbor.test/cb",
        "https://app.harbor.test/",
        "https://x.app.harbor.test/*",
        "https://app.harbor.test/*/x",
        "https://app.harbor.test/*?x=1",
    ] {
        server.get(&to(Some(other)), Some("alice")).await.page(400);
    }
    let literal = server.allow(&to(Some("https://app.harbor.test/*"))).await;
    assert!(literal.parameter("code").is_some());
}

// req: 8252-7.3-1, 8252-7.3-2, 8252-7.3-3, 8252-7.3-4
#[tokio::test]
async fn rfc8252_7_3_a_loopback_address_may_have_any_port_and_nothing_else_of_it_is_free() {
    for (host, registered) in [
        ("127.0.0.1", "http://127.0.0.1:3000/cb"),
        ("[::1]", "http://[::1]/cb"),
        ("localhost", "http://localhost:80/cb"),
    ] {
        let server = with_client(&[registered]).await;
        for port in ["", ":1", ":80", ":3000", ":51004", ":65535"] {
            let uri = format!("http://{host}{port}/cb");
            let answer = server.allow(&to(Some(&uri))).await;
            assert!(answer.location().starts_with(&format!("{uri}?code=")));
        }
        for bad in [
            "http://HOST:5/other",
            "http://HOST:5/cb/",
            "http://HOST:5/cb?x=1",
            "http://HOST:5/cb#",
            "http://HOST:5",
            "https://HOST:5/cb",
            "http://HOST:0/cb",
            "http://HOST:065/cb",
            "http://HOST:65536/cb",
            "http://HOST:/cb",
            "http://HOST:+5/cb",
            "http://HOST:5 /cb",
            "http://HOST.evil.test/cb",
            "http://HOST:80@evil.test/cb",
            "http://user@HOST:5/cb",
            "http://127.1/cb",
            "http://2130706433/cb",
            "http://0x7f.0.0.1/cb",
            "http://127.0.0.2/cb",
            "http://0.0.0.0/cb",
            "http://[::ffff:127.0.0.1]/cb",
            "http://[::]/cb",
        ] {
            let bad = bad.replace("HOST", host);
            server.get(&to(Some(&bad)), Some("alice")).await.page(400);
        }
        for other in ["127.0.0.1", "[::1]", "localhost", "LOCALHOST"] {
            let uri = format!("http://{other}:5/cb");
            let status = server.get(&to(Some(&uri)), Some("alice")).await.status;
            assert_eq!(status == 200, other == host, "{other} for {host}");
        }
    }
}

// req: 9700-4.1.3-2, oauth21-8.4.2-1, con-loopback-1, tol-redirect-3
#[tokio::test]
async fn rfc9700_4_1_3_the_port_is_free_on_loopback_hosts_alone() {
    for (registered, requested, fits) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:7/cb", true),
        ("http://localhost/cb", "http://localhost:7/cb", true),
        ("http://localhost/cb", "http://127.0.0.1:7/cb", false),
        ("http://127.0.0.1/cb", "http://localhost:7/cb", false),
        ("https://127.0.0.1/cb", "https://127.0.0.1:7/cb", false),
        ("https://localhost/cb", "https://localhost:7/cb", false),
        (
            "https://app.harbor.test/cb",
            "https://app.harbor.test:7/cb",
            false,
        ),
        (
            "https://app.harbor.test:7/cb",
            "https://app.harbor.test/cb",
            false,
        ),
    ] {
        let server = with_client(&[registered]).await;
        let answer = server.get(&to(Some(requested)), Some("alice")).await;
        assert_eq!(answer.status, if fits { 200 } else { 400 }, "{requested}");
    }
}

// req: oauth21-2.3.2-1, 6749-3.1.2.2-4, 6749-10.2-2, 6749-3.1.2.2-2
#[tokio::test]
async fn rfc6749_3_1_2_3_the_address_is_named_unless_only_one_is_registered() {
    let (one, two) = ("https://app.harbor.test/1", "com.harbor.app:/2");
    let server = with_client(&[one]).await;
    let answer = server.allow(&to(None)).await;
    assert!(answer.location().starts_with(&format!("{one}?code=")));
    let empty = changed(&[("client_id", Some("c")), ("redirect_uri", Some(""))]);
    assert!(server.allow(&empty).await.parameter("code").is_some());

    let server = with_client(&[one, two]).await;
    server.get(&to(None), Some("alice")).await.page(400);
    for uri in [one, two] {
        let answer = server.allow(&to(Some(uri))).await;
        assert!(answer.location().starts_with(&format!("{uri}?code=")));
    }

    let server = with_client(&[]).await;
    server.get(&to(None), Some("alice")).await.page(400);
    server.get(&to(Some(one)), Some("alice")).await.page(400);
}

// req: 6749-3.1.2-2, 6749-4.1.2-6, 6749-3.1-10, 9207-PROJ-1
#[tokio::test]
async fn rfc6749_3_1_2_a_query_of_the_address_is_kept_and_the_answer_is_added_to_it() {
    for (uri, begins) in [
        (
            "https://app.harbor.test/cb?x=1",
            "https://app.harbor.test/cb?x=1&code=",
        ),
        (
            "https://app.harbor.test/cb?x=%20+&x=2",
            "https://app.harbor.test/cb?x=%20+&x=2&code=",
        ),
        ("com.harbor.app:/cb", "com.harbor.app:/cb?code="),
    ] {
        let server = with_client(&[uri]).await;
        let request = to(Some(uri)).replace("state=s1", "state=%26code%3Dforged%26iss%3Dx");
        let answer = server.allow(&request).await;
        assert!(answer.location().starts_with(begins), "{answer:?}");
        // `parameter` sees that none stands twice.
        assert_eq!(
            answer.parameter("state").as_deref(),
            Some("&code=forged&iss=x")
        );
        for name in ["code", "iss"] {
            assert!(
                answer
                    .parameter(name)
                    .is_some_and(|value| value != "forged")
            );
        }
    }
    for forged in ["code=x", "state=x", "iss=x", "error=x", "%69ss=x"] {
        let uri = format!("https://app.harbor.test/cb?{forged}");
        assert!(uri.parse::<tower_oauth::types::RedirectUri>().is_err());
    }
}

// req: 9700-2.1-2, 6749-3.1-2
#[tokio::test]
async fn s02_no_parameter_sends_the_browser_anywhere() {
    let server = Harness::new().await;
    let evil = "https%3A%2F%2Fevil.test%2F";
    for name in [
        "return_to",
        "next",
        "login",
        "continue",
        "error_uri",
        "post_logout_redirect_uri",
        "tenant",
    ] {
        let request = authorization_request("app", &format!("&{name}={evil}"));
        let login = server.get(&request, None).await;
        assert!(
            login.location().starts_with("/login?interaction="),
            "{name}"
        );
        assert!(!login.location().contains("evil"), "{name}");
        let answer = server.allow(&request).await;
        assert!(!answer.location().contains("evil"), "{name}");
    }
    let entered = server
        .submit(
            "/device",
            "alice",
            &format!("user_code=BBBBBBBB&next={evil}"),
        )
        .await;
    entered.page(400);
}
