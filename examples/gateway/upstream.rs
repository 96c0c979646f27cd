//! The service behind the gateway, and the way there.

use std::error::Error as _;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tower_oauth::AccessToken;

use crate::Failure;
use crate::bodies::{Answer, Progress, Received, Sent};
use crate::gateway::say;
use crate::headers;

/// Connections that were not used for so long are not used again: many servers close theirs after five seconds.
const IDLE: Duration = Duration::from_secs(4);

#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Sent>,
    scheme: Scheme,
    authority: Authority,
    /// What stands before the path of each request: nothing, or `/base`.
    base: String,
    patience: Duration,
}

impl Upstream {
    /// The upstream at this URL, which may be silent for so long.
    pub(crate) fn new(url: &Uri, patience: Duration) -> Result<Self, Failure> {
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err("an upstream is an http or https URL".into());
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(patience.saturating_mul(2)));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(aws_lc_rs::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self {
            client,
            scheme: scheme.clone(),
            authority: authority.clone(),
            base: url.path().trim_end_matches('/').to_owned(),
            patience,
        })
    }

    /// Sends a request on, and its answer back. Whatever happens is an answer.
    pub(crate) async fn ask(self, request: Request<Incoming>) -> Response<Answer> {
        let progress = Arc::<Progress>::default();
        let Some(request) = self.request(request, &progress) else {
            return say(
                StatusCode::BAD_REQUEST,
                "the target of the request is no URL",
            );
        };
        let mut asked = self.client.request(request);
        let answered = loop {
            tokio::select! {
                answered = &mut asked => break answered,
                () = progress.moved.notified() => {}
                () = tokio::time::sleep(self.patience) => {
                    if progress.awaits_client.load(Ordering::Relaxed) {
                        return say(StatusCode::REQUEST_TIMEOUT, "the rest of the request did not come");
                    }
                    tracing::warn!("the upstream does not answer");
                    return say(StatusCode::GATEWAY_TIMEOUT, "the upstream does not answer");
                }
            }
        };
        match answered {
            Ok(response) if response.status().is_informational() => {
                tracing::warn!(status = %response.status(), "the upstream has answered what was not asked");
                say(StatusCode::BAD_GATEWAY, "the upstream is broken")
            }
            Ok(mut response) => {
                headers::end_hop(response.headers_mut());
                *response.version_mut() = Version::default();
                response.map(|body| Received::new(body, self.patience).boxed_unsync())
            }
            Err(_) if progress.is_broken.load(Ordering::Relaxed) => {
                say(StatusCode::BAD_REQUEST, "the body of the request is broken")
            }
            Err(error) => {
                let cause = iter::successors(error.source(), |&error| error.source()).last();
                tracing::warn!(%error, cause = cause.map(tracing::field::display), "the upstream could not be asked");
                say(StatusCode::BAD_GATEWAY, "the upstream is down or broken")
            }
        }
    }

    /// The request as the upstream gets it: with the identity of whoever asks, and without the token.
    fn request(
        &self,
        mut request: Request<Incoming>,
        progress: &Arc<Progress>,
    ) -> Option<Request<Sent>> {
        let token = request.extensions_mut().remove::<AccessToken>();
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(AUTHORIZATION); // of another scheme, on its way to a public path
        if let Some(token) = token {
            headers::say_who(&mut parts.headers, &token);
        }
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        parts.uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{target}", self.base))
            .build()
            .ok()?;
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let progress = Arc::clone(progress);
        Some(Request::from_parts(parts, Sent { body, progress }))
    }
}
