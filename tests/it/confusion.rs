//! Nothing that is handed out is taken for something else (S8): every artefact in every place where another one belongs.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::resource::{Issuer, ResourceServer};

use crate::support::{
    Answer, CALLBACK, DEVICE_CODE, FOR_ITSELF, Harness, LEDGER, SECRET, VERIFIER, redemption,
};

/// Where something is put: `{}` is its place.
enum Slot {
    /// In a form of `web`, which authenticates in the header.
    OfWeb(&'static str, String),
    /// In a form without credentials in the header.
    Posted(&'static str, String),
    /// In the header, in front of a form that is right.
    Header(&'static str, &'static str, &'static str),
    /// In a form that alice's browser posts.
    Submitted(&'static str, String),
    /// In an address that alice's browser goes to.
    Visited(String),
    /// In the header of a request to an API.
    Api,
}

/// All slots, each with the artefact that belongs there.
fn slots(interaction: &str, csrf: &str) -> Vec<(&'static str, Slot)> {
    use Slot::{Api, Header, OfWeb, Posted, Submitted, Visited};
    let authorize = "/auth/authorize?response_type=code&client_id=app";
    let mut slots = vec![
        (
            "code",
            OfWeb(
                "/auth/token",
                format!(
                    "grant_type=authorization_code&code={{}}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
                ),
            ),
        ),
        (
            "refresh token",
            OfWeb(
                "/auth/token",
                "grant_type=refresh_token&refresh_token={}".into(),
            ),
        ),
        (
            "device code",
            OfWeb(
                "/auth/token",
                format!("grant_type={DEVICE_CODE}&device_code={{}}"),
            ),
        ),
        ("", OfWeb("/auth/token", "grant_type={}".into())),
        (
            "",
            OfWeb(
                "/auth/token",
                "grant_type=client_credentials&scope={}".into(),
            ),
        ),
        (
            "",
            OfWeb("/auth/token", format!("{FOR_ITSELF}&resource={{}}")),
        ),
        (
            "",
            OfWeb("/auth/token", format!("{FOR_ITSELF}&client_id={{}}")),
        ),
        ("access token", OfWeb("/auth/introspect", "token={}".into())),
        (
            "access token or refresh token",
            OfWeb("/auth/revoke", "token={}".into()),
        ),
        ("", OfWeb("/auth/device", "scope={}".into())),
        ("", OfWeb("/auth/device", "resource={}".into())),
        (
            "interaction",
            Visited("/auth/authorize?interaction={}".into()),
        ),
        (
            "",
            Visited("/auth/authorize?response_type=code&client_id={}".into()),
        ),
        ("", Visited(format!("{authorize}&redirect_uri={{}}"))),
        ("", Visited(format!("{authorize}&scope={{}}"))),
        ("", Visited(format!("{authorize}&request_uri={{}}"))),
        (
            "interaction",
            Submitted(
                "/auth/authorize",
                format!("interaction={{}}&csrf={csrf}&decision=allow"),
            ),
        ),
        (
            "",
            Submitted(
                "/auth/authorize",
                format!("interaction={interaction}&csrf={{}}&decision=allow"),
            ),
        ),
        (
            "",
            Submitted(
                "/auth/authorize",
                format!("interaction={interaction}&csrf={csrf}&decision={{}}"),
            ),
        ),
        ("user code", Submitted("/device", "user_code={}".into())),
        ("access token", Api),
    ];
    for (path, form) in [
        ("/auth/token", FOR_ITSELF),
        ("/auth/introspect", "token=x"),
        ("/auth/revoke", "token=x"),
        ("/auth/device", "scope=ledger.read"),
    ] {
        slots.extend([
            (
                "client secret",
                Posted(path, format!("{form}&client_id=web&client_secret={{}}")),
            ),
            ("", Posted(path, format!("{form}&client_id={{}}"))),
            ("client secret", Header(path, "basic", form)),
            ("", Header(path, "bearer", form)),
        ]);
    }
    slots
}

impl Slot {
    async fn put(&self, server: &Harness, value: &str) -> Answer {
        let filled = |form: &str| form.replace("{}", value);
        match self {
            Self::OfWeb(path, form) => server.post_as(path, ("web", SECRET), &filled(form)).await,
            Self::Posted(path, form) => server.post(path, &filled(form)).await,
            Self::Header(path, "basic", form) => server.post_as(path, ("web", value), form).await,
            Self::Header(path, _, form) => {
                let header = format!("Bearer {value}");
                server
                    .post_with(path, &[("authorization", &header)], form)
                    .await
            }
            Self::Submitted(path, form) => server.submit(path, "alice", &filled(form)).await,
            Self::Visited(target) => server.get(&filled(target), Some("alice")).await,
            Self::Api => api(server, value).await,
        }
    }

    /// Whether something that does not belong there got nowhere.
    fn is_refused(&self, answer: &Answer) -> bool {
        match self {
            Self::OfWeb("/auth/introspect", _) => answer.text() == r#"{"active":false}"#,
            Self::OfWeb("/auth/revoke", _) => answer.body.is_empty(), // and nothing is lost, as the end of the test shows
            // An error may be told to the client; a parameter that is not known is ignored, and the rest is not right.
            Self::Visited(_) if answer.status == 303 => answer.parameter("error").is_some(),
            _ => answer.status.is_client_error(),
        }
    }
}

async fn api(server: &Harness, token: &str) -> Answer {
    let api = ResourceServer::builder(LEDGER)
        .issuer(Issuer::in_process(&server.oauth))
        .clock(server.clock.clone())
        .build()
        .unwrap();
    let inner = service_fn(async |_: Request<Empty<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("open")))
    });
    let request = Request::get("/ledger").header("authorization", format!("Bearer {token}"));
    let request = request.body(Empty::new()).unwrap();
    Answer::of(api.layer().layer(inner).oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn s08_no_artefact_is_taken_for_another_and_none_is_used_up_by_it() {
    let server = Harness::new().await;
    let used = redemption("web", &server.code_for("web", "").await);
    let (access, refresh) = server.web(&used).await.pair();
    let code = server.code_for("web", "").await;
    let device = server
        .post_as("/auth/device", ("web", SECRET), "scope=ledger.read")
        .await;
    let (device_code, user_code) = (device.member("device_code"), device.member("user_code"));
    let page = server.authorize("").await;
    let (interaction, csrf) = (page.hidden("interaction"), page.hidden("csrf"));

    let artefacts = [
        ("code", &*code),
        ("access token", &access),
        ("refresh token", &refresh),
        ("device code", &device_code),
        ("user code", &user_code),
        ("interaction", &interaction),
        ("client secret", SECRET),
    ];
    let mut tries = 0;
    for (belongs, slot) in slots(&interaction, &csrf) {
        for (kind, value) in artefacts {
            if belongs.split(" or ").any(|kinds| kinds == kind) {
                continue;
            }
            let answer = slot.put(&server, value).await;
            let place = match &slot {
                Slot::OfWeb(path, form)
                | Slot::Posted(path, form)
                | Slot::Submitted(path, form) => {
                    format!("{path} {form}")
                }
                Slot::Header(path, scheme, _) => format!("{path} {scheme}"),
                Slot::Visited(target) => target.clone(),
                Slot::Api => "an API".to_owned(),
            };
            assert!(slot.is_refused(&answer), "{kind} at {place}: {answer:?}");
            tries += 1;
        }
    }
    assert!(tries > 200, "{tries}");

    // Each still does what it is for, past the window in which a used refresh token is taken once more.
    server.advance(31);
    assert!(server.is_active(&access).await);
    assert_eq!(api(&server, &access).await.text(), "open");
    server.web(&redemption("web", &code)).await.pair();
    let form = format!("grant_type=refresh_token&refresh_token={refresh}");
    server.web(&form).await.pair();
    let approved = server.decide(&page, "alice", "allow").await;
    assert!(approved.parameter("code").is_some());
    let page = server.enter(&user_code, "alice").await;
    server.decide(&page, "alice", "allow").await;
    let form = format!("grant_type={DEVICE_CODE}&device_code={device_code}");
    server.web(&form).await.pair();
}
