//! The suite that every store passes (feature `testing`): it proves what [`Store`] promises, races included.
//!
//! Say where stores come from, and run it in a runtime with more than one thread, so that races are races:
//! ```
//! use tower_oauth::store::{MemoryStore, conformance};
//!
//! struct Memory;
//! impl conformance::Stores for Memory {
//!     type Store = MemoryStore;
//!     async fn fresh(&self) -> MemoryStore { MemoryStore::new() }
//!     async fn reopen(&self, _: MemoryStore) -> Option<MemoryStore> { None } // it forgets, and says so
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     conformance::run(&Memory).await;
//! }
//! ```
//! A broken promise is a panic that says which. The suite never sleeps; it gives up on a feed that stays silent for 30 seconds of
//! the runtime's clock. Its records live around the year 2100, so that no store forgets them by a clock of its own.
//!
//! *Left out*: durability beyond a reopening (cut the power), and what the contract leaves open, such as when an expired record
//! is forgotten.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{
    Changes, Cursor, Insert, Key, Kind, Listing, Owner, Page, Record, Replace, Store, StoreError,
    Version,
};
use crate::types::{Digest, Timestamp};

/// Where the suite gets stores from. The cases of one suite run one after another, each with a store of its own.
pub trait Stores: Send + Sync + 'static {
    /// The store to be proved.
    type Store: Store;

    /// A store that is empty and shares nothing with those before it.
    fn fresh(&self) -> impl Future<Output = Self::Store> + Send;

    /// Closes the last fresh store and opens its data again, as after the end of the process. `None` if it forgets everything
    /// by design.
    fn reopen(&self, store: Self::Store) -> impl Future<Output = Option<Self::Store>> + Send;
}

/// Runs all [`cases`].
///
/// # Panics
/// On the first broken promise, with a sentence that names it.
pub async fn run<S: Stores>(stores: &S) {
    for case in cases() {
        case.run(stores).await;
    }
}

/// One promise of a store, to be proved alone.
pub struct Case<S> {
    name: &'static str,
    run: fn(&S) -> Running<'_>,
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl<S: Stores> Case<S> {
    /// What it proves.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Proves it.
    ///
    /// # Panics
    /// If the promise is broken, with a sentence that names it.
    pub async fn run(&self, stores: &S) {
        (self.run)(stores).await;
    }
}

impl<S> fmt::Debug for Case<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// All cases, in the order in which [`run`] runs them.
#[must_use]
pub fn cases<S: Stores>() -> Vec<Case<S>> {
    let case = |name, run: fn(&S) -> Running<'_>| Case { name, run };
    vec![
        case("get returns what was put", |s| {
            Box::pin(get_returns_what_was_put(s))
        }),
        case("insert does not touch what stands", |s| {
            Box::pin(insert_does_not_touch_what_stands(s))
        }),
        case("insert takes the place of what has expired", |s| {
            Box::pin(insert_takes_the_place_of_what_has_expired(s))
        }),
        case("kinds are separate", |s| Box::pin(kinds_are_separate(s))),
        case("replace needs the version that stands", |s| {
            Box::pin(replace_needs_the_version_that_stands(s))
        }),
        case("replace needs a record", |s| {
            Box::pin(replace_needs_a_record(s))
        }),
        case("versions are not used again", |s| {
            Box::pin(versions_are_not_used_again(s))
        }),
        case("remove gives the record once", |s| {
            Box::pin(remove_gives_the_record_once(s))
        }),
        case("one of many inserts wins", |s| {
            Box::pin(one_of_many_inserts_wins(s))
        }),
        case("one of many inserts over an expired record wins", |s| {
            Box::pin(one_of_many_inserts_over_an_expired_record_wins(s))
        }),
        case("one of many replaces wins", |s| {
            Box::pin(one_of_many_replaces_wins(s))
        }),
        case("one of many removes wins", |s| {
            Box::pin(one_of_many_removes_wins(s))
        }),
        case("list names all of an owner", |s| {
            Box::pin(list_names_all_of_an_owner(s))
        }),
        case("list follows the records", |s| {
            Box::pin(list_follows_the_records(s))
        }),
        case("purge forgets only what has expired", |s| {
            Box::pin(purge_forgets_only_what_has_expired(s))
        }),
        case("what never expires is never purged", |s| {
            Box::pin(what_never_expires_is_never_purged(s))
        }),
        case("the feed begins with lost", |s| {
            Box::pin(the_feed_begins_with_lost(s))
        }),
        case("the feed tells what was announced", |s| {
            Box::pin(the_feed_tells_what_was_announced(s))
        }),
        case("the feed tells nothing else", |s| {
            Box::pin(the_feed_tells_nothing_else(s))
        }),
        case("the feed wakes all who wait", |s| {
            Box::pin(the_feed_wakes_all_who_wait(s))
        }),
        case("the feed never leaves out in silence", |s| {
            Box::pin(the_feed_never_leaves_out_in_silence(s))
        }),
        case("reopening keeps the records", |s| {
            Box::pin(reopening_keeps_the_records(s))
        }),
        case("reopening does not use versions again", |s| {
            Box::pin(reopening_does_not_use_versions_again(s))
        }),
        case("reopening does not hide a death", |s| {
            Box::pin(reopening_does_not_hide_a_death(s))
        }),
    ]
}

async fn get_returns_what_was_put<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let none = answered(store.get(key(Kind::Grant, 0)).await);
    assert_eq!(none, None, "get gave a record where none was put");

    let large = format!(r#"{{"v":1,"text":"{}"}}"#, "näh \\u0000 ".repeat(20_000));
    let owners = [vec![], vec![owner(1)], vec![owner(2), owner(1)]];
    for (number, owners) in (0..).zip(owners) {
        for (text, expires_at) in [(r#"{"v":1}"#, LATER), (&*large, Timestamp::MAX)] {
            let key = key(Kind::Grant, number + text.len() as u64);
            let mut record = record(text, expires_at);
            record.owners = owners.clone();
            record.announce = true;
            let version = inserted(&store, key, record.clone()).await;
            let (found, read) = standing(&store, key).await;
            assert_eq!(read, version, "get gave another version than insert did");
            assert_eq!(
                found.value, record.value,
                "get gave another value than was put"
            );
            assert_eq!(
                found.expires_at, record.expires_at,
                "get gave another expiry than was put"
            );
            assert_eq!(
                found.owners, record.owners,
                "get gave other owners than were put"
            );
            assert!(
                !found.announce,
                "announce was kept; a record that was read says false"
            );
        }
    }
}

async fn insert_does_not_touch_what_stands<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for (number, expires_at) in (0..).zip([after(NOW, 1), Timestamp::MAX]) {
        let key = key(Kind::Code, number);
        let version = inserted(&store, key, record("1", expires_at)).await;
        let again = answered(store.insert(key, record("2", LATER), NOW).await);
        assert_eq!(
            again,
            Insert::Exists,
            "insert wrote over a record that has not expired"
        );
        assert_eq!(
            standing(&store, key).await,
            (record("1", expires_at), version),
            "an insert that said Exists has changed the record"
        );
    }
}

async fn insert_takes_the_place_of_what_has_expired<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for (number, expires_at) in (0..).zip([NOW, before(NOW, 5)]) {
        let key = key(Kind::Client, number);
        let mut first = record("1", expires_at);
        first.owners = vec![owner(1)];
        let old = answered(store.insert(key, first, before(NOW, 10)).await);
        let Insert::Inserted(old) = old else {
            panic!("insert said Exists where nothing stood");
        };
        let mut second = record("2", LATER);
        second.owners = vec![owner(2)];
        let new = answered(store.insert(key, second.clone(), NOW).await);
        let Insert::Inserted(new) = new else {
            panic!(
                "insert said Exists over a record that has expired by the now that it was given"
            );
        };
        assert_ne!(
            old, new,
            "insert over an expired record used its version again"
        );
        assert_eq!(
            standing(&store, key).await,
            (second, new),
            "insert over an expired record did not put the new one"
        );
        let stale = answered(store.replace(key, old, record("3", LATER)).await);
        assert_eq!(
            stale,
            Replace::Changed,
            "the version of an expired record replaced the record that took its place"
        );
        let listed = listed(&store, (Kind::Client, owner(2)), 1000).await;
        assert!(
            listed.contains(&key.digest),
            "list left out a record that took the place of an expired one"
        );
    }
}

async fn kinds_are_separate<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let mut versions = Vec::new();
    for kind in Kind::ALL {
        let text = format!(r#"{{"kind":"{}"}}"#, kind.as_str());
        let done = answered(store.insert(key(kind, 0), record(&text, LATER), NOW).await);
        let Insert::Inserted(version) = done else {
            panic!("insert said Exists for a digest that stands under another kind only");
        };
        versions.push((kind, text, version));
    }
    for (kind, text, version) in &versions {
        let found = answered(store.get(key(*kind, 0)).await);
        assert_eq!(
            found,
            Some((record(text, LATER), *version)),
            "a record was touched or hidden by one of another kind with the same digest"
        );
    }
    let removed = answered(store.remove(key(Kind::Device, 0)).await);
    assert!(removed.is_some(), "remove did not find its record");
    for (kind, text, _) in &versions {
        let found = answered(store.get(key(*kind, 0)).await).map(|(record, _)| record);
        let expected = (*kind != Kind::Device).then(|| record(text, LATER));
        assert_eq!(found, expected, "remove touched a record of another kind");
    }
}

async fn replace_needs_the_version_that_stands<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let key = key(Kind::Grant, 0);
    let owned = |text, expires_at| {
        let mut record = record(text, expires_at);
        record.owners = vec![owner(1), owner(2)];
        record
    };
    let first = inserted(&store, key, owned("1", LATER)).await;
    let second = replaced(&store, key, first, owned("2", after(LATER, 7))).await;
    assert_eq!(
        standing(&store, key).await,
        (owned("2", after(LATER, 7)), second),
        "replace did not put the new value, expiry and version, and keep the owners"
    );
    let stale = answered(store.replace(key, first, owned("3", LATER)).await);
    assert_eq!(
        stale,
        Replace::Changed,
        "replace took a version that no longer stands"
    );
    assert_eq!(
        standing(&store, key).await,
        (owned("2", after(LATER, 7)), second),
        "a replace that said Changed has changed the record"
    );
    replaced(&store, key, second, owned("4", LATER)).await;
    for owner in [owner(1), owner(2)] {
        assert_eq!(
            listed(&store, (Kind::Grant, owner), 7).await,
            [key.digest],
            "list left out a record after it was replaced"
        );
    }
}

async fn replace_needs_a_record<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let taken = inserted(&store, key(Kind::Grant, 0), record("1", LATER)).await;
    let nowhere = key(Kind::Grant, 1);
    let missing = answered(store.replace(nowhere, taken, record("2", LATER)).await);
    assert_eq!(
        missing,
        Replace::Changed,
        "replace wrote where nothing stands"
    );
    assert_eq!(
        answered(store.get(nowhere).await),
        None,
        "a replace that said Changed has put a record"
    );
    answered(store.remove(key(Kind::Grant, 0)).await);
    let removed = answered(
        store
            .replace(key(Kind::Grant, 0), taken, record("2", LATER))
            .await,
    );
    assert_eq!(
        removed,
        Replace::Changed,
        "replace brought a removed record back"
    );
}

async fn versions_are_not_used_again<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let key = key(Kind::Grant, 0);
    let mut used = HashSet::new();
    for life in 0..5 {
        let mut version = inserted(&store, key, record("1", after(NOW, 1))).await;
        for old in &used {
            let done = answered(store.replace(key, *old, record("3", LATER)).await);
            assert_eq!(
                done,
                Replace::Changed,
                "a version of an earlier record under the key replaced the one that stands now"
            );
        }
        for _ in 0..3 {
            assert!(used.insert(version), "a version of a key was used again");
            version = replaced(&store, key, version, record("2", after(NOW, 1))).await;
        }
        assert!(used.insert(version), "a version of a key was used again");
        if life % 2 == 0 {
            answered(store.remove(key).await);
        } else {
            answered(store.purge(after(NOW, 1), 1000).await);
            answered(store.remove(key).await); // a store may be slow to forget
        }
    }
}

async fn remove_gives_the_record_once<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let key = key(Kind::Client, 0);
    assert_eq!(
        answered(store.remove(key).await),
        None,
        "remove gave a record where none stood"
    );
    let mut put = record("1", LATER);
    put.owners = vec![owner(1)];
    inserted(&store, key, put.clone()).await;
    assert_eq!(
        answered(store.remove(key).await),
        Some(put),
        "remove did not give the record that stood there"
    );
    assert_eq!(
        answered(store.remove(key).await),
        None,
        "remove gave a record a second time"
    );
    assert_eq!(
        answered(store.get(key).await),
        None,
        "get gave a record that was removed"
    );
    inserted(&store, key, record("2", LATER)).await;
}

async fn one_of_many_inserts_wins<S: Stores>(stores: &S) {
    let store = Arc::new(stores.fresh().await);
    for round in 0..ROUNDS {
        let key = key(Kind::UserCode, round);
        insert_race(&store, key).await;
    }
}

async fn one_of_many_inserts_over_an_expired_record_wins<S: Stores>(stores: &S) {
    let store = Arc::new(stores.fresh().await);
    for round in 0..ROUNDS {
        let key = key(Kind::UserCode, round);
        let expired = record("\"expired\"", before(NOW, 1));
        answered(store.insert(key, expired, before(NOW, 9)).await);
        insert_race(&store, key).await;
    }
}

async fn insert_race<S: Store>(store: &Arc<S>, key: Key) {
    let answers = together(store, move |store, caller| async move {
        let record = record(&caller.to_string(), LATER);
        (caller, answered(store.insert(key, record, NOW).await))
    })
    .await;
    let winners: Vec<_> = answers
        .into_iter()
        .filter_map(|(caller, outcome)| match outcome {
            Insert::Inserted(version) => Some((record(&caller.to_string(), LATER), version)),
            Insert::Exists => None,
        })
        .collect();
    assert_eq!(
        winners.len(),
        1,
        "of {CALLERS} callers that inserted at once, not exactly one got Inserted"
    );
    assert_eq!(
        winners,
        [standing(&**store, key).await],
        "the record of a caller that got Exists stands"
    );
}

async fn one_of_many_replaces_wins<S: Stores>(stores: &S) {
    let store = Arc::new(stores.fresh().await);
    let key = key(Kind::Grant, 0);
    let mut version = inserted(&*store, key, record("\"first\"", LATER)).await;
    for _ in 0..ROUNDS {
        let read = version;
        let answers = together(&store, move |store, caller| async move {
            let record = record(&caller.to_string(), LATER);
            (caller, answered(store.replace(key, read, record).await))
        })
        .await;
        let winners: Vec<_> = answers
            .into_iter()
            .filter_map(|(caller, outcome)| match outcome {
                Replace::Replaced(version) => Some((record(&caller.to_string(), LATER), version)),
                Replace::Changed => None,
            })
            .collect();
        assert_eq!(
            winners.len(),
            1,
            "of {CALLERS} callers that replaced one version, not exactly one got Replaced"
        );
        let stands = standing(&*store, key).await;
        version = stands.1;
        assert_eq!(
            winners,
            [stands],
            "the record of a caller that got Changed stands"
        );
    }
}

async fn one_of_many_removes_wins<S: Stores>(stores: &S) {
    let store = Arc::new(stores.fresh().await);
    for round in 0..ROUNDS {
        let key = key(Kind::Interaction, round);
        inserted(&*store, key, record("1", LATER)).await;
        let answers = together(&store, move |store, _| async move {
            answered(store.remove(key).await)
        })
        .await;
        let winners = answers.into_iter().flatten().count();
        assert_eq!(
            winners, 1,
            "of {CALLERS} callers that removed one record, not exactly one got it"
        );
    }
}

async fn list_names_all_of_an_owner<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    // Grants 0..30: all of owner 1, every third of owner 2 too. Beside them a stranger's, and clients of both owners.
    let mut firsts = BTreeSet::new();
    let mut seconds = BTreeSet::new();
    for number in 0..40 {
        let grant = key(Kind::Grant, number);
        let mut record = record("1", LATER);
        record.owners = match number {
            30.. => vec![owner(3)],
            _ if number % 3 == 0 => vec![owner(1), owner(2)],
            _ => vec![owner(1)],
        };
        if record.owners.contains(&owner(1)) {
            firsts.insert(grant.digest);
        }
        if record.owners.contains(&owner(2)) {
            seconds.insert(grant.digest);
        }
        inserted(&store, grant, record).await;
    }
    for number in 100..110 {
        let mut record = record("1", LATER);
        record.owners = vec![owner(1), owner(2)];
        inserted(&store, key(Kind::Client, number), record).await;
    }
    for limit in [1, 7, 1000] {
        for (owner, all) in [(owner(1), &firsts), (owner(2), &seconds)] {
            let listed = listed(&store, (Kind::Grant, owner), limit).await;
            let listed: BTreeSet<_> = listed.into_iter().collect();
            assert!(
                listed.is_superset(all),
                "list left out a record that stands"
            );
            assert!(
                listed.is_subset(all),
                "list named a record of another owner or kind"
            );
        }
    }
    assert_eq!(
        listed(&store, (Kind::Grant, owner(9)), 7).await,
        [],
        "list named a record for an owner that has none"
    );
}

async fn list_follows_the_records<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let keys: Vec<_> = (0..30).map(|number| key(Kind::Grant, number)).collect();
    let mut all: BTreeSet<_> = keys.iter().map(|key| key.digest).collect();
    for (key, expires_at) in keys.iter().zip([NOW, LATER].into_iter().cycle()) {
        let mut record = record("1", expires_at);
        record.owners = vec![owner(1)];
        let done = store.insert(*key, record, before(NOW, 9)).await;
        answered(done);
    }
    // Some go while the listing is under way: they may be named or not, but all others must be.
    let ever = all.clone();
    let begin = Listing {
        kind: Kind::Grant,
        owner: owner(1),
        after: None,
        limit: 7,
    };
    let first = page(&store, begin).await;
    for key in keys.iter().filter(|key| key.digest.as_bytes()[0] % 3 == 0) {
        answered(store.remove(*key).await);
        all.remove(&key.digest);
    }
    answered(store.purge(NOW, 5).await);
    for key in keys.iter().step_by(2) {
        all.remove(&key.digest); // expired: nothing is promised of them
    }
    let mut named: BTreeSet<_> = first.digests.into_iter().collect();
    let mut next = first.next;
    while let Some(after) = next {
        let page = page(
            &store,
            Listing {
                after: Some(after),
                ..begin
            },
        )
        .await;
        named.extend(page.digests);
        next = page.next;
    }
    assert!(
        named.is_superset(&all),
        "list left out a record that stood all the time, since others went meanwhile"
    );
    assert!(
        named.is_subset(&ever),
        "list named a record that never was there"
    );
    // What comes back is listed again.
    for key in &keys {
        let mut record = record("2", LATER);
        record.owners = vec![owner(1)];
        answered(store.insert(*key, record, after(NOW, 1)).await);
    }
    let listed: BTreeSet<_> = listed(&store, (Kind::Grant, owner(1)), 7)
        .await
        .into_iter()
        .collect();
    assert_eq!(
        listed, ever,
        "list left out a record that was put again after it had gone"
    );
}

async fn purge_forgets_only_what_has_expired<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for number in 0..20 {
        let expires_at = if number % 2 == 0 { NOW } else { after(NOW, 1) };
        let mut record = record("1", expires_at);
        record.owners = vec![owner(1)];
        let key = key(Kind::Grant, number);
        answered(store.insert(key, record, before(NOW, 9)).await);
    }
    assert_eq!(
        answered(store.purge(before(NOW, 1), 1000).await),
        0,
        "purge counted records that have not expired"
    );
    let mut forgotten = 0;
    loop {
        let count = answered(store.purge(NOW, 3).await);
        assert!(count <= 3, "purge forgot more than its limit");
        forgotten += u64::from(count);
        assert!(forgotten <= 10, "purge counted more than have expired");
        let mut gone = 0;
        for number in 0..20 {
            let found = answered(store.get(key(Kind::Grant, number)).await);
            if number % 2 == 1 {
                assert!(
                    found.is_some(),
                    "purge forgot a record that has not expired"
                );
            } else if found.is_none() {
                gone += 1;
            }
        }
        assert!(
            gone >= forgotten,
            "purge counted records that it did not forget"
        );
        if count == 0 {
            break;
        }
    }
    let listed = listed(&store, (Kind::Grant, owner(1)), 1000).await;
    for number in (1..20).step_by(2) {
        assert!(
            listed.contains(&key(Kind::Grant, number).digest),
            "list left out a record that stands after a purge"
        );
    }
}

async fn what_never_expires_is_never_purged<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    inserted(&store, key(Kind::ServerKey, 0), record("1", Timestamp::MAX)).await;
    let version = inserted(&store, key(Kind::Client, 0), record("1", LATER)).await;
    replaced(
        &store,
        key(Kind::Client, 0),
        version,
        record("2", Timestamp::MAX),
    )
    .await;
    for now in [LATER, Timestamp::MAX] {
        assert_eq!(
            answered(store.purge(now, 1000).await),
            0,
            "purge counted a record that never expires"
        );
    }
    for kind in [Kind::ServerKey, Kind::Client] {
        assert!(
            answered(store.get(key(kind, 0)).await).is_some(),
            "purge forgot a record that never expires"
        );
    }
}

async fn the_feed_begins_with_lost<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    for number in 0..2 {
        match changes(&store, None).await {
            Changes::Lost { .. } | Changes::Unsupported { .. } => {}
            Changes::Events { .. } => panic!("the feed told events to a call without a cursor"),
        }
        answered(store.insert(key(Kind::Code, number), dead(), NOW).await);
    }
}

async fn the_feed_tells_what_was_announced<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let Some(mut cursor) = feed(&store).await else {
        return;
    };
    for number in 0..4 {
        let [inserted_dead, replaced_dead, removed] =
            [0, 1, 2].map(|n| key(Kind::Grant, n + 3 * number));
        let version = inserted(&store, replaced_dead, record("1", LATER)).await;
        inserted(&store, removed, record("1", LATER)).await;
        inserted(&store, inserted_dead, dead()).await;
        replaced(&store, replaced_dead, version, dead()).await;
        answered(store.remove(removed).await);
        let told;
        (told, cursor) = told_until(&store, cursor, removed).await;
        let told = told.expect("the feed said Lost though next to nothing had happened");
        assert_eq!(
            told,
            [inserted_dead, replaced_dead, removed],
            "the feed did not tell an announced insert, an announced replace and a remove, in this order"
        );
    }
}

async fn the_feed_tells_nothing_else<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let Some(cursor) = feed(&store).await else {
        return;
    };
    let [silent, missing, last] = [0, 1, 2].map(|number| key(Kind::Grant, number));
    let version = inserted(&store, silent, record("1", LATER)).await;
    replaced(&store, silent, version, record("2", LATER)).await;
    // These change nothing, so nothing has died.
    answered(store.insert(silent, dead(), NOW).await);
    answered(store.replace(silent, version, dead()).await);
    answered(store.replace(missing, version, dead()).await);
    answered(store.remove(missing).await);
    inserted(&store, last, dead()).await;
    let (told, _) = told_until(&store, cursor, last).await;
    let told = told.expect("the feed said Lost though next to nothing had happened");
    assert_eq!(
        told,
        [last],
        "the feed told a write that was not announced, or that was not made"
    );
}

async fn the_feed_wakes_all_who_wait<S: Stores>(stores: &S) {
    let store = Arc::new(stores.fresh().await);
    let Some(mut cursor) = feed(&*store).await else {
        return;
    };
    for round in 0..ROUNDS {
        let key = key(Kind::Grant, round);
        inserted(&*store, key, record("1", LATER)).await;
        let mut waiting = JoinSet::new();
        for _ in 0..2 {
            let store = Arc::clone(&store);
            waiting.spawn(async move {
                let changes = changes(&*store, Some(cursor)).await;
                // What is told must have happened.
                (changes, answered(store.get(key).await))
            });
        }
        tokio::task::yield_now().await;
        answered(store.remove(key).await);
        while let Some(heard) = waiting.join_next().await {
            let Ok((Changes::Events { dead, next }, found)) = heard else {
                panic!("a waiting call to the feed was not told what died");
            };
            assert_eq!(
                dead,
                [key],
                "a waiting call to the feed was told another death"
            );
            assert_eq!(
                found, None,
                "the feed told of a remove before it could be seen"
            );
            cursor = next;
        }
    }
}

async fn the_feed_never_leaves_out_in_silence<S: Stores>(stores: &S) {
    let store = Arc::new(stores.fresh().await);
    let Some(cursor) = feed(&*store).await else {
        return;
    };
    let mut all = HashSet::new();
    for round in 0..100 {
        let made = together(&store, move |store, caller| async move {
            let key = key(Kind::Code, round * CALLERS as u64 + caller);
            answered(store.insert(key, dead(), NOW).await);
            key
        })
        .await;
        all.extend(made);
    }
    let last = key(Kind::Grant, 0);
    answered(store.insert(last, dead(), NOW).await);
    let (told, _) = told_until(&*store, cursor, last).await;
    if let Some(told) = told {
        let told: HashSet<_> = told.into_iter().collect();
        assert!(
            told.is_superset(&all),
            "the feed left out a death and did not say Lost"
        );
    }
}

async fn reopening_keeps_the_records<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let mut expected = Vec::new();
    for number in 0..20 {
        let mut put = record(&number.to_string(), after(LATER, number));
        put.owners = vec![owner(1), owner(2)];
        let key = key(Kind::Grant, number);
        let mut version = inserted(&store, key, put.clone()).await;
        if number % 4 == 0 {
            put.value = Bytes::from_static(b"\"replaced\"");
            version = replaced(&store, key, version, put.clone()).await;
        }
        if number % 4 == 1 {
            answered(store.remove(key).await);
            expected.push((key, None));
        } else {
            expected.push((key, Some((put, version))));
        }
    }
    let Some(store) = stores.reopen(store).await else {
        return;
    };
    for (key, expected) in &expected {
        assert_eq!(
            &answered(store.get(*key).await),
            expected,
            "a reopened store does not hold what was answered before"
        );
    }
    let stand: BTreeSet<_> = expected
        .iter()
        .filter_map(|(key, stands)| stands.as_ref().map(|_| key.digest))
        .collect();
    for owner in [owner(1), owner(2)] {
        let listed: BTreeSet<_> = listed(&store, (Kind::Grant, owner), 7)
            .await
            .into_iter()
            .collect();
        assert!(
            listed.is_superset(&stand),
            "a reopened store does not list what stands"
        );
    }
    for (key, stands) in expected {
        let again = answered(store.insert(key, record("1", LATER), NOW).await);
        match stands {
            Some((record, version)) => {
                assert_eq!(
                    again,
                    Insert::Exists,
                    "a reopened store wrote over a record that stands"
                );
                replaced(&store, key, version, record).await;
            }
            None => assert_ne!(
                again,
                Insert::Exists,
                "a reopened store holds a record that was removed"
            ),
        }
    }
}

async fn reopening_does_not_use_versions_again<S: Stores>(stores: &S) {
    let mut store = stores.fresh().await;
    let key = key(Kind::Grant, 0);
    let mut used = HashSet::new();
    for _ in 0..3 {
        let first = inserted(&store, key, record("1", LATER)).await;
        let second = replaced(&store, key, first, record("2", LATER)).await;
        assert!(
            used.insert(first) && used.insert(second),
            "a reopened store used a version of a key again"
        );
        answered(store.remove(key).await);
        match stores.reopen(store).await {
            Some(reopened) => store = reopened,
            None => return,
        }
    }
}

async fn reopening_does_not_hide_a_death<S: Stores>(stores: &S) {
    let store = stores.fresh().await;
    let Some(cursor) = feed(&store).await else {
        return;
    };
    let [before, after] = [0, 1].map(|number| key(Kind::Grant, number));
    inserted(&store, before, dead()).await;
    let Some(store) = stores.reopen(store).await else {
        return;
    };
    inserted(&store, after, dead()).await;
    let (told, _) = told_until(&store, cursor, after).await;
    if let Some(told) = told {
        assert!(
            told.contains(&before),
            "after a reopening the feed left out a death and did not say Lost"
        );
    }
}

/// The moment at which the cases play: in the year 2100, so that nothing has expired by the clock of a database.
const NOW: Timestamp = Timestamp::from_secs(4_102_444_800);
/// When records expire about which a case has nothing else to say.
const LATER: Timestamp = Timestamp::from_secs(4_102_444_800 + 86_400);
/// How many callers race.
const CALLERS: usize = 50;
/// How often they do.
const ROUNDS: u64 = 8;
/// After this time a feed has failed to tell.
const PATIENCE: Duration = Duration::from_secs(30);

fn after(time: Timestamp, secs: u64) -> Timestamp {
    time.saturating_add(Duration::from_secs(secs))
}

fn before(time: Timestamp, secs: u64) -> Timestamp {
    Timestamp::from_secs(time.as_secs().saturating_sub(secs))
}

fn key(kind: Kind, number: u64) -> Key {
    // Not of the kind: the same digest under two kinds is two keys.
    Key::new(kind, Digest::of("conformance", &number.to_be_bytes()))
}

fn owner(number: u64) -> Owner {
    Digest::of("conformance owner", &number.to_be_bytes())
}

fn record(json: &str, expires_at: Timestamp) -> Record {
    Record::new(Bytes::copy_from_slice(json.as_bytes()), expires_at)
}

/// A record whose writing is announced.
fn dead() -> Record {
    let mut record = record("\"dead\"", LATER);
    record.announce = true;
    record
}

fn answered<T>(answer: Result<T, StoreError>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(error) => panic!("the store failed: {error:?}"),
    }
}

async fn inserted(store: &impl Store, key: Key, record: Record) -> Version {
    match answered(store.insert(key, record, NOW).await) {
        Insert::Inserted(version) => version,
        Insert::Exists => panic!("insert said Exists where nothing stood"),
    }
}

async fn replaced(store: &impl Store, key: Key, read: Version, record: Record) -> Version {
    match answered(store.replace(key, read, record).await) {
        Replace::Replaced(version) => {
            assert_ne!(version, read, "replace did not make a new version");
            version
        }
        Replace::Changed => panic!("replace said Changed for the version that stands"),
    }
}

async fn standing(store: &impl Store, key: Key) -> (Record, Version) {
    answered(store.get(key).await).expect("get gave nothing though a record was put")
}

/// One page, which keeps its own rules.
async fn page(store: &impl Store, listing: Listing) -> Page {
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
async fn listed(store: &impl Store, (kind, owner): (Kind, Owner), limit: u32) -> Vec<Digest> {
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

async fn changes(store: &impl Store, after: Option<Cursor>) -> Changes {
    let waited = timeout(PATIENCE, store.changes(after)).await;
    answered(waited.expect("the feed did not tell a death to one who waited for it"))
}

/// The end of the feed, if the store has one.
async fn feed(store: &impl Store) -> Option<Cursor> {
    match changes(store, None).await {
        Changes::Lost { next } => Some(next),
        Changes::Unsupported { .. } => None,
        Changes::Events { .. } => panic!("the feed told events to a call without a cursor"),
    }
}

/// What the feed tells until it tells this key; `None` if it said that some is lost.
async fn told_until(store: &impl Store, from: Cursor, last: Key) -> (Option<Vec<Key>>, Cursor) {
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

/// Asks as many callers at once; each as a task, so that they race where the runtime has threads.
async fn together<S, T, F>(store: &Arc<S>, ask: impl Fn(Arc<S>, u64) -> F) -> Vec<T>
where
    S: Store,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let gate = Arc::new(Barrier::new(CALLERS));
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS as u64 {
        let gate = Arc::clone(&gate);
        let asked = ask(Arc::clone(store), caller);
        tasks.spawn(async move {
            gate.wait().await;
            asked.await
        });
    }
    tasks.join_all().await
}
