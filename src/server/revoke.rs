//! The revocation endpoint (RFC 7009).

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, Request, Response};

use super::authenticate::authenticate;
use super::introspect::find;
use super::opaque_token;
use super::token::revoke_grant;
use super::{Answer, Event, Inner, RevokedBy};
use crate::grant::RefreshToken;
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::OAuthError;
use crate::protocol::form::Form;
use crate::store::{Key, Kind, StoreError};
use crate::types::Client;
use crate::types::record::{AccessToken, Grant};

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
    } else {
        access_token(server, &client, token).await?;
    }
    let mut response = Response::new(Bytes::new());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn access_token(server: &Inner, client: &Client, token: &str) -> Result<(), OAuthError> {
    let found = find(server, token, server.now(), &mut Vec::new()).await?;
    let own = found.filter(|found| found.client_id == client.client_id);
    let Some(found) = own else {
        return Ok(());
    };
    if end(server, token, &found).await? {
        server.tell(&Event::TokenRevoked {
            client_id: &found.client_id,
            subject: found.subject.as_ref(),
            jti: &found.id,
        });
    }
    Ok(())
}

/// Ends a token; says whether it was not over before.
#[cfg_attr(
    not(feature = "jwt"),
    expect(
        unused_variables,
        reason = "what an opaque token says does not matter here"
    )
)]
async fn end(server: &Inner, token: &str, found: &AccessToken) -> Result<bool, StoreError> {
    match opaque_token::digest(token) {
        Some(digest) => {
            let was_there = server.records.remove::<AccessToken>(digest).await?;
            server.flags.raise(Key::new(Kind::AccessToken, digest));
            Ok(was_there)
        }
        #[cfg(feature = "jwt")]
        None => super::jwt::revoke(server, found).await,
        #[cfg(not(feature = "jwt"))]
        None => Ok(false),
    }
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
