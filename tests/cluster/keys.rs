//! The keys that nodes agree on through their store.

use std::collections::HashSet;
use std::time::Instant;

use serde_json::Value;
use tower_oauth::server::{AccessTokenFormat, AuthorizationServerBuilder};
use tower_oauth::types::SigningAlgorithm;
use tower_oauth::{AuthorizationServer, PostgresStore, RedisStore};

use crate::nodes::{ISSUER, Node, PATIENCE};
use crate::shared_stores;

/// The JWK sets of all, as they are served.
async fn jwk_sets(nodes: &[Node]) -> HashSet<String> {
    let mut sets = HashSet::new();
    for node in nodes {
        let answer = node.get("/auth/jwks.json").await;
        assert_eq!(answer.status(), 200);
        sets.insert(answer.text().await.unwrap());
    }
    sets
}

/// The names of the keys that all serve, once they serve the same ones, and so many.
async fn kids(nodes: &[Node], count: usize) -> HashSet<String> {
    let begun = Instant::now();
    loop {
        let sets = jwk_sets(nodes).await;
        let set: Value = serde_json::from_str(sets.iter().next().unwrap()).unwrap();
        let keys = set["keys"].as_array().unwrap();
        if sets.len() == 1 && keys.len() == count {
            let kid = |key: &Value| key["kid"].as_str().unwrap().to_owned();
            return keys.iter().map(kid).collect();
        }
        assert!(begun.elapsed() < PATIENCE, "{sets:?}");
    }
}

/// One more node, in this process, whose operator does something about the keys.
async fn operator(store: &str) -> AuthorizationServer {
    let format = AccessTokenFormat::Jwt(SigningAlgorithm::Es256);
    let builder: AuthorizationServerBuilder = AuthorizationServer::builder(ISSUER)
        .resource(ISSUER, ["notes:read"])
        .access_token_format(format);
    let builder = if store.starts_with("postgres") {
        builder.store(PostgresStore::connect(store).await.unwrap())
    } else {
        builder.store(RedisStore::connect(store).await.unwrap())
    };
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_processes_that_start_at_once_sign_with_one_key_and_see_it_rotated_and_removed() {
    for store in shared_stores::each().await {
        let nodes = Node::start_all(10, &store, &["--access-token", "jwt"]);
        let first = kids(&nodes, 1).await;
        let (early, late) = (nodes[0].job().await, nodes[9].job().await);
        for node in &nodes {
            assert!(node.takes(&early).await && node.takes(&late).await);
        }

        let operator = operator(&store).await;
        operator.signing_keys().rotate().await.unwrap();
        let both = kids(&nodes, 2).await;
        assert!(both.is_superset(&first));
        for node in &nodes {
            assert!(node.takes(&early).await);
        }

        // Somebody else has it: what it has signed is dead.
        let stolen = first.iter().next().unwrap();
        operator.signing_keys().remove(stolen).await.unwrap();
        let rest = kids(&nodes, 1).await;
        assert!(both.is_superset(&rest) && !rest.contains(stolen));
        let new = nodes[3].job().await;
        for node in &nodes {
            node.refuses_within(PATIENCE, &early).await;
            node.refuses_within(PATIENCE, &late).await;
            assert!(node.takes(&new).await);
        }
    }
}
