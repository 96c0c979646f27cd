//! The settings of JWT access tokens and of the keys that sign them.

use std::time::Duration;

use zeroize::Zeroizing;

use super::AuthorizationServerBuilder;
use super::config::{ConfigError, Lifetimes};
use super::jwt::{AccessTokenFormat, JwtConfig};
use super::key_schedule::Schedule;
use super::key_seal::Seal;
use super::keys::KeyConfig;
use crate::grant::Catalog;
use crate::types::record::CLOCKS;
use crate::types::{ResourceUri, SigningAlgorithm, SigningKey};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What was set.
pub(crate) struct JwtSettings {
    format: AccessTokenFormat,
    formats: Vec<(String, AccessTokenFormat)>,
    given: Vec<SigningKey>,
    seals: Vec<Zeroizing<[u8; 32]>>,
    rotation: Option<Duration>,
    ahead: Option<Duration>,
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            format: AccessTokenFormat::Opaque,
            formats: Vec::new(),
            given: Vec::new(),
            seals: Vec::new(),
            rotation: None,
            ahead: None,
        }
    }
}

impl AuthorizationServerBuilder {
    /// What access tokens are: opaque, which is the default, or JWTs (RFC 9068), which live 5 minutes unless
    /// [`access_token_lifetime`](Self::access_token_lifetime) says otherwise. The keys are made when the first is needed, and are
    /// published in the JWK set (`jwks_uri` of the metadata).
    pub fn access_token_format(mut self, format: AccessTokenFormat) -> Self {
        self.jwt.format = format;
        self
    }

    /// The same for the tokens of one [`resource`](Self::resource). A token that is meant for several is a JWT if any of them takes JWTs.
    /// Of two formats for one resource the last holds.
    pub fn access_token_format_for(
        mut self,
        resource: impl Into<String>,
        format: AccessTokenFormat,
    ) -> Self {
        self.jwt.formats.push((resource.into(), format));
        self
    }

    /// Signs tokens with a key of the host's, from a vault or a file, instead of with those in the store. May be called again: the first
    /// key of an algorithm signs, all are published, and so their tokens are good. To go over to a new key, give it as the second first, and
    /// as the first once everybody has seen it; the old one may go when its tokens have expired.
    pub fn signing_key(mut self, key: SigningKey) -> Self {
        self.jwt.given.push(key);
        self
    }

    /// Keeps the private keys in the store encrypted (AES-256-GCM) under a key that the host keeps elsewhere. May be called again: the first
    /// encrypts, any decrypts, so that it can be changed; a key goes over to the first one when it is rotated. So the old one must stay
    /// for the times of [`publish_keys_ahead`](Self::publish_keys_ahead), [`rotate_keys_every`](Self::rotate_keys_every) and
    /// [`access_token_lifetime`](Self::access_token_lifetime) together, and 5 minutes more. A key that cannot be decrypted is an outage for
    /// the tokens that it has signed, and where it is the one that signs, for all.
    pub fn seal_keys_with(mut self, key: [u8; 32]) -> Self {
        self.jwt.seals.push(Zeroizing::new(key));
        self
    }

    /// How long a key from the store signs: 1 day to 10 years, default 30 days.
    pub fn rotate_keys_every(mut self, time: Duration) -> Self {
        self.jwt.rotation = Some(time);
        self
    }

    /// How long a new key is published before it signs: 15 minutes, for which the JWK set may be kept, to the time of a rotation; default
    /// 1 day. Resources that read the set less often than that would not know it.
    pub fn publish_keys_ahead(mut self, time: Duration) -> Self {
        self.jwt.ahead = Some(time);
        self
    }
}

impl JwtSettings {
    pub(crate) fn build(
        self,
        catalog: &Catalog,
        lifetimes: &Lifetimes,
    ) -> Result<JwtConfig, ConfigError> {
        let wrong = |setting, why| ConfigError::Contradiction { setting, why };
        let within = |setting, time: Duration, least, most| {
            let fits = least <= time && time <= most;
            fits.then_some(()).ok_or(ConfigError::Lifetime {
                setting,
                least,
                most,
            })
        };
        let (rotation, ahead) = (self.rotation.unwrap_or(30 * DAY), self.ahead.unwrap_or(DAY));
        within("rotate_keys_every", rotation, DAY, 3650 * DAY)?;
        let quarter = Duration::from_secs(900);
        within("publish_keys_ahead", ahead, quarter, rotation)?;

        let mut formats: Vec<(ResourceUri, AccessTokenFormat)> = Vec::new();
        for (uri, format) in self.formats {
            let known = catalog.resources.iter().map(|resource| &resource.uri);
            let mut same = known.filter(|known| uri.parse().is_ok_and(|uri| **known == uri));
            let none = wrong("access_token_format_for", "is none of the resources");
            let uri = same.next().ok_or(none)?;
            formats.retain(|(other, _)| other != uri);
            formats.push((uri.clone(), format));
        }
        // Those that some token is signed with: what no resource takes needs no key.
        let mut algorithms: Vec<SigningAlgorithm> = Vec::new();
        for resource in &catalog.resources {
            let own = formats.iter().find(|(uri, _)| *uri == resource.uri);
            let format = own.map_or(self.format, |(_, format)| *format);
            if let AccessTokenFormat::Jwt(algorithm) = format
                && !algorithms.contains(&algorithm)
            {
                algorithms.push(algorithm);
            }
        }
        if self.format != AccessTokenFormat::Opaque && catalog.resources.is_empty() {
            // RFC 9068 §3: `aud` must say whom a token is meant for.
            return Err(wrong(
                "access_token_format",
                "a JWT needs a resource to be meant for",
            ));
        }
        if algorithms.is_empty() && !(self.given.is_empty() && self.seals.is_empty()) {
            return Err(wrong(
                "signing_key, seal_keys_with",
                "no access token is a JWT",
            ));
        }
        if algorithms.is_empty() || !self.given.is_empty() {
            let why = "no key is made in the store: there are those of signing_key, or no JWTs";
            let set = [
                ("rotate_keys_every", self.rotation),
                ("publish_keys_ahead", self.ahead),
            ];
            if let Some((setting, _)) = set.iter().find(|(_, time)| time.is_some()) {
                return Err(wrong(setting, why));
            }
        }
        if !self.given.is_empty() {
            if !self.seals.is_empty() {
                return Err(wrong(
                    "seal_keys_with",
                    "keys of signing_key are not kept in the store",
                ));
            }
            let signs =
                |alg: &SigningAlgorithm| self.given.iter().any(|key| key.algorithm() == *alg);
            if !algorithms.iter().all(signs) {
                return Err(wrong(
                    "signing_key",
                    "none signs with the algorithm of access_token_format",
                ));
            }
            let mut kids: Vec<_> = self.given.iter().map(SigningKey::kid).collect();
            kids.sort_unstable();
            if kids
                .windows(2)
                .any(|pair| matches!(pair, [one, next] if one == next))
            {
                return Err(wrong("signing_key", "two keys have the same kid"));
            }
        }
        let seal = |key: &Zeroizing<[u8; 32]>| {
            Seal::new(key).map_err(|_| wrong("seal_keys_with", "is no key for AES-256-GCM"))
        };
        let longest = lifetimes.longest_access_token();
        Ok(JwtConfig {
            format: self.format,
            formats,
            keys: KeyConfig {
                algorithms,
                given: self.given,
                seals: self.seals.iter().map(seal).collect::<Result<_, _>>()?,
                schedule: Schedule {
                    rotation,
                    ahead,
                    after: longest.saturating_add(CLOCKS),
                },
            },
        })
    }
}
