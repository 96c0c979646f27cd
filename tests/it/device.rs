//! The device grant.

use crate::support::Harness;

// req: 8628-3.5-1, 8628-3.5-2, 8628-3.3-1
#[tokio::test]
async fn rfc8628_3_a_device_is_approved_and_gets_its_tokens_once() {
    let server = Harness::new().await;
    let (device_code, user_code) = server.device().await;
    server
        .poll(&device_code)
        .await
        .error(400, "authorization_pending");
    let page = server
        .enter(&user_code.to_lowercase().replace('-', " "), "alice")
        .await;
    assert!(page.text().contains(&user_code), "{}", page.text());
    let done = server.decide(&page, "alice", "allow").await;
    assert_eq!(done.status, 200, "{done:?}");
    let tokens = server.poll(&device_code).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert!(server.is_active(&tokens.member("access_token")).await);
    server.poll(&device_code).await.error(400, "invalid_grant");
}
