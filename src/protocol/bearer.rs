//! Bearer tokens in requests (RFC 6750 §2.1).
//!
//! Left out on purpose: tokens in form bodies and in the query (RFC 6750 §2.2, §2.3; OAuth 2.1 §5.1 forbids the latter).

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::refusal::Refusal;
use crate::types::Secret;

/// No longer token is looked at: 16 KiB.
pub(crate) const LONGEST: usize = 16 * 1024;

/// A bearer token in the form of RFC 6750 §2.1, of at most 16 KiB. Its `Debug` does not show it.
///
/// ```text
/// b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
/// ```
#[derive(Clone, Copy)]
pub struct BearerToken<'a>(&'a str);

impl<'a> BearerToken<'a> {
    /// The token itself, for the one who checks it.
    #[must_use]
    pub const fn expose(self) -> &'a str {
        self.0
    }

    /// A copy that can be kept while a check waits.
    #[must_use]
    pub fn into_owned(self) -> OwnedToken {
        OwnedToken(Secret::new(self.0))
    }
}

/// What a request presents as its token: no longer than one may be, and of any form still.
#[derive(Clone, Copy)]
pub(crate) struct RawToken<'a>(&'a [u8]);

impl<'a> RawToken<'a> {
    /// What the one `Authorization` header presents; `None` if there is none, or one of another scheme.
    pub(crate) fn from_headers(headers: &'a HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let Some(field) = fields.next() else {
            return Ok(None);
        };
        // Which of two a proxy in front of us looked at, nobody here can know.
        if fields.next().is_some() {
            return Err(Refusal::InvalidRequest);
        }
        let Some(rest) = after_bearer(field.as_bytes()) else {
            return Ok(None);
        };
        // RFC 9110 §11.4: credentials = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        let token = rest.get(spaces..).unwrap_or_default();
        if spaces == 0 {
            return Err(Refusal::InvalidRequest);
        }
        if token.len() > LONGEST {
            return Err(Refusal::InvalidToken);
        }
        Ok(Some(Self(token)))
    }

    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The token, if it has the form of one.
    pub(crate) fn token(self) -> Result<BearerToken<'a>, Refusal> {
        let text = std::str::from_utf8(self.0).map_err(|_| Refusal::InvalidRequest)?;
        text.try_into()
            .map_err(|InvalidBearerToken| Refusal::InvalidRequest)
    }
}

/// What follows the scheme if that is `Bearer`, in any case (RFC 9110 §11.1): a scheme ends where its `token` ends.
fn after_bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = field.split_at_checked(b"Bearer".len())?;
    let longer = rest
        .first()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    (scheme.eq_ignore_ascii_case(b"Bearer") && !longer).then_some(rest)
}

/// Whether these are all bytes that a token may hold before its `=`. Without a branch and without a table: many are looked at in one step.
fn are_allowed(bytes: &[u8]) -> bool {
    let is_allowed = |byte: u8| {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let digit_or_slash = byte.wrapping_sub(b'-') < 13; // -./0123456789
        letter | digit_or_slash | (byte == b'_') | (byte == b'~') | (byte == b'+')
    };
    bytes.iter().fold(true, |all, byte| all & is_allowed(*byte))
}

impl<'a> TryFrom<&'a str> for BearerToken<'a> {
    type Error = InvalidBearerToken;

    fn try_from(text: &'a str) -> Result<Self, InvalidBearerToken> {
        let mut body = text.as_bytes();
        while let Some(shorter) = body.strip_suffix(b"=") {
            body = shorter;
        }
        if body.is_empty() || text.len() > LONGEST || !are_allowed(body) {
            return Err(InvalidBearerToken);
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// A [`BearerToken`] that can be kept. Its memory is wiped when it is dropped, and its `Debug` does not show it.
#[derive(Clone)]
pub struct OwnedToken(Secret);

impl OwnedToken {
    /// The token itself, for the one who checks it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The same token, borrowed.
    #[must_use]
    pub fn as_bearer(&self) -> BearerToken<'_> {
        BearerToken(self.0.expose())
    }
}

impl fmt::Debug for OwnedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnedToken(…)")
    }
}

/// Not a bearer token by the grammar of RFC 6750 §2.1, or longer than 16 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bearer token is at most 16 KiB of letters, digits and -._~+/, then any number of =")]
#[non_exhaustive]
pub struct InvalidBearerToken;

#[cfg(test)]
mod tests {
    use super::{BearerToken, RawToken, Refusal};
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue};

    fn token_of(fields: &[&[u8]]) -> Result<Option<String>, Refusal> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        let presented = RawToken::from_headers(&headers)?;
        let token = presented.map(RawToken::token).transpose()?;
        Ok(token.map(|token| token.expose().to_owned()))
    }

    #[test]
    fn rfc6750_2_1_every_character_of_b64token_is_taken_and_no_other() {
        for byte in 0x20..=0xFFu8 {
            if byte == 0x7F {
                continue; // no header holds it
            }
            let good = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            let field = [b"Bearer a", [byte].as_slice(), b"a"].concat();
            assert_eq!(token_of(&[&field]).is_ok(), good, "{byte:#x}");
        }
        assert_eq!(token_of(&[b"Bearer a=="]), Ok(Some("a==".to_owned())));
        assert_eq!(token_of(&[b"Bearer =="]), Err(Refusal::InvalidRequest));
    }

    #[test]
    fn rfc6750_2_1_a_token_of_16_kib_is_looked_at_and_a_longer_one_is_not() {
        let field = |length: usize| [b"Bearer ".as_slice(), &vec![b'a'; length]].concat();
        assert!(token_of(&[&field(16 * 1024)]).unwrap().is_some());
        assert_eq!(
            token_of(&[&field(16 * 1024 + 1)]),
            Err(Refusal::InvalidToken)
        );
        let long = "a".repeat(16 * 1024 + 1);
        assert!(BearerToken::try_from(long.as_str()).is_err());
    }

    #[test]
    fn rfc9110_11_1_a_scheme_ends_where_its_token_ends() {
        for other in [
            "BearerX a",
            "Bearer-a b",
            "Bear",
            "",
            "Basic YQ==",
            "DPoP a",
        ] {
            assert_eq!(token_of(&[other.as_bytes()]), Ok(None), "{other}");
        }
        for malformed in ["Bearer", "Bearer\ta", "Bearer,a", "Bearer=a", "bearer "] {
            assert_eq!(
                token_of(&[malformed.as_bytes()]),
                Err(Refusal::InvalidRequest),
                "{malformed}"
            );
        }
    }

    #[test]
    fn tokens_do_not_show_themselves() {
        let token = BearerToken::try_from("hunter2").unwrap();
        assert_eq!(format!("{token:?}"), "BearerToken(…)");
        assert_eq!(format!("{:?}", token.into_owned()), "OwnedToken(…)");
        assert_eq!(token.into_owned().as_bearer().expose(), "hunter2");
    }
}
