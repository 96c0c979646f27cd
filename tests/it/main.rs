//! Everything that is seen from outside, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod absent;
mod advertised;
mod advised;
mod answered_twice;
mod assertions;
mod authorization_errors;
mod authorize;
mod bearer;
mod bodies;
mod bound;
mod cached;
mod called_back;
mod client_auth;
mod client_metadata;
mod code;
mod confusion;
mod connected_apps;
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
mod flooded;
mod held_back;
mod hooked;
mod host;
mod http;
mod idp;
mod in_process;
mod in_process_deaths;
mod interaction;
mod interaction_json;
mod interaction_outcomes;
mod interaction_pending;
mod introspect;
mod introspection_answers;
mod introspection_discovery;
mod introspection_issuer;
mod introspection_outage;
mod introspection_own;
mod introspection_request;
mod introspection_tls;
mod issued;
mod jwks_discovery;
mod jwks_refresh;
mod jwks_unknown;
mod jwt;
mod jwt_issuer;
mod jwt_issuer_own;
mod jwt_refused;
mod kept;
mod keys;
mod layers;
mod leaks;
mod lifetimes;
mod limits;
mod looked_up;
mod matrices;
mod metadata;
mod mounts;
mod mounts_tonic;
mod names;
mod opaque_keys;
mod outage;
mod outgoing;
mod pages;
mod passthrough;
mod pkce;
mod policy;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod presented;
mod publisher;
mod purged;
mod qr;
mod races;
#[path = "../support/raw_grpc.rs"]
mod raw_grpc;
mod readme;
mod redirect_uri;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "whoever names Redis by TEST_STORE has it")]
mod redis_server;
mod refresh;
mod refused_request;
mod register;
mod registered_client;
mod registration_policy;
mod removal;
mod required;
mod revoke;
mod round_trips;
mod runtimes;
mod scope;
mod self_check;
mod self_check_found;
mod step_up;
mod step_up_round;
mod structure;
mod support;
#[path = "../support/tls.rs"]
mod tls_server;
mod token;
mod tonic_refusals;
mod upgrade;
mod values;
mod verification;
#[path = "../support/waits.rs"]
mod waits;
mod watch;
