//! A Redis loses what it held: what is gone is what its documentation says, and nothing that is gone opens anything.

use crate::node::Node;
use crate::place::Place;
use crate::redis_own::Own;
use crate::redis_server::available;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_has_lost_everything_is_a_new_one() {
    let Some(()) = available() else { return };
    let mut server = Own::start(&["--save", ""]);
    let node = Node::start(&Place::redis(&server.url(), LIMIT)).await;
    let used = node.code("alice").await;
    let tokens = node.redeem(&used).await.ok();
    let access = tokens.member("access_token");
    let unused = node.code("alice").await;
    let revoked = node.for_itself().await.ok().member("access_token");
    node.revoke(&revoked).await.ok();
    assert_eq!(node.api(&access).await.status, 200); // and known from then on

    server.kill();
    server.start_again();
    // Until the node has noticed, what it knows is good. Then nobody knows it, and no client is known.
    until(async || node.api(&access).await.status == 401).await;
    until(async || node.for_itself().await.status == 401).await;
    node.for_itself().await.error(401, "invalid_client");
    node.create_clients().await;
    until(async || node.for_itself().await.status == 200).await;
    for token in [&access, &revoked] {
        assert!(!node.is_active(token).await);
        assert_eq!(node.api(token).await.status, 401);
    }
    for code in [&used, &unused] {
        node.redeem(code).await.error(400, "invalid_grant");
    }
    let refresh = tokens.member("refresh_token");
    node.refresh(&refresh).await.error(400, "invalid_grant");
    // People sign in again.
    let tokens = node.tokens("alice").await;
    assert!(node.is_active(&tokens.member("access_token")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_older_data_has_undone_what_was_written_since() {
    let Some(()) = available() else { return };
    let mut server = Own::start(&["--save", ""]);
    let node = Node::start(&Place::redis(&server.url(), LIMIT)).await;
    let code = node.code("alice").await;
    let token = node.for_itself().await.ok().member("access_token");
    let mut administrator = redis::Client::open(server.url())
        .and_then(|client| client.get_connection())
        .unwrap();
    redis::cmd("SAVE").exec(&mut administrator).unwrap();
    node.revoke(&token).await.ok();
    let later = node.redeem(&code).await.ok().member("access_token");

    server.kill();
    server.start_again();
    until(async || node.api(&later).await.status == 401).await;
    // As its documentation warns: what was revoked just before lives, and the code is there once more, and once alone.
    assert!(node.is_active(&token).await);
    node.redeem(&code).await.ok();
    node.redeem(&code).await.error(400, "invalid_grant");
}

#[expect(clippy::future_not_send, reason = "it is awaited where it is made")]
async fn until(is_so: impl AsyncFn() -> bool) {
    let so = async { while !is_so().await {} };
    let so = tokio::time::timeout(LIMIT * 4, so).await;
    so.expect("the node has not noticed");
}
