//! Access tokens that can be read without asking (RFC 9068): which resource gets them, how they are made, and what revokes them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Inner;
use super::keys::KeyConfig;
use crate::protocol::error::OAuthError;
use crate::protocol::jws::Unverified;
use crate::protocol::jwt::{Issued, Verified, verify};
use crate::store::{Key, Kind, StoreError};
use crate::types::record::{AccessToken, RevokedJwt};
use crate::types::{Digest, Flag, ResourceUri, Secret, SigningAlgorithm, Timestamp};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What access tokens are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AccessTokenFormat {
    /// A random text that means something to the server alone: resources ask (RFC 7662), or are in its process. Says nothing to who
    /// finds it, and ends the moment it is revoked.
    #[default]
    Opaque,
    /// A JWT (RFC 9068) signed with this algorithm: a resource checks it without asking, and so does not hear of a revocation unless it
    /// asks after all. What it says can be read by its client.
    Jwt(SigningAlgorithm),
}

/// Which tokens are JWTs, and what signs them.
pub(crate) struct JwtConfig {
    pub(crate) format: AccessTokenFormat,
    /// Of resources that have their own.
    pub(crate) formats: Vec<(ResourceUri, AccessTokenFormat)>,
    pub(crate) keys: KeyConfig,
}

impl JwtConfig {
    /// Whether any token is a JWT.
    pub(crate) fn is_on(&self) -> bool {
        !self.keys.algorithms.is_empty()
    }

    /// What signs a token for these resources; none if it is opaque. One that is meant for several is a JWT if any of them takes
    /// JWTs: the others can ask about it as about any token.
    pub(crate) fn algorithm(&self, audience: &[ResourceUri]) -> Option<SigningAlgorithm> {
        let format = |resource| {
            let own = self.formats.iter().find(|(uri, _)| uri == resource);
            own.map_or(self.format, |(_, format)| *format)
        };
        let mut formats = audience.iter().map(format);
        formats.find_map(|format| match format {
            AccessTokenFormat::Opaque => None,
            AccessTokenFormat::Jwt(algorithm) => Some(algorithm),
        })
    }
}

/// Makes a token that says what the record does.
pub(crate) async fn mint(
    server: &Inner,
    token: &AccessToken,
    algorithm: SigningAlgorithm,
) -> Result<Secret, OAuthError> {
    let now = token.issued_at;
    let keys = server.keys(now).await?;
    let key = keys
        .signing(algorithm, now)
        .ok_or_else(|| OAuthError::unavailable("there is no key to sign with"))?;
    let reference = Reference {
        client_epoch: token.client_epoch,
        grant: token.grant,
    };
    let server_key = server.server_key().await?;
    let issued = Issued {
        iss: &server.config.issuer,
        exp: token.expires_at,
        aud: &token.audience,
        // RFC 9068 §2.2: who speaks for nobody else speaks for itself.
        sub: token
            .subject
            .as_ref()
            .map_or(token.client_id.as_str(), |subject| subject.as_str()),
        client_id: &token.client_id,
        iat: now,
        jti: &token.id,
        scope: &token.scope,
        reference: &reference.seal(&server_key, &token.id),
        claims: &token.claims,
    };
    issued.sign(key).map_err(OAuthError::unavailable)
}

/// What a token says, if it is one of ours that has not expired and was not revoked by its id. The flags of all that this rests on are
/// registered before each is read.
pub(crate) async fn read(
    server: &Inner,
    token: &str,
    now: Timestamp,
    flags: &mut Vec<Flag>,
) -> Result<Option<AccessToken>, StoreError> {
    let Ok(token) = Unverified::parse(token) else {
        return Ok(None);
    };
    let Some(kid) = token.kid().map(str::to_owned) else {
        return Ok(None);
    };
    flags.push(server.flags.register(super::keys::ring_key()));
    let keys = server.keys_with(&kid, now).await?;
    let Some(key) = keys.public(&kid, now)? else {
        return Ok(None);
    };
    let Ok(token) = verify(token, key, &server.config.issuer, now) else {
        return Ok(None);
    };
    let server_key = server.server_key().await?;
    let reference = token.reference.as_deref();
    let Some(reference) = reference.and_then(|text| Reference::open(text, &server_key, &token.jti))
    else {
        return Ok(None); // signed with a key of ours, but not by us
    };
    let digest = revoked_digest(&token.jti);
    flags.push(server.flags.register(Key::new(Kind::RevokedJwt, digest)));
    let revoked = server.records.load::<RevokedJwt>(digest, now).await?;
    Ok(revoked.is_none().then(|| record(token, &reference)))
}

fn record(token: Verified, reference: &Reference) -> AccessToken {
    AccessToken {
        id: token.jti,
        // Without a grant, the client speaks for itself.
        subject: reference.grant.is_some().then_some(token.subject),
        client_id: token.client_id,
        scope: token.scope,
        audience: token.audience,
        claims: token.claims,
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        client_epoch: reference.client_epoch,
        grant: reference.grant,
    }
}

/// Remembers that a token is dead until it would be anyway. Whether it was not before.
pub(crate) async fn revoke(server: &Inner, token: &AccessToken) -> Result<bool, StoreError> {
    let digest = revoked_digest(&token.id);
    let record = RevokedJwt {
        expires_at: token.expires_at,
    };
    let insert = server.records.create(digest, &record, server.now()).await?;
    server.flags.raise(Key::new(Kind::RevokedJwt, digest));
    Ok(matches!(insert, crate::store::Insert::Inserted(_)))
}

fn revoked_digest(jti: &str) -> Digest {
    Digest::of("revoked_jwt", jti.as_bytes())
}

/// What a token lives and dies with. It stands in the token, for us alone to read: the digest of a grant is nobody else's business.
#[derive(Debug, PartialEq)]
struct Reference {
    client_epoch: u64,
    grant: Option<Digest>,
}

impl Reference {
    /// Each token has another `jti`, so no two are sealed alike. That nobody changes it is the signature's business.
    fn seal(&self, server_key: &Digest, jti: &str) -> String {
        let mut bytes = self.client_epoch.to_be_bytes().to_vec();
        if let Some(grant) = &self.grant {
            bytes.extend_from_slice(grant.as_bytes());
        }
        cover(&mut bytes, server_key, jti);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(text: &str, server_key: &Digest, jti: &str) -> Option<Self> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        cover(&mut bytes, server_key, jti);
        let (epoch, grant) = bytes.split_first_chunk()?;
        let grant = match grant {
            [] => None,
            grant => Some(Digest::from_bytes(grant.try_into().ok()?)),
        };
        Some(Self {
            client_epoch: u64::from_be_bytes(*epoch),
            grant,
        })
    }
}

/// Adds a stream that only the server can make, in blocks of 32 bytes; doing it twice undoes it.
fn cover(bytes: &mut [u8], server_key: &Digest, jti: &str) {
    for (number, block) in (0_u8..).zip(bytes.chunks_mut(32)) {
        // HMAC takes a key of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(server_key.as_bytes()) else {
            return;
        };
        mac.update(b"tower-oauth: reference of a JWT\0");
        mac.update(&[number]);
        mac.update(jti.as_bytes());
        let stream = mac.finalize().into_bytes();
        block
            .iter_mut()
            .zip(stream)
            .for_each(|(byte, add)| *byte ^= add);
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;
    use crate::types::Digest;

    #[test]
    fn a_reference_is_read_by_the_server_alone_and_in_its_own_token() {
        let key = Digest::of("server_key", b"a");
        let grant = Digest::of("grant", b"g");
        for grant in [None, Some(grant)] {
            let reference = Reference {
                client_epoch: 7,
                grant,
            };
            let sealed = reference.seal(&key, "jti-1");
            assert_eq!(Reference::open(&sealed, &key, "jti-1").unwrap(), reference);
            let other_token = Reference::open(&sealed, &key, "jti-2").unwrap();
            assert_ne!(other_token, reference);
            let other_server = Digest::of("server_key", b"b");
            let read = Reference::open(&sealed, &other_server, "jti-1").unwrap();
            assert_ne!(read, reference);
            assert_ne!(reference.seal(&key, "jti-2"), sealed);
        }
        for malformed in ["", "AA", "AAAAAAAAAAAA", "!"] {
            assert!(Reference::open(malformed, &key, "jti-1").is_none());
        }
    }
}
