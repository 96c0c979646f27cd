//! How long things live: as configured, and never longer than is safe.

use std::time::Duration;

use tower_oauth::AuthorizationServer;
use tower_oauth::server::{AuthorizationServerBuilder, ConfigError};

use crate::support::{Harness, ISSUER};

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3600;

type Set = fn(AuthorizationServerBuilder, Duration) -> AuthorizationServerBuilder;

/// Each setting with its name, its least and its most.
const SETTINGS: [(&str, Set, u64, u64); 7] = [
    (
        "authorization_code_lifetime",
        AuthorizationServerBuilder::authorization_code_lifetime,
        1,
        10 * MINUTE,
    ),
    (
        "access_token_lifetime",
        AuthorizationServerBuilder::access_token_lifetime,
        1,
        DAY,
    ),
    (
        "refresh_token_lifetime",
        AuthorizationServerBuilder::refresh_token_lifetime,
        1,
        3650 * DAY,
    ),
    (
        "refresh_family_lifetime",
        AuthorizationServerBuilder::refresh_family_lifetime,
        14 * DAY,
        3650 * DAY,
    ),
    (
        "device_code_lifetime",
        AuthorizationServerBuilder::device_code_lifetime,
        // A second more than devices wait.
        6,
        3600,
    ),
    (
        "device_interval",
        AuthorizationServerBuilder::device_interval,
        1,
        MINUTE,
    ),
    (
        "interaction_lifetime",
        AuthorizationServerBuilder::interaction_lifetime,
        MINUTE,
        3600,
    ),
];

// req: 6749-4.1.2-2
#[test]
fn rfc6749_4_1_2_a_lifetime_beyond_its_bounds_is_refused_by_its_name() {
    let build = |set: Set, secs: u64| {
        set(
            AuthorizationServer::builder(ISSUER),
            Duration::from_secs(secs),
        )
        .build()
    };
    let window: Set = AuthorizationServerBuilder::refresh_retry_window;
    assert!(build(window, 0).is_ok() && build(window, 60).is_ok());
    assert!(build(window, 61).is_err());
    for (name, set, least, most) in SETTINGS {
        for good in [least, most] {
            assert!(build(set, good).is_ok(), "{name} {good}");
        }
        for bad in [least - 1, most + 1, u64::MAX] {
            let error = build(set, bad).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("{name}: ")),
                "{error}"
            );
            assert!(matches!(error, ConfigError::Lifetime { setting, .. } if setting == name));
        }
    }
}

#[test]
fn no_lifetime_is_longer_than_what_it_is_a_part_of() {
    let secs = Duration::from_secs;
    let family = |time: u64| {
        AuthorizationServer::builder(ISSUER)
            .access_token_lifetime(secs(3600))
            .refresh_token_lifetime(secs(60))
            .refresh_family_lifetime(secs(time))
    };
    let device = |time: u64| {
        AuthorizationServer::builder(ISSUER)
            .device_interval(secs(60))
            .device_code_lifetime(secs(time))
    };
    for (builder, name) in [
        (family(3599), Some("refresh_family_lifetime")),
        (family(3600), None),
        (device(60), Some("device_code_lifetime")),
        (device(61), None),
    ] {
        let wrong = match builder.build() {
            Ok(_) => None,
            Err(ConfigError::Lifetime { setting, .. }) => Some(setting),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(wrong, name);
    }
}

/// A server on which everything lives for other times than by default.
async fn start() -> Harness {
    let secs = Duration::from_secs;
    Harness::with(|builder| {
        builder
            .authorization_code_lifetime(secs(7))
            .access_token_lifetime(secs(11))
            .refresh_token_lifetime(secs(100))
            .refresh_family_lifetime(secs(250))
            .refresh_retry_window(secs(3))
            .device_code_lifetime(secs(30))
            .device_interval(secs(2))
    })
    .await
}

// req: http-time-1, 6749-5.1-3
#[tokio::test]
async fn http_time_1_everything_lives_as_long_as_it_was_configured_to() {
    let server = start().await;
    let late = server.code_for("app", "").await;
    let code = server.code_for("app", "").await;
    server.advance(6);
    let answer = server.redeem(&code).await;
    let (access, first) = answer.pair();
    assert_eq!(answer.json()["expires_in"], 11);
    server.advance(1);
    server.redeem(&late).await.error(400, "invalid_grant");
    server.advance(9);
    assert!(server.is_active(&access).await);
    server.advance(1);
    assert!(!server.is_active(&access).await);

    let (_, second) = server.refresh(&first, "").await.pair();
    server.advance(2);
    assert_eq!(server.refresh(&first, "").await.pair().1, second);
    server.advance(97);
    let (_, third) = server.refresh(&second, "").await.pair();
    server.advance(99);
    let (_, fourth) = server.refresh(&third, "").await.pair();
    // 11 + 2 + 97 + 99 seconds have gone since the owner's approval.
    server.advance(250 - 209);
    server
        .refresh(&fourth, "")
        .await
        .error(400, "invalid_grant");
    let (_, idle) = server.tokens("").await.pair();
    server.advance(100);
    server.refresh(&idle, "").await.error(400, "invalid_grant");
    let (_, used) = server.tokens("").await.pair();
    let (_, next) = server.refresh(&used, "").await.pair();
    server.advance(3);
    server.refresh(&used, "").await.error(400, "invalid_grant");
    server.refresh(&next, "").await.error(400, "invalid_grant");

    let answer = server.post("/auth/device", "client_id=tv").await;
    assert_eq!(
        (&answer.json()["expires_in"], &answer.json()["interval"]),
        (&30.into(), &2.into())
    );
    let device_code = answer.member("device_code");
    for (later, error) in [
        (0, "authorization_pending"),
        (2, "authorization_pending"),
        (1, "slow_down"),
        (27, "expired_token"),
    ] {
        server.advance(later);
        server.poll(&device_code).await.error(400, error);
    }
}

// req: 8414-2-22
#[tokio::test]
async fn the_metadata_says_how_long_things_live() {
    let server = start().await;
    let answer = server
        .get("/.well-known/oauth-authorization-server", None)
        .await;
    for (member, secs) in [
        ("authorization_code_lifetime", 7),
        ("access_token_lifetime", 11),
        ("refresh_token_lifetime", 100),
        ("device_code_lifetime", 30),
    ] {
        assert_eq!(answer.json()[member], secs, "{member}");
    }
}
