//! How a token is taken out of a request, and what is said of one that is not: on the tokens of a server in the same process.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::resource::AccessToken;
use tower_oauth::{Issuer, ResourceServer};

use crate::in_process::Node;
use crate::support::{Answer, LEDGER};

/// Sends a request to a service behind the layer, which answers with what reached it: subject, target and body.
async fn sent(api: &ResourceServer, request: Request<Full<Bytes>>) -> Answer {
    let service = api
        .layer()
        .layer(service_fn(async |request: Request<Full<Bytes>>| {
            let token = request.extensions().get::<AccessToken>();
            let subject = token.map_or_else(String::new, |token| token.subject().to_string());
            let target = request.uri().to_string();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let seen = format!("{subject} {target} {body}");
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(seen)))
        }));
    Answer::of(service.oneshot(request).await.unwrap()).await
}

/// A request with these `Authorization` fields.
fn with(fields: &[&[u8]]) -> Request<Full<Bytes>> {
    let mut request = Request::get("/").body(Full::default()).unwrap();
    for field in fields {
        let field = HeaderValue::from_bytes(field).unwrap();
        request.headers_mut().append("authorization", field);
    }
    request
}

/// The parameters of the one challenge, read by RFC 9110 §11.2 and §5.6.4: escapes are undone, and whatever does not fit fails.
fn challenge(answer: &Answer) -> Vec<(String, String)> {
    let mut fields = answer.headers.get_all("www-authenticate").iter();
    let field = fields.next().expect("a challenge").to_str().unwrap();
    assert!(fields.next().is_none());
    let mut rest = field.strip_prefix("Bearer ").unwrap().chars().peekable();
    let mut params = Vec::new();
    while rest.peek().is_some() {
        let tchar = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*c);
        let name: String = std::iter::from_fn(|| rest.next_if(tchar)).collect();
        assert!(!name.is_empty());
        assert_eq!((rest.next(), rest.next()), (Some('='), Some('"')));
        let mut value = String::new();
        loop {
            match rest.next().expect("a closing quote") {
                '"' => break,
                '\\' => value.push(rest.next().expect("what is escaped")),
                c @ (' '..='~' | '\t') => value.push(c),
                c => panic!("{c:?} stands in {field}"),
            }
        }
        params.push((name, value));
        if rest.next_if_eq(&',').is_some() {
            assert_eq!(rest.next_if_eq(&' '), Some(' '));
            assert!(rest.peek().is_some());
        }
    }
    params
}

#[track_caller]
fn says(answer: &Answer, name: &str) -> Option<String> {
    let mut found = challenge(answer).into_iter().filter(|(n, _)| n == name);
    let value = found.next().map(|(_, value)| value);
    assert!(found.next().is_none(), "{name} stands twice");
    value
}

// req: tol-bearer-2
#[tokio::test]
async fn v17_two_authorization_headers_are_400_whatever_they_hold_warm_and_cold() {
    let node = Node::new().await;
    let good = format!("Bearer {}", node.client_token().await);
    let (good, joined) = (good.as_bytes(), format!("{good}, {good}"));
    let basic = format!("Basic dGVzdDp0ZXN0, {}", std::str::from_utf8(good).unwrap());
    for _ in ["cold", "warm"] {
        for two in [
            [good, good],
            [good, b""],
            [b"", good],
            [good, b"Bearer other"],
            [b"Bearer other", good],
            [b"Basic dGVzdDp0ZXN0", good],
            [good, b"Basic dGVzdDp0ZXN0"],
        ] {
            let answer = sent(&node.ledger, with(&two)).await;
            answer.error(400, "invalid_request");
            assert_eq!(says(&answer, "error").as_deref(), Some("invalid_request"));
        }
        let answer = sent(&node.ledger, with(&[joined.as_bytes()])).await;
        answer.error(400, "invalid_request");
        // Of another scheme, whatever follows: nobody reads on.
        let answer = sent(&node.ledger, with(&[basic.as_bytes()])).await;
        assert_eq!(
            (answer.status.as_u16(), says(&answer, "error")),
            (401, None)
        );
        assert_eq!(sent(&node.ledger, with(&[good])).await.status, 200);
    }
}

// req: tol-bearer-1, tol-bearer-2
#[tokio::test]
async fn v18_scheme_and_spaces_are_read_by_the_grammar_and_nothing_else_passes() {
    let node = Node::new().await;
    let token = node.client_token().await;
    let field = |before: &[u8], after: &[u8]| [before, token.as_bytes(), after].concat();
    for (field, status) in [
        (field(b"Bearer ", b""), 200),
        (field(b"bearer ", b""), 200),
        (field(b"BEARER ", b""), 200),
        (field(b"bEARER  ", b""), 200),
        (field(b"Bearer          ", b""), 200),
        (field(b"Bearer\t", b""), 400),
        (field(b"Bearer \t", b""), 400),
        (field(b"Bearer ", b" x"), 400),
        (field(b"Bearer ", b","), 400),
        (field(b"Bearer ", b";"), 400),
        (field(b"Bearer \"", b"\""), 400),
        (field(b"Bearer '", b"'"), 400),
        (field(b"Bearer: ", b""), 400),
        (field(b"Bearer token=", b""), 400),
        (field(b"Bearer\xa0", b""), 400),
        (field(b"Bearer\xc2\xa0", b""), 400),
        (field(b"Bearer ", b"\xff"), 400),
        (field(b"Bearer ", b"\xe2\x80\x8b"), 400),
        (field(b"Bearer ", b"="), 401),
        (b"Bearer".to_vec(), 400),
        (b"Bearer ".to_vec(), 400),
        (b"Bearer =".to_vec(), 400),
        (field(b"", b""), 401),
        (field(b"Token ", b""), 401),
        (field(b"Bearers ", b""), 401),
        (field(b"Bear er ", b""), 401),
        (field(b"DPoP ", b""), 401),
        (b"".to_vec(), 401),
    ] {
        for _ in ["cold", "warm"] {
            let answer = sent(&node.ledger, with(&[&field])).await;
            assert_eq!(answer.status, status, "{:?}", field.escape_ascii());
        }
    }
}

// req: 6750-2.2-2, 6750-2.2-3, 6750-2.3-3
#[tokio::test]
async fn v19_a_token_in_a_form_or_in_the_query_is_none_and_the_body_comes_through_whole() {
    let node = Node::new().await;
    let token = node.client_token().await;
    let other = node.server.tokens("").await.access_token();
    let form = format!("access_token={token}");
    let in_query = format!("/?access_token={token}");
    let long = format!("{form}&padding={}", "x".repeat(1 << 20));
    let kinds = [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
    ];
    for method in [Method::POST, Method::GET, Method::PUT] {
        for kind in kinds {
            for (target, body) in [("/", &form), ("/", &long), (&*in_query, &String::new())] {
                let request = |authorization: Option<&str>| {
                    let mut request = Request::builder().method(&method).uri(target);
                    request = request.header("content-type", kind);
                    if let Some(token) = authorization {
                        request = request.header("authorization", format!("Bearer {token}"));
                    }
                    request.body(Full::from(body.clone())).unwrap()
                };
                let answer = sent(&node.ledger, request(None)).await;
                assert_eq!(answer.status, 401, "{method} {kind} {target}");
                assert_eq!(says(&answer, "error"), None, "as if there were none");
                // Beside the header it changes nothing, neither who is served nor what is served.
                let answer = sent(&node.ledger, request(Some(&other))).await;
                assert_eq!(answer.text(), format!("alice {target} {body}"));
                let answer = sent(&node.ledger, request(Some("wrong"))).await;
                answer.error(401, "invalid_token");
            }
        }
    }
}

// req: 9700-4.3.2-1, 6750-2.3-1, 6750-2.3-2
#[tokio::test]
async fn v20_a_token_in_the_query_opens_nothing_is_not_given_back_and_no_cache_keeps_the_answer() {
    let node = Node::new().await;
    let token = node.client_token().await;
    node.warm(&token).await;
    let asked = node.store.asked();
    for name in ["access_token", "token", "bearer_token", "Access_Token"] {
        for path in ["/", "/ledger", "/.well-known/other"] {
            let target = format!("{path}?a=b&{name}={token}");
            let answer = sent(&node.ledger, {
                let request = Request::get(target);
                request.body(Full::default()).unwrap()
            })
            .await;
            assert_eq!(answer.status, 401, "{name}");
            assert_eq!(says(&answer, "error"), None);
            assert_eq!(answer.header("cache-control"), "no-store");
            assert!(!format!("{answer:?}").contains(&token), "{answer:?}");
        }
    }
    assert_eq!(node.store.asked(), asked, "nobody looked at it");
}

// req: http-auth-3, 6749-7.2-1, 6750-3-9, 6750-3-6
#[tokio::test]
async fn v21_a_challenge_holds_what_was_configured_and_nothing_of_a_request() {
    let node = Node::new().await;
    let api = |realm: &str, scope: &str| {
        ResourceServer::builder(LEDGER)
            .issuer(Issuer::in_process(&node.server.oauth))
            .clock(node.server.clock.clone())
            .realm(realm)
            .challenge_scope([scope])
            .build()
    };
    let settings = api("The ledger, of harbor; (c) = 'x' <y>", "ledger.read").unwrap();
    let marker = "m4rk3r\"%22\\,error=none";
    let refused = [
        (401, with(&[])),
        (401, with(&[b"Bearer m4rk3r"])),
        (401, with(&[b"m4rk3r m4rk3r"])),
        (400, with(&[b"Bearer m4rk3r\", error=\"none"])),
        (400, with(&[b"Bearer \\\", realm=\"m4rk3r"])),
        (400, with(&[b"Bearer m4rk3r\xff\xe9"])),
        (400, with(&[b"Bearer m4rk3r", b"Bearer m4rk3r"])),
    ];
    for (status, mut request) in refused {
        *request.uri_mut() = "/m4rk3r?m4rk3r=%0d%0aSet-Cookie:m4rk3r".parse().unwrap();
        for name in ["host", "x-forwarded-host", "origin", "x-request-id"] {
            let value = HeaderValue::from_str(marker).unwrap();
            request.headers_mut().insert(name, value);
        }
        let answer = sent(&settings, request).await;
        assert_eq!(answer.status, status);
        let params = challenge(&answer);
        let error = says(&answer, "error").is_some();
        assert_eq!(says(&answer, "error_description").is_some(), error);
        assert_eq!(says(&answer, "error_uri"), None, "there is no page to read");
        let realm = says(&answer, "realm").unwrap();
        assert_eq!(realm, "The ledger, of harbor; (c) = 'x' <y>");
        assert!(params.iter().all(|(_, value)| !value.contains(['"', '\\'])));
        assert!(!format!("{answer:?}").contains("m4rk3r"), "{answer:?}");
    }
    // What would have to be escaped, or would end the line, is in no challenge: it is refused before there is one.
    for bad in ["\"", "\\", "a\r\nb", "\0", "\u{e9}", "\u{7f}", "a\tb"] {
        assert!(api(bad, "ledger.read").is_err(), "{bad:?}");
        assert!(api("x", bad).is_err(), "{bad:?}");
    }
}
