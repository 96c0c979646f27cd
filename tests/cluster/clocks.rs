//! A node whose clock is twenty seconds off, either way: less than what is allowed for.

use serde_json::Value;

use crate::app::App;
use crate::nodes::{Node, PATIENCE};
use crate::shared_stores;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flow_goes_on_at_a_node_whose_clock_is_off() {
    for store in shared_stores::each().await {
        for access_token in ["opaque", "jwt"] {
            let form = ["--access-token", access_token];
            let ahead = Node::start(&store, &[&form[..], &["--clock-offset", "20"]].concat());
            let behind = Node::start(&store, &[&form[..], &["--clock-offset", "-20"]].concat());
            let right = Node::start(&store, &form);
            let id = App::register(right.base()).await;
            for (one, other) in [
                (&ahead, &right),
                (&right, &ahead),
                (&behind, &right),
                (&right, &behind),
            ] {
                code_and_refresh(&id, one, other).await;
                device(&id, one, other).await;
                for_itself(one, other).await;
            }
        }
    }
}

async fn code_and_refresh(id: &str, one: &Node, other: &Node) {
    let code = one.app(id).code("notes:read").await;
    let first = other.app(id).redeem(&code).await.unwrap();
    let second = one.app(id).refresh(&first).await.unwrap();
    // The answer was lost, and asked for again elsewhere.
    let again = other.app(id).refresh(&first).await.unwrap();
    assert_eq!(again.refresh, second.refresh);
    let third = other.app(id).refresh(&second).await.unwrap();
    for node in [one, other] {
        for token in [&first.access, &second.access, &third.access] {
            assert!(node.takes(token).await, "{} {}", one.base(), other.base());
            assert_eq!(node.introspect(token).await["active"], true);
        }
    }
    // Used twice.
    assert_eq!(
        one.app(id).redeem(&code).await.unwrap_err(),
        "invalid_grant"
    );
    other.refuses_within(PATIENCE, &third.access).await;
}

async fn device(id: &str, one: &Node, other: &Node) {
    let device = one.app(id).device("notes:read").await;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", id),
        ("device_code", device.device_code().secret()),
    ];
    let error = |answer: &Value| answer["error"].as_str().map(str::to_owned);
    let (status, answer) = one.token(&form).await;
    assert_eq!(status, 400);
    assert_eq!(error(&answer).as_deref(), Some("authorization_pending"));
    let done = other.app(id).decide(&device, "Allow").await;
    assert!(done.html.contains("Device connected"), "{done:?}");
    let (status, answer) = other.token(&form).await;
    assert_eq!(status, 200, "{answer}");
    let token = answer["access_token"].as_str().unwrap();
    assert!(one.takes(token).await && other.takes(token).await);
}

async fn for_itself(one: &Node, other: &Node) {
    let token = one.job().await;
    assert!(other.takes(&token).await);
    other.revoke_of_job(&token).await;
    one.refuses_within(PATIENCE, &token).await;
}
