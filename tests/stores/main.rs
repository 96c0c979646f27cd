//! The stores: each passes the suite, the suite fails stores that are wrong, and SQLite keeps what it has answered.
#![cfg(all(feature = "sqlite", feature = "postgres", feature = "testing"))]

mod commits;
mod conformance;
mod file;
mod postgres;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod processes;
mod support;
mod wrong;
