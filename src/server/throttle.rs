//! How often somebody may try. Counters are per process; every node of several has its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::protocol::error::OAuthError;
use crate::types::Timestamp;

/// Counted tries are forgotten after this.
const WINDOW: Duration = Duration::from_secs(60);

/// The most callers that are counted apart; beyond that, new ones share one count.
const CALLERS: usize = 10_000;

/// How often one caller, and all callers together, may do something within a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    per_address: u32,
    overall: u32,
}

impl Limit {
    /// So many a minute from one address (of IPv6: from one /64 network), and so many from all together. A caller whose address is not
    /// known is held back by the second number alone.
    #[must_use]
    pub const fn per_minute(per_address: u32, overall: u32) -> Self {
        Self {
            per_address,
            overall,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Throttle {
    limit: Limit,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    since: Option<Timestamp>,
    overall: u32,
    callers: HashMap<IpAddr, u32>,
    /// Of all those for whom there was no room to be counted apart.
    others: u32,
}

impl Throttle {
    pub(crate) fn new(limit: Limit) -> Self {
        Self {
            limit,
            counts: Mutex::default(),
        }
    }

    /// Counts a try, unless this caller has had enough of them. One step: of tries at the same time, no more are let through.
    pub(crate) fn take(&self, caller: Option<IpAddr>, now: Timestamp) -> Result<(), OAuthError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.turn(now);
        let tries = counts.of(caller).map_or(0, |tries| *tries);
        if tries >= self.limit.per_address || counts.overall >= self.limit.overall {
            let left = WINDOW.saturating_sub(now.since(counts.since.unwrap_or(now)));
            let left = u32::try_from(left.as_secs()).unwrap_or(60).max(1);
            return Err(OAuthError::too_many_requests(left));
        }
        if let Some(tries) = counts.of(caller) {
            *tries = tries.saturating_add(1);
        }
        counts.overall = counts.overall.saturating_add(1);
        Ok(())
    }

    /// Takes back a try that turned out to be none.
    pub(crate) fn give_back(&self, caller: Option<IpAddr>, now: Timestamp) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.turn(now);
        counts.overall = counts.overall.saturating_sub(1);
        if let Some(tries) = counts.of(caller) {
            *tries = tries.saturating_sub(1);
        }
    }
}

impl Counts {
    /// The tries of a caller: those that are not counted apart share one count, and one whose address is not known has none. Of an
    /// IPv6 address the network counts: whoever has one has all addresses in it.
    fn of(&mut self, caller: Option<IpAddr>) -> Option<&mut u32> {
        // A listener for both families writes IPv4 callers as `::ffff:a.b.c.d`: all of them would be one network.
        let caller = match caller?.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address @ IpAddr::V4(_) => address,
        };
        if self.callers.len() < CALLERS || self.callers.contains_key(&caller) {
            return Some(self.callers.entry(caller).or_default());
        }
        Some(&mut self.others)
    }

    fn turn(&mut self, now: Timestamp) {
        if self
            .since
            .is_none_or(|since| now.since(since) >= WINDOW || since > now)
        {
            *self = Self {
                since: Some(now),
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{CALLERS, Limit, Throttle};
    use crate::types::Timestamp;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_795_348_800 + secs)
    }

    fn caller(number: u32) -> Option<IpAddr> {
        Some(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn s20_one_address_and_all_together_are_held_back_for_the_rest_of_the_minute() {
        let throttle = Throttle::new(Limit::per_minute(2, 3));
        assert!(throttle.take(caller(1), at(0)).is_ok());
        assert!(throttle.take(caller(1), at(10)).is_ok());
        let refused = throttle.take(caller(1), at(20)).unwrap_err().to_response();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &"40".parse().unwrap())
        );
        throttle.give_back(caller(1), at(20));
        assert!(throttle.take(caller(1), at(20)).is_ok(), "one was none");
        assert!(throttle.take(caller(2), at(20)).is_ok());
        assert!(throttle.take(caller(3), at(21)).is_err(), "all together");
        assert!(throttle.take(caller(1), at(60)).is_ok());
    }

    #[test]
    fn s20_a_caller_is_an_ipv4_address_however_written_or_an_ipv6_network() {
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let after_one_try = |first: &str, then: &str| {
            let throttle = Throttle::new(Limit::per_minute(1, u32::MAX));
            throttle.take(address(first), at(0)).unwrap();
            throttle.take(address(then), at(0)).is_ok()
        };
        assert!(!after_one_try("2001:db8::1", "2001:db8::ffff"));
        assert!(after_one_try("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!after_one_try("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(after_one_try("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    }

    #[test]
    fn s20_who_is_not_known_is_held_back_with_all_others_alone() {
        let throttle = Throttle::new(Limit::per_minute(1, 3));
        for _ in 0..3 {
            throttle.take(None, at(0)).unwrap();
        }
        assert!(throttle.take(None, at(0)).is_err());
    }

    #[test]
    fn s20_the_counts_do_not_grow_without_bound() {
        let throttle = Throttle::new(Limit::per_minute(5, u32::MAX));
        let callers = u32::try_from(CALLERS).unwrap();
        for number in 0..callers + 5 {
            assert!(throttle.take(caller(number), at(0)).is_ok());
        }
        let more = throttle.take(caller(callers + 5), at(0));
        assert!(more.is_err(), "those beyond share one count");
        assert!(throttle.counts.lock().unwrap().callers.len() <= CALLERS + 1);
    }
}
