//! Whom a token is meant for (RFC 7519 §4.1.3, RFC 9068 §3).

use std::fmt;

use super::ResourceUri;

/// One of those a token is meant for: a resource, or a name that an issuer has given to an API.
///
/// Resources are compared as [`ResourceUri`]s are; names byte for byte. A resource never equals a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Audience(Named);

#[derive(Clone, PartialEq, Eq)]
enum Named {
    Resource(ResourceUri),
    Name(Box<str>),
}

impl Audience {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Named::Resource(resource) => resource.as_str(),
            Named::Name(name) => name,
        }
    }
}

impl From<ResourceUri> for Audience {
    fn from(resource: ResourceUri) -> Self {
        Self(Named::Resource(resource))
    }
}

impl From<&str> for Audience {
    fn from(text: &str) -> Self {
        // Most names are no URIs, and have no colon.
        let resource = text.contains(':').then(|| text.parse().ok()).flatten();
        Self(resource.map_or_else(|| Named::Name(text.into()), Named::Resource))
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audience({})", self.as_str())
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Audience;

    // req: 8707-3-1
    #[test]
    fn rfc7519_4_1_3_resources_are_compared_as_resources_and_names_as_texts() {
        let same = |left: &str, right: &str| Audience::from(left) == Audience::from(right);
        assert!(same("https://api.example", "https://API.example/"));
        assert!(same("ledger", "ledger"));
        assert!(same("api://6f2c1d", "api://6f2c1d"));
        for (left, right) in [
            ("https://api.example/a", "https://api.example/a/"),
            ("https://api.example", "https://api.example.evil.test"),
            ("https://api.example", "https://api.example/a"),
            ("ledger", "Ledger"),
            ("ledger", "ledger "),
            ("ledger", ""),
            ("api.example", "https://api.example"),
        ] {
            assert!(!same(left, right), "{left} {right}");
        }
    }
}
