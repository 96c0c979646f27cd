//! The revocation endpoint (RFC 7009).

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, Request, Response};

use super::authenticate::authenticate;
use super::issue::access_token_digest;
use super::token::revoke_grant;
use super::{Answer, Event, Inner, RevokedBy};
use crate::grant::RefreshToken;
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::OAuthError;
use crate::protocol::form::Form;
use crate::store::{Key, Kind};
use crate::types::record::{AccessToken, Grant};
use crate::types::{Client, Digest};

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Answer {
    revoke(server, request)
        .await
        .unwrap_or_else(|error| error.to_response())
        .into()
}

/// RFC 7009 §2.2: 200 for a token that was revoked, and for one that is unknown, foreign or dead already. The two kinds of token tell
/// themselves apart, so `token_type_hint` has nothing to add.
async fn revoke(server: &Inner, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
    if request.method() != Method::POST {
        return Err(OAuthError::method_not_allowed("POST"));
    }
    let form = Form::from_body(request.headers(), request.body())?;
    let client = authenticate(
        server,
        request,
        &Credentials::read(request.headers(), &form)?,
    )
    .await?;
    form.one("token_type_hint")?;
    let token = form.required("token", "token is missing")?;
    if let Some(token) = RefreshToken::parse(token) {
        refresh_token(server, &client, &token).await?;
    } else if let Some(digest) = access_token_digest(token) {
        access_token(server, &client, digest).await?;
    }
    let mut response = Response::new(Bytes::new());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn access_token(server: &Inner, client: &Client, digest: Digest) -> Result<(), OAuthError> {
    let read = server
        .records
        .load::<AccessToken>(digest, server.now())
        .await?;
    let token = read.map(|read| read.record);
    if let Some(token) = token.filter(|token| token.client_id == client.client_id) {
        if server.records.remove::<AccessToken>(digest).await? {
            server.tell(&Event::TokenRevoked {
                client_id: &token.client_id,
                subject: token.subject.as_ref(),
                jti: &token.id,
            });
        }
        server.flags.raise(Key::new(Kind::AccessToken, digest));
    }
    Ok(())
}

/// The whole grant goes, and with it every access token under it (RFC 7009 §2.1: SHOULD).
async fn refresh_token(
    server: &Inner,
    client: &Client,
    token: &RefreshToken,
) -> Result<(), OAuthError> {
    let (digest, now) = (token.grant(), server.now());
    let read = server.records.load::<Grant>(digest, now).await?;
    let belongs = |grant: &Grant| grant.client_id == client.client_id && token.is_of(grant);
    if read.is_some_and(|read| belongs(&read.record)) {
        revoke_grant(server, digest, now, RevokedBy::Client).await?;
    }
    Ok(())
}
