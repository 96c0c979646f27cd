//! Facts, kept until they expire: one cache for each issuer.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use moka::Equivalent;
use moka::sync::Cache;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::validator::{BoxFuture, DynValidator, Facts, TokenFacts, Unavailable};
use crate::protocol::bearer::{BearerToken, OwnedToken};
use crate::types::Timestamp;

/// How long and how much each issuer's cache keeps.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct CacheLimits {
    ttl: Duration,
    entries: u64,
    bytes: u64,
}

impl CacheLimits {
    /// The defaults: 60 seconds, 10,000 tokens, 64 MiB.
    pub const fn new() -> Self {
        Self {
            ttl: Duration::from_secs(60),
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

/// Facts by token. A hit proves the whole token: a randomly keyed hash finds the entry, a constant-time comparison confirms it.
///
/// Only facts of live tokens are kept; errors and refusals never are.
pub(crate) struct FactsCache {
    entries: Cache<Key, Entry>,
    ttl: Duration,
}

#[derive(Clone)]
struct Entry {
    facts: Arc<TokenFacts>,
    /// Judged by our clock at each hit: the cache's own clock only frees memory.
    fresh_until: Timestamp,
}

impl FactsCache {
    pub(crate) fn new(limits: CacheLimits) -> Self {
        // One capacity bounds both: an entry never weighs less than its share of the bytes.
        let least = limits
            .bytes
            .checked_div(limits.entries)
            .unwrap_or(limits.bytes);
        let least = u32::try_from(least).unwrap_or(u32::MAX);
        let weigh = move |key: &Key, entry: &Entry| {
            let bytes = 256 + key.0.len() + entry.facts.weight();
            u32::try_from(bytes).unwrap_or(u32::MAX).max(least)
        };
        let capacity = if limits.entries == 0 { 0 } else { limits.bytes };
        Self {
            entries: Cache::builder()
                .max_capacity(capacity)
                .weigher(weigh)
                .time_to_live(limits.ttl)
                .build(),
            ttl: limits.ttl,
        }
    }

    /// The facts, if they are still fresh and nothing that they rest on has changed. Allocates nothing.
    pub(crate) fn get(&self, token: BearerToken<'_>, now: Timestamp) -> Option<Arc<TokenFacts>> {
        let entry = self.entries.get(&Lookup(token.expose()))?;
        // A flag ends the facts and not always the token: a feed that lost something raises all of them. Its issuer is asked anew.
        (now < entry.fresh_until && !entry.facts.have_ended()).then_some(entry.facts)
    }

    /// Keeps the facts for `min(ttl, exp − now)`; `now` is when the issuer was asked.
    pub(crate) fn insert(&self, token: BearerToken<'_>, facts: Arc<TokenFacts>, now: Timestamp) {
        let fresh_until = now.saturating_add(self.ttl).min(facts.expires_at);
        if now < fresh_until {
            let key = Key(Zeroizing::new(token.expose().into()));
            self.entries.insert(key, Entry { facts, fresh_until });
        }
    }
}

struct Key(Zeroizing<Box<str>>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Lookup(&self.0).equivalent(other)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Lookup(&self.0).hash(state);
    }
}

/// A key that is only looked for: nothing is copied.
#[derive(Hash)]
struct Lookup<'a>(&'a str);

impl Equivalent<Key> for Lookup<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        same(self.0.as_bytes(), key.0.as_bytes())
    }
}

/// Whether two texts are the same, in a time that tells nothing but their lengths. Eight bytes at a time: it is done at every hit.
fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let (left, left_rest) = left.as_chunks();
    let (right, right_rest) = right.as_chunks();
    let words = left.iter().zip(right);
    let words = words.fold(Choice::from(1), |same, (left, right)| {
        same & u64::from_ne_bytes(*left).ct_eq(&u64::from_ne_bytes(*right))
    });
    (words & left_rest.ct_eq(right_rest)).into()
}

/// A validator whose answers are kept.
pub(crate) struct Cached {
    inner: Arc<dyn DynValidator>,
    cache: FactsCache,
}

impl Cached {
    pub(crate) fn new(inner: Arc<dyn DynValidator>, limits: CacheLimits) -> Self {
        Self {
            inner,
            cache: FactsCache::new(limits),
        }
    }
}

impl DynValidator for Cached {
    fn validate_now(&self, token: BearerToken<'_>, now: Timestamp) -> Option<Facts> {
        match self.cache.get(token, now) {
            Some(facts) => Some(Ok(facts)),
            None => self.inner.validate_now(token, now),
        }
    }

    fn validate(
        self: Arc<Self>,
        token: OwnedToken,
        now: Timestamp,
    ) -> BoxFuture<Result<Facts, Unavailable>> {
        Box::pin(async move {
            let facts = Arc::clone(&self.inner).validate(token.clone(), now).await?;
            if let Ok(facts) = &facts {
                self.cache.insert(token.as_bearer(), Arc::clone(facts), now);
            }
            Ok(facts)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CacheLimits, FactsCache, same};
    use crate::protocol::bearer::BearerToken;
    use crate::resource::TokenFacts;
    use crate::types::{Subject, Timestamp};
    use std::sync::Arc;
    use std::time::Duration;

    fn token(text: &str) -> BearerToken<'_> {
        text.try_into().unwrap()
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn facts(expires_at: u64) -> Arc<TokenFacts> {
        let issuer = "https://as.example".parse().unwrap();
        let facts = TokenFacts::builder(issuer, Subject::new("ada").unwrap(), at(expires_at));
        Arc::new(facts.build())
    }

    #[test]
    fn facts_are_fresh_for_the_ttl_and_never_beyond_expiry() {
        let cache = FactsCache::new(CacheLimits::new());
        cache.insert(token("long"), facts(5000), at(1000));
        cache.insert(token("short"), facts(1010), at(1000));
        cache.insert(token("gone"), facts(1000), at(1000));
        assert!(cache.get(token("long"), at(1059)).is_some());
        assert!(cache.get(token("long"), at(1060)).is_none());
        assert!(cache.get(token("short"), at(1009)).is_some());
        assert!(cache.get(token("short"), at(1010)).is_none());
        assert!(cache.get(token("gone"), at(1000)).is_none());
    }

    #[test]
    fn a_hit_proves_the_whole_token() {
        let cache = FactsCache::new(CacheLimits::new());
        cache.insert(token("abcdef"), facts(5000), at(1000));
        for other in ["abcdeg", "abcde", "abcdef=", "bbcdef", "ABCDEF"] {
            assert!(cache.get(token(other), at(1000)).is_none(), "{other}");
        }
        assert!(cache.get(token("abcdef"), at(1000)).is_some());
    }

    #[test]
    fn every_byte_counts_wherever_it_stands() {
        for length in 0..40 {
            let text = vec![b'a'; length];
            assert!(same(&text, &text.clone()));
            assert!(!same(&text, &vec![b'a'; length + 1]));
            for place in 0..length {
                let mut other = text.clone();
                other[place] ^= 1;
                assert!(!same(&text, &other), "{place} of {length}");
            }
        }
    }

    #[test]
    fn the_cache_is_bounded_by_count_and_by_weight() {
        let kept = |limits, length: usize| {
            let cache = FactsCache::new(limits);
            for number in 0..200 {
                let text = format!("{number:0>length$}");
                cache.insert(token(&text), facts(5000), at(1000));
            }
            cache.entries.run_pending_tasks();
            cache.entries.entry_count()
        };
        assert!(kept(CacheLimits::new().entries(50), 8) <= 50);
        assert!(kept(CacheLimits::new().bytes(100_000), 8000) <= 12);
        assert_eq!(kept(CacheLimits::new().entries(0), 8), 0);
        assert_eq!(kept(CacheLimits::new().ttl(Duration::ZERO), 8), 0);
    }
}
