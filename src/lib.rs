//! OAuth 2.0 for any tower, axum, hyper or tonic service, in both directions.
//!
//! - [`AuthorizationServer`] **serves**: a layer that answers the OAuth endpoints from inside an existing stack (metadata, authorize,
//!   token, device, introspection, revocation, registration) and passes everything else on.
//! - [`ResourceServer`] **protects**: a layer that lets requests with a live bearer token through, and refuses the rest by RFC 6750.
//!
//! Both are values that clone by `Arc`. In one process they share the store: a token is checked without a network hop, and a revocation
//! counts at the next request.
//!
//! # Serve
//!
//! A whole program, without sockets: a server, a client, a token.
//!
//! ```
//! use http::{Request, StatusCode};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_oauth::types::{Client, GrantType, Secret};
//! use tower_oauth::AuthorizationServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let oauth = AuthorizationServer::builder("https://notes.example")       // the issuer, never read from a request
//!     .resource("https://notes.example", ["notes:read", "notes:write"])   // an API and its scopes
//!     .build()?;                                                          // no I/O; refuses unsafe settings
//! let job = Client::confidential("nightly".parse()?, &Secret::new("s3cr3t"))
//!     .grant_types([GrantType::ClientCredentials]);
//! oauth.clients().create(job).await?;
//!
//! let app = ServiceBuilder::new().layer(oauth.layer()).service_fn(async |_: Request<String>| {
//!     Ok::<_, std::convert::Infallible>(http::Response::new("everything else".to_owned()))
//! });
//! let request = Request::post("/auth/token")
//!     .header("authorization", "Basic bmlnaHRseTpzM2NyM3Q=")              // nightly:s3cr3t
//!     .header("content-type", "application/x-www-form-urlencoded")
//!     .body("grant_type=client_credentials&scope=notes:read".to_owned())?;
//! assert_eq!(app.oneshot(request).await?.status(), StatusCode::OK);
//! # Ok(()) }
//! ```
//!
//! With [`login`](server::AuthorizationServerBuilder::login) it asks people too: authorization code with PKCE, and devices.
//! With [`store`](server::AuthorizationServerBuilder::store) it keeps what it has issued: in SQLite with feature `sqlite`,
//! or in a PostgreSQL that many machines share with feature `postgres`.
//!
//! # Protect
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_oauth::{AccessToken, AuthorizationServer, Issuer, ResourceServer};
//! # use tower_oauth::types::{Client, GrantType, Secret};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let oauth = AuthorizationServer::builder("https://notes.example").resource("https://notes.example", ["notes:read"]).build()?;
//! # let job = Client::confidential("nightly".parse()?, &Secret::new("s3cr3t")).grant_types([GrantType::ClientCredentials]);
//! # oauth.clients().create(job).await?;
//! # let form = "grant_type=client_credentials&scope=notes:read&client_id=nightly&client_secret=s3cr3t".to_owned();
//! # let request = Request::post("/auth/token").header("content-type", "application/x-www-form-urlencoded").body(form)?;
//! # let answer = http_body_util::BodyExt::collect(oauth.service().oneshot(request).await?.into_body()).await?.to_bytes();
//! # let answer: serde_json::Value = serde_json::from_slice(&answer)?;
//! # let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
//! let api = ResourceServer::builder("https://notes.example")              // the audience it demands
//!     .issuer(Issuer::in_process(&oauth))                                 // whose tokens it takes
//!     .build()?;
//! let notes = ServiceBuilder::new()
//!     .layer(api.layer())                                                 // 400, 401, 503 by RFC 6750; fails closed
//!     .layer(api.require("notes:read"))                                   // 403 without the scope
//!     .service_fn(async |request: Request<String>| {
//!         let token = request.extensions().get::<AccessToken>().expect("the layer put it there");
//!         Ok::<_, std::convert::Infallible>(Response::new(format!("notes of {}", token.subject())))
//!     });
//! let stranger = Request::get("/notes").body(String::new())?;
//! assert_eq!(notes.clone().oneshot(stranger).await?.status(), StatusCode::UNAUTHORIZED);
//! let request = Request::get("/notes").header("authorization", format!("Bearer {token}")).body(String::new())?;
//! assert_eq!(notes.oneshot(request).await?.status(), StatusCode::OK);
//! # Ok(()) }
//! ```
//!
//! With feature `axum`, handlers take an [`AccessToken`] as an argument. Handlers of tonic find it in the extensions of their request,
//! `request.extensions().get::<AccessToken>()`; with [`RefusalBody::Grpc`](resource::RefusalBody::Grpc) calls are refused in the words of gRPC.
//!
//! With feature `introspection`, tokens may be those of any server that tells what it knows of them (RFC 7662): `Issuer::opaque`.
//! With feature `jwks`, tokens may be JWTs of any server that publishes its keys (RFC 9068): `.issuer(Issuer::jwt("https://as.example"))`.
//!
//! # Features
//!
//! | feature | gives | default |
//! |---|---|---|
//! | `server` | [`AuthorizationServer`], the store contract and [`MemoryStore`] | yes |
//! | `resource` | [`ResourceServer`] and its layers | yes |
//! | `sqlite` | `SqliteStore`, the embedded durable store | |
//! | `postgres` | `PostgresStore`, the durable store of many machines | |
//! | `redis` | `RedisStore`, for many machines and what may be lost: a Redis or Valkey that they share, or a cluster | |
//! | `jwt` | JWT access tokens (RFC 9068), their keys and the JWK set | |
//! | `introspection` | `Issuer::opaque`: tokens of other servers, which are asked about them (RFC 7662) | |
//! | `jwks` | `Issuer::jwt`: JWT access tokens of other servers, checked with the keys that they publish (RFC 9068, RFC 8414) | |
//! | `axum` | extractors for handlers | |
//! | `qr` | QR codes of device links, for terminals and pages | |
//! | `metrics` | counters and histograms, [as below](#seen-from-outside) | |
//! | `tonic` | refusals as [`tonic::Status`](https://docs.rs/tonic): `api.status(refusal)` | |
//! | `testing` | `ManualClock`, the conformance suite that a store passes and, with `jwks`, an issuer in memory for your own tests: `testing::Idp` | |
//!
//! # Seen from outside
//!
//! Each request to an endpoint has a [`tracing`] span `tower_oauth` (level info) with the fields `endpoint`, `client_id`, `grant_type` and
//! `error`, the last three as soon as they are known; traffic that is not ours has none. What happens is told three times, from one place:
//! to the log, to the metrics, and as an [`Event`](server::Event) to the host's [`EventSink`](server::EventSink), for an audit trail. In
//! the log, faults of ours are errors, signs of an attack (a code or refresh token used twice, an answer of a person that another page or
//! another person has sent, too many requests) are warnings, what was issued and revoked is information, and mistakes of clients are for
//! debugging. Neither log nor metrics name a person, and nothing of all this carries a secret.
//!
//! A request that fails through a fault of ours is answered 503 or 500 without a detail, or its client is sent `temporarily_unavailable` or
//! `server_error`; the header `error-id` of the answer is the `error_id` of the log line that says why.
//!
//! With feature `metrics`, through the recorder of the [`metrics`](https://docs.rs/metrics) crate that the program has installed:
//!
//! | metric | labels | counts |
//! |---|---|---|
//! | `oauth_tokens_issued_total` | `grant_type` | access tokens (RFC 6749 §5.1) |
//! | `oauth_requests_refused_total` | `endpoint`, `error` | error answers, by their code on the wire; pages that say no to what is forged, and to who is not signed in, count as `access_denied` or `invalid_request` |
//! | `oauth_requests_throttled_total` | `endpoint` | those of them that were 429 |
//! | `oauth_authorization_code_replays_total` | | codes that were used twice (RFC 6749 §4.1.2) |
//! | `oauth_refresh_token_reuse_total` | | refresh tokens that were used twice (RFC 9700 §4.14.2) |
//! | `oauth_grants_revoked_total` | `by`: `code_replay`, `refresh_token_reuse`, `client`, `host`, `owner` | grants that were ended |
//! | `oauth_tokens_revoked_total` | | access tokens that their client revoked (RFC 7009) |
//! | `oauth_revocations_total` | `of`: `client`, `subject` | revocations of everything of one |
//! | `oauth_clients_registered_total` | `by`: `host`, `itself` | new clients |
//! | `oauth_signing_keys_changed_total` | `to`: `made`, `rotated`, `removed` | what became of the keys in the store (feature `jwt`) |
//! | `oauth_clients_changed_total` | `to`: `disabled`, `enabled`, `new_secret` | what the host did to clients |
//! | `oauth_consents_total` | `decision`: `given`, `denied` | authorization requests that were decided |
//! | `oauth_devices_total` | `decision`: `approved`, `denied` | devices that were decided about (RFC 8628 §3.3) |
//! | `oauth_user_codes_wrong_total` | | user codes that no device shows |
//! | `oauth_store_duration_seconds` | `verb`, `kind` | a histogram of the steps of the store, without its feed |
//! | `oauth_store_failures_total` | `verb`, `kind` | steps of the store that failed |
//! | `oauth_bearer_checks_total` | `outcome`, `facts`: `known`, `asked` | checks of bearer tokens; a request that a scope is missing for counts as `accepted` and as `insufficient_scope` |
//!
//! `outcome` is `accepted`, `no_token`, `invalid_request`, `invalid_token`, `insufficient_scope`, `insufficient_user_authentication` or `unavailable`; with `known` nothing was
//! waited for. All labels are of fixed sets. Without the feature nothing is measured.
//!
//! # Sizes of what is issued
//!
//! Access tokens 55 characters, refresh tokens 95, codes and device codes 43, user codes 9 with their dash, client identifiers at most
//! 64 and client secrets 43 (RFC 6749 §2.2, §4.1.2 and §5.1 ask servers to say so). All are letters, digits, `-` and `_`. An access
//! token that is a JWT is as long as what it says, and has two dots.
//!
//! # JWT access tokens
//!
//! With feature `jwt`, [`access_token_format`](server::AuthorizationServerBuilder::access_token_format) makes access tokens JWTs (RFC 9068)
//! that a resource checks with the keys at `jwks_uri`, without asking. The price: a resource that does not ask does not hear of a
//! revocation, so they live five minutes; what they say can be read by their client; and they are longer. Introspection and protection in
//! the same process see a revocation at once, by the token's id (RFC 7009) and by its grant, client and subject. Nothing is written
//! when one is issued. A host that adds claims uses registered names (RFC 9068 §2.2.2), `groups`, `roles` and `entitlements` for those of
//! RFC 7643.
//!
//! The keys look after themselves. The first is made in the store when it is needed, by one node for all; each later one is published
//! for a day before it signs, and for as long as its last token lives. They stand in the store as they are, unless
//! [`seal_keys_with`](server::AuthorizationServerBuilder::seal_keys_with) is set: until then, whoever can read the store can sign.
//!
//! # Scope
//!
//! The scopes of a server are those of its resources (`resource`) and those that belong to none (`scopes`); the metadata lists them as
//! `scopes_supported`. A request without a scope gets the `default_scope`, cut to what its client may have; if none is set, what its
//! client was registered with, and if that was not limited either, `invalid_scope` (RFC 6749 §3.3 asks servers to say so). What is
//! asked for beyond what there is, or what the client may have, is `invalid_scope` too. A request that names no resource is for the first
//! resource to which all of its scope means something; if there is none, it must name them (RFC 9068 §3).
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "server")]
mod grant;
#[cfg(feature = "server")]
pub mod pages;
#[cfg(any(feature = "server", feature = "resource"))]
mod protocol;
#[cfg(feature = "qr")]
pub mod qr;
#[cfg(feature = "resource")]
pub mod resource;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
#[cfg(all(feature = "testing", feature = "jwks"))]
pub mod testing;
pub mod types;

#[cfg(feature = "resource")]
pub use resource::{AccessToken, Issuer, ResourceServer};
#[cfg(feature = "server")]
pub use server::{
    Approval, AuthorizationServer, Decision, Interaction, Issuance, PendingRequest, Policy,
    Registration, SignedIn, Verdict,
};
#[cfg(feature = "server")]
pub use store::MemoryStore;
#[cfg(feature = "postgres")]
pub use store::PostgresStore;
#[cfg(feature = "redis")]
pub use store::RedisStore;
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
