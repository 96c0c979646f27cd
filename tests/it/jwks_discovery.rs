//! Where an issuer's keys are found: its metadata, and whether it is its own.

use serde_json::json;
use tower_oauth::types::EndpointUrl;

use crate::publisher::{
    Api, JWKS, Key, METADATA, OPENID, Publisher, Reply, answer, claims, header, json_of, json_with,
    set,
};

/// Both documents say this, and a good token is shown.
async fn with_document(reply: Reply) -> (Publisher, Api) {
    let publisher = Publisher::start().await;
    publisher.reply(METADATA, reply.clone());
    publisher.reply(OPENID, reply);
    let api = publisher.api();
    (publisher, api)
}

// req: 8414-3.1-2
#[tokio::test]
async fn rfc8414_3_1_the_metadata_is_asked_for_between_host_and_path() {
    for (path, metadata) in [
        ("", METADATA.to_owned()),
        ("/", METADATA.to_owned()),
        ("/t/acme", format!("{METADATA}/t/acme")),
        ("/t/acme/", format!("{METADATA}/t/acme")),
    ] {
        let publisher = Publisher::named(path).await;
        assert!(
            publisher
                .api()
                .is_good(&publisher.token(Key::Ec, "a"))
                .await
        );
        assert_eq!(publisher.paths(), [metadata.as_str(), JWKS], "{path}");
    }
}

#[tokio::test]
async fn where_there_is_no_document_openid_connect_may_have_one() {
    let html = answer(200, &["content-type: text/html"], "<h1>Welcome</h1>");
    for (path, openid) in [
        ("", OPENID.to_owned()),
        ("/t/acme", format!("/t/acme{OPENID}")),
        ("/t/acme/", format!("/t/acme{OPENID}")),
    ] {
        let publisher = Publisher::named(path).await;
        let metadata = format!("{METADATA}{}", path.trim_end_matches('/'));
        publisher.reply(&openid, json_of(&publisher.metadata()));
        let (token, document) = (publisher.token(Key::Ec, "a"), publisher.metadata());
        for none in [
            Reply::Says(answer(404, &["content-type: application/json"], &document)),
            Reply::Says(answer(302, &["location: /elsewhere"], "")),
            Reply::Says(answer(200, &["content-type: text/html"], &document)),
            Reply::Says(html.clone()),
            json_of("[]"),
            json_of(r#"{"error":"not_found"}"#),
            json_of(&document[1..]),
        ] {
            publisher.reply(&metadata, none.clone());
            let before = publisher.paths().len();
            assert!(publisher.api().is_good(&token).await, "{none:?}");
            let asked = publisher.paths()[before..].to_vec();
            assert_eq!(asked, [metadata.as_str(), openid.as_str(), JWKS]);
        }
    }
}

// req: 8414-3.3-1, 8414-6.2-1
#[tokio::test]
async fn rfc8414_3_3_a_document_of_another_issuer_is_not_used() {
    let publisher = Publisher::start().await;
    let (url, jwks_uri) = (publisher.url(), publisher.jwks_uri());
    let (good, token) = (publisher.metadata(), publisher.token(Key::Ec, "a"));
    for other in [
        format!("{url}/"),
        format!("{url}/t"),
        url.to_uppercase(),
        url.replace("127.0.0.1", "localhost"),
        format!(" {url}"),
        "https://as.example".to_owned(),
        String::new(),
    ] {
        let document = json!({"issuer": other, "jwks_uri": jwks_uri}).to_string();
        publisher.reply(METADATA, json_of(&document));
        // That it says the right thing elsewhere makes it no better.
        publisher.reply(OPENID, json_of(&good));
        publisher.api().is_unavailable(&token).await;
    }
    assert_eq!(publisher.fetches(), 0);
    assert!(!publisher.paths().iter().any(|path| path == OPENID));
    let escaped = good.replacen("http:", r"\u0068ttp:", 1);
    publisher.reply(METADATA, json_of(&escaped));
    assert!(publisher.api().is_good(&token).await, "it is the same text");
}

// req: jwks-cache-4
#[tokio::test]
async fn v35_nobody_is_led_to_what_is_not_safe() {
    let publisher = Publisher::start().await;
    let (url, token) = (publisher.url(), publisher.token(Key::Ec, "a"));
    for jwks_uri in [
        json!("http://10.0.0.1/jwks"),
        json!("http://as.example/jwks"),
        json!("http://127.0.0.1.nip.io/jwks"),
        json!("file:///etc/passwd"),
        json!(format!("{}#x", publisher.jwks_uri())),
        json!("/jwks"),
        json!(""),
        json!(null),
        json!([publisher.jwks_uri()]),
    ] {
        let document = json!({"issuer": url, "jwks_uri": jwks_uri}).to_string();
        publisher.reply(METADATA, json_of(&document));
        publisher.api().is_unavailable(&token).await;
    }
    assert_eq!(publisher.fetches(), 0);
    // Redirects are not followed, wherever they lead.
    publisher.reply(METADATA, json_of(&publisher.metadata()));
    publisher.reply("/elsewhere", json_of(&set(&[(Key::Ec, "a")])));
    for code in [301, 302, 303, 307, 308] {
        let moved = answer(code, &["location: /elsewhere"], "");
        publisher.reply(JWKS, Reply::Says(moved));
        publisher.api().is_unavailable(&token).await;
    }
    assert!(!publisher.paths().iter().any(|path| path == "/elsewhere"));
    assert!("http://as.example/jwks".parse::<EndpointUrl>().is_err());
}

// req: jwks-cache-4
#[tokio::test]
async fn a_document_that_is_too_long_repeated_or_cut_off_is_none() {
    let good = |publisher: &Publisher| publisher.metadata();
    let publisher = Publisher::start().await;
    let (url, jwks_uri) = (publisher.url(), publisher.jwks_uri());
    drop(publisher);
    let long = |length: usize| json!({"issuer": url, "x": "x".repeat(length)}).to_string();
    for reply in [
        json_of(&long(256 * 1024)),
        json_of(&format!(
            r#"{{"issuer":"{url}","issuer":"{url}","jwks_uri":"{jwks_uri}"}}"#
        )),
        Reply::HangsUp,
        Reply::Says("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}".to_owned()),
        Reply::Says("SSH-2.0-OpenSSH_9.9\r\n".to_owned()),
    ] {
        let (publisher, api) = with_document(reply).await;
        api.is_unavailable(&publisher.token(Key::Ec, "a")).await;
        assert_eq!(publisher.fetches(), 0);
    }
    // One of a length that is still allowed, with whatever parameters of its type.
    let publisher = Publisher::start().await;
    let document = json!({"issuer": publisher.url(), "jwks_uri": publisher.jwks_uri(), "x": "x".repeat(250 * 1024)});
    let length = document.to_string().len();
    let whole = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: Application/JSON;charset=utf-8\r\ncontent-length: {length}\r\n\r\n{document}"
    );
    publisher.reply(METADATA, Reply::Says(whole));
    assert!(
        publisher
            .api()
            .is_good(&publisher.token(Key::Ec, "a"))
            .await
    );
    assert!(good(&publisher).contains("jwks_uri"));
}

#[tokio::test]
async fn where_the_keys_are_is_remembered_for_an_hour_and_until_it_fails() {
    let publisher = Publisher::start().await;
    let api = publisher.api();
    let token = publisher.token(Key::Ec, "a");
    assert!(api.is_good(&token).await);
    api.pass(350, 10).await;
    let paths = publisher.paths();
    assert!((4..=6).contains(&publisher.fetches()), "{paths:?}");
    let asked = paths.iter().filter(|path| *path == METADATA).count();
    assert_eq!(asked, 1, "{paths:?}");
    api.pass(100, 10).await;
    let paths = publisher.paths();
    let asked = paths.iter().filter(|path| *path == METADATA).count();
    assert_eq!(asked, 2, "again after an hour: {paths:?}");
    // Its keys move: it is asked where, as soon as they are not there any more.
    let moved =
        json!({"issuer": publisher.url(), "jwks_uri": format!("{}2", publisher.jwks_uri())});
    publisher.reply(METADATA, json_of(&moved.to_string()));
    publisher.reply("/jwks2", json_of(&set(&[(Key::Ec2, "b")])));
    publisher.reply(JWKS, Reply::Says(answer(410, &[], "")));
    crate::waits::until("its new place", async || {
        api.pass(1, 10).await;
        let token = publisher.token_of(Key::Ec2, "b", api.now());
        api.is_good(&token).await
    })
    .await;
}

#[tokio::test]
async fn keys_whose_place_is_known_need_no_metadata() {
    let publisher = Publisher::start().await;
    publisher.reply(METADATA, Reply::Says(answer(500, &[], "")));
    let api = publisher.api_with(|issuer| issuer.jwks_uri(publisher.jwks_uri()));
    assert!(api.is_good(&publisher.token(Key::Ec, "a")).await);
    assert_eq!(publisher.paths(), [JWKS]);
    // The type of a set is told in several ways (RFC 7517 §8.5), or not at all.
    for headers in [&["content-type: application/jwk-set+json"][..], &[]] {
        let says = answer(200, headers, &set(&[(Key::Ec, "a")]));
        publisher.reply(JWKS, Reply::Says(says));
        let api = publisher.api_with(|issuer| issuer.jwks_uri(publisher.jwks_uri()));
        assert!(api.is_good(&publisher.token(Key::Ec, "a")).await);
    }
    publisher.reply(
        JWKS,
        json_with(&["cache-control: no-store"], &set(&[(Key::Ec, "a")])),
    );
    let api = publisher.api_with(|issuer| issuer.jwks_uri(publisher.jwks_uri()));
    assert!(api.is_good(&publisher.token(Key::Ec, "a")).await);
}

// req: 8414-6.1-2
#[tokio::test]
async fn rfc8414_6_1_metadata_is_asked_of_whom_a_certificate_proves_and_of_nobody_else() {
    use tower_oauth::Issuer;
    use tower_oauth::resource::HttpsClient;

    let host = crate::introspection_tls::Tls::start().await;
    let issuer = host.endpoint();
    let token = Key::Ec.sign(&header(Key::Ec, "a"), &claims(&issuer, crate::support::NOW));
    let trusting = HttpsClient::new().root_certificates(include_str!("keys/tls_ca.pem"));
    for (client, is_asked) in [(HttpsClient::new(), false), (trusting.unwrap(), true)] {
        let api = Api::of(|builder| builder.issuer(Issuer::jwt(&issuer).http_client(client)));
        api.is_unavailable(&token).await; // it has no metadata to give
        assert_eq!(host.read() > 0, is_asked);
    }
}
