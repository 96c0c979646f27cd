//! What a handler learns of the token that opened the door.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::issuer::Trusted;
use super::validator::TokenFacts;
use super::{Inner, ResourceServer};
use crate::types::{Audience, Claims, ClientId, IssuerUrl, Scope, Subject, Timestamp};

/// A token that was found good: the facts about it, never the token itself. A cheap clone.
///
/// [`BearerLayer`](super::BearerLayer) puts it into the extensions of each request it lets through.
///
/// `AccessToken<C>` has read the further claims into a type of the host's: [`typed`](Self::typed) does, and so do axum handlers that ask
/// for one (feature `axum`).
#[derive(Clone)]
pub struct AccessToken<C = Untyped> {
    checked: Arc<Checked>,
    typed: C,
}

/// Facts that were found good, and by whom. Aligned so that no two have their counters of references in one line of a processor's cache:
/// the same token on two threads is handed on as two of these.
#[repr(align(64))]
struct Checked {
    facts: Arc<TokenFacts>,
    trusted: Arc<Trusted>,
    by: Arc<Inner>,
}

/// Further claims that nobody has read into a type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Untyped;

impl<'de> Deserialize<'de> for Untyped {
    /// Takes anything, and looks at none of it.
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// A token's further claims are not of the type that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claims of the token are not of the type that was asked for")]
#[non_exhaustive]
pub struct OtherClaims;

impl AccessToken {
    pub(crate) fn new(facts: Arc<TokenFacts>, trusted: Arc<Trusted>, by: Arc<Inner>) -> Self {
        Self {
            checked: Arc::new(Checked { facts, trusted, by }),
            typed: Untyped,
        }
    }
}

impl<C> AccessToken<C> {
    /// Reads the further claims ([`claims`](Self::claims)) into a type, now and not before: a token whose claims nobody asks for costs
    /// nothing.
    ///
    /// # Errors
    /// [`OtherClaims`] if they are not of this type.
    pub fn typed<D: DeserializeOwned>(&self) -> Result<AccessToken<D>, OtherClaims> {
        Ok(AccessToken {
            typed: D::deserialize(self.claims().as_map()).map_err(|_| OtherClaims)?,
            checked: Arc::clone(&self.checked),
        })
    }

    /// The further claims, in the type they were read into.
    #[must_use]
    pub const fn typed_claims(&self) -> &C {
        &self.typed
    }

    /// Whom the token speaks for; where a client speaks for itself, its client id (RFC 9068 §2.2).
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.checked.facts.subject
    }

    /// The person behind the token; `None` where a client speaks for itself, that is, where subject and client id are the same.
    #[must_use]
    pub fn owner(&self) -> Option<&Subject> {
        let client = self.client_id().map(ClientId::as_str);
        (client != Some(self.checked.facts.subject.as_str())).then_some(&self.checked.facts.subject)
    }

    /// The client the token was issued to, if the issuer says.
    #[must_use]
    pub fn client_id(&self) -> Option<&ClientId> {
        self.checked.facts.client_id.as_ref()
    }

    /// The scope it was issued with, without what that implies.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.checked.facts.scope
    }

    /// Whether it may be used for this one scope: has it, or one that implies it
    /// ([`scope_implies`](super::ResourceServerBuilder::scope_implies)). Does not allocate.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        let implications = &self.checked.by.implications;
        self.checked.facts.scope.iter().any(|held| {
            held.as_str() == scope
                || implications
                    .iter()
                    .any(|(broad, narrow)| broad == held && narrow.as_str() == scope)
        })
    }

    /// All those it is meant for; this resource, or another name of it, is among them.
    #[must_use]
    pub fn audience(&self) -> &[Audience] {
        &self.checked.facts.audience
    }

    /// Who issued it.
    #[must_use]
    pub fn issuer(&self) -> &IssuerUrl {
        &self.checked.facts.issuer
    }

    /// When it was issued, if the issuer says.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.checked.facts.issued_at
    }

    /// When it expires: in that second it is dead.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.checked.facts.expires_at
    }

    /// Its public identifier (RFC 7519 §4.1.7), if it has one. Fit for logs.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.checked.facts.jti.as_deref()
    }

    /// What it says besides.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.checked.facts.claims
    }

    /// Whether it is still good as far as is known here: not expired, and nothing it lives with has changed. For streams that outlive
    /// the request; the issuer is not asked again, so `false` may also mean that it has to be: [`ResourceServer::authenticate`] does.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let Checked { facts, trusted, by } = &*self.checked;
        let now = by.clock.now();
        // An issuer that was replaced or removed is another one: of this one nothing is believed any more.
        !trusted.is_retired()
            && by.judge(facts, trusted, now).is_ok()
            && !by.revocations.hold_with_others(facts, now)
    }

    #[cfg(feature = "axum")]
    pub(crate) fn checked_by(&self) -> &Inner {
        &self.checked.by
    }

    /// Whether this resource server, and no other one of the process, found it good.
    pub(crate) fn was_checked_by(&self, server: &ResourceServer) -> bool {
        Arc::ptr_eq(&self.checked.by, &server.inner)
    }
}

impl<C> fmt::Debug for AccessToken<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("subject", self.subject())
            .field("client_id", &self.client_id())
            .field("scope", self.scope())
            .field("issuer", self.issuer())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}
