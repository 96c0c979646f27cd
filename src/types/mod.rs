//! The words of the standards. A value that exists is valid.

#[cfg(feature = "resource")]
mod audience;
#[cfg(feature = "server")]
mod authentication;
#[cfg(any(feature = "server", feature = "resource"))]
mod body;
mod claims;
#[cfg(feature = "server")]
mod client;
mod client_id;
#[cfg(feature = "server")]
mod client_secret;
mod clock;
#[cfg(any(feature = "jwks", feature = "introspection"))]
mod endpoint_url;
mod flag;
#[cfg(feature = "server")]
mod grant_type;
mod issuer;
#[cfg(any(feature = "jwt", feature = "jwks", feature = "introspection"))]
mod jws_algorithm;
#[cfg(feature = "server")]
mod pkce;
#[cfg(any(feature = "jwt", feature = "jwks", feature = "introspection"))]
#[cfg_attr(
    not(any(feature = "jwt", feature = "jwks")),
    expect(
        dead_code,
        reason = "who only proves itself by a signature checks none"
    )
)]
mod public_key;
#[cfg(feature = "jwks")]
mod public_key_pem;
#[cfg(feature = "server")]
mod redirect_uri;
mod resource_uri;
mod scope;
mod secret;
#[cfg(any(
    feature = "jwt",
    feature = "introspection",
    all(feature = "testing", feature = "jwks")
))]
#[cfg_attr(
    not(feature = "jwt"),
    expect(dead_code, reason = "who issues tokens makes keys and keeps them")
)]
mod signing_key;
mod subject;
#[cfg(feature = "jwks")]
mod verification_key;

#[cfg(feature = "server")]
pub(crate) mod record;

#[cfg(feature = "resource")]
pub use audience::Audience;
#[cfg(feature = "server")]
pub use authentication::Prompt;
#[cfg(feature = "server")]
pub(crate) use authentication::{Authentication, AuthenticationRequest};
#[cfg(any(feature = "server", feature = "resource"))]
pub use body::{Body, Nothing};
pub use claims::{Claims, InvalidClaims};
#[cfg(feature = "server")]
pub(crate) use client::shows_something;
#[cfg(feature = "server")]
pub use client::{Client, Introspects, RegisteredBy};
pub use client_id::{ClientId, InvalidClientId};
#[cfg(feature = "server")]
pub(crate) use client_secret::{ClientSecret, Proof, SlowProof};
#[cfg(feature = "testing")]
pub use clock::ManualClock;
#[cfg(feature = "server")]
pub(crate) use clock::Stopwatch;
pub use clock::{Clock, SystemClock, Timestamp};
#[cfg(any(feature = "jwks", feature = "introspection"))]
pub use endpoint_url::{EndpointUrl, InvalidEndpointUrl};
pub use flag::Flag;
#[cfg(feature = "server")]
pub use grant_type::{GrantType, UnknownGrantType};
pub use issuer::{InvalidIssuerUrl, IssuerUrl};
#[cfg(any(feature = "jwt", feature = "jwks", feature = "introspection"))]
pub use jws_algorithm::JwsAlgorithm;
#[cfg(feature = "server")]
pub use pkce::{CodeChallenge, CodeVerifier, InvalidCodeChallenge, InvalidCodeVerifier};
#[cfg(feature = "jwt")]
pub(crate) use public_key::Jwk;
#[cfg(any(feature = "jwt", feature = "jwks"))]
pub(crate) use public_key::PublicKey;
#[cfg(feature = "server")]
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use resource_uri::{InvalidResourceUri, ResourceUri};
pub use scope::{InvalidScope, Scope, ScopeToken};
#[cfg(any(feature = "server", feature = "resource"))]
pub(crate) use secret::random;
pub use secret::{Digest, RandomnessUnavailable, Secret};
#[cfg(any(feature = "jwt", feature = "introspection"))]
pub(crate) use signing_key::SigningFailed;
#[cfg(any(
    feature = "jwt",
    feature = "introspection",
    all(feature = "testing", feature = "jwks")
))]
pub use signing_key::{InvalidSigningKey, SigningAlgorithm, SigningKey};
pub use subject::{InvalidSubject, Subject};
#[cfg(feature = "jwks")]
pub(crate) use verification_key::VerificationKey;
