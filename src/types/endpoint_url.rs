//! Where an issuer is asked (RFC 6749 §3.1, §3.2; RFC 8414 §2).

use std::fmt;
use std::str::FromStr;

use http::Uri;
use url::Url;

use super::IssuerUrl;

/// The URL of an endpoint of an issuer: `https` without a fragment, or `http` on a loopback host, where nothing leaves the machine.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Uri);

impl EndpointUrl {
    /// The target of a request to it.
    pub(crate) fn uri(&self) -> Uri {
        self.0.clone()
    }
}

impl FromStr for EndpointUrl {
    type Err = InvalidEndpointUrl;

    fn from_str(text: &str) -> Result<Self, InvalidEndpointUrl> {
        let url = Url::parse(text).map_err(|_| InvalidEndpointUrl)?;
        // An origin is a whole issuer identifier, and those are held to the same rule.
        let origin = url.origin().ascii_serialization();
        let is_safe = origin.parse::<IssuerUrl>().is_ok();
        if !is_safe || text.contains('#') || !url.username().is_empty() || url.password().is_some()
        {
            return Err(InvalidEndpointUrl);
        }
        url.as_str()
            .parse()
            .map(Self)
            .map_err(|_| InvalidEndpointUrl)
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({})", self.0)
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not an `https` URL (or `http` on a loopback host) without fragment and credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is an https URL without fragment and credentials; http is for loopback hosts")]
#[non_exhaustive]
pub struct InvalidEndpointUrl;

#[cfg(test)]
mod tests {
    use super::EndpointUrl;

    #[test]
    fn rfc8414_2_an_endpoint_is_https_or_on_this_machine() {
        for good in [
            "https://as.example/introspect",
            "https://as.example",
            "https://as.example:8443/a?b=c",
            "http://127.0.0.1:8080/jwks.json",
            "http://[::1]/x",
            "http://localhost:1/x",
        ] {
            assert!(good.parse::<EndpointUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://as.example/introspect",
            "http://127.0.0.1.example/x",
            "http://10.0.0.1/x",
            "https://as.example/#a",
            "https://user:secret@as.example/x",
            "https://user@as.example/x",
            "ftp://as.example/x",
            "file:///etc/passwd",
            "data:application/json,{}",
            "/introspect",
            "as.example",
            "",
        ] {
            assert!(bad.parse::<EndpointUrl>().is_err(), "{bad}");
        }
    }
}
