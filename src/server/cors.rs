//! Which endpoints the pages of other origins may call (the CORS protocol of the Fetch standard).
//!
//! The metadata documents are open to every origin (they say so themselves), the endpoints that browser clients call to the origins
//! that were named, and the pages and introspection to none (RFC 9700 §2.6). No credentials are ever allowed: every endpoint reads its own header.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::config::Config;
use super::{Endpoint, Route};

/// Who may call an endpoint, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cors<'a> {
    origins: Origins<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Origins<'a> {
    Any,
    Of(&'a [HeaderValue]),
}

impl<'a> Cors<'a> {
    /// What holds for a route; none where other origins have no business.
    pub(crate) fn of(route: Route, config: &'a Config) -> Option<Self> {
        match route {
            Route::Endpoint(
                Endpoint::Token | Endpoint::Revoke | Endpoint::Register | Endpoint::Device,
            ) => {
                let all = config.browser_clients.iter().any(|origin| origin == "*");
                let origins = if all {
                    Origins::Any
                } else {
                    Origins::Of(&config.browser_clients)
                };
                (!config.browser_clients.is_empty()).then_some(Self { origins })
            }
            // The documents say themselves that everybody may read them.
            Route::ProtectedResource
            | Route::Endpoint(
                Endpoint::Metadata
                | Endpoint::Authorize
                | Endpoint::Verification
                | Endpoint::ConnectedApps
                | Endpoint::Introspect
                | Endpoint::Jwks,
            ) => None,
        }
    }

    /// The answer to a browser that asks first.
    pub(crate) fn preflight<B>(self, request: &Request<B>) -> Option<Response<Bytes>> {
        if request.method() != Method::OPTIONS
            || !request
                .headers()
                .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        self.allow(request.headers(), response.headers_mut());
        if response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            let headers = response.headers_mut();
            headers.insert(
                ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("POST"),
            );
            // `*` would not cover Authorization; MCP clients send a header of their own.
            let allowed =
                HeaderValue::from_static("authorization, content-type, dpop, mcp-protocol-version");
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        }
        Some(response)
    }

    /// Lets the page that asked read an answer.
    pub(crate) fn allow(self, request: &HeaderMap, response: &mut HeaderMap) {
        let origin = match self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Of(origins) => {
                response.append(VARY, HeaderValue::from_static("origin"));
                request
                    .get(ORIGIN)
                    .filter(|origin| origins.contains(origin))
                    .cloned()
            }
        };
        if let Some(origin) = origin {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("www-authenticate, retry-after"),
            );
        }
    }
}
