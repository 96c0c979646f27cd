//! The identifier of a protected resource (RFC 8707 §2, RFC 9728 §1.2).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// A resource identifier: an absolute URI without a fragment (RFC 8707 §2). It is the audience of the tokens meant for it.
///
/// It is kept as it was given. Two of them name the same resource if they differ only in the case of scheme and host or in the
/// slash of an empty path: programs that build URLs print that slash whether it was there or not. Nothing else is loosened.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct ResourceUri(Arc<Parsed>);

struct Parsed {
    text: Box<str>,
    url: Url,
}

impl ResourceUri {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The path of its metadata document (RFC 9728 §3.1): `/.well-known/oauth-protected-resource` and its own path.
    #[must_use]
    pub fn well_known_path(&self) -> String {
        let path = self.0.url.path();
        format!(
            "/.well-known/oauth-protected-resource{}",
            if path == "/" { "" } else { path }
        )
    }

    /// The URL of its metadata document (RFC 9728 §3.1), its query included; `None` for an identifier without a host.
    #[must_use]
    pub fn metadata_url(&self) -> Option<String> {
        let origin = self.origin()?;
        let query = self
            .0
            .url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        Some(format!("{origin}{}{query}", self.well_known_path()))
    }

    /// Scheme, host and port, in lower case and without a default port; `None` unless it is an `http` or `https` URL.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        let origin = self.0.url.origin();
        origin.is_tuple().then(|| origin.ascii_serialization())
    }
}

impl PartialEq for ResourceUri {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text || self.0.url == other.0.url
    }
}

impl Eq for ResourceUri {}

impl FromStr for ResourceUri {
    type Err = InvalidResourceUri;

    fn from_str(text: &str) -> Result<Self, InvalidResourceUri> {
        let strange = |byte: u8| !(0x21..=0x7E).contains(&byte) || byte == b'#' || byte == b'\\';
        let url = Url::parse(text).map_err(|_| InvalidResourceUri)?;
        // The parser mends `https:host`; the standard asks for an absolute URI as it stands.
        let web = matches!(url.scheme(), "http" | "https");
        if text.len() > 2048
            || text.bytes().any(strange)
            || (web
                && !text
                    .get(url.scheme().len()..)
                    .is_some_and(|rest| rest.starts_with("://")))
        {
            return Err(InvalidResourceUri);
        }
        Ok(Self(Arc::new(Parsed {
            text: text.into(),
            url,
        })))
    }
}

impl TryFrom<String> for ResourceUri {
    type Error = InvalidResourceUri;

    fn try_from(text: String) -> Result<Self, InvalidResourceUri> {
        text.parse()
    }
}

impl Serialize for ResourceUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<ResourceUri> for String {
    fn from(resource: ResourceUri) -> Self {
        resource.as_str().into()
    }
}

impl fmt::Debug for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceUri({})", self.0.text)
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

/// Not an absolute URI without a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a resource is an absolute URI without a fragment, of at most 2048 characters")]
#[non_exhaustive]
pub struct InvalidResourceUri;

#[cfg(test)]
mod tests {
    use super::ResourceUri;

    fn uri(text: &str) -> ResourceUri {
        text.parse().unwrap()
    }

    // req: 8707-2-1, 8707-2-2
    #[test]
    fn rfc8707_2_a_resource_is_absolute_and_has_no_fragment() {
        for good in [
            "https://api.example/ledger",
            "https://api.example",
            "https://api.example/?t=1",
            "urn:example:api",
        ] {
            assert!(good.parse::<ResourceUri>().is_ok(), "{good}");
        }
        for bad in [
            "ledger",
            "/x",
            "//api.example",
            "https://api.example/#x",
            "https://api.example/#",
            "https:api.example",
            "https://api.example/a b",
            "https:\\\\x",
            "",
        ] {
            assert!(bad.parse::<ResourceUri>().is_err(), "{bad}");
        }
    }

    // req: mcp-res-3, mcp-res-4, 8707-3-1
    #[test]
    fn mcp_res_only_the_empty_path_and_the_case_of_the_host_are_loose() {
        assert_eq!(uri("https://api.example"), uri("https://api.example/"));
        assert_eq!(
            uri("HTTPS://API.Example/mcp"),
            uri("https://api.example/mcp")
        );
        assert_ne!(
            uri("https://api.example/mcp"),
            uri("https://api.example/mcp/")
        );
        assert_ne!(
            uri("https://api.example/mcp"),
            uri("https://api.example/MCP")
        );
        assert_ne!(uri("https://api.example"), uri("https://api.example:8443"));
    }

    // req: 9728-3-1, 9728-3.1-2
    #[test]
    fn rfc9728_3_1_the_suffix_is_inserted_between_host_and_path_or_query() {
        let at = |text: &str| uri(text).metadata_url().unwrap();
        assert_eq!(
            at("https://api.example"),
            "https://api.example/.well-known/oauth-protected-resource"
        );
        assert_eq!(
            at("https://api.example/"),
            "https://api.example/.well-known/oauth-protected-resource"
        );
        assert_eq!(
            at("https://api.example/ledger"),
            "https://api.example/.well-known/oauth-protected-resource/ledger"
        );
        assert_eq!(
            at("https://api.example/?t=1"),
            "https://api.example/.well-known/oauth-protected-resource?t=1"
        );
        assert_eq!(uri("urn:example:api").metadata_url(), None);
    }
}
