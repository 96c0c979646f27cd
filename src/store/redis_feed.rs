//! Hears of deaths that are published in Redis, and tells the feed.
//!
//! In a cluster every primary is listened to, not only one to which the others pass on what they publish: what they pass on they lose in
//! silence when the way between two of them is cut. So most deaths are heard more than once, and told once.

use std::collections::{HashSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisError, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::StoreError;
use super::feed::Feed;
use super::redis_link::{Link, Node};
use super::redis_record::death;

/// How often Redis is asked whether it is still there, and a cluster which primaries it has.
const BEAT: Duration = Duration::from_secs(1);
/// How long to wait before it is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// How many deaths are remembered, to be told once.
const REMEMBERED: usize = 4096;

/// What whoever waits is told meanwhile.
pub(super) const SILENT: &str = "Redis cannot be listened to, so deaths may be missed";
const GONE: &str = "the runtime in which the store listened is gone";

/// What one store listens with.
pub(super) struct Listener {
    pub(super) link: Arc<Link>,
    pub(super) feed: Arc<Feed>,
    pub(super) channel: String,
}

impl Listener {
    /// Listens until the store is dropped.
    pub(super) async fn run(self, mut alive: watch::Receiver<()>) {
        tokio::select! {
            () = self.listen() => {}
            _ = alive.changed() => {} // never changes: it ends when the store is dropped
        }
    }

    async fn listen(&self) {
        loop {
            // Of all nodes together: until it is known that nobody is heard, what is cached may become stale.
            let subscribed = timeout(self.link.limit(), self.subscribe()).await;
            let subscribed = subscribed.map_err(StoreError::new);
            let ended = match subscribed.and_then(|made| made.map_err(StoreError::new)) {
                Ok(subscribed) => {
                    let ended = self.hear(subscribed).await;
                    // At once, and again when it is heard of anew: what is cached in between may become stale as well.
                    let lost = self.feed.begin(0);
                    lost.and(ended)
                }
                Err(error) => {
                    self.feed.close(SILENT);
                    Err(error)
                }
            };
            if let Err(error) = ended {
                tracing::warn!(cause = ?error, "Redis cannot be listened to; it is tried again");
            }
            let _ = timeout(AGAIN, pending::<()>()).await;
        }
    }

    async fn subscribe(&self) -> Result<Subscribed, RedisError> {
        let (tell, told) = mpsc::unbounded_channel();
        let nodes = self.link.nodes().await?;
        let mut connections = Vec::new();
        for node in &nodes {
            let connection = self.link.subscribe(node, &self.channel, tell.clone());
            connections.push(connection.await?);
        }
        Ok(Subscribed {
            nodes,
            connections,
            told,
        })
    }

    /// Tells what is heard, until something is in doubt.
    async fn hear(&self, mut subscribed: Subscribed) -> Result<(), StoreError> {
        self.feed.begin(0)?;
        let mut known = Known::default();
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                heard = subscribed.told.recv() => match heard {
                    Some(push) if push.kind == PushKind::Message => match death_in(&push) {
                        Some((number, key)) if known.is_new(number) => self.feed.announce([key])?,
                        Some(_) => {}
                        // Of a newer version of this crate, or of a stranger: what has died is not known.
                        None => self.feed.begin(0)?,
                    },
                    Some(push) if push.kind == PushKind::Disconnection => {
                        return Err(StoreError::new("a connection has ended"));
                    }
                    Some(_) => {}
                    None => return Err(StoreError::new("the connections have ended")),
                },
                _ = beat.tick() => self.look(&mut subscribed).await?,
            }
        }
    }

    /// Asks whether everybody is there, and whether these are all.
    async fn look(&self, subscribed: &mut Subscribed) -> Result<(), StoreError> {
        for connection in &mut subscribed.connections {
            let command = redis::cmd("PING");
            let asked = command.query_async::<Value>(connection);
            let answer = timeout(self.link.limit(), asked).await;
            answer.map_err(StoreError::new)?.map_err(StoreError::new)?;
        }
        if self.link.nodes().await.map_err(StoreError::new)? != subscribed.nodes {
            return Err(StoreError::new("the cluster has other primaries"));
        }
        Ok(())
    }
}

/// Whoever caches must not wait for news that nobody will bring: not even where the task was never begun.
impl Drop for Listener {
    fn drop(&mut self) {
        self.feed.close(GONE);
    }
}

struct Subscribed {
    nodes: Vec<Node>,
    connections: Vec<MultiplexedConnection>,
    told: mpsc::UnboundedReceiver<PushInfo>,
}

/// The numbers of the last deaths.
#[derive(Default)]
struct Known {
    numbers: HashSet<u64>,
    in_order: VecDeque<u64>,
}

impl Known {
    fn is_new(&mut self, number: u64) -> bool {
        if !self.numbers.insert(number) {
            return false;
        }
        self.in_order.push_back(number);
        if self.in_order.len() > REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.numbers.remove(&oldest);
        }
        true
    }
}

/// The death that a message tells of: its channel, then what was published.
fn death_in(push: &PushInfo) -> Option<(u64, super::Key)> {
    match push.data.as_slice() {
        [_, Value::BulkString(message)] => death(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, REMEMBERED};

    #[test]
    fn a_death_is_new_once_and_the_memory_of_them_is_bounded() {
        let mut known = Known::default();
        let numbers = 0..REMEMBERED as u64 + 9;
        assert!(numbers.clone().all(|number| known.is_new(number)));
        assert!(numbers.skip(9).all(|number| !known.is_new(number)));
        assert_eq!(known.numbers.len(), REMEMBERED);
    }
}
