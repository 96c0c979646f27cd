//! Every combination of what can be sent, where single cases would leave gaps (S3, S11, S21).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tower_oauth::MemoryStore;
use tower_oauth::server::{Limit, Registration};
use tower_oauth::types::{GrantType, ManualClock, Timestamp};

use crate::register::{PUBLIC, with};
use crate::support::{CALLBACK, DEVICE_CODE, FOR_ITSELF, Harness, NOW, changed};

// req: 7636-4.1-1
#[tokio::test]
async fn s03_whatever_is_presented_a_code_is_given_out_for_its_own_verifier_alone() {
    let server = Harness::new().await;
    let of = |length: usize| "aZ9-._~b".chars().cycle().take(length).collect::<String>();
    let (shortest, longest) = (of(43), of(128));
    // What the challenge is made of, what is presented, and what comes of it.
    let cases: [(&str, Option<String>, u16, &str); 16] = [
        (&shortest, Some(shortest.clone()), 200, ""),
        (&longest, Some(longest.clone()), 200, ""),
        (&shortest, None, 400, "invalid_grant"),
        (&shortest, Some(String::new()), 400, "invalid_grant"),
        (&shortest, Some(longest.clone()), 400, "invalid_grant"),
        (&shortest, Some(of(44)), 400, "invalid_grant"),
        (&longest, Some(of(127)), 400, "invalid_grant"),
        (&of(42), Some(of(42)), 400, "invalid_grant"),
        (&of(129), Some(of(129)), 400, "invalid_grant"),
        ("", Some(String::new()), 400, "invalid_grant"),
        (
            &format!("{shortest}+"),
            Some(format!("{shortest}%2B")),
            400,
            "invalid_grant",
        ),
        (
            &format!("{shortest} "),
            Some(format!("{shortest}+")),
            400,
            "invalid_grant",
        ),
        (
            &format!("{shortest}é"),
            Some(format!("{shortest}%C3%A9")),
            400,
            "invalid_grant",
        ),
        (
            &shortest,
            Some(format!("{shortest}%20")),
            400,
            "invalid_grant",
        ),
        (
            &shortest,
            Some(shortest.to_uppercase()),
            400,
            "invalid_grant",
        ),
        (
            &shortest,
            Some(URL_SAFE_NO_PAD.encode(Sha256::digest(&shortest))),
            400,
            "invalid_grant",
        ),
    ];
    for (verifier, presented, status, error) in cases {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let page = server
            .get(
                &changed(&[("code_challenge", Some(&challenge))]),
                Some("alice"),
            )
            .await;
        let answer = server.allowed(page).await;
        let code = answer.parameter("code").unwrap();
        let form = format!(
            "grant_type=authorization_code&client_id=app&code={code}&redirect_uri={CALLBACK}"
        );
        let presented = presented.map(|text| format!("&code_verifier={text}"));
        let answer = server
            .post(
                "/auth/token",
                &format!("{form}{}", presented.clone().unwrap_or_default()),
            )
            .await;
        if status == 200 {
            assert_eq!(answer.status, 200, "{presented:?}: {answer:?}");
        } else {
            assert_eq!(answer.status, status, "{presented:?}");
            let told = answer.member("error");
            assert!(
                [error, "invalid_request"].contains(&told.as_str()),
                "{presented:?}: {told}"
            );
        }
    }
}

#[tokio::test]
async fn s11_no_combination_registers_a_client_for_more_than_is_offered() {
    const GRANTS: [&str; 5] = [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        DEVICE_CODE,
        "implicit",
    ];
    let often = Limit::per_minute(9999, 9999);
    let code_and_refresh = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
    let all = vec![
        GrantType::AuthorizationCode,
        GrantType::RefreshToken,
        GrantType::ClientCredentials,
        GrantType::DeviceCode,
    ];
    for offered in [code_and_refresh, all] {
        let registration = Registration::open()
            .limited_to(often)
            .grant_types(offered.clone());
        let server = Harness::with(|builder| builder.registration(registration)).await;
        let mut registered = 0;
        for set in 0_u32..32 {
            let asked: Vec<_> = (0..5)
                .filter(|bit| set >> bit & 1 == 1)
                .map(|bit| GRANTS[bit])
                .collect();
            for method in [
                "none",
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt",
            ] {
                for types in [
                    json!(null),
                    json!([]),
                    json!(["code"]),
                    json!(["code", "token"]),
                ] {
                    for redirects in [json!([CALLBACK]), json!([])] {
                        let body = json!({
                            "redirect_uris": redirects, "grant_types": asked, "response_types": types,
                            "token_endpoint_auth_method": method, "scope": "ledger.read root",
                        });
                        let answer = server.register(&body.to_string()).await;
                        let told = answer.json();
                        if answer.status == 400 {
                            let error = answer.member("error");
                            assert!(
                                ["invalid_client_metadata", "invalid_redirect_uri"]
                                    .contains(&error.as_str()),
                                "{body}: {told}"
                            );
                            continue;
                        }
                        assert_eq!(answer.status, 201, "{body}: {told}");
                        registered += 1;
                        let given: Vec<_> = told["grant_types"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|grant| grant.as_str().unwrap())
                            .collect();
                        let is_offered =
                            |grant: &&str| offered.iter().any(|offered| offered.as_str() == *grant);
                        assert!(
                            given
                                .iter()
                                .all(|grant| is_offered(grant) && asked.contains(grant)),
                            "{body}: {told}"
                        );
                        assert!(
                            given.iter().any(|grant| *grant != "refresh_token"),
                            "{body}: {told}"
                        );
                        let by_code = given.contains(&"authorization_code");
                        assert_eq!(
                            told["response_types"],
                            if by_code { json!(["code"]) } else { json!([]) }
                        );
                        assert!(!by_code || redirects == json!([CALLBACK]), "{body}: {told}");
                        assert_eq!(told["token_endpoint_auth_method"], method);
                        assert_eq!(told.get("client_secret").is_some(), method != "none");
                        assert!(
                            method != "none" || !given.contains(&"client_credentials"),
                            "{body}: {told}"
                        );
                        assert_ne!(method, "private_key_jwt");
                        assert_eq!(told["scope"], "ledger.read");
                    }
                }
            }
        }
        assert!(registered > 20, "{registered}");
    }
}

/// A server at a moment, with everything on.
async fn at(moment: Timestamp) -> (Harness, ManualClock) {
    let clock = ManualClock::new(moment);
    let server = Harness::on(MemoryStore::new(), &clock, |builder| {
        builder.registration(Registration::open())
    });
    server.create_clients().await;
    (server, clock)
}

#[tokio::test]
async fn s21_at_the_first_and_the_last_moments_nothing_panics_and_nothing_fails_on_our_side() {
    for moment in [
        0,
        1,
        u64::from(u32::MAX),
        Timestamp::MAX.as_secs() - 1,
        Timestamp::MAX.as_secs(),
    ] {
        let (server, clock) = at(Timestamp::from_secs(moment)).await;
        // Once at that moment, and once after a leap to the end of time in the middle.
        for leap in [Duration::ZERO, Duration::MAX] {
            let mut answers = Vec::new();
            let page = server.authorize("").await;
            let device = server
                .post("/auth/device", "client_id=tv&scope=ledger.read")
                .await;
            let registered = with(&server, PUBLIC).await;
            if page.status == 200 && leap == Duration::ZERO {
                let answer = server.decide(&page, "alice", "allow").await;
                if answer.status == 303 {
                    let code = answer.parameter("code").unwrap();
                    let tokens = server.redeem(&code).await;
                    if tokens.status == 200 {
                        let (access_token, refresh_token) = tokens.pair();
                        server.introspect(&access_token).await;
                        clock.advance(leap);
                        answers.push(server.refresh(&refresh_token, "").await);
                        let form = format!("client_id=app&token={access_token}");
                        answers.push(server.post("/auth/revoke", &form).await);
                    }
                    answers.push(tokens);
                }
                answers.push(answer);
            }
            clock.advance(leap);
            if device.status == 200 {
                answers.push(server.poll(&device.member("device_code")).await);
                let form = format!("user_code={}", device.member("user_code"));
                answers.push(server.submit("/device", "alice", &form).await);
            }
            answers.push(server.web(FOR_ITSELF).await);
            answers.extend([page, device, registered]);
            for answer in answers {
                assert!(
                    answer.status.as_u16() < 500,
                    "at {moment} and {leap:?}: {answer:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn s21_at_the_first_moment_a_whole_flow_works_and_all_of_it_is_over_in_the_last() {
    for moment in [Timestamp::from_secs(0), NOW] {
        let (server, clock) = at(moment).await;
        let (access_token, refresh_token) = server.tokens("").await.pair();
        assert!(server.is_active(&access_token).await);
        let (device_code, _) = server.device().await;
        // `MAX` itself is the moment that never comes.
        clock.advance(Timestamp::MAX.since(moment) - Duration::from_secs(1));
        assert!(!server.is_active(&access_token).await);
        server
            .refresh(&refresh_token, "")
            .await
            .error(400, "invalid_grant");
        assert_eq!(server.poll(&device_code).await.status, 400);
    }
}
