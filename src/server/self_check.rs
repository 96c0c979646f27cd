//! Whether the host's finished service lets the endpoints work: it is sent one harmless request after the other.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE,
    HOST, ORIGIN,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower_service::Service;

use super::config::Config;
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
    /// that is not there. For a test of the host's, or its start.
    ///
    /// The requests are harmless: nobody is signed in, no client is named, nothing is kept (but the keys that sign tokens, if there
    /// are none yet), counted or told. What lies behind the endpoints is not asked: neither the host's login nor its policy.
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
struct Check {
    method: Method,
    path: String,
    headers: Vec<(http::HeaderName, HeaderValue)>,
    body: &'static str,
    host: Option<HeaderValue>,
    expected: Expected,
}

enum Expected {
    /// An endpoint answers with one of these.
    Answer(Route, &'static [u16]),
    /// It is none of ours.
    NotOurs,
    /// The host has a page there.
    Page,
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
        let (route, statuses) = match (&self.expected, &reached) {
            (Expected::NotOurs, None) => return Ok(()),
            (Expected::NotOurs | Expected::Page, Some(reached)) => {
                let name = reached.route.name();
                return Err(format!(
                    "is answered by the {name} endpoint, and should not be"
                ));
            }
            (Expected::Page, None) if matches!(status, 404 | 405 | 500..) => {
                return Err(format!(
                    "is where people are sent to sign in, and is answered with {status}"
                ));
            }
            (Expected::Page, None) => return Ok(()),
            (Expected::Answer(route, statuses), _) => (*route, statuses),
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
        let values = |name: &http::HeaderName| sent.get_all(name).iter().collect();
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
    names: impl Iterator<Item = &'a http::HeaderName>,
    values: impl Fn(&http::HeaderName) -> Vec<&'a HeaderValue>,
) -> Option<&'a http::HeaderName> {
    let mut names = names;
    names.find(|name| there.get_all(*name).iter().ne(values(name)))
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

const FORM: (http::HeaderName, HeaderValue) = (
    CONTENT_TYPE,
    HeaderValue::from_static("application/x-www-form-urlencoded"),
);

/// All that is asked of the host's service.
fn checks(config: &Config) -> Vec<Check> {
    let host = config
        .issuer
        .origin()
        .split_once("://")
        .map(|(_, host)| host);
    let host = host.and_then(|host| HeaderValue::from_str(host).ok());
    let check = |method: Method, path: &str, headers: &[_], body, expected| Check {
        method,
        path: path.to_owned(),
        headers: headers.to_vec(),
        body,
        host: host.clone(),
        expected,
    };
    let answer = |endpoint, statuses| Expected::Answer(Route::Endpoint(endpoint), statuses);
    let mut checks = Vec::new();
    for endpoint in Endpoint::ALL {
        let Some(path) = config.paths.get(&endpoint) else {
            continue;
        };
        if !config.serves(endpoint) {
            let other = config.serves_at(path);
            checks.extend((!other).then(|| check(Method::GET, path, &[], "", Expected::NotOurs)));
            continue;
        }
        match endpoint {
            Endpoint::Metadata | Endpoint::Jwks => {
                checks.push(check(Method::GET, path, &[], "", answer(endpoint, &[200])));
                checks.push(check(Method::POST, path, &[], "", answer(endpoint, &[405])));
            }
            Endpoint::Authorize | Endpoint::Verification => {
                // Without a client it is an error page; the page for user codes may ask to sign in first.
                checks.push(check(
                    Method::GET,
                    path,
                    &[],
                    "",
                    answer(endpoint, &[200, 303, 400]),
                ));
                checks.push(check(Method::PUT, path, &[], "", answer(endpoint, &[405])));
            }
            Endpoint::Register => {
                let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let token = (AUTHORIZATION, HeaderValue::from_static("Bearer self-check"));
                let headers = [json, token];
                checks.push(check(
                    Method::POST,
                    path,
                    &headers,
                    "{",
                    answer(endpoint, &[400, 401]),
                ));
                checks.push(check(Method::GET, path, &[], "", answer(endpoint, &[405])));
            }
            Endpoint::Token | Endpoint::Device | Endpoint::Introspect | Endpoint::Revoke => {
                // Credentials of a scheme that nobody has: nobody's are wrong.
                let other = (AUTHORIZATION, HeaderValue::from_static("SelfCheck none"));
                let headers = [FORM, other];
                let body = "self_check=1";
                checks.push(check(
                    Method::POST,
                    path,
                    &headers,
                    body,
                    answer(endpoint, &[400, 401]),
                ));
                checks.push(check(Method::GET, path, &[], "", answer(endpoint, &[405])));
            }
        }
    }
    for resource in config
        .catalog
        .resources
        .iter()
        .map(|resource| &resource.uri)
    {
        if resource.origin().as_deref() == Some(config.issuer.origin()) {
            let path = resource.well_known_path();
            let expected = Expected::Answer(Route::ProtectedResource, &[200]);
            checks.push(check(Method::GET, &path, &[], "", expected));
        }
    }
    if let Some(origin) = config.browser_clients.first() {
        let any = HeaderValue::from_static("https://self-check.invalid");
        let origin = if origin == "*" { any } else { origin.clone() };
        let asks = [
            (ORIGIN, origin),
            (
                ACCESS_CONTROL_REQUEST_METHOD,
                HeaderValue::from_static("POST"),
            ),
            (
                ACCESS_CONTROL_REQUEST_HEADERS,
                HeaderValue::from_static("authorization"),
            ),
        ];
        let path = config.paths.get(&Endpoint::Token);
        let expected = answer(Endpoint::Token, &[204]);
        checks.extend(path.map(|path| check(Method::OPTIONS, path, &asks, "", expected)));
    }
    // Beside what is advertised nothing is ours.
    for path in ["/auth/self-check", "/.well-known/openid-configuration"] {
        let path = format!("{}{path}", config.issuer.path());
        if !config.serves_at(&path) {
            checks.push(check(Method::GET, &path, &[], "", Expected::NotOurs));
        }
    }
    if let Some(path) = config.login_path.as_deref() {
        checks.push(check(Method::GET, path, &[], "", Expected::Page));
    }
    checks
}
