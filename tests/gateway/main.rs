//! The gateway as a process, between clients that say what they like and a service that keeps what it was sent.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/example.rs"]
mod example;

mod bodies;
mod flags;
mod headers;
mod issuers;
mod paths;
mod refusals;
mod support;
#[cfg(target_os = "linux")] // where a file says whom the machine trusts
mod tls;
#[cfg(target_os = "linux")]
#[path = "../support/tls.rs"]
mod tls_server;
#[path = "../support/waits.rs"]
#[expect(dead_code, reason = "nothing here has to be asked for again and again")]
mod waits;
