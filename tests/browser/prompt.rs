//! What an app asks of the login (OpenID Connect Core 1.0 §3.1.2.1), at the browser.

use std::sync::{Arc, Mutex};

use axum::http::request::Parts;
use tower_oauth::SignedIn;
use tower_oauth::types::{Clock as _, Subject, SystemClock, Timestamp};

use crate::app::App;
use crate::chromium::browse;
use crate::person::Person;
use crate::{consent_heading, demo, own};

/// Alice has signed in before any app asks.
async fn is_signed_in(person: &Person, server: &str) {
    person.open(&format!("{server}/login")).await;
    person.sign_in("alice", "wonderland").await;
    person.sees("alice").await;
}

/// Presses Allow, and the app gets what it asked for.
async fn allow(person: &Person, app: &App, state: &str) {
    person.sees_heading(&consent_heading()).await;
    person.press("Allow").await;
    has_code(person, app, state).await;
}

async fn has_code(person: &Person, app: &App, state: &str) {
    let told = app.is_told(person).await;
    assert_eq!(told["state"], state);
    let scope = app.redeems(&told["code"]).await;
    assert_eq!(scope.as_deref(), Ok("notes:read notes:write"));
}

/// What the demo's own app, which the host vouches for, asks when it wants nothing shown.
async fn asks_silently(person: &Person) -> String {
    let asks = person
        .run("return [...document.links].find(it => it.textContent === 'Let it ask').href")
        .await;
    format!("{}&prompt=none", asks.as_str().unwrap())
}

#[tokio::test]
async fn who_is_signed_in_signs_in_again_once_if_the_app_asks_for_it() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        is_signed_in(person, demo.base()).await;
        person.open(&app.asks_with("one", "prompt=login")).await;
        person.sign_in("alice", "wonderland").await;
        allow(person, &app, "one").await;
    })
    .await;
}

/// A server whose login believes that alice has signed in then, and the time.
async fn signed_in_since(since: &Arc<Mutex<Timestamp>>) -> String {
    let since = Arc::clone(since);
    let alice = move |_: &Parts| {
        let alice = SignedIn::new(Subject::new("alice").ok()?);
        Some(alice.auth_time(*since.lock().unwrap()))
    };
    let (here, _) = own::serve(|builder| builder.login("/login", alice)).await;
    here
}

/// From the login back to the request that waits, as logins lead people.
async fn comes_back(person: &Person, server: &str) {
    person.sees_heading("Sign in").await;
    let here = person.url().await;
    let (_, interaction) = here.as_str().split_once("interaction=").unwrap();
    let resume = format!("{server}/auth/authorize?interaction={interaction}");
    person.open(&resume).await;
}

#[tokio::test]
async fn who_has_signed_in_recently_enough_is_asked_at_once() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        is_signed_in(person, demo.base()).await;
        person.open(&app.asks_with("one", "max_age=3600")).await;
        allow(person, &app, "one").await;
    })
    .await;
}

#[tokio::test]
async fn who_has_signed_in_too_long_ago_signs_in_again_and_is_believed_only_then() {
    browse(async |person| {
        let now = SystemClock.now();
        let two_hours_ago = Timestamp::from_secs(now.as_secs() - 7200);
        let since = Arc::new(Mutex::new(two_hours_ago));
        let server = signed_in_since(&since).await;
        let app = App::register(&server).await;
        for wants in ["prompt=login", "max_age=3600"] {
            person.open(&app.asks_with("one", wants)).await;
            person.expects_status(400);
            comes_back(person, &server).await;
            // Whoever has only followed a link is told where it leads before they go there.
            person.sees_heading("This request cannot be answered").await;
            let link = "return document.querySelector('main a').textContent";
            let link = person.run(link).await;
            person.follow(link.as_str().unwrap()).await;
            let told = app.is_told(person).await;
            assert_eq!(told["error"], "login_required", "{wants}");
            assert!(!told.contains_key("code"));
        }
        for wants in ["prompt=login", "max_age=3600"] {
            *since.lock().unwrap() = two_hours_ago;
            person.open(&app.asks_with("two", wants)).await;
            person.sees_heading("Sign in").await;
            *since.lock().unwrap() = SystemClock.now();
            comes_back(person, &server).await;
            allow(person, &app, "two").await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_may_choose_an_account_goes_on_as_whom_they_have_chosen() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        is_signed_in(person, demo.base()).await;
        let asks = app.asks_with("one", "prompt=select_account");
        person.open(&asks).await;
        person.sign_in("bob", "builder").await;
        person.sees("Signed in as Bob").await;
        allow(person, &app, "one").await;
    })
    .await;
}

#[tokio::test]
async fn whom_the_app_expects_stands_in_the_field_and_anybody_may_write_over_it() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        person.open(&app.asks_with("one", "login_hint=alice")).await;
        person.sees_heading("Sign in").await;
        assert_eq!(person.reads("Username").await, "alice");
        person.tabs_to("Password").await; // where one begins to type
        person.types("wonderland").await;
        person.presses_enter().await;
        person.sees("Signed in as Alice").await;

        person.forget_cookies().await;
        person.open(&app.asks_with("two", "login_hint=alice")).await;
        person.sign_in("bob", "builder").await;
        person.sees("Signed in as Bob").await;

        person.forget_cookies().await;
        let hostile = "\"><script>document.title='run'</script>";
        let hint = format!("login_hint={}", hostile.replace('<', "%3C"));
        person.open(&app.asks_with("three", &hint)).await;
        person.sees_heading("Sign in").await;
        assert_eq!(person.reads("Username").await, hostile);
        assert_eq!(person.title().await, "Sign in");
    })
    .await;
}

#[tokio::test]
async fn who_is_not_signed_in_goes_back_at_once_if_the_app_wants_nothing_shown() {
    browse(async |person| {
        let demo = demo();
        person.open(demo.base()).await;
        let asks = asks_silently(person).await;
        person.open(&asks).await;
        person.sees_heading("The app got nothing").await;
        person.sees("login_required").await;
    })
    .await;
}

#[tokio::test]
async fn who_has_not_allowed_it_before_goes_back_at_once_if_the_app_wants_nothing_shown() {
    browse(async |person| {
        let demo = demo();
        is_signed_in(person, demo.base()).await;
        let asks = asks_silently(person).await;
        person.open(&asks).await;
        person.sees_heading("The app got nothing").await;
        person.sees("consent_required").await;
    })
    .await;
}

#[tokio::test]
async fn what_was_allowed_is_remembered_until_the_app_wants_to_be_sure() {
    browse(async |person| {
        let (_, oauth) = own::serve(|builder| builder).await;
        let app = App::vouched_for(&oauth).await;
        person.open(&app.asks("one")).await;
        allow(person, &app, "one").await;
        for (state, wants) in [("two", "ui_locales=en"), ("three", "prompt=none")] {
            person.open(&app.asks_with(state, wants)).await;
            has_code(person, &app, state).await;
        }
        person.open(&app.asks_with("four", "prompt=consent")).await;
        allow(person, &app, "four").await;
    })
    .await;
}
