//! The metadata of an issuer, as it is read (RFC 8414 §3.2, §3.3; OpenID Connect Discovery §4.2, §4.3).
//!
//! Left out: `signed_metadata` (RFC 8414 §2.1), which only counts for readers who know it.

use serde::Deserialize;

use crate::types::{EndpointUrl, IssuerUrl};

/// What is read of the document of an issuer. Whatever else it says is ignored, and a member that is read must not stand twice.
#[derive(Debug, Deserialize)]
pub(crate) struct IssuerMetadata {
    issuer: String,
    #[cfg(feature = "jwks")]
    jwks_uri: Option<String>,
    #[cfg(feature = "introspection")]
    introspection_endpoint: Option<String>,
}

/// Why the metadata of an issuer is of no use, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidMetadata {
    #[error("the answer is no metadata document")]
    NoDocument,
    #[error("the metadata document is another issuer's")]
    AnotherIssuer,
    #[error("the metadata document has no {0}")]
    Missing(&'static str),
    #[error("{0} of the metadata document is no URL that may be asked")]
    Endpoint(&'static str),
}

impl IssuerMetadata {
    /// Reads the document that was found where this issuer's belongs.
    pub(crate) fn parse(json: &[u8], issuer: &IssuerUrl) -> Result<Self, InvalidMetadata> {
        // A list would be read as well, member by member.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(InvalidMetadata::NoDocument);
        }
        let read: Self = serde_json::from_slice(json).map_err(|_| InvalidMetadata::NoDocument)?;
        // RFC 8414 §3.3: MUST be identical, and nothing of the document may be used where it is not; §4: no normalization.
        if read.issuer != issuer.as_str() {
            return Err(InvalidMetadata::AnotherIssuer);
        }
        Ok(read)
    }

    /// Where its keys are.
    #[cfg(feature = "jwks")]
    pub(crate) fn jwks_uri(&self) -> Result<EndpointUrl, InvalidMetadata> {
        self.endpoint("jwks_uri", self.jwks_uri.as_deref())
    }

    /// Where it is asked about tokens.
    #[cfg(feature = "introspection")]
    pub(crate) fn introspection_endpoint(&self) -> Result<EndpointUrl, InvalidMetadata> {
        let endpoint = self.introspection_endpoint.as_deref();
        self.endpoint("introspection_endpoint", endpoint)
    }

    fn endpoint(
        &self,
        name: &'static str,
        url: Option<&str>,
    ) -> Result<EndpointUrl, InvalidMetadata> {
        let url = url.ok_or(InvalidMetadata::Missing(name))?;
        let invalid = InvalidMetadata::Endpoint(name);
        let url: EndpointUrl = url.parse().map_err(|_| invalid)?;
        // An issuer that is elsewhere has no business with what listens on this machine.
        let is_here = self.issuer.starts_with("http:");
        if !is_here && url.uri().scheme() != Some(&http::uri::Scheme::HTTPS) {
            return Err(invalid);
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidMetadata, IssuerMetadata};

    fn read(issuer: &str, json: &str) -> Result<IssuerMetadata, InvalidMetadata> {
        IssuerMetadata::parse(json.as_bytes(), &issuer.parse().unwrap())
    }

    // req: 8414-3.3-1, 8414-4-1, 8414-6.2-1
    #[test]
    fn rfc8414_3_3_the_issuer_is_compared_byte_for_byte() {
        let document = |issuer: &str| format!(r#"{{"issuer":"{issuer}"}}"#);
        for same in [
            "https://as.example/t",
            r"https:\/\/as.example\/t",
            r"\u0068ttps://as.exampl\u0065/t",
        ] {
            assert!(read("https://as.example/t", &document(same)).is_ok());
        }
        for other in [
            "https://as.example/t/",
            "https://as.example",
            "https://AS.example/t",
            "https://as.example:443/t",
            "https://as.example/t ",
            "http://as.example/t",
            "https://as.example/t\u{301}",
            "",
        ] {
            let read = read("https://as.example/t", &document(other));
            assert_eq!(read.err(), Some(InvalidMetadata::AnotherIssuer), "{other}");
        }
        assert!(read("https://as.example/", &document("https://as.example/")).is_ok());
        assert!(read("https://as.example", &document("https://as.example/")).is_err());
    }

    // req: 8414-2.1-3
    #[test]
    fn rfc8414_3_2_what_is_not_known_is_ignored() {
        let json =
            r#"{"signed_metadata":"e30.e30.x","a":[{}],"issuer":"https://as.example","a":1}"#;
        assert!(read("https://as.example", json).is_ok());
    }

    #[test]
    fn v16_what_is_read_stands_once_and_is_a_text() {
        for json in [
            r#"{"issuer":"https://as.example","issuer":"https://as.example"}"#,
            r#"{"issuer":"https://as.example","jwks_uri":"https://a.example","jwks_uri":"https://b.example"}"#,
            r#"{"issuer":"https://as.example","introspection_endpoint":"https://a.example","introspection_endpoint":"x"}"#,
            r#"{"issuer":"https://as.example","jwks_uri":7}"#,
            r#"{"issuer":"https://as.example","jwks_uri":["https://a.example"]}"#,
            r#"{"issuer":["https://as.example"]}"#,
            r#"["https://as.example","https://a.example","https://a.example"]"#,
            r#"{"jwks_uri":"https://a.example"}"#,
            r#"{"issuer":"https://as.example"} x"#,
            r#"{"issuer":"https://as.example""#,
            "<html></html>",
            "null",
            "",
        ] {
            let read = read("https://as.example", json);
            assert_eq!(read.err(), Some(InvalidMetadata::NoDocument), "{json}");
        }
    }

    #[cfg(feature = "jwks")]
    #[test]
    fn v35_an_issuer_elsewhere_leads_nobody_to_plain_http() {
        let keys = |issuer: &str, uri: &str| {
            let json = format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#);
            let uri = read(issuer, &json).unwrap().jwks_uri();
            uri.map(|uri| uri.to_string())
        };
        for (issuer, uri) in [
            ("https://as.example", "https://keys.example/jwks?x=1"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/jwks"),
            ("http://localhost", "https://keys.example/jwks"),
        ] {
            assert_eq!(keys(issuer, uri).as_deref(), Ok(uri));
        }
        for (issuer, uri) in [
            ("https://as.example", "http://127.0.0.1:8080/jwks"),
            ("https://as.example", "http://localhost/jwks"),
            ("https://as.example", "http://as.example/jwks"),
            ("https://as.example", "/jwks"),
            ("https://as.example", "file:///etc/passwd"),
            ("https://as.example", "https://a@as.example/jwks"),
            ("http://127.0.0.1:8080", "http://as.example/jwks"),
        ] {
            let refused = Err(InvalidMetadata::Endpoint("jwks_uri"));
            assert_eq!(keys(issuer, uri), refused, "{issuer} {uri}");
        }
        let none = read("https://as.example", r#"{"issuer":"https://as.example"}"#).unwrap();
        let missing = InvalidMetadata::Missing("jwks_uri");
        assert_eq!(none.jwks_uri().err(), Some(missing));
    }
}
