//! No answer leaves before the sync that covers it: the store is SQLite here, whatever is named, and each commit is held.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{Semaphore, mpsc};
use tower_oauth::store::{CommitPoint, Key, Kind, SqliteStore, Store as _, StoreError};
use tower_oauth::types::{Digest, ManualClock};

use crate::hooked::{Hooked, Verb, When};
use crate::support::{Answer, Harness, NOW, SECRET};
use crate::waits::soon;

async fn start() -> (Hooked, SqliteStore, Harness) {
    let (hooked, store) = Hooked::sqlite().await;
    let server = Harness::on(hooked.clone(), &ManualClock::new(NOW), |builder| builder);
    server.create_clients().await;
    (hooked, store, server)
}

/// Holds each commit, before and after, until it is let go.
struct Commits {
    at: mpsc::UnboundedReceiver<CommitPoint>,
    let_go: Arc<Semaphore>,
    begun: usize,
}

impl Commits {
    fn held(store: &SqliteStore) -> Self {
        let (tell, at) = mpsc::unbounded_channel();
        let let_go = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&let_go);
        store.on_commit(move |point| {
            let (tell, gate) = (tell.clone(), Arc::clone(&gate));
            async move {
                tell.send(point).map_err(StoreError::new)?;
                gate.acquire().await.map_err(StoreError::new)?.forget();
                Ok(())
            }
        });
        let begun = 0;
        Self { at, let_go, begun }
    }

    async fn next(&mut self) -> CommitPoint {
        let point = soon("a commit", self.at.recv()).await.unwrap();
        self.begun += usize::from(point == CommitPoint::Before);
        point
    }

    async fn at(&mut self, point: CommitPoint) {
        assert_eq!(self.next().await, point);
    }

    fn let_go(&self) {
        self.let_go.add_permits(1);
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// The answer is not there, though all others have had their turns.
async fn is_not_answered(asked: &mut Asked<'_>) {
    for _ in 0..10 {
        tokio::task::yield_now().await;
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = asked.as_mut().poll(&mut nobody) {
            panic!("the answer was there before its commit: {answer:?}");
        }
    }
}

/// Lets a request go on from commit to commit, and looks at each whether it has been answered. Says how many there were.
async fn answered_after_its_commits(store: &SqliteStore, mut asked: Asked<'_>) -> (Answer, usize) {
    let mut commits = Commits::held(store);
    loop {
        tokio::select! {
            biased;
            _ = commits.next() => {}
            answer = &mut asked => {
                store.on_commit(|_| async { Ok(()) });
                return (answer, commits.begun);
            }
        }
        is_not_answered(&mut asked).await;
        commits.let_go();
    }
}

async fn stands(store: &SqliteStore, token: &str) -> bool {
    let bytes = URL_SAFE_NO_PAD.decode(&token["toa_".len()..]).unwrap();
    let mut digest = *Digest::of("access_token", &bytes).as_bytes();
    digest[..6].copy_from_slice(&bytes[..6]);
    let key = Key::new(Kind::AccessToken, Digest::from_bytes(digest));
    store.get(key).await.unwrap().is_some()
}

const FOR_ITSELF: &str = "grant_type=client_credentials&scope=ledger.read";

#[tokio::test]
async fn a_token_for_the_client_itself_is_answered_after_its_commit() {
    let (_, store, server) = start().await;
    let asked = Box::pin(server.post_as("/auth/token", ("web", SECRET), FOR_ITSELF));
    let (answer, commits) = answered_after_its_commits(&store, asked).await;
    assert_eq!((answer.status.as_u16(), commits), (200, 1), "token");
    assert!(stands(&store, &answer.member("access_token")).await);
}

#[tokio::test]
async fn a_code_is_sent_and_redeemed_after_its_commits() {
    let (_, store, server) = start().await;
    let page = server.authorize("").await;
    let asked = Box::pin(server.decide(&page, "alice", "allow"));
    let (sent, commits) = answered_after_its_commits(&store, asked).await;
    assert_eq!(commits, 3, "interaction, code, consent");
    let code = sent.parameter("code").unwrap();
    let (answer, commits) =
        answered_after_its_commits(&store, Box::pin(server.redeem(&code))).await;
    assert_eq!(
        (answer.status.as_u16(), commits),
        (200, 3),
        "code, grant, token"
    );
    assert!(stands(&store, &answer.member("access_token")).await);
}

#[tokio::test]
async fn s05_a_refresh_is_answered_after_its_commits() {
    let (_, store, server) = start().await;
    let old = server.tokens("").await.member("refresh_token");
    let (answer, commits) =
        answered_after_its_commits(&store, Box::pin(server.refresh(&old, ""))).await;
    assert_eq!((answer.status.as_u16(), commits), (200, 2), "grant, token");
    assert!(stands(&store, &answer.member("access_token")).await);
}

// req: 7009-2.1-8
#[tokio::test]
async fn s06_a_revocation_is_answered_after_its_commit() {
    let (_, store, server) = start().await;
    let tokens = server.tokens("").await;
    for kind in ["access_token", "refresh_token"] {
        let form = format!("client_id=app&token={}", tokens.member(kind));
        let asked = Box::pin(server.post("/auth/revoke", &form));
        let (answer, commits) = answered_after_its_commits(&store, asked).await;
        assert_eq!((answer.status.as_u16(), commits), (200, 1), "{kind}");
    }
    assert!(!stands(&store, &tokens.member("access_token")).await);
}

#[tokio::test]
async fn a_device_code_is_told_and_redeemed_after_its_commits() {
    let (_, store, server) = start().await;
    let asked = Box::pin(server.post("/auth/device", "client_id=tv&scope=ledger.read"));
    let (told, commits) = answered_after_its_commits(&store, asked).await;
    assert_eq!(commits, 3, "the server's key, user code, device");
    let page = server.enter(&told.member("user_code"), "alice").await;
    let asked = Box::pin(server.decide(&page, "alice", "allow"));
    let (done, commits) = answered_after_its_commits(&store, asked).await;
    assert_eq!((done.status.as_u16(), commits), (200, 2), "device, request");
    let device_code = told.member("device_code");
    let (answer, commits) =
        answered_after_its_commits(&store, Box::pin(server.poll(&device_code))).await;
    assert_eq!(
        (answer.status.as_u16(), commits),
        (200, 3),
        "device, grant, token"
    );
}

#[tokio::test]
async fn s06_a_commit_that_fails_is_503_and_nothing_of_it_stands() {
    let (_, store, server) = start().await;
    let tokens = server.tokens("").await;
    let refresh = tokens.member("refresh_token");
    store.on_commit(|point| async move {
        match point {
            CommitPoint::Before => Err(StoreError::new("the disk is full")),
            CommitPoint::After => Ok(()),
        }
    });
    let form = format!("client_id=app&token={refresh}");
    for answer in [
        server.post("/auth/revoke", &form).await,
        server.refresh(&refresh, "").await,
        server
            .post_as("/auth/token", ("web", SECRET), FOR_ITSELF)
            .await,
    ] {
        answer.error(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    store.on_commit(|_| async { Ok(()) });
    assert!(server.is_active(&tokens.member("access_token")).await);
    assert_eq!(server.refresh(&refresh, "").await.status, 200);
}

/// A permit for each access token that the store is asked to keep.
fn tokens_asked_for(store: &Hooked) -> Arc<Semaphore> {
    let came = Arc::new(Semaphore::new(0));
    let told = Arc::clone(&came);
    store.on_step(move |step| {
        if step.is(Verb::Insert, Kind::AccessToken, When::Before) {
            told.add_permits(1);
        }
        async { Ok(()) }
    });
    came
}

const CALLERS: u32 = 50;

#[tokio::test]
async fn fifty_who_ask_while_one_is_being_synced_share_the_next_sync() {
    let (hooked, store, server) = start().await;
    // Who has come to the store with a token stands in the queue of its writer as soon as the others have their turn.
    let all = tokens_asked_for(&hooked);
    let mut commits = Commits::held(&store);
    let server = Arc::new(server);
    let ask = || {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            server
                .post_as("/auth/token", ("web", SECRET), FOR_ITSELF)
                .await
        })
    };
    let mut asked = vec![ask()];
    commits.at(CommitPoint::Before).await;
    asked.extend((1..CALLERS).map(|_| ask()));
    let came = soon("all callers", all.acquire_many(CALLERS)).await;
    came.unwrap().forget();
    let turns = async || {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    turns().await;
    let answered = |asked: &[tokio::task::JoinHandle<Answer>]| {
        asked.iter().filter(|asked| asked.is_finished()).count()
    };
    assert_eq!(answered(&asked), 0);

    commits.let_go();
    commits.at(CommitPoint::After).await;
    turns().await;
    assert_eq!(
        answered(&asked),
        0,
        "the first is committed, and not answered"
    );
    commits.let_go();
    commits.at(CommitPoint::Before).await;
    turns().await;
    assert_eq!(answered(&asked), 1, "the first is answered, and no other");
    commits.let_go();
    commits.at(CommitPoint::After).await;
    turns().await;
    assert_eq!(answered(&asked), 1);
    commits.let_go();
    for asked in asked {
        let answer = soon("an answer", asked).await.unwrap();
        assert!(stands(&store, &answer.member("access_token")).await);
    }
    assert!(commits.at.try_recv().is_err());
    assert_eq!(commits.begun, 2, "{CALLERS} answers needed two commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_are_answered_with_fewer_commits_than_answers_and_each_stands_by_then() {
    let (hooked, store, server) = start().await;
    let (all, commits) = (tokens_asked_for(&hooked), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&commits);
    store.on_commit(move |point| {
        let first = point == CommitPoint::Before && counted.load(Ordering::SeqCst) == 0;
        counted.fetch_add(u32::from(point == CommitPoint::After), Ordering::SeqCst);
        let all = Arc::clone(&all);
        async move {
            if first {
                all.acquire_many(CALLERS)
                    .await
                    .map_err(StoreError::new)?
                    .forget();
            }
            Ok(())
        }
    });
    let (server, gate) = (
        Arc::new(server),
        Arc::new(tokio::sync::Barrier::new(CALLERS as usize)),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (server, store, gate) = (Arc::clone(&server), store.clone(), Arc::clone(&gate));
        tasks.spawn(async move {
            gate.wait().await;
            let answer = server
                .post_as("/auth/token", ("web", SECRET), FOR_ITSELF)
                .await;
            assert!(stands(&store, &answer.member("access_token")).await);
        });
    }
    soon("the answers to all callers", tasks.join_all()).await;
    let commits = commits.load(Ordering::SeqCst);
    assert!(
        (1..CALLERS).contains(&commits),
        "{commits} commits for {CALLERS} answers"
    );
    println!("{CALLERS} answers, {commits} commits");
}
