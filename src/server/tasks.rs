//! What goes on in the background: forgetting what has expired, and hearing what died at other nodes.
//!
//! Both start at the first request, hold nothing that keeps the server alive, and end with its last clone. One that ends before, with
//! its runtime or by a panic of the store, is started again by the next request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::Inner;
use crate::store::{Changes, Records};

/// How often expired records are looked for, and how many are forgotten at once.
const PURGE: (Duration, u32) = (Duration::from_secs(60), 1000);

/// How often that in a row. What is left then is looked for after this pause: records may come faster than so many a minute, and
/// whoever serves requests is to have the store in between.
const IN_A_ROW: (u32, Duration) = (100, Duration::from_secs(1));

/// However short a staleness a store without a feed promises, the processor gets some rest.
const SHORTEST: Duration = Duration::from_millis(50);

/// How long to wait after a feed that failed, and so for how long anything is believed meanwhile: the stores' documentation says so.
const AGAIN: Duration = Duration::from_secs(1);

/// Which of them there are.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    purge: AtomicBool,
    listen: AtomicBool,
}

/// Starts those that there are not, as soon as there is a runtime.
pub(crate) fn start(server: &Arc<Inner>) {
    let Tasks { purge, listen } = &server.tasks;
    if purge.load(Ordering::Relaxed) && listen.load(Ordering::Relaxed) {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    if !purge.swap(true, Ordering::AcqRel) {
        let end = End(Arc::downgrade(server), |server| &server.tasks.purge);
        let task = self::purge(Arc::downgrade(server));
        runtime.spawn(until_dropped(server.alive.subscribe(), task, end));
    }
    if !listen.swap(true, Ordering::AcqRel) {
        let end = End(Arc::downgrade(server), |server| {
            // Nobody hears any more: whatever is believed may be dead.
            server.flags.raise_all();
            &server.tasks.listen
        });
        let task = self::listen(Arc::downgrade(server), server.records.clone());
        runtime.spawn(until_dropped(server.alive.subscribe(), task, end));
    }
}

/// When a task ends, however it ends, the next request starts another. Made before the task is: a runtime that is about to end drops it
/// before it has begun.
struct End(Weak<Inner>, fn(&Inner) -> &AtomicBool);

impl Drop for End {
    fn drop(&mut self) {
        if let Some(server) = self.0.upgrade() {
            (self.1)(&server).store(false, Ordering::Release);
        }
    }
}

async fn until_dropped(
    mut alive: watch::Receiver<()>,
    task: impl Future<Output = ()> + Send,
    end: End,
) {
    tokio::select! {
        () = task => {}
        _ = alive.changed() => {} // never changes: it ends when the server is dropped
    }
    drop(end);
}

async fn purge(server: Weak<Inner>) {
    let (pause, behind) = (PURGE.0, IN_A_ROW.1);
    let mut next = pause;
    while let Some(sleep) = server.upgrade().map(|server| server.sleep(next)) {
        sleep.await;
        next = if is_more_left(&server).await {
            behind
        } else {
            pause
        };
    }
}

/// Forgets what has expired, as much as is forgotten in a row.
async fn is_more_left(server: &Weak<Inner>) -> bool {
    for _ in 0..IN_A_ROW.0 {
        let Some(server) = server.upgrade() else {
            return false;
        };
        match server.records.purge(server.now(), PURGE.1).await {
            Ok(forgotten) if forgotten == PURGE.1 => tokio::task::yield_now().await,
            Ok(_) => return false,
            Err(error) => {
                tracing::error!(cause = %error, "expired records could not be forgotten");
                return false;
            }
        }
    }
    true
}

async fn listen(server: Weak<Inner>, records: Records) {
    let mut cursor = None;
    loop {
        let changes = records.changes(cursor).await;
        let Some(server) = server.upgrade() else {
            return;
        };
        match changes {
            Ok(Changes::Events { dead, next }) => {
                dead.into_iter().for_each(|key| server.flags.raise(key));
                cursor = Some(next);
            }
            Ok(Changes::Lost { next }) => {
                server.flags.raise_all();
                cursor = Some(next);
            }
            // Without a feed, what is cached is dropped as often as the store asks.
            Ok(Changes::Unsupported { staleness }) => {
                server.flags.raise_all();
                let sleep = server.sleep(staleness.max(SHORTEST));
                drop(server);
                sleep.await;
            }
            Err(error) => {
                tracing::error!(cause = %error, "the feed of the store failed");
                server.flags.raise_all();
                let sleep = server.sleep(AGAIN);
                drop(server);
                sleep.await;
            }
        }
    }
}
