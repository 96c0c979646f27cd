//! The host's say at every registration (RFC 7591 §2.3, §5).

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use serde_json::{Map, Value};

use crate::protocol::error::{ErrorCode, OAuthError};

/// A registration that is asked for, whole (RFC 7591 §5: all of it is to be considered).
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RegistrationRequest<'a> {
    /// What the client says about itself, as it came: every member, known here or not, none of it checked.
    pub metadata: &'a Map<String, Value>,
    /// Its software statement: a JWT with a signature or MAC that nobody has verified, and with `iss` (RFC 7591 §2.3).
    pub software_statement: Option<&'a str>,
    /// Whether it came with an initial access token, which is then a good one.
    pub has_initial_access_token: bool,
    /// Where it came from, as [`client_address`](super::AuthorizationServerBuilder::client_address) found it.
    pub address: Option<IpAddr>,
}

/// The statement is a credential, and the metadata are whatever a stranger has sent: neither is for a log.
impl fmt::Debug for RegistrationRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationRequest")
            .field("has_initial_access_token", &self.has_initial_access_token)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What the host says to it.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "hosts make it, and the server handles every case"
)]
pub enum RegistrationVerdict {
    /// Yes, within what the [`Registration`](super::Registration) allows. A software statement is ignored.
    Allow,
    /// Yes, with these members in place of the client's own; `null` takes one away. They are checked like the client's.
    AllowWith(Map<String, Value>),
    /// Yes: the software statement was verified, its issuer is trusted, and these are its metadata. They win over the client's own, and
    /// the statement is given back with them unmodified (RFC 7591 §2.3, §3.2.1). People are still told that the client registered itself.
    AllowStatement(Map<String, Value>),
    /// No.
    Deny(RegistrationDenial),
    /// The host cannot tell right now. The client gets 503.
    Unavailable,
}

/// Why a client may not register: the error code that it is sent (RFC 7591 §3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationDenial {
    /// `invalid_redirect_uri`: an address is not one that the host lets answers go to.
    RedirectUri,
    /// `invalid_client_metadata`: any other member, or all of it.
    Metadata,
    /// `invalid_software_statement`: the statement does not hold.
    InvalidSoftwareStatement,
    /// `unapproved_software_statement`: the statement holds, and is not enough here.
    UnapprovedSoftwareStatement,
}

impl From<RegistrationDenial> for OAuthError {
    fn from(denial: RegistrationDenial) -> Self {
        let code = match denial {
            RegistrationDenial::RedirectUri => ErrorCode::InvalidRedirectUri,
            RegistrationDenial::Metadata => ErrorCode::InvalidClientMetadata,
            RegistrationDenial::InvalidSoftwareStatement => ErrorCode::InvalidSoftwareStatement,
            RegistrationDenial::UnapprovedSoftwareStatement => {
                ErrorCode::UnapprovedSoftwareStatement
            }
        };
        Self::new(code, "The registration was refused")
    }
}

/// Asked at every registration, after its throttle and its initial access token, and before anything is written: the place to verify
/// software statements, to demand links on the host of the redirection URIs, or to refuse a copy of a client there should be one of
/// (RFC 7591 §5).
///
/// ```
/// use tower_oauth::server::{RegistrationDenial, RegistrationPolicy, RegistrationRequest, RegistrationVerdict};
///
/// struct NoNameless;
/// impl RegistrationPolicy for NoNameless {
///     async fn register(&self, request: RegistrationRequest<'_>) -> RegistrationVerdict {
///         match request.metadata.contains_key("client_name") {
///             true => RegistrationVerdict::Allow,
///             false => RegistrationVerdict::Deny(RegistrationDenial::Metadata),
///         }
///     }
/// }
/// ```
pub trait RegistrationPolicy: Send + Sync + 'static {
    /// What the host says to a registration.
    fn register(
        &self,
        request: RegistrationRequest<'_>,
    ) -> impl Future<Output = RegistrationVerdict> + Send;
}

/// The object-safe twin of [`RegistrationPolicy`].
pub(crate) trait DynRegistrationPolicy: Send + Sync + 'static {
    fn register<'a>(
        &'a self,
        request: RegistrationRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = RegistrationVerdict> + Send + 'a>>;
}

impl<P: RegistrationPolicy> DynRegistrationPolicy for P {
    fn register<'a>(
        &'a self,
        request: RegistrationRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = RegistrationVerdict> + Send + 'a>> {
        Box::pin(RegistrationPolicy::register(self, request))
    }
}

impl fmt::Debug for dyn DynRegistrationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistrationPolicy")
    }
}
