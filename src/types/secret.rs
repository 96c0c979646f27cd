//! What a client holds, and what a store holds instead of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A token, code or client secret in the clear. It has no `==` and no `Display`, its `Debug` is redacted, and its memory is wiped
/// when it is dropped.
///
/// Generated ones are a prefix and 43 characters of base64url: 256 bits from the operating system (RFC 6749 §10.10).
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Makes a new one: 256 bits from the operating system, as 43 letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`RandomnessUnavailable`] if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, RandomnessUnavailable> {
        Self::generate_with_prefix("")
    }

    /// As [`generate`](Self::generate), with a fixed text in front, so that scanners know a leaked one.
    ///
    /// # Errors
    /// [`RandomnessUnavailable`] if the operating system gives no random bytes.
    pub fn generate_with_prefix(prefix: &str) -> Result<Self, RandomnessUnavailable> {
        let bytes = random::<32>()?;
        Ok(Self::encode(prefix, bytes.as_slice()))
    }

    /// Takes a secret that was chosen elsewhere, such as a client secret from a vault.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, to be handed to the client that it was made for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn encode(prefix: &str, bytes: &[u8]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(
            prefix.len() + bytes.len().div_ceil(3) * 4,
        ));
        text.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Random bytes from the operating system; there is no other source, so nobody can plug in a weak one.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, RandomnessUnavailable> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| RandomnessUnavailable)?;
    Ok(bytes)
}

/// The operating system gave no random bytes; nothing can be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
#[non_exhaustive]
pub struct RandomnessUnavailable;

/// SHA-256 of a secret, under a name that says what kind of secret it is: all that a store ever sees.
///
/// The kind is part of what is hashed, so that the digest of a code is never the digest of an equal device code. Digests compare
/// in constant time, and their `Debug` is redacted.
#[derive(Clone, Copy, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a secret of a kind.
    #[must_use]
    pub fn of(kind: &str, secret: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(kind.as_bytes());
        hash.update([0]);
        hash.update(secret);
        Self(hash.finalize().into())
    }

    /// A digest that was made before, as a store gives it back.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes, for a store to keep.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compared in constant time, these are an eighth of the steps that bytes are.
    fn words(&self) -> [u64; 4] {
        let mut words = [0; 4];
        let (chunks, _) = self.0.as_chunks();
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = u64::from_ne_bytes(*chunk);
        }
        words
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.words().ct_eq(&other.words()).into()
    }
}

impl std::hash::Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // Half of it is random enough for any table, even where the first six bytes are a place.
        let (half, _) = self.0.split_at(16);
        state.write(half);
    }
}

// An order over public values only: stores page through their records by it.
impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Digest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 43];
        let length = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).unwrap_or(0);
        let text = text.get(..length).unwrap_or_default();
        serializer.serialize_str(std::str::from_utf8(text).unwrap_or_default())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        URL_SAFE_NO_PAD.encode(digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| "not base64url")?;
        bytes.try_into().map(Self).map_err(|_| "not 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Secret};

    // req: 6749-10.10-1, 6749-10.10-2
    #[test]
    fn rfc6749_10_10_a_generated_secret_has_256_bits_and_is_never_made_twice() {
        let made: std::collections::HashSet<_> = (0..1000)
            .map(|_| Secret::generate().unwrap().expose().to_owned())
            .collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|text| text.len() == 43));
    }

    #[test]
    fn s19_secrets_and_digests_do_not_show_themselves() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(format!("{:?}", Digest::of("code", b"hunter2")), "Digest(…)");
    }

    #[test]
    fn s08_the_kind_of_a_secret_is_part_of_its_digest() {
        assert_ne!(Digest::of("code", b"x"), Digest::of("device", b"x"));
        assert_ne!(Digest::of("code", b"x"), Digest::of("cod", b"e\0x"));
        assert_eq!(Digest::of("code", b"x"), Digest::of("code", b"x"));
    }

    #[test]
    fn a_digest_reads_what_it_prints() {
        let digest = Digest::of("code", b"x");
        let text = String::from(digest);
        assert_eq!(Digest::try_from(text).unwrap(), digest);
        assert!(Digest::try_from("AAAA".to_owned()).is_err());
    }
}
