//! How one issuer's tokens are checked: the trait, and the facts that come of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};

use crate::protocol::bearer::{BearerToken, OwnedToken};
use crate::types::{
    Audience, Claims, ClientId, Flag, IssuerUrl, Scope, ScopeToken, Subject, Timestamp,
};

/// One issuer's way to tell what is known about a token.
///
/// A validator yields *facts*, never a decision: whether the issuer is the right one, whether the token is meant for this resource,
/// has expired or was revoked, is judged afterwards in one place, on every request, however old the facts are.
///
/// ```
/// use std::sync::Arc;
/// use tower_oauth::resource::{BearerToken, Facts, NotActive, OwnedToken, TokenFacts, Unavailable, Validator};
/// use tower_oauth::types::{IssuerUrl, ResourceUri, Scope, Subject, Timestamp};
///
/// /// Tokens that are kept in a table of our own.
/// struct Table { issuer: IssuerUrl, api: ResourceUri }
///
/// impl Table {
///     async fn owner(&self, token: &str) -> Result<Option<&'static str>, std::io::Error> {
///         Ok((token == "mF_9.B5f-4.1JqM").then_some("ada")) // a query in real life
///     }
/// }
///
/// impl Validator for Table {
///     fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
///         None // nothing is known without asking
///     }
///
///     async fn validate(&self, token: OwnedToken, now: Timestamp) -> Result<Facts, Unavailable> {
///         let Some(owner) = self.owner(token.expose()).await.map_err(Unavailable::new)? else {
///             return Ok(Err(NotActive::because("no such token")));
///         };
///         let owner = Subject::new(owner).map_err(Unavailable::new)?;
///         let expires_at = now.saturating_add(std::time::Duration::from_secs(600));
///         let facts = TokenFacts::builder(self.issuer.clone(), owner, expires_at)
///             .audience([self.api.clone()])
///             .scope("notes:read".parse::<Scope>().map_err(Unavailable::new)?)
///             .build();
///         Ok(Ok(Arc::new(facts)))
///     }
/// }
/// ```
pub trait Validator: Send + Sync + 'static {
    /// What is known of the token without waiting, or `None`, and then [`validate`](Self::validate) is asked.
    ///
    /// It is called on every request and inside the poll of a task: it neither blocks nor, if it can be helped, allocates.
    fn validate_now(&self, token: BearerToken<'_>, now: Timestamp) -> Option<Facts>;

    /// The facts, with whatever waiting it takes.
    ///
    /// It is a task of its own, shared by all who ask about the token meanwhile, and goes on when a caller goes away. So it has to come to an
    /// end: give what it asks a limit of time.
    ///
    /// # Errors
    /// [`Unavailable`] if nobody can say at the moment. An outage is never `NotActive`: clients throw good tokens away on a 401.
    fn validate(
        &self,
        token: OwnedToken,
        now: Timestamp,
    ) -> impl Future<Output = Result<Facts, Unavailable>> + Send;
}

/// What a validator knows of a token: the facts, or that it is no live token of this issuer.
pub type Facts = Result<Arc<TokenFacts>, NotActive>;

/// What an issuer says about a token.
#[derive(Debug, Clone)]
pub struct TokenFacts {
    pub(crate) issuer: IssuerUrl,
    pub(crate) subject: Subject,
    pub(crate) expires_at: Timestamp,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) scope: Scope,
    pub(crate) audience: Vec<Audience>,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) jti: Option<String>,
    pub(crate) claims: Claims,
    pub(crate) flags: Vec<Flag>,
    /// Whether a flag that is set says no more than that the token may be dead.
    flags_doubt: bool,
    is_revoked: Mark,
}

/// Something that was said of facts after they were made. A copy is another one.
#[derive(Debug, Default)]
struct Mark(AtomicBool);

impl Clone for Mark {
    fn clone(&self) -> Self {
        Self(AtomicBool::new(self.0.load(Ordering::Acquire)))
    }
}

impl TokenFacts {
    /// Facts about a token of this issuer that speaks for this subject until that moment.
    ///
    /// Where a client speaks for itself, the subject is its client id (RFC 9068 §2.2). A token that never expires does so at
    /// [`Timestamp::MAX`].
    pub fn builder(
        issuer: IssuerUrl,
        subject: Subject,
        expires_at: Timestamp,
    ) -> TokenFactsBuilder {
        TokenFactsBuilder {
            facts: Self {
                issuer,
                subject,
                expires_at,
                client_id: None,
                scope: Scope::empty(),
                audience: Vec::new(),
                issued_at: None,
                not_before: None,
                jti: None,
                claims: Claims::none(),
                flags: Vec::new(),
                flags_doubt: false,
                is_revoked: Mark::default(),
            },
        }
    }

    /// The token was revoked here, and by this its holders are told.
    pub(crate) fn revoke(&self) {
        self.is_revoked.0.store(true, Ordering::Release);
    }

    pub(crate) fn are_revoked(&self) -> bool {
        self.is_revoked.0.load(Ordering::Acquire)
    }

    /// Whether something that they rest on has changed since they were made: they are worth nothing any more. Whether the token is
    /// dead as well, only its issuer can say.
    pub(crate) fn have_ended(&self) -> bool {
        self.flags.iter().any(Flag::is_set)
    }

    /// Whether they have ended, and their issuer may well say that the token lives.
    pub(crate) fn are_in_doubt(&self) -> bool {
        self.flags_doubt && self.have_ended()
    }

    /// About how many bytes it takes, for caches that are bounded by weight.
    pub(crate) fn weight(&self) -> usize {
        let texts = [
            Some(self.issuer.as_str()),
            Some(self.subject.as_str()),
            self.client_id.as_ref().map(ClientId::as_str),
            self.jti.as_deref(),
        ];
        let texts: usize = texts
            .into_iter()
            .flatten()
            .map(|text| heap(text.len()))
            .sum();
        let scopes: usize = self
            .scope
            .iter()
            .map(|token| size_of::<ScopeToken>() + heap(token.as_str().len()))
            .sum();
        let audience: usize = self
            .audience
            .iter()
            .map(|audience| size_of::<Audience>() + 2 * heap(audience.as_str().len()))
            .sum();
        heap(size_of::<Self>())
            + texts
            + scopes
            + audience
            + members(self.claims.as_map())
            + size_of_val(self.flags.as_slice())
    }
}

/// What a piece of memory takes of the allocator's, with its own notes and in its steps.
pub(crate) const fn heap(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let taken = (bytes + 8).next_multiple_of(16);
    if taken < 32 { 32 } else { taken }
}

/// A map is made of nodes, each with room for eleven members and at least half full but for the only one.
fn members(map: &Map<String, Value>) -> usize {
    const NODE: usize = heap(11 * (size_of::<String>() + size_of::<Value>()) + 16);
    let members: usize = map
        .iter()
        .map(|(name, value)| heap(name.len()) + weight_of(value))
        .sum();
    map.len().div_ceil(8) * NODE + members
}

/// What a value takes besides its own place.
fn weight_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => heap(text.len()),
        Value::Array(values) => {
            heap(size_of_val(values.as_slice())) + values.iter().map(weight_of).sum::<usize>()
        }
        Value::Object(map) => members(map),
    }
}

/// Makes [`TokenFacts`]; see [`TokenFacts::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct TokenFactsBuilder {
    facts: TokenFacts,
}

impl TokenFactsBuilder {
    /// The client the token was issued to. Default: not known.
    pub fn client_id(mut self, client_id: ClientId) -> Self {
        self.facts.client_id = Some(client_id);
        self
    }

    /// What the token may be used for. Default: nothing in particular.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.facts.scope = scope;
        self
    }

    /// Whom the token is meant for: resources, or names of the issuer's. Default: nobody, and then every resource refuses it.
    pub fn audience(mut self, audience: impl IntoIterator<Item = impl Into<Audience>>) -> Self {
        self.facts.audience = audience.into_iter().map(Into::into).collect();
        self
    }

    /// Before when the token is not good (RFC 7519 §4.1.5). Default: it is good at once.
    pub fn not_before(mut self, not_before: Timestamp) -> Self {
        self.facts.not_before = Some(not_before);
        self
    }

    /// When the token was issued. Default: not known.
    pub fn issued_at(mut self, issued_at: Timestamp) -> Self {
        self.facts.issued_at = Some(issued_at);
        self
    }

    /// The token's public identifier (RFC 7519 §4.1.7). Default: none.
    pub fn jti(mut self, jti: impl Into<String>) -> Self {
        self.facts.jti = Some(jti.into());
        self
    }

    /// What the token says besides. Default: nothing.
    pub fn claims(mut self, claims: Claims) -> Self {
        self.facts.claims = claims;
        self
    }

    /// The token is dead as soon as this flag is set. May be called again: any of the flags is enough.
    pub fn dies_with(mut self, flag: Flag) -> Self {
        self.facts.flags.push(flag);
        self
    }

    /// The token may be dead as soon as one of these flags is set: its issuer is asked again.
    #[cfg(feature = "server")]
    pub(crate) fn doubted_with(mut self, flags: Vec<Flag>) -> Self {
        self.facts.flags = flags;
        self.facts.flags_doubt = true;
        self
    }

    /// The facts.
    #[must_use]
    pub fn build(self) -> TokenFacts {
        self.facts
    }
}

/// No live token of this issuer: unknown, expired, revoked or forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an active token: {reason}")]
pub struct NotActive {
    reason: &'static str,
    is_costly: bool,
}

impl NotActive {
    /// Says why, for the log alone; the caller hears the same words every time.
    #[must_use]
    pub const fn because(reason: &'static str) -> Self {
        Self {
            reason,
            is_costly: false,
        }
    }

    /// As [`because`](Self::because), where it took much work to find out: it is remembered for a little while, even if nobody had to be asked.
    #[must_use]
    pub const fn after_work(reason: &'static str) -> Self {
        Self {
            reason,
            is_costly: true,
        }
    }

    pub(crate) const fn is_costly(self) -> bool {
        self.is_costly
    }

    pub(crate) const fn reason(self) -> &'static str {
        self.reason
    }
}

/// Nobody could say whether a token is good. The log is told why, the caller gets a 503.
#[derive(thiserror::Error)]
#[error("the token could not be checked: {cause}")]
pub struct Unavailable {
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl Unavailable {
    /// Takes the cause. It stands in the log as it prints, so it should not print the token.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            cause: cause.into(),
        }
    }
}

impl fmt::Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unavailable").field(&self.cause).finish()
    }
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The object-safe twin of [`Validator`], so that no type of a user carries a parameter for it.
pub(crate) trait DynValidator: Send + Sync + 'static {
    fn validate_now(&self, token: BearerToken<'_>, now: Timestamp) -> Option<Facts>;
    fn validate(
        self: Arc<Self>,
        token: OwnedToken,
        now: Timestamp,
    ) -> BoxFuture<Result<Facts, Unavailable>>;
}

impl<V: Validator> DynValidator for V {
    fn validate_now(&self, token: BearerToken<'_>, now: Timestamp) -> Option<Facts> {
        Validator::validate_now(self, token, now)
    }

    fn validate(
        self: Arc<Self>,
        token: OwnedToken,
        now: Timestamp,
    ) -> BoxFuture<Result<Facts, Unavailable>> {
        Box::pin(async move { Validator::validate(&*self, token, now).await })
    }
}
