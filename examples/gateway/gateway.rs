//! Who may pass: each request is judged by its method, its target and its token, in this order, before the upstream hears of it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_oauth::{ResourceServer, types};

use crate::bodies::Answer;
use crate::headers;
use crate::paths::{Path, Public, spelled};
use crate::upstream::Upstream;

/// Where the metadata of a resource without a path stands (RFC 9728 §3); that of one with a path is found here as well.
const METADATA: &str = "/.well-known/oauth-protected-resource";

type Service = BoxCloneSyncService<Request<Incoming>, Response<Answer>, Infallible>;

#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    api: ResourceServer,
    public: Arc<[Public]>,
    /// Lets requests with a good token pass, and those without any.
    open: Service,
    /// Lets requests with a good token pass that has all scopes.
    guarded: Service,
}

impl Gateway {
    /// A gateway that asks for tokens with all of this scope, but for some paths.
    pub(crate) fn new(
        api: ResourceServer,
        scope: &str,
        public: Vec<Public>,
        upstream: Upstream,
    ) -> Self {
        let ask = tower::service_fn(move |request| {
            let answered = upstream.clone().ask(request);
            async { Ok::<_, Infallible>(answered.await) }
        });
        let layer = api.layer().remove_token();
        let open = ServiceBuilder::new()
            .map_response(boxed)
            .layer(layer.clone().optional())
            .service(ask.clone());
        let guarded = ServiceBuilder::new().map_response(boxed).layer(layer);
        let guarded = if scope.is_empty() {
            BoxCloneSyncService::new(guarded.service(ask))
        } else {
            let guarded = guarded.map_response(boxed).layer(api.require(scope));
            BoxCloneSyncService::new(guarded.service(ask))
        };
        Self {
            open: BoxCloneSyncService::new(open),
            guarded,
            public: public.into(),
            api,
        }
    }

    /// The answer to one request, which came from there.
    pub(crate) async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
    ) -> Response<Answer> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return say(StatusCode::NOT_IMPLEMENTED, "this gateway does not do that");
        }
        let codings = request.headers().get_all(TRANSFER_ENCODING).iter();
        if codings.count() > 1
            || request
                .headers()
                .get(TRANSFER_ENCODING)
                .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            // RFC 9112 §6.1: what is not understood is not sent on as if it were.
            return say(
                StatusCode::NOT_IMPLEMENTED,
                "chunked is the one transfer coding",
            );
        }
        let Ok(host) = host(&request) else {
            return say(StatusCode::BAD_REQUEST, "one host is to be named");
        };
        let path = Path::judge(request.uri().path());
        if path == Path::Refused {
            return say(StatusCode::BAD_REQUEST, "that is no path");
        }
        let path_as_it_is = request.uri().path();
        if path_as_it_is == METADATA || path_as_it_is == self.api.metadata_path() {
            return match self.api.metadata_service().oneshot(request).await {
                Ok(document) => {
                    document.map(|body| body.map_err(|never| match never {}).boxed_unsync())
                }
            };
        }
        let fields = request.headers_mut();
        headers::end_hop(fields);
        headers::remove_claims(fields);
        headers::say_where_from(fields, peer, host.as_ref().map(Authority::as_str));
        let service = match path {
            Path::Plain(segments) if self.public.iter().any(|public| public.has(&segments)) => {
                if let Some(target) = target(&segments, request.uri()) {
                    *request.uri_mut() = target;
                    self.open.clone()
                } else {
                    self.guarded.clone()
                }
            }
            _ => self.guarded.clone(),
        };
        match service.oneshot(request).await {
            Ok(response) => response,
        }
    }
}

/// The host that the request is for (RFC 9112 §3.2, §3.3): of its target, or else of the one `Host`. Only HTTP/1.0 knows none.
fn host(request: &Request<Incoming>) -> Result<Option<Authority>, ()> {
    let mut fields = request.headers().get_all(HOST).iter();
    let (field, further) = (fields.next(), fields.next());
    if further.is_some() || (field.is_none() && request.version() != Version::HTTP_10) {
        return Err(());
    }
    let named = field.map(|field| Authority::try_from(field.as_bytes()));
    let named = named.transpose().map_err(drop)?;
    let host = request.uri().authority().cloned().or(named);
    match host {
        Some(host) if host.as_str().contains('@') => Err(()),
        host => Ok(host),
    }
}

/// A public path in its one plain spelling, and the query as it came.
fn target(segments: &[String], as_it_came: &Uri) -> Option<Uri> {
    let mut target = spelled(segments);
    if let Some(query) = as_it_came.query() {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::try_from(target).ok().map(Uri::from)
}

/// An answer of the gateway's own.
pub(crate) fn say(status: StatusCode, text: &'static str) -> Response<Answer> {
    let body = Full::new(Bytes::from(format!("{text}\n")));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

fn boxed(response: Response<types::Body<Answer>>) -> Response<Answer> {
    response.map(http_body_util::BodyExt::boxed_unsync)
}
