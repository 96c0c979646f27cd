//! Registrations: what is not one JSON object is refused, and what is registered is what was said, and works.
#![no_main]

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_oauth::AuthorizationServer;
use tower_oauth::types::{ClientId, RedirectUri, Scope};
use tower_oauth_fuzz::{Answer, CHALLENGE, builder, run, send, with_login};

fuzz_target!(|data: &[u8]| run(register_it(data)));

async fn register_it(data: &[u8]) {
    if data.len() > 64 * 1024 {
        return;
    }
    let oauth = with_login(builder());
    let answer = register(&oauth, data).await;
    let sent: Option<Value> = serde_json::from_slice(data).ok();
    if answer.status != 201 {
        assert_eq!(answer.status, 400, "{answer:?}");
        let codes = ["invalid_redirect_uri", "invalid_client_metadata"]; // RFC 7591 §3.2.2
        assert!(
            answer.error().is_some_and(|code| codes.contains(&&*code)),
            "{answer:?}"
        );
        assert!(oauth.clients().list().await.unwrap().is_empty());
        return;
    }
    let (sent, is) = (sent.expect("JSON"), answer.json());
    assert!(sent.is_object(), "{answer:?}");
    // RFC 7591 §3.2.1: all that was registered is answered.
    let client_id: ClientId = is["client_id"].as_str().unwrap().parse().unwrap();
    let client = oauth
        .clients()
        .get(&client_id)
        .await
        .unwrap()
        .expect("it is there");
    let empty = Vec::new();
    let uris = is["redirect_uris"].as_array().unwrap_or(&empty);
    assert_eq!(
        uris,
        sent["redirect_uris"].as_array().unwrap_or(&empty),
        "{answer:?}"
    );
    for uri in uris {
        let uri: RedirectUri = uri.as_str().unwrap().parse().unwrap();
        assert!(client.redirect_uris().contains(&uri));
    }
    assert_eq!(
        is["client_name"].as_str(),
        sent["client_name"].as_str(),
        "{answer:?}"
    );
    let scope: Scope = is["scope"].as_str().unwrap_or_default().parse().unwrap();
    assert!(
        "ledger.read ledger.write offline_access"
            .parse::<Scope>()
            .unwrap()
            .contains_all(&scope)
    );
    let confidential = is["token_endpoint_auth_method"] != "none";
    assert_eq!(is["client_secret"].is_string(), confidential, "{answer:?}");
    assert_eq!(
        is.get("client_secret_expires_at").is_some(),
        confidential,
        "{answer:?}"
    );
    assert_eq!(client.is_confidential(), confidential);
    let grants = is["grant_types"].as_array().unwrap();
    assert!(!grants.contains(&"client_credentials".into()), "{answer:?}");
    if let Some(uri) = client.redirect_uris().first()
        && grants.contains(&"authorization_code".into())
    {
        can_begin(&oauth, &client_id, uri).await;
    }
    // Equal registrations of a public client are one client, and never of another kind.
    let again = register(&oauth, data).await;
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(
        again.json()["client_id"] == is["client_id"],
        !confidential,
        "{again:?}"
    );
}

async fn register(oauth: &AuthorizationServer, data: &[u8]) -> Answer {
    let request = Request::post("/auth/register").header("content-type", "application/json");
    send(
        oauth,
        request
            .body(Full::new(Bytes::copy_from_slice(data)))
            .unwrap(),
    )
    .await
}

/// An authorization request of the new client is asked about, or its error is told at its own address.
async fn can_begin(oauth: &AuthorizationServer, client_id: &ClientId, uri: &RedirectUri) {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_id", client_id.as_str()),
            ("redirect_uri", uri.as_str()),
        ])
        .extend_pairs([("response_type", "code"), ("code_challenge", CHALLENGE)])
        .extend_pairs([("code_challenge_method", "S256")])
        .finish();
    let request = Request::get(format!("/auth/authorize?{query}")).header("x-user", "alice");
    let answer = send(oauth, request.body(Full::default()).unwrap()).await;
    assert!(
        answer.status == 200 || answer.parameter("error").is_some(),
        "{answer:?}"
    );
    if answer.status == 200 {
        assert!(answer.hidden("csrf").is_some(), "{answer:?}");
    }
}
