//! Refusals in responses: status, challenge and body (RFC 6750 §3, RFC 9470 §3, RFC 9728 §5.1).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::types::Scope;

/// Why a request is not let through (RFC 6750 §3.1, RFC 9470 §3).
///
/// The caller is told this much and no more; what exactly was wrong with a token stands in the log, at level `debug`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no bearer token: 401, and no error code (RFC 6750 §3.1, last paragraph).
    #[error("no bearer token was sent")]
    NoToken,
    /// The credentials are malformed or sent twice: 400 `invalid_request`.
    #[error("the credentials are malformed or were sent more than once")]
    InvalidRequest,
    /// The token is unknown, expired, revoked or not meant for this resource: 401 `invalid_token`.
    #[error("the access token is expired, revoked, unknown or not meant for this resource")]
    InvalidToken,
    /// The token is good and its scope is too narrow: 403 `insufficient_scope`.
    #[error("the request needs a wider scope than the access token has")]
    InsufficientScope,
    /// The token is good, and its owner has to authenticate again, or in a stronger way: 401 `insufficient_user_authentication`
    /// (RFC 9470 §3).
    #[error("the request needs a stronger or more recent authentication of the user")]
    InsufficientUserAuthentication,
    /// Nobody could say just now whether the token is good: 503 `temporarily_unavailable`, with `Retry-After`.
    #[error("the access token cannot be checked at the moment")]
    Unavailable,
}

impl Refusal {
    /// Its error code; `None` where the request had no token.
    #[must_use]
    pub const fn error(self) -> Option<&'static str> {
        match self {
            Self::NoToken => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::InsufficientUserAuthentication => Some("insufficient_user_authentication"),
            Self::Unavailable => Some("temporarily_unavailable"),
        }
    }

    /// Its status over HTTP.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NoToken | Self::InvalidToken | Self::InsufficientUserAuthentication => {
                StatusCode::UNAUTHORIZED
            }
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Its status in gRPC.
    pub(crate) const fn grpc_status(self) -> &'static str {
        match self {
            Self::NoToken | Self::InvalidToken | Self::InsufficientUserAuthentication => "16", // UNAUTHENTICATED
            Self::InvalidRequest => "3",    // INVALID_ARGUMENT
            Self::InsufficientScope => "7", // PERMISSION_DENIED
            Self::Unavailable => "14",      // UNAVAILABLE
        }
    }

    const fn json(self) -> &'static str {
        match self {
            Self::NoToken => "",
            Self::InvalidRequest => {
                r#"{"error":"invalid_request","error_description":"the credentials are malformed or were sent more than once"}"#
            }
            Self::InvalidToken => {
                r#"{"error":"invalid_token","error_description":"the access token is expired, revoked, unknown or not meant for this resource"}"#
            }
            Self::InsufficientScope => {
                r#"{"error":"insufficient_scope","error_description":"the request needs a wider scope than the access token has"}"#
            }
            Self::InsufficientUserAuthentication => {
                r#"{"error":"insufficient_user_authentication","error_description":"the request needs a stronger or more recent authentication of the user"}"#
            }
            Self::Unavailable => {
                r#"{"error":"temporarily_unavailable","error_description":"the access token cannot be checked at the moment"}"#
            }
        }
    }

    const fn problem(self) -> &'static str {
        match self {
            Self::NoToken => {
                r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"no bearer token was sent"}"#
            }
            Self::InvalidRequest => {
                r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"the credentials are malformed or were sent more than once","error":"invalid_request"}"#
            }
            Self::InvalidToken => {
                r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"the access token is expired, revoked, unknown or not meant for this resource","error":"invalid_token"}"#
            }
            Self::InsufficientScope => {
                r#"{"type":"about:blank","title":"Forbidden","status":403,"detail":"the request needs a wider scope than the access token has","error":"insufficient_scope"}"#
            }
            Self::InsufficientUserAuthentication => {
                r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"the request needs a stronger or more recent authentication of the user","error":"insufficient_user_authentication"}"#
            }
            Self::Unavailable => {
                r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"the access token cannot be checked at the moment","error":"temporarily_unavailable"}"#
            }
        }
    }

    /// The one place where a refusal becomes an answer. Nothing is formatted here: all parts were made beforehand.
    pub(crate) fn to_response(
        self,
        challenges: &Challenges,
        body: &RefusalBody,
        request: &HeaderMap,
    ) -> Response<Bytes> {
        let ours = |media_type, text: &'static str| {
            our_response(
                self.status(),
                HeaderValue::from_static(media_type),
                Bytes::from_static(text.as_bytes()),
            )
        };
        let mut response = match body {
            RefusalBody::Grpc if is_grpc(request) => self.trailers_only(),
            RefusalBody::None => ours(JSON, ""),
            RefusalBody::Json | RefusalBody::Grpc => ours(JSON, self.json()),
            RefusalBody::Problem => ours("application/problem+json", self.problem()),
            RefusalBody::Custom(make) => {
                let (media_type, body) = make(self);
                our_response(self.status(), media_type, body)
            }
        };
        let headers = response.headers_mut();
        let (name, value) = self.advice(challenges);
        let is_challenge = name == WWW_AUTHENTICATE;
        headers.insert(name, value);
        if is_challenge {
            // A script of another origin has to read the challenge to act on it.
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("www-authenticate"),
            );
        }
        response
    }

    /// What the caller can do about it, as a header: `WWW-Authenticate` or, in an outage, `Retry-After`.
    pub(crate) fn advice(self, challenges: &Challenges) -> (HeaderName, HeaderValue) {
        match challenges.of(self) {
            Some(challenge) => (WWW_AUTHENTICATE, challenge.clone()),
            None => (RETRY_AFTER, HeaderValue::from_static("5")),
        }
    }

    /// An answer of gRPC that has headers alone, the status among them.
    fn trailers_only(self) -> Response<Bytes> {
        let mut response =
            our_response(StatusCode::OK, HeaderValue::from_static(GRPC), Bytes::new());
        let message = match self {
            Self::NoToken => "no bearer token was sent",
            Self::InvalidRequest => "the credentials are malformed or were sent more than once",
            Self::InvalidToken => {
                "the access token is expired, revoked, unknown or not meant for this resource"
            }
            Self::InsufficientScope => "the request needs a wider scope than the access token has",
            Self::InsufficientUserAuthentication => {
                "the request needs a stronger or more recent authentication of the user"
            }
            Self::Unavailable => "the access token cannot be checked at the moment",
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
        headers.insert(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static(self.grpc_status()),
        );
        headers.insert(
            HeaderName::from_static("grpc-message"),
            HeaderValue::from_static(message),
        );
        response
    }
}

const JSON: &str = "application/json";
const GRPC: &str = "application/grpc";

/// A call of gRPC, of any message format.
fn is_grpc(request: &HeaderMap) -> bool {
    request.get(CONTENT_TYPE).is_some_and(|media_type| {
        let rest = media_type.as_bytes().strip_prefix(GRPC.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// What stands in the body of a refusal. Status and headers are always those of RFC 6750 §3 and RFC 9728 §5.1.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum RefusalBody {
    /// Nothing.
    None,
    /// `{"error": "…", "error_description": "…"}`, and nothing where the request had no token.
    #[default]
    Json,
    /// Problem details (RFC 9457), with the error code as the extension member `error`.
    Problem,
    /// A status of gRPC for calls of gRPC (`application/grpc`), and JSON for all other requests. Calls of gRPC are answered 200 even if they
    /// are refused, as gRPC demands: not for a service whose HTTP status decides in front of another one.
    Grpc,
    /// What the host makes of it: a media type, and the bytes.
    Custom(Arc<MakeBody>),
}

/// Makes the body of a refusal: its media type, and the bytes.
pub type MakeBody = dyn Fn(Refusal) -> (HeaderValue, Bytes) + Send + Sync;

impl RefusalBody {
    /// What the host makes of it.
    pub fn custom(make: impl Fn(Refusal) -> (HeaderValue, Bytes) + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(make))
    }
}

impl fmt::Debug for RefusalBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Json => "Json",
            Self::Problem => "Problem",
            Self::Grpc => "Grpc",
            Self::Custom(_) => "Custom(…)",
        })
    }
}

/// The answer to a mistake of the host, which the log explains: 500 `server_error`.
pub(crate) fn server_error() -> Response<Bytes> {
    our_response(
        StatusCode::INTERNAL_SERVER_ERROR,
        HeaderValue::from_static(JSON),
        Bytes::from_static(br#"{"error":"server_error"}"#),
    )
}

fn our_response(status: StatusCode, media_type: HeaderValue, body: Bytes) -> Response<Bytes> {
    let has_body = !body.is_empty();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if has_body {
        headers.insert(CONTENT_TYPE, media_type);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// What would help, besides a token: for the challenges of one route.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs<'a> {
    pub(crate) scope: Scope,
    pub(crate) acr_values: &'a [String],
    pub(crate) max_age: Option<Duration>,
}

/// The `WWW-Authenticate` values of one resource and one route, made once.
#[derive(Debug, Clone)]
pub(crate) struct Challenges {
    no_token: HeaderValue,
    invalid_request: HeaderValue,
    invalid_token: HeaderValue,
    insufficient_scope: HeaderValue,
    insufficient_user_authentication: HeaderValue,
}

impl Challenges {
    pub(crate) fn new(
        realm: Option<&str>,
        needs: &Needs<'_>,
        resource_metadata: &str,
    ) -> Result<Self, Unquotable> {
        let scope = needs.scope.to_string();
        let acr_values = needs.acr_values.join(" ");
        let max_age = needs.max_age.map(|age| age.as_secs().to_string());
        let challenge = |refusal: Option<Refusal>| {
            let mut params = Vec::new();
            if let Some(realm) = realm {
                params.push(("realm", realm));
            }
            let description = refusal.map(|refusal| refusal.to_string());
            if let (Some(error), Some(description)) =
                (refusal.and_then(Refusal::error), &description)
            {
                params.push(("error", error));
                params.push(("error_description", description));
            }
            // RFC 6750 §3: the scope says what would help; it would not help a request that is malformed.
            if !scope.is_empty() && refusal != Some(Refusal::InvalidRequest) {
                params.push(("scope", &scope));
            }
            // RFC 9470 §3.
            if refusal == Some(Refusal::InsufficientUserAuthentication) {
                if !acr_values.is_empty() {
                    params.push(("acr_values", &acr_values));
                }
                if let Some(max_age) = &max_age {
                    params.push(("max_age", max_age));
                }
            }
            params.push(("resource_metadata", resource_metadata)); // RFC 9728 §5.1
            bearer_challenge(&params)
        };
        Ok(Self {
            no_token: challenge(None)?,
            invalid_request: challenge(Some(Refusal::InvalidRequest))?,
            invalid_token: challenge(Some(Refusal::InvalidToken))?,
            insufficient_scope: challenge(Some(Refusal::InsufficientScope))?,
            insufficient_user_authentication: challenge(Some(
                Refusal::InsufficientUserAuthentication,
            ))?,
        })
    }

    /// The challenge of a refusal; an outage has none.
    const fn of(&self, refusal: Refusal) -> Option<&HeaderValue> {
        match refusal {
            Refusal::NoToken => Some(&self.no_token),
            Refusal::InvalidRequest => Some(&self.invalid_request),
            Refusal::InvalidToken => Some(&self.invalid_token),
            Refusal::InsufficientScope => Some(&self.insufficient_scope),
            Refusal::InsufficientUserAuthentication => Some(&self.insufficient_user_authentication),
            Refusal::Unavailable => None,
        }
    }
}

/// `Bearer` and its parameters, each a quoted string in which nothing needs escaping (RFC 6750 §3: `%x20-21 / %x23-5B / %x5D-7E`).
fn bearer_challenge(params: &[(&str, &str)]) -> Result<HeaderValue, Unquotable> {
    let mut text = String::from("Bearer");
    for (place, (name, value)) in params.iter().enumerate() {
        if !value
            .bytes()
            .all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
        {
            return Err(Unquotable);
        }
        text.push_str(if place == 0 { " " } else { ", " });
        text.push_str(name);
        text.push_str("=\"");
        text.push_str(value);
        text.push('"');
    }
    HeaderValue::try_from(text).map_err(|_| Unquotable)
}

/// A text with a quote, a backslash, a control or a letter outside ASCII, none of which RFC 6750 §3 lets into a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unquotable;

#[cfg(test)]
mod tests {
    use super::{Challenges, JSON, Needs, Refusal, RefusalBody};
    use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
    use http::{HeaderMap, HeaderValue, StatusCode};
    use serde_json::Value;

    const ALL: [Refusal; 6] = [
        Refusal::NoToken,
        Refusal::InvalidRequest,
        Refusal::InvalidToken,
        Refusal::InsufficientScope,
        Refusal::InsufficientUserAuthentication,
        Refusal::Unavailable,
    ];

    fn challenges() -> Challenges {
        Challenges::new(None, &Needs::default(), "https://a.example/x").unwrap()
    }

    #[test]
    fn rfc9457_3_problem_details_say_what_the_status_and_the_challenge_say() {
        for refusal in ALL {
            let response =
                refusal.to_response(&challenges(), &RefusalBody::Problem, &HeaderMap::new());
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            let problem: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(problem["status"], response.status().as_u16());
            assert_eq!(
                problem["title"],
                response.status().canonical_reason().unwrap()
            );
            assert_eq!(problem["detail"], refusal.to_string());
            assert_eq!(
                problem.get("error").and_then(Value::as_str),
                refusal.error()
            );
        }
    }

    #[test]
    fn rfc6750_3_1_the_body_says_what_the_challenge_says() {
        for refusal in ALL {
            let response =
                refusal.to_response(&challenges(), &RefusalBody::Json, &HeaderMap::new());
            assert_eq!(response.status(), refusal.status());
            let challenge = response.headers().get(WWW_AUTHENTICATE);
            assert_eq!(challenge.is_some(), refusal != Refusal::Unavailable);
            let Some(error) = refusal.error() else {
                assert!(response.body().is_empty());
                continue;
            };
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["error"], error);
            assert_eq!(body["error_description"], refusal.to_string());
            if let Some(challenge) = challenge {
                let challenge = challenge.to_str().unwrap();
                assert!(
                    challenge.contains(&format!("error=\"{error}\"")),
                    "{challenge}"
                );
            }
        }
    }

    #[test]
    fn a_call_of_grpc_is_told_its_own_status_and_only_if_the_host_wants_that() {
        let mut request = HeaderMap::new();
        for media_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
        ] {
            request.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            for (refusal, status) in ALL.into_iter().zip(["16", "3", "16", "7", "16", "14"]) {
                let response = refusal.to_response(&challenges(), &RefusalBody::Grpc, &request);
                assert_eq!(response.status(), StatusCode::OK);
                assert_eq!(response.headers()["grpc-status"], status);
                assert_eq!(
                    response.headers()["grpc-message"],
                    refusal.to_string().as_str()
                );
                assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
                let challenge = response.headers().get(WWW_AUTHENTICATE);
                assert_eq!(challenge.is_some(), refusal != Refusal::Unavailable);
                for body in [RefusalBody::Json, RefusalBody::None, RefusalBody::Problem] {
                    let response = refusal.to_response(&challenges(), &body, &request);
                    assert_eq!(response.status(), refusal.status());
                }
            }
        }
        for media_type in [
            "application/json",
            "application/grpc-web",
            "text/application/grpc",
        ] {
            request.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            let refusal = Refusal::InvalidToken;
            let response = refusal.to_response(&challenges(), &RefusalBody::Grpc, &request);
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{media_type}");
        }
    }

    #[test]
    fn a_body_of_the_hosts_changes_the_body_alone() {
        let body = RefusalBody::custom(|refusal| {
            (
                HeaderValue::from_static("text/plain"),
                refusal.to_string().into(),
            )
        });
        let json =
            Refusal::InvalidToken.to_response(&challenges(), &RefusalBody::Json, &HeaderMap::new());
        let own = Refusal::InvalidToken.to_response(&challenges(), &body, &HeaderMap::new());
        assert_eq!(own.body(), &Refusal::InvalidToken.to_string());
        assert_eq!(own.headers()[CONTENT_TYPE], "text/plain");
        let (mut own, status) = (own.headers().clone(), own.status());
        own.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        assert_eq!((&own, status), (json.headers(), json.status()));
    }

    // req: 6750-3-8, http-auth-3
    #[test]
    fn rfc6750_3_what_would_need_escaping_is_refused_when_the_challenge_is_made() {
        let made = |realm| Challenges::new(Some(realm), &Needs::default(), "https://a.example/x");
        assert!(made("a realm, with !#[]~").is_ok());
        for bad in ["\"", "\\", "a\r\nb", "\u{e9}", "\t", "\u{7f}"] {
            assert!(made(bad).is_err(), "{bad:?}");
        }
    }
}
