//! The tokens of the last requests: a table of fixed size in front of the caches, read without a lock.
//!
//! It exists for speed alone: a hit here takes a quarter of what one in a cache takes (`benches/README.md`). It keeps the same entries
//! as the caches do, so whatever ends one there ends it here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use super::known::{Known, Presented};
use super::{AccessToken, Inner};
use crate::types::Timestamp;

/// How many sets of two there are; a power of two.
const SETS: usize = 2048;

/// What weighs more stays in its cache, so that the table's memory is bounded: 16 MiB at most, and 5 for what is
/// handed on. What has ended stays until another takes its place.
const HEAVIEST: usize = 4096;

pub(crate) struct HotTable {
    sets: Box<[Set]>,
}

/// Threads that are so many apart share the counter of references of a token that comes with the requests of both; others share
/// nothing that is written. One counter for all would take two threads a third of their time (`benches/README.md`).
const STRIPES: usize = 8;

/// The newer comes first.
#[derive(Default)]
struct Set {
    newer: ArcSwapOption<Hot>,
    older: ArcSwapOption<Hot>,
}

/// What is known of a token, and what is handed on of it if it is found good: the first request of a stripe makes its own.
pub(crate) struct Hot {
    known: Arc<Known>,
    tokens: [OnceLock<AccessToken>; STRIPES],
}

impl Hot {
    pub(crate) fn new(known: Arc<Known>) -> Self {
        Self {
            known,
            tokens: Default::default(),
        }
    }

    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// The token, for the request of a thread. It is for this resource server alone, so that it is always the same one that found it good.
    pub(crate) fn token(&self, by: &Arc<Inner>) -> AccessToken {
        let make = || {
            let (facts, trusted) = (&self.known.facts, &self.known.trusted);
            AccessToken::new(Arc::clone(facts), Arc::clone(trusted), Arc::clone(by))
        };
        match self.tokens.get(stripe()) {
            Some(token) => token.get_or_init(make).clone(),
            None => make(),
        }
    }
}

/// Which one this thread takes: the threads take turns.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.try_with(|stripe| *stripe).unwrap_or_default()
}

impl HotTable {
    pub(crate) fn new() -> Self {
        Self {
            sets: (0..SETS).map(|_| Set::default()).collect(),
        }
    }

    fn set(&self, hash: u64) -> Option<&Set> {
        let place = usize::try_from(hash % SETS as u64).ok()?;
        self.sets.get(place)
    }

    /// Makes something of the entry of this token, if it is here and fresh. Allocates nothing and waits for nobody.
    pub(crate) fn with<T>(
        &self,
        presented: &Presented<'_>,
        now: Timestamp,
        make: impl FnOnce(&Hot) -> T,
    ) -> Option<T> {
        let set = self.set(presented.hash())?;
        for way in [&set.newer, &set.older] {
            let entry = way.load();
            if let Some(hot) = &*entry
                && hot.known.hash() == presented.hash()
                && presented.is(&hot.known)
            {
                return hot.known.is_fresh(now).then(|| make(hot));
            }
        }
        None
    }

    /// Takes a token in; the older one of its set goes. Says which one was moved: for a moment it stood in neither place, and whoever went
    /// through all entries may have missed it.
    pub(crate) fn insert(&self, hot: Hot) -> Option<Arc<Hot>> {
        if hot.known.weight() > HEAVIEST {
            return None;
        }
        let hash = hot.known.hash();
        if let Some(set) = self.set(hash) {
            let displaced = set.newer.swap(Some(Arc::new(hot)));
            // The same token again displaces itself: an entry that has ended makes no room that another one had.
            if displaced
                .as_ref()
                .is_some_and(|displaced| displaced.known.hash() != hash)
            {
                set.older.store(displaced.clone());
                return displaced;
            }
        }
        None
    }

    /// Shows all entries.
    pub(crate) fn for_each(&self, look: impl Fn(&Known)) {
        for set in &self.sets {
            for way in [&set.newer, &set.older] {
                if let Some(hot) = &*way.load() {
                    look(&hot.known);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAVIEST, Hot, HotTable, SETS};
    use crate::resource::TokenFacts;
    use crate::resource::issuer::Trusted;
    use crate::resource::known::{Keep, Known, Recogniser};
    use crate::types::{Subject, Timestamp};
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    struct Table {
        recogniser: Recogniser,
        table: HotTable,
        trusted: Arc<Trusted>,
    }

    impl Table {
        fn new() -> Self {
            Self {
                recogniser: Recogniser::new(Keep::Token).unwrap(),
                table: HotTable::new(),
                trusted: Arc::new(Trusted::new("https://as.example".parse().unwrap())),
            }
        }

        fn insert(&self, text: &str, subject: &str, fresh_until: u64) -> Arc<Known> {
            let (issuer, subject) = (self.trusted.url.clone(), Subject::new(subject).unwrap());
            let facts = TokenFacts::builder(issuer, subject, Timestamp::MAX).build();
            let presented = self.recogniser.present(text.as_bytes());
            let (facts, trusted) = (Arc::new(facts), Arc::clone(&self.trusted));
            let fresh_until = Timestamp::from_secs(fresh_until);
            let known = Arc::new(Known::new(&presented, facts, trusted, (NOW, fresh_until)));
            self.table.insert(Hot::new(Arc::clone(&known)));
            known
        }

        fn subject(&self, text: &str) -> Option<String> {
            let presented = self.recogniser.present(text.as_bytes());
            let subject = |hot: &Hot| hot.known.facts.subject.to_string();
            self.table.with(&presented, NOW, subject)
        }
    }

    #[test]
    fn what_was_put_in_is_found_by_its_token_alone() {
        let table = Table::new();
        table.insert("one", "ada", 2000);
        assert_eq!(table.subject("one").as_deref(), Some("ada"));
        assert_eq!(table.subject("on"), None);
        assert_eq!(table.subject("One"), None);
        table.insert("one", "bob", 2000);
        assert_eq!(table.subject("one").as_deref(), Some("bob"));
    }

    #[test]
    fn v23_what_is_not_fresh_or_has_ended_is_not_found() {
        let table = Table::new();
        table.insert("stale", "ada", 1000);
        assert_eq!(table.subject("stale"), None);
        table.insert("ends", "ada", 2000).end();
        assert_eq!(table.subject("ends"), None);
        for text in ["a", "b"] {
            table.insert(text, text, 2000);
        }
        table.table.for_each(|known| {
            if known.facts.subject.as_str() == "a" {
                known.end();
            }
        });
        assert_eq!(table.subject("a"), None);
        assert_eq!(table.subject("b").as_deref(), Some("b"));
        table.trusted.retire();
        assert_eq!(table.subject("b"), None);
    }

    #[test]
    fn the_last_tokens_are_kept_and_no_more_than_there_is_room_for() {
        let table = Table::new();
        for number in 0..4 * SETS {
            table.insert(&format!("t{number}"), "ada", 2000);
        }
        let kept = |range: std::ops::Range<usize>| {
            range
                .filter(|number| table.subject(&format!("t{number}")).is_some())
                .count()
        };
        assert!(kept(0..4 * SETS) <= 2 * SETS);
        assert!(
            kept(4 * SETS - 200..4 * SETS) > 190,
            "new ones displace old ones"
        );
    }

    #[test]
    fn a_heavy_token_is_left_to_its_cache() {
        let table = Table::new();
        table.insert(&"a".repeat(HEAVIEST), "ada", 2000);
        assert_eq!(table.subject(&"a".repeat(HEAVIEST)), None);
    }
}
