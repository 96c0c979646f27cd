//! The wire, both directions: how requests are read and answers written.

#[cfg(feature = "server")]
pub(crate) mod client_auth;
#[cfg(feature = "server")]
pub(crate) mod error;
#[cfg(feature = "server")]
pub(crate) mod form;
#[cfg(feature = "server")]
pub(crate) mod introspection;
#[cfg(feature = "server")]
pub(crate) mod metadata;
pub(crate) mod protected_resource;
#[cfg(feature = "server")]
pub(crate) mod registration;
