//! A code, at the browser: yes and no, and all that people do instead of going straight on.

use crate::app::App;
use crate::chromium::{Scripts, browse, browse_with};
use crate::person::Person;
use crate::{consent_heading, demo};

/// Opens the app's request, and signs in; then the consent page is there.
async fn ask(person: &Person, app: &App, state: &str) {
    person.open(&app.asks(state)).await;
    person.sign_in("alice", "wonderland").await;
    person.sees_heading(&consent_heading()).await;
}

/// Presses Allow, and the app gets its tokens.
async fn allow(person: &Person, app: &App, state: &str) {
    person.press("Allow").await;
    let told = app.is_told(person).await;
    assert_eq!(told["state"], state);
    let scope = app.redeems(&told["code"]).await;
    assert_eq!(scope.as_deref(), Ok("notes:read notes:write"));
}

// req: http-page-2
#[tokio::test]
async fn who_signs_in_and_allows_goes_back_to_the_app_with_a_code_that_works() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        ask(person, &app, "one").await;
        person
            .sees("Nobody has vouched for this application.")
            .await;
        person.sees("Read your notes").await;
        person.reload().await; // shown as often as asked
        person.sees_heading(&consent_heading()).await;
        allow(person, &app, "one").await;
    })
    .await;
}

#[tokio::test]
async fn who_denies_goes_back_to_the_app_without_a_code() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        ask(person, &app, "one").await;
        person.press("Deny").await;
        let told = app.is_told(person).await;
        assert_eq!((&*told["error"], &*told["state"]), ("access_denied", "one"));
        assert!(!told.contains_key("code"));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_said_and_the_request_still_waits() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        person.expects_status(400);
        person.open(&app.asks("one")).await;
        person.sign_in("alice", "looking-glass").await;
        person.sees("Username or password is wrong.").await;
        person.sign_in("alice", "wonderland").await;
        person.sees_heading(&consent_heading()).await;
        allow(person, &app, "one").await;
    })
    .await;
}

#[tokio::test]
async fn without_scripts_everything_works() {
    browse_with(Scripts::Off, async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        ask(person, &app, "one").await;
        allow(person, &app, "one").await;
        person.sees("No script has run.").await;
    })
    .await;
}

#[tokio::test]
async fn the_keyboard_alone_is_enough_and_the_focus_is_seen_everywhere() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        person.open(&app.asks("one")).await;
        person.sees_heading("Sign in").await;
        person.tabs_to("Username").await;
        person.types("alice").await;
        person.tabs_to("Password").await;
        person.types("wonderland").await;
        person.presses_enter().await;
        person.sees_heading(&consent_heading()).await;
        person.tabs_to("Deny").await;
        person.reload().await;
        person.tabs_to("Allow").await;
        person.presses_enter().await;
        assert!(app.is_told(person).await.contains_key("code"));
    })
    .await;
}

#[tokio::test]
async fn one_request_in_two_tabs_is_answered_once_and_the_other_tab_says_so() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        ask(person, &app, "one").await;
        let (first, here) = (person.tab().await, person.url().await);
        let second = person.open_tab().await;
        person.open(here.as_str()).await;
        person.sees_heading(&consent_heading()).await;
        person.turn_to(&first).await;
        allow(person, &app, "one").await;
        person.turn_to(&second).await;
        person.expects_status(400);
        person.press("Deny").await;
        person.sees_heading("Already answered").await;
    })
    .await;
}

#[tokio::test]
async fn two_requests_in_two_tabs_are_answered_each_for_itself() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        // Both tabs have come to the login before anybody has signed in.
        let first = person.tab().await;
        person.open(&app.asks("one")).await;
        person.sees_heading("Sign in").await;
        let second = person.open_tab().await;
        person.open(&app.asks("two")).await;
        person.sign_in("alice", "wonderland").await;
        person.sees_heading(&consent_heading()).await;
        person.turn_to(&first).await;
        person.sign_in("alice", "wonderland").await;
        person.sees_heading(&consent_heading()).await;
        person.turn_to(&second).await;
        allow(person, &app, "two").await;
        person.turn_to(&first).await;
        allow(person, &app, "one").await;
    })
    .await;
}

#[tokio::test]
async fn who_goes_back_after_allowing_is_told_that_the_answer_is_final() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        ask(person, &app, "one").await;
        allow(person, &app, "one").await;
        person.expects_status(400);
        person.go_back().await;
        // It is up to the browser whether it shows the page that it still has, or asks for it again.
        if person.heading().await == consent_heading() {
            person.press("Deny").await;
        }
        person.sees_heading("Already answered").await;
        person.go_back().await;
        person.reload().await;
        person.sees_heading("Already answered").await;
    })
    .await;
}

#[tokio::test]
async fn who_loses_the_session_meanwhile_signs_in_again_and_is_asked_again() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        ask(person, &app, "one").await;
        person.forget_cookies().await;
        person.press("Allow").await;
        person.sign_in("bob", "builder").await;
        person.sees_heading(&consent_heading()).await;
        person.sees("Signed in as Bob").await;
        allow(person, &app, "one").await;
    })
    .await;
}

#[tokio::test]
async fn what_one_person_was_asked_another_cannot_answer() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        ask(person, &app, "one").await;
        let asked = person.tab().await;
        // At the same browser, bob signs in meanwhile.
        person.open_tab().await;
        person.open(&format!("{}/login", demo.base())).await;
        person.sign_in("bob", "builder").await;
        person.turn_to(&asked).await;
        person.expects_status(403);
        person.press("Allow").await;
        person.sees_heading("Not accepted").await;
    })
    .await;
}

/// What runs in a page tries to say so in its title, and to load something; the policy's reports would be in the console.
const HOSTILE: [&str; 3] = [
    "<script>document.title = 'run'</script>",
    "\"><img src=x onerror=\"document.title = 'run'\">",
    "</title><style>h1 { display: none }</style><iframe src=https://app.example>",
];

/// A letter, and a mark that is piled up on it as often as a name is long: dots below, and circles around.
pub(crate) const PILED: [(char, char); 2] = [('W', '\u{323}'), ('G', '\u{20dd}')];

/// The letter with so many of the mark.
pub(crate) fn piled((letter, mark): (char, char), times: usize) -> String {
    let marks = std::iter::repeat_n(mark, times);
    std::iter::once(letter).chain(marks).collect()
}

// req: 6749-10.14-1
#[tokio::test]
async fn s14_what_an_app_calls_itself_is_shown_and_never_run() {
    browse(async |person| {
        let demo = demo();
        person.open(&format!("{}/login", demo.base())).await;
        person.sign_in("alice", "wonderland").await;
        let as_it_is = HOSTILE.map(|hostile| (hostile.to_owned(), hostile.to_owned()));
        let cut = PILED.map(|pile| (piled(pile, 79), piled(pile, 4)));
        for (hostile, shown) in as_it_is.into_iter().chain(cut) {
            let hostile = &*hostile;
            let app = App::register_as(demo.base(), hostile).await;
            person.open(&app.asks(hostile)).await;
            let heading = person.heading().await;
            assert_eq!(heading, format!("Allow {shown} to use your account?"));
            assert_eq!(
                person.title().await,
                "Allow access to your account? – Notes"
            );
            person.press("Allow").await;
            assert_eq!(app.is_told(person).await["state"], hostile);
        }
    })
    .await;
}
