//! Scopes that a route asks for (RFC 6750 §3.1 `insufficient_scope`).

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::count;
use super::future::{ResponseFuture, for_method};
use super::layer::NoToken;
use super::{AccessToken, Refusal, ResourceServer};
use crate::protocol::bearer::{Challenges, server_error};
use crate::types::{Body, Scope};

/// Lets a request through if its token has certain scopes; made by [`ResourceServer::require`].
///
/// It belongs inside of the [`BearerLayer`](super::BearerLayer) of the same resource server; of several such layers the nearest one
/// counts. Without the scope a request is answered 403 `insufficient_scope`, and where
/// [`optional`](super::BearerLayer::optional) let it through without a token 401. Where no such layer was passed at all, it is
/// answered 500: a mistake of the program, which the log explains, and never a pass.
#[derive(Debug, Clone)]
#[must_use]
pub struct RequireScopeLayer {
    server: ResourceServer,
    /// `None`: what was asked for is no scope.
    required: Option<Arc<Required>>,
}

#[derive(Debug)]
struct Required {
    scope: Scope,
    challenges: Challenges,
}

impl RequireScopeLayer {
    pub(crate) fn new(server: ResourceServer, text: &str) -> Self {
        let required = text
            .parse()
            .ok()
            .filter(|scope: &Scope| !scope.is_empty())
            .and_then(|scope| {
                let (realm, metadata_url) = (server.0.realm.as_deref(), &server.0.metadata_url);
                let challenges = Challenges::new(realm, &scope, metadata_url).ok()?;
                Some(Arc::new(Required { scope, challenges }))
            });
        if required.is_none() {
            tracing::error!(resource = %server.resource(), scope = ?text, "require: not a scope; every request here is answered 500");
        }
        Self { server, required }
    }
}

impl<S> Layer<S> for RequireScopeLayer {
    type Service = RequireScope<S>;

    fn layer(&self, inner: S) -> RequireScope<S> {
        RequireScope {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind a [`RequireScopeLayer`].
#[derive(Clone)]
pub struct RequireScope<S> {
    inner: S,
    layer: RequireScopeLayer,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireScope<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<Body<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let RequireScopeLayer { server, required } = &self.layer;
        let Some(required) = required else {
            tracing::error!(resource = %server.resource(), "require: not a scope; the request is answered 500");
            return ResponseFuture::ours(for_method(request.method(), server_error()));
        };
        let extensions = request.extensions();
        let token = extensions
            .get::<AccessToken>()
            .filter(|token| token.was_checked_by(server));
        let refusal = match (token, extensions.get::<NoToken>()) {
            (Some(token), _) => {
                let mut scopes = required.scope.iter();
                if scopes.all(|scope| token.has_scope(scope.as_str())) {
                    return ResponseFuture::forward(self.inner.call(request));
                }
                tracing::debug!(error = "insufficient_scope", scope = %required.scope, "request refused");
                count::refusal(Refusal::InsufficientScope);
                Refusal::InsufficientScope
            }
            (None, Some(NoToken(by))) if by.is(server) => Refusal::NoToken,
            (None, _) => {
                tracing::error!(
                    resource = %server.resource(),
                    "require: no layer of this resource server stands in front; the request is answered 500"
                );
                return ResponseFuture::ours(for_method(request.method(), server_error()));
            }
        };
        let response = refusal.to_response(&required.challenges);
        ResponseFuture::ours(for_method(request.method(), response))
    }
}

impl<S> fmt::Debug for RequireScope<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScope")
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
