//! How private keys stand in the store: as they are, or sealed under a key of the host's.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::types::record::{PrivatePart, RingKey};
use crate::types::{InvalidSigningKey, SigningKey};

/// AES-256-GCM under a key of the host's; the `kid` is authenticated with what is sealed.
pub(crate) struct Seal(RandomizedNonceKey);

impl Seal {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, SealError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key);
        key.map(Self).map_err(|_| SealError::Failed)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// Puts a key away, under the first of the seals if there is one.
pub(crate) fn seal(key: &SigningKey, seals: &[Seal]) -> Result<PrivatePart, SealError> {
    let mut der = key.to_pkcs8()?;
    let Some(Seal(seal)) = seals.first() else {
        let text = URL_SAFE_NO_PAD.encode(der.as_slice());
        return Ok(PrivatePart::Pkcs8(Zeroizing::new(text)));
    };
    let nonce = seal
        .seal_in_place_append_tag(Aad::from(key.kid()), &mut *der)
        .map_err(|_| SealError::Failed)?;
    let sealed = [nonce.as_ref(), der.as_slice()].concat();
    Ok(PrivatePart::Sealed(URL_SAFE_NO_PAD.encode(sealed)))
}

/// Takes a key out again; any of the seals may be the one.
pub(crate) fn open(key: &RingKey, seals: &[Seal]) -> Result<SigningKey, SealError> {
    let decode = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
        bytes.map_err(|_| SealError::Malformed)
    };
    let sealed = match &key.private {
        PrivatePart::Pkcs8(der) => return Ok(SigningKey::from_pkcs8(&decode(der)?)?),
        PrivatePart::Sealed(sealed) => decode(sealed)?,
    };
    let (nonce, sealed) = sealed
        .split_first_chunk::<NONCE_LEN>()
        .ok_or(SealError::Malformed)?;
    for Seal(seal) in seals {
        let mut der = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(key.kid.as_str());
        if let Ok(der) = seal.open_in_place(Nonce::from(nonce), aad, &mut der) {
            return Ok(SigningKey::from_pkcs8(der)?);
        }
    }
    Err(SealError::Unopened)
}

/// A key could not be put away or taken out. It says which way, and nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    #[error("a signing key could not be sealed")]
    Failed,
    #[error("a signing key in the store is malformed")]
    Malformed,
    #[error("the signing keys are sealed, and none of seal_keys_with opens them")]
    Unopened,
}

impl From<InvalidSigningKey> for SealError {
    fn from(InvalidSigningKey: InvalidSigningKey) -> Self {
        Self::Malformed
    }
}

#[cfg(test)]
mod tests {
    use super::{Seal, SealError, open, seal};
    use crate::types::record::{PrivatePart, RingKey};
    use crate::types::{SigningAlgorithm, SigningKey, Timestamp};

    fn kept(key: &SigningKey, private: PrivatePart) -> RingKey {
        RingKey {
            kid: key.kid().to_owned(),
            alg: key.algorithm(),
            signs_from: Timestamp::from_secs(0),
            signs_until: Timestamp::MAX,
            kept_until: Timestamp::MAX,
            private,
        }
    }

    #[test]
    fn a_key_comes_out_as_it_was_put_away() {
        for algorithm in [
            SigningAlgorithm::Es256,
            SigningAlgorithm::EdDsa,
            SigningAlgorithm::Rs256,
        ] {
            let key = SigningKey::generate(algorithm).unwrap();
            for seals in [vec![], vec![Seal::new(&[7; 32]).unwrap()]] {
                let kept = kept(&key, seal(&key, &seals).unwrap());
                let again = open(&kept, &seals).unwrap();
                assert_eq!(again.kid(), key.kid());
                assert!(again.public().has_signed(
                    again.algorithm().jws(),
                    b"x",
                    &key.sign(b"x").unwrap()
                ));
            }
        }
    }

    #[test]
    fn s16_a_sealed_key_is_opened_by_its_seal_alone_and_under_its_own_name() {
        let key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
        let [old, new] = [[1; 32], [2; 32]].map(|bytes| Seal::new(&bytes).unwrap());
        let sealed = seal(&key, std::slice::from_ref(&old)).unwrap();
        let mut kept = kept(&key, sealed);
        let text = serde_json::to_string(&kept).unwrap();
        let der = key.to_pkcs8().unwrap();
        let plain = serde_json::to_string(&seal(&key, &[]).unwrap()).unwrap();
        assert!(plain.len() > der.len() && !text.contains("pkcs8"));
        assert_eq!(open(&kept, &[]).unwrap_err(), SealError::Unopened);
        assert_eq!(
            open(&kept, std::slice::from_ref(&new)).unwrap_err(),
            SealError::Unopened
        );
        assert!(open(&kept, &[new, old]).is_ok(), "any may be the one");
        kept.kid = "another".to_owned();
        let old = Seal::new(&[1; 32]).unwrap();
        assert_eq!(open(&kept, &[old]).unwrap_err(), SealError::Unopened);
    }

    #[test]
    fn s16_no_debug_shows_a_private_key() {
        for seals in [vec![], vec![Seal::new(&[7; 32]).unwrap()]] {
            let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
            let kept = kept(&key, seal(&key, &seals).unwrap());
            let (PrivatePart::Pkcs8(_) | PrivatePart::Sealed(_)) = &kept.private;
            let shown = format!("{kept:?} {key:?} {seals:?}");
            assert!(shown.contains("PrivatePart(…)"), "{shown}");
            let private = serde_json::to_value(&kept.private).unwrap();
            let private = private.as_object().unwrap().values().next().unwrap();
            assert!(!shown.contains(private.as_str().unwrap()));
        }
    }
}
