//! Why a token is taken or refused, step by step, for the people who run the service.

use std::fmt;
use std::sync::Arc;

use super::issuer::of_token;
use super::validator::TokenFacts;
use super::{BearerToken, ResourceServer};

/// What each step of a check says about a token; made by [`ResourceServer::explain`]. It prints one line for each.
///
/// It names subjects, clients and causes, never the token. It is for a console or a log of operators: a caller who is told why a token is
/// refused learns what to try next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Which one: `form`, `issuer`, `cache`, `facts`, `revocations` or `policy`.
    pub name: &'static str,
    /// Whether the token got past it.
    pub passed: bool,
    /// What was found.
    pub finding: String,
}

impl Explanation {
    /// The steps, in their order; after one that the token does not get past, there is none.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the token got past all of them.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.steps.iter().all(|step| step.passed)
    }

    fn step(&mut self, name: &'static str, finding: Result<String, String>) -> bool {
        let passed = finding.is_ok();
        let finding = finding.unwrap_or_else(|refused| refused);
        self.steps.push(Step {
            name,
            passed,
            finding,
        });
        passed
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let mark = if step.passed { "ok" } else { "REFUSED" };
            writeln!(f, "{:<12} {mark:<8} {}", step.name, step.finding)?;
        }
        Ok(())
    }
}

impl ResourceServer {
    /// Goes through all steps of a check, asks the issuer even where the token is known, and keeps nothing.
    ///
    /// For operators and tests. It belongs behind no HTTP endpoint: refusals tell strangers as little as the standards let them.
    pub async fn explain(&self, token: &str) -> Explanation {
        let mut explanation = Explanation { steps: Vec::new() };
        let form = BearerToken::try_from(token);
        let found = form.map_or_else(
            |invalid| Err(invalid.to_string()),
            |_| Ok(format!("{} characters", token.len())),
        );
        explanation.step("form", found);
        if let Ok(token) = form {
            self.explain_token(token, &mut explanation).await;
        }
        explanation
    }

    async fn explain_token(&self, token: BearerToken<'_>, explanation: &mut Explanation) {
        let now = self.inner.clock.now();
        let issuers = self.inner.issuers.load_full();
        let source = of_token(&issuers.sources, token).cloned();
        let found = source.as_ref().map_or_else(
            || Err("no issuer of this resource can have issued it".to_owned()),
            |source| Ok(source.url().to_string()),
        );
        explanation.step("issuer", found);
        let Some(source) = source else {
            return;
        };
        let cached = source.cache.as_ref().map(|cache| {
            let known = cache.get(
                &self.inner.recogniser.present(token.expose().as_bytes()),
                now,
            );
            let refused = cache.refused(
                self.inner.recogniser.digest(token),
                source.generation(),
                now,
            );
            match (known, refused) {
                (Some(_), _) => "known to be live".to_owned(),
                (None, Some(why)) => format!("known not to be active: {}", why.reason()),
                (None, None) => "not known".to_owned(),
            }
        });
        let cached = cached.unwrap_or_else(|| "nothing is cached of this issuer".to_owned());
        explanation.step("cache", Ok(cached));
        let facts = match source.validator.validate_now(token, now) {
            Some(facts) => Ok(facts),
            None => {
                let validator = Arc::clone(&source.validator);
                validator.validate(token.into_owned(), now).await
            }
        };
        let facts = match facts {
            Ok(Ok(facts)) => facts,
            Ok(Err(not_active)) => {
                explanation.step("facts", Err(not_active.to_string()));
                return;
            }
            Err(unavailable) => {
                explanation.step("facts", Err(unavailable.to_string()));
                return;
            }
        };
        explanation.step("facts", Ok(summary(&facts)));
        let now = self.inner.clock.now();
        let name = || self.inner.recogniser.name(token);
        let held = self.inner.revocations.hold(name, &facts, now);
        let found = if held {
            Err("revoked here".to_owned())
        } else {
            Ok("none is held against it here".to_owned())
        };
        if !explanation.step("revocations", found) {
            return;
        }
        let verdict = self.inner.judge(&facts, &source.trusted, now);
        let found = verdict.map_or_else(
            |reason| Err(reason.to_owned()),
            |()| Ok(format!("good for {}", self.resource())),
        );
        explanation.step("policy", found);
    }
}

fn summary(facts: &TokenFacts) -> String {
    let client = facts.client_id.as_ref().map_or("?", |id| id.as_str());
    let audience: Vec<_> = facts.audience.iter().map(|name| name.as_str()).collect();
    format!(
        "issued by {}, subject {}, client {client}, scope {:?}, audience {audience:?}, expires at {}",
        facts.issuer,
        facts.subject,
        facts.scope.to_string(),
        facts.expires_at.as_secs(),
    )
}
