//! Everything that is seen from outside, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod advertised;
mod authorization_errors;
mod authorize;
mod bearer;
mod client_metadata;
mod consent;
mod device;
mod interaction;
mod layers;
mod metadata;
mod pkce;
mod redirect_uri;
mod register;
mod registered_client;
mod scope;
mod structure;
mod support;
mod token;
mod verification;
