//! The introspection endpoint (RFC 7662), and what makes a token live.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use super::authenticate::authenticate;
use super::opaque_token;
use super::{Answer, Inner};
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::{OAuthError, json};
use crate::protocol::form::Form;
use crate::protocol::introspection::{Inactive, IntrospectionResponse};
use crate::store::{Key, Kind, StoreError, Stored, subject_digest};
use crate::types::record::{AccessToken, Grant};
use crate::types::{Client, Digest, Flag, Introspects, Timestamp};

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Answer {
    introspect(server, request)
        .await
        .unwrap_or_else(|error| error.to_response())
        .into()
}

async fn introspect(
    server: &Inner,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, OAuthError> {
    if request.method() != Method::POST {
        return Err(OAuthError::method_not_allowed("POST"));
    }
    let form = Form::from_body(request.headers(), request.body())?;
    // RFC 7662 §2.1: MUST require authorization; who sends nothing of the kind is not told what is wrong with the rest.
    let credentials =
        Credentials::read_if_any(request.headers(), &form)?.ok_or(OAuthError::invalid_client())?;
    let caller = authenticate(server, request, &credentials).await?;
    if !caller.is_confidential() {
        return Err(OAuthError::invalid_client());
    }
    form.one("token_type_hint")?;
    let token = form.required("token", "token is missing")?;
    let live = live(server, token, server.now(), &mut Vec::new()).await?;
    // Unknown, expired, revoked, a refresh token, or none of the caller's business: one answer (RFC 7662 §2.2).
    let Some(token) = live.filter(|token| may_ask(&caller, token)) else {
        return Ok(json(StatusCode::OK, &Inactive::ANSWER));
    };
    let response = IntrospectionResponse {
        active: true,
        scope: &token.scope,
        client_id: &token.client_id,
        token_type: "Bearer",
        exp: token.expires_at,
        iat: token.issued_at,
        sub: IntrospectionResponse::subject(token.subject.as_ref(), &token.client_id),
        aud: &token.audience,
        iss: &server.config.issuer,
        jti: &token.id,
        claims: &token.claims,
    };
    Ok(json(StatusCode::OK, &response))
}

/// A client may ask about its own tokens, and a resource server about those meant for it (RFC 7662 §4).
fn may_ask(caller: &Client, token: &AccessToken) -> bool {
    let own = token.client_id == caller.client_id;
    match &caller.introspects {
        Introspects::Own => own,
        Introspects::For(resources) => {
            own || resources
                .iter()
                .any(|resource| token.audience.contains(resource))
        }
        Introspects::Everything => true,
    }
}

/// What an access token of ours says that has not expired and was not revoked itself.
pub(crate) async fn find(
    server: &Inner,
    token: &str,
    now: Timestamp,
    flags: &mut Vec<Flag>,
) -> Result<Option<AccessToken>, StoreError> {
    #[cfg(feature = "jwt")]
    if server.config.jwt.is_on() && token.contains('.') {
        return Box::pin(super::jwt::read(server, token, now, flags)).await;
    }
    match opaque_token::digest(token) {
        Some(digest) => read(server, digest, now, flags).await,
        None => Ok(None),
    }
}

/// The record of an access token that is live now: known, not expired, and so are its grant, its client and its subject. The flags of
/// all that it rests on are registered before each is read.
pub(crate) async fn live(
    server: &Inner,
    token: &str,
    now: Timestamp,
    flags: &mut Vec<Flag>,
) -> Result<Option<AccessToken>, StoreError> {
    let Some(token) = find(server, token, now, flags).await? else {
        return Ok(None);
    };
    let Some(known) = server.client(&token.client_id, now).await? else {
        return Ok(None);
    };
    flags.push(known.flag.clone());
    let client = &known.client;
    if client.disabled || client.epoch != token.client_epoch {
        return Ok(None);
    }
    let Some(grant) = token.grant else {
        return Ok(Some(token));
    };
    // Only a person grants, so the token says whose epoch counts, and nobody waits for the grant to learn it.
    let Some(subject) = &token.subject else {
        return Ok(None);
    };
    flags.push(
        server
            .flags
            .register(Key::new(Kind::SubjectEpoch, subject_digest(subject))),
    );
    let (grant, epoch) = tokio::join!(
        read::<Grant>(server, grant, now, flags),
        server.records.subject_epoch(subject, now)
    );
    let Some(grant) = grant? else {
        return Ok(None);
    };
    let dead = grant.revoked
        || grant.approved.subject != *subject
        || epoch? != grant.approved.subject_epoch
        || client.epoch != grant.approved.client_epoch;
    Ok((!dead).then_some(token))
}

async fn read<T: Stored>(
    server: &Inner,
    digest: Digest,
    now: Timestamp,
    flags: &mut Vec<Flag>,
) -> Result<Option<T>, StoreError> {
    flags.push(server.flags.register(Key::new(T::KIND, digest)));
    Ok(server
        .records
        .load::<T>(digest, now)
        .await?
        .map(|read| read.record))
}

#[cfg(feature = "resource")]
impl super::AuthorizationServer {
    /// What protection in the same process asks.
    pub(crate) async fn live(
        &self,
        token: &str,
        now: Timestamp,
        flags: &mut Vec<Flag>,
    ) -> Result<Option<AccessToken>, StoreError> {
        super::tasks::start(&self.0);
        live(&self.0, token, now, flags).await
    }
}
