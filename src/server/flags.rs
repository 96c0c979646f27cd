//! Who is to be told when something dies: the facts in the caches of this process.
//!
//! A check registers its flags, *then* reads the store, *then* caches; a revoker writes the store, *then* raises the flags. So
//! whatever the order in which two of them meet, a cached fact is never alive after its revocation was answered.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError, Weak};

use crate::store::Key;
use crate::types::Flag;

/// The flags that somebody still holds, by the key of the record they speak of.
#[derive(Debug, Default)]
pub(crate) struct Flags(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    flags: HashMap<Key, Weak<AtomicBool>>,
    /// How many may stand there before those that nobody holds are swept out.
    sweep_at: usize,
}

impl Flags {
    /// The flag of a record.
    pub(crate) fn register(&self, key: Key) -> Flag {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flag) = known.flags.get(&key).and_then(Flag::upgrade) {
            return flag;
        }
        if known.flags.len() >= known.sweep_at {
            known.flags.retain(|_, weak| weak.strong_count() > 0);
            known.sweep_at = (known.flags.len() * 2).max(1024);
        }
        let flag = Flag::new();
        known.flags.insert(key, flag.downgrade());
        flag
    }

    /// Says that a record is dead. Who asks afterwards gets a new flag, and reads the store anew.
    pub(crate) fn raise(&self, key: Key) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flag) = known.flags.remove(&key).as_ref().and_then(Flag::upgrade) {
            flag.set();
        }
    }

    /// Says that any record may be dead.
    pub(crate) fn raise_all(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, weak) in known.flags.drain() {
            if let Some(flag) = Flag::upgrade(&weak) {
                flag.set();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;
    use crate::store::{Key, Kind};
    use crate::types::Digest;

    fn key(name: &[u8]) -> Key {
        Key::new(Kind::Grant, Digest::of("grant", name))
    }

    #[test]
    fn all_who_asked_are_told_and_who_asks_later_starts_anew() {
        let flags = Flags::default();
        let (one, two, other) = (
            flags.register(key(b"a")),
            flags.register(key(b"a")),
            flags.register(key(b"b")),
        );
        flags.raise(key(b"a"));
        assert!(one.is_set() && two.is_set() && !other.is_set());
        assert!(!flags.register(key(b"a")).is_set());
        flags.raise_all();
        assert!(other.is_set());
    }

    #[test]
    fn s20_flags_that_nobody_holds_are_swept_out() {
        let flags = Flags::default();
        for number in 0..10_000_u32 {
            flags.register(key(&number.to_be_bytes()));
        }
        assert!(flags.0.lock().unwrap().flags.len() <= 1024);
    }
}
