//! What the host, or whoever it listens to, says about tokens that are known: that they should be asked about again, or that they are
//! dead.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::known::TokenName;
use super::validator::TokenFacts;
use crate::protocol::bearer::{BearerToken, InvalidBearerToken, OwnedToken};
use crate::types::{ClientId, IssuerUrl, Subject, Timestamp};

/// Some of the tokens that a resource takes; for [`invalidate`](super::ResourceServer::invalidate) and
/// [`revoke`](super::ResourceServer::revoke).
#[derive(Clone)]
#[non_exhaustive]
pub enum WhichTokens {
    /// This one.
    This(OwnedToken),
    /// The one with this identifier (RFC 7519 §4.1.7).
    Jti(String),
    /// All that speak for this subject.
    Subject(Subject),
    /// All of this client.
    Client(ClientId),
    /// All of this issuer.
    Issuer(IssuerUrl),
}

impl WhichTokens {
    /// This one.
    ///
    /// # Errors
    /// [`InvalidBearerToken`] if it is not of the form of a bearer token (RFC 6750 §2.1).
    pub fn this(token: &str) -> Result<Self, InvalidBearerToken> {
        Ok(Self::This(BearerToken::try_from(token)?.into_owned()))
    }
}

impl fmt::Debug for WhichTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::This(_) => f.write_str("This(…)"),
            Self::Jti(jti) => f.debug_tuple("Jti").field(jti).finish(),
            Self::Subject(subject) => f.debug_tuple("Subject").field(subject).finish(),
            Self::Client(client) => f.debug_tuple("Client").field(client).finish(),
            Self::Issuer(issuer) => f.debug_tuple("Issuer").field(issuer).finish(),
        }
    }
}

/// The same, as it is remembered: without a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    This(TokenName),
    Jti(String),
    Subject(Subject),
    Client(ClientId),
    Issuer(IssuerUrl),
}

impl Which {
    /// Whether a token with these facts is one of them. Its digest is made only if that is asked for.
    pub(crate) fn holds(&self, token: impl FnOnce() -> TokenName, facts: &TokenFacts) -> bool {
        match self {
            Self::This(digest) => token() == *digest,
            Self::Jti(jti) => facts.jti.as_ref() == Some(jti),
            Self::Subject(subject) => facts.subject == *subject,
            Self::Client(client) => facts.client_id.as_ref() == Some(client),
            Self::Issuer(issuer) => facts.issuer == *issuer,
        }
    }
}

/// How many of the last invalidations are remembered, for checks that were under way.
const REMEMBERED: usize = 1024;

/// By how much the clock of an issuer may be ahead of ours at least: a token that is there when its subject is revoked may be dated later.
const LEEWAY: Duration = Duration::from_secs(30);

/// How many revocations are held against tokens at once.
const HELD: usize = 100_000;

/// What was said, for checks that were under way when it was said, and for tokens that come later.
pub(crate) struct Revocations {
    said: AtomicU64,
    held: AtomicUsize,
    state: RwLock<State>,
    kept: Duration,
}

#[derive(Default)]
struct State {
    /// The last that were said, with their numbers.
    last: VecDeque<(u64, Which)>,
    /// By issuer and tokens: up to when they were issued, by their issuer's clock, and until when it is held.
    revoked: HashMap<(IssuerUrl, Which), (Timestamp, Timestamp)>,
}

impl Revocations {
    pub(crate) fn new(kept: Duration) -> Self {
        Self {
            said: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            state: RwLock::default(),
            kept,
        }
    }

    /// How many were said so far.
    pub(crate) fn said(&self) -> u64 {
        self.said.load(Ordering::Acquire)
    }

    /// Says that these tokens are to be asked about again.
    pub(crate) fn invalidate(&self, which: Which) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let number = self.said.fetch_add(1, Ordering::AcqRel);
        if state.last.len() == REMEMBERED {
            state.last.pop_front();
        }
        state.last.push_back((number, which));
    }

    /// Says that these tokens, as far as they may have been issued by now, are dead. `leeway` is how far clocks may be apart for tokens of
    /// this issuer.
    pub(crate) fn revoke(
        &self,
        (issuer, which): (IssuerUrl, Which),
        leeway: Duration,
        now: Timestamp,
    ) -> Result<(), TooManyRevocations> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.revoked.len() >= HELD {
            state.revoked.retain(|_, (_, until)| now < *until);
        }
        let key = (issuer, which);
        let held = state.revoked.get(&key).copied();
        if state.revoked.len() >= HELD && held.is_none() {
            return Err(TooManyRevocations);
        }
        let (mut issued_up_to, mut until) = (
            now.saturating_add(leeway.max(LEEWAY)),
            now.saturating_add(self.kept),
        );
        // Said again by a clock that was set back, it takes nothing back.
        if let Some((up_to, held_until)) = held {
            (issued_up_to, until) = (issued_up_to.max(up_to), until.max(held_until));
        }
        state.revoked.insert(key, (issued_up_to, until));
        self.held.store(state.revoked.len(), Ordering::Release);
        Ok(())
    }

    /// Whether something was said about this token, of which the facts are known or not, since so many had been said; where that is not known any more, it was.
    pub(crate) fn were_said_since(
        &self,
        said: u64,
        token: impl FnOnce() -> TokenName,
        facts: Option<&TokenFacts>,
    ) -> bool {
        if self.said() == said {
            return false;
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let forgotten = state.last.front().is_none_or(|(oldest, _)| *oldest > said);
        let token = token();
        let is_meant = |which: &Which| match facts {
            Some(facts) => which.holds(|| token, facts),
            None => *which == Which::This(token),
        };
        forgotten
            || state
                .last
                .iter()
                .any(|(number, which)| *number >= said && is_meant(which))
    }

    /// Whether the token was said to be dead. `token` is asked for only if that can make a difference.
    pub(crate) fn hold(
        &self,
        token: impl FnOnce() -> TokenName,
        facts: &TokenFacts,
        now: Timestamp,
    ) -> bool {
        if self.held.load(Ordering::Acquire) == 0 {
            return false;
        }
        let this = (facts.issuer.clone(), Which::This(token()));
        let is_this = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let this = state.revoked.get(&this);
            this.is_some_and(|(_, until)| now < *until)
        };
        is_this || self.hold_with_others(facts, now)
    }

    /// Whether it was said to be dead by its identifier, or together with others.
    pub(crate) fn hold_with_others(&self, facts: &TokenFacts, now: Timestamp) -> bool {
        if self.held.load(Ordering::Acquire) == 0 {
            return false;
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_held = |which: Which, by_time: bool| {
            let key = (facts.issuer.clone(), which);
            state.revoked.get(&key).is_some_and(|(up_to, until)| {
                let issued = facts.issued_at.unwrap_or(*up_to);
                now < *until && (!by_time || issued <= *up_to)
            })
        };
        facts
            .jti
            .as_ref()
            .is_some_and(|jti| is_held(Which::Jti(jti.clone()), false))
            || is_held(Which::Subject(facts.subject.clone()), true)
            || facts
                .client_id
                .as_ref()
                .is_some_and(|client| is_held(Which::Client(client.clone()), true))
            || is_held(Which::Issuer(facts.issuer.clone()), true)
    }
}

/// More is revoked than can be held: 100,000 at once. Those tokens are good again as soon as their issuer says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no more than 100,000 revocations are held at once")]
#[non_exhaustive]
pub struct TooManyRevocations;
