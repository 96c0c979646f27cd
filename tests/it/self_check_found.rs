//! Hosts that are put together wrongly, and what `self_check` says of each.

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tower_http::cors::CorsLayer;
use tower_oauth::server::{Endpoint, Registration, SelfCheckError};
use tower_oauth::store::{Kind, Store as _};
use tower_oauth::types::ManualClock;

use crate::hooked::{Hooked, When};
use crate::support::{Harness, ISSUER, NOW, builder};
use crate::waits::soon;

async fn server() -> Harness {
    Harness::of(
        builder()
            .registration(Registration::open())
            .browser_clients(["https://app.harbor.test"]),
    )
    .await
}

fn host() -> Router {
    Router::new().route("/login", get(|| async { "Sign in" }))
}

/// What is found, as it prints.
async fn found(server: &Harness, mounted: Router) -> Vec<String> {
    match server.oauth.self_check(&mounted).await {
        Ok(()) => Vec::new(),
        Err(error) => {
            let all = error.to_string();
            let SelfCheckError { findings, .. } = error;
            let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
            assert_eq!(all, lines.join("\n"));
            lines
        }
    }
}

#[tokio::test]
async fn a_host_that_is_put_together_well_is_told_nothing() {
    let server = server().await;
    let well = host().layer(server.oauth.layer());
    assert_eq!(found(&server, well).await, [""; 0]);
    // A layer outside of ours that only adds is no harm.
    let adds = from_fn(async |request: Request, next: Next| {
        let mut response = next.run(request).await;
        response
            .headers_mut()
            .insert("x-request-id", HeaderValue::from_static("7"));
        response
    });
    let well = host().layer(server.oauth.layer()).layer(adds);
    assert_eq!(found(&server, well).await, [""; 0]);
}

#[tokio::test]
async fn s24_a_layer_that_never_sees_its_paths_is_found() {
    let server = server().await;
    let nested = host().nest(
        "/inner",
        Router::new()
            .route("/x", get(|| async {}))
            .layer(server.oauth.layer()),
    );
    let findings = found(&server, nested).await;
    assert!(findings.len() > 10, "{findings:#?}");
    let first = &findings[0];
    assert!(
        first.starts_with(
            "GET /.well-known/oauth-authorization-server: did not reach the metadata endpoint"
        ),
        "{first}"
    );
    assert!(
        first.contains("was answered with 404") && first.contains("nested_at"),
        "{first}"
    );
    // A layer on routes runs for the routes alone.
    let route_layer = host().route_layer(server.oauth.layer());
    assert_eq!(found(&server, route_layer).await.len(), findings.len());
    // Below a prefix, and nothing at the root.
    let half = host().nest_service("/auth", server.oauth.service().nested_at("/auth"));
    let findings = found(&server, half).await;
    let root = |line: &&String| !line.contains(" /.well-known/") && !line.contains(" /device");
    assert!(
        !findings.is_empty() && findings.iter().find(root).is_none(),
        "{findings:#?}"
    );
    // Another server's endpoints are not ours.
    let other = Harness::of(builder()).await;
    let findings = found(&server, host().layer(other.oauth.layer())).await;
    assert!(
        findings[0].contains("did not reach the metadata endpoint, but was answered with 200"),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn s24_what_answers_before_the_layer_is_found() {
    let server = server().await;
    let guard = from_fn(async |request: Request, next: Next| {
        if request.uri().path().starts_with("/auth") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        next.run(request).await
    });
    let findings = found(&server, host().layer(server.oauth.layer()).layer(guard)).await;
    assert!(
        findings.iter().any(|line| line.starts_with(
            "POST /auth/token: did not reach the token endpoint, but was answered with 401"
        )),
        "{findings:#?}"
    );
    assert!(
        !findings
            .iter()
            .any(|line| line.starts_with("GET /.well-known")),
        "{findings:#?}"
    );
    // A CORS layer outside of ours says no to browsers that we say yes to.
    let cors = host().layer(server.oauth.layer()).layer(CorsLayer::new());
    let findings = found(&server, cors).await;
    assert!(
        findings
            .iter()
            .any(|line| line.starts_with("OPTIONS /auth/token: ")),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn s24_what_takes_something_away_on_the_way_in_is_found() {
    let server = server().await;
    let reads = from_fn(async |request: Request, next: Next| {
        let (parts, body) = request.into_parts();
        axum::body::to_bytes(body, 1 << 20).await.unwrap();
        next.run(Request::from_parts(parts, AxumBody::empty()))
            .await
    });
    let findings = found(&server, host().layer(server.oauth.layer()).layer(reads)).await;
    assert!(findings.contains(&"POST /auth/token: lost its body on the way in: something outside of the layer reads it".to_owned()), "{findings:#?}");
    let strips = from_fn(async |mut request: Request, next: Next| {
        request.headers_mut().remove("authorization");
        next.run(request).await
    });
    let findings = found(&server, host().layer(server.oauth.layer()).layer(strips)).await;
    assert!(
        findings.contains(
            &"POST /auth/introspect: lost its header authorization on the way in".to_owned()
        ),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn s24_what_changes_answers_on_the_way_out_is_found() {
    let server = server().await;
    let on = |change: fn(&mut Response)| {
        let changes = from_fn(move |request: Request, next: Next| async move {
            let mut response = next.run(request).await;
            change(&mut response);
            response
        });
        host().layer(server.oauth.layer()).layer(changes)
    };
    let cache = on(|response| {
        response
            .headers_mut()
            .insert("cache-control", HeaderValue::from_static("max-age=60"));
    });
    let findings = found(&server, cache).await;
    assert!(
        findings.contains(
            &"POST /auth/token: the header cache-control of its answer was changed on the way out"
                .to_owned()
        ),
        "{findings:#?}"
    );
    let twice = on(|response| {
        response
            .headers_mut()
            .append("access-control-allow-origin", HeaderValue::from_static("*"));
    });
    let findings = found(&server, twice).await;
    assert!(
        findings.iter().any(|line| line
            .contains("the header access-control-allow-origin of its answer was changed")),
        "{findings:#?}"
    );
    let pretty = on(|response| {
        if response.status().is_client_error() {
            *response.status_mut() = StatusCode::OK;
        }
    });
    let findings = found(&server, pretty).await;
    assert!(
        findings.iter().any(|line| line.starts_with(
            "POST /auth/token: was answered with 400 Bad Request, which became 200 OK"
        )),
        "{findings:#?}"
    );
    let emptied = on(|response| *response.body_mut() = AxumBody::empty());
    let findings = found(&server, emptied).await;
    assert!(
        findings
            .iter()
            .any(|line| line.contains("the body of its answer was changed")),
        "{findings:#?}"
    );
}

// req: 9700-2.6-7, http-cors-1
#[tokio::test]
async fn s24_a_cors_layer_that_opens_the_pages_is_found() {
    let server = Harness::of(builder().connected_apps()).await;
    for cors in [
        CorsLayer::permissive(),
        CorsLayer::very_permissive(),
        CorsLayer::new().allow_origin(HeaderValue::from_static("https://app.harbor.test")),
    ] {
        let findings = found(&server, host().layer(server.oauth.layer()).layer(cors)).await;
        for (method, path) in [
            ("OPTIONS", "/auth/authorize"),
            ("GET", "/auth/authorize?self_check=1"),
            ("OPTIONS", "/device"),
            ("GET", "/device?self_check=1"),
            ("OPTIONS", "/connected-apps"),
            ("GET", "/connected-apps?self_check=1"),
            ("OPTIONS", "/auth/introspect"),
            ("GET", "/auth/introspect"),
        ] {
            let start = format!("{method} {path}: is answered with a header access-control-");
            assert!(
                findings.iter().any(|line| line.starts_with(&start)),
                "{start} {findings:#?}"
            );
        }
    }
}

#[tokio::test]
async fn s24_what_keeps_people_from_the_pages_is_found() {
    let server = server().await;
    let mounted = || host().layer(server.oauth.layer());
    let refuses = from_fn(async |request: Request, next: Next| {
        let path = request.uri().path();
        if request.method() == "POST" && matches!(path, "/auth/authorize" | "/device") {
            return StatusCode::FORBIDDEN.into_response();
        }
        next.run(request).await
    });
    let findings = found(&server, mounted().layer(refuses)).await;
    assert_eq!(findings.len(), 2, "{findings:#?}");
    let start = "POST /auth/authorize?self_check=1: did not reach the authorize endpoint";
    assert!(findings[0].starts_with(start), "{findings:#?}");
    let no_query = from_fn(async |mut request: Request, next: Next| {
        *request.uri_mut() = request.uri().path().parse().unwrap();
        next.run(request).await
    });
    let findings = found(&server, mounted().layer(no_query)).await;
    for line in ["GET /auth/authorize", "POST /auth/authorize", "GET /device"] {
        let line = format!("{line}?self_check=1: lost its query on the way in");
        assert!(findings.contains(&line), "{findings:#?}");
    }
    for header in ["origin", "sec-fetch-site"] {
        let strips = from_fn(move |mut request: Request, next: Next| async move {
            request.headers_mut().remove(header);
            next.run(request).await
        });
        let findings = found(&server, mounted().layer(strips)).await;
        for page in ["/auth/authorize", "/device"] {
            let line = format!("POST {page}?self_check=1: lost its header {header} on the way in");
            assert!(findings.contains(&line), "{findings:#?}");
        }
    }
    let sends_on = from_fn(async |request: Request, next: Next| {
        let mut response = next.run(request).await;
        let place = HeaderValue::from_static("/elsewhere");
        response.headers_mut().insert("location", place);
        response
    });
    let findings = found(&server, mounted().layer(sends_on)).await;
    let line = "GET /auth/authorize?self_check=1: is answered with a header location that is not of the authorize endpoint";
    assert!(findings.contains(&line.to_owned()), "{findings:#?}");
}

#[tokio::test]
async fn s24_what_trims_slashes_outside_of_the_layer_is_found() {
    use tower::Layer as _;
    let server = server().await;
    let trims = tower_http::normalize_path::NormalizePathLayer::trim_trailing_slash();
    let mounted = trims.layer(host().layer(server.oauth.layer()));
    let error = server.oauth.self_check(&mounted).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET /auth/token/: is answered by the token endpoint, and should not be"
    );
}

#[tokio::test]
async fn s24_what_answers_in_place_of_an_endpoint_that_is_off_is_found() {
    let server = Harness::of(builder().without(Endpoint::Introspect)).await;
    let mounted = || host().layer(server.oauth.layer());
    assert_eq!(found(&server, mounted()).await, [""; 0]);
    let rewrites = from_fn(async |mut request: Request, next: Next| {
        if request.uri().path() == "/auth/introspect" {
            *request.uri_mut() = "/auth/token".parse().unwrap();
        }
        next.run(request).await
    });
    assert_eq!(
        found(&server, mounted().layer(rewrites)).await,
        ["GET /auth/introspect: is answered by the token endpoint, and should not be"]
    );
}

#[tokio::test]
async fn a_login_that_is_not_there_is_found() {
    let server = server().await;
    let findings = found(&server, Router::new().layer(server.oauth.layer())).await;
    assert_eq!(
        findings,
        ["GET /login: is where people are sent to sign in, and is answered with 404"]
    );
}

#[tokio::test]
async fn a_consent_page_of_the_hosts_that_is_not_there_is_found() {
    let consent = |path: &'static str| Harness::of(builder().consent_page(path));
    let page = || get(|| async { "May it?" });
    let server = consent("/app/consent?step=1").await;
    let there = host().route("/app/consent", page());
    let well = there.layer(server.oauth.layer());
    assert_eq!(found(&server, well).await, [""; 0]);
    let findings = found(&server, host().layer(server.oauth.layer())).await;
    let line = "is where people are sent to allow or deny, and is answered with 404";
    assert_eq!(findings, [format!("GET /app/consent?step=1: {line}")]);

    // Below the endpoints, which a router strips of their prefix, the host's page is out of reach.
    let server = consent("/auth/consent").await;
    let nested = |router: Router| {
        router
            .nest_service("/auth", server.oauth.service().nested_at("/auth"))
            .fallback_service(server.oauth.well_known_service())
    };
    let findings = found(&server, nested(host())).await;
    assert_eq!(findings, [format!("GET /auth/consent: {line}")]);
    let ahead = nested(host().route("/auth/consent", page()));
    assert_eq!(found(&server, ahead).await, [""; 0]);
}

#[tokio::test]
async fn a_page_of_the_hosts_whose_path_is_changed_into_an_endpoints_is_found() {
    use tower::Layer as _;
    let server = Harness::of(builder().consent_page("/auth/token/")).await;
    let there = host().route("/auth/token/", get(|| async { "May it?" }));
    let trims = tower_http::normalize_path::NormalizePathLayer::trim_trailing_slash();
    let mounted = trims.layer(there.layer(server.oauth.layer()));
    let error = server.oauth.self_check(&mounted).await.unwrap_err();
    let line = "GET /auth/token/: is answered by the token endpoint, and should not be";
    let found = error.to_string();
    // As what stands beside the endpoint, and as the page.
    assert_eq!(found.lines().collect::<Vec<_>>(), [line, line]);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_found() {
    let server = server().await;
    let hangs = from_fn(async |request: Request, next: Next| {
        if request.uri().path() == "/auth/token" {
            std::future::pending::<()>().await;
        }
        next.run(request).await
    });
    let mounted = host().layer(server.oauth.layer()).layer(hangs);
    let check = found(&server, mounted);
    let time = async {
        loop {
            server.advance(11);
            tokio::task::yield_now().await;
        }
    };
    let findings = soon("the end of the check", async {
        tokio::select! {
            findings = check => findings,
            () = time => unreachable!(),
        }
    })
    .await;
    assert!(
        findings.contains(&"POST /auth/token: was not answered within ten seconds".to_owned()),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn checking_leaves_nothing_counts_nothing_and_tells_nothing() {
    use std::sync::{Arc, Mutex};
    use tower_oauth::server::{Event, EventSink, Limit};

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);
    impl EventSink for Told {
        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    let (store, told) = (Hooked::open().await, Told::default());
    let server = Harness::on(store.clone(), &ManualClock::new(NOW), |builder| {
        let one = Limit::per_minute(1, 1);
        let registration = Registration::open().limited_to(one);
        builder
            .registration(registration)
            .wrong_user_codes(one)
            .authorization_requests(one)
            .events(told.clone())
    });
    store.on_step(|step| async move {
        assert!(!step.is_write() || step.when == When::After, "{step:?}");
        Ok(())
    });
    let mounted = host().layer(server.oauth.layer());
    for _ in 0..3 {
        assert_eq!(found(&server, mounted.clone()).await, [""; 0]);
    }
    assert_eq!(*told.0.lock().unwrap(), [""; 0]);
    store.let_all_pass();
    assert_eq!(
        store
            .purge(tower_oauth::types::Timestamp::MAX, 1000)
            .await
            .unwrap(),
        0
    );
    let registered = server
        .register(r#"{"redirect_uris":["https://a.test/cb"]}"#)
        .await;
    assert_eq!(registered.status, 201, "the one that is taken a minute");
    let wrong = server.submit("/device", "alice", "user_code=WRONG").await;
    assert_eq!(wrong.status, 400, "the one that is taken a minute");
    assert!(ISSUER.starts_with("https://") && Kind::ALL.len() > 1);
}
