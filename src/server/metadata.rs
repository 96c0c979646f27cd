//! The documents that clients discover a server by (RFC 8414 §3, RFC 9728 §3), written once, when the server is built.

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::Endpoint;
use super::config::Config;
use crate::grant::Resource;
use crate::protocol::error::OAuthError;
use crate::protocol::metadata::ServerMetadata;
use crate::protocol::protected_resource::{Document, Place, ProtectedResourceMetadata};
use crate::types::{GrantType, Prompt};

pub(crate) struct Documents {
    metadata: Document,
    resources: Vec<Document>,
}

impl Documents {
    pub(crate) fn new(config: &Config) -> Self {
        // Both are made of strings, numbers and lists, which always have a JSON form.
        let json = serde_json::to_vec(&metadata(config)).unwrap_or_default();
        let path = config.issuer.well_known_path("oauth-authorization-server");
        let resource = |resource: &Resource| {
            let scopes: Vec<_> = resource.scope.iter().cloned().collect();
            let metadata = ProtectedResourceMetadata {
                resource: &resource.uri,
                authorization_servers: std::slice::from_ref(&config.issuer),
                scopes_supported: &scopes,
                bearer_methods_supported: &["header"],
                resource_name: None,
            };
            metadata
                .document()
                .unwrap_or_else(|_| Document::new(Place::default(), Vec::new()))
        };
        Self {
            metadata: Document::new(Place::path(path), json),
            resources: config.catalog.resources.iter().map(resource).collect(),
        }
    }

    pub(crate) fn metadata(&self, request: &Request<Bytes>) -> Response<Bytes> {
        told(self.metadata.answer(request))
    }

    /// The document of the resource that this is the place of (RFC 9728 §3.1); its query, if it has one, is part of that.
    pub(crate) fn protected_resource(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let here = |document: &&Document| document.place().is(request.uri());
        let found = self.resources.iter().filter(here);
        // One without a query is at the place of another with one, too.
        let found = found.max_by_key(|document| document.place().has_query());
        found.map_or_else(not_found, |document| told(document.answer(request)))
    }
}

/// A document knows no errors; a method that it does not have is told like that of any endpoint.
pub(crate) fn told(mut answer: Response<Bytes>) -> Response<Bytes> {
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
        let refused = OAuthError::method_not_allowed("").refused();
        answer.extensions_mut().insert(refused);
    }
    answer
}

fn not_found() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// What is switched on, and nothing else (RFC 8414 §2).
fn metadata(config: &Config) -> ServerMetadata<'_> {
    const AUTH_METHODS: &[&str] = &["client_secret_basic", "client_secret_post", "none"];
    let url = |endpoint| config.serves(endpoint).then(|| config.url(endpoint));
    let methods = |endpoint, methods: &'static [&'static str]| {
        if config.serves(endpoint) {
            methods
        } else {
            &[]
        }
    };
    let code = config.grant_types.contains(&GrantType::AuthorizationCode);
    let lifetime = |on: bool, time: std::time::Duration| on.then_some(time.as_secs());
    let default_audience = config.catalog.resources.first();
    let default_audience = default_audience.map(|resource| &resource.uri);
    let default_audience = default_audience.map_or(&[] as &[_], std::slice::from_ref);
    ServerMetadata {
        issuer: &config.issuer,
        authorization_endpoint: url(Endpoint::Authorize).filter(|_| code),
        token_endpoint: config.url(Endpoint::Token),
        registration_endpoint: url(Endpoint::Register),
        device_authorization_endpoint: url(Endpoint::Device),
        jwks_uri: url(Endpoint::Jwks),
        introspection_endpoint: url(Endpoint::Introspect),
        revocation_endpoint: url(Endpoint::Revoke),
        scopes_supported: config.catalog.scope(),
        response_types_supported: if code { &["code"] } else { &[] },
        response_modes_supported: if code { &["query"] } else { &[] },
        grant_types_supported: config
            .grant_types
            .iter()
            .map(|grant_type| grant_type.as_str())
            .collect(),
        token_endpoint_auth_methods_supported: AUTH_METHODS,
        revocation_endpoint_auth_methods_supported: methods(Endpoint::Revoke, AUTH_METHODS),
        introspection_endpoint_auth_methods_supported: methods(
            Endpoint::Introspect,
            &["client_secret_basic", "client_secret_post"],
        ),
        code_challenge_methods_supported: if code { &["S256"] } else { &[] },
        // Initiating User Registration via OpenID Connect 1.0 §4.1.
        prompt_values_supported: Prompt::ALL
            .iter()
            .filter(|_| code)
            .map(|prompt| prompt.as_str())
            .collect(),
        acr_values_supported: if code { &config.acr_values } else { &[] },
        authorization_response_iss_parameter_supported: code,
        protected_resources: config
            .catalog
            .resources
            .iter()
            .map(|resource| resource.uri.as_str())
            .collect(),
        access_token_lifetime: config.access_token_lifetime(default_audience).as_secs(),
        refresh_token_lifetime: lifetime(
            config.grant_types.contains(&GrantType::RefreshToken),
            config.lifetimes.refresh_token,
        ),
        authorization_code_lifetime: lifetime(code, config.lifetimes.authorization_code),
        device_code_lifetime: lifetime(
            config.grant_types.contains(&GrantType::DeviceCode),
            config.lifetimes.device_code,
        ),
    }
}
