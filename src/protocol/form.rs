//! Parameters in form encoding (RFC 6749 §3.1, §3.2, appendix B).

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};

use super::error::OAuthError;

/// The most parameters that are read.
const PARAMETERS: usize = 64;

/// The longest query that is read: as long as the longest body.
const QUERY: usize = 16 * 1024;

/// The parameters of a request, decoded. An empty value is as absent, and a parameter that we read may stand there once.
pub(crate) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads a form body; its media type must say so (any case, parameters allowed).
    pub(crate) fn from_body(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, OAuthError> {
        let media_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request(
                "The body must be application/x-www-form-urlencoded",
            ));
        }
        Self::parse(body)
    }

    /// Reads the query of a request target; none is an empty one.
    pub(crate) fn from_query(uri: &'a Uri) -> Result<Self, OAuthError> {
        let query = uri.query().unwrap_or_default();
        if query.len() > QUERY {
            return Err(OAuthError::uri_too_long());
        }
        Self::parse(query.as_bytes())
    }

    /// Reads a query or a body: pairs between `&`, names and values around the first `=`.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, OAuthError> {
        let malformed = || OAuthError::invalid_request("The parameters are not well-formed");
        let text = std::str::from_utf8(text).map_err(|_| malformed())?;
        let (mut pairs, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let pair;
            (pair, rest) = cut(rest, b'&');
            if pair.is_empty() {
                continue;
            }
            if pairs.len() == PARAMETERS {
                return Err(OAuthError::invalid_request("Too many parameters"));
            }
            let (name, value) = cut(pair, b'=');
            pairs.push((
                decode(name).ok_or_else(malformed)?,
                decode(value).ok_or_else(malformed)?,
            ));
        }
        Ok(Self(pairs))
    }

    /// What came in another form.
    pub(crate) fn of(pairs: impl Iterator<Item = (&'static str, String)>) -> Form<'static> {
        let pair = |(name, value)| (Cow::Borrowed(name), Cow::Owned(value));
        Form(pairs.map(pair).collect())
    }

    /// Whether a parameter stands there, even empty.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.0.iter().any(|pair| pair.0 == name)
    }

    /// The one value of a parameter; none if it is absent or empty; an error if it stands there twice, even once empty.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, OAuthError> {
        let mut values = self
            .0
            .iter()
            .filter(|pair| pair.0 == name)
            .map(|pair| &*pair.1);
        let first = values.next();
        if values.next().is_some() {
            return Err(OAuthError::invalid_request("A parameter is repeated")); // RFC 6749 §3.1, §3.2: MUST NOT
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// As [`one`](Self::one), and it must be there.
    pub(crate) fn required(&self, name: &str, missing: &'static str) -> Result<&str, OAuthError> {
        self.one(name)?.ok_or(OAuthError::invalid_request(missing))
    }

    /// All values of a parameter that may be repeated (RFC 8707 §2).
    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.0
            .iter()
            .filter(move |pair| pair.0 == name && !pair.1.is_empty())
            .map(|pair| &*pair.1)
    }
}

/// What stands before the first such byte, and what behind it.
fn cut(text: &str, at: u8) -> (&str, &str) {
    let place = memchr::memchr(at, text.as_bytes());
    let cut = place.and_then(|place| Some((text.get(..place)?, text.get(place + 1..)?)));
    cut.unwrap_or((text, ""))
}

/// `+` is a space, `%XX` a byte, the whole UTF-8 without NUL (RFC 6749, appendix B); nothing is guessed.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr3(b'+', b'%', 0, text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let decoded = u8::try_from(digit()? * 16 + digit()?).ok()?;
                if decoded == 0 {
                    return None;
                }
                decoded
            }
            0 => return None,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::Form;

    fn form(text: &str) -> Form<'_> {
        Form::parse(text.as_bytes()).unwrap()
    }

    // req: 6749-3.2-6, http-form-3
    #[test]
    fn s25_a_parameter_may_stand_there_once() {
        for twice in [
            "scope=a&scope=b",
            "scope=a&scope=a",
            "scope=a&scope=",
            "scope&scope=a",
            "scope=a&%73cope=b",
        ] {
            assert!(form(twice).one("scope").is_err(), "{twice}");
        }
        assert_eq!(
            form("resource=a&resource=b&scope=c")
                .all("resource")
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    // req: http-form-4, 6749-3.2-4, http-form-7, http-form-9
    #[test]
    fn rfc6749_3_2_an_empty_value_is_as_absent_and_unknown_ones_may_repeat() {
        for empty in [
            "scope=",
            "scope",
            "&&",
            "",
            "Scope=a",
            "x=1;scope=a",
            "foo=1&foo=2",
        ] {
            assert_eq!(form(empty).one("scope").unwrap(), None, "{empty}");
        }
    }

    // req: http-form-5, 6749-B-1
    #[test]
    fn rfc6749_b_values_are_decoded_as_utf_8_and_nothing_is_guessed() {
        assert_eq!(
            form("state=a%2Bb%20c+d%C3%A9").one("state").unwrap(),
            Some("a+b c dé")
        );
        assert_eq!(form("state=a=b").one("state").unwrap(), Some("a=b"));
        for bad in [
            "a=%zz", "a=%C3", "a=%FF", "a=%00", "a=%", "a=%4", "a=%+1", "%=1", "a=\0",
        ] {
            assert!(Form::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    // req: http-form-1, http-form-2, tol-ct-1
    #[test]
    fn the_media_type_is_read_in_any_case_and_no_other_is_taken() {
        let read = |media_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static(media_type));
            Form::from_body(&headers, b"a=b").is_ok()
        };
        assert!(
            read("Application/X-WWW-Form-Urlencoded; charset=utf-8")
                && read("application/x-www-form-urlencoded")
        );
        assert!(!read("application/json") && !read("multipart/form-data; boundary=x") && !read(""));
        assert!(Form::from_body(&HeaderMap::new(), b"a=b").is_err());
    }

    // req: http-form-8
    #[test]
    fn s20_no_more_than_64_parameters_are_read() {
        assert!(Form::parse("a=b&".repeat(64).as_bytes()).is_ok());
        assert!(Form::parse("a=b&".repeat(65).as_bytes()).is_err());
    }

    #[test]
    fn s20_a_query_of_16_kib_is_read_and_a_longer_one_is_not() {
        let read = |length: usize| {
            let target = format!("/auth/authorize?a={}", "x".repeat(length - "a=".len()));
            Form::from_query(&target.parse().unwrap()).map(|_| ())
        };
        assert!(read(16 * 1024).is_ok());
        assert_eq!(read(16 * 1024 + 1).unwrap_err().status, 414);
    }
}
