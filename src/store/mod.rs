//! What a store must do: six verbs over single keys, and a feed of deaths.
//!
//! Nothing here knows OAuth, and no verb touches two keys: whatever would need a transaction is one record, or an order of writes
//! that survives a crash between any two of them. A store sees digests only, never a token.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::types::{Digest, Timestamp};

#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(feature = "testing")]
mod conformance_asking;
#[cfg(feature = "testing")]
mod conformance_feed;
#[cfg(feature = "testing")]
mod conformance_lists;
#[cfg(feature = "testing")]
mod conformance_nodes;
#[cfg(feature = "testing")]
mod conformance_races;
#[cfg(feature = "testing")]
mod conformance_records;
#[cfg(feature = "testing")]
mod conformance_reopening;
mod erased;
mod feed;
mod members;
mod memory;
mod observer;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_connections;
#[cfg(feature = "postgres")]
mod postgres_listener;
#[cfg(feature = "postgres")]
mod postgres_open;
#[cfg(feature = "postgres")]
mod postgres_schema;
mod records;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_durability;
#[cfg(feature = "redis")]
mod redis_feed;
#[cfg(feature = "redis")]
mod redis_link;
#[cfg(feature = "redis")]
mod redis_purge;
#[cfg(feature = "redis")]
mod redis_record;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_writer;
mod stored;
pub(crate) use erased::DynStore;
pub use memory::MemoryStore;
pub(crate) use observer::{Observer, Step};
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "postgres")]
pub use postgres_open::{PostgresOpenError, PostgresStoreBuilder};
#[cfg(feature = "postgres")]
pub use postgres_schema::{InvalidPostgresName, PostgresName};
pub(crate) use records::{Read, Records};
#[cfg(feature = "redis")]
pub use redis::{RedisConnectError, RedisStore, RedisStoreBuilder};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOpenError, SqliteStore};
#[cfg(all(feature = "sqlite", feature = "testing"))]
pub use sqlite_writer::CommitPoint;
pub(crate) use stored::{Stored, all_clients, client_digest, consent_digest, subject_digest};

/// What kind of record a key leads to. The kind is part of the key, so that a code is never read as a device code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A registered client.
    Client,
    /// From the digest of registered metadata to the client that has it.
    ClientDedupe,
    /// What an owner approved, and its refresh family.
    Grant,
    /// An authorization code.
    Code,
    /// A device code.
    Device,
    /// From a user code to its device code.
    UserCode,
    /// An access token.
    AccessToken,
    /// What an owner has approved before, by owner and client.
    Consent,
    /// An authorization request that waits for its owner.
    Interaction,
    /// How often everything of a subject was revoked at once, and all that they had given to one client.
    SubjectEpoch,
    /// The server's own key, under which user codes are kept.
    ServerKey,
    /// The keys that sign tokens, all of them in one record.
    KeyRing,
    /// The id of a JWT that was revoked before it expired.
    RevokedJwt,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Client,
        Self::ClientDedupe,
        Self::Grant,
        Self::Code,
        Self::Device,
        Self::UserCode,
        Self::AccessToken,
        Self::Consent,
        Self::Interaction,
        Self::SubjectEpoch,
        Self::ServerKey,
        Self::KeyRing,
        Self::RevokedJwt,
    ];

    /// Its name: what a database may show in a column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::ClientDedupe => "client_dedupe",
            Self::Grant => "grant",
            Self::Code => "code",
            Self::Device => "device",
            Self::UserCode => "user_code",
            Self::AccessToken => "access_token",
            Self::Consent => "consent",
            Self::Interaction => "interaction",
            Self::SubjectEpoch => "subject_epoch",
            Self::ServerKey => "server_key",
            Self::KeyRing => "key_ring",
            Self::RevokedJwt => "revoked_jwt",
        }
    }
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a key is these two things for every store ever written"
)]
pub struct Key {
    /// What kind of record.
    pub kind: Kind,
    /// The digest of what leads to it.
    pub digest: Digest,
}

impl Key {
    /// A key of its two parts.
    #[must_use]
    pub const fn new(kind: Kind, digest: Digest) -> Self {
        Self { kind, digest }
    }
}

/// Under what a record can be listed: the digest of a subject, a client, or another name.
pub type Owner = Digest;

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// JSON with a version member; a store does not look into it.
    pub value: Bytes,
    /// When it may be forgotten. A store may forget later, never sooner; [`Timestamp::MAX`] is never.
    pub expires_at: Timestamp,
    /// Under whom it is listed: at most two, on grants and clients only. They are those of the insert for as long as the record
    /// stands.
    pub owners: Vec<Owner>,
    /// Whether this write makes something dead, and is to be announced by [`changes`](Store::changes). Not kept: a record that was
    /// read says `false`.
    pub announce: bool,
}

impl Record {
    /// A record without owners that is not announced.
    #[must_use]
    pub const fn new(value: Bytes, expires_at: Timestamp) -> Self {
        Self {
            value,
            expires_at,
            owners: Vec::new(),
            announce: false,
        }
    }
}

/// Which writing of a record was read. Versions of one key are never used again while the record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// Takes a store's own number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The store's own number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// How an [`insert`](Store::insert) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle every outcome")]
pub enum Insert {
    /// The record stands.
    Inserted(Version),
    /// Another record stands there and has not expired; nothing was written.
    Exists,
}

/// How a [`replace`](Store::replace) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle every outcome")]
pub enum Replace {
    /// The record stands in place of the version that was read.
    Replaced(Version),
    /// Somebody else was first, or nothing stands there any more; nothing was written.
    Changed,
}

/// Part of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores of other crates make it")]
pub struct Page {
    /// In the order of their digests. A key may be named though its record is gone; none that stands is left out.
    pub digests: Vec<Digest>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Digest>,
}

/// A place in the feed of changes, meaningful to the store that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(u64);

impl Cursor {
    /// Takes a store's own number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The store's own number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What the feed says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle every outcome")]
pub enum Changes {
    /// What has died since the cursor, in order; at least one.
    Events {
        /// Their keys.
        dead: Vec<Key>,
        /// Where to go on.
        next: Cursor,
    },
    /// Some may have been missed: everything that was cached is to be dropped. Also the answer to a first call, without a cursor.
    Lost {
        /// Where to go on.
        next: Cursor,
    },
    /// This store has no feed: nothing may be cached for longer than this.
    Unsupported {
        /// The longest time that a cached answer may be used.
        staleness: Duration,
    },
}

/// A place for records.
///
/// Each method is one atomic action with every outcome in its return type, and returns only when what it wrote would survive
/// what the store promises to survive (for a durable store: the death of the process and of the machine).
/// [`conformance`] proves an implementation.
pub trait Store: Send + Sync + 'static {
    /// Puts a record where none stands. Of all callers that ask at once, exactly one gets `Inserted`; a record that has expired
    /// by `now` counts as absent.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell or cannot keep it.
    fn insert(
        &self,
        key: Key,
        record: Record,
        now: Timestamp,
    ) -> impl Future<Output = Result<Insert, StoreError>> + Send;

    /// Reads a record, which may have expired already.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn get(
        &self,
        key: Key,
    ) -> impl Future<Output = Result<Option<(Record, Version)>, StoreError>> + Send;

    /// Replaces the version that was read. Of all callers that read one version, exactly one gets `Replaced`. Value and expiry are
    /// the new ones; the owners that stand are kept, whatever this record says of them, so that no index needs to change.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell or cannot keep it.
    fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> impl Future<Output = Result<Replace, StoreError>> + Send;

    /// Takes a record away and announces it; of all callers that ask at once, one gets it.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn remove(&self, key: Key) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// Lists an owner's records of a kind in the order of their digests, at most `limit`, beginning behind `after`.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn list(&self, listing: Listing) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// Forgets at most `limit` records that have expired by `now`; says how many.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn purge(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;

    /// Waits for the deaths that follow a cursor. One is told only when whoever hears of it reads what was written, at any node: who
    /// drops what was cached and asks again would otherwise keep what stood before.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot tell.
    fn changes(
        &self,
        after: Option<Cursor>,
    ) -> impl Future<Output = Result<Changes, StoreError>> + Send;
}

/// Which records to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the arguments of one verb")]
pub struct Listing {
    /// Of this kind.
    pub kind: Kind,
    /// Of this owner.
    pub owner: Owner,
    /// Behind this one; from the beginning without it.
    pub after: Option<Digest>,
    /// At most so many; at least one.
    pub limit: u32,
}

/// The store failed: nothing is known about what was asked, and nothing may be concluded from it.
#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
pub struct StoreError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// Wraps the store's own error.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: source.into(),
        }
    }
}
