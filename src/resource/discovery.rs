//! Where an issuer's metadata is found, and that it is its own (RFC 8414 §3; OpenID Connect Discovery §4).

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};

use super::http_client::Http;
use super::validator::Unavailable;
use crate::protocol::issuer_metadata::{InvalidMetadata, IssuerMetadata};
use crate::types::{Clock, IssuerUrl};

/// How long a document may be.
const LONGEST: usize = 256 * 1024;

/// Asks the issuer for its metadata: where RFC 8414 puts it and, if there is no document, where OpenID Connect does. Each of the two
/// requests has this much time.
///
/// A document that is another issuer's ends the search: whoever answers there is not to be believed (RFC 8414 §6.2).
pub(crate) async fn discover(
    issuer: &IssuerUrl,
    http: &Http,
    time: (&dyn Clock, Duration),
) -> Result<IssuerMetadata, Unavailable> {
    for url in well_known(issuer) {
        let request = get(url.parse().map_err(Unavailable::new)?);
        let answer = http.send(request, LONGEST, time).await?;
        if answer.status() != StatusCode::OK || !is_json(answer.headers()) {
            continue;
        }
        match IssuerMetadata::parse(answer.body(), issuer) {
            Ok(metadata) => return Ok(metadata),
            Err(InvalidMetadata::NoDocument) => {}
            Err(invalid) => return Err(Unavailable::new(invalid)),
        }
    }
    Err(Unavailable::new(InvalidMetadata::NoDocument))
}

/// RFC 8414 §3.1 puts the suffix between host and path, OpenID Connect Discovery §4 behind both.
fn well_known(issuer: &IssuerUrl) -> [String; 2] {
    let (origin, path) = (issuer.origin(), issuer.path());
    let inserted = issuer.well_known_path("oauth-authorization-server");
    [
        format!("{origin}{inserted}"),
        format!("{origin}{path}/.well-known/openid-configuration"),
    ]
}

/// A request that says nothing but what it wants: JSON, and not as some cache on the way remembers it (RFC 9111 §5.2.1.4), since who
/// asks has a question of now.
pub(crate) fn get(uri: Uri) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    let accepted = HeaderValue::from_static("application/json, application/jwk-set+json");
    headers.insert(ACCEPT, accepted);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    request
}

/// Whether the answer says of itself that it is JSON (RFC 8414 §3.2), with whatever parameters.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let said = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = said.and_then(|said| said.split(';').next());
    media_type.is_some_and(|media_type| {
        media_type
            .trim_ascii()
            .eq_ignore_ascii_case("application/json")
    })
}

#[cfg(test)]
mod tests {
    use super::{is_json, well_known};
    use http::HeaderMap;

    // req: 8414-3.1-2
    #[test]
    fn rfc8414_3_1_the_suffix_is_inserted_and_openid_appends_it() {
        let at = |issuer: &str| well_known(&issuer.parse().unwrap());
        for issuer in ["https://as.example/t/acme", "https://as.example/t/acme/"] {
            assert_eq!(
                at(issuer),
                [
                    "https://as.example/.well-known/oauth-authorization-server/t/acme",
                    "https://as.example/t/acme/.well-known/openid-configuration",
                ]
            );
        }
        for issuer in ["https://as.example:8443", "https://as.example:8443/"] {
            assert_eq!(
                at(issuer),
                [
                    "https://as.example:8443/.well-known/oauth-authorization-server",
                    "https://as.example:8443/.well-known/openid-configuration",
                ]
            );
        }
    }

    #[test]
    fn rfc8414_3_2_a_document_says_that_it_is_json() {
        let says = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", text.parse().unwrap());
            is_json(&headers)
        };
        assert!(says("application/json"));
        assert!(says("Application/JSON; charset=utf-8"));
        assert!(!says("text/html"));
        assert!(!says("application/jsonp"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
