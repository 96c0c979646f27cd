//! Whether the host's finished service lets the endpoints work: it is sent one harmless request after the other.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower_service::Service;

use super::self_check_requests::checks;
use super::{AuthorizationServer, Endpoint, Route};
use crate::types::Body;

/// What a service makes of requests to the endpoints is not what it should be, from [`AuthorizationServer::self_check`]. Prints one line
/// for each finding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.findings))]
#[non_exhaustive]
pub struct SelfCheckError {
    /// What was found, in the order in which it was.
    pub findings: Vec<Finding>,
}

/// One request that did not fare as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Its method and path.
    pub request: String,
    /// What was wrong, in a sentence.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.request, self.problem)
    }
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
    lines.join("\n")
}

impl AuthorizationServer {
    /// Drives the host's finished service through every path of this server, and says what does not work: a layer that is mounted where it
    /// cannot see its paths, something outside of it that answers first, takes bodies or headers away, or changes answers, a login page
    /// or a consent page of the host's that is not there. For a test of the host's, or its start.
    ///
    /// The requests are harmless: nobody is signed in, no client is named, nothing is kept, counted or told (but that keys that sign
    /// tokens were made, if there were none yet). What lies behind the endpoints is not asked: neither the host's login nor its policy.
    ///
    /// A service that takes another body than [`Body`] is wrapped, for example with
    /// `tower::util::MapRequest::new(app, |request: Request<_>| request.map(axum::body::Body::new))`.
    ///
    /// # Errors
    /// [`SelfCheckError`] with all that was found.
    pub async fn self_check<S, B>(&self, mounted: &S) -> Result<(), SelfCheckError>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync,
        S::Future: Send,
        S::Error: Send,
        B: http_body::Body + Send,
        B::Data: Send,
        B::Error: Send,
    {
        let mut findings = Vec::new();
        for check in checks(&self.0.config) {
            let request = format!("{} {}", check.method, check.path);
            let probe = Probe {
                server: self.clone(),
                reached: Arc::default(),
            };
            let answer = tokio::select! {
                answer = send(mounted.clone(), check.request(probe.clone())) => answer,
                () = self.0.sleep(PATIENCE) => Err("was not answered within ten seconds".to_owned()),
            };
            let reached = probe.reached.lock();
            let reached = reached.unwrap_or_else(PoisonError::into_inner).take();
            let problem = answer.and_then(|answer| check.judge(reached, &answer));
            if let Err(problem) = problem {
                findings.push(Finding { request, problem });
            }
        }
        if findings.is_empty() {
            Ok(())
        } else {
            Err(SelfCheckError { findings })
        }
    }
}

/// How long a service may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Goes with a request through the host's service, and is told what became of it. No request from outside can carry one.
#[derive(Clone)]
pub(crate) struct Probe {
    server: AuthorizationServer,
    reached: Arc<Mutex<Option<Reached>>>,
}

/// What arrived at an endpoint, and what it answered.
struct Reached {
    route: Route,
    query: Option<String>,
    headers: HeaderMap,
    body: Bytes,
    answer: Parts,
}

/// An answer.
#[derive(Clone)]
struct Parts {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Probe {
    /// Of a request that is one of ours, sent by this very server.
    pub(crate) fn of<T>(request: &Request<T>, server: &AuthorizationServer) -> Option<Self> {
        let probe = request.extensions().get::<Self>();
        probe
            .filter(|probe| Arc::ptr_eq(&probe.server.0, &server.0))
            .cloned()
    }

    pub(crate) fn reached(&self, route: Route, request: &Request<Bytes>, answer: &Response<Bytes>) {
        let reached = Reached {
            route,
            query: request.uri().query().map(ToOwned::to_owned),
            headers: request.headers().clone(),
            body: request.body().clone(),
            answer: Parts {
                status: answer.status(),
                headers: answer.headers().clone(),
                body: answer.body().clone(),
            },
        };
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(reached);
    }
}

/// A request, and what should come of it.
pub(crate) struct Check {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: &'static str,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) expected: Expected,
}

pub(crate) enum Expected {
    /// An endpoint answers with one of these.
    Answer(Route, &'static [u16]),
    /// It is none of ours.
    NotOurs,
    /// This endpoint refuses it, or a layer outside of it does: no page of another origin is let in.
    Closed(Route),
    /// The host has a page there, for this.
    Page(&'static str),
}

impl Check {
    fn request(&self, probe: Probe) -> Request<Body> {
        let mut request = Request::new(Body::from(Bytes::from_static(self.body.as_bytes())));
        *request.method_mut() = self.method.clone();
        // A path that is none was refused when the server was built.
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.extend(self.host.clone().map(|host| (HOST, host)));
        headers.extend(self.headers.iter().cloned());
        request.extensions_mut().insert(probe);
        request
    }

    fn judge(&self, reached: Option<Reached>, answer: &Parts) -> Result<(), String> {
        let status = answer.status.as_u16();
        if let Expected::Answer(route, _) | Expected::Closed(route) = self.expected {
            let ours = reached.as_ref().map(|reached| &reached.answer.headers);
            if let Some(added) = added(route, ours, &answer.headers) {
                return Err(format!(
                    "is answered with a header {added} that is not of the {} endpoint",
                    route.name()
                ));
            }
        }
        let (route, statuses) = match (&self.expected, &reached) {
            (Expected::NotOurs | Expected::Closed(_), None) => return Ok(()),
            (Expected::Closed(route), Some(_)) => (*route, &[405_u16] as &[u16]),
            (Expected::NotOurs | Expected::Page(_), Some(reached)) => {
                let name = reached.route.name();
                return Err(format!(
                    "is answered by the {name} endpoint, and should not be"
                ));
            }
            (Expected::Page(purpose), None) if matches!(status, 404 | 405 | 500..) => {
                return Err(format!(
                    "is where people are sent to {purpose}, and is answered with {status}"
                ));
            }
            (Expected::Page(_), None) => return Ok(()),
            (Expected::Answer(route, statuses), _) => (*route, *statuses),
        };
        let Some(reached) = reached else {
            return Err(format!(
                "did not reach the {} endpoint, but was answered with {status}. The layer belongs on the outermost router, inside of the \
                 session layer alone; below a prefix that is taken away mount `service().nested_at(prefix)` and, at the root, \
                 `well_known_service()`",
                route.name()
            ));
        };
        if reached.route != route {
            return Err(format!("reached the {} endpoint", reached.route.name()));
        }
        if let Some(lost) = lost(
            &reached.headers,
            self.headers.iter().map(|(name, _)| name),
            |name| {
                self.headers
                    .iter()
                    .filter(|(other, _)| other == name)
                    .map(|(_, value)| value)
                    .collect()
            },
        ) {
            return Err(format!("lost its header {lost} on the way in"));
        }
        if reached.query.as_deref() != self.path.split_once('?').map(|(_, query)| query) {
            return Err("lost its query on the way in".to_owned());
        }
        if reached.body != self.body.as_bytes() {
            return Err(
                "lost its body on the way in: something outside of the layer reads it".to_owned(),
            );
        }
        if !statuses.contains(&reached.answer.status.as_u16()) {
            return Err(format!("is answered with {}", reached.answer.status));
        }
        if reached.answer.status != answer.status {
            return Err(format!(
                "was answered with {}, which became {} on the way out",
                reached.answer.status, answer.status
            ));
        }
        let sent = &reached.answer.headers;
        let values = |name: &HeaderName| sent.get_all(name).iter().collect();
        if let Some(changed) = lost(&answer.headers, sent.keys(), values) {
            return Err(format!(
                "the header {changed} of its answer was changed on the way out"
            ));
        }
        if reached.answer.body != answer.body {
            return Err("the body of its answer was changed on the way out".to_owned());
        }
        Ok(())
    }
}

/// The first of these headers that is not there as it was: of two values, a reader might believe either.
fn lost<'a>(
    there: &HeaderMap,
    names: impl Iterator<Item = &'a HeaderName>,
    values: impl Fn(&HeaderName) -> Vec<&'a HeaderValue>,
) -> Option<&'a HeaderName> {
    let mut names = names;
    names.find(|name| there.get_all(*name).iter().ne(values(name)))
}

/// The first header of an answer that is not ours, and that lets in pages of other origins where none has any business (RFC 9700 §2.6),
/// or sends people elsewhere.
fn added<'a>(
    route: Route,
    ours: Option<&HeaderMap>,
    answer: &'a HeaderMap,
) -> Option<&'a HeaderName> {
    let is_closed = matches!(
        route,
        Route::Endpoint(
            Endpoint::Authorize
                | Endpoint::Verification
                | Endpoint::ConnectedApps
                | Endpoint::Introspect
        )
    );
    let is_theirs = |name: &&HeaderName| !ours.is_some_and(|ours| ours.contains_key(*name));
    let matters = |name: &&HeaderName| {
        // Where nothing of ours has answered, what is said of it is that.
        *name == LOCATION && ours.is_some()
            || is_closed && name.as_str().starts_with("access-control-")
    };
    answer.keys().filter(matters).find(is_theirs)
}

/// Sends a request, and reads all of the answer.
async fn send<S, B>(mut service: S, request: Request<Body>) -> Result<Parts, String>
where
    S: Service<Request<Body>, Response = Response<B>> + Send,
    S::Future: Send,
    S::Error: Send,
    B: http_body::Body + Send,
    B::Data: Send,
    B::Error: Send,
{
    let failed = || "failed: the service gave no answer".to_owned();
    let ready = poll_fn(|cx| service.poll_ready(cx)).await;
    ready.map_err(|_| failed())?;
    let answer = service.call(request).await.map_err(|_| failed())?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| failed())?;
    Ok(Parts {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    })
}
