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
mod cache;
mod config;
mod count;
#[cfg(any(feature = "jwks", feature = "introspection"))]
mod discovery;
#[cfg(feature = "axum")]
mod extract;
mod future;
#[cfg(any(feature = "jwks", feature = "introspection"))]
mod http_client;
#[cfg(feature = "server")]
mod in_process;
mod issuer;
#[cfg(feature = "jwks")]
mod jwks;
#[cfg(feature = "jwks")]
mod jwt;
#[cfg(feature = "jwks")]
mod jwt_issuer;
#[cfg(feature = "jwks")]
mod key_fetch;
mod layer;
mod metadata;
mod policy;
#[cfg(feature = "jwks")]
mod refetch;
mod scope;
mod validator;

use std::fmt;
use std::sync::Arc;

use http::Response;

pub use crate::protocol::bearer::{BearerToken, InvalidBearerToken, OwnedToken, Refusal};
pub use crate::types::Flag;
pub use access_token::AccessToken;
pub use cache::CacheLimits;
pub use config::{ConfigError, ResourceServerBuilder};
#[cfg(feature = "axum")]
pub use extract::AccessTokenRejection;
pub use future::ResponseFuture;
#[cfg(any(feature = "jwks", feature = "introspection"))]
pub use http_client::{HttpClient, HttpsClient};
pub use issuer::Issuer;
#[cfg(feature = "jwks")]
pub use jwt_issuer::JwtIssuer;
pub use layer::{Bearer, BearerLayer};
pub use metadata::MetadataService;
pub use scope::{RequireScope, RequireScopeLayer};
pub use validator::{Facts, NotActive, TokenFacts, TokenFactsBuilder, Unavailable, Validator};

use crate::protocol::bearer::Challenges;
use crate::protocol::protected_resource::Document;
use crate::types::{Audience, Body, Clock, ResourceUri, ScopeToken, Timestamp};
use issuer::Source;
use validator::BoxFuture;

/// A protected resource: an API, the issuers whose tokens it takes, and how it answers. Clones are the same one.
#[derive(Clone)]
pub struct ResourceServer(Arc<Inner>);

struct Inner {
    resource: ResourceUri,
    metadata_url: String,
    realm: Option<String>,
    sources: Vec<Arc<Source>>,
    /// Whom a token must be meant for, one of them: the resource, and what else issuers call it.
    audiences: Vec<Audience>,
    /// A token with the first scope may do what the second allows.
    implications: Vec<(ScopeToken, ScopeToken)>,
    challenges: Challenges,
    document: Document,
    clock: Arc<dyn Clock>,
}

/// What came of checking a token.
type Verdict = Result<AccessToken, Refusal>;

/// Whether the check is over already.
enum Check {
    Known(Verdict),
    Ask(BoxFuture<Verdict>),
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
    pub fn require(&self, scope: &str) -> RequireScopeLayer {
        RequireScopeLayer::new(self.clone(), scope)
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
        self.0.resource.well_known_path()
    }

    /// The resource's identifier.
    #[must_use]
    pub fn resource(&self) -> &ResourceUri {
        &self.0.resource
    }

    /// Checks a token that came another way than in a request of HTTP: with a message of a queue, or the first one of a WebSocket.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`] if it is not good, [`Refusal::Unavailable`] if nobody can say.
    pub async fn authenticate(&self, token: &str) -> Result<AccessToken, Refusal> {
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
        refusal.to_response(&self.0.challenges).map(Body::ours)
    }

    /// What can be said without waiting; allocates nothing if all is known.
    fn check(&self, token: BearerToken<'_>) -> Check {
        let check = self.look(token);
        if let Check::Known(verdict) = &check {
            count::verdict(verdict, count::Facts::Known);
        }
        check
    }

    fn look(&self, token: BearerToken<'_>) -> Check {
        let now = self.0.clock.now();
        let sources = &self.0.sources;
        if sources.len() > 1 {
            // Who knows the token for a live one need not be looked for.
            for source in sources {
                if let Some(Ok(facts)) = source.validator.validate_now(token, now) {
                    return Check::Known(self.judge(source, Ok(facts), now));
                }
            }
        }
        let Some(source) = issuer::of_token(sources, token) else {
            tracing::debug!(
                error = "invalid_token",
                reason = "no such issuer",
                "token refused"
            );
            return Check::Known(Err(Refusal::InvalidToken));
        };
        if let Some(facts) = source.validator.validate_now(token, now) {
            return Check::Known(self.judge(source, facts, now));
        }
        let (server, source, token) = (self.clone(), Arc::clone(source), token.into_owned());
        Check::Ask(Box::pin(async move {
            let verdict = match Arc::clone(&source.validator).validate(token, now).await {
                // Making the facts may have taken a while.
                Ok(facts) => server.judge(&source, facts, server.0.clock.now()),
                Err(unavailable) => {
                    tracing::error!(issuer = %source.url, cause = %unavailable, "token could not be checked");
                    Err(Refusal::Unavailable)
                }
            };
            count::verdict(&verdict, count::Facts::Asked);
            verdict
        }))
    }

    /// Facts become a verdict.
    fn judge(&self, source: &Source, facts: Facts, now: Timestamp) -> Verdict {
        let refused = match facts {
            Ok(facts) => match policy::check(&facts, &self.demands(source), now) {
                Ok(()) => return Ok(AccessToken::new(facts, self.clone())),
                Err(reason) => reason,
            },
            Err(not_active) => not_active.reason(),
        };
        tracing::debug!(error = "invalid_token", reason = refused, "token refused");
        Err(Refusal::InvalidToken)
    }

    /// What is asked of every token of this issuer.
    fn demands<'a>(&'a self, source: &'a Source) -> policy::Demands<'a> {
        policy::Demands {
            issuer: &source.url,
            audiences: &self.0.audiences,
            leeway: source.leeway,
        }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> = self.0.sources.iter().map(|source| &source.url).collect();
        f.debug_struct("ResourceServer")
            .field("resource", &self.0.resource)
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}
