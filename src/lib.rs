//! OAuth 2.0 for any tower, axum, hyper or tonic service.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
pub mod types;
