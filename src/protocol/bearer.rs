//! Bearer tokens in requests and refusals in responses (RFC 6750 §2.1, §3).
//!
//! Left out on purpose: tokens in form bodies and in the query (RFC 6750 §2.2, §2.3; OAuth 2.1 §5.1 forbids the latter).

use std::fmt;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::types::{Scope, Secret};

/// No longer token is looked at: 16 KiB.
const LONGEST: usize = 16 * 1024;

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

    /// The token of a request, from its one `Authorization` header; `None` if there is none, or one of another scheme.
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
        let token = std::str::from_utf8(token).map_err(|_| Refusal::InvalidRequest)?;
        match token.try_into() {
            Ok(token) => Ok(Some(token)),
            Err(InvalidBearerToken) => Err(Refusal::InvalidRequest),
        }
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

/// Which bytes a token may hold before its `=`: a table, since each byte of each token is looked up.
#[expect(
    clippy::indexing_slicing,
    reason = "a byte is below 256, and this runs when it is compiled"
)]
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut rest: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    while let [byte, more @ ..] = rest {
        allowed[*byte as usize] = true;
        rest = more;
    }
    allowed
};

impl<'a> TryFrom<&'a str> for BearerToken<'a> {
    type Error = InvalidBearerToken;

    fn try_from(text: &'a str) -> Result<Self, InvalidBearerToken> {
        let mut body = text.as_bytes();
        while let Some(shorter) = body.strip_suffix(b"=") {
            body = shorter;
        }
        let allowed = |byte: &u8| ALLOWED.get(usize::from(*byte)) == Some(&true);
        if body.is_empty() || text.len() > LONGEST || !body.iter().all(allowed) {
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

/// Why a request is not let through (RFC 6750 §3.1).
///
/// The caller is told this much and no more; what exactly was wrong with a token stands in the log, at level `debug`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no bearer token: 401, and no error code (RFC 6750 §3.1, last paragraph).
    #[error("no bearer token was sent")]
    NoToken,
    /// The credentials are malformed or sent twice: 400 `invalid_request`.
    #[error("the credentials are malformed or were sent more than once")]
    InvalidRequest,
    /// The token is unknown, expired, revoked or not meant for this resource: 401 `invalid_token`.
    #[error("the access token is expired, revoked, unknown or not meant for this resource")]
    InvalidToken,
    /// The token is good and its scope is too narrow: 403 `insufficient_scope`.
    #[error("the request needs a wider scope than the access token has")]
    InsufficientScope,
    /// Nobody could say just now whether the token is good: 503 `temporarily_unavailable`, with `Retry-After`.
    #[error("the access token cannot be checked at the moment")]
    Unavailable,
}

impl Refusal {
    /// The one place where a refusal becomes an answer. Nothing is formatted here: all parts were made beforehand.
    pub(crate) fn to_response(self, challenges: &Challenges) -> Response<Bytes> {
        const INVALID_REQUEST: &str = r#"{"error":"invalid_request","error_description":"the credentials are malformed or were sent more than once"}"#;
        const INVALID_TOKEN: &str = r#"{"error":"invalid_token","error_description":"the access token is expired, revoked, unknown or not meant for this resource"}"#;
        const INSUFFICIENT_SCOPE: &str = r#"{"error":"insufficient_scope","error_description":"the request needs a wider scope than the access token has"}"#;
        const UNAVAILABLE: &str = r#"{"error":"temporarily_unavailable","error_description":"the access token cannot be checked at the moment"}"#;
        let (status, challenge, body) = match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, Some(&challenges.no_token), ""),
            Self::InvalidRequest => (
                StatusCode::BAD_REQUEST,
                Some(&challenges.invalid_request),
                INVALID_REQUEST,
            ),
            Self::InvalidToken => (
                StatusCode::UNAUTHORIZED,
                Some(&challenges.invalid_token),
                INVALID_TOKEN,
            ),
            Self::InsufficientScope => (
                StatusCode::FORBIDDEN,
                Some(&challenges.insufficient_scope),
                INSUFFICIENT_SCOPE,
            ),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, None, UNAVAILABLE),
        };
        let mut response = our_response(status, body);
        let headers = response.headers_mut();
        match challenge {
            Some(challenge) => {
                headers.insert(WWW_AUTHENTICATE, challenge.clone());
                // A script of another origin has to read the challenge to act on it.
                headers.insert(
                    ACCESS_CONTROL_EXPOSE_HEADERS,
                    HeaderValue::from_static("www-authenticate"),
                );
            }
            None => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
        }
        response
    }
}

/// The answer to a mistake of the host, which the log explains: 500 `server_error`.
pub(crate) fn server_error() -> Response<Bytes> {
    our_response(
        StatusCode::INTERNAL_SERVER_ERROR,
        r#"{"error":"server_error"}"#,
    )
}

fn our_response(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// The `WWW-Authenticate` values of one resource and one scope, made once.
#[derive(Debug, Clone)]
pub(crate) struct Challenges {
    no_token: HeaderValue,
    invalid_request: HeaderValue,
    invalid_token: HeaderValue,
    insufficient_scope: HeaderValue,
}

impl Challenges {
    pub(crate) fn new(
        realm: Option<&str>,
        scope: &Scope,
        resource_metadata: &str,
    ) -> Result<Self, Unquotable> {
        let scope = scope.to_string();
        let challenge = |refusal: Option<(&str, Refusal)>| {
            let mut params = Vec::new();
            if let Some(realm) = realm {
                params.push(("realm", realm));
            }
            let description = refusal.map(|(_, refusal)| refusal.to_string());
            if let (Some((error, _)), Some(description)) = (refusal, &description) {
                params.push(("error", error));
                params.push(("error_description", description));
            }
            // RFC 6750 §3: the scope says what would help; it would not help a request that is malformed.
            if !scope.is_empty() && !matches!(refusal, Some((_, Refusal::InvalidRequest))) {
                params.push(("scope", &scope));
            }
            params.push(("resource_metadata", resource_metadata)); // RFC 9728 §5.1
            bearer_challenge(&params)
        };
        Ok(Self {
            no_token: challenge(None)?,
            invalid_request: challenge(Some(("invalid_request", Refusal::InvalidRequest)))?,
            invalid_token: challenge(Some(("invalid_token", Refusal::InvalidToken)))?,
            insufficient_scope: challenge(Some((
                "insufficient_scope",
                Refusal::InsufficientScope,
            )))?,
        })
    }
}

/// `Bearer` and its parameters, each a quoted string in which nothing needs escaping (RFC 6750 §3: `%x20-21 / %x23-5B / %x5D-7E`).
fn bearer_challenge(params: &[(&str, &str)]) -> Result<HeaderValue, Unquotable> {
    let mut text = String::from("Bearer");
    for (place, (name, value)) in params.iter().enumerate() {
        if !value
            .bytes()
            .all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
        {
            return Err(Unquotable);
        }
        text.push_str(if place == 0 { " " } else { ", " });
        text.push_str(name);
        text.push_str("=\"");
        text.push_str(value);
        text.push('"');
    }
    HeaderValue::try_from(text).map_err(|_| Unquotable)
}

/// A text with a quote, a backslash, a control or a letter outside ASCII, none of which RFC 6750 §3 lets into a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unquotable;

#[cfg(test)]
mod tests {
    use super::{BearerToken, Challenges, Refusal};
    use crate::types::Scope;
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue};

    fn token_of(fields: &[&[u8]]) -> Result<Option<String>, Refusal> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        BearerToken::from_headers(&headers)
            .map(|token| token.map(|token| token.expose().to_owned()))
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

    // req: 6750-3-8
    #[test]
    fn rfc6750_3_what_would_need_escaping_is_refused_when_the_challenge_is_made() {
        let made = |realm| Challenges::new(Some(realm), &Scope::empty(), "https://a.example/x");
        assert!(made("a realm, with !#[]~").is_ok());
        for bad in ["\"", "\\", "a\r\nb", "\u{e9}", "\t", "\u{7f}"] {
            assert!(made(bad).is_err(), "{bad:?}");
        }
    }
}
