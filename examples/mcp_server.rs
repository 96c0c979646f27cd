//! cargo run --example mcp_server — an MCP server with the official SDK (`rmcp`) that is its own authorization server.
//!
//! It listens on 127.0.0.1:8080, or on the address that it is given. Point an MCP client at http://127.0.0.1:8080/mcp: from the 401 it
//! finds the metadata, registers itself, and sends its person here to sign in. Whoever types a name is signed in with it: bring your own
//! passwords.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Form, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, Redirect, Response};
use axum::{Router, routing::get};
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, schemars, tool, tool_router};
use serde::Deserialize;
use tower_oauth::types::{ScopeToken, Subject};
use tower_oauth::{AccessToken, AuthorizationServer, Issuer, Registration, ResourceServer};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, cookie::SameSite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener =
        tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let here = format!("http://{}", listener.local_addr()?);
    let mcp = format!("{here}/mcp"); // what clients are pointed at is what their tokens are for
    let oauth = AuthorizationServer::builder(&here)
        .resource(&mcp, ["notes:read", "notes:write"])
        .describe_scope("notes:read", "Read your notes")
        .describe_scope("notes:write", "Write notes for you")
        .login("/login", |parts| {
            Subject::new(&parts.extensions.get::<User>()?.0).ok()
        })
        .registration(Registration::open()) // clients that nobody here has heard of
        .browser_clients(["*"]) // and those that are pages of other sites
        .build()?;
    let api = ResourceServer::builder(&mcp)
        .issuer(Issuer::in_process(&oauth))
        .challenge_scope(["notes:read"]) // what a client asks for first
        .build()?;

    let notes = Notes::default();
    let service = StreamableHttpService::new(
        move || Ok(notes.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(), // takes requests for this machine alone: name your host here
    );
    let sessions = SessionManagerLayer::new(MemoryStore::default())
        .with_same_site(SameSite::Lax)
        .with_secure(false); // the example has no TLS: leave this line out
    let app = Router::new()
        .route_service("/mcp", service)
        .route_layer(api.require("notes:read"))
        .route_layer(api.layer())
        .route("/login", get(page).post(enter).with_state(oauth.clone()))
        .layer(oauth.layer())
        .layer(from_fn(who_is_there))
        .layer(sessions);

    println!("listening on {here}");
    println!("  curl -i -X POST {mcp}");
    println!("  npx @modelcontextprotocol/inspector --server-url {mcp}");
    Ok(axum::serve(listener, app).await?)
}

/// Each person's notes. The SDK puts the parts of the HTTP request into the context of a call, and so what the bearer layer put there.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<HashMap<Subject, Vec<String>>>>);

#[derive(Deserialize, schemars::JsonSchema)]
struct New {
    /// What it says.
    text: String,
}

#[tool_router(server_handler)]
impl Notes {
    #[tool(description = "The notes of whoever is signed in")]
    async fn list_notes(&self, Extension(request): Extension<Parts>) -> Result<String, ErrorData> {
        let token = token(&request)?;
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = notes.get(token.subject()).cloned().unwrap_or_default();
        Ok(format!("{}: {}", token.subject(), notes.join(", ")))
    }

    #[tool(description = "Writes a note down")]
    async fn add_note(
        &self,
        Extension(request): Extension<Parts>,
        Parameters(new): Parameters<New>,
    ) -> Result<String, ErrorData> {
        let token = token(&request)?;
        let write: ScopeToken = "notes:write".parse().map_err(|e| internal(&e))?;
        if !token.scope().contains(&write) {
            return Err(ErrorData::invalid_request(
                "this takes the scope notes:write",
                None,
            ));
        }
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes
            .entry(token.subject().clone())
            .or_default()
            .push(new.text);
        Ok("written down".to_owned())
    }
}

fn token(request: &Parts) -> Result<&AccessToken, ErrorData> {
    let token = request.extensions.get::<AccessToken>();
    token.ok_or_else(|| internal(&"the bearer layer is missing"))
}

fn internal(cause: &dyn std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(cause.to_string(), None)
}

/// Who is signed in at the browser: what `who_is_there` puts into the extensions of a request.
#[derive(Clone)]
struct User(String);

async fn who_is_there(session: Session, mut request: Request, next: Next) -> Response {
    if let Ok(Some(name)) = session.get("name").await {
        request.extensions_mut().insert(User(name));
    }
    next.run(request).await
}

async fn page() -> Html<&'static str> {
    Html(
        "<!DOCTYPE html><html lang=en><title>Sign in</title><link rel=icon href=data:,><form method=\"post\" action=\"\"><label for=\"name\">Name</label>\
         <input name=\"name\" id=\"name\"><button>Sign in</button></form>",
    )
}

#[derive(Deserialize)]
struct Waiting {
    interaction: String,
}

#[derive(Deserialize)]
struct Person {
    name: String,
}

async fn enter(
    State(oauth): State<AuthorizationServer>,
    Query(Waiting { interaction }): Query<Waiting>,
    (session, headers): (Session, HeaderMap),
    Form(Person { name }): Form<Person>,
) -> Result<Redirect, StatusCode> {
    if !is_from_here(&headers) {
        return Err(StatusCode::FORBIDDEN);
    }
    let signed_in = async {
        session.flush().await?;
        session.insert("name", name).await
    };
    signed_in
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Redirect::to(&oauth.resume_path(&interaction)))
}

/// Whether a form comes from a page of this site, as browsers say: no other site's form signs anybody in, under a name that is not theirs.
fn is_from_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site == "same-origin")
}
