//! What must not be lost or used twice when nodes, databases and the network fail: with real processes, over TCP.
#![cfg(all(
    unix,
    feature = "server",
    feature = "resource",
    feature = "sqlite",
    feature = "postgres",
    feature = "redis"
))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a node says by it where it is"
)]

mod answer;
mod forgetful;
mod killed;
mod load;
mod node;
mod outage;
mod place;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "nodes open their stores themselves")]
mod postgres_server;
mod proxy;
#[path = "../support/redis_own.rs"]
mod redis_own;
#[path = "../support/redis.rs"]
mod redis_server;
mod silence;
mod struck;
