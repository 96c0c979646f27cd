//! Client credentials in an `Authorization` header: they prove what an independent reading of RFC 6749 §2.3.1 says they prove.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tower_oauth::AuthorizationServer;
use tower_oauth::types::{Client, GrantType, Secret};
use tower_oauth_fuzz::{SECRET, builder, run, send, well_formed, with_login};

/// A longer header is not looked into.
const LONGEST: usize = 4096;

fuzz_target!(|data: &[u8]| {
    run(any_header(data));
    run(any_credentials(data));
});

/// Whatever the header holds: it is `web` and its secret, or the client is not known.
async fn any_header(data: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(data) else {
        return;
    };
    let oauth = with("web", SECRET).await;
    let status = ask(&oauth, header).await;
    let expected = match reference(data) {
        Some((id, secret)) if (&*id, &*secret) == ("web", SECRET) => 200,
        _ => 401,
    };
    assert_eq!(status, expected, "{:?}", String::from_utf8_lossy(data));
}

/// Whatever name and secret a client has: they come through.
async fn any_credentials(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (id, secret) = text.split_once('\n').unwrap_or((text, "s"));
    if id.parse::<tower_oauth::types::ClientId>().is_err() || secret.contains('\0') {
        return;
    }
    // As long as a generated one, so that the digest is a fast one.
    let secret = format!("{SECRET}{secret}");
    let oauth = with(id, &secret).await;
    let written =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", written(id), written(&secret));
    let right = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(&pair))).unwrap();
    let expected = if right.len() > LONGEST { 401 } else { 200 };
    assert_eq!(ask(&oauth, right).await, expected, "{pair}");
    let wrong = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair + "x"))).unwrap();
    assert_eq!(ask(&oauth, wrong).await, 401);
}

async fn with(id: &str, secret: &str) -> AuthorizationServer {
    let oauth = with_login(builder());
    let client = Client::confidential(id.parse().unwrap(), &Secret::new(secret))
        .grant_types([GrantType::ClientCredentials]);
    oauth.clients().create(client).await.unwrap();
    oauth
}

async fn ask(oauth: &AuthorizationServer, header: HeaderValue) -> u16 {
    let request = Request::post("/auth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", header)
        .body(Full::new(Bytes::from(
            "grant_type=client_credentials&scope=ledger.read",
        )))
        .unwrap();
    let answer = send(oauth, request).await;
    if answer.status == 401 {
        assert_eq!(
            answer.error().as_deref(),
            Some("invalid_client"),
            "{answer:?}"
        );
        assert!(
            answer.headers.contains_key("www-authenticate"),
            "{answer:?}"
        ); // RFC 6749 §5.2
    }
    answer.status.as_u16()
}

/// `Basic base64(form(client_id) ":" form(client_secret))`.
fn reference(field: &[u8]) -> Option<(String, String)> {
    let (scheme, rest) = field.split_at_checked(6)?;
    if field.len() > LONGEST {
        return None;
    }
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let rest = rest.trim_ascii();
    let decoded = STANDARD
        .decode(rest)
        .or_else(|_| STANDARD_NO_PAD.decode(rest))
        .ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decode(&decoded[..colon])?, decode(&decoded[colon + 1..])?))
}

/// One value in form encoding; `&` and `=` have no meaning in it.
fn decode(text: &[u8]) -> Option<String> {
    let mut escaped = b"x=".to_vec();
    for byte in text {
        match byte {
            b'&' => escaped.extend_from_slice(b"%26"),
            byte => escaped.push(*byte),
        }
    }
    Some(well_formed(&escaped)?.pop()?.1)
}
