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

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::{
    Store, conformance_feed as feed, conformance_lists as lists, conformance_nodes as nodes,
    conformance_races as races, conformance_records as records, conformance_reopening as reopening,
};

/// Where the suite gets stores from. The cases of one suite run one after another, each with a store of its own.
pub trait Stores: Send + Sync + 'static {
    /// The store to be proved.
    type Store: Store;

    /// A store that is empty and shares nothing with those before it.
    fn fresh(&self) -> impl Future<Output = Self::Store> + Send;

    /// Closes the last fresh store and opens its data again, as after the end of the process. `None` if it forgets everything
    /// by design.
    fn reopen(&self, store: Self::Store) -> impl Future<Output = Option<Self::Store>> + Send;

    /// Opens the data of the last fresh store once more, beside it, as another node would. `None`, if this is not said, where one process
    /// is all there can be. Races are run by both, and what one does the other must see.
    fn beside(&self, store: &Self::Store) -> impl Future<Output = Option<Self::Store>> + Send {
        let _ = store;
        std::future::ready(None)
    }
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
            Box::pin(records::get_returns_what_was_put(s))
        }),
        case("insert does not touch what stands", |s| {
            Box::pin(records::insert_does_not_touch_what_stands(s))
        }),
        case("insert takes the place of what has expired", |s| {
            Box::pin(records::insert_takes_the_place_of_what_has_expired(s))
        }),
        case("kinds are separate", |s| {
            Box::pin(records::kinds_are_separate(s))
        }),
        case("digests that are alike are separate", |s| {
            Box::pin(records::digests_that_are_alike_are_separate(s))
        }),
        case("replace needs the version that stands", |s| {
            Box::pin(records::replace_needs_the_version_that_stands(s))
        }),
        case("replace keeps the owners", |s| {
            Box::pin(records::replace_keeps_the_owners(s))
        }),
        case("replace needs a record", |s| {
            Box::pin(records::replace_needs_a_record(s))
        }),
        case("versions are not used again", |s| {
            Box::pin(records::versions_are_not_used_again(s))
        }),
        case("remove gives the record once", |s| {
            Box::pin(records::remove_gives_the_record_once(s))
        }),
        case("one of many inserts wins", |s| {
            Box::pin(races::one_of_many_inserts_wins(s))
        }),
        case("one of many inserts over an expired record wins", |s| {
            Box::pin(races::one_of_many_inserts_over_an_expired_record_wins(s))
        }),
        case("one of many replaces wins", |s| {
            Box::pin(races::one_of_many_replaces_wins(s))
        }),
        case("one of many removes wins", |s| {
            Box::pin(races::one_of_many_removes_wins(s))
        }),
        case("list names all of an owner", |s| {
            Box::pin(lists::list_names_all_of_an_owner(s))
        }),
        case("list follows the records", |s| {
            Box::pin(lists::list_follows_the_records(s))
        }),
        case("purge goes by the expiry that stands", |s| {
            Box::pin(lists::purge_goes_by_the_expiry_that_stands(s))
        }),
        case("purge forgets only what has expired", |s| {
            Box::pin(lists::purge_forgets_only_what_has_expired(s))
        }),
        case("what never expires is never purged", |s| {
            Box::pin(lists::what_never_expires_is_never_purged(s))
        }),
        case("the feed begins with lost", |s| {
            Box::pin(feed::the_feed_begins_with_lost(s))
        }),
        case("the feed tells what was announced", |s| {
            Box::pin(feed::the_feed_tells_what_was_announced(s))
        }),
        case("the feed tells what can be read", |s| {
            Box::pin(feed::the_feed_tells_what_can_be_read(s))
        }),
        case("the feed tells nothing else", |s| {
            Box::pin(feed::the_feed_tells_nothing_else(s))
        }),
        case("the feed wakes all who wait", |s| {
            Box::pin(feed::the_feed_wakes_all_who_wait(s))
        }),
        case("the feed never leaves out in silence", |s| {
            Box::pin(feed::the_feed_never_leaves_out_in_silence(s))
        }),
        case("another node sees each write", |s| {
            Box::pin(nodes::another_node_sees_each_write(s))
        }),
        case("another node is told what has died", |s| {
            Box::pin(nodes::another_node_is_told_what_has_died(s))
        }),
        case("nodes that purge at once share the work", |s| {
            Box::pin(nodes::nodes_that_purge_at_once_share_the_work(s))
        }),
        case("reopening keeps the records", |s| {
            Box::pin(reopening::reopening_keeps_the_records(s))
        }),
        case("reopening does not use versions again", |s| {
            Box::pin(reopening::reopening_does_not_use_versions_again(s))
        }),
        case("reopening does not hide a death", |s| {
            Box::pin(reopening::reopening_does_not_hide_a_death(s))
        }),
    ]
}
