//! The way of a token: known to the hot table, known to the cache, or asked about; and then the policy, every time.

use std::sync::Arc;

use super::access_token::AccessToken;
use super::count;
use super::flights::Outcome;
use super::hot_table::Hot;
use super::issuer::{Source, Trusted, of_token};
use super::known::{Known, Presented};
use super::policy::{self, Demands};
use super::validator::{BoxFuture, Facts, NotActive, TokenFacts, Unavailable};
use super::{BearerToken, Inner, OwnedToken, Refusal, ResourceServer};
use crate::types::Timestamp;

/// What came of checking a token.
pub(crate) type Verdict = Result<AccessToken, Refusal>;

/// Whether the check is over already.
pub(crate) enum Check {
    Known(Verdict),
    Ask(BoxFuture<Verdict>),
}

/// What was so when facts were asked for: what has changed since is not in them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) at: Timestamp,
    /// How many revocations had been said.
    pub(crate) said: u64,
    /// The generation of what the issuer's tokens are judged by.
    pub(crate) generation: u64,
}

/// How often a token is asked about whose facts have ended, or were called back, while they were made.
const READINGS: usize = 4;

impl ResourceServer {
    /// What can be said of a token that is not one of the last ones, without waiting.
    pub(crate) fn check(&self, token: BearerToken<'_>) -> Check {
        let check = self.look(token);
        if let Check::Known(verdict) = &check {
            count::verdict(verdict, count::Facts::Known);
        }
        check
    }

    /// The verdict on one of the last tokens, by its bytes alone: that it has the form of a token was seen when it became known.
    pub(crate) fn known(&self, token: &[u8]) -> Option<Verdict> {
        let now = self.inner.clock.now();
        let presented = self.inner.recogniser.present(token);
        let verdict = self.hot.with(&presented, now, |hot| {
            let known = hot.known();
            match self.inner.judge(&known.facts, &known.trusted, now) {
                Ok(()) => Some(Ok(hot.token(&self.inner))),
                // They have ended this moment, which may be the fate of all facts: it is asked what the token is now.
                Err(_) if known.facts.have_ended() => None,
                Err(reason) => Some(refused(reason)),
            }
        });
        let verdict = verdict.flatten();
        if let Some(verdict) = &verdict {
            count::verdict(verdict, count::Facts::Known);
        }
        verdict
    }

    fn look(&self, token: BearerToken<'_>) -> Check {
        let now = self.inner.clock.now();
        let presented = self.inner.recogniser.present(token.expose().as_bytes());
        let issuers = self.inner.issuers.load();
        let Some(source) = of_token(&issuers.sources, token) else {
            return Check::Known(refused("no such issuer"));
        };
        let asked = Asked {
            at: now,
            said: self.inner.revocations.said(),
            generation: source.generation(),
        };
        if let Some(known) = source
            .cache
            .as_ref()
            .and_then(|cache| cache.get(&presented, now))
        {
            let verdict = self.verdict(&known.facts, &known.trusted, now);
            if verdict.is_ok() || !known.facts.have_ended() {
                self.promote(&known, asked);
                return Check::Known(verdict);
            }
        }
        if let Some(cache) = &source.cache
            && cache.knows_refused(now)
        {
            let digest = self.inner.recogniser.digest(token);
            if let Some(why) = cache.refused(digest, asked.generation, now) {
                return Check::Known(refused(why.reason()));
            }
        }
        if let Some(facts) = source.validator.validate_now(token, now) {
            return Check::Known(match facts {
                Ok(facts) => {
                    self.keep((source, asked), &presented, &facts);
                    self.judge_new(token, (&facts, &source.trusted), now)
                }
                Err(why) => {
                    if let Some(cache) = &source.cache
                        && why.is_costly()
                    {
                        cache.refuse(self.inner.recogniser.digest(token), why, asked);
                    }
                    refused(why.reason())
                }
            });
        }
        Check::Ask(Box::pin(
            self.clone().ask(Arc::clone(source), token.into_owned()),
        ))
    }

    /// Puts a token that came again where it is found fastest, unless something was said of it meanwhile.
    fn promote(&self, known: &Arc<Known>, asked: Asked) {
        let hot = Hot::new(Arc::clone(known));
        // Made now, so that no later check of this thread makes any.
        drop(hot.token(&self.inner));
        let moved = self.hot.insert(hot);
        let name = || self.inner.recogniser.name_of(known);
        let revocations = &self.inner.revocations;
        if revocations.were_said_since(asked.said, name, Some(&known.facts)) {
            known.end();
        }
        if let Some(moved) = moved
            && revocations.said() != asked.said
        {
            moved.known().end();
        }
    }

    /// Keeps the facts, unless something was said about them since they were asked for.
    ///
    /// They are kept first and then held against what was said; who says something says it first and then ends what is kept. So one
    /// of the two sees the other.
    fn keep(
        &self,
        (source, asked): (&Source, Asked),
        presented: &Presented<'_>,
        facts: &Arc<TokenFacts>,
    ) {
        let kept = source
            .cache
            .as_ref()
            .and_then(|cache| cache.insert(presented, (facts, &source.trusted), asked.at));
        let Some(known) = kept else {
            return;
        };
        let (revocations, name) = (&self.inner.revocations, || {
            self.inner.recogniser.name_of(&known)
        });
        if revocations.were_said_since(asked.said, name, Some(facts))
            || revocations.hold(name, facts, asked.at)
        {
            known.end();
        }
    }

    /// Asks the issuer, together with whoever else asks about the same token.
    async fn ask(self, source: Arc<Source>, token: OwnedToken) -> Verdict {
        let digest = self.inner.recogniser.digest(token.as_bearer());
        let mut verdict = Err(Refusal::Unavailable);
        for _ in 0..READINGS {
            let question = || self.clone().question(Arc::clone(&source), token.clone());
            let facts = match source.flights.join(digest, question).await {
                // They have ended since they were made, perhaps for somebody who came earlier.
                Ok(Ok(facts)) if facts.have_ended() => continue,
                Ok(facts) => facts,
                Err(cause) => {
                    let issuer = source.url();
                    // Once a second is enough to be noticed: how many ask is up to strangers.
                    if source.may_complain(self.inner.clock.now()) {
                        tracing::error!(%issuer, %cause, "token could not be checked");
                    } else {
                        tracing::debug!(%issuer, %cause, "token could not be checked");
                    }
                    break;
                }
            };
            // Making the facts may have taken a while.
            let now = self.inner.clock.now();
            verdict = match facts {
                Ok(facts) => {
                    let verdict = self.judge_new(token.as_bearer(), (&facts, &source.trusted), now);
                    if verdict.is_err() && facts.have_ended() {
                        continue;
                    }
                    verdict
                }
                Err(why) => refused(why.reason()),
            };
            break;
        }
        count::verdict(&verdict, count::Facts::Asked);
        verdict
    }

    /// One question to the issuer; what is said about the token meanwhile makes it ask again.
    async fn question(self, source: Arc<Source>, token: OwnedToken) -> Outcome {
        let presented = self.inner.recogniser.present(token.expose().as_bytes());
        let digest = self.inner.recogniser.digest(token.as_bearer());
        let name = self.inner.recogniser.name(token.as_bearer());
        let revocations = &self.inner.revocations;
        for _ in 0..READINGS {
            let asked = Asked {
                at: self.inner.clock.now(),
                said: self.inner.revocations.said(),
                generation: source.generation(),
            };
            let validator = Arc::clone(&source.validator);
            let facts: Facts = validator
                .validate(token.clone(), asked.at)
                .await
                .map_err(Arc::new)?;
            match &facts {
                Ok(doubtful) if doubtful.are_in_doubt() => continue,
                Ok(born_dead) if born_dead.have_ended() => {
                    return Ok(Err(NotActive::because("revoked")));
                }
                Ok(known) => {
                    self.keep((&source, asked), &presented, known);
                    if revocations.were_said_since(asked.said, || name, Some(known)) {
                        continue;
                    }
                }
                Err(_) if revocations.were_said_since(asked.said, || name, None) => continue,
                Err(why) => {
                    if let Some(cache) = &source.cache
                        && revocations.said() == asked.said
                    {
                        cache.refuse(digest, *why, asked);
                    }
                }
            }
            return Ok(facts);
        }
        Err(Arc::new(Unavailable::new(
            "it was called back each time it was asked about",
        )))
    }

    /// Facts that nobody has kept yet become a verdict.
    fn judge_new(
        &self,
        token: BearerToken<'_>,
        (facts, trusted): (&Arc<TokenFacts>, &Arc<Trusted>),
        now: Timestamp,
    ) -> Verdict {
        let name = || self.inner.recogniser.name(token);
        if self.inner.revocations.hold(name, facts, now) {
            return refused("revoked");
        }
        self.verdict(facts, trusted, now)
    }

    /// Facts become a verdict.
    fn verdict(&self, facts: &Arc<TokenFacts>, trusted: &Arc<Trusted>, now: Timestamp) -> Verdict {
        match self.inner.judge(facts, trusted, now) {
            Ok(()) => Ok(AccessToken::new(
                Arc::clone(facts),
                Arc::clone(trusted),
                Arc::clone(&self.inner),
            )),
            Err(reason) => refused(reason),
        }
    }
}

impl Inner {
    /// Whether the facts open this resource now, or else why not.
    pub(crate) fn judge(
        &self,
        facts: &TokenFacts,
        trusted: &Trusted,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        policy::check(facts, &self.demands(trusted), now)
    }

    /// What is asked of every token of this issuer.
    pub(crate) fn demands<'a>(&'a self, trusted: &'a Trusted) -> Demands<'a> {
        Demands {
            issuer: &trusted.url,
            audiences: &self.audiences,
            leeway: trusted.leeway,
        }
    }
}

/// The log alone is told why.
fn refused(reason: &'static str) -> Verdict {
    tracing::debug!(error = "invalid_token", reason, "token refused");
    Err(Refusal::InvalidToken)
}
