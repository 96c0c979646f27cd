//! Client authentication (RFC 6749 §2.3, §3.2.1), for every endpoint that takes it.

use std::sync::Arc;

use super::Inner;
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::OAuthError;
use crate::types::Client;

/// The client that a request comes from; all failures are one answer (RFC 6749 §5.2).
pub(crate) async fn authenticate(
    server: &Inner,
    credentials: &Credentials,
) -> Result<Arc<Client>, OAuthError> {
    let now = server.now();
    let known = server.client(&credentials.client_id, now).await?;
    let client = known.map(|known| known.client);
    credentials.prove(client.as_deref(), now)?;
    client.ok_or(OAuthError::invalid_client())
}
