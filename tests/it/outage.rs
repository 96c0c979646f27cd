//! The store is down: that is a 503 with `Retry-After` or its name at the redirection endpoint, never a verdict, and it passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_oauth::server::Registration;
use tower_oauth::store::{Kind, StoreError};
use tower_oauth::types::{ManualClock, Subject};
use tower_oauth::{Issuer, ResourceServer};

use crate::hooked::{Hooked, Verb, When};
use crate::support::{
    Answer, CALLBACK, DEVICE_CODE, Harness, LEDGER, NOW, SECRET, basic, redemption,
};

/// More steps than any request needs: who is still told of an outage was told it for another reason.
const MOST: usize = 20;

/// Lets the store do so many steps, and none after them.
fn fail_after(store: &Hooked, steps: usize) {
    let done = Arc::new(AtomicUsize::new(0));
    store.on_step(move |step| {
        // The feed is heard in the background, whenever that may be.
        let counts = step.when == When::Before && step.verb != Verb::Changes;
        let fails = counts && done.fetch_add(1, Ordering::SeqCst) >= steps;
        async move {
            if fails || step.verb == Verb::Changes {
                return Err(StoreError::new("the store is down"));
            }
            Ok(())
        }
    });
}

async fn start() -> (Hooked, Harness) {
    let store = Hooked::open().await;
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| {
        builder.registration(Registration::open())
    });
    server.create_clients().await;
    let metadata = "/.well-known/oauth-authorization-server";
    server.get(metadata, None).await;
    store.feed_has_begun().await;
    (store, server)
}

/// Everything that somebody may hold when the store goes down.
struct Held {
    code: String,
    tokens: Answer,
    device_code: String,
    /// Of a device that nobody has decided about.
    user_code: String,
    page: Answer,
}

impl Held {
    async fn by_clients_of(server: &Harness) -> Self {
        let (device_code, entered) = server.device().await;
        let device_page = server.enter(&entered, "alice").await;
        server.decide(&device_page, "alice", "allow").await;
        let tokens = server.tokens("").await;
        let page = server.authorize("&scope=ledger.write&state=x").await;
        assert_eq!(page.status, 200, "{page:?}");
        Self {
            code: server.code_for("app", "").await,
            tokens,
            device_code,
            user_code: server.device().await.1,
            page,
        }
    }

    /// The requests of programs: path, header, form.
    fn requests(&self) -> Vec<(&'static str, String, String)> {
        let web = basic("web", SECRET);
        let (access, refresh) = (
            self.tokens.member("access_token"),
            self.tokens.member("refresh_token"),
        );
        let token = |form: String| ("/auth/token", String::new(), form);
        vec![
            (
                "/auth/token",
                web,
                "grant_type=client_credentials&scope=ledger.read".to_owned(),
            ),
            token(redemption("app", &self.code)),
            token(format!(
                "grant_type=refresh_token&client_id=app&refresh_token={refresh}"
            )),
            token(format!(
                "grant_type={DEVICE_CODE}&client_id=tv&device_code={}",
                self.device_code
            )),
            (
                "/auth/introspect",
                basic("all", "all-secret-0123456789-0123456789-0123456789"),
                format!("token={access}"),
            ),
            ("/auth/revoke", String::new(), format!("client_id=app&token={access}")),
            ("/auth/revoke", String::new(), format!("client_id=app&token={refresh}")),
            ("/auth/device", String::new(), "client_id=tv".to_owned()),
            (
                "/auth/register",
                String::new(),
                r#"{"redirect_uris":["https://agent.test/cb"],"token_endpoint_auth_method":"none"}"#.to_owned(),
            ),
        ]
    }
}

async fn send(server: &Harness, (path, header, form): &(&'static str, String, String)) -> Answer {
    let media_type = match *path {
        "/auth/register" => "application/json",
        _ => "application/x-www-form-urlencoded",
    };
    let mut request = http::Request::post(*path).header("content-type", media_type);
    if !header.is_empty() {
        request = request.header("authorization", header);
    }
    server
        .send(request.body(Full::from(form.clone())).unwrap())
        .await
}

#[track_caller]
fn is_outage(answer: &Answer) {
    answer.error(503, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert!(!answer.text().contains("down"), "the cause is for the log");
}

// req: 7009-2.2.1-2
#[tokio::test]
async fn s06_while_the_store_is_down_programs_are_told_503_and_nothing_changes() {
    let (store, server) = start().await;
    let held = Held::by_clients_of(&server).await;
    fail_after(&store, 0);
    for request in held.requests() {
        is_outage(&send(&server, &request).await);
    }
    let metadata = server
        .get("/.well-known/oauth-authorization-server", None)
        .await;
    assert_eq!(metadata.status, 200, "what needs no store is there");

    store.let_all_pass();
    assert!(server.is_active(&held.tokens.member("access_token")).await);
    for request in held.requests() {
        // Each is as good as it was, in the order in which none spoils the next.
        let answer = send(&server, &request).await;
        assert!(answer.status.is_success(), "{request:?}: {answer:?}");
    }
    let clients = server.oauth.clients().list().await.unwrap();
    assert_eq!(
        clients.len(),
        6,
        "the five of the tests, and one registered once"
    );
}

#[tokio::test]
async fn s06_a_store_that_goes_down_in_the_middle_is_503_at_each_step() {
    for number in 0.. {
        let mut steps = 0;
        loop {
            let (store, server) = start().await;
            let held = Held::by_clients_of(&server).await;
            let requests = held.requests();
            let Some(request) = requests.get(number) else {
                assert_eq!(number, 9);
                return;
            };
            fail_after(&store, steps);
            let answer = send(&server, request).await;
            if answer.status.is_success() {
                assert!(steps >= 2, "{request:?} needs the store");
                break;
            }
            is_outage(&answer);
            steps += 1;
            assert!(steps < MOST, "{request:?}");
        }
    }
}

// req: 6749-4.1.2.1-10, 6749-4.1.2.1-13
#[tokio::test]
async fn rfc6749_4_1_2_1_an_outage_is_a_page_until_client_and_address_are_proven_and_then_a_redirect()
 {
    let mut redirects = 0;
    for steps in 0.. {
        let (store, server) = start().await;
        fail_after(&store, steps);
        let answer = server.authorize("&state=x%20y").await;
        match steps {
            _ if answer.status == 200 => break,
            0 => is_outage_page(&answer),
            _ => {
                is_outage_redirect(&answer);
                assert_eq!(answer.parameter("state").as_deref(), Some("x y"));
                redirects += 1;
            }
        }
        store.let_all_pass();
        server.tokens("").await;
        assert!(steps < MOST);
    }
    assert_eq!(
        redirects, 4,
        "to keep the request, to look for a consent, to keep who is asked and to read it again"
    );
}

#[track_caller]
fn is_outage_page(answer: &Answer) {
    answer.page(503);
    assert_eq!(answer.header("retry-after"), "1");
}

#[track_caller]
fn is_outage_redirect(answer: &Answer) {
    answer.redirected_error("temporarily_unavailable");
    assert!(answer.location().starts_with(CALLBACK), "{answer:?}");
}

// req: 6749-4.1.2.1-10
#[tokio::test]
async fn an_answer_on_the_page_meets_an_outage_as_a_page_or_a_redirect_and_never_as_a_yes() {
    for steps in 0.. {
        let (store, server) = start().await;
        let held = Held::by_clients_of(&server).await;
        server.forget("app").await;
        fail_after(&store, steps);
        let answer = server.decide(&held.page, "alice", "allow").await;
        match steps {
            // Which request it is, and of which client, is not known yet.
            0 | 1 => is_outage_page(&answer),
            _ if answer.parameter("code").is_some() => break,
            _ => is_outage_redirect(&answer),
        }
        assert!(steps < MOST);
    }
}

#[tokio::test]
async fn a_device_page_meets_an_outage_as_a_page() {
    for steps in 0.. {
        let (store, server) = start().await;
        let held = Held::by_clients_of(&server).await;
        fail_after(&store, steps);
        let form = format!("user_code={}", held.user_code);
        let entered = server.submit("/device", "alice", &form).await;
        if entered.status == 303 {
            break;
        }
        is_outage_page(&entered);
        // No wrong code was counted, and the right one is as good as it was.
        store.let_all_pass();
        let page = server.enter(&held.user_code, "alice").await;
        fail_after(&store, 3);
        is_outage_page(&server.decide(&page, "alice", "allow").await);
        store.let_all_pass();
        assert_eq!(server.decide(&page, "alice", "allow").await.status, 200);
        assert!(steps < MOST);
    }
}

#[tokio::test]
async fn what_the_host_asks_is_an_error_and_not_an_empty_list() {
    let (store, server) = start().await;
    let held = Held::by_clients_of(&server).await;
    let (alice, app) = (Subject::new("alice").unwrap(), "app".parse().unwrap());
    fail_after(&store, 0);
    let (clients, grants) = (server.oauth.clients(), server.oauth.grants());
    clients.list().await.unwrap_err();
    clients.get(&app).await.unwrap_err();
    clients.disable(&app, true).await.unwrap_err();
    grants.by_subject(&alice).await.unwrap_err();
    grants.revoke_all_of_subject(&alice).await.unwrap_err();
    grants.revoke_all_of_client(&app).await.unwrap_err();
    store.let_all_pass();
    assert!(server.is_active(&held.tokens.member("access_token")).await);
}

// req: http-err-3
#[tokio::test]
async fn protection_in_the_same_process_is_503_at_each_step_and_lets_nobody_in() {
    let mut steps = 0;
    loop {
        let (store, server) = start().await;
        let token = server.tokens("").await.member("access_token");
        let api = ResourceServer::builder(LEDGER)
            .issuer(Issuer::in_process(&server.oauth))
            .clock(server.clock.clone())
            .build()
            .unwrap();
        let app = ServiceBuilder::new().layer(api.layer()).service(service_fn(
            async |_: http::Request<Full<Bytes>>| {
                Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
            },
        ));
        let ask = || {
            let request = http::Request::get("/entries")
                .header("authorization", format!("Bearer {token}"))
                .body(Full::<Bytes>::default());
            app.clone().oneshot(request.unwrap())
        };
        server.forget("app").await;
        store.feed_has_told_of(Kind::Client).await;
        fail_after(&store, steps);
        let response = ask().await.unwrap();
        if response.status() == 200 {
            break;
        }
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        assert!(!response.headers().contains_key("www-authenticate"));
        store.let_all_pass();
        assert_eq!(
            ask().await.unwrap().status(),
            200,
            "no outage is remembered"
        );
        steps += 1;
        assert!(steps < MOST);
    }
    assert_eq!(steps, 4, "token, client, grant, subject");
}
