//! Client authentication (RFC 6749 §2.3, §3.2.1), for every endpoint that takes it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinError;

use super::known_clients::Known;
use super::throttle::{Attempt, DynThrottle};
use super::{Inner, seen};
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::OAuthError;
use crate::types::{Client, ClientId, Proof, SlowProof, Timestamp};

/// The client that a request comes from; all failures are one answer (RFC 6749 §5.2), and too many of them 429.
pub(crate) async fn authenticate(
    server: &Inner,
    request: &Request<Bytes>,
    credentials: &Credentials,
) -> Result<Arc<Client>, OAuthError> {
    let now = server.now();
    let known = server.client(&credentials.client_id, now).await?;
    let client = known.as_ref().map(|known| &*known.client);
    if let Some(client) = client {
        seen::client(&client.client_id);
    }
    match credentials.prove(client, now) {
        Proof::Holds => {}
        proof => Box::pin(refuse_or_try(server, request, credentials, (proof, &known))).await?,
    }
    known
        .map(|known| Arc::clone(&known.client))
        .ok_or(OAuthError::invalid_client())
}

/// Whether this process has found this very secret right, and the client has not changed since.
fn is_remembered(known: Option<&Known>, proof: &SlowProof) -> bool {
    let proven = known.and_then(|known| known.proven.get());
    proven.is_some_and(|proven| proof.remembered_as() == Some(*proven))
}

/// Whatever is not proven at once is counted first (RFC 6749 §2.3.1: MUST), so that nobody guesses at a secret that a person chose, or
/// keeps us busy with slow digests. A generated secret that is right does not come here.
async fn refuse_or_try(
    server: &Inner,
    request: &Request<Bytes>,
    credentials: &Credentials,
    (proof, known): (Proof, &Option<Arc<Known>>),
) -> Result<(), OAuthError> {
    let (now, address) = (server.now(), server.address(request));
    let attempt = Attempt::ClientSecret(&credentials.client_id);
    server.take(attempt, address, now).await?;
    let Proof::Slow(proof) = proof else {
        return Err(OAuthError::invalid_client());
    };
    // Counted all the same: else who has made too many guesses would still be told of the right one.
    if is_remembered(known.as_deref(), &proof) {
        server.throttle.give_back(attempt, address, now).await;
        return Ok(());
    }
    let remembered = proof.remembered_as();
    let attempt = SlowAttempt {
        turns: Arc::clone(&server.slow_proofs),
        throttle: Arc::clone(&server.throttle),
        client_id: credentials.client_id.clone(),
        address,
        at: now,
    };
    let (answer, told) = oneshot::channel();
    let decided = attempt.decide(proof, answer);
    match Handle::try_current() {
        // A task of its own: what was begun is ended and counted, also for callers that have hung up.
        Ok(runtime) => drop(runtime.spawn(decided)),
        Err(_) => decided.await,
    }
    match told.await.map_err(OAuthError::unavailable)? {
        Ok(false) => Err(OAuthError::invalid_client()),
        Ok(true) => {
            if let (Some(known), Some(digest)) = (known, remembered) {
                let _ = known.proven.set(digest); // somebody else may have been first, with the same
            }
            Ok(())
        }
        Err(error) => Err(OAuthError::unavailable(error)),
    }
}

/// An attempt that is counted, and that takes a slow digest to tell whether it should have been.
struct SlowAttempt {
    turns: Arc<Semaphore>,
    throttle: Arc<dyn DynThrottle>,
    client_id: ClientId,
    address: Option<IpAddr>,
    at: Timestamp,
}

impl SlowAttempt {
    /// Answers whether the secret is right. All but a wrong one is given back.
    async fn decide(self, proof: SlowProof, answer: oneshot::Sender<Result<bool, JoinError>>) {
        let turn = self.turns.acquire_owned().await;
        let holds = if answer.is_closed() {
            None // who has hung up before its turn has tried nothing
        } else {
            // Each takes 19 MiB and a processor for a while, whoever still waits: the turn ends when the digest does.
            let digest = move || {
                let _turn = turn;
                proof.holds()
            };
            Some(match Handle::try_current() {
                Ok(runtime) => runtime.spawn_blocking(digest).await,
                Err(_) => Ok(digest()), // nobody else is waiting for this thread
            })
        };
        if !matches!(holds, Some(Ok(false))) {
            let attempt = Attempt::ClientSecret(&self.client_id);
            self.throttle
                .give_back(attempt, self.address, self.at)
                .await;
        }
        if let Some(holds) = holds {
            let _ = answer.send(holds); // nobody may be there to hear it
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};
    use std::time::Duration;

    use bytes::Bytes;
    use http::Request;

    use super::{authenticate, is_remembered};
    use crate::protocol::client_auth::Credentials;
    use crate::protocol::error::ErrorCode;
    use crate::protocol::form::Form;
    use crate::server::known_clients::Known;
    use crate::server::{AuthorizationServer, Limit};
    use crate::types::{Client, ClientSecret, Flag, Proof, Secret, SlowProof, Timestamp};

    fn proof(client: &Client, secret: &str) -> SlowProof {
        let now = Timestamp::from_secs(0);
        match ClientSecret::prove(client.secret.as_ref(), &Secret::new(secret), now) {
            Proof::Slow(proof) => proof,
            other => panic!("{other:?}"),
        }
    }

    fn known(client: Client) -> Known {
        Known {
            client: Arc::new(client),
            flag: Flag::new(),
            proven: OnceLock::new(),
        }
    }

    #[test]
    fn a_chosen_secret_that_was_found_right_is_known_again_and_no_other_is() {
        let id = "c1".parse().unwrap();
        let known = known(Client::confidential(id, &Secret::new("wonderland")));
        let right = proof(&known.client, "wonderland");
        assert!(!is_remembered(Some(&known), &right) && !is_remembered(None, &right));
        known.proven.set(right.remembered_as().unwrap()).unwrap();
        assert!(is_remembered(Some(&known), &right));
        assert!(!is_remembered(
            Some(&known),
            &proof(&known.client, "rabbit-hole")
        ));
    }

    #[test]
    fn where_there_is_nothing_to_compare_with_nothing_is_remembered() {
        let known = known(Client::public("c1".parse().unwrap()));
        let wrong = proof(&known.client, "wonderland");
        assert!(wrong.remembered_as().is_none() && !is_remembered(Some(&known), &wrong));
    }

    // Threat S20: a digest goes on when its caller has hung up, and so does its turn; a right secret is no try then either.
    #[test]
    fn s20_hanging_up_neither_frees_a_turn_nor_counts_a_right_secret() {
        let one_thread = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_time()
            .build()
            .unwrap();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        one_thread.block_on(async move {
            let digests_wait = tokio::task::spawn_blocking(move || held.recv());
            let server = AuthorizationServer::builder("https://a.test")
                .wrong_client_secrets(Limit::per_minute(20, 20))
                .build()
                .unwrap();
            let client = Client::confidential("c1".parse().unwrap(), &Secret::new("wonderland"));
            server.clients().create(client).await.unwrap();
            let form = Form::parse(b"client_id=c1&client_secret=wonderland").unwrap();
            let request = Request::new(Bytes::new());
            let credentials = Credentials::read(request.headers(), &form).unwrap();
            let present = || authenticate(&server.0, &request, &credentials);
            for _ in 0..20 {
                tokio::select! {
                    biased;
                    answer = present() => panic!("nothing is decided yet: {answer:?}"),
                    () = its_task_runs() => {}
                }
            }
            assert_eq!(server.0.slow_proofs.available_permits(), 0);
            assert_eq!(
                present().await.unwrap_err().code,
                ErrorCode::TemporarilyUnavailable,
                "whoever hangs up may not go on for ever"
            );
            drop(let_go);
            digests_wait.await.unwrap().unwrap_err();
            let all_is_given_back = async {
                while present().await.is_err() {
                    its_task_runs().await;
                }
            };
            let limit = Duration::from_secs(60);
            tokio::time::timeout(limit, all_is_given_back)
                .await
                .expect("a right secret is counted as a wrong one");
        });
    }

    /// Time for whatever another task can do without waiting.
    async fn its_task_runs() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}
