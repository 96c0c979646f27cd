//! How an issuer's keys are kept up to date: when they are fetched, what a failure changes, and what a key takes with it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower_oauth::resource::{HttpClient, Refusal, Unavailable};
use tower_oauth::types::{Clock as _, SystemClock};
use tower_oauth::{Issuer, ResourceServer};

use crate::publisher::{
    Api, JWKS, Key, METADATA, Publisher, Reply, answer, claims, header, json_of, json_with, set,
    with,
};
use crate::support::LEDGER;
use crate::waits::{soon, until};

/// An issuer with one key whose answer has these headers, a resource server that has fetched it, and a good token.
async fn up(headers: &[&str]) -> (Publisher, Api, String) {
    let publisher = Publisher::start().await;
    publisher.reply(JWKS, json_with(headers, &set(&[(Key::Ec, "a")])));
    let api = publisher.api();
    let token = publisher.token(Key::Ec, "a");
    assert!(api.is_good(&token).await);
    assert_eq!(publisher.fetches(), 1);
    (publisher, api, token)
}

/// Whether it is asked again at these times, in seconds since the last fetch.
async fn is_fetched(headers: &[&str], not_yet: u64, by_then: u64) {
    let (publisher, api, token) = up(headers).await;
    api.advance(not_yet);
    for _ in 0..200 {
        assert!(api.is_good(&token).await || not_yet >= 900);
        tokio::task::yield_now().await;
    }
    assert_eq!(publisher.fetches(), 1, "{headers:?}");
    api.advance(by_then - not_yet);
    publisher.has_been_asked(2).await;
}

// req: jwks-cache-3
#[tokio::test]
async fn keys_are_fetched_again_before_their_issuer_calls_them_stale() {
    is_fetched(&[], 700, 900).await;
    is_fetched(&["cache-control: public, max-age=600"], 480, 600).await;
    is_fetched(&["cache-control: max-age=600", "age: 300"], 240, 300).await;
    is_fetched(&["cache-control: max-age=0"], 47, 60).await;
    is_fetched(&["cache-control: no-store"], 47, 60).await;
    is_fetched(&["expires: 0"], 47, 60).await;
    is_fetched(&["cache-control: max-age=31536000"], 69_000, 86_400).await;
}

// req: 7517-5-2
#[tokio::test]
async fn v06_keys_that_are_there_survive_whatever_is_answered() {
    let garbage = [
        Reply::Says(answer(500, &["content-type: application/json"], &set(&[]))),
        Reply::Says(answer(404, &[], "")),
        Reply::Says(answer(204, &[], "")),
        Reply::Says(answer(
            206,
            &["content-type: application/json"],
            &set(&[(Key::Ec2, "b")]),
        )),
        json_of("<html>"),
        json_of("{}"),
        json_of("[]"),
        json_of(r#"{"keys":{}}"#),
        json_of(r#"{"keys":"none"}"#),
        json_of(r#"{"keys":["garbage"]}"#),
        json_of(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#),
        json_of(&set(&[(Key::Ec2, "b")])[1..]),
        json_of(&json!({"keys": [Key::Ec2.jwk("b")], "x": "x".repeat(256 * 1024)}).to_string()),
        Reply::HangsUp,
        Reply::Says("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"keys\":".to_owned()),
    ];
    for reply in garbage {
        let (publisher, api, _) = up(&[]).await;
        publisher.reply(JWKS, reply.clone());
        api.advance(900);
        publisher.has_been_asked(2).await;
        api.pass(2, 1).await; // so that the answer has arrived
        let token = publisher.token_of(Key::Ec, "a", api.now());
        assert!(api.is_good(&token).await, "{reply:?}");
        // And as soon as there are keys again, they are in use, without anybody's asking.
        publisher.publish(&[(Key::Ec, "a"), (Key::Ed, "c")]);
        let fetches = publisher.fetches();
        until("another attempt", async || {
            api.advance(1);
            publisher.fetches() > fetches
        })
        .await;
        let token = publisher.token_of(Key::Ed, "c", api.now());
        until("the new keys", async || api.is_good(&token).await).await;
    }
}

#[tokio::test]
async fn v08_one_bad_key_spoils_nothing() {
    let publisher = Publisher::start().await;
    let more = |changes| with(Key::Rsa.jwk("x"), &changes);
    let keys = json!([
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "a"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        more(json!({"use": "enc", "kid": "a"})),
        more(json!({"kid": 7})),
        more(json!({"n": "AQAB"})),
        more(json!({"kty": null})),
        null, 7, "a", [], {},
        Key::Ec.jwk("a"),
        Key::Ec2.jwk("a"),
    ]);
    publisher.reply(JWKS, json_of(&json!({ "keys": keys }).to_string()));
    let api = publisher.api();
    for key in [Key::Ec, Key::Ec2] {
        assert!(api.is_good(&publisher.token(key, "a")).await, "{key:?}");
    }
    api.is_invalid(&publisher.token(Key::Rsa, "a")).await;
}

#[tokio::test]
async fn v09_a_key_that_was_removed_ends_the_tokens_that_are_known() {
    let (publisher, api, token) = up(&[]).await;
    let other = publisher.token_of(Key::Ec2, "b", api.now());
    publisher.publish(&[(Key::Ec, "a"), (Key::Ec2, "b")]);
    assert!(api.is_good(&other).await, "both keys are there");
    let facts = api.check(&token).await.unwrap();
    assert!(facts.is_live());
    // Replaced, never merged: the old one has gone although the new one has come.
    publisher.publish(&[(Key::Ec2, "b"), (Key::Ed, "c")]);
    api.advance(50);
    api.is_invalid(&publisher.token_of(Key::Ec, "x", api.now()))
        .await;
    assert_eq!(publisher.fetches(), 3);
    assert!(!facts.is_live(), "a stream that it has opened ends too");
    api.is_invalid(&token).await;
    assert!(api.is_good(&other).await, "that key is still there");
    assert_eq!(publisher.fetches(), 4, "its key might have come back");
    // Another key under the name of one that has gone is another key.
    publisher.publish(&[(Key::Rsa, "a"), (Key::Ec2, "b")]);
    api.advance(10);
    assert!(
        api.is_good(&publisher.token_of(Key::Rsa, "a", api.now()))
            .await
    );
    api.is_invalid(&token).await;
}

#[tokio::test]
async fn v07_a_slow_issuer_keeps_nobody_waiting_whose_key_is_there() {
    let (publisher, api, token) = up(&[]).await;
    publisher.reply(
        JWKS,
        Reply::Held(answer(200, &[], &set(&[(Key::Ec2, "b")]))),
    );
    let mut waiting = JoinSet::new();
    let late = publisher.token(Key::Ec2, "b");
    let (other, late_too) = (api.clone(), late.clone());
    waiting.spawn(async move { other.check(&late_too).await });
    publisher.has_been_asked(2).await;
    // Not one of these waits: what is known, and what has to be checked.
    for number in 0..20 {
        let jti = json!({"jti": format!("t{number}")});
        let claims = with(claims(&publisher.url(), api.now()), &jti);
        let fresh = Key::Ec.sign(&header(Key::Ec, "a"), &claims);
        for token in [&fresh, &token] {
            let mut check = Box::pin(api.check(token));
            let mut context = Context::from_waker(Waker::noop());
            let at_once = check.as_mut().poll(&mut context);
            assert!(matches!(at_once, Poll::Ready(Ok(_))));
        }
    }
    assert!(waiting.try_join_next().is_none());
    publisher.publish(&[(Key::Ec2, "b")]);
    publisher.let_go(1);
    let late = soon("who waits for a key", waiting.join_next()).await;
    assert!(late.unwrap().unwrap().is_ok());
    api.is_invalid(&token).await;
}

#[tokio::test]
async fn v29_a_service_starts_while_its_issuer_is_down_and_recovers_by_itself() {
    let publisher = Publisher::start().await;
    publisher.reply(METADATA, Reply::HangsUp);
    let api = publisher.api();
    let token = publisher.token(Key::Ec, "a");
    api.is_unavailable(&token).await;
    // What is wrong whatever the keys are is told, and costs nothing.
    let attempts = publisher.paths().len();
    api.is_invalid("x").await;
    let expired = publisher.token_of(Key::Ec, "a", tower_oauth::types::Timestamp::from_secs(1000));
    api.is_invalid(&expired).await;
    assert_eq!(publisher.paths().len(), attempts);
    publisher.reply(METADATA, json_of(&publisher.metadata()));
    api.advance(2);
    publisher.has_been_asked(1).await; // by nobody's request
    until("recovery", async || api.is_good(&token).await).await;
    assert_eq!(publisher.fetches(), 1);
}

#[tokio::test]
async fn v29_an_issuer_that_never_answers_is_waited_for_so_long_and_no_longer() {
    let publisher = Publisher::start().await;
    publisher.reply(JWKS, Reply::Held(answer(200, &[], &set(&[(Key::Ec, "a")]))));
    let api = publisher.api_with(|issuer| issuer.timeout(Duration::from_secs(3)));
    let token = publisher.token(Key::Ec, "a");
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let (api, token) = (api.clone(), token.clone());
        waiting.spawn(async move { api.check(&token).await });
    }
    publisher.has_been_asked(1).await;
    api.advance(2);
    tokio::task::yield_now().await;
    assert!(waiting.try_join_next().is_none(), "there is time left");
    api.advance(1);
    while let Some(checked) = soon("who waits for keys", waiting.join_next()).await {
        assert_eq!(checked.unwrap().unwrap_err(), Refusal::Unavailable);
    }
    assert_eq!(publisher.fetches(), 1);
}

// req: jwks-cache-2
#[tokio::test]
async fn keys_that_cannot_be_refreshed_are_used_for_a_day_and_then_no_more() {
    let (publisher, api, _) = up(&["cache-control: max-age=600"]).await;
    publisher.reply(JWKS, Reply::HangsUp);
    let facts = api.check(&publisher.token(Key::Ec, "a")).await.unwrap();
    api.pass(1440, 60).await;
    assert!(publisher.fetches() > 1000, "ever again, and no more often");
    assert!(publisher.fetches() < 1500);
    assert!(
        api.is_good(&publisher.token_of(Key::Ec, "a", api.now()))
            .await
    );
    api.pass(11, 60).await;
    until("the end of the keys", async || {
        let token = publisher.token_of(Key::Ec, "a", api.now());
        api.check(&token).await.is_err()
    })
    .await;
    api.is_unavailable(&publisher.token_of(Key::Ec, "a", api.now()))
        .await;
    assert!(!facts.is_live());
    publisher.publish(&[(Key::Ec, "a")]);
    until("recovery", async || {
        api.advance(1);
        api.is_good(&publisher.token_of(Key::Ec, "a", api.now()))
            .await
    })
    .await;
}

#[tokio::test]
async fn an_issuer_that_has_taken_all_its_keys_back_lets_nobody_in_and_calls_nobody_bad() {
    let (publisher, api, token) = up(&[]).await;
    publisher.publish(&[]);
    api.advance(900);
    publisher.has_been_asked(2).await;
    let token_of_then = publisher.token_of(Key::Ec, "a", api.now());
    until("the end of the keys", async || {
        !api.is_good(&token_of_then).await
    })
    .await;
    api.is_unavailable(&token_of_then).await;
    api.advance(30);
    api.is_invalid(&token).await; // it has expired meanwhile
}

/// A client whose requests never end, and who can tell whether anybody still has it.
struct Endless(Arc<Semaphore>);

impl HttpClient for Endless {
    async fn send(&self, _: Request<Bytes>, _: usize) -> Result<Response<Bytes>, Unavailable> {
        self.0.add_permits(1);
        std::future::pending().await
    }
}

#[tokio::test]
async fn what_goes_on_in_the_background_ends_with_the_last_clone() {
    let publisher = Publisher::start().await;
    let sent = Arc::new(Semaphore::new(0));
    let api = publisher.api_with(|issuer| issuer.http_client(Endless(Arc::clone(&sent))));
    let token = publisher.token(Key::Ec, "a");
    let mut check = Box::pin(api.check(&token));
    // As soon as it has begun to ask.
    tokio::select! {
        _ = &mut check => panic!("there is no answer"),
        _ = soon("its question", sent.acquire()) => {}
    }
    drop(check);
    let (clone, clock) = (api.server.clone(), api.clock.clone());
    drop(api);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(Arc::strong_count(&sent) > 1);
    drop(clone);
    // What was asked is asked to its end, and that comes.
    clock.advance(Duration::from_secs(5));
    until("the end of the task", async || {
        Arc::strong_count(&sent) == 1
    })
    .await;
}

/// A client with a bug.
struct Panics(Arc<Semaphore>);

impl HttpClient for Panics {
    async fn send(&self, _: Request<Bytes>, _: usize) -> Result<Response<Bytes>, Unavailable> {
        self.0.add_permits(1);
        panic!("a bug of the host's");
    }
}

#[tokio::test]
async fn a_client_that_panics_is_an_outage_and_is_not_tried_at_every_request() {
    let publisher = Publisher::start().await;
    let sent = Arc::new(Semaphore::new(0));
    let api = publisher.api_with(|issuer| issuer.http_client(Panics(Arc::clone(&sent))));
    let token = publisher.token(Key::Ec, "a");
    for _ in 0..20 {
        api.is_unavailable(&token).await; // at once: nobody waits for what will not come
    }
    assert_eq!(sent.available_permits(), 4);
    api.advance(10);
    api.is_unavailable(&token).await;
    assert!((5..=6).contains(&sent.available_permits()));
}

#[test]
fn the_task_ends_with_its_runtime_and_the_next_one_starts_another() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let elsewhere = tokio::runtime::Runtime::new().unwrap();
    let publisher = elsewhere.block_on(Publisher::start());
    let api = publisher.api();
    let token = publisher.token(Key::Ec, "a");
    let first = runtime();
    assert!(first.block_on(api.is_good(&token)));
    publisher.reply(JWKS, Reply::Held(answer(200, &[], &set(&[]))));
    first.block_on(async {
        let other = publisher.token(Key::Ec2, "b");
        tokio::select! {
            _ = api.check(&other) => panic!("there is no answer"),
            () = publisher.has_been_asked(2) => {}
        }
    });
    drop(first);
    publisher.publish(&[(Key::Ec, "a"), (Key::Ec2, "b")]);
    let second = runtime();
    let new = publisher.token(Key::Ec2, "b");
    assert!(second.block_on(api.is_good(&token)));
    assert!(second.block_on(api.is_good(&new)));
}

#[test]
fn without_a_runtime_nobody_can_say_and_nothing_panics() {
    const ISSUER: &str = "https://idp.harbor.test";
    let manual = Api::of(|builder| builder.issuer(Issuer::jwt(ISSUER)));
    let system = ResourceServer::builder(LEDGER).issuer(Issuer::jwt(ISSUER));
    for (server, now) in [
        (manual.server.clone(), manual.now()),
        (system.build().unwrap(), SystemClock.now()),
    ] {
        let token = Key::Ec.sign(&header(Key::Ec, "a"), &claims(ISSUER, now));
        let mut check = Box::pin(server.authenticate(&token));
        let mut context = Context::from_waker(Waker::noop());
        let at_once = check.as_mut().poll(&mut context);
        assert!(matches!(at_once, Poll::Ready(Err(Refusal::Unavailable))));
    }
}
