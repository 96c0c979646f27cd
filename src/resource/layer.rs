//! The layer in front of the protected services.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::check::Check;
use super::count;
use super::future::{Parked, ResponseFuture, for_method};
use super::{AccessToken, Inner, Refusal, ResourceServer};
use crate::protocol::bearer::RawToken;
use crate::types::Body;

/// Lets a request through if it carries a good bearer token, and puts an [`AccessToken`] into its extensions.
///
/// | the request has | answer (RFC 6750 §3.1) |
/// |---|---|
/// | no token | 401, a challenge without an error code |
/// | malformed credentials, or two `Authorization` headers | 400 `invalid_request` |
/// | an unknown, expired, revoked token, or one for another resource | 401 `invalid_token` |
/// | a token that nobody can check at the moment | 503 with `Retry-After` |
///
/// A refused request never reaches the inner service. Where the layer wraps a whole application it also serves the resource's
/// metadata document (RFC 9728), which needs no token.
#[derive(Debug, Clone)]
#[must_use]
pub struct BearerLayer {
    server: ResourceServer,
    optional: bool,
    remove_token: bool,
}

impl BearerLayer {
    pub(crate) const fn new(server: ResourceServer) -> Self {
        Self {
            server,
            optional: false,
            remove_token: false,
        }
    }

    /// Lets requests *without* a token through as well. One with a wrong token is still refused. Default: a token is needed.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Takes the `Authorization` header from requests that are let through. Default: it stays, marked as sensitive.
    ///
    /// For gateways: a token that was meant for this resource must not travel on to another one.
    pub const fn remove_token(mut self) -> Self {
        self.remove_token = true;
        self
    }

    /// Prepares a request for the inner service.
    pub(crate) fn admit<B>(&self, request: &mut Request<B>, token: Option<AccessToken>) {
        match token {
            Some(token) => {
                let headers = request.headers_mut();
                if self.remove_token {
                    headers.remove(AUTHORIZATION);
                } else if let Some(field) = headers.get_mut(AUTHORIZATION) {
                    field.set_sensitive(true);
                }
                request.extensions_mut().insert(token);
            }
            None => {
                // What another layer found is no answer to what this one asks.
                request.extensions_mut().remove::<AccessToken>();
                request
                    .extensions_mut()
                    .insert(NoToken(Arc::clone(&self.server.inner)));
            }
        }
    }

    pub(crate) fn refuse<B>(&self, request: &Request<B>, refusal: Refusal) -> Response<Bytes> {
        let (challenges, body) = (
            &self.server.inner.challenges,
            &self.server.inner.refusal_body,
        );
        let response = refusal.to_response(challenges, body, request.headers());
        for_method(request.method(), response)
    }
}

/// In the extensions: an optional layer of this resource server was passed without a token.
#[derive(Clone)]
pub(crate) struct NoToken(pub(crate) Arc<Inner>);

impl<S> Layer<S> for BearerLayer {
    type Service = Bearer<S>;

    fn layer(&self, inner: S) -> Bearer<S> {
        Bearer {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind a [`BearerLayer`].
#[derive(Clone)]
pub struct Bearer<S> {
    inner: S,
    layer: BearerLayer,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Bearer<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<Body<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let server = &self.layer.server.inner;
        if server.place.is(request.uri()) {
            return ResponseFuture::ours(server.issuers.load().document.answer(&request));
        }
        let presented = match RawToken::from_headers(request.headers()) {
            Ok(Some(presented)) => match self.layer.server.known(presented.as_bytes()) {
                Some(Ok(token)) => {
                    self.layer.admit(&mut request, Some(token));
                    return ResponseFuture::forward(self.inner.call(request));
                }
                Some(Err(refusal)) => {
                    return ResponseFuture::ours(self.layer.refuse(&request, refusal));
                }
                None => presented.token().map(Some),
            },
            Ok(None) => Ok(None),
            Err(refusal) => Err(refusal),
        };
        let refusal = match presented {
            Ok(Some(token)) => match self.layer.server.check(token) {
                Check::Known(Ok(token)) => {
                    self.layer.admit(&mut request, Some(token));
                    return ResponseFuture::forward(self.inner.call(request));
                }
                Check::Known(Err(refusal)) => refusal,
                Check::Ask(verdict) => {
                    // The instance that was polled ready serves this request; its clone stays behind.
                    let clone = self.inner.clone();
                    let parked = Parked {
                        service: mem::replace(&mut self.inner, clone),
                        request,
                        layer: self.layer.clone(),
                    };
                    return ResponseFuture::wait(verdict, parked);
                }
            },
            Ok(None) if self.layer.optional => {
                self.layer.admit(&mut request, None);
                return ResponseFuture::forward(self.inner.call(request));
            }
            Ok(None) => {
                count::refusal(Refusal::NoToken);
                Refusal::NoToken
            }
            Err(refusal) => {
                count::refusal(refusal);
                tracing::debug!(reason = %refusal, "credentials refused");
                refusal
            }
        };
        ResponseFuture::ours(self.layer.refuse(&request, refusal))
    }
}

impl<S> fmt::Debug for Bearer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
