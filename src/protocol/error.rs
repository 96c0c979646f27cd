//! Error answers (RFC 6749 §4.1.2.1, §5.2; RFC 7591 §3.2.2; RFC 8628 §3.5; RFC 8707 §2; RFC 9470 §5; OpenID Connect Core 1.0 §3.1.2.6).

use std::error::Error as StdError;
use std::fmt;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::types::RandomnessUnavailable;

/// The error codes of the served endpoints, as they stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    InvalidTarget,
    AccessDenied,
    ServerError,
    TemporarilyUnavailable,
    AuthorizationPending,
    SlowDown,
    ExpiredToken,
    InvalidRedirectUri,
    InvalidClientMetadata,
    InvalidSoftwareStatement,
    UnapprovedSoftwareStatement,
    LoginRequired,
    ConsentRequired,
    InteractionRequired,
    UnmetAuthenticationRequirements,
    InvalidToken,
    /// No token was sent: a challenge without an error code (RFC 6750 §3.1).
    MissingToken,
}

impl ErrorCode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidSoftwareStatement => "invalid_software_statement",
            Self::UnapprovedSoftwareStatement => "unapproved_software_statement",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InteractionRequired => "interaction_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::InvalidToken | Self::MissingToken => "invalid_token",
        }
    }
}

/// A refusal on the wire: a code and a fixed sentence. What caused it goes to the log, once, and never to the client.
pub(crate) struct OAuthError {
    pub(crate) code: ErrorCode,
    pub(crate) description: &'static str,
    pub(crate) status: StatusCode,
    /// `Retry-After` in seconds, or the methods that are allowed.
    hint: Hint,
    source: Option<Box<dyn StdError + Send + Sync>>,
    is_forged: bool,
}

/// In the extensions of an answer, until it leaves: that it refuses, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refused {
    pub(crate) error: &'static str,
    pub(crate) description: &'static str,
    /// What went wrong, where the fault is ours: for the log alone.
    pub(crate) cause: Option<String>,
    /// Whether it is a sign of an attack: what was sent as the word of a person is not known to be theirs.
    pub(crate) is_forged: bool,
}

#[derive(Debug, Clone, Copy)]
enum Hint {
    None,
    RetryAfter(u32),
    Allow(&'static str),
}

impl OAuthError {
    pub(crate) const fn new(code: ErrorCode, description: &'static str) -> Self {
        let status = match code {
            ErrorCode::InvalidClient | ErrorCode::InvalidToken | ErrorCode::MissingToken => {
                StatusCode::UNAUTHORIZED
            }
            ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self {
            code,
            description,
            status,
            hint: Hint::None,
            source: None,
            is_forged: false,
        }
    }

    pub(crate) const fn invalid_request(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    pub(crate) const fn invalid_grant(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidGrant, description)
    }

    /// One answer for an unknown client, a wrong secret, a missing one and a disabled client (RFC 6749 §5.2).
    pub(crate) const fn invalid_client() -> Self {
        Self::new(ErrorCode::InvalidClient, "Client authentication failed")
    }

    /// The store, the policy or the operating system failed: not a verdict about anything the client sent.
    pub(crate) fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            hint: Hint::RetryAfter(1),
            source: Some(source.into()),
            ..Self::new(
                ErrorCode::TemporarilyUnavailable,
                "The server cannot answer right now",
            )
        }
    }

    /// The host has put something together wrongly: it is for whoever runs the server, and the client can do nothing.
    #[cfg(feature = "server")]
    pub(crate) fn fault(
        description: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(ErrorCode::ServerError, description)
        }
    }

    pub(crate) const fn too_many_requests(retry_after: u32) -> Self {
        let mut error = Self::new(ErrorCode::TemporarilyUnavailable, "Too many requests");
        error.status = StatusCode::TOO_MANY_REQUESTS;
        error.hint = Hint::RetryAfter(retry_after);
        error
    }

    pub(crate) const fn too_large() -> Self {
        let mut error = Self::invalid_request("The request body is too large");
        error.status = StatusCode::PAYLOAD_TOO_LARGE;
        error
    }

    pub(crate) const fn uri_too_long() -> Self {
        let mut error = Self::invalid_request("The request target is too long");
        error.status = StatusCode::URI_TOO_LONG;
        error
    }

    /// Whoever asks may not, whatever they send.
    #[cfg(feature = "server")]
    pub(crate) const fn forbidden(mut self) -> Self {
        self.status = StatusCode::FORBIDDEN;
        self
    }

    /// It did not come from the page that asked, or not from the person who was asked.
    #[cfg(feature = "server")]
    pub(crate) const fn forged(mut self) -> Self {
        self.is_forged = true;
        self.forbidden()
    }

    pub(crate) const fn method_not_allowed(allow: &'static str) -> Self {
        let mut error = Self::invalid_request("The method is not allowed here");
        error.status = StatusCode::METHOD_NOT_ALLOWED;
        error.hint = Hint::Allow(allow);
        error
    }

    /// Whether it is our fault and not the client's.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::ServerError | ErrorCode::TemporarilyUnavailable
        )
    }

    /// Tells the log: for an error that becomes no answer. Of all others it is told at the end of the request.
    pub(crate) fn log(&self) {
        let Refused {
            error,
            description,
            cause,
            ..
        } = self.refused();
        if self.is_ours() {
            tracing::error!(error, cause, "{description}");
        } else {
            tracing::debug!(error, "{description}");
        }
    }

    /// What is to be told of the answer, for its extensions: call it wherever an answer is made of an error.
    pub(crate) fn refused(&self) -> Refused {
        let source = self.source.as_deref().filter(|_| self.is_ours());
        Refused {
            error: self.code.as_str(),
            description: self.description,
            cause: source.map(|source| Causes(source).to_string()),
            is_forged: self.is_forged,
        }
    }

    /// When to try again.
    #[cfg(feature = "server")]
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        match self.hint {
            Hint::RetryAfter(seconds) => Some(std::time::Duration::from_secs(seconds.into())),
            Hint::None | Hint::Allow(_) => None,
        }
    }

    /// When to try again, or which methods there are.
    pub(crate) fn hint(&self, headers: &mut HeaderMap) {
        match self.hint {
            Hint::None => {}
            Hint::RetryAfter(seconds) => {
                drop(headers.insert(RETRY_AFTER, HeaderValue::from(seconds)))
            }
            Hint::Allow(methods) => drop(headers.insert(ALLOW, HeaderValue::from_static(methods))),
        }
    }

    /// The answer of RFC 6749 §5.2.
    pub(crate) fn to_response(&self) -> Response<Bytes> {
        let body = serde_json::json!({ "error": self.code.as_str(), "error_description": self.description });
        let mut response = json(self.status, &body);
        response.extensions_mut().insert(self.refused());
        let headers = response.headers_mut();
        self.hint(headers);
        let challenge = match self.code {
            ErrorCode::InvalidClient => "Basic realm=\"oauth\", charset=\"UTF-8\"",
            ErrorCode::InvalidToken => "Bearer realm=\"oauth\", error=\"invalid_token\"",
            ErrorCode::MissingToken => "Bearer realm=\"oauth\"",
            _ => return response,
        };
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

impl fmt::Debug for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.description)
    }
}

impl From<RandomnessUnavailable> for OAuthError {
    fn from(error: RandomnessUnavailable) -> Self {
        Self::unavailable(error)
    }
}

/// A JSON answer that nobody may keep (RFC 6749 §5.1).
pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response<Bytes> {
    // Everything that is written here is made of strings, numbers and lists, which always have a JSON form.
    let mut text = Vec::with_capacity(256);
    if serde_json::to_writer(&mut text, body).is_err() {
        text = b"{}".to_vec();
    }
    json_text(status, text)
}

/// The same, of what stands there as JSON.
pub(crate) fn json_text(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An error and what caused it, in one line.
struct Causes<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::{ErrorCode, OAuthError};

    /// All codes, as they stand in `as_str`.
    fn codes() -> Vec<&'static str> {
        let (_, table) = include_str!("error.rs").split_once("fn as_str").unwrap();
        let (table, _) = table.split_once("\n    }\n").unwrap();
        let code = |line: &'static str| line.split_once("=> \"")?.1.split('"').next();
        table.lines().filter_map(code).collect()
    }

    // req: 6749-8.5-1, err-6749-5873
    #[test]
    fn rfc6749_8_5_every_code_fits_the_grammar_and_is_one_of_the_standards() {
        // RFC 6749 §4.1.2.1, §5.2 and §11.4.1, RFC 6750 §3.1, RFC 7591 §3.2.2, RFC 8628 §3.5, RFC 8707 §2, RFC 9470 §5;
        // OpenID Connect Core 1.0 §3.1.2.6.
        let known = "invalid_request unauthorized_client access_denied unsupported_response_type invalid_scope server_error \
            temporarily_unavailable invalid_client invalid_grant unsupported_grant_type invalid_token insufficient_scope \
            unsupported_token_type invalid_redirect_uri invalid_client_metadata invalid_software_statement \
            unapproved_software_statement authorization_pending slow_down expired_token invalid_target \
            login_required consent_required interaction_required unmet_authentication_requirements";
        let known: Vec<_> = known.split_whitespace().collect();
        assert!(codes().len() >= 19, "{:?}", codes());
        for code in codes() {
            let fits = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
            assert!(!code.is_empty() && code.bytes().all(fits), "{code}");
            assert!(known.contains(&code), "{code}");
        }
    }

    // req: 6749-5.2-1, 6749-5.2-2, 6749-5.2-13, 6749-5.1-6
    #[test]
    fn rfc6749_5_2_an_error_is_400_json_with_one_code_that_nobody_keeps() {
        let answer = OAuthError::invalid_grant("The code has expired").to_response();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["pragma"], "no-cache");
        let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"error": "invalid_grant", "error_description": "The code has expired"})
        );
    }

    // req: 6749-5.2-6, 6749-5.2-7
    #[test]
    fn rfc6749_5_2_invalid_client_is_401_with_a_basic_challenge() {
        let answer = OAuthError::invalid_client().to_response();
        assert_eq!(answer.status(), 401);
        assert!(
            answer.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic realm=")
        );
    }

    #[test]
    fn our_own_failure_is_503_with_retry_after_and_tells_no_cause() {
        let answer = OAuthError::unavailable("disk full at /var/lib").to_response();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert!(!String::from_utf8_lossy(answer.body()).contains("disk"));
        assert_eq!(
            format!("{:?}", OAuthError::unavailable("disk full at /var/lib")),
            "temporarily_unavailable: The server cannot answer right now"
        );
        assert_eq!(
            OAuthError::new(ErrorCode::ServerError, "x")
                .to_response()
                .status(),
            500
        );
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_our_fault_is_an_error_in_the_log_with_its_cause_and_a_mistake_of_a_client_is_none() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        // With a second subscriber each log line asks who listens, and does not remember what another thread was told.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
        let _guard = tracing::subscriber::set_default(subscriber);
        let told = |error: OAuthError| {
            error.log();
            String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap()
        };
        let ours = told(OAuthError::unavailable("disk full at /var/lib"));
        assert!(
            ours.contains("ERROR") && ours.contains("disk full"),
            "{ours}"
        );
        let server = told(OAuthError::new(ErrorCode::ServerError, "x"));
        assert!(server.contains("ERROR"), "{server}");
        let theirs = told(OAuthError::invalid_client());
        assert!(
            theirs.contains("DEBUG") && theirs.contains("invalid_client"),
            "{theirs}"
        );
    }
}
