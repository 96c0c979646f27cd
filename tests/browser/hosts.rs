//! The examples of hosts, with logins and pages of their own.

use std::process::Stdio;

use reqwest::StatusCode;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::app::App;
use crate::chromium::browse;
use crate::demo;
use crate::example::{self, Example};
use crate::looks;
use crate::waits::soon;

#[tokio::test]
async fn people_of_axum_login_sign_in_and_are_asked_by_the_built_in_page() {
    browse(async |person| {
        let host = Example::start("axum_login", &["127.0.0.1:0"]);
        let app = App::of_the_host(host.base()).await;
        person.open(&app.asks_for("one", "notes:read")).await;
        person.expects_status(401);
        for password in ["looking-glass", "wonderland"] {
            person.fill_in("Username", "alice").await;
            person.fill_in("Password", password).await;
            person.press("Sign in").await;
        }
        person.sees("Read your notes").await;
        person.press("Allow").await;
        let tokens = app.tokens(&app.is_told(person).await["code"]).await;
        let notes = reqwest::Client::new().get(format!("{}/notes", host.base()));
        let notes = notes.bearer_auth(tokens["access_token"].as_str().unwrap());
        let notes = notes.send().await.unwrap().text().await.unwrap();
        assert_eq!(notes, "the notes of person-1\n");
        // Somebody who is signed in already is asked at once.
        person.open(&app.asks_for("two", "notes:read")).await;
        person.press("Deny").await;
        assert_eq!(app.is_told(person).await["error"], "access_denied");
    })
    .await;
}

#[tokio::test]
async fn a_host_with_a_page_of_its_own_lets_people_choose_what_they_share() {
    browse(async |person| {
        let host = Example::start("forward", &["127.0.0.1:0"]);
        let app = App::of_the_host(host.base()).await;
        person.open(&app.asks("one")).await;
        person.fill_in("Name", "ada").await;
        person.press("Sign in").await;
        person
            .sees_heading("ada, what may A small program do?")
            .await;
        person.tick("notes:write").await;
        person.press("Share").await;
        let told = app.is_told(person).await;
        assert_eq!(told["state"], "one");
        assert_eq!(
            app.redeems(&told["code"]).await.as_deref(),
            Ok("notes:read")
        );

        for (state, button) in [("two", "Share"), ("three", "No")] {
            person.open(&app.asks(state)).await;
            if button == "Share" {
                person.tick("notes:read").await;
                person.tick("notes:write").await;
            }
            person.press(button).await;
            let told = app.is_told(person).await;
            assert_eq!((&*told["error"], &*told["state"]), ("access_denied", state));
        }

        // What is wrong with a request the app is told, and nobody is asked.
        person.open(&app.asks_for("four", "everything")).await;
        assert_eq!(app.is_told(person).await["error"], "invalid_scope");
    })
    .await;
}

#[tokio::test]
async fn a_page_of_ones_own_is_answered_by_its_own_form_alone() {
    browse(async |person| {
        let host = Example::start("forward", &["127.0.0.1:0"]);
        let app = App::of_the_host(host.base()).await;
        person.open(&app.asks("one")).await;
        person.fill_in("Name", "ada").await;
        person.press("Sign in").await;
        person.sees_heading("ada, what may A small program do?").await;
        let asked = person.tab().await;
        let here = person.url().await;
        let (_, interaction) = here.as_str().split_once("interaction=").unwrap();

        // Without the session: the login, whatever the form says.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let forged = http.build().unwrap().post(format!("{}/consent", host.base()));
        let form = [("interaction", interaction), ("decision", "allow"), ("scope", "notes:read")];
        let forged = forged.header("sec-fetch-site", "same-origin").form(&form);
        assert_eq!(forged.send().await.unwrap().status(), StatusCode::SEE_OTHER);

        // By a form of another site, and by another person's.
        let form = format!(
            "<form method=post action={}/consent><input name=interaction value={interaction}><button>Win a prize</button></form>",
            host.base()
        );
        person.open_tab().await;
        person.open(&format!("data:text/html,{form}")).await;
        person.press("Win a prize").await; // the cookie stays at home, so ada is asked anew
        person.sees_heading("ada, what may A small program do?").await;
        person.open(&format!("{}/login?interaction={interaction}", host.base())).await;
        person.fill_in("Name", "bob").await;
        person.press("Sign in").await;
        person.sees_heading("bob, what may A small program do?").await;
        person.turn_to(&asked).await;
        person.expects_status(403);
        person.press("Share").await;
        assert_eq!(person.url().await.path(), "/consent");
    })
    .await;
}

#[tokio::test]
async fn a_single_page_app_asks_and_answers_in_json() {
    browse(async |person| {
        let host = Example::start("spa", &["127.0.0.1:0"]);
        let app = App::of_the_host(host.base()).await;
        let question = "May A small program use your account?";
        person.open(&app.asks("one")).await;
        person.fill_in("Name", "ada").await;
        person.press("Sign in").await;
        person.sees_heading(question).await;
        person.sees(&app.page()).await;
        if let Some(axe) = looks::axe() {
            looks::keeps_nobody_out(person, &axe, "the page of the app").await;
        }
        let (first, here) = (person.tab().await, person.url().await);
        assert_eq!(here.path(), "/app/consent");
        let second = person.open_tab().await;
        person.open(here.as_str()).await;
        person.sees_heading(question).await;

        person.turn_to(&first).await;
        person.tick("Write notes for you").await;
        person.press("Allow").await;
        let told = app.is_told(person).await;
        assert_eq!(told["state"], "one");
        let scope = app.redeems(&told["code"]).await;
        assert_eq!(scope.as_deref(), Ok("notes:read"));

        person.turn_to(&second).await;
        person.expects_status(409);
        person.press_and_stay("Deny").await;
        person.sees_heading("Already answered").await;

        person.open(&app.asks("two")).await;
        person.sees_heading(question).await;
        person.press("Deny").await;
        assert_eq!(app.is_told(person).await["error"], "access_denied");

        person.expects_status(404);
        let long_ago = format!("{}/app/consent?interaction=long-ago", host.base());
        person.open(&long_ago).await;
        person.sees_heading("This request has expired").await;
    })
    .await;
}

#[tokio::test]
async fn a_single_page_app_whose_person_has_changed_is_told_so_and_one_who_is_nobody_signs_in() {
    browse(async |person| {
        let host = Example::start("spa", &["127.0.0.1:0"]);
        let app = App::of_the_host(host.base()).await;
        let question = "May A small program use your account?";
        person.open(&app.asks("one")).await;
        person.fill_in("Name", "ada").await;
        person.press("Sign in").await;
        person.sees_heading(question).await;
        let (asked, here) = (person.tab().await, person.url().await);
        let login = here.as_str().replace("/app/consent", "/login");
        person.open_tab().await;
        person.open(&login).await;
        person.fill_in("Name", "bob").await;
        person.press("Sign in").await;
        person.sees("You are bob.").await;
        person.turn_to(&asked).await;
        person.expects_status(403);
        person.press_and_stay("Allow").await;
        person.sees_heading("Not accepted").await;

        person.forget_cookies().await;
        person.open(here.as_str()).await;
        person.fill_in("Name", "ada").await; // the page has sent itself to the login
        person.press("Sign in").await;
        person.sees_heading(question).await;
        person.press("Allow").await;
        assert_eq!(app.is_told(person).await["state"], "one");
    })
    .await;
}

#[tokio::test]
async fn a_program_for_the_command_line_signs_in_by_a_code_that_somebody_types_in() {
    browse(async |person| {
        let demo = demo();
        for (button, said) in [
            ("Allow", "Signed in as alice."),
            ("Deny", "Somebody has said no."),
        ] {
            let mut program = Command::new(example::program("device_cli"));
            program.arg(demo.base()).kill_on_drop(true);
            program.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut program = program.spawn().unwrap();
            let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
            let (mut seen, mut asked) = (String::new(), None);
            while asked.is_none() {
                let line = soon("the code to type in", lines.next_line()).await;
                let line = line.unwrap().unwrap();
                let words = line
                    .strip_prefix("Open ")
                    .and_then(|rest| rest.split_once(" and type in "));
                asked = words
                    .map(|(uri, code)| (uri.to_owned(), code.trim_end_matches('.').to_owned()));
                seen.push_str(&line);
            }
            let (uri, code) = asked.unwrap();
            assert!(seen.contains('█'), "a QR code: {seen}");
            person.forget_cookies().await;
            person.open(&uri).await;
            person.fill_in("Code", &code).await;
            person.press("Continue").await;
            person.sign_in("alice", "wonderland").await;
            person
                .sees_heading("Allow Notes for the command line to use your account?")
                .await;
            person.press(button).await;
            while let Some(line) = soon("its end", lines.next_line()).await.unwrap() {
                seen.push_str(&line);
            }
            let ended = program.wait_with_output().await.unwrap();
            assert_eq!(ended.status.success(), button == "Allow");
            seen.push_str(&String::from_utf8_lossy(&ended.stderr));
            assert!(seen.contains("s are left") && seen.contains(said), "{seen}");
        }
    })
    .await;
}
