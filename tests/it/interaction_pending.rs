//! A handler of the host reads what waits: for its login page.

use std::time::Duration;

use tower_oauth::server::NotPending;
use tower_oauth::types::Prompt;
use tower_oauth::{Decision, PendingRequest};

use crate::support::{Harness, authorization_request, changed};

async fn waiting(server: &Harness, more: &str) -> String {
    let login = server.get(&authorization_request("app", more), None).await;
    login.parameter("interaction").unwrap()
}

async fn pending(server: &Harness, id: &str) -> Result<PendingRequest, NotPending> {
    server.oauth.pending(id).await
}

#[tokio::test]
async fn a_login_page_knows_to_what_people_sign_in_and_as_whom() {
    let server = Harness::new().await;
    let more = "&prompt=login+consent&max_age=60&acr_values=mfa+pwd&login_hint=al%40x.test&ui_locales=de+en";
    let id = waiting(&server, more).await;
    for _ in 0..2 {
        let pending = pending(&server, &id).await.unwrap();
        assert_eq!(pending.client().client_name(), Some("Harbor App"));
        assert_eq!(pending.prompt(), [Prompt::Login, Prompt::Consent]);
        assert_eq!(pending.max_age(), Some(Duration::from_secs(60)));
        assert_eq!(pending.acr_values(), ["mfa", "pwd"]);
        assert_eq!(pending.login_hint(), Some("al@x.test"));
        assert_eq!(pending.ui_locales(), ["de", "en"]);
    }
    let plain = pending(&server, &waiting(&server, "").await).await.unwrap();
    assert!(plain.prompt().is_empty() && plain.acr_values().is_empty());
    assert!(plain.max_age().is_none() && plain.login_hint().is_none());
    let (_, user_code) = server.device().await;
    let form = format!("user_code={user_code}");
    let entered = server.submit("/device", "alice", &form).await;
    let device = pending(&server, &entered.parameter("interaction").unwrap()).await;
    assert_eq!(device.unwrap().user_code(), Some(&*user_code));
}

#[tokio::test]
async fn what_is_gone_decided_or_not_to_be_told_is_said_so() {
    let server = Harness::new().await;
    let id = waiting(&server, "").await;
    assert_eq!(
        pending(&server, "nobody").await.unwrap_err(),
        NotPending::Gone
    );
    let app = "app".parse().unwrap();
    server.oauth.clients().disable(&app, true).await.unwrap();
    assert_eq!(pending(&server, &id).await.unwrap_err(), NotPending::Gone);
    server.oauth.clients().disable(&app, false).await.unwrap();
    server.oauth.resume(&id, Decision::Deny).await;
    assert_eq!(
        pending(&server, &id).await.unwrap_err(),
        NotPending::Decided
    );
    let id = server
        .get(&changed(&[]), None)
        .await
        .parameter("interaction")
        .unwrap();
    server.advance(600);
    assert_eq!(pending(&server, &id).await.unwrap_err(), NotPending::Gone);
}
