//! Whether two threads get through twice as many warm checks as one.
//!
//! `cargo bench --bench threads --all-features`. Each thread makes the same number of checks of a token of RS256 behind the default layer,
//! once alone and once beside another thread; `control` does the same with arithmetic, which shows what the machine gives a second
//! thread. Runs take turns; printed are the medians of how much two threads did of twice the work of one, and beside the control in the
//! same turn. `bare` is the same service without the layer, `one token` is presented by both threads, `two tokens` are one for each. A run in which a thread had to wait for a
//! processor is made again.
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

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer as _, Service, service_fn};
use tower_oauth::resource::{CacheLimits, ResourceServer};

use tokens::{Key, SCOPE, finished, request};

const RUNS: usize = 20;
const BATCH: usize = 64;
const BATCHES: usize = 500;

/// How much of its time a thread may have waited, and how often a run is made again.
const WAITED: f64 = 0.02;
const TRIES: usize = 2000;

/// Seconds of one thread.
type Work<'a> = &'a (dyn Fn() -> f64 + Sync);

type Answer = Response<Empty<Bytes>>;
type Asked = Request<Empty<Bytes>>;

fn hello() -> impl Service<Asked, Response = Answer, Error = Infallible, Future: Send> + Clone {
    service_fn(async |_: Asked| Ok(Response::new(Empty::new())))
}

/// Seconds of one thread for all its checks; the requests are made before.
fn checks(api: &ResourceServer, token: &str) -> f64 {
    let service = api.layer().layer(api.require(SCOPE).layer(hello()));
    requests(service, token)
}

fn requests<S, B>(mut service: S, token: &str) -> f64
where
    S: Service<Asked, Response = Response<B>, Error = Infallible>,
{
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

/// Seconds that this thread has waited for a processor.
fn waited() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let waited: f64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    waited / 1e9
}

/// Seconds of this work, unless it was kept waiting.
fn undisturbed(work: &dyn Fn() -> f64) -> Option<f64> {
    let (before, begun) = (waited(), Instant::now());
    let spent = work();
    let waited = waited() - before;
    (waited < WAITED * begun.elapsed().as_secs_f64()).then_some(spent)
}

/// How much of twice the work of one thread two threads do in its time: 1 at best.
fn scaling(works: [Work<'_>; 2]) -> f64 {
    let run = || {
        // In a thread of its own like the others: the first of a process has its memory from elsewhere.
        let alone = std::thread::scope(|scope| {
            let thread = scope.spawn(|| undisturbed(works[0]));
            thread.join().unwrap()
        })?;
        let barrier = Barrier::new(2);
        let beside = std::thread::scope(|scope| {
            let threads = works.map(|work| {
                scope.spawn(|| {
                    barrier.wait();
                    undisturbed(work)
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        Some(alone / beside[0]?.max(beside[1]?))
    };
    (0..TRIES)
        .find_map(|_| run())
        .expect("a machine with two free processors")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let key = Key::new("RS256");
    let tokens = [key.token(1, 3600), key.token(2, 3600)];
    let api = key.api(Duration::from_secs(3600), CacheLimits::new());
    let (first, second) = (|| checks(&api, &tokens[0]), || checks(&api, &tokens[1]));
    let bare = || requests(hello(), &tokens[0]);
    let works: [(&str, [Work<'_>; 2]); 4] = [
        ("control", [&control, &control]),
        ("bare", [&bare, &bare]),
        ("one token", [&first, &first]),
        ("two tokens", [&first, &second]),
    ];
    let mut runs = works.map(|(name, _)| (name, Vec::new(), Vec::new()));
    for _ in 0..RUNS {
        let figures = works.map(|(_, work)| scaling(work));
        for ((_, alone, beside), figure) in runs.iter_mut().zip(figures) {
            alone.push(figure);
            beside.push(figure / figures[0]);
        }
    }
    println!(
        "two threads beside one, medians of {RUNS} runs of {} checks",
        BATCH * BATCHES
    );
    for (name, figures, beside) in runs {
        let (figure, beside) = (median(figures), median(beside));
        println!("{name:>10}: {figure:.3}, {beside:.3} of the control");
    }
}
