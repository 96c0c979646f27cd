//! cargo run --example quickstart
//!
//! A whole service in one file: it issues tokens, and asks for them.

use axum::{Router, routing::get};
use tower_oauth::types::{Client, GrantType, Secret};
use tower_oauth::{AccessToken, AuthorizationServer, Issuer, ResourceServer};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "tells what to type")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8080");
    let listener = tokio::net::TcpListener::bind(address).await?;
    let here = format!("http://{}", listener.local_addr()?);

    // One half issues tokens. What it knows is kept in memory until a store is named.
    let oauth = AuthorizationServer::builder(&here)
        .resource(&here, ["notes:read"])
        .build()?;
    let job = Client::confidential("nightly".parse()?, &Secret::new("s3cr3t"))
        .grant_types([GrantType::ClientCredentials])
        .scope("notes:read".parse()?);
    oauth.clients().create(job).await?;

    // The other half asks for them.
    let api = ResourceServer::builder(&here)
        .issuer(Issuer::in_process(&oauth))
        .build()?;
    let app = Router::new()
        .route("/notes", get(notes).layer(api.require("notes:read")))
        .route_layer(api.layer())
        .layer(oauth.layer());

    println!("listening on {here}\n");
    println!(
        "TOKEN=$(curl -s -u nightly:s3cr3t -d grant_type=client_credentials {here}/auth/token | cut -d'\"' -f4)"
    );
    println!("curl -i -H \"Authorization: Bearer $TOKEN\" {here}/notes");
    Ok(axum::serve(listener, app).await?)
}

async fn notes(token: AccessToken) -> String {
    format!("the notes of {}\n", token.subject())
}
