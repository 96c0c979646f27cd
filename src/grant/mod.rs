//! May this grant be given? Pure functions of what was asked and what was read, time included.

mod authorization_code;
mod catalog;
mod client_credentials;
mod device_code;
mod refresh_token;
pub(crate) mod step_up;

pub(crate) use authorization_code::{CodeGrant, Redemption, redeem};
pub(crate) use catalog::{Asked, Catalog, Resource};
pub(crate) use client_credentials::ClientGrant;
pub(crate) use device_code::{DeviceGrant, Poll, poll};
pub(crate) use refresh_token::{Presented, RefreshGrant, RefreshToken, present, rotate};

pub(crate) use step_up::{SignIn, judge};

use crate::protocol::error::{ErrorCode, OAuthError};
use crate::protocol::form::Form;
use crate::types::{Authentication, GrantType, ResourceUri, Scope, Subject};

/// A token request (RFC 6749 §4, §6; RFC 8628 §3.4), parsed once.
#[derive(Debug)]
pub(crate) enum GrantRequest {
    AuthorizationCode(CodeGrant),
    RefreshToken(RefreshGrant),
    ClientCredentials(ClientGrant),
    DeviceCode(DeviceGrant),
}

impl GrantRequest {
    pub(crate) fn parse(form: &Form<'_>) -> Result<Self, OAuthError> {
        let grant_type = form.required("grant_type", "grant_type is missing")?;
        match grant_type.parse() {
            Ok(GrantType::AuthorizationCode) => CodeGrant::parse(form).map(Self::AuthorizationCode),
            Ok(GrantType::RefreshToken) => RefreshGrant::parse(form).map(Self::RefreshToken),
            Ok(GrantType::ClientCredentials) => {
                ClientGrant::parse(form).map(Self::ClientCredentials)
            }
            Ok(GrantType::DeviceCode) => DeviceGrant::parse(form).map(Self::DeviceCode),
            Err(_) => Err(OAuthError::new(
                ErrorCode::UnsupportedGrantType,
                "This grant_type is not supported",
            )),
        }
    }

    pub(crate) fn grant_type(&self) -> GrantType {
        match self {
            Self::AuthorizationCode(_) => GrantType::AuthorizationCode,
            Self::RefreshToken(_) => GrantType::RefreshToken,
            Self::ClientCredentials(_) => GrantType::ClientCredentials,
            Self::DeviceCode(_) => GrantType::DeviceCode,
        }
    }
}

/// What may be issued, before the host has its say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Issue {
    /// The owner; `None` when the client speaks for itself.
    pub(crate) subject: Option<Subject>,
    pub(crate) scope: Scope,
    pub(crate) audience: Vec<ResourceUri>,
    /// How the owner had signed in.
    pub(crate) authentication: Authentication,
}
