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
//! With [`store`](server::AuthorizationServerBuilder::store) it keeps what it has issued: in SQLite with feature `sqlite`.
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
//! With feature `axum`, handlers take an [`AccessToken`] as an argument.
//!
//! # Features
//!
//! | feature | gives | default |
//! |---|---|---|
//! | `server` | [`AuthorizationServer`], the store contract and [`MemoryStore`] | yes |
//! | `resource` | [`ResourceServer`] and its layers | yes |
//! | `sqlite` | `SqliteStore`, the embedded durable store | |
//! | `axum` | extractors for handlers | |
//! | `testing` | `ManualClock`, and the conformance suite that a store passes | |
//!
//! # Sizes of what is issued
//!
//! Access tokens 47 characters, refresh tokens 95, codes and device codes 43, user codes 9 with their dash, client identifiers at most
//! 64 and client secrets 43 (RFC 6749 §2.2, §4.1.2 and §5.1 ask servers to say so). All are letters, digits, `-` and `_`.
//!
//! # Scope
//!
//! The scopes of a server are those of its resources (`resource`) and those that belong to none (`scopes`); the metadata lists them as
//! `scopes_supported`. A request without a scope gets the `default_scope`, cut to what its client may have; if none is set, what its
//! client was registered with, and if that was not limited either, `invalid_scope` (RFC 6749 §3.3 asks servers to say so). What is
//! asked for beyond what there is, or what the client may have, is `invalid_scope` too.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "server")]
mod grant;
#[cfg(any(feature = "server", feature = "resource"))]
mod protocol;
#[cfg(feature = "resource")]
pub mod resource;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
pub mod types;

#[cfg(feature = "resource")]
pub use resource::{AccessToken, Issuer, ResourceServer};
#[cfg(feature = "server")]
pub use server::{
    Approval, AuthorizationServer, Decision, Interaction, Issuance, PendingRequest, Policy,
    Registration, Verdict,
};
#[cfg(feature = "server")]
pub use store::MemoryStore;
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
