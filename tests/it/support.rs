//! A server, its clients and a clock that only moves when told, on the store that `TEST_STORE` names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use serde_json::Value;
use tower::ServiceExt as _;
use tower_oauth::server::{AccessTokenFormat, AuthorizationServerBuilder, CreateClient};
use tower_oauth::store::Store;
use tower_oauth::types::{
    Client, GrantType, Introspects, ManualClock, Secret, SigningAlgorithm, Subject, Timestamp,
};
use tower_oauth::{AuthorizationServer, MemoryStore, RedisStore};

use super::{postgres_server, redis_server, waits::soon, watch};

/// 2026-11-22T12:00:00Z
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);
pub(crate) const ISSUER: &str = "https://auth.harbor.test";
pub(crate) const LEDGER: &str = "https://auth.harbor.test/ledger";
pub(crate) const FILES: &str = "https://api.harbor.test/files";
pub(crate) const CALLBACK: &str = "https://app.harbor.test/cb";
pub(crate) const VERIFIER: &str = "kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z";
pub(crate) const CHALLENGE: &str = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";
pub(crate) const SECRET: &str = "web-secret-0123456789-0123456789-0123456789";
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// A token request that a confidential client needs nothing else for.
pub(crate) const FOR_ITSELF: &str = "grant_type=client_credentials&scope=ledger.read";

/// A server with clients: `app` (public, code and refresh), `web` (confidential, all grants, [`SECRET`]), `tv` (public, device),
/// `rs` (confidential, resource server of the ledger, `rs-secret-0123456789-0123456789-0123456789`), `all` (introspects everything, `all-secret-0123456789-0123456789-0123456789`).
pub(crate) struct Harness {
    pub(crate) oauth: AuthorizationServer,
    pub(crate) clock: ManualClock,
    _files: Option<Arc<tempfile::TempDir>>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of<B>(response: Response<B>) -> Self
    where
        B: http_body::Body,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let answer = Self {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        };
        watch::answer(&answer);
        answer
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The member of a JSON answer.
    #[track_caller]
    pub(crate) fn member(&self, name: &str) -> String {
        self.json()[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn access_token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.member("access_token")
    }

    /// The access token and the refresh token.
    #[track_caller]
    pub(crate) fn pair(&self) -> (String, String) {
        (self.access_token(), self.member("refresh_token"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .to_str()
            .unwrap()
    }

    #[track_caller]
    pub(crate) fn location(&self) -> String {
        assert_eq!(self.status, 303, "{self:?}");
        self.header("location").to_owned()
    }

    /// A parameter of the address that the browser is sent to, decoded.
    #[track_caller]
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let location = self.location();
        let query = location.split_once('?').map_or("", |(_, query)| query);
        let mut values =
            url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        let first = values.next().map(|(_, value)| value.into_owned());
        assert!(values.next().is_none(), "{name} stands twice in {location}");
        first
    }

    /// A hidden field of the page's form.
    #[track_caller]
    pub(crate) fn hidden(&self, name: &str) -> String {
        let text = self.text();
        let at = text
            .find(&format!("name=\"{name}\""))
            .unwrap_or_else(|| panic!("no field {name} in {text}"));
        let rest = &text[at..];
        let start = rest.find("value=\"").unwrap() + 7;
        rest[start..].split('"').next().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn error(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.json()["error"].as_str()),
            (status, Some(code)),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("content-type"), "application/json");
    }

    /// An error that is told at the redirection endpoint.
    #[track_caller]
    pub(crate) fn redirected_error(&self, code: &str) {
        assert_eq!(self.parameter("error").as_deref(), Some(code), "{self:?}");
        assert_eq!(self.parameter("iss").as_deref(), Some(ISSUER));
        assert_eq!(self.parameter("code"), None);
    }

    /// An error page, from which nobody is sent anywhere.
    #[track_caller]
    pub(crate) fn page(&self, status: u16) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert!(!self.headers.contains_key("location"), "{self:?}");
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(self.header("cache-control"), "no-store");
    }
}

/// A builder with the resources and the login that the tests use: who is signed in says the header `x-user`.
pub(crate) fn builder() -> AuthorizationServerBuilder {
    let builder = AuthorizationServer::builder(ISSUER);
    let builder = match std::env::var("TEST_ACCESS_TOKEN").as_deref() {
        Ok("jwt") => builder
            .access_token_format(AccessTokenFormat::Jwt(SigningAlgorithm::Es256))
            .access_token_lifetime(Duration::from_secs(600)),
        Ok("opaque") | Err(_) => builder,
        Ok(other) => panic!("TEST_ACCESS_TOKEN={other} is not known: opaque or jwt"),
    };
    builder
        .resource(LEDGER, ["ledger.read", "ledger.write"])
        .resource(FILES, ["files.read"])
        .scopes(["offline_access"])
        .default_scope("ledger.read")
        .describe_scope("ledger.read", "Read your ledger")
        .login("/login", |parts| {
            let user = parts.headers.get("x-user")?.to_str().ok()?;
            Subject::new(user).ok()
        })
}

/// A store in the Redis of the tests, with a prefix of its own.
pub(crate) async fn redis() -> RedisStore {
    let builder = RedisStore::builder(redis_server::shared());
    let builder = builder.prefix(redis_server::prefix());
    // The machine may be busy: nothing is slow here on purpose.
    let builder = builder.time_limit(Duration::from_secs(20));
    builder.connect().await.unwrap()
}

/// On the store that `TEST_STORE` names, with the files that it needs.
async fn on_store(
    builder: AuthorizationServerBuilder,
) -> (AuthorizationServerBuilder, Option<Arc<tempfile::TempDir>>) {
    match std::env::var("TEST_STORE").as_deref() {
        Ok("sqlite") => {
            let files = tempfile::tempdir().unwrap();
            let store = tower_oauth::SqliteStore::open(files.path().join("oauth.db"))
                .await
                .unwrap();
            (builder.store(store), Some(Arc::new(files)))
        }
        Ok("postgres") => {
            let store = postgres_server::store().await;
            (builder.store(store.expect("TEST_STORE names it")), None)
        }
        Ok("redis") => (builder.store(redis().await), None),
        Ok("memory") | Err(_) => (builder.store(MemoryStore::new()), None),
        Ok(other) => {
            panic!("TEST_STORE={other} is not known: memory, sqlite, postgres or redis")
        }
    }
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    /// A server with further settings, on the store that `TEST_STORE` names: `memory` (or nothing), `sqlite`, `postgres` or `redis`.
    pub(crate) async fn with(
        more: impl FnOnce(AuthorizationServerBuilder) -> AuthorizationServerBuilder,
    ) -> Self {
        Self::build(builder(), more).await
    }

    /// A server that is built in another way.
    pub(crate) fn of(builder: AuthorizationServerBuilder) -> impl Future<Output = Self> {
        Box::pin(Self::build(builder, |builder| builder))
    }

    async fn build(
        builder: AuthorizationServerBuilder,
        more: impl FnOnce(AuthorizationServerBuilder) -> AuthorizationServerBuilder,
    ) -> Self {
        watch::start();
        let clock = ManualClock::new(NOW);
        let (builder, files) = Box::pin(on_store(builder)).await;
        let oauth = more(builder.clock(clock.clone())).build().unwrap();
        let harness = Self {
            oauth,
            clock,
            _files: files,
        };
        harness.create_clients().await;
        harness
    }

    /// A server on a store and a clock of the test's own, without clients.
    pub(crate) fn on(
        store: impl Store,
        clock: &ManualClock,
        more: impl FnOnce(AuthorizationServerBuilder) -> AuthorizationServerBuilder,
    ) -> Self {
        watch::start();
        let builder = builder().store(store).clock(clock.clone());
        Self {
            oauth: more(builder).build().unwrap(),
            clock: clock.clone(),
            _files: None,
        }
    }

    /// A server that is built in another way, in memory and without clients: where the store does not matter and there are many.
    pub(crate) fn in_memory(builder: AuthorizationServerBuilder) -> Self {
        watch::start();
        let clock = ManualClock::new(NOW);
        Self {
            oauth: builder.clock(clock.clone()).build().unwrap(),
            clock,
            _files: None,
        }
    }

    pub(crate) async fn create_clients(&self) {
        use GrantType::{AuthorizationCode, ClientCredentials, DeviceCode, RefreshToken};
        let confidential = |id: &str, secret: &str| {
            Client::confidential(id.parse().unwrap(), &Secret::new(secret))
        };
        let for_ledger = Introspects::For(vec![LEDGER.parse().unwrap()]);
        let clients = [
            Client::public("app".parse().unwrap())
                .name("Harbor App")
                .redirect_uri(CALLBACK.parse().unwrap()),
            confidential("web", SECRET)
                .redirect_uri(CALLBACK.parse().unwrap())
                .grant_types([
                    AuthorizationCode,
                    RefreshToken,
                    ClientCredentials,
                    DeviceCode,
                ]),
            Client::public("tv".parse().unwrap())
                .name("Harbor TV")
                .grant_types([DeviceCode, RefreshToken]),
            confidential("rs", "rs-secret-0123456789-0123456789-0123456789")
                .grant_types([])
                .introspects(for_ledger),
            confidential("all", "all-secret-0123456789-0123456789-0123456789")
                .grant_types([])
                .introspects(Introspects::Everything),
        ];
        // All at once, so that a durable store syncs once or twice.
        let [app, web, tv, rs, all] = clients.map(|client| self.create(client));
        tokio::join!(app, web, tv, rs, all);
    }

    /// Adds a client.
    pub(crate) async fn create(&self, client: Client) {
        let created = self.oauth.clients().create(client).await.unwrap();
        assert_eq!(created, CreateClient::Created);
    }

    /// The server knows its clients from earlier requests: a change that changes nothing makes it read this one again.
    pub(crate) async fn forget(&self, client_id: &str) {
        let id = client_id.parse().unwrap();
        assert!(self.oauth.clients().disable(&id, false).await.unwrap());
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        use tower_oauth::types::Clock as _;
        self.clock.now()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Sends any request to the server.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        watch::request(&parts.uri, &parts.headers, &body);
        let what = format!("an answer to {} {}", parts.method, parts.uri.path());
        let request = Request::from_parts(parts, Full::<Bytes>::from(body));
        let answer = soon(&what, self.oauth.service().oneshot(request)).await;
        let answer = answer.unwrap();
        self.sent_to_a_known_place(answer).await
    }

    /// Reads an answer. Whatever a test is about: a browser is sent on by 303 alone, to a registered address or a path of ours (S2).
    pub(crate) async fn sent_to_a_known_place<B>(&self, answer: Response<B>) -> Answer
    where
        B: http_body::Body,
        B::Error: std::fmt::Debug,
    {
        let answer = Answer::of(answer).await;
        let Some(location) = answer.headers.get("location") else {
            assert!(!answer.status.is_redirection() || answer.status == 304);
            return answer;
        };
        assert_eq!(answer.status, 303, "{answer:?}");
        let location = location.to_str().unwrap();
        if location.starts_with('/') {
            assert!(!location.starts_with("//") && !location.contains('\\'));
            return answer;
        }
        let ours = ["?code=", "&code=", "?error=", "&error="];
        let places = ours.iter().filter_map(|begin| location.find(begin));
        let address = &location[..places.min().unwrap_or(location.len())];
        let Ok(clients) = self.oauth.clients().list().await else {
            assert_eq!(
                address, CALLBACK,
                "the store is down, and this is the one that the tests register"
            );
            return answer;
        };
        let mut registered = clients.iter().flat_map(Client::redirect_uris);
        assert!(registered.any(|uri| uri.matches(address)), "{location}");
        answer
    }

    /// A GET by somebody who is signed in, or by nobody.
    pub(crate) async fn get(&self, target: &str, user: Option<&str>) -> Answer {
        let mut request = Request::get(target);
        if let Some(user) = user {
            request = request.header("x-user", user);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        watch::request(request.uri(), request.headers(), b"");
        let answer = self.oauth.service().oneshot(request).await.unwrap();
        self.sent_to_a_known_place(answer).await
    }

    /// A form, as a program posts it.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        self.post_with(path, &[], form).await
    }

    /// A form with further headers.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        form: &str,
    ) -> Answer {
        let mut request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::from(form.to_owned())).unwrap())
            .await
    }

    /// A form, as a browser posts it from a page of ours.
    pub(crate) async fn submit(&self, path: &str, user: &str, form: &str) -> Answer {
        self.post_with(
            path,
            &[("x-user", user), ("sec-fetch-site", "same-origin")],
            form,
        )
        .await
    }

    /// A registration.
    pub(crate) async fn register(&self, json: &str) -> Answer {
        let request = Request::post("/auth/register").header("content-type", "application/json");
        self.send(request.body(Full::from(json.to_owned())).unwrap())
            .await
    }

    /// A form with the credentials of a confidential client in the header.
    pub(crate) async fn post_as(&self, path: &str, client: (&str, &str), form: &str) -> Answer {
        self.post_with(path, &[("authorization", &basic(client.0, client.1))], form)
            .await
    }

    /// A token request of `web`, with its secret in the header.
    pub(crate) async fn web(&self, form: &str) -> Answer {
        self.post_as("/auth/token", ("web", SECRET), form).await
    }

    /// An authorization request of `app` with further parameters, by alice.
    pub(crate) async fn authorize(&self, more: &str) -> Answer {
        self.get(&authorization_request("app", more), Some("alice"))
            .await
    }

    /// Presses a button of the consent page.
    pub(crate) async fn decide(&self, page: &Answer, user: &str, decision: &str) -> Answer {
        let form = format!(
            "interaction={}&csrf={}&decision={decision}",
            page.hidden("interaction"),
            page.hidden("csrf")
        );
        self.submit("/auth/authorize", user, &form).await
    }

    /// The authorization response to a request of which alice allows all.
    pub(crate) async fn allow(&self, request: &str) -> Answer {
        let answer = self.get(request, Some("alice")).await;
        self.allowed(answer).await
    }

    /// The answer itself, or if it is a consent page: what comes of alice's yes.
    pub(crate) async fn allowed(&self, answer: Answer) -> Answer {
        if answer.status == 200 {
            return self.decide(&answer, "alice", "allow").await;
        }
        answer
    }

    /// A code that alice gave to a client.
    pub(crate) async fn code_for(&self, client: &str, more: &str) -> String {
        let answer = self.allow(&authorization_request(client, more)).await;
        answer
            .parameter("code")
            .unwrap_or_else(|| panic!("no code in {answer:?}"))
    }

    /// Redeems a code of `app`.
    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        self.post("/auth/token", &redemption("app", code)).await
    }

    /// The tokens of a new grant of alice to `app`.
    pub(crate) async fn tokens(&self, more: &str) -> Answer {
        let code = self.code_for("app", more).await;
        let answer = self.redeem(&code).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// Uses a refresh token of `app`.
    pub(crate) async fn refresh(&self, token: &str, more: &str) -> Answer {
        self.post(
            "/auth/token",
            &format!("grant_type=refresh_token&client_id=app&refresh_token={token}{more}"),
        )
        .await
    }

    /// What introspection says to the client that may ask about everything.
    pub(crate) async fn introspect(&self, token: &str) -> Value {
        let answer = self
            .post_as(
                "/auth/introspect",
                ("all", "all-secret-0123456789-0123456789-0123456789"),
                &format!("token={token}"),
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn is_active(&self, token: &str) -> bool {
        self.introspect(token).await["active"].as_bool().unwrap()
    }

    /// A device and user code for `tv`.
    pub(crate) async fn device(&self) -> (String, String) {
        let answer = self
            .post("/auth/device", "client_id=tv&scope=ledger.read")
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.member("device_code"), answer.member("user_code"))
    }

    /// What the device is told.
    pub(crate) async fn poll(&self, device_code: &str) -> Answer {
        self.post(
            "/auth/token",
            &format!("grant_type={DEVICE_CODE}&client_id=tv&device_code={device_code}"),
        )
        .await
    }

    /// The consent page for a device, after somebody typed its code in.
    pub(crate) async fn enter(&self, user_code: &str, user: &str) -> Answer {
        let answer = self
            .submit("/device", user, &format!("user_code={user_code}"))
            .await;
        self.get(&answer.location(), Some(user)).await
    }
}

/// The URL of an authorization request.
pub(crate) fn authorization_request(client: &str, more: &str) -> String {
    format!(
        "/auth/authorize?response_type=code&client_id={client}&redirect_uri=https%3A%2F%2Fapp.harbor.test%2Fcb\
         &code_challenge={CHALLENGE}&code_challenge_method=S256{more}"
    )
}

/// The URL of an authorization request of `app` in which parameters are changed, added, or left out with `None`; values stand as
/// they are written in a URL.
pub(crate) fn changed(changes: &[(&str, Option<&str>)]) -> String {
    let request = authorization_request("app", "&state=s1");
    let (path, query) = request.split_once('?').unwrap();
    let is_changed = |pair: &&str| {
        let name = pair.split('=').next();
        changes.iter().any(|(changed, _)| Some(*changed) == name)
    };
    let kept = query.split('&').filter(|pair| !is_changed(pair));
    let new = changes
        .iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
    let pairs: Vec<_> = kept.map(ToOwned::to_owned).chain(new).collect();
    format!("{path}?{}", pairs.join("&"))
}

/// The form that redeems a code.
pub(crate) fn redemption(client: &str, code: &str) -> String {
    format!(
        "grant_type=authorization_code&client_id={client}&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
    )
}

pub(crate) fn alice() -> Subject {
    Subject::new("alice").unwrap()
}

/// An `Authorization` header.
pub(crate) fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))
    )
}
