//! A token that was checked, and how it is recognised when it comes again.

use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use constant_time_eq::constant_time_eq;
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::issuer::Trusted;
use super::validator::{TokenFacts, heap};
use crate::protocol::bearer::{BearerToken, OwnedToken};
use crate::types::{RandomnessUnavailable, Timestamp, random};

/// What of a token stays in memory while it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Keep {
    /// All of it: a hit compares every byte.
    #[default]
    Token,
    /// A keyed SHA-256 of it.
    Digest,
}

/// Makes what tokens are found by. The keys are of this resource server alone, and die with it.
pub(crate) struct Recogniser {
    fast: SeedableRandomState,
    key: Zeroizing<[u8; 32]>,
    keep: Keep,
}

impl Recogniser {
    pub(crate) fn new(keep: Keep) -> Result<Self, RandomnessUnavailable> {
        let seed = u64::from_ne_bytes(*random::<8>()?);
        Ok(Self {
            fast: SeedableRandomState::with_seed(seed, SharedSeed::global_random()),
            key: random()?,
            keep,
        })
    }

    /// What is looked for. Whether it has the form of a token does not matter: what is known has. Allocates nothing.
    pub(crate) fn present<'a>(&self, token: &'a [u8]) -> Presented<'a> {
        match self.keep {
            Keep::Token => Presented {
                hash: self.fast.hash_one(token),
                proof: Proof::Token(token),
            },
            Keep::Digest => {
                let whole = self.digest_bytes(token);
                Presented {
                    hash: self.fast.hash_one(whole.0),
                    proof: Proof::Digest {
                        whole,
                        name: TokenName(self.digest_bytes(signed(token))),
                    },
                }
            }
        }
    }

    /// What a token that is not known for a good one is remembered by: never the token itself.
    pub(crate) fn digest(&self, token: BearerToken<'_>) -> TokenDigest {
        self.digest_bytes(token.expose().as_bytes())
    }

    /// What a token is revoked by: of a JWT, what is signed. Of one signature others can be made that hold as well, by anybody (ECDSA).
    pub(crate) fn name(&self, token: BearerToken<'_>) -> TokenName {
        TokenName(self.digest_bytes(signed(token.expose().as_bytes())))
    }

    /// The same of a token that is known.
    pub(crate) fn name_of(&self, known: &Known) -> TokenName {
        match &known.kept {
            Kept::Token(token) => TokenName(self.digest_bytes(signed(token))),
            Kept::Digest { name, .. } => *name,
        }
    }

    fn digest_bytes(&self, token: &[u8]) -> TokenDigest {
        let keyed = Sha256::new_with_prefix(self.key.as_slice());
        TokenDigest(keyed.chain_update(token).finalize().into())
    }
}

/// What of a token is signed, if it has three parts; all of another one.
fn signed(token: &[u8]) -> &[u8] {
    let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    match (dots.next(), dots.next(), dots.next()) {
        (Some(_), Some((end, _)), None) => token.get(..end).unwrap_or(token),
        _ => token,
    }
}

/// What a token is revoked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenName(TokenDigest);

/// A keyed digest of a token: worth nothing outside of this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenDigest([u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// A token that came with a request, and the hash that finds it.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    hash: u64,
    proof: Proof<'a>,
}

#[derive(Clone, Copy)]
enum Proof<'a> {
    Token(&'a [u8]),
    Digest { whole: TokenDigest, name: TokenName },
}

impl Presented<'_> {
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether this is the token that is known, in a time that tells nothing but its length.
    pub(crate) fn is(&self, known: &Known) -> bool {
        match (&self.proof, &known.kept) {
            (Proof::Token(token), Kept::Token(kept)) => constant_time_eq(token, kept),
            (Proof::Digest { whole, .. }, Kept::Digest { whole: kept, .. }) => {
                constant_time_eq(&whole.0, &kept.0)
            }
            _ => false,
        }
    }

    fn keep(&self) -> Kept {
        match self.proof {
            Proof::Token(token) => Kept::Token(Zeroizing::new(token.into())),
            Proof::Digest { whole, name } => Kept::Digest { whole, name },
        }
    }
}

impl Hash for Presented<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A token, the facts about it, and until when they are believed. It holds facts and never a decision.
pub(crate) struct Known {
    hash: u64,
    kept: Kept,
    pub(crate) facts: Arc<TokenFacts>,
    pub(crate) trusted: Arc<Trusted>,
    /// When the issuer was asked, and until when that is believed. Judged by our clock at each hit: a cache's own clock only frees memory.
    asked_at: Timestamp,
    fresh_until: Timestamp,
    has_ended: AtomicBool,
}

enum Kept {
    Token(Zeroizing<Box<[u8]>>),
    Digest { whole: TokenDigest, name: TokenName },
}

impl Known {
    pub(crate) fn new(
        presented: &Presented<'_>,
        facts: Arc<TokenFacts>,
        trusted: Arc<Trusted>,
        (asked_at, fresh_until): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            hash: presented.hash,
            kept: presented.keep(),
            facts,
            trusted,
            asked_at,
            fresh_until,
            has_ended: AtomicBool::new(false),
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether this is what the token is revoked by; quicker than making its own name.
    pub(crate) fn is_named(&self, (token, name): (&OwnedToken, TokenName)) -> bool {
        match &self.kept {
            Kept::Token(kept) => constant_time_eq(signed(kept), signed(token.expose().as_bytes())),
            Kept::Digest { name: kept, .. } => *kept == name,
        }
    }

    /// Whether both are of one token.
    pub(crate) fn is_of_the_token_of(&self, other: &Self) -> bool {
        match (&self.kept, &other.kept) {
            (Kept::Token(one), Kept::Token(other)) => constant_time_eq(one, other),
            (Kept::Digest { whole: one, .. }, Kept::Digest { whole: other, .. }) => {
                constant_time_eq(&one.0, &other.0)
            }
            _ => false,
        }
    }

    /// Whether the facts may still be used. A flag ends the facts and not always the token: a feed that lost something raises all
    /// of them. Whoever finds them ended asks the issuer anew.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.fresh_until
            // Where the clock was set back, the facts would be believed for longer by as much.
            && !now.is_set_back_from(self.asked_at)
            && !self.has_ended.load(Ordering::Acquire)
            && !self.trusted.is_retired()
            && !self.facts.have_ended()
    }

    /// Ends it: whoever presents the token next, its issuer is asked.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Ends it, and with it whatever goes on for the token.
    pub(crate) fn revoke(&self) {
        self.facts.revoke();
        self.end();
    }

    /// About how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        let kept = match &self.kept {
            Kept::Token(token) => heap(token.len()),
            Kept::Digest { .. } => 0,
        };
        heap(size_of::<Self>()) + kept + self.facts.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::{Keep, Known, Recogniser};
    use crate::protocol::bearer::BearerToken;
    use crate::resource::TokenFacts;
    use crate::resource::issuer::Trusted;
    use crate::types::{Subject, Timestamp};
    use std::sync::Arc;

    fn token(text: &str) -> BearerToken<'_> {
        text.try_into().unwrap()
    }

    fn known(recogniser: &Recogniser, text: &str) -> Known {
        let issuer: crate::types::IssuerUrl = "https://as.example".parse().unwrap();
        let subject = Subject::new("ada").unwrap();
        let facts = TokenFacts::builder(issuer.clone(), subject, Timestamp::MAX).build();
        let trusted = Arc::new(Trusted::new(issuer));
        let presented = recogniser.present(text.as_bytes());
        let ever = (Timestamp::from_secs(0), Timestamp::MAX);
        Known::new(&presented, Arc::new(facts), trusted, ever)
    }

    #[test]
    fn v25_a_hit_proves_the_whole_token() {
        for keep in [Keep::Token, Keep::Digest] {
            let recogniser = Recogniser::new(keep).unwrap();
            for length in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100] {
                let text = "a".repeat(length);
                let known = known(&recogniser, &text);
                assert!(recogniser.present(text.as_bytes()).is(&known));
                for longer in ["a", "b", "="] {
                    assert!(
                        !recogniser
                            .present((text.clone() + longer).as_bytes())
                            .is(&known)
                    );
                }
                for place in 0..length {
                    let mut other = text.clone();
                    other.replace_range(place..=place, "b");
                    assert!(
                        !recogniser.present(other.as_bytes()).is(&known),
                        "{place} of {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn v25_the_hash_and_the_digest_are_of_one_resource_server_alone() {
        let (one, other) = (Keep::Token, Keep::Token);
        let (one, other) = (
            Recogniser::new(one).unwrap(),
            Recogniser::new(other).unwrap(),
        );
        assert_ne!(one.present(b"a").hash(), other.present(b"a").hash());
        assert_ne!(one.digest(token("a")), other.digest(token("a")));
        assert_eq!(one.digest(token("a")), one.digest(token("a")));
        assert_ne!(one.digest(token("a")), one.digest(token("b")));
    }

    #[test]
    fn a_token_whose_digest_is_kept_is_not_in_memory() {
        let recogniser = Recogniser::new(Keep::Digest).unwrap();
        let known = known(&recogniser, "hunter2");
        assert!(matches!(known.kept, super::Kept::Digest { .. }));
        assert!(!recogniser.present(b"hunter2").is(&Known {
            kept: super::Kept::Token(zeroize::Zeroizing::new(b"hunter2".as_slice().into())),
            ..known
        }));
    }
}
