//! What is checked on every request, warm or cold. Here alone do facts become a yes or a no.

use super::validator::TokenFacts;
use crate::types::{IssuerUrl, ResourceUri, Timestamp};

/// Whether the facts open this resource now, or else why not, for the log. Allocates nothing.
pub(crate) fn check(
    facts: &TokenFacts,
    issuer: &IssuerUrl,
    resource: &ResourceUri,
    now: Timestamp,
) -> Result<(), &'static str> {
    if facts.issuer != *issuer {
        return Err("issued by another issuer"); // RFC 9068 §4, RFC 7662 §4
    }
    if !facts.audience.contains(resource) {
        return Err("meant for another resource"); // RFC 9068 §4; RFC 8707 §2
    }
    if facts.expires_at <= now {
        return Err("expired"); // RFC 7519 §4.1.4: "on or after"
    }
    if facts.have_ended() {
        return Err("revoked"); // RFC 7009 §2.2
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::resource::{Flag, TokenFacts};
    use crate::types::{IssuerUrl, ResourceUri, Subject, Timestamp};

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn issuer(text: &str) -> IssuerUrl {
        text.parse().unwrap()
    }

    fn resource(text: &str) -> ResourceUri {
        text.parse().unwrap()
    }

    fn verdict(facts: &TokenFacts) -> Result<(), &'static str> {
        check(
            facts,
            &issuer("https://as.example"),
            &resource("https://api.example"),
            NOW,
        )
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
