//! How many checks ended how (feature `metrics`, and nothing without it).

use super::Refusal;
use super::check::Verdict;

/// Where the facts of a check came from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Facts {
    /// Nothing was waited for.
    Known,
    /// The issuer was asked.
    Asked,
}

/// Counts the verdict on a token.
pub(crate) fn verdict(verdict: &Verdict, facts: Facts) {
    let outcome = match verdict {
        Ok(_) => "accepted",
        Err(refusal) => name(*refusal),
    };
    add(outcome, facts);
}

/// Counts a refusal for which no token was looked at, or not its facts alone.
pub(crate) fn refusal(refusal: Refusal) {
    add(name(refusal), Facts::Known);
}

const fn name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoToken => "no_token",
        Refusal::InvalidRequest => "invalid_request",
        Refusal::InvalidToken => "invalid_token",
        Refusal::InsufficientScope => "insufficient_scope",
        Refusal::InsufficientUserAuthentication => "insufficient_user_authentication",
        Refusal::Unavailable => "unavailable",
    }
}

fn add(outcome: &'static str, facts: Facts) {
    #[cfg(feature = "metrics")]
    {
        use ::metrics::counter;

        match (outcome, facts) {
            // A warm check must not allocate, and labels that are no literals do.
            ("accepted", Facts::Known) => {
                counter!("oauth_bearer_checks_total", "outcome" => "accepted", "facts" => "known")
            }
            (outcome, Facts::Known) => {
                counter!("oauth_bearer_checks_total", "outcome" => outcome, "facts" => "known")
            }
            (outcome, Facts::Asked) => {
                counter!("oauth_bearer_checks_total", "outcome" => outcome, "facts" => "asked")
            }
        }
        .increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (outcome, facts);
}
