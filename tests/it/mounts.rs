//! The serving layer wherever it may stand: axum, plain tower, hyper.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::routing;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tower_oauth::resource::{Issuer, ResourceServer};
use tower_oauth::types::{Client, ManualClock, Secret, Subject};
use tower_oauth::{AuthorizationServer, Registration};

use crate::support::{Answer, CALLBACK, Harness, NOW, SECRET, authorization_request, basic};

const FORM: &str = "application/x-www-form-urlencoded";
const INNER: &str = "the inner service";

/// A server that has everything switched on which advertises a URL.
pub(crate) async fn server() -> Harness {
    Harness::with(|builder| builder.registration(Registration::open())).await
}

pub(crate) fn token_request(path: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("content-type", FORM)
        .header("authorization", basic("web", SECRET))
        .body(Full::from(
            "grant_type=client_credentials&scope=ledger.read",
        ))
        .unwrap()
}

fn request(method: Method, path: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    request.body(Full::default()).unwrap()
}

/// What every mount has to do: metadata, a token, all that is advertised, and the host's own paths left alone.
pub(crate) async fn serves(issuer: &str, send: impl AsyncFn(Request<Full<Bytes>>) -> Answer) {
    let path_of = |url: &str| {
        let (_, rest) = url.split_once("://").unwrap();
        rest[rest.find('/').unwrap()..].to_owned()
    };
    let tenant = path_of(&format!("{issuer}/"));
    let tenant = tenant.trim_end_matches('/');
    let metadata = format!("/.well-known/oauth-authorization-server{tenant}");
    let answer = send(request(Method::GET, &metadata)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.member("issuer"), issuer);
    let document = answer.json();

    let token = path_of(document["token_endpoint"].as_str().unwrap());
    let answer = send(token_request(&token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.member("access_token").starts_with("toa_"));

    let endpoints: Vec<_> = document.as_object().unwrap().iter().collect();
    let advertised = endpoints
        .iter()
        .filter(|(name, _)| name.ends_with("_endpoint"));
    let mut reached = 0;
    for (name, url) in advertised {
        let answer = send(request(Method::PUT, &path_of(url.as_str().unwrap()))).await;
        assert_eq!(answer.status, 405, "{name}: {answer:?}");
        reached += 1;
    }
    assert!(reached >= 5, "{document}");
    let resources = document["protected_resources"].as_array().unwrap();
    let (host, _) = issuer.split_at(issuer.find("://").unwrap() + 3 + "auth.harbor.test".len());
    for resource in resources.iter().filter_map(|resource| resource.as_str()) {
        if let Some(path) = resource.strip_prefix(host) {
            let path = format!("/.well-known/oauth-protected-resource{path}");
            let answer = send(request(Method::GET, &path)).await;
            assert_eq!(answer.member("resource"), resource);
        }
    }

    for (method, path) in [
        (Method::GET, "/inner"),
        (Method::POST, "/inner"),
        (Method::HEAD, "/inner"),
        (Method::OPTIONS, "/inner"),
    ] {
        let answer = send(request(method.clone(), path)).await;
        assert_eq!(answer.header("x-inner"), INNER, "{method} {path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

pub(crate) async fn inner<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = Response::builder().header("x-inner", INNER);
    Ok(response.body(Full::from("here")).unwrap())
}

fn inner_route() -> Router {
    Router::new().route_service("/inner", service_fn(inner::<AxumBody>))
}

async fn through(app: &Router, request: Request<Full<Bytes>>) -> Answer {
    let request = request.map(AxumBody::new);
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}

/// Who is signed in, as a session layer of the host would say it.
#[derive(Clone)]
struct User(String);

// req: 8414-3-1
#[tokio::test]
async fn axum_with_the_layer_outermost_and_a_session_layer_around_it() {
    let server = Harness::with(|builder| {
        builder
            .registration(Registration::open())
            .login("/login", |parts| {
                let user = parts.extensions.get::<User>()?;
                Subject::new(&user.0).ok()
            })
    })
    .await;
    let session = tower::util::MapRequestLayer::new(|mut request: axum::extract::Request| {
        if let Some(user) = request.headers().get("x-session").cloned() {
            let user = User(user.to_str().unwrap().to_owned());
            request.extensions_mut().insert(user);
        }
        request
    });
    let app = inner_route()
        .route("/login", routing::get(async || "sign in here"))
        .fallback(async || (http::StatusCode::NOT_FOUND, "nothing of the host's either"))
        .layer(server.oauth.layer())
        .layer(session);
    serves(server.oauth.issuer().as_str(), async |request| {
        through(&app, request).await
    })
    .await;
    let unknown = through(&app, request(Method::GET, "/auth/unknown")).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.text().as_str()),
        (404, "nothing of the host's either")
    );

    let authorize = authorization_request("app", "&scope=ledger.read");
    let stranger = through(&app, request(Method::GET, &authorize)).await;
    let login = stranger.location();
    assert!(login.starts_with("/login?interaction="), "{login}");
    let login = through(&app, request(Method::GET, &login)).await;
    assert_eq!(login.text(), "sign in here");
    let mut known = request(Method::GET, &authorize);
    let session = "alice".parse().unwrap();
    known.headers_mut().insert("x-session", session);
    let page = through(&app, known).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Harbor App"));
}

#[tokio::test]
async fn axum_nested_with_the_well_known_paths_at_the_root() {
    let server = server().await;
    let oauth = &server.oauth;
    let app = inner_route()
        .nest_service("/auth", oauth.service().nested_at("/auth"))
        .route_service("/device", oauth.service())
        .route_service("/.well-known/{*path}", oauth.well_known_service());
    serves(oauth.issuer().as_str(), async |request| {
        through(&app, request).await
    })
    .await;
    for path in [
        "/auth",
        "/auth/",
        "/auth/unknown",
        "/auth/auth/token",
        "/.well-known/unknown",
        "/token",
        "/unknown",
    ] {
        let answer = through(&app, token_request(path)).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let page = through(&app, request(Method::GET, "/device")).await;
    assert!(page.text().contains("Connect a device"));

    let elsewhere = oauth.service().nested_at("/oauth/");
    let answer = elsewhere.oneshot(token_request("/auth/token")).await;
    assert_eq!(answer.unwrap().status(), 404);
    let with_slash = oauth.service().nested_at("/auth/");
    let answer = with_slash.oneshot(token_request("/token")).await;
    assert_eq!(answer.unwrap().status(), 200);
}

async fn tenant(name: &str) -> AuthorizationServer {
    let issuer = format!("https://auth.harbor.test/t/{name}");
    let oauth = AuthorizationServer::builder(&issuer)
        .resource(format!("{issuer}/api"), ["ledger.read"])
        .login("/login", |_| None::<Subject>)
        .registration(Registration::open())
        .clock(ManualClock::new(NOW))
        .build()
        .unwrap();
    let web = Client::confidential("web".parse().unwrap(), &Secret::new(SECRET))
        .redirect_uri(CALLBACK.parse().unwrap())
        .grant_types([tower_oauth::types::GrantType::ClientCredentials]);
    oauth.clients().create(web).await.unwrap();
    oauth
}

// req: 8414-3.1-3, 8414-3.1-4, http-host-2
#[tokio::test]
async fn rfc8414_3_1_two_issuers_with_a_path_on_one_router() {
    let (north, south) = (tenant("north").await, tenant("south").await);
    let app = inner_route().layer(north.layer()).layer(south.layer());
    let send = async |request| through(&app, request).await;
    for tenant in [&north, &south] {
        serves(tenant.issuer().as_str(), send).await;
    }
    // Without its path an issuer's document is nobody's, and the order in which the two stand does not matter.
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/t",
        "/t/north/.well-known/oauth-authorization-server",
        "/auth/token",
        "/t/east/auth/token",
        "/t/auth/token",
    ] {
        assert_eq!(send(token_request(path)).await.status, 404, "{path}");
        // No host stands for a tenant: the path alone does.
        let mut named = token_request(path);
        let host = http::HeaderValue::from_static("north.auth.harbor.test");
        named.headers_mut().insert("host", host);
        assert_eq!(send(named).await.status, 404, "{path}");
    }
    let token = send(token_request("/t/north/auth/token")).await;
    let token = token.member("access_token");
    for (tenant, status) in [(&north, 200), (&south, 401)] {
        let api = ResourceServer::builder("https://auth.harbor.test/t/north/api")
            .issuer(Issuer::in_process(tenant))
            .clock(ManualClock::new(NOW))
            .build()
            .unwrap();
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let service = api.layer().layer(service_fn(inner::<Full<Bytes>>));
        let answer = service.oneshot(request.body(Full::default()).unwrap());
        assert_eq!(answer.await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn a_plain_tower_stack() {
    let server = server().await;
    let service = ServiceBuilder::new()
        .layer(server.oauth.layer())
        .service_fn(inner::<Full<Bytes>>);
    serves(server.oauth.issuer().as_str(), async |request| {
        Answer::of(service.clone().oneshot(request).await.unwrap()).await
    })
    .await;
    // Nothing is asked of bodies but that they are some: here they are texts, and errors are the inner service's own.
    let texts = server
        .oauth
        .layer()
        .layer(service_fn(async |_: Request<String>| {
            Err::<Response<String>, _>("broken")
        }));
    let answer = texts
        .clone()
        .oneshot(Request::get("/inner").body(String::new()).unwrap());
    assert_eq!(answer.await.unwrap_err(), "broken");
    let answer = texts.oneshot(
        token_request("/auth/token")
            .map(|_| "grant_type=client_credentials&scope=ledger.read".to_owned()),
    );
    assert_eq!(answer.await.unwrap().status(), 200);
}

// req: http-host-1
#[tokio::test]
async fn v33_no_header_has_a_say_in_what_is_advertised() {
    let server = server().await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/ledger",
    ] {
        let honest = server.send(request(Method::GET, path)).await;
        let mut poisoned = request(Method::GET, path);
        for (name, value) in [
            ("host", "evil.test"),
            ("forwarded", "host=evil.test;proto=http"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-prefix", "/evil"),
            ("x-original-url", "/evil"),
        ] {
            poisoned.headers_mut().insert(name, value.parse().unwrap());
        }
        let poisoned = server.send(poisoned).await;
        assert_eq!(poisoned.status, 200);
        assert_eq!(poisoned.body, honest.body);
        assert_eq!(poisoned.headers, honest.headers);
    }
}

/// A client of a server that is a process of its own for all it knows.
pub(crate) async fn over_the_wire(
    http: &reqwest::Client,
    to: SocketAddr,
    from: Request<Full<Bytes>>,
) -> Answer {
    use http_body_util::BodyExt as _;
    let (parts, body) = from.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let answer = http
        .request(parts.method, format!("http://{to}{}", parts.uri))
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .unwrap();
    Answer {
        status: answer.status(),
        headers: answer.headers().clone(),
        body: answer.bytes().await.unwrap(),
    }
}

pub(crate) fn http() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    let client = client.redirect(reqwest::redirect::Policy::none());
    client.build().unwrap()
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

// req: http-method-2
#[tokio::test]
async fn a_hyper_server_over_a_socket() {
    let server = server().await;
    let (listener, address) = listen().await;
    let service = server
        .oauth
        .layer()
        .layer(service_fn(inner::<hyper::body::Incoming>));
    let service = TowerToHyperService::new(service);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (service, stream) = (service.clone(), TokioIo::new(stream));
            tokio::spawn(async move {
                let connections = auto::Builder::new(TokioExecutor::new());
                let _closed = connections.serve_connection(stream, service).await;
            });
        }
    });
    let http = http();
    serves(server.oauth.issuer().as_str(), async |request| {
        over_the_wire(&http, address, request).await
    })
    .await;

    let metadata = "/.well-known/oauth-authorization-server";
    let head = over_the_wire(&http, address, request(Method::HEAD, metadata)).await;
    let got = over_the_wire(&http, address, request(Method::GET, metadata)).await;
    assert!(head.body.is_empty());
    let length = got.body.len().to_string();
    assert_eq!(head.header("content-length"), length);
    assert_eq!(got.header("content-length"), length);

    let mut long = token_request("/auth/token");
    *long.body_mut() = Full::from("a".repeat(100_000));
    let answer = over_the_wire(&http, address, long).await;
    assert_eq!(answer.status, 413);
}
