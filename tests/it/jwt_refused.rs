//! What looks like an access token and is none, signed with the very key of the server: each check stands alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tower_oauth::types::{SigningAlgorithm, SigningKey};

use crate::in_process::send;
use crate::jwt::{JWKS, decoded, jwts, ledger};
use crate::support::{Harness, LEDGER};

const EC: &str = include_str!("keys/ec.pem");
const RSA: &str = include_str!("keys/rsa.pem");

/// A server that signs with a key that the test has too, and a good token of it.
struct Forge {
    server: Harness,
    header: Value,
    claims: Value,
}

impl Forge {
    async fn new() -> Self {
        let key = SigningKey::from_pem(EC).unwrap();
        let server = Harness::of(jwts(SigningAlgorithm::Es256).signing_key(key)).await;
        let token = server.tokens("").await.access_token();
        let claims = decoded(&server, &token, LEDGER).await.claims;
        let (header, _) = token.split_once('.').unwrap();
        let header = URL_SAFE_NO_PAD.decode(header).unwrap();
        let header = serde_json::from_slice(&header).unwrap();
        Self {
            server,
            header,
            claims,
        }
    }

    /// Signs with a key, whatever the header says.
    fn sign(pem: &str, header: &str, payload: &str) -> String {
        let parts = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = parts.join(".");
        let (key, algorithm) = if pem == RSA {
            (EncodingKey::from_rsa_pem(pem.as_bytes()), Algorithm::RS256)
        } else {
            (EncodingKey::from_ec_pem(pem.as_bytes()), Algorithm::ES256)
        };
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key.unwrap(), algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    fn with_header(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = self.header.clone();
        change(&mut header);
        Self::sign(EC, &header.to_string(), &self.claims.to_string())
    }

    fn with_claims(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        Self::sign(EC, &self.header.to_string(), &claims.to_string())
    }

    async fn is_good(&self, token: &str) -> bool {
        let active = self.server.is_active(token).await;
        let answer = send(&ledger(&self.server), token).await;
        assert_eq!(active, answer.status == 200, "{token}");
        if !active {
            answer.error(401, "invalid_token");
        }
        active
    }
}

#[tokio::test]
async fn v01_v02_a_token_without_a_signature_or_with_that_of_another_algorithm_is_refused() {
    let forge = Forge::new().await;
    assert!(forge.is_good(&forge.with_header(|_| {})).await);
    for alg in [
        "none", "None", "nOnE", "", "HS256", "RS256", "ES384", "EdDSA",
    ] {
        let token = forge.with_header(|header| header["alg"] = alg.into());
        assert!(!forge.is_good(&token).await, "{alg}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert!(!forge.is_good(&format!("{unsigned}.")).await);
        assert!(!forge.is_good(unsigned).await);
    }
    let absent = forge.with_header(|header| drop(header.as_object_mut().unwrap().remove("alg")));
    assert!(!forge.is_good(&absent).await);
    // A code made with what everybody knows of the key.
    let set = forge.server.get(JWKS, None).await.text();
    for secret in [EC, &set] {
        let header = json!({"typ": "at+jwt", "alg": "HS256", "kid": forge.header["kid"]});
        let parts =
            [header, forge.claims.clone()].map(|json| URL_SAFE_NO_PAD.encode(json.to_string()));
        let signed = parts.join(".");
        let key = EncodingKey::from_secret(secret.as_bytes());
        let code = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
        assert!(!forge.is_good(&format!("{signed}.{code}")).await);
    }
}

// req: 9068-4-9
#[tokio::test]
async fn v04_v05_the_keys_are_those_of_the_server_whatever_a_token_says() {
    let forge = Forge::new().await;
    let other = SigningKey::from_pem(RSA).unwrap();
    let jwks: Value = {
        let server = Harness::of(jwts(SigningAlgorithm::Rs256).signing_key(other)).await;
        server.get(JWKS, None).await.json()
    };
    let jwk = &jwks["keys"][0];
    for more in [
        json!({"jwk": jwk}),
        json!({"jku": "https://evil.test/jwks.json"}),
        json!({"x5u": "https://evil.test/cert"}),
        json!({"x5c": ["MIIB"]}),
        json!({"jwk": jwk, "kid": jwk["kid"]}),
    ] {
        let mut header = forge.header.clone();
        let members = header.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        // Beside the right key's signature they are not looked at, and do not spoil it.
        if more.get("kid").is_none() {
            let good = Forge::sign(EC, &header.to_string(), &forge.claims.to_string());
            assert!(forge.is_good(&good).await, "{more}");
        }
        header["alg"] = "RS256".into();
        let forged = Forge::sign(RSA, &header.to_string(), &forge.claims.to_string());
        assert!(!forge.is_good(&forged).await, "{more}");
    }
    let long = "k".repeat(8_000);
    for kid in [
        json!("../../etc/passwd"),
        json!("%00"),
        json!("a\r\nb"),
        json!("' OR 1=1 --"),
        json!(long),
        json!({"a": 1}),
        json!(7),
        json!(null),
        json!(""),
    ] {
        let token = forge.with_header(|header| header["kid"] = kid.clone());
        assert!(!forge.is_good(&token).await, "{kid}");
    }
}

// req: tol-typ-1
#[tokio::test]
async fn v12_another_kind_of_token_by_the_same_key_is_none_of_ours() {
    let forge = Forge::new().await;
    for typ in [
        "at+jwt",
        "at+JWT",
        "application/at+jwt",
        "Application/AT+JWT",
    ] {
        let token = forge.with_header(|header| header["typ"] = typ.into());
        assert!(forge.is_good(&token).await, "{typ}");
    }
    for typ in ["JWT", "dpop+jwt", "logout+jwt", "secevent+jwt", ""] {
        let token = forge.with_header(|header| header["typ"] = typ.into());
        assert!(!forge.is_good(&token).await, "{typ}");
    }
    // An ID token says who somebody is, and opens nothing.
    let id_token = json!({
        "iss": forge.claims["iss"], "sub": "alice", "aud": "app", "exp": forge.claims["exp"],
        "iat": forge.claims["iat"], "nonce": "n", "at_hash": "h",
    });
    let header = json!({"typ": "JWT", "alg": "ES256", "kid": forge.header["kid"]});
    let token = Forge::sign(EC, &header.to_string(), &id_token.to_string());
    assert!(!forge.is_good(&token).await);
    let token = Forge::sign(EC, &forge.header.to_string(), &id_token.to_string());
    assert!(!forge.is_good(&token).await);
}

#[tokio::test]
async fn v13_v14_v16_what_is_critical_packed_or_said_twice_is_refused() {
    let forge = Forge::new().await;
    for more in [
        json!({"crit": ["exp"]}),
        json!({"crit": [], "b64": false}),
        json!({"zip": "DEF"}),
        json!({"cty": "JWT"}),
    ] {
        let token = forge.with_header(|header| {
            let members = header.as_object_mut().unwrap();
            members.extend(more.as_object().unwrap().clone());
        });
        assert!(!forge.is_good(&token).await, "{more}");
    }
    let good = forge.with_claims(|_| {});
    assert!(forge.is_good(&good).await);
    assert!(
        !forge.is_good(&format!("{good}.AA.AA")).await,
        "five parts: encrypted"
    );
    for (name, value) in [
        ("scope", "\"ledger.read\""),
        ("aud", "\"x\""),
        ("iss", "\"x\""),
    ] {
        let (header, claims) = (forge.header.to_string(), forge.claims.to_string());
        let twice = claims.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        assert!(
            !forge.is_good(&Forge::sign(EC, &header, &twice)).await,
            "{twice}"
        );
    }
    let header = forge.header.to_string();
    let twice = header.replacen('{', "{\"alg\":\"ES256\",", 1);
    let token = Forge::sign(EC, &twice, &forge.claims.to_string());
    assert!(!forge.is_good(&token).await);
}

// req: tol-scope-3, tol-aud-2
#[tokio::test]
async fn v15_a_claim_that_is_missing_or_of_another_type_is_refused() {
    let forge = Forge::new().await;
    for name in [
        "iss",
        "exp",
        "aud",
        "sub",
        "client_id",
        "iat",
        "jti",
        "tower_oauth_ref",
    ] {
        let missing =
            forge.with_claims(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
        assert!(!forge.is_good(&missing).await, "{name}");
        for value in [json!(null), json!({}), json!(true), json!([]), json!(-1)] {
            let wrong = forge.with_claims(|claims| claims[name] = value.clone());
            assert!(!forge.is_good(&wrong).await, "{name} {value}");
        }
    }
    for (name, value) in [
        ("exp", json!("9999999999")),
        ("scope", json!(["ledger.read"])),
        ("iss", json!("https://auth.harbor.test/")),
        ("nbf", json!(9_999_999_999_u64)),
        ("iat", json!(9_999_999_999_u64)),
        (
            "cnf",
            json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        ),
        ("jti", json!("another")),
        ("tower_oauth_ref", json!("AAAAAAAAAAA")),
    ] {
        let wrong = forge.with_claims(|claims| claims[name] = value.clone());
        assert!(!forge.is_good(&wrong).await, "{name} {value}");
    }
    // Another vendor's name for the scope is not read for it.
    let scp = forge.with_claims(|claims| {
        claims["scp"] = claims.as_object_mut().unwrap().remove("scope").unwrap();
    });
    let facts = ledger(&forge.server).authenticate(&scp).await.unwrap();
    assert!(!facts.has_scope("ledger.read"));
    // A host that signs for others with its key has not made tokens of ours by it.
    let aud = forge.with_claims(|claims| claims["aud"] = json!("https://api.harbor.test"));
    let answer = send(&ledger(&forge.server), &aud).await;
    answer.error(401, "invalid_token");
}

// req: tol-clock-1
#[tokio::test]
async fn tol_clock_1_clocks_may_differ_by_half_a_minute_and_a_token_of_ours_ends_on_time() {
    let forge = Forge::new().await;
    let now = forge.server.clock_now().as_secs();
    for name in ["iat", "nbf"] {
        for (ahead, is_good) in [(0, true), (30, true), (31, false), (300, false)] {
            let token = forge.with_claims(|claims| claims[name] = json!(now + ahead));
            assert_eq!(forge.is_good(&token).await, is_good, "{name} {ahead}");
        }
    }
    // Whoever issued a token knows when it ends.
    for (left, is_good) in [(1, true), (0, false)] {
        let token = forge.with_claims(|claims| claims["exp"] = json!(now + left));
        assert_eq!(forge.is_good(&token).await, is_good, "exp {left}");
    }
}
