//! Who a token speaks for.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// A resource owner's identifier, as the host knows it: 1 to 255 bytes of printable text (RFC 7519 §4.1.2 `sub`).
///
/// It should never be given to somebody else later: tokens, grants and consent are found by it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Subject(Arc<str>);

impl Subject {
    /// Takes an identifier.
    ///
    /// # Errors
    /// [`InvalidSubject`] if it is empty, longer than 255 bytes or holds a control character.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidSubject> {
        let id = id.into();
        if id.is_empty() || id.len() > 255 || id.chars().any(char::is_control) {
            return Err(InvalidSubject);
        }
        Ok(Self(id.into()))
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.0)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidSubject;

    fn try_from(id: String) -> Result<Self, InvalidSubject> {
        Self::new(id)
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0.as_ref().into()
    }
}

/// Not an owner's identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a subject is 1 to 255 bytes without control characters")]
#[non_exhaustive]
pub struct InvalidSubject;
