//! Where an issuer is asked about its tokens: the host has said so, or its metadata does (RFC 8414 §2 `introspection_endpoint`).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::discovery::discover;
use super::issuer::Surroundings;
use super::validator::Unavailable;
use crate::types::{EndpointUrl, IssuerUrl};

/// For how long it is looked for again where a place is known, and never for more than a quarter of the time that a question has: the
/// rest is for asking there.
const AGAIN: Duration = Duration::from_secs(1);

/// Where the issuer is asked.
pub(crate) enum Endpoint {
    /// The host has said where.
    Given(EndpointUrl),
    /// Its metadata says where.
    Discovered(Discovered),
}

#[derive(Default)]
pub(crate) struct Discovered {
    found: Mutex<Option<Found>>,
    /// Held while it is looked for: of many who want to know, one asks.
    looking: tokio::sync::Mutex<()>,
}

/// What the metadata has said.
#[derive(Clone)]
struct Found {
    url: EndpointUrl,
    /// Asking there has failed since.
    is_doubtful: bool,
}

impl Endpoint {
    pub(crate) fn discovered() -> Self {
        Self::Discovered(Discovered::default())
    }

    /// Where it is, as far as it is known, and else what its metadata says. A failure is not kept: when the issuer is left alone is the
    /// breaker's to say.
    pub(crate) async fn url(
        &self,
        issuer: &IssuerUrl,
        surroundings: &Surroundings,
        timeout: Duration,
    ) -> Result<EndpointUrl, Unavailable> {
        match self {
            Self::Given(url) => Ok(url.clone()),
            Self::Discovered(discovered) => discovered.url(issuer, surroundings, timeout).await,
        }
    }

    /// Asking there has failed: it may have moved, and is looked for before it is asked again.
    pub(crate) fn doubt(&self) {
        if let Self::Discovered(discovered) = self
            && let Some(found) = discovered.found().as_mut()
        {
            found.is_doubtful = true;
        }
    }
}

impl Discovered {
    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<Found> {
        self.found().clone()
    }

    async fn url(
        &self,
        issuer: &IssuerUrl,
        surroundings: &Surroundings,
        timeout: Duration,
    ) -> Result<EndpointUrl, Unavailable> {
        if let Some(known) = self.known() {
            return Ok(self.confirmed(known, issuer, (surroundings, timeout)).await);
        }
        let _looking = self.looking.lock().await;
        if let Some(found) = self.known() {
            return Ok(found.url); // somebody else has found it
        }
        self.look(issuer, (surroundings, timeout)).await
    }

    /// The place that is known, or the one to which it has moved. Who cannot tell in time asks where it was.
    async fn confirmed(
        &self,
        known: Found,
        issuer: &IssuerUrl,
        (surroundings, timeout): (&Surroundings, Duration),
    ) -> EndpointUrl {
        if !known.is_doubtful {
            return known.url;
        }
        // The others do not wait for the one who looks.
        let Ok(_looking) = self.looking.try_lock() else {
            return known.url;
        };
        let found = tokio::select! {
            found = self.look(issuer, (surroundings, timeout)) => found.ok(),
            () = surroundings.clock.sleep(AGAIN.min(timeout / 4)) => None,
        };
        if let Some(url) = found {
            return url;
        }
        // Whether it is there is for the next answer to say.
        if let Some(found) = self.found().as_mut() {
            found.is_doubtful = false;
        }
        known.url
    }

    async fn look(
        &self,
        issuer: &IssuerUrl,
        (surroundings, timeout): (&Surroundings, Duration),
    ) -> Result<EndpointUrl, Unavailable> {
        let time = (&*surroundings.clock, timeout);
        let metadata = discover(issuer, &surroundings.http, time).await?;
        let url = metadata.introspection_endpoint();
        let url = url.map_err(Unavailable::new)?;
        *self.found() = Some(Found {
            url: url.clone(),
            is_doubtful: false,
        });
        Ok(url)
    }
}
