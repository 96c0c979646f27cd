//! cargo run --example resource_introspection — an API whose tokens come from elsewhere: their issuer is asked about them (RFC 7662).
//!
//! It listens on 127.0.0.1:8081, or on the address that it is given, and takes the tokens of the demo on http://127.0.0.1:8080 (`cargo run
//! --example demo`), or of the issuer that it is given second. It starts whether the issuer is up or not: until it is, requests get 503.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::error::Error;
use std::time::Duration;

use axum::{Router, routing::get};
use tower_oauth::{AccessToken, Issuer, ResourceServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let address = address.as_deref().unwrap_or("127.0.0.1:8081");
    let issuer = arguments.next();
    let issuer = issuer.as_deref().unwrap_or("http://127.0.0.1:8080");
    let listener = tokio::net::TcpListener::bind(address).await?;
    let here = format!("http://{}", listener.local_addr()?);

    let demo = Issuer::opaque(issuer)
        .client("demo-api", "demo-api-secret") // who asks: an API has credentials of its own; where, says the issuer's metadata
        .token_prefix("toa_") // what cannot be one of its tokens costs no request
        .cached_for(Duration::from_secs(10)); // so long may a revocation go unnoticed
    let api = ResourceServer::builder(&here)
        .audience(issuer) // what the demo calls the API that its tokens are for
        .scopes_supported(["notes:read"])
        .issuer(demo)
        .build()?;
    let app = Router::new()
        .route("/notes", get(notes).route_layer(api.require("notes:read")))
        .layer(api.layer());

    println!("listening on {here}");
    println!("  curl -i {here}/notes");
    println!("With the demo on {issuer}:");
    println!(
        "  TOKEN=$(curl -s -u demo-job:demo-job-secret -d grant_type=client_credentials {issuer}/auth/token | cut -d'\"' -f4)"
    );
    println!("  curl -H \"Authorization: Bearer $TOKEN\" {here}/notes");
    println!("  curl -u demo-job:demo-job-secret -d token=$TOKEN {issuer}/auth/revoke");
    println!("And ten seconds later the same token is none any more.");
    Ok(axum::serve(listener, app).await?)
}

async fn notes(token: AccessToken) -> String {
    let (subject, issuer) = (token.subject(), token.issuer());
    format!("the notes of {subject}, who was sent by {issuer}\n")
}
