//! How often somebody may try.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::types::{ClientId, Timestamp};

/// Counted tries are forgotten after this.
const WINDOW: Duration = Duration::from_secs(60);

/// The most callers that are counted apart. Beyond that new ones are held back with all others alone: a count that they shared would be
/// full for all of them as soon as it was for one.
const CALLERS: usize = 10_000;

/// What is tried, and in which client's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempt<'a> {
    /// To prove oneself by a client secret (RFC 6749 §2.3.1): a wrong one, or one that a person chose. A generated one that is right is
    /// never counted: nobody guesses it, and nobody should be able to lock its holder out.
    ClientSecret(&'a ClientId),
    /// To type in a user code (RFC 8628 §5.1).
    UserCode,
    /// To register (RFC 7591 §3).
    Registration,
    /// To begin what waits for an owner: an authorization request (RFC 6749 §4.1.1), or a user code that was typed in and is right.
    AuthorizationRequest(&'a ClientId),
    /// To begin a device authorization request (RFC 8628 §3.1).
    DeviceRequest(&'a ClientId),
}

/// What a [`Throttle`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle every outcome")]
pub enum Taken {
    /// The attempt is counted and may go on.
    Taken,
    /// There were too many. The caller is answered 429, with this time in `Retry-After`.
    TooMany {
        /// When to come back, in whole seconds.
        retry_after: Duration,
    },
}

/// Counts attempts. The default counts in this process, by the [`Limit`]s of the builder; one of the host's own may count for all of its
/// nodes together.
///
/// A throttle that cannot tell at the moment decides itself what that means; [`Taken::Taken`] keeps people and clients working.
///
/// ```
/// use std::net::IpAddr;
/// use tower_oauth::server::{Attempt, Taken, Throttle};
/// use tower_oauth::types::Timestamp;
///
/// /// A gateway in front counts already.
/// struct Elsewhere;
///
/// impl Throttle for Elsewhere {
///     async fn take(&self, _: Attempt<'_>, _: Option<IpAddr>, _: Timestamp) -> Taken {
///         Taken::Taken
///     }
///     async fn give_back(&self, _: Attempt<'_>, _: Option<IpAddr>, _: Timestamp) {}
/// }
/// ```
pub trait Throttle: Send + Sync + 'static {
    /// Counts an attempt from this address, or says that there were too many. One step: of attempts at the same time, no more are let
    /// through than of attempts one after the other.
    fn take(
        &self,
        attempt: Attempt<'_>,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> impl Future<Output = Taken> + Send;

    /// Takes back an attempt that turned out to be none: a right user code, a right secret, an outage of ours. `taken` is the time it was
    /// counted at: that may be in a minute that is over by now.
    fn give_back(
        &self,
        attempt: Attempt<'_>,
        address: Option<IpAddr>,
        taken: Timestamp,
    ) -> impl Future<Output = ()> + Send;
}

/// The object-safe twin of [`Throttle`].
pub(crate) trait DynThrottle: Send + Sync + 'static {
    fn take<'a>(
        &'a self,
        attempt: Attempt<'a>,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Taken> + Send + 'a>>;

    fn give_back<'a>(
        &'a self,
        attempt: Attempt<'a>,
        address: Option<IpAddr>,
        taken: Timestamp,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

impl<T: Throttle> DynThrottle for T {
    fn take<'a>(
        &'a self,
        attempt: Attempt<'a>,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Taken> + Send + 'a>> {
        Box::pin(Throttle::take(self, attempt, address, now))
    }

    fn give_back<'a>(
        &'a self,
        attempt: Attempt<'a>,
        address: Option<IpAddr>,
        taken: Timestamp,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(Throttle::give_back(self, attempt, address, taken))
    }
}

/// How often one address, one client, and all of them together, may do something within a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    per_address: u32,
    per_client: u32,
    overall: u32,
}

impl Limit {
    /// So many a minute from one address (of IPv6: from one /64 network), and so many from all together. A caller whose address is not
    /// known is held back by the other numbers alone. None is 0: nobody could do it at all.
    #[must_use]
    pub const fn per_minute(per_address: u32, overall: u32) -> Self {
        Self {
            per_address,
            per_client: overall,
            overall,
        }
    }

    /// So many a minute in the name of one client, where there is one. Default: as many as from all together.
    #[must_use]
    pub const fn per_client(mut self, per_client: u32) -> Self {
        self.per_client = per_client;
        self
    }
}

impl Limit {
    /// Nothing would ever be let through.
    pub(crate) const fn is_zero(self) -> bool {
        self.per_address == 0 || self.per_client == 0 || self.overall == 0
    }
}

/// The limits of the throttle that counts in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) client_secrets: Limit,
    pub(crate) user_codes: Limit,
    pub(crate) registrations: Limit,
    pub(crate) authorization_requests: Limit,
    pub(crate) device_requests: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            client_secrets: Limit::per_minute(30, 1000).per_client(10),
            user_codes: Limit::per_minute(10, 100),
            registrations: Limit::per_minute(30, 300),
            authorization_requests: Limit::per_minute(60, 3000).per_client(600),
            device_requests: Limit::per_minute(30, 1000).per_client(300),
        }
    }
}

/// Counts in this process; every node of several has counts of its own.
#[derive(Debug)]
pub(crate) struct LocalThrottle {
    client_secrets: Counted,
    user_codes: Counted,
    registrations: Counted,
    authorization_requests: Counted,
    device_requests: Counted,
    hasher: RandomState,
    /// Operators are told once that no address is known: how often it matters is up to strangers.
    has_warned: AtomicBool,
}

#[derive(Debug)]
struct Counted {
    limit: Limit,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    since: Option<Timestamp>,
    overall: u32,
    /// Those of whom an attempt was taken: who is refused all along takes up no room.
    callers: HashMap<Who, u32>,
}

/// Who is counted. A client is a number that nobody outside can aim at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Address(IpAddr),
    Client(u64),
    /// A client as it is used from one address.
    ClientFrom(u64, IpAddr),
}

impl LocalThrottle {
    pub(crate) fn new(limits: Limits) -> Self {
        let counted = |limit| Counted {
            limit,
            counts: Mutex::default(),
        };
        Self {
            client_secrets: counted(limits.client_secrets),
            user_codes: counted(limits.user_codes),
            registrations: counted(limits.registrations),
            authorization_requests: counted(limits.authorization_requests),
            device_requests: counted(limits.device_requests),
            hasher: RandomState::new(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// What an attempt is counted with, and under which names, each with its limit.
    fn of(
        &self,
        attempt: Attempt<'_>,
        address: Option<IpAddr>,
    ) -> (&Counted, [Option<(Who, u32)>; 2]) {
        let address = address.map(network);
        let client = |client_id: &ClientId| self.hasher.hash_one(client_id);
        let (counted, client) = match attempt {
            // Where addresses are known, guesses under a client's id from elsewhere are none of its own.
            Attempt::ClientSecret(id) => (
                &self.client_secrets,
                Some(match address {
                    Some(address) => Who::ClientFrom(client(id), address),
                    None => Who::Client(client(id)),
                }),
            ),
            Attempt::UserCode => (&self.user_codes, None),
            Attempt::Registration => (&self.registrations, None),
            Attempt::AuthorizationRequest(id) => {
                (&self.authorization_requests, Some(Who::Client(client(id))))
            }
            Attempt::DeviceRequest(id) => (&self.device_requests, Some(Who::Client(client(id)))),
        };
        let Limit {
            per_address,
            per_client,
            ..
        } = counted.limit;
        let address = address.map(|address| (Who::Address(address), per_address));
        (counted, [address, client.map(|who| (who, per_client))])
    }
}

/// Of an IPv6 address the network counts: whoever has one has all addresses in it.
fn network(address: IpAddr) -> IpAddr {
    // A listener for both families writes IPv4 callers as `::ffff:a.b.c.d`: all of them would be one network.
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

impl Throttle for LocalThrottle {
    async fn take(&self, attempt: Attempt<'_>, address: Option<IpAddr>, now: Timestamp) -> Taken {
        let (counted, names) = self.of(attempt, address);
        let mut counts = counted.counts();
        counts.turn(now);
        let names = names.iter().flatten();
        let full = counts.overall >= counted.limit.overall
            || names.clone().any(|(who, limit)| counts.of(who) >= *limit);
        if full {
            if address.is_none() && !self.has_warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "callers without an address were held back by what all of them do together, so that one can hold all others back: \
                     set AuthorizationServerBuilder::client_address"
                );
            }
            let left = WINDOW.saturating_sub(now.since(counts.since.unwrap_or(now)));
            let retry_after = Duration::from_secs(left.as_secs().clamp(1, WINDOW.as_secs()));
            return Taken::TooMany { retry_after };
        }
        counts.overall = counts.overall.saturating_add(1);
        names.for_each(|(who, _)| counts.add(*who));
        Taken::Taken
    }

    async fn give_back(&self, attempt: Attempt<'_>, address: Option<IpAddr>, taken: Timestamp) {
        let (counted, names) = self.of(attempt, address);
        let mut counts = counted.counts();
        if !counts.are_of(taken) {
            return; // it was counted in a minute that is over
        }
        counts.overall = counts.overall.saturating_sub(1);
        let names = names.iter().flatten();
        names.for_each(|(who, _)| counts.subtract(who));
    }
}

impl Counted {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The tries of one.
    fn of(&self, who: &Who) -> u32 {
        self.callers.get(who).copied().unwrap_or_default()
    }

    fn add(&mut self, who: Who) {
        if self.callers.len() < CALLERS || self.callers.contains_key(&who) {
            let tries = self.callers.entry(who).or_default();
            *tries = tries.saturating_add(1);
        }
    }

    fn subtract(&mut self, who: &Who) {
        match self.callers.get_mut(who) {
            Some(tries @ 2..) => *tries -= 1,
            _ => drop(self.callers.remove(who)),
        }
    }

    /// Whether an attempt of that time is counted in these.
    fn are_of(&self, time: Timestamp) -> bool {
        self.since
            .is_some_and(|since| since <= time && time.since(since) < WINDOW)
    }

    /// Begins the next minute if this one is over, or if the clock was set back by more than that. Less is no step back: of two that
    /// looked at the clock, the later one may be here first.
    fn turn(&mut self, now: Timestamp) {
        let is_over = |since| now.since(since) >= WINDOW || since.since(now) >= WINDOW;
        if self.since.is_none_or(is_over) {
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
    use std::time::Duration;

    use super::{Attempt, CALLERS, Limit, Limits, LocalThrottle, Taken, Throttle as _};
    use crate::types::{ClientId, Timestamp};

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_795_348_800 + secs)
    }

    fn caller(number: u32) -> Option<IpAddr> {
        Some(Ipv4Addr::from_bits(number).into())
    }

    fn throttle(limit: Limit) -> LocalThrottle {
        LocalThrottle::new(Limits {
            client_secrets: limit,
            user_codes: limit,
            authorization_requests: limit,
            ..Limits::default()
        })
    }

    /// The throttle never waits for anything.
    fn finished<F: Future>(future: F) -> F::Output {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut cx) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("it waits"),
        }
    }

    fn code(throttle: &LocalThrottle, caller: Option<IpAddr>, now: Timestamp) -> bool {
        finished(throttle.take(Attempt::UserCode, caller, now)) == Taken::Taken
    }

    #[test]
    fn s20_one_address_and_all_together_are_held_back_for_the_rest_of_the_minute() {
        let throttle = throttle(Limit::per_minute(2, 3));
        assert!(code(&throttle, caller(1), at(0)));
        assert!(code(&throttle, caller(1), at(10)));
        assert_eq!(
            finished(throttle.take(Attempt::UserCode, caller(1), at(20))),
            Taken::TooMany {
                retry_after: Duration::from_secs(40)
            }
        );
        finished(throttle.give_back(Attempt::UserCode, caller(1), at(20)));
        assert!(code(&throttle, caller(1), at(20)), "one was none");
        assert!(code(&throttle, caller(2), at(20)));
        assert!(!code(&throttle, caller(3), at(21)), "all together");
        assert!(code(&throttle, caller(1), at(60)));
    }

    #[test]
    fn s20_a_client_is_held_back_whatever_address_its_requests_come_from() {
        let throttle = throttle(Limit::per_minute(10, 100).per_client(2));
        let (app, other): (ClientId, ClientId) = ("app".parse().unwrap(), "tv".parse().unwrap());
        let begin = |id, number| {
            finished(throttle.take(Attempt::AuthorizationRequest(id), caller(number), at(0)))
        };
        assert_eq!(begin(&app, 1), Taken::Taken);
        assert_eq!(begin(&app, 2), Taken::Taken);
        assert_ne!(begin(&app, 3), Taken::Taken);
        assert_eq!(begin(&other, 3), Taken::Taken);
    }

    #[test]
    fn s20_guesses_at_a_secret_from_elsewhere_do_not_hold_a_client_back() {
        let throttle = throttle(Limit::per_minute(10, 100).per_client(2));
        let app: ClientId = "app".parse().unwrap();
        let guess = |address| finished(throttle.take(Attempt::ClientSecret(&app), address, at(0)));
        for _ in 0..2 {
            assert_eq!(guess(caller(1)), Taken::Taken);
        }
        assert_ne!(guess(caller(1)), Taken::Taken);
        assert_eq!(guess(caller(2)), Taken::Taken);
        for _ in 0..2 {
            assert_eq!(guess(None), Taken::Taken);
        }
        assert_ne!(guess(None), Taken::Taken, "where no address is known");
    }

    #[test]
    fn s20_a_caller_is_an_ipv4_address_however_written_or_an_ipv6_network() {
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let after_one_try = |first: &str, then: &str| {
            let throttle = throttle(Limit::per_minute(1, u32::MAX));
            assert!(code(&throttle, address(first), at(0)));
            code(&throttle, address(then), at(0))
        };
        assert!(!after_one_try("2001:db8::1", "2001:db8::ffff"));
        assert!(after_one_try("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!after_one_try("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(after_one_try("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    }

    #[test]
    fn s20_who_is_not_known_is_held_back_with_all_others_alone() {
        let throttle = throttle(Limit::per_minute(1, 3));
        for _ in 0..3 {
            assert!(code(&throttle, None, at(0)));
        }
        assert!(!code(&throttle, None, at(0)));
    }

    #[test]
    fn s20_the_counts_do_not_grow_without_bound_and_who_finds_no_room_is_not_shut_out() {
        let throttle = throttle(Limit::per_minute(5, u32::MAX));
        let callers = u32::try_from(CALLERS).unwrap();
        for number in 0..callers + 50 {
            assert!(code(&throttle, caller(number), at(0)), "{number}");
        }
        for number in [0, callers - 1] {
            for _ in 1..5 {
                assert!(code(&throttle, caller(number), at(0)), "{number}");
            }
            assert!(!code(&throttle, caller(number), at(0)), "{number}");
        }
        assert_eq!(
            throttle.user_codes.counts.lock().unwrap().callers.len(),
            CALLERS
        );
    }

    #[test]
    fn s20_who_is_refused_all_along_takes_up_no_room() {
        let throttle = throttle(Limit::per_minute(5, u32::MAX));
        let ask = |client: u32, number| {
            let client = format!("x{client}").parse().unwrap();
            let attempt = Attempt::AuthorizationRequest(&client);
            finished(throttle.take(attempt, caller(number), at(0))) == Taken::Taken
        };
        let taken = (0..20_000).filter(|client| ask(*client, 66)).count();
        assert_eq!(taken, 5);
        let counts = || throttle.authorization_requests.counts.lock().unwrap();
        assert_eq!(counts().callers.len(), 6, "five clients and their address");
    }

    #[test]
    fn s20_what_is_given_back_is_given_back_to_the_minute_it_was_taken_in() {
        let throttle = throttle(Limit::per_minute(2, 100));
        let give_back = |taken| finished(throttle.give_back(Attempt::UserCode, caller(1), taken));
        assert!(code(&throttle, caller(1), at(0)));
        for _ in 0..2 {
            assert!(code(&throttle, caller(1), at(60)));
        }
        give_back(at(0));
        assert!(!code(&throttle, caller(1), at(61)), "a minute ago");
        give_back(at(60));
        assert!(code(&throttle, caller(1), at(62)));
        for _ in 0..9 {
            give_back(at(60));
        }
        let counts = || throttle.user_codes.counts.lock().unwrap();
        assert!(counts().callers.is_empty() && counts().overall == 0);
    }

    #[test]
    fn s20_the_count_begins_anew_only_when_the_clock_is_set_back_by_more_than_a_minute() {
        let throttle = throttle(Limit::per_minute(1, 100));
        assert!(code(&throttle, caller(1), at(100)));
        assert!(!code(&throttle, caller(1), at(99)), "another looked before");
        assert!(code(&throttle, caller(1), at(40)));
    }
}
