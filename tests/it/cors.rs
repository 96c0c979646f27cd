//! Which endpoints the pages of other origins may call.

use http::Request;
use http_body_util::Full;

use crate::support::{Answer, FOR_ITSELF, Harness, SECRET, basic};

const SPA: &str = "https://spa.harbor.test";
const OPEN: [&str; 3] = ["/auth/token", "/auth/revoke", "/auth/device"];
const CLOSED: [&str; 3] = ["/auth/authorize", "/auth/introspect", "/device"];
const DOCUMENTS: [&str; 2] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource/ledger",
];

async fn with_spa() -> Harness {
    Harness::with(|builder| builder.browser_clients([SPA, "http://127.0.0.1:3000"])).await
}

async fn preflight(server: &Harness, path: &str, origin: &str) -> Answer {
    let request = Request::options(path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,dpop");
    server.send(request.body(Full::default()).unwrap()).await
}

/// What an answer says to the browser about other origins.
fn said(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.keys().map(|name| name.as_str());
    names
        .filter(|name| name.starts_with("access-control-"))
        .collect()
}

// req: http-cors-3, http-cors-4, 7009-2.3-1
#[tokio::test]
async fn http_cors_3_a_page_of_a_named_origin_may_ask_first() {
    let server = with_spa().await;
    for path in OPEN {
        for origin in [SPA, "http://127.0.0.1:3000"] {
            let answer = preflight(&server, path, origin).await;
            assert_eq!(answer.status, 204, "{path}");
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("access-control-allow-origin"), origin);
            assert_eq!(answer.header("access-control-allow-methods"), "POST");
            assert_eq!(
                answer.header("access-control-allow-headers"),
                "authorization, content-type, dpop, mcp-protocol-version"
            );
            assert_eq!(answer.header("access-control-max-age"), "3600");
            assert_eq!(answer.header("vary"), "origin");
            let credentials = answer.headers.get("access-control-allow-credentials");
            assert!(credentials.is_none(), "{answer:?}");
        }
    }
}

// req: http-cors-2, http-cors-4
#[tokio::test]
async fn http_cors_4_a_page_of_another_origin_may_read_nothing() {
    let server = with_spa().await;
    for path in OPEN {
        for origin in [
            "https://evil.test",
            "https://spa.harbor.test.evil.test",
            "https://spa.harbor.test:443",
            "http://spa.harbor.test",
            "https://SPA.harbor.test",
            "http://127.0.0.1",
            "null",
            "*",
            "",
        ] {
            let answer = preflight(&server, path, origin).await;
            assert_eq!(said(&answer), [""; 0], "{path} {origin}: {answer:?}");
            assert_eq!(answer.header("vary"), "origin");
            let answer = server
                .post_with(path, &[("origin", origin)], "client_id=tv&token=x")
                .await;
            assert_eq!(said(&answer), [""; 0], "{path} {origin}: {answer:?}");
            assert_eq!(answer.header("vary"), "origin");
        }
    }
}

// req: http-cors-4
#[tokio::test]
async fn http_cors_4_a_page_of_a_named_origin_may_read_answers_and_errors() {
    let server = with_spa().await;
    let authorization = basic("web", SECRET);
    for path in OPEN {
        for (form, status) in [(FOR_ITSELF, 200), ("scope=nope&grant_type=x&token=", 400)] {
            let headers = [("authorization", &*authorization), ("origin", SPA)];
            let form = form.replace("grant_type=client", "token=x&grant_type=client");
            let answer = server.post_with(path, &headers, &form).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), SPA);
            assert_eq!(
                answer.header("access-control-expose-headers"),
                "www-authenticate, retry-after"
            );
            assert_eq!(answer.header("vary"), "origin");
            assert_eq!(said(&answer).len(), 2, "{answer:?}");
        }
        let wrong = [("authorization", "Basic x"), ("origin", SPA)];
        let answer = server.post_with(path, &wrong, FOR_ITSELF).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("access-control-allow-origin"), SPA);
        // No browser, no origin: told to nobody, and not to a cache either.
        let answer = server
            .post_as(path, ("web", SECRET), "token=x&scope=nope")
            .await;
        assert_eq!(said(&answer), [""; 0]);
        assert_eq!(answer.header("vary"), "origin");
    }
    // An OPTIONS that asks for nothing is only a wrong method.
    let request = Request::options("/auth/token").header("origin", SPA);
    let answer = server.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, 405);
}

// req: http-cors-1, 9700-2.6-7, con-cors-1, http-cors-2
#[tokio::test]
async fn rfc9700_2_6_no_page_may_call_the_authorization_endpoint_or_introspection() {
    for origins in [vec![SPA], vec!["*"]] {
        let server = Harness::with(|builder| builder.browser_clients(origins)).await;
        for path in CLOSED {
            let answer = preflight(&server, path, SPA).await;
            assert_eq!(answer.status, 405, "{path}");
            assert_eq!(said(&answer), [""; 0], "{path}");
            let request = Request::get(path).header("origin", SPA);
            let answer = server.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(said(&answer), [""; 0], "{path}");
            let answer = server.post_with(path, &[("origin", SPA)], "token=x").await;
            assert_eq!(said(&answer), [""; 0], "{path}");
        }
    }
}

// req: http-cors-2
#[tokio::test]
async fn http_cors_2_without_the_setting_the_documents_alone_are_open() {
    let server = Harness::new().await;
    for path in OPEN {
        let answer = preflight(&server, path, SPA).await;
        assert_eq!((answer.status.as_u16(), said(&answer)), (405, vec![]));
        let answer = server
            .post_with(path, &[("origin", SPA)], "client_id=tv&token=x")
            .await;
        assert_eq!(said(&answer), [""; 0]);
        assert!(!answer.headers.contains_key("vary"));
    }
    for path in DOCUMENTS {
        let request = Request::get(path).header("origin", SPA);
        let answer = server.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let answer = preflight(&server, path, "https://any.test").await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD");
    }
}

#[tokio::test]
async fn a_star_lets_every_origin_in_and_needs_no_vary() {
    let server = Harness::with(|builder| builder.browser_clients(["*"])).await;
    for path in OPEN {
        let answer = preflight(&server, path, "https://any.test").await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(!answer.headers.contains_key("vary"));
        assert!(!said(&answer).contains(&"access-control-allow-credentials"));
    }
}
