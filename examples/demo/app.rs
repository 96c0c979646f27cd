//! An app of the demo's own, so that a browser is enough to try a code: it asks, and shows what it is told.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tower_oauth::AuthorizationServer;
use tower_oauth::types::{Client, IssuerUrl};

use crate::Failure;
use crate::pages::{self, CameBack};

const CLIENT_ID: &str = "demo-app";

/// The pair of RFC 7636, appendix B, so that the line below is all there is to it. A real client makes a new one for each request.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) fn client(issuer: &IssuerUrl) -> Result<Client, Failure> {
    let redirect_uri = format!("{}/came-back", issuer.origin());
    Ok(Client::public(CLIENT_ID.parse()?)
        .name("Demo Notebook")
        .redirect_uri(redirect_uri.parse()?))
}

/// Where it sends people.
pub(crate) fn asks(issuer: &IssuerUrl) -> String {
    format!(
        "{}/auth/authorize?response_type=code&client_id={CLIENT_ID}&scope=notes:read%20notes:write\
         &code_challenge_method=S256&code_challenge={CHALLENGE}",
        issuer.path()
    )
}

pub(crate) fn routes(oauth: &AuthorizationServer) -> Router {
    Router::new()
        .route("/came-back", get(came_back))
        .with_state(oauth.clone())
}

/// An authorization response (RFC 6749 §4.1.2). Anybody can make one up, so it is shown and nothing more.
#[derive(Deserialize)]
struct Told {
    code: Option<String>,
    error: Option<String>,
}

async fn came_back(State(oauth): State<AuthorizationServer>, Query(told): Query<Told>) -> Response {
    let (origin, path) = (oauth.issuer().origin(), oauth.issuer().path());
    // What stands in the address may be anything, and this line is pasted into a shell.
    let in_code = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let code = told.code.filter(|code| code.chars().all(in_code));
    let line = code.map(|code| {
        format!(
            "curl -d grant_type=authorization_code -d client_id={CLIENT_ID} -d code={code} \
             -d code_verifier={VERIFIER} {origin}{path}/auth/token"
        )
    });
    let page = CameBack {
        line: line.as_deref(),
        error: told.error.as_deref().unwrap_or("nothing"),
    };
    pages::respond(StatusCode::OK, &page)
}
