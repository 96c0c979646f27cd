//! The server dies at each write of each flow, before or after it is done, and another one goes on with what the store holds.
//!
//! `ARCHITECTURE.md` ("Flow by flow") says what must be so: nothing is used twice, nothing that was answered is lost, and the client
//! can go on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tower_oauth::server::{Limit, Registration};
use tower_oauth::store::{Kind, StoreError};
use tower_oauth::types::{ManualClock, RegisteredBy, Subject};

use crate::hooked::{Hooked, Step, Verb, When};
use crate::support::{Answer, Harness, NOW, SECRET, VERIFIER};

/// Where the server dies.
#[derive(Debug, Clone, Copy)]
struct Death {
    /// At which write of the flow, from 0.
    write: usize,
    when: When,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    /// The step never comes back: the request ends in the middle.
    Dies,
    /// The step fails and so the request does; the server is replaced afterwards.
    Fails,
}

impl Death {
    /// Whether this write of the flow was done.
    fn has_done(self, write: usize) -> bool {
        write < self.write || (write == self.write && self.when == When::After)
    }

    fn strike(self, store: &Hooked) -> Arc<Struck> {
        let struck = Arc::new(Struck::default());
        let told = Arc::clone(&struck);
        let begun = AtomicUsize::new(0);
        store.on_step(move |step| {
            let number = match step.when {
                _ if !step.is_write() => None,
                When::Before => Some(begun.fetch_add(1, Ordering::SeqCst)),
                When::After => Some(begun.load(Ordering::SeqCst) - 1),
            };
            let now = number == Some(self.write) && step.when == self.when;
            let told = Arc::clone(&told);
            async move {
                match self.how {
                    _ if !now => Ok(()),
                    How::Dies => {
                        told.by(step);
                        std::future::pending().await
                    }
                    How::Fails => {
                        told.by(step);
                        Err(StoreError::new("the store fails here"))
                    }
                }
            }
        });
        struck
    }
}

#[derive(Default)]
struct Struck {
    step: Mutex<Option<Step>>,
    notify: Notify,
}

impl Struck {
    fn by(&self, step: Step) {
        *self.step.lock().unwrap() = Some(step);
        self.notify.notify_one();
    }

    fn step(&self) -> Option<Step> {
        *self.step.lock().unwrap()
    }
}

fn start(store: &Hooked, clock: &ManualClock) -> Harness {
    let registration = Registration::open().limited_to(Limit::per_minute(1000, 1000));
    Harness::on(store.clone(), clock, |builder| {
        builder.registration(registration)
    })
}

/// The writes without which an answer is still true: to remember a consent, and to put a request away whose device is decided.
fn fails_in_silence(step: Step, answer: &Answer) -> bool {
    match (step.verb, step.kind) {
        (Verb::Insert, Some(Kind::Consent)) => true,
        (Verb::Replace, Some(Kind::Interaction)) => answer.status == 200,
        _ => false,
    }
}

/// Lets a server die at each write of a flow in turn and in each manner, and looks at what the next server makes of the rest. Says
/// how many writes there are.
async fn at_each_write<G>(
    given: impl AsyncFn(&Harness) -> G,
    flow: impl AsyncFn(&Harness, &G) -> Answer,
    afterwards: impl AsyncFn(&Harness, &G, Death),
) -> usize {
    for write in 0..20 {
        for when in [When::Before, When::After] {
            for how in [How::Dies, How::Fails] {
                let death = Death { write, when, how };
                let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
                let server = start(&store, &clock);
                server.create_clients().await;
                let given = given(&server).await;
                let struck = death.strike(&store);
                let answer = tokio::select! {
                    answer = flow(&server, &given) => Some(answer),
                    () = struck.notify.notified(), if how == How::Dies => None,
                };
                match (struck.step(), answer) {
                    (None, Some(answer)) => {
                        assert!(!is_unavailable(&answer), "{answer:?}");
                        return write;
                    }
                    (Some(_), None) => {}
                    (Some(step), Some(answer)) => assert_eq!(
                        is_unavailable(&answer),
                        !fails_in_silence(step, &answer),
                        "{death:?}: {answer:?}"
                    ),
                    (None, None) => unreachable!("who is struck says by what"),
                }
                drop(server);
                afterwards(&start(&store.revived(), &clock), &given, death).await;
            }
        }
    }
    unreachable!("a flow has an end")
}

fn is_unavailable(answer: &Answer) -> bool {
    match answer.status.as_u16() {
        503 => {
            assert_eq!(answer.header("retry-after"), "1");
            true
        }
        303 => answer.parameter("error").as_deref() == Some("temporarily_unavailable"),
        _ => false,
    }
}

/// How many grants of alice are alive.
async fn grants(server: &Harness) -> usize {
    let alice = Subject::new("alice").unwrap();
    server
        .oauth
        .grants()
        .by_subject(&alice)
        .await
        .unwrap()
        .len()
}

#[track_caller]
fn is_ok(answer: Answer) -> Answer {
    assert!(answer.status.is_success(), "{answer:?}");
    answer
}

// req: 6749-4.1.2-3, oauth21-4.1.3-1
#[tokio::test]
async fn s04_a_code_gives_tokens_at_most_once_wherever_the_server_dies() {
    let writes = at_each_write(
        async |server| server.code_for("app", "").await,
        async |server, code| server.redeem(code).await,
        async |server, code, death| {
            let again = server.redeem(code).await;
            if death.has_done(0) {
                // What the first server had written, nobody was given: the code is lost, and no grant of it stays alive.
                again.error(400, "invalid_grant");
                assert_eq!(grants(server).await, 0, "{death:?}");
            } else {
                is_ok(again);
                server.redeem(code).await.error(400, "invalid_grant");
            }
            server.tokens("").await; // the client begins again
            assert_eq!(grants(server).await, 1, "{death:?}");
        },
    )
    .await;
    assert_eq!(writes, 3, "code, grant, token");
}

#[tokio::test]
async fn s04_a_replay_that_the_server_dies_of_is_made_up_for_by_the_next() {
    let writes = at_each_write(
        async |server| {
            let code = server.code_for("app", "").await;
            let tokens = is_ok(server.redeem(&code).await);
            (code, tokens)
        },
        async |server, (code, _)| server.redeem(code).await,
        async |server, (code, tokens), death| {
            let access = tokens.member("access_token");
            // The insert that meets the grant changes nothing; the replace decides.
            assert_eq!(
                server.is_active(&access).await,
                !death.has_done(1),
                "{death:?}"
            );
            server.redeem(code).await.error(400, "invalid_grant");
            assert!(!server.is_active(&access).await, "{death:?}");
            let refresh = tokens.member("refresh_token");
            server
                .refresh(&refresh, "")
                .await
                .error(400, "invalid_grant");
        },
    )
    .await;
    assert_eq!(writes, 2, "an insert that says Exists, and the grant");
}

#[tokio::test]
async fn s03_a_wrong_verifier_burns_the_code_or_was_never_there() {
    let wrong = VERIFIER.replace('k', "x");
    let writes = at_each_write(
        async |server| server.code_for("app", "").await,
        async |server, code| {
            let form = crate::support::redemption("app", code).replace(VERIFIER, &wrong);
            server.post("/auth/token", &form).await
        },
        async |server, code, death| {
            let right = server.redeem(code).await;
            if death.has_done(0) {
                right.error(400, "invalid_grant");
            } else {
                is_ok(right);
            }
        },
    )
    .await;
    assert_eq!(writes, 1, "the code");
}

// req: tol-refresh-1
#[tokio::test]
async fn s05_a_refresh_is_made_up_for_with_the_same_successor_wherever_the_server_dies() {
    let writes = at_each_write(
        async |server| server.tokens("").await,
        async |server, tokens| server.refresh(&tokens.member("refresh_token"), "").await,
        async |server, tokens, death| {
            let old = tokens.member("refresh_token");
            let first = is_ok(server.refresh(&old, "").await);
            let second = is_ok(server.refresh(&old, "").await);
            let successor = first.member("refresh_token");
            assert_eq!(successor, second.member("refresh_token"), "{death:?}");
            assert_eq!(generation(&successor), 1, "{death:?}: rotated once");
            for answer in [tokens, &first, &second] {
                let access = answer.member("access_token");
                assert!(server.is_active(&access).await, "{death:?}");
            }
            let next = is_ok(server.refresh(&successor, "").await);
            // Now the old one is two generations back, and nobody's honest retry.
            server.refresh(&old, "").await.error(400, "invalid_grant");
            assert!(!server.is_active(&next.member("access_token")).await);
        },
    )
    .await;
    assert_eq!(writes, 2, "grant, token");
}

/// Which of its family a refresh token is.
fn generation(token: &str) -> u32 {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token.trim_start_matches("tor_"))
        .unwrap();
    u32::from_be_bytes(bytes[32..36].try_into().unwrap())
}

// req: tol-refresh-1
#[tokio::test]
async fn s05_an_answer_that_was_lost_on_the_way_is_given_again_by_another_server() {
    let (store, clock) = (Hooked::open().await, ManualClock::new(NOW));
    let server = start(&store, &clock);
    server.create_clients().await;
    let old = server.tokens("").await.member("refresh_token");
    let lost = is_ok(server.refresh(&old, "").await);
    drop(server);
    let server = start(&store.revived(), &clock);
    let again = is_ok(server.refresh(&old, "").await);
    assert_eq!(again.member("refresh_token"), lost.member("refresh_token"));
}

// req: 8628-3.5-1
#[tokio::test]
async fn s04_a_device_code_gives_tokens_at_most_once_wherever_the_server_dies() {
    let writes = at_each_write(
        async |server| approved_device(server).await,
        async |server, device_code| server.poll(device_code).await,
        async |server, device_code, death| {
            let again = server.poll(device_code).await;
            if death.has_done(0) {
                again.error(400, "invalid_grant");
            } else {
                is_ok(again);
                server.poll(device_code).await.error(400, "invalid_grant");
            }
            let next = approved_device(server).await; // the device begins again
            is_ok(server.poll(&next).await);
        },
    )
    .await;
    assert_eq!(writes, 3, "device, grant, token");
}

async fn approved_device(server: &Harness) -> String {
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    is_ok(server.decide(&page, "alice", "allow").await);
    device_code
}

#[tokio::test]
async fn s04_a_yes_on_the_page_gives_one_code_at_most_wherever_the_server_dies() {
    let writes = at_each_write(
        async |server| server.authorize("&state=x").await,
        async |server, page| server.decide(page, "alice", "allow").await,
        async |server, page, death| {
            if death.has_done(0) {
                server.decide(page, "alice", "deny").await.page(400); // the yes was given, and is final
            }
            // Nothing was sent, and the same answer may be given again.
            let again = server.decide(page, "alice", "allow").await;
            is_ok(server.redeem(&again.parameter("code").unwrap()).await);
            server.decide(page, "alice", "allow").await.page(400);
            server.tokens("").await;
        },
    )
    .await;
    assert_eq!(writes, 3, "interaction, code, and the consent to remember");
}

#[tokio::test]
async fn s07_a_no_on_the_page_is_final_or_was_never_there() {
    let writes = at_each_write(
        async |server| server.authorize("").await,
        async |server, page| server.decide(page, "alice", "deny").await,
        async |server, page, death| {
            let yes = server.decide(page, "alice", "allow").await;
            if death.has_done(0) {
                yes.page(400);
            } else {
                is_ok(server.redeem(&yes.parameter("code").unwrap()).await);
            }
        },
    )
    .await;
    assert_eq!(writes, 1, "the interaction");
}

#[tokio::test]
async fn a_request_that_was_never_shown_is_made_anew() {
    let writes = at_each_write(
        async |_| (),
        async |server, ()| server.authorize("").await,
        async |server, (), _| {
            server.tokens("").await;
        },
    )
    .await;
    assert_eq!(writes, 2, "the interaction, and who was asked");
}

// req: 8628-3.5-5
#[tokio::test]
async fn s07_a_decision_about_a_device_is_final_or_was_never_there() {
    for (decision, other) in [("allow", "deny"), ("deny", "allow")] {
        let writes = at_each_write(
            async |server| {
                let (device_code, user_code) = server.device().await;
                (device_code, server.enter(&user_code, "alice").await)
            },
            async |server, (_, page)| server.decide(page, "alice", decision).await,
            async |server, (device_code, page), death| {
                let done = server.decide(page, "alice", other).await;
                let stands = if death.has_done(0) { decision } else { other };
                assert_eq!(done.status == 200, stands == other, "{death:?}: {done:?}");
                let told = server.poll(device_code).await;
                match stands {
                    "allow" => drop(is_ok(told)),
                    _ => told.error(400, "access_denied"),
                }
            },
        )
        .await;
        assert_eq!(writes, 2, "the device, the request that asked about it");
    }
}

#[tokio::test]
async fn a_device_that_was_told_no_code_asks_again_and_is_approved() {
    let writes = at_each_write(
        async |_| (),
        async |server, ()| server.post("/auth/device", "client_id=tv").await,
        async |server, (), _| {
            let device_code = approved_device(server).await;
            is_ok(server.poll(&device_code).await);
        },
    )
    .await;
    assert_eq!(writes, 3, "the server's key, user code, device");
}

// req: 7009-2.1-8, 7009-2.1-9
#[tokio::test]
async fn s06_a_revocation_is_answered_with_200_only_when_it_is_done() {
    for kind in ["refresh_token", "access_token"] {
        let writes = at_each_write(
            async |server| server.tokens("").await,
            async |server, tokens| revoke(server, &tokens.member(kind)).await,
            async |server, tokens, death| {
                let access = tokens.member("access_token");
                assert_eq!(
                    server.is_active(&access).await,
                    !death.has_done(0),
                    "{death:?}"
                );
                assert_eq!(revoke(server, &tokens.member(kind)).await.status, 200);
                assert!(!server.is_active(&access).await, "{death:?}");
                let refreshed = server.refresh(&tokens.member("refresh_token"), "").await;
                match kind {
                    "refresh_token" => refreshed.error(400, "invalid_grant"),
                    _ => drop(is_ok(refreshed)), // RFC 7009 §2.1: MAY, and does not
                }
            },
        )
        .await;
        assert_eq!(writes, 1, "the grant, or the token");
    }
}

async fn revoke(server: &Harness, token: &str) -> Answer {
    server
        .post("/auth/revoke", &format!("client_id=app&token={token}"))
        .await
}

#[tokio::test]
async fn s06_what_the_host_revokes_is_dead_with_one_write() {
    for (what, writes) in [("subject", 1), ("client", 1), ("grant", 2)] {
        let decides = writes - 1;
        let made = at_each_write(
            async |server| server.tokens("").await,
            async |server, _| match host_revokes(server, what).await {
                Ok(()) => server.get("/device", None).await,
                Err(_) => unavailable(),
            },
            async |server, tokens, death| {
                let access = tokens.member("access_token");
                let dead = death.has_done(decides);
                assert_eq!(server.is_active(&access).await, !dead, "{what}, {death:?}");
                // Either it can be revoked still, or the client has to ask its owner again; never neither.
                assert_eq!(grants(server).await, usize::from(!dead));
                host_revokes(server, what).await.unwrap();
                assert!(!server.is_active(&access).await);
                let refresh = tokens.member("refresh_token");
                server
                    .refresh(&refresh, "")
                    .await
                    .error(400, "invalid_grant");
                // Nothing of it is remembered either: the owner is asked again.
                assert_eq!(server.authorize("").await.status, 200, "{what}, {death:?}");
            },
        )
        .await;
        assert_eq!(made, writes, "{what}");
    }
}

#[tokio::test]
async fn s13_a_yes_that_is_remembered_dies_with_everything_of_its_subject() {
    let server = Harness::new().await;
    let both = "&scope=ledger.read+ledger.write";
    server.code_for("app", both).await; // never redeemed: there is no grant by which the consent could be found
    assert_eq!(server.authorize(both).await.status, 303);
    host_revokes(&server, "subject").await.unwrap();
    let page = server.authorize("").await;
    assert_eq!(page.status, 200);
    // Who agrees to less than before is not taken to agree to what was before.
    server
        .decide(&page, "alice", "allow")
        .await
        .parameter("code")
        .unwrap();
    assert_eq!(server.authorize("").await.status, 303);
    assert_eq!(server.authorize(both).await.status, 200);
}

async fn host_revokes(server: &Harness, what: &str) -> Result<(), StoreError> {
    let (alice, grants) = (Subject::new("alice").unwrap(), server.oauth.grants());
    match what {
        "subject" => grants.revoke_all_of_subject(&alice).await,
        "client" => grants
            .revoke_all_of_client(&"app".parse().unwrap())
            .await
            .map(drop),
        _ => {
            for granted in grants.by_subject(&alice).await? {
                grants.revoke(&alice, &granted.id).await?;
            }
            Ok(())
        }
    }
}

fn unavailable() -> Answer {
    Answer {
        status: http::StatusCode::SERVICE_UNAVAILABLE,
        headers: [(
            http::header::RETRY_AFTER,
            http::HeaderValue::from_static("1"),
        )]
        .into_iter()
        .collect(),
        body: bytes::Bytes::new(),
    }
}

#[tokio::test]
async fn a_registration_that_was_not_answered_leaves_a_client_that_expires() {
    let writes = at_each_write(
        async |_| (),
        async |server, ()| register(server, "none").await,
        async |server, (), death| {
            let first = is_ok(register(server, "none").await);
            let second = is_ok(register(server, "none").await);
            assert_eq!(first.member("client_id"), second.member("client_id"));
            // The client stands first; without a pointer to it, the next registration makes another.
            let orphaned = death.has_done(0) && !death.has_done(1);
            assert_eq!(
                registered(server).await,
                1 + usize::from(orphaned),
                "{death:?}"
            );
            server.advance(24 * 3600);
            assert_eq!(registered(server).await, 0, "unused for a day");
            let anew = is_ok(register(server, "none").await);
            assert_ne!(first.member("client_id"), anew.member("client_id"));
            assert_eq!(registered(server).await, 1);
        },
    )
    .await;
    assert_eq!(writes, 2, "client, pointer");
}

#[tokio::test]
async fn a_pointer_to_a_client_that_is_gone_is_replaced_wherever_the_server_dies() {
    let writes = at_each_write(
        async |server| {
            let client = is_ok(register(server, "none").await);
            server.advance(24 * 3600);
            client.member("client_id")
        },
        async |server, _| register(server, "none").await,
        async |server, gone, _| {
            let first = is_ok(register(server, "none").await);
            let second = is_ok(register(server, "none").await);
            assert_eq!(first.member("client_id"), second.member("client_id"));
            assert_ne!(first.member("client_id"), *gone);
        },
    )
    .await;
    assert_eq!(writes, 2, "client, pointer");
}

#[tokio::test]
async fn a_client_with_a_secret_is_one_write() {
    let writes = at_each_write(
        async |_| (),
        async |server, ()| register(server, "client_secret_basic").await,
        async |server, (), death| {
            is_ok(register(server, "client_secret_basic").await);
            assert_eq!(
                registered(server).await,
                1 + usize::from(death.has_done(0)),
                "{death:?}"
            );
        },
    )
    .await;
    assert_eq!(writes, 1, "client");
}

async fn register(server: &Harness, method: &str) -> Answer {
    let metadata = format!(
        r#"{{"client_name":"Agent","redirect_uris":["https://agent.test/cb"],"token_endpoint_auth_method":"{method}"}}"#
    );
    let request = http::Request::post("/auth/register")
        .header("content-type", "application/json")
        .body(metadata.into());
    server.send(request.unwrap()).await
}

/// How many clients that registered themselves there are.
async fn registered(server: &Harness) -> usize {
    let clients = server.oauth.clients().list().await.unwrap();
    clients
        .iter()
        .filter(|client| client.registered_by() == RegisteredBy::Itself)
        .count()
}

#[tokio::test]
async fn a_token_for_the_client_itself_is_one_write() {
    let form = "grant_type=client_credentials&scope=ledger.read";
    let writes = at_each_write(
        async |_| (),
        async |server, ()| server.post_as("/auth/token", ("web", SECRET), form).await,
        async |server, (), _| {
            let again = server.post_as("/auth/token", ("web", SECRET), form).await;
            assert!(server.is_active(&is_ok(again).member("access_token")).await);
        },
    )
    .await;
    assert_eq!(writes, 1, "token");
}
