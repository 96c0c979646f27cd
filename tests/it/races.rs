//! What happens in between, and what happens when the store fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower_oauth::MemoryStore;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Page, Record, Replace, Store, StoreError, Version,
};
use tower_oauth::types::{ClientId, Timestamp};

use crate::support::{DEVICE_CODE, FOR_ITSELF, Harness, SECRET, VERIFIER, alice, redemption};

/// A memory store that gives way before each step, fails when told, stops before one step, and notes what is written.
#[derive(Clone)]
struct Watched(Arc<Inner>);

struct Inner {
    store: MemoryStore,
    down: AtomicBool,
    fails: Mutex<Option<Step>>,
    stops: Mutex<Option<Stop>>,
    reads: AtomicUsize,
    written: Mutex<Vec<Bytes>>,
}

type Step = (&'static str, Kind);

/// Where somebody stops, and how they meet whoever lets them go.
#[derive(Clone)]
struct Stop {
    step: Step,
    reached: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

impl Watched {
    async fn start() -> (Arc<Harness>, Self) {
        let store = Self(Arc::new(Inner {
            store: MemoryStore::new(),
            down: AtomicBool::new(false),
            fails: Mutex::new(None),
            stops: Mutex::new(None),
            reads: AtomicUsize::new(0),
            written: Mutex::default(),
        }));
        let kept = store.clone();
        (
            Arc::new(Harness::with(|builder| builder.store(kept)).await),
            store,
        )
    }

    fn down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// The next such step fails.
    fn fail(&self, step: Step) {
        *self.0.fails.lock().unwrap() = Some(step);
    }

    /// Whoever comes to this step first waits there.
    fn stop(&self, step: Step) -> Stop {
        let none = || Arc::new(Semaphore::new(0));
        let (reached, go) = (none(), none());
        let stop = Stop { step, reached, go };
        *self.0.stops.lock().unwrap() = Some(stop.clone());
        stop
    }

    async fn pass(&self, step: Step) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        let stop = self
            .0
            .stops
            .lock()
            .unwrap()
            .take_if(|stop| stop.step == step);
        if let Some(stop) = stop {
            stop.reached.add_permits(1);
            drop(stop.go.acquire().await);
        }
        let fails = self.0.fails.lock().unwrap().take_if(|fails| *fails == step);
        if fails.is_some() || self.0.down.load(Ordering::SeqCst) {
            return Err(StoreError::new("the disk is on fire"));
        }
        Ok(())
    }

    fn note(&self, record: &Record) {
        self.0.written.lock().unwrap().push(record.value.clone());
    }
}

impl Store for Watched {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        self.pass(("insert", key.kind)).await?;
        self.note(&record);
        self.0.store.insert(key, record, now).await
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        self.pass(("get", key.kind)).await?;
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        self.0.store.get(key).await
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        self.pass(("replace", key.kind)).await?;
        self.note(&record);
        self.0.store.replace(key, read, record).await
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        self.pass(("remove", key.kind)).await?;
        self.0.store.remove(key).await
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        self.pass(("list", listing.kind)).await?;
        self.0.store.list(listing).await
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.0.store.purge(now, limit).await
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.0.store.changes(after).await
    }
}

// req: 6749-4.1.2-3
#[tokio::test]
async fn s04_of_64_who_redeem_a_code_at_once_one_at_most_wins_and_then_all_is_dead() {
    let (server, _) = Watched::start().await;
    let code = server.code_for("app", "").await;
    let mut all = JoinSet::new();
    for _ in 0..64 {
        let (server, code) = (server.clone(), code.clone());
        all.spawn(async move { server.redeem(&code).await });
    }
    let answers = all.join_all().await;
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert!(won.len() <= 1, "{won:?}");
    for answer in &answers {
        if answer.status != 200 {
            answer.error(400, "invalid_grant");
        }
    }
    for answer in won {
        let (access, refresh) = answer.pair();
        assert!(!server.is_active(&access).await);
        server
            .refresh(&refresh, "")
            .await
            .error(400, "invalid_grant");
    }
    assert!(
        server
            .oauth
            .grants()
            .by_subject(&alice())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn s05_all_who_refresh_at_once_get_one_and_the_same_successor() {
    let (server, _) = Watched::start().await;
    let (_, refresh) = server.tokens("").await.pair();
    let mut all = JoinSet::new();
    for _ in 0..64 {
        let (server, refresh) = (server.clone(), refresh.clone());
        all.spawn(async move { server.refresh(&refresh, "").await.pair() });
    }
    let pairs = all.join_all().await;
    let (_, next) = pairs[0].clone();
    for (access, refresh) in pairs {
        assert_eq!(refresh, next);
        assert!(server.is_active(&access).await);
    }
    server.refresh(&next, "").await.pair();
}

#[tokio::test]
async fn s07_a_device_code_is_redeemed_by_one_of_those_who_poll_at_once() {
    let (server, _) = Watched::start().await;
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    let mut all = JoinSet::new();
    for _ in 0..16 {
        let (server, device_code) = (server.clone(), device_code.clone());
        all.spawn(async move { server.poll(&device_code).await.status.as_u16() });
    }
    let won = all
        .join_all()
        .await
        .into_iter()
        .filter(|status| *status == 200);
    assert_eq!(won.count(), 1);
}

/// What somebody does while somebody else is being issued something.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Replay,
    RevokeGrant,
    GiveBack,
    RevokeSubject,
    RevokeClient,
    DisableClient,
}

async fn meanwhile(server: &Harness, what: Meanwhile, code: &str, refresh: &str) {
    let (app, oauth): (ClientId, _) = ("app".parse().unwrap(), &server.oauth);
    match what {
        Meanwhile::Replay => server.redeem(code).await.error(400, "invalid_grant"),
        Meanwhile::GiveBack => {
            let form = format!("client_id=app&token={refresh}");
            assert_eq!(server.post("/auth/revoke", &form).await.status, 200);
        }
        Meanwhile::RevokeGrant => {
            let grants = oauth.grants().by_subject(&alice()).await.unwrap();
            let revoked = oauth.grants().revoke(&alice(), &grants[0].id).await;
            assert!(revoked.unwrap());
        }
        Meanwhile::RevokeSubject => {
            oauth
                .grants()
                .revoke_all_of_subject(&alice())
                .await
                .unwrap();
        }
        Meanwhile::RevokeClient => assert!(oauth.clients().revoke_tokens(&app).await.unwrap()),
        Meanwhile::DisableClient => assert!(oauth.clients().disable(&app, true).await.unwrap()),
    }
}

// req: 7009-2.1-8, 6749-10.5-2
#[tokio::test]
async fn s06_what_is_revoked_while_more_of_it_is_issued_is_dead_with_what_was_issued() {
    use Meanwhile::{DisableClient, GiveBack, Replay, RevokeClient, RevokeGrant, RevokeSubject};
    let everywhere = [RevokeSubject, RevokeClient, DisableClient];
    let redeeming = [
        (("replace", Kind::Code), &everywhere[..]),
        (
            ("insert", Kind::Grant),
            &[Replay, RevokeSubject, RevokeClient, DisableClient],
        ),
        (
            ("insert", Kind::AccessToken),
            &[
                Replay,
                RevokeGrant,
                RevokeSubject,
                RevokeClient,
                DisableClient,
            ],
        ),
    ];
    let refreshing = [
        (
            ("get", Kind::Grant),
            &[RevokeGrant, GiveBack, RevokeSubject, RevokeClient][..],
        ),
        (
            ("replace", Kind::Grant),
            &[RevokeGrant, GiveBack, RevokeSubject, RevokeClient],
        ),
        (
            ("insert", Kind::AccessToken),
            &[RevokeGrant, GiveBack, RevokeSubject, DisableClient],
        ),
    ];
    let cases = redeeming.map(|case| (true, case)).into_iter();
    for (redeems, (step, revocations)) in cases.chain(refreshing.map(|case| (false, case))) {
        for what in revocations {
            let case = format!("{step:?} {what:?}");
            let (server, store) = Watched::start().await;
            let (mut code, mut refresh) = (String::new(), String::new());
            if redeems {
                code = server.code_for("app", "").await;
            } else {
                (_, refresh) = server.tokens("").await.pair();
            }
            let stop = store.stop(step);
            let issuing = tokio::spawn({
                let (server, code, refresh) = (server.clone(), code.clone(), refresh.clone());
                async move {
                    if redeems {
                        server.redeem(&code).await
                    } else {
                        server.refresh(&refresh, "").await
                    }
                }
            });
            drop(stop.reached.acquire().await);
            meanwhile(&server, *what, &code, &refresh).await;
            stop.go.add_permits(1);
            let answer = issuing.await.unwrap();
            if answer.status == 200 {
                let (access, refresh) = answer.pair();
                assert!(!server.is_active(&access).await, "{case}");
                let again = server.refresh(&refresh, "").await;
                assert!(again.status.is_client_error(), "{case}: {again:?}");
            } else {
                answer.error(400, "invalid_grant");
            }
            let left = server.oauth.grants().by_subject(&alice()).await;
            assert!(left.unwrap().is_empty(), "{case}");
        }
    }
}

// req: 7009-2.2.1-2, http-err-2
#[tokio::test]
async fn s06_a_store_that_fails_is_503_and_never_a_verdict() {
    let (server, store) = Watched::start().await;
    let (access, refresh) = server.tokens("").await.pair();
    let code = server.code_for("app", "").await;
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    let with_secret = format!("client_id=web&client_secret={SECRET}");
    let forms = [
        ("/auth/token", redemption("app", &code)),
        (
            "/auth/token",
            format!("grant_type=refresh_token&client_id=app&refresh_token={refresh}"),
        ),
        (
            "/auth/token",
            format!("grant_type={DEVICE_CODE}&client_id=tv&device_code={device_code}"),
        ),
        ("/auth/token", format!("{FOR_ITSELF}&{with_secret}")),
        (
            "/auth/introspect",
            format!("token={access}&client_id=all&client_secret=all-secret"),
        ),
        ("/auth/device", "client_id=tv".to_owned()),
        ("/auth/revoke", format!("client_id=app&token={access}")),
        ("/auth/revoke", format!("client_id=app&token={refresh}")),
    ];
    store.down(true);
    for (path, form) in &forms {
        let answer = server.post(path, form).await;
        answer.error(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), "1");
        assert!(!answer.text().contains("fire"), "{answer:?}");
    }
    store.down(false);
    assert!(server.is_active(&access).await, "it was not revoked");
    for (path, form) in &forms {
        let answer = server.post(path, form).await;
        assert_eq!(answer.status, 200, "{path} {form}: {answer:?}");
    }
    assert!(!server.is_active(&access).await);
}

// req: 7009-2.2.1-2
#[tokio::test]
async fn s06_a_revocation_that_is_not_kept_is_not_answered_as_one() {
    let (server, store) = Watched::start().await;
    let (access, refresh) = server.tokens("").await.pair();
    for (token, step) in [
        (&access, ("remove", Kind::AccessToken)),
        (&refresh, ("replace", Kind::Grant)),
    ] {
        store.fail(step);
        let form = format!("client_id=app&token={token}");
        let answer = server.post("/auth/revoke", &form).await;
        answer.error(503, "temporarily_unavailable");
        assert!(server.is_active(&access).await);
    }
    server.refresh(&refresh, "").await.pair();
}

#[tokio::test]
async fn s05_a_refresh_that_fails_half_way_is_tried_again_with_the_same_token() {
    let (server, store) = Watched::start().await;
    let (_, refresh) = server.tokens("").await.pair();
    for step in [("replace", Kind::Grant), ("insert", Kind::AccessToken)] {
        store.fail(step);
        let answer = server.refresh(&refresh, "").await;
        answer.error(503, "temporarily_unavailable");
        server.advance(29);
    }
    let (_, next) = server.refresh(&refresh, "").await.pair();
    server.advance(31);
    server.refresh(&next, "").await.pair();
}

#[tokio::test]
async fn s04_a_code_whose_redemption_failed_half_way_gives_nothing_to_anybody() {
    for step in [("insert", Kind::Grant), ("insert", Kind::AccessToken)] {
        let (server, store) = Watched::start().await;
        let code = server.code_for("app", "").await;
        store.fail(step);
        let answer = server.redeem(&code).await;
        answer.error(503, "temporarily_unavailable");
        server.redeem(&code).await.error(400, "invalid_grant");
        let left = server.oauth.grants().by_subject(&alice()).await;
        assert!(left.unwrap().is_empty(), "{step:?}");
    }
}

// req: 6749-10.3-1, 6749-10.4-1, http-basic-6
#[tokio::test]
async fn rfc6749_10_3_nothing_that_is_kept_can_be_presented() {
    let (server, store) = Watched::start().await;
    let page = server.authorize("").await;
    let interaction = page.hidden("interaction");
    let answer = server.decide(&page, "alice", "allow").await;
    let code = answer.parameter("code").unwrap();
    let (access, first) = server.redeem(&code).await.pair();
    let (_, second) = server.refresh(&first, "").await.pair();
    let (device_code, user_code) = server.device().await;
    server.enter(&user_code, "bob").await;
    let web = "web".parse().unwrap();
    let secret = server.oauth.clients().rotate_secret(&web).await.unwrap();
    let secret = secret.unwrap().expose().to_owned();

    let written = store.0.written.lock().unwrap().concat();
    let text = String::from_utf8(written).unwrap();
    assert!(text.contains("alice") && text.contains("ledger.read"));
    for secret in [
        &*interaction,
        &code,
        &access,
        &first,
        &second,
        &device_code,
        SECRET,
        &secret,
        VERIFIER,
    ] {
        for part in [secret, &secret[secret.len() - 10..]] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
    }
}

// req: 7009-5-1
#[tokio::test]
async fn rfc7009_5_a_useless_hint_or_token_costs_no_further_look_ups() {
    let (server, store) = Watched::start().await;
    let (access, refresh) = server.tokens("").await.pair();
    for (token, look_ups) in [("x", 1), (&*access, 2), (&refresh, 3)] {
        for hint in ["", "access_token", "refresh_token", "foo"] {
            let before = store.0.reads.load(Ordering::SeqCst);
            let form = format!("client_id=tv&token={token}&token_type_hint={hint}");
            server.post("/auth/revoke", &form).await;
            let reads = store.0.reads.load(Ordering::SeqCst) - before;
            assert!(reads <= look_ups, "{token} {hint}: {reads}");
        }
    }
}
