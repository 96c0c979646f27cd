//! The protecting half: bearer tokens in front of any tower service (RFC 6750, RFC 9728).
//!
//! A [`ResourceServer`] knows which resource it protects and whose tokens it takes. Its [`layer`](ResourceServer::layer) lets a
//! request through if it carries a live token that is meant for this resource; [`require`](ResourceServer::require) asks for scopes
//! on top of that.
//!
//! ```
//! use std::sync::Arc;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_oauth::resource::{AccessToken, BearerToken, Facts, Issuer, NotActive, OwnedToken, ResourceServer, TokenFacts, Unavailable, Validator};
//! # use tower_oauth::types::{Subject, Timestamp};
//!
//! struct OneToken(Arc<TokenFacts>);
//!
//! impl Validator for OneToken {
//!     fn validate_now(&self, token: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
//!         Some(if token.expose() == "mF_9.B5f-4.1JqM" { Ok(self.0.clone()) } else { Err(NotActive::because("unknown")) })
//!     }
//!
//!     async fn validate(&self, token: OwnedToken, now: Timestamp) -> Result<Facts, Unavailable> {
//!         Ok(self.validate_now(token.as_bearer(), now).unwrap_or(Err(NotActive::because("unknown"))))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let facts = TokenFacts::builder("https://as.example".parse()?, Subject::new("ada")?, Timestamp::MAX)
//!     .audience(["https://notes.example"])
//!     .scope("notes:read".parse()?)
//!     .build();
//! let api = ResourceServer::builder("https://notes.example")
//!     .issuer(Issuer::custom("https://as.example", OneToken(Arc::new(facts))))
//!     .build()?;
//! let service = ServiceBuilder::new()
//!     .layer(api.layer())
//!     .layer(api.require("notes:read"))
//!     .service_fn(async |request: http::Request<String>| {
//!         let owner = request.extensions().get::<AccessToken>().map(|token| token.subject().to_string());
//!         Ok::<_, std::convert::Infallible>(http::Response::new(owner.unwrap_or_default()))
//!     });
//!
//! let stranger = http::Request::new(String::new());
//! assert_eq!(service.clone().oneshot(stranger).await?.status(), 401);
//! let ada = http::Request::builder().header("authorization", "Bearer mF_9.B5f-4.1JqM").body(String::new())?;
//! assert_eq!(service.oneshot(ada).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! Left out on purpose: tokens in query and form body, and cookies. A CORS layer belongs outside of this one: a browser's preflight
//! carries no token.

mod access_token;
#[cfg(feature = "introspection")]
mod admission;
#[cfg(any(feature = "jwks", feature = "introspection"))]
mod advice;
#[cfg(feature = "introspection")]
mod breaker;
mod cache;
mod check;
#[cfg(feature = "introspection")]
mod client_auth;
mod config;
mod count;
#[cfg(any(feature = "jwks", feature = "introspection"))]
mod discovery;
#[cfg(feature = "introspection")]
mod endpoint;
mod explain;
#[cfg(feature = "axum")]
mod extract;
mod flights;
mod future;
#[cfg(feature = "tonic")]
mod grpc;
mod hot_table;
#[cfg(any(feature = "jwks", feature = "introspection"))]
mod http_client;
#[cfg(feature = "server")]
mod in_process;
#[cfg(feature = "introspection")]
mod introspection;
mod issuer;
mod issuers;
#[cfg(feature = "jwks")]
mod jwks;
#[cfg(feature = "jwks")]
mod jwt;
#[cfg(feature = "jwks")]
mod jwt_issuer;
#[cfg(feature = "jwks")]
mod key_fetch;
mod known;
mod layer;
mod metadata;
#[cfg(feature = "introspection")]
mod opaque_issuer;
mod policy;
#[cfg(feature = "jwks")]
mod refetch;
mod require;
mod revocation;
mod step_up;
mod validator;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, Response};

pub use crate::protocol::bearer::{BearerToken, InvalidBearerToken, OwnedToken};
pub use crate::protocol::refusal::{MakeBody, Refusal, RefusalBody};
pub use crate::types::Flag;
pub use access_token::{AccessToken, OtherClaims, Untyped};
pub use cache::CacheLimits;
#[cfg(feature = "introspection")]
pub use client_auth::ClientAuth;
pub use config::{ConfigError, ResourceServerBuilder};
pub use explain::{Explanation, Step};
#[cfg(feature = "axum")]
pub use extract::{AccessTokenRejection, RequiredScope, Scoped};
pub use future::ResponseFuture;
#[cfg(any(feature = "jwks", feature = "introspection"))]
pub use http_client::{HttpClient, HttpsClient};
pub use issuer::Issuer;
#[cfg(feature = "jwks")]
pub use jwt_issuer::JwtIssuer;
pub use layer::{Bearer, BearerLayer};
pub use metadata::MetadataService;
#[cfg(feature = "introspection")]
pub use opaque_issuer::OpaqueIssuer;
pub use require::{Require, RequireLayer};
pub use revocation::{TooManyRevocations, WhichTokens};
pub use validator::{Facts, NotActive, TokenFacts, TokenFactsBuilder, Unavailable, Validator};

use crate::protocol::protected_resource::Place;
use crate::protocol::refusal::Challenges;
use crate::types::{Audience, Body, Clock, IssuerUrl, ResourceUri, ScopeToken};
use check::Check;
use hot_table::HotTable;
use issuers::{Constants, Issuers};
use known::{Known, Recogniser};
use revocation::{Revocations, Which};

/// A protected resource: an API, the issuers whose tokens it takes, and how it answers. Clones are the same one.
#[derive(Clone)]
pub struct ResourceServer {
    inner: Arc<Inner>,
    /// Apart, since the tokens it hands on refer to the other.
    hot: Arc<HotTable>,
}

pub(crate) struct Inner {
    metadata_url: String,
    realm: Option<String>,
    issuers: ArcSwap<Issuers>,
    /// Held while the issuers are changed.
    changing: Mutex<()>,
    /// Where the document stands, whatever it says.
    place: Place,
    constants: Constants,
    /// Whom a token must be meant for, one of them: the resource, and what else issuers call it.
    audiences: Arc<[Audience]>,
    /// A token with the first scope may do what the second allows.
    implications: Vec<(ScopeToken, ScopeToken)>,
    challenges: Challenges,
    refusal_body: RefusalBody,
    recogniser: Recogniser,
    revocations: Revocations,
    clock: Arc<dyn Clock>,
}

impl ResourceServer {
    /// Settings for the resource with this identifier (RFC 8707 §2): an `https` URL, or `http` on this machine.
    ///
    /// It is the audience that tokens must name. Clients expect it to be the beginning of the URLs it protects (RFC 9728 §3.3).
    pub fn builder(resource: impl Into<String>) -> ResourceServerBuilder {
        ResourceServerBuilder::new(resource.into())
    }

    /// The layer that lets requests with a good token through, and answers the others.
    pub fn layer(&self) -> BearerLayer {
        BearerLayer::new(self.clone())
    }

    /// A layer for inside of [`layer`](Self::layer): the token must have this scope, or all of several with spaces between.
    ///
    /// A text that is no scope, or an empty one, is a mistake of the program: it is logged at once and at every request, and each
    /// request is answered 500.
    pub fn require(&self, scope: &str) -> RequireLayer {
        RequireLayer::scope(self.clone(), scope)
    }

    /// A layer for inside of [`layer`](Self::layer) that asks how and when the token's owner has signed in (RFC 9470):
    /// `api.step_up().acr_values(["mfa"]).max_age(Duration::from_secs(300))`. It asks for nothing until it is told what. Where a scope is
    /// asked for as well, `require("notes:delete").acr_values(["mfa"])` does both.
    pub fn step_up(&self) -> RequireLayer {
        RequireLayer::step_up(self.clone())
    }

    /// The metadata document as a service of its own (RFC 9728 §3), for where [`layer`](Self::layer) does not wrap the whole
    /// application. It belongs at [`metadata_path`](Self::metadata_path) and answers whatever it is sent.
    #[must_use]
    pub fn metadata_service(&self) -> MetadataService {
        MetadataService::new(self.clone())
    }

    /// Where the metadata document is to be found: `/.well-known/oauth-protected-resource` and the resource's own path.
    #[must_use]
    pub fn metadata_path(&self) -> String {
        self.inner.constants.resource.well_known_path()
    }

    /// The resource's identifier.
    #[must_use]
    pub fn resource(&self) -> &ResourceUri {
        &self.inner.constants.resource
    }

    /// Checks a token that came another way than in a request of HTTP: with a message of a queue, or the first one of a WebSocket.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`] if it is not good, [`Refusal::Unavailable`] if nobody can say.
    pub async fn authenticate(&self, token: &str) -> Result<AccessToken, Refusal> {
        if let Some(verdict) = self.known(token.as_bytes()) {
            return verdict;
        }
        let check = match BearerToken::try_from(token) {
            Ok(token) => self.check(token),
            Err(InvalidBearerToken) => {
                count::refusal(Refusal::InvalidToken);
                return Err(Refusal::InvalidToken);
            }
        };
        match check {
            Check::Known(verdict) => verdict,
            Check::Ask(verdict) => verdict.await,
        }
    }

    /// The answer to a refused request: status, challenge and body (RFC 6750 §3), as the layer sends it.
    #[must_use]
    pub fn refuse<B>(&self, refusal: Refusal) -> Response<Body<B>> {
        let (challenges, body) = (&self.inner.challenges, &self.inner.refusal_body);
        refusal
            .to_response(challenges, body, &HeaderMap::new())
            .map(Body::ours)
    }

    /// Forgets what is known of these tokens: the next time one of them is presented, its issuer is asked again. A check that is under way
    /// asks again, too.
    ///
    /// For hosts that hear of a change before the cache would notice. A JWT that is checked by its signature is no deader for it:
    /// [`revoke`](Self::revoke) ends it.
    pub fn invalidate(&self, which: &WhichTokens) {
        self.inner.revocations.invalidate(self.remembered(which));
        self.end(which, Known::end);
    }

    /// Refuses these tokens of this issuer from now on: the place for revocations that are pushed to this service, by a webhook, a queue or
    /// the feed of a database. It counts at the next request.
    ///
    /// A single token (`This`, `Jti`) is dead for good; of a subject, a client or an issuer, the tokens are that may have been issued by now.
    /// Their issuer says when they were (`iat`), and its clock may be ahead of ours: by 30 seconds, or by its leeway if that is more. So what
    /// is issued within that time after the revocation is refused as well.
    ///
    /// An [`AccessToken`] of one of them that is in use somewhere says so by [`is_live`](AccessToken::is_live), if the token is still known
    /// here. It is held in this process, for [`revocations_kept`](ResourceServerBuilder::revocations_kept).
    ///
    /// # Errors
    /// [`TooManyRevocations`] if 100,000 are held already; what is cached is forgotten all the same.
    pub fn revoke(
        &self,
        issuer: &IssuerUrl,
        which: &WhichTokens,
    ) -> Result<(), TooManyRevocations> {
        let all = WhichTokens::Issuer(issuer.clone());
        let which = match which {
            WhichTokens::Issuer(_) => &all, // there are no others of this issuer's
            which => which,
        };
        let (remembered, now) = (self.remembered(which), self.inner.clock.now());
        let revocations = &self.inner.revocations;
        let leeway = self.leeway_of(issuer);
        let held = revocations.revoke((issuer.clone(), remembered.clone()), leeway, now);
        revocations.invalidate(remembered);
        self.end(which, |known| {
            if known.trusted.url == *issuer {
                match held {
                    Ok(()) => known.revoke(),
                    Err(TooManyRevocations) => known.end(),
                }
            }
        });
        held
    }

    /// By how much the clock of this issuer may differ from ours.
    fn leeway_of(&self, issuer: &IssuerUrl) -> Duration {
        let issuers = self.inner.issuers.load();
        let source = issuers.sources.iter().find(|source| source.url() == issuer);
        source.map_or(Duration::ZERO, |source| source.trusted.leeway)
    }

    fn remembered(&self, which: &WhichTokens) -> Which {
        match which {
            WhichTokens::This(token) => Which::This(self.inner.recogniser.name(token.as_bearer())),
            WhichTokens::Jti(jti) => Which::Jti(jti.clone()),
            WhichTokens::Subject(subject) => Which::Subject(subject.clone()),
            WhichTokens::Client(client) => Which::Client(client.clone()),
            WhichTokens::Issuer(issuer) => Which::Issuer(issuer.clone()),
        }
    }

    /// Ends what is kept of these tokens.
    fn end(&self, which: &WhichTokens, end: impl Fn(&Known)) {
        let (recogniser, remembered) = (&self.inner.recogniser, self.remembered(which));
        let each = |known: &Known| {
            let is_meant = match (which, &remembered) {
                (WhichTokens::This(token), Which::This(name)) => known.is_named((token, *name)),
                _ => remembered.holds(|| recogniser.name_of(known), &known.facts),
            };
            if is_meant {
                end(known);
            }
        };
        self.hot.for_each(each);
        for source in &self.inner.issuers.load().sources {
            if let Some(cache) = &source.cache {
                cache.for_each(each);
            }
        }
        self.hot.for_each(each);
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.inner.issuers.load();
        let issuers: Vec<_> = issuers.sources.iter().map(|source| source.url()).collect();
        f.debug_struct("ResourceServer")
            .field("resource", &self.inner.constants.resource)
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}
