//! The settings of an issuer whose JWTs are checked here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::ConfigError;
use super::advice::Advice;
use super::http_client::{Http, HttpClient};
use super::issuer::{Issuer, Surroundings, Tokens};
use super::jwks::KeySource;
use super::jwt::Jwts;
use super::key_fetch::KeyFetch;
use super::validator::DynValidator;
use crate::protocol::foreign_jwt::{JwtRules, MOST_LEEWAY};
use crate::protocol::jwk_set::JwkSet;
use crate::types::{
    EndpointUrl, InvalidEndpointUrl, InvalidIssuerUrl, IssuerUrl, JwsAlgorithm, Secret,
};

/// The longest [`timeout`](JwtIssuer::timeout): beyond that the client of the request has gone.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

impl Issuer {
    /// An issuer of JWT access tokens (RFC 9068), which are checked here, with the keys that it publishes.
    ///
    /// `url` is the issuer identifier, byte for byte as its tokens and its metadata say it: `https`, or `http` on this machine. It is
    /// only shown JWTs that name it.
    pub fn jwt(url: &str) -> JwtIssuer {
        JwtIssuer {
            url: url.parse(),
            algorithms: None,
            accept_typ_jwt: false,
            scope_claim: None,
            keys: Vec::new(),
            leeway: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            cached_for: None,
            http: None,
        }
    }
}

/// Settings of an issuer of JWT access tokens; see [`Issuer::jwt`].
///
/// Its keys are found by its metadata (RFC 8414, or else OpenID Connect Discovery), fetched in the background from the first request
/// on, and fetched again before they are stale, or when a token names one that is not there, or one that has not signed it and may be
/// another by now; strangers cannot bring that about more than once in ten seconds. Old keys stay while the issuer cannot be reached,
/// at most a day longer than they were fresh; a key that the issuer has removed ends the tokens it has signed.
///
/// | the token | and the request gets |
/// |---|---|
/// | is by the rules of RFC 9068 §4, and signed by a key of the issuer | through |
/// | is not, or is signed by no key of the issuer | 401 `invalid_token` |
/// | may be signed by a key that could not be fetched | 503: nobody can say |
///
/// So a program starts while its issuer is down, and recovers by itself. Fetching needs a Tokio runtime, `build()` none.
///
/// ```
/// use tower_oauth::{Issuer, ResourceServer};
///
/// let api = ResourceServer::builder("https://api.example/ledger")
///     .issuer(Issuer::jwt("https://as.example"))
///     .issuer(Issuer::jwt("https://keycloak.example/realms/acme").accept_typ_jwt())
///     .build()?;
/// # Ok::<(), tower_oauth::resource::ConfigError>(())
/// ```
#[must_use]
pub struct JwtIssuer {
    url: Result<IssuerUrl, InvalidIssuerUrl>,
    algorithms: Option<Vec<JwsAlgorithm>>,
    accept_typ_jwt: bool,
    scope_claim: Option<String>,
    /// What says where the keys are. One is enough, and none is for discovery.
    keys: Vec<Keys>,
    leeway: Duration,
    timeout: Duration,
    cached_for: Option<Duration>,
    http: Option<Http>,
}

enum Keys {
    At(Result<EndpointUrl, InvalidEndpointUrl>),
    Set(String),
    Pem(String),
    Shared(JwsAlgorithm, Secret),
}

impl JwtIssuer {
    /// The algorithms that are accepted, as far as the issuer's keys are for them. Default: all of
    /// [`JwsAlgorithm::ASYMMETRIC`]. Which of them a token is checked with is up to its key (RFC 8725 §3.1).
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = JwsAlgorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Takes tokens that do not say to be access tokens: those whose `typ` is `JWT`, or missing, as with Keycloak, Entra ID, Auth0 and
    /// others that are older than RFC 9068. Default: `typ` is `at+jwt` (RFC 9068 §4), and the log names this switch where one is
    /// refused for it.
    ///
    /// What it lets in: any JWT by the issuer's keys that names this resource in `aud`, says whom it speaks for and until when, and has
    /// nothing about it of an ID token, a logout token or another kind, but something of an access token: a client or a scope.
    /// `client_id`, `iat` and `jti` may be missing, and `azp` counts as the client. An issuer that puts this resource's identifier into
    /// tokens of a kind that is not known here should not have it; and an [`audience`](super::ResourceServerBuilder::audience) should never
    /// be the identifier of a client, since that is whom ID tokens are for.
    pub fn accept_typ_jwt(mut self) -> Self {
        self.accept_typ_jwt = true;
        self
    }

    /// The claim that the scope stands in, as a text with spaces or as a list of texts: `scp` with Entra ID and Okta, and `scope` itself
    /// where an issuer makes a list of it. Default: the text `scope` (RFC 9068 §2.2.3).
    pub fn scope_claim(mut self, claim: impl Into<String>) -> Self {
        self.scope_claim = Some(claim.into());
        self
    }

    /// Where its keys are (RFC 8414 §2 `jwks_uri`), an `https` URL, or `http` on this machine. Default: its metadata says. One of this,
    /// [`keys`](Self::keys), [`pem`](Self::pem) and [`shared_secret`](Self::shared_secret) at most.
    pub fn jwks_uri(mut self, url: impl AsRef<str>) -> Self {
        self.keys.push(Keys::At(url.as_ref().parse()));
        self
    }

    /// Its keys, as a JWK set (RFC 7517 §5) in JSON. Nothing is ever fetched. Keys that cannot be used are left out; one must be left.
    pub fn keys(mut self, json: impl Into<String>) -> Self {
        self.keys.push(Keys::Set(json.into()));
        self
    }

    /// Its keys, in PEM: one or more of `PUBLIC KEY`, `RSA PUBLIC KEY` and `CERTIFICATE` (for the key in it alone). Nothing is ever
    /// fetched. They have no names: any token may be by any of them.
    pub fn pem(mut self, pem: impl Into<String>) -> Self {
        self.keys.push(Keys::Pem(pem.into()));
        self
    }

    /// Its tokens are not signed but authenticated with a secret that both have: HS256, HS384 or HS512, with at least 32, 48 or 64 bytes
    /// (RFC 7518 §3.2), which no person made up (RFC 8725 §3.5). Nothing else is accepted then, and nothing ever fetched.
    ///
    /// Whoever can check such a token can make one. It is for issuers that offer nothing else.
    pub fn shared_secret(mut self, algorithm: JwsAlgorithm, secret: impl Into<String>) -> Self {
        let secret = Secret::new(secret.into());
        self.keys.push(Keys::Shared(algorithm, secret));
        self
    }

    /// By how much its clock and ours may differ, in whole seconds. Default: 30 s, at most 300 s (RFC 9068 §4: a few minutes).
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How long a fetch of its keys may take in all, and a request wait for one. Default: 5 s, at most 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks the signature of a token again after so long at most, in whole seconds. Default: as
    /// [`CacheLimits`](super::CacheLimits) say. Zero checks it every time. Expiry and removed keys are noticed at once in any case.
    pub fn cached_for(mut self, staleness: Duration) -> Self {
        self.cached_for = Some(staleness);
        self
    }

    /// The client that fetches its keys, instead of the resource server's.
    pub fn http_client(mut self, client: impl HttpClient) -> Self {
        self.http = Some(Http::new(client));
        self
    }

    fn validator(
        self,
        surroundings: &Surroundings,
        generation: Arc<AtomicU64>,
    ) -> Result<Jwts, ConfigError> {
        let issuer = self.url.clone().map_err(ConfigError::Issuer)?;
        if self.leeway > MOST_LEEWAY {
            return Err(ConfigError::Leeway);
        }
        if self.timeout.is_zero() || self.timeout > LONGEST_TIMEOUT {
            return Err(ConfigError::Timeout);
        }
        let algorithms = self.accepted()?;
        let clock = Arc::clone(&surroundings.clock);
        let fetched = |jwks_uri| {
            let fetch = KeyFetch {
                issuer: issuer.clone(),
                jwks_uri,
                http: self.http.as_ref().unwrap_or(&surroundings.http).clone(),
                clock: Arc::clone(&clock),
                timeout: self.timeout,
            };
            KeySource::fetched(fetch, generation)
        };
        let fixed = |set: Result<JwkSet, _>, setting| match set {
            Ok(set)
                if set.keys().iter().any(|key| {
                    key.algorithms()
                        .any(|algorithm| algorithms.contains(&algorithm))
                }) =>
            {
                Ok(KeySource::fixed(set))
            }
            _ => Err(ConfigError::Keys(setting)),
        };
        let keys = match self.keys.as_slice() {
            [] => fetched(None),
            [Keys::At(url)] => fetched(Some(url.clone().map_err(|_| ConfigError::JwksUri)?)),
            [Keys::Set(json)] => fixed(JwkSet::parse(json.as_bytes()), "keys")?,
            [Keys::Pem(pem)] => fixed(JwkSet::from_pem(pem), "pem")?,
            [Keys::Shared(algorithm, secret)] => {
                let set = JwkSet::shared_secret(*algorithm, secret.expose().as_bytes());
                fixed(set, "shared_secret")?
            }
            _ => return Err(ConfigError::KeysTwice),
        };
        let rules = JwtRules {
            algorithms,
            accept_typ_jwt: self.accept_typ_jwt,
            scope_claim: self.scope_claim,
            leeway: self.leeway,
            audiences: Arc::clone(&surroundings.audiences),
            ..JwtRules::new(issuer)
        };
        Ok(Jwts {
            rules,
            keys,
            clock,
            timeout: self.timeout,
            advice: Advice::default(),
        })
    }

    /// What its tokens may be signed with. A shared secret is for the algorithm that it was given for, and published keys for none that
    /// takes a secret.
    fn accepted(&self) -> Result<Vec<JwsAlgorithm>, ConfigError> {
        let named = self.algorithms.clone();
        if let [Keys::Shared(algorithm, _)] = self.keys.as_slice() {
            let only = vec![*algorithm];
            return match named {
                Some(named) if named != only => Err(ConfigError::Algorithms),
                _ => Ok(only),
            };
        }
        let all = JwsAlgorithm::ASYMMETRIC;
        let named = named.unwrap_or_else(|| all.to_vec());
        let are_fine = !named.is_empty() && named.iter().all(|named| all.contains(named));
        are_fine.then_some(named).ok_or(ConfigError::Algorithms)
    }
}

impl From<JwtIssuer> for Issuer {
    fn from(settings: JwtIssuer) -> Self {
        let (url, leeway, cached_for) =
            (settings.url.clone(), settings.leeway, settings.cached_for);
        let generation = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&generation);
        let validator = move |surroundings: &Surroundings| {
            let validator = settings.validator(surroundings, counted)?;
            Ok(Arc::new(validator) as Arc<dyn DynValidator>)
        };
        let issuer = Self::new(url, Tokens::Jwt, validator)
            .leeway(leeway)
            .generation(generation);
        match cached_for {
            Some(staleness) => issuer.cached_for(staleness),
            None => issuer.cached(),
        }
    }
}

impl fmt::Debug for JwtIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtIssuer")
            .field("url", &self.url)
            .field("algorithms", &self.algorithms)
            .field("accept_typ_jwt", &self.accept_typ_jwt)
            .finish_non_exhaustive()
    }
}
