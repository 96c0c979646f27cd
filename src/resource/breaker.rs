//! When an issuer that does not answer is asked again.

use std::time::Duration;

use crate::types::Timestamp;

/// So many failures in a row, and the issuer is left alone.
const FAILURES: u32 = 5;

/// For how long at first; twice as long after each probe that failed, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// No issuer is left alone for longer, whatever it asks for (RFC 9110 §10.2.3) and however clocks are set.
const LONGEST: Duration = Duration::from_secs(300);

/// Keeps calls from an issuer that is down: they would only wait, and it would have to carry them as soon as it is up.
///
/// While it is open, one call in each pause is let through to see whether the issuer is back.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Timestamp,
    pause: Duration,
    /// A call was let through, and has not come back. If it never does, the next one is let through after the pause.
    probing: bool,
}

impl Breaker {
    /// Whether no call is let through now.
    pub(crate) fn blocks(&self, now: Timestamp) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| now < open.until && open.until.since(now) <= LONGEST)
    }

    /// Whether this call is let through.
    pub(crate) fn lets_through(&mut self, now: Timestamp) -> bool {
        let blocks = self.blocks(now);
        if let Some(open) = self.open.as_mut().filter(|_| !blocks) {
            open.until = now.saturating_add(open.pause);
            open.probing = true;
        }
        !blocks
    }

    /// The issuer has answered. Says whether that changes anything.
    pub(crate) fn answered(&mut self) -> bool {
        self.failures = 0;
        self.open.take().is_some()
    }

    /// The issuer has not answered, or has asked to be left alone for some time. Says whether it is from now on.
    pub(crate) fn failed(&mut self, now: Timestamp, asked_for: Option<Duration>) -> bool {
        self.failures = self.failures.saturating_add(1);
        let was_open = self.open.is_some();
        let wait = asked_for.map(|time| time.min(LONGEST));
        match &mut self.open {
            // What was under way when it opened says nothing new; the probe does.
            Some(open) if open.probing => {
                open.pause = open.pause.saturating_mul(2).min(LONGEST_PAUSE);
                open.until = now.saturating_add(open.pause);
                open.probing = false;
            }
            None if wait.is_some() || self.failures >= FAILURES => {
                self.open = Some(Open {
                    until: now.saturating_add(FIRST_PAUSE),
                    pause: FIRST_PAUSE,
                    probing: false,
                });
            }
            _ => {}
        }
        if let Some((open, wait)) = self.open.as_mut().zip(wait) {
            open.until = open.until.max(now.saturating_add(wait));
        }
        self.open.is_some() && !was_open
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, FAILURES};
    use crate::types::Timestamp;
    use std::time::Duration;

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1000 + secs)
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert!(breaker.lets_through(at(0)));
            assert!(!breaker.failed(at(0), None));
        }
        assert!(breaker.lets_through(at(0)), "one is missing");
        assert!(breaker.failed(at(0), None), "and now it opens");
        breaker
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                assert!(!breaker.failed(at(0), None));
            }
            assert!(!breaker.answered(), "nothing has changed");
        }
        assert!(breaker.lets_through(at(0)));
    }

    #[test]
    fn one_call_in_each_pause_is_let_through_and_its_answer_closes_it() {
        let mut breaker = open();
        assert!(breaker.blocks(at(0)) && !breaker.lets_through(at(0)));
        assert!(!breaker.blocks(at(1)));
        assert!(breaker.lets_through(at(1)), "the probe");
        assert!(!breaker.lets_through(at(1)), "and no other");
        assert!(breaker.answered(), "that is news");
        assert!(breaker.lets_through(at(1)) && breaker.lets_through(at(1)));
        assert!(!breaker.failed(at(1), None), "the count begins anew");
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let mut breaker = open();
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert!(!breaker.lets_through(at(now + pause - 1)), "{pause}");
            now += pause;
            assert!(breaker.lets_through(at(now)), "{pause}");
            assert!(!breaker.failed(at(now), None), "it is open already");
        }
    }

    #[test]
    fn calls_that_were_under_way_do_not_make_the_pause_longer() {
        let mut breaker = open();
        for _ in 0..64 {
            breaker.failed(at(0), None);
        }
        assert!(breaker.lets_through(at(1)));
    }

    #[test]
    fn a_probe_that_never_comes_back_is_followed_by_another() {
        let mut breaker = open();
        assert!(breaker.lets_through(at(1)));
        assert!(!breaker.lets_through(at(1)));
        assert!(breaker.lets_through(at(2)));
    }

    #[test]
    fn rfc9110_10_2_3_it_waits_as_long_as_it_is_asked_to_and_no_longer_than_five_minutes() {
        let asked = |secs| {
            let mut breaker = Breaker::default();
            assert!(breaker.failed(at(0), Some(Duration::from_secs(secs))));
            breaker
        };
        assert!(asked(20).blocks(at(19)) && !asked(20).blocks(at(20)));
        assert!(asked(86_400).blocks(at(299)) && !asked(86_400).blocks(at(300)));
        let mut breaker = asked(20);
        assert!(breaker.lets_through(at(20)));
        breaker.failed(at(20), Some(Duration::from_secs(40)));
        assert!(breaker.blocks(at(59)) && !breaker.blocks(at(60)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_it_open() {
        let breaker = open();
        assert!(!breaker.blocks(Timestamp::from_secs(1)));
    }
}
