//! Stores that are wrong in one thing each.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, MemoryStore, Page, Record, Replace, Store,
    StoreError, Version,
};
use tower_oauth::types::{Digest, Timestamp};

use crate::support::{NOW, later};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    ForgetsOwners,
    KeepsAnnounce,
    ChangesExpiry,
    InsertOverwrites,
    InsertNeverOverwrites,
    InsertChecksThenWrites,
    InsertClearsThenWrites,
    IgnoresKind,
    ComparesHalfDigests,
    ForgetsTheSecondOwner,
    CutsLongValues,
    ReplaceKeepsExpiry,
    ListsBackwards,
    ListsOnePage,
    PurgesByTheFirstExpiry,
    FeedMissesReplaces,
    FeedTellsTooEarly,
    ReplacesStale,
    ReplacesOwners,
    ReplaceCreates,
    ReplaceChecksThenWrites,
    CountsVersionsPerRecord,
    RemoveOnlyReads,
    RemoveReadsThenWrites,
    ListsAfterInclusive,
    ListsWithoutTheLast,
    ListsOneMore,
    ListsAnotherOwner,
    ForgetsOwnersOfWhatComesBack,
    PurgesTooEarly,
    PurgesWithoutLimit,
    PurgesInWordsOnly,
    PurgesTheEverlasting,
    FeedBeginsWithEvents,
    FeedMissesInserts,
    FeedTellsEveryWrite,
    FeedNeverWakes,
    FeedHidesThatItLost,
    ForgetsOnReopening,
    ForgetsBeside,
}

/// A memory store that is right but for its fault. Clones are nodes over the same data.
#[derive(Clone)]
pub(crate) struct Wrong {
    fault: Fault,
    inner: Arc<MemoryStore>,
    /// By key: a number that begins again with each record, and the version it stands for.
    counted: Arc<Mutex<HashMap<Key, (u64, Version)>>>,
    removed: Arc<Mutex<HashSet<Key>>>,
    /// When each record was to expire as it was put.
    first_expiry: Arc<Mutex<HashMap<Key, Timestamp>>>,
}

impl Wrong {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            inner: Arc::default(),
            counted: Arc::default(),
            removed: Arc::default(),
            first_expiry: Arc::default(),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn key(&self, key: Key) -> Key {
        match self.fault {
            Fault::IgnoresKind => Key::new(Kind::Client, key.digest),
            Fault::ComparesHalfDigests => {
                let mut bytes = *key.digest.as_bytes();
                bytes[16..].fill(0);
                Key::new(key.kind, Digest::from_bytes(bytes))
            }
            _ => key,
        }
    }

    fn record(&self, mut record: Record) -> Record {
        match self.fault {
            Fault::ForgetsOwners => record.owners.clear(),
            Fault::ForgetsTheSecondOwner => record.owners.truncate(1),
            Fault::CutsLongValues => record.value.truncate(65_535),
            Fault::ChangesExpiry => record.expires_at = later(record.expires_at, 1),
            Fault::FeedTellsEveryWrite => record.announce = true,
            Fault::PurgesTheEverlasting if record.expires_at == Timestamp::MAX => {
                record.expires_at = Timestamp::from_secs(Timestamp::MAX.as_secs() - 1);
            }
            _ => {}
        }
        record
    }

    fn expires_first(&self, key: Key, at: Timestamp) {
        let mut first_expiry = self.first_expiry.lock().expect("no thread panics");
        first_expiry.insert(key, at);
    }

    fn was_removed(&self, key: Key) -> bool {
        self.removed
            .lock()
            .expect("no thread panics")
            .contains(&key)
    }

    fn counted(&self, key: Key) -> Option<(u64, Version)> {
        let counted = self.counted.lock().expect("no thread panics");
        counted.get(&key).copied()
    }

    fn count(&self, key: Key, version: Version, number: u64) -> Version {
        if self.is(Fault::CountsVersionsPerRecord) {
            let mut counted = self.counted.lock().expect("no thread panics");
            counted.insert(key, (number, version));
            Version::new(number)
        } else {
            version
        }
    }
}

impl Store for Wrong {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        let key = self.key(key);
        let mut record = self.record(record);
        self.expires_first(key, record.expires_at);
        let mut now = now;
        match self.fault {
            Fault::FeedMissesInserts => record.announce = false,
            Fault::InsertOverwrites => now = Timestamp::MAX,
            Fault::InsertNeverOverwrites => now = Timestamp::from_secs(0),
            Fault::InsertChecksThenWrites => {
                let found = self.inner.get(key).await?;
                if found.is_some_and(|(found, _)| found.expires_at > now) {
                    return Ok(Insert::Exists);
                }
                tokio::task::yield_now().await;
                now = Timestamp::MAX;
            }
            Fault::InsertClearsThenWrites => {
                let found = self.inner.get(key).await?;
                if found.is_some_and(|(found, _)| found.expires_at <= now) {
                    tokio::task::yield_now().await;
                    self.inner.remove(key).await?;
                }
            }
            Fault::ForgetsOwnersOfWhatComesBack if self.was_removed(key) => record.owners.clear(),
            _ => {}
        }
        Ok(match self.inner.insert(key, record, now).await? {
            Insert::Inserted(version) => Insert::Inserted(self.count(key, version, 1)),
            Insert::Exists => Insert::Exists,
        })
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        let key = self.key(key);
        let found = self.inner.get(key).await?;
        Ok(found.map(|(mut record, mut version)| {
            record.announce = self.is(Fault::KeepsAnnounce);
            if let Some((number, _)) = self.counted(key) {
                version = Version::new(number);
            }
            (record, version)
        }))
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        let key = self.key(key);
        let mut record = self.record(record);
        let found = self.inner.get(key).await?;
        let stands = found.as_ref().map(|(_, version)| *version);
        if let (Fault::ReplaceKeepsExpiry, Some((found, _))) = (self.fault, &found) {
            record.expires_at = found.expires_at;
        }
        if self.is(Fault::FeedMissesReplaces) {
            record.announce = false;
        }
        let mut read = read;
        let mut number = 0;
        match (self.fault, stands) {
            (Fault::FeedTellsTooEarly, Some(_)) if record.announce => {
                let (mut early, _) = found.expect("it stands");
                early.announce = true;
                if let Replace::Replaced(version) = self.inner.replace(key, read, early).await? {
                    read = version;
                }
                tokio::task::yield_now().await;
                record.announce = false;
            }
            (Fault::ReplacesStale, Some(stands)) => read = stands,
            (Fault::ReplacesOwners, Some(stands)) if stands == read => {
                self.inner.remove(key).await?;
                let put = self.inner.insert(key, record, Timestamp::MAX).await?;
                return Ok(match put {
                    Insert::Inserted(version) => Replace::Replaced(version),
                    Insert::Exists => Replace::Changed,
                });
            }
            (Fault::ReplaceCreates, None) => {
                return Ok(
                    match self.inner.insert(key, record, Timestamp::MAX).await? {
                        Insert::Inserted(version) => Replace::Replaced(version),
                        Insert::Exists => Replace::Changed,
                    },
                );
            }
            (Fault::ReplaceChecksThenWrites, Some(stands)) if stands == read => {
                tokio::task::yield_now().await;
                if let Some((_, stands)) = self.inner.get(key).await? {
                    read = stands;
                }
            }
            (Fault::CountsVersionsPerRecord, Some(_)) => match self.counted(key) {
                Some((counted, version)) if read.number() == counted => {
                    (number, read) = (counted + 1, version);
                }
                _ => return Ok(Replace::Changed),
            },
            _ => {}
        }
        Ok(match self.inner.replace(key, read, record).await? {
            Replace::Replaced(version) => Replace::Replaced(self.count(key, version, number)),
            Replace::Changed => Replace::Changed,
        })
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        let key = self.key(key);
        self.removed.lock().expect("no thread panics").insert(key);
        match self.fault {
            Fault::RemoveOnlyReads => Ok(self.inner.get(key).await?.map(|(record, _)| record)),
            Fault::RemoveReadsThenWrites => {
                let found = self.inner.get(key).await?;
                tokio::task::yield_now().await;
                self.inner.remove(key).await?;
                Ok(found.map(|(record, _)| record))
            }
            _ => self.inner.remove(key).await,
        }
    }

    async fn list(&self, mut listing: Listing) -> Result<Page, StoreError> {
        let asked = listing;
        match self.fault {
            Fault::ListsOneMore => listing.limit += 1,
            Fault::ListsAnotherOwner => listing.kind = Kind::Client,
            _ => {}
        }
        let mut page = self.inner.list(listing).await?;
        match self.fault {
            Fault::ListsAfterInclusive => page.digests.splice(0..0, asked.after).for_each(drop),
            Fault::ListsBackwards => page.digests.reverse(),
            Fault::ListsOnePage => page.next = None,
            Fault::ListsWithoutTheLast if page.next.is_none() => drop(page.digests.pop()),
            _ => {}
        }
        Ok(page)
    }

    async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        match self.fault {
            Fault::PurgesTooEarly => self.inner.purge(later(now, 1), limit).await,
            Fault::PurgesWithoutLimit => self.inner.purge(now, u32::MAX).await,
            Fault::PurgesByTheFirstExpiry => {
                let first_expiry = self.first_expiry.lock().expect("no thread panics").clone();
                for (key, _) in first_expiry.iter().filter(|(_, ends)| **ends <= now) {
                    self.inner.remove(*key).await?;
                }
                Ok(0)
            }
            Fault::PurgesInWordsOnly => Ok(u32::from(now.as_secs() >= NOW) * limit.min(3)),
            _ => self.inner.purge(now, limit).await,
        }
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        if self.is(Fault::FeedNeverWakes) && after.is_some() {
            return std::future::pending().await;
        }
        match self.inner.changes(after).await? {
            Changes::Lost { next } if after.is_some() && self.is(Fault::FeedHidesThatItLost) => {
                let recent = Cursor::new(next.number() - 10);
                self.inner.changes(Some(recent)).await
            }
            Changes::Lost { next } if self.is(Fault::FeedBeginsWithEvents) => Ok(Changes::Events {
                dead: Vec::new(),
                next,
            }),
            told => Ok(told),
        }
    }
}
