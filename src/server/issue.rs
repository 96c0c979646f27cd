//! Makes access tokens and refresh tokens: the host's say, the record, and the answer of RFC 6749 §5.1.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::config::Lifetimes;
use super::policy::{Issuance, Verdict};
use super::{Event, Inner, Registration, opaque_token};
use crate::grant::{Issue, RefreshToken};
use crate::protocol::error::{ErrorCode, OAuthError, json_text};
use crate::store::{StoreError, client_digest};
use crate::types::record::{AccessToken, Approved, ClientDedupe, Grant, RefreshFamily};
use crate::types::{
    Claims, Client, ClientId, Digest, GrantType, RandomnessUnavailable, RedirectUri, RegisteredBy,
    Scope, Secret, Subject, Timestamp, random,
};

/// What every client identifier begins with that is made here.
pub(crate) const CLIENT_ID_PREFIX: &str = "toc_";

/// A successful token response (RFC 6749 §5.1). `scope` is always sent, equal or not, unless it is empty.
struct TokenResponse<'a> {
    access_token: &'a Secret,
    expires_in: u64,
    refresh_token: Option<&'a Secret>,
    scope: &'a Scope,
}

impl TokenResponse<'_> {
    /// Written by hand, since most answers of a server are this one. No text in it can have a quote or a backslash: tokens are
    /// base64url and dots, and RFC 6749 §3.3 says of what scopes are made.
    fn to_json(&self) -> String {
        let mut json = String::with_capacity(1024);
        json.push_str(r#"{"access_token":""#);
        json.push_str(self.access_token.expose());
        json.push_str(r#"","token_type":"Bearer","expires_in":"#);
        json.push_str(&self.expires_in.to_string());
        if let Some(refresh_token) = self.refresh_token {
            json.push_str(r#","refresh_token":""#);
            json.push_str(refresh_token.expose());
            json.push('"');
        }
        for (place, token) in self.scope.iter().enumerate() {
            json.push_str(if place == 0 { r#","scope":""# } else { " " });
            json.push_str(token.as_str());
        }
        json.push_str(if self.scope.is_empty() { "}" } else { "\"}" });
        json
    }
}

/// What the host has allowed: nothing is written yet.
pub(crate) struct Allowed {
    grant_type: GrantType,
    issue: Issue,
    claims: Claims,
}

/// Asks the host.
pub(crate) async fn allow(
    server: &Inner,
    client: &Client,
    grant_type: GrantType,
    issue: Issue,
) -> Result<Allowed, OAuthError> {
    let (scope, claims) = match &server.config.policy {
        None => (issue.scope, Claims::none()),
        Some(policy) => {
            let issuance = Issuance {
                grant_type,
                client,
                subject: issue.subject.as_ref(),
                scope: &issue.scope,
                audience: &issue.audience,
            };
            let (scope, claims) = allowed(policy.issue(issuance).await, grant_type)?;
            (issue.scope.intersection(&scope), claims)
        }
    };
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

/// What a verdict lets through.
fn allowed(verdict: Verdict, grant_type: GrantType) -> Result<(Scope, Claims), OAuthError> {
    match verdict {
        Verdict::Allow { scope, claims } => Ok((scope, claims)),
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
        (approved, redirect_uri): (Approved, Option<RedirectUri>),
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
            redirect_uri,
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
    (fresh, secret): ([u8; 2], &[u8; 32]),
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
    let split = bytes.split_first_chunk();
    let (secret, id) = split.ok_or(RandomnessUnavailable)?; // there are 48
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
        access_token: &token,
        expires_in: expires_at.since(now).as_secs(),
        refresh_token: grant.and_then(|(.., token)| token),
        scope: &record.scope,
    };
    Ok(json_text(StatusCode::OK, response.to_json()))
}

/// A client that registered itself is forgotten when it is idle for long; a use is noted about once a day, or four times in that while.
async fn keep_in_use(server: &Inner, client: &Client, now: Timestamp) {
    let config = &server.config;
    let set = config.registration.as_ref().and_then(Registration::idle);
    let idle = set.unwrap_or(config.lifetimes.refresh_token.max(90 * DAY));
    let exact = DAY.min(idle / 4);
    // A use that is not noted has brought a refresh token, too: none outlives its client.
    let until = now.saturating_add(idle.max(config.lifetimes.refresh_token.saturating_add(exact)));
    if client.registered_by == RegisteredBy::Host || until.since(client.expires_at) < exact {
        return;
    }
    let noted = Box::pin(keep_until(server, client, until)).await;
    // Or this process would go by what it has read before, and note each use from now on.
    server.known_clients.forget(&client.client_id);
    if let Err(error) = noted {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::TokenResponse;
    use crate::types::{Scope, Secret};

    fn answer(refresh_token: Option<&str>, scope: &str) -> Value {
        let refresh_token = refresh_token.map(Secret::new);
        let response = TokenResponse {
            access_token: &Secret::new("toa_A-_9"),
            expires_in: u64::MAX,
            refresh_token: refresh_token.as_ref(),
            scope: &scope.parse::<Scope>().unwrap(),
        };
        serde_json::from_str(&response.to_json()).unwrap()
    }

    // req: 6749-5.1-1
    #[test]
    fn rfc6749_5_1_what_is_written_by_hand_is_json_with_the_members_that_there_are() {
        let least = json!({
            "access_token": "toa_A-_9",
            "token_type": "Bearer",
            "expires_in": u64::MAX,
        });
        assert_eq!(answer(None, ""), least);
        let most = json!({
            "access_token": "toa_A-_9",
            "token_type": "Bearer",
            "expires_in": u64::MAX,
            "refresh_token": "tor_1.2",
            "scope": "a b:c",
        });
        assert_eq!(answer(Some("tor_1.2"), "b:c a"), most);
    }

    #[test]
    fn no_scope_has_a_character_that_json_escapes() {
        for byte in 0..=u8::MAX {
            let text = char::from(byte).to_string();
            if text.parse::<Scope>().is_ok_and(|scope| !scope.is_empty()) {
                assert_eq!(serde_json::to_string(&text).unwrap(), format!("\"{text}\""));
                assert_eq!(answer(None, &text)["scope"], text);
            }
        }
    }
}
