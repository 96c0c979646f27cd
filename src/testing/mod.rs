//! An issuer in memory, for tests of services that take tokens (features `testing` and `jwks`).
//!
//! An [`Idp`] publishes keys, mints tokens, good ones and bad ones, and can be down. Nothing of it opens a socket, and its time stands still
//! until the test moves it. Between it and the service under test there is nothing made up: metadata, keys and introspection go the ways
//! that they go in production, but for the network.
//!
//! ```
//! use std::time::Duration;
//!
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_oauth::testing::Idp;
//! use tower_oauth::{AccessToken, ResourceServer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let idp = Idp::new("https://as.example", "https://notes.example");
//! let api = ResourceServer::builder("https://notes.example")
//!     .issuer(idp.issuer())                               // in production: Issuer::jwt("https://as.example")
//!     .clock(idp.clock())                                 // in production: not set
//!     .build()?;
//! let notes = ServiceBuilder::new()                       // the service under test
//!     .layer(api.layer())
//!     .layer(api.require("notes:read"))
//!     .service_fn(async |request: Request<String>| {
//!         let token = request.extensions().get::<AccessToken>().expect("the layer put it there");
//!         Ok::<_, std::convert::Infallible>(Response::new(format!("the notes of {}", token.subject())))
//!     });
//! let get = async |token: &str| {
//!     let request = Request::get("/notes").header("authorization", format!("Bearer {token}"));
//!     notes.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap().status()
//! };
//!
//! let ada = || idp.token("ada").scope("notes:read");
//! let good = ada().mint();
//! assert_eq!(get(&good).await, 200);
//! assert_eq!(get(&ada().scope("notes:write").mint()).await, 403);
//! for bad in [ada().expired(), ada().wrong_audience(), ada().wrong_signature(), ada().id_token()] {
//!     assert_eq!(get(&bad.mint()).await, 401);
//! }
//!
//! // What exactly was wrong is told to operators and tests alone.
//! let explanation = api.explain(&ada().wrong_audience().mint()).await;
//! assert!(explanation.to_string().contains("meant for another resource"));
//!
//! // A quarter of an hour later, and the 30 seconds by which clocks may differ.
//! idp.clock().advance(Duration::from_secs(15 * 60 + 30));
//! assert_eq!(get(&good).await, 401);
//! # Ok(()) }
//! ```
//!
//! | to see | do |
//! |---|---|
//! | a service that starts while its issuer is down: 503 | `idp.down(true)` before the first request |
//! | its recovery | `idp.down(false)`, and a minute of `idp.clock().advance(…)` |
//! | new keys, and the end of old ones | [`rotate`](Idp::rotate), [`withdraw_old_keys`](Idp::withdraw_old_keys) |
//! | opaque tokens, their revocation and an outage (feature `introspection`) | `opaque_issuer`, `mint_opaque`, `revoke` |
//!
//! *Left out*: endpoints where clients get tokens. `AuthorizationServer` (feature `server`) has them, and needs no network either.

mod idp;
mod idp_token;

pub use idp::Idp;
pub use idp_token::IdpToken;
