//! How the suite asks a store, with what must hold of every single answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::conformance::Stores;
use super::{
    Changes, Cursor, Insert, Key, Kind, Listing, Owner, Page, Record, Replace, Store, StoreError,
    Version,
};
use crate::types::{Digest, Timestamp};

/// The moment at which the cases play: in the year 2100, so that nothing has expired by the clock of a database.
pub(super) const NOW: Timestamp = Timestamp::from_secs(4_102_444_800);
/// When records expire about which a case has nothing else to say.
pub(super) const LATER: Timestamp = Timestamp::from_secs(4_102_444_800 + 86_400);
/// How many callers race.
pub(super) const CALLERS: usize = 200;
/// How often they do.
pub(super) const ROUNDS: u64 = 8;
/// After this time a feed has failed to tell.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn after(time: Timestamp, secs: u64) -> Timestamp {
    time.saturating_add(Duration::from_secs(secs))
}

pub(super) fn before(time: Timestamp, secs: u64) -> Timestamp {
    Timestamp::from_secs(time.as_secs().saturating_sub(secs))
}

pub(super) fn key(kind: Kind, number: u64) -> Key {
    // Not of the kind: the same digest under two kinds is two keys.
    Key::new(kind, Digest::of("conformance", &number.to_be_bytes()))
}

pub(super) fn owner(number: u64) -> Owner {
    Digest::of("conformance owner", &number.to_be_bytes())
}

pub(super) fn record(json: &str, expires_at: Timestamp) -> Record {
    Record::new(Bytes::copy_from_slice(json.as_bytes()), expires_at)
}

/// A record whose writing is announced.
pub(super) fn dead() -> Record {
    let mut record = record("\"dead\"", LATER);
    record.announce = true;
    record
}

pub(super) fn answered<T>(answer: Result<T, StoreError>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(error) => panic!("the store failed: {error:?}"),
    }
}

pub(super) async fn inserted(store: &impl Store, key: Key, record: Record) -> Version {
    match answered(store.insert(key, record, NOW).await) {
        Insert::Inserted(version) => version,
        Insert::Exists => panic!("insert said Exists where nothing stood"),
    }
}

pub(super) async fn replaced(
    store: &impl Store,
    key: Key,
    read: Version,
    record: Record,
) -> Version {
    match answered(store.replace(key, read, record).await) {
        Replace::Replaced(version) => {
            assert_ne!(version, read, "replace did not make a new version");
            version
        }
        Replace::Changed => panic!("replace said Changed for the version that stands"),
    }
}

pub(super) async fn standing(store: &impl Store, key: Key) -> (Record, Version) {
    answered(store.get(key).await).expect("get gave nothing though a record was put")
}

/// One page, which keeps its own rules.
pub(super) async fn page(store: &impl Store, listing: Listing) -> Page {
    let page = answered(store.list(listing).await);
    let found = u32::try_from(page.digests.len()).unwrap_or(u32::MAX);
    assert!(
        found <= listing.limit,
        "list gave more than its limit in one page"
    );
    assert!(
        page.digests.is_sorted_by(|one, next| one < next),
        "list is not in the order of the digests, or named one twice"
    );
    if let (Some(after), Some(first)) = (listing.after, page.digests.first()) {
        assert!(
            after < *first,
            "list did not begin behind the digest that it was given"
        );
    }
    if let Some(next) = page.next {
        assert!(
            page.digests.last().is_none_or(|last| *last <= next) && listing.after < Some(next),
            "the next page does not begin behind this one"
        );
    }
    page
}

/// All pages.
pub(super) async fn listed(
    store: &impl Store,
    (kind, owner): (Kind, Owner),
    limit: u32,
) -> Vec<Digest> {
    let mut digests = Vec::new();
    let mut after = None;
    loop {
        let listing = Listing {
            kind,
            owner,
            after,
            limit,
        };
        let page = page(store, listing).await;
        digests.extend(page.digests);
        match page.next {
            Some(next) => after = Some(next),
            None => return digests,
        }
    }
}

pub(super) async fn changes(store: &impl Store, after: Option<Cursor>) -> Changes {
    let waited = timeout(PATIENCE, store.changes(after)).await;
    answered(waited.expect("the feed did not tell a death to one who waited for it"))
}

/// The end of the feed, if the store has one.
pub(super) async fn feed(store: &impl Store) -> Option<Cursor> {
    match changes(store, None).await {
        Changes::Lost { next } => Some(next),
        Changes::Unsupported { .. } => None,
        Changes::Events { .. } => panic!("the feed told events to a call without a cursor"),
    }
}

/// What the feed tells until it tells this key; `None` if it said that some is lost.
pub(super) async fn told_until(
    store: &impl Store,
    from: Cursor,
    last: Key,
) -> (Option<Vec<Key>>, Cursor) {
    let mut told = Vec::new();
    let mut cursor = from;
    while !told.contains(&last) {
        match changes(store, Some(cursor)).await {
            Changes::Events { dead, next } => {
                assert!(!dead.is_empty(), "the feed woke a caller and told nothing");
                told.extend(dead);
                cursor = next;
            }
            Changes::Lost { next } => return (None, next),
            Changes::Unsupported { .. } => {
                panic!("the feed said Unsupported to a cursor that it gave")
            }
        }
    }
    (Some(told), cursor)
}

/// A fresh store, and one beside it if there can be one.
pub(super) async fn nodes<S: Stores>(stores: &S) -> Vec<Arc<S::Store>> {
    let store = stores.fresh().await;
    let beside = stores.beside(&store).await;
    [store].into_iter().chain(beside).map(Arc::new).collect()
}

pub(super) fn first<S>(nodes: &[Arc<S>]) -> &S {
    nodes.first().expect("a fresh store is one")
}

/// Asks as many callers at once, of each node as many; each as a task, so that they race where the runtime has threads.
pub(super) async fn together<S, T, F>(nodes: &[Arc<S>], ask: impl Fn(Arc<S>, u64) -> F) -> Vec<T>
where
    S: Store,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let gate = Arc::new(Barrier::new(CALLERS));
    let mut tasks = JoinSet::new();
    for (caller, store) in (0..CALLERS as u64).zip(nodes.iter().cycle()) {
        let gate = Arc::clone(&gate);
        let asked = ask(Arc::clone(store), caller);
        tasks.spawn(async move {
            gate.wait().await;
            asked.await
        });
    }
    tasks.join_all().await
}
