//! The list of apps that may use an account, at the browser of its owner.

use crate::app::{App, NAME};
use crate::chromium::{Scripts, browse_with};
use crate::demo;
use crate::pages::remove;

#[tokio::test]
async fn who_removes_an_app_takes_its_tokens_from_it() {
    // Opening what asks for a second yes needs none.
    browse_with(Scripts::Off, async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        let tokens = app.is_allowed(person).await;
        let access_token = tokens["access_token"].as_str().unwrap();
        assert!(app.may_use(access_token).await);
        person.open(demo.base()).await;
        person.follow("See who has access").await;
        person.sees_heading("Connected applications").await;
        person.sees(NAME).await;
        person.sees("Signed in as Alice").await;
        remove(person).await;
        person.sees("The access was removed.").await;
        // Which is the first that is said of the page.
        let title = person.title().await;
        assert_eq!(
            title,
            "The access was removed. Connected applications – Notes"
        );
        person
            .sees("No application has access to your account.")
            .await;
        assert!(!app.may_use(access_token).await);
    })
    .await;
}

#[tokio::test]
async fn who_is_not_signed_in_signs_in_and_comes_back_to_the_list() {
    browse_with(Scripts::Run, async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        app.is_allowed(person).await;
        person.forget_cookies().await;
        person
            .open(&format!("{}/connected-apps", demo.base()))
            .await;
        person.sign_in("alice", "wonderland").await;
        person.sees_heading("Connected applications").await;
        person.sees(NAME).await;
    })
    .await;
}
