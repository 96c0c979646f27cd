//! What a token says besides its standard members (RFC 7519 §4.1, RFC 7662 §2.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Members that the standards define and a host may not set: they are derived from the grant.
const RESERVED: [&str; 15] = [
    "active",
    "aud",
    "client_id",
    "cnf",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "scope",
    "sub",
    "token_type",
    "tower_oauth_ref",
    "typ",
    "username",
];

/// Further claims that the host puts into a token: a JSON object without the members that the grant itself decides.
///
/// They come back from introspection and from [`AccessToken::claims`](crate::resource::AccessToken::claims). RFC 7662 §2.2 asks
/// that names used across domains be registered ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// No further claims.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes an object of claims.
    ///
    /// # Errors
    /// [`InvalidClaims`] if it holds a member that the grant decides: `sub`, `scope`, `aud`, `exp` and the like.
    pub fn new(claims: Map<String, Value>) -> Result<Self, InvalidClaims> {
        if RESERVED.iter().any(|name| claims.contains_key(*name)) {
            return Err(InvalidClaims);
        }
        Ok(Self(claims))
    }

    /// What a token of another issuer says besides: it names its claims as it likes.
    #[cfg(any(feature = "jwks", feature = "introspection"))]
    pub(crate) const fn of_token(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// With what is known of the owner's sign-in (RFC 9068 §2.2.1, RFC 9470 §6): it is the grant's to say, and stays as it was.
    #[cfg(feature = "server")]
    pub(crate) fn signed_in(mut self, authentication: super::Authentication) -> Self {
        let super::Authentication { auth_time, acr } = authentication;
        let auth_time = auth_time.map(|at| ("auth_time", Value::from(at.as_secs())));
        let acr = acr.map(|acr| ("acr", Value::from(acr)));
        for (name, value) in auth_time.into_iter().chain(acr) {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// The value of one claim.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All of them.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A claim that the grant itself decides cannot be set by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a claim that the grant itself decides (sub, scope, aud, exp …) cannot be set")]
#[non_exhaustive]
pub struct InvalidClaims;
