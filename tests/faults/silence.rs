//! The network between nodes and their database goes away in silence: packets are lost, and no connection is closed.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_oauth::PostgresStore;
use tower_oauth::store::{Insert, Key, Kind, Record, RedisStore, Store};
use tower_oauth::types::{Digest, Timestamp};

use crate::load::{LIMIT, Load};
use crate::place::Place;
use crate::postgres_server::Server;
use crate::proxy::{Network, Proxy};
use crate::redis_own::Own;
use crate::redis_server;
use crate::redis_server::available;

const CONNECTIONS: u32 = 2;
/// How much longer a busy machine may take.
const BUSY: Duration = Duration::from_secs(5);

/// Where the socket of this server is.
fn socket(server: &Server) -> std::path::PathBuf {
    let url = server.url();
    let (_, folder) = url.split_once("host=").unwrap();
    std::path::Path::new(folder).join(".s.PGSQL.5432")
}

fn postgres_url(proxy: &Proxy) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port())
}

fn key() -> Key {
    Key::new(Kind::Grant, Digest::of("faults", b"1"))
}

/// Fifty who ask at once; how many were answered, each in time.
async fn fifty_ask(store: &(impl Store + Clone)) -> usize {
    let mut asked = JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        asked.spawn(async move { store.get(key()).await.is_ok() });
    }
    let answered = timeout(LIMIT + BUSY, asked.join_all()).await;
    let answered = answered.expect("they are answered in bounded time");
    answered.into_iter().filter(|answered| *answered).count()
}

/// However the network goes away, no place for a connection is lost by it.
async fn goes_through_silence(store: impl Store + Clone, proxy: &Proxy) {
    let record = Record::new(r#"{"v":1}"#.into(), Timestamp::MAX);
    let inserted = store.insert(key(), record, Timestamp::from_secs(0)).await;
    assert!(matches!(inserted, Ok(Insert::Inserted(_))), "{inserted:?}");
    for network in [Network::Silent, Network::OneAnswerMore] {
        assert_eq!(fifty_ask(&store).await, 50);
        proxy.becomes(network);
        let answered = fifty_ask(&store).await;
        if network == Network::Silent {
            assert_eq!(answered, 0, "who has answered?");
        }
        proxy.becomes(Network::Forwards);
        // What had been connected stays silent, and whoever is first finds that out.
        fifty_ask(&store).await;
        assert_eq!(fifty_ask(&store).await, 50, "{network:?}");
    }
    // A connection that has had its last answer looks as good as any.
    let get = async || timeout(LIMIT + BUSY, store.get(key())).await.unwrap();
    for _ in 0..=CONNECTIONS {
        proxy.becomes(Network::OneAnswerMore);
        let _ = get().await; // that answer, unless something else was asked before
        proxy.becomes(Network::Forwards);
        let _ = get().await; // it finds out
        assert!(get().await.is_ok(), "a place is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_goes_away_in_silence_takes_no_place_of_a_postgres_store_with_it() {
    let Some(server) = Server::start(&["fsync=off"]) else {
        return;
    };
    let proxy = Proxy::to(socket(&server)).await;
    let builder = PostgresStore::builder().timeout(LIMIT);
    let builder = builder.max_connections(CONNECTIONS);
    let store = builder.connect(&postgres_url(&proxy)).await.unwrap();
    store.migrate().await.unwrap();
    goes_through_silence(store, &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_goes_away_in_silence_is_got_over_by_a_redis_store() {
    let Some(()) = available() else { return };
    let server = Own::start(&[]);
    let proxy = Proxy::to(server.socket()).await;
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let builder = RedisStore::builder(url).prefix(redis_server::prefix());
    let store = builder.time_limit(LIMIT).connect().await.unwrap();
    goes_through_silence(store, &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_behind_a_silent_network_is_503_in_time_and_never_a_wrong_verdict() {
    let Some(server) = Server::start(&["fsync=off"]) else {
        return;
    };
    let proxy = Proxy::to(socket(&server)).await;
    under_load(&Place::postgres(&postgres_url(&proxy), LIMIT), &proxy).await;

    let Some(()) = available() else { return };
    let server = Own::start(&[]);
    let proxy = Proxy::to(server.socket()).await;
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    under_load(&Place::redis(&url, LIMIT), &proxy).await;
}

async fn under_load(place: &Place, proxy: &Proxy) {
    let mut load = Load::begin(place).await;
    for _ in 0..2 {
        load.each_goes_on().await;
        proxy.becomes(Network::Silent);
        load.each_is_told_to_come_again().await;
        proxy.becomes(Network::Forwards);
        load.each_goes_on().await;
    }
    load.end().await;
}
