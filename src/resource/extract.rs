//! [`AccessToken`] as an argument of axum handlers.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::layer::NoToken;
use super::{AccessToken, Refusal, ResourceServer};
use crate::protocol::bearer::server_error;

/// The token that opened the door. Behind [`optional`](super::BearerLayer::optional), a request without one is answered 401; without
/// any [`BearerLayer`](super::BearerLayer) in front, every request is answered 500, and the log says why.
impl<S: Send + Sync> FromRequestParts<S> for AccessToken {
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AccessTokenRejection> {
        if let Some(token) = parts.extensions.get::<Self>() {
            return Ok(token.clone());
        }
        let passed = parts.extensions.get::<NoToken>();
        Err(AccessTokenRejection(passed.map(|NoToken(by)| by.clone())))
    }
}

/// The token, or `None` where [`optional`](super::BearerLayer::optional) let a request through without one. Without any
/// [`BearerLayer`](super::BearerLayer) in front, every request is answered 500: an open door is never taken for a request without a
/// token.
impl<S: Send + Sync> OptionalFromRequestParts<S> for AccessToken {
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Option<Self>, AccessTokenRejection> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(token) => Ok(Some(token)),
            Err(AccessTokenRejection(Some(_))) => Ok(None),
            Err(no_layer) => Err(no_layer),
        }
    }
}

/// Why a handler got no [`AccessToken`]: there was no token, or nobody looked for one.
#[derive(Debug)]
pub struct AccessTokenRejection(Option<ResourceServer>);

impl IntoResponse for AccessTokenRejection {
    fn into_response(self) -> Response {
        let response = if let Some(server) = self.0 {
            Refusal::NoToken.to_response(&server.0.challenges)
        } else {
            tracing::error!(
                "AccessToken: no bearer layer stands in front of this handler; the request is answered 500"
            );
            server_error()
        };
        response.map(Body::from)
    }
}
