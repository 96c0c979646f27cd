//! The authorization server: one value that answers the OAuth endpoints from inside any tower stack.
//!
//! Implemented: metadata (RFC 8414), authorization code with PKCE (RFC 6749, RFC 7636, RFC 9207), refresh tokens with rotation, client
//! credentials, the device grant (RFC 8628), introspection (RFC 7662), revocation (RFC 7009), registration (RFC 7591), resource
//! indicators (RFC 8707), JWT access tokens and their keys (RFC 9068, RFC 7517), step-up (RFC 9470 §4 to §6). Left out: the implicit
//! and password grants, for good (RFC 9700).

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::{OnceCell, Semaphore, watch};

mod approve;
mod authenticate;
mod authorization_code;
mod authorization_response;
mod authorize;
mod builder;
mod clients;
mod config;
mod connected_apps;
mod consent;
mod consent_answer;
mod cors;
#[cfg(feature = "metrics")]
mod count;
mod device;
mod event;
mod flags;
mod grants;
mod interaction;
mod interaction_json;
mod introspect;
mod issue;
#[cfg(feature = "jwt")]
mod jwks;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(feature = "jwt")]
mod jwt_settings;
#[cfg(feature = "jwt")]
mod key_schedule;
#[cfg(feature = "jwt")]
mod key_seal;
#[cfg(feature = "jwt")]
mod keys;
mod known_clients;
mod layer;
mod metadata;
mod opaque_token;
mod policy;
mod register;
mod registration_policy;
mod revoke;
mod seen;
mod self_check;
mod self_check_requests;
mod sign_in;
mod signed_in;
#[cfg(feature = "jwt")]
mod signing_keys;
mod tasks;
mod throttle;
mod token;
mod verification;
mod waiting;

pub use builder::AuthorizationServerBuilder;
pub use clients::{Clients, CreateClient};
pub use config::ConfigError;
pub use event::{Event, EventSink, RevokedBy};
pub use grants::{Granted, Grants};
pub use interaction::{Approval, Decision, Interaction, NotPending, PendingRequest};
#[cfg(feature = "jwt")]
pub use jwt::AccessTokenFormat;
pub use layer::{Endpoints, EndpointsLayer, NotFound, ResponseFuture};
pub use policy::{Issuance, Policy, Verdict};
pub use register::Registration;
pub use registration_policy::{
    RegistrationDenial, RegistrationPolicy, RegistrationRequest, RegistrationVerdict,
};
pub use self_check::{Finding, SelfCheckError};
pub use signed_in::SignedIn;
#[cfg(feature = "jwt")]
pub use signing_keys::{SigningKeyUse, SigningKeys};
pub use throttle::{Attempt, Limit, Taken, Throttle};

use self::config::Config;
use self::event::Events;
use self::flags::Flags;
use self::known_clients::KnownClients;
use self::throttle::DynThrottle;
use crate::protocol::error::OAuthError;
use crate::store::{DynStore, Insert, Observer, Records, StoreError};
use crate::types::record::ServerKey;
use crate::types::{Clock, Digest, GrantType, IssuerUrl, Timestamp};

/// An endpoint of the server, to set its [`path`](AuthorizationServerBuilder::path).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// The metadata document (RFC 8414 §3), default `/.well-known/oauth-authorization-server` and the issuer's path.
    Metadata,
    /// The authorization endpoint (RFC 6749 §3.1), default `/auth/authorize`.
    Authorize,
    /// The token endpoint (RFC 6749 §3.2), default `/auth/token`.
    Token,
    /// The device authorization endpoint (RFC 8628 §3.1), default `/auth/device`.
    Device,
    /// Where people type device codes in (RFC 8628 §3.3), default `/device`.
    Verification,
    /// Where people see which applications may use their account, and take it back, default `/connected-apps`; there with
    /// [`connected_apps`](AuthorizationServerBuilder::connected_apps).
    ConnectedApps,
    /// The introspection endpoint (RFC 7662 §2), default `/auth/introspect`.
    Introspect,
    /// The revocation endpoint (RFC 7009 §2), default `/auth/revoke`.
    Revoke,
    /// The registration endpoint (RFC 7591 §3), default `/auth/register`.
    Register,
    /// The JWK set (RFC 7517 §5), default `/auth/jwks.json`; there if some access token is a JWT.
    Jwks,
}

impl Endpoint {
    const ALL: [Self; 10] = [
        Self::Metadata,
        Self::Authorize,
        Self::Token,
        Self::Device,
        Self::Verification,
        Self::ConnectedApps,
        Self::Introspect,
        Self::Revoke,
        Self::Register,
        Self::Jwks,
    ];

    const fn default_path(self) -> &'static str {
        match self {
            Self::Metadata => "/.well-known/oauth-authorization-server",
            Self::Authorize => "/auth/authorize",
            Self::Token => "/auth/token",
            Self::Device => "/auth/device",
            Self::Verification => "/device",
            Self::ConnectedApps => "/connected-apps",
            Self::Introspect => "/auth/introspect",
            Self::Revoke => "/auth/revoke",
            Self::Register => "/auth/register",
            Self::Jwks => "/auth/jwks.json",
        }
    }
}

impl From<StoreError> for OAuthError {
    /// A store that failed says nothing about what was asked.
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

/// What stands at a path of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Endpoint(Endpoint),
    /// The metadata of a resource (RFC 9728).
    ProtectedResource,
}

impl Route {
    /// Whether a person looks at the answers, and not a program.
    const fn is_for_people(self) -> bool {
        matches!(
            self,
            Self::Endpoint(Endpoint::Authorize | Endpoint::Verification | Endpoint::ConnectedApps)
        )
    }
}

/// What an endpoint answers.
pub(crate) enum Answer {
    Respond(Response<Bytes>),
    /// The inner service renders the page.
    Forward(Box<PendingRequest>),
}

impl From<Response<Bytes>> for Answer {
    fn from(response: Response<Bytes>) -> Self {
        Self::Respond(response)
    }
}

impl From<OAuthError> for Answer {
    fn from(error: OAuthError) -> Self {
        Self::Respond(error.to_response())
    }
}

/// An authorization server. Clones are the same server.
///
/// ```
/// use tower_oauth::{AuthorizationServer, types::Subject};
///
/// #[derive(Clone)]
/// struct User { id: String }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let oauth = AuthorizationServer::builder("https://notes.example")
///     .resource("https://notes.example", ["notes:read", "notes:write"])
///     .login("/login", |parts| parts.extensions.get::<User>().and_then(|user| Subject::new(&user.id).ok()))
///     .build()?;
/// let layer = oauth.layer(); // around any tower service
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuthorizationServer(pub(crate) Arc<Inner>);

/// What the clones share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) records: Records,
    pub(crate) flags: Flags,
    known_clients: KnownClients,
    /// Where the next access tokens stand in the store.
    places: opaque_token::Places,
    events: Arc<Events>,
    clock: Arc<dyn Clock>,
    routes: HashMap<String, Route>,
    documents: metadata::Documents,
    throttle: Arc<dyn DynThrottle>,
    /// How many slow digests are made at once.
    slow_proofs: Arc<Semaphore>,
    server_key: OnceCell<Digest>,
    #[cfg(feature = "jwt")]
    known_keys: keys::KnownKeys,
    tasks: tasks::Tasks,
    /// Dropped with the last clone: that is how background tasks learn of it.
    alive: watch::Sender<()>,
}

impl AuthorizationServer {
    /// Begins to build a server for an issuer: an `https` URL without query or fragment (RFC 8414 §2), configured here and never
    /// read from a request.
    pub fn builder(issuer: impl Into<String>) -> AuthorizationServerBuilder {
        AuthorizationServerBuilder::new(issuer.into())
    }

    fn new(
        config: Config,
        (events, throttle): (Events, Arc<dyn DynThrottle>),
        store: Arc<dyn DynStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let events = Arc::new(events);
        Self(Arc::new(Inner {
            routes: routes(&config),
            documents: metadata::Documents::new(&config),
            throttle,
            slow_proofs: Arc::new(Semaphore::new(2)),
            records: Records::new(store, Arc::clone(&events) as Arc<dyn Observer>),
            flags: Flags::default(),
            places: opaque_token::Places::default(),
            known_clients: KnownClients::default(),
            events,
            config,
            clock,
            server_key: OnceCell::new(),
            #[cfg(feature = "jwt")]
            known_keys: keys::KnownKeys::default(),
            tasks: tasks::Tasks::default(),
            alive: watch::Sender::new(()),
        }))
    }

    /// The layer that answers the endpoints and passes everything else on. It matches whole paths: put it on the outermost router,
    /// inside of the host's session layer.
    #[must_use]
    pub fn layer(&self) -> EndpointsLayer {
        EndpointsLayer::new(self.clone())
    }

    /// The endpoints as a service of their own, with 404 for everything else.
    ///
    /// Below a router that takes a prefix away, say so: `nest_service("/auth", oauth.service().nested_at("/auth"))`; the paths that
    /// are not under that prefix (the metadata, the page for device codes) then need a place of their own at the root.
    #[must_use]
    pub fn service(&self) -> Endpoints<NotFound> {
        Endpoints::new(NotFound, self.clone())
    }

    /// What must stand at the root of the host when the rest is nested: the metadata documents, by their whole paths
    /// (RFC 8414 §3.1, RFC 9728 §3.1). It is [`service`](Self::service) under the name of its use: `route_service("/.well-known/{*path}", …)`.
    #[must_use]
    pub fn well_known_service(&self) -> Endpoints<NotFound> {
        self.service()
    }

    /// The issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &IssuerUrl {
        &self.0.config.issuer
    }

    /// The clients, for the host.
    #[must_use]
    pub fn clients(&self) -> Clients<'_> {
        Clients(&self.0)
    }

    /// What owners have granted, for the host.
    #[must_use]
    pub fn grants(&self) -> Grants<'_> {
        Grants(&self.0)
    }

    /// Where the host's login sends the browser when somebody has signed in: the path at which the waiting request goes on.
    #[must_use]
    pub fn resume_path(&self, interaction: &str) -> String {
        self.0.resume_path(interaction)
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer")
            .field("issuer", self.issuer())
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Answers a request to an endpoint of ours.
    async fn answer(self: &Arc<Self>, route: Route, request: &Request<Bytes>) -> Answer {
        tasks::start(self);
        match route {
            Route::Endpoint(Endpoint::Metadata) => self.documents.metadata(request).into(),
            Route::ProtectedResource => self.documents.protected_resource(request).into(),
            Route::Endpoint(Endpoint::Token) => token::handle(self, request).await,
            Route::Endpoint(Endpoint::Introspect) => introspect::handle(self, request).await,
            // Boxed: the others are large, and rare beside these two.
            Route::Endpoint(Endpoint::Authorize) => {
                Box::pin(authorize::handle(self, request)).await
            }
            Route::Endpoint(Endpoint::Device) => Box::pin(device::handle(self, request)).await,
            Route::Endpoint(Endpoint::Verification) => {
                Box::pin(verification::handle(self, request)).await
            }
            Route::Endpoint(Endpoint::ConnectedApps) => {
                Box::pin(connected_apps::handle(self, request)).await
            }
            Route::Endpoint(Endpoint::Revoke) => Box::pin(revoke::handle(self, request)).await,
            Route::Endpoint(Endpoint::Register) => Box::pin(register::handle(self, request)).await,
            #[cfg(feature = "jwt")]
            Route::Endpoint(Endpoint::Jwks) => Box::pin(jwks::handle(self, request)).await.into(),
            // Without JWTs it has no route.
            #[cfg(not(feature = "jwt"))]
            Route::Endpoint(Endpoint::Jwks) => OAuthError::unavailable("there is no JWK set")
                .to_response()
                .into(),
        }
    }

    fn is_on(&self, grant_type: GrantType) -> bool {
        self.config.grant_types.contains(&grant_type)
    }

    fn path(&self, endpoint: Endpoint) -> &str {
        self.config
            .paths
            .get(&endpoint)
            .map_or(endpoint.default_path(), String::as_str)
    }

    fn resume_path(&self, interaction: &str) -> String {
        Self::with_interaction(self.path(Endpoint::Authorize), interaction)
    }

    /// A path of the host or of ours, with the id of a request in its query.
    fn with_interaction(path: &str, interaction: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("interaction", interaction)
            .finish();
        let joint = if path.contains('?') { '&' } else { '?' };
        format!("{path}{joint}{query}")
    }

    /// The address that a request comes from, as the host tells it.
    fn address(&self, request: &Request<Bytes>) -> Option<IpAddr> {
        (self.config.client_address)(&approve::request_parts(request).into_parts().0)
    }

    /// Counts an attempt, or refuses it with 429.
    async fn take(
        &self,
        attempt: Attempt<'_>,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), OAuthError> {
        if seen::is_probe() {
            return Ok(());
        }
        match self.throttle.take(attempt, address, now).await {
            Taken::Taken => Ok(()),
            Taken::TooMany { retry_after } => Err(OAuthError::too_many_requests(
                u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX),
            )),
        }
    }

    /// The key under which user codes are kept, and what only the server may read, made by the first node that needs it.
    async fn server_key(&self) -> Result<Digest, StoreError> {
        let load = || async {
            let (digest, now) = (Digest::of("server_key", b"user codes"), self.now());
            let random = crate::types::random::<32>().map_err(StoreError::new)?;
            let key = Digest::from_bytes(*random);
            match self.records.create(digest, &ServerKey { key }, now).await? {
                Insert::Inserted(_) => Ok(key),
                Insert::Exists => {
                    let read = self.records.load::<ServerKey>(digest, now).await?;
                    read.map(|read| read.record.key)
                        .ok_or_else(|| StoreError::new("the server key is gone"))
                }
            }
        };
        self.server_key.get_or_try_init(load).await.copied()
    }

    fn sleep(&self, time: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        self.clock.sleep(time)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("issuer", &self.config.issuer)
            .finish_non_exhaustive()
    }
}

impl Config {
    pub(crate) fn url(&self, endpoint: Endpoint) -> String {
        format!(
            "{}{}",
            self.issuer.origin(),
            self.paths
                .get(&endpoint)
                .map_or(endpoint.default_path(), String::as_str)
        )
    }

    /// Whether an endpoint is served: what is off is the inner service's to answer.
    pub(crate) fn serves(&self, endpoint: Endpoint) -> bool {
        let on = |grant_type| self.grant_types.contains(&grant_type);
        match endpoint {
            Endpoint::Authorize => on(GrantType::AuthorizationCode) || on(GrantType::DeviceCode),
            Endpoint::Device | Endpoint::Verification => on(GrantType::DeviceCode),
            Endpoint::ConnectedApps => self.connected_apps,
            Endpoint::Register => self.registration.is_some(),
            #[cfg(feature = "jwt")]
            Endpoint::Jwks => self.jwt.is_on(),
            #[cfg(not(feature = "jwt"))]
            Endpoint::Jwks => false,
            Endpoint::Introspect | Endpoint::Revoke => !self.without.contains(&endpoint),
            Endpoint::Metadata | Endpoint::Token => true,
        }
    }
}

impl Config {
    /// Whether an endpoint that is served is at this path.
    pub(crate) fn serves_at(&self, path: &str) -> bool {
        let mut paths = self.paths.iter();
        paths.any(|(endpoint, other)| other == path && self.serves(*endpoint))
    }
}

fn routes(config: &Config) -> HashMap<String, Route> {
    let mut routes = HashMap::new();
    for resource in &config.catalog.resources {
        if resource.uri.origin().as_deref() == Some(config.issuer.origin()) {
            routes.insert(resource.uri.well_known_path(), Route::ProtectedResource);
        }
    }
    let served = config
        .paths
        .iter()
        .filter(|(endpoint, _)| config.serves(**endpoint));
    routes.extend(served.map(|(endpoint, path)| (path.clone(), Route::Endpoint(*endpoint))));
    routes
}
