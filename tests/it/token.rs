//! The token endpoint: client credentials and what all grants share.

use crate::support::{Harness, SECRET};

// req: 6749-5.1-1, 6749-5.1-2, 6749-5.1-3, 6749-4.4.3-1
#[tokio::test]
async fn rfc6749_4_4_a_confidential_client_gets_a_token_for_itself() {
    let server = Harness::new().await;
    let answer = server
        .post_as(
            "/auth/token",
            ("web", SECRET),
            "grant_type=client_credentials&scope=ledger.read",
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    assert_eq!(
        (json["token_type"].as_str(), json["expires_in"].as_u64()),
        (Some("Bearer"), Some(600))
    );
    assert!(json.get("refresh_token").is_none());
    assert!(
        server
            .is_active(json["access_token"].as_str().unwrap())
            .await
    );
}
