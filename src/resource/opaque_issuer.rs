//! The settings of an issuer that is asked about its tokens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::client_auth::{ClientAuth, Credentials};
use super::endpoint::Endpoint;
use super::http_client::{Http, HttpClient};
use super::introspection::{Introspection, Limits};
use super::issuer::{Issuer, Surroundings, Tokens};
use super::{ConfigError, validator::DynValidator};
use crate::protocol::introspected::Tolerance;
use crate::types::{Audience, EndpointUrl, InvalidEndpointUrl, InvalidIssuerUrl, IssuerUrl};

/// The longest [`timeout`](OpaqueIssuer::timeout): beyond that the client of the request has gone.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The most [`calls_in_flight`](OpaqueIssuer::calls_in_flight).
const MOST_CALLS: usize = 4096;

impl Issuer {
    /// An issuer that is asked about its tokens (RFC 7662), whatever they are made of. What it says is kept within
    /// [`CacheLimits`](super::CacheLimits).
    ///
    /// `url` is the issuer identifier (RFC 8414 §2). It is shown JWTs that name it and, if they begin with its
    /// [`token_prefix`](OpaqueIssuer::token_prefix), JWTs that name nobody and tokens that are no JWTs; other tokens cost it no request.
    ///
    /// Its answers have to say whom a token is meant for. Most issuers do if the client asks for the token with this resource's identifier
    /// as `resource` (RFC 8707).
    pub fn opaque(url: &str) -> OpaqueIssuer {
        OpaqueIssuer {
            url: url.parse(),
            endpoint: None,
            client: None,
            prefix: None,
            cached_for: None,
            timeout: Duration::from_secs(5),
            calls_in_flight: 64,
            http: None,
            tolerance: Tolerance::default(),
            assumed_audience: None,
        }
    }
}

/// Settings of an issuer that is asked about its tokens (RFC 7662); see [`Issuer::opaque`].
///
/// | it answers | and the request gets |
/// |---|---|
/// | that the token is active, and meant for this resource | through |
/// | that it is not active; or active, but of another issuer, for another resource, bound to a key, or no access token | 401 `invalid_token` |
/// | anything else, late, or not at all | 503: nobody can say; nothing is kept |
///
/// That includes a 401 to our own credentials, which is logged as an error when it begins. An issuer that five times in a row
/// did not answer, or answered 401, 429, 502, 503 or 504, or that asks to be left alone (`Retry-After`), is left alone for a while and then
/// tried with single requests. With any other answer it may have stumbled over that one token. Redirects are not followed.
///
/// ```
/// use tower_oauth::{Issuer, ResourceServer};
///
/// let api = ResourceServer::builder("https://api.example/ledger")
///     .issuer(
///         Issuer::opaque("https://as.example")
///             .client("ledger", "s3cr3t"),
///     )
///     .build()?;
/// # Ok::<(), tower_oauth::resource::ConfigError>(())
/// ```
#[must_use]
pub struct OpaqueIssuer {
    url: Result<IssuerUrl, InvalidIssuerUrl>,
    endpoint: Option<Result<EndpointUrl, InvalidEndpointUrl>>,
    client: Option<ClientAuth>,
    prefix: Option<String>,
    cached_for: Option<Duration>,
    timeout: Duration,
    calls_in_flight: usize,
    http: Option<Http>,
    tolerance: Tolerance,
    assumed_audience: Option<Audience>,
}

impl OpaqueIssuer {
    /// Who asks: the identifier and the secret that this resource server has at the issuer, sent as `client_secret_basic` (RFC 6749
    /// §2.3.1). One of this and [`client_auth`](Self::client_auth) is needed; the later one counts.
    pub fn client(self, client_id: impl AsRef<str>, secret: impl Into<String>) -> Self {
        self.client_auth(ClientAuth::client_secret_basic(client_id, secret))
    }

    /// Who asks, with another kind of proof than [`client`](Self::client).
    pub fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.client = Some(auth);
        self
    }

    /// Where it is asked: an `https` URL, or `http` on this machine. Default: the `introspection_endpoint` of its metadata (RFC 8414 §2),
    /// which is looked for at the first request and again when asking there has failed.
    pub fn endpoint(mut self, url: impl AsRef<str>) -> Self {
        self.endpoint = Some(url.as_ref().parse());
        self
    }

    /// The text its tokens begin with, unless they are JWTs that name it. A token that begins otherwise costs no request. Default: any.
    pub fn token_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Believes an answer for so long at most, in whole seconds, and never beyond the token's own expiry. Default: as
    /// [`CacheLimits`](super::CacheLimits) say. Zero asks every time. It bounds how long a revocation at the issuer goes unnoticed.
    pub fn cached_for(mut self, staleness: Duration) -> Self {
        self.cached_for = Some(staleness);
        self
    }

    /// How long an answer may take in all: waiting for others, connecting, and a second attempt. Default: 5 s, at most 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many requests it is sent at once. Default: 64, at most 4,096. Sixteen times as many may wait; more are answered 503 at once.
    /// Of both, a quarter (rounded down) is kept for tokens that were good when it was last asked about them, so that strangers' do not hold them up.
    pub fn calls_in_flight(mut self, calls: usize) -> Self {
        self.calls_in_flight = calls;
        self
    }

    /// The client that asks this issuer, instead of the resource server's.
    pub fn http_client(mut self, client: impl HttpClient) -> Self {
        self.http = Some(Http::new(client));
        self
    }

    /// Takes a `scope` that is an array of texts, and a member `scp` where there is no `scope`. Default: RFC 7662 §2.2 to the letter,
    /// and the answer of an issuer that sends arrays is a failure that is logged.
    pub fn accept_scope_array(mut self) -> Self {
        self.tolerance.scope_array = true;
        self
    }

    /// Takes `exp`, `nbf` and `iat` with a fraction, which is dropped, or as texts. Default: whole numbers (RFC 7662 §2.2).
    pub fn accept_loose_times(mut self) -> Self {
        self.tolerance.loose_times = true;
        self
    }

    /// Takes tokens about which the issuer does not say whom they are meant for (`aud`) as meant for this audience. Default: they are
    /// refused.
    ///
    /// A token that was given to any other service opens this one as well, if its issuer does not tell them apart. It is safe where the
    /// issuer calls a token active for those alone that it is meant for (RFC 7662 §4), or has one resource server only.
    pub fn dangerous_assume_audience(mut self, audience: impl AsRef<str>) -> Self {
        self.assumed_audience = Some(audience.as_ref().into());
        self
    }

    fn validator(
        self,
        issuer: IssuerUrl,
        surroundings: &Surroundings,
    ) -> Result<Introspection, ConfigError> {
        let credentials: Credentials = self.client.ok_or(ConfigError::NoClient)?.credentials()?;
        let endpoint = match self.endpoint {
            Some(Ok(url)) => Endpoint::Given(url),
            Some(Err(_)) => return Err(ConfigError::Endpoint),
            None => Endpoint::discovered(),
        };
        if self.timeout.is_zero() || self.timeout > LONGEST_TIMEOUT {
            return Err(ConfigError::Timeout);
        }
        if !(1..=MOST_CALLS).contains(&self.calls_in_flight) {
            return Err(ConfigError::CallsInFlight);
        }
        let surroundings = Surroundings {
            http: self.http.unwrap_or_else(|| surroundings.http.clone()),
            ..surroundings.clone()
        };
        let limits = Limits {
            timeout: self.timeout,
            calls: self.calls_in_flight,
        };
        Ok(
            Introspection::new(issuer, (endpoint, credentials), (limits, surroundings))
                .reading(self.tolerance, self.assumed_audience),
        )
    }
}

impl From<OpaqueIssuer> for Issuer {
    fn from(settings: OpaqueIssuer) -> Self {
        let (url, prefix, cached_for) = (
            settings.url.clone(),
            settings.prefix.clone(),
            settings.cached_for,
        );
        let validator = move |surroundings: &Surroundings| {
            let issuer = settings.url.clone().map_err(ConfigError::Issuer)?;
            let validator = settings.validator(issuer, surroundings)?;
            Ok(Arc::new(validator) as Arc<dyn DynValidator>)
        };
        let issuer = Self::new(url, Tokens::Own, validator);
        let issuer = match cached_for {
            Some(staleness) => issuer.cached_for(staleness),
            None => issuer.cached(),
        };
        match prefix {
            Some(prefix) => issuer.token_prefix(prefix),
            None => issuer,
        }
    }
}

impl fmt::Debug for OpaqueIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpaqueIssuer")
            .field("url", &self.url)
            .field("endpoint", &self.endpoint)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
