//! The settings of a resource server.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::cache::CacheLimits;
use super::hot_table::HotTable;
#[cfg(any(feature = "jwks", feature = "introspection"))]
use super::http_client::Http;
use super::issuer::{Issuer, Surroundings};
use super::issuers::Constants;
use super::known::{Keep, Recogniser};
use super::revocation::Revocations;
use super::{Inner, ResourceServer};
use crate::protocol::refusal::{Challenges, Needs, RefusalBody};
use crate::types::{
    Audience, Clock, InvalidIssuerUrl, InvalidScope, IssuerUrl, ResourceUri, Scope, ScopeToken,
    SystemClock,
};

/// Settings of a [`ResourceServer`]; see [`ResourceServer::builder`].
#[must_use]
pub struct ResourceServerBuilder {
    resource: String,
    issuers: Vec<Issuer>,
    scopes_supported: Vec<String>,
    challenge_scope: Option<Vec<String>>,
    implications: Vec<(String, String)>,
    resource_name: Option<String>,
    realm: Option<String>,
    cache: CacheLimits,
    clock: Arc<dyn Clock>,
    #[cfg(any(feature = "jwks", feature = "introspection"))]
    http: Option<Http>,
    audiences: Vec<Audience>,
    keep: Keep,
    revocations_kept: Duration,
    refusal_body: RefusalBody,
}

impl ResourceServerBuilder {
    pub(crate) fn new(resource: String) -> Self {
        Self {
            resource,
            issuers: Vec::new(),
            scopes_supported: Vec::new(),
            challenge_scope: None,
            implications: Vec::new(),
            resource_name: None,
            realm: None,
            cache: CacheLimits::new(),
            clock: Arc::new(SystemClock),
            #[cfg(any(feature = "jwks", feature = "introspection"))]
            http: None,
            audiences: Vec::new(),
            keep: Keep::Token,
            revocations_kept: Duration::from_secs(24 * 60 * 60),
            refusal_body: RefusalBody::Json,
        }
    }

    /// Takes tokens of this issuer. At least one is needed; call it again for each further one.
    pub fn issuer(mut self, issuer: impl Into<Issuer>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Takes tokens that are meant for this audience as well as those meant for the resource's identifier: for issuers that call an API
    /// by a name of their own. May be called again. It is compared exactly: no prefix, no pattern (RFC 9068 §4).
    pub fn audience(mut self, audience: impl AsRef<str>) -> Self {
        self.audiences.push(audience.as_ref().into());
        self
    }

    /// The client that asks issuers, instead of an [`HttpsClient`](super::HttpsClient) with its defaults.
    #[cfg(any(feature = "jwks", feature = "introspection"))]
    pub fn http_client(mut self, client: impl super::HttpClient) -> Self {
        self.http = Some(Http::new(client));
        self
    }

    /// The scopes this resource knows, for its metadata document (RFC 9728 §2). Default: none named. It need not name all.
    ///
    /// `offline_access` does not belong here: it is a matter between client and authorization server.
    pub fn scopes_supported(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes_supported = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The scopes that a client without a good token is told to ask for (RFC 6750 §3 `scope`). Default: `scopes_supported`. Name
    /// fewer where most clients need fewer: those that follow the Model Context Protocol ask for exactly these.
    pub fn challenge_scope(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.challenge_scope = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// A token with the scope `broad` may do what `narrow` allows. Default: a scope means itself alone. May be called again; what is
    /// implied may imply more.
    pub fn scope_implies(mut self, broad: impl Into<String>, narrow: impl Into<String>) -> Self {
        self.implications.push((broad.into(), narrow.into()));
        self
    }

    /// The resource's name for people, for its metadata document (RFC 9728 §2). Default: none. Where the serving layer of an
    /// authorization server stands outside and has this resource too, its document is the one that clients see.
    pub fn resource_name(mut self, name: impl Into<String>) -> Self {
        self.resource_name = Some(name.into());
        self
    }

    /// The `realm` of challenges (RFC 9110 §11.5): printable ASCII without quotes and backslashes. Default: none.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// How long and how much each issuer's cache keeps. Default: [`CacheLimits::new`].
    pub fn cache(mut self, limits: CacheLimits) -> Self {
        self.cache = limits;
        self
    }

    /// What stands in the body of a refusal. Default: [`RefusalBody::Json`].
    pub fn refusal_body(mut self, body: RefusalBody) -> Self {
        self.refusal_body = body;
        self
    }

    /// Keeps no token in memory, only keyed digests (SHA-256) of those that are known: for those who must. A warm check takes longer, by the
    /// time of a SHA-256 of the whole token. Default: known tokens stay in memory, since their holders send them with every request anyway.
    pub const fn cache_by_digest(mut self) -> Self {
        self.keep = Keep::Digest;
        self
    }

    /// For how long a token that was [revoked](ResourceServer::revoke) here goes on being refused, in whole seconds. Default: 24 hours. It
    /// should be longer than any token of the issuers lives.
    pub const fn revocations_kept(mut self, time: Duration) -> Self {
        self.revocations_kept = time;
        self
    }

    /// Where time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks all settings. Does no I/O and needs no runtime.
    ///
    /// # Errors
    /// [`ConfigError`], which names the setting.
    pub fn build(self) -> Result<ResourceServer, ConfigError> {
        let resource = web_resource(&self.resource)?;
        let metadata_url = resource.metadata_url().ok_or(ConfigError::Resource)?;
        if metadata_url.contains('?') {
            tracing::warn!(%resource, "a resource identifier with a query is hard to discover (RFC 9728 §1.2)");
        }
        let scopes_supported = scope_tokens(&self.scopes_supported)
            .map_err(|_| ConfigError::Scope("scopes_supported"))?;
        if scopes_supported
            .iter()
            .any(|scope| scope.as_str() == "offline_access")
        {
            tracing::warn!(%resource, "scopes_supported of a resource should not name offline_access");
        }
        let challenge_scope: Scope = match &self.challenge_scope {
            Some(scopes) => scope_tokens(scopes)
                .map_err(|_| ConfigError::Scope("challenge_scope"))?
                .into_iter()
                .collect(),
            None => scopes_supported.iter().cloned().collect(),
        };
        let mut audiences = self.audiences;
        audiences.insert(0, resource.clone().into());
        let audiences: Arc<[Audience]> = audiences.into();
        let surroundings = Surroundings {
            clock: Arc::clone(&self.clock),
            #[cfg(feature = "jwks")]
            audiences: Arc::clone(&audiences),
            #[cfg(any(feature = "jwks", feature = "introspection"))]
            http: self
                .http
                .unwrap_or_else(|| Http::new(super::HttpsClient::new())),
        };
        let constants = Constants {
            resource,
            scopes_supported,
            resource_name: self.resource_name,
            limits: self.cache,
            surroundings,
        };
        let sources = self.issuers.into_iter();
        let sources: Result<Vec<_>, _> = sources.map(|issuer| constants.source(issuer)).collect();
        let issuers = constants.issuers(sources?)?;
        let recogniser =
            Recogniser::new(self.keep).map_err(|_| ConfigError::RandomnessUnavailable)?;
        let needs = Needs {
            scope: challenge_scope,
            ..Needs::default()
        };
        let challenges = Challenges::new(self.realm.as_deref(), &needs, &metadata_url)
            .map_err(|_| ConfigError::Realm)?;
        let inner = Inner {
            metadata_url,
            realm: self.realm,
            place: issuers.document.place().clone(),
            issuers: ArcSwap::from_pointee(issuers),
            changing: Mutex::new(()),
            constants,
            audiences,
            implications: implications(&self.implications)?,
            challenges,
            refusal_body: self.refusal_body,
            recogniser,
            revocations: Revocations::new(self.revocations_kept),
            clock: self.clock,
        };
        Ok(ResourceServer {
            inner: Arc::new(inner),
            hot: Arc::new(HotTable::new()),
        })
    }
}

impl fmt::Debug for ResourceServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServerBuilder")
            .field("resource", &self.resource)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}

/// RFC 9728 §1.2: an `https` URL; `http` on this machine alone.
fn web_resource(text: &str) -> Result<ResourceUri, ConfigError> {
    let resource: ResourceUri = text.parse().map_err(|_| ConfigError::Resource)?;
    let origin = resource.origin().ok_or(ConfigError::Resource)?;
    // An origin is a whole issuer identifier, and those are held to the same rule.
    match origin.parse::<IssuerUrl>() {
        Ok(_) => Ok(resource),
        Err(_) => Err(ConfigError::ResourceNotHttps),
    }
}

fn scope_tokens(texts: &[String]) -> Result<Vec<ScopeToken>, InvalidScope> {
    texts.iter().map(|text| text.parse()).collect()
}

/// All pairs that follow from those that were given.
fn implications(given: &[(String, String)]) -> Result<Vec<(ScopeToken, ScopeToken)>, ConfigError> {
    let parse = |text: &String| {
        text.parse::<ScopeToken>()
            .map_err(|_| ConfigError::Scope("scope_implies"))
    };
    let mut pairs = Vec::new();
    for (broad, narrow) in given {
        pairs.push((parse(broad)?, parse(narrow)?));
    }
    loop {
        let further: Vec<_> = pairs
            .iter()
            .flat_map(|(broad, middle)| {
                let next = pairs.iter().filter(move |(from, _)| from == middle);
                next.map(move |(_, narrow)| (broad.clone(), narrow.clone()))
            })
            .filter(|pair| !pairs.contains(pair))
            .collect();
        if further.is_empty() {
            return Ok(pairs);
        }
        for pair in further {
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
    }
}

/// What is wrong with the settings of a resource server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The resource identifier is not an absolute `https` URL without a fragment (RFC 9728 §1.2).
    #[error("resource: not an absolute https URL without a fragment")]
    Resource,
    /// The resource identifier is `http` on a host that is not this machine.
    #[error("resource: http is for 127.0.0.1, [::1] and localhost only")]
    ResourceNotHttps,
    /// No issuer was named, so no token could ever be good.
    #[error("issuer: at least one is needed")]
    NoIssuer,
    /// An issuer's URL is not an issuer identifier.
    #[error("issuer: {0}")]
    Issuer(#[source] InvalidIssuerUrl),
    /// Two issuers have the same URL.
    #[error("issuer: the same one was named twice")]
    SameIssuerTwice,
    /// One of these scopes is not a scope; the setting is named.
    #[error("{0}: a scope is printable ASCII without spaces, quotes and backslashes")]
    Scope(&'static str),
    /// There is no certificate in the PEM of certificate authorities, or one that cannot be read.
    #[error("root_certificates: no certificate in PEM")]
    Certificate,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    RandomnessUnavailable,
    /// An issuer that is asked about its tokens is asked with credentials (RFC 7662 §2.1), and none were named.
    #[error("client: an issuer is asked with credentials, by client or client_auth")]
    NoClient,
    /// The credentials at an issuer are no client identifier with a secret or a key.
    #[error(
        "client: an identifier is 1 to 255 printable ASCII characters, and a secret is not empty"
    )]
    Client,
    /// An endpoint is not an `https` URL without a fragment, or `http` on this machine.
    #[error(
        "endpoint: an https URL without fragment and credentials; http is for 127.0.0.1, [::1] and localhost only"
    )]
    Endpoint,
    /// An issuer has no time to answer, or more than a minute.
    #[error("timeout: more than nothing and at most 60 s")]
    Timeout,
    /// An issuer may not be asked at all, or by too many at once.
    #[error("calls_in_flight: 1 to 4096")]
    CallsInFlight,
    /// An issuer's keys cannot be read, or none of them is for an algorithm that is accepted; the setting is named.
    #[error("{0}: no key in it that can be used")]
    Keys(&'static str),
    /// There are two settings for the keys of one issuer.
    #[error("jwks_uri, keys, pem, shared_secret: one of them is enough")]
    KeysTwice,
    /// Where an issuer's keys are is not an `https` URL without a fragment, or `http` on this machine.
    #[error(
        "jwks_uri: an https URL without fragment and credentials; http is for 127.0.0.1, [::1] and localhost only"
    )]
    JwksUri,
    /// No algorithm is accepted, or one that takes a secret without one that was given for it.
    #[error("algorithms: at least one, and HS256, HS384 and HS512 only by shared_secret")]
    Algorithms,
    /// Clocks that differ by more than a few minutes (RFC 9068 §4).
    #[error("leeway: at most 300 s")]
    Leeway,
    /// The realm has characters that RFC 6750 §3 keeps out of challenges.
    #[error("realm: only printable ASCII without quotes and backslashes")]
    Realm,
}
