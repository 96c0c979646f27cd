//! cargo run --example hyper — an authorization server and a protected API in plain hyper, without axum.
//!
//! It listens on 127.0.0.1:8080, or on the address that it is given, and prints what to try. One client may ask for tokens for itself; nobody can log in.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_oauth::resource::AccessToken;
use tower_oauth::types::{Client, GrantType, Secret};
use tower_oauth::{AuthorizationServer, Issuer, ResourceServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let here = format!("http://{}", listener.local_addr()?);
    let oauth = AuthorizationServer::builder(&here)
        .resource(format!("{here}/notes"), ["notes:read", "notes:write"])
        .build()?;
    let service = Client::confidential("service".parse()?, &Secret::new("service-secret"))
        .grant_types([GrantType::ClientCredentials]);
    oauth.clients().create(service).await?;

    let api = ResourceServer::builder(format!("{here}/notes"))
        .issuer(Issuer::in_process(&oauth))
        .build()?;
    // The endpoints are outside of the lock on the door, or nobody would ever get a token.
    let app = ServiceBuilder::new()
        .layer(oauth.layer())
        .layer(api.layer())
        .layer(api.require("notes:read"))
        .service_fn(notes);
    let app = TowerToHyperService::new(app);

    println!("listening on {here}");
    println!("  curl {here}/.well-known/oauth-authorization-server");
    println!("  curl -i {here}/notes");
    println!(
        "  curl -u service:service-secret -d 'grant_type=client_credentials&scope=notes:read' {here}/auth/token"
    );
    println!("  curl -H \"Authorization: Bearer $TOKEN\" {here}/notes");
    loop {
        let (stream, _) = listener.accept().await?;
        let app = app.clone();
        tokio::spawn(async move {
            let connections = auto::Builder::new(TokioExecutor::new());
            let connection = connections.serve_connection(TokioIo::new(stream), app);
            if let Err(error) = connection.await {
                println!("a connection broke off: {error}");
            }
        });
    }
}

/// Everything that is not an endpoint of the authorization server comes here, with a good token or not at all.
async fn notes(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let token = request.extensions().get::<AccessToken>();
    let mut response = Response::new(Full::default());
    match (request.uri().path(), token) {
        ("/notes", Some(token)) => {
            let text = format!("the notes of {}\n", token.subject());
            *response.body_mut() = Full::from(text);
        }
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}
