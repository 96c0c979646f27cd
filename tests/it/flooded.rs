//! Many tokens that are good for nothing, and many requests with one that nobody has seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinSet;
use tower_oauth::resource::{
    BearerToken, CacheLimits, Facts, NotActive, OwnedToken, ResourceServer, TokenFacts,
    Unavailable, Validator,
};
use tower_oauth::types::{ManualClock, Subject, Timestamp};
use tower_oauth::{Issuer, resource::Refusal};

use crate::introspection_issuer::{Reply, Scripted, active_with, answer};
use crate::publisher::{Key, claims, header, set};
use crate::support::{ISSUER, LEDGER, NOW};
use crate::waits::soon;

const OTHER: &str = "https://other.example";
const GOOD: &str = "ot_good";

/// An issuer of opaque tokens that counts how often it is asked about its good one, and about others.
#[derive(Clone, Default)]
struct Counting {
    good: Arc<AtomicUsize>,
    others: Arc<AtomicUsize>,
}

impl Counting {
    fn asked(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.good), count(&self.others))
    }
}

impl Validator for Counting {
    fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        None
    }

    async fn validate(&self, token: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        if token.expose() != GOOD {
            self.others.fetch_add(1, Ordering::SeqCst);
            return Ok(Err(NotActive::because("unknown")));
        }
        self.good.fetch_add(1, Ordering::SeqCst);
        let subject = Subject::new("usr_50317").unwrap();
        let facts = TokenFacts::builder(OTHER.parse().unwrap(), subject, Timestamp::MAX);
        Ok(Ok(Arc::new(facts.audience([LEDGER]).build())))
    }
}

/// `benches/memory.rs` does the same with a million, and measures the memory.
#[tokio::test]
async fn v26_a_flood_of_garbage_leaves_a_warm_token_warm() {
    let counting = Counting::default();
    let opaque = Issuer::custom(OTHER, counting.clone()).cached();
    let jwt = Issuer::jwt(ISSUER).keys(set(&[(Key::Ed, "k")]));
    let api = ResourceServer::builder(LEDGER)
        .issuer(jwt)
        .issuer(opaque.token_prefix("ot_"))
        .cache(CacheLimits::new().entries(100))
        .clock(ManualClock::new(NOW))
        .build()
        .unwrap();
    let jwt = Key::Ed.sign(&header(Key::Ed, "k"), &claims(ISSUER, NOW));
    assert!(api.authenticate(&jwt).await.is_ok());
    for _ in 0..3 {
        assert!(api.authenticate(GOOD).await.is_ok());
    }
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let mut distinct = 0;
    for number in 0..6000 {
        let bad = match number % 3 {
            0 => format!("{signed}.{number:06}{}", &signature[6..]),
            1 => format!("ot_bad_{number}"),
            _ => format!("junk_{number}"),
        };
        // The second time it is known to be bad, or known to be nobody's.
        for _ in 0..2 {
            let checked = api.authenticate(&bad).await;
            assert_eq!(checked.unwrap_err(), Refusal::InvalidToken, "{bad}");
        }
        distinct += usize::from(number % 3 == 1);
    }
    assert_eq!(counting.asked(), (1, distinct));
    assert!(api.authenticate(GOOD).await.is_ok());
    assert!(api.authenticate(&jwt).await.is_ok());
    assert_eq!(counting.asked(), (1, distinct), "it is known still");
}

/// `benches/flights.rs` does the same and measures how long they wait.
#[tokio::test]
async fn a_thousand_requests_with_one_unknown_token_are_one_question() {
    let issuer = Scripted::start().await;
    let good = active_with(&json!({}));
    issuer.always(Reply::Held(answer(
        200,
        &["content-type: application/json"],
        &good,
    )));
    let api = Arc::new(issuer.api());
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let api = Arc::clone(&api);
        tasks.spawn(async move { api.get("at_unknown").await.status.as_u16() });
    }
    issuer.arrived(1).await;
    issuer.let_go(1000);
    let answers = soon("a thousand answers", tasks.join_all()).await;
    assert_eq!(answers, [200; 1000]);
    assert_eq!(issuer.asked(), 1);
}
