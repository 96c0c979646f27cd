//! Servers that are used in several runtimes, of which one ends: what goes on in the background goes on in the next one, and nobody waits
//! for what the first one has taken along.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tower_oauth::types::ManualClock;

use crate::hooked::{Hooked, Step, Verb, When};
use crate::in_process::send;
use crate::jwt::ledger;
use crate::publisher::{Key, Publisher};
use crate::support::{Harness, NOW, builder};
use crate::waits::until;

const FOR_ITSELF: &str = "grant_type=client_credentials&scope=ledger.read";

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Polls once within a runtime that has ended: it takes no task any more, and drops what it is given.
fn in_an_ended_runtime<T: Send + 'static>(
    asked: impl Future<Output = T> + Send + 'static,
) -> Poll<T> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let ended = runtime();
        let handle = ended.handle().clone();
        drop(ended);
        let _inside = handle.enter();
        let mut nobody = Context::from_waker(Waker::noop());
        tell.send(pin!(asked).poll(&mut nobody))
    });
    let polled = told.recv_timeout(Duration::from_secs(60));
    polled.expect("nobody waits for what has ended")
}

#[test]
fn v26_a_check_that_its_runtime_takes_along_is_no_verdict_and_holds_nobody_up() {
    let lives = runtime();
    let (server, token) = lives.block_on(async {
        let server = Harness::in_memory(builder());
        server.create_clients().await;
        let token = server.web(FOR_ITSELF).await.access_token();
        (server, token)
    });
    let api = ledger(&server);
    let (there, asked) = (api.clone(), token.clone());
    let answer = in_an_ended_runtime(async move { send(&there, &asked).await });
    let Poll::Ready(answer) = answer else {
        panic!("it waits for a task that is gone");
    };
    assert_eq!(answer.status, 503);
    assert_eq!(lives.block_on(send(&api, &token)).status, 200);
}

#[test]
fn v29_keys_that_an_ended_runtime_never_asked_for_are_asked_for_in_the_next() {
    let lives = Runtime::new().unwrap();
    let publisher = lives.block_on(Publisher::start());
    let api = publisher.api();
    let token = publisher.token(Key::Ec, "a");
    let (there, asked) = (api.clone(), token.clone());
    let is_good = in_an_ended_runtime(async move { there.is_good(&asked).await });
    assert_ne!(is_good, Poll::Ready(true));
    lives.block_on(until("the keys of the issuer", || api.is_good(&token)));
}

/// Disables a client at another server over the same store, and waits until this one knows.
async fn hears_of_a_client_that_is_disabled(server: &Harness, store: &Hooked) {
    server.web(FOR_ITSELF).await.access_token(); // known from now on
    let elsewhere = Harness::on(store.revived(), &server.clock, |builder| builder);
    let web = "web".parse().unwrap();
    assert!(elsewhere.oauth.clients().disable(&web, true).await.unwrap());
    until("the client that was disabled", async || {
        server.web(FOR_ITSELF).await.status == 401
    })
    .await;
    assert!(
        elsewhere
            .oauth
            .clients()
            .disable(&web, false)
            .await
            .unwrap()
    );
    until("the client that was enabled", async || {
        server.web(FOR_ITSELF).await.status == 200
    })
    .await;
}

#[test]
fn s06_what_dies_at_another_node_is_heard_of_in_the_next_runtime() {
    let store = Hooked::memory();
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
    runtime().block_on(server.create_clients());
    for _ in 0..2 {
        runtime().block_on(hears_of_a_client_that_is_disabled(&server, &store));
    }
}

/// Counts how often the store was asked for this, and panics at the first time.
fn panics_once(store: &Hooked, verb: Verb) -> Arc<AtomicU32> {
    let times = Arc::new(AtomicU32::new(0));
    let asked = Arc::clone(&times);
    store.on_step(move |step: Step| {
        let asked = Arc::clone(&asked);
        async move {
            if step.verb == verb && step.when == When::Before {
                let times = asked.fetch_add(1, Ordering::SeqCst);
                assert!(times > 0, "a bug of the store's");
            }
            Ok(())
        }
    });
    times
}

#[tokio::test]
async fn s06_what_dies_at_another_node_is_heard_of_after_a_store_has_panicked() {
    let store = Hooked::memory();
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
    server.create_clients().await;
    let times = panics_once(&store, Verb::Changes);
    hears_of_a_client_that_is_disabled(&server, &store).await;
    assert!(times.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn what_has_expired_is_forgotten_after_a_store_has_panicked() {
    let store = Hooked::memory();
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
    server.create_clients().await;
    let times = panics_once(&store, Verb::Purge);
    until("a second purge", async || {
        server.web(FOR_ITSELF).await.access_token();
        server.advance(60);
        times.load(Ordering::SeqCst) > 1
    })
    .await;
}
