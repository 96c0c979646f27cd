//! An issuer that is asked where its metadata says so (RFC 8414 §2, §3).

use std::sync::Arc;

use serde_json::json;
use tower_oauth::resource::Refusal;
use tower_oauth::types::ManualClock;
use tower_oauth::{Issuer, ResourceServer};

use crate::introspection_issuer::{API_SECRET, Api, Reply, Scripted, active_with, says, status};
use crate::support::{LEDGER, NOW};
use crate::waits::soon;

fn base(issuer: &Scripted) -> String {
    issuer.endpoint().replace("/introspect", "")
}

fn api(issuer: &Scripted) -> Api {
    let clock = ManualClock::new(NOW);
    let settings = Issuer::opaque(&base(issuer)).client("rs", API_SECRET);
    let server = ResourceServer::builder(LEDGER).issuer(settings);
    Api {
        server: server.clock(clock.clone()).build().unwrap(),
        clock,
    }
}

fn good(issuer: &Scripted) -> Reply {
    says(&active_with(&json!({"iss": base(issuer)})))
}

fn metadata(issuer: &Scripted, path: &str) -> Reply {
    let base = base(issuer);
    says(&json!({"issuer": base, "introspection_endpoint": format!("{base}{path}")}).to_string())
}

fn line(issuer: &Scripted) -> String {
    issuer.seen().lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn rfc8414_2_the_metadata_says_where_it_is_asked_and_is_asked_once() {
    let issuer = Scripted::start().await;
    let api = api(&issuer);
    assert_eq!(issuer.asked(), 0, "build() asks nobody");
    issuer
        .then(metadata(&issuer, "/x/introspect"))
        .always(good(&issuer));
    api.check("at_1").await.unwrap();
    assert_eq!(line(&issuer), "POST /x/introspect HTTP/1.1");
    api.check("at_2").await.unwrap();
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test]
async fn v29_a_service_starts_while_its_issuer_is_down_and_recovers_by_itself() {
    let issuer = Scripted::start().await;
    let api = api(&issuer);
    for (reply, why) in [
        (Reply::HangsUp, "it is down"),
        (status(500, &[]), "it fails"),
        (says("{}"), "no metadata"),
        (
            says(
                r#"{"issuer":"https://other.example","introspection_endpoint":"https://other.example/x"}"#,
            ),
            "another issuer's",
        ),
    ] {
        issuer.always(reply);
        api.is_unavailable("at_1", why).await;
        assert!(
            line(&issuer).starts_with("GET "),
            "{why}: no token was sent"
        );
    }
    issuer
        .then(metadata(&issuer, "/introspect"))
        .always(good(&issuer));
    api.check("at_1").await.unwrap();
}

#[tokio::test]
async fn v35_what_the_metadata_says_is_held_to_the_same_rules() {
    let issuer = Scripted::start().await;
    for url in [
        "http://10.0.0.1/introspect",
        "/introspect",
        "ftp://a.example/x",
        "",
    ] {
        let api = api(&issuer);
        let document = json!({"issuer": base(&issuer), "introspection_endpoint": url});
        issuer.always(says(&document.to_string()));
        let refused = api.check("at_1").await.unwrap_err();
        assert_eq!(refused, Refusal::Unavailable, "{url}");
        assert!(line(&issuer).starts_with("GET "), "{url}");
    }
}

#[tokio::test]
async fn an_endpoint_that_has_moved_is_found_again() {
    let issuer = Scripted::start().await;
    let api = api(&issuer);
    issuer.then(metadata(&issuer, "/old")).always(good(&issuer));
    api.check("at_1").await.unwrap();
    for code in [404, 405, 410, 500] {
        issuer.then(status(code, &[]));
        api.is_unavailable("at_2", "it has gone").await;
        issuer.then(metadata(&issuer, &format!("/{code}")));
        api.check(&format!("at_{code}")).await.unwrap();
        assert_eq!(line(&issuer), format!("POST /{code} HTTP/1.1"));
    }
    // Where there is no metadata any more, the place that was known is asked.
    issuer.then(status(500, &[]));
    api.is_unavailable("at_3", "a moment").await;
    issuer.then(status(404, &[])).then(status(404, &[]));
    api.check("at_4").await.unwrap();
    assert_eq!(line(&issuer), "POST /500 HTTP/1.1");
}

#[tokio::test]
async fn v29_metadata_that_hangs_keeps_nobody_from_an_endpoint_that_works() {
    let issuer = Scripted::start().await;
    let api = Arc::new(api(&issuer));
    issuer
        .then(metadata(&issuer, "/introspect"))
        .always(good(&issuer));
    api.check("at_1").await.unwrap();
    issuer.then(status(500, &[]));
    api.is_unavailable("at_2", "a moment").await;
    issuer.arrived(3).await;

    let Reply::Says(document) = metadata(&issuer, "/introspect") else {
        unreachable!("it says where it is asked");
    };
    issuer.then(Reply::Held(document));
    let looking = Arc::clone(&api);
    let looking = tokio::spawn(async move { looking.check("at_3").await });
    issuer.arrived(1).await;
    assert!(line(&issuer).starts_with("GET "), "it is looked for again");
    // The others do not wait for the one who looks, who gives up in time to ask where it was.
    api.check("at_4").await.unwrap();
    assert!(line(&issuer).starts_with("POST /introspect "));
    api.advance(1);
    soon("the one who looks", looking).await.unwrap().unwrap();
    api.check("at_5").await.unwrap();
    assert_eq!(issuer.asked(), 7, "and is not looked for a third time");
}
