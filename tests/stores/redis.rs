//! What a Redis does to its store: it ends, stops to answer, forgets scripts, cuts connections, and says how it keeps its data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;
use tower_oauth::store::{
    Changes, Cursor, Insert, Key, Kind, Listing, Record, RedisConnectError, RedisStore, Replace,
    Store as _, Version,
};
use tower_oauth::types::{Digest, Timestamp};
use tracing_subscriber::fmt::MakeWriter;

use crate::redis_own::Own;
use crate::redis_proxy::Proxy;
use crate::redis_server as server;
use crate::redis_server::available;
use crate::redis_servers::Cluster;
use crate::support::{key, later, now, owner, record};
use crate::waits::{soon, until};

/// How long the store may take to say that Redis does not answer, and how much longer a busy machine may.
const LIMIT: Duration = Duration::from_millis(500);
const BUSY: Duration = Duration::from_secs(5);

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

async fn connect(url: &str) -> RedisStore {
    let builder = RedisStore::builder(url).prefix(server::prefix());
    builder.time_limit(LIMIT).connect().await.unwrap()
}

async fn inserted(store: &RedisStore, number: u64) -> Version {
    match store.insert(key(number), record("1"), now()).await {
        Ok(Insert::Inserted(version)) => version,
        other => panic!("nothing stood there: {other:?}"),
    }
}

async fn stands(store: &RedisStore, number: u64) -> bool {
    store.get(key(number)).await.unwrap().is_some()
}

/// The end of the feed, and that nothing was told.
async fn lost(store: &RedisStore, after: Option<Cursor>) -> Cursor {
    let told = soon("what the feed tells", store.changes(after)).await;
    match told.unwrap() {
        Changes::Lost { next } => next,
        other => panic!("{other:?}"),
    }
}

/// What died, once `Lost` is over.
async fn told(store: &RedisStore, after: &mut Cursor) -> Vec<Key> {
    let told = async {
        loop {
            match store.changes(Some(*after)).await {
                Ok(Changes::Events { dead, next }) => {
                    *after = next;
                    return dead;
                }
                Ok(Changes::Lost { next }) => *after = next,
                Ok(Changes::Unsupported { .. }) => panic!("it has a feed"),
                Err(_) => {}
            }
        }
    };
    soon("what the feed tells", told).await
}

/// A connection of an administrator.
fn administrator(url: &str) -> redis::Connection {
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

fn say<T: redis::FromRedisValue>(to: &mut redis::Connection, words: &[&[u8]]) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query(to).unwrap()
}

/// Where a record stands in Redis.
fn place(prefix: &str, what: &str, digest: Digest) -> Vec<u8> {
    [format!("{prefix}:{what}:").as_bytes(), digest.as_bytes()].concat()
}

#[tokio::test]
async fn a_listener_that_was_cut_off_says_lost_and_goes_on() {
    let Some(()) = available() else { return };
    let own = Own::start(&[]);
    let store = connect(&own.url()).await;
    let mut cursor = lost(&store, None).await;
    inserted(&store, 0).await;
    store.remove(key(0)).await.unwrap();
    assert_eq!(told(&store, &mut cursor).await, [key(0)]);

    let killed: u32 = say(
        &mut administrator(&own.url()),
        &[b"CLIENT", b"KILL", b"TYPE", b"pubsub"],
    );
    assert_eq!(killed, 1, "one task listens for each store");
    cursor = lost(&store, Some(cursor)).await;
    // Whether the first is heard depends on when it listens again; that it does not hear in silence is what counts.
    let mut number = 1;
    let heard = async {
        loop {
            inserted(&store, number).await;
            store.remove(key(number)).await.unwrap();
            number += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = heard => {}
        dead = told(&store, &mut cursor) => assert!(!dead.is_empty()),
    }
}

#[tokio::test]
async fn a_redis_that_is_paused_is_an_error_in_time_and_works_again_afterwards() {
    let Some(()) = available() else { return };
    let mut own = Own::start(&[]);
    let store = connect(&own.url()).await;
    let read = inserted(&store, 0).await;
    let cursor = lost(&store, None).await;
    let waits = store.clone();
    let waiting = tokio::spawn(async move { waits.changes(Some(cursor)).await });
    own.signal("STOP");
    until("the signal", async || store.get(key(0)).await.is_err()).await;
    let within = async |asked: &mut (dyn Future<Output = bool> + Send + Unpin)| {
        let answered = timeout(LIMIT + BUSY, asked).await;
        assert!(answered.unwrap(), "it was answered");
    };
    within(&mut Box::pin(async { store.get(key(0)).await.is_err() })).await;
    within(&mut Box::pin(async { store.remove(key(9)).await.is_err() })).await;
    within(&mut Box::pin(async {
        store.insert(key(1), record("1"), now()).await.is_err()
    }))
    .await;
    within(&mut Box::pin(async {
        store.replace(key(0), read, record("2")).await.is_err()
    }))
    .await;
    // Fifty who wait do not wait for one another.
    let mut fifty = tokio::task::JoinSet::new();
    for number in 0..50 {
        let store = store.clone();
        fifty.spawn(async move { store.get(key(number)).await.is_err() });
    }
    within(&mut Box::pin(async {
        fifty.join_all().await.into_iter().all(|failed| failed)
    }))
    .await;
    // The listener has noticed as well: everything that is cached is dropped.
    let heard = soon("the listener", waiting).await.unwrap().unwrap();
    assert!(matches!(heard, Changes::Lost { .. }), "{heard:?}");
    until("the end of the feed", async || {
        store.changes(None).await.is_err()
    })
    .await;

    own.signal("CONT");
    until("its answer", async || store.get(key(0)).await.is_ok()).await;
    inserted(&store, 7).await;
    let begins = async {
        loop {
            if let Ok(Changes::Lost { next }) = store.changes(None).await {
                break next;
            }
        }
    };
    let mut cursor = soon("the feed", begins).await;
    store.remove(key(7)).await.unwrap();
    assert!(told(&store, &mut cursor).await.contains(&key(7)));
}

#[tokio::test]
async fn what_a_durable_redis_has_answered_survives_its_killing() {
    let Some(()) = available() else { return };
    let mut own = Own::start(&DURABLE);
    let store = connect(&own.url()).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let store = store.clone();
        writers.spawn(async move {
            let mut answered = Vec::new();
            for number in writer * 1_000_000.. {
                match store.insert(key(number), record("1"), now()).await {
                    Ok(_) => answered.push(number),
                    Err(_) => return answered,
                }
            }
            answered
        });
    }
    until("fifty records", async || stands(&store, 50).await).await;
    own.kill();
    let answered = soon("the ends of the writers", writers.join_all()).await;
    let answered = answered.concat();
    own.start_again();
    until("its answer", async || store.get(key(0)).await.is_ok()).await;
    for number in &answered {
        assert!(
            stands(&store, *number).await,
            "{number} was answered, and is gone"
        );
    }
    let listing = Listing {
        kind: Kind::Grant,
        owner: owner(),
        after: None,
        limit: 1_000_000,
    };
    let listed = store.list(listing).await.unwrap().digests;
    for number in answered {
        assert!(
            listed.contains(&key(number).digest),
            "{number} is not listed"
        );
    }
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_told_again() {
    let Some(()) = available() else { return };
    let own = Own::start(&[]);
    let store = connect(&own.url()).await;
    let mut administrator = administrator(&own.url());
    let mut forget = || say::<()>(&mut administrator, &[b"SCRIPT", b"FLUSH"]);
    forget();
    let read = inserted(&store, 0).await;
    forget();
    let replaced = store.replace(key(0), read, record("2")).await.unwrap();
    assert!(matches!(replaced, Replace::Replaced(_)));
    forget();
    assert!(store.remove(key(0)).await.unwrap().is_some());
    forget();
    assert_eq!(store.purge(now(), 1000).await.unwrap(), 0);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_asked_again() {
    let Some(()) = available() else { return };
    let own = Own::start(&[]);
    let proxy = Proxy::to(own.socket(), |asked| asked.to_vec());
    let store = connect(&proxy.url()).await;
    let mut bare = record("1");
    bare.owners.clear();
    // So that the script is known.
    store.insert(key(0), bare.clone(), now()).await.unwrap();
    proxy.lose_the_answer_to("EVALSHA");
    store.insert(key(1), bare.clone(), now()).await.unwrap_err();
    assert_eq!(proxy.lost(), 1, "it was asked again");
    proxy.lose_nothing();
    assert!(stands(&store, 1).await, "only the answer was lost");
    assert_eq!(
        store.insert(key(1), bare, now()).await.unwrap(),
        Insert::Exists
    );
}

#[tokio::test]
async fn a_record_that_comes_too_late_after_its_owners_index_is_refused() {
    let Some(()) = available() else { return };
    let own = Own::start(&[]);
    // The index is told to have been written in 2001: that is the only answer that is a time.
    let proxy = Proxy::to(own.socket(), |answer| {
        match answer.first() == Some(&b':') && answer.len() == 13 {
            true => b":1000000000\r\n".to_vec(),
            false => answer.to_vec(),
        }
    });
    let store = connect(&proxy.url()).await;
    store.insert(key(0), record("1"), now()).await.unwrap_err();
    assert!(!stands(&store, 0).await);
    let mut bare = record("1");
    bare.owners.clear();
    store.insert(key(0), bare, now()).await.unwrap();
}

#[tokio::test]
async fn redis_keeps_records_an_hour_longer_by_a_clock_of_its_own() {
    let Some(()) = available() else { return };
    let (url, prefix) = (server::shared(), server::prefix());
    let builder = RedisStore::builder(url).prefix(&prefix);
    let store = builder.connect().await.unwrap();
    let mut administrator = administrator(url);
    let mut left = |number| -> i64 {
        let place = place(&prefix, "grant", key(number).digest);
        say(&mut administrator, &[b"TTL", &place])
    };
    let hour = 3600;
    let minutes = |from: i64| from - 60..=from; // so long this test does not take
    let ends = |expires_at| Record::new("1".into(), expires_at);
    let insert = async |number, expires_at| {
        let done = store.insert(key(number), ends(expires_at), now()).await;
        match done.unwrap() {
            Insert::Inserted(version) => version,
            Insert::Exists => panic!("nothing stood there"),
        }
    };
    let replace = async |number, read, expires_at| {
        let done = store.replace(key(number), read, ends(expires_at)).await;
        match done.unwrap() {
            Replace::Replaced(version) => version,
            Replace::Changed => panic!("nobody else was there"),
        }
    };
    // The clocks of the server and of Redis are seventy years apart.
    let read = insert(0, later(now(), 600)).await;
    assert!(minutes(600 + hour).contains(&left(0)), "{}", left(0));
    let read = replace(0, read, later(now(), 86_400)).await;
    assert!(minutes(86_400 + hour).contains(&left(0)), "{}", left(0));
    let read = replace(0, read, later(now(), 60)).await;
    assert!(minutes(60 + hour).contains(&left(0)), "{}", left(0));
    let read = replace(0, read, Timestamp::MAX).await;
    assert_eq!(left(0), -1, "it has no end");
    replace(0, read, later(now(), 60)).await;
    assert_eq!(left(0), -1, "what has no end gets none");

    insert(1, now()).await;
    assert!(minutes(hour).contains(&left(1)), "{}", left(1));
    let read = insert(2, later(now(), 600)).await;
    replace(2, read, Timestamp::from_secs(0)).await;
    let left_to_2 = left(2);
    assert!(
        [0, -2].contains(&left_to_2),
        "it has expired for years: {left_to_2}"
    );
    insert(3, Timestamp::MAX).await;
    assert_eq!(left(3), -1);
}

#[tokio::test]
async fn a_purge_takes_out_of_indexes_what_has_gone_and_nothing_that_stands_or_comes() {
    let Some(()) = available() else { return };
    let own = Own::start(&[]);
    let prefix = server::prefix();
    let builder = RedisStore::builder(own.url()).prefix(&prefix);
    let store = builder.connect().await.unwrap();
    let mut administrator = administrator(&own.url());
    let index = place(&prefix, "owned:grant", owner());
    let member = |number: u64, birth: u64, written: u64| {
        let digest = key(number).digest;
        let numbers = [birth.to_be_bytes(), written.to_be_bytes()];
        [digest.as_bytes().as_slice(), numbers.as_flattened()].concat()
    };
    let mut add =
        |member: &[u8]| -> u32 { say(&mut administrator, &[b"ZADD", &index, b"0", member]) };
    let standing = inserted(&store, 0).await;
    let mut kept = vec![
        member(0, standing.number(), 1), // it stands, for long
    ];
    let mut gone = Vec::new();
    let soon = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    kept.push(member(1, 1, soon)); // it comes
    gone.push(member(0, 7, 1)); // it was born again
    for number in 2..1000 {
        gone.push(member(number, number, 1)); // it has gone
    }
    for member in kept.iter().chain(&gone) {
        assert_eq!(add(member), 1);
    }
    // Bounded work for each call, and all of it in some.
    assert_eq!(store.purge(now(), 100).await.unwrap(), 0);
    let mut members =
        || -> Vec<Vec<u8>> { say(&mut administrator, &[b"ZRANGE", &index, b"0", b"-1"]) };
    assert!(members().len() > 800, "it does not all at once");
    let mut calls = 0..100;
    while members().len() > kept.len() + 1 {
        calls.next().expect("some are enough");
        assert_eq!(store.purge(now(), 100).await.unwrap(), 0);
    }
    let left = members();
    for member in kept {
        assert!(left.contains(&member), "{member:?}");
    }
    // And the member that the insert has written.
    assert!(left.iter().any(
        |left| left.starts_with(&member(0, standing.number(), 0)[..40])
            && left[40..] != [0, 0, 0, 0, 0, 0, 0, 1]
    ));
}

#[tokio::test]
async fn what_is_removed_leaves_no_trace() {
    let Some(()) = available() else { return };
    let own = Own::start(&[]);
    let store = connect(&own.url()).await;
    let mut owned = record("1");
    owned.owners.push(Digest::of("owner", b"bob"));
    store.insert(key(0), owned.clone(), now()).await.unwrap();
    assert_eq!(
        store.insert(key(0), owned, now()).await.unwrap(),
        Insert::Exists
    );
    let mut administrator = administrator(&own.url());
    let mut keys = || say::<u32>(&mut administrator, &[b"DBSIZE"]);
    assert_eq!(keys(), 3, "the record and two indexes");
    store.remove(key(0)).await.unwrap();
    assert_eq!(keys(), 0);
}

#[tokio::test]
async fn prefixes_keep_servers_apart_and_evil_ones_are_refused() {
    let Some(()) = available() else { return };
    let url = server::shared();
    let prefix = server::prefix();
    let [one, other] = [prefix.clone(), format!("{prefix}.2")];
    let builder = |prefix: &str| RedisStore::builder(url).prefix(prefix);
    let one = builder(&one).connect().await.unwrap();
    let other = builder(&other).connect().await.unwrap();
    let mut cursor = lost(&other, None).await;
    inserted(&one, 0).await;
    assert!(!stands(&other, 0).await);
    inserted(&other, 0).await;
    one.remove(key(0)).await.unwrap();
    assert!(stands(&other, 0).await);
    inserted(&other, 1).await;
    other.remove(key(1)).await.unwrap();
    assert_eq!(
        told(&other, &mut cursor).await,
        [key(1)],
        "nothing of the first is told"
    );

    for evil in [
        "",
        "a:b",
        "a*",
        "{a}",
        "a b",
        "a\r\nFLUSHALL\r\n",
        "\0",
        "ä",
    ] {
        let refused = builder(evil).connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::InvalidPrefix),
            "{evil:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_redis_is_an_error_that_says_no_password() {
    let Some(()) = available() else { return };
    let secret = "hunter2hunter2";
    for url in [
        format!("http://user:{secret}@127.0.0.1"),
        format!("rediss://user:{secret}@127.0.0.1"),
        secret.to_owned(),
    ] {
        let refused = RedisStore::connect(url).await.unwrap_err();
        assert!(matches!(refused, RedisConnectError::InvalidUrl { .. }));
        assert!(!format!("{refused:?}{refused}").contains(secret));
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://user:{secret}@{}", nobody.local_addr().unwrap());
    let builder = RedisStore::builder(&url).time_limit(LIMIT);
    assert!(!format!("{builder:?}").contains(secret));
    let refused = builder.connect().await.unwrap_err();
    assert!(matches!(refused, RedisConnectError::Failed { .. }));
    assert!(!format!("{refused:?}{refused}").contains(secret));
    let none: [&str; 0] = [];
    let refused = RedisStore::connect_cluster(none).await.unwrap_err();
    assert!(matches!(refused, RedisConnectError::InvalidUrl { .. }));
}

/// What is logged meanwhile.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// As long as the guard lives.
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_max_level(tracing::Level::DEBUG)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn connect_warns_of_a_redis_that_loses_data_and_is_silent_of_one_that_does_not() {
    let Some(()) = available() else { return };
    let evicts = ["--maxmemory-policy", "allkeys-lru"];
    let logged = async |arguments: &[&str]| {
        let own = Own::start(arguments);
        let (log, _here) = Log::begin();
        connect(&own.url()).await;
        log.text()
    };
    let said = logged(&[]).await;
    assert!(
        said.contains("WARN") && said.contains("appendonly no"),
        "{said}"
    );
    let said = logged(&["--appendonly", "yes"]).await;
    assert!(
        said.contains("WARN") && said.contains("appendfsync"),
        "{said}"
    );
    let said = logged(&[DURABLE.as_slice(), &evicts].concat()).await;
    assert!(
        said.contains("WARN") && said.contains("maxmemory-policy"),
        "{said}"
    );
    let said = logged(&DURABLE).await;
    assert!(!said.contains("WARN"), "{said}");
}

/// Makes a user who has the rights that the documentation names, and these.
fn let_in(url: &str, prefix: &str, more: &str) {
    let rights = "+get +getrange +set +del +pttl +time +publish +subscribe +zadd +zrem +zrangebylex +zremrangebylex \
        +eval +evalsha +scan +ping +hello";
    let places = [format!("~{prefix}:*"), format!("&{prefix}:dead")];
    let mut words: Vec<&[u8]> = vec![b"ACL", b"SETUSER", b"oauth", b"on", b">secret", b"-@all"];
    words.extend(places.iter().map(String::as_bytes));
    let all = rights.split_whitespace().chain(more.split_whitespace());
    words.extend(all.map(str::as_bytes));
    say::<()>(&mut administrator(url), &words);
}

#[tokio::test]
async fn a_user_with_the_rights_that_are_documented_can_do_everything() {
    let Some(()) = available() else { return };
    let prefix = server::prefix();
    let own = Own::start(&[]);
    let_in(&own.url(), &prefix, "");
    let url = format!("{}?user=oauth&pass=secret", own.url());
    let builder = RedisStore::builder(url).prefix(&prefix);
    let (log, logging) = Log::begin();
    let store = builder.connect().await.unwrap();
    let said = log.text();
    assert!(!said.contains("WARN"), "{said}");
    assert!(said.contains("does not say how it keeps"), "{said}");
    drop(logging);
    let mut cursor = lost(&store, None).await;
    let read = inserted(&store, 0).await;
    let mut dead = record("2");
    dead.announce = true;
    store.replace(key(0), read, dead).await.unwrap();
    assert_eq!(told(&store, &mut cursor).await, [key(0)]);
    let listing = Listing {
        kind: Kind::Grant,
        owner: owner(),
        after: None,
        limit: 7,
    };
    assert_eq!(store.list(listing).await.unwrap().digests, [key(0).digest]);
    store.purge(now(), 1000).await.unwrap();
    assert!(store.remove(key(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_cluster_that_moves_a_slot_is_followed() {
    let Some(()) = available() else { return };
    let cluster = Cluster::start();
    let prefix = server::prefix();
    let builder = RedisStore::cluster_builder(cluster.urls()).prefix(&prefix);
    let store = builder.connect().await.unwrap();
    let mut bare = record("1");
    bare.owners.clear();
    let mut nodes: Vec<_> = cluster
        .urls()
        .iter()
        .map(|url| administrator(url))
        .collect();
    let ids: Vec<String> = nodes
        .iter_mut()
        .map(|node| say(node, &[b"CLUSTER", b"MYID"]))
        .collect();
    // A key that does not exist yet in a slot that is on its way from the first node to the second: the first says ASK.
    let slot_of = |node: &mut redis::Connection, number: u64| -> u16 {
        let place = place(&prefix, "grant", key(number).digest);
        say(node, &[b"CLUSTER", b"KEYSLOT", &place])
    };
    let number = (0..)
        .find(|number| slot_of(&mut nodes[0], *number) <= 5460)
        .unwrap();
    let slot = slot_of(&mut nodes[0], number).to_string();
    let slot = slot.as_bytes();
    say::<()>(
        &mut nodes[1],
        &[
            b"CLUSTER",
            b"SETSLOT",
            slot,
            b"IMPORTING",
            ids[0].as_bytes(),
        ],
    );
    say::<()>(
        &mut nodes[0],
        &[
            b"CLUSTER",
            b"SETSLOT",
            slot,
            b"MIGRATING",
            ids[1].as_bytes(),
        ],
    );
    let done = store
        .insert(key(number), bare.clone(), now())
        .await
        .unwrap();
    assert!(matches!(done, Insert::Inserted(_)));
    assert!(stands(&store, number).await);
    // And now it has moved: the first says MOVED.
    for node in [1, 0, 2] {
        say::<()>(
            &mut nodes[node],
            &[b"CLUSTER", b"SETSLOT", slot, b"NODE", ids[1].as_bytes()],
        );
    }
    assert!(stands(&store, number).await);
    assert!(store.remove(key(number)).await.unwrap().is_some());
    assert!(!stands(&store, number).await);
}

#[tokio::test]
async fn a_cluster_tells_deaths_of_all_its_nodes_once() {
    let Some(()) = available() else { return };
    let cluster = Cluster::start();
    let prefix = server::prefix();
    for url in cluster.urls() {
        let_in(&url, &prefix, "+cluster|slots +asking");
    }
    let urls = cluster.urls();
    let urls = urls.iter().map(|url| url.replace("//", "//oauth:secret@"));
    let builder = RedisStore::cluster_builder(urls).prefix(prefix);
    let [one, other] = [
        builder.clone().connect().await.unwrap(),
        builder.connect().await.unwrap(),
    ];
    let mut cursor = lost(&one, None).await;
    for number in 0..100 {
        inserted(&other, number).await;
        other.remove(key(number)).await.unwrap();
    }
    let mut dead = Vec::new();
    while dead.len() < 100 {
        let told = soon("what the feed tells", one.changes(Some(cursor))).await;
        match told.unwrap() {
            Changes::Events { dead: more, next } => {
                dead.extend(more);
                cursor = next;
            }
            other => panic!("{other:?}"),
        }
    }
    dead.sort_unstable();
    let mut all: Vec<_> = (0..100).map(key).collect();
    all.sort_unstable();
    assert_eq!(dead, all);
    // Whatever is told twice would come before this.
    inserted(&other, 100).await;
    other.remove(key(100)).await.unwrap();
    assert_eq!(told(&one, &mut cursor).await, [key(100)]);
}
