//! Requests that people have left lying about: a server whose clock the test moves.

use std::time::Duration;

use tower_oauth::types::{Clock as _, ManualClock, SystemClock};

use crate::app::App;
use crate::chromium::browse;
use crate::{consent_heading, own};

/// Longer than a request waits for its owner, and than a device code lives.
const TOO_LONG: Duration = Duration::from_secs(601);

/// Where it serves, and its clock.
async fn server() -> (String, ManualClock) {
    let clock = ManualClock::new(SystemClock.now());
    let (here, _) = own::serve(|builder| builder.clock(clock.clone())).await;
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
