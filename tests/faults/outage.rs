//! A database is stopped, paused, restarted and killed while fifty clients ask.

use sqlx::{Connection as _, PgConnection};
use tokio::task::block_in_place;

use crate::load::{LIMIT, Load};
use crate::place::{CONNECTIONS, Place};
use crate::postgres_server::Server;
use crate::redis_own::Own;
use crate::redis_server::available;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_fails_under_load_is_503_in_time_and_never_a_wrong_verdict() {
    let Some(mut server) = Server::start(&["fsync=off"]) else {
        return;
    };
    let mut load = Load::begin(&Place::postgres(&server.url(), LIMIT)).await;
    load.each_goes_on().await;
    for (fails, recovers) in [("pause", "go"), ("stop", "start")] {
        block_in_place(|| server.order(fails));
        load.each_is_told_to_come_again().await;
        block_in_place(|| server.order(recovers));
        load.each_goes_on().await;
        few_connections_are_left(&server.url()).await;
    }
    block_in_place(|| server.order("restart"));
    load.each_goes_on().await;
    few_connections_are_left(&server.url()).await;
    load.end().await;
}

/// Whoever has given up waits for nothing at the server any more, soon at least.
async fn few_connections_are_left(url: &str) {
    let mut administrator = PgConnection::connect(url).await.unwrap();
    let few = async {
        loop {
            let count = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            );
            let count: i64 = count.fetch_one(&mut administrator).await.unwrap();
            if count <= i64::from(CONNECTIONS) + 1 {
                break;
            }
        }
    };
    let few = tokio::time::timeout(3 * LIMIT, few).await;
    few.expect("the node has more connections than it was told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_fails_under_load_is_503_in_time_and_never_a_wrong_verdict() {
    let Some(()) = available() else { return };
    let mut server = Own::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut load = Load::begin(&Place::redis(&server.url(), LIMIT)).await;
    load.each_goes_on().await;
    block_in_place(|| server.signal("STOP"));
    load.each_is_told_to_come_again().await;
    block_in_place(|| server.signal("CONT"));
    load.each_goes_on().await;
    block_in_place(|| server.kill());
    load.each_is_told_to_come_again().await;
    block_in_place(|| server.start_again());
    load.each_goes_on().await;
    load.end().await;
}
