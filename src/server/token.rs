//! The token endpoint (RFC 6749 §3.2).

use bytes::Bytes;
use http::{Method, Request, Response};

use super::authenticate::authenticate;
use super::issue::{self, NewGrant};
use super::{Answer, Event, Inner, RevokedBy, seen};
use crate::grant::{
    ClientGrant, CodeGrant, DeviceGrant, GrantRequest, Issue, Poll, Presented, Redemption,
    RefreshGrant,
};
use crate::grant::{poll, present, redeem, rotate};
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::{ErrorCode, OAuthError};
use crate::protocol::form::Form;
use crate::store::{Insert, Key, Kind, Replace, StoreError};
use crate::types::record::{Approved, Code, CodeState, Device, DeviceState, Grant};
use crate::types::{Client, Digest, GrantType, Timestamp, random};

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Answer {
    exchange(server, request)
        .await
        .unwrap_or_else(|error| error.to_response())
        .into()
}

async fn exchange(server: &Inner, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
    if request.method() != Method::POST {
        return Err(OAuthError::method_not_allowed("POST")); // RFC 6749 §3.2: MUST use POST
    }
    let form = Form::from_body(request.headers(), request.body())?;
    let credentials = Credentials::read(request.headers(), &form);
    form.required("grant_type", "grant_type is missing")?;
    let client = authenticate(server, request, &credentials?).await?;
    let grant = GrantRequest::parse(&form)?;
    let grant_type = grant.grant_type();
    seen::grant_type(grant_type);
    if !server.is_on(grant_type) {
        return Err(OAuthError::new(
            ErrorCode::UnsupportedGrantType,
            "This grant_type is not supported",
        ));
    }
    if !client.may_use(grant_type) {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "The client may not use this grant_type",
        ));
    }
    match grant {
        GrantRequest::ClientCredentials(grant) => client_credentials(server, &client, &grant).await,
        // Boxed: the first is the smallest by far, and is not to pay for the room that the others need.
        GrantRequest::AuthorizationCode(grant) => {
            Box::pin(authorization_code(server, &client, &grant)).await
        }
        GrantRequest::RefreshToken(grant) => Box::pin(refresh_token(server, &client, &grant)).await,
        GrantRequest::DeviceCode(grant) => Box::pin(device_code(server, &client, &grant)).await,
    }
}

async fn client_credentials(
    server: &Inner,
    client: &Client,
    grant: &ClientGrant,
) -> Result<Response<Bytes>, OAuthError> {
    let issue = grant.decide(client, &server.config.catalog)?;
    let allowed = issue::allow(server, client, GrantType::ClientCredentials, issue).await?;
    issue::answer(server, client, allowed, None).await
}

/// RFC 6749 §4.1.3. What decides is the code's step from live to used; everything after it can be lost without harm.
async fn authorization_code(
    server: &Inner,
    client: &Client,
    grant: &CodeGrant,
) -> Result<Response<Bytes>, OAuthError> {
    let digest = Digest::of("code", grant.code.expose().as_bytes());
    loop {
        let now = server.now();
        let read = server.records.load::<Code>(digest, now).await?;
        let Some(mut read) = read else {
            return Err(OAuthError::invalid_grant("The code is not valid"));
        };
        let redemption = redeem(grant, &read.record, client, now)?;
        let approved = read.record.approved.clone();
        match redemption {
            Redemption::Replay { grant } => {
                let (client_id, subject) = (&client.client_id, approved.subject.clone());
                revoke_replayed(server, client, grant, approved).await?;
                let subject = &subject;
                server.tell(&Event::AuthorizationCodeReplayed { client_id, subject });
                return Err(OAuthError::invalid_grant("The code is not valid"));
            }
            Redemption::WrongVerifier => {
                read.record.state = CodeState::Burnt;
                match server.records.update(digest, read).await? {
                    Replace::Replaced(_) => {
                        return Err(OAuthError::invalid_grant("code_verifier does not match"));
                    }
                    Replace::Changed => {}
                }
            }
            Redemption::Fresh => {
                // Some clients send again what they had asked for, of which the owner may have approved a part.
                let asked = grant.asked.within(&approved.scope);
                let issue = issue_of(server, &approved, &asked)?;
                let allowed =
                    issue::allow(server, client, GrantType::AuthorizationCode, issue).await?;
                let went_to = Some(read.record.redirect_uri.clone());
                let new = NewGrant::new(server, client, (approved, went_to), now)?;
                read.record.state = CodeState::Used { grant: new.digest };
                match server.records.update(digest, read).await? {
                    Replace::Replaced(_) => {
                        return keep_and_answer(server, client, allowed, &new).await;
                    }
                    Replace::Changed => {} // somebody else was first: look again, and meet the replay
                }
            }
        }
    }
}

/// RFC 8628 §3.4. What decides is the device's step from approved to redeemed.
async fn device_code(
    server: &Inner,
    client: &Client,
    grant: &DeviceGrant,
) -> Result<Response<Bytes>, OAuthError> {
    let digest = Digest::of("device", grant.device_code.expose().as_bytes());
    loop {
        let now = server.now();
        let read = server.records.load::<Device>(digest, now).await?;
        let Some(mut read) = read else {
            return Err(OAuthError::invalid_grant("The device code is not valid"));
        };
        match poll(&read.record, client, now)? {
            Poll::Wait { next, slow_down } => {
                read.record.state = next;
                // A decision that came in between stands: look again, and meet it.
                if let Replace::Replaced(_) = server.records.update(digest, read).await? {
                    let (code, text) = if slow_down {
                        (
                            ErrorCode::SlowDown,
                            "Polling too fast: the interval is now five seconds longer",
                        )
                    } else {
                        (
                            ErrorCode::AuthorizationPending,
                            "The request is not decided yet",
                        )
                    };
                    return Err(OAuthError::new(code, text));
                }
            }
            Poll::Approved(approved) => {
                let issue = issue_of(server, &approved, &grant.asked)?;
                let allowed = issue::allow(server, client, GrantType::DeviceCode, issue).await?;
                let new = NewGrant::new(server, client, (approved, None), now)?;
                read.record.state = DeviceState::Redeemed { grant: new.digest };
                if let Replace::Replaced(_) = server.records.update(digest, read).await? {
                    return keep_and_answer(server, client, allowed, &new).await;
                }
            }
        }
    }
}

/// RFC 6749 §6, with rotation (RFC 9700 §4.14). What decides is the grant's step to its next generation.
async fn refresh_token(
    server: &Inner,
    client: &Client,
    request: &RefreshGrant,
) -> Result<Response<Bytes>, OAuthError> {
    let invalid = || OAuthError::invalid_grant("The refresh token is not valid");
    let token = request.token.as_ref().ok_or_else(invalid)?;
    let digest = token.grant();
    let lifetimes = &server.config.lifetimes;
    loop {
        let now = server.now();
        let read = server.records.load::<Grant>(digest, now).await?;
        let mut read = read.ok_or_else(invalid)?;
        let presented = present(
            token,
            &read.record,
            client,
            (lifetimes.refresh_retry_window, now),
        )?;
        if matches!(presented, Presented::Reused) {
            revoke_grant(server, digest, now, RevokedBy::RefreshTokenReuse).await?;
            server.tell(&Event::RefreshTokenReused {
                client_id: &client.client_id,
                subject: &read.record.approved.subject,
                grant: &read.record.id,
            });
            return Err(invalid());
        }
        let approved = read.record.approved.clone();
        // Whatever is wrong with the rest of the request is said before anything is used up.
        let issue = issue_of(server, &approved, &request.asked)?;
        let allowed = issue::allow(server, client, GrantType::RefreshToken, issue).await?;
        let epoch = server.records.subject_epoch(&approved.subject, now);
        let (id, ends_at) = (read.record.id.clone(), read.record.ends_at);
        let (successor, epoch) = match presented {
            Presented::Retry(successor) => (successor, epoch.await),
            _ => {
                let idle_until = now.saturating_add(lifetimes.refresh_token).min(ends_at);
                let (family, successor) =
                    rotate(token, &*random()?, idle_until, now).ok_or_else(invalid)?;
                read.record.family = Some(family);
                read.record.expires_at = issue::outlives(lifetimes, idle_until, ends_at, now);
                // At once with the write: where everything of the subject was revoked, the family is dead in any generation.
                let (replaced, epoch) = tokio::join!(server.records.update(digest, read), epoch);
                match replaced? {
                    Replace::Replaced(_) => (successor, epoch),
                    Replace::Changed => continue, // somebody else was first: look again
                }
            }
        };
        if epoch? != approved.subject_epoch {
            return Err(invalid());
        }
        return issue::answer(
            server,
            client,
            allowed,
            Some((digest, &id, ends_at, Some(&successor.to_secret()))),
        )
        .await;
    }
}

fn issue_of(
    server: &Inner,
    approved: &Approved,
    asked: &crate::grant::Asked,
) -> Result<Issue, OAuthError> {
    let (scope, audience) =
        server
            .config
            .catalog
            .narrow(asked, &approved.scope, &approved.resources)?;
    Ok(Issue {
        subject: Some(approved.subject.clone()),
        authentication: approved.authentication.clone(),
        scope,
        audience,
    })
}

async fn keep_and_answer(
    server: &Inner,
    client: &Client,
    allowed: issue::Allowed,
    new: &NewGrant,
) -> Result<Response<Bytes>, OAuthError> {
    issue::keep_grant(server, new, server.now()).await?;
    issue::answer(
        server,
        client,
        allowed,
        Some((
            new.digest,
            &new.record.id,
            new.record.ends_at,
            new.refresh_token.as_ref(),
        )),
    )
    .await
}

/// Revokes what came of a code that is presented again. If its first redeemer has not got as far as keeping the grant, the grant is
/// put there as revoked, and what the redeemer is given is dead from the start.
async fn revoke_replayed(
    server: &Inner,
    client: &Client,
    grant: Digest,
    approved: Approved,
) -> Result<(), OAuthError> {
    let now = server.now();
    let new = NewGrant::new(server, client, (approved, None), now)?; // nobody is shown what is dead
    let dead = Grant {
        revoked: true,
        family: None,
        ..new.record
    };
    match server.records.create(grant, &dead, now).await? {
        Insert::Inserted(_) => tell_revoked(server, &dead, RevokedBy::CodeReplay),
        Insert::Exists => revoke_grant(server, grant, now, RevokedBy::CodeReplay).await?,
    }
    Ok(())
}

/// Revokes a grant: in the store first, then for whoever has cached what rests on it.
pub(crate) async fn revoke_grant(
    server: &Inner,
    grant: Digest,
    now: Timestamp,
    by: RevokedBy,
) -> Result<(), StoreError> {
    while let Some(mut read) = server.records.load::<Grant>(grant, now).await? {
        if std::mem::replace(&mut read.record.revoked, true) {
            break; // somebody else was first, and has told it
        }
        let revoked = read.record.clone();
        if let Replace::Replaced(_) = server.records.update(grant, read).await? {
            tell_revoked(server, &revoked, by);
            break;
        }
    }
    server.flags.raise(Key::new(Kind::Grant, grant));
    Ok(())
}

fn tell_revoked(server: &Inner, grant: &Grant, by: RevokedBy) {
    server.tell(&Event::GrantRevoked {
        client_id: &grant.client_id,
        subject: &grant.approved.subject,
        grant: &grant.id,
        by,
    });
}
