//! The pages as people meet them: the machine's Chromium against the demo, each test in a browser of its own.
//!
//! Needs `chromium` and `chromedriver`. Where they are missing the tests fail, unless `TOWER_OAUTH_SKIP_SERVICES=1` skips them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::future_not_send,
    reason = "each test stays on a thread of its own"
)]

mod app;
mod chromium;
mod code;
mod connected_apps;
mod device;
mod elsewhere;
#[path = "../support/example.rs"]
mod example;
mod expired;
mod heard;
mod hosts;
mod https;
mod looks;
#[path = "../support/npm.rs"]
mod npm;
mod own;
mod pages;
mod person;
mod prompt;
#[path = "../support/tls.rs"]
mod tls_server;
#[path = "../support/waits.rs"]
#[expect(
    dead_code,
    reason = "what a page is waited for with has its own limits"
)]
mod waits;

use example::Example;

fn demo() -> Example {
    Example::start("demo", &["--listen", "127.0.0.1:0", "--store", "memory:"])
}

/// Of the page that asks.
fn consent_heading() -> String {
    format!("Allow {} to use your account?", app::NAME)
}
