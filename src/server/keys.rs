//! The keys that sign tokens: kept in one record of the store, or given by the host; parsed once.

use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::Inner;
use super::key_schedule::{Change, Schedule};
use super::key_seal::{Seal, open, seal};
use crate::protocol::protected_resource::Document;
use crate::store::{Insert, Key, Kind, Replace, StoreError};
use crate::types::record::{KeyRing, RingKey};
use crate::types::{Digest, Flag, Jwk, PublicKey, SigningAlgorithm, SigningKey, Timestamp};

/// How the keys of a server come about.
pub(crate) struct KeyConfig {
    /// The algorithms that some resource's tokens are signed with; none where all tokens are opaque.
    pub(crate) algorithms: Vec<SigningAlgorithm>,
    /// The host's own keys; without any, they are made and kept in the store.
    pub(crate) given: Vec<SigningKey>,
    /// What seals keys in the store: the first does, all open.
    pub(crate) seals: Vec<Seal>,
    pub(crate) schedule: Schedule,
}

/// The keys as they are known here.
#[derive(Default)]
pub(crate) struct KnownKeys {
    known: RwLock<Option<Known>>,
    /// One at a time reads the store, and makes what is missing there.
    flight: Mutex<()>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<Keys>,
    flag: Flag,
    read_at: Timestamp,
    /// When something is to be done with them.
    until: Timestamp,
}

/// When a key is used.
#[derive(Debug, Clone, Copy)]
struct Use {
    signs_from: Timestamp,
    signs_until: Timestamp,
    kept_until: Timestamp,
}

/// Keys that are ready for use.
pub(crate) struct Keys {
    keys: Vec<(SigningKey, Use)>,
    /// The JWK set (RFC 7517 §5).
    pub(crate) jwks: Document,
}

impl Keys {
    fn new(keys: Vec<(SigningKey, Use)>) -> Self {
        #[derive(Serialize)]
        struct JwkSet<'a> {
            keys: Vec<Jwk<'a>>,
        }
        let public = keys.iter().map(|(key, _)| key.public().jwk(key.kid()));
        let set = JwkSet {
            keys: public.collect(),
        };
        // Texts alone: they always have a JSON form.
        let jwks = Document::jwk_set(serde_json::to_vec(&set).unwrap_or_default());
        Self { keys, jwks }
    }

    /// The key that signs now.
    pub(crate) fn signing(
        &self,
        algorithm: SigningAlgorithm,
        now: Timestamp,
    ) -> Option<&SigningKey> {
        let signs = |(key, used): &&(SigningKey, Use)| {
            key.algorithm() == algorithm && used.signs_from <= now && now < used.signs_until
        };
        self.keys.iter().find(signs).map(|(key, _)| key)
    }

    /// The key of this name, while tokens that it has signed may live.
    pub(crate) fn public(&self, kid: &str, now: Timestamp) -> Option<&PublicKey> {
        let is = |(key, used): &&(SigningKey, Use)| key.kid() == kid && now < used.kept_until;
        self.keys.iter().find(is).map(|(key, _)| key.public())
    }
}

/// Where the ring stands. The name is no secret.
fn ring_digest() -> Digest {
    Digest::of("key_ring", b"")
}

/// By what one hears that the keys have changed.
pub(crate) fn ring_key() -> Key {
    Key::new(Kind::KeyRing, ring_digest())
}

impl Inner {
    /// The keys as they are now. The first to ask makes them.
    pub(crate) async fn keys(&self, now: Timestamp) -> Result<Arc<Keys>, StoreError> {
        match self.known_keys(now) {
            Some(known) => Ok(known.keys),
            None => self.read_keys(now, None).await,
        }
    }

    /// As [`keys`](Self::keys), for a token that names a key that is not known: another node may have made it a moment ago. At most one
    /// look a second, whatever is asked for.
    pub(crate) async fn keys_with(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<Arc<Keys>, StoreError> {
        let keys = self.keys(now).await?;
        let read_at = self.known_keys(now).map(|known| known.read_at);
        if keys.public(kid, now).is_some()
            || !self.config.jwt.keys.given.is_empty()
            || read_at.is_some_and(|at| at >= now)
        {
            return Ok(keys);
        }
        self.read_keys(now, Some(now)).await
    }

    fn known_keys(&self, now: Timestamp) -> Option<Known> {
        let known = self.known_keys.known.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let fresh = |known: &&Known| !known.flag.is_set() && now < known.until;
        known.as_ref().filter(fresh).cloned()
    }

    /// Reads the keys, or reads them again if that was before `again`.
    async fn read_keys(
        &self,
        now: Timestamp,
        again: Option<Timestamp>,
    ) -> Result<Arc<Keys>, StoreError> {
        let _one = self.known_keys.flight.lock().await;
        let fresh = |known: &Known| again.is_none_or(|again| known.read_at >= again);
        if let Some(known) = self.known_keys(now).filter(fresh) {
            return Ok(known.keys);
        }
        let config = &self.config.jwt.keys;
        let flag = self.flags.register(ring_key());
        let (keys, until) = if config.given.is_empty() {
            let ring = self.ring(now, |_| false).await?;
            let until = ring.next_change(&config.algorithms, config.schedule);
            let open = |key: &RingKey| {
                let used = Use {
                    signs_from: key.signs_from,
                    signs_until: key.signs_until,
                    kept_until: key.kept_until,
                };
                let key = open(key, &config.seals).map_err(StoreError::new)?;
                Ok::<_, StoreError>((key, used))
            };
            let opened: Result<_, _> = ring.keys.iter().map(open).collect();
            (opened?, until)
        } else {
            let given = config.given.iter().cloned().map(given);
            (given.collect(), Timestamp::MAX)
        };
        let keys = Arc::new(Keys::new(keys));
        let known = Known {
            keys: Arc::clone(&keys),
            flag,
            read_at: now,
            until,
        };
        *self
            .known_keys
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(keys)
    }

    /// The ring as it stands in the store, after this and what is due have been done to it. The edit says whether it did anything.
    pub(crate) async fn ring(
        &self,
        now: Timestamp,
        edit: impl Fn(&mut KeyRing) -> bool + Send,
    ) -> Result<KeyRing, StoreError> {
        let (digest, config) = (ring_digest(), &self.config.jwt.keys);
        loop {
            let read = self.records.load::<KeyRing>(digest, now).await?;
            let mut ring = read
                .as_ref()
                .map(|read| read.record.clone())
                .unwrap_or_default();
            let edited = edit(&mut ring);
            match ring.change(&config.algorithms, config.schedule, now) {
                Some(change) => ring = self.make(change).await?,
                None if !edited => return Ok(ring),
                None => {}
            }
            let won = match read {
                Some(mut read) => {
                    read.record = ring.clone();
                    let replaced = self.records.update(digest, read).await?;
                    matches!(replaced, Replace::Replaced(_))
                }
                None => {
                    let inserted = self.records.create(digest, &ring, now).await?;
                    matches!(inserted, Insert::Inserted(_))
                }
            };
            if won {
                self.flags.raise(ring_key());
                return Ok(ring);
            } // else another node was first, and its keys are ours
        }
    }

    /// Makes the keys of a change.
    async fn make(&self, change: Change) -> Result<KeyRing, StoreError> {
        let Change { mut ring, make } = change;
        let config = &self.config.jwt.keys;
        for (alg, signs_from, signs_until) in make {
            let key = generate(alg).await?;
            ring.keys.push(RingKey {
                kid: key.kid().to_owned(),
                alg,
                signs_from,
                signs_until,
                kept_until: signs_until.saturating_add(config.schedule.after),
                private: seal(&key, &config.seals).map_err(StoreError::new)?,
            });
        }
        Ok(ring)
    }
}

/// A key of the host's, which signs and is published as long as it is given.
fn given(key: SigningKey) -> (SigningKey, Use) {
    let always = Use {
        signs_from: Timestamp::from_secs(0),
        signs_until: Timestamp::MAX,
        kept_until: Timestamp::MAX,
    };
    (key, always)
}

/// Off the threads that answer requests: a key for RSA takes a good part of a second.
async fn generate(algorithm: SigningAlgorithm) -> Result<SigningKey, StoreError> {
    let generate = move || SigningKey::generate(algorithm);
    let key = match Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(generate)
            .await
            .map_err(StoreError::new)?,
        Err(_) => generate(),
    };
    key.map_err(StoreError::new)
}
