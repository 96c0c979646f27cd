//! The documents that clients discover a server by, and whether all that they say is so.

use std::collections::BTreeSet;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tower_oauth::AuthorizationServer;
use tower_oauth::server::{AuthorizationServerBuilder, Endpoint, Registration};
use tower_oauth::types::{ResourceUri, Subject};

use crate::support::{Answer, DEVICE_CODE, FILES, Harness, ISSUER, LEDGER, builder};

pub(crate) const METADATA: &str = "/.well-known/oauth-authorization-server";
pub(crate) const LEDGERS: &str = "/.well-known/oauth-protected-resource/ledger";

/// Everything that can be on.
pub(crate) fn all() -> AuthorizationServerBuilder {
    builder()
        .registration(Registration::open())
        .browser_clients(["*"])
}

pub(crate) async fn sent(
    server: &Harness,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.body(Full::default()).unwrap()).await
}

// req: 8414-2-7, 8414-2-8, 8414-3.2-3, 9700-2.1.1-5
#[tokio::test]
async fn rfc8414_2_the_document_says_all_that_is_on() {
    let server = Harness::of(all()).await;
    let answer = server.get(METADATA, None).await;
    assert_eq!(
        answer.json(),
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": format!("{ISSUER}/auth/authorize"),
            "token_endpoint": format!("{ISSUER}/auth/token"),
            "registration_endpoint": format!("{ISSUER}/auth/register"),
            "device_authorization_endpoint": format!("{ISSUER}/auth/device"),
            "introspection_endpoint": format!("{ISSUER}/auth/introspect"),
            "revocation_endpoint": format!("{ISSUER}/auth/revoke"),
            "scopes_supported": ["files.read", "ledger.read", "ledger.write", "offline_access"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", DEVICE_CODE],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "protected_resources": [LEDGER, FILES],
            "access_token_lifetime": 600,
            "refresh_token_lifetime": 1_209_600,
            "authorization_code_lifetime": 60,
            "device_code_lifetime": 600,
        })
    );
}

// req: 8414-2-12, 8414-2-14, 8414-2-17, 8414-2-20
#[tokio::test]
async fn rfc8414_2_methods_that_sign_come_with_their_algorithms() {
    let server = Harness::of(all()).await;
    let document = server.get(METADATA, None).await.json();
    for endpoint in ["token", "revocation", "introspection"] {
        let methods = format!("{endpoint}_endpoint_auth_methods_supported");
        let methods: Vec<String> = serde_json::from_value(document[&*methods].clone()).unwrap();
        assert!(!methods.is_empty());
        let signs = methods.iter().any(|method| method.ends_with("_jwt"));
        let algorithms = format!("{endpoint}_endpoint_auth_signing_alg_values_supported");
        let algorithms = document.get(&*algorithms).and_then(Value::as_array);
        // Nothing of the kind is built: whoever adds it is to say by which algorithms, RS256 among them.
        let says = algorithms.is_some_and(|list| list.contains(&json!("RS256")));
        assert_eq!(signs, says, "{endpoint}");
        assert!(algorithms.is_none_or(|list| !list.contains(&json!("none"))));
    }
}

// req: 8414-2.1-1, 8414-2.1-2, 8414-2-15
#[tokio::test]
async fn rfc8414_2_1_what_is_not_signed_does_not_say_that_it_is() {
    let server = Harness::of(all()).await;
    let answer = server.get(METADATA, None).await;
    assert!(answer.json()["issuer"].is_string());
    assert!(!answer.text().contains("signed_metadata"));
    for name in [
        "service_documentation",
        "ui_locales_supported",
        "op_policy_uri",
        "op_tos_uri",
    ] {
        assert!(
            answer.json().get(name).is_none(),
            "nothing says what {name} is"
        );
    }
}

// req: 8414-2-3, 8414-3.2-2, 6749-2.3.1-6, 7636-7.2-2
#[tokio::test]
async fn rfc8414_3_2_what_is_off_or_empty_is_left_out() {
    let bare = Harness::of(AuthorizationServer::builder(ISSUER)).await;
    let all = Harness::of(all()).await.get(METADATA, None).await.json();
    let bare = bare.get(METADATA, None).await.json();
    let names = |document: &Value| document.as_object().unwrap().keys().cloned().collect();
    let (all_names, bare_names): (BTreeSet<String>, BTreeSet<String>) = (names(&all), names(&bare));
    let off: Vec<_> = all_names.difference(&bare_names).collect();
    assert_eq!(
        off,
        [
            "authorization_code_lifetime",
            "authorization_endpoint",
            "code_challenge_methods_supported",
            "device_authorization_endpoint",
            "device_code_lifetime",
            "prompt_values_supported",
            "protected_resources",
            "refresh_token_lifetime",
            "registration_endpoint",
            "response_modes_supported",
            "response_types_supported",
            "scopes_supported",
        ]
    );
    assert_eq!(bare["token_endpoint"], format!("{ISSUER}/auth/token"));
    assert_eq!(
        bare["authorization_response_iss_parameter_supported"],
        false
    );
    for document in [&all, &bare] {
        for (name, value) in document.as_object().unwrap() {
            assert!(*value != json!([]) && !value.is_null(), "{name}");
            assert_eq!(
                value.is_array(),
                name.ends_with("_supported") && !value.is_boolean()
                    || name == "protected_resources",
                "{name}"
            );
        }
        assert_eq!(
            document["token_endpoint_auth_methods_supported"][0],
            "client_secret_basic"
        );
        assert!(!document.to_string().contains("plain"));
    }
}

// req: 8414-3-1, 8414-3.1-3, 8414-3.1-4, 8414-3-3
#[tokio::test]
async fn rfc8414_3_1_the_document_stands_between_host_and_path_of_the_issuer_and_nowhere_else() {
    for (issuer, path) in [
        ("https://auth.harbor.test", METADATA.to_owned()),
        ("https://auth.harbor.test/", METADATA.to_owned()),
        (
            "https://auth.harbor.test/t/acme",
            format!("{METADATA}/t/acme"),
        ),
        (
            "https://auth.harbor.test/t/acme/",
            format!("{METADATA}/t/acme"),
        ),
        (
            "https://auth.harbor.test/t/other",
            format!("{METADATA}/t/other"),
        ),
    ] {
        let server = AuthorizationServer::builder(issuer).login("/login", |_| None::<Subject>);
        let server = Harness::of(server).await;
        let answer = server.get(&path, None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.member("issuer")),
            (200, issuer.to_owned())
        );
        let base = issuer.trim_end_matches('/');
        assert_eq!(
            answer.member("token_endpoint"),
            format!("{base}/auth/token")
        );
        for other in [
            METADATA.to_owned(),
            format!("{path}/"),
            format!("{METADATA}/t/acme"),
            format!("{METADATA}/t"),
            format!("/t/acme{METADATA}"),
            "/.well-known/openid-configuration".to_owned(),
            "/.well-known/OAuth-Authorization-Server".to_owned(),
            "/.well-known/".to_owned(),
        ] {
            let status = server.get(&other, None).await.status.as_u16();
            assert_eq!(
                status,
                if other == path { 200 } else { 404 },
                "{other} for {issuer}"
            );
        }
    }
}

// req: 8414-2-1, 8414-3-4, 6749-3.1-3, oauth21-1.5-1
#[test]
fn rfc8414_2_no_server_is_built_with_an_issuer_or_a_path_that_is_none() {
    for bad in [
        "http://auth.harbor.test",
        "https://auth.harbor.test?x",
        "https://auth.harbor.test/?x",
        "https://auth.harbor.test/t?x=1",
        "https://auth.harbor.test/#y",
        "https://auth.harbor.test#",
        "https://user@auth.harbor.test",
        "ftp://auth.harbor.test",
        "auth.harbor.test",
        "",
    ] {
        assert!(AuthorizationServer::builder(bad).build().is_err(), "{bad}");
    }
    for good in [
        "https://auth.harbor.test",
        "https://auth.harbor.test/t",
        "http://127.0.0.1:8080",
        "http://localhost",
    ] {
        assert!(AuthorizationServer::builder(good).build().is_ok(), "{good}");
    }
    for bad in [
        "/authorize#x",
        "/authorize?tenant=a",
        "authorize",
        "//authorize",
        "",
        "/a b",
        "/a%2fb",
        "/auth/token",
        // Clients resolve dots, and encode the others, before they ask (URL Standard §4.4).
        "/auth/../authorize",
        "/./authorize",
        "/auth/..",
        "/a<b",
        "/a{b}",
        "/a\"b",
        "/a|b",
    ] {
        let built = builder().path(Endpoint::Authorize, bad).build();
        assert!(built.is_err(), "{bad}");
    }
    for endpoint in [Endpoint::Token, Endpoint::Metadata, Endpoint::Verification] {
        assert!(builder().path(endpoint, "/x#y").build().is_err());
        for good in [
            "/x",
            "/x/",
            "/a//b",
            "/.hidden/..x",
            "/~a!$&'()*+,;=:@-_.0Z",
        ] {
            assert!(builder().path(endpoint, good).build().is_ok(), "{good}");
        }
    }
    for bad in [
        "login",
        "//evil.test/login",
        "https://evil.test/login",
        "/login#x",
        // No `Location` can hold these as they are.
        "/anmelden-für-alle",
        "/log in",
    ] {
        assert!(
            builder().login(bad, |_| None::<Subject>).build().is_err(),
            "{bad}"
        );
    }
}

// req: 8414-3.1-1, 8414-3.2-1, 8414-PROJ-2, http-cache-3
#[tokio::test]
async fn rfc8414_3_1_get_and_head_and_what_caches_and_other_origins_need() {
    let server = Harness::of(all()).await;
    for path in [METADATA, LEDGERS] {
        let got = sent(&server, "GET", path, &[]).await;
        assert_eq!(got.status, 200);
        assert_eq!(got.header("content-type"), "application/json");
        assert_eq!(got.header("cache-control"), "public, max-age=3600");
        assert_eq!(got.header("access-control-allow-origin"), "*");
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert_eq!(got.header("content-length"), got.body.len().to_string());
        assert!(got.json().is_object());
        let etag = got.header("etag");
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        let weak = format!("W/{etag}");
        let listed = format!("\"x\", {etag}");
        for known in [etag, &weak, &listed, "*"] {
            for method in ["GET", "HEAD"] {
                let answer = sent(&server, method, path, &[("if-none-match", known)]).await;
                assert_eq!(
                    (answer.status.as_u16(), answer.body.len()),
                    (304, 0),
                    "{known}"
                );
                assert_eq!(answer.header("etag"), etag);
                assert!(!answer.headers.contains_key("content-length"), "{answer:?}");
            }
        }
        let changed = sent(&server, "GET", path, &[("if-none-match", "\"x\"")]).await;
        assert_eq!((changed.status.as_u16(), &changed.body), (200, &got.body));
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = sent(&server, method, path, &[]).await;
            assert_eq!(answer.status, 405, "{method}");
            assert!(answer.header("allow").starts_with("GET, HEAD"));
            // RFC 9110 §15.1: caches may keep a 405 that does not say how long.
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
}

// req: http-method-2, 9728-3.1-1, 9700-2.6-1
#[tokio::test]
async fn rfc9110_9_3_2_head_says_what_get_would_and_sends_nothing() {
    let server = Harness::new().await;
    for path in [METADATA, LEDGERS] {
        let got = sent(&server, "GET", path, &[]).await;
        let head = sent(&server, "HEAD", path, &[]).await;
        assert_eq!((head.status, head.body.len()), (got.status, 0));
        assert_eq!(head.headers, got.headers);
        assert_eq!(sent(&server, "POST", path, &[]).await.status, 405);
    }
}

// req: 8414-PROJ-1, 9728-PROJ-3, http-type-2
#[tokio::test]
async fn s24_no_header_of_a_request_changes_a_document() {
    let server = Harness::of(all()).await;
    let headers = [
        ("host", "evil.test"),
        ("forwarded", "host=evil.test;proto=http"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("accept", "text/html"),
        ("accept-language", "fr"),
    ];
    for path in [METADATA, LEDGERS] {
        let plain = sent(&server, "GET", path, &[]).await;
        let other = sent(&server, "GET", path, &headers).await;
        assert_eq!((plain.headers, plain.body), (other.headers, other.body));
        let absolute = format!("http://evil.test{path}?tenant=evil");
        assert!(
            !sent(&server, "GET", &absolute, &[])
                .await
                .text()
                .contains("evil")
        );
    }
}

// req: 9728-2-1, 9728-2-4, 9728-3-1, 9728-3.1-3
#[tokio::test]
async fn rfc9728_3_each_resource_of_the_issuers_host_has_its_document_at_its_place() {
    let server = AuthorizationServer::builder(ISSUER)
        .resource(LEDGER, ["ledger.write", "ledger.read"])
        .resource("https://auth.harbor.test/t/1/files", ["files.read"])
        .resource("https://AUTH.harbor.test/Upper", Vec::<String>::new())
        .resource("https://auth.harbor.test", ["root"])
        .resource(FILES, ["files.read"])
        .resource("https://auth.harbor.test:8443/x", ["x"])
        .resource("urn:harbor:thing", ["thing"])
        .login("/login", |_| Subject::new("alice").ok());
    let server = Harness::of(server).await;
    let base = "/.well-known/oauth-protected-resource";
    for (place, resource, scopes) in [
        ("/ledger", LEDGER, json!(["ledger.read", "ledger.write"])),
        (
            "/t/1/files",
            "https://auth.harbor.test/t/1/files",
            json!(["files.read"]),
        ),
        ("/Upper", "https://AUTH.harbor.test/Upper", Value::Null),
        ("", "https://auth.harbor.test", json!(["root"])),
    ] {
        let document = server.get(&format!("{base}{place}"), None).await.json();
        let mut expected = json!({
            "resource": resource,
            "authorization_servers": [ISSUER],
            "bearer_methods_supported": ["header"],
        });
        if !scopes.is_null() {
            expected["scopes_supported"] = scopes;
        }
        assert_eq!(document, expected, "{place}");
    }
    for elsewhere in ["/files", "/x", "/ledger/", "/", "/t", "/upper"] {
        let answer = server.get(&format!("{base}{elsewhere}"), None).await;
        assert_eq!(answer.status, 404, "{elsewhere}");
    }
    let listed = server.get(METADATA, None).await.json();
    assert_eq!(listed["protected_resources"].as_array().unwrap().len(), 7);
    for bad in ["ledger", "/x", "https:x", "https://auth.harbor.test/#x"] {
        assert!(bad.parse::<ResourceUri>().is_err());
        assert!(builder().resource(bad, ["x"]).build().is_err(), "{bad}");
    }
    assert!(
        builder()
            .resource("https://AUTH.harbor.test/ledger", ["x"])
            .build()
            .is_err(),
        "one twice"
    );
}

// req: 9728-3.1-2, 9728-3.2-1, 9728-3.2-3, 9728-3.2-4
#[tokio::test]
async fn rfc9728_3_1_a_slash_after_the_host_and_a_query_are_no_part_of_the_path() {
    for (resource, place) in [
        ("https://auth.harbor.test/", ""),
        ("https://auth.harbor.test", ""),
        ("https://auth.harbor.test/?t=1", "?t=1"),
        ("https://auth.harbor.test/a/", "/a/"),
        ("https://auth.harbor.test/a?t=1", "/a?t=1"),
    ] {
        let server = AuthorizationServer::builder(ISSUER).resource(resource, Vec::<String>::new());
        let server = Harness::of(server).await;
        let target = format!("/.well-known/oauth-protected-resource{place}");
        let answer = server.get(&target, None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.member("resource")),
            (200, resource.to_owned())
        );
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.json().get("scopes_supported").is_none());
        assert_eq!(answer.json()["authorization_servers"], json!([ISSUER]));
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let without = server.get(path, None).await;
        assert_eq!(without.status == 404, !query.is_empty(), "{resource}");
        assert_eq!(without.body.is_empty(), !query.is_empty());
    }
}

// req: 9728-3.1-3, 9728-3-1
#[tokio::test]
async fn rfc9728_3_1_of_two_resources_on_one_path_each_has_its_own_document() {
    let plain = "https://auth.harbor.test/a";
    let tenant = "https://auth.harbor.test/a?t=1";
    for [first, second] in [[plain, tenant], [tenant, plain]] {
        let server = AuthorizationServer::builder(ISSUER)
            .resource(first, ["a"])
            .resource(second, ["b"]);
        let server = Harness::of(server).await;
        for (resource, place) in [(plain, "/a"), (tenant, "/a?t=1")] {
            let target = format!("/.well-known/oauth-protected-resource{place}");
            let answer = server.get(&target, None).await;
            assert_eq!(answer.member("resource"), resource, "{first} is the first");
        }
    }
}

// req: 9207-2.3-1, 9207-2.3-3, mcp-gen-10, mcp-gen-5
#[tokio::test]
async fn rfc9207_2_3_clients_learn_that_iss_is_sent_and_what_it_is() {
    let server = Harness::new().await;
    let document = server.get(METADATA, None).await.json();
    assert_eq!(
        document["authorization_response_iss_parameter_supported"],
        true
    );
    let answer = server.allow(&crate::support::changed(&[])).await;
    assert_eq!(
        answer.parameter("iss").as_deref(),
        document["issuer"].as_str()
    );
}

// req: 8628-4-1, 8628-4-2, 9700-2.1.1-4, 9700-4.7.1-1
#[tokio::test]
async fn rfc8628_4_clients_learn_of_the_device_grant_and_of_pkce() {
    let server = Harness::new().await;
    let document = server.get(METADATA, None).await.json();
    assert!(document["device_authorization_endpoint"].is_string());
    let grants = document["grant_types_supported"].as_array().unwrap();
    assert!(grants.contains(&json!(DEVICE_CODE)) && !grants.contains(&json!("device_code")));
    assert_eq!(
        document["code_challenge_methods_supported"],
        json!(["S256"])
    );
}
