//! Facts, kept until they expire: one cache for each issuer.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::Equivalent;
use moka::sync::Cache;

use super::check::Asked;
use super::issuer::Trusted;
use super::known::{Known, Presented, TokenDigest};
use super::validator::{NotActive, TokenFacts};
use crate::types::Timestamp;

/// How long and how much each issuer's cache keeps.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct CacheLimits {
    ttl: Duration,
    negative_ttl: Duration,
    entries: u64,
    bytes: u64,
}

impl CacheLimits {
    /// The defaults: 60 seconds, 10 for tokens that are not active, 10,000 tokens, 64 MiB.
    pub const fn new() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(10),
            entries: 10_000,
            bytes: 64 * 1024 * 1024,
        }
    }

    /// How long facts are believed before the issuer is asked again, in whole seconds; never beyond the token's own expiry. Default:
    /// 60 s. It bounds how long a revocation elsewhere goes unnoticed; zero asks every time.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long it is believed that a token is *not* active, in whole seconds, and never longer than `ttl`. Default: 10 s. It bounds
    /// how long a token that becomes good only now goes on being refused; zero asks every time.
    pub const fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = ttl;
        self
    }

    /// How many tokens are known at most. Default: 10,000. Raise it if more are in use within one `ttl`.
    pub const fn entries(mut self, entries: u64) -> Self {
        self.entries = entries;
        self
    }

    /// About how many bytes tokens and facts may take together. Default: 64 MiB.
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    pub(crate) fn within(self, staleness: Duration) -> Self {
        self.ttl(self.ttl.min(staleness))
    }
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Facts by token. A hit proves the whole token: a randomly keyed hash finds the entry, a comparison in constant time confirms it.
///
/// Facts of live tokens, and apart from them, for a shorter time, what is known not to be one. Errors are never kept.
pub(crate) struct FactsCache {
    live: Cache<Key, Arc<Known>, AsHashed>,
    not_active: Cache<TokenDigest, Refused>,
    /// Until when any of `not_active` is believed: mostly there is none, and then no digest need be made to look.
    refused_until: AtomicU64,
    limits: CacheLimits,
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    why: NotActive,
    asked_at: Timestamp,
    until: Timestamp,
    /// The generation of what it was judged by.
    generation: u64,
}

/// The caches free what is older than this whatever is set: a year, and they want to be told no more than a thousand.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How many tokens are known not to be active, at most: 10,000 of about 200 bytes. They displace each other and no live one.
const MOST_REFUSED: u64 = 10_000;

impl FactsCache {
    pub(crate) fn new(limits: CacheLimits) -> Self {
        // One capacity bounds both: an entry never weighs less than its share of the bytes.
        let least = limits
            .bytes
            .checked_div(limits.entries)
            .unwrap_or(limits.bytes);
        let least = u32::try_from(least).unwrap_or(u32::MAX);
        let weigh = move |_: &Key, known: &Arc<Known>| {
            let bytes = OVERHEAD + known.weight();
            u32::try_from(bytes).unwrap_or(u32::MAX).max(least)
        };
        let capacity = if limits.entries == 0 { 0 } else { limits.bytes };
        Self {
            live: Cache::builder()
                .max_capacity(capacity)
                .weigher(weigh)
                .time_to_live(limits.ttl.min(LONGEST))
                .build_with_hasher(AsHashed),
            not_active: Cache::builder()
                .max_capacity(MOST_REFUSED)
                .time_to_live(limits.negative_ttl.min(LONGEST))
                .build(),
            refused_until: AtomicU64::new(0),
            limits,
        }
    }

    /// The token, if it is known and its facts are still fresh. Allocates nothing.
    pub(crate) fn get(&self, token: &Presented<'_>, now: Timestamp) -> Option<Arc<Known>> {
        let known = self.live.get(token)?;
        known.is_fresh(now).then_some(known)
    }

    /// Keeps the facts for `min(ttl, exp − now)`; `now` is when the issuer was asked.
    pub(crate) fn insert(
        &self,
        token: &Presented<'_>,
        (facts, trusted): (&Arc<TokenFacts>, &Arc<Trusted>),
        now: Timestamp,
    ) -> Option<Arc<Known>> {
        let dies_at = facts.expires_at.saturating_add(trusted.leeway);
        let fresh_until = now.saturating_add(self.limits.ttl).min(dies_at);
        if now >= fresh_until || self.limits.entries == 0 {
            return None;
        }
        let (facts, trusted) = (Arc::clone(facts), Arc::clone(trusted));
        let known = Arc::new(Known::new(token, facts, trusted, (now, fresh_until)));
        self.live
            .insert(Key(Arc::clone(&known)), Arc::clone(&known));
        Some(known)
    }

    /// Whether any token is known not to be active, so that looking for one can be of use.
    pub(crate) fn knows_refused(&self, now: Timestamp) -> bool {
        now.as_secs() < self.refused_until.load(Ordering::Acquire)
    }

    /// Why the token is not active, if that is known by this generation of keys.
    pub(crate) fn refused(
        &self,
        token: TokenDigest,
        generation: u64,
        now: Timestamp,
    ) -> Option<NotActive> {
        let refused = self.not_active.get(&token)?;
        let is_believed = now < refused.until && !now.is_set_back_from(refused.asked_at);
        (is_believed && refused.generation == generation).then_some(refused.why)
    }

    /// Remembers for a little while that the token is not active.
    pub(crate) fn refuse(&self, token: TokenDigest, why: NotActive, asked: Asked) {
        let ttl = self.limits.negative_ttl.min(self.limits.ttl);
        let until = asked.at.saturating_add(ttl);
        if asked.at < until {
            let refused = Refused {
                why,
                asked_at: asked.at,
                until,
                generation: asked.generation,
            };
            self.not_active.insert(token, refused);
            self.refused_until
                .fetch_max(until.as_secs(), Ordering::AcqRel);
        }
    }

    /// Shows all entries, and forgets what is known of tokens that are not active.
    pub(crate) fn for_each(&self, look: impl Fn(&Known)) {
        for (_, known) in &self.live {
            look(&known);
        }
        self.not_active.invalidate_all();
    }
}

/// About what an entry takes besides the token and its facts.
const OVERHEAD: usize = 768;

struct Key(Arc<Known>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_of_the_token_of(&other.0)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash());
    }
}

impl Equivalent<Key> for Presented<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.is(&key.0)
    }
}

/// A hash that was made already, of the whole token and with a random key.
#[derive(Debug, Clone, Copy, Default)]
struct AsHashed;

#[derive(Debug, Default)]
struct Hashed(u64);

impl BuildHasher for AsHashed {
    type Hasher = Hashed;

    fn build_hasher(&self) -> Hashed {
        Hashed::default()
    }
}

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Nobody hashes anything but a hash here; whoever does gets a bad one and no wrong answer.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, CacheLimits, FactsCache};
    use crate::resource::issuer::Trusted;
    use crate::resource::known::{Keep, Recogniser};
    use crate::resource::{NotActive, TokenFacts};
    use crate::types::{Subject, Timestamp};
    use std::sync::Arc;
    use std::time::Duration;

    struct World {
        recogniser: Recogniser,
        cache: FactsCache,
        trusted: Arc<Trusted>,
    }

    fn world(limits: CacheLimits) -> World {
        World {
            recogniser: Recogniser::new(Keep::Token).unwrap(),
            cache: FactsCache::new(limits),
            trusted: Arc::new(Trusted::new("https://as.example".parse().unwrap())),
        }
    }

    impl World {
        fn insert(&self, text: &str, expires_at: u64, now: u64) {
            let (issuer, subject) = (self.trusted.url.clone(), Subject::new("ada").unwrap());
            let facts = Arc::new(TokenFacts::builder(issuer, subject, at(expires_at)).build());
            let token = self.recogniser.present(text.as_bytes());
            let _known = self.cache.insert(&token, (&facts, &self.trusted), at(now));
        }

        fn has(&self, text: &str, now: u64) -> bool {
            let token = self.recogniser.present(text.as_bytes());
            self.cache.get(&token, at(now)).is_some()
        }

        fn refuse(&self, text: &str, generation: u64, now: u64) {
            let token = self.recogniser.digest(text.try_into().unwrap());
            let why = NotActive::because("unknown");
            let asked = Asked {
                at: at(now),
                said: 0,
                generation,
            };
            self.cache.refuse(token, why, asked);
        }

        fn refuses(&self, text: &str, generation: u64, now: u64) -> bool {
            let token = self.recogniser.digest(text.try_into().unwrap());
            self.cache.knows_refused(at(now))
                && self.cache.refused(token, generation, at(now)).is_some()
        }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn facts_are_fresh_for_the_ttl_and_never_beyond_expiry() {
        let world = world(CacheLimits::new());
        world.insert("long", 5000, 1000);
        world.insert("short", 1010, 1000);
        world.insert("gone", 1000, 1000);
        assert!(world.has("long", 1059));
        assert!(!world.has("long", 1060));
        assert!(world.has("short", 1009));
        assert!(!world.has("short", 1010));
        assert!(!world.has("gone", 1000));
    }

    #[test]
    fn what_was_said_is_believed_no_longer_where_the_clock_was_set_back() {
        let world = world(CacheLimits::new());
        world.insert("good", 5000, 1000);
        world.refuse("bad", 1, 1000);
        assert!(world.has("good", 995) && world.refuses("bad", 1, 995));
        for now in [994, 500, 0] {
            assert!(
                !world.has("good", now) && !world.refuses("bad", 1, now),
                "{now}"
            );
        }
    }

    #[test]
    fn v25_a_hit_proves_the_whole_token() {
        let world = world(CacheLimits::new());
        world.insert("abcdef", 5000, 1000);
        for other in ["abcdeg", "abcde", "abcdef=", "bbcdef", "ABCDEF"] {
            assert!(!world.has(other, 1000), "{other}");
        }
        assert!(world.has("abcdef", 1000));
    }

    // req: 7662-PROJ-3
    #[test]
    fn rfc7662_what_is_not_active_is_remembered_shortly_and_by_its_keys() {
        let world = world(CacheLimits::new());
        assert!(!world.refuses("bad", 1, 1000));
        world.refuse("bad", 1, 1000);
        assert!(world.refuses("bad", 1, 1009));
        assert!(!world.refuses("bad", 1, 1010));
        assert!(
            !world.refuses("bad", 2, 1009),
            "by other keys it may be good"
        );
        assert!(!world.refuses("other", 1, 1000));
        world.cache.for_each(|_| ());
        assert!(!world.refuses("bad", 1, 1000));
        let never = self::world(CacheLimits::new().ttl(Duration::ZERO));
        never.refuse("bad", 1, 1000);
        assert!(!never.refuses("bad", 1, 1000));
    }

    #[test]
    fn v26_what_is_not_active_displaces_no_live_token() {
        let world = world(CacheLimits::new());
        world.insert("good", 5000, 1000);
        for number in 0..30_000 {
            world.refuse(&format!("bad{number}"), 1, 1000);
        }
        world.cache.not_active.run_pending_tasks();
        assert!(world.cache.not_active.entry_count() <= super::MOST_REFUSED);
        assert!(world.has("good", 1000));
    }

    #[test]
    fn the_cache_is_bounded_by_count_and_by_weight() {
        let kept = |limits, length: usize| {
            let world = world(limits);
            for number in 0..200 {
                world.insert(&format!("{number:0>length$}"), 5000, 1000);
            }
            world.cache.live.run_pending_tasks();
            world.cache.live.entry_count()
        };
        assert!(kept(CacheLimits::new().entries(50), 8) <= 50);
        assert!(kept(CacheLimits::new().bytes(100_000), 8000) <= 12);
        assert_eq!(kept(CacheLimits::new().ttl(Duration::MAX), 8), 200);
        let ever = CacheLimits::new().negative_ttl(Duration::MAX);
        assert_eq!(kept(ever, 8), 200);
        assert_eq!(kept(CacheLimits::new().entries(0), 8), 0);
        assert_eq!(kept(CacheLimits::new().ttl(Duration::ZERO), 8), 0);
    }
}
