//! The API that is protected: each subject has notes of its own, kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tower_http::cors::{Any, CorsLayer};
use tower_oauth::{AccessToken, ResourceServer};

/// The most notes that one subject can have, and the most characters of one.
const MOST: usize = 100;
const LONGEST: usize = 1000;

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<HashMap<String, Vec<Note>>>>);

#[derive(Clone, Serialize)]
struct Note {
    id: usize,
    text: String,
}

pub(crate) fn routes(api: &ResourceServer) -> Router {
    // Pages of other sites may use the API with a token. A preflight carries none, so this is outside of what asks for it.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([WWW_AUTHENTICATE]);
    Router::new()
        .route("/api/whoami", get(whoami))
        .route("/api/notes", get(list).layer(api.require("notes:read")))
        .route("/api/notes", post(add).layer(api.require("notes:write")))
        .with_state(Notes::default())
        .route_layer(api.layer())
        .route_layer(cors)
        .route("/health", get(|| async { "ok\n" }))
}

#[derive(Serialize)]
struct Whoami {
    sub: String,
    client_id: Option<String>,
    scope: String,
}

async fn whoami(token: AccessToken) -> Json<Whoami> {
    Json(Whoami {
        sub: token.subject().to_string(),
        client_id: token.client_id().map(ToString::to_string),
        scope: token.scope().to_string(),
    })
}

async fn list(State(notes): State<Notes>, token: AccessToken) -> Json<Vec<Note>> {
    let notes = notes.0.lock().unwrap_or_else(PoisonError::into_inner);
    Json(
        notes
            .get(token.subject().as_str())
            .cloned()
            .unwrap_or_default(),
    )
}

#[derive(Deserialize)]
struct New {
    text: String,
}

async fn add(State(notes): State<Notes>, token: AccessToken, Json(new): Json<New>) -> Response {
    let mut notes = notes.0.lock().unwrap_or_else(PoisonError::into_inner);
    let notes = notes.entry(token.subject().to_string()).or_default();
    if notes.len() >= MOST || new.text.chars().count() > LONGEST {
        return (StatusCode::PAYLOAD_TOO_LARGE, "too long, or too many\n").into_response();
    }
    let note = Note {
        id: notes.len() + 1,
        text: new.text,
    };
    notes.push(note.clone());
    (StatusCode::CREATED, Json(note)).into_response()
}
