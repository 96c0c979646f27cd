//! What routes ask for on top of a good token: scopes in several ways, and how its owner has signed in.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use axum::Router;
use axum::body::Body;
use axum::routing;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tower::ServiceExt as _;
use tower_oauth::resource::{
    AccessToken, RefusalBody, RequireLayer, RequiredScope, ResourceServer, Scoped,
};
use tower_oauth::types::Claims;

use crate::bearer::{NOW, Table, ada, get, param, server, settings};

fn claims(claims: &serde_json::Value) -> Claims {
    Claims::new(claims.as_object().unwrap().clone()).unwrap()
}

fn table() -> Table {
    let scope = |scope: &str| ada().scope(scope.parse().unwrap());
    Table::new()
        .with("none", scope(""))
        .with("a", scope("a"))
        .with("b", scope("b"))
        .with("ab", scope("a b"))
        .with("admin", scope("admin"))
        .with(
            "mfa",
            scope("a").claims(claims(
                &json!({"acr": "mfa", "auth_time": NOW.as_secs() - 60}),
            )),
        )
        .with(
            "pwd",
            scope("a").claims(claims(
                &json!({"acr": "pwd", "auth_time": NOW.as_secs() - 61}),
            )),
        )
        .with(
            "typed",
            scope("notes:read").claims(claims(&json!({"email": "ada@example.test", "level": 3}))),
        )
}

async fn behind(api: &ResourceServer, layer: RequireLayer, token: &str) -> Response<Body> {
    let app = Router::new()
        .route("/notes", routing::get(async || "in").route_layer(layer))
        .route_layer(api.layer());
    let field = format!("Bearer {token}");
    let request = get(&[&field]).map(Body::from);
    app.oneshot(request).await.unwrap()
}

#[tokio::test]
async fn rfc6750_3_1_a_scope_or_another_or_all_of_several() {
    let api = server(table());
    for (layer, opens, told) in [
        (api.require("a b"), &["ab"][..], "a b"),
        (
            api.require("a").or("b"),
            &["a", "b", "ab", "mfa", "pwd"],
            "a",
        ),
        (api.require("a b").or("admin"), &["ab", "admin"], "a b"),
    ] {
        for token in ["none", "a", "b", "ab", "admin"] {
            let response = behind(&api, layer.clone(), token).await;
            if opens.contains(&token) {
                assert_eq!(response.status(), StatusCode::OK, "{token} {layer:?}");
            } else {
                assert_eq!(
                    response.status(),
                    StatusCode::FORBIDDEN,
                    "{token} {layer:?}"
                );
                assert_eq!(param(&response, "scope").as_deref(), Some(told));
                let error = param(&response, "error");
                assert_eq!(error.as_deref(), Some("insufficient_scope"));
            }
        }
    }
    for wrong in [
        api.require("a").or(""),
        api.require("\"").or("a"),
        api.step_up().acr_values(["a b"]),
        api.step_up().acr_values(["\""]),
        api.require("").max_age(Duration::ZERO),
        // A mistake is not mended by what is asked for besides.
        api.require("").acr_values(["mfa"]),
        api.require("a\"b").acr_values(["mfa"]).or("a"),
        api.require("a").acr_values(["a b"]).acr_values(["mfa"]),
        api.require("a").acr_values(Vec::<String>::new()),
    ] {
        for token in ["a", "mfa"] {
            let response = behind(&api, wrong.clone(), token).await;
            assert_eq!(
                response.status(),
                StatusCode::INTERNAL_SERVER_ERROR,
                "{wrong:?}"
            );
        }
    }
}

#[tokio::test]
async fn rfc9470_3_a_stronger_or_more_recent_authentication_is_asked_for() {
    let api = server(table());
    let minute = Duration::from_secs(60);
    for (layer, acr_values, max_age) in [
        (
            api.step_up().acr_values(["mfa", "phr"]),
            Some("mfa phr"),
            None,
        ),
        (api.step_up().max_age(minute), None, Some("60")),
        (
            api.require("a").acr_values(["mfa"]).max_age(minute),
            Some("mfa"),
            Some("60"),
        ),
    ] {
        let response = behind(&api, layer.clone(), "mfa").await;
        assert_eq!(response.status(), StatusCode::OK);
        for token in ["pwd", "a"] {
            let response = behind(&api, layer.clone(), token).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{token}");
            let error = param(&response, "error");
            assert_eq!(error.as_deref(), Some("insufficient_user_authentication"));
            assert_eq!(param(&response, "acr_values").as_deref(), acr_values);
            assert_eq!(param(&response, "max_age").as_deref(), max_age);
        }
    }
    // A scope that is missing comes first: signing in again would not help.
    let response = behind(&api, api.require("b").acr_values(["mfa"]), "pwd").await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(param(&response, "acr_values"), None);
    assert_eq!(
        behind(&api, api.step_up(), "none").await.status(),
        StatusCode::OK
    );
}

#[derive(Deserialize)]
struct Person {
    email: String,
}

struct NotesRead;

impl RequiredScope for NotesRead {
    const SCOPE: &'static str = "notes:read";
}

struct Nonsense;

impl RequiredScope for Nonsense {
    const SCOPE: &'static str = "a  \"b";
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn handlers_ask_for_claims_and_scopes_in_their_types() {
    let api = settings(table()).build().unwrap();
    let routes = Router::new()
        .route(
            "/email",
            routing::get(async |token: AccessToken<Person>| token.typed_claims().email.clone()),
        )
        .route(
            "/maybe",
            routing::get(async |token: Option<AccessToken<Person>>| {
                token.map_or("nobody".to_owned(), |token| {
                    token.typed_claims().email.clone()
                })
            }),
        )
        .route(
            "/scoped",
            routing::get(async |token: Scoped<NotesRead, Person>| {
                format!("{} {}", token.subject(), token.typed_claims().email)
            }),
        )
        .route(
            "/read",
            routing::get(async |token: Scoped<NotesRead>| token.into_token().subject().to_string()),
        )
        .route("/nonsense", routing::get(async |_: Scoped<Nonsense>| "in"));
    let send = async |layer: bool, path: &str, authorization: &[&str]| {
        let app = match layer {
            true => routes.clone().route_layer(api.layer().optional()),
            false => routes.clone(),
        };
        let mut request = get(authorization).map(Body::from);
        *request.uri_mut() = path.parse().unwrap();
        app.oneshot(request).await.unwrap()
    };
    for (path, said) in [
        ("/email", "ada@example.test"),
        ("/maybe", "ada@example.test"),
        ("/scoped", "ada ada@example.test"),
        ("/read", "ada"),
    ] {
        assert_eq!(text(send(true, path, &["Bearer typed"]).await).await, said);
        let response = send(false, path, &["Bearer typed"]).await;
        assert_eq!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{path}"
        );
    }
    assert_eq!(text(send(true, "/maybe", &[]).await).await, "nobody");
    for path in ["/email", "/scoped", "/read"] {
        let response = send(true, path, &[]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(param(&response, "error"), None);
    }
    // Claims of another type: the token is of no use here, and not taken for none.
    for path in ["/email", "/maybe"] {
        let response = send(true, path, &["Bearer a"]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(param(&response, "error").as_deref(), Some("invalid_token"));
    }
    for path in ["/scoped", "/read"] {
        let response = send(true, path, &["Bearer a"]).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(param(&response, "scope").as_deref(), Some("notes:read"));
    }
    let response = send(true, "/nonsense", &["Bearer a"]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_refusal_looks_as_the_host_wants_it_wherever_it_comes_from() {
    let api = settings(table())
        .refusal_body(RefusalBody::Problem)
        .build()
        .unwrap();
    let routes = Router::new()
        .route("/layer", routing::get(async || "in"))
        .route(
            "/require",
            routing::get(async || "in").route_layer(api.require("b")),
        )
        .route("/scoped", routing::get(async |_: Scoped<NotesRead>| "in"))
        .route("/typed", routing::get(async |_: AccessToken<Person>| "in"))
        .route_layer(api.layer());
    for (path, token) in [
        ("/layer", "unknown"),
        ("/require", "a"),
        ("/scoped", "a"),
        ("/typed", "a"),
    ] {
        let field = format!("Bearer {token}");
        let mut request = get(&[&field]).map(Body::from);
        *request.uri_mut() = path.parse().unwrap();
        let response = routes.clone().oneshot(request).await.unwrap();
        assert!(response.status().is_client_error(), "{path}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
    }
}
