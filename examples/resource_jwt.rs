//! cargo run --example resource_jwt — an API that takes the JWTs of another server, and checks them by the keys that it publishes (RFC 9068).
//!
//! It listens on 127.0.0.1:8082, or on the address that it is given, and takes the tokens of the demo on http://127.0.0.1:8080 (`cargo run
//! --example demo -- --access-token jwt`), or of the issuer that it is given second. It starts whether the issuer is up or not: until it
//! is, requests get 503.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::error::Error;

use axum::{Router, routing::get};
use tower_oauth::{AccessToken, Issuer, ResourceServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let address = address.as_deref().unwrap_or("127.0.0.1:8082");
    let issuer = arguments.next();
    let issuer = issuer.as_deref().unwrap_or("http://127.0.0.1:8080");
    let listener = tokio::net::TcpListener::bind(address).await?;
    let here = format!("http://{}", listener.local_addr()?);

    let api = ResourceServer::builder(&here)
        .audience(issuer) // what the demo calls the API that its tokens are for
        .scopes_supported(["notes:read"])
        .issuer(Issuer::jwt(issuer)) // where its keys are, its metadata says
        .build()?;
    let app = Router::new()
        .route("/notes", get(notes).route_layer(api.require("notes:read")))
        .layer(api.layer());

    println!("listening on {here}");
    println!("  curl -i {here}/notes");
    println!("With the demo on {issuer}, started with --access-token jwt:");
    println!(
        "  TOKEN=$(curl -s -u demo-job:demo-job-secret -d grant_type=client_credentials {issuer}/auth/token | cut -d'\"' -f4)"
    );
    println!("  curl -H \"Authorization: Bearer $TOKEN\" {here}/notes");
    Ok(axum::serve(listener, app).await?)
}

async fn notes(token: AccessToken) -> String {
    let (subject, issuer) = (token.subject(), token.issuer());
    format!("the notes of {subject}, who was sent by {issuer}\n")
}
