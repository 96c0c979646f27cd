//! The store of many machines for what may be lost: a Redis or Valkey that they share, or a cluster of them.
//!
//! Left out: a Redis that is found by Sentinel, reads from replicas, and waiting for replicas (`WAIT`).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::{RedisError, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::feed::Feed;
use super::redis_durability as durability;
use super::redis_feed::{Listener, SILENT};
use super::redis_link::Link;
use super::redis_purge::Round;
use super::redis_record::{self as layout, Kept, Prefix};
use super::{
    Changes, Cursor, Insert, Key, Kind, Listing, Owner, Page, Record, Replace, Store, StoreError,
    Version,
};
use crate::types::{Digest, Timestamp, random};

/// Records in a Redis or Valkey (7 or newer) that many nodes share, or in a cluster of them.
///
/// Each verb is one short script or command that touches one key, so that it is atomic wherever the key is. Records that have owners
/// also stand in an index for each owner, which is written first. Clones share one connection.
///
/// # What Redis may lose
/// **A Redis holds its data in memory, and a write that it has answered is as safe as it was told to make it.** With `appendonly yes` and
/// `appendfsync always` it answers after a sync, and what was answered survives the death of the process and of the machine. With
/// `everysec` the last second or two are lost, with snapshots alone everything since the last one, and without either everything. Replicas
/// get writes after they were answered: **a failover, of a cluster too, loses the last ones** however the primary syncs. `WAIT` is not
/// used, since it makes that loss rarer and not impossible.
///
/// What is lost is not forgotten evenly: a Redis that comes back with older data has *undone* the latest writes. Then
/// - tokens, grants and clients that were just made are unknown: people sign in again, and clients register again;
/// - **what was revoked just before may live again**: a grant or token until it expires, a disabled client, a person's or client's
///   raised epoch, a JWT whose id was revoked;
/// - a code or device code that was redeemed just before may be redeemed once more, within its minute or ten; a refresh token that was
///   rotated is taken again, and its successor is refused;
/// - in a cluster an index may have lost a record that another node has kept: it is not listed, and ends by the epochs and by itself.
///
/// Where that is not acceptable, PostgreSQL is the store of many machines.
///
/// `maxmemory-policy` must be `noeviction`: any other takes records away when memory is short, those that revoke among them. With it, writes
/// fail while memory is short, and so do revocations, with 503.
/// [`connect`](Self::connect) looks at these settings and warns (`tracing`, level `warn`) of each that loses data. A Redis that does not
/// let it look, as hosted ones do not, is not warned of.
///
/// # When Redis does not answer
/// Whatever is asked fails with [`StoreError`] within [two seconds](RedisStoreBuilder::time_limit), also while a Redis is paused or its
/// machine has gone, and works again as soon as Redis does. **What has got no answer may have been done or not**, and is never asked a second
/// time by the store.
///
/// # The feed
/// Deaths are published by the script that makes them, to the channel `PREFIX:dead`. Redis does not keep what it publishes. So whenever a
/// connection has been lost, everybody is told `Lost`; while there is none, [`changes`](Store::changes) fails. A Redis that has
/// stopped to answer is noticed within the time limit and a second. In a cluster each primary is listened to; who comes anew is noticed within
/// a second, and until then heard through the others. Deaths at different nodes of a cluster have no order.
///
/// So a server believes what it has cached **no longer than the time limit and a second, 3 seconds by default**, after another node has
/// revoked it, should the network go away without a word; where nothing is wrong it is some milliseconds. While the feed fails, all that is
/// cached is dropped once a second.
///
/// # Time
/// Whether a record has expired is judged by the server's clock. Redis forgets it by its own an hour later than it should, counted from when
/// it was written, so that the two clocks need not agree. A record that never expired and is given an end later is never forgotten by
/// Redis. The clocks of a cluster's nodes must agree to within half an hour.
///
/// # Access
/// An ACL needs `+get +getrange +set +del +pttl +time +publish +subscribe +zadd +zrem +zrangebylex +zremrangebylex +eval
/// +evalsha +scan +ping +hello`, in a cluster `+cluster|slots +asking`, on the keys `PREFIX:*` and the channel `PREFIX:dead`;
/// `+config|get` lets it look. `rediss://` (TLS) is refused, unless the host's build switches on a TLS feature of the crate `redis`; that is
/// not among what is tested here.
///
/// ```no_run
/// # async fn connect() -> Result<(), tower_oauth::store::RedisConnectError> {
/// use tower_oauth::store::RedisStore;
///
/// let store = RedisStore::connect("redis://oauth:password@redis.internal:6379").await?;
/// let cluster = RedisStore::cluster_builder(["redis://a.internal:7000", "redis://b.internal:7000"])
///     .prefix("staging")
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    prefix: Prefix,
    feed: Arc<Feed>,
    /// Listens since somebody has asked for the feed.
    listening: Mutex<Option<JoinHandle<()>>>,
    /// Ends it with the store.
    alive: watch::Sender<()>,
    purging: tokio::sync::Mutex<Round>,
}

impl RedisStore {
    /// Connects to one Redis: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, or `unix:///PATH` for a socket.
    ///
    /// # Errors
    /// [`RedisConnectError`] says why not.
    pub async fn connect(url: impl Into<String> + Send) -> Result<Self, RedisConnectError> {
        Self::builder(url).connect().await
    }

    /// Connects to a cluster, of which some nodes are named. User and password of the first are used for all.
    ///
    /// # Errors
    /// [`RedisConnectError`] says why not.
    pub async fn connect_cluster<U: Into<String>>(
        urls: impl IntoIterator<Item = U> + Send,
    ) -> Result<Self, RedisConnectError> {
        Self::cluster_builder(urls).connect().await
    }

    /// The same with settings.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::One(url.into()))
    }

    /// The same with settings, for a cluster.
    pub fn cluster_builder<U: Into<String>>(
        urls: impl IntoIterator<Item = U>,
    ) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    /// Sees to it that somebody listens.
    fn listen(&self) {
        let mut listening = self
            .0
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // It also ends with the runtime in which it was begun.
        if listening.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let listener = Listener {
            link: Arc::clone(&self.0.link),
            feed: Arc::clone(&self.0.feed),
            channel: self.0.prefix.channel(),
        };
        *listening = Some(tokio::spawn(listener.run(self.0.alive.subscribe())));
    }

    /// Puts the birth of a record into the index of an owner; says until when the record may follow.
    async fn name(&self, kind: Kind, owner: Owner, named: &[u8]) -> Result<u64, RedisError> {
        let index = self.0.prefix.index(kind, owner);
        let now: u64 = self.0.link.run(&layout::NAME, &index, &[named]).await?;
        Ok(now.saturating_add(layout::UNDER_WAY))
    }

    /// Takes the birth of a record that has gone, or never was, out of the indexes of its owners. What it cannot take out it leaves to
    /// the purge.
    async fn unname(&self, key: Key, owners: &[Owner], birth: u64) {
        let named = layout::member(key.digest, birth);
        let begin = [b"[", named.as_slice()].concat();
        // Behind whatever time follows.
        let end = [b"(", named.as_slice(), &[0xff; 9]].concat();
        for owner in owners {
            let mut command = redis::cmd("ZREMRANGEBYLEX");
            command.arg(self.0.prefix.index(key.kind, *owner));
            command.arg(&begin).arg(&end);
            let taken: Result<Value, _> = self.0.link.ask(&command).await;
            if let Err(error) = taken {
                tracing::debug!(cause = %error, "an owner's index names a record that has gone");
            }
        }
    }

    /// The channel, or nothing where nothing is announced, and the message.
    fn death(&self, key: Key, announce: bool) -> Result<(String, Vec<u8>), StoreError> {
        if !announce {
            return Ok(Default::default());
        }
        Ok((self.0.prefix.channel(), layout::message(number()?, key)))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.0.prefix.as_str())
            .finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    async fn insert(&self, key: Key, record: Record, now: Timestamp) -> Result<Insert, StoreError> {
        let version = Version::new(number()?);
        let named = layout::member(key.digest, version.number());
        let until = match record.owners.as_slice() {
            [] => None,
            [owner] => Some(self.name(key.kind, *owner, &named).await),
            [one, other] => {
                let (one, other) = tokio::join!(
                    self.name(key.kind, *one, &named),
                    self.name(key.kind, *other, &named)
                );
                Some(one.and_then(|one| Ok(one.min(other?))))
            }
            _ => return Err(StoreError::new("a record has at most two owners")),
        };
        let until = until.transpose().map_err(StoreError::new)?;
        let (channel, message) = self.death(key, record.announce)?;
        let packed = layout::pack(&record, version);
        let now_bytes = now.as_secs().to_be_bytes();
        let life = digits(layout::life(record.expires_at, now));
        let until = digits(until);
        let arguments = [
            packed.as_slice(),
            &now_bytes,
            life.as_bytes(),
            until.as_bytes(),
            channel.as_bytes(),
            &message,
        ];
        let place = self.0.prefix.record(key);
        let inserted = self.0.link.run(&layout::INSERT, &place, &arguments);
        let outcome: String = inserted.await.map_err(StoreError::new)?;
        if outcome == "inserted" {
            return Ok(Insert::Inserted(version));
        }
        self.unname(key, &record.owners, version.number()).await;
        match outcome.as_str() {
            "exists" => Ok(Insert::Exists),
            _ => Err(StoreError::new(
                "the record came too late after its owners' index",
            )),
        }
    }

    async fn get(&self, key: Key) -> Result<Option<(Record, Version)>, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(self.0.prefix.record(key));
        let found = self.0.link.ask(&command).await.map_err(StoreError::new)?;
        let kept = kept(found)?;
        Ok(kept.map(|kept| (kept.record, kept.version)))
    }

    async fn replace(
        &self,
        key: Key,
        read: Version,
        record: Record,
    ) -> Result<Replace, StoreError> {
        // Counted from where the insert has begun, so that a record never has a version again as long as it stands.
        let version = Version::new(read.number().wrapping_add(1));
        let (channel, message) = self.death(key, record.announce)?;
        let read = read.number().to_be_bytes();
        let head = layout::head(version, record.expires_at);
        let ends = digits(Some(record.expires_at.as_secs()));
        let arguments = [
            read.as_slice(),
            &head,
            ends.as_bytes(),
            &record.value,
            channel.as_bytes(),
            &message,
        ];
        let place = self.0.prefix.record(key);
        let replaced = self.0.link.run(&layout::REPLACE, &place, &arguments);
        let outcome: String = replaced.await.map_err(StoreError::new)?;
        Ok(match outcome.as_str() {
            "replaced" => Replace::Replaced(version),
            _ => Replace::Changed,
        })
    }

    async fn remove(&self, key: Key) -> Result<Option<Record>, StoreError> {
        let (channel, message) = self.death(key, true)?;
        let place = self.0.prefix.record(key);
        let arguments = [channel.as_bytes(), &message];
        let removed = self.0.link.run(&layout::REMOVE, &place, &arguments);
        let Some(removed) = kept(removed.await.map_err(StoreError::new)?)? else {
            return Ok(None);
        };
        if let Some(birth) = removed.birth {
            self.unname(key, &removed.record.owners, birth).await;
        }
        Ok(Some(removed.record))
    }

    async fn list(&self, listing: Listing) -> Result<Page, StoreError> {
        let limit = listing.limit.max(1);
        let begin = match listing.after {
            None => b"-".to_vec(),
            // Behind whatever births follow.
            Some(after) => [b"(", after.as_bytes().as_slice(), &[0xff; 17]].concat(),
        };
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(self.0.prefix.index(listing.kind, listing.owner));
        command.arg(begin).arg("+").arg("LIMIT").arg(0).arg(limit);
        let members: Vec<Vec<u8>> = self.0.link.ask(&command).await.map_err(StoreError::new)?;
        let full = u32::try_from(members.len()).is_ok_and(|found| found == limit);
        let named = members.iter().filter_map(|member| layout::named(member));
        let mut digests: Vec<Digest> = named.map(|(digest, _)| digest).collect();
        digests.dedup();
        let next = digests.last().copied().filter(|_| full);
        Ok(Page { digests, next })
    }

    /// Forgets nothing, since Redis does, and says so; takes out of at most `limit` places of the indexes what names records that have gone.
    async fn purge(&self, _: Timestamp, limit: u32) -> Result<u32, StoreError> {
        // Two at once would do the same twice.
        if let Ok(mut round) = self.0.purging.try_lock() {
            let done = round.go_on(&self.0.link, &self.0.prefix, limit);
            done.await.map_err(StoreError::new)?;
        }
        Ok(0)
    }

    async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        self.listen();
        // Whether it was in time says the feed.
        let _ = timeout(self.0.link.limit(), self.0.feed.opened()).await;
        self.0.feed.changes(after).await
    }
}

/// Where a [`RedisStore`] is to be, and how; [`connect`](Self::connect) makes it.
#[derive(Clone)]
pub struct RedisStoreBuilder {
    place: Place,
    prefix: String,
    limit: Duration,
}

#[derive(Clone)]
enum Place {
    One(String),
    Cluster(Vec<String>),
}

impl RedisStoreBuilder {
    fn new(place: Place) -> Self {
        Self {
            place,
            prefix: "tower-oauth".to_owned(),
            limit: Duration::from_secs(2),
        }
    }

    /// What the name of each key and of the channel begins with, before a colon (`tower-oauth`): at most 64 ASCII letters, digits, `-`, `_`
    /// and `.`. Servers that share a Redis and not their tokens have different ones.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long each question to Redis may take, the making of a connection included (two seconds); at least a millisecond. A verb is one
    /// question, but for records with owners, which are two or three. Longer keeps requests waiting for a Redis that has gone; shorter
    /// fails those that would have been answered.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit.max(Duration::from_millis(1));
        self
    }

    /// Connects, and looks at how safe the data is.
    ///
    /// # Errors
    /// [`RedisConnectError`] says why not.
    pub async fn connect(self) -> Result<RedisStore, RedisConnectError> {
        let prefix = Prefix::parse(&self.prefix).ok_or(RedisConnectError::InvalidPrefix)?;
        let link = match &self.place {
            Place::One(url) => Link::one(url, self.limit),
            Place::Cluster(urls) => Link::cluster(urls, self.limit),
        };
        let failed = |error: RedisError| RedisConnectError::Failed {
            source: error.into(),
        };
        let link = link.map_err(|error| RedisConnectError::InvalidUrl {
            source: error.into(),
        })?;
        for node in link.nodes().await.map_err(failed)? {
            let _: Value = link
                .ask_node(&node, &redis::cmd("PING"))
                .await
                .map_err(failed)?;
            durability::look(&link, &node).await;
        }
        let begin = random().map_err(|error| RedisConnectError::Failed {
            source: error.into(),
        })?;
        // Cursors of another life are not mistaken for those of this one.
        let feed = Feed::starting_at(u64::from_be_bytes(*begin));
        feed.close(SILENT); // until somebody listens
        Ok(RedisStore(Arc::new(Inner {
            link: Arc::new(link),
            prefix,
            feed: Arc::new(feed),
            listening: Mutex::default(),
            alive: watch::Sender::new(()),
            purging: tokio::sync::Mutex::default(),
        })))
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the places: passwords stand in them.
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("time_limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection to a Redis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConnectError {
    /// The prefix has other letters than it may have, or too many of them.
    #[error("a prefix for Redis is 1 to 64 ASCII letters, digits, `-`, `_` and `.`")]
    InvalidPrefix,
    /// There is no URL, one cannot be read, or it asks for what this build cannot do.
    #[error("this is no URL of a Redis that can be used")]
    InvalidUrl {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Redis does not answer, or refuses.
    #[error("Redis cannot be reached, or refuses")]
    Failed {
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn kept(found: Option<Vec<u8>>) -> Result<Option<Kept>, StoreError> {
    let Some(found) = found else { return Ok(None) };
    match layout::unpack(Bytes::from(found)) {
        Some(kept) => Ok(Some(kept)),
        None => Err(StoreError::new(
            "a record in Redis is none that this store has written",
        )),
    }
}

/// A number that no other has.
fn number() -> Result<u64, StoreError> {
    random()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .map_err(StoreError::new)
}

/// For a script: nothing stands for none.
fn digits(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
