//! cargo run --example forward — an application that asks for consent on a page of its own, scope by scope.
//!
//! It listens on 127.0.0.1:8080, or on the address that it is given, and prints what to try. Whoever types a name is signed in with
//! it: bring your own passwords. `Host::decide` hands the request on, `consent` renders it, `answer` resumes it.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::error::Error;

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, extract::Request};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tower_oauth::types::{Client, Scope, Secret, Subject};
use tower_oauth::{Approval, AuthorizationServer, Decision, Interaction, PendingRequest};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, cookie::SameSite};

/// The challenge of RFC 7636, appendix B. A real client makes a new one for each request.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Who is signed in: what `who_is_there` puts into the extensions of a request.
#[derive(Clone)]
struct User(String);

struct Host;

impl Interaction for Host {
    async fn decide(&self, pending: &PendingRequest, request: &Parts) -> Decision {
        if request.extensions.get::<User>().is_none() {
            return Decision::Login;
        }
        match pending.error() {
            Some(_) => Decision::Deny, // there is nothing to ask: the client is told what is wrong
            None => Decision::Forward,
        }
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<title>Share with {{ client }}?</title>
<main><h1>{{ user }}, what may {{ client }} do?</h1>
{% if let Some(code) = user_code %}<p>Only if your device shows <strong>{{ code }}</strong>.</p>{% endif %}
{% if let Some(uri) = redirect_uri %}<p>It is told at {{ uri }}.</p>{% endif %}
<form method="post" action="/consent">
<input type="hidden" name="interaction" value="{{ interaction }}">
<input type="hidden" name="csrf" value="{{ csrf }}">
{% for scope in scopes %}<p><label><input type="checkbox" name="scope" value="{{ scope }}" checked> {{ scope }}</label></p>
{% endfor %}<button name="decision" value="allow">Share</button> <button name="decision" value="deny">No</button>
</form></main>
"#
)]
struct Consent<'a> {
    client: &'a str,
    user: &'a str,
    user_code: Option<&'a str>,
    redirect_uri: Option<&'a str>,
    scopes: Vec<&'a str>,
    interaction: &'a str,
    csrf: &'a str,
}

/// What the server forwards: the request as it came, and beside it what is asked.
async fn consent(
    Extension(pending): Extension<PendingRequest>,
    Extension(User(user)): Extension<User>,
    session: Session,
) -> Result<Response, StatusCode> {
    let csrf = match session.get::<String>(CSRF).await.map_err(broken)? {
        Some(csrf) => csrf, // of another tab
        None => {
            let new = Secret::generate().map_err(broken)?;
            session.insert(CSRF, new.expose()).await.map_err(broken)?;
            new.expose().to_owned()
        }
    };
    let client = pending.client();
    let page = Consent {
        client: client.client_name().unwrap_or(client.client_id().as_str()),
        user: &user,
        user_code: pending.user_code(),
        redirect_uri: pending.redirect_uri().map(|uri| uri.as_str()),
        scopes: pending.scope().iter().map(|token| token.as_str()).collect(),
        interaction: pending.id(),
        csrf: &csrf,
    };
    let html = page.render().map_err(broken)?;
    let headers = [
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
        ("cache-control", "no-store"),
    ];
    Ok((headers, Html(html)).into_response())
}

/// Where a session has the value that only its own pages know.
const CSRF: &str = "csrf";

async fn answer(
    State(oauth): State<AuthorizationServer>,
    session: Session,
    parts: Parts,
    Form(form): Form<Vec<(String, String)>>, // a name may stand there more than once
) -> Result<Response, StatusCode> {
    let all = |name: &'static str| {
        form.iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let one = |name| all(name).next().unwrap_or_default();
    let Some(User(user)) = parts.extensions.get() else {
        return Ok(Redirect::to(&oauth.resume_path(one("interaction"))).into_response());
    };
    let csrf: Option<String> = session.get(CSRF).await.map_err(broken)?;
    let same = |csrf: String| bool::from(csrf.as_bytes().ct_eq(one("csrf").as_bytes()));
    if !is_from_here(&parts.headers) || !csrf.is_some_and(same) {
        return Err(StatusCode::FORBIDDEN); // another site's form, or another person's
    }
    // Nothing ticked is a no.
    let scope = all("scope").collect::<Vec<_>>().join(" ").parse::<Scope>();
    let decision = match scope {
        Ok(scope) if one("decision") == "allow" && !scope.is_empty() => {
            let subject = Subject::new(user.as_str()).map_err(broken)?;
            Decision::Approve(Approval::new(subject).scope(scope))
        }
        _ => Decision::Deny,
    };
    Ok(oauth
        .resume(one("interaction"), decision)
        .await
        .into_response())
}

fn broken(_: impl Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener =
        tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let here = format!("http://{}", listener.local_addr()?);
    let oauth = AuthorizationServer::builder(&here)
        .resource(&here, ["notes:read", "notes:write"])
        .interaction("/login", Host)
        .build()?;
    let app = Client::public("app".parse()?)
        .name("A small program")
        .redirect_uri("http://127.0.0.1:9999/cb".parse()?);
    oauth.clients().create(app).await?;

    let sessions = SessionManagerLayer::new(MemoryStore::default())
        .with_same_site(SameSite::Lax)
        .with_secure(false); // the example has no TLS: leave this line out
    let app = Router::new()
        .route("/auth/authorize", get(consent)) // reached by what is forwarded, and by nothing else
        .route("/consent", post(answer))
        .route("/login", get(page).post(enter))
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
    session.flush().await.map_err(broken)?; // what another person was asked nobody else answers
    session.insert("name", name).await.map_err(broken)?;
    Ok(Redirect::to(&oauth.resume_path(&interaction)))
}

/// Whether a form comes from a page of this site, as browsers say: no other site's form signs anybody in, under a name that is not theirs.
fn is_from_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site == "same-origin")
}
