//! Scope (RFC 6749 §3.3).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// One scope: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3). Case-sensitive.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ScopeToken(Arc<str>);

impl ScopeToken {
    /// The token's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScopeToken {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err(InvalidScope);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ScopeToken {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl Serialize for ScopeToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<ScopeToken> for String {
    fn from(token: ScopeToken) -> Self {
        token.0.as_ref().into()
    }
}

impl fmt::Debug for ScopeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for ScopeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of scopes. Order has no meaning and repetition none either; it may be empty.
///
/// Reads `a b`, also with leading, trailing or doubled spaces; prints its tokens in order with one space between.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Scope(Vec<ScopeToken>);

impl Scope {
    /// No scope at all.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Whether it holds no scope.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds this one. Does not allocate.
    #[must_use]
    pub fn contains(&self, token: &ScopeToken) -> bool {
        self.0.binary_search(token).is_ok()
    }

    /// Whether it holds all of these. Does not allocate.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        other.0.iter().all(|token| self.contains(token))
    }

    /// The scopes of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// The scopes that stand in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|token| other.contains(token))
                .cloned()
                .collect(),
        )
    }

    /// The scopes, each once, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, ScopeToken> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Scope {
    type Item = &'a ScopeToken;
    type IntoIter = std::slice::Iter<'a, ScopeToken>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<ScopeToken> for Scope {
    fn from_iter<I: IntoIterator<Item = ScopeToken>>(tokens: I) -> Self {
        let mut tokens: Vec<_> = tokens.into_iter().collect();
        tokens.sort_unstable();
        tokens.dedup();
        Self(tokens)
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        text.split(' ')
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect()
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({self})")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, token) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&token.0)?;
        }
        Ok(())
    }
}

/// Not a scope by RFC 6749 §3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is made of printable ASCII without quotes and backslashes")]
#[non_exhaustive]
pub struct InvalidScope;

#[cfg(test)]
mod tests {
    use super::Scope;

    // req: 6749-3.3-1
    #[test]
    fn rfc6749_3_3_a_scope_token_has_no_quote_backslash_tab_or_foreign_letter() {
        assert!("a!#[]~ b".parse::<Scope>().is_ok());
        for bad in ["a\"b", "a\\b", "a\tb", "é", "a\nb", "\u{7f}"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    // req: 6749-3.3-2
    #[test]
    fn rfc6749_3_3_order_has_no_meaning_and_case_has() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        assert_eq!(scope("b a"), scope("a b"));
        assert_ne!(scope("A"), scope("a"));
    }

    // req: tol-scope-1
    #[test]
    fn tol_scope_1_spaces_and_repeats_are_read_and_never_sent() {
        assert_eq!(" a  b a ".parse::<Scope>().unwrap().to_string(), "a b");
    }

    #[test]
    fn a_set_contains_its_subsets_only() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        assert!(scope("a b c").contains_all(&scope("c a")));
        assert!(!scope("a b").contains_all(&scope("a d")));
        assert_eq!(scope("a b").intersection(&scope("b c")), scope("b"));
        assert_eq!(scope("a b").union(&scope("b c")), scope("a b c"));
    }
}
