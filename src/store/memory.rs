//! The store that forgets when the process ends.

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
    records: HashMap<Key, Entry>,
    owned: BTreeSet<(Kind, Owner, Digest)>,
    expiring: BTreeMap<Timestamp, BTreeSet<Key>>,
    written: u64,
}

/// A record as it is kept: most have no owner, and all of them together are what the process grows by.
#[derive(Debug)]
struct Entry {
    value: Bytes,
    expires_at: Timestamp,
    owners: Box<[Owner]>,
    version: Version,
}

impl Entry {
    fn to_record(&self) -> (Record, Version) {
        let record = Record {
            owners: self.owners.to_vec(),
            ..Record::new(self.value.clone(), self.expires_at)
        };
        (record, self.version)
    }
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
    fn put(&mut self, key: Key, record: Record) -> Version {
        self.take(key);
        self.written += 1;
        let version = Version::new(self.written);
        let owners = record.owners.into_boxed_slice();
        let owned = owners.iter().map(|owner| (key.kind, *owner, key.digest));
        self.owned.extend(owned);
        let expires_at = record.expires_at;
        if expires_at < Timestamp::MAX {
            self.expiring.entry(expires_at).or_default().insert(key);
        }
        let entry = Entry {
            value: record.value,
            expires_at,
            owners,
            version,
        };
        self.records.insert(key, entry);
        version
    }

    fn take(&mut self, key: Key) -> Option<Entry> {
        let entry = self.records.remove(&key)?;
        for owner in &entry.owners {
            self.owned.remove(&(key.kind, *owner, key.digest));
        }
        if let Some(keys) = self.expiring.get_mut(&entry.expires_at) {
            keys.remove(&key);
            if keys.is_empty() {
                self.expiring.remove(&entry.expires_at);
            }
        }
        Some(entry)
    }
}

impl Store for MemoryStore {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        let mut state = self.lock()?;
        if state
            .records
            .get(&key)
            .is_some_and(|stands| stands.expires_at > now)
        {
            return Ok(Insert::Exists);
        }
        let announce = record.announce;
        let version = state.put(key, record);
        if announce {
            self.feed.announce([key])?;
        }
        Ok(Insert::Inserted(version))
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        Ok(self.lock()?.records.get(&key).map(Entry::to_record))
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        let mut state = self.lock()?;
        let stands = state.records.get(&key);
        let Some(stands) = stands.filter(|stands| stands.version == read) else {
            return Ok(Replace::Changed);
        };
        let owners = stands.owners.to_vec();
        let announce = record.announce;
        let version = state.put(key, Record { owners, ..record });
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
        Ok(record.map(|entry| entry.to_record().0))
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
        let mut forgotten = 0;
        while forgotten < limit {
            let Some(key) = state
                .expiring
                .range(..=now)
                .find_map(|(_, keys)| keys.first().copied())
            else {
                break;
            };
            state.take(key);
            forgotten += 1;
        }
        Ok(forgotten)
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.feed.changes(after).await
    }
}
