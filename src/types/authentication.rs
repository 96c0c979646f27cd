//! How an owner signs in, as a request asks for it (OpenID Connect Core 1.0 §3.1.2.1, RFC 9470 §4) and as it was (RFC 9068 §2.2.1).

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What a request wants to be shown, or not to be shown, to its owner (OpenID Connect Core 1.0 §3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Prompt {
    /// No page at all: who would have to be asked something is sent back with an error.
    None,
    /// The owner signs in anew.
    Login,
    /// The owner is asked, though the answer is remembered.
    Consent,
    /// The owner chooses with which account to go on.
    SelectAccount,
}

impl Prompt {
    /// Those that there are.
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Login, Self::Consent, Self::SelectAccount];

    /// As it stands in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}

/// How a request asks its owner to sign in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AuthenticationRequest {
    pub(crate) asked_at: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) prompt: Vec<Prompt>,
    /// In seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) acr_values: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) login_hint: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ui_locales: Vec<String>,
    /// Whether the browser has been sent to the login for this request. A second time would be a loop.
    #[serde(default)]
    pub(crate) was_at_login: bool,
}

impl AuthenticationRequest {
    pub(crate) fn asks_for(&self, prompt: Prompt) -> bool {
        self.prompt.contains(&prompt)
    }
}

/// How an owner has signed in, as far as the host says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Authentication {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acr: Option<String>,
}

impl Authentication {
    pub(crate) fn is_unknown(&self) -> bool {
        self.auth_time.is_none() && self.acr.is_none()
    }
}
