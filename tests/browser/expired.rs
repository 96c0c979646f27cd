//! Requests that people have left lying about: a server whose clock the test moves.

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tower_oauth::types::{Clock as _, ManualClock, Subject, SystemClock};
use tower_oauth::{AuthorizationServer, Registration};

use crate::app::App;
use crate::chromium::browse;
use crate::consent_heading;

/// Longer than a request waits for its owner, and than a device code lives.
const TOO_LONG: Duration = Duration::from_secs(601);

/// Where it serves, and its clock. Everybody who comes is alice.
async fn server() -> (String, ManualClock) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    let clock = ManualClock::new(SystemClock.now());
    let oauth = AuthorizationServer::builder(&here)
        .resource(&here, ["notes:read", "notes:write"])
        .registration(Registration::open())
        .login("/login", |_| Subject::new("alice").ok())
        .clock(clock.clone())
        .build()
        .unwrap();
    let app = Router::new().layer(oauth.layer());
    tokio::spawn(async { axum::serve(listener, app).await });
    (here, clock)
}

#[tokio::test]
async fn a_request_that_has_expired_says_so_and_where_to_begin_again() {
    browse(async |person| {
        let (here, clock) = server().await;
        let app = App::register(&here).await;
        person.open(&app.asks("one")).await;
        person.sees_heading(&consent_heading()).await;
        clock.advance(TOO_LONG);
        person.expects_status(400);
        person.press("Allow").await;
        person.sees("This request has expired").await;
        person
            .sees("Go back to the application and start again")
            .await;
        person.open(&app.asks("two")).await;
        person.press("Allow").await;
        assert_eq!(app.is_told(person).await["state"], "two");
    })
    .await;
}

#[tokio::test]
async fn a_device_code_that_has_expired_looks_like_one_that_nobody_was_given() {
    browse(async |person| {
        let (here, clock) = server().await;
        let app = App::register(&here).await;
        let device = app.device().await;
        person.open(&device.verification_uri_complete).await;
        clock.advance(TOO_LONG);
        person.expects_status(400);
        person.press("Continue").await;
        person.sees("This code is not valid.").await;
        assert_eq!(app.polls(&device).await.unwrap_err(), "expired_token");
    })
    .await;
}
