//! An issuer that is down, slow, lying or out of patience: 503, never 401 and never let in, and no storm when it comes back.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tower_oauth::resource::{AccessToken, OpaqueIssuer, Refusal};
use tower_oauth::{Issuer, ResourceServer};

use crate::introspection_issuer::{
    API_SECRET, Api, Reply, Scripted, active, active_with, answer, says, status,
};
use crate::support::{ISSUER, LEDGER};
use crate::waits::soon;

fn answered_in_html() -> Reply {
    Reply::Says(answer(200, &["content-type: text/html"], "<html>"))
}

fn held() -> Reply {
    let good = active_with(&json!({}));
    Reply::Held(answer(200, &["content-type: application/json"], &good))
}

/// Checks a token while the test does something else.
fn start(
    tasks: &mut JoinSet<Result<AccessToken, Refusal>>,
    api: &Arc<Api>,
    token: impl Into<String>,
) {
    let (api, token) = (Arc::clone(api), token.into());
    tasks.spawn(async move { api.check(&token).await });
}

// req: 7662-PROJ-7, http-err-3
#[tokio::test]
async fn v29_an_issuer_that_fails_is_a_503_and_says_nothing_about_the_token() {
    for code in [
        100, 204, 304, 400, 401, 403, 404, 405, 408, 413, 429, 500, 501, 502, 503, 504, 599,
    ] {
        let issuer = Scripted::start().await;
        let api = issuer.api();
        issuer.always(status(code, &["content-type: application/json"]));
        api.is_unavailable("at_1", &code.to_string()).await;
        issuer.always(active());
        api.advance(300);
        assert_eq!(api.get("at_1").await.status, 200, "after {code}");
    }
    let issuer = Scripted::start().await;
    let api = issuer.api();
    for (reply, why) in [
        (Reply::HangsUp, "no answer"),
        (Reply::Says("HTTP/1.1 200 OK\r\ncontent-type: appl".to_owned()), "half a head"),
        (
            Reply::Says("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"active\":true".to_owned()),
            "half a body",
        ),
        (Reply::Says("SSH-2.0-OpenSSH_9.9\r\n".to_owned()), "no HTTP"),
    ] {
        issuer.always(reply);
        api.is_unavailable("at_1", why).await;
    }
    // Bound, so that no other test is given the port, and refused, since it does not listen.
    let unused = TcpSocket::new_v4().unwrap();
    unused.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nowhere = format!("http://{}/introspect", unused.local_addr().unwrap());
    let nobody = issuer.api_with(|settings| settings.endpoint(nowhere));
    nobody.is_unavailable("at_1", "nobody listens").await;
}

#[tokio::test]
async fn v29_an_issuer_that_does_not_answer_in_time_is_not_waited_for() {
    let issuer = Scripted::start().await;
    let api = Arc::new(issuer.api());
    issuer.always(held());
    let mut tasks = JoinSet::new();
    start(&mut tasks, &api, "at_1");
    issuer.arrived(1).await;
    api.advance(4);
    tokio::task::yield_now().await;
    assert!(tasks.try_join_next().is_none(), "there is time left");
    api.advance(1);
    let late = soon("who is late", tasks.join_next()).await;
    let late = late.unwrap().unwrap();
    assert_eq!(late.unwrap_err(), Refusal::Unavailable);
    assert_eq!(issuer.asked(), 1, "there was no time for a second attempt");
    let hasty = Arc::new(issuer.api_with(|settings| settings.timeout(Duration::from_secs(2))));
    start(&mut tasks, &hasty, "at_2");
    issuer.arrived(1).await;
    hasty.advance(2);
    let late = soon("who is late", tasks.join_next()).await;
    let late = late.unwrap().unwrap();
    assert_eq!(late.unwrap_err(), Refusal::Unavailable);
}

#[tokio::test]
async fn what_may_pass_is_tried_once_more_and_nothing_else_is() {
    let issuer = Scripted::start().await;
    for (reply, attempts) in [
        (Reply::HangsUp, 2),
        (status(502, &[]), 2),
        (status(503, &[]), 2),
        (status(504, &[]), 2),
        (status(503, &["retry-after: 1"]), 1),
        (status(400, &[]), 1),
        (status(401, &[]), 1),
        (status(403, &[]), 1),
        (status(429, &[]), 1),
        (status(500, &[]), 1),
        (status(302, &["location: /introspect"]), 1),
        (says("<html>"), 1),
        (says(r#"{"active":false}"#), 1),
    ] {
        let before = issuer.asked();
        issuer.then(reply.clone());
        let checked = issuer.api().check("at_1").await;
        assert_eq!(checked.is_ok(), attempts == 2, "{reply:?}");
        assert_eq!(issuer.asked() - before, attempts, "{reply:?}");
        // And never a third time.
        if attempts == 2 {
            issuer.then(reply.clone()).then(reply.clone());
            let checked = issuer.api().check("at_1").await;
            assert_eq!(checked.unwrap_err(), Refusal::Unavailable, "{reply:?}");
            assert_eq!(issuer.asked() - before, 4, "{reply:?}");
        }
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_is_left_alone_and_found_again_when_it_is_up() {
    let issuer = Scripted::start().await;
    let api = issuer.api();
    api.check("warm").await.unwrap();
    // Each is tried twice.
    issuer.always(status(503, &[]));
    for number in 0..5 {
        api.is_unavailable(&format!("at_{number}"), "it is down")
            .await;
    }
    assert_eq!(issuer.asked(), 11);
    issuer.always(active());
    api.is_unavailable("at_9", "nobody asks").await;
    assert_eq!(issuer.asked(), 11);
    assert!(api.check("warm").await.is_ok(), "what is known is known");
    // One asks whether it is back; while it is not, the others do not wait for it.
    api.advance(1);
    issuer.always(status(503, &[]));
    api.is_unavailable("at_9", "it was asked").await;
    api.is_unavailable("at_8", "and is not asked again").await;
    assert_eq!(issuer.asked(), 13);
    issuer.always(active());
    api.advance(2);
    assert!(api.check("at_9").await.is_ok());
    assert!(api.check("at_8").await.is_ok());
}

#[tokio::test]
async fn rfc9110_10_2_3_an_issuer_that_asks_to_be_left_alone_is() {
    for code in [429, 503] {
        let issuer = Scripted::start().await;
        let api = issuer.api();
        issuer.then(status(code, &["retry-after: 20"]));
        api.is_unavailable("at_1", "it asks for time").await;
        api.advance(19);
        api.is_unavailable("at_1", "and gets it").await;
        assert_eq!(issuer.asked(), 1);
        api.advance(1);
        assert!(api.check("at_1").await.is_ok());
    }
}

#[tokio::test]
async fn v26_too_many_questions_of_a_strangers_shut_others_out_for_half_a_minute_at_most() {
    for (code, longest) in [(429, 30), (503, 300)] {
        let issuer = Scripted::start().await;
        let api = issuer.api();
        issuer.then(status(code, &["retry-after: 86400"]));
        api.is_unavailable("at_1", "it asks for a day").await;
        api.advance(longest - 1);
        api.is_unavailable("at_1", "and gets this much").await;
        assert_eq!(issuer.asked(), 1, "{code}");
        api.advance(1);
        assert!(api.check("at_1").await.is_ok(), "{code}");
    }
}

#[tokio::test]
async fn nobody_shuts_others_out_with_a_token_that_the_issuer_stumbles_over() {
    let issuer = Scripted::start().await;
    let api = issuer.api();
    for (place, reply) in [
        status(400, &[]),
        status(403, &[]),
        status(413, &[]),
        status(500, &[]),
        status(501, &[]),
        status(505, &[]),
        status(302, &["location: /"]),
        says("<html>"),
        answered_in_html(),
        says(&active_with(&json!({"exp": "soon"}))),
    ]
    .into_iter()
    .enumerate()
    {
        for number in 0..10 {
            issuer.then(reply.clone());
            let token = format!("at_{place}_{number}");
            assert_eq!(api.check(&token).await.unwrap_err(), Refusal::Unavailable);
        }
        assert!(api.check(&format!("good_{place}")).await.is_ok());
    }
}

#[tokio::test]
async fn v26_so_many_calls_are_in_flight_so_many_wait_and_the_rest_is_told_at_once() {
    let issuer = Scripted::start().await;
    let api = Arc::new(issuer.api_with(|settings| settings.calls_in_flight(2)));
    issuer.always(held());
    let mut tasks = JoinSet::new();
    for number in 0..2 * 17 {
        start(&mut tasks, &api, format!("at_{number}"));
    }
    issuer.arrived(2).await;
    // The others were asked about before this one, in the order in which they began.
    assert_eq!(
        api.check("one_more").await.unwrap_err(),
        Refusal::Unavailable
    );
    assert_eq!(issuer.asked(), 2);
    assert!(tasks.try_join_next().is_none(), "the others wait");
    issuer.let_go(1);
    issuer.arrived(1).await;
    assert_eq!(issuer.asked(), 3, "one went, one came");
    issuer.let_go(33);
    let all = soon("all who asked", tasks.join_all()).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(issuer.asked(), 34);
    issuer.always(active());
    assert!(api.check("one_more").await.is_ok(), "there is room again");
}

#[tokio::test]
async fn v26_tokens_that_were_good_do_not_wait_behind_strangers() {
    let issuer = Scripted::start().await;
    let settings = |settings: OpaqueIssuer| {
        settings
            .calls_in_flight(4)
            .cached_for(Duration::from_secs(1))
    };
    let api = Arc::new(issuer.api_with(settings));
    issuer.always(active());
    for token in ["good_1", "good_2", "once_good"] {
        assert!(api.check(token).await.is_ok());
    }
    api.advance(1);
    issuer.always(says(r#"{"active":false}"#));
    assert!(api.check("once_good").await.is_err());
    issuer.arrived(4).await;
    // Strangers take all that they get: three calls, and sixteen places to wait for each.
    issuer.always(held());
    let mut strangers = JoinSet::new();
    for number in 0..3 * 17 {
        start(&mut strangers, &api, format!("stranger_{number}"));
    }
    issuer.arrived(3).await;
    api.advance(1);
    // What has died since is a stranger's again.
    for stranger in ["one_more", "once_good"] {
        let refused = api.check(stranger).await.unwrap_err();
        assert_eq!(refused, Refusal::Unavailable, "{stranger}");
    }
    for token in ["good_1", "good_2"] {
        issuer.then(active());
        // Whoever waits for strangers waits in vain.
        assert!(api.check(token).await.is_ok(), "{token}");
    }
    assert_eq!(issuer.asked(), 4 + 3 + 2, "no stranger had the fourth call");
    issuer.let_go(3 * 17);
    let strangers = soon("all strangers", strangers.join_all()).await;
    assert!(strangers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn v29_who_has_waited_for_others_all_the_time_is_told() {
    let issuer = Scripted::start().await;
    let api = Arc::new(issuer.api_with(|settings| settings.calls_in_flight(1)));
    issuer.always(held());
    let mut tasks = JoinSet::new();
    start(&mut tasks, &api, "at_1");
    issuer.arrived(1).await;
    start(&mut tasks, &api, "at_2");
    tokio::task::yield_now().await;
    api.advance(5);
    for late in soon("those who waited", tasks.join_all()).await {
        assert_eq!(late.unwrap_err(), Refusal::Unavailable);
    }
    assert_eq!(issuer.asked(), 1);
    // What was given up holds no place.
    issuer.always(active());
    assert!(api.check("at_3").await.is_ok());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// req: tol-intro-1
#[tokio::test]
async fn tol_intro_1_our_own_wrong_credentials_are_our_fault_and_said_once() {
    let log = Log::default();
    let writer = log.clone();
    let ours = tracing_subscriber::filter::Targets::new().with_target(
        "tower_oauth",
        tracing_subscriber::filter::LevelFilter::TRACE,
    );
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    use tracing_subscriber::prelude::*;
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(ours));
    // With a second subscriber each log line asks who listens, and does not remember what another thread was told.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _guard = tracing::subscriber::set_default(subscriber);

    let issuer = Scripted::start().await;
    let api = issuer.api();
    let said = |text: &str| {
        let lines = text.lines();
        lines
            .filter(|line| line.contains("ERROR") && line.contains("refuses the credentials"))
            .count()
    };
    let mut all = String::new();
    for (round, code) in [401, 403].into_iter().enumerate() {
        let refused = r#"{"error":"invalid_client"}"#;
        let refused = answer(
            code,
            &["content-type: application/json", "www-authenticate: Basic"],
            refused,
        );
        issuer.always(Reply::Says(refused));
        for number in 0..3 {
            let token = format!("hunter2-{round}-{number}");
            api.is_unavailable(&token, "no 401 of theirs is one of ours")
                .await;
        }
        let text = log.take();
        assert_eq!(said(&text), 1, "{text}");
        all.push_str(&text);
        issuer.always(active());
        api.check(&format!("hunter2-{round}")).await.unwrap();
        let text = log.take();
        assert!(text.contains("takes the credentials"), "{text}");
        all.push_str(&text);
    }
    // A refusal says how such tokens are let in.
    issuer.always(says(&active_with(&json!({"aud": null}))));
    api.check("hunter2").await.unwrap_err();
    let text = log.take();
    assert!(text.contains("dangerous_assume_audience"), "{text}");
    // And a broken answer says what is wrong with it, but not what it said.
    issuer.always(says(&active_with(
        &json!({"exp": "hunter2", "sub": "hunter2"}),
    )));
    api.check("hunter2-hunter2").await.unwrap_err();
    let broken = log.take();
    assert!(broken.contains("exp is no whole number"), "{broken}");
    all.push_str(&text);
    all.push_str(&broken);
    assert!(
        !all.contains("hunter2") && !all.contains(API_SECRET),
        "{all}"
    );
    assert!(!all.contains("s3cret"), "{all}");
}

// req: 7662-4-10, 6750-5.2-7
#[tokio::test]
async fn v35_an_issuer_whose_certificate_nobody_vouches_for_is_told_nothing() {
    let issuer = crate::introspection_tls::Tls::start().await;
    let api = |trusting: bool| {
        let client = tower_oauth::resource::HttpsClient::new();
        let client = match trusting {
            true => client
                .root_certificates(include_str!("keys/tls_ca.pem"))
                .unwrap(),
            false => client,
        };
        let settings = Issuer::opaque(ISSUER)
            .client("rs", "rs-secret")
            .http_client(client);
        ResourceServer::builder(LEDGER)
            .issuer(settings.endpoint(issuer.endpoint()))
            .clock(tower_oauth::types::ManualClock::new(crate::support::NOW))
            .build()
            .unwrap()
    };
    let refused = api(false).authenticate("at_1").await.unwrap_err();
    assert_eq!(refused, Refusal::Unavailable);
    assert_eq!(issuer.read(), 0, "not a byte of the request");
    api(true).authenticate("at_1").await.unwrap();
    assert!(issuer.read() > 0);
}
