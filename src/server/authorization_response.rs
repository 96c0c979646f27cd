//! What the browser is sent: authorization responses (RFC 6749 §4.1.2, RFC 9207 §2), redirects, and pages that say one thing.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, Response, StatusCode};

use crate::pages::{self, Leaving, Message, Page};
use crate::protocol::error::{ErrorCode, OAuthError};
use crate::types::{Client, IssuerUrl, RedirectUri, RegisteredBy, Secret};

/// In the extensions of an answer of ours, until it leaves: that it sends the browser on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentOn;

/// Sends the browser on by GET (RFC 9700 §4.12: 303, never 307).
pub(crate) fn see_other(location: &str) -> Response<Bytes> {
    let Ok(mut location) = HeaderValue::from_str(location) else {
        return page_error(&OAuthError::invalid_request(
            "The address to go to is not valid",
        ));
    };
    location.set_sensitive(true); // a code may stand in it: layers of the host that log headers do not show it
    let mut response = Response::new(Bytes::new());
    response.extensions_mut().insert(SentOn);
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What a client is told when somebody said no.
pub(crate) const DENIED: OAuthError =
    OAuthError::new(ErrorCode::AccessDenied, "The request was denied");

/// Where an authorization response goes, and what every one of them carries: `state` as it came, and `iss` always
/// (RFC 6749 §4.1.2, RFC 9207 §2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) issuer: &'a IssuerUrl,
    pub(crate) client: &'a Client,
    pub(crate) redirect_uri: &'a RedirectUri,
    pub(crate) state: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// A successful response.
    pub(crate) fn code(&self, code: &Secret) -> Response<Bytes> {
        self.send(&[("code", code.expose())])
    }

    /// The owner said no, on a page of ours or of the host: they know where they came from.
    pub(crate) fn denied(&self) -> Response<Bytes> {
        self.send(&[
            ("error", DENIED.code.as_str()),
            ("error_description", DENIED.description),
        ])
    }

    /// What was wrong with a request whose owner has signed in meanwhile; it is in the log already.
    pub(crate) fn refused(&self, error: &str, error_description: &str) -> Response<Bytes> {
        self.send(&[("error", error), ("error_description", error_description)])
    }

    /// An error response (RFC 6749 §4.1.2.1), before the owner has decided anything. The address of a client that registered itself is
    /// shown before anybody is sent there (RFC 9700 §4.11.2).
    pub(crate) fn error(&self, error: &OAuthError) -> Response<Bytes> {
        let parameters = [
            ("error", error.code.as_str()),
            ("error_description", error.description),
        ];
        if self.client.registered_by == RegisteredBy::Host {
            let mut response = self.send(&parameters);
            response.extensions_mut().insert(error.refused());
            return response;
        }
        let parameters = self.complete(&parameters);
        // Made here and from a `RedirectUri`, so that it is never a `javascript:` URL.
        let url = self.redirect_uri.with_parameters(parameters);
        let page = Leaving {
            redirect_uri: self.redirect_uri.clone(),
            url: Secret::new(url),
            detail: error.description,
        };
        let mut response = pages::page(error.status, Page::Leaving(page));
        response.extensions_mut().insert(error.refused());
        error.hint(response.headers_mut());
        response
    }

    fn send(&self, parameters: &[(&str, &str)]) -> Response<Bytes> {
        see_other(&self.redirect_uri.with_parameters(self.complete(parameters)))
    }

    fn complete<'p>(&self, parameters: &[(&'p str, &'p str)]) -> Vec<(&'p str, &'p str)>
    where
        'a: 'p,
    {
        let state = self.state.map(|state| ("state", state));
        parameters
            .iter()
            .copied()
            .chain(state)
            .chain([("iss", self.issuer.as_str())])
            .collect()
    }
}

/// There is no such request, or no longer.
pub(crate) const EXPIRED: OAuthError = OAuthError::invalid_request(
    "This request has expired or is not known. Go back to the application and start again",
);

/// There is no such client.
pub(crate) const UNKNOWN_APPLICATION: OAuthError =
    OAuthError::invalid_request("The application is not known here");

/// Its answers may not go there.
pub(crate) const UNREGISTERED_ADDRESS: OAuthError =
    OAuthError::invalid_request("The address to return to is not registered for this application");

/// An answer to a request that waits.
pub(crate) const FORGED: OAuthError = OAuthError::new(
    ErrorCode::AccessDenied,
    "The answer did not come from the page that asked this person",
)
.forged();

/// A user code.
pub(crate) const FORGED_CODE: OAuthError = OAuthError::new(
    ErrorCode::AccessDenied,
    "The code did not come from the page for codes",
)
.forged();

/// The removal of an application.
pub(crate) const FORGED_REMOVAL: OAuthError =
    OAuthError::invalid_request("csrf is wrong or too old, or the origin is another").forged();

/// A page that shows what belongs to somebody.
pub(crate) const NOT_SIGNED_IN: OAuthError =
    OAuthError::new(ErrorCode::AccessDenied, "Nobody is signed in").forbidden();

/// An error that has no address to go to.
pub(crate) fn page_error(error: &OAuthError) -> Response<Bytes> {
    let mut response = page(error.status, message(error));
    response.extensions_mut().insert(error.refused());
    error.hint(response.headers_mut());
    response
}

/// What a person is told of an error.
fn message(error: &OAuthError) -> Message {
    let known = [
        (&EXPIRED, Message::Expired),
        (&UNKNOWN_APPLICATION, Message::UnknownApplication),
        (&UNREGISTERED_ADDRESS, Message::UnregisteredAddress),
        (&FORGED, Message::Forged),
        (&FORGED_CODE, Message::ForgedCode),
        (&FORGED_REMOVAL, Message::ForgedRemoval),
        (&NOT_SIGNED_IN, Message::NotSignedIn),
    ];
    let detail = error.description;
    let mut known = known.iter();
    if let Some((_, message)) = known.find(|(known, _)| known.description == detail) {
        return *message;
    }
    match error.retry_after() {
        Some(retry_after) if error.status == StatusCode::TOO_MANY_REQUESTS => {
            Message::TooMany { retry_after }
        }
        _ if error.is_ours() => Message::Unavailable,
        _ => Message::Invalid { detail },
    }
}

pub(crate) fn page_decided() -> Response<Bytes> {
    page(StatusCode::BAD_REQUEST, Message::Answered)
}

pub(crate) fn page_forged() -> Response<Bytes> {
    page_error(&FORGED)
}

/// What has expired is told as any error.
pub(crate) fn page_gone() -> Response<Bytes> {
    page_error(&EXPIRED)
}

pub(crate) fn page(status: StatusCode, message: Message) -> Response<Bytes> {
    pages::page(status, Page::Message(message))
}
