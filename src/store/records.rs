//! Typed reads and writes over any store: the only caller of its verbs.
//!
//! A value is a JSON object with a version member `v`. Members that are not known are kept when a record is written again, and a
//! record of a newer version is an error, never rewritten. Whether a record has expired is judged here, by our clock.

use std::borrow::Cow;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::members::members;
use super::stored::{Stored, subject_digest};
use super::{
    Changes, Cursor, DynStore, Insert, Key, Kind, Listing, Observer, Owner, Record, Replace, Step,
    StoreError, Version,
};
use crate::types::record::SubjectEpoch;
use crate::types::{Digest, Stopwatch, Subject, Timestamp};

/// The version of every kind of record that this crate writes, and the newest that it reads.
const VERSION: u32 = 1;

/// What was read: a record, and what is needed to write it again.
#[derive(Debug, Clone)]
pub(crate) struct Read<T> {
    pub(crate) record: T,
    version: Version,
    /// As it stands in the store, for the members in it that are not known here.
    stands: Bytes,
}

impl<T> Read<T> {
    /// What was just written, as if it had been read.
    pub(crate) fn new(record: T, version: Version) -> Self {
        Self {
            record,
            version,
            stands: Bytes::new(),
        }
    }
}

/// A store that speaks of grants and codes.
#[derive(Clone)]
pub(crate) struct Records {
    store: Arc<dyn DynStore>,
    observer: Arc<dyn Observer>,
}

impl Records {
    pub(crate) fn new(store: Arc<dyn DynStore>, observer: Arc<dyn Observer>) -> Self {
        Self { store, observer }
    }

    /// Does a step, and tells how it went.
    async fn step<T>(
        &self,
        (verb, kind): (&'static str, Option<Kind>),
        step: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let stopwatch = Stopwatch::start();
        let done = step.await;
        let time = (verb != "changes").then(|| stopwatch.elapsed()); // the feed waits by design
        self.observer.step(&Step {
            verb,
            kind,
            time,
            error: done.as_ref().err(),
        });
        done
    }

    /// Reads a record that has not expired.
    pub(crate) async fn load<T: Stored>(
        &self,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Option<Read<T>>, StoreError> {
        let step = self.store.get(Key::new(T::KIND, digest));
        let Some((record, version)) = self.step(("get", Some(T::KIND)), step).await? else {
            return Ok(None);
        };
        if record.expires_at <= now {
            return Ok(None);
        }
        read(&record, version).map(Some)
    }

    /// Puts a record where none stands.
    pub(crate) async fn create<T: Stored>(
        &self,
        digest: Digest,
        record: &T,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        let record = write(record, &Bytes::new())?;
        let step = self.store.insert(Key::new(T::KIND, digest), record, now);
        self.step(("insert", Some(T::KIND)), step).await
    }

    /// Replaces what was read by what it has become.
    pub(crate) async fn update<T: Stored>(
        &self,
        digest: Digest,
        read: Read<T>,
    ) -> Result<Replace, StoreError> {
        let record = write(&read.record, &read.stands)?;
        let key = Key::new(T::KIND, digest);
        let step = self.store.replace(key, read.version, record);
        self.step(("replace", Some(T::KIND)), step).await
    }

    /// Takes a record away.
    pub(crate) async fn remove<T: Stored>(&self, digest: Digest) -> Result<bool, StoreError> {
        let step = self.store.remove(Key::new(T::KIND, digest));
        let removed = self.step(("remove", Some(T::KIND)), step).await?;
        Ok(removed.is_some())
    }

    /// Changes a record, again if somebody else was first; says whether it stands and was changed by us.
    pub(crate) async fn change<T: Stored>(
        &self,
        digest: Digest,
        now: Timestamp,
        change: impl Fn(&mut T) -> bool + Send,
    ) -> Result<bool, StoreError> {
        loop {
            let Some(mut read) = self.load::<T>(digest, now).await? else {
                return Ok(false);
            };
            if !change(&mut read.record) {
                return Ok(false);
            }
            if let Replace::Replaced(_) = self.update(digest, read).await? {
                return Ok(true);
            }
        }
    }

    /// An owner's records of a kind, in pages.
    pub(crate) fn owned<T: Stored>(&self, owner: Owner) -> Owned<'_, T> {
        Owned {
            records: self,
            owner,
            after: None,
            done: false,
            kind: PhantomData,
        }
    }

    pub(crate) async fn purge(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.step(("purge", None), self.store.purge(now, limit))
            .await
    }

    pub(crate) async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.step(("changes", None), self.store.changes(after))
            .await
    }

    /// How often everything of a subject was revoked.
    pub(crate) async fn subject_epoch(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        Ok(self.revoked_by(subject, now).await?.epoch)
    }

    /// The same, and from which clients they have taken all access of late.
    pub(crate) async fn revoked_by(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<SubjectEpoch, StoreError> {
        let read = self
            .load::<SubjectEpoch>(subject_digest(subject), now)
            .await?;
        Ok(read.map(|read| read.record).unwrap_or_default())
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Records")
    }
}

/// Pages of an owner's records.
pub(crate) struct Owned<'a, T> {
    records: &'a Records,
    owner: Owner,
    after: Option<Digest>,
    done: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T: Stored> Owned<'_, T> {
    /// The next page; none after the last. What the index names and is gone is left out, so a page may be empty.
    pub(crate) async fn next(
        &mut self,
        now: Timestamp,
    ) -> Result<Option<Vec<(Digest, T)>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let listing = Listing {
            kind: T::KIND,
            owner: self.owner,
            after: self.after,
            limit: 100,
        };
        let records = self.records;
        let step = records.store.list(listing);
        let page = records.step(("list", Some(T::KIND)), step).await?;
        self.after = page.next;
        self.done = page.next.is_none();
        let mut found = Vec::with_capacity(page.digests.len());
        for digest in page.digests {
            if let Some(read) = self.records.load::<T>(digest, now).await? {
                found.push((digest, read.record));
            }
        }
        Ok(Some(found))
    }
}

fn read<T: Stored>(record: &Record, version: Version) -> Result<Read<T>, StoreError> {
    if !record.value.starts_with(PREFIX) {
        check_version(&record.value)?;
    }
    let form: T::Form = serde_json::from_slice(&record.value).map_err(|error| malformed(&error))?;
    Ok(Read {
        record: form.into(),
        version,
        stands: record.value.clone(),
    })
}

/// What this crate writes begins so, and is read without a look at the version apart.
const PREFIX: &[u8] = br#"{"v":1,"#;

fn check_version(value: &[u8]) -> Result<(), StoreError> {
    #[derive(Deserialize)]
    struct OnlyVersion {
        v: u32,
    }
    let OnlyVersion { v } = serde_json::from_slice(value).map_err(|error| malformed(&error))?;
    if v > VERSION {
        return Err(StoreError::new(
            "a record was written by a newer version of tower-oauth",
        ));
    }
    Ok(())
}

/// Says where it is wrong and not what stands there: the error itself would quote it, and it will stand in the log.
fn malformed(error: &serde_json::Error) -> StoreError {
    let (what, column) = (error.classify(), error.column());
    StoreError::new(format!(
        "a record is malformed: {what:?} error at column {column}"
    ))
}

/// A record as the store keeps it, with the members that are not known of what stands there.
fn write<T: Stored>(record: &T, stands: &[u8]) -> Result<Record, StoreError> {
    let comma = PREFIX.len() - 1;
    let mut value = Vec::with_capacity(512);
    value.extend_from_slice(PREFIX.get(..comma).unwrap_or_default());
    serde_json::to_writer(&mut value, &T::Written::from(record)).map_err(StoreError::new)?;
    if let Some(brace) = value.get_mut(comma) {
        *brace = b','; // the record's own opening brace: its members follow the version
    }
    let unknown = unknown::<T>(stands).map_err(|error| malformed(&error))?;
    if !unknown.is_empty() {
        value.pop();
        let members = serde_json::to_vec(&unknown).map_err(StoreError::new)?;
        value.push(b',');
        value.extend_from_slice(members.get(1..).unwrap_or_default());
    }
    Ok(Record {
        owners: record.owners(),
        announce: record.announce(),
        // A copy, so that what is kept takes the room that it needs, and the buffer goes back whole for the next.
        ..Record::new(Bytes::copy_from_slice(&value), record.expires_at())
    })
}

/// The members of a value that a record of this kind does not have: a newer version of this crate may have written them.
fn unknown<T: Stored>(value: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    if value.is_empty() {
        return Ok(Map::new());
    }
    let is_known = |name: &str| name == "v" || members::<T::Form>().contains(&name);
    let names: HashMap<Cow<'_, str>, IgnoredAny> = serde_json::from_slice(value)?;
    if names.keys().all(|name| is_known(name)) {
        return Ok(Map::new());
    }
    let mut all: Map<String, Value> = serde_json::from_slice(value)?;
    all.retain(|name, _| !is_known(name));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Map, PREFIX, VERSION, read, unknown, write};
    use crate::store::{Record, Version};
    use crate::types::record::SubjectEpoch;
    use crate::types::{Client, Timestamp};

    fn kept(json: &'static str) -> Record {
        Record::new(Bytes::from_static(json.as_bytes()), Timestamp::MAX)
    }

    #[test]
    fn what_is_not_known_is_kept_when_a_record_is_written_again() {
        let found = read::<SubjectEpoch>(
            &kept(r#"{"v":1,"epoch":3,"later":{"a":[1]}}"#),
            Version::new(1),
        )
        .unwrap();
        assert_eq!(found.record.epoch, 3);
        let again = write(&found.record, &found.stands).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&again.value).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"v": 1, "epoch": 3, "later": {"a": [1]}})
        );
    }

    #[test]
    fn what_is_written_begins_with_the_version_of_this_crate() {
        assert_eq!(PREFIX, format!(r#"{{"v":{VERSION},"#).as_bytes());
        let spaced = kept(r#"{ "epoch": 3, "v": 1 }"#);
        let read = read::<SubjectEpoch>(&spaced, Version::new(1)).unwrap();
        assert_eq!(read.record.epoch, 3);
    }

    #[test]
    fn a_record_of_a_newer_version_is_an_error_and_so_is_garbage() {
        assert!(read::<SubjectEpoch>(&kept(r#"{"v":2,"epoch":3}"#), Version::new(1)).is_err());
        assert!(read::<SubjectEpoch>(&kept("{"), Version::new(1)).is_err());
        assert!(read::<SubjectEpoch>(&kept(r#"{"epoch":3}"#), Version::new(1)).is_err());
    }

    // req: http-log-1
    #[test]
    fn http_log_1_what_is_wrong_with_a_record_is_said_without_a_word_of_it() {
        let error = read::<SubjectEpoch>(&kept(r#"{"v":1,"epoch":"hunter2"}"#), Version::new(1));
        let error = error.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("malformed") && !cause.contains("hunter2"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_client_reads_what_it_writes() {
        let client = Client::public("c1".parse().unwrap()).name("é \"x\"");
        let record = write(&client, &[]).unwrap();
        assert!(record.value.starts_with(PREFIX));
        let back = read::<Client>(&record, Version::new(1)).unwrap();
        assert_eq!(format!("{:?}", back.record), format!("{client:?}"));
        assert_eq!(unknown::<Client>(&record.value).unwrap(), Map::new());
    }
}
