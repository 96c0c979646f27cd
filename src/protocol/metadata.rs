//! Authorization server metadata (RFC 8414 §2; RFC 9207 §3; RFC 8628 §4).

use serde::Serialize;

use crate::types::{IssuerUrl, Scope};

/// The document, as it is sent. Members that say nothing are left out (RFC 8414 §3.2), but for `response_types_supported`, which
/// must be there (RFC 8414 §2) whenever there is an authorization endpoint.
#[derive(Debug, Serialize)]
pub(crate) struct ServerMetadata<'a> {
    pub(crate) issuer: &'a IssuerUrl,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authorization_endpoint: Option<String>,
    pub(crate) token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registration_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_authorization_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwks_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) introspection_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Scope::is_empty", serialize_with = "as_list")]
    pub(crate) scopes_supported: Scope,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) response_types_supported: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) response_modes_supported: &'static [&'static str],
    pub(crate) grant_types_supported: Vec<&'static str>,
    pub(crate) token_endpoint_auth_methods_supported: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) revocation_endpoint_auth_methods_supported: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) introspection_endpoint_auth_methods_supported: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) code_challenge_methods_supported: &'static [&'static str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) prompt_values_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) acr_values_supported: &'a [String],
    pub(crate) authorization_response_iss_parameter_supported: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) protected_resources: Vec<&'a str>,
    /// Lifetimes in seconds, as extension members (RFC 8414 §2 allows further ones).
    pub(crate) access_token_lifetime: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token_lifetime: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authorization_code_lifetime: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_code_lifetime: Option<u64>,
}

/// A set of scopes as a JSON array (RFC 8414 §3.2), not as the one text that other messages carry.
pub(crate) fn as_list<S: serde::Serializer>(
    scope: &Scope,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(scope)
}
