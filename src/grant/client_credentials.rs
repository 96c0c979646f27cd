//! The client speaks for itself (RFC 6749 §4.4).

use super::{Asked, Catalog, Issue};
use crate::protocol::error::{ErrorCode, OAuthError};
use crate::protocol::form::Form;
use crate::types::Client;

#[derive(Debug)]
pub(crate) struct ClientGrant {
    pub(crate) asked: Asked,
}

impl ClientGrant {
    pub(crate) fn parse(form: &Form<'_>) -> Result<Self, OAuthError> {
        Ok(Self {
            asked: Asked::parse(form)?,
        })
    }

    /// RFC 6749 §4.4: MUST only be used by confidential clients, which have proved themselves by now.
    pub(crate) fn decide(&self, client: &Client, catalog: &Catalog) -> Result<Issue, OAuthError> {
        if !client.is_confidential() {
            return Err(OAuthError::new(
                ErrorCode::UnauthorizedClient,
                "This grant is for confidential clients",
            ));
        }
        let (scope, audience) = catalog.resolve(&self.asked, client)?;
        Ok(Issue {
            authentication: crate::types::Authentication::default(),
            subject: None,
            scope,
            audience,
        })
    }
}
