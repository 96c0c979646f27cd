//! What the host says about tokens that are known: ask again, refuse them, trust other issuers. And what that does to checks under way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tower_oauth::resource::{
    BearerToken, ConfigError, Facts, Issuer, NotActive, OwnedToken, Refusal, ResourceServer,
    TokenFacts, TokenFactsBuilder, Unavailable, Validator, WhichTokens,
};
use tower_oauth::types::{Clock as _, ManualClock, Subject, Timestamp};

use crate::bearer::{API, AS, NOW, Table, ada};
use crate::waits::{soon, until};

const OTHER: &str = "https://other.example";

fn of(issuer: &str, subject: &str) -> TokenFactsBuilder {
    let subject = Subject::new(subject).unwrap();
    let until = NOW.saturating_add(Duration::from_secs(600));
    TokenFacts::builder(issuer.parse().unwrap(), subject, until)
        .audience([API])
        .issued_at(NOW)
        .jti(format!("jti-{}", issuer.len()))
        .client_id("toc_1".parse().unwrap())
}

struct World {
    api: ResourceServer,
    clock: ManualClock,
    first: Table,
    second: Table,
}

/// Two issuers whose answers are cached; their tokens begin with `slow-1` and `slow-2`.
fn world() -> World {
    let clock = ManualClock::new(NOW);
    let first = Table::new()
        .with("slow-1-ada", of(AS, "ada"))
        .with("slow-1-bob", of(AS, "bob"));
    let second = Table::new().with("slow-2-ada", of(OTHER, "ada"));
    let issuer = |url, table: &Table, prefix: &str| {
        Issuer::custom(url, table.clone())
            .cached()
            .token_prefix(prefix)
    };
    let api = ResourceServer::builder(API)
        .issuer(issuer(AS, &first, "slow-1"))
        .issuer(issuer(OTHER, &second, "slow-2"))
        .clock(clock.clone())
        .build()
        .unwrap();
    World {
        api,
        clock,
        first,
        second,
    }
}

impl World {
    /// Whether each of the three tokens is taken.
    async fn taken(&self) -> [bool; 3] {
        let mut taken = [false; 3];
        for (place, token) in ["slow-1-ada", "slow-1-bob", "slow-2-ada"]
            .iter()
            .enumerate()
        {
            taken[place] = self.api.authenticate(token).await.is_ok();
        }
        taken
    }

    /// Makes all of them known, in the caches and in the table of the last ones.
    async fn warm(&self) {
        for _ in 0..3 {
            assert_eq!(self.taken().await, [true; 3]);
        }
        assert_eq!(self.asked(), (2, 1));
    }

    fn asked(&self) -> (usize, usize) {
        (self.first.asked(), self.second.asked())
    }
}

#[tokio::test]
async fn what_is_invalidated_is_asked_about_again_and_nothing_else_is() {
    let jti = |issuer: &str| WhichTokens::Jti(format!("jti-{}", issuer.len()));
    for (which, asked) in [
        (WhichTokens::this("slow-1-ada").unwrap(), (3, 1)),
        (WhichTokens::this("slow-1-eve").unwrap(), (2, 1)),
        (jti(AS), (4, 1)),
        (jti(OTHER), (2, 2)),
        (WhichTokens::Subject(Subject::new("ada").unwrap()), (3, 2)),
        (WhichTokens::Client("toc_1".parse().unwrap()), (4, 2)),
        (WhichTokens::Client("toc_2".parse().unwrap()), (2, 1)),
        (WhichTokens::Issuer(AS.parse().unwrap()), (4, 1)),
        (WhichTokens::Issuer(OTHER.parse().unwrap()), (2, 2)),
    ] {
        let world = world();
        world.warm().await;
        world.api.invalidate(&which);
        assert_eq!(world.taken().await, [true; 3], "{which:?}");
        assert_eq!(world.asked(), asked, "{which:?}");
        assert_eq!(world.taken().await, [true; 3], "{which:?}");
        assert_eq!(world.asked(), asked, "warm again: {which:?}");
    }
}

#[tokio::test]
async fn what_is_revoked_is_refused_at_the_next_request_though_its_issuer_says_yes() {
    let ada = WhichTokens::Subject(Subject::new("ada").unwrap());
    for (issuer, which, taken) in [
        (
            AS,
            WhichTokens::this("slow-1-ada").unwrap(),
            [false, true, true],
        ),
        (OTHER, WhichTokens::this("slow-1-ada").unwrap(), [true; 3]),
        (AS, ada.clone(), [false, true, true]),
        (OTHER, ada, [true, true, false]),
        (
            AS,
            WhichTokens::Client("toc_1".parse().unwrap()),
            [false, false, true],
        ),
        (
            AS,
            WhichTokens::Issuer(AS.parse().unwrap()),
            [false, false, true],
        ),
    ] {
        let world = world();
        world.warm().await;
        world.api.revoke(&issuer.parse().unwrap(), &which).unwrap();
        for _ in 0..2 {
            assert_eq!(world.taken().await, taken, "{issuer} {which:?}");
        }
    }
}

#[tokio::test]
async fn who_is_revoked_gets_new_tokens_and_a_revocation_is_held_as_long_as_the_host_says() {
    let world = world();
    let issuer = AS.parse().unwrap();
    let ada = WhichTokens::Subject(Subject::new("ada").unwrap());
    world.api.revoke(&issuer, &ada).unwrap();
    assert_eq!(world.taken().await, [false, true, true]);
    // The issuer's clock may be half a minute ahead.
    for (secs, is_new) in [(0, false), (1, false), (30, false), (31, true)] {
        let issued = NOW.saturating_add(Duration::from_secs(secs));
        let token = format!("slow-1-{secs}");
        let _first = world
            .first
            .clone()
            .with(&token, of(AS, "ada").issued_at(issued));
        let taken = world.api.authenticate(&token).await.is_ok();
        assert_eq!(taken, is_new, "{secs}");
    }

    let clock = world.clock;
    let forgetful = ResourceServer::builder(API)
        .issuer(Issuer::custom(
            AS,
            Table::new().with("slow-x", ada_for_ever()),
        ))
        .revocations_kept(Duration::from_secs(60))
        .clock(clock.clone())
        .build()
        .unwrap();
    let this = WhichTokens::this("slow-x").unwrap();
    forgetful.revoke(&issuer, &this).unwrap();
    clock.advance(Duration::from_secs(59));
    assert!(forgetful.authenticate("slow-x").await.is_err());
    clock.advance(Duration::from_secs(1));
    assert!(forgetful.authenticate("slow-x").await.is_ok());
}

fn ada_for_ever() -> TokenFactsBuilder {
    let subject = Subject::new("ada").unwrap();
    TokenFacts::builder(AS.parse().unwrap(), subject, Timestamp::MAX).audience([API])
}

/// An issuer that answers what it knew when it was asked, as soon as it is let.
#[derive(Clone)]
struct Slow {
    token: Arc<Mutex<Option<Arc<TokenFacts>>>>,
    gate: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
}

impl Validator for Slow {
    fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        None
    }

    async fn validate(&self, _: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        let known = self.token.lock().unwrap().clone();
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        Ok(known.ok_or(NotActive::because("revoked")))
    }
}

// req: 7662-PROJ-4
#[tokio::test]
async fn v27_a_revocation_beats_the_check_that_is_under_way() {
    let slow = Slow {
        token: Arc::new(Mutex::new(Some(Arc::new(ada().build())))),
        gate: Arc::new(Semaphore::new(0)),
        asked: Arc::default(),
    };
    let api = ResourceServer::builder(API)
        .issuer(Issuer::custom(AS, slow.clone()).cached())
        .clock(ManualClock::new(NOW))
        .build()
        .unwrap();
    let check = || {
        let api = api.clone();
        tokio::spawn(async move { api.authenticate("token").await.map(drop) })
    };
    let checks: Vec<_> = (0..50).map(|_| check()).collect();
    let until_asked = async |times| {
        let is_asked = async || slow.asked.load(Ordering::SeqCst) >= times;
        until("the question to the issuer", is_asked).await;
    };
    until_asked(1).await;
    // The issuer has answered yes, and the answer is on its way.
    *slow.token.lock().unwrap() = None;
    api.invalidate(&WhichTokens::this("other").unwrap());
    api.invalidate(&WhichTokens::Subject(Subject::new("ada").unwrap()));
    let late = check();
    slow.gate.add_permits(1);
    until_asked(2).await;
    slow.gate.add_permits(100);
    for check in checks.into_iter().chain([late]) {
        let checked = soon("a check", check).await.unwrap();
        assert_eq!(checked, Err(Refusal::InvalidToken));
    }
    assert_eq!(slow.asked.load(Ordering::SeqCst), 2);
    assert_eq!(
        api.authenticate("token").await.unwrap_err(),
        Refusal::InvalidToken
    );
}

#[tokio::test]
async fn issuers_change_while_it_runs_and_the_others_keep_their_cache() {
    let world = world();
    world.warm().await;
    let again = Table::new().with("slow-2-ada", of(OTHER, "ada"));
    let other = |table: &Table| {
        Issuer::custom(OTHER, table.clone())
            .cached()
            .token_prefix("slow-2")
    };
    let stream = world.api.authenticate("slow-2-ada").await.unwrap();
    assert!(stream.is_live());
    world.api.set_issuer(other(&again)).unwrap();
    assert!(
        !stream.is_live(),
        "it was opened by what nobody believes any more"
    );
    assert_eq!(world.taken().await, [true; 3]);
    assert_eq!(world.asked(), (2, 1), "the first issuer's are known still");
    assert_eq!(again.asked(), 1, "the new one is asked");

    world.api.remove_issuer(&OTHER.parse().unwrap()).unwrap();
    assert_eq!(world.taken().await, [true, true, false]);
    world.api.set_issuer(other(&again)).unwrap();
    assert_eq!(world.taken().await, [true; 3]);
    assert_eq!(again.asked(), 2);
    // The only issuer was shown the token of nobody's.
    assert_eq!(world.asked(), (3, 1));

    assert!(matches!(
        world
            .api
            .set_issuer(Issuer::custom("ftp://x", Table::new())),
        Err(ConfigError::Issuer(_))
    ));
    world.api.remove_issuer(&OTHER.parse().unwrap()).unwrap();
    assert_eq!(
        world.api.remove_issuer(&AS.parse().unwrap()),
        Err(ConfigError::NoIssuer)
    );
    assert_eq!(world.taken().await, [true, true, false]);
}

#[tokio::test]
async fn rfc9728_2_the_document_names_the_issuers_that_are_trusted_now() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    let world = world();
    let named = async || {
        let request = http::Request::get("/").body(String::new()).unwrap();
        let response = world.api.metadata_service().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        document["authorization_servers"].clone()
    };
    assert_eq!(named().await, serde_json::json!([AS, OTHER]));
    world.api.remove_issuer(&AS.parse().unwrap()).unwrap();
    assert_eq!(named().await, serde_json::json!([OTHER]));
}

#[tokio::test]
async fn operators_are_told_what_each_step_says_and_never_the_token() {
    let world = world();
    let steps = async |token: &str| {
        let explanation = world.api.explain(token).await;
        assert!(!explanation.to_string().contains(token), "{explanation}");
        let last = explanation.steps().last().unwrap().clone();
        (explanation.is_accepted(), last.name, last.finding)
    };
    let (accepted, last, finding) = steps("slow-1-ada").await;
    assert!(accepted && last == "policy", "{finding}");
    assert_eq!(world.asked(), (1, 0), "it keeps nothing");
    assert_eq!(steps("(eve)").await.1, "form");
    assert_eq!(steps("nobodys").await.1, "issuer");
    let stranger = "e30.eyJpc3MiOiJodHRwczovL2V2aWwudGVzdCJ9.c2ln";
    assert_eq!(steps(stranger).await.1, "issuer");
    let (accepted, last, finding) = steps("slow-1-eve").await;
    assert_eq!((accepted, last), (false, "facts"));
    assert!(finding.contains("no such token"), "{finding}");
    world.first.down(true);
    let (_, last, finding) = steps("slow-1-ada").await;
    assert_eq!(last, "facts");
    assert!(finding.contains("no route to host"), "{finding}");
    world.first.down(false);
    let ada = WhichTokens::Subject(Subject::new("ada").unwrap());
    world.api.revoke(&AS.parse().unwrap(), &ada).unwrap();
    assert_eq!(steps("slow-1-ada").await.1, "revocations");
    world.clock.advance(Duration::from_secs(600));
    let (accepted, last, finding) = steps("slow-1-bob").await;
    assert_eq!(
        (accepted, last, finding.as_str()),
        (false, "policy", "expired")
    );
}

#[tokio::test]
async fn a_jwt_that_its_signature_says_is_good_is_refused_once_it_is_revoked() {
    use tower_oauth::testing::Idp;

    let idp = Idp::new(AS, API);
    let api = ResourceServer::builder(API)
        .issuer(idp.issuer())
        .clock(idp.clock())
        .build()
        .unwrap();
    let token = |subject: &str| idp.token(subject).client_id("toc_1").mint();
    let (ada, bob, eve) = (token("ada"), token("bob"), token("eve"));
    for _ in 0..3 {
        for token in [&ada, &bob, &eve] {
            assert!(api.authenticate(token).await.is_ok());
        }
    }
    let issuer = AS.parse().unwrap();
    let jti = api.authenticate(&ada).await.unwrap();
    let jti = WhichTokens::Jti(jti.jti().unwrap().to_owned());
    api.invalidate(&jti);
    assert!(
        api.authenticate(&ada).await.is_ok(),
        "its signature says so"
    );
    api.revoke(&issuer, &jti).unwrap();
    let bob_himself = WhichTokens::Subject(Subject::new("bob").unwrap());
    api.revoke(&issuer, &bob_himself).unwrap();
    for _ in 0..2 {
        for token in [&ada, &bob] {
            let refused = api.authenticate(token).await.unwrap_err();
            assert_eq!(refused, Refusal::InvalidToken);
        }
        assert!(api.authenticate(&eve).await.is_ok());
    }
}

#[tokio::test]
async fn a_jwt_that_is_dated_as_late_as_its_issuers_clock_may_be_ahead_is_revoked_with_its_subject()
{
    use tower_oauth::testing::Idp;

    let idp = Idp::new(AS, API);
    let api = ResourceServer::builder(API)
        .issuer(idp.issuer().leeway(Duration::from_secs(300)))
        .clock(idp.clock())
        .build()
        .unwrap();
    let dated = |secs: u64| {
        let issued = idp.clock().now().as_secs() + secs;
        idp.token("ada").claim("iat", issued).mint()
    };
    let (ahead, new) = (dated(300), dated(301));
    assert!(api.authenticate(&ahead).await.is_ok());
    let ada = WhichTokens::Subject(Subject::new("ada").unwrap());
    api.revoke(&AS.parse().unwrap(), &ada).unwrap();
    for _ in 0..2 {
        let refused = api.authenticate(&ahead).await.unwrap_err();
        assert_eq!(refused, Refusal::InvalidToken);
    }
    idp.clock().advance(Duration::from_secs(1));
    assert!(api.authenticate(&new).await.is_ok());
}

/// The order of P-256, most significant byte first.
const ORDER: [u8; 32] = [
    0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC, 0xE6,
    0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
];

/// The other signature of ES256 that holds: anybody can make it of the first.
fn twin(token: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn v36_a_revoked_jwt_does_not_come_back_with_another_signature() {
    use tower_oauth::testing::Idp;

    for by_digest in [false, true] {
        let idp = Idp::new(AS, API);
        let api = ResourceServer::builder(API)
            .issuer(idp.issuer())
            .clock(idp.clock());
        let api = if by_digest {
            api.cache_by_digest()
        } else {
            api
        };
        let api = api.build().unwrap();
        let token = idp.token("ada").mint();
        let twin = twin(&token);
        for token in [&token, &twin, &token, &twin] {
            assert!(api.authenticate(token).await.is_ok());
        }
        let this = WhichTokens::this(&token).unwrap();
        api.revoke(&AS.parse().unwrap(), &this).unwrap();
        for token in [&token, &twin, &token, &twin] {
            assert!(
                api.authenticate(token).await.is_err(),
                "by digest: {by_digest}"
            );
        }
        assert!(api.authenticate(&idp.token("ada").mint()).await.is_ok());
    }
}

#[tokio::test]
async fn whoever_holds_a_token_that_is_revoked_is_told() {
    for which in [
        WhichTokens::this("slow-1-ada").unwrap(),
        WhichTokens::Subject(Subject::new("ada").unwrap()),
        WhichTokens::Issuer(AS.parse().unwrap()),
        // There are no tokens of another issuer among this one's: all of this one's are meant.
        WhichTokens::Issuer(OTHER.parse().unwrap()),
    ] {
        let world = world();
        world.warm().await;
        let ada = world.api.authenticate("slow-1-ada").await.unwrap();
        let other = world.api.authenticate("slow-2-ada").await.unwrap();
        world.api.invalidate(&which);
        assert!(ada.is_live() && other.is_live());
        let ada = world.api.authenticate("slow-1-ada").await.unwrap();
        world.api.revoke(&AS.parse().unwrap(), &which).unwrap();
        assert!(!ada.is_live(), "{which:?}");
        assert!(other.is_live(), "{which:?}");
        let taken = world.taken().await;
        assert!(!taken[0] && taken[2], "{which:?}");
    }
}

fn slow(token: Option<TokenFactsBuilder>) -> (Slow, ResourceServer) {
    let slow = Slow {
        token: Arc::new(Mutex::new(token.map(|token| Arc::new(token.build())))),
        gate: Arc::new(Semaphore::new(0)),
        asked: Arc::default(),
    };
    let api = ResourceServer::builder(API)
        .issuer(Issuer::custom(AS, slow.clone()).cached())
        .clock(ManualClock::new(NOW))
        .build()
        .unwrap();
    (slow, api)
}

#[tokio::test]
async fn what_is_said_of_other_tokens_keeps_none_out_of_the_cache() {
    let (slow, api) = slow(Some(ada()));
    let check = {
        let api = api.clone();
        tokio::spawn(async move { api.authenticate("token").await.is_ok() })
    };
    let is_asked = async || slow.asked.load(Ordering::SeqCst) >= 1;
    until("the question to the issuer", is_asked).await;
    for other in ["a", "b"] {
        api.invalidate(&WhichTokens::this(other).unwrap());
        let other = WhichTokens::Subject(Subject::new(other).unwrap());
        api.revoke(&AS.parse().unwrap(), &other).unwrap();
    }
    slow.gate.add_permits(1);
    assert!(soon("the check", check).await.unwrap());
    assert!(api.authenticate("token").await.is_ok());
    assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_check_that_ends_badly_is_made_again_if_the_token_was_called_back_meanwhile() {
    let (slow, api) = slow(None);
    let check = {
        let api = api.clone();
        tokio::spawn(async move { api.authenticate("token").await.is_ok() })
    };
    let is_asked = async || slow.asked.load(Ordering::SeqCst) >= 1;
    until("the question to the issuer", is_asked).await;
    *slow.token.lock().unwrap() = Some(Arc::new(ada().build()));
    api.invalidate(&WhichTokens::this("token").unwrap());
    slow.gate.add_permits(2);
    assert!(soon("the check", check).await.unwrap());
    assert_eq!(slow.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stream_ends_by_what_is_revoked_though_its_facts_were_renewed_meanwhile() {
    for which in [
        WhichTokens::Jti(format!("jti-{}", AS.len())),
        WhichTokens::Subject(Subject::new("ada").unwrap()),
        WhichTokens::Client("toc_1".parse().unwrap()),
        WhichTokens::Issuer(AS.parse().unwrap()),
    ] {
        let world = world();
        let stream = world.api.authenticate("slow-1-ada").await.unwrap();
        world.clock.advance(Duration::from_secs(61));
        world.api.authenticate("slow-1-ada").await.unwrap();
        assert_eq!(world.asked(), (2, 0), "its facts are other ones now");
        assert!(stream.is_live());
        world.api.revoke(&OTHER.parse().unwrap(), &which).unwrap();
        assert!(stream.is_live(), "{which:?}: of another issuer");
        world.api.revoke(&AS.parse().unwrap(), &which).unwrap();
        assert!(!stream.is_live(), "{which:?}");
    }
}
