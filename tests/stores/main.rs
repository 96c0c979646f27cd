//! The stores: each passes the suite, the suite fails stores that are wrong, and SQLite keeps what it has answered.
#![cfg(all(feature = "sqlite", feature = "postgres", feature = "testing"))]

mod commits;
mod conformance;
mod file;
mod postgres;
mod postgres_plans;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod processes;
#[cfg(all(unix, feature = "redis"))]
mod redis;
#[cfg(all(unix, feature = "redis"))]
mod redis_conformance;
#[cfg(all(unix, feature = "redis"))]
#[path = "../support/redis_own.rs"]
mod redis_own;
#[cfg(all(unix, feature = "redis"))]
mod redis_proxy;
#[cfg(all(unix, feature = "redis"))]
#[path = "../support/redis.rs"]
mod redis_server;
#[cfg(all(unix, feature = "redis"))]
mod redis_servers;
#[cfg(unix)]
mod round_trips;
mod runtimes;
mod support;
#[path = "../support/waits.rs"]
#[cfg_attr(not(all(unix, feature = "redis")), expect(dead_code))]
mod waits;
mod wrong;
