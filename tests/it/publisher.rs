//! An issuer on a socket of its own that publishes what it is told to, and tokens by keys that it may have published or not.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response, StatusCode};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::resource::{AccessToken, JwtIssuer, Refusal, ResourceServerBuilder};
use tower_oauth::types::{ManualClock, Timestamp};
use tower_oauth::{Issuer, ResourceServer};

use crate::support::{Answer, LEDGER, NOW};
use crate::waits::{soon, until};
use crate::watch;

pub(crate) const METADATA: &str = "/.well-known/oauth-authorization-server";
pub(crate) const OPENID: &str = "/.well-known/openid-configuration";
pub(crate) const JWKS: &str = "/jwks";

/// A key that the test signs with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Key {
    Ec,
    Ec2,
    Ed,
    Rsa,
}

impl Key {
    const fn pem(self) -> &'static str {
        match self {
            Self::Ec => include_str!("keys/ec.pem"),
            Self::Ec2 => include_str!("keys/p256-2.pem"),
            Self::Ed => include_str!("keys/ed.pem"),
            Self::Rsa => include_str!("keys/rsa.pem"),
        }
    }

    fn parsed(self) -> (EncodingKey, Algorithm) {
        let pem = self.pem().as_bytes();
        match self {
            Self::Ec | Self::Ec2 => (EncodingKey::from_ec_pem(pem).unwrap(), Algorithm::ES256),
            Self::Ed => (EncodingKey::from_ed_pem(pem).unwrap(), Algorithm::EdDSA),
            Self::Rsa => (EncodingKey::from_rsa_pem(pem).unwrap(), Algorithm::RS256),
        }
    }

    pub(crate) const fn alg(self) -> &'static str {
        match self {
            Self::Ec | Self::Ec2 => "ES256",
            Self::Ed => "EdDSA",
            Self::Rsa => "RS256",
        }
    }

    /// Its public half, under this name.
    pub(crate) fn jwk(self, kid: &str) -> Value {
        let (key, algorithm) = self.parsed();
        let jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.alg().into();
        jwk
    }

    /// Signs, whatever the header says.
    pub(crate) fn sign(self, header: &Value, claims: &Value) -> String {
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = parts.join(".");
        let (key, algorithm) = self.parsed();
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        let token = format!("{signed}.{signature}");
        watch::secret("token", &token);
        token
    }
}

/// A JWK set.
pub(crate) fn set(keys: &[(Key, &str)]) -> String {
    let keys: Vec<Value> = keys.iter().map(|(key, kid)| key.jwk(kid)).collect();
    json!({ "keys": keys }).to_string()
}

/// The header of a good token.
pub(crate) fn header(key: Key, kid: &str) -> Value {
    json!({"typ": "at+jwt", "alg": key.alg(), "kid": kid})
}

/// What a good token of this issuer says.
pub(crate) fn claims(issuer: &str, issued: Timestamp) -> Value {
    json!({
        "iss": issuer, "sub": "usr_50317", "aud": LEDGER, "client_id": "cl_7Qm2v9Tz", "scope": "ledger.read",
        "iat": issued.as_secs(), "exp": issued.as_secs() + 900, "jti": "at-6f2c1d",
    })
}

/// The value with some members changed; `null` takes one away.
pub(crate) fn with(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => value.as_object_mut().unwrap().remove(name),
            change => value
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), change.clone()),
        };
    }
    value
}

/// What is answered at a path.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Says(String),
    /// The same, once it is [let go](Publisher::let_go).
    Held(String),
    /// It closes the connection.
    HangsUp,
}

/// An answer with these lines of header.
pub(crate) fn answer(status: u16, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Scripted\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

pub(crate) fn json_with(headers: &[&str], body: &str) -> Reply {
    let headers = [&["content-type: application/json"], headers].concat();
    Reply::Says(answer(200, &headers, body))
}

pub(crate) fn json_of(body: &str) -> Reply {
    json_with(&[], body)
}

/// Reads requests and writes answers byte for byte. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<State>);

struct State {
    address: SocketAddr,
    /// What is behind the host in its name.
    path: String,
    replies: Mutex<HashMap<String, Reply>>,
    seen: Mutex<Vec<String>>,
    gate: Semaphore,
}

impl Publisher {
    /// One with metadata and a set of one key: `Ec` as `a`.
    pub(crate) async fn start() -> Self {
        Self::named("").await
    }

    /// The same, with something behind the host in its name.
    pub(crate) async fn named(path: &str) -> Self {
        watch::start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            address: listener.local_addr().unwrap(),
            path: path.to_owned(),
            replies: Mutex::default(),
            seen: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let publisher = Self(Arc::clone(&state));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&state), stream));
            }
        });
        let metadata = format!("{METADATA}{}", path.trim_end_matches('/'));
        publisher.reply(&metadata, json_of(&publisher.metadata()));
        publisher.publish(&[(Key::Ec, "a")]);
        publisher
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.0.address, self.0.path)
    }

    pub(crate) fn jwks_uri(&self) -> String {
        format!("http://{}{JWKS}", self.0.address)
    }

    pub(crate) fn metadata(&self) -> String {
        json!({"issuer": self.url(), "jwks_uri": self.jwks_uri(), "x": [1]}).to_string()
    }

    /// What it says at a path from now on.
    pub(crate) fn reply(&self, path: &str, reply: Reply) {
        let mut replies = self.0.replies.lock().unwrap();
        replies.insert(path.to_owned(), reply);
    }

    /// The keys it has from now on.
    pub(crate) fn publish(&self, keys: &[(Key, &str)]) {
        self.reply(JWKS, json_of(&set(keys)));
    }

    /// Answers so many that are held.
    pub(crate) fn let_go(&self, count: usize) {
        self.0.gate.add_permits(count);
    }

    /// All requests, as they came.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.0.seen.lock().unwrap().clone()
    }

    /// The paths of all requests.
    pub(crate) fn paths(&self) -> Vec<String> {
        let path = |request: &String| request.split(' ').nth(1).unwrap().to_owned();
        self.seen().iter().map(path).collect()
    }

    /// How often it was asked for its keys.
    pub(crate) fn fetches(&self) -> usize {
        self.paths().iter().filter(|path| *path == JWKS).count()
    }

    /// Waits until it was asked for its keys so often in all.
    pub(crate) async fn has_been_asked(&self, fetches: usize) {
        until(&format!("{fetches} fetches"), async || {
            self.fetches() >= fetches
        })
        .await;
    }

    /// A good token of the moment, by this key under this name.
    pub(crate) fn token(&self, key: Key, kid: &str) -> String {
        self.token_of(key, kid, NOW)
    }

    pub(crate) fn token_of(&self, key: Key, kid: &str, issued: Timestamp) -> String {
        key.sign(&header(key, kid), &claims(&self.url(), issued))
    }

    pub(crate) fn issuer(&self) -> JwtIssuer {
        Issuer::jwt(&self.url())
    }

    /// A resource server that takes its tokens.
    pub(crate) fn api(&self) -> Api {
        self.api_with(|issuer| issuer)
    }

    pub(crate) fn api_with(&self, more: impl FnOnce(JwtIssuer) -> JwtIssuer) -> Api {
        Api::of(|builder| builder.issuer(more(self.issuer())))
    }
}

async fn serve(state: Arc<State>, mut stream: TcpStream) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8(bytes).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    state.seen.lock().unwrap().push(request);
    let reply = state.replies.lock().unwrap().get(&path).cloned();
    let text = match reply {
        None => answer(404, &["content-type: text/html"], "<h1>Not found</h1>"),
        Some(Reply::Says(text)) => text,
        Some(Reply::Held(text)) => {
            state.gate.acquire().await.unwrap().forget();
            text
        }
        Some(Reply::HangsUp) => return,
    };
    // Who has heard enough hangs up.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A resource server, and its clock.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) server: ResourceServer,
    pub(crate) clock: ManualClock,
}

impl Api {
    pub(crate) fn of(more: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder) -> Self {
        let clock = ManualClock::new(NOW);
        let builder = ResourceServer::builder(LEDGER).clock(clock.clone());
        Self {
            server: more(builder).build().unwrap(),
            clock,
        }
    }

    pub(crate) async fn check(&self, token: &str) -> Result<AccessToken, Refusal> {
        let what = "what the resource server makes of a token";
        soon(what, self.server.authenticate(token)).await
    }

    pub(crate) async fn is_good(&self, token: &str) -> bool {
        self.check(token).await.is_ok()
    }

    /// That the token is a bad one, whoever asks.
    #[track_caller]
    pub(crate) fn is_invalid(&self, token: &str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let refused = self.check(token).await.unwrap_err();
            assert_eq!(refused, Refusal::InvalidToken, "{place}");
        }
    }

    /// That nobody can say whether the token is good: the caller is asked to come again, and hears nothing bad of the token.
    #[track_caller]
    pub(crate) fn is_unavailable(&self, token: &str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let answer = self.get(token).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{place}");
            assert!(answer.headers.contains_key("retry-after"), "{place}");
            let challenge = answer.headers.get("www-authenticate");
            assert!(
                challenge.is_none_or(|field| !field.to_str().unwrap().contains("error")),
                "{place}"
            );
        }
    }

    /// What a request with this token is answered.
    pub(crate) async fn get(&self, token: &str) -> Answer {
        let service = self.server.layer().layer(service_fn(
            async |_: Request<String>| -> Result<Response<String>, Infallible> {
                Ok(Response::new("let in".to_owned()))
            },
        ));
        let request = Request::get("/ledger").header("authorization", format!("Bearer {token}"));
        let request = request.body(String::new()).unwrap();
        let answer = soon("an answer", service.oneshot(request)).await;
        Answer::of(answer.unwrap()).await
    }

    pub(crate) fn advance(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    /// The same in small steps, so that what each brings about in the background has come to its end.
    pub(crate) async fn pass(&self, steps: u64, step: u64) {
        for _ in 0..steps {
            self.advance(step);
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        use tower_oauth::types::Clock as _;
        self.clock.now()
    }
}
