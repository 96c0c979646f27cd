//! What the browser is sent: authorization responses (RFC 6749 §4.1.2, RFC 9207 §2), redirects, and pages that say one thing.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, Response, StatusCode};

use super::pages::{self, Leaving, Message};
use crate::protocol::error::{ErrorCode, OAuthError};
use crate::types::{Client, IssuerUrl, RedirectUri, RegisteredBy, Secret};

/// In the extensions of an answer of ours, until it leaves: that it sends the browser on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentOn;

/// As [`SentOn`]: what a page says, for whoever wants it as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Gone,
    Decided,
    Forged,
    Connected,
    Denied,
}

impl Said {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Gone => GONE,
            Self::Decided => {
                "This request was answered before, and an answer is final. You can close this page."
            }
            Self::Forged => {
                "The answer did not come from the page that asked you. Go back to the application and start again."
            }
            Self::Connected => "You can close this page and go back to your device.",
            Self::Denied => "Nothing was given to the device. You can close this page.",
        }
    }

    /// Its page.
    pub(crate) fn page(self) -> Response<Bytes> {
        let (status, title) = match self {
            Self::Gone => (StatusCode::BAD_REQUEST, "This does not work"),
            Self::Decided => (StatusCode::BAD_REQUEST, "Already answered"),
            Self::Forged => (StatusCode::FORBIDDEN, "Not accepted"),
            Self::Connected => (StatusCode::OK, "Device connected"),
            Self::Denied => (StatusCode::OK, "Request denied"),
        };
        let mut response = page(status, title, self.text());
        response.extensions_mut().insert(self);
        response
    }
}

const GONE: &str =
    "This request has expired or is not known. Go back to the application and start again";

/// A request that is not there, or no longer: strangers are not told which.
pub(crate) const fn gone() -> OAuthError {
    OAuthError::invalid_request(GONE)
}

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
        let page = Leaving {
            redirect_uri: self.redirect_uri,
            parameters: &parameters,
            text: error.description,
        };
        let mut response = pages::respond(error.status, &page);
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

/// An error that has no address to go to.
pub(crate) fn page_error(error: &OAuthError) -> Response<Bytes> {
    let mut response = page(error.status, "This does not work", error.description);
    response.extensions_mut().insert(error.refused());
    error.hint(response.headers_mut());
    response
}

pub(crate) fn page_decided() -> Response<Bytes> {
    Said::Decided.page()
}

pub(crate) fn page_forged() -> Response<Bytes> {
    Said::Forged.page()
}

/// What has expired is told as any error.
pub(crate) fn page_gone() -> Response<Bytes> {
    let mut response = Said::Gone.page();
    response.extensions_mut().insert(gone().refused());
    response
}

pub(crate) fn page(status: StatusCode, title: &str, text: &str) -> Response<Bytes> {
    pages::respond(status, &Message { title, text })
}
