//! Refusals in the words of tonic (feature `tonic`).

use http::HeaderMap;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::{Refusal, ResourceServer};

/// | refusal | code |
/// |---|---|
/// | [`NoToken`](Refusal::NoToken), [`InvalidToken`](Refusal::InvalidToken), [`InsufficientUserAuthentication`](Refusal::InsufficientUserAuthentication) | `UNAUTHENTICATED` |
/// | [`InvalidRequest`](Refusal::InvalidRequest) | `INVALID_ARGUMENT` |
/// | [`InsufficientScope`](Refusal::InsufficientScope) | `PERMISSION_DENIED` |
/// | [`Unavailable`](Refusal::Unavailable) | `UNAVAILABLE` |
///
/// The message is a fixed sentence. Where a [`ResourceServer`] is at hand, its [`status`](ResourceServer::status) says more.
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = Code::from_bytes(refusal.grpc_status().as_bytes());
        Self::new(code, refusal.to_string())
    }
}

impl ResourceServer {
    /// The status of a refused call: its code and its sentence, and in its metadata the challenge (`www-authenticate`), or in an outage
    /// `retry-after`.
    ///
    /// The layers refuse calls by themselves, with [`RefusalBody::Grpc`](super::RefusalBody::Grpc) in the words of gRPC. This is for what
    /// they do not see: handlers that refuse, and tokens that came in a message ([`authenticate`](Self::authenticate)).
    ///
    /// ```
    /// use tonic::{Code, Request, Response, Status};
    /// use tower_oauth::resource::{AccessToken, Refusal, ResourceServer};
    ///
    /// /// A method of a service behind `tonic::transport::Server::builder().layer(api.layer())`.
    /// async fn delete(api: &ResourceServer, request: Request<String>) -> Result<Response<()>, Status> {
    ///     let token = request.extensions().get::<AccessToken>().ok_or(Refusal::NoToken)?; // the layer put it there
    ///     if !token.has_scope("notes:write") {
    ///         return Err(api.status(Refusal::InsufficientScope));
    ///     }
    ///     Ok(Response::new(()))
    /// }
    /// # assert_eq!(Status::from(Refusal::InvalidToken).code(), Code::Unauthenticated);
    /// ```
    #[must_use]
    pub fn status(&self, refusal: Refusal) -> Status {
        let (name, value) = refusal.advice(&self.inner.challenges);
        let mut headers = HeaderMap::new();
        headers.insert(name, value);
        let plain = Status::from(refusal);
        let metadata = MetadataMap::from_headers(headers);
        Status::with_metadata(plain.code(), plain.message(), metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use tonic::{Code, Status};

    #[test]
    fn each_refusal_has_its_code_and_its_sentence() {
        for (refusal, code) in [
            (Refusal::NoToken, Code::Unauthenticated),
            (Refusal::InvalidRequest, Code::InvalidArgument),
            (Refusal::InvalidToken, Code::Unauthenticated),
            (Refusal::InsufficientScope, Code::PermissionDenied),
            (
                Refusal::InsufficientUserAuthentication,
                Code::Unauthenticated,
            ),
            (Refusal::Unavailable, Code::Unavailable),
        ] {
            let status = Status::from(refusal);
            assert_eq!(status.code(), code, "{refusal:?}");
            assert_eq!(status.message(), refusal.to_string());
        }
    }
}
