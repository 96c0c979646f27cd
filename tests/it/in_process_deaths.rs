//! How tokens of a server in the same process die: at once, whoever ends them, whatever is being read meanwhile.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower_oauth::AuthorizationServer;
use tower_oauth::resource::{Issuer, Refusal, ResourceServer};
use tower_oauth::store::Kind;
use tower_oauth::types::Subject;

use crate::in_process::{Feed, Node, send};
use crate::support::{FOR_ITSELF, LEDGER, builder};
use crate::waits::{soon, until};

/// Proves that something ends a warm token of alice's at once, with nothing told by the feed.
async fn ends(kill: impl AsyncFnOnce(&Node, &Tokens)) {
    let node = Node::new().await;
    node.store.feed(Feed::Silent);
    let code = node
        .server
        .code_for("app", "&scope=ledger.read+offline_access")
        .await;
    let answer = node.server.redeem(&code).await;
    let tokens = Tokens {
        code,
        access_token: answer.member("access_token"),
        refresh_token: answer.member("refresh_token"),
    };
    node.warm(&tokens.access_token).await;
    let known = node
        .ledger
        .authenticate(&tokens.access_token)
        .await
        .unwrap();
    let other = node.client_token().await;
    node.warm(&other).await;
    kill(&node, &tokens).await;
    assert!(!known.is_live());
    for _ in ["the very next request", "every other"] {
        let answer = send(&node.ledger, &tokens.access_token).await;
        answer.error(401, "invalid_token");
    }
    assert_eq!(node.status(&other).await, 200, "another client's token");
}

struct Tokens {
    code: String,
    access_token: String,
    refresh_token: String,
}

async fn revoke(node: &Node, token: &str) {
    let form = format!("client_id=app&token={token}");
    let answer = node.server.post("/auth/revoke", &form).await;
    assert_eq!(answer.status, 200);
}

// req: 7009-2-2, 7009-2.1-8
#[tokio::test]
async fn rfc7009_2_1_a_revoked_access_token_is_dead_at_the_next_request() {
    ends(async |node, tokens| revoke(node, &tokens.access_token).await).await;
}

// req: 7009-2-1, 7009-2.1-9
#[tokio::test]
async fn rfc7009_2_1_with_its_refresh_token_an_access_token_dies() {
    ends(async |node, tokens| revoke(node, &tokens.refresh_token).await).await;
}

// req: 6749-4.1.2-4
#[tokio::test]
async fn rfc6749_4_1_2_a_replayed_code_ends_what_came_of_it() {
    ends(async |node, tokens| {
        node.server
            .redeem(&tokens.code)
            .await
            .error(400, "invalid_grant");
    })
    .await;
}

#[tokio::test]
async fn rfc9700_4_14_a_reused_refresh_token_ends_the_family() {
    ends(async |node, tokens| {
        let next = node.server.refresh(&tokens.refresh_token, "").await;
        let newer = next.member("access_token");
        node.server.advance(31);
        node.warm(&newer).await;
        node.warm(&tokens.access_token).await;
        node.server
            .refresh(&tokens.refresh_token, "")
            .await
            .error(400, "invalid_grant");
        assert_eq!(node.status(&newer).await, 401);
    })
    .await;
}

#[tokio::test]
async fn the_host_ends_a_grant_a_subject_or_a_client() {
    let alice = || Subject::new("alice").unwrap();
    ends(async |node, _| {
        let grants = node.server.oauth.grants();
        for grant in grants.by_subject(&alice()).await.unwrap() {
            assert!(grants.revoke(&alice(), &grant.id).await.unwrap());
        }
    })
    .await;
    ends(async |node, _| {
        let grants = node.server.oauth.grants();
        grants.revoke_all_of_subject(&alice()).await.unwrap();
    })
    .await;
    let app = || "app".parse().unwrap();
    ends(async |node, _| {
        let clients = node.server.oauth.clients();
        assert!(clients.disable(&app(), true).await.unwrap());
    })
    .await;
    ends(async |node, _| {
        let clients = node.server.oauth.clients();
        assert!(clients.revoke_tokens(&app()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn what_kills_nothing_costs_a_look_and_never_a_401() {
    let node = Node::new().await;
    let token = node.client_token().await;
    node.warm(&token).await;
    let web = "web".parse().unwrap();
    let secret = node.server.oauth.clients().rotate_secret(&web).await;
    assert!(secret.unwrap().is_some());
    let asked = node.store.asked();
    assert_eq!(node.status(&token).await, 200);
    assert!(node.store.asked() > asked, "the store was asked again");
    node.warm(&token).await;
}

/// A feed begins by saying that something may have been missed.
#[tokio::test]
async fn a_token_of_an_earlier_life_is_good_from_the_first_request_on() {
    let before = Node::new().await;
    let token = before.client_token().await;
    let oauth = another_node(&before);
    let ledger = ResourceServer::builder(LEDGER)
        .issuer(Issuer::in_process(&oauth))
        .clock(before.server.clock.clone())
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(send(&ledger, &token).await.status, 200);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_revocation_while_a_token_is_checked_wins() {
    for kind in [
        Kind::AccessToken,
        Kind::Client,
        Kind::Grant,
        Kind::SubjectEpoch,
    ] {
        let node = Node::new().await;
        node.store.feed(Feed::Silent);
        let tokens = node
            .server
            .tokens("&scope=ledger.read+offline_access")
            .await;
        let token = tokens.member("access_token");
        node.server.forget("app").await;
        let (was_made, go) = node.store.hold(kind);
        let check = tokio::spawn({
            let (ledger, token) = (node.ledger.clone(), token.clone());
            async move { ledger.authenticate(&token).await }
        });
        soon("the read", was_made).await.unwrap();
        match kind {
            Kind::AccessToken => revoke(&node, &token).await,
            Kind::Grant => revoke(&node, &tokens.member("refresh_token")).await,
            Kind::Client => {
                let clients = node.server.oauth.clients();
                assert!(
                    clients
                        .disable(&"app".parse().unwrap(), true)
                        .await
                        .unwrap()
                );
            }
            _ => {
                let (grants, alice) = (node.server.oauth.grants(), Subject::new("alice").unwrap());
                grants.revoke_all_of_subject(&alice).await.unwrap();
            }
        }
        go.send(()).unwrap();
        let checked = soon("the check", check).await.unwrap();
        assert_eq!(checked.unwrap_err(), Refusal::InvalidToken);
        assert_eq!(node.status(&token).await, 401, "nothing was kept: {kind:?}");
    }
}

#[tokio::test]
async fn a_change_that_kills_nothing_while_a_token_is_checked_is_no_refusal() {
    let node = Node::new().await;
    let token = node.client_token().await;
    node.server.forget("web").await;
    let (was_made, go) = node.store.hold(Kind::Client);
    let check = tokio::spawn({
        let (ledger, token) = (node.ledger.clone(), token.clone());
        async move { ledger.authenticate(&token).await }
    });
    soon("the read", was_made).await.unwrap();
    let web = "web".parse().unwrap();
    let secret = node.server.oauth.clients().rotate_secret(&web).await;
    assert!(secret.unwrap().is_some());
    go.send(()).unwrap();
    let checked = soon("the check", check).await.unwrap();
    assert_eq!(checked.unwrap().subject().as_str(), "web");
}

#[tokio::test]
async fn what_another_node_kills_dies_here_without_a_request() {
    let node = Node::new().await;
    let other = another_node(&node);
    let token = node.server.tokens("").await.member("access_token");
    node.warm(&token).await;
    let known = node.ledger.authenticate(&token).await.unwrap();
    let alice = Subject::new("alice").unwrap();
    other.grants().revoke_all_of_subject(&alice).await.unwrap();
    let asked = node.store.asked();
    until("the end of the token", async || !known.is_live()).await;
    assert_eq!(node.store.asked(), asked, "the feed told it");
    assert_eq!(node.status(&token).await, 401);
}

#[tokio::test]
async fn s06_a_client_that_another_node_switched_off_gets_nothing_here_as_soon_as_it_is_heard_of() {
    let node = Node::new().await;
    let other = another_node(&node);
    let mut status = 0;
    for _ in 0..2 {
        status = node.server.web(FOR_ITSELF).await.status.as_u16();
    }
    assert_eq!(status, 200, "the client is known by now");
    let web = "web".parse().unwrap();
    assert!(other.clients().disable(&web, true).await.unwrap());
    for _ in 0..10_000 {
        status = node.server.web(FOR_ITSELF).await.status.as_u16();
        if status != 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(status, 401, "the feed told it");
}

fn another_node(node: &Node) -> AuthorizationServer {
    builder()
        .store(node.store.clone())
        .clock(node.server.clock.clone())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_feed_that_lost_something_or_broke_off_makes_everything_cold_and_nothing_dead() {
    for feed in [Feed::Loses, Feed::Fails] {
        let node = Node::new().await;
        node.store.feed(Feed::Silent);
        let token = node.server.tokens("").await.member("access_token");
        let lives = node.client_token().await;
        node.warm(&token).await;
        node.warm(&lives).await;
        let known = node.ledger.authenticate(&token).await.unwrap();
        let alice = Subject::new("alice").unwrap();
        let other = another_node(&node);
        other.grants().revoke_all_of_subject(&alice).await.unwrap();
        assert_eq!(node.status(&token).await, 200, "nobody told us yet");
        node.store.feed(feed);
        until("the end of the token", async || !known.is_live()).await;
        let asked = node.store.asked();
        assert_eq!(node.status(&token).await, 401, "{feed:?}");
        assert_eq!(node.status(&lives).await, 200, "{feed:?}");
        assert!(node.store.asked() > asked);
        node.warm(&lives).await;
    }
}

// req: 7009-PROJ-2
#[tokio::test]
async fn without_a_feed_nothing_is_believed_for_longer_than_the_store_says() {
    let node = Node::new().await;
    node.store.feed(Feed::Unsupported);
    let token = node.server.tokens("").await.member("access_token");
    node.warm(&token).await;
    let known = node.ledger.authenticate(&token).await.unwrap();
    let alice = Subject::new("alice").unwrap();
    let other = another_node(&node);
    other.grants().revoke_all_of_subject(&alice).await.unwrap();
    node.server.advance(4);
    assert_eq!(node.status(&token).await, 200, "five seconds are not over");
    node.server.advance(1);
    until("the end of the token", async || !known.is_live()).await;
    assert_eq!(node.status(&token).await, 401);
}

#[test]
fn background_tasks_start_as_soon_as_there_is_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.unwrap();
    let node = runtime.block_on(Node::new());
    let token = at_once(node.server.tokens("")).member("access_token");
    assert_eq!(at_once(node.status(&token)), 200);
    runtime.block_on(async {
        node.server.advance(60);
        node.warm(&token).await;
        let known = node.ledger.authenticate(&token).await.unwrap();
        let alice = Subject::new("alice").unwrap();
        let other = another_node(&node);
        other.grants().revoke_all_of_subject(&alice).await.unwrap();
        until("the end of the token", async || !known.is_live()).await;
    });
}

/// What comes of a future that has nothing to wait for, without a runtime.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test]
async fn background_tasks_end_with_the_last_clone() {
    for feed in [Feed::Tells, Feed::Silent, Feed::Unsupported] {
        let node = Node::new().await;
        node.store.feed(feed);
        let token = node.client_token().await;
        node.warm(&token).await;
        let clock = node.server.clock.clone();
        let Node {
            server,
            store,
            ledger,
        } = node;
        let store = store.downgrade();
        drop(server);
        // The resource server holds a clone: the feed is still listened to.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(store.strong_count() > 0);
        assert_eq!(send(&ledger, &token).await.status, 200);
        drop(ledger);
        until("the end of the tasks", async || store.strong_count() == 0).await;
        drop(clock);
    }
}

/// Who drops all that is cached says that anything may be dead, and never that a token is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s06_a_feed_that_doubts_everything_costs_no_live_token_a_401() {
    let node = Node::new().await;
    node.store.feed(Feed::Doubts);
    let token = node.client_token().await;
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (ledger, token) = (node.ledger.clone(), token.clone());
        askers.spawn(async move {
            let mut passed = 0;
            for _ in 0..10_000 {
                match soon("a verdict", ledger.authenticate(&token)).await {
                    Ok(_) => passed += 1,
                    // It changed each time it was read, which says nothing about it.
                    Err(Refusal::Unavailable) => {}
                    Err(refusal) => panic!("{refusal:?}"),
                }
                tokio::task::yield_now().await;
            }
            passed
        });
    }
    let passed: u32 = askers.join_all().await.into_iter().sum();
    assert!(passed > 0, "it was never believed");
}
