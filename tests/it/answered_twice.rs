//! Who clicks twice sees what comes of the second click alone: the same answer can be given again, and still one grant comes of it.

use std::sync::atomic::{AtomicBool, Ordering};

use tower_oauth::server::Limit;
use tower_oauth::store::{Kind, StoreError};
use tower_oauth::types::{ManualClock, Subject};
use tower_oauth::{Approval, Decision};

use crate::hooked::{Hooked, Verb, When};
use crate::interaction_json::{ALICE, look, post, said, spa};
use crate::support::{Answer, Harness, NOW, alice, changed};

#[track_caller]
fn is_already_answered(answer: &Answer) {
    answer.page(400);
    assert!(answer.text().contains("Already answered"), "{answer:?}");
}

#[track_caller]
fn code(answer: &Answer) -> String {
    let code = answer.parameter("code");
    code.unwrap_or_else(|| panic!("no code in {answer:?}"))
}

async fn grants(server: &Harness) -> usize {
    let grants = server.oauth.grants().by_subject(&alice()).await.unwrap();
    grants.len()
}

#[tokio::test]
async fn s04_a_second_click_on_allow_gives_a_code_that_works_and_ends_the_first() {
    let server = Harness::new().await;
    let page = server.authorize("&state=s1").await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let answer = server.decide(&page, "alice", "allow").await;
        assert_eq!(answer.parameter("state").as_deref(), Some("s1"));
        codes.push(code(&answer));
    }
    let last = codes.pop().unwrap();
    for ended in &codes {
        server.redeem(ended).await.error(400, "invalid_grant");
    }
    let tokens = server.redeem(&last).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    // What has ended has given nothing, so nothing is taken back if it comes again.
    for ended in &codes {
        server.redeem(ended).await.error(400, "invalid_grant");
    }
    assert!(server.is_active(&tokens.member("access_token")).await);
    assert_eq!(grants(&server).await, 1);
    is_already_answered(&server.decide(&page, "alice", "allow").await);
}

#[tokio::test]
async fn s04_a_code_that_was_used_or_presented_wrongly_or_has_expired_is_not_made_again() {
    let wrong =
        "grant_type=authorization_code&client_id=app&redirect_uri=https://app.harbor.test/cb";
    for end in ["used", "wrong verifier", "expired"] {
        let server = Harness::new().await;
        let page = server.authorize("").await;
        let first = code(&server.decide(&page, "alice", "allow").await);
        match end {
            "used" => assert_eq!(server.redeem(&first).await.status, 200),
            "expired" => server.advance(60),
            _ => {
                let form = format!("{wrong}&code={first}&code_verifier={}", "x".repeat(43));
                let answer = server.post("/auth/token", &form).await;
                answer.error(400, "invalid_grant");
            }
        }
        is_already_answered(&server.decide(&page, "alice", "allow").await);
        let again = Decision::Approve(Approval::new(alice()));
        let again = server
            .oauth
            .resume(&page.hidden("interaction"), again)
            .await;
        is_already_answered(&Answer::of(again).await);
        assert_eq!(grants(&server).await, usize::from(end == "used"), "{end}");
    }
}

// req: 6749-10.12-1, http-csrf-1
#[tokio::test]
async fn s13_only_the_same_answer_by_the_same_person_from_the_same_page_is_given_again() {
    let server = Harness::new().await;
    let page = server.authorize("&scope=ledger.read+ledger.write").await;
    let other = server.authorize("").await;
    let (id, csrf) = (page.hidden("interaction"), page.hidden("csrf"));
    let form = format!("interaction={id}&csrf={csrf}&decision=allow");
    let part = format!("{form}&scope=ledger.read");
    let first = server.submit("/auth/authorize", "alice", &part).await;
    let alice = ("x-user", "alice");
    let same = ("sec-fetch-site", "same-origin");
    let changed = |from: &str, to: &str| part.replace(from, to);
    let cases = [
        (part.clone(), vec![alice]),
        (part.clone(), vec![alice, ("sec-fetch-site", "cross-site")]),
        (part.clone(), vec![alice, ("origin", "https://evil.test")]),
        (part.clone(), vec![same, ("x-user", "bob")]),
        (changed(&csrf, &other.hidden("csrf")), vec![alice, same]),
        (changed(&format!("&csrf={csrf}"), ""), vec![alice, same]),
        // More than the first time, less, and the contrary.
        (form.clone(), vec![alice, same]),
        (changed("ledger.read", "ledger.write"), vec![alice, same]),
        (changed("allow", "deny"), vec![alice, same]),
        // Nobody is signed in any more: nothing is left to sign in for.
        (part.clone(), vec![same]),
    ];
    for (form, headers) in cases {
        let answer = server.post_with("/auth/authorize", &headers, &form).await;
        is_already_answered(&answer);
    }
    let path = server.oauth.resume_path(&id);
    is_already_answered(&server.get(&path, Some("alice")).await);
    for late in [
        Decision::Login,
        Decision::Forward,
        Decision::Ask(Subject::new("alice").unwrap().into()),
        Decision::Approve(Approval::new(Subject::new("bob").unwrap())),
        Decision::Approve(Approval::new(Subject::new("alice").unwrap())),
        Decision::Deny,
    ] {
        is_already_answered(&Answer::of(server.oauth.resume(&id, late).await).await);
    }
    // None of this has touched the code.
    let tokens = server.redeem(&code(&first)).await;
    assert_eq!(tokens.member("scope"), "ledger.read");
}

/// Between the two clicks all access was taken from the client: the first yes is worth nothing, and neither is a code that is made of it.
#[tokio::test]
async fn s06_a_click_after_a_removal_is_no_second_one_and_sends_nobody_away_with_a_dead_code() {
    for way in ["client of the subject", "subject", "client"] {
        let server = Harness::new().await;
        let page = server.authorize("").await;
        code(&server.decide(&page, "alice", "allow").await);
        let (grants, app) = (server.oauth.grants(), "app".parse().unwrap());
        match way {
            "subject" => grants.revoke_all_of_subject(&alice()).await.unwrap(),
            "client" => assert!(grants.revoke_all_of_client(&app).await.unwrap()),
            _ => assert!(!grants.revoke_client(&alice(), &app).await.unwrap()),
        }
        is_already_answered(&server.decide(&page, "alice", "allow").await);
        // Whoever begins again is asked again, and what they approve lives.
        let page = server.authorize("").await;
        let code = code(&server.decide(&page, "alice", "allow").await);
        assert_eq!(server.redeem(&code).await.status, 200, "{way}");
    }
}

#[tokio::test]
async fn a_second_click_on_deny_sends_the_client_the_same_once_more() {
    let server = Harness::new().await;
    let page = server.authorize("&state=s1").await;
    let first = server.decide(&page, "alice", "deny").await;
    first.redirected_error("access_denied");
    let again = server.decide(&page, "alice", "deny").await;
    assert_eq!(again.location(), first.location());
    is_already_answered(&server.decide(&page, "alice", "allow").await);
}

#[tokio::test]
async fn s13_what_the_host_has_decided_by_itself_no_form_answers_again() {
    let server = Harness::new().await;
    for decision in [Decision::Approve(Approval::new(alice())), Decision::Deny] {
        let login = server.get(&changed(&[]), None).await;
        let id = login.parameter("interaction").unwrap();
        let _ = server.oauth.resume(&id, decision).await;
        for pressed in ["allow", "deny"] {
            let form = format!("interaction={id}&csrf=&decision={pressed}");
            is_already_answered(&server.submit("/auth/authorize", "alice", &form).await);
        }
    }
}

#[tokio::test]
async fn s04_a_host_whose_handler_runs_twice_gives_one_code_that_works() {
    let server = Harness::new().await;
    let login = server.get(&changed(&[]), None).await;
    let id = login.parameter("interaction").unwrap();
    let yes = async |who: &str| {
        let approval = Approval::new(Subject::new(who).unwrap());
        let answer = server.oauth.resume(&id, Decision::Approve(approval)).await;
        server.sent_to_a_known_place(answer).await
    };
    let (first, second) = (code(&yes("alice").await), code(&yes("alice").await));
    is_already_answered(&yes("bob").await);
    server.redeem(&first).await.error(400, "invalid_grant");
    assert_eq!(server.redeem(&second).await.status, 200);
    is_already_answered(&yes("alice").await);
    assert_eq!(grants(&server).await, 1);
}

#[tokio::test]
async fn s04_a_program_that_answers_twice_is_sent_on_with_a_code_that_works() {
    let server = spa(|builder| builder).await;
    let sent = server.get(&changed(&[]), Some("alice")).await;
    let id = sent.parameter("interaction").unwrap();
    let view = look(&server, &id, Some("alice")).await.json();
    let allow = async || post(&server, &ALICE, said(&view, "allow")).await;
    let code = |answer: Answer| {
        let to = answer.member("redirect_to");
        let (_, rest) = to.split_once("code=").unwrap();
        rest.split('&').next().unwrap().to_owned()
    };
    let (first, second) = (code(allow().await), code(allow().await));
    server.redeem(&first).await.error(400, "invalid_grant");
    assert_eq!(server.redeem(&second).await.status, 200);
    allow().await.error(409, "already_decided");
}

#[tokio::test]
async fn s04_a_click_that_was_cut_off_before_its_code_was_there_leaves_the_next_one_a_code() {
    let store = Hooked::open().await;
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| builder);
    server.create_clients().await;
    let page = server.authorize("").await;
    let cut_off = AtomicBool::new(false);
    store.on_step(move |step| {
        let fails = step.is(Verb::Insert, Kind::Code, When::Before)
            && !cut_off.swap(true, Ordering::SeqCst);
        async move {
            match fails {
                true => Err(StoreError::new("cut off by the test")),
                false => Ok(()),
            }
        }
    });
    let first = server.decide(&page, "alice", "allow").await;
    first.redirected_error("temporarily_unavailable");
    let second = code(&server.decide(&page, "alice", "allow").await);
    assert_eq!(server.redeem(&second).await.status, 200);
    is_already_answered(&server.decide(&page, "alice", "allow").await);
}

#[tokio::test]
async fn a_second_click_about_a_device_is_told_what_the_first_was() {
    for (first, then, polled) in [("allow", "deny", 200), ("deny", "allow", 400)] {
        let server = Harness::new().await;
        let (device_code, user_code) = server.device().await;
        let page = server.enter(&user_code, "alice").await;
        let done = server.decide(&page, "alice", first).await;
        assert_eq!(done.status, 200, "{done:?}");
        for _ in 0..2 {
            let again = server.decide(&page, "alice", first).await;
            assert_eq!((again.status, &again.body), (done.status, &done.body));
            is_already_answered(&server.decide(&page, "alice", then).await);
            is_already_answered(&server.decide(&page, "bob", first).await);
            let polled_now = server.poll(&device_code).await.status;
            assert!(polled_now == polled || polled_now == 400, "{polled_now}");
        }
        assert_eq!(grants(&server).await, usize::from(first == "allow"));
    }
}

#[tokio::test]
async fn s06_a_click_about_a_device_that_has_lost_its_access_does_not_say_that_it_is_connected() {
    for way in ["removed before it asked", "removed", "signed out"] {
        let server = Harness::new().await;
        let (device_code, user_code) = server.device().await;
        let page = server.enter(&user_code, "alice").await;
        let connected = server.decide(&page, "alice", "allow").await;
        assert_eq!(connected.status, 200);
        let (grants, tv) = (server.oauth.grants(), "tv".parse().unwrap());
        if way != "removed before it asked" {
            let (_, refresh) = server.poll(&device_code).await.pair();
            let again = server.decide(&page, "alice", "allow").await;
            assert_eq!(again.text(), connected.text());
            if way == "signed out" {
                let form = format!("client_id=tv&token={refresh}");
                assert_eq!(server.post("/auth/revoke", &form).await.status, 200);
            }
        }
        if way != "signed out" {
            grants.revoke_client(&alice(), &tv).await.unwrap();
        }
        is_already_answered(&server.decide(&page, "alice", "allow").await);
    }
}

#[tokio::test]
async fn who_clicks_again_and_again_is_held_back_like_whoever_asks_again_and_again() {
    let limit = Limit::per_minute(4, 4);
    let server = Harness::with(|builder| builder.authorization_requests(limit)).await;
    let page = server.authorize("").await;
    let mut last = String::new();
    for _ in 0..4 {
        last = code(&server.decide(&page, "alice", "allow").await);
    }
    // Four by now: the request, and three clicks after the first.
    let held_back = server.decide(&page, "alice", "allow").await;
    held_back.page(429);
    assert_eq!(server.redeem(&last).await.status, 200);
}
