//! Keys that sign, parsed once (RFC 7515, RFC 7517, RFC 7518).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::JwsAlgorithm;
use super::public_key::PublicKey;

/// A signature algorithm for tokens (RFC 7518 §3.1, RFC 8037 §3.1). There is no symmetric one and no `none`: who can check a token
/// must not be able to make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// ECDSA with P-256 and SHA-256: small keys, small signatures, known everywhere.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519. Also called `Ed25519` (RFC 9864).
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for services that know nothing else (RFC 9068 §2.1). Keys that are made here have 2,048 bits.
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    /// Its name in a header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// The same among all that can be checked.
    pub(crate) const fn jws(self) -> JwsAlgorithm {
        match self {
            Self::Es256 => JwsAlgorithm::Es256,
            Self::EdDsa => JwsAlgorithm::EdDsa,
            Self::Rs256 => JwsAlgorithm::Rs256,
        }
    }

    /// The algorithm of this name, byte for byte (RFC 7515 §4.1.1).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }
}

/// A private key, ready to sign: a cheap clone. Neither its `Debug` nor anything else shows it.
#[derive(Clone)]
pub struct SigningKey(Arc<Parsed>);

struct Parsed {
    kid: String,
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl SigningKey {
    /// Reads a key in PEM: PKCS#8 (`PRIVATE KEY`), SEC 1 (`EC PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`), on P-256, Ed25519, or RSA of at
    /// least 2,048 bits. Its `kid` is its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// [`InvalidSigningKey`] if it is none of these.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidSigningKey> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| InvalidSigningKey)?;
        let pair = match der {
            PrivateKeyDer::Pkcs8(der) => Pair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                der.secret_sec1_der(),
            )
            .ok()
            .map(Pair::Es256),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der())
                .ok()
                .map(Pair::Rs256),
            _ => None,
        };
        Self::new(pair.ok_or(InvalidSigningKey)?, None)
    }

    /// Reads a private JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2), with its `kid` if it has one, of 1 to 255 characters, or else with its
    /// thumbprint (RFC 7638).
    ///
    /// # Errors
    /// [`InvalidSigningKey`] if it is no private key on P-256, Ed25519 or RSA of at least 2,048 bits, says by `use`, `key_ops` or `alg` that it
    /// is for something else, or has another `kid`.
    pub fn from_jwk(json: &str) -> Result<Self, InvalidSigningKey> {
        let jwk: PrivateJwk = serde_json::from_str(json).map_err(|_| InvalidSigningKey)?;
        let pair = jwk.pair().ok_or(InvalidSigningKey)?;
        let other_use = jwk.r#use.as_deref().is_some_and(|usage| usage != "sig");
        let other_alg = jwk
            .alg
            .as_deref()
            .is_some_and(|alg| SigningAlgorithm::from_name(alg) != Some(pair.algorithm()));
        let other_ops = jwk
            .key_ops
            .as_ref()
            .is_some_and(|ops| !ops.iter().any(|op| op == "sign"));
        // It stands in each token.
        let other_kid = jwk
            .kid
            .as_deref()
            .is_some_and(|kid| !(1..=255).contains(&kid.chars().count()));
        if other_use || other_alg || other_ops || other_kid {
            return Err(InvalidSigningKey);
        }
        Self::new(pair, jwk.kid.clone())
    }

    /// Makes a new one. RSA takes a good part of a second.
    pub(crate) fn generate(algorithm: SigningAlgorithm) -> Result<Self, InvalidSigningKey> {
        let pair = match algorithm {
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Es256)
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate().map(Pair::EdDsa),
            SigningAlgorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rs256),
        };
        Self::new(pair.map_err(|_| InvalidSigningKey)?, None)
    }

    /// Reads what [`to_pkcs8`](Self::to_pkcs8) wrote.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, InvalidSigningKey> {
        Self::new(Pair::from_pkcs8(der).ok_or(InvalidSigningKey)?, None)
    }

    /// All of it, to be kept.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, InvalidSigningKey> {
        let copy = |der: &[u8]| Zeroizing::new(der.to_vec());
        let der = match &self.0.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1().map(|der| copy(der.as_ref())),
            Pair::EdDsa(pair) => pair.to_pkcs8().map(|der| copy(der.as_ref())),
            Pair::Rs256(pair) => {
                let der: Result<Pkcs8V1Der<'_>, _> = pair.as_der();
                der.map(|der| copy(der.as_ref()))
            }
        };
        der.map_err(|_| InvalidSigningKey)
    }

    fn new(pair: Pair, kid: Option<String>) -> Result<Self, InvalidSigningKey> {
        let public = match &pair {
            Pair::Es256(pair) => PublicKey::p256(pair.public_key().as_ref()),
            Pair::EdDsa(pair) => PublicKey::ed25519(pair.public_key().as_ref()),
            Pair::Rs256(pair) => {
                let key = pair.public_key();
                let (modulus, exponent) = (key.modulus(), key.exponent());
                PublicKey::rsa(
                    modulus.big_endian_without_leading_zero(),
                    exponent.big_endian_without_leading_zero(),
                    &[JwsAlgorithm::Rs256],
                )
            }
        };
        let public = public.ok_or(InvalidSigningKey)?;
        let kid = kid.unwrap_or_else(|| URL_SAFE_NO_PAD.encode(public.thumbprint()));
        Ok(Self(Arc::new(Parsed { kid, pair, public })))
    }

    /// The name that tokens know it by (RFC 7515 §4.1.4). Not a secret.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.0.pair.algorithm()
    }

    /// What others check its signatures with.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.0.public
    }

    /// The signature of a message (RFC 7515 §5.1).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let random = SystemRandom::new();
        match &self.0.pair {
            Pair::Es256(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::EdDsa(pair) => pair
                .try_sign(message)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
        }
        .map_err(|_| SigningFailed)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid())
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

impl Pair {
    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(Self::Es256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8(der).map(Self::EdDsa))
            .or_else(|_| RsaKeyPair::from_pkcs8(der).map(Self::Rs256))
            .ok()
    }

    const fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::Es256(_) => SigningAlgorithm::Es256,
            Self::EdDsa(_) => SigningAlgorithm::EdDsa,
            Self::Rs256(_) => SigningAlgorithm::Rs256,
        }
    }
}

/// A private JWK, as it is read. Numbers are base64url, most significant byte first (RFC 7518 §2).
#[derive(Deserialize)]
struct PrivateJwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    d: Option<Number>,
    x: Option<Number>,
    y: Option<Number>,
    n: Option<Number>,
    e: Option<Number>,
    p: Option<Number>,
    q: Option<Number>,
    dp: Option<Number>,
    dq: Option<Number>,
    qi: Option<Number>,
}

struct Number(Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes());
        // What was wrong with it would quote a part of it.
        let bytes = bytes.map_err(|_| D::Error::custom("not base64url"))?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

impl AsRef<[u8]> for Number {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PrivateJwk {
    fn pair(&self) -> Option<Pair> {
        let d = self.d.as_ref()?;
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                let mut point = vec![4]; // SEC 1 §2.3.3: not compressed
                for coordinate in [self.x.as_ref()?, self.y.as_ref()?] {
                    point.extend_from_slice(coordinate.as_ref());
                }
                EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    d.as_ref(),
                    &point,
                )
                .ok()
                .map(Pair::Es256)
            }
            ("OKP", Some("Ed25519")) => {
                let public = self.x.as_ref()?.as_ref();
                Ed25519KeyPair::from_seed_and_public_key(d.as_ref(), public)
                    .ok()
                    .map(Pair::EdDsa)
            }
            ("RSA", None) => RsaKeyPair::from_components(&KeyPairComponents {
                public_key: PublicKeyComponents {
                    n: self.n.as_ref()?,
                    e: self.e.as_ref()?,
                },
                d,
                p: self.p.as_ref()?,
                q: self.q.as_ref()?,
                dP: self.dp.as_ref()?,
                dQ: self.dq.as_ref()?,
                qInv: self.qi.as_ref()?,
            })
            .ok()
            .map(Pair::Rs256),
            _ => None,
        }
    }
}

/// Not a private key that tokens are signed with: P-256, Ed25519, or RSA of at least 2,048 bits. What was wrong with it is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private key on P-256, on Ed25519 or of RSA with at least 2,048 bits")]
#[non_exhaustive]
pub struct InvalidSigningKey;

/// The cryptography failed: nothing is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub(crate) struct SigningFailed;
