//! The authorization server's identifier and its well-known URLs (RFC 8414 §2, §3).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// An issuer identifier: an `https` URL without query or fragment (RFC 8414 §2), kept byte for byte as it was given.
///
/// `http` is taken for the loopback hosts `127.0.0.1`, `[::1]` and `localhost` alone, where nothing leaves the machine.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct IssuerUrl(Arc<str>);

impl IssuerUrl {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port: `https://auth.example:8443`.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.get(..self.path_start()).unwrap_or(&self.0)
    }

    /// The path without a terminating slash: empty or `/t/acme`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0
            .get(self.path_start()..)
            .unwrap_or_default()
            .trim_end_matches('/')
    }

    /// The path of a well-known document: the suffix is inserted between host and path (RFC 8414 §3.1).
    #[must_use]
    pub fn well_known_path(&self, suffix: &str) -> String {
        format!("/.well-known/{suffix}{}", self.path())
    }

    fn path_start(&self) -> usize {
        let host = self.0.find("://").map_or(0, |colon| colon + 3);
        self.0
            .get(host..)
            .and_then(|rest| rest.find('/'))
            .map_or(self.0.len(), |slash| host + slash)
    }
}

impl FromStr for IssuerUrl {
    type Err = InvalidIssuerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidIssuerUrl> {
        let url = Url::parse(text).map_err(|_| InvalidIssuerUrl::NotAUrl)?;
        // What the parser would mend (spaces, capitals, dots, a missing slash, its own port) could be read in two ways later.
        if text != url.as_str() && format!("{text}/") != url.as_str() {
            return Err(InvalidIssuerUrl::NotAUrl);
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(InvalidIssuerUrl::QueryOrFragment);
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(url.host_str()) => {}
            _ => return Err(InvalidIssuerUrl::NotHttps),
        }
        Ok(Self(text.into()))
    }
}

/// The three spellings of this machine that RFC 8252 §7.3 and §8.3 name, and no other.
pub(crate) fn is_loopback(host: Option<&str>) -> bool {
    matches!(host, Some("127.0.0.1" | "[::1]" | "localhost"))
}

impl TryFrom<String> for IssuerUrl {
    type Error = InvalidIssuerUrl;

    fn try_from(text: String) -> Result<Self, InvalidIssuerUrl> {
        text.parse()
    }
}

impl Serialize for IssuerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<IssuerUrl> for String {
    fn from(issuer: IssuerUrl) -> Self {
        issuer.0.as_ref().into()
    }
}

impl fmt::Debug for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerUrl({})", self.0)
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an issuer identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIssuerUrl {
    /// Not an absolute URL in its normal form (lower-case scheme and host, no default port, no dot segments).
    #[error("not an absolute URL in its normal form")]
    NotAUrl,
    /// It has a query, a fragment or user information.
    #[error("an issuer has no query, fragment or user information")]
    QueryOrFragment,
    /// It is not `https`, and not `http` on a loopback host.
    #[error("an issuer is an https URL (http only on 127.0.0.1, [::1] or localhost)")]
    NotHttps,
}

#[cfg(test)]
mod tests {
    use super::IssuerUrl;

    // req: 8414-2-1, http-tls-1
    #[test]
    fn rfc8414_2_an_issuer_is_https_without_query_or_fragment() {
        for good in [
            "https://a.example",
            "https://a.example/",
            "https://a.example/t/acme",
            "http://127.0.0.1:8080",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert!(good.parse::<IssuerUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://a.example",
            "https://a.example?x",
            "https://a.example/?x",
            "https://a.example/t?x=1",
            "https://a.example/t?",
            "https://a.example#y",
            "https://a.example/#y",
            "https://a.example/t#y",
            "https://u:p@a.example",
            "https://u:p@a.example/",
            "https://u@a.example/t",
            "https://a.example/?x",
            "https://a.example/#y",
            "https://u:p@a.example",
            "https://u@a.example",
            "https://:p@a.example",
            "a.example",
            "ftp://a.example",
            "https://A.example",
            "https://a.example:443",
            "https://a.example/../b",
            "http://127.1",
            "http://2130706433",
            " https://a.example",
            "https:a.example",
            "",
        ] {
            assert!(bad.parse::<IssuerUrl>().is_err(), "{bad}");
        }
    }

    // req: 8414-3-1, 8414-3.1-2
    #[test]
    fn rfc8414_3_1_the_suffix_is_inserted_between_host_and_path() {
        let at = |issuer: &str| {
            issuer
                .parse::<IssuerUrl>()
                .unwrap()
                .well_known_path("oauth-authorization-server")
        };
        assert_eq!(
            at("https://a.example"),
            "/.well-known/oauth-authorization-server"
        );
        assert_eq!(
            at("https://a.example/"),
            "/.well-known/oauth-authorization-server"
        );
        assert_eq!(
            at("https://a.example/t/acme"),
            "/.well-known/oauth-authorization-server/t/acme"
        );
        assert_eq!(
            at("https://a.b/t/acme"),
            "/.well-known/oauth-authorization-server/t/acme"
        );
        assert_eq!(
            at("https://a.example/t/acme/"),
            "/.well-known/oauth-authorization-server/t/acme"
        );
    }

    // req: http-host-3
    #[test]
    fn an_issuer_is_kept_byte_for_byte() {
        for text in ["https://a.example", "https://a.example/"] {
            assert_eq!(text.parse::<IssuerUrl>().unwrap().as_str(), text);
        }
        assert_eq!(
            "https://a.example:8443/t"
                .parse::<IssuerUrl>()
                .unwrap()
                .origin(),
            "https://a.example:8443"
        );
    }
}
