//! [`AccessToken`] as an argument of axum handlers, and the scopes a handler asks for in its type.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::access_token::Untyped;
use super::layer::NoToken;
use super::{AccessToken, Inner, Refusal, count};
use crate::protocol::refusal::{Challenges, Needs, server_error};

/// The token that opened the door; `AccessToken<MyClaims>` with the further claims it carries. Behind
/// [`optional`](super::BearerLayer::optional), a request without one is answered 401, and so is one whose claims are not `MyClaims`; without
/// any [`BearerLayer`](super::BearerLayer) in front, every request is answered 500, and the log says why.
impl<S: Send + Sync, C: DeserializeOwned + Send> FromRequestParts<S> for AccessToken<C> {
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AccessTokenRejection> {
        let token = token(parts)?;
        token.typed().map_err(|_| {
            tracing::debug!(
                error = "invalid_token",
                reason = "its claims are not those of the handler",
                "token refused"
            );
            refuse(token.checked_by(), Refusal::InvalidToken, parts)
        })
    }
}

/// The token, or `None` where [`optional`](super::BearerLayer::optional) let a request through without one. Without any
/// [`BearerLayer`](super::BearerLayer) in front, every request is answered 500: an open door is never taken for a request without a
/// token.
impl<S: Send + Sync, C: DeserializeOwned + Send> OptionalFromRequestParts<S> for AccessToken<C> {
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Option<Self>, AccessTokenRejection> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(token) => Ok(Some(token)),
            Err(rejection) if rejection.refusal == Some(Refusal::NoToken) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

/// A scope that handlers ask for in their type: all of several, with spaces between.
///
/// ```
/// use tower_oauth::resource::{RequiredScope, Scoped};
///
/// struct NotesRead;
/// impl RequiredScope for NotesRead {
///     const SCOPE: &'static str = "notes:read";
/// }
///
/// async fn notes(token: Scoped<NotesRead>) -> String {
///     format!("the notes of {}", token.subject())
/// }
/// # let _ = notes;
/// ```
pub trait RequiredScope: Send + Sync + 'static {
    /// The scope, in the form of RFC 6749 §3.3.
    const SCOPE: &'static str;
}

/// A token that has the scope `R`, as an argument of axum handlers. Another token is answered 403 `insufficient_scope`.
pub struct Scoped<R, C = Untyped> {
    token: AccessToken<C>,
    required: PhantomData<R>,
}

impl<R, C> Scoped<R, C> {
    /// The token.
    #[must_use]
    pub fn into_token(self) -> AccessToken<C> {
        self.token
    }
}

impl<R, C> Deref for Scoped<R, C> {
    type Target = AccessToken<C>;

    fn deref(&self) -> &AccessToken<C> {
        &self.token
    }
}

impl<R, C> fmt::Debug for Scoped<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scoped").field(&self.token).finish()
    }
}

impl<S, R, C> FromRequestParts<S> for Scoped<R, C>
where
    S: Send + Sync,
    R: RequiredScope,
    C: DeserializeOwned + Send,
{
    type Rejection = AccessTokenRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Self, AccessTokenRejection> {
        let mut scopes = R::SCOPE.split(' ');
        let token = token(parts)?;
        if !scopes.all(|scope| token.has_scope(scope)) {
            tracing::debug!(
                error = "insufficient_scope",
                scope = R::SCOPE,
                "request refused"
            );
            let server = token.checked_by();
            let needs = R::SCOPE.parse().ok().map(|scope| Needs {
                scope,
                ..Needs::default()
            });
            let challenges = needs.and_then(|needs| {
                Challenges::new(server.realm.as_deref(), &needs, &server.metadata_url).ok()
            });
            let Some(challenges) = challenges else {
                tracing::error!(
                    scope = R::SCOPE,
                    "Scoped: not a scope; the request is answered 500"
                );
                return Err(AccessTokenRejection::mistake());
            };
            let refusal = Refusal::InsufficientScope;
            count::refusal(refusal);
            return Err(AccessTokenRejection {
                refusal: Some(refusal),
                response: Box::new(refusal.to_response(
                    &challenges,
                    &server.refusal_body,
                    &parts.headers,
                )),
            });
        }
        let token =
            <AccessToken<C> as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(Self {
            token,
            required: PhantomData,
        })
    }
}

fn token(parts: &Parts) -> Result<&AccessToken, AccessTokenRejection> {
    if let Some(token) = parts.extensions.get::<AccessToken>() {
        return Ok(token);
    }
    Err(match parts.extensions.get::<NoToken>() {
        Some(NoToken(by)) => refuse(by, Refusal::NoToken, parts),
        None => {
            tracing::error!(
                "AccessToken: no bearer layer stands in front of this handler; the request is answered 500"
            );
            AccessTokenRejection::mistake()
        }
    })
}

fn refuse(server: &Inner, refusal: Refusal, parts: &Parts) -> AccessTokenRejection {
    let (challenges, body) = (&server.challenges, &server.refusal_body);
    AccessTokenRejection {
        refusal: Some(refusal),
        response: Box::new(refusal.to_response(challenges, body, &parts.headers)),
    }
}

/// Why a handler got no [`AccessToken`]: there was no token, or not one that it takes, or nobody looked for one.
#[derive(Debug)]
pub struct AccessTokenRejection {
    refusal: Option<Refusal>,
    response: Box<http::Response<Bytes>>,
}

impl AccessTokenRejection {
    fn mistake() -> Self {
        Self {
            refusal: None,
            response: Box::new(server_error()),
        }
    }
}

impl IntoResponse for AccessTokenRejection {
    fn into_response(self) -> Response {
        (*self.response).map(Body::from)
    }
}
