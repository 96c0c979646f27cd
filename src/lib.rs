//! OAuth 2.0 for any tower, axum, hyper or tonic service.
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
