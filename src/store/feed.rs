//! The feed of deaths, as this process has heard of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

use super::{Changes, Cursor, Key, StoreError};

/// How many deaths are remembered; who falls further behind is told `Lost`.
const REMEMBERED: usize = 4096;

/// The last deaths, numbered without a gap, and who waits for the next.
#[derive(Debug)]
pub(super) struct Feed {
    dead: Mutex<VecDeque<Key>>,
    last: watch::Sender<Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    /// The number of the last death.
    until: u64,
    heard: Heard,
}

#[derive(Debug, Clone, Copy)]
enum Heard {
    Yes,
    /// Whoever asks waits for the beginning.
    #[cfg(feature = "postgres")]
    NotYet,
    /// Whoever asks gets this error.
    No(&'static str),
}

impl Feed {
    /// A feed whose first death has the number behind this one.
    pub(super) fn starting_at(number: u64) -> Self {
        Self::new(number, Heard::Yes)
    }

    /// A feed that has to [`begin`](Self::begin) before anything can be said.
    #[cfg(feature = "postgres")]
    pub(super) fn not_begun() -> Self {
        Self::new(0, Heard::NotYet)
    }

    fn new(until: u64, heard: Heard) -> Self {
        Self {
            dead: Mutex::default(),
            last: watch::Sender::new(Told { until, heard }),
        }
    }

    /// Begins, or begins again where some may have been missed: everybody is told `Lost`. The number is that of no cursor of an
    /// earlier life.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(super) fn begin(&self, number: u64) -> Result<(), StoreError> {
        let mut dead = self.lock()?;
        dead.clear();
        self.last.send_modify(|last| {
            last.until = number.max(last.until.wrapping_add(1));
            last.heard = Heard::Yes;
        });
        Ok(())
    }

    /// Tells everybody who waits. What has died must be dead already.
    pub(super) fn announce(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), StoreError> {
        let mut dead = self.lock()?;
        let mut told = 0;
        for key in keys {
            if dead.len() == REMEMBERED {
                dead.pop_front();
            }
            dead.push_back(key);
            told += 1;
        }
        self.last.send_if_modified(|last| {
            last.until = last.until.wrapping_add(told);
            told > 0
        });
        Ok(())
    }

    /// Nothing is heard any more: whoever waits, and whoever asks from now on, gets an error.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres", feature = "redis")),
        expect(dead_code, reason = "the memory store has nobody who could go away")
    )]
    pub(super) fn close(&self, because: &'static str) {
        self.last
            .send_modify(|last| last.heard = Heard::No(because));
    }

    /// Waits until deaths are heard.
    #[cfg(feature = "redis")]
    pub(super) async fn opened(&self) {
        let mut watching = self.last.subscribe();
        // It can fail only once the feed is gone.
        let _ = watching
            .wait_for(|last| matches!(last.heard, Heard::Yes))
            .await;
    }

    /// Waits for what follows the cursor.
    pub(super) async fn changes(&self, after: Option<Cursor>) -> Result<Changes, StoreError> {
        let mut watching = self.last.subscribe();
        let known = after.map(Cursor::number);
        let news = watching.wait_for(|last| match last.heard {
            // A cursor of the future is one of another life of the store: nothing is known about what it has seen.
            Heard::Yes => Some(last.until) != known,
            Heard::No(_) => true,
            #[cfg(feature = "postgres")]
            Heard::NotYet => false,
        });
        drop(news.await.map_err(StoreError::new)?);

        let dead = self.lock()?;
        let Told { until: last, heard } = *self.last.borrow();
        match heard {
            Heard::Yes => {}
            Heard::No(because) => return Err(StoreError::new(because)),
            #[cfg(feature = "postgres")]
            Heard::NotYet => return Err(StoreError::new("the feed has not begun")),
        }
        let next = Cursor::new(last);
        let missed = known
            .and_then(|known| last.checked_sub(known))
            .and_then(|missed| usize::try_from(missed).ok());
        match missed {
            Some(missed) if missed <= dead.len() => Ok(Changes::Events {
                dead: dead.iter().skip(dead.len() - missed).copied().collect(),
                next,
            }),
            _ => Ok(Changes::Lost { next }),
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, VecDeque<Key>>, StoreError> {
        self.dead
            .lock()
            .map_err(|_| StoreError::new("a thread panicked while it held the feed"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Feed, REMEMBERED};
    use crate::store::{Changes, Cursor, Key, Kind};
    use crate::types::Digest;

    fn key(number: usize) -> Key {
        Key::new(Kind::Grant, Digest::of("feed", &number.to_be_bytes()))
    }

    #[tokio::test]
    async fn the_feed_remembers_so_many_deaths_and_not_one_more() {
        let feed = Feed::starting_at(7);
        feed.announce((0..REMEMBERED).map(key)).unwrap();
        let next = Cursor::new(7 + REMEMBERED as u64);
        assert_eq!(
            feed.changes(Some(Cursor::new(7))).await.unwrap(),
            Changes::Events {
                dead: (0..REMEMBERED).map(key).collect(),
                next
            }
        );
        feed.announce([key(REMEMBERED)]).unwrap();
        let next = Cursor::new(next.number() + 1);
        assert_eq!(
            feed.changes(Some(Cursor::new(7))).await.unwrap(),
            Changes::Lost { next }
        );
        assert_eq!(
            feed.changes(Some(Cursor::new(next.number() - 1)))
                .await
                .unwrap(),
            Changes::Events {
                dead: vec![key(REMEMBERED)],
                next
            }
        );
    }

    #[tokio::test]
    async fn a_cursor_of_another_life_of_the_store_is_told_that_it_lost_some() {
        let feed = Feed::starting_at(7);
        let lost = Changes::Lost {
            next: Cursor::new(7),
        };
        assert_eq!(feed.changes(None).await.unwrap(), lost);
        assert_eq!(feed.changes(Some(Cursor::new(6))).await.unwrap(), lost);
        assert_eq!(feed.changes(Some(Cursor::new(8))).await.unwrap(), lost);
    }
}
