//! The host's own login: a form, and a session that remembers who filled it in.

use axum::extract::{Form, Query, Request, State};
use axum::http::header::ORIGIN;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use tower_oauth::AuthorizationServer;
use tower_oauth::server::SignedIn;
use tower_oauth::types::{Clock as _, Subject, Timestamp};
use tower_sessions::Session;
use tower_sessions::cookie::SameSite;
use tower_sessions::{MemoryStore, SessionManagerLayer};

use crate::app;
use crate::clock::OffBy;
use crate::pages::{self, Login, Start};
use crate::people::{self, Person};

/// Where a person stands in a session.
const PERSON: &str = "person";

/// The start page, and the way in and out. `lines` are shown on the start page.
pub(crate) fn routes(oauth: &AuthorizationServer, lines: &str, clock: OffBy) -> Router {
    let state = Host {
        oauth: oauth.clone(),
        lines: lines.into(),
        clock,
    };
    Router::new()
        .route("/", get(start))
        .route("/login", get(form).post(enter))
        .route("/logout", post(leave))
        .with_state(state)
}

/// The outermost layer: a cookie that other sites' forms do not carry (`Lax`), so that nobody else signs a person out or in. Behind TLS it has
/// a name that browsers take from this very host alone, so that no other host of the domain plants one.
pub(crate) fn sessions(oauth: &AuthorizationServer) -> SessionManagerLayer<MemoryStore> {
    let secure = oauth.issuer().as_str().starts_with("https://");
    let name = if secure { "__Host-session" } else { "session" };
    SessionManagerLayer::new(MemoryStore::default())
        .with_name(name)
        .with_same_site(SameSite::Lax)
        .with_secure(secure)
}

/// Inside of it: puts the person who is signed in into the extensions of the request, where everybody else finds them.
pub(crate) async fn who_is_there(session: Session, mut request: Request, next: Next) -> Response {
    match session.get::<Person>(PERSON).await {
        Ok(Some(person)) => {
            request.extensions_mut().insert(person);
        }
        Ok(None) => {}
        Err(error) => return broken(&error),
    }
    next.run(request).await
}

/// What the authorization server is told: who is signed in, since when, and what its pages call them.
pub(crate) fn signed_in(request: &Parts) -> Option<SignedIn> {
    let person = request.extensions.get::<Person>()?;
    let subject = Subject::new(&person.username).ok()?;
    let auth_time = Timestamp::from_secs(person.signed_in_at);
    Some(
        SignedIn::new(subject)
            .auth_time(auth_time)
            .name(&person.name),
    )
}

#[derive(Clone)]
struct Host {
    oauth: AuthorizationServer,
    lines: std::sync::Arc<str>,
    clock: OffBy,
}

async fn start(State(host): State<Host>, person: Option<Extension<Person>>) -> Response {
    let ask = app::asks(host.oauth.issuer());
    let page = Start {
        ask: &ask,
        issuer: host.oauth.issuer().as_str(),
        username: person.as_ref().map(|person| person.username.as_str()),
        lines: &host.lines,
    };
    pages::respond(StatusCode::OK, &page)
}

/// The id of the request that waits for somebody to sign in, if one does.
#[derive(Deserialize)]
struct Waiting {
    interaction: Option<String>,
}

async fn form(State(host): State<Host>, Query(waiting): Query<Waiting>) -> Response {
    // Whom the app thinks that it has before it. Anybody may have said so: it saves some typing, and proves nothing.
    let mut hint = None;
    if let Some(id) = &waiting.interaction {
        let pending = host.oauth.pending(id).await.ok();
        hint = pending.and_then(|pending| pending.login_hint().map(ToOwned::to_owned));
    }
    let page = Login {
        interaction: waiting.interaction.as_deref(),
        username: hint.as_deref(),
        problem: None,
    };
    pages::respond(StatusCode::OK, &page)
}

#[derive(Deserialize)]
struct Entry {
    username: String,
    password: String,
    interaction: Option<String>,
}

async fn enter(
    State(host): State<Host>,
    session: Session,
    headers: HeaderMap,
    Form(entry): Form<Entry>,
) -> Response {
    let again = |problem| {
        let page = Login {
            interaction: entry.interaction.as_deref(),
            username: Some(&entry.username),
            problem: Some(problem),
        };
        pages::respond(StatusCode::BAD_REQUEST, &page)
    };
    if !is_same_origin(&host.oauth, &headers) {
        return again("That did not come from this page. Sign in here.");
    }
    let Some(person) = people::sign_in(&entry.username, &entry.password, host.clock.now()) else {
        return again("Username or password is wrong.");
    };
    // A new session id: one that somebody else planted before is worth nothing.
    let kept = async {
        session.cycle_id().await?;
        session.insert(PERSON, person).await
    };
    if let Err(error) = kept.await {
        return broken(&error);
    }
    // Never to an address that came with the request.
    let next = entry.interaction.map(|id| host.oauth.resume_path(&id));
    Redirect::to(next.as_deref().unwrap_or("/")).into_response()
}

async fn leave(State(host): State<Host>, session: Session, headers: HeaderMap) -> Response {
    if !is_same_origin(&host.oauth, &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    match session.flush().await {
        Ok(()) => Redirect::to("/").into_response(),
        Err(error) => broken(&error),
    }
}

/// Whether a form comes from a page of this site, as browsers say.
fn is_same_origin(oauth: &AuthorizationServer, headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => headers
            .get(ORIGIN)
            .is_some_and(|origin| origin == oauth.issuer().origin()),
    }
}

fn broken(error: &tower_sessions::session::Error) -> Response {
    tracing::error!(%error, "the session could not be used");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
