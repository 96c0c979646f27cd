//! Where an issuer is asked about its tokens: the host has said so, or its metadata does (RFC 8414 §2 `introspection_endpoint`).

use std::time::Duration;

use tokio::sync::Mutex;

use super::discovery::discover;
use super::issuer::Surroundings;
use super::validator::Unavailable;
use crate::types::{EndpointUrl, IssuerUrl};

/// Where the issuer is asked.
pub(crate) enum Endpoint {
    /// The host has said where.
    Given(EndpointUrl),
    /// Its metadata says where. Held while it is looked for: of many who want to know, one asks.
    Discovered(Mutex<Option<Found>>),
}

/// What the metadata has said.
pub(crate) struct Found {
    url: EndpointUrl,
    /// Asking there has failed since.
    is_doubtful: bool,
}

impl Endpoint {
    pub(crate) fn discovered() -> Self {
        Self::Discovered(Mutex::new(None))
    }

    /// Waits until it is known. A failure is not kept: when the issuer is left alone is the breaker's to say.
    pub(crate) async fn url(
        &self,
        issuer: &IssuerUrl,
        surroundings: &Surroundings,
        timeout: Duration,
    ) -> Result<EndpointUrl, Unavailable> {
        let found = match self {
            Self::Given(url) => return Ok(url.clone()),
            Self::Discovered(found) => found,
        };
        let mut found = found.lock().await;
        if let Some(found) = found.as_ref().filter(|found| !found.is_doubtful) {
            return Ok(found.url.clone());
        }
        let time = (&*surroundings.clock, timeout);
        let discovered = discover(issuer, &surroundings.http, time).await;
        let url = discovered.and_then(|metadata| {
            let url = metadata.introspection_endpoint();
            url.map_err(Unavailable::new)
        });
        match (url, found.as_ref()) {
            (Ok(url), _) => {
                *found = Some(Found {
                    url: url.clone(),
                    is_doubtful: false,
                });
                Ok(url)
            }
            (Err(_), Some(known)) => Ok(known.url.clone()),
            (Err(cause), None) => Err(cause),
        }
    }

    /// Asking there has failed: it may have moved, and is looked for before it is asked again.
    pub(crate) fn doubt(&self) {
        if let Self::Discovered(found) = self
            && let Ok(mut found) = found.try_lock()
            && let Some(found) = found.as_mut()
        {
            found.is_doubtful = true;
        }
    }
}
