//! The pages as a browser gets them: in its language, in the host's look, and with the sentence that helps.

use http::Request;
use http_body_util::Full;
use tower_oauth::pages::{Colors, Page, Pages, Text};
use tower_oauth::server::{ConfigError, Limit};
use tower_oauth::store::Kind;
use tower_oauth::types::Body;
use tower_oauth::{Approval, Decision};

use crate::authorization_errors::Faulty;
use crate::support::{Answer, Harness, alice, authorization_request, builder};

async fn get(server: &Harness, target: &str, language: &str) -> Answer {
    let request = Request::get(target)
        .header("x-user", "alice")
        .header("accept-language", language);
    server.send(request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn a_page_is_in_the_language_of_the_browser_and_the_look_of_the_host() {
    let server = Harness::with(|builder| {
        let pages = Pages::new().name("Harbor & Co").accent("#7a1f5c");
        builder.pages(pages.describe_scope("de", "ledger.read", "Ihr Konto lesen"))
    })
    .await;
    let target = authorization_request("app", "");
    let german = get(&server, &target, "fr, de-AT;q=0.8, en;q=0.5").await;
    assert_eq!(german.header("content-language"), "de");
    assert_eq!(german.header("vary"), "accept-language");
    for part in [
        "<html lang=\"de\">",
        "<h1>Darf <bdi>Harbor App</bdi> Ihr Konto verwenden?</h1>",
        "Ihr Konto lesen <code>ledger.read</code>",
        "<bdi>Harbor &#38; Co</bdi>",
        "--accent:#7a1f5c",
    ] {
        assert!(german.text().contains(part), "{part}");
    }
    let english = get(&server, &target, "fr").await;
    assert_eq!(english.header("content-language"), "en");
    assert!(english.text().contains("Read your ledger <code>"));
    // What is posted works alike, whatever the buttons are called.
    let answer = server.decide(&german, "alice", "allow").await;
    assert!(answer.parameter("code").is_some());
}

#[tokio::test]
async fn what_a_handler_resumes_is_answered_in_the_language_of_the_browser_that_brought_it() {
    for (accepted, language, connected) in [
        ("de-CH, en;q=0.5", "de", "Gerät verbunden"),
        ("en, de;q=0.5", "en", "Device connected"),
        ("fr", "en", "Device connected"),
    ] {
        let server = Harness::new().await;
        let (_, user_code) = server.device().await;
        let headers = [
            ("x-user", "alice"),
            ("sec-fetch-site", "same-origin"),
            ("accept-language", accepted),
        ];
        let form = format!("user_code={user_code}");
        let entered = server.post_with("/device", &headers, &form).await;
        let device = entered.parameter("interaction").unwrap();
        let yes = || Decision::Approve(Approval::new(alice()));
        let resume =
            async |id: &str, decision| Answer::of(server.oauth.resume(id, decision).await).await;
        let done = resume(&device, yes()).await;
        assert_eq!(done.header("content-language"), language, "{accepted}");
        assert!(done.text().contains(connected), "{}", done.text());
        let late = resume(&device, Decision::Deny).await;
        assert_eq!(late.header("content-language"), language, "{accepted}");

        let request = authorization_request("app", "");
        let request = Request::get(request).header("accept-language", accepted);
        let login = server.send(request.body(Full::default()).unwrap()).await;
        let code = login.parameter("interaction").unwrap();
        let page = resume(&code, Decision::Ask(alice().into())).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-language"), language, "{accepted}");

        let unknown = resume("unknown", yes()).await;
        assert_eq!(unknown.header("content-language"), "en");
    }
}

// req: http-method-2
#[tokio::test]
async fn rfc9110_9_1_head_says_of_a_page_what_get_would_and_sends_nothing() {
    let server = Harness::with(|builder| builder.connected_apps()).await;
    server.tokens("").await;
    let id = server.authorize("&scope=ledger.write").await;
    let id = id.hidden("interaction");
    let sent = async |method: &str, target: &str| {
        let request = Request::builder().method(method).uri(target);
        let request = request.header("x-user", "alice").body(Full::default());
        server.send(request.unwrap()).await
    };
    for (target, status) in [
        ("/device?user_code=WDJB", 200),
        ("/connected-apps", 200),
        (&server.oauth.resume_path(&id), 200),
        ("/auth/authorize?interaction=unknown", 400),
        ("/auth/authorize?interaction=connected-apps", 303),
    ] {
        let got = sent("GET", target).await;
        let mut head = sent("HEAD", target).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (status, 0));
        let length = head.headers.remove("content-length");
        let length = length.map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        assert_eq!((got.body.len(), &got.headers), (length, &head.headers));
    }
}

#[tokio::test]
async fn each_error_says_what_has_happened_and_what_to_do_in_either_language() {
    let server = Harness::new().await;
    for (target, status, english, german) in [
        (
            "/auth/authorize?interaction=made-up",
            400,
            "This request has expired or is not known. Go back",
            "Gehen Sie zurück zur Anwendung",
        ),
        (
            "/auth/authorize?client_id=nobody",
            400,
            "its makers have to register it",
            "Die Anwendung ist hier nicht bekannt",
        ),
        (
            "/auth/authorize?client_id=app&redirect_uri=https://evil.test/",
            400,
            "you are not sent there",
            "werden Sie nicht dorthin geschickt",
        ),
        (
            "/auth/authorize",
            400,
            "Go back to where you came from",
            "woher Sie kommen",
        ),
    ] {
        for (language, sentence) in [("en", english), ("de", german)] {
            let page = get(&server, target, language).await;
            page.page(status);
            assert!(
                page.text().contains(sentence),
                "{sentence} in {}",
                page.text()
            );
            assert_eq!(page.header("content-language"), language);
        }
    }
    let forged = server
        .post_with("/device", &[("x-user", "alice")], "user_code=BBBB-BBBB")
        .await;
    forged.page(403);
    assert!(forged.text().contains("Open it yourself") && forged.text().contains("href=\"?\""));
}

// req: 8628-5.1-1
#[tokio::test]
async fn who_has_tried_too_often_is_told_how_long_to_wait() {
    let limit = Limit::per_minute(1, 100);
    let server = Harness::with(|builder| {
        builder
            .wrong_user_codes(limit)
            .client_address(|_| Some([192, 0, 2, 7].into()))
    })
    .await;
    let first = server
        .submit("/device", "alice", "user_code=BBBB-BBBB")
        .await;
    first.page(400);
    let second = server
        .submit("/device", "alice", "user_code=BBBB-BBBB")
        .await;
    second.page(429);
    let wait: u64 = second.header("retry-after").parse().unwrap();
    let said = if wait >= 120 { "minutes" } else { "second" };
    assert!(
        second
            .text()
            .contains("There were too many tries. Wait for")
    );
    assert!(second.text().contains(said) && second.text().contains(&wait.to_string()));
}

#[tokio::test]
async fn an_outage_names_what_the_log_calls_it() {
    let store = Faulty::default();
    let server = Harness::with(|builder| builder.store(store.clone())).await;
    server.forget("app").await;
    store.break_down(&[Kind::Client]);
    let page = get(&server, &authorization_request("app", ""), "de").await;
    page.page(503);
    assert!(page.text().contains("es liegt nicht an Ihnen"));
    let id = page.header("error-id");
    assert!(page.text().contains(&format!("<code>{id}</code>")));
}

#[tokio::test]
async fn a_host_makes_a_page_itself_and_it_is_as_safe() {
    let server = Harness::with(|builder| {
        builder.pages(Pages::new().replace(|page, language| match page {
            Page::DeviceCode(page) => {
                let html = format!("<form method=post action={}>{language}", page.action);
                Some(http::Response::new(Body::from(bytes::Bytes::from(html))))
            }
            _ => None,
        }))
    })
    .await;
    let page = get(&server, "/device", "de").await;
    assert_eq!(page.text(), "<form method=post action=/device>de");
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("cache-control"), "no-store");
    let wrong = server.submit("/device", "alice", "user_code=B").await;
    assert_eq!(wrong.status, 400, "the status is ours");
    let error = get(&server, "/auth/authorize", "de").await;
    assert!(error.text().contains("<h1"));
}

#[test]
fn build_names_what_is_wrong_with_the_pages() {
    let wrong = |pages| match builder().pages(pages).build().unwrap_err() {
        ConfigError::Pages(error) => error.to_string(),
        other => panic!("{other}"),
    };
    let color = wrong(Pages::new().dark(Colors::new().accent("plum")));
    assert!(color.starts_with("dark accent: \"plum\""), "{color}");
    let text = wrong(Pages::new().text("en", Text::ConsentHeading, "Allow it?"));
    assert!(text.starts_with("ConsentHeading in \"en\""), "{text}");
}
