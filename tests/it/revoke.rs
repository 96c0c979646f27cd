//! Revocation (RFC 7009).

use tower_oauth::types::Client;

use crate::support::{Answer, CALLBACK, FOR_ITSELF, Harness, SECRET, redemption};

async fn revoke(server: &Harness, more: &str) -> Answer {
    let form = format!("client_id=app{more}");
    server.post("/auth/revoke", &form).await
}

#[track_caller]
fn done(answer: &Answer, case: &str) {
    assert_eq!(answer.status, 200, "{case}: {answer:?}");
    assert!(answer.body.is_empty(), "{case}: {answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
}

// req: 7009-2-2, 7009-2.1-1, 7009-2.1-8, 7009-2.1-10
#[tokio::test]
async fn rfc7009_2_an_access_token_is_dead_at_once_and_nothing_else_with_it() {
    let server = Harness::new().await;
    let (token, refresh) = server.tokens("").await.pair();
    let (sibling, refresh) = server.refresh(&refresh, "").await.pair();
    done(
        &revoke(&server, &format!("&token={token}")).await,
        "its own",
    );
    assert!(!server.is_active(&token).await);
    assert!(server.is_active(&sibling).await);
    server.refresh(&refresh, "").await.pair();
    let of_web = server.web(FOR_ITSELF).await.access_token();
    let form = format!("token={of_web}");
    let answer = server.post_as("/auth/revoke", ("web", SECRET), &form).await;
    done(&answer, "client credentials");
    assert!(!server.is_active(&of_web).await);
}

// req: 7009-2-1, 7009-2.1-9, 6749-10.3-1
#[tokio::test]
async fn rfc7009_2_1_a_refresh_token_takes_its_grant_and_all_access_tokens_with_it() {
    let server = Harness::new().await;
    for generation in 0..3 {
        let (other_access, other_refresh) = server.tokens("").await.pair();
        // The first token of three: its client gives back what it has, however old that is.
        let (mut access, mut refresh) = server.tokens("").await.pair();
        let (first_access, first) = (access.clone(), refresh.clone());
        for _ in 0..generation {
            (access, refresh) = server.refresh(&refresh, "").await.pair();
        }
        done(
            &revoke(&server, &format!("&token={first}")).await,
            "its own",
        );
        for token in [&first_access, &access] {
            assert!(!server.is_active(token).await, "{generation}");
        }
        for token in [&first, &refresh] {
            server.refresh(token, "").await.error(400, "invalid_grant");
        }
        assert!(server.is_active(&other_access).await);
        server.refresh(&other_refresh, "").await.pair();
    }
}

// req: 7009-2.1-4, 7009-2.2-2, 7009-2.1-3
#[tokio::test]
async fn rfc7009_2_1_a_hint_that_is_wrong_or_unknown_changes_nothing() {
    let server = Harness::new().await;
    for hint in ["access_token", "refresh_token", "foo", "%C3%A9", ""] {
        let hint = format!("&token_type_hint={hint}");
        let (access, refresh) = server.tokens("").await.pair();
        done(
            &revoke(&server, &format!("&token={access}{hint}")).await,
            &hint,
        );
        assert!(!server.is_active(&access).await, "{hint}");
        let (access, refresh) = server.refresh(&refresh, "").await.pair();
        done(
            &revoke(&server, &format!("&token={refresh}{hint}")).await,
            &hint,
        );
        assert!(!server.is_active(&access).await, "{hint}");
        let answer = server.refresh(&refresh, "").await;
        answer.error(400, "invalid_grant");
        done(
            &revoke(&server, &format!("&token=unknown{hint}")).await,
            &hint,
        );
    }
}

// req: 7009-2.1-6, 7009-2.1-7, con-revoke-1
#[tokio::test]
async fn s10_a_token_of_another_client_is_not_touched_and_the_answer_does_not_tell() {
    let server = Harness::new().await;
    let other = Client::public("other".parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap());
    server.create(other).await;
    let (access, first) = server.tokens("").await.pair();
    let (_, refresh) = server.refresh(&first, "").await.pair();
    let code = server.code_for("web", "").await;
    let (of_web, _) = server.web(&redemption("web", &code)).await.pair();
    let unknown = revoke(&server, "&token=toa_unknown").await;
    for token in [&access, &first, &refresh, &of_web] {
        let form = format!("client_id=other&token={token}");
        let by_public = server.post("/auth/revoke", &form).await;
        let form = format!("token={token}");
        let by_server = server
            .post_as(
                "/auth/revoke",
                ("rs", "rs-secret-0123456789-0123456789-0123456789"),
                &form,
            )
            .await;
        for answer in [by_public, by_server] {
            done(&answer, token);
            assert_eq!(answer.headers, unknown.headers);
        }
    }
    assert!(server.is_active(&access).await && server.is_active(&of_web).await);
    server.refresh(&refresh, "").await.pair();
}

// req: 7009-2.2-1
#[tokio::test]
async fn rfc7009_2_2_what_is_dead_already_is_answered_like_what_was_alive() {
    let server = Harness::new().await;
    let (access, refresh) = server.tokens("").await.pair();
    let (expired, _) = server.tokens("").await.pair();
    server.advance(600);
    for token in [
        &refresh, &refresh, &access, &access, &expired, "x", "tor_", "toa_",
    ] {
        done(&revoke(&server, &format!("&token={token}")).await, token);
    }
}

// req: 7009-2.1-2, 7009-2.2.1-1
#[tokio::test]
async fn rfc7009_2_2_1_errors_are_those_of_the_token_endpoint() {
    let server = Harness::new().await;
    let (access, _) = server.tokens("").await.pair();
    for form in [
        String::new(),
        "&token=".to_owned(),
        "&token_type_hint=access_token".to_owned(),
        format!("&token={access}&token={access}"),
        format!("&token={access}&token="),
        format!("&token={access}&token_type_hint=a&token_type_hint=b"),
        format!("&token={access}&client_id=app"),
    ] {
        let answer = revoke(&server, &form).await;
        answer.error(400, "invalid_request");
    }
    assert!(server.is_active(&access).await);
}

// req: 6749-10.4-2
#[tokio::test]
async fn s06_a_made_up_refresh_token_with_the_name_of_a_grant_revokes_nothing() {
    let server = Harness::new().await;
    let (_, first) = server.tokens("").await.pair();
    let (access, second) = server.refresh(&first, "").await.pair();
    for token in [&first, &second] {
        let letter = if &token[60..=60] == "A" { "B" } else { "A" };
        let made_up = format!("{}{letter}{}", &token[..60], &token[61..]);
        done(
            &revoke(&server, &format!("&token={made_up}")).await,
            "made up",
        );
    }
    assert!(server.is_active(&access).await);
    server.refresh(&second, "").await.pair();
}
