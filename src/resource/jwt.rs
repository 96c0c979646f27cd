//! JWT access tokens of other issuers, checked here with the keys that their issuer publishes (RFC 9068 §4).

use std::sync::Arc;
use std::time::Duration;

use super::advice::Advice;
use super::jwks::{KeySource, Known};
use super::validator::{Facts, NotActive, TokenFacts, Unavailable, Validator};
use crate::protocol::bearer::{BearerToken, OwnedToken};
use crate::protocol::foreign_jwt::{ForeignClaims, ForeignToken, JwtRules, NEEDS_ACCEPT_TYP_JWT};
use crate::protocol::jwk_set::NotSigned;
use crate::types::{Clock, Timestamp, VerificationKey};

/// Checks the tokens of one issuer.
pub(crate) struct Jwts {
    pub(crate) rules: JwtRules,
    pub(crate) keys: KeySource,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a token waits for keys.
    pub(crate) timeout: Duration,
    pub(crate) advice: Advice,
}

/// A token that is right but for its key, which is not there, or may be another one by now under the same name.
struct Lacking {
    kid: String,
    /// What it is by the keys that are there, should there be no others.
    refused: NotActive,
    /// It was signed no later than this, as far as its issuer says.
    signed_before: Option<Timestamp>,
}

impl Jwts {
    /// What the token is by these keys, or that they have not got its own.
    fn look(&self, token: &str, known: Option<&Known>, now: Timestamp) -> Result<Facts, Lacking> {
        let token = match ForeignToken::parse(token, &self.rules, now) {
            Ok(token) => token,
            Err(reason) => {
                if reason == NEEDS_ACCEPT_TYP_JWT {
                    self.advice.give(&self.rules.issuer, reason, now);
                }
                return Ok(Err(NotActive::because(reason)));
            }
        };
        let leeway = self.rules.leeway;
        let mut lacking = Lacking {
            refused: UNKNOWN,
            kid: token.kid().unwrap_or_default().to_owned(),
            signed_before: token.issued_at().map(|iat| iat.saturating_add(leeway)),
        };
        let Some(known) = known else {
            return Err(lacking);
        };
        match token.verify(&known.set) {
            Ok((claims, key)) => Ok(Ok(Arc::new(self.facts(claims, &key)))),
            Err(NotSigned::Unknown) => Err(lacking),
            Err(NotSigned::Wrong) => {
                lacking.refused = NotActive::after_work("the signature is wrong");
                // Some issuers make a new key under the old name.
                match lacking.signed_before {
                    Some(before) if known.are_newer_than(before, now) => Ok(Err(lacking.refused)),
                    _ => Err(lacking),
                }
            }
        }
    }

    fn facts(&self, claims: ForeignClaims, key: &VerificationKey) -> TokenFacts {
        let issuer = self.rules.issuer.clone();
        let mut facts = TokenFacts::builder(issuer, claims.subject, claims.expires_at)
            .scope(claims.scope)
            .audience(claims.audience)
            .claims(claims.claims)
            .dies_with(key.gone.clone());
        if let Some(client_id) = claims.client_id {
            facts = facts.client_id(client_id);
        }
        if let Some(issued_at) = claims.issued_at {
            facts = facts.issued_at(issued_at);
        }
        if let Some(not_before) = claims.not_before {
            facts = facts.not_before(not_before);
        }
        if let Some(jti) = claims.jti {
            facts = facts.jti(jti);
        }
        facts.build()
    }

    /// What a lacking key means where there is nothing to wait for: whoever has signed the token is not the issuer, or the issuer has a
    /// key that nobody here has heard of. A good token is never called a bad one, so only keys that were fetched later decide.
    fn decide(
        lacking: &Lacking,
        known: Option<&Known>,
        now: Timestamp,
    ) -> Result<Facts, Unavailable> {
        let known = known.filter(|known| !known.set.keys().is_empty());
        let known = known.ok_or_else(|| Unavailable::new("there are no keys of the issuer"))?;
        match lacking.signed_before {
            Some(before) if known.are_newer_than(before, now) => Ok(Err(lacking.refused)),
            _ => Err(Unavailable::new("its key may be newer than those here")),
        }
    }
}

const UNKNOWN: NotActive = NotActive::because("signed by no key of the issuer");

impl Validator for Jwts {
    fn validate_now(&self, token: BearerToken<'_>, now: Timestamp) -> Option<Facts> {
        let known = self.keys.known();
        match self.look(token.expose(), known.as_deref(), now) {
            Ok(facts) => Some(facts),
            Err(lacking) => {
                let before = lacking.signed_before;
                let is_missing = self.keys.is_missing(&lacking.kid, before, now);
                is_missing.then_some(Err(lacking.refused))
            }
        }
    }

    async fn validate(&self, token: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        if !self.keys.are_fetched() {
            return Err(Unavailable::new(
                "keys are fetched in a Tokio runtime alone",
            ));
        }
        let question = self.keys.question();
        let mut enough = self.clock.sleep(self.timeout);
        loop {
            let (lacking, seen) = {
                let known = self.keys.known();
                let known = known.as_deref();
                let lacking = match self.look(token.expose(), known, self.clock.now()) {
                    Ok(facts) => return Ok(facts),
                    Err(lacking) => lacking,
                };
                if let Some(known) = known.filter(|known| known.answers(question)) {
                    if known.set.keys().is_empty() {
                        return Self::decide(&lacking, None, self.clock.now());
                    }
                    if known.have_aged() {
                        return Self::decide(&lacking, Some(known), self.clock.now());
                    }
                    self.keys.remember_missing(&lacking.kid, known);
                    return Ok(Err(lacking.refused));
                }
                (lacking, known.map(Known::number))
            };
            let have_come = tokio::select! {
                have_come = self.keys.next() => have_come,
                () = &mut enough => false,
            };
            if !have_come {
                let known = self.keys.known();
                let known = known.as_deref();
                if known.map(Known::number) == seen {
                    return Self::decide(&lacking, known, self.clock.now()); // what costs a signature is not done again
                }
                return match self.look(token.expose(), known, self.clock.now()) {
                    Ok(facts) => Ok(facts),
                    Err(lacking) => Self::decide(&lacking, known, self.clock.now()),
                };
            }
        }
    }
}
