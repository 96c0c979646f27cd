//! Whether two threads get through twice as many warm checks as one.
//!
//! `cargo bench --bench threads --all-features`. Each thread makes the same number of checks of a token of RS256 behind the default layer,
//! once alone and once beside another thread; `control` does the same with arithmetic, which shows what the machine gives a second
//! thread. Runs take turns; printed are the medians of how much two threads did of twice the work of one, and beside the control in the
//! same turn. `one token` is presented by both threads, `two tokens` are one for each.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a benchmark fails by panicking, reads the clock, prints its figures, and shares its tokens with others"
)]

#[path = "support/tokens.rs"]
mod tokens;

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::Empty;
use tower::{Layer as _, Service as _, service_fn};
use tower_oauth::resource::{CacheLimits, ResourceServer};

use tokens::{Key, SCOPE, finished, request};

const RUNS: usize = 20;
const BATCH: usize = 64;
const BATCHES: usize = 4000;

/// Seconds of one thread for all its checks; the requests are made before.
fn checks(api: &ResourceServer, token: &str) -> f64 {
    let hello =
        service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new())));
    let mut service = api.layer().layer(api.require(SCOPE).layer(hello));
    let mut answers = Vec::with_capacity(BATCH);
    let mut spent = Duration::ZERO;
    for _ in 0..BATCHES {
        let ready: Vec<_> = (0..BATCH).map(|_| request(Some(token))).collect();
        let begun = Instant::now();
        for request in ready {
            answers.push(finished(service.call(request)).unwrap());
        }
        spent += begun.elapsed();
        assert!(answers.drain(..).all(|answer| answer.status() == 200));
    }
    spent.as_secs_f64()
}

/// Seconds of one thread for arithmetic of about the same length.
fn control() -> f64 {
    let mut spent = Duration::ZERO;
    for _ in 0..BATCHES {
        let begun = Instant::now();
        let mut number: u64 = black_box(1);
        for _ in 0..BATCH * 400 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
        }
        black_box(number);
        spent += begun.elapsed();
    }
    spent.as_secs_f64()
}

/// How much of twice the work of one thread two threads do in its time: 1 at best.
fn scaling(works: [&(dyn Fn() -> f64 + Sync); 2]) -> f64 {
    let alone = works[0]();
    let barrier = Barrier::new(2);
    let beside = std::thread::scope(|scope| {
        let threads = works.map(|work| {
            scope.spawn(|| {
                barrier.wait();
                work()
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    alone / beside[0].max(beside[1])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let key = Key::new("RS256");
    let tokens = [key.token(1, 3600), key.token(2, 3600)];
    let api = key.api(Duration::from_secs(3600), CacheLimits::new());
    let [first, second] = tokens.each_ref().map(|token| || checks(&api, token));
    let mut runs: [Vec<f64>; 5] = Default::default();
    for _ in 0..RUNS {
        let control = scaling([&control, &control]);
        let one = scaling([&first, &first]);
        let two = scaling([&first, &second]);
        for (run, figure) in runs
            .iter_mut()
            .zip([control, one, two, one / control, two / control])
        {
            run.push(figure);
        }
    }
    let [control, one, two, one_beside, two_beside] = runs.map(median);
    println!(
        "two threads beside one, medians of {RUNS} runs of {} checks",
        BATCH * BATCHES
    );
    println!("   control: {control:.3}");
    println!(" one token: {one:.3}, {one_beside:.3} of the control");
    println!("two tokens: {two:.3}, {two_beside:.3} of the control");
}
