//! Access that is taken back ends what has not become a grant yet, for this person and this client alone.

use std::sync::atomic::{AtomicUsize, Ordering};

use tower_oauth::store::{Key, Kind, Store as _, StoreError};
use tower_oauth::types::{Digest, ManualClock};

use crate::hooked::{Hooked, When};
use crate::support::{Answer, Harness, NOW, SECRET, alice, authorization_request, redemption};

async fn remove(server: &Harness, client_id: &str) -> bool {
    let grants = server.oauth.grants();
    let client_id = client_id.parse().unwrap();
    grants.revoke_client(&alice(), &client_id).await.unwrap()
}

async fn granted(server: &Harness) -> usize {
    let granted = server.oauth.grants().by_subject(&alice()).await.unwrap();
    granted.len()
}

/// A device that somebody has approved and that has not asked since.
async fn approved_device(server: &Harness, user: &str) -> String {
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, user).await;
    assert_eq!(server.decide(&page, user, "allow").await.status, 200);
    device_code
}

#[track_caller]
fn is_refused(answer: &Answer) {
    answer.error(400, "invalid_grant");
}

#[tokio::test]
async fn s06_a_code_on_its_way_ends_with_the_access_and_a_new_yes_lives() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    assert!(!remove(&server, "app").await, "no grant was there yet");
    is_refused(&server.redeem(&code).await);
    is_refused(&server.redeem(&code).await);
    assert_eq!(granted(&server).await, 0);
    // Again and again, in one second: a number is no time.
    for _ in 0..2 {
        let (access, refresh) = server.tokens("").await.pair();
        assert_eq!(granted(&server).await, 1);
        server.refresh(&refresh, "").await.pair();
        assert!(server.is_active(&access).await);
        assert!(remove(&server, "app").await);
        assert!(!server.is_active(&access).await);
        is_refused(&server.refresh(&refresh, "").await);
    }
    server.tokens("").await.pair();
}

// req: 8628-3.5-7
#[tokio::test]
async fn s06_a_device_that_has_not_asked_since_its_approval_ends_with_the_access_and_a_new_yes_lives()
 {
    let server = Harness::new().await;
    let device_code = approved_device(&server, "alice").await;
    remove(&server, "tv").await;
    is_refused(&server.poll(&device_code).await);
    is_refused(&server.poll(&device_code).await);
    assert_eq!(granted(&server).await, 0);
    let device_code = approved_device(&server, "alice").await;
    let access = server.poll(&device_code).await.access_token();
    assert!(server.is_active(&access).await);
    assert_eq!(granted(&server).await, 1);
}

#[tokio::test]
async fn a_device_that_waits_for_its_owner_is_none_of_what_a_removal_ends() {
    let server = Harness::new().await;
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    remove(&server, "tv").await;
    assert_eq!(server.decide(&page, "alice", "allow").await.status, 200);
    server.poll(&device_code).await.access_token();
}

#[tokio::test]
async fn a_removal_ends_nothing_of_another_person_or_another_client() {
    let server = Harness::new().await;
    let web = server.code_for("web", "").await;
    let device_code = approved_device(&server, "alice").await;
    let page = server
        .get(&authorization_request("app", ""), Some("bob"))
        .await;
    let bobs = server.decide(&page, "bob", "allow").await;
    remove(&server, "app").await;
    server.redeem(&bobs.parameter("code").unwrap()).await.pair();
    let redeemed = server
        .post_as("/auth/token", ("web", SECRET), &redemption("web", &web))
        .await;
    redeemed.pair();
    server.poll(&device_code).await.access_token();
    assert_eq!(granted(&server).await, 2);
    // One grant of several is one grant: what else the client has, or is about to get, stays.
    server.tokens("").await.pair();
    let code = server.code_for("app", "").await;
    let grants = server.oauth.grants();
    let app = "app".parse().unwrap();
    let id = grants.by_client(&app).await.unwrap();
    let id = id.iter().find(|one| one.subject == alice()).unwrap();
    assert!(grants.revoke(&alice(), &id.id).await.unwrap());
    server.redeem(&code).await.pair();
}

#[tokio::test]
async fn hundreds_of_removals_end_all_that_they_should_and_what_is_approved_later_lives() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    remove(&server, "app").await;
    for number in 0..250 {
        remove(&server, &format!("client-{number}")).await;
    }
    is_refused(&server.redeem(&code).await);
    server.tokens("").await.pair();
    server.advance(7 * 24 * 3600);
    let code = server.code_for("app", "").await;
    remove(&server, "app").await;
    is_refused(&server.redeem(&code).await);
    server.tokens("").await.pair();
}

#[tokio::test]
async fn what_a_version_before_has_written_is_taken_and_ends_as_well() {
    let store = Hooked::open().await;
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
    server.create_clients().await;
    remove(&server, "tv").await;
    let (one, two) = (
        server.code_for("app", "").await,
        server.code_for("app", "").await,
    );
    // Who has removed nothing of this client carries no number, so this is what stood there before there was one.
    let key = Key::new(Kind::Code, Digest::of("code", one.as_bytes()));
    let (record, _) = store.get(key).await.unwrap().unwrap();
    let value = std::str::from_utf8(&record.value).unwrap();
    assert!(value.contains("subject_epoch") && !value.contains("removal"));
    server.redeem(&one).await.pair();
    assert!(remove(&server, "app").await);
    is_refused(&server.redeem(&two).await);
}

#[tokio::test]
async fn a_removal_that_fails_in_the_middle_has_ended_what_was_on_its_way_and_is_made_up_for() {
    for struck in 0.. {
        let store = Hooked::open().await;
        let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
        server.create_clients().await;
        let (_, refresh) = server.tokens("").await.pair();
        let code = server.code_for("app", "").await;
        let writes = AtomicUsize::new(0);
        store.on_step(move |step| {
            let strikes = step.is_write()
                && step.when == When::Before
                && writes.fetch_add(1, Ordering::SeqCst) == struck;
            async move {
                if strikes {
                    return Err(StoreError::new("struck by the test"));
                }
                Ok(())
            }
        });
        let (grants, app) = (server.oauth.grants(), "app".parse().unwrap());
        let removed = grants.revoke_client(&alice(), &app).await;
        store.let_all_pass();
        if struck > 0 {
            is_refused(&server.redeem(&code).await);
            let asked = server.authorize("").await;
            assert_eq!(asked.status, 200, "what was agreed to counts no longer");
        }
        if removed.is_ok() {
            assert_eq!(struck, 3, "the count, the consent, the grant");
            break;
        }
        // It is in the list still, so whoever tried it sees that, and tries again.
        assert_eq!(granted(&server).await, 1);
        assert!(remove(&server, "app").await);
        assert_eq!(granted(&server).await, 0);
        is_refused(&server.refresh(&refresh, "").await);
        is_refused(&server.redeem(&code).await);
    }
}
