//! The clock of a computer that is set wrong.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tower_oauth::types::{Clock, SystemClock, Timestamp};

/// Ahead of the computer's clock by so many seconds, or behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OffBy(pub(crate) i64);

impl Clock for OffBy {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now().as_secs();
        Timestamp::from_secs(now.saturating_add_signed(self.0))
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        SystemClock.sleep(time)
    }
}
