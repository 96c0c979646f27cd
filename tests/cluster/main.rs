//! Many nodes over one store: real processes, each a demo, over real sockets, on PostgreSQL and on Redis.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "how long real processes take is measured"
)]

#[path = "../support/app.rs"]
#[expect(dead_code, reason = "other tests look at more of what it is told")]
mod app;
#[path = "../support/browser.rs"]
#[expect(dead_code, reason = "other tests look at more of its pages")]
mod browser;
mod clocks;
mod demo;
#[path = "../support/example.rs"]
mod example;
mod keys;
mod nodes;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "here the stores are in other processes")]
mod postgres_server;
mod program;
mod proxy;
mod races;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "here the stores are in other processes")]
mod redis_server;
mod revocations;
#[path = "../support/shared_stores.rs"]
mod shared_stores;
mod silence;
