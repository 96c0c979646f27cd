//! The whole round of RFC 9470: a route wants more, the client asks for it, the owner signs in anew, and the route lets the token in.

use std::time::Duration;

use axum::{Router, routing};
use http::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use tower_oauth::Issuer;
use tower_oauth::resource::ResourceServer;
use tower_oauth::server::AccessTokenFormat;
use tower_oauth::types::SigningAlgorithm;

use crate::bearer::param;
use crate::step_up::{allowed, get, host, since};
use crate::support::{Harness, ISSUER, LEDGER, authorization_request};

/// A route that wants two factors within a minute.
async fn send(api: &ResourceServer, token: &str) -> Response<axum::body::Body> {
    let strong = api
        .step_up()
        .acr_values(["mfa"])
        .max_age(Duration::from_secs(60));
    let app = Router::new()
        .route("/pay", routing::get(async || "paid").route_layer(strong))
        .route_layer(api.layer());
    let request = Request::get("/pay").header("authorization", format!("Bearer {token}"));
    let request = request.body(axum::body::Body::empty()).unwrap();
    app.oneshot(request).await.unwrap()
}

async fn token(server: &Harness, more: &str, (ago, acr): (u64, &str)) -> String {
    let who = since(server, ago, acr);
    let page = get(server, &authorization_request("app", more), &who).await;
    let answer = allowed(server, page, &who).await;
    let code = answer.parameter("code").unwrap();
    server.redeem(&code).await.access_token()
}

async fn goes_round(server: &Harness, api: &ResourceServer) {
    let weak = token(server, "", (3600, "pwd")).await;
    let refused = send(api, &weak).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let told = ["error", "acr_values", "max_age"].map(|name| param(&refused, name).unwrap());
    drop(refused);
    assert_eq!(told, ["insufficient_user_authentication", "mfa", "60"]);
    let more = format!("&acr_values={}&max_age={}", told[1], told[2]);
    // The client asks for what it was told; the old sign-in is not enough.
    let request = authorization_request("app", &more);
    let login = get(server, &request, &since(server, 3600, "pwd")).await;
    assert!(login.location().starts_with("/login?"), "{login:?}");
    let path = server
        .oauth
        .resume_path(&login.parameter("interaction").unwrap());
    server.advance(120);
    let who = since(server, 10, "mfa");
    let page = get(server, &path, &who).await;
    let answer = allowed(server, page, &who).await;
    let strong = server.redeem(&answer.parameter("code").unwrap()).await;
    let strong = strong.access_token();
    assert_eq!(send(api, &strong).await.status(), StatusCode::OK);
    // A minute later it is not recent any more.
    server.advance(51);
    assert_eq!(send(api, &strong).await.status(), StatusCode::UNAUTHORIZED);
}

fn api(server: &Harness, issuer: impl Into<Issuer>) -> ResourceServer {
    let api = ResourceServer::builder(LEDGER).clock(server.clock.clone());
    api.issuer(issuer.into()).build().unwrap()
}

#[tokio::test]
async fn rfc9470_a_token_of_this_process_that_is_not_enough_is_followed_by_one_that_is() {
    let server = host(|builder| builder).await;
    goes_round(&server, &api(&server, Issuer::in_process(&server.oauth))).await;
}

#[tokio::test]
async fn rfc9470_6_1_a_jwt_that_is_not_enough_is_followed_by_one_that_is() {
    let server = host(|builder| {
        builder.access_token_format(AccessTokenFormat::Jwt(SigningAlgorithm::Es256))
    })
    .await;
    token(&server, "", (0, "pwd")).await; // there is a key from now on
    let keys = server.get("/auth/jwks.json", None).await.text();
    goes_round(&server, &api(&server, Issuer::jwt(ISSUER).keys(keys))).await;
}

#[tokio::test]
async fn rfc9470_6_2_a_token_that_is_asked_about_and_not_enough_is_followed_by_one_that_is() {
    let server = host(|builder| builder.access_token_format(AccessTokenFormat::Opaque)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/auth/introspect", listener.local_addr().unwrap());
    let app = Router::new().layer(server.oauth.layer());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let issuer = Issuer::opaque(ISSUER)
        .client("rs", "rs-secret-0123456789-0123456789-0123456789")
        .endpoint(&endpoint)
        .token_prefix("toa_");
    goes_round(&server, &api(&server, issuer)).await;
}
