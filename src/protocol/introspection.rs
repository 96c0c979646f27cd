//! What introspection answers (RFC 7662 §2.2).

use serde::Serialize;

use crate::types::{Claims, ClientId, IssuerUrl, ResourceUri, Scope, Subject, Timestamp};

/// An active token; the inactive answer is [`Inactive`] and has no other member.
#[derive(Debug, Serialize)]
pub(crate) struct IntrospectionResponse<'a> {
    pub(crate) active: bool,
    #[serde(skip_serializing_if = "Scope::is_empty")]
    pub(crate) scope: &'a Scope,
    pub(crate) client_id: &'a ClientId,
    pub(crate) token_type: &'static str,
    pub(crate) exp: Timestamp,
    pub(crate) iat: Timestamp,
    /// The owner, or the client itself when no owner is involved (RFC 9068 §2.2).
    pub(crate) sub: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) aud: &'a [ResourceUri],
    pub(crate) iss: &'a IssuerUrl,
    pub(crate) jti: &'a str,
    #[serde(flatten)]
    pub(crate) claims: &'a Claims,
}

impl<'a> IntrospectionResponse<'a> {
    pub(crate) fn subject(subject: Option<&'a Subject>, client_id: &'a ClientId) -> &'a str {
        subject.map_or(client_id.as_str(), Subject::as_str)
    }
}

/// The whole answer about a token that is not active, or not for the caller to know (RFC 7662 §2.2).
#[derive(Debug, Serialize)]
pub(crate) struct Inactive {
    active: bool,
}

impl Inactive {
    pub(crate) const ANSWER: Self = Self { active: false };
}
