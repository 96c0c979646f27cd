//! How long the memory store keeps a caller waiting at worst while it grows.

use std::time::{Duration, Instant};

use tower_oauth::MemoryStore;
use tower_oauth::store::{Key, Kind, Record, Store as _};
use tower_oauth::types::{Digest, Timestamp};

/// About the size of a person's token.
const BYTES: usize = 250;
/// So many end in one second.
const A_SECOND: u64 = 10_000;

pub(crate) async fn measure() {
    let total: u64 = std::env::var("TOTAL").map_or(4_000_000, |total| total.parse().unwrap());
    let (store, now) = (MemoryStore::new(), Timestamp::from_secs(1_795_348_800));
    let mut times = Vec::with_capacity(usize::try_from(total).unwrap());
    for number in 0..total {
        let digest = Digest::of("access_token", &number.to_be_bytes());
        let ends = now.saturating_add(Duration::from_secs(600 + number / A_SECOND));
        let record = Record::new(vec![b'x'; BYTES].into(), ends);
        let begun = Instant::now();
        let inserted = store.insert(Key::new(Kind::AccessToken, digest), record, now);
        inserted.await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
    let at = |of: u64| micros(times[usize::try_from(total / 10_000 * of).unwrap()]);
    let longest = micros(*times.last().unwrap());
    println!(
        "{total} inserts into memory: half within {:.2} µs, 99.9 % within {:.1} µs, all within {longest:.0} µs",
        at(5_000),
        at(9_990),
    );
}
