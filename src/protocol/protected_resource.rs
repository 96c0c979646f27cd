//! The metadata document of a protected resource (RFC 9728 §2, §3), and how a public document is served.
//!
//! Left out: signed metadata (RFC 9728 §2.2) and members in several languages (§2.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::types::{IssuerUrl, ResourceUri, ScopeToken};

/// What a protected resource says about itself (RFC 9728 §2). Members without a value are left out (§3.2).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProtectedResourceMetadata<'a> {
    pub(crate) resource: &'a ResourceUri,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) authorization_servers: &'a [IssuerUrl],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) scopes_supported: &'a [ScopeToken],
    pub(crate) bearer_methods_supported: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource_name: Option<&'a str>,
}

impl ProtectedResourceMetadata<'_> {
    /// The document at the resource's own well-known path (RFC 9728 §3.1).
    pub(crate) fn document(&self) -> Result<Document, serde_json::Error> {
        let url = self.resource.metadata_url().unwrap_or_default();
        let place = Place {
            path: self.resource.well_known_path(),
            query: url.split_once('?').map(|(_, query)| query.to_owned()),
        };
        Ok(Document::new(place, serde_json::to_vec(self)?))
    }
}

/// A public JSON document that anybody may read, from any origin, and keep for a while.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    place: Place,
    json: Bytes,
    etag: HeaderValue,
    length: HeaderValue,
    media_type: HeaderValue,
    cache_control: HeaderValue,
}

/// Where a document stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    path: String,
    query: Option<String>,
}

impl Place {
    /// A place without a query.
    #[cfg(feature = "server")]
    pub(crate) const fn path(path: String) -> Self {
        Self { path, query: None }
    }

    /// Whether it has a query of its own, and so is not the place of whatever query.
    #[cfg(feature = "server")]
    pub(crate) const fn has_query(&self) -> bool {
        self.query.is_some()
    }

    /// Whether that is this target. Only a document with a query of its own asks for one.
    pub(crate) fn is(&self, target: &Uri) -> bool {
        target.path() == self.path
            && (self.query.is_none() || target.query() == self.query.as_deref())
    }
}

impl Document {
    pub(crate) fn new(place: Place, json: Vec<u8>) -> Self {
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&json)));
        Self {
            place,
            // base64url and quotes are always a header value.
            etag: HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
            length: HeaderValue::from(json.len()),
            json: json.into(),
            media_type: HeaderValue::from_static("application/json"),
            cache_control: HeaderValue::from_static("public, max-age=3600"),
        }
    }

    /// A JWK set (RFC 7517 §8.5.2), which changes now and then: it may be kept for a quarter of an hour.
    #[cfg(feature = "jwt")]
    pub(crate) fn jwk_set(json: Vec<u8>) -> Self {
        Self {
            media_type: HeaderValue::from_static("application/jwk-set+json"),
            cache_control: HeaderValue::from_static("public, max-age=900"),
            ..Self::new(Place::default(), json)
        }
    }

    /// Where it stands.
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// The answer to a request for it: GET, HEAD, a browser's OPTIONS; nothing else (RFC 9728 §3.1).
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        match *request.method() {
            Method::GET | Method::HEAD => {
                headers.insert(CACHE_CONTROL, self.cache_control.clone());
                headers.insert(ETAG, self.etag.clone());
                if self.is_known(request.headers()) {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    return response;
                }
                headers.insert(CONTENT_TYPE, self.media_type.clone());
                headers.insert(CONTENT_LENGTH, self.length.clone());
                headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                if request.method() == Method::GET {
                    *response.body_mut() = self.json.clone();
                }
            }
            Method::OPTIONS => {
                headers.insert(
                    ACCESS_CONTROL_ALLOW_METHODS,
                    HeaderValue::from_static("GET, HEAD"),
                );
                // The asterisk stands for all but `Authorization`; the last is named for readers that do not know the asterisk.
                headers.insert(
                    ACCESS_CONTROL_ALLOW_HEADERS,
                    HeaderValue::from_static(
                        "*, authorization, content-type, mcp-protocol-version",
                    ),
                );
                headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            _ => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
        }
        response
    }

    /// RFC 9110 §13.1.2: `*` or a list of tags, compared weakly.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || self.etag == *tag.strip_prefix("W/").unwrap_or(tag))
    }
}
