//! How long an answer says that it is fresh (RFC 9111 §4.2.1, §5.2.2, §5.3).

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderName};

use crate::types::Timestamp;

/// For how much longer the answer is fresh: `max-age`, or else `Expires`, less what it has aged on its way. `None`: it does not say.
///
/// An answer that is not to be kept, or contradicts itself, is fresh for no time at all.
pub(crate) fn lifetime(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let age = age(headers);
    let left = |lifetime: Duration| lifetime.saturating_sub(age);
    let mut max_age = None;
    for field in headers.get_all(CACHE_CONTROL) {
        for directive in field.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim_ascii();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Some(Duration::ZERO);
            }
            if name.eq_ignore_ascii_case("max-age") && max_age.is_none() {
                max_age = Some(seconds(value.trim_ascii().trim_matches('"')).unwrap_or_default());
            }
        }
    }
    if let Some(max_age) = max_age {
        return Some(left(max_age)); // RFC 9111 §5.3: `max-age` overrides `Expires`
    }
    let expires = text(headers, &EXPIRES)?;
    let sent = text(headers, &DATE).and_then(date).unwrap_or(now);
    // RFC 9111 §5.3: what is no date, `0` above all, is in the past.
    Some(left(
        date(expires).map_or(Duration::ZERO, |at| at.since(sent)),
    ))
}

/// How long the answer has been on its way, in caches (RFC 9111 §5.1): what it says was so that long ago.
pub(crate) fn age(headers: &HeaderMap) -> Duration {
    text(headers, &AGE).and_then(seconds).unwrap_or_default()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// RFC 9111 §1.2.2: `delta-seconds = 1*DIGIT`; one that is too large is very large.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

fn date(text: &str) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_secs(since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::lifetime;
    use crate::types::Timestamp;
    use http::HeaderMap;
    use http::header::HeaderName;

    fn fresh(fields: &[(&'static str, &'static str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let now = Timestamp::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        lifetime(&headers, now).map(|time| time.as_secs())
    }

    #[test]
    fn rfc9111_4_2_1_an_answer_is_fresh_for_as_long_as_it_says() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        for (fields, expected) in [
            (&[][..], None),
            (&[("cache-control", "public, max-age=600")], Some(600)),
            (&[("cache-control", "Max-Age=\"600\"")], Some(600)),
            (&[("cache-control", "public")], None),
            (&[("cache-control", "max-age=600, no-store")], Some(0)),
            (&[("cache-control", "no-cache")], Some(0)),
            (&[("cache-control", "max-age=x")], Some(0)),
            (&[("cache-control", "max-age=-1")], Some(0)),
            (&[("cache-control", "s-maxage=9")], None),
            (
                &[("cache-control", "max-age=99999999999999999999")],
                Some(u64::MAX),
            ),
            (
                &[("cache-control", "public"), ("cache-control", "max-age=7")],
                Some(7),
            ),
            (
                &[("cache-control", "max-age=600"), ("age", "200")],
                Some(400),
            ),
            (&[("cache-control", "max-age=60"), ("age", "200")], Some(0)),
            (&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT")], Some(60)),
            (
                &[("expires", "Sun, 06 Nov 1994 08:50:37 GMT"), date],
                Some(90),
            ),
            (&[("expires", "Sun, 06 Nov 1994 08:49:00 GMT")], Some(0)),
            (&[("expires", "0")], Some(0)),
            (&[("cache-control", "max-age=5"), ("expires", "0")], Some(5)),
        ] {
            assert_eq!(fresh(fields), expected, "{fields:?}");
        }
    }
}
