//! The host's say at every issue.

use std::future::Future;
use std::pin::Pin;

use crate::types::{Claims, Client, GrantType, ResourceUri, Scope, Subject};

/// What is about to be issued.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Issuance<'a> {
    /// By which grant; a refresh is asked about as well.
    pub grant_type: GrantType,
    /// To whom.
    pub client: &'a Client,
    /// For whom; `None` when the client speaks for itself.
    pub subject: Option<&'a Subject>,
    /// The scope that would be issued.
    pub scope: &'a Scope,
    /// The resources that the token would be meant for.
    pub audience: &'a [ResourceUri],
}

/// What the host says to it.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "hosts make it, and the server handles every case"
)]
pub enum Verdict {
    /// Yes, with at most this scope, and with these further claims in the token.
    Allow {
        /// The scope to issue; what goes beyond the issuance is left out. If nothing is left, the client gets `invalid_scope`.
        scope: Scope,
        /// Further claims.
        claims: Claims,
    },
    /// No: the person is disabled, say. The client gets `invalid_grant`, or `unauthorized_client` when it spoke for itself.
    Deny,
    /// The host cannot tell right now. The client gets 503 and may try again with what it has.
    Unavailable,
}

/// Asked at every issue of an access token, refresh included, so that a disabled person stops refreshing and tokens carry the
/// host's claims.
///
/// ```
/// use tower_oauth::{Issuance, Policy, Verdict, types::Claims};
///
/// struct Staff;
/// impl Policy for Staff {
///     async fn issue(&self, issuance: Issuance<'_>) -> Verdict {
///         if issuance.subject.is_some_and(|subject| subject.as_str() == "mallory") {
///             return Verdict::Deny;
///         }
///         Verdict::Allow { scope: issuance.scope.clone(), claims: Claims::none() }
///     }
/// }
/// ```
pub trait Policy: Send + Sync + 'static {
    /// What the host says to an issuance.
    fn issue(&self, issuance: Issuance<'_>) -> impl Future<Output = Verdict> + Send;
}

/// The object-safe twin of [`Policy`].
pub(crate) trait DynPolicy: Send + Sync + 'static {
    fn issue<'a>(
        &'a self,
        issuance: Issuance<'a>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;
}

impl<P: Policy> DynPolicy for P {
    fn issue<'a>(
        &'a self,
        issuance: Issuance<'a>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        Box::pin(Policy::issue(self, issuance))
    }
}
