//! What an issuer answers, and what becomes of the request (RFC 7662 §2.2, §4).

use serde_json::{Value, json};
use tower_oauth::resource::{CacheLimits, Refusal};
use tower_oauth::types::Timestamp;

use crate::introspection_issuer::{Reply, Scripted, active, active_with, answer, says};
use crate::support::{FILES, ISSUER, LEDGER, NOW};

#[tokio::test]
async fn rfc7662_2_2_what_the_issuer_says_reaches_the_handler() {
    let issuer = Scripted::start().await;
    issuer.always(says(&active_with(
        &json!({"aud": [FILES, LEDGER], "username": "Ada", "tower_oauth_ref": "theirs", "acr": "2"}),
    )));
    let token = issuer.api().check("at_1").await.unwrap();
    assert_eq!(token.subject().as_str(), "usr_50317");
    assert_eq!(token.client_id().unwrap().as_str(), "cl_web_204");
    assert_eq!(token.issuer().as_str(), ISSUER);
    assert!(token.has_scope("ledger.read") && !token.has_scope("ledger.write"));
    assert_eq!(token.audience().len(), 2);
    assert_eq!(token.jti(), Some("at-6f2c1d"));
    assert_eq!(token.issued_at(), Some(NOW));
    assert_eq!(token.expires_at().as_secs(), NOW.as_secs() + 900);
    assert_eq!(
        Value::Object(token.claims().as_map().clone()),
        json!({"username": "Ada", "tower_oauth_ref": "theirs", "acr": "2"})
    );
    // A client that speaks for itself is its own subject (RFC 9068 §2.2).
    issuer.always(says(&active_with(&json!({"sub": null}))));
    let token = issuer.api().check("at_2").await.unwrap();
    assert_eq!(token.subject().as_str(), "cl_web_204");
    assert!(token.owner().is_none());
}

// req: 7662-PROJ-5
#[tokio::test]
async fn v28_an_active_token_of_another_issuer_resource_or_kind_is_refused() {
    let issuer = Scripted::start().await;
    let api = issuer.api();
    for (place, members) in [
        json!({"iss": "https://other.example"}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"aud": FILES}),
        json!({"aud": [FILES, "ledger"]}),
        json!({"aud": []}),
        json!({"aud": format!("{LEDGER}/")}),
        json!({"aud": null}),
        json!({"token_type": "DPoP"}),
        json!({"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}),
        json!({"exp": NOW.as_secs()}),
        json!({"exp": 0}),
        json!({"exp": -1}),
        json!({"nbf": NOW.as_secs() + 31}),
        json!({"token_use": "refresh_token"}),
        json!({"active": false}),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.then(says(&active_with(&members)));
        let answer = api.get(&format!("at_{place}")).await;
        assert_eq!(answer.status, 401, "{members}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("invalid_token"), "{members}");
    }
    for (place, members) in [
        json!({}),
        json!({"iss": null, "token_type": null, "exp": null, "iat": null, "jti": null, "client_id": null}),
        json!({"nbf": NOW.as_secs() + 30}),
        json!({"token_type": "bearer"}),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.then(says(&active_with(&members)));
        let answer = api.get(&format!("good_{place}")).await;
        assert_eq!(answer.status, 200, "{members}");
    }
}

// req: 7662-PROJ-2
#[tokio::test]
async fn v28_an_answer_that_is_none_refuses_the_request_and_is_not_kept() {
    let issuer = Scripted::start().await;
    let api = issuer.api();
    let good = active_with(&json!({}));
    let typed = |media_type: &str| {
        let field = format!("content-type: {media_type}");
        Reply::Says(answer(200, &[&field], &good))
    };
    for (place, (reply, why)) in [
        (says(&active_with(&json!({"active": "true"}))), "a text"),
        (says(&active_with(&json!({"active": 1}))), "a number"),
        (says(&active_with(&json!({"active": null}))), "missing"),
        (says(&good.replace("true", "null")), "null"),
        (says(&good.replacen('{', r#"{"active":false,"#, 1)), "twice"),
        (
            says(&good.replacen('{', r#"{"sub":"root","#, 1)),
            "sub twice",
        ),
        (
            says(&active_with(&json!({"exp": "1795349700"}))),
            "exp is a text",
        ),
        (
            says(&active_with(&json!({"exp": 1.5}))),
            "exp is a fraction",
        ),
        (says(&active_with(&json!({"aud": 7}))), "aud is a number"),
        (
            says(&active_with(&json!({"iss": [ISSUER]}))),
            "iss is an array",
        ),
        (
            says(&active_with(&json!({"scope": ["ledger.read"]}))),
            "scope is an array",
        ),
        (says(""), "empty"),
        (says("[]"), "an array"),
        (says(&good[..good.len() - 1]), "cut short"),
        (says(&format!("{good}{good}")), "two"),
        (typed("text/html"), "HTML by its type"),
        (typed("application/token-introspection+jwt"), "RFC 9701"),
        (Reply::Says(answer(200, &[], &good)), "of no type"),
        (
            Reply::Says(answer(201, &["content-type: application/json"], &good)),
            "of another status",
        ),
        (
            Reply::Says(answer(200, &["content-type: application/json"], "<html>")),
            "HTML",
        ),
        (
            Reply::Says(answer(
                200,
                &["content-type: application/json", "content-encoding: gzip"],
                "\u{1f}\u{8b}\u{8}",
            )),
            "packed",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("at_{place}");
        issuer.then(reply);
        api.is_unavailable(&token, why).await;
        // The next request asks again, and is let in.
        issuer.then(active());
        assert_eq!(api.get(&token).await.status, 200, "{why}");
    }
}

#[tokio::test]
async fn v11_who_says_nothing_of_the_audience_is_believed_by_a_dangerous_switch_alone() {
    let issuer = Scripted::start().await;
    issuer.always(says(&active_with(&json!({"aud": null}))));
    let refused = issuer.api().check("at_1").await.unwrap_err();
    assert_eq!(refused, Refusal::InvalidToken);
    let assuming = issuer.api_with(|settings| settings.dangerous_assume_audience(LEDGER));
    assert!(assuming.check("at_1").await.is_ok());
    // An audience that is named counts all the same, and so does one that is nobody.
    for aud in [json!(FILES), json!([])] {
        issuer.always(says(&active_with(&json!({"aud": aud}))));
        let refused = assuming
            .check(&format!("at_{}", aud.to_string().len()))
            .await;
        assert_eq!(refused.unwrap_err(), Refusal::InvalidToken);
    }
    let other = issuer.api_with(|settings| settings.dangerous_assume_audience(FILES));
    issuer.always(says(&active_with(&json!({"aud": null}))));
    assert_eq!(
        other.check("at_1").await.unwrap_err(),
        Refusal::InvalidToken
    );
}

// req: 7662-PROJ-9, tol-scope-3
#[tokio::test]
async fn tol_scope_3_other_forms_of_scope_and_times_are_taken_by_named_switches() {
    let issuer = Scripted::start().await;
    let arrays = issuer.api_with(|settings| settings.accept_scope_array());
    let loose = issuer.api_with(|settings| settings.accept_loose_times());
    issuer.always(says(&active_with(&json!({"scope": ["ledger.read", "b"]}))));
    assert!(arrays.check("at_1").await.unwrap().has_scope("ledger.read"));
    assert_eq!(loose.check("at_1").await.unwrap_err(), Refusal::Unavailable);
    let exp = (NOW.as_secs() + 900).to_string();
    issuer.always(says(&active_with(&json!({"exp": exp}))));
    let token = loose.check("at_2").await.unwrap();
    assert_eq!(token.expires_at().as_secs(), NOW.as_secs() + 900);
    assert_eq!(
        arrays.check("at_2").await.unwrap_err(),
        Refusal::Unavailable
    );
}

// req: tol-exp-1, 7662-2.2-8
#[tokio::test]
async fn tol_exp_1_a_token_without_an_end_is_known_for_the_ttl_only() {
    let issuer = Scripted::start().await;
    issuer.always(says(&active_with(&json!({"exp": null}))));
    let api = issuer.api();
    let token = api.check("at_1").await.unwrap();
    assert_eq!(token.expires_at(), Timestamp::MAX);
    api.advance(59);
    api.check("at_1").await.unwrap();
    assert_eq!(issuer.asked(), 1);
    api.advance(1);
    issuer.always(says(r#"{"active":false}"#));
    assert_eq!(api.check("at_1").await.unwrap_err(), Refusal::InvalidToken);
    assert_eq!(issuer.asked(), 2);
}

// req: 7662-4-14
#[tokio::test]
async fn v23_what_is_known_is_never_used_beyond_the_end_of_the_token() {
    let issuer = Scripted::start().await;
    issuer.always(says(&active_with(&json!({"exp": NOW.as_secs() + 2}))));
    let api = issuer.api();
    api.check("at_1").await.unwrap();
    api.advance(1);
    api.check("at_1").await.unwrap();
    assert_eq!(issuer.asked(), 1);
    api.advance(1);
    // Even an issuer that still says so does not make it live longer.
    assert_eq!(api.check("at_1").await.unwrap_err(), Refusal::InvalidToken);
}

// req: 7662-4-13
#[tokio::test]
async fn rfc7662_4_without_a_cache_the_issuer_is_asked_every_time() {
    let issuer = Scripted::start().await;
    let never = issuer.api_with(|settings| settings.cached_for(std::time::Duration::ZERO));
    let no_ttl = issuer.api_of(
        |server| server.cache(CacheLimits::new().ttl(std::time::Duration::ZERO)),
        |issuer| issuer,
    );
    for round in 1..=3 {
        never.check("at_1").await.unwrap();
        no_ttl.check("at_1").await.unwrap();
        assert_eq!(issuer.asked(), 2 * round);
    }
    let brief = issuer.api_with(|settings| settings.cached_for(std::time::Duration::from_secs(5)));
    brief.check("at_1").await.unwrap();
    brief.advance(4);
    brief.check("at_1").await.unwrap();
    assert_eq!(issuer.asked(), 7);
    brief.advance(1);
    brief.check("at_1").await.unwrap();
    assert_eq!(issuer.asked(), 8);
}

#[tokio::test]
async fn a_token_of_a_kind_that_its_issuer_says_nothing_about_is_none_of_its_live_ones() {
    let json = &["content-type: application/json"][..];
    let unsupported = r#"{"error":"unsupported_token_type"}"#;
    let issuer = Scripted::start().await;
    let api = issuer.api();
    issuer.always(Reply::Says(answer(400, json, unsupported)));
    assert_eq!(api.get("at_1").await.status, 401);
    for (place, (status, headers, body)) in [
        (400, json, r#"{"error":"invalid_request"}"#),
        (400, json, r#"{"error":["unsupported_token_type"]}"#),
        (400, json, "unsupported_token_type"),
        (400, &["content-type: text/html"], unsupported),
        (500, json, unsupported),
        (401, json, unsupported),
    ]
    .into_iter()
    .enumerate()
    {
        let issuer = Scripted::start().await;
        let api = issuer.api();
        issuer.always(Reply::Says(answer(status, headers, body)));
        api.is_unavailable("at_2", &place.to_string()).await;
    }
}
