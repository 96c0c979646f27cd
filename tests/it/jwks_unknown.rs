//! Tokens by keys that are not there: who may bring a fetch about, who waits for it, and what it means if it brings nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_oauth::resource::Refusal;
use tower_oauth::types::Timestamp;

use crate::publisher::{
    Api, JWKS, Key, Publisher, Reply, answer, claims, header, json_of, set, with,
};
use crate::support::NOW;
use crate::waits::{soon, until};

/// An issuer with one key, which a resource server has fetched.
async fn up() -> (Publisher, Api, String) {
    let publisher = Publisher::start().await;
    let api = publisher.api();
    let token = publisher.token(Key::Ec, "a");
    assert!(api.is_good(&token).await);
    assert_eq!(publisher.fetches(), 1);
    (publisher, api, token)
}

fn held() -> Reply {
    let body = set(&[(Key::Ec, "a"), (Key::Ec2, "b")]);
    Reply::Held(answer(200, &["content-type: application/json"], &body))
}

// req: jwks-rotation-2
#[tokio::test]
async fn a_new_key_is_fetched_as_soon_as_a_token_names_it() {
    let (publisher, api, token) = up().await;
    publisher.publish(&[(Key::Ec, "a"), (Key::Ec2, "b")]);
    assert!(api.is_good(&publisher.token(Key::Ec2, "b")).await);
    assert_eq!(publisher.fetches(), 2);
    assert!(api.is_good(&token).await);
    let before = Timestamp::from_secs(NOW.as_secs() - 31);
    api.is_invalid(&publisher.token_of(Key::Ed, "b", before))
        .await; // that name was another key's
    assert_eq!(publisher.fetches(), 2);
}

#[tokio::test]
async fn a_key_without_a_name_may_be_new_as_well() {
    let publisher = Publisher::start().await;
    let nameless = |key: Key| with(key.jwk(""), &json!({"kid": null}));
    let of = |key: Key| {
        let header = with(header(key, ""), &json!({"kid": null}));
        key.sign(&header, &claims(&publisher.url(), NOW))
    };
    publisher.reply(
        JWKS,
        json_of(&json!({"keys": [nameless(Key::Ec)]}).to_string()),
    );
    let api = publisher.api();
    assert!(api.is_good(&of(Key::Ec)).await);
    publisher.reply(
        JWKS,
        json_of(&json!({"keys": [nameless(Key::Ec2)]}).to_string()),
    );
    assert!(api.is_good(&of(Key::Ec2)).await);
    api.is_invalid(&of(Key::Ec)).await;
}

// req: jwks-cache-1
#[tokio::test]
async fn v06_a_flood_of_made_up_keys_brings_about_a_few_fetches_and_changes_nothing() {
    let (publisher, api, token) = up().await;
    let mut flood = JoinSet::new();
    // Whether a signature is right is not asked where there is no key.
    let made_up = publisher.token(Key::Ec2, "x");
    let (_, signed) = made_up.split_once('.').unwrap();
    for number in 0..10_000 {
        let named = header(Key::Ec2, &format!("made-up-{number}")).to_string();
        let made_up = format!("{}.{signed}", URL_SAFE_NO_PAD.encode(named));
        if number % 500 == 0 {
            assert!(api.is_good(&token).await);
        }
        let api = api.clone();
        flood.spawn(async move { api.check(&made_up).await.is_err() });
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while let Some(refused) = soon("who is in the flood", flood.join_next()).await {
        assert!(refused.unwrap());
    }
    let fetches = publisher.fetches();
    assert!((2..=4).contains(&fetches), "{fetches}");
    // A rotation right after it is noticed as soon as there may be one fetch more, and nobody is told 401 until then.
    publisher.publish(&[(Key::Ed, "c")]);
    let rotated = publisher.token_of(Key::Ed, "c", api.now());
    let checked = api.check(&rotated).await;
    assert!(checked.is_ok() || checked.unwrap_err() == Refusal::Unavailable);
    api.advance(10);
    assert!(api.is_good(&rotated).await);
    assert!(publisher.fetches() <= 5);
}

// req: jwks-cache-1
#[tokio::test]
async fn v06_all_who_lack_a_key_wait_for_one_fetch() {
    let (publisher, api, token) = up().await;
    publisher.reply(JWKS, held());
    let mut waiting = JoinSet::new();
    let late = publisher.token(Key::Ec2, "b");
    let ask = |waiting: &mut JoinSet<bool>| {
        let (api, late) = (api.clone(), late.clone());
        waiting.spawn(async move { api.check(&late).await.is_ok() })
    };
    // Whoever has asked first may go away.
    let first = ask(&mut waiting);
    for _ in 0..200 {
        ask(&mut waiting);
    }
    publisher.has_been_asked(2).await;
    first.abort();
    assert!(api.is_good(&token).await, "its key is there");
    publisher.let_go(10);
    let mut good = 0;
    while let Some(is_good) = soon("who lacks a key", waiting.join_next()).await {
        good += usize::from(is_good.is_ok_and(|is_good| is_good));
    }
    assert_eq!(good, 200);
    assert_eq!(publisher.fetches(), 2);
}

#[tokio::test]
async fn v06_keys_out_of_a_cache_on_the_way_are_as_old_as_they_say() {
    let (publisher, api, _) = up().await;
    let old = |age: &str| {
        let age = format!("age: {age}");
        let fields = ["content-type: application/json", &age];
        Reply::Says(answer(200, &fields, &set(&[(Key::Ec, "a")])))
    };
    // The key is newer than what the cache knows: nobody can say that it is not the issuer's.
    publisher.reply(JWKS, old("300"));
    let token = publisher.token(Key::Ec2, "b");
    api.is_unavailable(&token).await;
    // As soon as the cache has heard of it, it is good.
    publisher.publish(&[(Key::Ec, "a"), (Key::Ec2, "b")]);
    api.advance(10);
    until("the new key", async || api.is_good(&token).await).await;
    // What was signed before the cache asked, by a key that it has not found, is nobody's.
    publisher.reply(JWKS, old("300"));
    let before = NOW.as_secs() - 400;
    let token = publisher.token_of(Key::Ed, "c", Timestamp::from_secs(before));
    api.is_invalid(&token).await;
}

#[tokio::test]
async fn a_fetch_that_began_before_the_question_is_no_answer_to_it() {
    let (publisher, api, _) = up().await;
    let old = answer(200, &[], &set(&[(Key::Ec, "a")]));
    publisher.reply(JWKS, Reply::Held(old));
    api.advance(900);
    publisher.has_been_asked(2).await;
    let mut waiting = JoinSet::new();
    let (other, token) = (api.clone(), publisher.token_of(Key::Ec2, "b", api.now()));
    waiting.spawn(async move { other.is_good(&token).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(waiting.try_join_next().is_none());
    assert_eq!(publisher.fetches(), 2, "it waits for the one under way");
    publisher.publish(&[(Key::Ec, "a"), (Key::Ec2, "b")]);
    publisher.let_go(1);
    let good = soon("who lacks a key", waiting.join_next()).await;
    assert!(good.unwrap().unwrap());
    assert_eq!(publisher.fetches(), 3);
}

#[tokio::test]
async fn v06_while_the_keys_hang_good_tokens_pass_and_nobody_is_told_401() {
    let (publisher, api, token) = up().await;
    publisher.reply(JWKS, held());
    let mut waiting = JoinSet::new();
    for number in 0..100 {
        let token = publisher.token(Key::Ec2, &format!("k{number}"));
        let api = api.clone();
        waiting.spawn(async move { api.check(&token).await.unwrap_err() });
    }
    publisher.has_been_asked(2).await;
    for _ in 0..100 {
        assert!(api.is_good(&token).await);
    }
    api.advance(5);
    while let Some(refused) = soon("who lacks a key", waiting.join_next()).await {
        assert_eq!(refused.unwrap(), Refusal::Unavailable);
    }
}

#[tokio::test]
async fn what_a_lacking_key_means_is_up_to_what_was_fetched_since_the_token() {
    let at = |secs: u64| Timestamp::from_secs(NOW.as_secs() + secs);
    let bad = Reply::Says(answer(500, &[], ""));
    // A fetch that was made after the question has an answer, however new the token is.
    let (publisher, api, _) = up().await;
    api.is_invalid(&publisher.token(Key::Ec2, "b")).await;
    assert_eq!(publisher.fetches(), 2);
    // One that failed has none; only keys that are newer than the token decide. Clocks may be half a minute apart.
    for (issued, refused) in [
        (at(100), Refusal::Unavailable),
        (at(0), Refusal::Unavailable),
        (NOW, Refusal::Unavailable),
        (
            Timestamp::from_secs(NOW.as_secs() - 29),
            Refusal::Unavailable,
        ),
        (
            Timestamp::from_secs(NOW.as_secs() - 31),
            Refusal::InvalidToken,
        ),
        (
            Timestamp::from_secs(NOW.as_secs() - 600),
            Refusal::InvalidToken,
        ),
    ] {
        let (publisher, api, _) = up().await;
        publisher.reply(JWKS, bad.clone());
        api.advance(100);
        let token = publisher.token_of(Key::Ec2, "b", issued);
        assert_eq!(api.check(&token).await.unwrap_err(), refused, "{issued:?}");
        assert_eq!(publisher.fetches(), 2);
    }
    // The same where there were too many questions to ask once more.
    for (issued, refused) in [
        (NOW, Refusal::Unavailable),
        (
            Timestamp::from_secs(NOW.as_secs() - 31),
            Refusal::InvalidToken,
        ),
    ] {
        let (publisher, api, good) = up().await;
        for kid in ["b", "c", "d"] {
            api.is_invalid(&publisher.token(Key::Ec2, kid)).await;
        }
        assert_eq!(publisher.fetches(), 4);
        let token = publisher.token_of(Key::Ec2, "e", issued);
        assert_eq!(api.check(&token).await.unwrap_err(), refused, "{issued:?}");
        assert_eq!(publisher.fetches(), 4);
        assert!(api.is_good(&good).await);
        api.advance(10);
        api.is_invalid(&publisher.token(Key::Ec2, "f")).await;
        assert_eq!(publisher.fetches(), 5);
    }
}

#[tokio::test]
async fn v06_a_new_key_under_the_old_name_is_fetched_as_soon_as_it_signs() {
    for key in [Key::Ec2, Key::Ed] {
        let (publisher, api, old) = up().await;
        publisher.publish(&[(key, "a")]);
        api.advance(100);
        let new = publisher.token_of(key, "a", api.now());
        assert!(api.is_good(&new).await, "{key:?}");
        assert_eq!(publisher.fetches(), 2);
        api.is_invalid(&old).await;
        // Those who only forge are told so, and use up what others do who make keys up.
        let forged = publisher.token_of(Key::Rsa, "a", api.now());
        for fetches in [3, 4] {
            api.is_invalid(&forged).await;
            assert!(publisher.fetches() <= fetches);
        }
        let mut refused = Vec::new();
        for number in 0..20 {
            let jti = json!({"jti": format!("t{number}")});
            let claims = with(claims(&publisher.url(), api.now()), &jti);
            let forged = Key::Rsa.sign(&header(Key::Rsa, "a"), &claims);
            refused.push(api.check(&forged).await.unwrap_err());
        }
        assert_eq!(publisher.fetches(), 4);
        assert_eq!(refused.last(), Some(&Refusal::Unavailable));
        assert!(api.is_good(&new).await);
        // As soon as there may be a fetch again, the next one comes through.
        publisher.publish(&[(Key::Rsa, "a")]);
        api.advance(10);
        assert!(api.is_good(&forged).await);
    }
}

#[tokio::test]
async fn v06_a_wrong_signature_that_is_older_than_the_keys_asks_nobody() {
    let (publisher, api, token) = up().await;
    let before = |secs: u64| Timestamp::from_secs(NOW.as_secs() - secs);
    for secs in 31..60 {
        api.is_invalid(&publisher.token_of(Key::Ec2, "a", before(secs)))
            .await;
        api.is_invalid(&publisher.token_of(Key::Ed, "a", before(secs)))
            .await;
    }
    assert_eq!(publisher.fetches(), 1);
    publisher.reply(JWKS, Reply::HangsUp);
    api.is_unavailable(&publisher.token_of(Key::Ec2, "a", before(30)))
        .await;
    assert_eq!(publisher.fetches(), 2);
    assert!(api.is_good(&token).await);
}

#[tokio::test]
async fn a_token_that_does_not_say_when_it_was_issued_is_never_told_too_much() {
    let publisher = Publisher::start().await;
    let api = publisher.api_with(|issuer| issuer.accept_typ_jwt());
    let of = |key: Key, kid: &str| {
        let claims = with(claims(&publisher.url(), NOW), &json!({"iat": null}));
        key.sign(&header(key, kid), &claims)
    };
    assert!(api.is_good(&of(Key::Ec, "a")).await);
    api.advance(300);
    publisher.reply(JWKS, Reply::HangsUp);
    api.is_unavailable(&of(Key::Ec2, "b")).await;
    publisher.publish(&[(Key::Ec2, "b")]);
    until("its key", async || {
        api.advance(1);
        api.is_good(&of(Key::Ec2, "b")).await
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_missing_is_not_asked_for_again_by_older_tokens() {
    let (publisher, api, _) = up().await;
    api.advance(100);
    let old = publisher.token_of(Key::Ec2, "gone", NOW);
    for second in 0..30 {
        api.is_invalid(&old).await;
        assert_eq!(publisher.fetches(), 2, "after {second} s");
        api.advance(1);
    }
    api.is_invalid(&old).await;
    assert_eq!(publisher.fetches(), 3, "half a minute later");
    // A token that was issued meanwhile may be by a key that has come meanwhile.
    publisher.publish(&[(Key::Ec, "a"), (Key::Ec2, "gone")]);
    assert!(
        api.is_good(&publisher.token_of(Key::Ec2, "gone", api.now()))
            .await
    );
    assert_eq!(publisher.fetches(), 4);
    assert!(api.is_good(&old).await);
}

// req: 8725-3.10-1
#[tokio::test]
async fn v05_whatever_a_key_is_called_the_same_request_is_sent() {
    let (publisher, api, _) = up().await;
    for kid in [
        json!("../../etc/passwd"),
        json!("' or 1=1 --"),
        json!("%00"),
        json!("a\u{0}"),
        json!("a\r\nx-injected: 1\r\n\r\n"),
        json!("http://127.0.0.1:1/jwks?kid=a#"),
        json!("ключ"),
        json!(""),
        json!("x".repeat(256)),
    ] {
        let token = with(header(Key::Ec2, ""), &json!({"kid": kid}));
        let token = Key::Ec2.sign(&token, &claims(&publisher.url(), api.now()));
        let before = publisher.fetches();
        api.is_invalid(&token).await;
        assert_eq!(publisher.fetches(), before + 1, "{kid}");
        api.advance(10);
    }
    let fetches = publisher.fetches();
    for kid in [
        json!("x".repeat(257)),
        json!("x".repeat(1_000_000)),
        json!({"a": 1}),
        json!(["a"]),
        json!(7),
        json!(true),
    ] {
        let token = with(header(Key::Ec2, ""), &json!({"kid": kid}));
        let token = Key::Ec2.sign(&token, &claims(&publisher.url(), api.now()));
        api.is_invalid(&token).await;
    }
    assert_eq!(publisher.fetches(), fetches, "they name no key");
    let seen = publisher.seen();
    let mut requests = seen
        .iter()
        .filter(|request| request.starts_with("GET /jwks "));
    let first = requests.next().unwrap();
    assert!(requests.all(|request| request == first), "{seen:#?}");
    assert!(first.contains("\r\ncache-control: no-cache\r\n"), "{first}");
    assert!(!first.contains("cookie") && !first.contains("authorization"));
}

// req: 8725-3.10-2, 9068-4-9
#[tokio::test]
async fn v04_where_a_token_says_its_key_is_nobody_looks() {
    let (publisher, api, _) = up().await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = format!("http://{}/jwks", elsewhere.local_addr().unwrap());
    let (requests, jwk) = (publisher.paths(), Key::Ec2.jwk("a"));
    // Older than the keys: what was signed later would be a reason to fetch them again.
    let before = Timestamp::from_secs(NOW.as_secs() - 31);
    for more in [
        json!({"jwk": jwk}),
        json!({"jku": there}),
        json!({"x5u": there}),
        json!({"x5c": ["AA"], "x5t": "AA"}),
        json!({"jku": publisher.jwks_uri(), "jwk": jwk}),
        json!({"jwk": jwk, "kid": null}),
    ] {
        let forged = with(header(Key::Ec2, "a"), &more);
        let forged = Key::Ec2.sign(&forged, &claims(&publisher.url(), before));
        api.is_invalid(&forged).await;
        // Beside a signature that is right they are read by nobody.
        let fine = with(header(Key::Ec, "a"), &with(more, &json!({"kid": "a"})));
        let fine = Key::Ec.sign(&fine, &claims(&publisher.url(), NOW));
        assert!(api.is_good(&fine).await);
    }
    let opened = std::future::poll_fn(|cx| std::task::Poll::Ready(elsewhere.poll_accept(cx))).await;
    assert!(opened.is_pending(), "no socket was opened");
    // One of them named no key: that alone is a reason to ask the issuer.
    let more = publisher.paths()[requests.len()..].to_vec();
    assert_eq!(more, [JWKS]);
}
