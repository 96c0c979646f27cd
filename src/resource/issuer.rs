//! Whose tokens a resource takes, and which of several issuers a token belongs to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};

use super::ConfigError;
use super::cache::{CacheLimits, FactsCache};
use super::flights::Flights;
#[cfg(any(feature = "jwks", feature = "introspection"))]
use super::http_client::Http;
use super::validator::{DynValidator, Validator};
use crate::protocol::bearer::BearerToken;
#[cfg(feature = "jwks")]
use crate::types::Audience;
use crate::types::{Clock, InvalidIssuerUrl, IssuerUrl, Timestamp};

/// An issuer whose tokens are taken, and the way to check them.
///
/// Where a resource has several, a token is shown to one of them only: a JWT to the issuer it names, any other token to the issuer
/// whose [`token_prefix`](Self::token_prefix) it has, or else to the first issuer that has none.
#[must_use]
pub struct Issuer {
    url: Result<IssuerUrl, InvalidIssuerUrl>,
    validator: Make,
    tokens: Tokens,
    prefix: Option<String>,
    /// How long facts are kept at most, if at all.
    cached: Option<Duration>,
    remembers_refusals: bool,
    leeway: Duration,
    generation: Arc<AtomicU64>,
}

/// Makes the validator, as soon as it is known for whom.
type Make = Box<dyn FnOnce(&Surroundings) -> Result<Arc<dyn DynValidator>, ConfigError> + Send>;

/// What a resource server gives the validators of its issuers.
#[derive(Clone)]
#[cfg_attr(
    not(any(feature = "jwks", feature = "introspection")),
    expect(dead_code, reason = "asked for by those who ask issuers")
)]
pub(crate) struct Surroundings {
    pub(crate) clock: Arc<dyn Clock>,
    /// What the resource is called.
    #[cfg(feature = "jwks")]
    pub(crate) audiences: Arc<[Audience]>,
    #[cfg(any(feature = "jwks", feature = "introspection"))]
    pub(crate) http: Http,
}

/// Which tokens an issuer can have issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// Whatever its validator takes for one: where it is the only issuer, it is shown every token.
    Any,
    /// JWTs that name it, and nothing else.
    #[cfg(feature = "jwks")]
    Jwt,
    /// JWTs that name it, and others: a token that cannot be its own costs no request.
    #[cfg(feature = "introspection")]
    Own,
}

impl Tokens {
    const fn may_be_opaque(self) -> bool {
        match self {
            Self::Any => true,
            #[cfg(feature = "jwks")]
            Self::Jwt => false,
            #[cfg(feature = "introspection")]
            Self::Own => true,
        }
    }
}

impl Issuer {
    /// An issuer whose tokens are checked by a [`Validator`] of the host. Its answers are not cached unless asked for.
    ///
    /// `url` is the issuer identifier (RFC 8414 §2); facts that name another issuer are refused.
    pub fn custom(url: &str, validator: impl Validator) -> Self {
        Self::new(url.parse(), Tokens::Any, move |_| Ok(Arc::new(validator)))
    }

    pub(crate) fn new(
        url: Result<IssuerUrl, InvalidIssuerUrl>,
        tokens: Tokens,
        validator: impl FnOnce(&Surroundings) -> Result<Arc<dyn DynValidator>, ConfigError>
        + Send
        + 'static,
    ) -> Self {
        Self {
            url,
            validator: Box::new(validator),
            tokens,
            prefix: None,
            cached: None,
            remembers_refusals: true,
            leeway: Duration::ZERO,
            generation: Arc::default(),
        }
    }

    /// Keeps the facts of live tokens within [`CacheLimits`], so that the validator is not asked again at once.
    pub fn cached(self) -> Self {
        self.cached_for(Duration::MAX)
    }

    /// As [`cached`](Self::cached), and never longer than this, in whole seconds: for an issuer whose revocations have to be noticed
    /// sooner than others'.
    pub fn cached_for(mut self, staleness: Duration) -> Self {
        self.cached = Some(staleness);
        self
    }

    /// The text its tokens begin with. Only matters where there are several issuers whose tokens are not JWTs.
    pub fn token_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// By how much the clocks of issuer and resource may differ when the end of a token is judged, at most 300 s.
    #[cfg(feature = "jwks")]
    pub(crate) fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Asks again each time about a token that was not active: for issuers who can be asked for next to nothing.
    #[cfg(feature = "server")]
    pub(crate) const fn forgets_refusals(mut self) -> Self {
        self.remembers_refusals = false;
        self
    }

    /// Counts up whenever what tokens are judged by has changed: what was refused before is judged again.
    #[cfg(feature = "jwks")]
    pub(crate) fn generation(mut self, generation: Arc<AtomicU64>) -> Self {
        self.generation = generation;
        self
    }

    pub(crate) fn into_source(
        self,
        limits: CacheLimits,
        surroundings: &Surroundings,
    ) -> Result<Source, ConfigError> {
        let trusted = Trusted {
            leeway: self.leeway,
            ..Trusted::new(self.url.map_err(ConfigError::Issuer)?)
        };
        let limits = self.cached.map(|staleness| limits.within(staleness));
        let limits = limits.map(|limits| match self.remembers_refusals {
            true => limits,
            false => limits.negative_ttl(Duration::ZERO),
        });
        Ok(Source {
            trusted: Arc::new(trusted),
            validator: (self.validator)(surroundings)?,
            cache: limits.map(FactsCache::new),
            flights: Flights::default(),
            prefix: self.prefix,
            tokens: self.tokens,
            generation: self.generation,
            complained: AtomicU64::new(u64::MAX),
        })
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("url", &self.url)
            .field("cached", &self.cached)
            .finish_non_exhaustive()
    }
}

/// An issuer that is trusted, until it is replaced. Facts about its tokens carry it along.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) url: IssuerUrl,
    pub(crate) leeway: Duration,
    is_retired: AtomicBool,
}

impl Trusted {
    pub(crate) const fn new(url: IssuerUrl) -> Self {
        Self {
            url,
            leeway: Duration::ZERO,
            is_retired: AtomicBool::new(false),
        }
    }

    /// Ends all that is known of its tokens.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }
}

/// An issuer as the resource server keeps it.
pub(crate) struct Source {
    pub(crate) trusted: Arc<Trusted>,
    pub(crate) validator: Arc<dyn DynValidator>,
    pub(crate) cache: Option<FactsCache>,
    pub(crate) flights: Flights,
    prefix: Option<String>,
    tokens: Tokens,
    generation: Arc<AtomicU64>,
    /// The second in which the log was last told of a failure.
    complained: AtomicU64,
}

impl Source {
    pub(crate) fn url(&self) -> &IssuerUrl {
        &self.trusted.url
    }

    /// The generation of what its tokens are judged by.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether the log has not been told of a failure in this second yet.
    pub(crate) fn may_complain(&self, now: Timestamp) -> bool {
        self.complained.swap(now.as_secs(), Ordering::Relaxed) != now.as_secs()
    }
}

/// The issuer that a token belongs to, as far as one can tell without checking it. `None`: nobody's.
pub(crate) fn of_token<'a>(
    sources: &'a [Arc<Source>],
    token: BearerToken<'_>,
) -> Option<&'a Arc<Source>> {
    if let [only] = sources
        && only.tokens == Tokens::Any
    {
        return Some(only);
    }
    let token = token.expose();
    // Where there is only one that it may be, the issuer is read once, by who checks it.
    #[cfg(feature = "jwks")]
    if let [only] = sources
        && only.tokens == Tokens::Jwt
    {
        let dots = memchr::memchr_iter(b'.', token.as_bytes());
        return (dots.take(3).count() == 2).then_some(only);
    }
    if let Some(payload) = jwt_payload(token) {
        let Named { iss } = serde_json::from_slice(&payload).ok()?;
        if let Some(iss) = iss {
            return sources.iter().find(|source| source.url().as_str() == iss);
        }
    }
    let begins = |source: &&Arc<Source>| {
        let prefix = source.prefix.as_deref();
        prefix.is_some_and(|prefix| token.starts_with(prefix))
    };
    let mut opaque = sources
        .iter()
        .filter(|source| source.tokens.may_be_opaque());
    opaque
        .clone()
        .find(begins)
        .or_else(|| opaque.find(|source| source.prefix.is_none()))
}

/// The one member that is read of a JWT before its signature is checked, to find who can check it.
#[derive(Deserialize)]
struct Named {
    #[serde(default, deserialize_with = "present")]
    iss: Option<String>,
}

/// A member that is there is a text: `null` is none.
fn present<'de, D: Deserializer<'de>>(member: D) -> Result<Option<String>, D::Error> {
    String::deserialize(member).map(Some)
}

/// The middle of three parts of base64url (RFC 7519 §3), if that is what it is.
fn jwt_payload(token: &str) -> Option<Vec<u8>> {
    let mut parts = token.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || header.is_empty() || signature.is_empty() {
        return None;
    }
    URL_SAFE_NO_PAD
        .decode(payload)
        .ok()
        .filter(|payload| payload.first() == Some(&b'{'))
}

#[cfg(test)]
mod tests {
    use super::{Issuer, Source, of_token};
    use crate::protocol::bearer::{BearerToken, OwnedToken};
    use crate::resource::issuer::Surroundings;
    use crate::resource::{CacheLimits, Facts, NotActive, Unavailable, Validator};
    use crate::types::{SystemClock, Timestamp};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::sync::Arc;

    struct Nobody;

    impl Validator for Nobody {
        fn validate_now(&self, _: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
            Some(Err(NotActive::because("nobody")))
        }

        async fn validate(&self, _: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
            Ok(Err(NotActive::because("nobody")))
        }
    }

    fn sources(issuers: &[(&str, Option<&str>)]) -> Vec<Arc<Source>> {
        issuers
            .iter()
            .map(|(url, prefix)| {
                let mut issuer = Issuer::custom(url, Nobody);
                issuer.prefix = prefix.map(str::to_owned);
                let source = issuer.into_source(CacheLimits::new(), &surroundings());
                Arc::new(source.unwrap())
            })
            .collect()
    }

    fn surroundings() -> Surroundings {
        Surroundings {
            clock: Arc::new(SystemClock),
            #[cfg(feature = "jwks")]
            audiences: Arc::default(),
            #[cfg(any(feature = "jwks", feature = "introspection"))]
            http: crate::resource::http_client::Http::new(crate::resource::HttpsClient::new()),
        }
    }

    fn jwt(payload: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    fn owner<'a>(sources: &'a [Arc<Source>], token: &str) -> Option<&'a str> {
        of_token(sources, token.try_into().unwrap()).map(|source| source.url().as_str())
    }

    #[test]
    fn a_jwt_goes_to_the_issuer_it_names_byte_for_byte_or_to_nobody() {
        let sources = sources(&[("https://a.example", None), ("https://b.example", None)]);
        let named = |iss: &str| jwt(&format!(r#"{{"iss":"{iss}"}}"#));
        assert_eq!(
            owner(&sources, &named("https://b.example")),
            Some("https://b.example")
        );
        for foreign in [
            named("https://b.example/"),
            named("https://c.example"),
            jwt(r#"{"iss":7}"#),
            jwt(r#"{"iss":null}"#),
            jwt(r#"{"iss":["https://a.example"]}"#),
            jwt(r#"{"iss":"https://a.example","iss":"https://b.example"}"#),
            jwt("{"),
        ] {
            assert_eq!(owner(&sources, &foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_jwt_that_names_nobody_goes_where_tokens_that_are_no_jwts_go() {
        let nobodys = [jwt("{}"), jwt(r#"{"sub":"https://b.example","ISS":7}"#)];
        let both = sources(&[("https://a.example", None), ("https://b.example", None)]);
        let prefixed = sources(&[
            ("https://a.example", Some("toa_")),
            ("https://b.example", Some("e30.")),
        ]);
        let foreign = sources(&[
            ("https://a.example", Some("toa_")),
            ("https://b.example", Some("tob_")),
        ]);
        for token in &nobodys {
            assert_eq!(owner(&both, token), Some("https://a.example"), "{token}");
            assert_eq!(owner(&prefixed, token), Some("https://b.example"));
            assert_eq!(owner(&foreign, token), None, "{token}");
        }
        let named = jwt(r#"{"iss":"https://c.example"}"#);
        assert_eq!(owner(&prefixed, &named), None, "the prefix is no name");
    }

    #[test]
    fn another_token_goes_by_its_prefix_or_to_the_first_issuer_without_one() {
        let sources = sources(&[
            ("https://a.example", Some("toa_")),
            ("https://b.example", None),
            ("https://c.example", None),
        ]);
        assert_eq!(owner(&sources, "toa_x"), Some("https://a.example"));
        for other in ["x", "a.b", "a.b.c", "a.b.c.d", "..", "e30.e30.", "to"] {
            assert_eq!(owner(&sources, other), Some("https://b.example"), "{other}");
        }
    }

    #[test]
    fn the_only_issuer_gets_every_token() {
        let sources = sources(&[("https://a.example", Some("toa_"))]);
        assert_eq!(owner(&sources, "x"), Some("https://a.example"));
        assert_eq!(
            owner(&sources, &jwt(r#"{"iss":"https://c.example"}"#)),
            Some("https://a.example")
        );
    }
}
