//! A device, at the browser of its owner (RFC 8628 §3.3).

use crate::app::App;
use crate::chromium::{Scripts, browse, browse_with};
use crate::{consent_heading, demo};

// req: 8628-3.3-1, 8628-3.3-3
#[tokio::test]
async fn who_types_the_code_in_and_allows_connects_the_device() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        let device = app.device().await;
        person.open(&device.verification_uri).await;
        person.sees_heading("Connect a device").await;
        assert_eq!(person.reads("Code").await, "");
        let spelled_otherwise = device.user_code.to_lowercase().replace('-', " ");
        person.fill_in("Code", &spelled_otherwise).await;
        person.press("Continue").await;
        person.sign_in("alice", "wonderland").await;
        person.sees_heading(&consent_heading()).await;
        person.sees(&device.user_code).await;
        assert_eq!(
            app.polls(&device).await.unwrap_err(),
            "authorization_pending"
        );
        person.press("Allow").await;
        person.sees_heading("Device connected").await;
        assert_eq!(app.polls(&device).await.as_deref(), Ok("notes:read"));
    })
    .await;
}

// req: 8628-3.3.1-1, 8628-3.3.1-2
#[tokio::test]
async fn the_link_of_a_device_fills_the_code_in_and_approves_nothing() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        let device = app.device().await;
        person.open(&format!("{}/login", demo.base())).await;
        person.sign_in("alice", "wonderland").await; // even of somebody who is signed in
        person.open(&device.verification_uri_complete).await;
        person.sees_heading("Connect a device").await;
        assert_eq!(person.reads("Code").await, device.user_code);
        assert_eq!(
            app.polls(&device).await.unwrap_err(),
            "authorization_pending"
        );
        person.press("Continue").await;
        person.sees_heading(&consent_heading()).await;
        person.sees(&device.user_code).await;
        person
            .sees("Did somebody send you this code, or a link to this page?")
            .await;
        person.press("Deny").await;
        person.sees_heading("Request denied").await;
    })
    .await;
}

#[tokio::test]
async fn a_code_that_nobody_was_given_is_refused_and_may_be_typed_in_again() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        let device = app.device().await;
        person.expects_status(400);
        person.open(&device.verification_uri).await;
        person.fill_in("Code", "BBBB-BBBB").await;
        person.press("Continue").await;
        person.sees("This code is not valid.").await;
        person.fill_in("Code", &device.user_code).await;
        person.press("Continue").await;
        person.sees_heading("Sign in").await;
    })
    .await;
}

#[tokio::test]
async fn without_scripts_a_device_is_connected_by_keyboard() {
    browse_with(Scripts::Off, async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        let device = app.device().await;
        person.open(&device.verification_uri_complete).await;
        person.tabs_to("Continue").await;
        person.presses_enter().await;
        person.sign_in("bob", "builder").await;
        person.sees_heading(&consent_heading()).await;
        person.tabs_to("Allow").await;
        person.presses_enter().await;
        person.sees_heading("Device connected").await;
        assert_eq!(app.polls(&device).await.as_deref(), Ok("notes:read"));
    })
    .await;
}
