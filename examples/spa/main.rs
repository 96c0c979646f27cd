//! cargo run --example spa — an application whose consent page is its own: static HTML and one small script that speak JSON to the server.
//!
//! It listens on 127.0.0.1:8080, or on the address that it is given, and prints what to try. Whoever types a name is signed in with
//! it: bring your own passwords. The page would be the same behind any framework for single-page apps.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::error::Error;

use axum::Router;
use axum::extract::{Form, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tower_oauth::AuthorizationServer;
use tower_oauth::types::{Client, Subject};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, cookie::SameSite};

/// The challenge of RFC 7636, appendix B. A real client makes a new one for each request.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Nothing but our own files, and no frame of anybody else's.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; frame-ancestors 'none'";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener =
        tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let here = format!("http://{}", listener.local_addr()?);
    let oauth = AuthorizationServer::builder(&here)
        .resource(&here, ["notes:read", "notes:write"])
        .describe_scope("notes:read", "Read your notes")
        .describe_scope("notes:write", "Write notes for you")
        .login("/login", |parts| {
            Subject::new(&parts.extensions.get::<User>()?.0).ok()
        })
        .consent_page("/app/consent")
        .build()?;
    let app = Client::public("app".parse()?)
        .name("A small program")
        .redirect_uri("http://127.0.0.1:9999/cb".parse()?);
    oauth.clients().create(app).await?;

    let sessions = SessionManagerLayer::new(MemoryStore::default())
        .with_same_site(SameSite::Lax)
        .with_secure(false); // the example has no TLS: leave this line out
    let html = || file("text/html; charset=utf-8", include_str!("page.html"));
    let app = Router::new()
        // One page for all of its addresses, as single-page apps have it.
        .route("/login", get(async move || html()))
        .route("/app/{*view}", get(async move || html()))
        .route(
            "/page.js",
            get(async || file("text/javascript", include_str!("page.js"))),
        )
        .route(
            "/page.css",
            get(async || file("text/css", include_str!("page.css"))),
        )
        .route("/session", post(enter))
        .with_state(oauth.clone())
        .layer(oauth.layer())
        .layer(from_fn(who_is_there))
        .layer(sessions);

    println!("listening on {here}");
    println!("In a browser, to end at an address with ?code=… that nobody serves:");
    println!(
        "  {here}/auth/authorize?response_type=code&client_id=app&scope=notes:read+notes:write&code_challenge_method=S256&code_challenge={CHALLENGE}"
    );
    Ok(axum::serve(listener, app).await?)
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

/// Who is signed in: what `who_is_there` puts into the extensions of a request.
#[derive(Clone)]
struct User(String);

async fn who_is_there(session: Session, mut request: Request, next: Next) -> Response {
    if let Ok(Some(name)) = session.get("name").await {
        request.extensions_mut().insert(User(name));
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct Waiting {
    interaction: String,
}

#[derive(Deserialize)]
struct Person {
    name: String,
}

/// Signs somebody in; then the request that waits goes on.
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
