//! The words of the standards. A value that exists is valid.

mod body;
mod claims;
mod client;
mod clock;
mod flag;
mod grant_type;
mod issuer;
mod pkce;
mod redirect_uri;
mod resource_uri;
mod scope;
mod secret;
mod subject;

#[cfg(feature = "server")]
pub(crate) mod record;

pub use body::{Body, Nothing};
pub use claims::{Claims, InvalidClaims};
#[cfg(feature = "server")]
pub(crate) use client::ClientSecret;
pub use client::{Client, ClientId, Introspects, InvalidClientId, RegisteredBy};
#[cfg(feature = "testing")]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock, Timestamp};
pub use flag::Flag;
pub use grant_type::{GrantType, UnknownGrantType};
pub use issuer::{InvalidIssuerUrl, IssuerUrl};
pub use pkce::{CodeChallenge, CodeVerifier, InvalidCodeChallenge, InvalidCodeVerifier};
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use resource_uri::{InvalidResourceUri, ResourceUri};
pub use scope::{InvalidScope, Scope, ScopeToken};
#[cfg(feature = "server")]
pub(crate) use secret::random;
pub use secret::{Digest, RandomnessUnavailable, Secret};
pub use subject::{InvalidSubject, Subject};
