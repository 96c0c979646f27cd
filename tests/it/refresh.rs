//! Refresh tokens (RFC 6749 §6, RFC 9700 §4.14).

use std::time::Duration;

use tower_oauth::types::Client;

use crate::support::{CALLBACK, FILES, Harness, LEDGER, redemption};

const DAY: u64 = 24 * 3600;

// req: 6749-6-1, 6749-6-5, 9700-2.2.2-1, 6749-5.2-8
#[tokio::test]
async fn rfc6749_6_a_refresh_token_gives_the_next_one_and_what_is_none_gives_nothing() {
    let server = Harness::new().await;
    let (first, mut refresh) = server.tokens("&scope=ledger.read").await.pair();
    let mut seen = vec![refresh.clone()];
    for _ in 0..3 {
        let answer = server.refresh(&refresh, "").await;
        let (access, next) = answer.pair();
        assert!(!seen.contains(&next), "{next}");
        assert_eq!(answer.member("scope"), "ledger.read");
        assert_eq!(answer.json()["expires_in"], 600);
        assert!(server.is_active(&access).await && server.is_active(&first).await);
        seen.push(next.clone());
        refresh = next;
    }
    for (token, error) in [
        ("", "invalid_request"),
        ("x", "invalid_grant"),
        ("tor_", "invalid_grant"),
        ("%C3%A9", "invalid_grant"),
        (&refresh[..94], "invalid_grant"),
        (&refresh[4..], "invalid_grant"),
        (&format!("{refresh}A"), "invalid_grant"),
        (&format!("tor_{}", "A".repeat(91)), "invalid_grant"),
    ] {
        server.refresh(token, "").await.error(400, error);
    }
    server.refresh(&refresh, "").await.pair();
}

// req: 6749-6-4, 6749-10.4-2, 6749-6-3
#[tokio::test]
async fn rfc6749_6_a_refresh_token_is_for_its_client_and_another_one_takes_nothing_away() {
    let server = Harness::new().await;
    let other = Client::public("other".parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap());
    server.create(other).await;
    let (access, refresh) = server.tokens("").await.pair();
    let (_, current) = server.refresh(&refresh, "").await.pair();
    server.advance(31);
    // The first one would be reuse if its own client sent it.
    for token in [&refresh, &current] {
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        server.web(&form).await.error(400, "invalid_grant");
        let by_other = server
            .post("/auth/token", &format!("{form}&client_id=other"))
            .await;
        by_other.error(400, "invalid_grant");
        let by_nobody = server.post("/auth/token", &form).await;
        by_nobody.error(400, "invalid_request");
    }
    assert!(server.is_active(&access).await);
    server.refresh(&current, "").await.pair();

    let code = server.code_for("web", "").await;
    let (_, of_web) = server.web(&redemption("web", &code)).await.pair();
    let form = format!("grant_type=refresh_token&client_id=web&refresh_token={of_web}");
    server
        .post("/auth/token", &form)
        .await
        .error(401, "invalid_client");
    server.web(&form).await.pair();
}

// req: tol-refresh-1
#[tokio::test]
async fn tol_refresh_1_an_answer_that_was_lost_is_given_again_for_29_seconds() {
    let server = Harness::new().await;
    let (_, first) = server.tokens("").await.pair();
    let (_, second) = server.refresh(&first, "").await.pair();
    for later in [0, 1, 28] {
        server.advance(later);
        let (access, again) = server.refresh(&first, "").await.pair();
        assert_eq!(again, second);
        assert!(server.is_active(&access).await);
    }
    server.refresh(&second, "").await.pair();
    let (_, second) = server.tokens("").await.pair();
    let (_, third) = server.refresh(&second, "").await.pair();
    server.advance(30);
    server
        .refresh(&second, "")
        .await
        .error(400, "invalid_grant");
    server.refresh(&third, "").await.error(400, "invalid_grant");
}

// req: 9700-4.14.2-3, 6749-10.4-3, 6749-6-6
#[tokio::test]
async fn s05_a_token_that_was_used_up_kills_its_grant_and_no_other() {
    let server = Harness::new().await;
    let (unharmed, of_another_grant) = server.tokens("").await.pair();
    // Used up is what is older than the window, and at once what is older than the token before.
    for (generations, later) in [(1, 30), (1, 3600), (2, 0), (3, 0), (2, 40)] {
        let (first_access, first) = server.tokens("").await.pair();
        let (mut access, mut refresh) = (String::new(), first.clone());
        for _ in 0..generations {
            (access, refresh) = server.refresh(&refresh, "").await.pair();
        }
        server.advance(later);
        server.refresh(&first, "").await.error(400, "invalid_grant");
        for token in [&first_access, &access] {
            assert!(!server.is_active(token).await, "{generations}, {later}");
        }
        for token in [&refresh, &first] {
            server.refresh(token, "").await.error(400, "invalid_grant");
        }
    }
    server.refresh(&of_another_grant, "").await.pair();
    assert!(!server.is_active(&unharmed).await, "an hour has passed");
}

// req: 9700-4.14.2-4
#[tokio::test]
async fn rfc9700_4_14_an_altered_token_is_refused_and_its_family_untouched() {
    let server = Harness::new().await;
    let (access, first) = server.tokens("").await.pair();
    let (_, second) = server.refresh(&first, "").await.pair();
    server.advance(31);
    for token in [&first, &second] {
        // The prefix, the name of the grant, the end of it, the end of the whole; and the generation raised.
        for place in [0, 4, 40, 60, 94] {
            let letter = if &token[place..=place] == "A" {
                "B"
            } else {
                "A"
            };
            let altered = format!("{}{letter}{}", &token[..place], &token[place + 1..]);
            let answer = server.refresh(&altered, "").await;
            answer.error(400, "invalid_grant");
        }
        let raised = format!("{}{}{}", &token[..48], "Z", &token[49..]);
        server
            .refresh(&raised, "")
            .await
            .error(400, "invalid_grant");
    }
    assert!(server.is_active(&access).await);
    server.refresh(&second, "").await.pair();
}

// req: 9700-4.14.2-6
#[tokio::test]
async fn rfc9700_4_14_a_refresh_token_dies_when_it_is_not_used_for_14_days() {
    let server = Harness::new().await;
    let (_, used) = server.tokens("").await.pair();
    let (_, unused) = server.tokens("").await.pair();
    server.advance(14 * DAY - 1);
    let (_, used) = server.refresh(&used, "").await.pair();
    server.advance(1);
    server
        .refresh(&unused, "")
        .await
        .error(400, "invalid_grant");
    server.advance(14 * DAY - 2);
    server.refresh(&used, "").await.pair();
}

// req: 9700-4.14.2-6
#[tokio::test]
async fn an_access_token_outlives_a_refresh_token_that_is_not_used() {
    let server = Harness::with(|builder| {
        let hour = Duration::from_secs(3600);
        let builder = builder.access_token_lifetime(hour);
        builder.refresh_token_lifetime(Duration::from_secs(100))
    })
    .await;
    let (access, refresh) = server.tokens("").await.pair();
    server.advance(99);
    let (_, refresh) = server.refresh(&refresh, "").await.pair();
    server.advance(100);
    server
        .refresh(&refresh, "")
        .await
        .error(400, "invalid_grant");
    server.advance(3600 - 200);
    assert!(server.is_active(&access).await);
    server.advance(1);
    assert!(!server.is_active(&access).await);
}

#[tokio::test]
async fn a_grant_ends_after_90_days_however_often_it_is_used() {
    let server = Harness::new().await;
    let (_, mut refresh) = server.tokens("").await.pair();
    for _ in 0..8 {
        server.advance(10 * DAY);
        (_, refresh) = server.refresh(&refresh, "").await.pair();
    }
    server.advance(10 * DAY - 100);
    let answer = server.refresh(&refresh, "").await;
    let (access, refresh) = answer.pair();
    assert_eq!(answer.json()["expires_in"], 100, "no token outlives it");
    server.advance(99);
    let answer = server.refresh(&refresh, "").await;
    assert_eq!(answer.json()["expires_in"], 1, "{answer:?}");
    assert!(server.is_active(&access).await);
    server.advance(1);
    let (_, refresh) = answer.pair();
    server
        .refresh(&refresh, "")
        .await
        .error(400, "invalid_grant");
    for token in [&access, &answer.access_token()] {
        assert!(!server.is_active(token).await);
    }
}

// req: 6749-6-2, 6749-6-7, 6749-3.2-4, 6749-3.3-2
#[tokio::test]
async fn rfc6749_6_part_of_the_scope_is_for_one_token_and_the_grant_stays_whole() {
    let server = Harness::new().await;
    let whole = "ledger.read ledger.write";
    let (_, mut refresh) = server
        .tokens("&scope=ledger.read+ledger.write")
        .await
        .pair();
    for (asked, scope) in [
        ("&scope=ledger.read", "ledger.read"),
        ("&scope=ledger.write", "ledger.write"),
        ("&scope=ledger.write+ledger.read", whole),
        ("&scope=++ledger.read+++ledger.read+", "ledger.read"),
        ("&scope=", whole),
        ("", whole),
    ] {
        let answer = server.refresh(&refresh, asked).await;
        let (access, next) = answer.pair();
        assert_eq!(answer.member("scope"), scope, "{asked}");
        assert_eq!(server.introspect(&access).await["scope"], scope, "{asked}");
        refresh = next;
    }
}

// req: 8707-2.2-3, 9700-4.14.2-2
#[tokio::test]
async fn rfc8707_2_2_one_resource_is_for_one_token_and_the_grant_stays_whole() {
    let server = Harness::new().await;
    let asked = format!("&scope=ledger.read+files.read&resource={LEDGER}&resource={FILES}");
    let (_, mut refresh) = server.tokens(&asked).await.pair();
    for (asked, audience, scope) in [
        (format!("&resource={LEDGER}"), vec![LEDGER], "ledger.read"),
        (format!("&resource={FILES}"), vec![FILES], "files.read"),
        (
            format!("&resource={FILES}&resource={LEDGER}"),
            vec![FILES, LEDGER],
            "files.read ledger.read",
        ),
        (String::new(), vec![LEDGER, FILES], "files.read ledger.read"),
    ] {
        let (access, next) = server.refresh(&refresh, &asked).await.pair();
        let told = server.introspect(&access).await;
        assert_eq!(told["aud"], serde_json::json!(audience), "{asked}");
        assert_eq!(told["scope"], scope, "{asked}");
        refresh = next;
    }
}

// req: 6749-5.2-11, 8707-2-7
#[tokio::test]
async fn rfc6749_6_who_asks_for_more_is_refused_and_has_used_nothing_up() {
    let server = Harness::new().await;
    let (_, refresh) = server.tokens("&scope=ledger.read").await.pair();
    for (more, error) in [
        ("&scope=ledger.read+ledger.write", "invalid_scope"),
        ("&scope=ledger.write", "invalid_scope"),
        ("&scope=files.read", "invalid_scope"),
        ("&scope=offline_access", "invalid_scope"),
        ("&scope=LEDGER.READ", "invalid_scope"),
        ("&scope=nope", "invalid_scope"),
        ("&scope=a%22b", "invalid_scope"),
        ("&resource=https://api.harbor.test/files", "invalid_target"),
        (
            "&resource=https://auth.harbor.test/ledger/",
            "invalid_target",
        ),
        ("&resource=https://evil.test", "invalid_target"),
        ("&resource=ledger", "invalid_target"),
        (
            "&resource=https://auth.harbor.test/ledger%23x",
            "invalid_target",
        ),
    ] {
        let answer = server.refresh(&refresh, more).await;
        assert_eq!(answer.status, 400, "{more}: {answer:?}");
        assert_eq!(answer.member("error"), error, "{more}");
    }
    // Had one of them used it up, this would be reuse by now.
    server.advance(31);
    server.refresh(&refresh, "").await.pair();
}

#[tokio::test]
async fn without_a_retry_window_a_second_use_is_reuse_at_once() {
    let server = Harness::with(|builder| builder.refresh_retry_window(Duration::ZERO)).await;
    let (_, first) = server.tokens("").await.pair();
    let (_, second) = server.refresh(&first, "").await.pair();
    server.refresh(&first, "").await.error(400, "invalid_grant");
    server
        .refresh(&second, "")
        .await
        .error(400, "invalid_grant");
}

#[tokio::test]
async fn a_token_that_a_retry_gets_lives_as_long_as_it_says() {
    let server =
        Harness::with(|builder| builder.refresh_token_lifetime(Duration::from_secs(60))).await;
    let first = server.tokens("").await.member("refresh_token");
    server.refresh(&first, "").await;
    server.advance(29);
    let again = server.refresh(&first, "").await;
    assert_eq!(again.json()["expires_in"], 600);
    server.advance(599);
    assert!(server.is_active(&again.member("access_token")).await);
}
