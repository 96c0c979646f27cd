//! Two at once: whatever the order in which they meet in the store, one of them decides.
//!
//! Where the order matters the test makes it: a store that waits between two steps until it is told to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_oauth::server::{Limit, Registration};
use tower_oauth::store::Kind;
use tower_oauth::types::{ManualClock, RegisteredBy, Subject};
use tower_oauth::{Issuer, ResourceServer};

use crate::hooked::{Hooked, Verb, When};
use crate::support::{Answer, Harness, LEDGER, NOW, SECRET};
use crate::waits::soon;

const CALLERS: usize = 50;

async fn start() -> (Hooked, Arc<Harness>) {
    let store = Hooked::open().await;
    let registration = Registration::open().limited_to(Limit::per_minute(1000, 1000));
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| {
        builder.registration(registration)
    });
    server.create_clients().await;
    (store, Arc::new(server))
}

/// So many callers who ask at once, and what each is told.
async fn at_once<F>(
    callers: usize,
    server: &Arc<Harness>,
    ask: impl Fn(Arc<Harness>, usize) -> F,
) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let gate = Arc::new(Barrier::new(callers));
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (gate, asked) = (Arc::clone(&gate), ask(Arc::clone(server), caller));
        tasks.spawn(async move {
            gate.wait().await;
            asked.await
        });
    }
    soon("the answers to all who ask", tasks.join_all()).await
}

/// A place in the store where the first who comes there waits.
struct Pause {
    reached: Semaphore,
    go_on: Semaphore,
}

impl Pause {
    fn at(store: &Hooked, verb: Verb, kind: Kind, when: When) -> Arc<Self> {
        let pause = Arc::new(Self {
            reached: Semaphore::new(0),
            go_on: Semaphore::new(0),
        });
        let (place, came) = (Arc::clone(&pause), AtomicUsize::new(0));
        store.on_step(move |step| {
            let place = Arc::clone(&place);
            let waits = step.is(verb, kind, when) && came.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if waits {
                    place.reached.add_permits(1);
                    place.go_on.acquire().await.unwrap().forget();
                }
                Ok(())
            }
        });
        pause
    }

    /// Begins to ask, and waits until it has come to the place. What it is told is there after [`go_on`](Self::go_on).
    async fn meets<F>(&self, server: &Arc<Harness>, ask: impl FnOnce(Arc<Harness>) -> F) -> Asked
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let asked = tokio::spawn(ask(Arc::clone(server)));
        let reached = soon("who is to come there", self.reached.acquire()).await;
        reached.unwrap().forget();
        asked
    }

    async fn go_on(&self, asked: Asked) -> Answer {
        self.go_on.add_permits(1);
        soon("the answer to who has gone on", asked).await.unwrap()
    }
}

type Asked = tokio::task::JoinHandle<Answer>;

fn successes(answers: &[Answer]) -> Vec<&Answer> {
    answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect()
}

#[track_caller]
fn all_others_are_invalid_grant(answers: &[Answer]) {
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.error(400, "invalid_grant");
    }
}

async fn is_dead(server: &Harness, tokens: &Answer) -> bool {
    server
        .refresh(&tokens.member("refresh_token"), "")
        .await
        .error(400, "invalid_grant");
    !server.is_active(&tokens.member("access_token")).await
}

// req: 6749-4.1.2-3, 6749-4.1.2-4, 6749-10.5-2, tol-code-1
#[tokio::test(flavor = "multi_thread")]
async fn s04_of_fifty_who_redeem_a_code_one_wins_and_loses_it_to_the_replay() {
    let (store, server) = start().await;
    let code = server.code_for("app", "").await;
    // All have seen the code live before the first of them uses it; the others look again when the winner has been answered.
    let seen = Arc::new(Barrier::new(CALLERS));
    let (looks, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let told = Arc::clone(&answered);
    store.on_step(move |step| {
        let look = step
            .is(Verb::Get, Kind::Code, When::After)
            .then(|| looks.fetch_add(1, Ordering::SeqCst));
        let (seen, answered) = (Arc::clone(&seen), Arc::clone(&answered));
        async move {
            match look {
                Some(look) if look < CALLERS => {
                    seen.wait().await;
                }
                Some(_) => drop(answered.acquire().await.unwrap()),
                None => {}
            }
            Ok(())
        }
    });
    let answers = at_once(CALLERS, &server, |server, _| {
        let (code, told) = (code.clone(), Arc::clone(&told));
        async move {
            let answer = server.redeem(&code).await;
            if answer.status == 200 {
                assert!(server.is_active(&answer.member("access_token")).await);
                told.add_permits(CALLERS);
            }
            answer
        }
    })
    .await;
    let [tokens] = successes(&answers)[..] else {
        panic!("not exactly one success in {answers:?}");
    };
    all_others_are_invalid_grant(&answers);
    assert!(is_dead(&server, tokens).await);
}

// req: 6749-4.1.2-3, 6749-10.5-2
#[tokio::test(flavor = "multi_thread")]
async fn s04_however_fifty_redemptions_meet_nothing_of_them_lives() {
    for round in 0..8 {
        let (_, server) = start().await;
        let code = server.code_for("app", "").await;
        let answers = at_once(CALLERS, &server, |server, _| {
            let code = code.clone();
            async move { server.redeem(&code).await }
        })
        .await;
        let [tokens] = successes(&answers)[..] else {
            panic!("round {round}: not exactly one success in {answers:?}");
        };
        all_others_are_invalid_grant(&answers);
        assert!(is_dead(&server, tokens).await);
        assert_eq!(grants(&server).await, 0, "round {round}");
    }
}

// req: 6749-4.1.2-4, 6749-10.5-2
#[tokio::test(flavor = "multi_thread")]
async fn s04_a_replay_that_overtakes_the_first_redemption_leaves_it_nothing_that_lives() {
    for (verb, kind, when) in [
        (Verb::Replace, Kind::Code, When::After),
        (Verb::Insert, Kind::Grant, When::After),
        (Verb::Insert, Kind::AccessToken, When::Before),
    ] {
        let (store, server) = start().await;
        let code = server.code_for("app", "").await;
        let pause = Pause::at(&store, verb, kind, when);
        let first = pause
            .meets(&server, {
                let code = code.clone();
                async move |server| server.redeem(&code).await
            })
            .await;
        server.redeem(&code).await.error(400, "invalid_grant");
        let answer = pause.go_on(first).await;
        assert!(is_dead(&server, &answer).await, "{verb:?} {kind:?}");
        assert_eq!(grants(&server).await, 0);
    }
}

async fn grants(server: &Harness) -> usize {
    let alice = Subject::new("alice").unwrap();
    let grants = server.oauth.grants().by_subject(&alice).await.unwrap();
    grants.len()
}

// req: tol-refresh-1, mcp-sec-2
#[tokio::test(flavor = "multi_thread")]
async fn s05_fifty_who_use_a_refresh_token_at_once_get_one_successor() {
    let (store, server) = start().await;
    let old = server.tokens("").await.member("refresh_token");
    // All have seen it current before the first of them rotates it.
    let (seen, looks) = (Arc::new(Barrier::new(CALLERS)), AtomicUsize::new(0));
    store.on_step(move |step| {
        let first = step.is(Verb::Get, Kind::Grant, When::After)
            && looks.fetch_add(1, Ordering::SeqCst) < CALLERS;
        let seen = Arc::clone(&seen);
        async move {
            if first {
                seen.wait().await;
            }
            Ok(())
        }
    });
    let answers = at_once(CALLERS, &server, |server, _| {
        let old = old.clone();
        async move { server.refresh(&old, "").await }
    })
    .await;
    store.let_all_pass();
    let successor = answers[0].member("refresh_token");
    assert_ne!(successor, old);
    let mut accesses = std::collections::HashSet::new();
    for answer in &answers {
        assert_eq!(answer.member("refresh_token"), successor);
        let access = answer.member("access_token");
        assert!(server.is_active(&access).await);
        accesses.insert(access);
    }
    assert_eq!(accesses.len(), CALLERS);
    let next = server.refresh(&successor, "").await;
    assert_eq!(next.status, 200, "{next:?}");
    // The first is two generations old by now: whoever has it now is a thief, or was robbed.
    server.refresh(&old, "").await.error(400, "invalid_grant");
    assert!(is_dead(&server, &next).await);
}

// req: 8628-3.5-9
#[tokio::test(flavor = "multi_thread")]
async fn s04_fifty_polls_of_an_approved_device_give_one_set_of_tokens() {
    let (_, server) = start().await;
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    let answers = at_once(CALLERS, &server, |server, _| {
        let device_code = device_code.clone();
        async move { server.poll(&device_code).await }
    })
    .await;
    let [tokens] = successes(&answers)[..] else {
        panic!("not exactly one success in {answers:?}");
    };
    all_others_are_invalid_grant(&answers);
    assert!(server.is_active(&tokens.member("access_token")).await);
    assert_eq!(grants(&server).await, 1);
}

// req: 8628-3.5-5
#[tokio::test(flavor = "multi_thread")]
async fn s07_a_decision_while_a_poll_is_under_way_stands() {
    for decision in ["allow", "deny"] {
        let (store, server) = start().await;
        let (device_code, user_code) = server.device().await;
        let page = server.enter(&user_code, "alice").await;
        let pause = Pause::at(&store, Verb::Replace, Kind::Device, When::Before);
        let poll = pause
            .meets(&server, {
                let device_code = device_code.clone();
                async move |server| server.poll(&device_code).await
            })
            .await;
        assert_eq!(server.decide(&page, "alice", decision).await.status, 200);
        let told = pause.go_on(poll).await;
        is_told(&told, decision);
        match decision {
            "allow" => server.poll(&device_code).await.error(400, "invalid_grant"),
            _ => is_told(&server.poll(&device_code).await, decision),
        }
    }
}

// req: 8628-3.5-5
#[tokio::test(flavor = "multi_thread")]
async fn s07_a_poll_while_a_decision_is_under_way_does_not_undo_it() {
    for decision in ["allow", "deny"] {
        let (store, server) = start().await;
        let (device_code, user_code) = server.device().await;
        let page = server.enter(&user_code, "alice").await;
        let pause = Pause::at(&store, Verb::Replace, Kind::Device, When::Before);
        let decided = pause
            .meets(&server, async move |server| {
                server.decide(&page, "alice", decision).await
            })
            .await;
        server
            .poll(&device_code)
            .await
            .error(400, "authorization_pending");
        assert_eq!(pause.go_on(decided).await.status, 200);
        is_told(&server.poll(&device_code).await, decision);
    }
}

#[track_caller]
fn is_told(answer: &Answer, decision: &str) {
    match decision {
        "allow" => assert_eq!(answer.status, 200, "{answer:?}"),
        _ => answer.error(400, "access_denied"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_of_two_decisions_about_a_device_the_first_stands() {
    for (first, second) in [("allow", "deny"), ("deny", "allow")] {
        let (store, server) = start().await;
        let (device_code, user_code) = server.device().await;
        let (one, two) = (
            server.enter(&user_code, "alice").await,
            server.enter(&user_code, "bob").await,
        );
        let pause = Pause::at(&store, Verb::Replace, Kind::Device, When::Before);
        let late = pause
            .meets(&server, async move |server| {
                server.decide(&two, "bob", second).await
            })
            .await;
        assert_eq!(server.decide(&one, "alice", first).await.status, 200);
        pause.go_on(late).await.page(400);
        is_told(&server.poll(&device_code).await, first);
    }
}

/// Who revokes while something is issued.
#[derive(Debug, Clone, Copy)]
enum Revoker {
    /// The client, with its refresh token.
    Client,
    /// The host, everything of the subject.
    Subject,
    /// The host, everything of the client.
    AllOfClient,
    /// The host, as the owner does: the access of this client.
    Access,
}

const REVOKERS: [Revoker; 4] = [
    Revoker::Client,
    Revoker::Subject,
    Revoker::AllOfClient,
    Revoker::Access,
];

impl Revoker {
    async fn revokes(self, server: &Harness, refresh: &str) {
        let (alice, app) = (Subject::new("alice").unwrap(), "app".parse().unwrap());
        let grants = server.oauth.grants();
        match self {
            Self::Client => {
                let form = format!("client_id=app&token={refresh}");
                let answer = server.post("/auth/revoke", &form).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            Self::Subject => grants.revoke_all_of_subject(&alice).await.unwrap(),
            Self::AllOfClient => assert!(grants.revoke_all_of_client(&app).await.unwrap()),
            Self::Access => {
                grants.revoke_client(&alice, &app).await.unwrap();
            }
        }
    }
}

// req: 7009-2.1-8, 7009-2.1-9
#[tokio::test(flavor = "multi_thread")]
async fn s06_a_revocation_during_a_refresh_is_not_undone_by_it() {
    for (verb, kind, when) in [
        (Verb::Get, Kind::Grant, When::After),
        (Verb::Replace, Kind::Grant, When::Before),
        (Verb::Replace, Kind::Grant, When::After),
        (Verb::Insert, Kind::AccessToken, When::Before),
        (Verb::Insert, Kind::AccessToken, When::After),
    ] {
        for revoker in REVOKERS {
            let (store, server) = start().await;
            let tokens = server.tokens("").await;
            let old = tokens.member("refresh_token");
            let pause = Pause::at(&store, verb, kind, when);
            let refresh = pause
                .meets(&server, {
                    let old = old.clone();
                    async move |server| server.refresh(&old, "").await
                })
                .await;
            revoker.revokes(&server, &old).await;
            let answer = pause.go_on(refresh).await;
            if answer.status == 200 {
                assert!(
                    is_dead(&server, &answer).await,
                    "{revoker:?} {verb:?} {kind:?} {when:?}"
                );
            } else {
                answer.error(400, "invalid_grant");
            }
            assert!(is_dead(&server, &tokens).await);
            assert_eq!(grants(&server).await, 0);
        }
    }
}

// req: 7009-2.1-8
#[tokio::test(flavor = "multi_thread")]
async fn s06_a_revocation_while_a_code_is_redeemed_is_not_undone_by_it() {
    for (verb, kind, when) in [
        (Verb::Get, Kind::Client, When::After),
        (Verb::Get, Kind::Code, When::After),
        (Verb::Replace, Kind::Code, When::After),
        (Verb::Insert, Kind::Grant, When::Before),
        (Verb::Insert, Kind::Grant, When::After),
        (Verb::Get, Kind::SubjectEpoch, When::After),
        (Verb::Insert, Kind::AccessToken, When::Before),
        (Verb::Insert, Kind::AccessToken, When::After),
    ] {
        for revoker in [Revoker::Subject, Revoker::AllOfClient, Revoker::Access] {
            let (store, server) = start().await;
            let code = server.code_for("app", "").await;
            server.forget("app").await;
            let pause = Pause::at(&store, verb, kind, when);
            let redeem = pause
                .meets(&server, async move |server| server.redeem(&code).await)
                .await;
            revoker.revokes(&server, "").await;
            let answer = pause.go_on(redeem).await;
            if answer.status == 200 {
                assert!(
                    is_dead(&server, &answer).await,
                    "{revoker:?} {verb:?} {kind:?} {when:?}"
                );
            } else {
                answer.error(400, "invalid_grant");
            }
            assert_eq!(grants(&server).await, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_access_that_is_removed_while_a_device_polls_does_not_come_of_the_poll() {
    for (verb, kind, when) in [
        (Verb::Get, Kind::Device, When::After),
        (Verb::Replace, Kind::Device, When::Before),
        (Verb::Replace, Kind::Device, When::After),
        (Verb::Insert, Kind::Grant, When::Before),
        (Verb::Insert, Kind::Grant, When::After),
        (Verb::Get, Kind::SubjectEpoch, When::After),
        (Verb::Insert, Kind::AccessToken, When::Before),
        (Verb::Insert, Kind::AccessToken, When::After),
    ] {
        let (store, server) = start().await;
        let (device_code, user_code) = server.device().await;
        let page = server.enter(&user_code, "alice").await;
        assert_eq!(server.decide(&page, "alice", "allow").await.status, 200);
        let pause = Pause::at(&store, verb, kind, when);
        let poll = pause
            .meets(&server, async move |server| server.poll(&device_code).await)
            .await;
        let (alice, tv) = (Subject::new("alice").unwrap(), "tv".parse().unwrap());
        let grants_of = server.oauth.grants();
        grants_of.revoke_client(&alice, &tv).await.unwrap();
        let answer = pause.go_on(poll).await;
        if answer.status == 200 {
            let (access, refresh) = answer.pair();
            let form = format!("grant_type=refresh_token&client_id=tv&refresh_token={refresh}");
            let refreshed = server.post("/auth/token", &form).await;
            refreshed.error(400, "invalid_grant");
            assert!(!server.is_active(&access).await, "{verb:?} {kind:?}");
        } else {
            answer.error(400, "invalid_grant");
        }
        assert_eq!(grants(&server).await, 0, "{verb:?} {kind:?} {when:?}");
    }
}

/// Whatever came of a request during which alice took the access of `app` away: no tokens, and she is asked from now on.
async fn is_asked_anew(server: &Harness, answer: &Answer) {
    if answer.status != 200 {
        let code = answer.parameter("code").unwrap();
        server.redeem(&code).await.error(400, "invalid_grant");
    }
    assert_eq!(server.authorize("").await.status, 200);
    assert_eq!(grants(server).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_access_that_is_removed_while_a_yes_is_remembered_does_not_come_of_it() {
    for (verb, kind, when) in [
        (Verb::Get, Kind::Consent, When::Before),
        (Verb::Get, Kind::Consent, When::After),
        (Verb::Get, Kind::SubjectEpoch, When::After),
        (Verb::Replace, Kind::Interaction, When::After),
        (Verb::Insert, Kind::Code, When::After),
    ] {
        let (store, server) = start().await;
        server.code_for("app", "").await;
        assert_eq!(server.authorize("").await.status, 303, "it is remembered");
        let pause = Pause::at(&store, verb, kind, when);
        let authorize = pause
            .meets(&server, async |server| server.authorize("").await)
            .await;
        Revoker::Access.revokes(&server, "").await;
        is_asked_anew(&server, &pause.go_on(authorize).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_access_that_is_removed_while_its_owner_says_yes_is_not_remembered() {
    for (verb, kind, when) in [
        (Verb::Get, Kind::SubjectEpoch, When::After),
        (Verb::Insert, Kind::Code, When::Before),
        (Verb::Insert, Kind::Consent, When::Before),
        (Verb::Insert, Kind::Consent, When::After),
    ] {
        let (store, server) = start().await;
        let page = server.authorize("").await;
        let pause = Pause::at(&store, verb, kind, when);
        let decide = pause
            .meets(&server, async move |server| {
                server.decide(&page, "alice", "allow").await
            })
            .await;
        Revoker::Access.revokes(&server, "").await;
        is_asked_anew(&server, &pause.go_on(decide).await).await;
        // Nor when that removal is forgotten, as it is with a later one.
        server.advance(3 * 24 * 3600);
        let (alice, web) = (Subject::new("alice").unwrap(), "web".parse().unwrap());
        let grants_of = server.oauth.grants();
        grants_of.revoke_client(&alice, &web).await.unwrap();
        assert_eq!(server.authorize("").await.status, 200, "{verb:?} {kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_revocation_while_a_client_gets_a_token_for_itself_kills_it() {
    for (verb, kind, when) in [
        (Verb::Get, Kind::Client, When::After),
        (Verb::Insert, Kind::AccessToken, When::After),
    ] {
        let (store, server) = start().await;
        let web = "web".parse().unwrap();
        let pause = Pause::at(&store, verb, kind, when);
        let issue = pause
            .meets(&server, async |server| {
                let form = "grant_type=client_credentials&scope=ledger.read";
                server.post_as("/auth/token", ("web", SECRET), form).await
            })
            .await;
        assert!(server.oauth.clients().revoke_tokens(&web).await.unwrap());
        let answer = pause.go_on(issue).await;
        assert!(!server.is_active(&answer.member("access_token")).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_revocation_while_a_token_is_checked_is_not_undone_by_the_cache() {
    for kind in [
        Kind::AccessToken,
        Kind::Client,
        Kind::Grant,
        Kind::SubjectEpoch,
    ] {
        for revoker in REVOKERS {
            let (store, server) = start().await;
            let tokens = server.tokens("").await;
            let access = tokens.member("access_token");
            let api = ResourceServer::builder(LEDGER)
                .issuer(Issuer::in_process(&server.oauth))
                .clock(server.clock.clone())
                .build()
                .unwrap();
            let ask = async move || {
                let app = ServiceBuilder::new().layer(api.layer()).service(service_fn(
                    async |_: http::Request<Full<Bytes>>| {
                        Ok::<_, std::convert::Infallible>(http::Response::new(
                            Full::<Bytes>::default(),
                        ))
                    },
                ));
                let request = http::Request::get("/entries")
                    .header("authorization", format!("Bearer {access}"))
                    .body(Full::<Bytes>::default());
                Answer::of(app.oneshot(request.unwrap()).await.unwrap()).await
            };
            server.forget("app").await;
            let pause = Pause::at(&store, Verb::Get, kind, When::After);
            let check = pause
                .meets(&server, {
                    let ask = ask.clone();
                    async move |_| ask().await
                })
                .await;
            revoker
                .revokes(&server, &tokens.member("refresh_token"))
                .await;
            // The check that began before may say either; one that begins after the revocation was answered may not.
            pause.go_on(check).await;
            assert_eq!(ask().await.status, 401, "{kind:?} {revoker:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_equal_registrations_at_once_are_one_client() {
    let (store, server) = start().await;
    // None finds a client before all have looked for one.
    let (seen, looks) = (Arc::new(Barrier::new(CALLERS)), AtomicUsize::new(0));
    store.on_step(move |step| {
        let first = step.is(Verb::Get, Kind::ClientDedupe, When::After)
            && looks.fetch_add(1, Ordering::SeqCst) < CALLERS;
        let seen = Arc::clone(&seen);
        async move {
            if first {
                seen.wait().await;
            }
            Ok(())
        }
    });
    let answers = at_once(CALLERS, &server, |server, _| async move {
        let metadata =
            r#"{"redirect_uris":["https://agent.test/cb"],"token_endpoint_auth_method":"none"}"#;
        let request = http::Request::post("/auth/register")
            .header("content-type", "application/json")
            .body(metadata.into());
        server.send(request.unwrap()).await
    })
    .await;
    let id = answers[0].member("client_id");
    for answer in &answers {
        assert_eq!(
            (answer.status.as_u16(), answer.member("client_id")),
            (201, id.clone())
        );
    }
    let clients = server.oauth.clients().list().await.unwrap();
    let registered: Vec<_> = clients
        .iter()
        .filter(|client| client.registered_by() == RegisteredBy::Itself)
        .map(|client| client.client_id().as_str())
        .collect();
    assert_eq!(registered, [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_fifty_answers_to_one_consent_page_give_one_code_that_is_good() {
    let (store, server) = start().await;
    let page = server.authorize("").await;
    // All have seen the request open before the first of them decides it.
    let (seen, looks) = (Arc::new(Barrier::new(CALLERS)), AtomicUsize::new(0));
    store.on_step(move |step| {
        let first = step.is(Verb::Get, Kind::Interaction, When::After)
            && looks.fetch_add(1, Ordering::SeqCst) < CALLERS;
        let seen = Arc::clone(&seen);
        async move {
            if first {
                seen.wait().await;
            }
            Ok(())
        }
    });
    let answers = at_once(CALLERS, &server, |server, _| {
        let page = page.clone();
        async move { server.decide(&page, "alice", "allow").await }
    })
    .await;
    // Who clicks so often is sent many codes, and each ends the one before.
    let mut tokens = Vec::new();
    for answer in &answers {
        match answer.status.as_u16() {
            303 => {
                let code = answer.parameter("code").unwrap();
                tokens.push(server.redeem(&code).await);
            }
            _ => answer.page(400),
        }
    }
    let [_] = successes(&tokens)[..] else {
        panic!("not exactly one code that is good in {tokens:?}");
    };
    all_others_are_invalid_grant(&tokens);
    assert_eq!(grants(&server).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn s07_of_a_yes_and_a_no_on_one_page_the_first_stands() {
    for (first, second) in [("allow", "deny"), ("deny", "allow")] {
        let (store, server) = start().await;
        let page = server.authorize("").await;
        let pause = Pause::at(&store, Verb::Replace, Kind::Interaction, When::Before);
        let late = pause
            .meets(&server, {
                let page = page.clone();
                async move |server| server.decide(&page, "alice", second).await
            })
            .await;
        let answer = server.decide(&page, "alice", first).await;
        assert_eq!(answer.parameter("code").is_some(), first == "allow");
        pause.go_on(late).await.page(400);
    }
}
