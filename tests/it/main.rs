//! Everything that is seen from outside, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod absent;
mod advertised;
mod authorization_errors;
mod authorize;
mod bearer;
mod bodies;
mod client_auth;
mod client_metadata;
mod code;
mod confusion;
mod consent;
mod consent_details;
mod cors;
mod counted;
mod crash;
mod device;
mod documented;
mod durable;
mod endpoints_layer;
mod events;
mod hooked;
mod host;
mod http;
mod in_process;
mod in_process_deaths;
mod interaction;
mod introspect;
mod jwt;
mod jwt_refused;
mod kept;
mod keys;
mod layers;
mod leaks;
mod lifetimes;
mod limits;
mod matrices;
mod metadata;
mod mounts;
mod mounts_tonic;
mod names;
mod outage;
mod passthrough;
mod pkce;
mod policy;
mod races;
mod redirect_uri;
mod refresh;
mod refused_request;
mod register;
mod registered_client;
mod registration_policy;
mod revoke;
mod scope;
mod self_check;
mod self_check_found;
mod structure;
mod support;
mod token;
mod values;
mod verification;
mod watch;
