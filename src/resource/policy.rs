//! What is checked on every request, warm or cold. Here alone do facts become a yes or a no.

use std::time::Duration;

use super::validator::TokenFacts;
use crate::types::{Audience, IssuerUrl, Timestamp};

/// What a resource asks of the tokens of one issuer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demands<'a> {
    pub(crate) issuer: &'a IssuerUrl,
    /// One of these is enough.
    pub(crate) audiences: &'a [Audience],
    pub(crate) leeway: Duration,
}

/// Whether the facts open this resource now, or else why not, for the log. Allocates nothing.
pub(crate) fn check(
    facts: &TokenFacts,
    demands: &Demands<'_>,
    now: Timestamp,
) -> Result<(), &'static str> {
    if facts.issuer != *demands.issuer {
        return Err("issued by another issuer"); // RFC 9068 §4, RFC 7662 §4
    }
    let is_meant = |audience: &Audience| facts.audience.contains(audience);
    if !demands.audiences.iter().any(is_meant) {
        return Err("meant for another resource"); // RFC 9068 §4; RFC 8707 §2
    }
    if facts.expires_at.saturating_add(demands.leeway) <= now {
        return Err("expired"); // RFC 7519 §4.1.4: "on or after"
    }
    let now_at_most = now.saturating_add(demands.leeway);
    if facts
        .not_before
        .is_some_and(|not_before| now_at_most < not_before)
    {
        return Err("not good yet"); // RFC 7519 §4.1.5
    }
    if facts.have_ended() || facts.are_revoked() {
        return Err("revoked"); // RFC 7009 §2.2
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Demands, check};
    use crate::resource::{Flag, TokenFacts};
    use crate::types::{IssuerUrl, ResourceUri, Subject, Timestamp};
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn issuer(text: &str) -> IssuerUrl {
        text.parse().unwrap()
    }

    fn resource(text: &str) -> ResourceUri {
        text.parse().unwrap()
    }

    fn verdict(facts: &TokenFacts) -> Result<(), &'static str> {
        verdict_with(facts, Duration::ZERO)
    }

    fn verdict_with(facts: &TokenFacts, leeway: Duration) -> Result<(), &'static str> {
        let demands = Demands {
            issuer: &issuer("https://as.example"),
            audiences: &[resource("https://api.example").into(), "ledger".into()],
            leeway,
        };
        check(facts, &demands, NOW)
    }

    fn facts(issuer_url: &str, audience: &[&str], expires_at: u64) -> TokenFacts {
        TokenFacts::builder(
            issuer(issuer_url),
            Subject::new("ada").unwrap(),
            Timestamp::from_secs(expires_at),
        )
        .audience(audience.iter().map(|text| resource(text)))
        .build()
    }

    // req: tol-iss-1, tol-aud-1
    #[test]
    fn rfc9068_4_issuer_and_audience_are_compared_exactly() {
        let good = ["https://other.example", "https://api.example"];
        assert_eq!(verdict(&facts("https://as.example", &good, 2000)), Ok(()));
        assert_eq!(
            verdict(&facts(
                "https://as.example",
                &["HTTPS://API.example/"],
                2000
            )),
            Ok(())
        );
        for wrong in [
            facts("https://as.example/", &good, 2000),
            facts("https://as.example", &[], 2000),
            facts("https://as.example", &["https://api.example/notes"], 2000),
            facts(
                "https://as.example",
                &["https://api.example.evil.test"],
                2000,
            ),
        ] {
            assert!(verdict(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn rfc7519_4_1_4_a_token_is_dead_in_the_second_it_expires() {
        let at = |secs| verdict(&facts("https://as.example", &["https://api.example"], secs));
        assert_eq!(at(1001), Ok(()));
        assert_eq!(at(1000), Err("expired"));
        assert_eq!(at(999), Err("expired"));
    }

    #[test]
    fn rfc7519_4_1_5_a_token_is_not_good_before_its_time() {
        let from = |secs| {
            let subject = Subject::new("ada").unwrap();
            let facts = TokenFacts::builder(issuer("https://as.example"), subject, Timestamp::MAX);
            let facts = facts
                .audience(["ledger"])
                .not_before(Timestamp::from_secs(secs));
            let facts = facts.build();
            (
                verdict(&facts),
                verdict_with(&facts, Duration::from_secs(30)),
            )
        };
        let early = Err("not good yet");
        assert_eq!(from(1000), (Ok(()), Ok(())));
        assert_eq!(from(1001), (early, Ok(())));
        assert_eq!(from(1030), (early, Ok(())));
        assert_eq!(from(1031), (early, early));
    }

    #[test]
    fn a_leeway_lets_a_token_live_so_much_longer_and_not_a_second_more() {
        let at = |secs| {
            let facts = facts("https://as.example", &["https://api.example"], secs);
            verdict_with(&facts, Duration::from_secs(30))
        };
        assert_eq!(at(971), Ok(()));
        assert_eq!(at(970), Err("expired"));
    }

    // req: tol-aud-1, 7519-4.1.3-1
    #[test]
    fn rfc9068_4_one_of_the_audiences_is_enough_and_a_part_of_one_is_not() {
        let named = |name: &str| {
            let subject = Subject::new("ada").unwrap();
            let facts = TokenFacts::builder(issuer("https://as.example"), subject, Timestamp::MAX);
            verdict(&facts.audience([name]).build())
        };
        assert_eq!(named("ledger"), Ok(()));
        assert_eq!(named("https://api.example"), Ok(()));
        for other in [
            "ledge",
            "ledgers",
            "Ledger",
            "",
            "https://api.example.evil.test",
            "https://api.example/a",
        ] {
            assert!(named(other).is_err(), "{other}");
        }
    }

    #[test]
    fn any_flag_ends_the_facts() {
        let (first, second) = (Flag::new(), Flag::new());
        let facts = TokenFacts::builder(
            issuer("https://as.example"),
            Subject::new("ada").unwrap(),
            Timestamp::MAX,
        )
        .audience([resource("https://api.example")])
        .dies_with(first)
        .dies_with(second.clone())
        .build();
        assert_eq!(verdict(&facts), Ok(()));
        second.set();
        assert_eq!(verdict(&facts), Err("revoked"));
    }
}
