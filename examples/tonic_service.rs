//! cargo run --example tonic_service — a service of gRPC that takes the JWTs of another server, and refuses in the words of gRPC.
//!
//! It listens on 127.0.0.1:8083, or on the address that it is given, and takes the tokens of the demo on http://127.0.0.1:8080 (`cargo run
//! --example demo -- --access-token jwt`), or of the issuer that it is given second. Its one method, `notes.Notes/Run`, takes a command and
//! returns a text, as plain bytes, so that it needs no `protoc`; a generated service goes into the same server by `add_service`.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::convert::Infallible;
use std::error::Error;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::Request;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Status, server::Grpc};
use tower::service_fn;
use tower_oauth::resource::{Refusal, RefusalBody};
use tower_oauth::{AccessToken, Issuer, ResourceServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let address = address.as_deref().unwrap_or("127.0.0.1:8083");
    let issuer = arguments.next();
    let issuer = issuer.as_deref().unwrap_or("http://127.0.0.1:8080");
    let listener = tokio::net::TcpListener::bind(address).await?;
    let here = format!("http://{}", listener.local_addr()?);

    let api = ResourceServer::builder(&here)
        .audience(issuer) // what the demo calls the API that its tokens are for
        .issuer(Issuer::jwt(issuer))
        .refusal_body(RefusalBody::Grpc) // UNAUTHENTICATED, PERMISSION_DENIED, UNAVAILABLE
        .build()?;

    println!("listening on {here}");
    println!("With the demo on {issuer}, started with --access-token jwt:");
    println!(
        "  TOKEN=$(curl -s -u demo-job:demo-job-secret -d grant_type=client_credentials {issuer}/auth/token | cut -d'\"' -f4)"
    );
    println!(
        "  printf '\\0\\0\\0\\0\\4list' | curl -i --http2-prior-knowledge -H content-type:application/grpc -H te:trailers \\\n    -H \"Authorization: Bearer $TOKEN\" --data-binary @- {here}/notes.Notes/Run"
    );
    let mut server = Server::builder()
        .layer(api.layer()) // outermost: what comes further has a good token
        .layer(api.require("notes:read"));
    let notes = service_fn(move |request: Request<axum::body::Body>| {
        let api = api.clone();
        async move {
            let run = service_fn(async |request| run(&api, &request));
            Ok::<_, Infallible>(Grpc::new(Text).unary(run, request).await)
        }
    });
    let routes = axum::Router::new().route_service("/notes.Notes/Run", notes);
    let incoming = TcpIncoming::from(listener);
    let serving = server
        .add_routes(routes.into())
        .serve_with_incoming(incoming);
    Ok(serving.await?)
}

/// Some commands need a wider scope than others; that is asked for here.
fn run(
    api: &ResourceServer,
    request: &tonic::Request<Bytes>,
) -> Result<tonic::Response<Bytes>, Status> {
    let token = request.extensions().get::<AccessToken>();
    let token = token.ok_or(Refusal::NoToken)?;
    if request.get_ref() != "list" && !token.has_scope("notes:write") {
        return Err(api.status(Refusal::InsufficientScope));
    }
    let text = format!("the notes of {}", token.subject());
    Ok(tonic::Response::new(text.into()))
}

/// Texts as the bytes that they are.
#[derive(Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, text: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(text);
        Ok(())
    }
}

impl Decoder for Text {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
