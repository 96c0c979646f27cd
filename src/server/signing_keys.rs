//! The keys that sign tokens, for the host.

use super::{AuthorizationServer, Inner};
use crate::store::StoreError;
use crate::types::record::KeyRing;
use crate::types::{SigningAlgorithm, Timestamp};

/// The keys that sign JWT access tokens, from [`AuthorizationServer::signing_keys`].
///
/// They look after themselves: made when the first is needed, published before use, rotated, kept until their last token has expired.
/// The host need only come here when one has got into wrong hands. Where the host brought its own keys, all of this does nothing.
#[derive(Debug, Clone, Copy)]
pub struct SigningKeys<'a>(&'a Inner);

/// When a key is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigningKeyUse {
    /// Its name in tokens and in the JWK set (RFC 7517 §4.5).
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// From when on it signs. It is published before.
    pub signs_from: Timestamp,
    /// When it no longer signs.
    pub signs_until: Timestamp,
    /// When the last token that it can have signed has expired, and it is published no more.
    pub kept_until: Timestamp,
}

impl AuthorizationServer {
    /// The keys that sign tokens, for the host.
    #[must_use]
    pub fn signing_keys(&self) -> SigningKeys<'_> {
        SigningKeys(&self.0)
    }
}

impl SigningKeys<'_> {
    /// All keys in the store, after what is due was done: so this also makes the first ones.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails, or if a key cannot be made.
    pub async fn list(&self) -> Result<Vec<SigningKeyUse>, StoreError> {
        self.edit(|_| false).await
    }

    /// Ends the use of each key early: the next one is published now, and signs when everybody has had the time to see it
    /// ([`publish_keys_ahead`](super::AuthorizationServerBuilder::publish_keys_ahead)). Tokens live on.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails, or if a key cannot be made.
    pub async fn rotate(&self) -> Result<Vec<SigningKeyUse>, StoreError> {
        let (schedule, now) = (self.0.config.jwt.keys.schedule, self.0.now());
        self.edit(|ring| {
            ring.end_early(schedule, now);
            true
        })
        .await
    }

    /// Takes a key away at once, because somebody else has it: every token that it has signed is dead, here and, as soon as they read the
    /// JWK set again, elsewhere. Another signs from now on.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails, or if a key cannot be made.
    pub async fn remove(&self, kid: &str) -> Result<Vec<SigningKeyUse>, StoreError> {
        self.edit(|ring| {
            let before = ring.keys.len();
            ring.keys.retain(|key| key.kid != kid);
            ring.keys.len() != before
        })
        .await
    }

    async fn edit(
        &self,
        edit: impl Fn(&mut KeyRing) -> bool + Send,
    ) -> Result<Vec<SigningKeyUse>, StoreError> {
        let config = &self.0.config.jwt.keys;
        if config.algorithms.is_empty() || !config.given.is_empty() {
            return Ok(Vec::new());
        }
        let ring = self.0.ring(self.0.now(), edit).await?;
        let uses = ring.keys.into_iter().map(|key| SigningKeyUse {
            kid: key.kid,
            algorithm: key.alg,
            signs_from: key.signs_from,
            signs_until: key.signs_until,
            kept_until: key.kept_until,
        });
        Ok(uses.collect())
    }
}
