//! The metadata document as a service of its own (RFC 9728 §3).

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::ResourceServer;
use crate::types::Body;

/// Answers with the resource's metadata document; made by [`ResourceServer::metadata_service`].
///
/// GET and HEAD are answered 200 or 304, OPTIONS as browsers expect it, everything else 405. The path is not looked at.
#[derive(Debug, Clone)]
pub struct MetadataService {
    server: ResourceServer,
}

impl MetadataService {
    pub(crate) const fn new(server: ResourceServer) -> Self {
        Self { server }
    }
}

impl<B> Service<Request<B>> for MetadataService {
    /// There is no inner service; `String` stands where its body would.
    type Response = Response<Body<String>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body<String>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let issuers = self.server.inner.issuers.load();
        ready(Ok(issuers.document.answer(&request).map(Body::ours)))
    }
}
