//! How soon a token that one node has revoked is refused by the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::nodes::{Node, PATIENCE};
use crate::shared_stores;

/// So many revocations, by so many at once: few, since how long they wait for each other is not what is measured.
const REVOCATIONS: usize = 1000;
const AT_ONCE: usize = 4;

/// What half of them may take at most, and the slowest.
const MEDIAN: Duration = Duration::from_millis(100);
const WORST: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_at_one_node_is_a_401_at_the_others_in_no_time() {
    for store in shared_stores::each().await {
        let nodes = Arc::new(Node::start_all(3, &store, &[]));
        let mut revoking = JoinSet::new();
        for number in 0..AT_ONCE {
            let nodes = Arc::clone(&nodes);
            revoking.spawn(async move {
                let mut took = Vec::new();
                for round in 0..REVOCATIONS / AT_ONCE {
                    let turn = |by: usize| &nodes[(number + round + by) % 3];
                    took.extend(revoked(turn(0), [turn(1), turn(2)]).await);
                }
                took
            });
        }
        let mut took: Vec<_> = revoking.join_all().await.into_iter().flatten().collect();
        took.sort_unstable();
        let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
        let (scheme, _) = store.split_once(':').unwrap();
        println!(
            "{scheme}: {REVOCATIONS} revocations were 401 at two other nodes after {median:?} (median), {worst:?} (worst)"
        );
        assert!(median < MEDIAN, "{scheme}: {median:?}");
        assert!(worst < WORST, "{scheme}: {worst:?}");
    }
}

/// Revokes a token that the others know, and says how long after the answer each of them has refused it.
async fn revoked(one: &Node, others: [&Node; 2]) -> [Duration; 2] {
    let token = one.job().await;
    for node in others {
        // First it is read, and then it is known.
        assert!(node.takes(&token).await && node.takes(&token).await);
    }
    one.revoke_of_job(&token).await;
    let [this, that] = others.map(|node| node.refuses_within(PATIENCE, &token));
    tokio::join!(this, that).into()
}
