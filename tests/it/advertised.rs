//! Whether all that the metadata says is so, and nothing is served beside it.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tower_oauth::AuthorizationServer;
use tower_oauth::server::Registration;

use crate::metadata::{LEDGERS, METADATA, all, sent};
use crate::support::{
    Answer, CALLBACK, DEVICE_CODE, FILES, Harness, ISSUER, LEDGER, SECRET, VERIFIER, builder,
};

// req: 9728-PROJ-1, 9728-PROJ-2, 9728-7.10-1, http-cors-3
#[tokio::test]
async fn rfc9728_pages_of_any_origin_may_read_the_documents() {
    let server = Harness::of(builder()).await;
    for path in [METADATA, LEDGERS] {
        let asked = [
            ("origin", "https://app.harbor.test"),
            ("access-control-request-method", "GET"),
            (
                "access-control-request-headers",
                "mcp-protocol-version, authorization",
            ),
        ];
        let preflight = sent(&server, "OPTIONS", path, &asked).await;
        assert_eq!((preflight.status.as_u16(), preflight.body.len()), (204, 0));
        assert_eq!(preflight.header("access-control-allow-origin"), "*");
        assert_eq!(
            preflight.header("access-control-allow-methods"),
            "GET, HEAD"
        );
        let allowed = preflight.header("access-control-allow-headers");
        for header in ["authorization", "content-type", "mcp-protocol-version"] {
            assert!(allowed.contains(header), "{allowed}");
        }
        let got = sent(&server, "GET", path, &asked[..1]).await;
        assert_eq!(got.header("access-control-allow-origin"), "*");
        assert!(got.header("cache-control").contains("max-age"));
        assert!(!got.headers.contains_key("access-control-allow-credentials"));
    }
}

// req: http-cors-4, 9700-2.6-6, http-cors-2
#[tokio::test]
async fn other_origins_may_call_what_browser_clients_need_and_only_if_they_were_named() {
    let (ours, evil) = ("https://app.harbor.test", "https://evil.test");
    let on = builder().registration(Registration::open());
    let named = Harness::of(on.browser_clients([ours])).await;
    let off = Harness::of(builder().registration(Registration::open())).await;
    for (path, allowed) in [
        ("/auth/token", true),
        ("/auth/revoke", true),
        ("/auth/register", true),
        ("/auth/device", true),
        ("/auth/introspect", false),
        ("/auth/authorize", false),
        ("/device", false),
    ] {
        for (server, origin, allowed) in [
            (&named, ours, allowed),
            (&named, evil, false),
            (&named, "null", false),
            (&off, ours, false),
        ] {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                (
                    "access-control-request-headers",
                    "authorization,content-type",
                ),
            ];
            let preflight = sent(server, "OPTIONS", path, &headers).await;
            let posted = sent(server, "POST", path, &headers[..1]).await;
            for answer in [preflight, posted] {
                let told = answer.headers.get("access-control-allow-origin");
                assert_eq!(
                    told.map(|told| told.to_str().unwrap()),
                    allowed.then_some(origin),
                    "{path}"
                );
                assert!(
                    !answer
                        .headers
                        .contains_key("access-control-allow-credentials")
                );
                if allowed {
                    assert!(answer.header("vary").contains("origin"), "{answer:?}");
                }
            }
        }
    }
}

/// What a client of this method sends to authenticate.
async fn post(server: &Harness, path: &str, method: &str, form: &str) -> Answer {
    match method {
        "client_secret_basic" => server.post_as(path, ("web", SECRET), form).await,
        "client_secret_post" => {
            let form = format!("client_id=web&client_secret={SECRET}&{form}");
            server.post(path, &form).await
        }
        _ => server.post(path, &format!("client_id=app&{form}")).await,
    }
}

// req: 8414-2-23, 8414-2-10, 8414-2-11, 8414-2-19
#[tokio::test]
async fn s23_all_that_is_advertised_works() {
    let server = Harness::of(all()).await;
    let document = server.get(METADATA, None).await.json();
    let path = |name: &str| {
        let url = document[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}"));
        url.strip_prefix(ISSUER).unwrap().to_owned()
    };
    let list =
        |name: &str| -> Vec<String> { serde_json::from_value(document[name].clone()).unwrap() };
    let (authorize, token) = (path("authorization_endpoint"), path("token_endpoint"));
    for method in list("token_endpoint_auth_methods_supported") {
        for grant in list("grant_types_supported") {
            let client = if method == "none" { "app" } else { "web" };
            let code = server.code_for(client, "&scope=ledger.read").await;
            let form = match &*grant {
                "authorization_code" => {
                    format!("code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}")
                }
                "refresh_token" => {
                    let form = format!(
                        "grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
                    );
                    let tokens = post(&server, &token, &method, &form).await;
                    format!("refresh_token={}", tokens.member("refresh_token"))
                }
                "client_credentials" if method == "none" => continue,
                "client_credentials" => String::new(),
                DEVICE_CODE if method == "none" => continue, // `tv` has it: below
                DEVICE_CODE => {
                    let codes =
                        post(&server, &path("device_authorization_endpoint"), &method, "").await;
                    let page = server.enter(&codes.member("user_code"), "alice").await;
                    server.decide(&page, "alice", "allow").await;
                    format!("device_code={}", codes.member("device_code"))
                }
                unknown => panic!("{unknown} is advertised"),
            };
            let answer = post(
                &server,
                &token,
                &method,
                &format!("grant_type={grant}&{form}"),
            )
            .await;
            assert_eq!(answer.status, 200, "{grant} by {method}: {answer:?}");
            assert_eq!(
                answer.json()["expires_in"],
                document["access_token_lifetime"]
            );
        }
    }
    for method in list("revocation_endpoint_auth_methods_supported") {
        let answer = post(&server, &path("revocation_endpoint"), &method, "token=x").await;
        assert_eq!(answer.status, 200, "{method}");
    }
    let introspect = path("introspection_endpoint");
    for method in list("introspection_endpoint_auth_methods_supported") {
        let answer = post(&server, &introspect, &method, "token=x").await;
        assert_eq!(answer.json(), json!({"active": false}));
    }
    post(&server, &introspect, "none", "token=x")
        .await
        .error(401, "invalid_client");
    assert_eq!(list("response_types_supported"), ["code"]);
    for mode in list("response_modes_supported") {
        assert_eq!(
            server
                .authorize(&format!("&response_mode={mode}&scope=ledger.write"))
                .await
                .status,
            200
        );
    }
    for scope in list("scopes_supported") {
        let resource = if scope == "files.read" { FILES } else { LEDGER };
        let answer = server.get(&format!("{authorize}?response_type=code&client_id=app&scope={scope}&resource={resource}&code_challenge={}&code_challenge_method={}", crate::support::CHALLENGE, list("code_challenge_methods_supported")[0]), Some("bob")).await;
        assert_eq!(answer.status, 200, "{scope}: {answer:?}");
    }
    let registered = server
        .register(&format!(r#"{{"redirect_uris":["{CALLBACK}"]}}"#))
        .await;
    assert_eq!(
        (
            registered.status.as_u16(),
            path("registration_endpoint").as_str()
        ),
        (201, "/auth/register")
    );
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    assert_eq!(server.poll(&device_code).await.status, 200);
}

// req: http-path-1, tol-wellknown-1, mcp-disc-5, mcp-disc-8
#[tokio::test]
async fn s23_what_is_not_advertised_is_not_ours() {
    for builder in [all(), AuthorizationServer::builder(ISSUER)] {
        let server = Harness::of(builder).await;
        let document = server.get(METADATA, None).await.json();
        let members = document.as_object().unwrap();
        let mut ours: BTreeSet<String> = members
            .iter()
            .filter(|(name, _)| name.ends_with("_endpoint"))
            .map(|(_, url)| {
                url.as_str()
                    .unwrap()
                    .strip_prefix(ISSUER)
                    .unwrap()
                    .to_owned()
            })
            .collect();
        if members.contains_key("device_authorization_endpoint") {
            ours.extend(["/device".to_owned(), LEDGERS.to_owned()]);
        }
        ours.insert(METADATA.to_owned());
        let known = [
            "authorize",
            "token",
            "device",
            "introspect",
            "revoke",
            "register",
            "jwks.json",
            "userinfo",
            "par",
            "logout",
        ];
        let known = known.map(|name| format!("/auth/{name}"));
        let well_known = [
            "openid-configuration",
            "oauth-protected-resource",
            "oauth-authorization-server/auth",
            "oauth-protected-resource/files",
            "jwks.json",
        ];
        let well_known = well_known.map(|name| format!("/.well-known/{name}"));
        let others = [
            "/",
            "/auth",
            "/auth/",
            "/login",
            "/authorize",
            "/token",
            "/register",
            "/consent",
            METADATA,
            LEDGERS,
            "/device",
        ];
        let others = others.map(ToOwned::to_owned);
        for path in known.iter().chain(&well_known).chain(&others) {
            for path in [
                path.clone(),
                format!("{path}/"),
                path.to_uppercase(),
                format!("/{path}"),
                format!("{path}%2f"),
            ] {
                for method in ["GET", "POST"] {
                    let request = Request::builder().method(method).uri(&path);
                    let answer = server
                        .send(request.body(Full::<Bytes>::default()).unwrap())
                        .await;
                    assert_eq!(
                        answer.status != 404,
                        ours.contains(&path),
                        "{method} {path}"
                    );
                    let login = answer.headers.get("location");
                    assert!(login.is_none(), "{method} {path}");
                }
            }
        }
    }
}
