//! Keys that the tokens of another issuer are checked with.

use std::fmt;

use aws_lc_rs::hmac;

use super::{Flag, JwsAlgorithm, PublicKey};

/// A key of another issuer, parsed once. It says by which algorithms it may check, whatever a token names (RFC 8725 §3.1).
pub(crate) struct VerificationKey {
    /// The name that tokens know it by (RFC 7515 §4.1.4).
    pub(crate) kid: Option<String>,
    /// RFC 7638 §3. A shared secret has none: all zeros.
    pub(crate) thumbprint: [u8; 32],
    /// Set once the issuer has taken the key back: what was checked with it ends.
    pub(crate) gone: Flag,
    check: Check,
}

enum Check {
    Published(PublicKey),
    Shared(JwsAlgorithm, Box<hmac::Key>),
}

impl VerificationKey {
    /// A key that its issuer has published.
    pub(crate) fn new(kid: Option<String>, key: PublicKey) -> Self {
        Self {
            kid,
            thumbprint: key.thumbprint(),
            gone: Flag::new(),
            check: Check::Published(key),
        }
    }

    /// A secret that issuer and resource share. RFC 7518 §3.2: at least as long as the hash.
    pub(crate) fn shared(algorithm: JwsAlgorithm, secret: &[u8]) -> Option<Self> {
        let (hmac, size) = match algorithm {
            JwsAlgorithm::Hs256 => (hmac::HMAC_SHA256, 32),
            JwsAlgorithm::Hs384 => (hmac::HMAC_SHA384, 48),
            JwsAlgorithm::Hs512 => (hmac::HMAC_SHA512, 64),
            _ => return None,
        };
        (secret.len() >= size).then(|| Self {
            kid: None,
            thumbprint: [0; 32],
            gone: Flag::new(),
            check: Check::Shared(algorithm, Box::new(hmac::Key::new(hmac, secret))),
        })
    }

    /// What it may check.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = JwsAlgorithm> {
        let (published, shared) = match &self.check {
            Check::Published(key) => (Some(key.algorithms()), None),
            Check::Shared(algorithm, _) => (None, Some(*algorithm)),
        };
        published.into_iter().flatten().chain(shared)
    }

    /// Whether this is the key's signature of the message by this algorithm.
    pub(crate) fn has_signed(
        &self,
        algorithm: JwsAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        match &self.check {
            Check::Published(key) => key.has_signed(algorithm, message, signature),
            // Compared in constant time, whole: a part of a code is none.
            Check::Shared(checks, key) => {
                *checks == algorithm && hmac::verify(key, message, signature).is_ok()
            }
        }
    }

    /// Whether both are one key under one name, for the same algorithms.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint
            && self.kid == other.kid
            && self.algorithms().eq(other.algorithms())
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms().collect::<Vec<_>>())
            .field("gone", &self.gone.is_set())
            .finish_non_exhaustive()
    }
}
