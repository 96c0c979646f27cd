//! The authorization endpoint, from the request to the code.

use crate::support::{CALLBACK, Harness, ISSUER};

// req: 6749-4.1.1-1, 9207-2-1, 6749-4.1.2-7
#[tokio::test]
async fn rfc6749_4_1_a_code_is_given_with_state_and_iss_and_redeemed() {
    let server = Harness::new().await;
    let page = server
        .authorize("&scope=ledger.read+ledger.write&state=a%2Bb%20c%C3%A9")
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    let answer = server.decide(&page, "alice", "allow").await;
    assert!(answer.location().starts_with(&format!("{CALLBACK}?")));
    assert_eq!(answer.parameter("state").as_deref(), Some("a+b cé"));
    assert_eq!(answer.parameter("iss").as_deref(), Some(ISSUER));
    let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert_eq!(tokens.member("scope"), "ledger.read ledger.write");
    let told = server.introspect(&tokens.member("access_token")).await;
    assert_eq!(
        (told["sub"].as_str(), told["client_id"].as_str()),
        (Some("alice"), Some("app"))
    );
    let again = server.refresh(&tokens.member("refresh_token"), "").await;
    assert_eq!(again.status, 200, "{again:?}");
}
