//! Everything that is seen from outside, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod authorize;
mod bearer;
mod device;
mod endpoints_layer;
mod in_process;
mod in_process_deaths;
mod layers;
mod mounts;
mod mounts_tonic;
mod passthrough;
mod structure;
mod support;
mod token;
