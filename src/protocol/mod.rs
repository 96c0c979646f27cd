//! The wire, both directions, shared by both halves of the crate: how requests are read and answers written.

#[cfg(feature = "resource")]
pub(crate) mod bearer;
#[cfg(feature = "jwks")]
pub(crate) mod claim_set;
#[cfg(any(feature = "jwt", feature = "jwks"))]
pub(crate) mod claims;
#[cfg(feature = "server")]
pub(crate) mod client_auth;
#[cfg(feature = "server")]
pub(crate) mod error;
#[cfg(feature = "jwks")]
pub(crate) mod foreign_jwt;
#[cfg(feature = "server")]
pub(crate) mod form;
#[cfg(feature = "jwks")]
pub(crate) mod freshness;
#[cfg(feature = "introspection")]
pub(crate) mod introspected;
#[cfg(feature = "server")]
pub(crate) mod introspection;
#[cfg(any(feature = "jwks", feature = "introspection"))]
pub(crate) mod issuer_metadata;
#[cfg(feature = "server")]
pub(crate) mod json_object;
#[cfg(feature = "jwks")]
pub(crate) mod jwk_set;
#[cfg(any(feature = "jwt", feature = "jwks", feature = "introspection"))]
#[cfg_attr(
    not(any(feature = "jwt", feature = "jwks")),
    expect(
        dead_code,
        reason = "who only proves itself by a signature checks none"
    )
)]
pub(crate) mod jws;
#[cfg(feature = "jwt")]
pub(crate) mod jwt;
#[cfg(feature = "server")]
pub(crate) mod metadata;
#[cfg(any(feature = "server", feature = "resource"))]
pub(crate) mod protected_resource;
#[cfg(feature = "resource")]
pub(crate) mod refusal;
#[cfg(feature = "server")]
pub(crate) mod registration;
