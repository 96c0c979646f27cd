//! A node is killed at each write of each flow, before or after it was done, and another one goes on with what the database holds.
//!
//! `ARCHITECTURE.md` ("Flow by flow") says what must be so: nothing is used twice, nothing that was answered is lost, and the client can
//! go on, or gets the RFC's error. `tests/it/crash.rs` says the same of servers that die in one process.

use crate::answer::Answer;
use crate::node::Node;
use crate::place::{PATIENT, Place};
use crate::proxy::{Network, Proxy};
use crate::redis_own::Own;
use crate::redis_server::available;
use crate::struck::{Point, When};

/// Kills nodes at each write of a flow in turn, and looks at what the next node makes of the rest. Each time another person takes part.
/// Says how many writes there are.
async fn at_each_write<G>(
    place: &Place,
    given: impl AsyncFn(&Node, &str) -> G,
    flow: impl AsyncFn(&Node, &str, &G) -> Answer,
    afterwards: impl AsyncFn(&Node, &str, &G, Point),
) -> usize {
    let mut node = Node::start(place).await;
    for write in 0.. {
        for when in [When::Before, When::After] {
            let point = Point { write, when };
            let person = format!("person-{write}-{when:?}");
            let given = given(&node, &person).await;
            node.strike(point).await;
            tokio::select! {
                answer = flow(&node, &person, &given) => {
                    assert!(!answer.is_unavailable(), "{answer:?}");
                    return write;
                }
                () = node.struck() => {}
            }
            node.kill().await;
            node = Node::start(place).await;
            afterwards(&node, &person, &given, point).await;
        }
    }
    unreachable!("a flow has an end")
}

#[tokio::test]
async fn s04_a_code_gives_tokens_at_most_once_wherever_a_node_is_killed() {
    for place in Place::each() {
        let writes = at_each_write(
            &place,
            async |node, person| node.code(person).await,
            async |node, _, code| node.redeem(code).await,
            async |node, person, code, point| {
                let again = node.redeem(code).await;
                if point.has_done(0) {
                    // What the first node had written, nobody was given: the code is lost, and no grant of it stays alive.
                    again.error(400, "invalid_grant");
                    assert_eq!(node.grants(person).await, 0, "{point:?}");
                } else {
                    let access = again.ok().member("access_token");
                    assert_eq!(node.api(&access).await.status, 200, "{point:?}");
                    node.redeem(code).await.error(400, "invalid_grant");
                    assert_eq!(node.api(&access).await.status, 401, "a replay ends it");
                }
                node.tokens(person).await; // the client begins again
                assert_eq!(node.grants(person).await, 1, "{point:?}");
            },
        )
        .await;
        assert_eq!(writes, 3, "code, grant, token; {}", place.store);
    }
}

#[tokio::test]
async fn s05_a_refresh_is_made_up_for_with_the_same_successor_wherever_a_node_is_killed() {
    for place in Place::each() {
        let writes = at_each_write(
            &place,
            async |node, person| node.tokens(person).await,
            async |node, _, tokens| node.refresh(&tokens.member("refresh_token")).await,
            async |node, _, tokens, point| {
                let old = tokens.member("refresh_token");
                let first = node.refresh(&old).await.ok();
                let second = node.refresh(&old).await.ok();
                let successor = first.member("refresh_token");
                assert_eq!(successor, second.member("refresh_token"), "{point:?}");
                for answer in [tokens, &first, &second] {
                    let access = answer.member("access_token");
                    assert!(node.is_active(&access).await, "{point:?}");
                    assert_eq!(node.api(&access).await.status, 200, "{point:?}");
                }
                let next = node.refresh(&successor).await.ok();
                // Now the old one is two generations back, and nobody's honest retry.
                node.refresh(&old).await.error(400, "invalid_grant");
                assert!(!node.is_active(&next.member("access_token")).await);
            },
        )
        .await;
        assert_eq!(writes, 2, "grant, token; {}", place.store);
    }
}

#[tokio::test]
async fn s04_a_device_code_gives_tokens_at_most_once_wherever_a_node_is_killed() {
    for place in Place::each() {
        let writes = at_each_write(
            &place,
            async |node, person| node.approved_device(person).await,
            async |node, _, device_code| node.poll(device_code).await,
            async |node, person, device_code, point| {
                let again = node.poll(device_code).await;
                if point.has_done(0) {
                    again.error(400, "invalid_grant");
                } else {
                    again.ok();
                    node.poll(device_code).await.error(400, "invalid_grant");
                }
                let next = node.approved_device(person).await; // the device begins again
                node.poll(&next).await.ok();
            },
        )
        .await;
        assert_eq!(writes, 3, "device, grant, token; {}", place.store);
    }
}

#[tokio::test]
async fn a_device_that_was_told_no_code_asks_again_wherever_a_node_is_killed() {
    for place in Place::each() {
        let writes = at_each_write(
            &place,
            async |node, _| drop(node.device().await.ok()), // the server's key is there from then on
            async |node, _, ()| node.device().await,
            async |node, person, (), _| {
                let device_code = node.approved_device(person).await;
                node.poll(&device_code).await.ok();
            },
        )
        .await;
        assert_eq!(writes, 2, "user code, device; {}", place.store);
    }
}

#[tokio::test]
async fn s04_a_yes_on_the_page_gives_one_code_at_most_wherever_a_node_is_killed() {
    for place in Place::each() {
        let writes = at_each_write(
            &place,
            async |node, person| node.authorize(person).await,
            async |node, person, page| node.decide(page, person, "allow").await,
            async |node, person, page, _| {
                // Nothing was sent. Whatever code was made of the first click has ended: the one of the second is good, and no third.
                let again = node.decide(page, person, "allow").await;
                node.redeem(&again.parameter("code")).await.ok();
                node.decide(page, person, "allow").await.page(400);
                node.tokens(person).await;
            },
        )
        .await;
        assert_eq!(writes, 3, "interaction, code, consent; {}", place.store);
    }
}

#[tokio::test]
async fn s07_a_decision_about_a_device_is_final_or_was_never_there_wherever_a_node_is_killed() {
    for place in Place::each() {
        let writes = at_each_write(
            &place,
            async |node, person| {
                let told = node.device().await.ok();
                let page = node.enter(&told.member("user_code"), person).await;
                (told.member("device_code"), page)
            },
            async |node, person, (_, page)| node.decide(page, person, "allow").await,
            async |node, person, (device_code, page), point| {
                let done = node.decide(page, person, "deny").await;
                let told = node.poll(device_code).await;
                if point.has_done(0) {
                    done.page(400);
                    told.ok();
                } else {
                    done.page(200);
                    told.error(400, "access_denied");
                }
            },
        )
        .await;
        assert_eq!(writes, 2, "the device, the request; {}", place.store);
    }
}

#[tokio::test]
async fn s06_a_revocation_is_answered_with_200_only_when_it_is_done_wherever_a_node_is_killed() {
    for place in Place::each() {
        let writes = at_each_write(
            &place,
            async |node, _| node.for_itself().await.ok().member("access_token"),
            async |node, _, token| node.revoke(token).await,
            async |node, _, token, point| {
                assert_eq!(node.is_active(token).await, !point.has_done(0), "{point:?}");
                node.revoke(token).await.ok();
                assert_eq!(node.api(token).await.status, 401, "{point:?}");
            },
        )
        .await;
        assert_eq!(writes, 1, "the token; {}", place.store);
    }
}

/// In Redis a grant takes three scripts: its owners' indexes are written first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s04_a_code_in_redis_gives_tokens_at_most_once_whichever_script_is_the_last() {
    let Some(()) = available() else { return };
    let server = Own::start(&["--save", ""]);
    let proxy = Proxy::to(server.socket()).await;
    let direct = Place::redis(&server.url(), PATIENT);
    let proxied = direct.at(format!("redis://127.0.0.1:{}", proxy.port()));
    let first = Node::start(&direct).await;
    first.tokens("nobody").await; // from then on Redis knows the scripts
    for script in 0.. {
        let node = Node::start(&proxied).await;
        let person = format!("person-{script}");
        let code = node.code(&person).await;
        proxy.becomes(Network::HoldsScript(script));
        tokio::select! {
            answer = node.redeem(&code) => {
                answer.ok();
                assert!(script >= 4, "code, an index or two, grant, token");
                return;
            }
            () = proxy.holds() => {}
        }
        node.kill().await;
        proxy.becomes(Network::Forwards);
        let again = first.redeem(&code).await;
        let is_lost = script > 0;
        if is_lost {
            again.error(400, "invalid_grant");
            assert_eq!(first.grants(&person).await, 0, "{script}");
        } else {
            again.ok();
        }
        first.tokens(&person).await;
        let alive = if is_lost { 1 } else { 2 };
        assert_eq!(first.grants(&person).await, alive, "{script}");
    }
}
