//! Fifty clients that ask a node without a pause, and look at each answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::node::Node;
use crate::place::Place;

const CLIENTS: usize = 50;

/// How long a step of the store may take here.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);
/// How much longer a busy machine may.
const BUSY: Duration = Duration::from_secs(5);
/// How long it may take until everybody has met an outage: at the latest, when the feed has noticed it too (two seconds and the
/// limit), what was known is dropped.
const NOTICED: Duration = Duration::from_secs(30);

/// A node, and who asks it.
pub(crate) struct Load {
    clients: Arc<Clients>,
    asking: JoinSet<()>,
}

struct Clients {
    node: Node,
    /// Nobody takes this token back.
    live: String,
    told: Vec<Told>,
    news: Notify,
    is_over: AtomicBool,
}

/// What a client was told, and how often.
#[derive(Default)]
struct Told {
    good: AtomicUsize,
    unavailable: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Good,
    /// 503 with `Retry-After`.
    Unavailable,
}

impl Load {
    /// Starts a node and fifty clients.
    pub(crate) async fn begin(place: &Place) -> Self {
        let node = Node::start(place).await;
        let live = node.for_itself().await.ok().member("access_token");
        let clients = Arc::new(Clients {
            node,
            live,
            told: (0..CLIENTS).map(|_| Told::default()).collect(),
            news: Notify::new(),
            is_over: AtomicBool::new(false),
        });
        let mut asking = JoinSet::new();
        for number in 0..CLIENTS {
            let clients = Arc::clone(&clients);
            asking.spawn(async move { clients.ask_again_and_again(number).await });
        }
        Self { clients, asking }
    }

    /// Waits until each client has met the outage.
    pub(crate) async fn each_is_told_to_come_again(&mut self) {
        self.each(NOTICED, |told| &told.unavailable).await;
    }

    /// Waits until each client gets what it wants: within the time of a step, since nothing is waited for that is past.
    pub(crate) async fn each_goes_on(&mut self) {
        self.each(LIMIT + BUSY, |told| &told.good).await;
    }

    /// Waits until each client has counted one more of these than now.
    async fn each(&mut self, within: Duration, counted: fn(&Told) -> &AtomicUsize) {
        let told = &self.clients.told;
        let count = |told| counted(told).load(Ordering::SeqCst);
        let before: Vec<_> = told.iter().map(count).collect();
        let all = async {
            loop {
                let news = self.clients.news.notified();
                if told.iter().map(count).zip(&before).all(|(n, &was)| n > was) {
                    break;
                }
                news.await;
            }
        };
        tokio::select! {
            in_time = timeout(within, all) => in_time.expect("not all clients have got so far"),
            // Only who has found something wrong ends before.
            Some(ended) = self.asking.join_next() => ended.unwrap(),
        }
    }

    /// Lets the clients end, and looks whether each has found all as it should be. The node still runs.
    pub(crate) async fn end(self) {
        self.clients.is_over.store(true, Ordering::SeqCst);
        self.asking.join_all().await;
        self.clients.node.for_itself().await.ok();
    }
}

impl Clients {
    async fn ask_again_and_again(&self, number: usize) {
        let told = self.told.get(number).unwrap();
        while !self.is_over.load(Ordering::SeqCst) {
            let outcome = match number % 4 {
                0 => self.token().await.0,
                1 => self.introspection(&self.live, true).await,
                2 => self.api(&self.live, 200).await,
                _ => self.revocation().await,
            };
            let count = match outcome {
                Outcome::Good => &told.good,
                Outcome::Unavailable => &told.unavailable,
            };
            count.fetch_add(1, Ordering::SeqCst);
            self.news.notify_waiters();
        }
    }

    /// A token of its own.
    async fn token(&self) -> (Outcome, Option<String>) {
        let answer = in_time(self.node.for_itself()).await;
        match answer.is_unavailable() {
            true => (Outcome::Unavailable, None),
            false => (Outcome::Good, Some(answer.ok().member("access_token"))),
        }
    }

    async fn introspection(&self, token: &str, active: bool) -> Outcome {
        let answer = in_time(self.node.introspect(token)).await;
        if answer.is_unavailable() {
            return Outcome::Unavailable;
        }
        let said = answer.clone().ok().json();
        assert_eq!(said.get("active"), Some(&Value::Bool(active)), "{answer:?}");
        Outcome::Good
    }

    async fn api(&self, token: &str, status: u16) -> Outcome {
        let answer = in_time(self.node.api(token)).await;
        if answer.is_unavailable() {
            return Outcome::Unavailable;
        }
        assert_eq!(answer.status, status, "{answer:?}");
        Outcome::Good
    }

    /// A token that is used and taken back; from the answer to that on it opens nothing.
    async fn revocation(&self) -> Outcome {
        let (_, Some(token)) = self.token().await else {
            return Outcome::Unavailable;
        };
        // Or nobody can say just now.
        self.api(&token, 200).await;
        let answer = in_time(self.node.revoke(&token)).await;
        if answer.is_unavailable() {
            return Outcome::Unavailable; // whether it was done nobody knows
        }
        answer.ok();
        let api = self.api(&token, 401).await;
        let introspection = self.introspection(&token, false).await;
        match api {
            Outcome::Good => introspection,
            Outcome::Unavailable => api,
        }
    }
}

/// An answer comes within the time of a step of the store, whatever has become of the database.
async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    let answer = timeout(LIMIT + BUSY, answer).await;
    answer.expect("it is answered in bounded time")
}
