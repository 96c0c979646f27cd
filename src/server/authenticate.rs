//! Client authentication (RFC 6749 §2.3, §3.2.1), for every endpoint that takes it.

use super::{Inner, seen};
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::OAuthError;
use crate::store::client_digest;
use crate::types::Client;

/// The client that a request comes from; all failures are one answer (RFC 6749 §5.2).
pub(crate) async fn authenticate(
    server: &Inner,
    credentials: &Credentials,
) -> Result<Client, OAuthError> {
    let now = server.now();
    let digest = client_digest(&credentials.client_id);
    let client = server.records.load::<Client>(digest, now).await?;
    let client = client.map(|read| read.record);
    client
        .iter()
        .for_each(|client| seen::client(&client.client_id));
    credentials.prove(client.as_ref(), now)?;
    client.ok_or(OAuthError::invalid_client())
}
