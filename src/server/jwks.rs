//! The JWK set (RFC 7517 §5): what others check our tokens with (RFC 8414 §2, `jwks_uri`).

use bytes::Bytes;
use http::{Request, Response};

use super::Inner;
use super::metadata::told;
use crate::protocol::error::OAuthError;

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Response<Bytes> {
    match server.keys(server.now()).await {
        Ok(keys) => told(keys.jwks.answer(request)),
        Err(error) => OAuthError::from(error).to_response(),
    }
}
