//! The store that forgets when the process ends.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use super::feed::Feed;
use super::{
    Changes, Cursor, Insert, Key, Kind, Listing, Owner, Page, Record, Replace, Store, StoreError,
    Version,
};
use crate::types::{Digest, Timestamp};

/// Records in the memory of this process: for tests, and for single nodes that may forget.
///
/// Everything is lost when the last clone of the server is dropped; every token dies with it.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    feed: Feed,
}

#[derive(Debug, Default)]
struct State {
    records: Tables,
    /// Of the few that have any.
    owners: HashMap<Key, Vec<Owner>>,
    owned: BTreeSet<(Kind, Owner, Digest)>,
    /// What ends when. Who is written again or removed is not looked for in here: an entry that does not agree with its record is stale.
    expiring: BTreeMap<Timestamp, Vec<Key>>,
    stale: usize,
    written: u64,
}

/// A record as it is kept. A token is one of these and its place in `expiring`: that is what the process grows by.
#[derive(Debug)]
struct Entry {
    value: Box<[u8]>,
    expires_at: Timestamp,
    version: Version,
}

type Table = HashMap<Key, Entry>;

/// Many small tables, of which each grows by itself. One of all records would be copied whole whenever it is full, while everybody waits:
/// half a second, at 3.7 million tokens.
#[derive(Debug)]
struct Tables(Box<[Table; 256]>);

impl Default for Tables {
    fn default() -> Self {
        Self(Box::new(std::array::from_fn(|_| Table::new())))
    }
}

impl Tables {
    /// The table in which a key stands, by a byte of its digest that is as good as random.
    fn of(&self, key: Key) -> &Table {
        let [first, others @ ..] = &*self.0;
        place(key)
            .and_then(|place| others.get(place))
            .unwrap_or(first)
    }

    fn of_mut(&mut self, key: Key) -> &mut Table {
        let [first, others @ ..] = &mut *self.0;
        place(key)
            .and_then(|place| others.get_mut(place))
            .unwrap_or(first)
    }

    fn len(&self) -> usize {
        self.0.iter().map(Table::len).sum()
    }
}

/// Where among all tables but the first.
fn place(key: Key) -> Option<usize> {
    let [.., last] = key.digest.as_bytes();
    usize::from(*last).checked_sub(1)
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            feed: Feed::starting_at(0),
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        self.state
            .lock()
            .map_err(|_| StoreError::new("a thread panicked while it held the store"))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn read(&self, key: Key) -> Option<(Record, Version)> {
        let entry = self.records.of(key).get(&key)?;
        Some((self.record(key, entry), entry.version))
    }

    fn record(&self, key: Key, entry: &Entry) -> Record {
        Record {
            owners: self.owners.get(&key).cloned().unwrap_or_default(),
            ..Record::new(Bytes::copy_from_slice(&entry.value), entry.expires_at)
        }
    }

    /// Puts a record where none stands, or one that has expired. One look-up in the usual case: tokens are made oftener than anything.
    fn put(&mut self, key: Key, record: Record, now: Timestamp) -> Option<Version> {
        let place = match self.records.of_mut(key).entry(key) {
            Place::Vacant(place) => place,
            Place::Occupied(found) if found.get().expires_at > now => return None,
            Place::Occupied(_) => {
                self.forget(key);
                return self.put(key, record, now);
            }
        };
        self.written += 1;
        let version = Version::new(self.written);
        let expires_at = record.expires_at;
        place.insert(Entry {
            value: Vec::from(record.value).into_boxed_slice(),
            expires_at,
            version,
        });
        if expires_at < Timestamp::MAX {
            self.expiring.entry(expires_at).or_default().push(key);
        }
        if !record.owners.is_empty() {
            let owned = record.owners.iter();
            self.owned
                .extend(owned.map(|owner| (key.kind, *owner, key.digest)));
            self.owners.insert(key, record.owners);
        }
        Some(version)
    }

    fn take(&mut self, key: Key) -> Option<Record> {
        let record = self.read(key)?.0;
        self.forget(key);
        Some(record)
    }

    fn forget(&mut self, key: Key) {
        let Some(entry) = self.records.of_mut(key).remove(&key) else {
            return;
        };
        disown(&mut self.owners, &mut self.owned, key);
        if entry.expires_at < Timestamp::MAX {
            self.stale += 1;
            self.sweep();
        }
    }

    /// Leaves no more stale entries than there are records.
    fn sweep(&mut self) {
        if self.stale <= 1024 || self.stale <= self.records.len() {
            return;
        }
        let records = &self.records;
        self.expiring.retain(|ends, keys| {
            keys.retain(|key| ends_at(records, *key) == Some(*ends));
            keys.sort_unstable();
            keys.dedup();
            keys.shrink_to_fit();
            !keys.is_empty()
        });
        self.stale = 0;
    }
}

fn disown(
    owners: &mut HashMap<Key, Vec<Owner>>,
    owned: &mut BTreeSet<(Kind, Owner, Digest)>,
    key: Key,
) {
    if owners.is_empty() {
        return; // as where there are but tokens
    }
    for owner in owners.remove(&key).unwrap_or_default() {
        owned.remove(&(key.kind, owner, key.digest));
    }
}

fn ends_at(records: &Tables, key: Key) -> Option<Timestamp> {
    records.of(key).get(&key).map(|entry| entry.expires_at)
}

impl Store for MemoryStore {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        let mut state = self.lock()?;
        let announce = record.announce;
        let Some(version) = state.put(key, record, now) else {
            return Ok(Insert::Exists);
        };
        if announce {
            self.feed.announce([key])?;
        }
        Ok(Insert::Inserted(version))
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        Ok(self.lock()?.read(key))
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        let mut guard = self.lock()?;
        let state = &mut *guard;
        let stands = state.records.of_mut(key).get_mut(&key);
        let Some(stands) = stands.filter(|stands| stands.version == read) else {
            return Ok(Replace::Changed);
        };
        state.written += 1;
        let version = Version::new(state.written);
        let before = std::mem::replace(
            stands,
            Entry {
                value: Vec::from(record.value).into_boxed_slice(),
                expires_at: record.expires_at,
                version,
            },
        );
        if before.expires_at != record.expires_at {
            if record.expires_at < Timestamp::MAX {
                let ends = state.expiring.entry(record.expires_at);
                ends.or_default().push(key);
            }
            if before.expires_at < Timestamp::MAX {
                state.stale += 1;
                state.sweep();
            }
        }
        let announce = record.announce;
        if announce {
            self.feed.announce([key])?;
        }
        Ok(Replace::Replaced(version))
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        let mut state = self.lock()?;
        let record = state.take(key);
        if record.is_some() {
            self.feed.announce([key])?;
        }
        Ok(record)
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        let state = self.lock()?;
        let Listing {
            kind,
            owner,
            after,
            limit,
        } = listing;
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let first = (kind, owner, after.unwrap_or(Digest::from_bytes([0; 32])));
        let digests: Vec<_> = state
            .owned
            .range(first..)
            .take_while(|entry| (entry.0, entry.1) == (kind, owner))
            .map(|entry| entry.2)
            .filter(|digest| Some(*digest) != after)
            .take(limit)
            .collect();
        let next = if digests.len() == limit {
            digests.last().copied()
        } else {
            None
        };
        Ok(Page { digests, next })
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let mut state = self.lock()?;
        let State {
            records,
            owners,
            owned,
            expiring,
            stale,
            ..
        } = &mut *state;
        let mut forgotten = 0;
        while forgotten < limit {
            let Some(mut due) = expiring.first_entry().filter(|due| *due.key() <= now) else {
                break;
            };
            let ends = *due.key();
            let Some(key) = due.get_mut().pop() else {
                due.remove();
                continue;
            };
            match records.of_mut(key).entry(key) {
                Place::Occupied(found) if found.get().expires_at == ends => {
                    found.remove();
                    disown(owners, owned, key);
                    forgotten += 1;
                }
                _ => *stale = stale.saturating_sub(1),
            }
        }
        Ok(forgotten)
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.feed.changes(after).await
    }
}
