//! Tokens of the authorization server in the same process: no network, and a revocation counts at once.

use std::sync::Arc;

use super::issuer::Issuer;
use super::validator::{Facts, NotActive, TokenFacts, Unavailable, Validator};
use crate::protocol::bearer::{BearerToken, OwnedToken};
use crate::server::AuthorizationServer;
use crate::types::record::AccessToken;
use crate::types::{Flag, Subject, Timestamp};

impl Issuer {
    /// The authorization server of this very process. Its facts are cached, and a token dies in the cache the moment that it, its
    /// grant, its client or its subject is revoked.
    pub fn in_process(server: &AuthorizationServer) -> Self {
        let validator = InProcess {
            server: server.clone(),
        };
        Self::custom(server.issuer().as_str(), validator)
            .token_prefix("toa_")
            .cached()
            .forgets_refusals()
    }
}

/// How often a token is read that changes meanwhile.
const READINGS: usize = 4;

struct InProcess {
    server: AuthorizationServer,
}

impl InProcess {
    /// What the server knows of a token, with the flags that tell when that changes. What changed while it was read is read again:
    /// a flag that was raised says that something may be dead, never that it is.
    async fn read(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<(AccessToken, Vec<Flag>)>, Unavailable> {
        for _ in 0..READINGS {
            let mut flags = Vec::with_capacity(4);
            let read = self.server.live(token, now, &mut flags).await;
            let Some(token) = read.map_err(Unavailable::new)? else {
                return Ok(None);
            };
            if !flags.iter().any(Flag::is_set) {
                return Ok(Some((token, flags)));
            }
        }
        Err(Unavailable::new("it changed each time it was read"))
    }
}

impl Validator for InProcess {
    fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        None // what is known without waiting is in the cache around this
    }

    async fn validate(&self, token: OwnedToken, now: Timestamp) -> Result<Facts, Unavailable> {
        let Some((token, flags)) = self.read(token.expose(), now).await? else {
            return Ok(Err(NotActive::because("unknown, expired or revoked")));
        };
        // A client that speaks for itself is its own subject (RFC 9068 §2.2); every client_id is a subject too.
        let subject = token
            .subject
            .map_or_else(|| Subject::new(token.client_id.as_str()), Ok)
            .map_err(Unavailable::new)?;
        let facts = TokenFacts::builder(self.server.issuer().clone(), subject, token.expires_at)
            .client_id(token.client_id)
            .scope(token.scope)
            .audience(token.audience)
            .issued_at(token.issued_at)
            .jti(token.id)
            .claims(token.claims)
            .doubted_with(flags);
        Ok(Ok(Arc::new(facts.build())))
    }
}
