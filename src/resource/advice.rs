//! What an operator is told of tokens that a setting of their issuer would let in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::types::{IssuerUrl, Timestamp};

/// For how long the same advice is not given again: how many such tokens come is up to strangers.
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// Advice about one issuer: given when it is first of use, and then once an hour at most.
#[derive(Debug, Default)]
pub(crate) struct Advice {
    /// The second from which on it may be given again.
    due: AtomicU64,
}

impl Advice {
    /// Tells the log why tokens of this issuer are refused. The reason names the setting.
    pub(crate) fn give(&self, issuer: &IssuerUrl, reason: &'static str, now: Timestamp) {
        if self.is_due(now) {
            tracing::warn!(%issuer, reason, "tokens are refused that a setting would let in");
        }
    }

    /// Whether it may be given now; whoever is told so gives it. A clock that is set back does not silence it.
    fn is_due(&self, now: Timestamp) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        let left = Timestamp::from_secs(due).since(now);
        if !left.is_zero() && left <= PAUSE {
            return false;
        }
        let next = now.saturating_add(PAUSE).as_secs();
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let won = self.due.compare_exchange(due, next, success, failure);
        won.is_ok() // of several at once one gives it
    }
}

#[cfg(test)]
mod tests {
    use super::Advice;
    use crate::types::Timestamp;

    #[test]
    fn the_same_advice_is_given_once_an_hour_however_clocks_are_set() {
        let advice = Advice::default();
        let is_due = |secs| advice.is_due(Timestamp::from_secs(secs));
        assert!(is_due(10_000));
        assert!(!is_due(10_000) && !is_due(13_599));
        assert!(is_due(13_600));
        assert!(!is_due(13_601));
        assert!(is_due(5_000), "set back");
        assert!(!is_due(5_001));
    }
}
