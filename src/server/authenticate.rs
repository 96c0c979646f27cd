//! Client authentication (RFC 6749 §2.3, §3.2.1), for every endpoint that takes it.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::known_clients::Known;
use super::throttle::Attempt;
use super::{Inner, seen};
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::OAuthError;
use crate::types::{Client, Proof, SlowProof};

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
        .map(|known| known.client)
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
    (proof, known): (Proof, &Option<Known>),
) -> Result<(), OAuthError> {
    let (now, address) = (server.now(), server.address(request));
    let attempt = Attempt::ClientSecret(&credentials.client_id);
    server.take(attempt, address, now).await?;
    let Proof::Slow(proof) = proof else {
        return Err(OAuthError::invalid_client());
    };
    // Counted all the same: else who has made too many guesses would still be told of the right one.
    if is_remembered(known.as_ref(), &proof) {
        server.throttle.give_back(attempt, address, now).await;
        return Ok(());
    }
    let remembered = proof.remembered_as();
    let holds = {
        // Each takes 19 MiB and a processor for a while.
        let _turn = server.slow_proofs.acquire().await;
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(move || proof.holds()).await,
            Err(_) => Ok(proof.holds()), // nobody else is waiting for this thread
        }
    };
    match holds {
        Ok(false) => Err(OAuthError::invalid_client()),
        Ok(true) => {
            server.throttle.give_back(attempt, address, now).await;
            if let (Some(known), Some(digest)) = (known, remembered) {
                let _ = known.proven.set(digest); // somebody else may have been first, with the same
            }
            Ok(())
        }
        Err(error) => {
            server.throttle.give_back(attempt, address, now).await;
            Err(OAuthError::unavailable(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::is_remembered;
    use crate::server::known_clients::Known;
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
            proven: Arc::default(),
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
}
