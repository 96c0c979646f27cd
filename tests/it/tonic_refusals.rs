//! Refusals as a client of gRPC meets them, over a socket: statuses with a message, and never an error of HTTP.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service, ServiceExt as _, service_fn};
use tower_oauth::resource::{Refusal, RefusalBody, RequireLayer};
use tower_oauth::testing::Idp;
use tower_oauth::{AccessToken, ResourceServer};

use crate::mounts::listen;
use crate::mounts_tonic::call;
use crate::raw_grpc::Raw;
use crate::support::{ISSUER, LEDGER};

/// Says whose token it was called with, and asks by itself for a scope where the message is `delete`.
#[derive(Clone)]
struct Ledger(ResourceServer);

impl tonic::server::NamedService for Ledger {
    const NAME: &'static str = "harbor.Reverse";
}

impl Ledger {
    fn handle(&self, request: &tonic::Request<Bytes>) -> Result<tonic::Response<Bytes>, Status> {
        let token = request.extensions().get::<AccessToken>();
        let token = token.ok_or(Refusal::NoToken)?;
        if request.get_ref() == "delete" && !token.has_scope("ledger.delete") {
            return Err(self.0.status(Refusal::InsufficientScope));
        }
        Ok(tonic::Response::new(Bytes::copy_from_slice(
            token.subject().as_str().as_bytes(),
        )))
    }
}

impl Service<Request<tonic::body::Body>> for Ledger {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let ledger = self.clone();
        Box::pin(async move {
            let handle = service_fn(async |request| ledger.handle(&request));
            Ok(tonic::server::Grpc::new(Raw).unary(handle, request).await)
        })
    }
}

fn api(idp: &Idp) -> ResourceServer {
    ResourceServer::builder(LEDGER)
        .issuer(idp.issuer())
        .clock(idp.clock())
        .refusal_body(RefusalBody::Grpc)
        .build()
        .unwrap()
}

/// A server whose calls must meet what the layer asks for, besides a good token.
async fn serve(api: &ResourceServer, asks: RequireLayer) -> SocketAddr {
    let (listener, address) = listen().await;
    let serving = tonic::transport::Server::builder()
        .layer(api.layer())
        .layer(asks)
        .add_service(Ledger(api.clone()))
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
    tokio::spawn(serving);
    address
}

/// The status of a refusal, as the server has sent it: a client that is told 401, 403 or 503 by HTTP makes up a code, and a message of
/// its own.
#[track_caller]
fn is(status: &Status, code: Code, refusal: Refusal, advice: (&str, &str)) {
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(status.message(), refusal.to_string());
    let (name, says) = advice;
    let header = status.metadata().get(name).unwrap().to_str().unwrap();
    assert!(header.contains(says), "{header}");
    assert!(header.starts_with("Bearer ") || name == "retry-after");
}

#[tokio::test]
async fn the_layers_refuse_calls_in_the_words_of_grpc() {
    let idp = Idp::new(ISSUER, LEDGER);
    let api = api(&idp);
    let (server, step_up) = (
        serve(&api, api.require("ledger.read")).await,
        serve(&api, api.step_up().acr_values(["mfa"])).await,
    );
    let refused = async |to, token: Option<&str>| call(to, "x", token).await.unwrap_err();
    let reads = || idp.token("ada").scope("ledger.read");

    // Before its keys are there.
    idp.down(true);
    let status = refused(server, Some(&reads().mint())).await;
    is(
        &status,
        Code::Unavailable,
        Refusal::Unavailable,
        ("retry-after", "5"),
    );
    idp.down(false);
    idp.clock().advance(Duration::from_secs(60));

    for _ in ["cold", "warm"] {
        let token = reads().mint();
        assert_eq!(call(server, "x", Some(&token)).await.unwrap(), "ada");
        let status = refused(server, None).await;
        let hint = ("www-authenticate", "resource_metadata=");
        is(&status, Code::Unauthenticated, Refusal::NoToken, hint);
        for bad in [reads().expired(), reads().wrong_signature()] {
            let status = refused(server, Some(&bad.mint())).await;
            let hint = ("www-authenticate", r#"error="invalid_token""#);
            is(&status, Code::Unauthenticated, Refusal::InvalidToken, hint);
        }
        let status = refused(server, Some("two words")).await;
        let hint = ("www-authenticate", r#"error="invalid_request""#);
        is(
            &status,
            Code::InvalidArgument,
            Refusal::InvalidRequest,
            hint,
        );
        let status = refused(server, Some(&idp.token("ada").mint())).await;
        let hint = ("www-authenticate", r#"scope="ledger.read""#);
        is(
            &status,
            Code::PermissionDenied,
            Refusal::InsufficientScope,
            hint,
        );
        let status = refused(step_up, Some(&token)).await;
        let hint = ("www-authenticate", r#"acr_values="mfa""#);
        let refusal = Refusal::InsufficientUserAuthentication;
        is(&status, Code::Unauthenticated, refusal, hint);
    }
    let strong = reads().claim("acr", "mfa").mint();
    assert_eq!(call(step_up, "x", Some(&strong)).await.unwrap(), "ada");
}

#[tokio::test]
async fn a_handler_refuses_as_the_layers_do() {
    let idp = Idp::new(ISSUER, LEDGER);
    let api = api(&idp);
    let server = serve(&api, api.require("ledger.read")).await;
    let token = idp.token("ada").scope("ledger.read").mint();
    assert_eq!(call(server, "x", Some(&token)).await.unwrap(), "ada");
    let status = call(server, "delete", Some(&token)).await.unwrap_err();
    let hint = ("www-authenticate", r#"error="insufficient_scope""#);
    is(
        &status,
        Code::PermissionDenied,
        Refusal::InsufficientScope,
        hint,
    );
    let scope = "ledger.read ledger.delete";
    let token = idp.token("ada").scope(scope).mint();
    assert_eq!(call(server, "delete", Some(&token)).await.unwrap(), "ada");
}

#[tokio::test]
async fn statuses_are_made_without_a_call_too() {
    let idp = Idp::new(ISSUER, LEDGER);
    let api = api(&idp);
    let refusal = api.authenticate("x").await.unwrap_err();
    is(
        &api.status(refusal),
        Code::Unauthenticated,
        Refusal::InvalidToken,
        ("www-authenticate", r#"error="invalid_token""#),
    );
    let outage = api.status(Refusal::Unavailable);
    is(
        &outage,
        Code::Unavailable,
        Refusal::Unavailable,
        ("retry-after", "5"),
    );
    assert!(outage.metadata().get("www-authenticate").is_none());
    assert!(Status::from(refusal).metadata().is_empty());
    // Other requests to the same server are answered as ever.
    let service = api.layer().layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    let answer = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.status(), 401);
}
