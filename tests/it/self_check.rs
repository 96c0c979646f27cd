//! Every combination of switches that `build()` takes: what is advertised works, everything else is refused, and `self_check` agrees.

use axum::Router;
use axum::routing::get;
use serde_json::Value;
use tower_oauth::pages::Pages;
use tower_oauth::server::{
    AccessTokenFormat, AuthorizationServerBuilder, ConfigError, Endpoint, Limit, Registration,
};
use tower_oauth::types::{Client, GrantType, Secret, SigningAlgorithm, Subject};
use tower_oauth::{AuthorizationServer, Issuer, ResourceServer};

use crate::support::{
    CALLBACK, DEVICE_CODE, Harness, ISSUER, LEDGER, SECRET, VERIFIER, authorization_request,
};

const GRANTS: [GrantType; 4] = [
    GrantType::AuthorizationCode,
    GrantType::RefreshToken,
    GrantType::ClientCredentials,
    GrantType::DeviceCode,
];

/// One way to switch a server.
#[derive(Debug, Clone, Copy)]
struct Switches {
    issuer: &'static str,
    login: bool,
    /// A bit for each of [`GRANTS`]; all of them: not set.
    grants: usize,
    introspect: bool,
    revoke: bool,
    /// Off, open, guarded.
    registration: usize,
    browsers: bool,
    jwt: bool,
    resources: bool,
}

impl Switches {
    fn all() -> impl Iterator<Item = Self> {
        let issuers = [
            "https://auth.harbor.test",
            "https://auth.harbor.test/tenant",
        ];
        (0_usize..2 * 16 * 2 * 2 * 3 * 2 * 2 * 2).map(move |mut number| {
            let issuer = issuers[number.count_ones() as usize % 2];
            let mut take = |of| {
                let digit = number % of;
                number /= of;
                digit
            };
            Self {
                issuer,
                login: take(2) == 1,
                grants: take(16),
                introspect: take(2) == 1,
                revoke: take(2) == 1,
                registration: take(3),
                browsers: take(2) == 1,
                jwt: take(2) == 1,
                resources: take(2) == 1,
            }
        })
    }

    fn has(self, grant: GrantType) -> bool {
        let place = GRANTS.iter().position(|other| *other == grant).unwrap();
        self.grants & (1 << place) != 0
    }

    /// Whether it makes sense, thought of apart from the code.
    fn makes_sense(self) -> bool {
        use GrantType::{AuthorizationCode, DeviceCode, RefreshToken};
        let people = self.has(AuthorizationCode) || self.has(DeviceCode);
        self.grants != 0
            && people == self.login
            && (!self.has(RefreshToken) || people)
            && (self.registration == 0 || people)
            && (self.resources || !self.jwt)
    }

    fn builder(self) -> AuthorizationServerBuilder {
        let mut builder = AuthorizationServer::builder(self.issuer)
            .scopes(["profile"])
            .default_scope("profile")
            .grant_types(GRANTS.into_iter().filter(|grant| self.has(*grant)));
        if self.resources {
            builder = builder.resource(self.issuer, ["read"]);
        }
        if self.login {
            builder = builder.login("/login", |parts| {
                Subject::new(parts.headers.get("x-user")?.to_str().ok()?).ok()
            });
        }
        if !self.introspect {
            builder = builder.without(Endpoint::Introspect);
        }
        if !self.revoke {
            builder = builder.without(Endpoint::Revoke);
        }
        if self.browsers {
            builder = builder.browser_clients(["https://app.harbor.test"]);
        }
        if self.jwt {
            builder = builder.access_token_format(AccessTokenFormat::Jwt(SigningAlgorithm::EdDsa));
        }
        match self.registration {
            0 => builder,
            1 => builder.registration(Registration::open()),
            _ => {
                let token = Secret::new("initial-access-token-0123456789-0");
                builder.registration(Registration::with_initial_access_tokens([&token]))
            }
        }
    }
}

// A build refuses what makes no sense, and names what.
#[test]
fn build_takes_what_makes_sense_and_names_the_setting_of_what_does_not() {
    let (mut taken, mut refused) = (0, 0);
    for switches in Switches::all() {
        match switches.builder().build() {
            Ok(_) => {
                assert!(switches.makes_sense(), "{switches:?}");
                taken += 1;
            }
            Err(error) => {
                assert!(!switches.makes_sense(), "{switches:?}: {error}");
                let ConfigError::Contradiction { setting, .. } = error else {
                    panic!("{switches:?}: {error}");
                };
                let settings = ["grant_types", "registration", "access_token_format"];
                assert!(settings.contains(&setting), "{switches:?}: {setting}");
                refused += 1;
            }
        }
    }
    assert_eq!((taken, refused), (888, 2184));
}

#[test]
fn a_path_that_is_taken_is_named() {
    let setting = |builder: AuthorizationServerBuilder| match builder.build() {
        Ok(_) => None,
        Err(ConfigError::Contradiction { setting, .. }) => Some(setting),
        Err(error) => panic!("{error}"),
    };
    let with_login = |path: &str| {
        let server = AuthorizationServer::builder(ISSUER).resource(LEDGER, ["ledger.read"]);
        server.login(path, |_| Subject::new("alice").ok())
    };
    assert_eq!(setting(with_login("/login")), None);
    for endpoint in ["/auth/token", "/auth/authorize?x=1", "/device"] {
        assert_eq!(setting(with_login(endpoint)), Some("login"), "{endpoint}");
    }
    let document = "/.well-known/oauth-protected-resource/ledger";
    assert_eq!(setting(with_login(document)), Some("login"));
    let elsewhere = with_login("/.well-known/oauth-protected-resource/other")
        .resource("https://other.test/other", ["other"]);
    assert_eq!(setting(elsewhere), None, "that document is not served here");
    // What is not served takes no path.
    let registers = |path: &str| with_login(path).registration(Registration::open());
    assert_eq!(setting(with_login("/auth/register")), None);
    assert_eq!(setting(registers("/auth/register")), Some("login"));
    let at = |path: &str| with_login("/login").path(Endpoint::Token, path);
    let document = "/.well-known/oauth-protected-resource";
    assert_eq!(setting(at(&format!("{document}/ledger"))), Some("path"));
    assert_eq!(setting(at(&format!("{document}/elsewhere"))), None);
}

#[test]
fn a_resource_that_is_named_twice_is_named() {
    let twice = |first: &str, second: &str| {
        let server = AuthorizationServer::builder(ISSUER).resource(first, ["a"]);
        server.resource(second, ["b"]).build().err()
    };
    let root = "https://api.test";
    for second in [root, "https://api.test/", "HTTPS://API.test"] {
        let error = twice(root, second).unwrap();
        assert_eq!(error, ConfigError::ResourceTwice(second.to_owned()));
        assert_eq!(
            error.to_string(),
            format!("resource: {second:?} is named twice: list all of its scopes in one call")
        );
    }
    assert_eq!(twice(root, "https://api.test/x"), None);
    let malformed = twice(root, "/x").unwrap();
    assert_eq!(malformed, ConfigError::Resource("/x".to_owned()));
}

#[test]
fn what_has_no_meaning_is_named() {
    let off = || AuthorizationServer::builder(ISSUER).scopes(["profile"]);
    let on = || off().login("/login", |_| None::<Subject>);
    let says = |scope: &str| on().pages(Pages::new().describe_scope("de", scope, "Ihr Profil"));
    for (builder, setting) in [
        (off().acr_values_supported(["mfa"]), "acr_values_supported"),
        (off().default_scope(""), "default_scope"),
        (says("profil"), "describe_scope"),
        (on().describe_scope("profil", "x"), "describe_scope"),
        (off().browser_clients(["ftp://app.test"]), "browser_clients"),
        (off().browser_clients(["ws://app.test"]), "browser_clients"),
        (off().browser_clients(["null"]), "browser_clients"),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{setting}: ")), "{error}");
    }
    for builder in [
        on().acr_values_supported(["mfa"]),
        off().default_scope("profile"),
        says("profile"),
        off().browser_clients(["http://127.0.0.1:3000", "https://app.test"]),
    ] {
        assert!(builder.build().is_ok());
    }
}

#[test]
fn what_lets_nobody_through_is_named() {
    let setting = |builder: AuthorizationServerBuilder| match builder.build() {
        Ok(_) => None,
        Err(ConfigError::Contradiction { setting, .. }) => Some(setting),
        Err(error) => panic!("{error}"),
    };
    let on = || AuthorizationServer::builder(ISSUER).login("/login", |_| None::<Subject>);
    let registers = |grants: &[GrantType]| {
        let registration = Registration::open().grant_types(grants.iter().copied());
        setting(on().registration(registration))
    };
    assert_eq!(
        registers(&[GrantType::RefreshToken]),
        Some("registration"),
        "a refresh token comes of another grant"
    );
    let both = [GrantType::RefreshToken, GrantType::DeviceCode];
    assert_eq!(registers(&both), None);
    let nobody = Registration::with_initial_access_tokens([]);
    assert_eq!(
        setting(on().registration(nobody)),
        Some("with_initial_access_tokens")
    );
    let guarded = |token: &str| {
        let tokens = [Secret::generate().unwrap(), Secret::new(token)];
        setting(on().registration(Registration::with_initial_access_tokens(&tokens)))
    };
    assert_eq!(guarded(&"x".repeat(31)), Some("with_initial_access_tokens"));
    assert_eq!(guarded(&"x".repeat(32)), None);
    for zero in [
        Limit::per_minute(0, 0),
        Limit::per_minute(0, 1),
        Limit::per_minute(1, 0).per_client(1),
        Limit::per_minute(1, 1).per_client(0),
    ] {
        let registration = Registration::open().limited_to(zero);
        for (name, builder) in [
            ("wrong_client_secrets", on().wrong_client_secrets(zero)),
            ("wrong_user_codes", on().wrong_user_codes(zero)),
            ("authorization_requests", on().authorization_requests(zero)),
            ("device_requests", on().device_requests(zero)),
            ("limited_to", on().registration(registration)),
        ] {
            assert_eq!(setting(builder), Some(name), "{zero:?}");
        }
    }
    let one = Limit::per_minute(1, 1);
    assert_eq!(setting(on().wrong_user_codes(one)), None);
}

// req: 7009-2-5, 8414-2-13
#[tokio::test(flavor = "multi_thread")]
async fn s23_whatever_is_switched_on_works_and_everything_else_is_refused() {
    let mut all = tokio::task::JoinSet::new();
    let sensible: Vec<_> = Switches::all()
        .filter(|switches| switches.makes_sense())
        .collect();
    for part in sensible.chunks(sensible.len().div_ceil(4)) {
        let part = part.to_vec();
        all.spawn(async move {
            for switches in part {
                let server = Harness::in_memory(switches.builder());
                self_check_finds_nothing(&server).await;
                advertised_is_what_works(switches, &server).await;
            }
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn self_check_finds_nothing_whatever_the_resources_and_the_pages_are() {
    let tenant = |number: u8| format!("{ISSUER}/api?tenant={number}");
    for number in 0_u8..8 {
        let is_on = |bit: u8| number & bit != 0;
        let mut builder = AuthorizationServer::builder(ISSUER)
            .login("/login", |_| None::<Subject>)
            .resource(tenant(1), ["one"])
            .resource(tenant(2), ["two"])
            .resource(format!("{ISSUER}/plain"), ["plain"]);
        if is_on(1) {
            builder = builder.connected_apps();
        }
        if is_on(2) {
            builder = builder.consent_page("/consent");
        }
        if is_on(4) {
            let jwt = AccessTokenFormat::Jwt(SigningAlgorithm::EdDsa);
            builder = builder.access_token_format_for(tenant(2), jwt);
        }
        let server = Harness::in_memory(builder);
        // The plain path is no resource: it has no document.
        let document = "/.well-known/oauth-protected-resource/api";
        assert_eq!(server.get(document, None).await.status, 404);
        self_check_finds_nothing(&server).await;
    }
}

/// Mounted as a layer around a router of the host's, and as services of their own.
async fn self_check_finds_nothing(server: &Harness) {
    let oauth = &server.oauth;
    let host = || {
        let login = Router::new().route("/login", get(|| async { "Sign in" }));
        login.route("/consent", get(|| async { "Allow?" }))
    };
    let found = oauth.self_check(&host().layer(oauth.layer())).await;
    assert_eq!(
        found,
        Ok(()),
        "{:?}",
        found.as_ref().map_err(ToString::to_string)
    );
    let prefix = match oauth.issuer().path() {
        "" => "/auth".to_owned(),
        path => format!("{path}/auth"),
    };
    let nested = host()
        .nest_service(&prefix, oauth.service().nested_at(&prefix))
        .fallback_service(oauth.well_known_service());
    let found = oauth.self_check(&nested).await;
    assert_eq!(
        found,
        Ok(()),
        "{:?}",
        found.as_ref().map_err(ToString::to_string)
    );
}

async fn advertised_is_what_works(switches: Switches, server: &Harness) {
    let path = server.oauth.issuer().path().to_owned();
    let metadata = format!("/.well-known/oauth-authorization-server{path}");
    let document = server.get(&metadata, None).await.json();
    let url = |name: &str| document[name].as_str().map(ToOwned::to_owned);
    for (name, is_on, place) in [
        (
            "authorization_endpoint",
            switches.has(GrantType::AuthorizationCode),
            "/auth/authorize",
        ),
        ("token_endpoint", true, "/auth/token"),
        (
            "device_authorization_endpoint",
            switches.has(GrantType::DeviceCode),
            "/auth/device",
        ),
        (
            "introspection_endpoint",
            switches.introspect,
            "/auth/introspect",
        ),
        ("revocation_endpoint", switches.revoke, "/auth/revoke"),
        (
            "registration_endpoint",
            switches.registration != 0,
            "/auth/register",
        ),
        ("jwks_uri", switches.jwt, "/auth/jwks.json"),
    ] {
        assert_eq!(url(name).is_some(), is_on, "{name} {switches:?}");
        let expected = format!("{}{place}", switches.issuer);
        assert!(url(name).is_none_or(|url| url == expected && url.starts_with("https://")));
        let answer = server.post(&format!("{path}{place}"), "x=1").await;
        // The page that device requests are approved on is at the authorization endpoint.
        let is_there = is_on || name == "authorization_endpoint" && switches.login;
        assert_eq!(answer.status != 404, is_there, "{name} {switches:?}");
    }
    for list in document.as_object().unwrap().values() {
        let listed = |text: &Value| list.as_array().is_some_and(|list| list.contains(text));
        assert!(
            !listed(&"none".into())
                || list == &document["prompt_values_supported"]
                || list == &document["token_endpoint_auth_methods_supported"]
                || list == &document["revocation_endpoint_auth_methods_supported"]
        );
    }
    let signing = document
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| name.ends_with("_signing_alg_values_supported"));
    assert_eq!(signing.count(), 0, "no client signs anything here");
    let grants: Vec<String> =
        serde_json::from_value(document["grant_types_supported"].clone()).unwrap();
    let every = Client::confidential("every".parse().unwrap(), &Secret::new(SECRET))
        .redirect_uri(CALLBACK.parse().unwrap())
        .grant_types(GRANTS);
    server.create(every).await;
    for grant in GRANTS {
        let is_on = switches.has(grant);
        assert_eq!(
            grants.contains(&grant.as_str().to_owned()),
            is_on,
            "{switches:?}"
        );
        let form = match grant {
            _ if !is_on => format!(
                "grant_type={}&code=x&refresh_token=x&device_code=x",
                grant.as_str()
            ),
            GrantType::ClientCredentials => "grant_type=client_credentials".to_owned(),
            GrantType::DeviceCode => format!(
                "grant_type={DEVICE_CODE}&device_code={}",
                approved_device(server, &path).await
            ),
            _ => {
                // A refresh token is had by a code or by a device.
                let form = if switches.has(GrantType::AuthorizationCode) {
                    format!(
                        "grant_type=authorization_code&code={}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}",
                        code(server, &path).await
                    )
                } else {
                    format!(
                        "grant_type={DEVICE_CODE}&device_code={}",
                        approved_device(server, &path).await
                    )
                };
                if grant == GrantType::AuthorizationCode {
                    form
                } else {
                    let tokens = token(server, &path, &form).await;
                    format!(
                        "grant_type=refresh_token&refresh_token={}",
                        tokens.member("refresh_token")
                    )
                }
            }
        };
        let answer = token(server, &path, &form).await;
        if is_on {
            assert_eq!(answer.status, 200, "{grant:?} {switches:?} {answer:?}");
            let refreshes =
                switches.has(GrantType::RefreshToken) && grant != GrantType::ClientCredentials;
            assert_eq!(
                answer.json().get("refresh_token").is_some(),
                refreshes,
                "{grant:?} {switches:?}"
            );
            let token = answer.access_token();
            assert_eq!(token.contains('.'), switches.jwt, "{switches:?}");
            if switches.resources {
                let api = ResourceServer::builder(switches.issuer)
                    .issuer(Issuer::in_process(&server.oauth))
                    .clock(server.clock.clone())
                    .build()
                    .unwrap();
                let authenticated = api.authenticate(&token).await;
                assert!(authenticated.is_ok(), "{authenticated:?} {switches:?}");
            }
        } else {
            answer.error(400, "unsupported_grant_type");
        }
    }
}

async fn token(server: &Harness, path: &str, form: &str) -> crate::support::Answer {
    server
        .post_as(&format!("{path}/auth/token"), ("every", SECRET), form)
        .await
}

async fn code(server: &Harness, path: &str) -> String {
    let request = format!("{path}{}", authorization_request("every", "&scope=profile"));
    let page = server.get(&request, Some("alice")).await;
    let answer = if page.status == 200 {
        decide(server, path, &page).await
    } else {
        page
    };
    answer
        .parameter("code")
        .unwrap_or_else(|| panic!("no code in {answer:?}"))
}

async fn approved_device(server: &Harness, path: &str) -> String {
    let codes = server
        .post_as(
            &format!("{path}/auth/device"),
            ("every", SECRET),
            "scope=profile",
        )
        .await;
    let place = codes.member("verification_uri");
    let place = place.strip_prefix("https://auth.harbor.test").unwrap();
    let form = format!("user_code={}", codes.member("user_code"));
    let next = server.submit(place, "alice", &form).await;
    let page = server.get(&next.location(), Some("alice")).await;
    decide(server, path, &page).await.page(200);
    codes.member("device_code")
}

async fn decide(
    server: &Harness,
    path: &str,
    page: &crate::support::Answer,
) -> crate::support::Answer {
    let (interaction, csrf) = (page.hidden("interaction"), page.hidden("csrf"));
    let form = format!("interaction={interaction}&csrf={csrf}&decision=allow");
    server
        .submit(&format!("{path}/auth/authorize"), "alice", &form)
        .await
}
