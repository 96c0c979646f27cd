//! Introspection (RFC 7662).

use tower_oauth::types::{Client, Introspects, Secret, SigningAlgorithm};

use crate::support::{Answer, FILES, FOR_ITSELF, Harness, ISSUER, LEDGER, NOW, SECRET, redemption};

const ALL: (&str, &str) = ("all", "all-secret-0123456789-0123456789-0123456789");

async fn ask(server: &Harness, caller: (&str, &str), token: &str) -> Answer {
    let form = format!("token={token}");
    server.post_as("/auth/introspect", caller, &form).await
}

/// RFC 7662 §2.2: nothing but this, byte for byte.
#[track_caller]
fn inactive(answer: &Answer, case: &str) {
    assert_eq!(answer.status, 200, "{case}: {answer:?}");
    assert_eq!(answer.text(), r#"{"active":false}"#, "{case}");
    assert_eq!(answer.header("content-type"), "application/json", "{case}");
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
}

// req: 7662-2.1-1, 7662-2.2-1, 7662-5-1
#[tokio::test]
async fn rfc7662_2_2_a_live_token_is_told_with_what_it_stands_for() {
    let server = Harness::new().await;
    let (token, _) = server
        .tokens("&scope=ledger.write+ledger.read")
        .await
        .pair();
    server.advance(10);
    let answer = ask(&server, ALL, &token).await;
    let jti = answer.member("jti");
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "active": true, "scope": "ledger.read ledger.write", "client_id": "app", "token_type": "Bearer",
            "exp": NOW.as_secs() + 600, "iat": NOW.as_secs(), "sub": "alice", "aud": [LEDGER], "iss": ISSUER, "jti": jti,
        })
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!token.contains(&jti) && !jti.contains(&token));
    let (other, _) = server.tokens("").await.pair();
    assert_ne!(ask(&server, ALL, &other).await.member("jti"), jti);
}

// req: 9700-4.15.1-2
#[tokio::test]
async fn rfc9700_4_15_a_client_that_speaks_for_itself_is_its_own_subject() {
    let server = Harness::new().await;
    let token = server.web(FOR_ITSELF).await.access_token();
    let told = ask(&server, ALL, &token).await.json();
    assert_eq!(
        (&told["sub"], &told["client_id"]),
        (&"web".into(), &"web".into())
    );
    let (token, _) = server.tokens("").await.pair();
    let told = ask(&server, ALL, &token).await.json();
    assert_ne!(told["sub"], told["client_id"]);
}

// req: 7662-2.2-9, 7662-4-5, 7662-4-7, 7662-2.3-3
#[tokio::test]
async fn rfc7662_4_a_caller_is_told_about_its_own_tokens_and_those_meant_for_it() {
    let server = Harness::new().await;
    let files = Client::confidential("files".parse().unwrap(), &Secret::new("files-secret"))
        .introspects(Introspects::For(vec![FILES.parse().unwrap()]));
    server.create(files).await;
    let plain = Client::confidential("plain".parse().unwrap(), &Secret::new("plain-secret"));
    server.create(plain).await;
    let asked = "&scope=ledger.read+files.read";
    let (for_ledger, _) = server.tokens("").await.pair();
    let (for_files, _) = server
        .tokens(&format!("{asked}&resource={FILES}"))
        .await
        .pair();
    let both = format!("{asked}&resource={LEDGER}&resource={FILES}");
    let (for_both, _) = server.tokens(&both).await.pair();
    let of_web = server.web(FOR_ITSELF).await.access_token();
    for (caller, may_ask) in [
        (ALL, [true, true, true, true]),
        (
            ("rs", "rs-secret-0123456789-0123456789-0123456789"),
            [true, false, true, true],
        ),
        (("files", "files-secret"), [false, true, true, false]),
        (("web", SECRET), [false, false, false, true]),
        (("plain", "plain-secret"), [false; 4]),
    ] {
        for (token, may_ask) in [&for_ledger, &for_files, &for_both, &of_web]
            .into_iter()
            .zip(may_ask)
        {
            let answer = ask(&server, caller, token).await;
            if may_ask {
                assert_eq!(answer.json()["active"], true, "{caller:?} {answer:?}");
            } else {
                inactive(&answer, caller.0);
            }
        }
    }
}

// req: 7662-2.2-10, 7662-4-12, 6749-10.3-2
#[tokio::test]
async fn rfc7662_2_2_what_is_no_live_access_token_is_inactive_and_nothing_is_told() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    let (token, refresh) = server.redeem(&code).await.pair();
    let other = if token.ends_with('A') { "E" } else { "A" };
    let long = "a".repeat(15_000);
    for wrong in [
        "x",
        "toa_",
        &format!("toa_{}", "A".repeat(51)),
        &format!("{}{other}", &token[..54]),
        &format!("toa_{}{}", "A".repeat(8), &token[12..]),
        &token.to_uppercase(),
        &token[..54],
        &token[4..],
        &format!("{token}A"),
        &format!("+{token}"),
        &format!("{token}%00")[..token.len()].replace("toa_", "tor_"),
        &refresh, // a resource server has no use for one
        &code,
        "%C3%A9",
        &long,
    ] {
        inactive(&ask(&server, ALL, wrong).await, wrong);
    }
    assert_eq!(ask(&server, ALL, &token).await.json()["active"], true);
}

// req: 7662-4-1, 7662-4-3
#[tokio::test]
async fn rfc7662_4_a_token_is_inactive_from_the_second_it_expires_and_once_it_is_revoked() {
    let server = Harness::new().await;
    let (token, _) = server.tokens("").await.pair();
    server.advance(599);
    assert!(server.is_active(&token).await);
    server.advance(1);
    inactive(&ask(&server, ALL, &token).await, "expired");
    let (token, _) = server.tokens("").await.pair();
    let form = format!("client_id=app&token={token}");
    server.post("/auth/revoke", &form).await;
    inactive(&ask(&server, ALL, &token).await, "revoked");
}

// req: 7662-2.1-4, 7662-2.1-2, 7662-2.1-3, 7662-2.1-5
#[tokio::test]
async fn rfc7662_2_1_the_token_is_asked_for_and_a_hint_changes_nothing() {
    let server = Harness::new().await;
    let (token, _) = server.tokens("").await.pair();
    for hint in ["access_token", "refresh_token", "foo", "%C3%A9", ""] {
        let form = format!("token={token}&token_type_hint={hint}&resource=x&foo=1");
        let answer = server.post_as("/auth/introspect", ALL, &form).await;
        assert_eq!(answer.json()["active"], true, "{hint}");
    }
    for form in [
        String::new(),
        "token=".to_owned(),
        "token_type_hint=access_token".to_owned(),
        format!("token={token}&token={token}"),
        format!("token={token}&token_type_hint=a&token_type_hint=a"),
    ] {
        let answer = server.post_as("/auth/introspect", ALL, &form).await;
        answer.error(400, "invalid_request");
    }
}

// req: 7662-2.1-7, 7662-4-6
#[tokio::test]
async fn s18_who_does_not_authenticate_learns_nothing_about_any_token_or_client() {
    let server = Harness::new().await;
    let (token, _) = server.tokens("").await.pair();
    let mut answers = Vec::new();
    for form in [
        format!("token={token}"),
        "token=x".to_owned(),
        String::new(),
        format!("token={token}&client_id=app"), // a public client cannot authenticate
        format!("token={token}&client_id=nobody"),
        format!("token={token}&client_id=rs"),
        format!("token={token}&client_id=rs&client_secret=wrong"),
    ] {
        let answer = server.post("/auth/introspect", &form).await;
        answer.error(401, "invalid_client");
        assert!(answer.header("www-authenticate").starts_with("Basic "));
        answers.push((answer.text(), answer.headers));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

// req: 7662-2.2-9
#[tokio::test]
async fn s18_unknown_foreign_dead_and_of_another_kind_are_one_answer() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    let (foreign, refresh) = server.redeem(&code).await.pair();
    let (dead, _) = server.tokens("").await.pair();
    let form = format!("client_id=app&token={dead}");
    server.post("/auth/revoke", &form).await;
    let code = server.code_for("web", "").await;
    let (_, own_refresh) = server.web(&redemption("web", &code)).await.pair();
    let mut answers = Vec::new();
    for token in ["toa_x", &foreign, &dead, &refresh, &own_refresh] {
        let answer = ask(&server, ("web", SECRET), token).await;
        inactive(&answer, token);
        answers.push((answer.text(), answer.headers));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

// req: 7662-2.1-6
#[tokio::test]
async fn rfc7662_2_1_a_token_whose_state_cannot_be_told_here_is_inactive() {
    let jwt = || Harness::of(crate::jwt::jwts(SigningAlgorithm::Es256));
    let (server, other) = (Harness::new().await, Harness::new().await);
    let (signs, other_signs) = (jwt().await, jwt().await);
    for elsewhere in [&other, &other_signs] {
        // All that can be read of it would fit: issuer, client, resource, time. Its record or its key is not here.
        let (token, refresh) = elsewhere.tokens("").await.pair();
        assert!(elsewhere.is_active(&token).await);
        for here in [&server, &signs] {
            for token in [&token, &refresh] {
                inactive(&ask(here, ALL, token).await, token);
                inactive(&ask(here, ("web", SECRET), token).await, token);
            }
        }
    }
}
