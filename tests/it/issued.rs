//! What RFC 6750 §4 and §5 ask of who issues tokens: what they are, whom they are for, how long they live, and where they never are.

use std::time::Duration;

use tower_oauth::server::{AccessTokenFormat, Endpoint};
use tower_oauth::types::{Claims, SigningAlgorithm};
use tower_oauth::{AuthorizationServer, Issuance, Issuer, Policy, ResourceServer, Verdict};

use crate::in_process::send;
use crate::metadata::{METADATA, all};
use crate::support::{
    Answer, DEVICE_CODE, FILES, FOR_ITSELF, Harness, ISSUER, LEDGER, NOW, SECRET, builder,
    redemption,
};

const FORMATS: [AccessTokenFormat; 2] = [
    AccessTokenFormat::Opaque,
    AccessTokenFormat::Jwt(SigningAlgorithm::Es256),
];

async fn with_format(format: AccessTokenFormat) -> Harness {
    Harness::of(builder().access_token_format(format)).await
}

/// A token response of each grant of `web`, all for the scope `ledger.read`.
async fn of_each_grant(server: &Harness) -> Vec<(&'static str, Answer)> {
    let code = server.code_for("web", "").await;
    let by_code = server.web(&redemption("web", &code)).await;
    let (_, refresh) = by_code.pair();
    let refreshed = format!("grant_type=refresh_token&refresh_token={refresh}");
    let refreshed = server.web(&refreshed).await;
    let device = server
        .post_as("/auth/device", ("web", SECRET), "scope=ledger.read")
        .await;
    let page = server.enter(&device.member("user_code"), "alice").await;
    server.decide(&page, "alice", "allow").await;
    let device = format!(
        "grant_type={DEVICE_CODE}&device_code={}",
        device.member("device_code")
    );
    let by_device = server.web(&device).await;
    let for_itself = server.web(FOR_ITSELF).await;
    vec![
        ("authorization_code", by_code),
        ("refresh_token", refreshed),
        (DEVICE_CODE, by_device),
        ("client_credentials", for_itself),
    ]
}

fn resource(server: &Harness, resource: &str) -> ResourceServer {
    ResourceServer::builder(resource)
        .issuer(Issuer::in_process(&server.oauth))
        .clock(server.clock.clone())
        .build()
        .unwrap()
}

// req: 6750-4-1, 7662-2.2-2, 7662-2.2-3, 7662-2.2-5
#[tokio::test]
async fn rfc6750_4_tokens_of_every_grant_and_format_are_of_the_type_bearer() {
    for format in FORMATS {
        let server = with_format(format).await;
        for (grant, answer) in of_each_grant(&server).await {
            assert_eq!(answer.member("token_type"), "Bearer", "{grant}");
            let told = server.introspect(&answer.access_token()).await;
            assert_eq!(told["token_type"], "Bearer", "{grant}");
            for name in ["scope", "client_id", "sub", "iss", "jti"] {
                assert!(told[name].is_string(), "{grant}: {name} of {told}");
            }
            let audience = told["aud"].as_array().unwrap();
            assert!(!audience.is_empty() && audience.iter().all(serde_json::Value::is_string));
        }
    }
}

// req: 6750-5.2-2
#[tokio::test]
async fn rfc6750_5_2_a_token_that_is_changed_in_any_place_is_none() {
    for format in FORMATS {
        let server = with_format(format).await;
        let token = server.web(FOR_ITSELF).await.access_token();
        let api = resource(&server, LEDGER);
        assert_eq!(send(&api, &token).await.status, 200);
        for place in 0..token.len() {
            let other = if &token[place..=place] == "A" {
                "B"
            } else {
                "A"
            };
            let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
            assert!(!server.is_active(&changed).await, "{place} of {token}");
            send(&api, &changed).await.error(401, "invalid_token");
        }
    }
}

// req: 6750-5.2-3, 6750-5.3-2, 9728-7.4-1, 8707-2-6
#[tokio::test]
async fn rfc6750_5_2_a_token_is_for_one_resource_and_a_scope_and_good_nowhere_else() {
    for format in FORMATS {
        let server = with_format(format).await;
        let (ledger, files) = (resource(&server, LEDGER), resource(&server, FILES));
        // The host of the ledger is more general than the ledger, and nobody asked for that.
        let host = resource(&server, ISSUER);
        for (grant, answer) in of_each_grant(&server).await {
            let token = answer.access_token();
            let told = server.introspect(&token).await;
            assert_eq!(told["aud"], serde_json::json!([LEDGER]), "{grant}");
            assert_eq!(told["scope"], "ledger.read", "{grant}");
            assert_eq!(send(&ledger, &token).await.status, 200, "{grant}");
            for elsewhere in [&files, &host] {
                send(elsewhere, &token).await.error(401, "invalid_token");
            }
            let facts = ledger.authenticate(&token).await.unwrap();
            assert!(!facts.has_scope("ledger.write"), "{grant}");
        }
    }
}

// req: 6750-5.2-6, 6750-5.3-1
#[tokio::test]
async fn rfc6750_5_3_a_token_lives_for_minutes_and_at_most_for_a_day_if_the_host_says_so() {
    for format in FORMATS {
        // Nothing of the tests' own: what a host gets that sets no lifetime.
        let server = AuthorizationServer::builder(ISSUER).resource(LEDGER, ["ledger.read"]);
        let server = Harness::of(server.access_token_format(format)).await;
        let answer = server.web(FOR_ITSELF).await;
        let lives = answer.json()["expires_in"].as_u64().unwrap();
        assert!((1..=3600).contains(&lives), "{lives}");
        let token = answer.access_token();
        let told = server.introspect(&token).await;
        let ends = told["exp"].as_u64().unwrap() - told["iat"].as_u64().unwrap();
        assert_eq!(ends, lives);
        server.advance(lives - 1);
        assert!(server.is_active(&token).await);
        server.advance(1);
        assert!(!server.is_active(&token).await);

        let built = |secs| {
            let lifetime = Duration::from_secs(secs);
            let builder = builder().access_token_format(format);
            builder.access_token_lifetime(lifetime).build()
        };
        assert!(built(24 * 3600).is_ok());
        for without_an_end in [24 * 3600 + 1, u64::MAX, 0] {
            assert!(built(without_an_end).is_err(), "{without_an_end}");
        }
    }
}

/// Says of each token what its client must not see.
struct Confides;

impl Policy for Confides {
    async fn issue(&self, issuance: Issuance<'_>) -> Verdict {
        let claims = serde_json::json!({"blood_group": "AB-minus"});
        Verdict::Allow {
            scope: issuance.scope.clone(),
            claims: Claims::new(claims.as_object().unwrap().clone()).unwrap(),
        }
    }
}

// req: 6750-5.2-8
#[tokio::test]
async fn rfc6750_5_2_a_token_says_nothing_to_who_holds_it_unless_the_host_chose_otherwise() {
    use base64::Engine as _;
    let server = AuthorizationServer::builder(ISSUER)
        .resource(LEDGER, ["ledger.read"])
        .policy(Confides);
    let server = Harness::of(server).await;
    let token = server.web(FOR_ITSELF).await.access_token();
    assert_eq!(server.introspect(&token).await["blood_group"], "AB-minus");
    // Its place, which is the second it was made in and a random number, and 256 bits that were random then: no room for anything else.
    let text = token.strip_prefix("toa_").unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
    let bytes = bytes.unwrap();
    assert_eq!(bytes.len(), 6 + 32);
    let made = u32::from_be_bytes(*bytes.first_chunk().unwrap());
    assert_eq!(u64::from(made), NOW.as_secs());
    let again = server.web(FOR_ITSELF).await.access_token();
    let same = token.bytes().zip(again.bytes());
    assert!(same.filter(|(one, other)| one == other).count() < 20);
}

// req: 6750-5.2-5, 6750-5.3-3
#[tokio::test]
async fn rfc6750_5_3_tokens_are_in_the_answers_to_programs_and_in_no_cookie_page_or_address() {
    for format in FORMATS {
        let server = with_format(format).await;
        let mut seen = vec![
            server.get(METADATA, None).await,
            server.get("/device", Some("alice")).await,
        ];
        // By way of the login, as a browser goes.
        let login = server.get(&crate::support::changed(&[]), None).await;
        let path = server
            .oauth
            .resume_path(&login.parameter("interaction").unwrap());
        let page = server.get(&path, Some("alice")).await;
        let sent = server.decide(&page, "alice", "allow").await;
        let by_code = server.redeem(&sent.parameter("code").unwrap()).await;
        let (_, refresh) = by_code.pair();
        let refreshed = server.refresh(&refresh, "").await;
        let (device_code, user_code) = server.device().await;
        let asked = server.enter(&user_code, "alice").await;
        let approved = server.decide(&asked, "alice", "allow").await;
        let by_device = server.poll(&device_code).await;
        let programs = [by_code, refreshed, by_device];
        // What was said before and what is said afterwards, when the tokens are there.
        seen.extend([login, page, sent, asked, approved]);
        seen.push(server.get(&path, Some("alice")).await);
        seen.push(server.authorize("&state=s1").await);
        let code = server.code_for("app", "&state=s1").await;
        seen.push(server.get(&format!("/device?user_code={code}"), None).await);
        for answer in programs.iter().chain(&seen) {
            assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
            assert!(!answer.headers.contains_key("set-cookie2"), "{answer:?}");
        }
        for tokens in &programs {
            let (access, refresh) = tokens.pair();
            for answer in &seen {
                // Not their `Debug`: where a browser is sent to does not show there.
                let headers = answer.headers.values().map(|value| value.as_bytes());
                let headers = headers.collect::<Vec<_>>().join(&b'\n');
                let shown = format!("{} {}", String::from_utf8_lossy(&headers), answer.text());
                for secret in [&access, &refresh, "access_token=", "\"access_token\""] {
                    assert!(!shown.contains(secret), "{answer:?}");
                }
            }
        }
    }
}

// req: 7009-2-3, 8414-2-16, 8414-2-18, 8414-2-6
#[tokio::test]
async fn rfc7009_2_the_urls_of_optional_endpoints_are_https_without_a_fragment_or_left_out() {
    let members = [
        ("revocation_endpoint", Endpoint::Revoke),
        ("introspection_endpoint", Endpoint::Introspect),
        ("registration_endpoint", Endpoint::Register),
    ];
    let server = Harness::of(all()).await;
    let document = server.get(METADATA, None).await;
    for (member, endpoint) in members {
        let url = url::Url::parse(&document.member(member)).unwrap();
        assert_eq!((url.scheme(), url.fragment()), ("https", None), "{member}");
        for bad in ["/x#y", "/x#", "/x?y=1", "https://evil.test/x", "x"] {
            assert!(all().path(endpoint, bad).build().is_err(), "{bad}");
        }
        let moved = Harness::in_memory(all().path(endpoint, "/moved"));
        let moved = moved.get(METADATA, None).await.member(member);
        assert_eq!(moved, format!("{ISSUER}/moved"));
    }
    // Without registration, and with what the builder can leave out.
    let fewer = builder()
        .without(Endpoint::Revoke)
        .without(Endpoint::Introspect);
    let fewer = Harness::in_memory(fewer).get(METADATA, None).await;
    for (member, _) in members {
        assert!(fewer.json().get(member).is_none(), "{member}");
    }
}
