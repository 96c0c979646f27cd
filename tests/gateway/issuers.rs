//! Three processes: an authorization server, the gateway, and whoever asks. Time is real here, and only deadlines are set.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::example::Example;
use crate::support::{Issuer, SECRET, World};
use crate::waits::soon;

/// How long it may take until something is noticed: less than what would be believed for by default.
const PATIENCE: Duration = Duration::from_secs(30);

fn demo(listen: &str, form: &str) -> Example {
    let arguments = [
        "--listen",
        listen,
        "--store",
        "memory:",
        "--access-token",
        form,
    ];
    Example::start("demo", &arguments)
}

/// A token of the job that the demo knows, for the API of the demo.
async fn token(demo: &Example) -> String {
    let request = Client::new().post(format!("{}/auth/token", demo.base()));
    let request = request.basic_auth("demo-job", Some("demo-job-secret"));
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "notes:read"),
    ];
    let answer: Value = request
        .form(&form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn revoke(demo: &Example, token: &str) {
    let request = Client::new().post(format!("{}/auth/revoke", demo.base()));
    let request = request.basic_auth("demo-job", Some("demo-job-secret"));
    let answer = request.form(&[("token", token)]).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// The gateway in front of this service, for tokens of the demo that are meant for this audience.
fn gateway(world: &World, audience: &str, issuer: &[&str]) -> Example {
    let mut arguments = vec!["--listen", "127.0.0.1:0", "--upstream", &world.service.base];
    arguments.extend([
        "--audience",
        audience,
        "--cache-ttl",
        "1",
        "--scope",
        "notes:read",
    ]);
    arguments.extend(issuer);
    Example::start("gateway", &arguments)
}

async fn get(gateway: &Example, token: &str) -> Response {
    let request = Client::new().get(format!("{}/x", gateway.base()));
    let answer = request.bearer_auth(token).send();
    soon("an answer", answer).await.unwrap()
}

/// Asks until the answer is another one than this.
async fn status_after(gateway: &Example, token: &str, old: StatusCode) -> StatusCode {
    let mut turns = interval(Duration::from_millis(50));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asking = async {
        loop {
            turns.tick().await;
            let status = get(gateway, token).await.status();
            if status != old {
                return status;
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("it is noticed")
}

fn asking(issuer: &str) -> [&str; 4] {
    [
        "--introspect",
        issuer,
        "--client",
        "demo-api:demo-api-secret",
    ]
}

#[tokio::test]
async fn a_token_of_another_process_passes_until_it_is_revoked_there() {
    let world = World::start(&[]).await;
    let demo = demo("127.0.0.1:0", "opaque");
    let gateway = gateway(&world, demo.base(), &asking(demo.base()));
    let (token, other) = (token(&demo).await, token(&demo).await);
    assert_eq!(get(&gateway, &token).await.status(), 200);
    let seen = world.service.one();
    assert_eq!(seen.all("x-auth-issuer"), [demo.base()]);
    assert_eq!(seen.all("x-auth-subject"), ["demo-job"]);
    assert_eq!(seen.all("x-auth-client-id"), ["demo-job"]);
    assert_eq!(seen.all("x-auth-scope"), ["notes:read"]);
    revoke(&demo, &token).await;
    assert_eq!(status_after(&gateway, &token, StatusCode::OK).await, 401);
    assert_eq!(get(&gateway, &token).await.status(), 401);
    assert_eq!(get(&gateway, &other).await.status(), 200);
    assert_eq!(get(&gateway, &format!("{other}A")).await.status(), 401);
}

#[tokio::test]
async fn a_jwt_of_another_process_passes_and_one_for_another_audience_does_not() {
    let world = World::start(&[]).await;
    let (demo, stranger) = (demo("127.0.0.1:0", "jwt"), demo("127.0.0.1:0", "jwt"));
    let gateway_here = gateway(&world, demo.base(), &["--jwt", demo.base()]);
    let token_here = token(&demo).await;
    assert_eq!(token_here.split('.').count(), 3);
    assert_eq!(get(&gateway_here, &token_here).await.status(), 200);
    assert_eq!(world.service.one().all("x-auth-subject"), ["demo-job"]);
    for wrong in [
        token(&stranger).await,
        format!("{token_here}A"),
        "x".to_owned(),
    ] {
        assert_eq!(get(&gateway_here, &wrong).await.status(), 401);
    }
    // It is good, and for somebody else: by its signature, and by what its issuer says.
    for issuer in [&["--jwt", demo.base()][..], &asking(demo.base())] {
        let elsewhere = gateway(&world, "https://other.example", issuer);
        assert_eq!(get(&elsewhere, &token_here).await.status(), 401);
        let by_name = gateway(&world, "ledger", issuer);
        assert_eq!(get(&by_name, &token_here).await.status(), 401);
    }
    assert!(world.service.take().is_empty());
}

#[tokio::test]
async fn several_issuers_stand_side_by_side_and_a_switch_lets_jwts_in_that_do_not_say_what_they_are()
 {
    let world = World::start(&[]).await;
    let (second, third) = (Issuer::start().await, Issuer::start().await);
    let gateway = |switch: &[&str]| {
        let mut flags = vec!["--jwt", &second.base, "--jwt", &third.base];
        flags.extend(switch);
        crate::support::gateway(&world.service.base, world.issuer(), &flags)
    };
    let (strict, lenient) = (gateway(&[]), gateway(&["--accept-typ-jwt"]));
    for gateway in [&strict, &lenient] {
        for (token, issuer, subject) in [
            ("alice".to_owned(), world.issuer(), "alice"),
            (second.jwt("at+jwt"), &second.base, "bob"),
            (third.jwt("at+jwt"), &third.base, "bob"),
        ] {
            assert_eq!(get(gateway, &token).await.status(), 200, "{token}");
            let seen = world.service.one();
            assert_eq!(seen.all("x-auth-issuer"), [issuer]);
            assert_eq!(seen.all("x-auth-subject"), [subject]);
        }
        // What nobody has issued is nobody's.
        let stranger = Issuer::start().await.jwt("at+jwt");
        assert_eq!(get(gateway, &stranger).await.status(), 401);
    }
    let old = second.jwt("JWT");
    assert_eq!(get(&strict, &old).await.status(), 401);
    assert_eq!(get(&lenient, &old).await.status(), 200);
    let logout = second.jwt("logout+jwt");
    assert_eq!(get(&lenient, &logout).await.status(), 401);
}

#[tokio::test]
async fn an_audience_may_be_a_name_that_the_issuer_knows() {
    let issuer = Issuer::start().await;
    issuer.token("named", &json!({"aud": ["ledger"]}));
    issuer.token("other", &json!({"aud": ["ledgers"]}));
    let world = World::start(&[]).await;
    let client = format!("gateway:{SECRET}");
    let mut flags = vec!["--listen", "127.0.0.1:0", "--upstream", &world.service.base];
    flags.extend([
        "--audience",
        "ledger",
        "--introspect",
        &issuer.base,
        "--client",
        &client,
    ]);
    let gateway = Example::start("gateway", &flags);
    assert_eq!(get(&gateway, "named").await.status(), 200);
    assert_eq!(get(&gateway, "other").await.status(), 401);
    let place = format!("{}/.well-known/oauth-protected-resource", gateway.base());
    let document: Value = Client::new()
        .get(place)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(document["resource"], gateway.base());
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_503_until_it_is_up() {
    let world = World::start(&[]).await;
    for form in ["opaque", "jwt"] {
        // Bound, so that nobody else is given the port, and refused, since it does not listen.
        let free = TcpSocket::new_v4().unwrap();
        free.set_reuseaddr(true).unwrap();
        free.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listen = free.local_addr().unwrap().to_string();
        let issuer = format!("http://{listen}");
        let flags = match form {
            "jwt" => vec!["--jwt", &issuer],
            _ => asking(&issuer).to_vec(),
        };
        let gateway = gateway(&world, &issuer, &flags);
        let early = early(&issuer, form);
        let unavailable = get(&gateway, &early).await;
        assert_eq!(unavailable.status(), 503, "{form}");
        assert!(unavailable.headers().contains_key("retry-after"), "{form}");
        assert!(
            !unavailable.headers().contains_key("www-authenticate"),
            "{form}"
        );
        assert_eq!(
            Client::new()
                .get(gateway.base())
                .send()
                .await
                .unwrap()
                .status(),
            401
        );
        // On Linux whoever names the port may have it besides. Elsewhere it is free for a moment.
        let _held = cfg!(target_os = "linux").then_some(free);
        let demo = demo(&listen, form);
        let token = token(&demo).await;
        let status = status_after(&gateway, &token, StatusCode::SERVICE_UNAVAILABLE).await;
        assert_eq!(status, 200, "{form}");
        assert_eq!(get(&gateway, &early).await.status(), 401, "{form}");
    }
}

/// A token that could be one of this issuer's, and is none.
fn early(issuer: &str, form: &str) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    match form {
        "jwt" => {
            let header = part(r#"{"alg":"ES256","typ":"at+jwt","kid":"x"}"#.to_owned());
            let claims = format!(
                r#"{{"iss":"{issuer}","aud":"{issuer}","sub":"a","client_id":"a","jti":"a","iat":1,"exp":4000000000}}"#
            );
            format!("{header}.{}.{}", part(claims), part("x".repeat(64)))
        }
        _ => format!("toa_{}", "A".repeat(51)),
    }
}
