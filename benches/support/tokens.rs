//! Tokens of another issuer, and services that take them: ten claims, and 865 characters if they are signed with RS256.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;
use http_body_util::Empty;
use serde_json::json;
use tower_oauth::resource::{CacheLimits, Issuer, ResourceServer};

pub const API: &str = "https://api.example";
pub const AS: &str = "https://as.example";
const KID: &str = "2026-11-3f9c2d4e8a";
pub const SCOPE: &str = "notes:read";

/// What a future gives that does not wait.
pub fn finished<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

pub fn request(token: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::get("https://api.example/notes");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Empty::new()).unwrap()
}

/// A key, its public form, and how it signs.
pub struct Key {
    pub alg: &'static str,
    pub jwk: serde_json::Value,
    pub parsed: ParsedPublicKey,
    sign: Box<Sign>,
}

type Sign = dyn Fn(&[u8]) -> Vec<u8>;

impl Key {
    /// A new one, of 2,048 bits if it is RSA's.
    pub fn new(alg: &str) -> Self {
        let key = match alg {
            "RS256" => Self::rs256(),
            "ES256" => Self::es256(),
            _ => Self::eddsa(),
        };
        let token = key.token(0, 60);
        let (signed, signature) = Self::parts(&token);
        key.parsed.verify_sig(signed, &signature).unwrap();
        key
    }

    /// What is signed, and the signature.
    pub fn parts(token: &str) -> (&[u8], Vec<u8>) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        (
            signed.as_bytes(),
            URL_SAFE_NO_PAD.decode(signature).unwrap(),
        )
    }

    fn rs256() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({"kty": "RSA", "kid": KID, "use": "sig", "alg": "RS256",
            "n": encode(public.modulus().big_endian_without_leading_zero()),
            "e": encode(public.exponent().big_endian_without_leading_zero())});
        let der = public.as_der().unwrap();
        let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_ref()).unwrap();
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .unwrap();
            signature
        };
        Self {
            alg: "RS256",
            jwk,
            parsed,
            sign: Box::new(sign),
        }
    }

    fn es256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": KID, "use": "sig", "alg": "ES256",
            "x": encode(&point[1..33]), "y": encode(&point[33..])});
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).unwrap();
        let sign = move |message: &[u8]| {
            let signature = pair.sign(&SystemRandom::new(), message).unwrap();
            signature.as_ref().to_vec()
        };
        Self {
            alg: "ES256",
            jwk,
            parsed,
            sign: Box::new(sign),
        }
    }

    fn eddsa() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": KID, "use": "sig", "alg": "EdDSA",
            "x": URL_SAFE_NO_PAD.encode(&public)});
        let parsed = ParsedPublicKey::new(&ED25519, &public).unwrap();
        Self {
            alg: "EdDSA",
            jwk,
            parsed,
            sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
        }
    }

    /// A token with ten claims.
    pub fn token(&self, number: usize, lives: i64) -> String {
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_secs();
        let claims = json!({
            "iss": AS, "sub": format!("usr_{number:06}"), "aud": API, "exp": now.checked_add_signed(lives).unwrap(),
            "iat": now - 60, "nbf": now - 60, "jti": format!("4f6d2c1e-9a7b-4c3d-8e5f-{number:012}"), "client_id": "cl_7Qm2v9Tz",
            "scope": "notes:read notes:write profile email",
            "groups": ["engineering", "on-call", "harbor-admins", "release-managers", "incident-leaders"],
        });
        let header = json!({"alg": self.alg, "typ": "at+jwt", "kid": KID});
        let encode = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = (self.sign)(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A resource server that takes its tokens, and keeps them for so long.
    pub fn api(&self, cached_for: Duration, limits: CacheLimits) -> ResourceServer {
        let keys = json!({"keys": [self.jwk]}).to_string();
        let issuer = Issuer::jwt(AS).keys(keys).cached_for(cached_for);
        let builder = ResourceServer::builder(API).cache(limits);
        builder.issuer(issuer).build().unwrap()
    }
}
