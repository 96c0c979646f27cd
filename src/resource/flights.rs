//! One question at a time about each token, however many ask.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::Instrument as _;

use super::known::TokenDigest;
use super::validator::{Facts, Unavailable};

/// What came of a question. Shared by all who asked.
pub(crate) type Outcome = Result<Facts, Arc<Unavailable>>;

/// How many tokens are asked about at once; beyond that nobody can say, so that strangers with many tokens cost a bounded memory.
pub(crate) const MOST: usize = 4096;

/// The questions that are under way at one issuer. Clones are the same ones.
///
/// Each is a task of its own: whoever asked first may go away without anybody noticing.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<TokenDigest, watch::Receiver<Option<Outcome>>>>>);

impl Flights {
    /// The answer about this token: of the question that is under way, or of a new one.
    pub(crate) async fn join<F>(&self, token: TokenDigest, ask: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return ask().await; // without a runtime there is nobody to share with
        };
        let (mut answer, begun) = {
            let mut under_way = self.lock();
            let is_full = under_way.len() >= MOST;
            match under_way.entry(token) {
                Entry::Occupied(flight) => (flight.get().clone(), None),
                Entry::Vacant(_) if is_full => {
                    let full = Unavailable::new("too many questions at once");
                    return Err(Arc::new(full));
                }
                Entry::Vacant(place) => {
                    let (sender, receiver) = watch::channel(None);
                    place.insert(receiver.clone());
                    (receiver, Some((sender, Landing(self.clone(), token))))
                }
            }
        };
        // With the list unlocked: a runtime that is about to end drops the task, and so takes it off the list, at once.
        if let Some((sender, landing)) = begun {
            let flight = ask();
            runtime.spawn(
                async move {
                    let outcome = flight.await;
                    drop(landing); // who comes from now on asks again, or finds it in the cache
                    sender.send_replace(Some(outcome));
                }
                .in_current_span(),
            );
        }
        let told = answer.wait_for(Option::is_some).await;
        let outcome = told.ok().and_then(|outcome| outcome.clone());
        let no_end = || Err(Arc::new(Unavailable::new("the check came to no end")));
        outcome.unwrap_or_else(no_end)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenDigest, watch::Receiver<Option<Outcome>>>> {
        // Nothing is half done while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the question off the list when its task ends, however it ends.
struct Landing(Flights, TokenDigest);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Flights, MOST};
    use crate::resource::NotActive;
    use crate::resource::known::{Keep, Recogniser, TokenDigest};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    fn digests(count: usize) -> Vec<TokenDigest> {
        let recogniser = Recogniser::new(Keep::Token).unwrap();
        let digest = |number| {
            let text = format!("t{number}");
            recogniser.digest(text.as_str().try_into().unwrap())
        };
        (0..count).map(digest).collect()
    }

    #[tokio::test]
    async fn v27_a_thousand_who_ask_at_once_ask_once_though_the_first_goes_away() {
        let (flights, token) = (Flights::default(), digests(1)[0]);
        let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let (flights, gate, asked) = (flights.clone(), Arc::clone(&gate), Arc::clone(&asked));
            tokio::spawn(async move {
                let flight = move || async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let _open = gate.acquire().await;
                    Ok(Err(NotActive::because("unknown")))
                };
                flights.join(token, flight).await
            })
        };
        let first = ask();
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..1000).map(|_| ask()).collect();
        first.abort();
        assert!(first.await.is_err());
        gate.add_permits(1);
        for other in others {
            assert!(other.await.unwrap().is_ok_and(|facts| facts.is_err()));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn v27_a_check_that_panics_is_no_verdict_and_stands_in_nobodys_way() {
        let (flights, token) = (Flights::default(), digests(1)[0]);
        let broken = || async { panic!("a bug of the host's") };
        assert!(flights.join(token, broken).await.is_err());
        let whole = || async { Ok(Err(NotActive::because("unknown"))) };
        assert!(flights.join(token, whole).await.is_ok());
    }

    #[tokio::test]
    async fn v26_a_flood_of_tokens_takes_a_bounded_memory() {
        let (flights, tokens) = (Flights::default(), digests(MOST + 1));
        for token in &tokens[..MOST] {
            let (flights, token) = (flights.clone(), *token);
            tokio::spawn(async move { flights.join(token, std::future::pending).await });
        }
        tokio::task::yield_now().await;
        while flights.lock().len() < MOST {
            tokio::task::yield_now().await;
        }
        let asked = || async { panic!("it is not asked") };
        assert!(flights.join(tokens[MOST], asked).await.is_err());
    }
}
