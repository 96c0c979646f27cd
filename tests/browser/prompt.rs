//! What an app asks of the login (OpenID Connect Core 1.0 §3.1.2.1), at the browser.

use crate::app::App;
use crate::chromium::browse;
use crate::{consent_heading, demo};

#[tokio::test]
async fn who_is_signed_in_signs_in_again_once_if_the_app_asks_for_it() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        person.open(&format!("{}/login", demo.base())).await;
        person.sign_in("alice", "wonderland").await;
        person
            .open(&format!("{}&prompt=login", app.asks("one")))
            .await;
        person.sign_in("alice", "wonderland").await;
        person.sees_heading(&consent_heading()).await;
        person.press("Allow").await;
        let told = app.is_told(person).await;
        assert_eq!(told["state"], "one");
        let scope = app.redeems(&told["code"]).await;
        assert_eq!(scope.as_deref(), Ok("notes:read notes:write"));
    })
    .await;
}

#[tokio::test]
async fn who_is_not_signed_in_goes_back_at_once_if_the_app_wants_nothing_shown() {
    browse(async |person| {
        let demo = demo();
        person.open(demo.base()).await;
        let asks = person
            .run("return [...document.links].find(it => it.textContent === 'Let it ask').href")
            .await;
        let asks = format!("{}&prompt=none", asks.as_str().unwrap());
        person.open(&asks).await;
        person.sees_heading("The app got nothing").await;
        person.sees("login_required").await;
    })
    .await;
}
