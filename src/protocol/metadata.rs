//! Authorization server metadata (RFC 8414 §2; RFC 9207 §3; RFC 8628 §4).

use serde::Serialize;

use crate::types::{IssuerUrl, Scope};

/// The document, as it is sent. Members that say nothing are left out (RFC 8414 §3.2).
#[derive(Debug, Serialize)]
pub(crate) struct ServerMetadata<'a> {
    pub(crate) issuer: &'a IssuerUrl,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registration_endpoint: Option<String>,
    pub(crate) device_authorization_endpoint: String,
    pub(crate) introspection_endpoint: String,
    pub(crate) revocation_endpoint: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) scopes_supported: Vec<&'a str>,
    pub(crate) response_types_supported: &'static [&'static str],
    pub(crate) response_modes_supported: &'static [&'static str],
    pub(crate) grant_types_supported: Vec<&'static str>,
    pub(crate) token_endpoint_auth_methods_supported: &'static [&'static str],
    pub(crate) revocation_endpoint_auth_methods_supported: &'static [&'static str],
    pub(crate) introspection_endpoint_auth_methods_supported: &'static [&'static str],
    pub(crate) code_challenge_methods_supported: &'static [&'static str],
    pub(crate) authorization_response_iss_parameter_supported: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) protected_resources: Vec<&'a str>,
    /// Lifetimes in seconds, as extension members (RFC 8414 §2 allows further ones).
    pub(crate) access_token_lifetime: u64,
    pub(crate) refresh_token_lifetime: u64,
    pub(crate) authorization_code_lifetime: u64,
    pub(crate) device_code_lifetime: u64,
}

impl ServerMetadata<'_> {
    pub(crate) fn scopes(scope: &Scope) -> Vec<&str> {
        scope.iter().map(crate::types::ScopeToken::as_str).collect()
    }
}
