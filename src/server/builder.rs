//! The settings of a server, each with its default and its limits.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::config::{
    ClientAddress, Config, ConfigError, Lifetimes, described, grant_types, origins, paths, scope,
};
use super::event::{EventSink, Events};
use super::interaction::{DynInteraction, Interaction, Login};
use super::policy::{DynPolicy, Policy};
use super::throttle::{DynThrottle, Limit, Limits, LocalThrottle, Throttle};
use super::{AuthorizationServer, Endpoint, Registration, SignedIn};
use crate::grant::{Catalog, Resource};
use crate::pages::Pages;
use crate::store::{DynStore, MemoryStore, Store};
use crate::types::{Clock, GrantType, IssuerUrl, SystemClock};

/// Builds an [`AuthorizationServer`]. Each setting has a safe default; [`build`](Self::build) checks them all and does no I/O.
#[must_use]
pub struct AuthorizationServerBuilder {
    issuer: String,
    store: Arc<dyn DynStore>,
    clock: Arc<dyn Clock>,
    resources: Vec<(String, Vec<String>)>,
    scopes: Vec<String>,
    default_scope: Option<String>,
    scope_descriptions: HashMap<String, String>,
    paths: HashMap<Endpoint, String>,
    login_path: Option<String>,
    consent_path: Option<String>,
    acr_values: Vec<String>,
    interaction: Option<Box<dyn DynInteraction>>,
    policy: Option<Box<dyn DynPolicy>>,
    events: Events,
    registration: Option<Registration>,
    browser_clients: Vec<String>,
    grant_types: Option<Vec<GrantType>>,
    without: Vec<Endpoint>,
    connected_apps: bool,
    /// Boxed: a builder is moved often.
    pages: Box<Pages>,
    client_address: ClientAddress,
    lifetimes: Lifetimes,
    limits: Limits,
    throttle: Option<Arc<dyn DynThrottle>>,
    #[cfg(feature = "jwt")]
    pub(crate) jwt: super::jwt_settings::JwtSettings,
}

impl AuthorizationServerBuilder {
    pub(crate) fn new(issuer: String) -> Self {
        Self {
            issuer,
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(SystemClock),
            resources: Vec::new(),
            scopes: Vec::new(),
            default_scope: None,
            scope_descriptions: HashMap::new(),
            paths: HashMap::new(),
            login_path: None,
            consent_path: None,
            acr_values: Vec::new(),
            interaction: None,
            policy: None,
            events: Events::default(),
            registration: None,
            browser_clients: Vec::new(),
            grant_types: None,
            without: Vec::new(),
            connected_apps: false,
            pages: Box::default(),
            client_address: Box::new(|parts| parts.extensions.get::<IpAddr>().copied()),
            lifetimes: Lifetimes::default(),
            limits: Limits::default(),
            throttle: None,
            #[cfg(feature = "jwt")]
            jwt: super::jwt_settings::JwtSettings::default(),
        }
    }

    /// Where everything is kept. Default: a [`MemoryStore`], which forgets when the process ends.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Where time comes from. Default: the computer's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds an API, by its identifier (RFC 8707 §2), and the scopes that mean something to it. The first one is the audience of
    /// tokens that were asked for without `resource`. Its metadata document (RFC 9728) is served too if it has the issuer's origin.
    pub fn resource(
        mut self,
        resource: impl Into<String>,
        scopes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.resources.push((
            resource.into(),
            scopes.into_iter().map(Into::into).collect(),
        ));
        self
    }

    /// Adds scopes that belong to no resource in particular, such as `offline_access`; they are never cut from a token.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// What a request without `scope` gets (RFC 6749 §3.3), one text with spaces and not empty, cut to what its client may have. Without this
    /// setting it gets what its client was registered with, and `invalid_scope` if that was not limited either.
    pub fn default_scope(mut self, scope: impl Into<String>) -> Self {
        self.default_scope = Some(scope.into());
        self
    }

    /// What people are told on the consent page that a scope allows, one of [`scopes`](Self::scopes) or of a
    /// [`resource`](Self::resource). Default: the scope itself.
    pub fn describe_scope(
        mut self,
        scope: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.scope_descriptions
            .insert(scope.into(), description.into());
        self
    }

    /// The host's own login, which is enough for most: who is signed in, as a [`Subject`](crate::types::Subject) or a [`SignedIn`] that says how, by the parts of the request (its extensions hold what
    /// the host's session layer put there, if that layer is outside of this one), and where to send everybody else. The login page
    /// finds the id of the waiting request in its query as `interaction`, and when it is done sends the browser to
    /// [`AuthorizationServer::resume_path`].
    ///
    /// Without this or [`interaction`](Self::interaction) nobody can be asked: the authorization code and device grants are off.
    pub fn login<W: Into<SignedIn>>(
        self,
        path: impl Into<String>,
        who: impl Fn(&Parts) -> Option<W> + Send + Sync + 'static,
    ) -> Self {
        self.interaction(path, Login(who))
    }

    /// The host's login and consent in full control, and the path that [`Decision::Login`](super::Decision::Login) sends to.
    pub fn interaction(
        mut self,
        login_path: impl Into<String>,
        interaction: impl Interaction,
    ) -> Self {
        self.login_path = Some(login_path.into());
        self.interaction = Some(Box::new(interaction));
        self
    }

    /// The ways to sign in that the host knows, the `acr` of [`SignedIn`]: for the metadata, `acr_values_supported`. What a request
    /// asks for is held against what the host says of a sign-in, whether it stands here or not. Not without a login. Default: the metadata
    /// says nothing.
    pub fn acr_values_supported(
        mut self,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.acr_values = values.into_iter().map(Into::into).collect();
        self
    }

    /// A page of the host's in place of the built-in consent page, for single-page apps: a path, to which the browser is sent with the
    /// id of the request in its query as `interaction`. The page asks and answers in JSON at the
    /// [authorization endpoint](super::Endpoint::Authorize), from the same origin; there is no CORS for it.
    ///
    /// `GET /auth/authorize?interaction=ID` with `Accept: application/json` gives the request (members without a value are left out):
    ///
    /// ```json
    /// { "interaction": "…", "action": "/auth/authorize",
    ///   "client": { "client_id": "…", "client_name": "Harbor", "vouched_for": true,
    ///               "client_uri": "…", "policy_uri": "…", "tos_uri": "…", "logo_uri": "…" },
    ///   "scope": [{ "scope": "notes:read", "description": "Read your notes" }], "resources": ["https://notes.example"],
    ///   "redirect_uri": "https://app.example/cb", "lifetime": 7776000, "prompt": ["consent"], "login_hint": "…", "ui_locales": ["de"],
    ///   "device": { "user_code": "WDJB-MJHT", "age": 12, "address": "192.0.2.7" },
    ///   "next": "consent", "csrf": "…", "signed_in": { "sub": "1001", "name": "Alice Smith" } }
    /// ```
    ///
    /// `redirect_uri` is there for a code request, `device` for a device (compare its code with the person). `next` says what to do:
    /// `consent` (ask this person), `login` (go to the URL in the member `login`), `continue` (go to the URL in the member `continue`:
    /// the host decides without asking), or `host` (its [`Interaction`] answers or forwards, and it alone knows what is next). Names and
    /// addresses of a client are a stranger's text: show them as text, and `vouched_for: false` as a warning. `lifetime` is in seconds.
    /// To look ends nothing: a login that is a program reads here what it is for, as often as it likes, and then goes on to
    /// [`resume_path`](AuthorizationServer::resume_path), where a sign-in that is still not what was asked for ends the request.
    ///
    /// `POST /auth/authorize` with `Content-Type: application/json` answers, `scope` being a part of what was asked for, or left out for all of it:
    ///
    /// ```json
    /// { "interaction": "…", "csrf": "…", "decision": "allow", "scope": "notes:read" }
    /// ```
    ///
    /// | status | body | |
    /// |---|---|---|
    /// | 200 | `{"redirect_to": "https://app.example/cb?code=…"}` | go there with `location.assign`: the client, or the login if nobody is signed in any more |
    /// | 200 | `{"status": "device_connected"}` or `{"status": "denied"}` | for a device |
    /// | 400 | `{"error": "invalid_request", "error_description": "…"}` | the answer cannot be read |
    /// | 400 | `{"error": "login_required", …}` | the sign-in was not enough, or another error has ended the request of a client that registered itself; others are told by `redirect_to` |
    /// | 403 | `{"error": "forged", …}` | a wrong `csrf`, another origin, or another person than the one who was asked |
    /// | 404 | `{"error": "unknown_interaction", …}` | the request has expired, or never was |
    /// | 409 | `{"error": "already_decided", …}` | another answer was given, and is final; or this one, and its code was used |
    /// | 413 | `{"error": "invalid_request", …}` | the answer is longer than 16 KiB |
    /// | 429 | `{"error": "temporarily_unavailable", …}` | too many requests, or second clicks; `Retry-After` says when to try again |
    /// | 503 | `{"error": "temporarily_unavailable", …}` | try again, `Retry-After` says when |
    ///
    /// `decision` is `allow` or `deny`. The rules are those of the form: the host is asked again who is signed in, the answer must come
    /// from the same origin (by `Sec-Fetch-Site`, and by `Origin` where a browser does not send that) with the value that this person was
    /// given, and counts once: the same answer again is answered alike, with a code that takes the place of the one before.
    pub fn consent_page(mut self, path: impl Into<String>) -> Self {
        self.consent_path = Some(path.into());
        self
    }

    /// A page where people see which applications may use their account, and take it back: at [`Endpoint::ConnectedApps`]. Default: off.
    ///
    /// It asks the host who is signed in: the closure of [`login`](Self::login), or
    /// [`Interaction::signed_in`](super::Interaction::signed_in). Anybody else is sent to the login path with `connected-apps` as the
    /// `interaction`; a login that goes on to [`resume_path`](AuthorizationServer::resume_path), as it does for a request, leads back.
    ///
    /// The same as JSON, for an application of the host's own at the same origin, with `Accept: application/json`. The list:
    /// `{"apps": [{"client_id", "client_name", "vouched_for", "redirect_uris", "on_device", "client_uri"?, "scope", "since", "renewed", "ends", "csrf"}],
    /// "next"?}`, times in seconds since 1970, `renewed` being when it last got new tokens (and so its last use, to within the life of an
    /// access token), `next` the path of the rest. To take access back, a form (`application/x-www-form-urlencoded`) with `client_id` and
    /// `csrf` is posted to the same path: `{"removed": true}`, or `false` if no grant was alive; what was approved and is no grant yet has
    /// ended in either case. Nobody signed in: 403 `access_denied`; a wrong or old `csrf`, or another origin: 403 `invalid_request`.
    pub fn connected_apps(mut self) -> Self {
        self.connected_apps = true;
        self
    }

    /// The look, the words and the languages of the built-in pages.
    pub fn pages(mut self, pages: Pages) -> Self {
        self.pages = Box::new(pages);
        self
    }

    /// The host's say at every issue. Default: everything that the grant allows, without further claims.
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Some(Box::new(policy));
        self
    }

    /// Who hears of what happens, such as an audit trail. Default: nobody besides the log (and the metrics, with feature `metrics`).
    pub fn events(mut self, sink: impl EventSink) -> Self {
        self.events = Events(Some(Box::new(sink)));
        self
    }

    /// Lets clients register themselves (RFC 7591). Default: off.
    pub fn registration(mut self, registration: Registration) -> Self {
        self.registration = Some(registration);
        self
    }

    /// Origins whose pages may call the token, revocation, registration and device authorization endpoints (CORS), such as
    /// `https://app.example` (`http` or `https`); `*` is any. Default: none. The metadata documents are open to all, the authorization endpoint to none.
    pub fn browser_clients(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.browser_clients
            .extend(origins.into_iter().map(Into::into));
        self
    }

    /// How to find the address of a caller, for throttling; behind a proxy only the host knows which header to trust. **Set it**: without
    /// addresses only the limits of clients and of all callers together hold, so that one machine can use them up and hold everybody
    /// else back. The log warns once when that happens.
    ///
    /// Default: an [`IpAddr`] in the extensions of the request, which no framework puts there by itself. With axum, served with
    /// `app.into_make_service_with_connect_info::<SocketAddr>()`:
    /// `|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())`.
    pub fn client_address(
        mut self,
        address: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.client_address = Box::new(address);
        self
    }

    /// Where an endpoint is, from the root of the host. Default: under `/auth`, behind the path of the issuer; people type device
    /// codes in at `/device`.
    pub fn path(mut self, endpoint: Endpoint, path: impl Into<String>) -> Self {
        self.paths.insert(endpoint, path.into());
        self
    }

    /// The grants that are served; others are `unsupported_grant_type`, and the endpoints that only they need are not there. Default: all
    /// four if people can be asked ([`login`](Self::login)), or else client credentials.
    pub fn grant_types(mut self, grant_types: impl IntoIterator<Item = GrantType>) -> Self {
        self.grant_types = Some(grant_types.into_iter().collect());
        self
    }

    /// Leaves out [`Endpoint::Introspect`] or [`Endpoint::Revoke`]: a request to its path is the inner service's. The others are there if
    /// something needs them.
    pub fn without(mut self, endpoint: Endpoint) -> Self {
        self.without.push(endpoint);
        self
    }

    /// How long an authorization code lives: 1 second to 10 minutes, default 60 seconds (RFC 6749 §4.1.2).
    pub fn authorization_code_lifetime(mut self, time: Duration) -> Self {
        self.lifetimes.authorization_code = time;
        self
    }

    /// How long an access token lives: 1 second to a day (RFC 6750 §5.3 asks for an hour or less). Default: 10 minutes, and 5 for a JWT,
    /// which resources go on taking after it was revoked.
    pub fn access_token_lifetime(mut self, time: Duration) -> Self {
        self.lifetimes.access_token = time;
        self.lifetimes.jwt = time;
        self
    }

    /// How long a refresh token lives if it is not used: default 14 days.
    pub fn refresh_token_lifetime(mut self, time: Duration) -> Self {
        self.lifetimes.refresh_token = time;
        self.lifetimes.refresh_family = self.lifetimes.refresh_family.max(time);
        self
    }

    /// How long an approval can be refreshed, however often that is done: at least
    /// [`refresh_token_lifetime`](Self::refresh_token_lifetime) and the longest life of an access token, default 90 days.
    pub fn refresh_family_lifetime(mut self, time: Duration) -> Self {
        self.lifetimes.refresh_family = time;
        self
    }

    /// How long a used refresh token still gives the same successor again, for clients that lost the answer: 0 to 60 seconds,
    /// default 30.
    pub fn refresh_retry_window(mut self, time: Duration) -> Self {
        self.lifetimes.refresh_retry_window = time;
        self
    }

    /// How long a device code lives: a second more than [`device_interval`](Self::device_interval) to an hour, default 10 minutes (RFC 8628 §3.2).
    pub fn device_code_lifetime(mut self, time: Duration) -> Self {
        self.lifetimes.device_code = time;
        self
    }

    /// How long a device waits between polls: 1 to 60 seconds, default 5 (RFC 8628 §3.2).
    pub fn device_interval(mut self, time: Duration) -> Self {
        self.lifetimes.device_interval = time;
        self
    }

    /// How long a request waits for its owner: 1 minute to an hour, default 10 minutes.
    pub fn interaction_lifetime(mut self, time: Duration) -> Self {
        self.lifetimes.interaction = time;
        self
    }

    /// How many wrong client secrets are taken (RFC 6749 §2.3.1). Default: 10 a minute for one client from one address, 30 from one
    /// address, 1,000 from all.
    ///
    /// A *right* secret that was generated is never held back, so nobody can lock its holder out; one that a person chose is, once there
    /// were too many.
    pub fn wrong_client_secrets(mut self, limit: Limit) -> Self {
        self.limits.client_secrets = limit;
        self
    }

    /// How many wrong user codes are taken (RFC 8628 §5.1). Default: 10 a minute from one address, 100 from all.
    pub fn wrong_user_codes(mut self, limit: Limit) -> Self {
        self.limits.user_codes = limit;
        self
    }

    /// How many requests may begin to wait for an owner. With [`interaction_lifetime`](Self::interaction_lifetime) this bounds how many
    /// of one client wait at a time. An answer that is given again counts as one. Default: 60 a minute from one address, 600 of one client,
    /// 3,000 of all.
    pub fn authorization_requests(mut self, limit: Limit) -> Self {
        self.limits.authorization_requests = limit;
        self
    }

    /// How many device codes are given out. With [`device_code_lifetime`](Self::device_code_lifetime) this bounds how many of one client
    /// live at a time. Default: 30 a minute to one address, 300 to one client, 1,000 to all.
    pub fn device_requests(mut self, limit: Limit) -> Self {
        self.limits.device_requests = limit;
        self
    }

    /// Counts attempts in the host's own way, such as for all nodes together. Default: in this process, by the limits above and that of
    /// [`Registration`], which have no effect with this.
    pub fn throttle(mut self, throttle: impl Throttle) -> Self {
        self.throttle = Some(Arc::new(throttle));
        self
    }

    /// Checks everything and builds the server. No I/O, no runtime.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that is wrong.
    pub fn build(self) -> Result<AuthorizationServer, ConfigError> {
        self.lifetimes.check()?;
        let refresh_token = self.lifetimes.refresh_token;
        self.registration
            .as_ref()
            .map_or(Ok(()), |registration| registration.check(refresh_token))?;
        let issuer: IssuerUrl = self.issuer.parse()?;
        let mut catalog = Catalog {
            general: scope("scopes", &self.scopes.join(" "))?,
            ..Catalog::default()
        };
        for (uri, scopes) in self.resources {
            let invalid = || ConfigError::Resource(uri.clone());
            let scope = scopes.join(" ").parse().map_err(|_| invalid())?;
            let resource = Resource {
                uri: uri.parse().map_err(|_| invalid())?,
                scope,
            };
            if catalog
                .resources
                .iter()
                .any(|other| other.uri == resource.uri)
            {
                return Err(ConfigError::ResourceTwice(uri));
            }
            catalog.resources.push(resource);
        }
        if let Some(text) = self.default_scope {
            let default = scope("default_scope", &text)?;
            if default.is_empty() || !catalog.scope().contains_all(&default) {
                return Err(ConfigError::Scope {
                    setting: "default_scope",
                    scope: text,
                });
            }
            catalog.default_scope = Some(default);
        }
        let in_general = self.scope_descriptions.keys().map(String::as_str);
        described(in_general.chain(self.pages.described()), &catalog)?;
        let grant_types = grant_types(self.grant_types, self.interaction.is_some())?;
        let config = Config {
            #[cfg(feature = "jwt")]
            jwt: self.jwt.build(&catalog, &self.lifetimes)?,
            paths: paths(&issuer, &self.paths)?,
            browser_clients: origins(&self.browser_clients)?,
            issuer,
            catalog,
            scope_descriptions: self.scope_descriptions,
            login_path: self.login_path,
            consent_path: self.consent_path,
            acr_values: self.acr_values,
            interaction: self.interaction,
            policy: self.policy,
            registration: self.registration,
            client_address: self.client_address,
            grant_types,
            without: self.without,
            connected_apps: self.connected_apps,
            another_account: self.pages.another_account,
            pages: self.pages.build()?,
            lifetimes: self.lifetimes,
        };
        config.check(&self.paths)?;
        let mut limits = self.limits;
        if let Some(registration) = &config.registration {
            limits.registrations = registration.limit();
        }
        limits.check()?;
        let throttle = self.throttle;
        let throttle = throttle.unwrap_or_else(|| Arc::new(LocalThrottle::new(limits)));
        Ok(AuthorizationServer::new(
            config,
            (self.events, throttle),
            self.store,
            self.clock,
        ))
    }
}

impl fmt::Debug for AuthorizationServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServerBuilder")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}
