//! Issuers of JWT access tokens: what their settings mean, which tokens they let in, and that no issuer speaks for another.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tower_oauth::resource::{ConfigError, HttpClient, JwtIssuer, Unavailable};
use tower_oauth::types::{InvalidIssuerUrl, JwsAlgorithm};
use tower_oauth::{Issuer, ResourceServer};

use crate::publisher::{
    Api, JWKS, Key, METADATA, OPENID, Publisher, claims, header, json_of, set, with,
};
use crate::support::{FILES, LEDGER, NOW};

const ISSUER: &str = "https://idp.harbor.test/realms/acme";
const EC_PUBLIC: &str = include_str!("keys/ec.pub.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa.pub.pem");
const SECRET: &str = "0123456789-0123456789-0123456789-0123456789-0123456789-0123456789";

/// Nobody may ask anything through it.
struct Nobody;

impl HttpClient for Nobody {
    async fn send(
        &self,
        request: Request<Bytes>,
        _: usize,
    ) -> Result<Response<Bytes>, Unavailable> {
        panic!("{} was asked", request.uri());
    }
}

fn build(issuer: JwtIssuer) -> Result<ResourceServer, ConfigError> {
    let builder = ResourceServer::builder(LEDGER).http_client(Nobody);
    builder.issuer(issuer).build()
}

/// A resource server whose issuer has keys that are never fetched.
fn fixed(more: impl FnOnce(JwtIssuer) -> JwtIssuer) -> Api {
    Api::of(|builder| {
        builder
            .http_client(Nobody)
            .issuer(more(Issuer::jwt(ISSUER)))
    })
}

fn known() -> String {
    set(&[(Key::Ec, "a"), (Key::Ed, "b"), (Key::Rsa, "c")])
}

/// A good token but for these members of its header and its claims.
fn token(key: Key, kid: &str, header_changes: &Value, claim_changes: &Value) -> String {
    let header = with(header(key, kid), header_changes);
    key.sign(&header, &with(claims(ISSUER, NOW), claim_changes))
}

fn good(key: Key, kid: &str) -> String {
    token(key, kid, &json!({}), &json!({}))
}

// req: 8725-3.5-1
#[test]
fn settings_that_make_no_sense_are_named_and_nobody_is_asked() {
    use JwsAlgorithm::{Es256, Hs256, Hs512, Rs256};
    let jwt = || Issuer::jwt(ISSUER);
    let secs = Duration::from_secs;
    for fine in [
        jwt(),
        jwt()
            .algorithms([Es256, Rs256])
            .leeway(secs(300))
            .timeout(secs(60)),
        jwt().jwks_uri("https://keys.harbor.test/jwks?x=1"),
        jwt().keys(known()),
        jwt().pem(format!("{EC_PUBLIC}{RSA_PUBLIC}")),
        jwt().shared_secret(Hs512, SECRET),
        jwt()
            .shared_secret(Hs256, &SECRET[..32])
            .algorithms([Hs256]),
        jwt().keys(known()).algorithms([Rs256]),
        Issuer::jwt("http://127.0.0.1:8080"),
    ] {
        let settings = format!("{fine:?}");
        assert!(!settings.contains("0123456789"), "{settings}");
        assert!(build(fine).is_ok(), "{settings}");
    }
    for (settings, error) in [
        (jwt().algorithms([]), ConfigError::Algorithms),
        (jwt().algorithms([Rs256, Hs256]), ConfigError::Algorithms),
        (
            jwt().keys(known()).algorithms([Hs256]),
            ConfigError::Algorithms,
        ),
        (
            jwt()
                .shared_secret(Hs256, SECRET)
                .algorithms([Hs256, Rs256]),
            ConfigError::Algorithms,
        ),
        (
            jwt().shared_secret(Rs256, SECRET),
            ConfigError::Keys("shared_secret"),
        ),
        (
            jwt().shared_secret(Hs256, &SECRET[..31]),
            ConfigError::Keys("shared_secret"),
        ),
        (
            jwt().shared_secret(Hs512, &SECRET[..63]),
            ConfigError::Keys("shared_secret"),
        ),
        (jwt().keys(""), ConfigError::Keys("keys")),
        (jwt().keys(set(&[])), ConfigError::Keys("keys")),
        (
            jwt().keys(r#"{"keys":[{"kty":"oct","k":"AA"}]}"#),
            ConfigError::Keys("keys"),
        ),
        (
            jwt().keys(set(&[(Key::Ec, "a")])).algorithms([Rs256]),
            ConfigError::Keys("keys"),
        ),
        (jwt().pem(""), ConfigError::Keys("pem")),
        (
            jwt().pem(include_str!("keys/ec.pem")),
            ConfigError::Keys("pem"),
        ),
        (
            jwt().jwks_uri("http://keys.harbor.test"),
            ConfigError::JwksUri,
        ),
        (jwt().jwks_uri("/jwks"), ConfigError::JwksUri),
        (jwt().keys(known()).pem(EC_PUBLIC), ConfigError::KeysTwice),
        (jwt().keys(known()).keys(known()), ConfigError::KeysTwice),
        (
            jwt()
                .jwks_uri("https://keys.harbor.test")
                .shared_secret(Hs256, SECRET),
            ConfigError::KeysTwice,
        ),
        (jwt().leeway(secs(301)), ConfigError::Leeway),
        (jwt().timeout(secs(0)), ConfigError::Timeout),
        (jwt().timeout(secs(61)), ConfigError::Timeout),
    ] {
        let shown = format!("{settings:?}");
        let found = build(settings).unwrap_err();
        assert_eq!(found, error, "{shown}");
        let setting = found.to_string();
        let (setting, _) = setting.split_once(':').unwrap();
        assert!(!setting.is_empty() && !setting.contains(' ') || error == ConfigError::KeysTwice);
    }
}

#[test]
fn v35_an_issuer_is_https_or_on_this_machine() {
    for (url, error) in [
        ("http://idp.harbor.test", InvalidIssuerUrl::NotHttps),
        ("http://10.0.0.1", InvalidIssuerUrl::NotHttps),
        ("http://127.0.0.2", InvalidIssuerUrl::NotHttps),
        ("ftp://idp.harbor.test", InvalidIssuerUrl::NotHttps),
        (
            "https://idp.harbor.test/?x",
            InvalidIssuerUrl::QueryOrFragment,
        ),
        ("https://IDP.harbor.test", InvalidIssuerUrl::NotAUrl),
        ("", InvalidIssuerUrl::NotAUrl),
    ] {
        let found = build(Issuer::jwt(url)).unwrap_err();
        assert_eq!(found, ConfigError::Issuer(error), "{url}");
        let found = build(Issuer::jwt(url).keys(known())).unwrap_err();
        assert_eq!(found, ConfigError::Issuer(error), "{url}");
    }
}

// req: 9068-2.1-3, 8725-3.1-1, 8725-3.2-1
#[tokio::test]
async fn keys_of_the_settings_are_never_fetched_and_check_what_they_are_for() {
    let api = fixed(|issuer| issuer.keys(known()));
    for (key, kid) in [(Key::Ec, "a"), (Key::Ed, "b"), (Key::Rsa, "c")] {
        assert!(api.is_good(&good(key, kid)).await, "{key:?}");
    }
    let nameless = token(Key::Rsa, "", &json!({"kid": null}), &json!({}));
    assert!(api.is_good(&nameless).await);
    api.is_invalid(&good(Key::Ec, "b")).await;
    api.is_invalid(&good(Key::Ec2, "a")).await;
    api.is_invalid(&good(Key::Ec, "other")).await;
    let narrow = fixed(|issuer| issuer.keys(known()).algorithms([JwsAlgorithm::Rs256]));
    assert!(narrow.is_good(&good(Key::Rsa, "c")).await);
    narrow.is_invalid(&good(Key::Ec, "a")).await;

    let pem = fixed(|issuer| issuer.pem(format!("{EC_PUBLIC}{RSA_PUBLIC}")));
    for (key, kid) in [(Key::Ec, "whatever"), (Key::Rsa, "c")] {
        assert!(pem.is_good(&good(key, kid)).await, "{key:?}");
    }
    pem.is_invalid(&good(Key::Ec2, "a")).await;
    pem.is_invalid(&good(Key::Ed, "b")).await;
}

#[tokio::test]
async fn v02_a_secret_opens_what_was_given_one_and_nothing_else() {
    use jsonwebtoken::{Algorithm, EncodingKey};
    let coded = |secret: &str, alg: &str| {
        use base64::Engine as _;
        let parts = [
            json!({"typ": "at+jwt", "alg": alg, "kid": "a"}),
            claims(ISSUER, NOW),
        ];
        let encode = |part: &Value| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(part.to_string())
        };
        let signed = parts.each_ref().map(encode).join(".");
        let key = EncodingKey::from_secret(secret.as_bytes());
        let code = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256);
        format!("{signed}.{}", code.unwrap())
    };
    let shared = fixed(|issuer| issuer.shared_secret(JwsAlgorithm::Hs256, SECRET));
    assert!(shared.is_good(&coded(SECRET, "HS256")).await);
    for (secret, alg) in [
        (&SECRET[1..], "HS256"),
        (SECRET, "HS384"),
        (SECRET, "none"),
        (SECRET, "RS256"),
    ] {
        shared.is_invalid(&coded(secret, alg)).await;
    }
    shared.is_invalid(&good(Key::Rsa, "c")).await;
    let published = fixed(|issuer| issuer.pem(RSA_PUBLIC));
    for secret in [RSA_PUBLIC, RSA_PUBLIC.trim_end(), SECRET] {
        published.is_invalid(&coded(secret, "HS256")).await;
    }
}

#[tokio::test]
async fn what_a_token_says_is_what_a_handler_is_told() {
    let api = fixed(|issuer| issuer.keys(known()));
    let claims =
        json!({"aud": ["x", LEDGER], "scope": "ledger.read ledger.write", "groups": ["a"]});
    let facts = api
        .check(&token(Key::Ec, "a", &json!({}), &claims))
        .await
        .unwrap();
    assert_eq!(facts.issuer().as_str(), ISSUER);
    assert_eq!(facts.subject().as_str(), "usr_50317");
    assert_eq!(facts.client_id().unwrap().as_str(), "cl_7Qm2v9Tz");
    assert_eq!(facts.scope().to_string(), "ledger.read ledger.write");
    assert_eq!(facts.audience(), ["x".into(), LEDGER.into()]);
    assert_eq!(facts.issued_at(), Some(NOW));
    assert_eq!(facts.expires_at().as_secs(), NOW.as_secs() + 900);
    assert_eq!(facts.jti(), Some("at-6f2c1d"));
    assert_eq!(facts.claims().get("groups"), Some(&json!(["a"])));
}

// req: 9068-4-6, 9068-4-10, 9068-4-14, 8725-3.9-1
#[tokio::test]
async fn rfc9068_4_audience_and_times_are_judged_on_every_request() {
    let api = fixed(|issuer| issuer.keys(known()));
    let of = |changes: &Value| token(Key::Ec, "a", &json!({}), changes);
    for aud in [
        json!(null),
        json!([]),
        json!(FILES),
        json!([FILES]),
        json!(7),
        json!(format!("{LEDGER}/")),
        json!(&LEDGER[..LEDGER.len() - 1]),
    ] {
        api.is_invalid(&of(&json!({"aud": aud}))).await;
    }
    let now = NOW.as_secs();
    api.is_invalid(&of(&json!({"exp": null}))).await;
    api.is_invalid(&of(&json!({"exp": now - 30}))).await;
    api.is_invalid(&of(&json!({"nbf": now + 31}))).await;
    api.is_invalid(&of(&json!({"iat": now + 31}))).await;
    for changes in [
        json!({"exp": now - 29}),
        json!({"nbf": now + 30}),
        json!({"iat": now + 30}),
    ] {
        assert!(api.is_good(&of(&changes)).await, "{changes}");
    }
    let strict = fixed(|issuer| issuer.keys(known()).leeway(Duration::ZERO));
    strict.is_invalid(&of(&json!({"exp": now}))).await;
    strict.is_invalid(&of(&json!({"nbf": now + 1}))).await;
    // V23: what is known expires too.
    let token = of(&json!({"exp": now + 10}));
    assert!(strict.is_good(&token).await);
    strict.advance(9);
    assert!(strict.is_good(&token).await);
    strict.advance(1);
    strict.is_invalid(&token).await;
}

// req: 9068-4-3, 9068-5-4
#[tokio::test]
async fn v12_a_token_that_does_not_say_to_be_an_access_token_needs_the_switch() {
    let strict = fixed(|issuer| issuer.keys(known()));
    let lenient = fixed(|issuer| issuer.keys(known()).accept_typ_jwt());
    let of = |typ: Value, claims: &Value| token(Key::Ec, "a", &json!({"typ": typ}), claims);
    let old = json!({"client_id": null, "jti": null, "azp": "cl_1"});
    for typ in [json!("JWT"), json!("jwt"), json!(null)] {
        let token = of(typ, &old);
        strict.is_invalid(&token).await;
        let facts = lenient.check(&token).await.unwrap();
        assert_eq!(facts.client_id().unwrap().as_str(), "cl_1");
    }
    assert!(lenient.is_good(&of(json!("at+jwt"), &json!({}))).await);
    for (typ, claims) in [
        (json!("JWT"), json!({"nonce": "n", "azp": "cl_1"})),
        (json!("JWT"), json!({"at_hash": "h"})),
        (json!("JWT"), json!({"events": {}})),
        (json!("JWT"), json!({"azp": LEDGER})),
        (json!("JWT"), json!({"typ": "ID"})),
        (json!("JWT"), json!({"token_use": "id"})),
        (json!("dpop+jwt"), json!({})),
        (json!("logout+jwt"), json!({})),
        (json!(7), json!({})),
    ] {
        lenient.is_invalid(&of(typ, &claims)).await;
    }
}

#[tokio::test]
async fn a_scope_may_stand_in_another_claim_and_be_a_list() {
    let of = |claims: Value| token(Key::Ec, "a", &json!({}), &claims);
    let listed = of(json!({"scope": ["ledger.read"]}));
    let plain = fixed(|issuer| issuer.keys(known()));
    plain.is_invalid(&listed).await;
    for (claim, token) in [
        ("scope", listed),
        ("scope", of(json!({}))),
        ("scp", of(json!({"scope": null, "scp": "ledger.read"}))),
        ("scp", of(json!({"scp": ["ledger.read"]}))),
    ] {
        let api = fixed(|issuer| issuer.keys(known()).scope_claim(claim));
        assert!(
            api.check(&token).await.unwrap().has_scope("ledger.read"),
            "{claim}"
        );
    }
}

// req: 8725-3.8-1, 9068-4-5
#[tokio::test]
async fn v10_no_issuer_speaks_for_another_though_their_keys_have_one_name() {
    let (one, two) = (Publisher::start().await, Publisher::named("/t").await);
    two.publish(&[(Key::Ec2, "a")]);
    let api = Api::of(|builder| builder.issuer(one.issuer()).issuer(two.issuer()));
    let of = |key: Key, iss: Value| {
        key.sign(
            &header(key, "a"),
            &with(claims("", NOW), &json!({"iss": iss})),
        )
    };
    // Each is known, whichever comes first.
    for _ in 0..2 {
        assert!(api.is_good(&of(Key::Ec, one.url().into())).await);
        assert!(api.is_good(&of(Key::Ec2, two.url().into())).await);
        api.is_invalid(&of(Key::Ec2, one.url().into())).await;
        api.is_invalid(&of(Key::Ec, two.url().into())).await;
    }
    let fetches = (one.paths().len(), two.paths().len());
    for iss in [
        json!(null),
        json!([one.url()]),
        json!([one.url(), two.url()]),
        json!(format!("{}/", one.url())),
        json!(format!("{}/t/", two.url())),
        json!(two.url().trim_end_matches("/t")),
        json!(one.url().replace("127.0.0.1", "localhost")),
        json!(one.url().to_uppercase()),
        json!(one.url().replace("http:", "https:")),
        json!("https://idp.harbor.test"),
        json!(""),
        json!(7),
    ] {
        for key in [Key::Ec, Key::Ec2] {
            api.is_invalid(&of(key, iss.clone())).await;
        }
    }
    // A key that only the other one has makes nobody ask the other one.
    two.publish(&[(Key::Ec2, "a"), (Key::Ed, "b")]);
    let token = Key::Ed.sign(&header(Key::Ed, "b"), &claims(&one.url(), NOW));
    api.is_invalid(&token).await;
    assert_eq!(
        (one.paths().len(), two.paths().len()),
        (fetches.0 + 1, fetches.1)
    );
}

#[tokio::test]
async fn v10_two_tenants_of_one_host_are_two_issuers() {
    let host = Publisher::start().await;
    let (a, b) = (format!("{}/a", host.url()), format!("{}/b", host.url()));
    for (tenant, kid, key) in [(&a, "a", Key::Ec), (&b, "b", Key::Ec2)] {
        let jwks_uri = format!("{tenant}/jwks");
        let document = json!({"issuer": tenant, "jwks_uri": jwks_uri}).to_string();
        host.reply(&format!("{METADATA}/{kid}"), json_of(&document));
        host.reply(&format!("/{kid}/jwks"), json_of(&set(&[(key, kid)])));
    }
    let api = Api::of(|builder| builder.issuer(Issuer::jwt(&a)).issuer(Issuer::jwt(&b)));
    let of = |key: Key, kid: &str, iss: &str| key.sign(&header(key, kid), &claims(iss, NOW));
    assert!(api.is_good(&of(Key::Ec, "a", &a)).await);
    assert!(api.is_good(&of(Key::Ec2, "b", &b)).await);
    for (key, kid, iss) in [
        (Key::Ec, "a", &b),
        (Key::Ec2, "b", &a),
        (Key::Ec, "a", &host.url()),
    ] {
        api.is_invalid(&of(key, kid, iss)).await;
    }
    // The host's own metadata is nobody's here.
    assert!(
        !host
            .paths()
            .iter()
            .any(|path| path == METADATA || path == OPENID || path == JWKS)
    );
}
