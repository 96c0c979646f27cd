//! Tokens that are bound to a key: good only with a proof of it, and nobody has asked for one here (RFC 7800 §3.1, RFC 8705, RFC 9449).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use http::{Request, StatusCode};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::resource::{Issuer, ResourceServer};
use tower_oauth::testing::Idp;

use crate::bearer::{API, AS, param};

fn servers(idp: &Idp) -> [ResourceServer; 2] {
    let server = |issuer: Issuer| {
        ResourceServer::builder(API)
            .issuer(issuer)
            .clock(idp.clock())
            .build()
            .unwrap()
    };
    [
        server(idp.issuer().into()),
        server(idp.opaque_issuer().into()),
    ]
}

/// Status, and error code of the challenge, of a request with these fields.
async fn answer(api: &ResourceServer, fields: &[(&str, &str)]) -> (StatusCode, Option<String>) {
    let hello = service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let mut request = Request::get("/notes");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(String::new()).unwrap();
    let response = api.layer().layer(hello).oneshot(request).await.unwrap();
    let is_refused = response.status() != StatusCode::OK;
    let error = is_refused.then(|| param(&response, "error")).flatten();
    (response.status(), error)
}

#[tokio::test]
async fn v31_a_token_that_is_bound_to_a_key_is_no_bearer_token() {
    let idp = Idp::new(AS, API);
    let [jwts, opaque] = servers(&idp);
    let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    for (cnf, status) in [
        (json!(null), StatusCode::OK),
        (json!({"jkt": thumbprint}), StatusCode::UNAUTHORIZED),
        (json!({"x5t#S256": thumbprint}), StatusCode::UNAUTHORIZED),
        (json!({"jwk": {}}), StatusCode::UNAUTHORIZED),
        (json!({}), StatusCode::UNAUTHORIZED),
    ] {
        let token = || idp.token("ada").claim("cnf", cnf.clone());
        for (api, token) in [(&jwts, token().mint()), (&opaque, token().mint_opaque())] {
            for _ in 0..2 {
                let field = format!("Bearer {token}");
                let (found, error) = answer(api, &[("authorization", &field)]).await;
                assert_eq!(found, status, "{cnf}");
                let expected = (status == StatusCode::UNAUTHORIZED).then_some("invalid_token");
                assert_eq!(error.as_deref(), expected, "{cnf}");
            }
            // With a proof beside it that nobody reads, it is no better; and by its own scheme it is none of ours.
            let field = format!("Bearer {token}");
            let proofs = [("authorization", &*field), ("dpop", "a"), ("dpop", "b")];
            assert_eq!(answer(api, &proofs).await.0, status, "{cnf}");
            let field = format!("DPoP {token}");
            let (found, error) = answer(api, &[("authorization", &field), ("dpop", "a")]).await;
            assert_eq!((found, error), (StatusCode::UNAUTHORIZED, None), "{cnf}");
        }
    }
}

#[tokio::test]
async fn v32_no_header_stands_for_a_client_certificate() {
    let idp = Idp::new(AS, API);
    let certificate = "-----BEGIN%20CERTIFICATE-----%0AMIIB%0A-----END%20CERTIFICATE-----";
    let bound = json!({"x5t#S256": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"});
    let [jwts, opaque] = servers(&idp);
    let token = || idp.token("ada").claim("cnf", bound.clone());
    for (api, token) in [(&jwts, token().mint()), (&opaque, token().mint_opaque())] {
        for name in [
            "x-forwarded-client-cert",
            "x-client-cert",
            "x-ssl-client-cert",
            "ssl-client-cert",
            "x-amzn-mtls-clientcert",
            "client-cert",
        ] {
            let field = format!("Bearer {token}");
            let fields = [("authorization", &*field), (name, certificate)];
            let (status, error) = answer(api, &fields).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}");
            assert_eq!(error.as_deref(), Some("invalid_token"));
            // Nor does one open the door without a token.
            let (status, error) = answer(api, &[(name, certificate)]).await;
            assert_eq!((status, error), (StatusCode::UNAUTHORIZED, None), "{name}");
        }
    }
}
