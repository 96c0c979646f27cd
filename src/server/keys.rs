//! The keys that sign tokens: kept in one record of the store, or given by the host; parsed once.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::Inner;
use super::key_schedule::{Change, Schedule};
use super::key_seal::{Seal, SealError, open, seal};
use crate::protocol::protected_resource::Document;
use crate::store::{Insert, Key, Kind, Read, Replace, StoreError};
use crate::types::record::{KeyRing, RingKey};
use crate::types::{Digest, Flag, Jwk, PublicKey, SigningAlgorithm, SigningKey, Timestamp};

/// How long the keys stay as they are after a change that was due could not be written.
const AGAIN: Duration = Duration::from_secs(5);

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

/// The store failed, before the ring was read or after.
pub(crate) struct Failed {
    /// The ring as it stands, if that much is known.
    stands: Option<KeyRing>,
    error: StoreError,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        let stands = None;
        Self { stands, error }
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
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
    /// Those that cannot be opened, until when they are kept, and why.
    lost: Vec<(String, Timestamp, SealError)>,
    /// The JWK set (RFC 7517 §5).
    pub(crate) jwks: Document,
}

impl Keys {
    fn new(keys: Vec<(SigningKey, Use)>, lost: Vec<(String, Timestamp, SealError)>) -> Self {
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
        Self { keys, lost, jwks }
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

    /// The key of this name, while tokens that it has signed may live. One that is there and cannot be opened is a failure: nothing is
    /// known of its tokens.
    pub(crate) fn public(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<&PublicKey>, StoreError> {
        let lost = |(lost, kept_until, _): &&(String, Timestamp, SealError)| {
            lost == kid && now < *kept_until
        };
        if let Some((_, _, error)) = self.lost.iter().find(lost) {
            return Err(StoreError::new(*error));
        }
        let is = |(key, used): &&(SigningKey, Use)| key.kid() == kid && now < used.kept_until;
        Ok(self.keys.iter().find(is).map(|(key, _)| key.public()))
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
        if keys.public(kid, now)?.is_some()
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
        // Where the clock was set back since, what signs now was not looked at: a first key may be one that is yet to sign.
        let fresh =
            |known: &&Known| !known.flag.is_set() && (known.read_at..known.until).contains(&now);
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
            let (ring, until) = self.ring_to_serve(now).await?;
            (opened(&ring, &config.seals, now)?, until)
        } else {
            let given = config.given.iter().cloned().map(given);
            (Keys::new(given.collect(), Vec::new()), Timestamp::MAX)
        };
        let keys = Arc::new(keys);
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

    /// The ring after what is due has been done to it, and when to look again. Where that cannot be written, the keys that there are stay in
    /// use: they are as good as before.
    async fn ring_to_serve(&self, now: Timestamp) -> Result<(KeyRing, Timestamp), StoreError> {
        let config = &self.config.jwt.keys;
        match self.ring(now, |_| false).await {
            Ok(ring) => {
                let until = ring.next_change(&config.algorithms, config.schedule);
                Ok((ring, until))
            }
            Err(Failed {
                stands: Some(stands),
                error,
            }) if stands.keys.iter().any(|key| key.signs_at(now)) => {
                tracing::error!(cause = %error, "the signing keys could not be changed: those that there are stay in use");
                Ok((stands, now.saturating_add(AGAIN)))
            }
            Err(failed) => Err(failed.error),
        }
    }

    /// The ring as it stands in the store, after this and what is due have been done to it. The edit says whether it did anything.
    pub(crate) async fn ring(
        &self,
        now: Timestamp,
        edit: impl Fn(&mut KeyRing) -> bool + Send,
    ) -> Result<KeyRing, Failed> {
        let config = &self.config.jwt.keys;
        loop {
            let read = self.records.load::<KeyRing>(ring_digest(), now).await?;
            let mut ring = read
                .as_ref()
                .map(|read| read.record.clone())
                .unwrap_or_default();
            // A key that is over is over, whether or not that was written.
            let mut stands = ring.clone();
            stands.keys.retain(|key| now < key.kept_until);
            let edited = edit(&mut ring);
            let change = ring.change(&config.algorithms, config.schedule, now);
            if change.is_none() && !edited {
                return Ok(stands);
            }
            let change = change.unwrap_or(Change { ring, make: vec![] });
            match self.write(read, change, now).await {
                Ok(Some(ring)) => return Ok(ring),
                Ok(None) => {} // another node was first, and its keys are ours
                Err(error) => {
                    let stands = Some(stands);
                    return Err(Failed { stands, error });
                }
            }
        }
    }

    /// Makes the keys of a change and writes it; nothing if somebody else has written since the ring was read.
    async fn write(
        &self,
        read: Option<Read<KeyRing>>,
        change: Change,
        now: Timestamp,
    ) -> Result<Option<KeyRing>, StoreError> {
        let digest = ring_digest();
        let ring = self.make(change).await?;
        let before = read.as_ref().map(|read| read.record.clone());
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
            let before = before.unwrap_or_default();
            let told = before.told(&ring);
            told.iter().for_each(|event| self.tell(event));
        }
        Ok(won.then_some(ring))
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

/// The keys of a ring, ready for use. One that is not in use yet, or no longer, takes none of the others down if it cannot be opened.
fn opened(ring: &KeyRing, seals: &[Seal], now: Timestamp) -> Result<Keys, StoreError> {
    let (mut keys, mut lost) = (Vec::new(), Vec::new());
    for key in &ring.keys {
        let used = Use {
            signs_from: key.signs_from,
            signs_until: key.signs_until,
            kept_until: key.kept_until,
        };
        match open(key, seals) {
            Ok(key) => keys.push((key, used)),
            Err(error) if key.signs_at(now) => return Err(StoreError::new(error)),
            Err(error) => {
                tracing::error!(kid = key.kid, cause = %error, "a signing key cannot be used");
                lost.push((key.kid.clone(), key.kept_until, error));
            }
        }
    }
    Ok(Keys::new(keys, lost))
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
