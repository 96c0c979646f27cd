//! The keys of one issuer: fetched in the background, read without a lock (RFC 7517 §5; OpenID Connect Core §10.1.1).
//!
//! One task for each issuer starts with the first request, holds nothing that keeps the keys alive, and ends with their last clone.
//! Whatever the issuer does, the keys that are there stay until others have come or they have been stale for a day.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::key_fetch::{Fetched, KeyFetch};
use super::refetch::{Change, Refetch};
use super::validator::Unavailable;
use crate::protocol::jwk_set::JwkSet;
use crate::types::Timestamp;

/// The keys of an issuer. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct KeySource(Arc<Inner>);

/// Keys, and what is known of the fetch that has brought them.
pub(crate) struct Known {
    pub(crate) set: JwkSet,
    /// Which fetch that was; the keys of the settings came with none.
    number: u64,
    /// Its keys are no older than that: when it began, or when a cache on the way had asked for them.
    began: Timestamp,
    /// They come from a cache on the way: what is not among them may have come since.
    have_aged: bool,
}

struct Inner {
    known: ArcSwapOption<Known>,
    /// Counts up with each set that is another one: what was refused by the keys before is judged again.
    generation: Arc<AtomicU64>,
    /// Nothing where the keys stand in the settings.
    fetches: Option<Fetches>,
}

struct Fetches {
    fetch: Arc<KeyFetch>,
    refetch: Mutex<Refetch>,
    /// The last fetch that was asked for. The task listens.
    asked_for: watch::Sender<u64>,
    /// The last fetch that is over. Those who lack a key listen.
    landed: watch::Sender<u64>,
    has_task: AtomicBool,
}

/// The moment at which a key was found to be missing: what was fetched later has an answer to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question(u64);

impl KeySource {
    /// Keys that never change.
    pub(crate) fn fixed(set: JwkSet) -> Self {
        let known = Known {
            set,
            number: 0,
            began: Timestamp::MAX,
            have_aged: false,
        };
        Self(Arc::new(Inner {
            known: ArcSwapOption::from_pointee(known),
            generation: Arc::default(),
            fetches: None,
        }))
    }

    /// Keys that the issuer publishes.
    pub(crate) fn fetched(fetch: KeyFetch, generation: Arc<AtomicU64>) -> Self {
        let fetches = Fetches {
            refetch: Mutex::new(Refetch::new(fetch.clock.now())),
            fetch: Arc::new(fetch),
            asked_for: watch::Sender::new(0),
            landed: watch::Sender::new(0),
            has_task: AtomicBool::new(false),
        };
        Self(Arc::new(Inner {
            known: ArcSwapOption::empty(),
            generation,
            fetches: Some(fetches),
        }))
    }

    /// What is known. The first call where there is a runtime starts the task.
    pub(crate) fn known(&self) -> Guard<Option<Arc<Known>>> {
        self.start();
        self.0.known.load()
    }

    /// Marks the moment.
    pub(crate) fn question(&self) -> Question {
        let begun = |fetches: &Fetches| fetches.lock().begun;
        Question(self.0.fetches.as_ref().map_or(0, begun))
    }

    /// Whether it needs no fetch to say that nobody knows this key: it cannot have come since the last one. `before` is the latest
    /// moment at which the token can have been signed.
    pub(crate) fn is_missing(&self, kid: &str, before: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(fetches) = &self.0.fetches else {
            return true;
        };
        let since = fetches.lock().missing_since(kid, now);
        since
            .zip(before)
            .is_some_and(|(since, before)| before < since)
    }

    /// Remembers that the fetch that has brought these keys did not bring this one.
    pub(crate) fn remember_missing(&self, kid: &str, known: &Known) {
        if let Some(fetches) = &self.0.fetches {
            fetches.lock().is_missing(kid, known.began);
        }
    }

    /// Waits for the next fetch to be over, if there may be one. Whether it has brought keys.
    pub(crate) async fn next(&self) -> bool {
        let Some(fetches) = &self.0.fetches else {
            return false;
        };
        let Some(number) = fetches.ask() else {
            return false;
        };
        let mut landed = fetches.landed.subscribe();
        let is_over = landed.wait_for(|landed| *landed >= number).await.is_ok();
        let known = self.0.known.load();
        is_over && known.as_ref().is_some_and(|known| known.number >= number)
    }

    /// Whether there is somebody who fetches, so that it is worth waiting.
    pub(crate) fn are_fetched(&self) -> bool {
        self.start();
        let fetches = self.0.fetches.as_ref();
        fetches.is_some_and(|fetches| fetches.has_task.load(Ordering::Acquire))
    }

    fn start(&self) {
        let Some(fetches) = &self.0.fetches else {
            return;
        };
        if fetches.has_task.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !fetches.has_task.swap(true, Ordering::AcqRel) {
            let (source, fetch) = (Arc::downgrade(&self.0), Arc::clone(&fetches.fetch));
            let dropped = fetches.landed.subscribe();
            // A runtime that is about to end drops it before it has begun.
            let end = End(Weak::clone(&source));
            runtime.spawn(async move {
                until_dropped(dropped, refresh(source, fetch)).await;
                drop(end);
            });
        }
    }
}

impl Known {
    /// Which fetch has brought them.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether it began after the question was asked.
    pub(crate) const fn answers(&self, question: Question) -> bool {
        self.number > question.0
    }

    pub(crate) const fn have_aged(&self) -> bool {
        self.have_aged
    }

    /// Whether they were fetched after this moment. Where the clock was set back since, nobody knows.
    pub(crate) fn are_newer_than(&self, moment: Timestamp, now: Timestamp) -> bool {
        let is_known = self.began == Timestamp::MAX || !now.is_set_back_from(self.began);
        is_known && moment < self.began
    }
}

impl Fetches {
    fn lock(&self) -> MutexGuard<'_, Refetch> {
        // Nothing is half done while it is held.
        self.refetch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fetch that somebody who lacks a key may wait for.
    fn ask(&self) -> Option<u64> {
        let mut refetch = self.lock();
        let granted = *self.asked_for.borrow();
        let number = refetch.ask(granted, self.fetch.clock.now())?;
        self.asked_for.send_if_modified(|asked_for| {
            let is_new = *asked_for < number;
            *asked_for = number.max(*asked_for);
            is_new
        });
        Some(number)
    }

    /// The task has ended in the middle of a fetch: with its runtime, or by a client that panics.
    fn break_off(&self) {
        {
            let mut refetch = self.lock();
            if refetch.landed < refetch.begun {
                refetch.failed(self.fetch.clock.now());
            }
        }
        self.land();
    }

    fn land(&self) {
        let landed = self.lock().landed;
        self.landed.send_replace(landed);
    }
}

/// When the task ends, however it ends, nobody waits for it any longer, and the next request starts another.
struct End(Weak<Inner>);

impl Drop for End {
    fn drop(&mut self) {
        let inner = self.0.upgrade();
        if let Some(fetches) = inner.as_ref().and_then(|inner| inner.fetches.as_ref()) {
            fetches.break_off(); // first: the fetch of a task that begins next is not this one's
            fetches.has_task.store(false, Ordering::Release);
        }
    }
}

async fn until_dropped(mut alive: watch::Receiver<u64>, task: impl Future<Output = ()> + Send) {
    tokio::select! {
        () = task => {}
        () = async { while alive.changed().await.is_ok() {} } => {} // the keys are gone
    }
}

/// How long it sleeps at once: the clock may be set back meanwhile.
const STEP: Duration = Duration::from_secs(60);

/// Fetches whenever it is due or asked for.
async fn refresh(source: Weak<Inner>, fetch: Arc<KeyFetch>) {
    let mut place = None;
    let clock = Arc::clone(&fetch.clock);
    loop {
        let Some((pause, mut asked_for, landed)) = source.upgrade().and_then(|inner| {
            let fetches = inner.fetches.as_ref()?;
            let refetch = fetches.lock();
            let pause = refetch.pause(clock.now());
            Some((pause, fetches.asked_for.subscribe(), refetch.landed))
        }) else {
            return;
        };
        let is_due = tokio::select! {
            () = clock.sleep(pause.min(STEP)) => pause <= STEP,
            _ = asked_for.wait_for(|asked_for| *asked_for > landed) => true,
        };
        if !is_due {
            continue;
        }
        let begin = |inner: &Arc<Inner>| {
            let mut refetch = inner.fetches.as_ref()?.lock();
            let now = clock.now();
            Some((refetch.begin(now), now))
        };
        let Some((number, began)) = source.upgrade().as_ref().and_then(begin) else {
            return;
        };
        let fetched = fetch.fetch(&mut place).await;
        let Some(inner) = source.upgrade() else {
            return;
        };
        match fetched {
            Ok(fetched) => inner.replace(fetched, (number, began), &fetch),
            Err(unavailable) => inner.keep(&unavailable, &fetch),
        }
    }
}

impl Inner {
    /// These keys and no others are the issuer's from now on.
    fn replace(&self, fetched: Fetched, (number, began): (u64, Timestamp), fetch: &KeyFetch) {
        let Some(fetches) = &self.fetches else {
            return;
        };
        let old = self.known.load_full();
        let set = match &old {
            Some(old) => fetched.set.adopt(&old.set),
            None => fetched.set,
        };
        let is_news = old.as_ref().is_none_or(|old| !same_keys(&set, &old.set));
        let of = Timestamp::from_secs(began.as_secs().saturating_sub(fetched.age.as_secs()));
        let new = Arc::new(Known {
            set,
            number,
            began: of,
            have_aged: of < began,
        });
        self.known.store(Some(Arc::clone(&new)));
        if is_news {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        // Only now, so that nobody begins again with a key that has gone.
        if let Some(old) = old {
            old.set.retire_missing(&new.set);
        }
        let change = fetches.lock().succeeded(began, fetched.fresh, is_news);
        let (issuer, keys) = (&fetch.issuer, new.set.keys().len());
        if keys == 0 && is_news {
            tracing::error!(%issuer, "the issuer has no keys that can be used");
        } else if change == Change::Recovered {
            tracing::info!(%issuer, keys, "the keys of the issuer can be fetched again");
        } else if is_news {
            tracing::debug!(%issuer, keys, "the issuer has new keys");
        }
        fetches.land();
    }

    /// It has brought nothing: what is there stays, for a time.
    fn keep(&self, cause: &Unavailable, fetch: &KeyFetch) {
        let Some(fetches) = &self.fetches else {
            return;
        };
        let now = fetch.clock.now();
        let (change, are_kept) = {
            let mut refetch = fetches.lock();
            (refetch.failed(now), refetch.are_kept(now))
        };
        let issuer = &fetch.issuer;
        let old = self.known.load_full();
        if let (Some(old), false) = (&old, are_kept) {
            self.known.store(None);
            old.set.retire_missing(&JwkSet::default());
            tracing::error!(%issuer, %cause, "the keys of the issuer are too old to be used any longer");
        } else if change == Change::Failing {
            match old {
                Some(_) => {
                    tracing::warn!(%issuer, %cause, "the keys of the issuer could not be fetched again; the old ones stay");
                }
                None => {
                    tracing::error!(%issuer, %cause, "the keys of the issuer could not be fetched");
                }
            }
        }
        fetches.land();
    }
}

/// Whether a set that has adopted an older one has all its keys, and no other.
fn same_keys(new: &JwkSet, old: &JwkSet) -> bool {
    let is_old = |key| old.keys().iter().any(|old| Arc::ptr_eq(old, key));
    new.keys().len() == old.keys().len() && new.keys().iter().all(is_old)
}

#[cfg(test)]
mod tests {
    use super::{JwkSet, Known};
    use crate::types::Timestamp;

    #[test]
    fn v06_keys_are_newer_than_a_token_only_by_a_clock_that_was_not_set_back() {
        let at = Timestamp::from_secs;
        let known = |began| Known {
            set: JwkSet::default(),
            number: 1,
            began,
            have_aged: false,
        };
        let fetched = known(at(9000));
        assert!(fetched.are_newer_than(at(8999), at(9000)));
        assert!(fetched.are_newer_than(at(8999), at(8995)));
        assert!(!fetched.are_newer_than(at(9000), at(9000)));
        assert!(!fetched.are_newer_than(at(5000), at(8994)), "nobody knows");
        let fixed = known(Timestamp::MAX);
        assert!(fixed.are_newer_than(at(9000), at(0)), "there are no others");
    }
}
