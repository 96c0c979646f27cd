//! How records stand in Redis, and the scripts that read and write them.
//!
//! A record is one string: version (8 bytes), end (8), how many owners (1); if there are any, the name of its birth (8) and the
//! owners (32 each); then the value. An owner's index is a sorted set whose members all have the score 0, so that they stand in the
//! order of their bytes: digest (32), name of the birth (8), when it was written by the clock of that Redis (8). Each birth has a
//! member of its own, so that whoever takes the member of a record that has gone never takes that of one that comes.
//!
//! Each script touches one key, which a cluster finds by it. Numbers that are compared as numbers are seconds, which Lua holds exactly.

use std::sync::LazyLock;

use bytes::{Buf as _, Bytes};
use redis::Script;

use super::{Key, Kind, Owner, Record, Version};
use crate::types::{Digest, Timestamp};

/// How long an insert may take from its owners' indexes to its record. An index that names no record yet is left alone for longer.
pub(super) const UNDER_WAY: u64 = 60;
/// How much longer than the record Redis keeps it: its clock is not ours.
const SLACK: u64 = 60 * 60;
/// Whoever lives this long (a hundred years) is never forgotten by Redis.
const FOREVER: u64 = 100 * 365 * 24 * 60 * 60;

/// Arguments: the record, `now` as 8 bytes, its life in seconds or nothing, until when it may be written or nothing, channel or
/// nothing, message.
pub(super) static INSERT: LazyLock<ScriptText> = LazyLock::new(|| {
    ScriptText::new(
        "local stands = redis.call('GETRANGE', KEYS[1], 0, 15)
if stands ~= '' then
    -- Byte by byte: Lua compares strings in the order of the server's locale.
    for i = 1, 8 do
        local ends, now = string.byte(stands, 8 + i), string.byte(ARGV[2], i)
        if ends > now then return 'exists' end
        if ends < now then break end
    end
end
if ARGV[4] ~= '' and tonumber(redis.call('TIME')[1]) > tonumber(ARGV[4]) then return 'late' end
if ARGV[3] == '' then
    redis.call('SET', KEYS[1], ARGV[1])
else
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
end
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
return 'inserted'",
    )
});

/// Arguments: the version that was read, the new version and end, the end in digits, the value, channel or nothing, message. How long Redis
/// keeps the record moves by as much as its end does.
pub(super) static REPLACE: LazyLock<ScriptText> = LazyLock::new(|| {
    ScriptText::new(
        "local stands = redis.call('GET', KEYS[1])
if not stands or string.sub(stands, 1, 8) ~= ARGV[1] then return 'changed' end
local owners = string.byte(stands, 17)
local owned = 17
if owners > 0 then owned = 25 + 32 * owners end
local record = ARGV[2] .. string.sub(stands, 17, owned) .. ARGV[4]
local left = redis.call('PTTL', KEYS[1])
if left >= 0 then
    local moved = tonumber(ARGV[3]) - struct.unpack('>I8', string.sub(stands, 9, 16))
    left = math.max(left + 1000 * moved, 1)
end
if left < 0 or left > 3153600000000 then
    redis.call('SET', KEYS[1], record)
else
    redis.call('SET', KEYS[1], record, 'PX', string.format('%.0f', left))
end
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
return 'replaced'",
    )
});

/// Arguments: channel, message.
pub(super) static REMOVE: LazyLock<ScriptText> = LazyLock::new(|| {
    ScriptText::new(
        "local stands = redis.call('GET', KEYS[1])
if stands then
    redis.call('DEL', KEYS[1])
    redis.call('PUBLISH', ARGV[1], ARGV[2])
end
return stands",
    )
});

/// Writes a record's birth into an owner's index, and says when, by the clock of that Redis. Argument: digest and birth.
pub(super) static NAME: LazyLock<ScriptText> = LazyLock::new(|| {
    ScriptText::new(
        "local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], 0, ARGV[1] .. struct.pack('>I8', now))
return now",
    )
});

/// The members of an index that were written long ago, of the next so many. Arguments: where to begin, how many, how old. The first
/// of the answer is the last that was looked at, or nothing after the last of all.
pub(super) static OLD: LazyLock<ScriptText> = LazyLock::new(|| {
    ScriptText::new(
        "local now = tonumber(redis.call('TIME')[1])
local members = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local old = { #members < tonumber(ARGV[2]) and '' or members[#members] }
for _, member in ipairs(members) do
    if #member == 48 and now - struct.unpack('>I8', string.sub(member, 41)) > tonumber(ARGV[3]) then
        old[#old + 1] = member
    end
end
return old",
    )
});

/// A script, and the name by which Redis knows it once it has seen it.
pub(super) struct ScriptText {
    pub(super) text: &'static str,
    pub(super) sha1: String,
}

impl ScriptText {
    fn new(text: &'static str) -> Self {
        let sha1 = Script::new(text).get_hash().to_owned();
        Self { text, sha1 }
    }
}

/// A record as it was read.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) record: Record,
    pub(super) version: Version,
    /// Of those that have owners.
    pub(super) birth: Option<u64>,
}

/// The record as Redis keeps it. Its first version is the name of its birth.
pub(super) fn pack(record: &Record, version: Version) -> Vec<u8> {
    let mut packed = head(version, record.expires_at).to_vec();
    // At most two: the store refuses more.
    packed.push(u8::try_from(record.owners.len()).unwrap_or(u8::MAX));
    if !record.owners.is_empty() {
        packed.extend(version.number().to_be_bytes());
    }
    for owner in &record.owners {
        packed.extend(owner.as_bytes());
    }
    packed.extend(&record.value);
    packed
}

/// What a replacing changes, but for the value.
pub(super) fn head(version: Version, expires_at: Timestamp) -> [u8; 16] {
    let (version, ends) = (version.number(), expires_at.as_secs());
    ((u128::from(version) << 64) | u128::from(ends)).to_be_bytes()
}

/// `None` for what this store has not written.
pub(super) fn unpack(mut packed: Bytes) -> Option<Kept> {
    let version = Version::new(packed.try_get_u64().ok()?);
    let expires_at = Timestamp::from_secs(packed.try_get_u64().ok()?);
    let count = packed.try_get_u8().ok()?;
    let birth = match count {
        0 => None,
        _ => Some(packed.try_get_u64().ok()?),
    };
    let mut owners = Vec::with_capacity(count.into());
    for _ in 0..count {
        let mut owner = [0; 32];
        packed.try_copy_to_slice(&mut owner).ok()?;
        owners.push(Owner::from_bytes(owner));
    }
    let record = Record {
        owners,
        ..Record::new(packed, expires_at)
    };
    Some(Kept {
        record,
        version,
        birth,
    })
}

/// How long Redis is to keep a record, in seconds; `None` is for ever.
pub(super) fn life(expires_at: Timestamp, now: Timestamp) -> Option<u64> {
    let life = expires_at.as_secs().saturating_sub(now.as_secs());
    let ends = life < FOREVER && expires_at < Timestamp::MAX;
    ends.then_some(life.saturating_add(SLACK))
}

/// Begins the key of everything that belongs to one server, so that a Redis may hold several.
#[derive(Debug, Clone)]
pub(super) struct Prefix(String);

impl Prefix {
    /// At most 64 letters, digits, `-`, `_` and `.`, at least one: none that ends a prefix, is a pattern, or chooses the slot of a cluster.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        ((1..=64).contains(&text.len()) && text.bytes().all(fits)).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn record(&self, key: Key) -> Vec<u8> {
        self.key("", key.kind, key.digest)
    }

    pub(super) fn index(&self, kind: Kind, owner: Owner) -> Vec<u8> {
        self.key("owned:", kind, owner)
    }

    /// What every index matches, and nothing else.
    pub(super) fn indexes(&self) -> String {
        format!("{}:owned:*", self.0)
    }

    /// The kind of an index's records; `None` of what is no index.
    pub(super) fn kind_of_index(&self, key: &[u8]) -> Option<Kind> {
        let rest = key.strip_prefix(self.0.as_bytes())?;
        let rest = rest.strip_prefix(b":owned:")?;
        let kind = rest.split_last_chunk::<32>()?.0.strip_suffix(b":")?;
        kind_named(kind)
    }

    /// Where deaths are published.
    pub(super) fn channel(&self) -> String {
        format!("{}:dead", self.0)
    }

    fn key(&self, what: &str, kind: Kind, digest: Digest) -> Vec<u8> {
        let mut key = format!("{}:{what}{}:", self.0, kind.as_str()).into_bytes();
        key.extend(digest.as_bytes());
        key
    }
}

/// The member of an index, but for when it was written.
pub(super) fn member(digest: Digest, birth: u64) -> Vec<u8> {
    [digest.as_bytes().as_slice(), &birth.to_be_bytes()].concat()
}

/// Digest and birth of a member.
pub(super) fn named(member: &[u8]) -> Option<(Digest, u64)> {
    let (digest, rest) = member.split_first_chunk::<32>()?;
    let birth = rest.first_chunk::<8>()?;
    Some((Digest::from_bytes(*digest), u64::from_be_bytes(*birth)))
}

/// A death as it is published; its number tells it from others, since the nodes of a cluster tell it more than once.
pub(super) fn message(number: u64, key: Key) -> Vec<u8> {
    let number = number.to_be_bytes();
    let kind = key.kind.as_str().as_bytes();
    [number.as_slice(), key.digest.as_bytes(), kind].concat()
}

/// `None` for what is no death that is known here.
pub(super) fn death(message: &[u8]) -> Option<(u64, Key)> {
    let (number, rest) = message.split_first_chunk::<8>()?;
    let (digest, kind) = rest.split_first_chunk::<32>()?;
    let key = Key::new(kind_named(kind)?, Digest::from_bytes(*digest));
    Some((u64::from_be_bytes(*number), key))
}

fn kind_named(name: &[u8]) -> Option<Kind> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.as_str().as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{FOREVER, Prefix, SLACK, death, life, member, message, named, pack, unpack};
    use crate::store::{Key, Kind, Record, Version};
    use crate::types::{Digest, Timestamp};

    fn digest(text: &str) -> Digest {
        Digest::of("test", text.as_bytes())
    }

    #[test]
    fn what_was_packed_is_unpacked_and_what_was_cut_is_refused() {
        for owners in [vec![], vec![digest("a")], vec![digest("a"), digest("b")]] {
            let mut record = Record::new(Bytes::from_static(b"{}"), Timestamp::MAX);
            record.owners = owners;
            let packed = Bytes::from(pack(&record, Version::new(7)));
            let kept = unpack(packed.clone()).unwrap();
            assert_eq!(
                (kept.record, kept.version),
                (record.clone(), Version::new(7))
            );
            assert_eq!(kept.birth, (!record.owners.is_empty()).then_some(7));
            for length in 0..packed.len() - 2 {
                assert!(unpack(packed.slice(..length)).is_none());
            }
        }
    }

    #[test]
    fn deaths_and_members_are_read_as_they_were_written() {
        for kind in Kind::ALL {
            let key = Key::new(kind, digest("a"));
            assert_eq!(death(&message(9, key)), Some((9, key)));
        }
        let unknown = [&message(9, Key::new(Kind::Code, digest("a")))[..], b"x"].concat();
        assert_eq!(death(&unknown), None);
        assert_eq!(death(b"short"), None);
        assert_eq!(named(&member(digest("a"), 9)), Some((digest("a"), 9)));
        assert_eq!(named(&[0; 39]), None);
    }

    #[test]
    fn a_prefix_ends_before_the_first_colon_and_is_no_pattern() {
        for good in ["a", "tower-oauth", "A_b.9", &"x".repeat(64)] {
            let prefix = Prefix::parse(good).unwrap();
            let index = prefix.index(Kind::Grant, digest("a"));
            assert_eq!(prefix.kind_of_index(&index), Some(Kind::Grant));
            let record = prefix.record(Key::new(Kind::Grant, digest("a")));
            assert_eq!(prefix.kind_of_index(&record), None);
        }
        for evil in [
            "",
            " ",
            "a b",
            "a:b",
            "a*",
            "a?",
            "[a]",
            "a\\",
            "{a}",
            "}",
            "a\n",
            "a\0",
            "ä",
            "a/b",
            "'",
            "\"",
            &"x".repeat(65),
        ] {
            assert!(Prefix::parse(evil).is_none(), "{evil:?}");
        }
    }

    #[test]
    fn redis_keeps_a_record_an_hour_longer_than_it_lives_and_some_for_ever() {
        let now = Timestamp::from_secs(1_000);
        assert_eq!(life(Timestamp::from_secs(1_060), now), Some(60 + SLACK));
        assert_eq!(life(Timestamp::from_secs(7), now), Some(SLACK));
        assert_eq!(life(Timestamp::from_secs(1_000 + FOREVER), now), None);
        assert_eq!(life(Timestamp::MAX, now), None);
        assert_eq!(life(Timestamp::MAX, Timestamp::MAX), None);
    }
}
