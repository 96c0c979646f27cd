//! What becomes of a request that waits, whatever a person and a browser do meanwhile: each line of the table of `Interaction`.

use http::Response;
use http::request::Parts;
use tower_oauth::server::NotPending;
use tower_oauth::store::Kind;
use tower_oauth::types::Body;
use tower_oauth::{Approval, Decision, Interaction, PendingRequest};

use crate::authorization_errors::Faulty;
use crate::interaction_json::look;
use crate::support::{Answer, Harness, alice, authorization_request, changed};

/// A request that waits, for a code or for a device, and what its device is told.
struct Begun {
    id: String,
    device_code: Option<String>,
}

async fn begin(server: &Harness, for_device: bool) -> Begun {
    if !for_device {
        let login = server.get(&changed(&[]), None).await;
        let id = login.parameter("interaction").unwrap();
        return Begun {
            id,
            device_code: None,
        };
    }
    let (device_code, user_code) = server.device().await;
    let form = format!("user_code={user_code}");
    let entered = server.submit("/device", "alice", &form).await;
    Begun {
        id: entered.parameter("interaction").unwrap(),
        device_code: Some(device_code),
    }
}

impl Begun {
    async fn page(&self, server: &Harness) -> Answer {
        let page = server
            .get(&server.oauth.resume_path(&self.id), Some("alice"))
            .await;
        assert_eq!(page.status, 200, "{page:?}");
        page
    }

    /// Whether the client has got what it asked for.
    async fn is_given(&self, server: &Harness, answer: &Answer) -> bool {
        match &self.device_code {
            None => answer.status == 303 && answer.parameter("code").is_some(),
            Some(code) => server.poll(code).await.status == 200,
        }
    }
}

/// A page that says something to a person, and sends them nowhere.
fn says(answer: &Answer, status: u16, text: &str) {
    answer.page(status);
    assert!(answer.text().contains(text), "{}", answer.text());
    assert!(answer.text().contains("</h1>"), "{}", answer.text());
}

const EXPIRED: &str = "Go back to the application and start again";
const ANSWERED: &str = "an answer is final";

#[tokio::test]
async fn a_login_may_take_minutes_and_after_ten_a_page_says_what_to_do() {
    for for_device in [false, true] {
        let server = Harness::new().await;
        let in_time = begin(&server, for_device).await;
        server.advance(599);
        let page = in_time.page(&server).await;
        let answer = server.decide(&page, "alice", "allow").await;
        assert!(in_time.is_given(&server, &answer).await);

        let late = begin(&server, for_device).await;
        server.advance(600);
        let path = server.oauth.resume_path(&late.id);
        says(&server.get(&path, Some("alice")).await, 400, EXPIRED);
        says(&server.get(&path, None).await, 400, EXPIRED);
        let resumed = server.oauth.resume(&late.id, Decision::Login).await;
        says(&Answer::of(resumed).await, 400, EXPIRED);
    }
}

#[tokio::test]
async fn two_tabs_of_one_request_show_one_page_and_two_requests_stand_by_themselves() {
    for for_device in [false, true] {
        let server = Harness::new().await;
        let (one, other) = (
            begin(&server, for_device).await,
            begin(&server, for_device).await,
        );
        let (page, tab) = (one.page(&server).await, one.page(&server).await);
        assert_eq!(page.body, tab.body);
        let elsewhere = other.page(&server).await;
        let answer = server.decide(&page, "alice", "allow").await;
        assert!(one.is_given(&server, &answer).await);
        // The other tab, and the back button: each is told, and changes nothing.
        says(&server.decide(&tab, "alice", "deny").await, 400, ANSWERED);
        let path = server.oauth.resume_path(&one.id);
        says(&server.get(&path, Some("alice")).await, 400, ANSWERED);
        let resumed = server.oauth.resume(&one.id, Decision::Deny).await;
        says(&Answer::of(resumed).await, 400, ANSWERED);
        let answer = server.decide(&elsewhere, "alice", "deny").await;
        assert!(!other.is_given(&server, &answer).await);
    }
}

#[tokio::test]
async fn whose_session_is_lost_before_the_answer_signs_in_and_is_asked_again() {
    for for_device in [false, true] {
        for decision in ["allow", "deny"] {
            let server = Harness::new().await;
            let begun = begin(&server, for_device).await;
            let page = begun.page(&server).await;
            let form = format!(
                "interaction={}&csrf={}&decision={decision}",
                begun.id,
                page.hidden("csrf")
            );
            let same_origin = [("sec-fetch-site", "same-origin")];
            let lost = server
                .post_with("/auth/authorize", &same_origin, &form)
                .await;
            assert_eq!(lost.location(), format!("/login?interaction={}", begun.id));
            // Nothing was decided, and whoever signs in is asked: bob with a page of his own, alice with hers.
            let path = server.oauth.resume_path(&begun.id);
            let bob = server.get(&path, Some("bob")).await;
            assert_ne!(bob.hidden("csrf"), page.hidden("csrf"));
            says(&server.decide(&page, "bob", "allow").await, 403, EXPIRED);
            let again = begun.page(&server).await;
            let answer = server.decide(&again, "alice", "allow").await;
            assert!(begun.is_given(&server, &answer).await);
        }
    }
}

// req: http-cookie-1
#[tokio::test]
async fn the_server_sets_no_cookie_and_whatever_binds_an_answer_is_in_the_page() {
    let server = Harness::new().await;
    for for_device in [false, true] {
        let begun = begin(&server, for_device).await;
        let page = begun.page(&server).await;
        let answer = server.decide(&page, "alice", "allow").await;
        for answer in [&page, &answer] {
            assert!(!answer.headers.contains_key("set-cookie"));
        }
        assert!(!page.hidden("csrf").is_empty());
    }
}

/// What the host says to each browser, by a header.
struct Says;

impl Interaction for Says {
    async fn decide(&self, _: &PendingRequest, request: &Parts) -> Decision {
        let says = request.headers.get("x-says").map(|value| value.as_bytes());
        match says {
            Some(b"forward") => Decision::Forward,
            Some(b"respond") => Decision::Respond(Response::new(Body::from("of the host"))),
            Some(b"deny") => Decision::Deny,
            Some(b"approve") => Decision::Approve(Approval::new(alice())),
            Some(b"ask") => Decision::Ask(alice().into()),
            _ => Decision::Login,
        }
    }
}

#[tokio::test]
async fn whatever_the_host_says_when_an_answer_comes_is_done_and_never_a_loop_or_an_empty_page() {
    let server = Harness::with(|builder| builder.interaction("/login", Says)).await;
    for for_device in [false, true] {
        for (says_now, decision) in [
            ("login", "allow"),
            ("forward", "allow"),
            ("respond", "allow"),
            ("deny", "allow"),
            ("approve", "allow"),
            ("approve", "deny"),
            ("ask", "deny"),
        ] {
            let begun = begin(&server, for_device).await;
            let path = server.oauth.resume_path(&begun.id);
            let request = http::Request::get(&path).header("x-says", "ask");
            let page = server
                .send(request.body(http_body_util::Full::default()).unwrap())
                .await;
            let form = format!(
                "interaction={}&csrf={}&decision={decision}",
                begun.id,
                page.hidden("csrf")
            );
            let headers = [("sec-fetch-site", "same-origin"), ("x-says", says_now)];
            let answer = server.post_with("/auth/authorize", &headers, &form).await;
            let case = format!("{says_now} {decision} {answer:?}");
            let pending = server.oauth.pending(&begun.id).await;
            match says_now {
                "login" => assert!(answer.location().starts_with("/login?"), "{case}"),
                "forward" => assert_eq!(answer.location(), path, "{case}"),
                "respond" => assert_eq!(answer.text(), "of the host"),
                _ if !for_device => assert_eq!(answer.status, 303, "{case}"),
                _ => assert_eq!(answer.status, 200, "{case}"),
            }
            let waits = matches!(says_now, "login" | "forward" | "respond");
            assert_eq!(pending.is_ok(), waits, "{case}");
            // Who pressed Deny has denied, whatever the host has come to think.
            let given = begun.is_given(&server, &answer).await;
            assert_eq!(
                given,
                (says_now, decision) == ("approve", "allow"),
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn while_the_store_is_down_a_page_says_so_and_nothing_is_decided() {
    let down = "Something failed here, and it is not your fault";
    for for_device in [false, true] {
        let store = Faulty::default();
        let server = Harness::with(|builder| builder.store(store.clone())).await;
        let begun = begin(&server, for_device).await;
        let page = begun.page(&server).await;
        store.break_down(&[Kind::Interaction]);
        let path = server.oauth.resume_path(&begun.id);
        says(&server.get(&path, Some("alice")).await, 503, down);
        says(&server.decide(&page, "alice", "allow").await, 503, down);
        let resumed = server.oauth.resume(&begun.id, Decision::Deny).await;
        says(&Answer::of(resumed).await, 503, down);
        let pending = server.oauth.pending(&begun.id).await;
        assert_eq!(pending.unwrap_err(), NotPending::Unavailable);
        let json = look(&server, &begun.id, Some("alice")).await;
        json.error(503, "temporarily_unavailable");
        assert_eq!(json.header("retry-after"), "1");
        store.break_down(&[]);
        let answer = server.decide(&page, "alice", "allow").await;
        assert!(begun.is_given(&server, &answer).await);
    }
    // What nobody is there to render is no empty page either.
    let server = Harness::with(|builder| builder.interaction("/login", Says)).await;
    let request = http::Request::get(changed(&[])).header("x-says", "forward");
    let missing = server
        .send(request.body(http_body_util::Full::default()).unwrap())
        .await;
    assert_eq!(missing.status, 500);
    assert!(
        missing
            .text()
            .contains("The page that belongs here is missing")
    );
}

#[tokio::test]
async fn a_request_that_names_nothing_or_too_much_is_a_page_that_says_so() {
    let server = Harness::new().await;
    for target in [
        "/auth/authorize",
        "/auth/authorize?interaction=",
        "/auth/authorize?interaction=x",
    ] {
        let page = server.get(target, Some("alice")).await;
        page.page(400);
        assert!(
            page.text().contains("</h1>") && page.text().contains("start again"),
            "{}",
            page.text()
        );
    }
    let page = server
        .get(
            &authorization_request("app", "&scope=ledger.read"),
            Some("alice"),
        )
        .await;
    assert_eq!(page.status, 200);
}
