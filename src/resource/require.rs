//! What a route asks for on top of a good token: scopes (RFC 6750 §3.1 `insufficient_scope`), and how and when its owner has signed in
//! (RFC 9470 `insufficient_user_authentication`).

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::future::{ResponseFuture, for_method};
use super::layer::NoToken;
use super::{AccessToken, Refusal, ResourceServer, count, step_up};
use crate::protocol::refusal::{Challenges, Needs, server_error};
use crate::types::{Body, Scope};

/// Lets a request through if its token has certain scopes, and its owner has signed in as the route asks; made by
/// [`ResourceServer::require`] and [`ResourceServer::step_up`].
///
/// It belongs inside of the [`BearerLayer`](super::BearerLayer) of the same resource server; of several such layers the nearest one
/// counts. Without the scope a request is answered 403 `insufficient_scope`, without the authentication 401
/// `insufficient_user_authentication`, and where [`optional`](super::BearerLayer::optional) let it through without a token 401. Where no
/// such layer was passed at all, it is answered 500: a mistake of the program, which the log explains, and never a pass.
#[derive(Debug, Clone)]
#[must_use]
pub struct RequireLayer {
    server: ResourceServer,
    demands: Demands,
    /// What was asked for makes no sense, and whatever is asked for besides makes no sense of it.
    is_mistake: bool,
    challenges: Option<Arc<Challenges>>,
}

#[derive(Debug, Clone, Default)]
struct Demands {
    /// One of these is enough; of each, all. None: no scope is asked for.
    scopes: Vec<Scope>,
    acr_values: Arc<[String]>,
    max_age: Option<Duration>,
}

impl RequireLayer {
    pub(crate) fn scope(server: ResourceServer, text: &str) -> Self {
        let nothing = Self {
            server,
            demands: Demands::default(),
            is_mistake: false,
            challenges: None,
        };
        nothing.with_scope(text)
    }

    pub(crate) fn step_up(server: ResourceServer) -> Self {
        let nothing = Self {
            server,
            demands: Demands::default(),
            is_mistake: false,
            challenges: None,
        };
        nothing.with_challenges()
    }

    /// Is content with this scope as well, or with all of several with spaces between: `require("notes:read").or("admin")`.
    ///
    /// Clients are told of the scope that was named first.
    pub fn or(self, scope: &str) -> Self {
        self.with_scope(scope)
    }

    /// Asks for an authentication of one of these classes (`acr`, RFC 9470 §3): the token's `acr` must be one of them.
    ///
    /// An `acr` is a text without spaces, quotes and backslashes; another one, or none at all, is a mistake of the program, and every request is answered 500.
    pub fn acr_values(mut self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.demands.acr_values = values.into_iter().map(Into::into).collect();
        let is_one_word = |value: &String| {
            value
                .parse::<Scope>()
                .is_ok_and(|words| words.iter().count() == 1)
        };
        let values = &self.demands.acr_values;
        if values.is_empty() || !values.iter().all(is_one_word) {
            tracing::error!(resource = %self.server.resource(), "acr_values: none, or not all are values; every request here is answered 500");
            return self.mistaken();
        }
        self.with_challenges()
    }

    /// Asks for an authentication that is no older than this (`max_age`, RFC 9470 §3), in whole seconds, by the token's `auth_time`.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.demands.max_age = Some(age);
        self.with_challenges()
    }

    fn with_scope(mut self, text: &str) -> Self {
        let scope = text.parse().ok().filter(|scope: &Scope| !scope.is_empty());
        let Some(scope) = scope else {
            tracing::error!(resource = %self.server.resource(), scope = ?text, "require: not a scope; every request here is answered 500");
            return self.mistaken();
        };
        self.demands.scopes.push(scope);
        self.with_challenges()
    }

    fn mistaken(mut self) -> Self {
        self.is_mistake = true;
        self.challenges = None;
        self
    }

    fn with_challenges(mut self) -> Self {
        if self.is_mistake {
            return self;
        }
        let server = &self.server.inner;
        let needs = Needs {
            scope: self.demands.scopes.first().cloned().unwrap_or_default(),
            acr_values: &self.demands.acr_values,
            max_age: self.demands.max_age,
        };
        let challenges = Challenges::new(server.realm.as_deref(), &needs, &server.metadata_url);
        self.challenges = challenges.ok().map(Arc::new);
        self
    }

    /// Whether the token is enough for this route.
    fn check(&self, token: &AccessToken) -> Result<(), Refusal> {
        let Demands {
            scopes,
            acr_values,
            max_age,
        } = &self.demands;
        let has_all = |scope: &Scope| scope.iter().all(|scope| token.has_scope(scope.as_str()));
        if !scopes.is_empty() && !scopes.iter().any(has_all) {
            return Err(Refusal::InsufficientScope);
        }
        if acr_values.is_empty() && max_age.is_none() {
            return Ok(());
        }
        let now = self.server.inner.clock.now();
        step_up::check(token.claims(), acr_values, *max_age, now)
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = Require<S>;

    fn layer(&self, inner: S) -> Require<S> {
        Require {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind a [`RequireLayer`].
#[derive(Clone)]
pub struct Require<S> {
    inner: S,
    layer: RequireLayer,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Require<S>
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
        let server = &self.layer.server;
        let Some(challenges) = &self.layer.challenges else {
            tracing::error!(resource = %server.resource(), "require: what is asked for makes no sense; the request is answered 500");
            return ResponseFuture::ours(for_method(request.method(), server_error()));
        };
        let extensions = request.extensions();
        let token = extensions
            .get::<AccessToken>()
            .filter(|token| token.was_checked_by(server));
        let had_no_token = || {
            let by = extensions.get::<NoToken>();
            by.is_some_and(|NoToken(by)| Arc::ptr_eq(by, &server.inner))
        };
        let refusal = match token {
            Some(token) => match self.layer.check(token) {
                Ok(()) => return ResponseFuture::forward(self.inner.call(request)),
                Err(refusal) => {
                    tracing::debug!(error = refusal.error(), demands = ?self.layer.demands, "request refused");
                    count::refusal(refusal);
                    refusal
                }
            },
            None if had_no_token() => Refusal::NoToken,
            None => {
                tracing::error!(
                    resource = %server.resource(),
                    "require: no layer of this resource server stands in front; the request is answered 500"
                );
                return ResponseFuture::ours(for_method(request.method(), server_error()));
            }
        };
        let body = &server.inner.refusal_body;
        let response = refusal.to_response(challenges, body, request.headers());
        ResponseFuture::ours(for_method(request.method(), response))
    }
}

impl<S> fmt::Debug for Require<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require")
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
