//! Where an issuer is asked about its tokens: where the host says, or where its metadata says (RFC 8414 §2).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::OnceCell;

use super::discovery::discover;
use super::issuer::Surroundings;
use super::validator::Unavailable;
use crate::types::{EndpointUrl, IssuerUrl};

/// Where the issuer is asked.
pub(crate) enum Endpoint {
    /// The host has said where.
    Given(EndpointUrl),
    /// Its metadata says where. Read once, by whoever comes first, and again when the endpoint is not there any more.
    Discovered(ArcSwap<OnceCell<EndpointUrl>>),
}

impl Endpoint {
    pub(crate) fn discovered() -> Self {
        Self::Discovered(ArcSwap::default())
    }

    /// Waits until it is known.
    pub(crate) async fn url(
        &self,
        issuer: &IssuerUrl,
        surroundings: &Surroundings,
        timeout: Duration,
    ) -> Result<EndpointUrl, Unavailable> {
        let place = match self {
            Self::Given(url) => return Ok(url.clone()),
            Self::Discovered(place) => place.load_full(),
        };
        let find = async || {
            let time = (&*surroundings.clock, timeout);
            let metadata = discover(issuer, &surroundings.http, time).await?;
            metadata.introspection_endpoint().map_err(Unavailable::new)
        };
        place.get_or_try_init(find).await.cloned()
    }

    /// It was not there: the metadata is read again the next time.
    pub(crate) fn forget(&self) {
        if let Self::Discovered(place) = self {
            place.store(Arc::default());
        }
    }
}
