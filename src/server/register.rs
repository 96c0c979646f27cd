//! The registration endpoint (RFC 7591).
//!
//! Software statements (§2.3) are ignored unless the host's [`RegistrationPolicy`] verifies them. Left out: the management of a
//! registration (RFC 7592).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Map, Value};

use super::config::ConfigError;
use super::issue::{CLIENT_ID_PREFIX, keep_until};
use super::registration_policy::{
    DynRegistrationPolicy, RegistrationPolicy, RegistrationRequest, RegistrationVerdict,
};
use super::throttle::{Attempt, Limit};
use super::{Answer, Event, Inner};
use crate::protocol::error::{ErrorCode, OAuthError, json};
use crate::protocol::registration::{
    AuthMethod, ClientInformation, ClientMetadata, parse, software_statement,
};
use crate::store::{Insert, Replace, StoreError, client_digest};
use crate::types::record::ClientDedupe;
use crate::types::{Client, ClientId, ClientSecret, Digest, GrantType, RegisteredBy, Secret};

/// How clients may register themselves. Whatever they say about themselves is believed by nobody: the consent page says so, and
/// their consent is never remembered.
#[derive(Debug, Clone)]
pub struct Registration {
    initial_access_tokens: Option<Vec<Digest>>,
    /// One of them is short enough to be guessed.
    guessable: bool,
    grant_types: Vec<GrantType>,
    limit: Limit,
    policy: Option<Arc<dyn DynRegistrationPolicy>>,
    client_secret_lifetime: Option<Duration>,
    unused: Duration,
    idle: Option<Duration>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Registration {
    /// Anybody may register (RFC 7591 §3), 30 times a minute from one address and 300 times from all.
    #[must_use]
    pub fn open() -> Self {
        let grant_types = vec![
            GrantType::AuthorizationCode,
            GrantType::RefreshToken,
            GrantType::DeviceCode,
        ];
        Self {
            initial_access_tokens: None,
            guessable: false,
            grant_types,
            limit: Limit::per_minute(30, 300),
            policy: None,
            client_secret_lifetime: None,
            unused: DAY,
            idle: None,
        }
    }

    /// Who holds one of these initial access tokens may register, sending it as a bearer token (RFC 7591 §3). Make them with
    /// [`Secret::generate`]: wrong ones are not counted, since nobody guesses 256 bits. `build()` refuses one of less than 32 characters.
    #[must_use]
    pub fn with_initial_access_tokens<'a>(tokens: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut guessable = false;
        let digests = tokens
            .into_iter()
            .inspect(|token| guessable |= token.expose().len() < 32)
            .map(|token| initial_access_token(token.expose()))
            .collect();
        Self {
            initial_access_tokens: Some(digests),
            guessable,
            ..Self::open()
        }
    }

    /// The grants that a client may register for; others are left out of its registration. Default: code, refresh token and
    /// device code. With client credentials in it, whoever registers gets tokens without anybody's consent.
    #[must_use]
    pub fn grant_types(mut self, grant_types: impl IntoIterator<Item = GrantType>) -> Self {
        self.grant_types = grant_types.into_iter().collect();
        self
    }

    /// How many registrations are taken.
    #[must_use]
    pub fn limited_to(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    /// The host's say at every registration. Default: whatever the other settings allow, software statements ignored
    /// (RFC 7591 §3.1.1).
    #[must_use]
    pub fn policy(mut self, policy: impl RegistrationPolicy) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// How long the secrets live that clients are given, a minute to ten years, `client_secret_expires_at` of the answer (RFC 7591 §3.2.1). Default: without
    /// end. A client whose secret has ended registers anew.
    #[must_use]
    pub fn client_secret_lifetime(mut self, time: Duration) -> Self {
        self.client_secret_lifetime = Some(time);
        self
    }

    /// How long a client is kept that has registered and was never given a token: 1 hour to 10 years, default 24 hours.
    #[must_use]
    pub fn unused_client_lifetime(mut self, time: Duration) -> Self {
        self.unused = time;
        self
    }

    /// How long a client is kept after its last token: 1 day to 10 years, and not less than a refresh token lives, which would
    /// outlive its client. Default: 90 days, or as long as a refresh token. Software whose client is gone is told `invalid_client`, and
    /// registers anew.
    #[must_use]
    pub fn idle_client_lifetime(mut self, time: Duration) -> Self {
        self.idle = Some(time);
        self
    }

    pub(crate) fn check(&self, refresh_token: Duration) -> Result<(), ConfigError> {
        if self
            .initial_access_tokens
            .as_ref()
            .is_some_and(Vec::is_empty)
        {
            return Err(ConfigError::Contradiction {
                setting: "with_initial_access_tokens",
                why: "there is none, so that nobody could register",
            });
        }
        if self.guessable {
            return Err(ConfigError::Contradiction {
                setting: "with_initial_access_tokens",
                why: "one is shorter than 32 characters, and wrong ones are not counted",
            });
        }
        let (hour, most) = (Duration::from_secs(3600), 3650 * DAY);
        let secret = self.client_secret_lifetime.unwrap_or(most);
        let bounds = [
            ("client_secret_lifetime", secret, Duration::from_secs(60)),
            ("unused_client_lifetime", self.unused, hour),
            (
                "idle_client_lifetime",
                self.idle.unwrap_or(most),
                DAY.max(refresh_token),
            ),
        ];
        let wrong = bounds
            .iter()
            .find(|(_, time, least)| time < least || *time > most);
        wrong.map_or(Ok(()), |&(setting, _, least)| {
            Err(ConfigError::Lifetime {
                setting,
                least,
                most,
            })
        })
    }

    /// How long a client is kept after its last use, if that was set.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.idle
    }

    /// The grants that a client may register for, served or not.
    pub(crate) fn all_grant_types(&self) -> &[GrantType] {
        &self.grant_types
    }

    pub(crate) fn limit(&self) -> Limit {
        self.limit
    }

    /// Whether the request may register at all; before anything of it is parsed.
    fn admits(&self, headers: &HeaderMap) -> Result<(), OAuthError> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let field = fields.next();
        if fields.next().is_some() {
            return Err(OAuthError::invalid_request(
                "The Authorization header is repeated",
            ));
        }
        let Some(ours) = &self.initial_access_tokens else {
            return Ok(());
        };
        let refused = |code| OAuthError::new(code, "Registration needs an initial access token");
        let field = field.ok_or_else(|| refused(ErrorCode::MissingToken))?;
        let token = field.to_str().ok().and_then(|field| field.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let token = token.map(|(_, token)| initial_access_token(token.trim()));
        // All of them are compared, so that the time does not tell which one was near.
        let known = token.is_some_and(|token| {
            ours.iter()
                .fold(false, |known, ours| known | (*ours == token))
        });
        if known {
            Ok(())
        } else {
            Err(refused(ErrorCode::InvalidToken))
        }
    }
}

fn initial_access_token(token: &str) -> Digest {
    Digest::of("initial_access_token", token.as_bytes())
}

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Answer {
    register(server, request)
        .await
        .unwrap_or_else(|error| error.to_response())
        .into()
}

async fn register(server: &Inner, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
    let Some(registration) = &server.config.registration else {
        return Err(OAuthError::method_not_allowed(""));
    };
    if request.method() != Method::POST {
        return Err(OAuthError::method_not_allowed("POST"));
    }
    // Who may not register is not counted: a digest tells, and what holders of a token may do is not for strangers to use up.
    registration.admits(request.headers())?;
    let (now, address) = (server.now(), server.address(request));
    server.take(Attempt::Registration, address, now).await?;
    let media_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
    {
        return Err(OAuthError::new(
            ErrorCode::InvalidClientMetadata,
            "The body must be application/json",
        ));
    }
    let allowed: Vec<_> = registration
        .grant_types
        .iter()
        .copied()
        .filter(|grant| server.is_on(*grant))
        .collect();
    let (members, statement) = agreed(registration, parse(request.body())?, address).await?;
    let mut metadata =
        ClientMetadata::read(members)?.decide(&allowed, &server.config.catalog.scope())?;
    if let Some(statement) = statement {
        metadata.keep_software_statement(statement);
    }
    let (client, secret) = if metadata.auth_method == AuthMethod::None {
        (shared(server, registration, &metadata).await?, None)
    } else {
        let secret = Secret::generate()?;
        let client = create(server, registration, &metadata, Some(&secret)).await?;
        tell_registered(server, &client);
        (client, Some(secret))
    };
    let information = ClientInformation::new(&client, secret.as_ref());
    Ok(json(StatusCode::CREATED, &information))
}

/// What the host makes of the members of a request, and the software statement if it was believed.
async fn agreed(
    registration: &Registration,
    mut members: Map<String, Value>,
    address: Option<IpAddr>,
) -> Result<(Map<String, Value>, Option<Value>), OAuthError> {
    let Some(policy) = &registration.policy else {
        return Ok((members, None)); // RFC 7591 §3.1.1: a statement MAY be ignored
    };
    let asked = RegistrationRequest {
        metadata: &members,
        software_statement: software_statement(&members)?,
        has_initial_access_token: registration.initial_access_tokens.is_some(),
        address,
    };
    let (theirs, believed) = match policy.register(asked).await {
        RegistrationVerdict::Allow => (Map::new(), false),
        RegistrationVerdict::AllowWith(theirs) => (theirs, false),
        RegistrationVerdict::AllowStatement(theirs) => (theirs, true),
        RegistrationVerdict::Deny(denial) => return Err(denial.into()),
        RegistrationVerdict::Unavailable => {
            return Err(OAuthError::unavailable(
                "the host's registration policy is not available",
            ));
        }
    };
    let statement = members.get("software_statement").filter(|_| believed);
    let statement = statement.cloned();
    members.extend(theirs); // RFC 7591 §2.3: the statement's MUST take precedence
    members.retain(|_, value| !value.is_null());
    Ok((members, statement))
}

async fn create(
    server: &Inner,
    registration: &Registration,
    metadata: &ClientMetadata,
    secret: Option<&Secret>,
) -> Result<Client, StoreError> {
    let now = server.now();
    let id = Secret::generate_with_prefix(CLIENT_ID_PREFIX).map_err(StoreError::new)?;
    let id: ClientId = id.expose().parse().map_err(StoreError::new)?;
    let client = Client {
        registered_by: RegisteredBy::Itself,
        client_id_issued_at: now,
        client_name: metadata.client_name.clone(),
        redirect_uris: metadata.redirect_uris.clone(),
        grant_types: metadata.grant_types.clone(),
        scope: Some(metadata.scope.clone()),
        expires_at: now.saturating_add(registration.unused),
        dedupe: secret.is_none().then(|| metadata.digest()),
        metadata: metadata.kept(),
        ..Client::new(
            id.clone(),
            secret.map(|secret| ClientSecret::new(&id, secret)),
        )
    };
    let client = match registration.client_secret_lifetime {
        Some(time) => client.secret_expires_at(now.saturating_add(time)),
        None => client,
    };
    server
        .records
        .create(client_digest(&client.client_id), &client, now)
        .await?;
    Ok(client)
}

fn tell_registered(server: &Inner, client: &Client) {
    let (client_id, by) = (&client.client_id, client.registered_by);
    server.tell(&Event::ClientRegistered { client_id, by });
}

/// One client for all equal registrations of public clients: agents register endlessly. The client is put there first and the
/// pointer to it second; a pointer that leads nowhere any more is replaced.
async fn shared(
    server: &Inner,
    registration: &Registration,
    metadata: &ClientMetadata,
) -> Result<Client, StoreError> {
    let (records, digest) = (&server.records, metadata.digest());
    loop {
        let now = server.now();
        let pointer = records.load::<ClientDedupe>(digest, now).await?;
        if let Some(pointer) = &pointer {
            let client = records
                .load::<Client>(client_digest(&pointer.record.client_id), now)
                .await?;
            if let Some(client) = client
                .map(|read| read.record)
                .filter(|client| !client.disabled)
            {
                // Who registers what is there already has time to begin as well; again and again, it is not written every time.
                let unused = registration.unused;
                if client.expires_at.since(now) < unused / 2 {
                    keep_until(server, &client, now.saturating_add(unused)).await?;
                }
                return Ok(client);
            }
        }
        let client = create(server, registration, metadata, None).await?;
        let record = ClientDedupe {
            client_id: client.client_id.clone(),
            expires_at: client.expires_at,
        };
        let first = match pointer {
            None => records.create(digest, &record, now).await? != Insert::Exists,
            Some(mut read) => {
                read.record = record;
                records.update(digest, read).await? != Replace::Changed
            }
        };
        if first {
            tell_registered(server, &client);
            return Ok(client);
        }
        // Somebody registered the same at the same time: theirs it is.
        records
            .remove::<Client>(client_digest(&client.client_id))
            .await?;
    }
}
