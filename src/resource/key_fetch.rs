//! One fetch of an issuer's keys: where they are, and what came (RFC 8414 §2 `jwks_uri`, RFC 7517 §5).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::discovery::{discover, get};
use super::http_client::Http;
use super::validator::Unavailable;
use crate::protocol::freshness;
use crate::protocol::jwk_set::JwkSet;
use crate::types::{Clock, EndpointUrl, IssuerUrl, Timestamp};

/// How long a set may be.
const LONGEST: usize = 256 * 1024;

/// How long the issuer's word of where its keys are is believed.
const FOUND_FOR: Duration = Duration::from_secs(60 * 60);

/// What it takes to fetch the keys of an issuer.
pub(crate) struct KeyFetch {
    pub(crate) issuer: IssuerUrl,
    /// Where they are, if the issuer need not be asked.
    pub(crate) jwks_uri: Option<EndpointUrl>,
    pub(crate) http: Http,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long all of it may take.
    pub(crate) timeout: Duration,
}

/// What a fetch has brought.
pub(crate) struct Fetched {
    pub(crate) set: JwkSet,
    /// For how long the issuer says that it is fresh.
    pub(crate) fresh: Option<Duration>,
    /// How old it is already.
    pub(crate) age: Duration,
}

/// Where the issuer has said that its keys are, and when.
pub(crate) struct Place {
    jwks_uri: EndpointUrl,
    found: Timestamp,
}

impl KeyFetch {
    /// Fetches them, from where they were found before unless that was long ago or has failed since.
    pub(crate) async fn fetch(&self, place: &mut Option<Place>) -> Result<Fetched, Unavailable> {
        let known = place.take();
        let (fetched, found) = tokio::select! {
            fetched = self.find_and_fetch(known) => fetched?,
            () = self.clock.sleep(self.timeout) => return Err(Unavailable::new("no answer in time")),
        };
        *place = found;
        Ok(fetched)
    }

    async fn find_and_fetch(
        &self,
        known: Option<Place>,
    ) -> Result<(Fetched, Option<Place>), Unavailable> {
        let now = self.clock.now();
        let time = (&*self.clock, self.timeout);
        let known = known.filter(|known| now < known.found.saturating_add(FOUND_FOR));
        let (jwks_uri, found) = match (&self.jwks_uri, known) {
            (Some(jwks_uri), _) => (jwks_uri.clone(), None),
            (None, Some(known)) => (known.jwks_uri.clone(), Some(known)),
            (None, None) => {
                let metadata = discover(&self.issuer, &self.http, time).await?;
                let jwks_uri = metadata.jwks_uri().map_err(Unavailable::new)?;
                let found = Place {
                    jwks_uri: jwks_uri.clone(),
                    found: now,
                };
                (jwks_uri, Some(found))
            }
        };
        let answer = self.http.send(get(jwks_uri.uri()), LONGEST, time).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status().as_u16();
            return Err(Unavailable::new(format!("its keys were answered {status}")));
        }
        let set = JwkSet::parse(answer.body()).map_err(Unavailable::new)?;
        if set.is_unusable() {
            return Err(Unavailable::new("none of its keys can be used"));
        }
        let fetched = Fetched {
            set,
            age: freshness::age(answer.headers()),
            fresh: freshness::lifetime(answer.headers(), self.clock.now()),
        };
        Ok((fetched, found))
    }
}
