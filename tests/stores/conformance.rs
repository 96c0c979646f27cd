//! The stores of the crate pass the suite, and each case of it fails a store that breaks its promise.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tower_oauth::store::conformance::{self, Stores};
use tower_oauth::store::{MemoryStore, SqliteStore};

use crate::wrong::{Fault, Wrong};

struct Memory;

impl Stores for Memory {
    type Store = MemoryStore;

    async fn fresh(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn reopen(&self, _: MemoryStore) -> Option<MemoryStore> {
        None
    }
}

struct Sqlite {
    folder: TempDir,
    files: AtomicU32,
}

impl Sqlite {
    async fn open(&self) -> SqliteStore {
        let number = self.files.load(Ordering::SeqCst);
        let path = self.folder.path().join(format!("{number}.db"));
        SqliteStore::open(path).await.expect("the file opens")
    }
}

impl Stores for Sqlite {
    type Store = SqliteStore;

    async fn fresh(&self) -> SqliteStore {
        self.files.fetch_add(1, Ordering::SeqCst);
        self.open().await
    }

    async fn reopen(&self, store: SqliteStore) -> Option<SqliteStore> {
        store.close().await;
        Some(self.open().await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_passes_the_suite() {
    conformance::run(&Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_store_passes_the_suite() {
    let stores = Sqlite {
        folder: tempfile::tempdir().unwrap(),
        files: AtomicU32::new(0),
    };
    conformance::run(&stores).await;
}

struct WrongStores(Fault);

impl Stores for WrongStores {
    type Store = Wrong;

    async fn fresh(&self) -> Wrong {
        Wrong::new(self.0)
    }

    async fn reopen(&self, store: Wrong) -> Option<Wrong> {
        Some(match self.0 {
            Fault::ForgetsOnReopening => Wrong::new(self.0),
            _ => store,
        })
    }

    async fn beside(&self, store: &Wrong) -> Option<Wrong> {
        Some(match self.0 {
            Fault::ForgetsBeside => Wrong::new(self.0),
            _ => store.clone(),
        })
    }
}

/// What a case says of a store with this fault; `None` if it passes.
async fn verdict(fault: Fault, case: &str) -> Option<String> {
    let case = conformance::cases::<WrongStores>()
        .into_iter()
        .find(|known| known.name() == case)
        .expect("the suite has this case");
    let ran = tokio::spawn(async move { case.run(&WrongStores(fault)).await }).await;
    let panic = ran.err()?.into_panic();
    let sentence = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    Some(sentence.expect("a case panics with a sentence"))
}

// The runtime has one thread and a clock that jumps when all wait: races are the yields above, and patience costs no time.
#[tokio::test(start_paused = true)]
async fn every_case_of_the_suite_fails_a_store_that_breaks_its_promise() {
    let wrong = [
        (
            Fault::ForgetsOwners,
            "get returns what was put",
            "get gave other owners",
        ),
        (
            Fault::KeepsAnnounce,
            "get returns what was put",
            "announce was kept",
        ),
        (
            Fault::ChangesExpiry,
            "get returns what was put",
            "get gave another expiry",
        ),
        (
            Fault::InsertOverwrites,
            "insert does not touch what stands",
            "insert wrote over a record",
        ),
        (
            Fault::InsertNeverOverwrites,
            "insert takes the place of what has expired",
            "insert said Exists over a record that has expired",
        ),
        (
            Fault::IgnoresKind,
            "kinds are separate",
            "stands under another kind only",
        ),
        (
            Fault::ComparesHalfDigests,
            "digests that are alike are separate",
            "for a digest that is like another",
        ),
        (
            Fault::ForgetsTheSecondOwner,
            "get returns what was put",
            "get gave other owners",
        ),
        (
            Fault::CutsLongValues,
            "get returns what was put",
            "get gave another value",
        ),
        (
            Fault::ReplaceKeepsExpiry,
            "replace needs the version that stands",
            "replace did not put the new value, expiry",
        ),
        (
            Fault::ListsBackwards,
            "list names all of an owner",
            "not in the order of the digests",
        ),
        (
            Fault::ListsOnePage,
            "list names all of an owner",
            "left out a record that stands",
        ),
        (
            Fault::PurgesByTheFirstExpiry,
            "purge goes by the expiry that stands",
            "whose expiry a replace had put off",
        ),
        (
            Fault::FeedMissesReplaces,
            "the feed tells what was announced",
            "did not tell an announced insert, an announced replace",
        ),
        (
            Fault::FeedTellsTooEarly,
            "the feed tells what can be read",
            "could not be read yet",
        ),
        (
            Fault::ReplacesStale,
            "replace needs the version that stands",
            "replace took a version that no longer stands",
        ),
        (
            Fault::ReplacesOwners,
            "replace keeps the owners",
            "replace changed the owners",
        ),
        (
            Fault::ReplaceCreates,
            "replace needs a record",
            "replace wrote where nothing stands",
        ),
        (
            Fault::CountsVersionsPerRecord,
            "versions are not used again",
            "a version of",
        ),
        (
            Fault::RemoveOnlyReads,
            "remove gives the record once",
            "remove gave a record a second time",
        ),
        (
            Fault::InsertChecksThenWrites,
            "one of many inserts wins",
            "not exactly one got Inserted",
        ),
        (
            Fault::InsertClearsThenWrites,
            "one of many inserts over an expired record wins",
            "not exactly one got Inserted",
        ),
        (
            Fault::ReplaceChecksThenWrites,
            "one of many replaces wins",
            "not exactly one got Replaced",
        ),
        (
            Fault::RemoveReadsThenWrites,
            "one of many removes wins",
            "not exactly one got it",
        ),
        (
            Fault::ForgetsOwners,
            "list names all of an owner",
            "list left out a record that stands",
        ),
        (
            Fault::ListsWithoutTheLast,
            "list names all of an owner",
            "list left out a record that stands",
        ),
        (
            Fault::ListsAfterInclusive,
            "list names all of an owner",
            "list",
        ),
        (
            Fault::ListsOneMore,
            "list names all of an owner",
            "more than its limit",
        ),
        (
            Fault::ListsAnotherOwner,
            "list names all of an owner",
            "list",
        ),
        (
            Fault::ForgetsOwnersOfWhatComesBack,
            "list follows the records",
            "put again after it had gone",
        ),
        (
            Fault::PurgesTooEarly,
            "purge forgets only what has expired",
            "purge counted records that have not expired",
        ),
        (
            Fault::PurgesWithoutLimit,
            "purge forgets only what has expired",
            "purge forgot more than its limit",
        ),
        (
            Fault::PurgesInWordsOnly,
            "purge forgets only what has expired",
            "purge counted records that it did not forget",
        ),
        (
            Fault::PurgesTheEverlasting,
            "what never expires is never purged",
            "purge counted a record that never expires",
        ),
        (
            Fault::FeedBeginsWithEvents,
            "the feed begins with lost",
            "a call without a cursor",
        ),
        (
            Fault::FeedMissesInserts,
            "the feed tells what was announced",
            "the feed did not tell an announced insert",
        ),
        (
            Fault::FeedTellsEveryWrite,
            "the feed tells nothing else",
            "the feed told a write that was not announced",
        ),
        (
            Fault::FeedNeverWakes,
            "the feed wakes all who wait",
            "was not told what died",
        ),
        (
            Fault::FeedHidesThatItLost,
            "the feed never leaves out in silence",
            "did not say Lost",
        ),
        (
            Fault::ForgetsBeside,
            "another node sees each write",
            "get gave nothing though a record was put",
        ),
        (
            Fault::FeedNeverWakes,
            "another node is told what has died",
            "did not tell a death",
        ),
        (
            Fault::PurgesInWordsOnly,
            "nodes that purge at once share the work",
            "counted a record twice",
        ),
        (
            Fault::ForgetsOnReopening,
            "reopening keeps the records",
            "does not hold what was answered",
        ),
        (
            Fault::ForgetsOnReopening,
            "reopening does not use versions again",
            "used a version of a key again",
        ),
        (
            Fault::ForgetsOnReopening,
            "reopening does not hide a death",
            "left out a death",
        ),
    ];
    for (fault, case, expected) in wrong {
        let sentence = verdict(fault, case)
            .await
            .unwrap_or_else(|| panic!("{fault:?} passes the case {case:?}"));
        assert!(
            sentence.contains(expected),
            "{fault:?} fails {case:?} for another reason: {sentence}"
        );
    }
    let failed: BTreeSet<_> = wrong.iter().map(|(_, case, _)| *case).collect();
    for case in conformance::cases::<WrongStores>() {
        assert!(
            failed.contains(case.name()),
            "no wrong store fails {:?}",
            case.name()
        );
        assert_eq!(
            verdict(Fault::None, case.name()).await,
            None,
            "the store without a fault fails"
        );
    }
}
