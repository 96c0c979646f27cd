//! What a server is made of, checked: defaults, bounds, and what is refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use http::HeaderValue;
use http::request::Parts;

use super::interaction::DynInteraction;
use super::policy::DynPolicy;
use super::throttle::Limits;
use super::{Endpoint, Registration};
use crate::grant::Catalog;
use crate::pages::{InvalidPages, Renderer};
use crate::types::{GrantType, InvalidIssuerUrl, IssuerUrl, ResourceUri, Scope};

/// Why a server cannot be built; each names the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The issuer is no issuer identifier (RFC 8414 §2).
    #[error("issuer: {0}")]
    Issuer(#[from] InvalidIssuerUrl),
    /// A resource is no absolute URI, or has a scope that is none.
    #[error(
        "resource: {0:?} is no absolute URI without a fragment, or one of its scopes is malformed"
    )]
    Resource(String),
    /// A resource is there already, with the same text or another that names the same one.
    #[error("resource: {0:?} is named twice: list all of its scopes in one call")]
    ResourceTwice(String),
    /// A scope is malformed, or `default_scope` is empty or names one that no resource and no `scopes` has.
    #[error("{setting}: {scope:?} is malformed or not known")]
    Scope {
        /// Which setting.
        setting: &'static str,
        /// The text.
        scope: String,
    },
    /// A lifetime is zero, or longer than is safe.
    #[error("{setting}: must be from {least:?} to {most:?}")]
    Lifetime {
        /// Which setting.
        setting: &'static str,
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// A path does not begin with a slash, has a query, is used twice, or is none that clients send as it stands (RFC 3986 §3.3).
    #[error(
        "path: {0:?} must begin with / and be used once, without query, fragment, dots between slashes, or what is percent-encoded"
    )]
    Path(String),
    /// A setting contradicts another one.
    #[error("{setting}: {why}")]
    Contradiction {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The built-in pages cannot be made as they were set.
    #[error("pages: {0}")]
    Pages(#[from] InvalidPages),
    /// An origin is no `http://host[:port]` or `https://host[:port]`, and not `*`.
    #[error("browser_clients: {0:?} is no origin of http or https")]
    Origin(String),
}

/// Reads the address of a caller from a request.
pub(crate) type ClientAddress = Box<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// Everything that was set, checked.
pub(crate) struct Config {
    pub(crate) issuer: IssuerUrl,
    pub(crate) catalog: Catalog,
    pub(crate) scope_descriptions: HashMap<String, String>,
    pub(crate) paths: HashMap<Endpoint, String>,
    pub(crate) login_path: Option<String>,
    pub(crate) consent_path: Option<String>,
    pub(crate) acr_values: Vec<String>,
    pub(crate) interaction: Option<Box<dyn DynInteraction>>,
    pub(crate) policy: Option<Box<dyn DynPolicy>>,
    pub(crate) registration: Option<Registration>,
    pub(crate) browser_clients: Vec<HeaderValue>,
    pub(crate) client_address: ClientAddress,
    pub(crate) grant_types: Vec<GrantType>,
    pub(crate) connected_apps: bool,
    pub(crate) pages: Renderer,
    /// The login path shows its form to who is signed in, too.
    pub(crate) another_account: bool,
    /// Endpoints that are left out though nothing forbids them.
    pub(crate) without: Vec<Endpoint>,
    pub(crate) lifetimes: Lifetimes,
    #[cfg(feature = "jwt")]
    pub(crate) jwt: super::jwt::JwtConfig,
}

/// How long things live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    pub(crate) authorization_code: Duration,
    pub(crate) access_token: Duration,
    pub(crate) jwt: Duration,
    pub(crate) refresh_token: Duration,
    pub(crate) refresh_family: Duration,
    pub(crate) refresh_retry_window: Duration,
    pub(crate) device_code: Duration,
    pub(crate) device_interval: Duration,
    pub(crate) interaction: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authorization_code: MINUTE,
            access_token: 10 * MINUTE,
            jwt: 5 * MINUTE,
            refresh_token: 14 * DAY,
            refresh_family: 90 * DAY,
            refresh_retry_window: Duration::from_secs(30),
            device_code: 10 * MINUTE,
            device_interval: Duration::from_secs(5),
            interaction: 10 * MINUTE,
        }
    }
}

impl Config {
    /// How long an access token for these resources lives.
    #[cfg_attr(
        not(feature = "jwt"),
        expect(unused_variables, reason = "all tokens are opaque")
    )]
    pub(crate) fn access_token_lifetime(&self, audience: &[ResourceUri]) -> Duration {
        #[cfg(feature = "jwt")]
        if self.jwt.algorithm(audience).is_some() {
            return self.lifetimes.jwt;
        }
        self.lifetimes.access_token
    }
}

/// What is served: what was set, or all that can be.
pub(crate) fn grant_types(
    set: Option<Vec<GrantType>>,
    asks_people: bool,
) -> Result<Vec<GrantType>, ConfigError> {
    use GrantType::{AuthorizationCode, ClientCredentials, DeviceCode, RefreshToken};
    let all = [
        AuthorizationCode,
        RefreshToken,
        ClientCredentials,
        DeviceCode,
    ];
    let Some(set) = set else {
        let possible = |grant: &GrantType| asks_people || *grant == ClientCredentials;
        return Ok(all.into_iter().filter(possible).collect());
    };
    let has = |grant| set.contains(&grant);
    let why = if set.is_empty() {
        "none is left"
    } else if (has(AuthorizationCode) || has(DeviceCode)) && !asks_people {
        "there is no login, and nobody can be asked for authorization_code and device_code"
    } else if has(RefreshToken) && !has(AuthorizationCode) && !has(DeviceCode) {
        "no other grant gives a refresh_token"
    } else if asks_people && !has(AuthorizationCode) && !has(DeviceCode) {
        "there is a login, and nothing that anybody is asked for"
    } else {
        return Ok(all.into_iter().filter(|grant| has(*grant)).collect());
    };
    Err(ConfigError::Contradiction {
        setting: "grant_types",
        why,
    })
}

impl Config {
    /// What each setting alone does not tell.
    pub(crate) fn check(&self, set: &HashMap<Endpoint, String>) -> Result<(), ConfigError> {
        let wrong = |setting, why| Err(ConfigError::Contradiction { setting, why });
        let optional = [Endpoint::Introspect, Endpoint::Revoke];
        if self
            .without
            .iter()
            .any(|endpoint| !optional.contains(endpoint))
        {
            return wrong(
                "without",
                "only introspection and revocation can be left out",
            );
        }
        if self.connected_apps && self.interaction.is_none() {
            return wrong("connected_apps", "there is no login, so nobody is known");
        }
        if set.keys().any(|endpoint| !self.serves(*endpoint)) {
            return wrong("path", "is set for an endpoint that is not served");
        }
        let registered = self
            .registration
            .as_ref()
            .map(Registration::all_grant_types);
        // A refresh token comes of another grant.
        let is_served = |grant: &GrantType| {
            *grant != GrantType::RefreshToken && self.grant_types.contains(grant)
        };
        if registered.is_some_and(|grants| !grants.iter().any(is_served)) {
            return wrong(
                "registration",
                "clients could register for none of the grants that are served",
            );
        }
        for resource in &self.catalog.resources {
            if self.serves_at(&resource.uri.well_known_path()) {
                return wrong("path", "is the place of the metadata of a resource");
            }
        }
        let malformed = |value: &String| value.is_empty() || value.contains(char::is_whitespace);
        if self.acr_values.iter().any(malformed) {
            return wrong("acr_values_supported", "a value is empty or has a space");
        }
        if !self.acr_values.is_empty() && self.interaction.is_none() {
            return wrong(
                "acr_values_supported",
                "there is no login, and nobody signs in",
            );
        }
        if self.consent_path.is_some() && self.interaction.is_none() {
            return wrong("consent_page", "there is no login, and nobody is asked");
        }
        self.check_page("login", self.login_path.as_deref())?;
        self.check_page("consent_page", self.consent_path.as_deref())
    }

    /// A page of the host's, to which browsers are sent.
    fn check_page(&self, setting: &'static str, path: Option<&str>) -> Result<(), ConfigError> {
        let wrong = |setting, why| Err(ConfigError::Contradiction { setting, why });
        let Some(page) = path else {
            return Ok(());
        };
        // Browsers read `\` as `/`, and skip tabs and line ends: such a path could lead to another host. Beyond ASCII none can stand in
        // `Location` as it is.
        let misread = |c: char| matches!(c, '#' | '\\') || !c.is_ascii_graphic();
        if !page.starts_with('/') || page.starts_with("//") || page.contains(misread) {
            return wrong(
                setting,
                "is no path of this host as it stands in a Location header",
            );
        }
        let (path, _) = page.split_once('?').unwrap_or((page, ""));
        if self.serves_at(path) {
            return wrong(setting, "is the path of an endpoint");
        }
        let mut documents = self.catalog.resources.iter().map(|resource| &resource.uri);
        let ours = |uri: &ResourceUri| uri.origin().as_deref() == Some(self.issuer.origin());
        if documents.any(|uri| ours(uri) && uri.well_known_path() == path) {
            return wrong(setting, "is the place of the metadata of a resource");
        }
        Ok(())
    }
}

/// Of each scope that is described, in whatever language, there is one.
pub(crate) fn described<'a>(
    mut scopes: impl Iterator<Item = &'a str>,
    catalog: &Catalog,
) -> Result<(), ConfigError> {
    let all = catalog.scope();
    let known = |text: &str| text.parse().is_ok_and(|token| all.contains(&token));
    scopes
        .all(known)
        .then_some(())
        .ok_or(ConfigError::Contradiction {
            setting: "describe_scope",
            why: "describes a scope that there is not",
        })
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let limits = [
            ("wrong_client_secrets", self.client_secrets),
            ("wrong_user_codes", self.user_codes),
            ("limited_to", self.registrations),
            ("authorization_requests", self.authorization_requests),
            ("device_requests", self.device_requests),
        ];
        let zero = limits.iter().find(|(_, limit)| limit.is_zero());
        zero.map_or(Ok(()), |&(setting, _)| {
            let why = "a limit of 0 lets nobody through";
            Err(ConfigError::Contradiction { setting, why })
        })
    }
}

impl Lifetimes {
    /// How long an access token lives at most.
    pub(crate) fn longest_access_token(&self) -> Duration {
        self.access_token.max(self.jwt)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let second = Duration::from_secs(1);
        let bounds = [
            // RFC 6749 §4.1.2: at most ten minutes. RFC 6750 §5.3: at most an hour, and a day where one must.
            (
                "authorization_code_lifetime",
                self.authorization_code,
                second,
                10 * MINUTE,
            ),
            ("access_token_lifetime", self.access_token, second, DAY),
            (
                "refresh_token_lifetime",
                self.refresh_token,
                second,
                3650 * DAY,
            ),
            (
                "refresh_family_lifetime",
                self.refresh_family,
                // No token outlives its family: with a shorter one the metadata would say more than the tokens have.
                self.refresh_token.max(self.longest_access_token()),
                3650 * DAY,
            ),
            (
                "refresh_retry_window",
                self.refresh_retry_window,
                Duration::ZERO,
                MINUTE,
            ),
            ("device_interval", self.device_interval, second, MINUTE),
            // A device that waits as it is told must come back before its code has gone.
            (
                "device_code_lifetime",
                self.device_code,
                self.device_interval.saturating_add(second),
                HOUR,
            ),
            ("interaction_lifetime", self.interaction, MINUTE, HOUR),
        ];
        let wrong = bounds
            .iter()
            .find(|(_, value, least, most)| value < least || value > most);
        wrong.map_or(Ok(()), |&(setting, _, least, most)| {
            Err(ConfigError::Lifetime {
                setting,
                least,
                most,
            })
        })
    }
}

pub(crate) fn scope(setting: &'static str, text: &str) -> Result<Scope, ConfigError> {
    text.parse().map_err(|_| ConfigError::Scope {
        setting,
        scope: text.to_owned(),
    })
}

/// Every endpoint's path: what was set, or its place under `/auth` behind the issuer's own path.
pub(crate) fn paths(
    issuer: &IssuerUrl,
    set: &HashMap<Endpoint, String>,
) -> Result<HashMap<Endpoint, String>, ConfigError> {
    let mut paths = HashMap::new();
    for endpoint in Endpoint::ALL {
        let path = match set.get(&endpoint) {
            Some(path) => path.clone(),
            None if endpoint == Endpoint::Metadata => {
                issuer.well_known_path("oauth-authorization-server")
            }
            None => format!("{}{}", issuer.path(), endpoint.default_path()),
        };
        if !is_sent_as_it_stands(&path) || paths.values().any(|other| *other == path) {
            return Err(ConfigError::Path(path));
        }
        paths.insert(endpoint, path);
    }
    Ok(paths)
}

/// Whether clients ask for this very path: they resolve dots themselves, and encode what is not of RFC 3986 §3.3.
fn is_sent_as_it_stands(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(plain)
        && !path.split('/').any(|part| matches!(part, "." | ".."))
}

pub(crate) fn origins(texts: &[String]) -> Result<Vec<HeaderValue>, ConfigError> {
    let origin = |text: &String| {
        let url = url::Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == *text
        });
        let header = HeaderValue::from_str(text)
            .ok()
            .filter(|_| url.is_some() || text == "*");
        header.ok_or_else(|| ConfigError::Origin(text.clone()))
    };
    texts.iter().map(origin).collect()
}
