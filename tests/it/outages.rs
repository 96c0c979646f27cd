//! What happens when the store fails, and what it sees.

use tower_oauth::store::Kind;

use crate::support::{DEVICE_CODE, FOR_ITSELF, SECRET, VERIFIER, alice, redemption};
use crate::watched::Watched;

// req: 7009-2.2.1-2, http-err-2
#[tokio::test]
async fn s06_a_store_that_fails_is_503_and_never_a_verdict() {
    let (server, store) = Watched::start().await;
    let (access, refresh) = server.tokens("").await.pair();
    let code = server.code_for("app", "").await;
    let (device_code, user_code) = server.device().await;
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    let with_secret = format!("client_id=web&client_secret={SECRET}");
    let forms = [
        ("/auth/token", redemption("app", &code)),
        (
            "/auth/token",
            format!("grant_type=refresh_token&client_id=app&refresh_token={refresh}"),
        ),
        (
            "/auth/token",
            format!("grant_type={DEVICE_CODE}&client_id=tv&device_code={device_code}"),
        ),
        ("/auth/token", format!("{FOR_ITSELF}&{with_secret}")),
        (
            "/auth/introspect",
            format!("token={access}&client_id=all&client_secret=all-secret"),
        ),
        ("/auth/device", "client_id=tv".to_owned()),
        ("/auth/revoke", format!("client_id=app&token={access}")),
        ("/auth/revoke", format!("client_id=app&token={refresh}")),
    ];
    store.down(true);
    for (path, form) in &forms {
        let answer = server.post(path, form).await;
        answer.error(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), "1");
        assert!(!answer.text().contains("fire"), "{answer:?}");
    }
    store.down(false);
    assert!(server.is_active(&access).await, "it was not revoked");
    for (path, form) in &forms {
        let answer = server.post(path, form).await;
        assert_eq!(answer.status, 200, "{path} {form}: {answer:?}");
    }
    assert!(!server.is_active(&access).await);
}

// req: 7009-2.2.1-2
#[tokio::test]
async fn s06_a_revocation_that_is_not_kept_is_not_answered_as_one() {
    let (server, store) = Watched::start().await;
    let (access, refresh) = server.tokens("").await.pair();
    for (token, step) in [
        (&access, ("remove", Kind::AccessToken)),
        (&refresh, ("replace", Kind::Grant)),
    ] {
        store.fail(step);
        let form = format!("client_id=app&token={token}");
        let answer = server.post("/auth/revoke", &form).await;
        answer.error(503, "temporarily_unavailable");
        assert!(server.is_active(&access).await);
    }
    server.refresh(&refresh, "").await.pair();
}

#[tokio::test]
async fn s05_a_refresh_that_fails_half_way_is_tried_again_with_the_same_token() {
    let (server, store) = Watched::start().await;
    let (_, refresh) = server.tokens("").await.pair();
    for step in [("replace", Kind::Grant), ("insert", Kind::AccessToken)] {
        store.fail(step);
        let answer = server.refresh(&refresh, "").await;
        answer.error(503, "temporarily_unavailable");
        server.advance(29);
    }
    let (_, next) = server.refresh(&refresh, "").await.pair();
    server.advance(31);
    server.refresh(&next, "").await.pair();
}

#[tokio::test]
async fn s04_a_code_whose_redemption_failed_half_way_gives_nothing_to_anybody() {
    for step in [("insert", Kind::Grant), ("insert", Kind::AccessToken)] {
        let (server, store) = Watched::start().await;
        let code = server.code_for("app", "").await;
        store.fail(step);
        let answer = server.redeem(&code).await;
        answer.error(503, "temporarily_unavailable");
        server.redeem(&code).await.error(400, "invalid_grant");
        let left = server.oauth.grants().by_subject(&alice()).await;
        assert!(left.unwrap().is_empty(), "{step:?}");
    }
}

// req: 6749-10.3-1, 6749-10.4-1, http-basic-6
#[tokio::test]
async fn rfc6749_10_3_nothing_that_is_kept_can_be_presented() {
    let (server, store) = Watched::start().await;
    let page = server.authorize("").await;
    let interaction = page.hidden("interaction");
    let answer = server.decide(&page, "alice", "allow").await;
    let code = answer.parameter("code").unwrap();
    let (access, first) = server.redeem(&code).await.pair();
    let (_, second) = server.refresh(&first, "").await.pair();
    let (device_code, user_code) = server.device().await;
    server.enter(&user_code, "bob").await;
    let web = "web".parse().unwrap();
    let secret = server.oauth.clients().rotate_secret(&web).await.unwrap();
    let secret = secret.unwrap().expose().to_owned();

    let text = store.written();
    assert!(text.contains("alice") && text.contains("ledger.read"));
    for secret in [
        &*interaction,
        &code,
        &access,
        &first,
        &second,
        &device_code,
        SECRET,
        &secret,
        VERIFIER,
    ] {
        for part in [secret, &secret[secret.len() - 10..]] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
    }
}

// req: 7009-5-1
#[tokio::test]
async fn rfc7009_5_a_useless_hint_or_token_costs_no_further_look_ups() {
    let (server, store) = Watched::start().await;
    let (access, refresh) = server.tokens("").await.pair();
    for (token, look_ups) in [("x", 1), (&*access, 2), (&refresh, 3)] {
        for hint in ["", "access_token", "refresh_token", "foo"] {
            let before = store.reads();
            let form = format!("client_id=tv&token={token}&token_type_hint={hint}");
            server.post("/auth/revoke", &form).await;
            let reads = store.reads() - before;
            assert!(reads <= look_ups, "{token} {hint}: {reads}");
        }
    }
}
