//! Redirection endpoints and the one rule by which they match (RFC 6749 §3.1.2, RFC 9700 §2.1, RFC 8252 §7.3).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// A redirection URI: `https`, `http` on a loopback host, or a private-use scheme with a dot in it (`com.example.app:/cb`).
///
/// It is absolute, has no fragment, no user information and no response parameter of ours in its query, and is at most 2048
/// printable ASCII characters. It is kept byte for byte.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct RedirectUri(Arc<str>);

/// Parameters that an authorization response carries: a registered URI that has one could forge it (RFC 9207 §2).
const RESPONSE_PARAMETERS: [&str; 6] = [
    "code",
    "state",
    "iss",
    "error",
    "error_description",
    "error_uri",
];

impl RedirectUri {
    /// As it was registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request may be answered at `requested` when this one is registered: byte for byte the same, but for the port of
    /// a loopback URI (RFC 6749 §3.1.2.3, RFC 8252 §7.3).
    #[must_use]
    pub fn matches(&self, requested: &str) -> bool {
        if *self.0 == *requested {
            return true;
        }
        matches!((loopback_parts(&self.0), loopback_parts(requested)), (Some(ours), Some(theirs)) if ours == theirs)
    }

    /// Whether it leads back to the owner's own machine (`http` on a loopback host).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        loopback_parts(&self.0).is_some()
    }

    /// Whether it is an `https` URL: the only kind whose host somebody can be held to.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// What a person is told about where the answer goes: the host, or the scheme of a private-use URI.
    #[must_use]
    pub fn destination(&self) -> &str {
        let Some((scheme, rest)) = self.0.split_once(':') else {
            return &self.0;
        };
        match rest.strip_prefix("//") {
            Some(rest) if !rest.is_empty() && matches!(scheme, "http" | "https") => {
                rest.split(['/', '?']).next().unwrap_or(rest)
            }
            _ => scheme,
        }
    }

    /// The URI with parameters added to its query in form encoding; what it had is kept (RFC 6749 §3.1.2, §4.1.2).
    pub(crate) fn with_parameters<'a>(
        &self,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let joint = match self.0.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        format!("{}{joint}{}", self.0, query.finish())
    }
}

/// Host and rest of a loopback `http` URI whose port, if it has one, is 1 to 65535; the port itself is left out.
fn loopback_parts(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (host, rest) = ["127.0.0.1", "[::1]", "localhost"]
        .iter()
        .find_map(|host| Some((*host, rest.strip_prefix(host)?)))?;
    let rest = match rest.strip_prefix(':') {
        None => rest,
        Some(rest) => {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (port, rest) = rest.split_at_checked(digits)?;
            if port.starts_with('0') || port.parse::<u16>().is_err() {
                return None;
            }
            rest
        }
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

impl FromStr for RedirectUri {
    type Err = InvalidRedirectUri;

    fn from_str(text: &str) -> Result<Self, InvalidRedirectUri> {
        let strange = |byte: u8| {
            !(0x21..=0x7E).contains(&byte) || matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>')
        };
        if text.len() > 2048 || text.bytes().any(strange) {
            return Err(InvalidRedirectUri);
        }
        let url = Url::parse(text).map_err(|_| InvalidRedirectUri)?;
        let written = |scheme: &str| text.get(..scheme.len()) == Some(scheme);
        let authority = text
            .get(url.scheme().len()..)
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|rest| rest.split(['/', '?']).next())
            .unwrap_or_default();
        // The host that a person is shown is the one that the browser goes to: the parser would mend `https:///host` and `0x7f.1`.
        let has_host = url
            .host_str()
            .and_then(|host| Some((authority.get(..host.len())?, host)))
            .is_some_and(|(written, host)| written.eq_ignore_ascii_case(host));
        let fits = match url.scheme() {
            // As written: the parser would also read `https:host` and `HTTPS://host`.
            "https" => written("https://") && has_host,
            "http" => loopback_parts(text).is_some(), // RFC 9700 §2.6: MUST NOT be http otherwise
            // RFC 8252 §7.1: a private-use scheme is a reversed domain name; `javascript`, `data`, `file` … are not.
            scheme => scheme.contains('.') && written(scheme),
        };
        // A host with escapes in it would be shown to a person as something else than where it leads; and one behind a name is not where
        // it seems to lead, though the name be empty.
        if !fits || authority.contains(['%', '@']) {
            return Err(InvalidRedirectUri);
        }
        if url
            .query_pairs()
            .any(|(name, _)| RESPONSE_PARAMETERS.contains(&&*name))
        {
            return Err(InvalidRedirectUri);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = InvalidRedirectUri;

    fn try_from(text: String) -> Result<Self, InvalidRedirectUri> {
        text.parse()
    }
}

impl Serialize for RedirectUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0.as_ref().into()
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedirectUri({})", self.0)
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a redirection URI that this crate accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a redirection URI is https, http on a loopback host, or a private-use scheme with a dot, without a fragment"
)]
#[non_exhaustive]
pub struct InvalidRedirectUri;

#[cfg(test)]
mod tests {
    use super::RedirectUri;

    // req: 7591-5-2, 6749-3.1.2-1, 6749-3.1.2-3, 9700-2.6-4
    #[test]
    fn rfc7591_5_what_may_be_registered() {
        for good in [
            "https://x.example/cb",
            "https://x.example/cb?x=1",
            "http://127.0.0.1/cb",
            "http://localhost:9/cb",
            "http://[::1]:3000/",
            "com.harbor.app:/cb",
            "com.harbor.app:/cb?at=a://b@c",
        ] {
            assert!(good.parse::<RedirectUri>().is_ok(), "{good}");
        }
        for bad in [
            "/cb",
            "//h/cb",
            "https://x.example/cb#",
            "https://x.example/cb#f",
            "http://x.example/cb",
            "javascript:1",
            "data:,x",
            "file:///x",
            "vbscript:x",
            "harbor:/cb",
            "https:x",
            "https:///x.example/cb",
            "https:////x.example/cb",
            "https://0x7f.1/cb",
            "https://2130706433/cb",
            "HTTPS://x.example/cb",
            "https://u@x.example/cb",
            "https://@x.example/cb",
            "https://:@x.example/cb",
            "com.harbor.app://@",
            "com.harbor.app://@/cb",
            "com.harbor.app://u@x/cb",
            "https://x.example/c b",
            "https://x.example/\\cb",
            "https://x.ex%61mple/cb",
            "com.harbor.app://x.ex%61mple/cb",
            "com.harbor.app://u@x.example/cb",
            "com.harbor.app://:p@x.example/cb",
            "com.harbor.app:/c<b>",
            "COM.harbor.app:/cb",
            "https://x.example/é",
            "",
            "http://127.0.0.1.evil.test/cb",
            "http://127.0.0.1:80@evil.test/cb",
            "http://127.1/cb",
            "http://2130706433/cb",
            "http://[::ffff:127.0.0.1]/cb",
            "http://127.0.0.1:0/cb",
            "http://127.0.0.1:65536/cb",
            "http://127.0.0.1:/cb",
            "http://localhost.evil.test/cb",
        ] {
            assert!(bad.parse::<RedirectUri>().is_err(), "{bad}");
        }
    }

    // req: 9207-PROJ-1
    #[test]
    fn rfc9207_a_response_parameter_cannot_be_registered() {
        for bad in [
            "https://x.example/cb?iss=x",
            "https://x.example/cb?a=1&code=2",
            "https://x.example/cb?st%61te=z",
        ] {
            assert!(bad.parse::<RedirectUri>().is_err(), "{bad}");
        }
    }

    // req: 6749-3.1.2.3-3, 9700-2.1-1, tol-redirect-2
    #[test]
    fn s01_redirect_uris_match_byte_for_byte() {
        let registered: RedirectUri = "https://app.harbor.test/cb".parse().unwrap();
        assert!(registered.matches("https://app.harbor.test/cb"));
        for other in [
            "https://app.harbor.test/cb/",
            "https://APP.harbor.test/cb",
            "https://app.harbor.test:443/cb",
            "https://app.harbor.test:8443/cb",
            "https://app.harbor.test/c%62",
            "https://app.harbor.test/cb?x=1",
            "https://app.harbor.test/cb#",
            "https://u@app.harbor.test/cb",
            "https://app.harbor.test/./cb",
            "https://app.harbor.test/%2e/cb",
            "https://app.harbor.test\\/cb",
            "http://app.harbor.test/cb",
            "https://sub.app.harbor.test/cb",
            "",
        ] {
            assert!(!registered.matches(other), "{other}");
        }
    }

    // req: 8252-7.3-1, 8252-7.3-2, 8252-7.3-3, 8252-7.3-4
    #[test]
    fn rfc8252_7_3_only_the_port_of_a_loopback_uri_is_free() {
        for registered in ["http://127.0.0.1/cb", "http://127.0.0.1:3000/cb"] {
            let registered: RedirectUri = registered.parse().unwrap();
            for good in [
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51004/cb",
                "http://127.0.0.1:1/cb",
                "http://127.0.0.1:65535/cb",
            ] {
                assert!(registered.matches(good), "{good}");
            }
            for bad in [
                "http://127.0.0.1:5/other",
                "http://127.0.0.1:5/cb?x=1",
                "https://127.0.0.1:5/cb",
                "http://[::1]:5/cb",
                "http://localhost:5/cb",
                "http://127.0.0.1:5",
                "http://127.0.0.1:0/cb",
                "http://127.0.0.1:65536/cb",
                "http://127.0.0.1:/cb",
                "http://127.0.0.1.evil.test/cb",
                "http://127.0.0.1:80@evil.test/cb",
                "http://127.1/cb",
                "http://2130706433/cb",
            ] {
                assert!(!registered.matches(bad), "{bad}");
            }
        }
        let v6: RedirectUri = "http://[::1]/cb".parse().unwrap();
        assert!(v6.matches("http://[::1]:7/cb") && !v6.matches("http://127.0.0.1:7/cb"));
        let name: RedirectUri = "http://localhost:1/cb".parse().unwrap();
        assert!(name.matches("http://localhost:2/cb") && !name.matches("http://127.0.0.1:2/cb"));
    }

    // req: 6749-3.1.2-2, 6749-4.1.2-6
    #[test]
    fn rfc6749_3_1_2_a_query_is_kept_and_parameters_are_form_encoded() {
        let with = |uri: &str| {
            uri.parse::<RedirectUri>()
                .unwrap()
                .with_parameters([("code", "a&b=c+d é")])
        };
        assert_eq!(
            with("https://x.example/cb"),
            "https://x.example/cb?code=a%26b%3Dc%2Bd+%C3%A9"
        );
        assert_eq!(
            with("https://x.example/cb?x=1"),
            "https://x.example/cb?x=1&code=a%26b%3Dc%2Bd+%C3%A9"
        );
        assert_eq!(
            with("https://x.example/cb?"),
            "https://x.example/cb?code=a%26b%3Dc%2Bd+%C3%A9"
        );
    }

    #[test]
    fn a_person_is_told_the_host_or_the_scheme() {
        let to = |uri: &str| uri.parse::<RedirectUri>().unwrap().destination().to_owned();
        assert_eq!(to("https://x.example:8443/cb?y"), "x.example:8443");
        assert_eq!(to("http://127.0.0.1:3000/cb"), "127.0.0.1:3000");
        assert_eq!(to("com.harbor.app:/cb"), "com.harbor.app");
        assert_eq!(to("com.harbor.app://evil.example/cb"), "com.harbor.app");
    }
}
