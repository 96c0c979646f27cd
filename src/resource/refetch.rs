//! When the keys of an issuer are fetched again, and which of them are known to be missing. No I/O: all of it is told the time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::types::Timestamp;

/// How long keys are fresh whose issuer does not say.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// Whatever an issuer says, its keys are fetched no more often, and no less.
const FRESH_AT_LEAST: Duration = Duration::from_secs(60);
const FRESH_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long keys that cannot be refreshed are used after they were fresh: a key that its owner has taken back must end some day.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// After a failure it is tried again; the time between is doubled each time.
const RETRY_AT_LEAST: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(60);

/// How many tokens with unknown keys may make us ask at once, and how long it takes until there may be one more.
const BURST: u32 = 3;
const REFILL: Duration = Duration::from_secs(10);

/// How many missing keys are remembered, how long, and how long their names may be.
const MISSING: usize = 256;
const MISSING_FOR: Duration = Duration::from_secs(30);
const LONGEST_NAME: usize = 256;

/// What is known of the fetches from one issuer. Held under a lock for a few instructions, never across a wait.
#[derive(Debug)]
pub(crate) struct Refetch {
    /// How many have begun, and the last of them that is over.
    pub(crate) begun: u64,
    pub(crate) landed: u64,
    /// When the next one begins by itself, and when that was settled.
    due: Timestamp,
    settled: Timestamp,
    /// Until when the keys that are there may be used.
    kept_until: Timestamp,
    failures: u32,
    bucket: Bucket,
    missing: HashMap<Box<str>, Timestamp>,
}

/// What a fetch that is over has changed, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    Recovered,
    Failing,
}

impl Refetch {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            begun: 0,
            landed: 0,
            due: now,
            settled: now,
            kept_until: now,
            failures: 0,
            bucket: Bucket::full(now),
            missing: HashMap::new(),
        }
    }

    /// How long until the next one is due.
    pub(crate) fn pause(&self, now: Timestamp) -> Duration {
        if now.is_set_back_from(self.settled) {
            return Duration::ZERO; // nobody knows how long it was
        }
        self.due.since(now)
    }

    /// One begins; says which.
    pub(crate) fn begin(&mut self, now: Timestamp) -> u64 {
        self.begun += 1;
        // Should it never come to an end, the next one is not due at once.
        self.due = now.saturating_add(self.retry());
        self.settled = now;
        self.begun
    }

    /// It has brought keys that were fresh for so long when it began. `news`: they are not those from before.
    pub(crate) fn succeeded(
        &mut self,
        began: Timestamp,
        fresh: Option<Duration>,
        news: bool,
    ) -> Change {
        let fresh = fresh.unwrap_or(FRESH).clamp(FRESH_AT_LEAST, FRESH_AT_MOST);
        self.landed = self.begun;
        self.kept_until = began.saturating_add(fresh).saturating_add(KEPT);
        // Ahead of its time: 90 % of it, give or take a tenth of that.
        self.due = began.saturating_add(fresh * 9 / 10 * (90 + random(20)) / 100);
        self.settled = began;
        if news {
            self.missing.clear();
        }
        match std::mem::take(&mut self.failures) {
            0 => Change::Nothing,
            _ => Change::Recovered,
        }
    }

    /// It has brought nothing.
    pub(crate) fn failed(&mut self, now: Timestamp) -> Change {
        self.landed = self.begun;
        self.due = now.saturating_add(self.retry());
        self.settled = now;
        self.failures = self.failures.saturating_add(1);
        match self.failures {
            1 => Change::Failing,
            _ => Change::Nothing,
        }
    }

    /// Whether keys that could not be refreshed have been used for long enough.
    pub(crate) fn are_kept(&self, now: Timestamp) -> bool {
        now < self.kept_until
    }

    /// The fetch that somebody who lacks a key waits for: the one under way, one that is due or granted already, or a new one if there
    /// have not been too many. `granted` is the last one that was.
    pub(crate) fn ask(&mut self, granted: u64, now: Timestamp) -> Option<u64> {
        if self.landed < self.begun {
            return Some(self.begun);
        }
        let next = self.begun + 1;
        (granted >= next || self.due <= now || self.bucket.take(now)).then_some(next)
    }

    /// A fetch that began then has not brought this key.
    pub(crate) fn is_missing(&mut self, name: &str, began: Timestamp) {
        if name.len() > LONGEST_NAME {
            return;
        }
        if self.missing.len() >= MISSING {
            let until = |since: &Timestamp| since.saturating_add(MISSING_FOR);
            self.missing.retain(|_, since| until(since) > began);
        }
        if self.missing.len() < MISSING {
            self.missing.insert(name.into(), began);
        }
    }

    /// When the fetch began that has not brought this key, if that is not long ago.
    pub(crate) fn missing_since(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let since = *self.missing.get(name)?;
        let is_recent = now < since.saturating_add(MISSING_FOR) && !now.is_set_back_from(since);
        is_recent.then_some(since)
    }

    fn retry(&self) -> Duration {
        let doubled = RETRY_AT_LEAST.saturating_mul(2_u32.saturating_pow(self.failures));
        (doubled * (100 + random(20)) / 100).min(RETRY_AT_MOST)
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    left: u32,
    /// From when on the time counts for the next one.
    since: Timestamp,
}

impl Bucket {
    const fn full(now: Timestamp) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    fn take(&mut self, now: Timestamp) -> bool {
        self.since = self.since.min(now);
        let gained = now.since(self.since).as_secs() / REFILL.as_secs();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        self.since = self.since.saturating_add(REFILL.saturating_mul(gained));
        self.left = self.left.saturating_add(gained);
        if self.left >= BURST {
            (self.left, self.since) = (BURST, now);
        }
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or(0);
        taken.is_some()
    }
}

/// From zero to this. Nothing depends on its being hard to guess: it keeps many nodes from asking at the same moment.
fn random(most: u32) -> u32 {
    let number = RandomState::new().hash_one(()) % (u64::from(most) + 1);
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Change, MISSING, Refetch, random};
    use crate::types::Timestamp;
    use std::time::Duration;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn pause_after(fresh: Option<u64>) -> u64 {
        let mut refetch = Refetch::new(at(1000));
        refetch.begin(at(1000));
        refetch.succeeded(at(1000), fresh.map(Duration::from_secs), true);
        refetch.pause(at(1000)).as_secs()
    }

    // req: jwks-cache-3
    #[test]
    fn keys_are_fetched_before_they_are_stale_within_bounds_and_not_by_all_at_once() {
        for (fresh, least, most) in [
            (None, 729, 891),
            (Some(600), 486, 594),
            (Some(0), 48, 60),
            (Some(1), 48, 60),
            (Some(u64::MAX), 69_984, 85_536),
        ] {
            let pauses: Vec<u64> = (0..200).map(|_| pause_after(fresh)).collect();
            let within = |pause: &u64| (least..=most).contains(pause);
            assert!(pauses.iter().all(within), "{fresh:?}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }

    #[test]
    fn a_failure_is_tried_again_ever_more_slowly_and_told_once() {
        let mut refetch = Refetch::new(at(1000));
        let mut pauses = Vec::new();
        for number in 1..=10 {
            assert_eq!(refetch.begin(at(1000)), number);
            let change = refetch.failed(at(1000));
            let expected = if number == 1 {
                Change::Failing
            } else {
                Change::Nothing
            };
            assert_eq!(change, expected);
            pauses.push(refetch.pause(at(1000)).as_secs());
        }
        for (pause, least) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60, 60]) {
            assert!((least..=least * 12 / 10).contains(pause) && *pause <= 60);
        }
        refetch.begin(at(1000));
        assert_eq!(refetch.succeeded(at(1000), None, true), Change::Recovered);
        refetch.begin(at(1000));
        assert_eq!(refetch.succeeded(at(1000), None, true), Change::Nothing);
    }

    #[test]
    fn one_that_never_lands_does_not_make_the_next_one_due_at_once() {
        let mut refetch = Refetch::new(at(1000));
        assert_eq!(refetch.pause(at(1000)), Duration::ZERO);
        refetch.begin(at(1000));
        assert!(refetch.pause(at(1000)) >= Duration::from_secs(1));
    }

    #[test]
    fn where_the_clock_was_set_back_keys_are_fetched_at_once_and_the_bucket_fills_on() {
        let mut refetch = Refetch::new(at(9000));
        refetch.begin(at(9000));
        refetch.succeeded(at(9000), None, true);
        refetch.is_missing("a", at(9000));
        assert!(refetch.pause(at(8995)) > Duration::ZERO);
        assert!(refetch.missing_since("a", at(8995)).is_some());
        assert_eq!(refetch.pause(at(8994)), Duration::ZERO);
        assert_eq!(refetch.missing_since("a", at(8994)), None);

        let mut bucket = Bucket::full(at(9000));
        let mut taken = |now| (0..10).filter(|_| bucket.take(at(now))).count();
        assert_eq!((taken(9000), taken(1000), taken(1010)), (3, 0, 1));
    }

    #[test]
    fn v06_who_lacks_a_key_joins_what_is_under_way_or_takes_one_of_few() {
        let mut refetch = Refetch::new(at(1000));
        assert_eq!(refetch.ask(0, at(1000)), Some(1), "the first is due");
        refetch.begin(at(1000));
        assert_eq!(refetch.ask(0, at(1000)), Some(1), "it is under way");
        refetch.succeeded(at(1000), None, true);
        for _ in 0..3 {
            assert_eq!(refetch.ask(0, at(1000)), Some(2));
        }
        assert_eq!(refetch.ask(0, at(1000)), None, "there were too many");
        assert_eq!(refetch.ask(2, at(1000)), Some(2), "it was granted before");
        assert_eq!(refetch.ask(0, at(1010)), Some(2), "there is one more");
        assert_eq!(refetch.ask(0, at(1019)), None);
        assert_eq!(refetch.ask(0, at(9000)), Some(2), "it is due");
    }

    #[test]
    fn a_bucket_fills_slowly_and_never_beyond_its_rim() {
        let mut bucket = Bucket::full(at(1000));
        let mut taken = |now| (0..10).filter(|_| bucket.take(at(now))).count();
        assert_eq!(taken(1000), 3);
        assert_eq!(taken(1009), 0);
        assert_eq!(taken(1010), 1);
        assert_eq!(taken(1035), 2);
        assert_eq!(taken(1040), 1);
        assert_eq!(taken(99_999), 3);
        assert_eq!(taken(0), 0, "a clock that goes back gives nothing");
        assert_eq!(taken(10), 1, "and it fills on from there");
    }

    #[test]
    fn a_missing_key_is_remembered_for_a_while_and_until_there_are_others() {
        let mut refetch = Refetch::new(at(1000));
        refetch.is_missing("a", at(1000));
        assert_eq!(refetch.missing_since("a", at(1029)), Some(at(1000)));
        assert_eq!(refetch.missing_since("a", at(1030)), None);
        assert_eq!(refetch.missing_since("b", at(1000)), None);
        refetch.begin(at(1001));
        refetch.succeeded(at(1001), None, false);
        assert!(refetch.missing_since("a", at(1029)).is_some());
        refetch.begin(at(1002));
        refetch.succeeded(at(1002), None, true);
        assert!(refetch.missing_since("a", at(1029)).is_none());
    }

    #[test]
    fn v06_a_flood_of_names_takes_a_bounded_memory() {
        let mut refetch = Refetch::new(at(1000));
        for number in 0..10_000 {
            refetch.is_missing(&number.to_string(), at(1000));
        }
        refetch.is_missing(&"a".repeat(1_000_000), at(1000));
        assert_eq!(refetch.missing.len(), MISSING);
        refetch.is_missing("later", at(1030));
        assert_eq!(refetch.missing.len(), 1);
    }

    #[test]
    fn chance_keeps_within_its_bounds_and_meets_them() {
        let numbers: Vec<u32> = (0..500).map(|_| random(3)).collect();
        for number in 0..=3 {
            assert!(numbers.contains(&number));
        }
        assert!(numbers.iter().all(|number| *number <= 3));
    }
}
