//! The stores: each passes the suite, the suite fails stores that are wrong, and SQLite keeps what it has answered.
#![cfg(all(feature = "sqlite", feature = "testing"))]

mod commits;
mod conformance;
mod file;
mod processes;
mod support;
mod wrong;
