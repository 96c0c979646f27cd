//! What a node knows is out of date no longer than is documented, though nobody tells it any more.

use std::time::{Duration, Instant};

use crate::nodes::{Node, PATIENCE};
use crate::proxy::Proxy;
use crate::shared_stores;

/// Until the silence is noticed, as the stores say: what is waited for, and the time limit of the store.
const POSTGRES: Duration = Duration::from_secs(2 + 5);
const REDIS: Duration = Duration::from_secs(1 + 2);
/// How often all that is known is dropped from then on.
const DROPPED: Duration = Duration::from_secs(1);
/// How much longer it may take on a busy machine.
const BUSY: Duration = Duration::from_secs(3);

/// A token that a node knows, and another one has revoked.
async fn revoked(node: &Node, other: &Node) -> String {
    let token = other.job().await;
    assert!(node.takes(&token).await && node.takes(&token).await);
    other.revoke_of_job(&token).await;
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_feed_falls_silent_believes_nothing_longer_than_documented() {
    for store in shared_stores::each().await {
        let limit = if store.starts_with("postgres") {
            POSTGRES
        } else {
            REDIS
        };
        let network = Proxy::to(&store);
        let (deaf, other) = (Node::start(network.url(), &[]), Node::start(&store, &[]));
        let token = revoked(&deaf, &other).await;
        deaf.refuses_within(PATIENCE, &token).await;
        assert_eq!(network.swallowed(), 0);

        network.silence(true);
        let token = revoked(&deaf, &other).await;
        let waited = deaf.refuses_within(limit + BUSY, &token).await;
        println!("{}: noticed after {waited:?}", network.url());
        assert_ne!(network.swallowed(), 0, "it was told");
        // Now it knows that it is deaf.
        for _ in 0..3 {
            let token = revoked(&deaf, &other).await;
            deaf.refuses_within(DROPPED + BUSY, &token).await;
        }

        network.silence(false);
        let begun = Instant::now();
        loop {
            let token = revoked(&deaf, &other).await;
            let heard = deaf.refuses_within(PATIENCE, &token).await;
            if heard < DROPPED / 10 {
                break; // sooner than by dropping all, but for luck
            }
            assert!(begun.elapsed() < PATIENCE, "{heard:?}");
        }
    }
}
