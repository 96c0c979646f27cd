//! Keys that check signatures, parsed once, and their public form as a JWK (RFC 7517).

use aws_lc_rs::rsa::PublicKeyComponents;
#[cfg(feature = "jwks")]
use aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::JwsAlgorithm;
#[cfg(any(feature = "jwt", all(feature = "testing", feature = "jwks")))]
use super::signing_key::SigningAlgorithm;

/// A key that checks signatures by the algorithms it was made for, never by that which a token names (RFC 8725 §3.1).
#[derive(Debug)]
pub(crate) struct PublicKey {
    /// Parsed once for each algorithm.
    checks: Vec<(JwsAlgorithm, ParsedPublicKey)>,
    /// How long its signatures are, in bytes.
    signature_len: usize,
    jwk: Parameters,
}

/// What makes a public key, with nothing private and nothing symmetric: there is no member that could hold it.
///
/// The members stand in the order of RFC 7638 §3.2, so that the JSON is what its thumbprint is made of.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Parameters {
    Ec {
        crv: &'static str,
        kty: &'static str,
        x: String,
        y: String,
    },
    Okp {
        crv: &'static str,
        kty: &'static str,
        x: String,
    },
    Rsa {
        e: String,
        kty: &'static str,
        n: String,
    },
}

/// A public key in a JWK set (RFC 7517 §4).
#[cfg(any(feature = "jwt", all(feature = "testing", feature = "jwks")))]
#[derive(Debug, Serialize)]
pub(crate) struct Jwk<'a> {
    #[serde(flatten)]
    parameters: &'a Parameters,
    r#use: &'static str,
    alg: &'static str,
    kid: &'a str,
}

impl PublicKey {
    /// A point on P-256, not compressed: 4, and both coordinates.
    pub(crate) fn p256(point: &[u8]) -> Option<Self> {
        Self::point(
            "P-256",
            32,
            point,
            (JwsAlgorithm::Es256, &ECDSA_P256_SHA256_FIXED),
        )
    }

    /// A point on P-384, not compressed.
    #[cfg(feature = "jwks")]
    pub(crate) fn p384(point: &[u8]) -> Option<Self> {
        Self::point(
            "P-384",
            48,
            point,
            (JwsAlgorithm::Es384, &ECDSA_P384_SHA384_FIXED),
        )
    }

    /// The 32 bytes of RFC 8032.
    pub(crate) fn ed25519(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 32 {
            return None;
        }
        let jwk = Parameters::Okp {
            crv: "Ed25519",
            kty: "OKP",
            x: URL_SAFE_NO_PAD.encode(bytes),
        };
        let parsed = ParsedPublicKey::new(&ED25519, bytes).ok()?;
        Some(Self {
            checks: vec![(JwsAlgorithm::EdDsa, parsed)],
            signature_len: 64,
            jwk,
        })
    }

    /// Modulus and exponent, most significant byte first, without leading zeros. Of 2,048 bits at least (RFC 7518 §3.3), and of 8,192
    /// at most: what is longer keeps others waiting.
    pub(crate) fn rsa(
        modulus: &[u8],
        exponent: &[u8],
        algorithms: &[JwsAlgorithm],
    ) -> Option<Self> {
        let bits = modulus.len() * 8 - usize::try_from(modulus.first()?.leading_zeros()).ok()?;
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        // Under an exponent of 1 every message is its own signature; none that is in use is longer than 8 bytes.
        let is_exponent = is_odd(exponent) && exponent != [1] && exponent.len() <= 8;
        if !(2048..=8192).contains(&bits) || !is_odd(modulus) || !is_exponent {
            return None;
        }
        let jwk = Parameters::Rsa {
            e: URL_SAFE_NO_PAD.encode(exponent),
            kty: "RSA",
            n: URL_SAFE_NO_PAD.encode(modulus),
        };
        let components = PublicKeyComponents {
            n: modulus,
            e: exponent,
        };
        let check = |algorithm| {
            let parsed = components.to_parsed_public_key(rsa_parameters(algorithm)?);
            Some((algorithm, parsed.ok()?))
        };
        Some(Self {
            checks: algorithms
                .iter()
                .copied()
                .map(check)
                .collect::<Option<_>>()?,
            signature_len: modulus.len(),
            jwk,
        })
    }

    fn point(
        crv: &'static str,
        size: usize,
        point: &[u8],
        (algorithm, check): (JwsAlgorithm, &'static dyn VerificationAlgorithm),
    ) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(size)?;
        let jwk = Parameters::Ec {
            crv,
            kty: "EC",
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        };
        Some(Self {
            checks: vec![(algorithm, ParsedPublicKey::new(check, point).ok()?)],
            signature_len: 2 * size,
            jwk,
        })
    }

    /// Whether this is the signature of the message by the key's private part (RFC 7515 §5.2), by this algorithm. One of another
    /// length is none, and costs nothing.
    pub(crate) fn has_signed(
        &self,
        algorithm: JwsAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        signature.len() == self.signature_len
            && self.checks.iter().any(|(checks, parsed)| {
                *checks == algorithm && parsed.verify_sig(message, signature).is_ok()
            })
    }

    /// RFC 7638 §3.
    pub(crate) fn thumbprint(&self) -> [u8; 32] {
        // Texts alone: they always have a JSON form.
        let json = serde_json::to_vec(&self.jwk).unwrap_or_default();
        Sha256::digest(json).into()
    }
}

#[cfg(feature = "jwks")]
impl PublicKey {
    /// What it checks.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = JwsAlgorithm> {
        self.checks.iter().map(|(algorithm, _)| *algorithm)
    }
}

#[cfg(any(feature = "jwt", all(feature = "testing", feature = "jwks")))]
impl PublicKey {
    pub(crate) const fn algorithm(&self) -> SigningAlgorithm {
        match self.jwk {
            Parameters::Ec { .. } => SigningAlgorithm::Es256,
            Parameters::Okp { .. } => SigningAlgorithm::EdDsa,
            Parameters::Rsa { .. } => SigningAlgorithm::Rs256,
        }
    }

    pub(crate) fn jwk<'a>(&'a self, kid: &'a str) -> Jwk<'a> {
        Jwk {
            parameters: &self.jwk,
            r#use: "sig",
            alg: self.algorithm().as_str(),
            kid,
        }
    }
}

const fn rsa_parameters(algorithm: JwsAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        JwsAlgorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        JwsAlgorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        JwsAlgorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        JwsAlgorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        JwsAlgorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        JwsAlgorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

#[cfg(feature = "jwt")]
#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::PublicKey;
    use crate::types::JwsAlgorithm;

    const RS256: [JwsAlgorithm; 1] = [JwsAlgorithm::Rs256];

    fn decoded(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn rfc7638_3_1_the_thumbprint_of_the_example() {
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::rsa(&decoded(modulus), &decoded("AQAB"), &RS256).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(key.thumbprint()),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        let jwk = serde_json::to_value(key.jwk("2011-04-29")).unwrap();
        assert_eq!(
            jwk,
            json!({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "use": "sig", "kid": "2011-04-29"})
        );
    }

    // req: tol-alg-1
    #[test]
    fn rfc8037_a_signature_holds_for_its_message_alone() {
        let key =
            PublicKey::ed25519(&decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")).unwrap();
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = decoded(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
        let has_signed = |message: &[u8], signature: &[u8]| {
            key.has_signed(JwsAlgorithm::EdDsa, message, signature)
        };
        assert!(has_signed(message, &signature));
        assert!(!has_signed(b"other", &signature));
        assert!(!has_signed(message, &[]));
        assert!(!has_signed(message, &signature[1..]));
        assert!(!key.has_signed(JwsAlgorithm::Es256, message, &signature));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(PublicKey::p256(&[4; 65]).is_none(), "not on the curve");
        assert!(PublicKey::p256(&[]).is_none());
        assert!(PublicKey::ed25519(&[1; 31]).is_none());
        let rsa = |modulus: &[u8], exponent: &[u8]| PublicKey::rsa(modulus, exponent, &RS256);
        assert!(rsa(&[0xFF; 256], &[1, 0, 1]).is_some());
        assert!(rsa(&[0xFF; 1024], &[3]).is_some());
        assert!(rsa(&[0xFF; 128], &[1, 0, 1]).is_none(), "1,024 bits");
        assert!(rsa(&[0x7F; 256], &[1, 0, 1]).is_none(), "2,047 bits");
        assert!(rsa(&[0xFF; 1025], &[1, 0, 1]).is_none(), "8,200 bits");
        for exponent in [&[][..], &[1], &[2], &[1, 0], &[0, 1], &[1; 9]] {
            assert!(rsa(&[0xFF; 256], exponent).is_none(), "{exponent:?}");
        }
        assert!(rsa(&[], &[3]).is_none());
        let even = [&[0xFF; 255][..], &[0xFE]].concat();
        assert!(rsa(&even, &[1, 0, 1]).is_none(), "even");
        assert!(PublicKey::rsa(&[0xFF; 256], &[3], &[JwsAlgorithm::Es256]).is_none());
    }
}
