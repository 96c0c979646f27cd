//! Proof key for code exchange (RFC 7636). `S256` only: `plain` is not offered (RFC 9700 §2.1.1).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A `code_challenge` of method `S256`: the SHA-256 of a verifier, written as 43 characters of base64url (RFC 7636 §4.2).
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Whether the challenge was made from this verifier, in constant time (RFC 7636 §4.6).
    #[must_use]
    pub fn matches(&self, verifier: &CodeVerifier) -> bool {
        let made: [u8; 32] = Sha256::digest(verifier.0.as_bytes()).into();
        made.ct_eq(&self.0).into()
    }
}

impl FromStr for CodeChallenge {
    type Err = InvalidCodeChallenge;

    fn from_str(text: &str) -> Result<Self, InvalidCodeChallenge> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| InvalidCodeChallenge)?;
        bytes.try_into().map(Self).map_err(|_| InvalidCodeChallenge)
    }
}

impl TryFrom<String> for CodeChallenge {
    type Error = InvalidCodeChallenge;

    fn try_from(text: String) -> Result<Self, InvalidCodeChallenge> {
        text.parse()
    }
}

impl Serialize for CodeChallenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::Digest::from_bytes(self.0).serialize(serializer)
    }
}

impl From<CodeChallenge> for String {
    fn from(challenge: CodeChallenge) -> Self {
        URL_SAFE_NO_PAD.encode(challenge.0)
    }
}

impl fmt::Debug for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeChallenge(…)")
    }
}

/// Not 43 characters of base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code_challenge of method S256 is 43 characters of base64url")]
#[non_exhaustive]
pub struct InvalidCodeChallenge;

/// A `code_verifier`: `43*128unreserved`, `unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"` (RFC 7636 §4.1).
#[derive(Clone)]
pub struct CodeVerifier(Zeroizing<String>);

impl FromStr for CodeVerifier {
    type Err = InvalidCodeVerifier;

    fn from_str(text: &str) -> Result<Self, InvalidCodeVerifier> {
        let unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if !(43..=128).contains(&text.len()) || !text.bytes().all(unreserved) {
            return Err(InvalidCodeVerifier);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeVerifier(…)")
    }
}

/// Not 43 to 128 unreserved characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code_verifier is 43 to 128 unreserved characters")]
#[non_exhaustive]
pub struct InvalidCodeVerifier;

#[cfg(test)]
mod tests {
    use super::{CodeChallenge, CodeVerifier};

    // req: 7636-4.2-1, 7636-4.6-1
    #[test]
    fn rfc7636_4_2_a_challenge_matches_its_verifier_and_no_other() {
        // RFC 7636, appendix B, and a pair of our own.
        for (verifier, challenge) in [
            (
                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            ),
            (
                "kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z",
                "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw",
            ),
        ] {
            let challenge: CodeChallenge = challenge.parse().unwrap();
            assert!(challenge.matches(&verifier.parse().unwrap()));
            assert!(!challenge.matches(&"a".repeat(43).parse().unwrap()));
        }
    }

    // req: 7636-4.6-3
    #[test]
    fn rfc7636_4_6_a_challenge_is_compared_in_constant_time_and_in_no_other_way() {
        let (code, _) = include_str!("pkce.rs").split_once("#[cfg(test)]").unwrap();
        assert_eq!(code.matches(".ct_eq(").count(), 1);
        let (challenge, _) = code.split_once("pub struct InvalidCodeChallenge").unwrap();
        // The error may be compared; the challenge has no `==`.
        let (challenge, _) = challenge.rsplit_once("#[derive(").unwrap();
        for other in ["PartialEq", " == ", ".eq(", "cmp("] {
            assert!(!challenge.contains(other), "{other}");
        }
    }

    // req: 7636-4.1-1
    #[test]
    fn rfc7636_4_1_a_verifier_is_43_to_128_unreserved_characters() {
        for good in [
            "a".repeat(43),
            "a".repeat(128),
            format!("{}-._~", "Z9".repeat(20)),
        ] {
            assert!(good.parse::<CodeVerifier>().is_ok(), "{good}");
        }
        for bad in [
            "a".repeat(42),
            "a".repeat(129),
            format!("{}+", "a".repeat(43)),
            "é".repeat(43),
            String::new(),
        ] {
            assert!(bad.parse::<CodeVerifier>().is_err(), "{bad}");
        }
    }

    // req: 7636-4.2-4
    #[test]
    fn rfc7636_4_2_a_challenge_is_exactly_43_characters_of_base64url() {
        assert!(
            "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw"
                .parse::<CodeChallenge>()
                .is_ok()
        );
        for bad in [
            "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nA",
            "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw=",
            "kj6EpUHcHNLovRS2MBmyXh3DG+X5wwG4xn21qr77nAw",
            "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAwA",
            "",
        ] {
            assert!(bad.parse::<CodeChallenge>().is_err(), "{bad}");
        }
    }
}
