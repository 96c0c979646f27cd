//! The issuers of a resource: which they are may change while it runs.

use std::sync::{Arc, PoisonError};

use super::cache::CacheLimits;
use super::issuer::{Issuer, Source, Surroundings};
use super::{ConfigError, ResourceServer};
use crate::protocol::protected_resource::{Document, ProtectedResourceMetadata};
use crate::types::{IssuerUrl, ResourceUri, ScopeToken};

/// Those that are trusted now, and the document that names them.
pub(crate) struct Issuers {
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) document: Document,
}

/// What the document says besides, and what an issuer is made with.
pub(crate) struct Constants {
    pub(crate) resource: ResourceUri,
    pub(crate) scopes_supported: Vec<ScopeToken>,
    pub(crate) resource_name: Option<String>,
    pub(crate) limits: CacheLimits,
    pub(crate) surroundings: Surroundings,
}

impl Constants {
    pub(crate) fn source(&self, issuer: Issuer) -> Result<Arc<Source>, ConfigError> {
        issuer
            .into_source(self.limits, &self.surroundings)
            .map(Arc::new)
    }

    pub(crate) fn issuers(&self, sources: Vec<Arc<Source>>) -> Result<Issuers, ConfigError> {
        if sources.is_empty() {
            return Err(ConfigError::NoIssuer);
        }
        let urls: Vec<IssuerUrl> = sources.iter().map(|source| source.url().clone()).collect();
        let is_repeated = |(place, url)| urls.iter().take(place).any(|earlier| earlier == url);
        if urls.iter().enumerate().any(is_repeated) {
            return Err(ConfigError::SameIssuerTwice);
        }
        let document = ProtectedResourceMetadata {
            resource: &self.resource,
            authorization_servers: &urls,
            scopes_supported: &self.scopes_supported,
            bearer_methods_supported: &["header"],
            resource_name: self.resource_name.as_deref(),
        }
        .document()
        .map_err(|_| ConfigError::Resource)?;
        Ok(Issuers { sources, document })
    }
}

impl ResourceServer {
    /// Trusts this issuer from now on, in place of one with the same URL, if there is one. What is known of other issuers' tokens stays
    /// known; of this one's, nothing does. Requests that are under way are not disturbed.
    ///
    /// # Errors
    /// [`ConfigError`], as [`build`](super::ResourceServerBuilder::build) would say; nothing has changed then.
    pub fn set_issuer(&self, issuer: impl Into<Issuer>) -> Result<(), ConfigError> {
        let source = self.inner.constants.source(issuer.into())?;
        self.change(|sources| {
            let place = sources.iter_mut().find(|old| old.url() == source.url());
            match place {
                Some(old) => Some(std::mem::replace(old, source)),
                None => {
                    sources.push(source);
                    None
                }
            }
        })
    }

    /// Trusts this issuer no longer: its tokens are refused from now on.
    ///
    /// # Errors
    /// [`ConfigError::NoIssuer`] if it is the last one; it stays then.
    pub fn remove_issuer(&self, url: &IssuerUrl) -> Result<(), ConfigError> {
        self.change(|sources| {
            let place = sources.iter().position(|source| source.url() == url)?;
            Some(sources.remove(place))
        })
    }

    /// One change at a time.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Arc<Source>>) -> Option<Arc<Source>>,
    ) -> Result<(), ConfigError> {
        let _one = self
            .inner
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut sources = self.inner.issuers.load().sources.clone();
        let old = change(&mut sources);
        let issuers = self.inner.constants.issuers(sources)?;
        self.inner.issuers.store(Arc::new(issuers));
        if let Some(old) = old {
            old.trusted.retire();
        }
        Ok(())
    }
}
