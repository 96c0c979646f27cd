//! cargo run --example all_in_one — an axum application that is its own authorization server, with a login of its own.
//!
//! It listens on 127.0.0.1:8080, or on the address that it is given, and prints what to try. Whoever types a name is signed in with it: bring your own passwords.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use axum::{Router, routing::get};
use tower_oauth::resource::AccessToken;
use tower_oauth::types::{Client, Secret, Subject};
use tower_oauth::{AuthorizationServer, Issuer, ResourceServer};

/// The pair of RFC 7636, appendix B. A real client makes a new one for each request.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Who is signed in: what the host's session layer puts into the extensions of a request.
#[derive(Clone)]
struct User(String);

type Sessions = Arc<Mutex<HashMap<String, User>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener =
        tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let here = format!("http://{}", listener.local_addr()?);
    let oauth = AuthorizationServer::builder(&here)
        .resource(&here, ["notes:read", "notes:write"])
        .login("/login", |parts| {
            let user = parts.extensions.get::<User>()?;
            Subject::new(&user.0).ok()
        })
        .build()?;
    let app = Client::public("app".parse()?)
        .name("A small program")
        .redirect_uri("http://127.0.0.1:9999/cb".parse()?);
    oauth.clients().create(app).await?;
    let api = ResourceServer::builder(&here)
        .issuer(Issuer::in_process(&oauth))
        .build()?;

    let notes = Router::new()
        .route("/notes", get(list).route_layer(api.require("notes:read")))
        .route_layer(api.layer());
    let sessions = Sessions::default();
    let state = (oauth.clone(), Arc::clone(&sessions));
    let app = Router::new()
        .route("/login", get(page).post(enter).with_state(state))
        .merge(notes)
        .layer(oauth.layer()) // serves its endpoints, passes the rest on
        .layer(from_fn_with_state(sessions, session)); // outermost

    println!("listening on {here}");
    println!("  curl -i {here}/notes");
    println!("In a browser, to end at an address with ?code=… that nobody serves:");
    println!(
        "  {here}/auth/authorize?response_type=code&client_id=app&scope=notes:read&code_challenge_method=S256&code_challenge={CHALLENGE}"
    );
    println!(
        "  curl -d 'grant_type=authorization_code&client_id=app&code_verifier={VERIFIER}' -d \"code=$CODE\" {here}/auth/token"
    );
    println!("  curl -H \"Authorization: Bearer $TOKEN\" {here}/notes");
    Ok(axum::serve(listener, app).await?)
}

async fn list(token: AccessToken) -> String {
    format!("the notes of {}\n", token.subject())
}

/// The id of the request that waits stands in the query, and so in the address that the form goes to.
async fn page() -> Html<&'static str> {
    Html("<form method=post><label>Name <input name=name></label> <button>Sign in</button></form>")
}

#[derive(serde::Deserialize)]
struct Waiting {
    interaction: String,
}

#[derive(serde::Deserialize)]
struct Person {
    name: String,
}

async fn enter(
    State((oauth, sessions)): State<(AuthorizationServer, Sessions)>,
    Query(Waiting { interaction }): Query<Waiting>,
    headers: HeaderMap,
    Form(Person { name }): Form<Person>,
) -> Result<Response, StatusCode> {
    if !is_from_here(&headers) {
        return Err(StatusCode::FORBIDDEN);
    }
    let id = Secret::generate().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let mut sessions = sessions
        .lock()
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    sessions.insert(id.expose().to_owned(), User(name));
    let cookie = format!("session={}; HttpOnly; SameSite=Lax", id.expose());
    let back = Redirect::to(&oauth.resume_path(&interaction));
    Ok((AppendHeaders([("set-cookie", cookie)]), back).into_response())
}

/// Whether a form comes from a page of this site, as browsers say: no other site's form signs anybody in, under a name that is not theirs.
fn is_from_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site == "same-origin")
}

/// The session layer: looks for the cookie that `enter` has set.
async fn session(State(sessions): State<Sessions>, mut request: Request, next: Next) -> Response {
    if let Some(user) = user(request.headers(), &sessions) {
        request.extensions_mut().insert(user);
    }
    next.run(request).await
}

fn user(headers: &HeaderMap, sessions: &Sessions) -> Option<User> {
    let mut cookies = headers.get("cookie")?.to_str().ok()?.split("; ");
    let id = cookies.find_map(|cookie| cookie.strip_prefix("session="))?;
    sessions.lock().ok()?.get(id).cloned()
}
