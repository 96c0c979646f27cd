//! The demo on the stores that several of it share, and on those that are not to be had.

use std::process::Command;

use serde_json::json;

use crate::app::App;
use crate::example::program;
use crate::nodes::{Node, PATIENCE};
use crate::shared_stores;

#[tokio::test]
async fn demos_over_one_database_share_clients_codes_tokens_and_revocations() {
    for store in shared_stores::each().await {
        let nodes = Node::start_all(2, &store, &[]);
        let [one, two] = &nodes[..] else {
            panic!("two were started")
        };
        let id = App::register(one.base()).await;
        let code = two.app(&id).code("notes:read offline_access").await;
        let tokens = one.app(&id).redeem(&code).await.unwrap();
        assert!(two.takes(&tokens.access).await);
        let device = one.app(&id).device("notes:read").await;
        let done = two.app(&id).decide(&device, "Allow").await;
        assert!(done.html.contains("Device connected"), "{done:?}");
        let at_once = async || panic!("the approval was not there");
        one.app(&id).poll(&device, at_once).await.unwrap();

        let refreshed = two.app(&id).refresh(&tokens).await.unwrap();
        assert_eq!(one.introspect(&refreshed.access).await["active"], true);
        let form = [("client_id", &id), ("token", &refreshed.refresh)];
        let revoke = two.http.post(two.at("/auth/revoke")).form(&form);
        assert_eq!(revoke.send().await.unwrap().status(), 200);
        let inactive = json!({ "active": false });
        assert_eq!(one.introspect(&refreshed.access).await, inactive);
        assert_eq!(
            one.app(&id).refresh(&refreshed).await.unwrap_err(),
            "invalid_grant"
        );
        one.refuses_within(PATIENCE, &refreshed.access).await;

        // It is in the database, and not in any of them.
        let further = two.job().await;
        drop(nodes);
        let another = Node::start(&store, &[]);
        assert!(another.takes(&further).await);
        assert!(!another.takes(&refreshed.access).await);
    }
}

#[test]
fn a_store_that_is_not_there_is_one_sentence_without_the_password() {
    for (store, begins) in [
        (
            "postgres://ada:swordfish@127.0.0.1:9/notes",
            "demo: no PostgreSQL at postgres://127.0.0.1:9/notes: ",
        ),
        (
            "redis://ada:swordfish@127.0.0.1:9",
            "demo: no Redis at redis://127.0.0.1:9: ",
        ),
        (
            "postgres://ada:sword#fish@127.0.0.1/notes",
            "demo: no PostgreSQL at postgres://127.0.0.1/notes: ",
        ),
        (
            "sqlite:/dev/null/oauth.db",
            "demo: \"/dev/null/oauth.db\" cannot be opened: ",
        ),
    ] {
        let mut demo = Command::new(program("demo"));
        demo.args(["--listen", "127.0.0.1:0", "--store", store]);
        let ended = demo.env("RUST_LOG", "off").output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{store}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.starts_with(begins), "{said}");
        assert!(!said.contains("sword"), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}
