//! Tower: the only place that knows HTTP bodies and inner services.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, Ready, poll_fn, ready};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::authorization_response::page_error;
use super::cors::Cors;
use super::self_check::Probe;
use super::{Answer, AuthorizationServer, Endpoint, PendingRequest, Route, interaction_json};
use crate::protocol::error::OAuthError;
use crate::types::Body;

/// The most that is read of a form; of the JSON of a registration it is four times as much.
const FORM: usize = 16 * 1024;

/// Makes [`Endpoints`]: from [`AuthorizationServer::layer`].
#[derive(Debug, Clone)]
pub struct EndpointsLayer(AuthorizationServer);

impl EndpointsLayer {
    pub(crate) const fn new(server: AuthorizationServer) -> Self {
        Self(server)
    }
}

impl<S> Layer<S> for EndpointsLayer {
    type Service = Endpoints<S>;

    fn layer(&self, inner: S) -> Endpoints<S> {
        Endpoints::new(inner, self.0.clone())
    }
}

/// Answers the endpoints of a server and passes everything else to the inner service, untouched and unboxed.
#[derive(Debug, Clone)]
pub struct Endpoints<S> {
    inner: S,
    server: AuthorizationServer,
    /// Below a router: what it has left of our paths.
    nested: Option<Arc<HashMap<String, Route>>>,
}

impl<S> Endpoints<S> {
    pub(crate) const fn new(inner: S, server: AuthorizationServer) -> Self {
        Self {
            inner,
            server,
            nested: None,
        }
    }

    /// Says which prefix a router has taken away from the paths before they come here: `/auth` for a service below
    /// `nest_service("/auth", …)`.
    #[must_use]
    pub fn nested_at(mut self, prefix: impl AsRef<str>) -> Self {
        let prefix = prefix.as_ref();
        let left = |path: &str| {
            let left = path.strip_prefix(prefix.trim_end_matches('/'))?;
            match left {
                "" => Some("/".to_owned()),
                left => left.starts_with('/').then(|| left.to_owned()),
            }
        };
        let ours = self.server.0.routes.iter();
        let nested: HashMap<_, _> = ours
            .filter_map(|(path, route)| Some((left(path)?, *route)))
            .collect();
        if nested.is_empty() {
            tracing::error!(%prefix, "nested_at: none of the server's paths is below this prefix");
        }
        self.nested = Some(Arc::new(nested));
        self
    }

    /// What stands at a path; one look-up, and nothing else is done for traffic that is not ours.
    fn route(&self, path: &str) -> Option<Route> {
        let routes = self.nested.as_deref();
        routes.unwrap_or(&self.server.0.routes).get(path).copied()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Endpoints<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    ResBody: 'static,
    ReqBody: http_body::Body + Send + 'static,
    ReqBody::Data: Send,
{
    type Response = Response<Body<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Response<Body<ResBody>>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let Some(route) = self.route(request.uri().path()) else {
            return ResponseFuture::pass(self.inner.call(request));
        };
        // The instance polled ready must serve what is forwarded; its clone stays behind.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        ResponseFuture::ours(Box::pin(serve(self.server.clone(), route, inner, request)))
    }
}

/// Not an `async fn`: that would keep the request once as it came and once as it is used.
fn serve<S, ReqBody, ResBody>(
    server: AuthorizationServer,
    route: Route,
    mut inner: S,
    request: Request<ReqBody>,
) -> impl Future<Output = Result<Response<Body<ResBody>>, S::Error>>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ReqBody: http_body::Body,
{
    let (parts, body) = request.into_parts();
    let mut request = Request::from_parts(parts, Bytes::new());
    let mut body = Some(body);
    let is_head = request.method() == Method::HEAD;
    async move {
        let probe = Probe::of(&request, &server);
        let cors = Cors::of(route, &server.0.config);
        if let Some(preflight) = cors.and_then(|cors| cors.preflight(&request)) {
            if let Some(probe) = probe {
                probe.reached(route, &request, &preflight);
            }
            return Ok(preflight.map(Body::ours));
        }
        // A GET's body is never read: it goes on to the inner service as it came.
        let sent = body.take_if(|_| request.method() == Method::POST);
        let read = match sent {
            // Of two media types the body would have one here and perhaps the other elsewhere.
            Some(_) if request.headers().get_all(CONTENT_TYPE).iter().count() > 1 => {
                Err(OAuthError::invalid_request("Content-Type is repeated"))
            }
            Some(sent) => collect(sent, limit(route)).await,
            None => Ok(Bytes::new()),
        };
        let read = read.map(|bytes| *request.body_mut() = bytes);
        if is_head && route.is_for_people() {
            // RFC 9110 §9.1: MUST. A page is asked for as by GET, and its body is left out at the end.
            *request.method_mut() = Method::GET;
        }
        let answering = async {
            match read {
                Ok(()) => server.0.answer(route, &request).await,
                Err(error) if route.is_for_people() && !is_program(&request) => {
                    page_error(&error).into()
                }
                Err(error) => error.into(),
            }
        };
        let answering = Box::pin(answering);
        let answer = server
            .0
            .observe(route.name(), probe.is_some(), answering)
            .await;
        let mut response = match (answer, body) {
            (Answer::Respond(mut response), _) => {
                let pages = &server.0.config.pages;
                pages.finish(request.headers(), &mut response);
                if route.is_for_people() {
                    // Programs of the host's are answered in JSON there (RFC 9110 §12.5.5).
                    let accept = HeaderValue::from_static("accept");
                    response.headers_mut().append(VARY, accept);
                }
                response
            }
            (Answer::Forward(pending), Some(body)) => {
                let mut request = request.map(|_| body);
                if is_head {
                    *request.method_mut() = Method::HEAD;
                }
                request.extensions_mut().insert(*pending);
                return inner
                    .call(request)
                    .await
                    .map(|response| response.map(Body::inner));
            }
            // Endpoints forward a GET only; a POST is sent to the GET first.
            (Answer::Forward(_), None) => {
                let error = OAuthError::unavailable("a request without a body was to be forwarded");
                error.log();
                error.to_response()
            }
        };
        if let Some(cors) = cors {
            cors.allow(request.headers(), response.headers_mut());
        }
        if let Some(probe) = probe {
            probe.reached(route, &request, &response);
        }
        if is_head {
            // RFC 9110 §9.3.2: the header that a GET would have got. Some answers have left their body out themselves.
            let length = response.body().len();
            if length > 0 {
                let length = HeaderValue::from(length);
                response.headers_mut().insert(CONTENT_LENGTH, length);
            }
            return Ok(response.map(|_| Body::default()));
        }
        Ok(response.map(Body::ours))
    }
}

/// Whether it is a program that would be answered in JSON.
fn is_program(request: &Request<Bytes>) -> bool {
    let headers = request.headers();
    interaction_json::is_sent(headers) || interaction_json::is_wanted(headers)
}

const fn limit(route: Route) -> usize {
    if matches!(route, Route::Endpoint(Endpoint::Register)) {
        4 * FORM
    } else {
        FORM
    }
}

/// Reads a body up to a limit, and not a byte of one that says it is longer.
async fn collect(body: impl http_body::Body, limit: usize) -> Result<Bytes, OAuthError> {
    let mut body = pin!(body);
    if body.size_hint().lower() > limit as u64 {
        return Err(OAuthError::too_large());
    }
    let mut whole = Bytes::new();
    let mut pieces = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame =
            frame.map_err(|_| OAuthError::invalid_request("The request body could not be read"))?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if whole.len() + pieces.len() + data.remaining() > limit {
            return Err(OAuthError::too_large());
        }
        // Most bodies come in one piece, which is taken as it is.
        let piece = data.copy_to_bytes(data.remaining());
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
        } else {
            pieces.extend_from_slice(&mem::take(&mut whole));
            pieces.extend_from_slice(&piece);
        }
    }
    Ok(if pieces.is_empty() {
        whole
    } else {
        pieces.freeze()
    })
}

pin_project! {
    /// The future of [`Endpoints`]: the inner service's own, or an answer of ours.
    pub struct ResponseFuture<F, T, E> {
        #[pin]
        way: Way<F, T, E>,
    }
}

pin_project! {
    #[project = WayProjection]
    enum Way<F, T, E> {
        Pass { #[pin] future: F },
        Ours { future: Pin<Box<dyn Future<Output = Result<T, E>> + Send>> },
    }
}

impl<F, T, E> ResponseFuture<F, T, E> {
    const fn pass(future: F) -> Self {
        Self {
            way: Way::Pass { future },
        }
    }

    const fn ours(future: Pin<Box<dyn Future<Output = Result<T, E>> + Send>>) -> Self {
        Self {
            way: Way::Ours { future },
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F, Response<Body<B>>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Body<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().way.project() {
            WayProjection::Pass { future } => {
                future.poll(cx).map_ok(|response| response.map(Body::inner))
            }
            WayProjection::Ours { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, T, E> std::fmt::Debug for ResponseFuture<F, T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The inner service of [`AuthorizationServer::service`]: everything is 404. What the host wanted forwarded to it is a logged 500,
/// for there is nobody to render it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct NotFound;

impl<B> Service<Request<B>> for NotFound {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        if request.extensions().get::<PendingRequest>().is_some() {
            tracing::error!(
                "a pending request was forwarded, but the service has no inner service: use the layer"
            );
            // No page of ours: nobody here knows the host's look and language.
            let text = "The page that belongs here is missing. Tell whoever runs this site.";
            response = Response::new(Body::from(text));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, plain);
        }
        ready(Ok(response))
    }
}
