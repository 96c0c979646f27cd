//! What pages of other sites make a browser do: nothing.

use crate::app::App;
use crate::chromium::browse;
use crate::demo;
use crate::pages::Page;
use crate::person::Person;

/// The heading that stands in a frame; none if it must not be shown there.
async fn framed(person: &Person, app: &App, url: &str) -> String {
    let frame = format!("<iframe title=x src=\"{url}\"></iframe>");
    person.open(&app.elsewhere("127.0.0.1", &frame)).await;
    person.framed_heading().await
}

// req: 9700-4.16-1, 6749-10.13-1
#[tokio::test]
async fn rfc9700_4_16_no_page_stands_in_a_frame_of_somebody_else() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        for page in [
            Page::Login,
            Page::Consent,
            Page::DeviceCode,
            Page::DeviceConsent,
        ] {
            person.forget_cookies().await;
            page.go(person, demo.base(), &app).await;
            let here = person.url().await;
            assert_eq!(framed(person, &app, here.as_str()).await, "", "{page:?}");
        }
        person.complaints().await; // of each frame that was refused
        let shown = framed(person, &app, &app.page()).await;
        assert_eq!(shown, "Back at the app", "what may be framed is");
    })
    .await;
}

// req: http-csrf-1, 6749-10.12-1
#[tokio::test]
async fn s13_a_form_of_another_site_answers_nothing_even_with_the_right_values() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        Page::Consent.go(person, demo.base(), &app).await;
        let here = person.url().await;
        let form = person
            .run("return [...document.querySelectorAll('input')].map(it => it.outerHTML).join('')")
            .await;
        let form = format!(
            "<form method=post action={}/auth/authorize>{}<input name=decision value=allow><button>Win a prize</button></form>",
            demo.base(),
            form.as_str().unwrap(),
        );
        // From the same site the session's cookie comes along; from another one it stays at home, and nobody is there to answer.
        person.expects_status(403);
        for host in ["127.0.0.1", "localhost"] {
            person.open(&app.elsewhere(host, &form)).await;
            person.press("Win a prize").await;
            assert_eq!(person.heading().await, "Not accepted", "{host}");
        }
        person.open(here.as_str()).await;
        person.press("Allow").await;
        assert_eq!(app.is_told(person).await["state"], "one");
    })
    .await;
}
