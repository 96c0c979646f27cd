//! cargo run --example axum_login — an application whose people sign in by `axum-login`, and which issues tokens for its API.
//!
//! It listens on 127.0.0.1:8080, or on the address that it is given, and prints what to try. There is alice, whose password is
//! wonderland. What joins the two is `signed_in`, and the last line of `enter`.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use axum::extract::{Form, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::{Router, routing::get};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId};
use serde::Deserialize;
use tower_oauth::types::{Client, Subject};
use tower_oauth::{AccessToken, AuthorizationServer, Issuer, ResourceServer};
use tower_sessions::{MemoryStore, SessionManagerLayer, cookie::SameSite};

/// The pair of RFC 7636, appendix B. A real client makes a new one for each request.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What the authorization server is told: who is signed in. A person's id, since a name may change hands.
fn signed_in(parts: &Parts) -> Option<Subject> {
    let session = parts.extensions.get::<AuthSession<People>>()?;
    Subject::new(&session.user.as_ref()?.id).ok()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener =
        tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let here = format!("http://{}", listener.local_addr()?);
    let oauth = AuthorizationServer::builder(&here)
        .resource(&here, ["notes:read"])
        .describe_scope("notes:read", "Read your notes")
        .login("/login", signed_in)
        .build()?;
    let app = Client::public("app".parse()?)
        .name("A small program")
        .redirect_uri("http://127.0.0.1:9999/cb".parse()?);
    oauth.clients().create(app).await?;
    let api = ResourceServer::builder(&here)
        .issuer(Issuer::in_process(&oauth))
        .build()?;

    let sessions = SessionManagerLayer::new(MemoryStore::default())
        .with_same_site(SameSite::Lax) // forms of other sites come without it
        .with_secure(false); // the example has no TLS: leave this line out
    let app = Router::new()
        .route("/notes", get(list).route_layer(api.require("notes:read")))
        .route_layer(api.layer())
        .route("/login", get(form).post(enter).with_state(oauth.clone()))
        .layer(oauth.layer())
        .layer(AuthManagerLayerBuilder::new(People::new()?, sessions).build());

    println!("listening on {here}");
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

#[derive(Deserialize)]
struct Waiting {
    interaction: Option<String>,
}

/// The id of the request that waits stands in the query, and so in the address that the form goes to.
async fn form() -> Html<&'static str> {
    Html(
        "<!DOCTYPE html><html lang=en><title>Sign in</title><link rel=icon href=data:,><form method=post>\
         <label for=username>Username</label> <input id=username name=username autocomplete=username>\
         <label for=password>Password</label> <input id=password name=password type=password autocomplete=current-password>\
         <button>Sign in</button></form>",
    )
}

async fn enter(
    State(oauth): State<AuthorizationServer>,
    Query(waiting): Query<Waiting>,
    (mut session, headers): (AuthSession<People>, HeaderMap),
    Form(password): Form<Password>,
) -> Response {
    if !is_from_here(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let person = match session.authenticate(password).await {
        Ok(Some(person)) => person,
        Ok(None) => return (StatusCode::UNAUTHORIZED, form().await).into_response(),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    if session.login(&person).await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let next = waiting.interaction.map(|id| oauth.resume_path(&id));
    Redirect::to(next.as_deref().unwrap_or("/login")).into_response()
}

/// Whether a form comes from a page of this site, as browsers say: no other site's form signs anybody in, under a name that is not theirs.
fn is_from_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site == "same-origin")
}

#[derive(Clone, Debug)]
struct Person {
    id: String,
    password_hash: String,
}

impl AuthUser for Person {
    type Id = String;

    fn id(&self) -> String {
        self.id.clone()
    }

    /// Whoever changes the password ends all sessions.
    fn session_auth_hash(&self) -> &[u8] {
        self.password_hash.as_bytes()
    }
}

#[derive(Clone, Deserialize)]
struct Password {
    username: String,
    password: String,
}

/// The host's table of users, by name.
#[derive(Clone, Debug)]
struct People(Arc<HashMap<String, Person>>);

impl People {
    fn new() -> Result<Self, Box<dyn Error>> {
        let alice = Person {
            id: "person-1".to_owned(),
            password_hash: Argon2::default().hash_password(b"wonderland")?.to_string(),
        };
        Ok(Self(Arc::new([("alice".to_owned(), alice)].into())))
    }
}

impl AuthnBackend for People {
    type User = Person;
    type Credentials = Password;
    type Error = argon2::password_hash::phc::Error;

    async fn authenticate(&self, given: Password) -> Result<Option<Person>, Self::Error> {
        // Nobody is to learn who exists by the time that it takes: a stranger's password is checked against somebody's hash.
        let person = self.0.get(&given.username);
        let Some(any) = person.or_else(|| self.0.values().next()) else {
            return Ok(None);
        };
        let hash = PasswordHash::new(&any.password_hash)?;
        let right = Argon2::default().verify_password(given.password.as_bytes(), &hash);
        Ok(person.filter(|_| right.is_ok()).cloned())
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<Person>, Self::Error> {
        Ok(self.0.values().find(|person| person.id == *id).cloned())
    }
}
