//! The form of an opaque access token, and where it stands among the keys of a store.
//!
//! `toa_`, eight characters that name its place, 43 of 256 random bits. A digest alone would put each new token somewhere else in the
//! index of a database: a page of its own to be read, logged and written, for each. So the first six bytes of a token's key are its place:
//! the second in which it was made, then a number that it shares with a few that were made just before and after it. Both are said by the
//! token itself, and prove nothing; the other 26 bytes of the key are a digest of the whole.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use zeroize::Zeroizing;

use crate::types::{Digest, Secret, Timestamp};

/// What every access token begins with.
pub(crate) const ACCESS_TOKEN_PREFIX: &str = "toa_";
/// The bytes of a place; as text they are eight characters, with nothing left over.
const PLACE: usize = 6;
/// The random bytes, of which nothing is said by anybody.
const SECRET: usize = 32;
/// How many tokens share a number: about what a page of an index holds.
const NEIGHBOURS: u32 = 64;

/// The places of one server's tokens: a random number, and how many have got it.
#[derive(Debug, Default)]
pub(crate) struct Places(AtomicU32);

impl Places {
    /// The place of the next token. `fresh` are two random bytes, for when the number is used up; it is drawn and not counted, so that
    /// nobody learns from a token how many there were before it.
    pub(crate) fn next(&self, now: Timestamp, fresh: [u8; 2]) -> [u8; PLACE] {
        let step = |state: u32| match state & 0xffff {
            1..NEIGHBOURS => state + 1,
            _ => (u32::from(u16::from_be_bytes(fresh)) << 16) | 1,
        };
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
                Some(step(state))
            });
        let [high, low, ..] = step(before.unwrap_or_else(|state| state)).to_be_bytes();
        let [.., a, b, c, d] = now.as_secs().to_be_bytes();
        [a, b, c, d, high, low]
    }
}

/// A new token with its key, of 32 bytes from the operating system.
pub(crate) fn new(place: [u8; PLACE], secret: &[u8; SECRET]) -> (Secret, Digest) {
    let mut bytes = Zeroizing::new([0; PLACE + SECRET]);
    let (front, back) = bytes.split_at_mut(PLACE);
    front.copy_from_slice(&place);
    back.copy_from_slice(secret);
    (Secret::encode(ACCESS_TOKEN_PREFIX, &*bytes), key(&bytes))
}

/// The key under which an access token is kept; none for a text that cannot be one, which costs no look-up.
pub(crate) fn digest(token: &str) -> Option<Digest> {
    let text = token.strip_prefix(ACCESS_TOKEN_PREFIX)?;
    // One byte more, so that a longer text is seen to be longer.
    let mut bytes = Zeroizing::new([0; PLACE + SECRET + 1]);
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut *bytes).ok()?;
    let bytes = bytes.get(..length)?;
    bytes.try_into().ok().map(key)
}

/// The place, and a digest of the whole.
fn key(bytes: &[u8; PLACE + SECRET]) -> Digest {
    let mut key = *Digest::of("access_token", bytes).as_bytes();
    let (front, _) = key.split_at_mut(PLACE);
    front.copy_from_slice(bytes.split_at(PLACE).0);
    Digest::from_bytes(key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::{Places, digest, new};
    use crate::types::{Timestamp, random};

    fn tokens(places: &Places, secs: u64, count: usize) -> Vec<String> {
        let make = |_| {
            let place = places.next(Timestamp::from_secs(secs), *random().unwrap());
            let (token, key) = new(place, &random().unwrap());
            assert_eq!(digest(token.expose()), Some(key));
            token.expose().to_owned()
        };
        (0..count).map(make).collect()
    }

    fn place(token: &str) -> [u8; 6] {
        *digest(token).unwrap().as_bytes().first_chunk().unwrap()
    }

    #[test]
    fn tokens_made_together_stand_together_and_later_ones_after_them() {
        let places = Places::default();
        let now = 1_795_348_800;
        let made = tokens(&places, now, 640);
        let numbers: HashSet<_> = made.iter().map(|token| place(token)).collect();
        assert!((2..=10).contains(&numbers.len()), "{}", numbers.len());
        let later = tokens(&places, now + 1, 640);
        let last = made.iter().map(|token| place(token)).max();
        assert!(last < later.iter().map(|token| place(token)).min());
    }

    // req: 6749-10.10-1
    #[test]
    fn rfc6749_10_10_what_a_place_says_is_not_taken_from_the_256_bits() {
        let (mut low, mut high) = ([0xff; 32], [0; 32]);
        let places = Places::default();
        for _ in 0..200 {
            let token = tokens(&places, 1, 1).remove(0);
            let text = token.split_at("toa_".len() + 8).1;
            let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
            assert_eq!(bytes.len(), 32);
            for ((low, high), byte) in low.iter_mut().zip(&mut high).zip(bytes) {
                *low &= byte;
                *high |= byte;
            }
        }
        assert_eq!((low, high), ([0; 32], [0xff; 32])); // every bit was both
    }

    #[test]
    fn the_whole_token_is_proved_and_not_its_place_alone() {
        let token = tokens(&Places::default(), 1_795_348_800, 1).remove(0);
        let key = digest(&token).unwrap();
        for at in 4..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'E' } else { b'A' };
            let other = digest(std::str::from_utf8(&other).unwrap()).unwrap();
            assert_ne!(key.as_bytes()[6..], other.as_bytes()[6..], "character {at}");
        }
    }

    // Two texts for one token would be one too many for whoever compares them, or calls one back.
    #[test]
    fn no_other_text_is_read_as_the_same_token() {
        let token = new([0; 6], &[0; 32]).0;
        let token = token.expose();
        assert!(digest(token).is_some());
        for end in ["B", "C", "D", "A=", "A ", "A\n"] {
            let other = format!("{}{end}", token.split_at(54).0);
            assert_eq!(digest(&other), None, "{end:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_has_no_key() {
        let token = tokens(&Places::default(), 1_795_348_800, 1).remove(0);
        let longer = format!("{token}A");
        let other = token.replace("toa_", "tor_");
        let broken = format!("toa_{}", "+".repeat(51));
        let wide = format!("toa_{}{}", "é".repeat(4), "A".repeat(43));
        let split = format!("toa_AAAAAAA{}", "é".repeat(22));
        for text in [
            "",
            "toa_",
            "toa_x",
            token.split_at(54).0,
            &longer,
            &other,
            &broken,
            &wide,
            &split,
        ] {
            assert_eq!(digest(text), None, "{text}");
        }
    }
}
