//! Makes access tokens and refresh tokens: the host's say, the record, and the answer of RFC 6749 §5.1.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::config::Lifetimes;
use super::policy::{Issuance, Verdict};
use super::{Event, Inner, Registration, opaque_token};
use crate::grant::{Issue, RefreshToken};
use crate::protocol::error::{ErrorCode, OAuthError, json};
use crate::store::{StoreError, client_digest};
use crate::types::record::{AccessToken, Approved, ClientDedupe, Grant, RefreshFamily};
use crate::types::{
    Client, ClientId, Digest, GrantType, RegisteredBy, Scope, Secret, Subject, Timestamp, random,
};

/// What every client identifier begins with that is made here.
pub(crate) const CLIENT_ID_PREFIX: &str = "toc_";

/// A successful token response (RFC 6749 §5.1). `scope` is always sent, equal or not.
#[derive(Serialize)]
pub(crate) struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Scope::is_empty")]
    scope: &'a Scope,
}

/// What the host has allowed: nothing is written yet.
pub(crate) struct Allowed {
    grant_type: GrantType,
    issue: Issue,
    claims: crate::types::Claims,
}

/// Asks the host.
pub(crate) async fn allow(
    server: &Inner,
    client: &Client,
    grant_type: GrantType,
    issue: Issue,
) -> Result<Allowed, OAuthError> {
    let issuance = Issuance {
        grant_type,
        client,
        subject: issue.subject.as_ref(),
        scope: &issue.scope,
        audience: &issue.audience,
    };
    match server.config.policy.issue(issuance).await {
        Verdict::Allow { scope, claims } => {
            let scope = issue.scope.intersection(&scope);
            // RFC 6749 §5.1: an answer without a scope says that the client has what it asked for.
            if scope.is_empty() && server.config.catalog.has_scopes() {
                return Err(OAuthError::new(
                    ErrorCode::InvalidScope,
                    "Nothing is left of the scope",
                ));
            }
            Ok(Allowed {
                grant_type,
                issue: Issue { scope, ..issue },
                claims,
            })
        }
        Verdict::Deny if grant_type == GrantType::ClientCredentials => Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "The client may not have this token",
        )),
        Verdict::Deny => Err(OAuthError::invalid_grant(
            "The grant is no longer good for a token",
        )),
        Verdict::Unavailable => Err(OAuthError::unavailable(
            "the host's policy is not available",
        )),
    }
}

/// A new grant with its first refresh token, if its client gets any. Not in the store yet.
pub(crate) struct NewGrant {
    pub(crate) digest: Digest,
    pub(crate) record: Grant,
    pub(crate) refresh_token: Option<Secret>,
}

impl NewGrant {
    pub(crate) fn new(
        server: &Inner,
        client: &Client,
        approved: Approved,
        now: Timestamp,
    ) -> Result<Self, OAuthError> {
        let lifetimes = &server.config.lifetimes;
        let first = RefreshToken::new(&*random()?, 0, &*random()?);
        let refreshes = refreshes(server, client);
        let ends_at = now.saturating_add(lifetime(server, client));
        let idle_until = now.saturating_add(lifetimes.refresh_token).min(ends_at);
        let family = refreshes.then(|| RefreshFamily {
            generation: 0,
            current: first.digest(),
            idle_until,
            rotated: None,
        });
        let record = Grant {
            id: Secret::generate()?.expose().to_owned(),
            client_id: client.client_id.clone(),
            approved,
            granted_at: now,
            ends_at,
            expires_at: if refreshes {
                outlives(lifetimes, idle_until, ends_at, now)
            } else {
                ends_at
            },
            revoked: false,
            family,
        };
        Ok(Self {
            digest: first.grant(),
            record,
            refresh_token: refreshes.then(|| first.to_secret()),
        })
    }
}

fn refreshes(server: &Inner, client: &Client) -> bool {
    server.is_on(GrantType::RefreshToken) && client.may_use(GrantType::RefreshToken)
}

/// How long what an owner approves for this client lasts at most.
pub(crate) fn lifetime(server: &Inner, client: &Client) -> Duration {
    if refreshes(server, client) {
        server.config.lifetimes.refresh_family
    } else {
        server.config.lifetimes.longest_access_token()
    }
}

/// When a grant may be forgotten: after its refresh token, and after the access tokens under it, those included that a retry of this
/// refresh still gets.
pub(crate) fn outlives(
    lifetimes: &Lifetimes,
    idle_until: Timestamp,
    ends_at: Timestamp,
    now: Timestamp,
) -> Timestamp {
    let last = now
        .saturating_add(lifetimes.refresh_retry_window)
        .saturating_add(lifetimes.longest_access_token());
    idle_until.max(last.min(ends_at))
}

const fn is_base64url(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

/// RFC 9700 §4.15: MUST. The `sub` of a client that speaks for itself is its id, so nobody is approved for who is named like one.
pub(crate) async fn is_client(server: &Inner, subject: &Subject) -> Result<bool, StoreError> {
    let name = subject.as_str();
    let Ok(id) = name.parse::<ClientId>() else {
        return Ok(false);
    };
    let has_form = |tail: &str| tail.len() == 43 && tail.bytes().all(is_base64url);
    if name.strip_prefix(CLIENT_ID_PREFIX).is_some_and(has_form) {
        return Ok(true);
    }
    let client = server
        .records
        .load::<Client>(client_digest(&id), server.now())
        .await?;
    Ok(client.is_some())
}

/// Keeps a new grant, *then* looks whether everything of its owner was revoked meanwhile, or all access was taken from its client, or a
/// client was given the owner's name: whoever does so writes first and looks later, so one of the two sees the other.
pub(crate) async fn keep_grant(
    server: &Inner,
    grant: &NewGrant,
    now: Timestamp,
) -> Result<(), OAuthError> {
    let records = &server.records;
    // What stands there already is this grant, revoked: a replay of its code overtook us. The answer is as if it had come a moment
    // later, so that of all who redeem a code exactly one succeeds, and what it is given is dead.
    records.create(grant.digest, &grant.record, now).await?;
    let approved = &grant.record.approved;
    // Both are asked at once: neither waits for the other's answer.
    let (revoked, is_client) = tokio::join!(
        records.revoked_by(&approved.subject, now),
        is_client(server, &approved.subject)
    );
    let revoked = revoked?;
    if revoked.epoch != approved.subject_epoch {
        return Err(OAuthError::invalid_grant("The grant was revoked"));
    }
    let text = if revoked.removal(&grant.record.client_id) > approved.removal {
        "The grant was revoked"
    } else if is_client? {
        "The person has the name of a client"
    } else {
        return Ok(());
    };
    let revoke = |grant: &mut Grant| !std::mem::replace(&mut grant.revoked, true);
    records.change(grant.digest, now, revoke).await?;
    Err(OAuthError::invalid_grant(text))
}

/// Makes an access token that says what the record does. An opaque one is kept; a JWT carries the record itself.
async fn make(
    server: &Inner,
    record: &AccessToken,
    (fresh, secret): ([u8; 2], &[u8]),
) -> Result<Secret, OAuthError> {
    #[cfg(feature = "jwt")]
    if let Some(algorithm) = server.config.jwt.algorithm(&record.audience) {
        return Box::pin(super::jwt::mint(server, record, algorithm)).await;
    }
    let (token, digest) = opaque_token::new(server.places.next(record.issued_at, fresh), secret);
    let records = &server.records;
    records.create(digest, record, record.issued_at).await?;
    Ok(token)
}

/// Makes an access token and answers with it.
pub(crate) async fn answer(
    server: &Inner,
    client: &Client,
    allowed: Allowed,
    grant: Option<(Digest, &str, Timestamp, Option<&Secret>)>,
) -> Result<Response<Bytes>, OAuthError> {
    let now = server.now();
    // The token and its id, in one call, and what its place may need.
    let [high, low, bytes @ ..] = &*random::<50>()?;
    let (secret, id) = bytes.split_at(32);
    let ends_at = grant.map_or(Timestamp::MAX, |(.., ends_at, _)| ends_at);
    let Issue {
        subject,
        scope,
        audience,
        authentication,
    } = allowed.issue;
    let lifetime = server.config.access_token_lifetime(&audience);
    let expires_at = now.saturating_add(lifetime).min(ends_at);
    let record = AccessToken {
        id: URL_SAFE_NO_PAD.encode(id),
        client_id: client.client_id.clone(),
        subject,
        scope,
        audience,
        claims: allowed.claims.signed_in(authentication),
        issued_at: now,
        expires_at,
        client_epoch: client.epoch,
        grant: grant.map(|(digest, ..)| digest),
    };
    let token = make(server, &record, ([*high, *low], secret)).await?;
    server.tell(&Event::TokenIssued {
        client_id: &record.client_id,
        grant_type: allowed.grant_type,
        subject: record.subject.as_ref(),
        scope: &record.scope,
        audience: &record.audience,
        grant: grant.map(|(_, id, ..)| id),
        jti: &record.id,
        expires_at,
    });
    keep_in_use(server, client, now).await;
    let response = TokenResponse {
        access_token: token.expose(),
        token_type: "Bearer",
        expires_in: expires_at.since(now).as_secs(),
        refresh_token: grant.and_then(|(.., token)| token).map(Secret::expose),
        scope: &record.scope,
    };
    Ok(json(StatusCode::OK, &response))
}

/// A client that registered itself is forgotten when it is idle for long; a use is noted about once a day, or four times in that while.
async fn keep_in_use(server: &Inner, client: &Client, now: Timestamp) {
    let config = &server.config;
    let set = config.registration.as_ref().and_then(Registration::idle);
    let idle = set.unwrap_or(config.lifetimes.refresh_token.max(90 * DAY));
    let until = now.saturating_add(idle);
    let exact = DAY.min(idle / 4);
    if client.registered_by == RegisteredBy::Host || until.since(client.expires_at) < exact {
        return;
    }
    if let Err(error) = Box::pin(keep_until(server, client, until)).await {
        tracing::error!(cause = %error, client_id = %client.client_id, "the use of a client could not be noted");
    }
}

/// How exactly the use of a client is noted.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Keeps a client that registered itself, and the pointer by which an equal registration finds it, at least until then.
pub(crate) async fn keep_until(
    server: &Inner,
    client: &Client,
    until: Timestamp,
) -> Result<(), StoreError> {
    let (records, now) = (&server.records, server.now());
    let later =
        |expires_at: &mut Timestamp| std::mem::replace(expires_at, until.max(*expires_at)) < until;
    let digest = client_digest(&client.client_id);
    records
        .change(digest, now, |client: &mut Client| {
            later(&mut client.expires_at)
        })
        .await?;
    if let Some(digest) = client.dedupe {
        records
            .change(digest, now, |pointer: &mut ClientDedupe| {
                later(&mut pointer.expires_at)
            })
            .await?;
    }
    Ok(())
}
