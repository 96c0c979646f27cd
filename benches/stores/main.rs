//! What each store gives: answers a second, what it costs to hold much, and whether it forgets as fast as it is filled.
//!
//! `cargo bench --bench stores --all-features`, which starts PostgreSQL and Redis servers of its own. `PART` names what is measured:
//!
//! - `rates` (the default): answers a second of the token endpoint (client credentials, codes, refresh tokens) and of introspection (the
//!   server keeps no token, so each is cold), over each store and by a bare handler that reads the same form and answers the same
//!   bytes: in process with 1 and 64 callers, and over HTTP with 64 connections from another process. `STORES` names some stores only.
//! - `growth`: the same in process over SQLite and PostgreSQL with more and more live tokens (`SIZES`, default `1000,100000,5000000`,
//!   which takes 6 GB of disk), and bytes for each token.
//! - `bytes`: bytes for each token in memory and in Redis.
//! - `purge`: `TOTAL` records (default 1,000,000) that live for a minute of an injected clock, ten times as many as live at a time, and the
//!   size of what is kept after each tenth.
//! - `pause`: how long an insert into memory takes at worst while `TOTAL` records (default 4,000,000) come to it.
//!
//! PostgreSQL syncs (`fsync` and `synchronous_commit` are on) but in `purge`, where nothing depends on it; `redis` syncs once a second
//! and `redis_always` before it answers. All processes share the machine. Lines that begin with `{` are for `benches/stores/plot.py`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, prints its figures, and reads the clock"
)]

mod churn;
mod flows;
mod growth;
mod pause;
mod place;
#[path = "../../tests/support/postgres.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod postgres;
mod rates;
#[path = "../../tests/support/redis.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod redis_server;

fn main() {
    if let Ok(place) = std::env::var("SERVE") {
        return rates::serve(&place);
    }
    let runtime = runtime();
    match std::env::var("PART").as_deref() {
        Ok("growth") => runtime.block_on(growth::measure()),
        Ok("bytes") => runtime.block_on(growth::bytes()),
        Ok("purge") => runtime.block_on(churn::measure()),
        Ok("pause") => runtime.block_on(pause::measure()),
        Ok("rates") | Err(_) => runtime.block_on(rates::measure()),
        Ok(other) => panic!("PART={other} is none of rates, growth, bytes, purge, pause"),
    }
}

/// A thread for each processor, as a server has them.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
