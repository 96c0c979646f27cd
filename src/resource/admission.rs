//! Who may ask an issuer about a token now, who waits, and who is sent away.
//!
//! Of what there is, a quarter is kept for tokens that were good when they were asked about last: however many strangers come with tokens
//! that nobody has seen, those do not wait behind them.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::flights;
use crate::protocol::bearer::OwnedToken;

/// So many may wait for each call that may be in flight.
const WAITING: usize = 16;

/// How many tokens are remembered to have been good, by a keyed hash of each. That two have the same only changes who waits.
const REMEMBERED: u64 = 10_000;

/// How long: whoever has not been seen for so long is a stranger.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The places at one issuer.
pub(crate) struct Admission {
    all: Places,
    /// How many of them may be strangers'.
    strangers: Places,
    lately_good: Cache<u64, ()>,
    hash: RandomState,
}

struct Places {
    /// Those who call and those who wait.
    room: Semaphore,
    calls: Semaphore,
}

impl Places {
    /// Those who wait are `most` at most: no more questions than that are under way.
    fn new(calls: usize, most: usize) -> Self {
        Self {
            room: Semaphore::new(calls.saturating_mul(1 + WAITING).min(most)),
            calls: Semaphore::new(calls),
        }
    }
}

/// A place to wait and to call from. It is free again when this is dropped.
pub(crate) struct Place<'a> {
    admission: &'a Admission,
    is_stranger: bool,
    _room: Permits<'a>,
}

/// A stranger's comes out of their share as well.
type Permits<'a> = (Option<SemaphorePermit<'a>>, SemaphorePermit<'a>);

impl Admission {
    /// So many may call at once.
    pub(crate) fn new(calls: usize) -> Self {
        Self {
            all: Places::new(calls, flights::MOST),
            strangers: Places::new(calls - calls / 4, flights::MOST - flights::MOST / 4),
            // The last ones, however often each has come: by default a full cache takes nobody in who has not come more often.
            lately_good: Cache::builder()
                .max_capacity(REMEMBERED)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(REMEMBERED_FOR)
                .build(),
            hash: RandomState::new(),
        }
    }

    /// A place for who asks about this token, if there is one.
    pub(crate) fn place(&self, token: &OwnedToken) -> Option<Place<'_>> {
        let is_stranger = !self.lately_good.contains_key(&self.hash(token));
        let strangers = match is_stranger {
            true => Some(self.strangers.room.try_acquire().ok()?),
            false => None,
        };
        let all = self.all.room.try_acquire().ok()?;
        Some(Place {
            admission: self,
            is_stranger,
            _room: (strangers, all),
        })
    }

    /// The issuer has said whether the token is good.
    pub(crate) fn learn(&self, token: &OwnedToken, is_good: bool) {
        let hash = self.hash(token);
        if is_good {
            self.lately_good.insert(hash, ());
        } else {
            self.lately_good.invalidate(&hash);
        }
    }

    fn hash(&self, token: &OwnedToken) -> u64 {
        self.hash.hash_one(token.expose())
    }
}

impl<'a> Place<'a> {
    /// Waits until it may call. The call is over when the permits are dropped.
    pub(crate) async fn turn(&self) -> Result<Permits<'a>, AcquireError> {
        let Admission { all, strangers, .. } = self.admission;
        let of_strangers = match self.is_stranger {
            true => Some(strangers.calls.acquire().await?), // first, so that no stranger stands in the way of others
            false => None,
        };
        Ok((of_strangers, all.calls.acquire().await?))
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, REMEMBERED};
    use crate::protocol::bearer::BearerToken;

    fn token(number: u64) -> crate::protocol::bearer::OwnedToken {
        let text = format!("t{number}");
        BearerToken::try_from(text.as_str()).unwrap().into_owned()
    }

    #[test]
    fn v26_who_was_good_last_is_no_stranger_however_many_were_good_before() {
        let admission = Admission::new(4);
        for number in 0..REMEMBERED + 2000 {
            admission.learn(&token(number), true);
        }
        admission.lately_good.run_pending_tasks();
        assert!(admission.lately_good.entry_count() <= REMEMBERED);
        for number in REMEMBERED..REMEMBERED + 2000 {
            assert!(
                !admission.place(&token(number)).unwrap().is_stranger,
                "{number}"
            );
        }
        assert!(admission.place(&token(0)).unwrap().is_stranger);
        admission.learn(&token(REMEMBERED), false);
        assert!(admission.place(&token(REMEMBERED)).unwrap().is_stranger);
    }

    #[test]
    fn v26_strangers_cannot_take_all_questions_that_may_be_under_way() {
        let admission = Admission::new(4096);
        admission.learn(&token(0), true);
        let places: Vec<_> = (1..10_000)
            .filter_map(|number| admission.place(&token(number)))
            .collect();
        assert_eq!(places.len(), crate::resource::flights::MOST / 4 * 3);
        assert!(admission.place(&token(0)).is_some());
    }
}
