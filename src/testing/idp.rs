//! The issuer: what it publishes, what it answers, and when it is down (RFC 8414 §2, RFC 7517 §5, RFC 7662 §2).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use serde_json::{Map, Value, json};
use url::Url;

use super::IdpToken;
#[cfg(feature = "introspection")]
use crate::resource::OpaqueIssuer;
use crate::resource::{HttpClient, Issuer, JwtIssuer, Unavailable};
use crate::types::{Clock as _, IssuerUrl, ManualClock, SigningAlgorithm, SigningKey, Timestamp};

/// When the time of each issuer begins: 2026-11-22T12:00:00Z.
const BEGINNING: Timestamp = Timestamp::from_secs(1_795_348_800);

/// An issuer in memory; see the [module](super). Clones are the same one.
///
/// It is the [`HttpClient`] of those who ask it, and answers nobody else. A service that makes its issuers from settings of its own is
/// tested with `ResourceServer::builder(…).http_client(idp.clone())`, and otherwise as it is.
#[derive(Clone)]
pub struct Idp(Arc<Inner>);

struct Inner {
    url: IssuerUrl,
    audience: String,
    clock: ManualClock,
    /// Somebody else's.
    stranger: SigningKey,
    state: Mutex<State>,
}

struct State {
    /// All that are published.
    keys: Vec<SigningKey>,
    /// The one that signs.
    key: SigningKey,
    is_down: bool,
    /// What it has issued and not taken back, and what it says about that.
    issued: HashMap<String, Map<String, Value>>,
}

impl Idp {
    /// An issuer with this identifier (RFC 8414 §2), whose tokens are meant for this resource unless they say otherwise. It has one key, for
    /// ES256.
    ///
    /// # Panics
    /// If `url` is no issuer identifier: `https`, or `http` on this machine, without query and fragment.
    #[must_use]
    pub fn new(url: &str, audience: impl Into<String>) -> Self {
        let url = match url.parse() {
            Ok(url) => url,
            Err(invalid) => panic!("{url:?} is no issuer: {invalid}"),
        };
        let key = new_key();
        Self(Arc::new(Inner {
            url,
            audience: audience.into(),
            clock: ManualClock::new(BEGINNING),
            stranger: new_key(),
            state: Mutex::new(State {
                keys: vec![key.clone()],
                key,
                is_down: false,
                issued: HashMap::new(),
            }),
        }))
    }

    /// Its clock, which the resource server must have too: `.clock(idp.clock())`. It stands at noon of 22 November 2026 until it is
    /// [advanced](ManualClock::advance).
    #[must_use]
    pub fn clock(&self) -> ManualClock {
        self.0.clock.clone()
    }

    /// It as an issuer whose JWTs are checked with the keys that it publishes: `.issuer(idp.issuer())`, or with further settings.
    pub fn issuer(&self) -> JwtIssuer {
        Issuer::jwt(self.0.url.as_str()).http_client(self.clone())
    }

    /// It as an issuer that is asked about its tokens, those of [`mint_opaque`](IdpToken::mint_opaque) and its JWTs. Any client may ask.
    #[cfg(feature = "introspection")]
    pub fn opaque_issuer(&self) -> OpaqueIssuer {
        Issuer::opaque(self.0.url.as_str())
            .client("resource-server", "resource-server-secret")
            .http_client(self.clone())
    }

    /// A token for this subject, to be minted: good, unless something is said about it.
    pub fn token(&self, subject: impl Into<String>) -> IdpToken {
        IdpToken::new(self.clone(), subject.into())
    }

    /// Signs with a new key from now on, and publishes it beside the old ones, whose tokens stay good. A resource server that meets it
    /// fetches the keys again: three times at once, and then once in ten seconds.
    pub fn rotate(&self) {
        let key = new_key();
        let mut state = self.lock();
        state.keys.push(key.clone());
        state.key = key;
    }

    /// Publishes no key any more but the one that signs. A resource server knows that as soon as it fetches the keys again: when it meets a
    /// key that it does not know, or within 15 minutes. Tokens by the other keys are bad then.
    pub fn withdraw_old_keys(&self) {
        let mut state = self.lock();
        state.keys = vec![state.key.clone()];
    }

    /// Nobody can reach it, until `down(false)`. Tokens are minted all the same.
    ///
    /// A resource server that has not fetched the keys yet answers 503; one that has goes on with them for a day, as it should. An outage of
    /// introspection is a 503 for each token that is not known. When it is over, [advance](ManualClock::advance) the clock by a minute: nobody
    /// asks an issuer that was down again at once.
    pub fn down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Takes a token back: who asks is told that it is not active (RFC 7662 §2.2).
    ///
    /// Who has asked already may believe the old answer for [`cached_for`](OpaqueIssuer::cached_for), 60 seconds by default, and who checks
    /// JWTs by their signature does not ask.
    #[cfg(feature = "introspection")]
    pub fn revoke(&self, token: &str) {
        self.lock().issued.remove(token);
    }

    pub(super) fn url(&self) -> &IssuerUrl {
        &self.0.url
    }

    pub(super) fn audience(&self) -> &str {
        &self.0.audience
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn key(&self) -> SigningKey {
        self.lock().key.clone()
    }

    pub(super) fn stranger(&self) -> SigningKey {
        self.0.stranger.clone()
    }

    /// Remembers what it has issued, for those who ask.
    pub(super) fn remember(&self, token: &str, claims: Map<String, Value>) {
        self.lock().issued.insert(token.to_owned(), claims);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is half done while it is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its own path with this behind it.
    fn path(&self, of: &str) -> String {
        format!("{}{of}", self.0.url.path().trim_end_matches('/'))
    }

    fn answer(&self, request: &Request<Bytes>) -> Option<Value> {
        let path = request.uri().path();
        if path == self.0.url.well_known_path("oauth-authorization-server") {
            let url = |of| format!("{}{}", self.0.url.origin(), self.path(of));
            return Some(json!({
                "issuer": self.0.url.as_str(),
                "jwks_uri": url(JWKS),
                "introspection_endpoint": url(INTROSPECT),
                "response_types_supported": [],
            }));
        }
        if path == self.path(JWKS) {
            let state = self.lock();
            let keys: Vec<_> = state
                .keys
                .iter()
                .map(|key| key.public().jwk(key.kid()))
                .collect();
            return Some(json!({ "keys": keys }));
        }
        (path == self.path(INTROSPECT)).then(|| self.introspect(request.body()))
    }

    /// RFC 7662 §2.2.
    fn introspect(&self, form: &[u8]) -> Value {
        let mut form = url::form_urlencoded::parse(form);
        let token = form.find(|(name, _)| name == "token");
        let now = self.now().as_secs();
        let claims = token.and_then(|(_, token)| self.lock().issued.get(&*token).cloned());
        let is_now = |claims: &Map<String, Value>| {
            let time = |name| claims.get(name).and_then(Value::as_u64);
            time("exp").is_none_or(|exp| now < exp) && time("nbf").is_none_or(|nbf| nbf <= now)
        };
        let Some(mut claims) = claims.filter(is_now) else {
            return json!({"active": false});
        };
        claims.insert("active".to_owned(), true.into());
        Value::Object(claims)
    }
}

const JWKS: &str = "/jwks";
const INTROSPECT: &str = "/introspect";

fn new_key() -> SigningKey {
    SigningKey::generate(SigningAlgorithm::Es256).expect("the operating system has random bytes")
}

impl HttpClient for Idp {
    async fn send(
        &self,
        request: Request<Bytes>,
        limit: usize,
    ) -> Result<Response<Bytes>, Unavailable> {
        if !is_at(request.uri(), &self.0.url) {
            return Err(Unavailable::new("there is no network in tests"));
        }
        if self.lock().is_down {
            return Err(Unavailable::new("the issuer is down"));
        }
        let answer = self.answer(&request);
        let body = answer.as_ref().map(Value::to_string).unwrap_or_default();
        if body.len() > limit {
            return Err(Unavailable::new("the answer is too long"));
        }
        let mut response = Response::new(Bytes::from(body));
        match answer {
            Some(_) => {
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
            }
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        Ok(response)
    }
}

fn is_at(uri: &Uri, issuer: &IssuerUrl) -> bool {
    let origin = |url: &str| Url::parse(url).map(|url| url.origin()).ok();
    origin(&uri.to_string()) == origin(issuer.as_str())
}

impl fmt::Debug for Idp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idp")
            .field("url", &self.0.url)
            .field("audience", &self.0.audience)
            .finish_non_exhaustive()
    }
}
