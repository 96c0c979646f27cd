//! The file: who may open it, what it holds, and when it is free again.

use sqlx::Connection as _;
use tower_oauth::store::{Insert, SqliteOpenError, SqliteStore, Store as _};

use crate::support::{asked_insert, count, file, key, later, now, raw, record};
use crate::waits::soon;

#[tokio::test]
async fn a_second_opening_in_the_same_process_is_refused() {
    let (folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let same_by_another_name = folder.path().join(".").join("oauth.db");
    for path in [&path, &same_by_another_name] {
        let refused = SqliteStore::open(path).await.unwrap_err();
        assert!(
            matches!(refused, SqliteOpenError::AlreadyOpen { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("is open already"));
    }
    // The refused openings have not taken anything from the first.
    store.insert(key(1), record("1"), now()).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(store.get(key(1)).await.unwrap().is_some());
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_opening_through_a_link_is_refused_and_the_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    store.insert(key(1), record("1"), now()).await.unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let refused = SqliteStore::open(&link).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::AlreadyOpen { .. }));
    for name in ["oauth.db", "oauth.db-wal", "oauth.db-shm", "oauth.db-lock"] {
        let metadata = std::fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn closing_makes_the_writes_that_wait_and_then_every_clone_answers_with_an_error() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let clone = store.clone();
    let waiting: Vec<_> = (0..50).map(|number| asked_insert(&store, number)).collect();
    store.close().await;
    for asked in waiting {
        assert!(matches!(asked.await.unwrap(), Insert::Inserted(_)));
    }
    clone.insert(key(99), record("1"), now()).await.unwrap_err();
    clone.get(key(0)).await.unwrap_err();
    clone.changes(None).await.unwrap_err();
    clone.close().await;
    let wal = path.with_extension("db-wal");
    assert!(!wal.exists(), "the log was not taken into the file");

    let store = SqliteStore::open(&path).await.unwrap();
    for number in 0..50 {
        assert!(store.get(key(number)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_writer_ends_and_the_file_is_free_after_the_last_clone_is_dropped() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let clone = store.clone();
    drop(asked_insert(&store, 0));
    drop(store);
    clone.insert(key(1), record("1"), now()).await.unwrap();
    drop(clone);
    let store = soon("the end of the writer", async {
        loop {
            match SqliteStore::open(&path).await {
                Err(SqliteOpenError::AlreadyOpen { .. }) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        }
    })
    .await;
    assert!(store.get(key(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_of_a_newer_schema_is_refused() {
    let (_folder, path) = file();
    SqliteStore::open(&path).await.unwrap().close().await;
    let mut other = raw(&path).await;
    sqlx::raw_sql("PRAGMA user_version = 2")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(
        refused,
        SqliteOpenError::NewerSchema {
            found: 2,
            known: 1,
            ..
        }
    ));
}

#[tokio::test]
async fn a_database_of_something_else_is_refused_and_left_as_it_was() {
    let (_folder, path) = file();
    let mut other = raw(&path).await;
    sqlx::raw_sql("CREATE TABLE records (mine TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::NotOurs { .. }));
    assert!(before == std::fs::read(&path).unwrap());

    std::fs::write(
        &path,
        "not a database, but long enough to look like one. ".repeat(100),
    )
    .unwrap();
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::Failed { .. }));
    let nowhere = path.join("no").join("folder.db");
    let refused = SqliteStore::open(&nowhere).await.unwrap_err();
    assert!(matches!(refused, SqliteOpenError::Failed { .. }));
}

#[tokio::test]
async fn purging_forgets_records_and_owners_by_the_index() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    for number in 0..10 {
        let mut record = record("1");
        record.expires_at = later(now(), number);
        store.insert(key(number), record, now()).await.unwrap();
    }
    assert_eq!(store.purge(later(now(), 6), 4).await.unwrap(), 4);
    for number in 0..4 {
        assert_eq!(
            store.get(key(number)).await.unwrap(),
            None,
            "the oldest go first"
        );
    }
    assert_eq!(store.purge(later(now(), 6), 4).await.unwrap(), 3);
    assert_eq!(store.purge(later(now(), 6), 4).await.unwrap(), 0);
    assert_eq!(count(&path, "SELECT count(*) FROM records").await, 3);
    assert_eq!(count(&path, "SELECT count(*) FROM owners").await, 3);
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
        "EXPLAIN QUERY PLAN SELECT id FROM records \
         WHERE expires_at <= 7 AND expires_at < 9223372036854775807 ORDER BY expires_at LIMIT 9",
    )
    .fetch_all(&mut raw(&path).await)
    .await
    .unwrap();
    assert!(plan[0].3.contains("records_by_expiry"), "{plan:?}");
}

#[tokio::test]
async fn the_file_has_a_write_ahead_log() {
    let (_folder, path) = file();
    let _store = SqliteStore::open(&path).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut raw(&path).await)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_paused_and_jumps_does_not_disturb_the_store() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path).await.unwrap();
    let readers = (0..20).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            store.insert(key(number), record("1"), now()).await.unwrap();
            store.get(key(number)).await.unwrap().unwrap();
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
}
