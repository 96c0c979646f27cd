//! Time, which is injected everywhere.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: whole seconds since 1970-01-01T00:00:00Z (`NumericDate` of RFC 7519 §2, without fractions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment that never comes: what never expires expires then. Stores keep it as a signed 64-bit number.
    pub const MAX: Self = Self(i64::MAX.cast_unsigned());

    /// Takes seconds since the epoch; anything beyond [`MAX`](Self::MAX) is `MAX`.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        if secs > Self::MAX.0 {
            Self::MAX
        } else {
            Self(secs)
        }
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The moment that much later, at most [`MAX`](Self::MAX); fractions of a second are dropped.
    #[must_use]
    pub const fn saturating_add(self, time: Duration) -> Self {
        Self::from_secs(self.0.saturating_add(time.as_secs()))
    }

    /// Whether the clock that says this now has been set back since it said that: by more than the steps in which clocks are kept right.
    #[cfg(feature = "resource")]
    pub(crate) const fn is_set_back_from(self, then: Self) -> bool {
        self.0.saturating_add(5) < then.0
    }

    /// The time from an earlier moment to this one; zero if that was not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// Where time comes from.
///
/// ```
/// use std::{future::Future, pin::Pin, time::Duration};
/// use tower_oauth::types::{Clock, Timestamp};
///
/// #[derive(Debug)]
/// struct Fixed;
/// impl Clock for Fixed {
///     fn now(&self) -> Timestamp { Timestamp::from_secs(1_795_348_800) }
///     fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> { Box::pin(std::future::pending()) }
/// }
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Completes when that much time has passed on this clock.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The computer's clock. Sleeping needs a Tokio runtime with its timer on.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "there is nothing to set about the computer's clock"
)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that asks the computer"
        )]
        let now = std::time::SystemTime::now();
        // A clock before 1970 is a broken clock; nothing has been issued by then, so nothing is valid.
        Timestamp::from_secs(
            now.duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// Measures how long something takes. Nobody asks without the feature `metrics`, and then it costs nothing.
#[cfg(feature = "server")]
pub(crate) struct Stopwatch(#[cfg(feature = "metrics")] std::time::Instant);

#[cfg(feature = "server")]
impl Stopwatch {
    pub(crate) fn start() -> Self {
        #[cfg(feature = "metrics")]
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that asks the computer"
        )]
        return Self(std::time::Instant::now());
        #[cfg(not(feature = "metrics"))]
        Self()
    }

    /// The time since; zero without the feature.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(clippy::unused_self, reason = "there is nothing to read")
    )]
    pub(crate) fn elapsed(&self) -> Duration {
        #[cfg(feature = "metrics")]
        return self.0.elapsed();
        #[cfg(not(feature = "metrics"))]
        Duration::ZERO
    }
}

/// A clock that stands still until it is told to move (feature `testing`). Clones are the same clock.
#[cfg(feature = "testing")]
#[derive(Debug, Clone)]
pub struct ManualClock(std::sync::Arc<tokio::sync::watch::Sender<Timestamp>>);

#[cfg(feature = "testing")]
impl ManualClock {
    /// A clock that stands at this moment.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(std::sync::Arc::new(tokio::sync::watch::Sender::new(now)))
    }

    /// Moves the clock forward and wakes who slept that long.
    pub fn advance(&self, time: Duration) {
        self.0.send_modify(|now| *now = now.saturating_add(time));
    }
}

#[cfg(feature = "testing")]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut clock = self.0.subscribe();
        let until = self.now().saturating_add(time);
        Box::pin(async move {
            if clock.wait_for(|now| *now >= until).await.is_err() {
                std::future::pending().await // the clock is gone: its time never comes
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;
    use std::time::Duration;

    #[test]
    fn s21_time_saturates_at_both_ends() {
        assert_eq!(Timestamp::from_secs(u64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(
            Timestamp::from_secs(5).since(Timestamp::from_secs(9)),
            Duration::ZERO
        );
        assert_eq!(
            Timestamp::from_secs(9).since(Timestamp::from_secs(5)),
            Duration::from_secs(4)
        );
    }

    #[cfg(all(feature = "server", feature = "metrics"))]
    #[test]
    fn what_takes_time_is_measured_as_time() {
        let watch = super::Stopwatch::start();
        assert!((0..10_000_000).any(|_| !watch.elapsed().is_zero()));
    }
}
