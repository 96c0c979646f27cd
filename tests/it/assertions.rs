//! No assertion is taken, neither for a client nor for a grant (RFC 7521, RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_oauth::types::{SigningAlgorithm, SigningKey};

use crate::jwt::{JWKS, jwts};
use crate::register::{open, refused, with};
use crate::support::{DEVICE_CODE, FOR_ITSELF, Harness, ISSUER, LEDGER, NOW, SECRET, redemption};

const EC: &str = include_str!("keys/ec.pem");
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const SAML_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";

fn parts(header: &Value, claims: &Value) -> String {
    let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    parts.join(".")
}

/// Assertions of a client that are as right as they can be but for one thing each, and one that is right in everything.
async fn assertions(server: &Harness, client: &str) -> Vec<(&'static str, String)> {
    let claims = json!({
        "iss": client, "sub": client, "aud": ISSUER, "exp": NOW.as_secs() + 60, "iat": NOW.as_secs(), "jti": "j1",
    });
    let jwks = server.get(JWKS, None).await;
    let key = jsonwebtoken::EncodingKey::from_ec_pem(EC.as_bytes()).unwrap();
    let es256 = |header: Value, claims: &Value| {
        let signed = parts(&header, claims);
        let algorithm = jsonwebtoken::Algorithm::ES256;
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        format!("{signed}.{signature}")
    };
    let hs256 = |secret: &[u8]| {
        let signed = parts(&json!({"alg": "HS256", "typ": "JWT"}), &claims);
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        let algorithm = jsonwebtoken::Algorithm::HS256;
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        format!("{signed}.{signature}")
    };
    let with = |name: &str, value: Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        es256(json!({"alg": "ES256"}), &changed)
    };
    vec![
        ("right", es256(json!({"alg": "ES256"}), &claims)),
        ("none", parts(&json!({"alg": "none"}), &claims) + "."),
        ("nOnE", parts(&json!({"alg": "nOnE"}), &claims) + "."),
        ("two parts", parts(&json!({"alg": "none"}), &claims)),
        ("HS256 by the client's secret", hs256(SECRET.as_bytes())),
        ("HS256 by the public keys", hs256(&jwks.body)),
        ("HS256 by nothing", hs256(b"")),
        (
            "a key of its own",
            es256(json!({"alg": "ES256", "jwk": {"kty": "EC"}}), &claims),
        ),
        (
            "an unknown crit",
            es256(json!({"alg": "ES256", "crit": ["x"], "x": 1}), &claims),
        ),
        ("of another audience", with("aud", json!("https://a.test"))),
        ("expired", with("exp", json!(1))),
        ("for ever", with("exp", json!(u64::MAX))),
        ("no JWT", "x".to_owned()),
    ]
}

async fn server() -> Harness {
    let key = SigningKey::from_pem(EC).unwrap();
    Harness::of(jwts(SigningAlgorithm::Es256).signing_key(key)).await
}

// req: tol-method-2
#[tokio::test]
async fn s09_no_client_is_authenticated_by_an_assertion_and_none_gets_by_as_if_it_had_sent_nothing()
{
    let server = server().await;
    let (access, refresh) = server.tokens("").await.pair();
    let refreshes = format!("grant_type=refresh_token&refresh_token={refresh}");
    let token = format!("token={access}");
    let requests = [
        ("/auth/token", FOR_ITSELF),
        ("/auth/token", &refreshes),
        ("/auth/revoke", &token),
        ("/auth/introspect", &token),
        ("/auth/device", "scope=ledger.read"),
    ];
    for client in ["app", "web", "nobody"] {
        let named = format!("&client_id={client}");
        for (case, assertion) in assertions(&server, client).await {
            for kind in [JWT_BEARER, ""] {
                let asserts = format!("client_assertion_type={kind}&client_assertion={assertion}");
                for (path, form) in requests {
                    for id in ["", &named] {
                        let answer = server.post(path, &format!("{form}&{asserts}{id}")).await;
                        assert_eq!(answer.status, 401, "{client}, {case}: {answer:?}");
                        answer.error(401, "invalid_client");
                    }
                    // Nor is it passed over where something else would do: these are two ways at once (RFC 6749 §2.3).
                    let both = format!("{form}&{asserts}&client_id=web&client_secret={SECRET}");
                    server.post(path, &both).await.error(400, "invalid_request");
                    let both = format!("{form}&{asserts}");
                    let answer = server.post_as(path, ("web", SECRET), &both).await;
                    answer.error(400, "invalid_request");
                }
            }
        }
    }
    for kind in [JWT_BEARER, SAML_BEARER, "x"] {
        let typed = format!("{refreshes}&client_id=app&client_assertion_type={kind}");
        let answer = server.post("/auth/token", &typed).await;
        answer.error(401, "invalid_client");
    }
    assert!(server.is_active(&access).await);
    server.refresh(&refresh, "").await.pair();
}

// req: tol-method-2
#[tokio::test]
async fn s09_a_client_that_would_prove_itself_by_a_key_is_not_registered_as_one_that_has_none() {
    let server = open().await;
    let before = server.oauth.clients().list().await.unwrap().len();
    for method in [
        "private_key_jwt",
        "client_secret_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
        "attest_jwt_client_auth",
        "None",
        "",
    ] {
        let members = format!(
            r#""token_endpoint_auth_method":"{method}","jwks":{{"keys":[]}},"token_endpoint_auth_signing_alg":"none""#
        );
        let answer = with(&server, &members).await;
        refused(&answer, "invalid_client_metadata", method);
    }
    let after = server.oauth.clients().list().await.unwrap().len();
    assert_eq!(after, before, "nothing was registered");
}

#[tokio::test]
async fn s09_an_assertion_is_no_grant_whatever_it_says_and_whoever_brings_it() {
    let server = server().await;
    let code = server.code_for("web", "").await;
    for (case, assertion) in assertions(&server, "alice").await {
        for grant in [
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "urn:ietf:params:oauth:grant-type:saml2-bearer",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ] {
            let form = format!(
                "grant_type={grant}&assertion={assertion}&subject_token={assertion}&scope=ledger.read&resource={LEDGER}"
            );
            let answer = server.web(&form).await;
            assert_eq!(answer.status, 400, "{case}: {answer:?}");
            answer.error(400, "unsupported_grant_type");
        }
        // Nor does it stand for what another grant needs.
        for form in [
            format!("grant_type=authorization_code&code={assertion}&assertion={assertion}"),
            format!("grant_type=refresh_token&refresh_token={assertion}"),
            format!("grant_type={DEVICE_CODE}&device_code={assertion}"),
        ] {
            let answer = server.web(&form).await;
            assert_eq!(answer.status, 400, "{case}: {answer:?}");
        }
    }
    server.web(&redemption("web", &code)).await.pair();
}
