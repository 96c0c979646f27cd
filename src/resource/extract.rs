//! [`AccessToken`] as an argument of axum handlers.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::future::for_method;
use super::layer::NoToken;
use super::{AccessToken, Refusal};
use crate::protocol::bearer::server_error;

/// The token that opened the door. Behind [`optional`](super::BearerLayer::optional), a request without one is answered 401; without
/// any [`BearerLayer`](super::BearerLayer) in front, every request is answered 500, and the log says why.
impl<S: Send + Sync> FromRequestParts<S> for AccessToken {
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AccessTokenRejection> {
        match found(parts)? {
            Ok(token) => Ok(token),
            Err(NoToken(server)) => {
                let response = Refusal::NoToken.to_response(&server.0.challenges);
                Err(AccessTokenRejection(
                    for_method(&parts.method, response).map(Body::from),
                ))
            }
        }
    }
}

/// The token, or `None` where [`optional`](super::BearerLayer::optional) let a request through without one. Without any
/// [`BearerLayer`](super::BearerLayer) in front, every request is answered 500: an open door is never taken for a request without a token.
impl<S: Send + Sync> OptionalFromRequestParts<S> for AccessToken {
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Option<Self>, AccessTokenRejection> {
        found(parts).map(Result::ok)
    }
}

fn found(parts: &Parts) -> Result<Result<AccessToken, NoToken>, AccessTokenRejection> {
    if let Some(token) = parts.extensions.get::<AccessToken>() {
        return Ok(Ok(token.clone()));
    }
    if let Some(none) = parts.extensions.get::<NoToken>() {
        return Ok(Err(none.clone()));
    }
    tracing::error!(
        "AccessToken: no bearer layer stands in front of this handler; the request is answered 500"
    );
    let response = for_method(&parts.method, server_error()).map(Body::from);
    Err(AccessTokenRejection(response))
}

/// Why a handler got no [`AccessToken`]: an answer, ready to be sent.
#[derive(Debug)]
pub struct AccessTokenRejection(Response);

impl IntoResponse for AccessTokenRejection {
    fn into_response(self) -> Response {
        self.0
    }
}
