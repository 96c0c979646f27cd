//! The serving layer around a tonic server: calls of gRPC pass, and the endpoints are served beside them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::{Request, Response};
use tower::{Service, service_fn};
use tower_oauth::resource::{Issuer, ResourceServer};

use crate::mounts::{http, inner, listen, over_the_wire, server, serves, token_request};
use crate::raw_grpc::{self, Raw};
use crate::support::LEDGER;

/// A service of gRPC without generated code: messages are bytes, and the answer is the message turned round.
#[derive(Clone)]
struct Reverse;

impl tonic::server::NamedService for Reverse {
    const NAME: &'static str = "harbor.Reverse";
}

impl Service<Request<tonic::body::Body>> for Reverse {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let turn = service_fn(async |request: tonic::Request<Bytes>| {
            let bytes = request.into_inner();
            if bytes.is_empty() {
                return Err(tonic::Status::invalid_argument("there is nothing to turn"));
            }
            Ok(tonic::Response::new(Bytes::from_iter(
                bytes.iter().rev().copied(),
            )))
        });
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).unary(turn, request).await) })
    }
}

pub(crate) async fn call(
    to: SocketAddr,
    message: &'static str,
    token: Option<&str>,
) -> Result<Bytes, tonic::Status> {
    let client = raw_grpc::connect(&format!("http://{to}")).await;
    raw_grpc::unary(client, "/harbor.Reverse/Turn", message, token).await
}

#[tokio::test]
async fn a_tonic_server_over_a_socket() {
    let server = server().await;
    let (listener, address) = listen().await;
    let inner = service_fn(inner::<AxumBody>);
    let mut routes = tonic::service::Routes::new(Reverse).into_axum_router();
    routes = routes.route_service("/inner", inner);
    let serving = tonic::transport::Server::builder()
        .accept_http1(true)
        .layer(server.oauth.layer())
        .add_routes(routes.into())
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
    tokio::spawn(serving);

    let http = http();
    serves(server.oauth.issuer().as_str(), async |request| {
        over_the_wire(&http, address, request).await
    })
    .await;
    assert_eq!(call(address, "redrum", None).await.unwrap(), "murder");
    // A failed call is told in trailers or headers of gRPC, not in a status of HTTP.
    let failed = call(address, "", None).await.unwrap_err();
    assert_eq!(failed.code(), tonic::Code::InvalidArgument);
    assert_eq!(failed.message(), "there is nothing to turn");
}

#[tokio::test]
async fn a_tonic_server_that_gives_tokens_and_asks_for_them() {
    let server = server().await;
    let (listener, address) = listen().await;
    let api = ResourceServer::builder(LEDGER)
        .issuer(Issuer::in_process(&server.oauth))
        .clock(server.clock.clone())
        .build()
        .unwrap();
    let serving = tonic::transport::Server::builder()
        .accept_http1(true)
        .layer(server.oauth.layer())
        .layer(api.layer())
        .layer(api.require("ledger.read"))
        .add_service(Reverse)
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
    tokio::spawn(serving);

    let answer = over_the_wire(&http(), address, token_request("/auth/token")).await;
    let token = answer.member("access_token");
    for _ in ["cold", "warm"] {
        let turned = call(address, "redrum", Some(&token)).await;
        assert_eq!(turned.unwrap(), "murder");
        let refused = call(address, "redrum", None).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        call(address, "redrum", Some("toa_wrong"))
            .await
            .unwrap_err();
    }
}
