//! Who may ask an issuer about a token now, who waits, and who is sent away.
//!
//! Of what there is, a quarter is kept for tokens that were good when they were asked about last: however many strangers come with tokens
//! that nobody has seen, those do not wait behind them.

use std::hash::{BuildHasher as _, RandomState};

use moka::sync::Cache;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use crate::protocol::bearer::OwnedToken;

/// So many may wait for each call that may be in flight.
const WAITING: usize = 16;

/// How many tokens are remembered to have been good, by a keyed hash of each. That two have the same only changes who waits.
const REMEMBERED: u64 = 10_000;

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
    fn new(calls: usize) -> Self {
        Self {
            room: Semaphore::new(calls.saturating_mul(1 + WAITING)),
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
            all: Places::new(calls),
            strangers: Places::new(calls - calls / 4),
            lately_good: Cache::new(REMEMBERED),
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
