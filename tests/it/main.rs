//! Everything that is seen from outside, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod authorize;
mod bearer;
mod bodies;
mod client_auth;
mod code;
mod confusion;
mod cors;
mod crash;
mod device;
mod durable;
mod hooked;
mod host;
mod http;
mod introspect;
mod kept;
mod layers;
mod lifetimes;
mod outage;
mod policy;
mod races;
mod refresh;
mod revoke;
mod structure;
mod support;
mod token;
