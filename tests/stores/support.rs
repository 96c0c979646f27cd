//! Records, files, and ways to ask a store and not to wait.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};
use tower_oauth::store::{
    CommitPoint, Insert, Key, Kind, Owner, Record, SqliteStore, Store as _, StoreError,
};
use tower_oauth::types::{Digest, Timestamp};

use crate::waits::soon;

/// The moment at which the suite plays.
pub(crate) const NOW: u64 = 4_102_444_800;

pub(crate) fn later(time: Timestamp, secs: u64) -> Timestamp {
    time.saturating_add(std::time::Duration::from_secs(secs))
}

pub(crate) type Asked<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

pub(crate) fn key(number: u64) -> Key {
    Key::new(Kind::Grant, Digest::of("stores", &number.to_be_bytes()))
}

pub(crate) fn owner() -> Owner {
    Digest::of("owner", b"alice")
}

pub(crate) fn record(json: &'static str) -> Record {
    let mut record = Record::new(Bytes::from_static(json.as_bytes()), Timestamp::MAX);
    record.owners = vec![owner()];
    record
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

/// An insert that waits to be answered: it stands in the writer's queue.
pub(crate) fn asked_insert(store: &SqliteStore, number: u64) -> Asked<Insert> {
    let store = store.clone();
    let mut asked: Asked<Insert> =
        Box::pin(async move { store.insert(key(number), record("1"), now()).await });
    assert!(!is_answered(&mut asked), "no write is answered at once");
    asked
}

pub(crate) fn is_answered<T>(asked: &mut Asked<T>) -> bool {
    let mut nobody = Context::from_waker(Waker::noop());
    matches!(asked.as_mut().poll(&mut nobody), Poll::Ready(_))
}

/// Holds each commit until it is let go, and tells where it holds.
pub(crate) struct Held {
    pub(crate) at: mpsc::UnboundedReceiver<CommitPoint>,
    let_go: Arc<Semaphore>,
}

impl Held {
    pub(crate) fn each_commit(store: &SqliteStore) -> Self {
        let (tell, at) = mpsc::unbounded_channel();
        let let_go = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&let_go);
        store.on_commit(move |point| {
            let gate = Arc::clone(&gate);
            let tell = tell.clone();
            async move {
                tell.send(point).map_err(StoreError::new)?;
                gate.acquire().await.map_err(StoreError::new)?.forget();
                Ok(())
            }
        });
        Self { at, let_go }
    }

    pub(crate) async fn at(&mut self, point: CommitPoint) {
        assert_eq!(soon("a commit", self.at.recv()).await, Some(point));
    }

    pub(crate) fn let_go(&self) {
        self.let_go.add_permits(1);
    }
}

/// Another connection to the file, as an administrator would have.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .expect("the file is a database")
}

pub(crate) async fn count(path: &Path, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&mut raw(path).await)
        .await
        .expect("the query is right")
}

pub(crate) fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("oauth.db");
    (folder, path)
}

pub(crate) fn causes(error: &StoreError) -> String {
    format!("{error:?}")
}
