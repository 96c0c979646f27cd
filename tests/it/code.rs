//! Redeeming an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5).

use tower_oauth::types::{Client, GrantType};
use tower_oauth::{Approval, Decision};

use crate::support::{
    CALLBACK, CHALLENGE, FILES, Harness, LEDGER, VERIFIER, alice, authorization_request, redemption,
};

const UNNAMED: &str = "&redirect_uri=https%3A%2F%2Fapp.harbor.test%2Fcb";

/// The code that alice gives in answer to an authorization request.
async fn allow(server: &Harness, target: &str) -> String {
    let mut answer = server.get(target, Some("alice")).await;
    if answer.status == 200 {
        answer = server.decide(&answer, "alice", "allow").await;
    }
    answer.parameter("code").unwrap()
}

// req: 6749-4.1.4-1, 6749-4.1.3-1, 6749-7.1-1
#[tokio::test]
async fn rfc6749_4_1_4_a_code_gives_an_access_token_and_a_refresh_token() {
    let server = Harness::new().await;
    let code = server
        .code_for("app", "&scope=ledger.write+ledger.read")
        .await;
    let answer = server.redeem(&code).await;
    let (access, refresh) = answer.pair();
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "access_token": access, "token_type": "Bearer", "expires_in": 600,
            "refresh_token": refresh, "scope": "ledger.read ledger.write",
        })
    );
    assert!(server.is_active(&access).await);
}

// req: 6749-4.1.3-2, 6749-4.1.3-3, 6749-4.1.3-7, 7636-4.5-1
#[tokio::test]
async fn rfc6749_4_1_3_each_mistake_has_its_error_and_none_uses_the_code_up() {
    let server = Harness::new().await;
    server
        .create(Client::public("other".parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap()))
        .await;
    let code = server.code_for("app", "&scope=ledger.read").await;
    let right = redemption("app", &code);
    let redirect_uri = format!("&redirect_uri={CALLBACK}");
    let verifier = format!("&code_verifier={VERIFIER}");
    let with = |from: &str, to: &str| {
        assert!(right.contains(from), "{from}");
        right.replace(from, to)
    };
    for (form, error) in [
        (with(&format!("&code={code}"), ""), "invalid_request"),
        (with(&code, ""), "invalid_request"),
        (with("client_id=app", "client_id=other"), "invalid_grant"),
        (with(&redirect_uri, ""), "invalid_grant"),
        (with(CALLBACK, ""), "invalid_grant"),
        (with("/cb", "/cb/"), "invalid_grant"),
        (with("/cb", "/CB"), "invalid_grant"),
        (with("harbor.test/", "harbor.test:443/"), "invalid_grant"),
        (with("https:", "http:"), "invalid_grant"),
        (with(&verifier, ""), "invalid_grant"),
        (with(VERIFIER, ""), "invalid_grant"),
        (with(VERIFIER, &VERIFIER[..42]), "invalid_request"),
        (with(VERIFIER, &"a".repeat(129)), "invalid_request"),
        (with("kQ4n", "kQ4%2B"), "invalid_request"),
        (with("kQ4n", "kQ4%C3%A9"), "invalid_request"),
        (format!("{right}&scope=ledger.write"), "invalid_scope"),
        (format!("{right}&resource={FILES}"), "invalid_target"),
    ] {
        let answer = server.post("/auth/token", &form).await;
        assert_eq!(answer.status, 400, "{form}");
        assert_eq!(answer.member("error"), error, "{form}");
    }
    let by_another = server.web(&with("client_id=app", "client_id=web")).await;
    by_another.error(400, "invalid_grant");
    server.redeem(&code).await.pair();
}

// req: 6749-4.1.3-8, 6749-A-1, 6749-5.2-8
#[tokio::test]
async fn rfc6749_4_1_3_what_is_no_code_of_ours_is_invalid_grant() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    let long = "x".repeat(10_000);
    for wrong in [
        "x",
        &code[1..],
        &format!("{code}A"),
        &code.to_uppercase(),
        "%C3%A9",
        "%7F%01",
        "..%2F..%2Fetc",
        &long,
    ] {
        server.redeem(wrong).await.error(400, "invalid_grant");
    }
    server.redeem(&code).await.pair();
}

// req: 6749-4.1.2-5
#[tokio::test]
async fn rfc6749_4_1_2_a_client_that_may_not_use_codes_gets_none_redeemed() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    let answer = server.post("/auth/token", &redemption("tv", &code)).await;
    answer.error(400, "unauthorized_client");
    server.redeem(&code).await.pair();
}

// req: 6749-4.1.3-4
#[tokio::test]
async fn rfc6749_4_1_3_an_address_that_was_not_named_need_not_be_named_again() {
    let server = Harness::new().await;
    let request = authorization_request("app", "").replace(UNNAMED, "");
    for (named, status) in [
        ("", 200),
        ("&redirect_uri=https://app.harbor.test/cb", 200),
        ("&redirect_uri=https://app.harbor.test/other", 400),
    ] {
        let code = allow(&server, &request).await;
        let form = redemption("app", &code).replace(&format!("&redirect_uri={CALLBACK}"), named);
        let answer = server.post("/auth/token", &form).await;
        assert_eq!(answer.status, status, "{named}: {answer:?}");
    }
}

// req: tol-redirect-1, 6749-10.6-1
#[tokio::test]
async fn rfc6749_10_6_a_correct_verifier_does_not_make_up_for_an_address_that_differs() {
    let server = Harness::new().await;
    let client = Client::public("two".parse().unwrap())
        .redirect_uri(CALLBACK.parse().unwrap())
        .redirect_uri("https://app.harbor.test/other".parse().unwrap());
    server.create(client).await;
    let code = server.code_for("two", "").await;
    let right = redemption("two", &code);
    for wrong in [
        right.replace("/cb", "/other"),
        right.replace(&format!("&redirect_uri={CALLBACK}"), ""),
    ] {
        let answer = server.post("/auth/token", &wrong).await;
        answer.error(400, "invalid_grant");
    }
    server.post("/auth/token", &right).await.pair();
}

// req: 7636-4.2-1, 7636-4.2-3, 7636-4.6-1, 9700-2.1.1-1
#[tokio::test]
async fn rfc7636_4_6_the_challenge_is_the_sha_256_of_the_verifier() {
    let server = Harness::new().await;
    for (verifier, challenge) in [
        (VERIFIER, CHALLENGE),
        (
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
    ] {
        let request = authorization_request("app", "").replace(CHALLENGE, challenge);
        for (verifier, status) in [(verifier, 200), (challenge, 400)] {
            let code = allow(&server, &request).await;
            let form = redemption("app", &code).replace(VERIFIER, verifier);
            let answer = server.post("/auth/token", &form).await;
            assert_eq!(answer.status, status, "{verifier}: {answer:?}");
        }
    }
}

// req: 7636-4.6-2, 7636-4.5-2, 9700-2.1.1-2, tol-pkce-1
#[tokio::test]
async fn s03_a_wrong_verifier_burns_the_code_and_the_request_cannot_choose_plain() {
    let server = Harness::new().await;
    for (verifier, more) in [
        ("a".repeat(43), ""),
        ("a".repeat(128), ""),
        (CHALLENGE.to_owned(), "&code_challenge_method=plain"),
    ] {
        let code = server.code_for("app", "").await;
        let wrong = redemption("app", &code).replace(VERIFIER, &verifier) + more;
        let answer = server.post("/auth/token", &wrong).await;
        answer.error(400, "invalid_grant");
        assert!(!answer.member("error_description").contains("plain"));
        server.redeem(&code).await.error(400, "invalid_grant");
    }
}

// req: 6749-4.1.2-1, 6749-10.5-1
#[tokio::test]
async fn rfc6749_4_1_2_a_code_lives_to_the_second() {
    let server = Harness::new().await;
    let (last, late) = (
        server.code_for("app", "").await,
        server.code_for("app", "").await,
    );
    server.advance(59);
    server.redeem(&last).await.pair();
    server.advance(1);
    server.redeem(&late).await.error(400, "invalid_grant");
}

// req: 6749-4.1.2-3, 9700-4.2.4-3, tol-code-1, 6749-10.5-2
#[tokio::test]
async fn rfc6749_4_1_2_a_code_is_used_once() {
    let server = Harness::new().await;
    for later in [0, 1, 59, 60, 300] {
        let code = server.code_for("app", "").await;
        let (access, refresh) = server.redeem(&code).await.pair();
        server.advance(later);
        server.redeem(&code).await.error(400, "invalid_grant");
        assert!(!server.is_active(&access).await, "{later}");
        server
            .refresh(&refresh, "")
            .await
            .error(400, "invalid_grant");
    }
}

// req: 6749-4.1.2-4, 9700-4.2.4-4, con-replay-1, oauth21-7.5.2-1
#[tokio::test]
async fn s04_a_replay_kills_what_came_of_the_code_only_if_all_else_is_right() {
    let server = Harness::new().await;
    let code = server.code_for("app", "").await;
    let (access, refresh) = server.redeem(&code).await.pair();
    let again = server.refresh(&refresh, "").await;
    let right = redemption("app", &code);
    for wrong in [
        right.replace(VERIFIER, &"a".repeat(43)),
        right.replace(&format!("&code_verifier={VERIFIER}"), ""),
        right.replace("/cb", "/other"),
        right.replace("client_id=app", "client_id=nobody"),
    ] {
        let answer = server.post("/auth/token", &wrong).await;
        assert!(answer.status.is_client_error(), "{wrong}: {answer:?}");
    }
    let by_another = right.replace("client_id=app", "client_id=web");
    server.web(&by_another).await.error(400, "invalid_grant");
    assert!(server.is_active(&access).await && server.is_active(&again.access_token()).await);

    server.redeem(&code).await.error(400, "invalid_grant");
    for token in [&access, &again.access_token()] {
        assert!(!server.is_active(token).await);
    }
    let (_, current) = again.pair();
    server
        .refresh(&current, "")
        .await
        .error(400, "invalid_grant");
    server.redeem(&code).await.error(400, "invalid_grant");
    // Nothing else of alice's is touched.
    server.tokens("").await.pair();
}

// req: 9700-4.14.2-1, 6749-5.1-4
#[tokio::test]
async fn rfc9700_4_14_a_refresh_token_is_for_clients_that_are_registered_for_it() {
    let server = Harness::new().await;
    let client = Client::public("plain".parse().unwrap())
        .redirect_uri(CALLBACK.parse().unwrap())
        .grant_types([GrantType::AuthorizationCode]);
    server.create(client).await;
    let code = server.code_for("plain", "").await;
    let answer = server
        .post("/auth/token", &redemption("plain", &code))
        .await;
    assert!(server.is_active(&answer.access_token()).await);
    assert!(answer.json().get("refresh_token").is_none(), "{answer:?}");
    // Its grant lives as long as that token.
    server.advance(599);
    assert!(server.is_active(&answer.access_token()).await);
    server.advance(1);
    assert!(!server.is_active(&answer.access_token()).await);
    let form = "grant_type=refresh_token&client_id=plain&refresh_token=x";
    let answer = server.post("/auth/token", form).await;
    answer.error(400, "unauthorized_client");
}

// req: 8707-2.2-2, 8707-2-5, 8707-PROJ-3, 8707-2.2-4
#[tokio::test]
async fn rfc8707_2_2_a_code_is_redeemed_for_all_of_its_resources_or_some() {
    let server = Harness::new().await;
    let [ledger, files] = [LEDGER, FILES].map(|uri| format!("&resource={uri}"));
    let (both, twice) = (format!("{ledger}{files}"), format!("{files}{files}"));
    for (at_authorize, at_token, audience, scope) in [
        (&*ledger, "", vec![LEDGER], "ledger.read"),
        (&files, &files, vec![FILES], "files.read"),
        (&both, "", vec![LEDGER, FILES], "files.read ledger.read"),
        (&both, &ledger, vec![LEDGER], "ledger.read"),
        (&both, &files, vec![FILES], "files.read"),
        (&both, &twice, vec![FILES], "files.read"),
    ] {
        let asked = format!("&scope=ledger.read+files.read{at_authorize}");
        let code = server.code_for("web", &asked).await;
        let form = format!("{}{at_token}", redemption("web", &code));
        let answer = server.web(&form).await;
        let told = server.introspect(&answer.access_token()).await;
        assert_eq!(answer.member("scope"), scope, "{at_authorize}, {at_token}");
        assert_eq!(told["scope"], scope, "{at_authorize}, {at_token}");
        assert_eq!(told["aud"], serde_json::json!(audience), "{at_token}");
    }
    for (at_authorize, at_token) in [
        ("", &*files),
        (&ledger, &files),
        (&ledger, &both),
        (&ledger, "&resource=ledger"),
    ] {
        let code = server.code_for("web", at_authorize).await;
        let form = format!("{}{at_token}", redemption("web", &code));
        server.web(&form).await.error(400, "invalid_target");
    }
}

// req: 6749-5.1-5, 6749-3.3-4
#[tokio::test]
async fn rfc6749_5_1_nobody_gets_a_token_without_scope_who_asked_for_one_with_it() {
    let server = Harness::new().await;
    let asked = format!("&scope=ledger.read+files.read&resource={LEDGER}&resource={FILES}");
    let code = server.code_for("app", &asked).await;
    // The ledger's scope means nothing to the files.
    let nothing = format!("&scope=ledger.read&resource={FILES}");
    let form = redemption("app", &code) + &nothing;
    let answer = server.post("/auth/token", &form).await;
    answer.error(400, "invalid_scope");
    let (_, refresh) = server.redeem(&code).await.pair();
    let answer = server.refresh(&refresh, &nothing).await;
    answer.error(400, "invalid_scope");
    server.refresh(&refresh, "").await.pair();
}

// req: 6749-3.3-4
#[tokio::test]
async fn rfc6749_3_3_a_scope_beside_a_code_is_given_as_far_as_it_was_approved() {
    let server = Harness::new().await;
    // Some clients (simple-oauth2, MSAL) send again what they have asked for, of which alice has approved a part.
    for (sent, given) in [
        (
            "ledger.read+ledger.write+offline_access",
            "ledger.read offline_access",
        ),
        ("ledger.read+unknown", "ledger.read"),
        ("ledger.read", "ledger.read"),
        ("", "ledger.read offline_access"),
    ] {
        let all = "&scope=ledger.read+ledger.write+offline_access";
        let login = server.get(&authorization_request("app", all), None).await;
        let id = login.parameter("interaction").unwrap();
        let part = Approval::new(alice()).scope("ledger.read offline_access".parse().unwrap());
        let answer = server.oauth.resume(&id, Decision::Approve(part)).await;
        let answer = server.sent_to_a_known_place(answer).await;
        let code = answer.parameter("code").unwrap();
        let form = format!("{}&scope={sent}", redemption("app", &code));
        let tokens = server.post("/auth/token", &form).await;
        assert_eq!(tokens.status, 200, "{sent}: {tokens:?}");
        assert_eq!(tokens.member("scope"), given, "{sent}");
        // What is refreshed is what was approved, as ever.
        let tokens = server.refresh(&tokens.member("refresh_token"), "").await;
        assert_eq!(tokens.member("scope"), "ledger.read offline_access");
    }
}
