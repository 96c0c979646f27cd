//! Which paths need no token, so that no spelling of another path is taken for one of them.
//!
//! | the path | and the request |
//! |---|---|
//! | has a dot segment or a control character in any spelling, is none (`*`), or is encoded more than three times over | is refused, with a token or without |
//! | is odd: `//`, `;`, `\`, letters outside ASCII, or one of `/ \ % ; ? #` encoded | needs a token, and goes on as it came |
//! | is plain, and begins with all segments of a public prefix | needs none, and goes on in its one plain spelling |
//! | is plain, and does not | needs a token, and goes on as it came |

use std::fmt::Write as _;
use std::str::FromStr;

/// So often a path is read, the last time to see that nothing is left to decode. Each time takes as long as the path is, and a stranger
/// can write one that gets shorter by two bytes at a time.
const PASSES: usize = 4;

/// What a path is, whoever asks for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// These segments, decoded; a slash at the end makes an empty last one. There is no other way to read it.
    Plain(Vec<String>),
    /// Readers may differ about it. None of them leaves the place it is sent to.
    Odd,
    /// It leads out of its own beginning, hides where it leads, or is no path.
    Refused,
}

impl Path {
    /// Judges the path of a request, as it came.
    pub(crate) fn judge(raw: &str) -> Self {
        let Some(relative) = raw.strip_prefix('/') else {
            return Self::Refused;
        };
        let Some(read) = decoded(raw.as_bytes().to_vec()) else {
            return Self::Refused;
        };
        let mut segments = read.split(|byte| matches!(byte, b'/' | b'\\'));
        if read.iter().any(u8::is_ascii_control) || segments.any(is_dots) {
            return Self::Refused;
        }
        let segments: Option<Vec<_>> = relative.split('/').map(plain).collect();
        let is_whole = |segments: &Vec<String>| {
            let before_last = segments.split_last().map_or(&[][..], |(_, before)| before);
            before_last.iter().all(|segment| !segment.is_empty())
        };
        segments.filter(is_whole).map_or(Self::Odd, Self::Plain)
    }
}

/// A path that needs no token, and all below it.
#[derive(Debug, Clone)]
pub(crate) struct Public(Vec<String>);

impl Public {
    /// Whether these are segments of a path in it: `/pub` has `/pub` and `/pub/x`, and not `/public`.
    pub(crate) fn has(&self, segments: &[String]) -> bool {
        segments.starts_with(&self.0)
    }
}

impl FromStr for Public {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let Path::Plain(mut segments) = Path::judge(text) else {
            return Err("a public path is `/` and plain segments, such as /health or /static/v1");
        };
        segments.retain(|segment| !segment.is_empty());
        if segments.is_empty() {
            return Err("then nothing would be protected");
        }
        Ok(Self(segments))
    }
}

/// The one plain spelling of a path (RFC 3986 §6.2.2): what need not be encoded is not.
pub(crate) fn spelled(segments: &[String]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte) {
                path.push(char::from(byte));
            } else {
                // Writing to a text cannot fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

/// A segment decoded once, if every reader reads the same: ASCII, and nothing in it that a second reader could take for syntax.
fn plain(segment: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = segment.as_bytes();
    while let Some((byte, after)) = next(rest) {
        if !matches!(byte, b' '..=b'~') || b"%/\\;?#".contains(&byte) {
            return None;
        }
        text.push(char::from(byte));
        rest = after;
    }
    Some(text)
}

/// The next byte, decoded if it is encoded, and what follows it.
fn next(text: &[u8]) -> Option<(u8, &[u8])> {
    let hex = |digit: &u8| char::from(*digit).to_digit(16);
    if let [b'%', high, low, rest @ ..] = text
        && let (Some(high), Some(low)) = (hex(high), hex(low))
        && let Ok(byte) = u8::try_from(high * 16 + low)
    {
        return Some((byte, rest));
    }
    text.split_first().map(|(byte, rest)| (*byte, rest))
}

/// Decoded until nothing is left to decode: what the most eager of readers would see. `None` if something is left after all [`PASSES`].
fn decoded(mut text: Vec<u8>) -> Option<Vec<u8>> {
    for _ in 0..PASSES {
        let mut once = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some((byte, after)) = next(rest) {
            once.push(byte);
            rest = after;
        }
        if once.len() == text.len() {
            return Some(once);
        }
        text = once;
    }
    None
}

/// Whether some reader takes a segment for `.` or `..`: those that drop parameters, and those that drop spaces and further dots, included.
fn is_dots(segment: &[u8]) -> bool {
    let mut name = segment.split(|byte| matches!(byte, b';' | b'?' | b'#'));
    let name = name.next().unwrap_or_default();
    name.contains(&b'.') && name.iter().all(|byte| matches!(byte, b'.' | b' '))
}
