//! Where the host's own login and consent meet the server: the login path, custom decisions, and going on from a handler.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::server::Registration;
use tower_oauth::types::{Body, Subject};
use tower_oauth::{Approval, Decision, Interaction, PendingRequest};

use crate::register::{PUBLIC, with};
use crate::support::{Answer, Harness, authorization_request, changed};

/// A host that says whatever a test wants it to.
struct Says<F>(F);

impl<F> Interaction for Says<F>
where
    F: Fn(&PendingRequest, &Parts) -> Decision + Send + Sync + 'static,
{
    async fn decide(&self, pending: &PendingRequest, request: &Parts) -> Decision {
        (self.0)(pending, request)
    }
}

async fn saying(
    decide: impl Fn(&PendingRequest, &Parts) -> Decision + Send + Sync + 'static,
) -> Harness {
    Harness::with(|builder| builder.interaction("/login?from=oauth", Says(decide))).await
}

fn alice() -> Subject {
    Subject::new("alice").unwrap()
}

/// The id of a request that waits, as the login page finds it.
async fn waiting(server: &Harness) -> String {
    let login = server.get(&changed(&[]), None).await;
    login.parameter("interaction").unwrap()
}

async fn resume(server: &Harness, id: &str, decision: Decision) -> Answer {
    let answer = server.oauth.resume(id, decision).await;
    server.sent_to_a_known_place(answer).await
}

// req: 6749-3.1-1, 6749-4.1.1-3, http-cache-2
#[tokio::test]
async fn rfc6749_3_1_who_is_not_signed_in_is_sent_to_the_login_and_goes_on_from_there() {
    let server = Harness::new().await;
    let login = server.get(&changed(&[]), None).await;
    assert!(login.location().starts_with("/login?interaction="));
    assert_eq!(login.header("cache-control"), "no-store");
    assert_eq!(login.header("referrer-policy"), "no-referrer");
    // An id may hold any letters, so the names of parameters are looked at.
    assert_eq!(
        (login.parameter("code"), login.parameter("state")),
        (None, None)
    );
    let id = login.parameter("interaction").unwrap();
    let path = server.oauth.resume_path(&id);
    assert_eq!(path, format!("/auth/authorize?interaction={id}"));
    // Still nobody: to the login again, with the same request.
    assert_eq!(server.get(&path, None).await.location(), login.location());
    let page = server.get(&path, Some("alice")).await;
    assert_eq!(page.hidden("interaction"), id);
    let answer = server.decide(&page, "alice", "allow").await;
    assert_eq!(answer.parameter("state").as_deref(), Some("s1"));
    let code = answer.parameter("code").unwrap();
    assert_eq!(server.redeem(&code).await.status, 200);
}

#[tokio::test]
async fn s13_what_waits_is_what_was_asked_for_first_and_parameters_beside_its_id_change_nothing() {
    let server = Harness::new().await;
    let id = waiting(&server).await;
    let more = "&client_id=web&redirect_uri=https://evil.test&scope=ledger.write&state=forged";
    let path = format!("{}{more}", server.oauth.resume_path(&id));
    let page = server.get(&path, Some("alice")).await;
    assert!(page.text().contains("Harbor App") && !page.text().contains("ledger.write"));
    let answer = server.decide(&page, "alice", "allow").await;
    assert_eq!(answer.parameter("state").as_deref(), Some("s1"));
    let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
    assert_eq!(tokens.member("scope"), "ledger.read");
}

#[tokio::test]
async fn s13_what_the_host_approves_by_itself_is_not_remembered_as_a_yes_on_the_page() {
    let server = Harness::new().await;
    let id = waiting(&server).await;
    let answer = resume(&server, &id, Decision::Approve(Approval::new(alice()))).await;
    assert!(answer.parameter("code").is_some());
    let page = server.get(&changed(&[]), Some("alice")).await;
    assert_eq!(page.status, 200, "she is asked");
    server.decide(&page, "alice", "allow").await;
    let again = server.get(&changed(&[]), Some("alice")).await;
    assert!(again.parameter("code").is_some());
}

#[tokio::test]
async fn s13_a_request_waits_ten_minutes_and_an_unknown_one_is_answered_alike() {
    let server = Harness::new().await;
    let id = waiting(&server).await;
    server.advance(599);
    let page = server
        .get(&server.oauth.resume_path(&id), Some("alice"))
        .await;
    assert_eq!(page.status, 200);
    server.advance(1);
    let late = server.decide(&page, "alice", "allow").await;
    let unknown = server
        .get(&server.oauth.resume_path("nobody"), Some("alice"))
        .await;
    let shown = server
        .get(&server.oauth.resume_path(&id), Some("alice"))
        .await;
    for answer in [&late, &unknown, &shown] {
        answer.page(400);
        assert_eq!(answer.body, unknown.body);
        assert!(answer.text().contains("has expired or is not known"));
    }
    let twice = format!("/auth/authorize?interaction={id}&interaction={id}");
    server.get(&twice, Some("alice")).await.page(400);
}

#[tokio::test]
async fn s13_a_client_that_is_switched_off_while_its_request_waits_gets_nothing() {
    let server = Harness::new().await;
    let page = server.authorize("").await;
    let app = "app".parse().unwrap();
    server.oauth.clients().disable(&app, true).await.unwrap();
    server.decide(&page, "alice", "allow").await.page(400);
    server.oauth.clients().disable(&app, false).await.unwrap();
    let answer = server.decide(&page, "alice", "allow").await;
    assert!(answer.parameter("code").is_some());
}

// req: 6749-3.3-3, 9700-2.3-1
#[tokio::test]
async fn rfc6749_3_3_the_host_approves_all_or_a_part_and_never_more() {
    for (part, given) in [
        (None, "ledger.read ledger.write"),
        (Some("ledger.read"), "ledger.read"),
        (Some("ledger.read files.read offline_access"), "ledger.read"),
    ] {
        let server = saying(move |_, _| {
            let approval = Approval::new(alice());
            Decision::Approve(match part {
                None => approval,
                Some(part) => approval.scope(part.parse().unwrap()),
            })
        })
        .await;
        let request = authorization_request("app", "&scope=ledger.read+ledger.write");
        let answer = server.get(&request, None).await;
        let tokens = server.redeem(&answer.parameter("code").unwrap()).await;
        assert_eq!(tokens.member("scope"), given);
    }
}

#[tokio::test]
async fn rfc6749_3_3_an_approval_that_leaves_nothing_is_a_no() {
    // A token without scope could not say so: the parameter has at least one (RFC 6749 §3.3, §5.1).
    let server = saying(|_, _| {
        Decision::Approve(Approval::new(alice()).scope("files.read".parse().unwrap()))
    })
    .await;
    let answer = server.get(&changed(&[]), None).await;
    answer.redirected_error("access_denied");
    let (device_code, user_code) = server.device().await;
    let entered = server
        .submit("/device", "alice", &format!("user_code={user_code}"))
        .await;
    server.get(&entered.location(), None).await;
    server.poll(&device_code).await.error(400, "access_denied");
}

// req: 6749-4.1.2.1-6
#[tokio::test]
async fn rfc6749_4_1_2_1_the_host_says_no_or_answers_by_itself() {
    let server = saying(|_, _| Decision::Deny).await;
    let answer = server.get(&changed(&[]), None).await;
    answer.redirected_error("access_denied");
    assert_eq!(answer.parameter("state").as_deref(), Some("s1"));

    let server = saying(|pending, _| {
        let mut response = Response::new(Body::from(pending.id().to_owned()));
        *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
        response
            .headers_mut()
            .insert("x-host", "says".parse().unwrap());
        Decision::Respond(response)
    })
    .await;
    let answer = server.get(&changed(&[]), None).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-host")),
        (418, "says")
    );
    // It still waits.
    let yes = Decision::Approve(Approval::new(alice()));
    let answer = resume(&server, &answer.text(), yes).await;
    assert!(answer.parameter("code").is_some());
}

#[tokio::test]
async fn the_host_is_told_what_is_asked_and_sees_the_request_of_the_browser() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let server = saying(move |pending, request| {
        log.lock().unwrap().push(format!(
            "{} {} {} {:?} {:?} {} {}",
            pending.client().client_id(),
            pending.scope(),
            pending.resources()[0],
            pending.redirect_uri(),
            pending.user_code().map(str::len),
            request.headers["x-user"].to_str().unwrap(),
            request.extensions.get::<u32>().unwrap(),
        ));
        Decision::Deny
    })
    .await;
    let ask = |request: Request<Full<Bytes>>| server.send(request);
    let request = Request::get(authorization_request("app", "")).header("x-user", "alice");
    ask(request.extension(7_u32).body(Full::default()).unwrap()).await;
    let (_, user_code) = server.device().await;
    let entered = server
        .submit("/device", "bob", &format!("user_code={user_code}"))
        .await;
    let request = Request::get(entered.location()).header("x-user", "bob");
    ask(request.extension(8_u32).body(Full::default()).unwrap()).await;
    let ledger = "https://auth.harbor.test/ledger";
    assert_eq!(
        *seen.lock().unwrap(),
        [
            format!(
                "app ledger.read {ledger} Some(RedirectUri(https://app.harbor.test/cb)) None alice 7"
            ),
            format!("tv ledger.read {ledger} None Some(9) bob 8"),
        ]
    );
}

/// The server's layer around a page of the host, which shows who asks, and the query that it was asked with.
async fn through_the_layer(server: &Harness, request: Request<Full<Bytes>>) -> Answer {
    let page = service_fn(|request: Request<Full<Bytes>>| async move {
        let pending = request.extensions().get::<PendingRequest>();
        let text = match pending {
            Some(_) if request.method() == Method::HEAD => "a HEAD is forwarded as one".to_owned(),
            Some(pending) => format!("{} {}", pending.client().client_id(), pending.id()),
            None => format!("nobody asks at {}", request.uri().path()),
        };
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
    });
    let answer = server.oauth.layer().layer(page).oneshot(request).await;
    server.sent_to_a_known_place(answer.unwrap()).await
}

#[tokio::test]
async fn a_forwarded_request_is_rendered_by_the_inner_service_which_finds_it() {
    let server = saying(|_, _| Decision::Forward).await;
    let get = |target: String| Request::get(target).body(Full::default()).unwrap();
    let page = through_the_layer(&server, get(changed(&[]))).await;
    let text = page.text();
    let id = text.strip_prefix("app ").unwrap();
    let again = through_the_layer(&server, get(server.oauth.resume_path(id))).await;
    assert_eq!(again.text(), text);
    let head = Request::head(server.oauth.resume_path(id)).body(Full::default());
    let head = through_the_layer(&server, head.unwrap()).await;
    assert_eq!(head.text(), "a HEAD is forwarded as one");
    // A POST is sent to the GET, for its body was read.
    let (path, query) = changed(&[])
        .split_once('?')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let post = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(query));
    let sent = through_the_layer(&server, post.unwrap()).await;
    assert!(sent.location().starts_with("/auth/authorize?interaction="));
    let page = through_the_layer(&server, get(sent.location())).await;
    assert!(page.text().starts_with("app "));
    // The form of the host's page is no answer: that is `resume`.
    let forged = format!("interaction={id}&decision=allow&csrf=x");
    server
        .submit("/auth/authorize", "alice", &forged)
        .await
        .page(403);
    // Nobody puts a request there from outside, and without an inner service there is nobody to render it.
    let other = through_the_layer(&server, get("/elsewhere".to_owned())).await;
    assert_eq!(other.text(), "nobody asks at /elsewhere");
    assert_eq!(server.get(&changed(&[]), None).await.status, 500);
    let yes = Decision::Approve(Approval::new(alice()));
    assert!(resume(&server, id, yes).await.parameter("code").is_some());
    let decided = through_the_layer(&server, get(server.oauth.resume_path(id))).await;
    decided.page(400);
}

#[tokio::test]
async fn a_handler_goes_on_with_any_decision_once() {
    let server = Harness::new().await;
    for name in ["login", "ask", "approve", "deny", "respond", "forward"] {
        let decide = || match name {
            "login" => Decision::Login,
            "ask" => Decision::Ask(alice().into()),
            "approve" => Decision::Approve(Approval::new(alice())),
            "deny" => Decision::Deny,
            "respond" => Decision::Respond(Response::new(Body::from("wait"))),
            _ => Decision::Forward,
        };
        let id = waiting(&server).await;
        let answer = resume(&server, &id, decide()).await;
        match name {
            "login" => assert_eq!(answer.location(), format!("/login?interaction={id}")),
            "ask" => {
                assert_eq!(answer.hidden("interaction"), id);
                let answer = server.decide(&answer, "alice", "deny").await;
                answer.redirected_error("access_denied");
            }
            "approve" => assert!(answer.parameter("code").is_some()),
            "deny" => answer.redirected_error("access_denied"),
            "respond" => assert_eq!(answer.text(), "wait"),
            _ => assert_eq!(answer.location(), server.oauth.resume_path(&id)),
        }
        // Once it is decided only the same answer can be given again, and once it has expired none.
        let is_decided = matches!(name, "ask" | "approve" | "deny");
        if !is_decided {
            resume(&server, &id, Decision::Deny)
                .await
                .redirected_error("access_denied");
        }
        let is_yes = name == "approve";
        for late in [
            decide(),
            Decision::Approve(Approval::new(alice())),
            Decision::Deny,
        ] {
            let is_same = match &late {
                Decision::Approve(_) => is_yes,
                Decision::Deny => !is_yes,
                _ => false,
            };
            let answer = resume(&server, &id, late).await;
            if is_same {
                assert_eq!(answer.parameter("code").is_some(), is_yes, "{name}");
                assert_eq!(answer.parameter("error").is_some(), !is_yes, "{name}");
                continue;
            }
            answer.page(400);
            assert!(answer.text().contains("Already answered"), "{name}");
        }
        let id = waiting(&server).await;
        server.advance(600);
        resume(&server, &id, decide()).await.page(400);
        resume(&server, "unknown", decide()).await.page(400);
    }
}

#[tokio::test]
async fn a_handler_decides_about_a_device_once() {
    let server = Harness::new().await;
    for (first, polled) in [(true, 200), (false, 400)] {
        let (device_code, user_code) = server.device().await;
        let form = format!("user_code={user_code}");
        let entered = server.submit("/device", "alice", &form).await;
        let id = entered.parameter("interaction").unwrap();
        let say = |yes| match yes {
            true => Decision::Approve(Approval::new(alice())),
            false => Decision::Deny,
        };
        let answer = resume(&server, &id, say(first)).await;
        assert_eq!(answer.status, 200);
        for late in [Decision::Ask(alice().into()), say(!first)] {
            let answer = resume(&server, &id, late).await;
            assert!(answer.text().contains("Already answered"), "{answer:?}");
        }
        let again = resume(&server, &id, say(first)).await;
        assert_eq!((again.status, &again.body), (answer.status, &answer.body));
        let shown = server
            .get(&server.oauth.resume_path(&id), Some("alice"))
            .await;
        assert!(shown.text().contains("Already answered"), "{shown:?}");
        assert_eq!(server.poll(&device_code).await.status, polled);
    }
}

// req: 9700-4.11.2-3, 9700-4.11.2-4
#[tokio::test]
async fn s02_who_was_not_asked_is_not_sent_to_a_client_that_registered_itself() {
    let server = Harness::with(|builder| {
        let says = Says(|_: &PendingRequest, _: &Parts| Decision::Deny);
        builder
            .registration(Registration::open())
            .interaction("/login", says)
    })
    .await;
    let id = with(&server, PUBLIC).await.member("client_id");
    let answer = server.get(&authorization_request(&id, ""), None).await;
    answer.page(400);
    assert!(answer.text().contains("access_denied"), "{}", answer.text());
    server.authorize("").await.redirected_error("access_denied");
}

// req: 6749-4.1.2.1-6
#[tokio::test]
async fn s13_who_pressed_deny_has_denied_whatever_the_host_thinks_by_then() {
    let approves = Arc::new(AtomicBool::new(false));
    let knows = Arc::clone(&approves);
    let server = saying(move |_, _| match knows.load(Ordering::SeqCst) {
        true => Decision::Approve(Approval::new(alice())),
        false => Decision::Ask(alice().into()),
    })
    .await;
    let page = server.authorize("").await;
    approves.store(true, Ordering::SeqCst);
    server
        .decide(&page, "alice", "deny")
        .await
        .redirected_error("access_denied");
}
