//! What can be asked for: scopes (RFC 6749 §3.3) and the resources that understand them (RFC 8707).

use std::borrow::Cow;

use crate::protocol::error::{ErrorCode, OAuthError};
use crate::protocol::form::Form;
use crate::types::{Client, ResourceUri, Scope, ScopeToken};

/// An API and the scopes that mean something to it.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) uri: ResourceUri,
    pub(crate) scope: Scope,
}

/// All that this server gives out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    /// The first is the default audience.
    pub(crate) resources: Vec<Resource>,
    /// Scopes that every resource understands, or none: `openid`, `offline_access`.
    pub(crate) general: Scope,
    /// What a request without `scope` gets (RFC 6749 §3.3).
    pub(crate) default_scope: Option<Scope>,
}

/// The `scope` and `resource` parameters of a request, well-formed but not yet looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) scope: Option<Scope>,
    pub(crate) resources: Vec<ResourceUri>,
}

impl Asked {
    pub(crate) fn parse(form: &Form<'_>) -> Result<Self, OAuthError> {
        let scope = form.one("scope")?.map(str::parse).transpose();
        let scope = scope
            .map_err(|_| OAuthError::new(ErrorCode::InvalidScope, "The scope is malformed"))?;
        let resources = form
            .all("resource")
            .map(str::parse)
            .collect::<Result<_, _>>();
        let resources = resources
            .map_err(|_| invalid_target("A resource is not an absolute URI without a fragment"))?;
        Ok(Self { scope, resources })
    }

    /// With the part of the scope that was approved (RFC 6749 §3.3). Where none of it was, it stays as it is, to be refused.
    pub(crate) fn within(&self, approved: &Scope) -> Self {
        let part = |asked: &Scope| {
            let part = asked.intersection(approved);
            if part.is_empty() { asked.clone() } else { part }
        };
        Self {
            scope: self.scope.as_ref().map(part),
            resources: self.resources.clone(),
        }
    }
}

impl Catalog {
    /// Every scope there is.
    pub(crate) fn scope(&self) -> Scope {
        self.resources
            .iter()
            .fold(self.general.clone(), |all, resource| {
                all.union(&resource.scope)
            })
    }

    /// Whether there is any scope at all.
    pub(crate) fn has_scopes(&self) -> bool {
        let mut all = self.resources.iter().map(|resource| &resource.scope);
        !self.general.is_empty() || all.any(|scope| !scope.is_empty())
    }

    /// What a client asks for at the start of a grant: scopes that exist and that it may have, resources that are known.
    pub(crate) fn resolve(
        &self,
        asked: &Asked,
        client: &Client,
    ) -> Result<(Scope, Vec<ResourceUri>), OAuthError> {
        let resources = match &asked.scope {
            Some(scope) if asked.resources.is_empty() => self.inferred(scope)?,
            _ => self.known(&asked.resources)?,
        };
        let (has_scopes, allowed) = (self.has_scopes(), client.allowed_scope());
        let scope = match &asked.scope {
            // A server without scopes has nothing to name.
            None if !has_scopes => Cow::Owned(Scope::empty()),
            None => {
                let default = self.default_scope.as_ref().or(allowed);
                let default =
                    default.ok_or(invalid_scope("scope is missing, and there is no default"))?;
                allowed.map_or(Cow::Borrowed(default), |allowed| {
                    Cow::Owned(default.intersection(allowed))
                })
            }
            Some(scope) if !scope.iter().all(|token| self.has(token)) => {
                return Err(invalid_scope("The scope is not known here"));
            }
            Some(scope) if allowed.is_some_and(|allowed| !allowed.contains_all(scope)) => {
                return Err(invalid_scope(
                    "The scope is beyond what the client may ask for",
                ));
            }
            Some(scope) => Cow::Borrowed(scope),
        };
        let scope = self.understood(&scope, &resources);
        if scope.is_empty() && has_scopes {
            return Err(invalid_scope(
                "Nothing of the scope means anything to the resource",
            ));
        }
        Ok((scope, resources))
    }

    /// Part of what was granted: never more (RFC 6749 §6, RFC 8707 §2.2).
    pub(crate) fn narrow(
        &self,
        asked: &Asked,
        scope: &Scope,
        resources: &[ResourceUri],
    ) -> Result<(Scope, Vec<ResourceUri>), OAuthError> {
        let audience = if asked.resources.is_empty() || self.resources.is_empty() {
            resources.to_vec()
        } else {
            let mut audience: Vec<ResourceUri> = Vec::with_capacity(resources.len());
            for uri in &asked.resources {
                let granted = resources.iter().find(|granted| *granted == uri);
                let uri =
                    granted.ok_or(invalid_target("The resource was not part of the grant"))?;
                if !audience.contains(uri) {
                    audience.push(uri.clone());
                }
            }
            audience
        };
        let scope = match &asked.scope {
            None => scope,
            Some(asked) if scope.contains_all(asked) => asked,
            Some(_) => return Err(invalid_scope("The scope goes beyond what was granted")),
        };
        Ok((self.understood(scope, &audience), audience))
    }

    /// The default audience of a request that names scopes and no resource (RFC 9068 §3): the first resource to which all of them mean
    /// something. Where there is none, it would have to be several, and the request says which.
    fn inferred(&self, scope: &Scope) -> Result<Vec<ResourceUri>, OAuthError> {
        let of_some = |token: &&ScopeToken| {
            let mut all = self.resources.iter();
            !self.general.contains(token) && all.any(|resource| resource.scope.contains(token))
        };
        let needed = scope.iter().filter(of_some);
        let mut all = self.resources.iter();
        match all.find(|resource| needed.clone().all(|token| resource.scope.contains(token))) {
            Some(resource) => Ok(vec![resource.uri.clone()]),
            None if self.resources.is_empty() => Ok(Vec::new()),
            None => Err(invalid_scope(
                "The scope is that of several resources: name them",
            )),
        }
    }

    /// The resources of a request as they are configured; without any, the default one. A server without resources ignores them:
    /// clients send them whatever the server does.
    fn known(&self, asked: &[ResourceUri]) -> Result<Vec<ResourceUri>, OAuthError> {
        if asked.is_empty() || self.resources.is_empty() {
            return Ok(self
                .resources
                .first()
                .map(|resource| resource.uri.clone())
                .into_iter()
                .collect());
        }
        let mut known: Vec<ResourceUri> = Vec::with_capacity(asked.len());
        for uri in asked {
            let resource = self.resources.iter().find(|resource| resource.uri == *uri);
            let uri = &resource
                .ok_or(invalid_target("The resource is not known here"))?
                .uri;
            if !known.contains(uri) {
                known.push(uri.clone());
            }
        }
        Ok(known)
    }

    /// Whether there is such a scope.
    fn has(&self, token: &ScopeToken) -> bool {
        let mut all = self.resources.iter().map(|resource| &resource.scope);
        self.general.contains(token) || all.any(|scope| scope.contains(token))
    }

    /// The part of a scope that means something to these resources (RFC 8707 §2.2, RFC 9068 §2.2.3: MUST).
    fn understood(&self, scope: &Scope, resources: &[ResourceUri]) -> Scope {
        let by_one = |token: &ScopeToken| {
            let mut all = self.resources.iter();
            all.any(|resource| resource.scope.contains(token) && resources.contains(&resource.uri))
        };
        let understood = |token: &&ScopeToken| self.general.contains(token) || by_one(token);
        scope.iter().filter(understood).cloned().collect()
    }
}

const fn invalid_scope(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidScope, description)
}

const fn invalid_target(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidTarget, description)
}

#[cfg(test)]
mod tests {
    use super::{Asked, Catalog, Resource};
    use crate::protocol::error::ErrorCode;
    use crate::protocol::form::Form;
    use crate::types::{Client, ResourceUri, Scope};

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    fn uri(text: &str) -> ResourceUri {
        text.parse().unwrap()
    }

    fn catalog() -> Catalog {
        Catalog {
            resources: vec![
                Resource {
                    uri: uri("https://api.harbor.test/ledger"),
                    scope: scope("ledger.read ledger.write"),
                },
                Resource {
                    uri: uri("https://api.harbor.test/files"),
                    scope: scope("files.read"),
                },
            ],
            general: scope("offline_access"),
            default_scope: Some(scope("ledger.read")),
        }
    }

    fn asked(form: &str) -> Asked {
        Asked::parse(&Form::parse(form.as_bytes()).unwrap()).unwrap()
    }

    fn client() -> Client {
        Client::public("c1".parse().unwrap())
    }

    // req: 6749-3.3-5, 8707-2.1-2
    #[test]
    fn rfc6749_3_3_without_a_scope_the_default_is_given_or_the_request_fails() {
        let (given, resources) = catalog().resolve(&asked(""), &client()).unwrap();
        assert_eq!(
            (given, resources),
            (
                scope("ledger.read"),
                vec![uri("https://api.harbor.test/ledger")]
            )
        );
        let none = Catalog {
            default_scope: None,
            ..catalog()
        };
        assert_eq!(
            none.resolve(&asked(""), &client()).unwrap_err().code,
            ErrorCode::InvalidScope
        );
        assert_eq!(
            Catalog::default().resolve(&asked(""), &client()).unwrap().0,
            Scope::empty()
        );
    }

    // req: 6749-4.1.2.1-8, 6749-10.3-3
    #[test]
    fn rfc6749_3_3_an_unknown_scope_and_one_beyond_the_client_are_refused() {
        let client = client().scope(scope("ledger.read"));
        for form in [
            "scope=nope",
            "scope=ledger.write",
            "scope=ledger.read+ledger.write",
        ] {
            assert_eq!(
                catalog().resolve(&asked(form), &client).unwrap_err().code,
                ErrorCode::InvalidScope,
                "{form}"
            );
        }
        assert!(
            catalog()
                .resolve(&asked("scope=ledger.read"), &client)
                .is_ok()
        );
    }

    // req: 8707-2-7, 8707-PROJ-1, 8707-2-4, 8707-2.2-4
    #[test]
    fn rfc8707_2_known_resources_become_the_audience_and_cut_the_scope() {
        let both = "resource=https://api.harbor.test/ledger&resource=https://api.harbor.test/files&scope=ledger.read+files.read";
        let (given, resources) = catalog().resolve(&asked(both), &client()).unwrap();
        assert_eq!(
            (given, resources.len()),
            (scope("ledger.read files.read"), 2)
        );
        let one =
            "resource=https://api.harbor.test/files&scope=ledger.read+files.read+offline_access";
        assert_eq!(
            catalog().resolve(&asked(one), &client()).unwrap().0,
            scope("files.read offline_access")
        );
        let evil = asked("resource=https://evil.test");
        assert_eq!(
            catalog().resolve(&evil, &client()).unwrap_err().code,
            ErrorCode::InvalidTarget
        );
        for malformed in [
            "resource=ledger",
            "resource=/x",
            "resource=https://api.harbor.test/%23x",
        ] {
            let form = Form::parse(malformed.as_bytes()).unwrap();
            assert_eq!(
                Asked::parse(&form).unwrap_err().code,
                ErrorCode::InvalidTarget,
                "{malformed}"
            );
        }
    }

    // req: 9068-3-4, 9068-3-3
    #[test]
    fn rfc9068_3_without_a_resource_the_scope_says_whose_it_is() {
        let resolve = |form: &str| catalog().resolve(&asked(form), &client());
        let ledger = vec![uri("https://api.harbor.test/ledger")];
        let files = vec![uri("https://api.harbor.test/files")];
        for (form, resources) in [
            ("scope=ledger.read", &ledger),
            ("scope=ledger.read+ledger.write+offline_access", &ledger),
            ("scope=files.read", &files),
            ("scope=files.read+offline_access", &files),
            ("scope=offline_access", &ledger),
            ("", &ledger),
        ] {
            assert_eq!(resolve(form).unwrap().1, *resources, "{form}");
        }
        let both = resolve("scope=ledger.read+files.read").unwrap_err();
        assert_eq!(both.code, ErrorCode::InvalidScope);
        let named = "scope=ledger.read+files.read&resource=https://api.harbor.test/files&resource=https://api.harbor.test/ledger";
        assert_eq!(resolve(named).unwrap().1.len(), 2);
        // Nothing is left out of what was asked for to make the rest fit.
        let more = resolve("scope=ledger.read+files.read+offline_access").unwrap_err();
        assert_eq!(more.description, both.description);
        let unknown = resolve("scope=ledger.read+nope").unwrap_err();
        assert_ne!(unknown.description, both.description);
    }

    #[test]
    fn a_scope_that_every_resource_understands_is_of_none_even_where_one_names_it() {
        let mut catalog = catalog();
        catalog.resources[1].scope = scope("files.read offline_access");
        let (given, resources) = catalog
            .resolve(&asked("scope=ledger.read+offline_access"), &client())
            .unwrap();
        assert_eq!(given, scope("ledger.read offline_access"));
        assert_eq!(resources, [uri("https://api.harbor.test/ledger")]);
    }

    // req: tol-resource-1, mcp-res-1
    #[test]
    fn tol_resource_1_a_server_without_resources_ignores_them() {
        let none = Catalog {
            general: scope("a"),
            ..Catalog::default()
        };
        assert_eq!(
            none.resolve(&asked("scope=a&resource=https://evil.test"), &client())
                .unwrap(),
            (scope("a"), vec![])
        );
        assert_eq!(
            none.resolve(&asked("scope=a"), &client()).unwrap(),
            (scope("a"), vec![])
        );
    }

    // req: 6749-6-2, 8707-2.2-2, 6749-5.2-11
    #[test]
    fn rfc6749_6_a_refresh_asks_for_part_of_the_grant_and_never_for_more() {
        let granted = (
            scope("ledger.read ledger.write files.read"),
            vec![
                uri("https://api.harbor.test/ledger"),
                uri("https://api.harbor.test/files"),
            ],
        );
        let narrow = |form: &str| catalog().narrow(&asked(form), &granted.0, &granted.1);
        assert_eq!(narrow("").unwrap(), granted);
        let (part, audience) = narrow("resource=https://api.harbor.test/files").unwrap();
        assert_eq!(
            (part, audience),
            (
                scope("files.read"),
                vec![uri("https://api.harbor.test/files")]
            )
        );
        assert_eq!(narrow("scope=ledger.read").unwrap().0, scope("ledger.read"));
        assert_eq!(
            narrow("scope=offline_access").unwrap_err().code,
            ErrorCode::InvalidScope
        );
        assert_eq!(
            narrow("resource=https://api.harbor.test/other")
                .unwrap_err()
                .code,
            ErrorCode::InvalidTarget
        );
    }
}
