//! Tokens of the authorization server in the same process: no network, and a revocation counts at once.

use std::sync::Arc;

use super::issuer::Issuer;
use super::validator::{Facts, NotActive, TokenFacts, Unavailable, Validator};
use crate::protocol::bearer::{BearerToken, OwnedToken};
use crate::server::AuthorizationServer;
use crate::types::{Subject, Timestamp};

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
    }
}

struct InProcess {
    server: AuthorizationServer,
}

impl Validator for InProcess {
    fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        None // what is known without waiting is in the cache around this
    }

    async fn validate(&self, token: OwnedToken, now: Timestamp) -> Result<Facts, Unavailable> {
        let mut flags = Vec::with_capacity(4);
        let token = self
            .server
            .live(token.expose(), now, &mut flags)
            .await
            .map_err(Unavailable::new)?;
        let Some(token) = token else {
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
            .claims(token.claims);
        let facts = flags
            .into_iter()
            .fold(facts, super::TokenFactsBuilder::dies_with);
        Ok(Ok(Arc::new(facts.build())))
    }
}
