//! One code and one refresh token, used at all nodes at once.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::app::App;
use crate::nodes::{Node, PATIENCE};
use crate::shared_stores;

/// How many ask at once.
const AT_ONCE: usize = 50;

/// What the token endpoints say to the same form, sent to all nodes in turn by so many at once.
async fn all_at_once(nodes: &Arc<Vec<Node>>, form: &[(&str, &str)]) -> Vec<(u16, Value)> {
    let form: Vec<_> = form
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let (form, start) = (Arc::new(form), Arc::new(Barrier::new(AT_ONCE)));
    let mut asking = JoinSet::new();
    for number in 0..AT_ONCE {
        let (nodes, form, start) = (Arc::clone(nodes), Arc::clone(&form), Arc::clone(&start));
        asking.spawn(async move {
            let node = &nodes[number % nodes.len()];
            node.get("/health").await; // so that there is a connection
            start.wait().await;
            let form: Vec<_> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            node.token(&form).await
        });
    }
    asking.join_all().await
}

fn text(answer: &Value, member: &str) -> String {
    answer[member]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_redemptions_of_one_code_at_three_nodes_one_succeeds() {
    for store in shared_stores::each().await {
        let nodes = Arc::new(Node::start_all(3, &store, &[]));
        let id = App::register(nodes[0].base()).await;
        for round in 0..3 {
            let code = nodes[round].app(&id).code("notes:read").await;
            let form = [
                ("grant_type", "authorization_code"),
                ("client_id", &id),
                ("code", &code.code),
                ("code_verifier", &code.verifier),
                ("redirect_uri", crate::app::REDIRECT_URI),
            ];
            let answers = all_at_once(&nodes, &form).await;
            let (given, refused): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|(status, _)| *status == 200);
            assert_eq!(given.len(), 1, "{given:?}");
            for (status, answer) in refused {
                assert_eq!((status, &*text(&answer, "error")), (400, "invalid_grant"));
            }
            // The others were replays (RFC 6749 §4.1.2).
            let token = text(&given[0].1, "access_token");
            for node in nodes.iter() {
                node.refuses_within(PATIENCE, &token).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_who_refresh_at_three_nodes_get_one_successor_and_none_after_reuse() {
    for store in shared_stores::each().await {
        let nodes = Arc::new(Node::start_all(3, &store, &[]));
        let id = App::register(nodes[0].base()).await;
        let code = nodes[0].app(&id).code("notes:read").await;
        let first = nodes[1].app(&id).redeem(&code).await.unwrap().refresh;
        let form = |token| {
            [
                ("grant_type", "refresh_token"),
                ("client_id", id.as_str()),
                ("refresh_token", token),
            ]
        };
        let answers = all_at_once(&nodes, &form(&first)).await;
        assert!(
            answers.iter().all(|(status, _)| *status == 200),
            "{answers:?}"
        );
        let successors: HashSet<_> = answers
            .iter()
            .map(|(_, answer)| text(answer, "refresh_token"))
            .collect();
        assert_eq!(successors.len(), 1);
        let access = text(&answers[0].1, "access_token");
        for node in nodes.iter() {
            assert!(node.takes(&access).await);
        }

        let second = successors.into_iter().next().unwrap();
        let (status, third) = nodes[2].token(&form(&second)).await;
        assert_eq!(status, 200, "{third}");
        // The first one was used up two generations ago: somebody else has it (RFC 9700 §4.14.2).
        for (status, answer) in all_at_once(&nodes, &form(&first)).await {
            assert_eq!((status, &*text(&answer, "error")), (400, "invalid_grant"));
        }
        let third = text(&third, "refresh_token");
        for (status, answer) in all_at_once(&nodes, &form(&third)).await {
            assert_eq!((status, &*text(&answer, "error")), (400, "invalid_grant"));
        }
        for node in nodes.iter() {
            node.refuses_within(PATIENCE, &access).await;
        }
    }
}
