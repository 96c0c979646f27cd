//! Waits that come to an end: each has a name, which a test that waited in vain is told, and a minute of the computer's time.
//!
//! Included by `#[path = "../support/waits.rs"] mod waits;`. Not for tests whose time is paused: there a minute is over at once.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What comes of it.
#[track_caller]
pub(crate) fn soon<F: Future>(what: &str, comes: F) -> impl Future<Output = F::Output> {
    let place = Location::caller();
    async move {
        // Where there is no runtime nobody waits.
        if Handle::try_current().is_err() {
            return comes.await;
        }
        let came = timeout(PATIENCE, comes).await;
        came.unwrap_or_else(|_| panic!("{place} waited in vain for {what}"))
    }
}

/// Waits for what happens in the background.
#[track_caller]
pub(crate) fn until<F: Future<Output = bool>>(
    what: &str,
    mut is_so: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    soon(what, async move {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    })
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "waited in vain for what never comes")]
async fn whoever_waits_in_vain_is_told_for_what() {
    soon("what never comes", std::future::pending::<()>()).await;
}
