//! How often a store and its server speak: between the two stands a proxy that counts how often the client begins.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use tempfile::TempDir;
use tower_oauth::PostgresStore;
use tower_oauth::store::{Insert, Record, Replace, Store, Version};
use tower_oauth::types::Timestamp;

use crate::postgres_server;
use crate::support::{key, now, owner};

/// A `Sync` alone: what the pool of `sqlx` says when a connection is given back. Its answer is awaited by nobody who asks the store.
const PING: &[u8] = b"S\0\0\0\x04";

/// A socket before another one.
struct Proxy {
    folder: TempDir,
    turns: Arc<Turns>,
}

#[derive(Default)]
struct Turns {
    count: AtomicUsize,
    /// Whether the client spoke last.
    asked: AtomicBool,
}

impl Proxy {
    /// A socket of this name.
    fn before(socket: PathBuf, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(name)).unwrap();
        let turns = Arc::<Turns>::default();
        let counted = Arc::clone(&turns);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (there, back) = (Arc::clone(&counted), Arc::clone(&counted));
                thread::spawn(move || {
                    pass_on(client, server, |said| {
                        if said != PING && !there.asked.swap(true, Ordering::SeqCst) {
                            there.count.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                });
                let (client, server) = ends;
                thread::spawn(move || {
                    pass_on(server, client, |_| {
                        back.asked.store(false, Ordering::SeqCst)
                    });
                });
            }
        });
        Self { folder, turns }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What comes of it, and how often the server was waited for.
    async fn count<T>(&self, asked: impl Future<Output = T>) -> (T, usize) {
        let before = self.turns.count.load(Ordering::SeqCst);
        let done = asked.await;
        (done, self.turns.count.load(Ordering::SeqCst) - before)
    }
}

fn pass_on(mut from: UnixStream, mut to: UnixStream, has_spoken: impl Fn(&[u8])) {
    let mut buffer = [0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        has_spoken(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn owned_by(owners: usize) -> Record {
    let mut record = Record::new(Bytes::from_static(b"{}"), Timestamp::MAX);
    record.owners = vec![owner(); owners];
    record
}

/// The round trips of an insert without and one with an owner, a get, a replace, a replace that is announced, and a remove, once the
/// connection has seen each.
async fn trips(store: &impl Store, proxy: &Proxy) -> [usize; 6] {
    let mut trips = [0; 6];
    for first in [0, 10] {
        let (plain, owned) = (key(first), key(first + 1));
        let version = |inserted| match inserted {
            Ok(Insert::Inserted(version)) => version,
            other => panic!("{other:?}"),
        };
        let replaced = |replaced| match replaced {
            Ok(Replace::Replaced(version)) => version,
            other => panic!("{other:?}"),
        };
        let (done, insert) = proxy.count(store.insert(plain, owned_by(0), now())).await;
        let read: Version = version(done);
        let (done, insert_owned) = proxy.count(store.insert(owned, owned_by(1), now())).await;
        version(done);
        let (done, get) = proxy.count(store.get(plain)).await;
        assert!(done.unwrap().is_some());
        let (done, replace) = proxy.count(store.replace(plain, read, owned_by(0))).await;
        let mut death = owned_by(0);
        death.announce = true;
        let read = replaced(done);
        let (done, announced) = proxy.count(store.replace(plain, read, death)).await;
        replaced(done);
        let (done, remove) = proxy.count(store.remove(plain)).await;
        assert!(done.unwrap().is_some());
        trips = [insert, insert_owned, get, replace, announced, remove];
    }
    trips
}

#[tokio::test]
async fn each_verb_of_the_postgres_store_is_one_round_trip() {
    let Some(server) = postgres_server::Server::start(&["fsync=off"]) else {
        return;
    };
    let url = server.url();
    let (start, folder) = url.split_once("?host=").unwrap();
    let name = ".s.PGSQL.5432";
    let proxy = Proxy::before(Path::new(folder).join(name), name);
    let url = format!("{start}?host={}", proxy.folder().display());
    let builder = PostgresStore::builder().max_connections(1);
    let store = builder.connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(trips(&store, &proxy).await, [1; 6]);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn each_verb_of_the_redis_store_is_one_round_trip_and_an_owners_index_one_more() {
    use crate::redis_servers::{Own, available};
    let Some(()) = available() else { return };
    let server = Own::start(&["--save", ""]);
    let url = server.url();
    let proxy = Proxy::before(url.strip_prefix("unix://").unwrap().into(), "redis.sock");
    let url = format!("unix://{}", proxy.folder().join("redis.sock").display());
    let store = tower_oauth::RedisStore::connect(url).await.unwrap();
    assert_eq!(trips(&store, &proxy).await, [1, 2, 1, 1, 1, 1]);
}
