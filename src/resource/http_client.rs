//! How a resource server asks its issuers: a trait of ours, and the client that is used where the host brings none.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};

use super::ConfigError;
use super::validator::{BoxFuture, Unavailable};
use crate::types::Clock;

/// Sends requests to issuers, for a host with a client of its own: behind a proxy, with a client certificate, in a mesh.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use tower_oauth::resource::{HttpClient, Unavailable};
///
/// /// An issuer that is always the same.
/// struct Canned(&'static str);
///
/// impl HttpClient for Canned {
///     async fn send(&self, _: Request<Bytes>, limit: usize) -> Result<Response<Bytes>, Unavailable> {
///         if self.0.len() > limit {
///             return Err(Unavailable::new("the answer is too long"));
///         }
///         Ok(Response::new(Bytes::from_static(self.0.as_bytes())))
///     }
/// }
/// ```
pub trait HttpClient: Send + Sync + 'static {
    /// Sends the request and gives back the whole answer, whatever its status. Redirects are not followed (RFC 7662 §4: the
    /// credentials are for one endpoint), nothing is decompressed, and no more than `limit` bytes of the body are read.
    ///
    /// How long it may take is watched outside of it: it may be dropped at any `.await`.
    ///
    /// # Errors
    /// [`Unavailable`] if there is no whole answer, or it is longer than `limit`.
    fn send(
        &self,
        request: Request<Bytes>,
        limit: usize,
    ) -> impl Future<Output = Result<Response<Bytes>, Unavailable>> + Send;
}

/// The object-safe twin of [`HttpClient`].
trait DynHttpClient: Send + Sync + 'static {
    fn send(
        self: Arc<Self>,
        request: Request<Bytes>,
        limit: usize,
    ) -> BoxFuture<Result<Response<Bytes>, Unavailable>>;
}

impl<C: HttpClient> DynHttpClient for C {
    fn send(
        self: Arc<Self>,
        request: Request<Bytes>,
        limit: usize,
    ) -> BoxFuture<Result<Response<Bytes>, Unavailable>> {
        Box::pin(async move { HttpClient::send(&*self, request, limit).await })
    }
}

/// A client, whichever it is: a cheap clone.
#[derive(Clone)]
pub(crate) struct Http(Arc<dyn DynHttpClient>);

impl Http {
    pub(crate) fn new(client: impl HttpClient) -> Self {
        Self(Arc::new(client))
    }

    /// Sends a request, and gives up after so much time of this clock.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        limit: usize,
        (clock, timeout): (&dyn Clock, Duration),
    ) -> Result<Response<Bytes>, Unavailable> {
        tokio::select! {
            answer = Arc::clone(&self.0).send(request, limit) => answer,
            () = clock.sleep(timeout) => Err(Unavailable::new("no answer in time")),
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http(…)")
    }
}

/// The default client: HTTP/1.1 over rustls with the certificates of the system, connections kept open, 2 seconds to connect.
///
/// It asks the issuer itself, whatever `HTTP_PROXY` and its like say: what it sends over plain `http` on this machine are secrets and
/// tokens. A host behind a proxy brings an [`HttpClient`] of its own.
///
/// It is made at the first request, so that `build()` reads nothing. If it cannot be made, the next request tries again.
#[derive(Debug, Default)]
pub struct HttpsClient {
    connect_timeout: Option<Duration>,
    certificates: Vec<reqwest::Certificate>,
    client: OnceLock<reqwest::Client>,
}

impl HttpsClient {
    /// A client with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long connecting may take. Default: 2 s. The whole exchange has a limit of its own at each issuer.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Trusts these certificate authorities *besides* those of the system: one or more certificates in PEM. For issuers with a
    /// certificate of the house.
    ///
    /// # Errors
    /// [`ConfigError::Certificate`] if there is no certificate in it, or one cannot be read.
    pub fn root_certificates(mut self, pem: &str) -> Result<Self, ConfigError> {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|_| ConfigError::Certificate)?;
        if certificates.is_empty() {
            return Err(ConfigError::Certificate);
        }
        self.certificates.extend(certificates);
        Ok(self)
    }

    fn client(&self) -> Result<&reqwest::Client, Unavailable> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout.unwrap_or(Duration::from_secs(2)))
            .tls_certs_merge(self.certificates.iter().cloned())
            .build()
            .map_err(Unavailable::new)?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl HttpClient for HttpsClient {
    async fn send(
        &self,
        request: Request<Bytes>,
        limit: usize,
    ) -> Result<Response<Bytes>, Unavailable> {
        let request = request.try_into().map_err(unavailable)?;
        let mut answer = self.client()?.execute(request).await.map_err(unavailable)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(unavailable)? {
            if body.len() + chunk.len() > limit {
                return Err(Unavailable::new("the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// The cause without the URL, which might be anything.
fn unavailable(error: reqwest::Error) -> Unavailable {
    Unavailable::new(error.without_url())
}
