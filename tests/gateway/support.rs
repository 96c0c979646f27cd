//! A scripted issuer, a service that keeps what it was sent, and the gateway between them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, Method};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::example::Example;
use crate::waits::soon;

/// The secret of the gateway at the issuer.
pub(crate) const SECRET: &str = "s3cr3t-of-the-gateway";

/// Whom tokens are meant for.
pub(crate) const AUDIENCE: &str = "https://api.example/ledger";

/// The gateway, and what stands on both its sides.
pub(crate) struct World {
    pub(crate) gateway: Example,
    pub(crate) service: Service,
    issuer: Issuer,
}

impl World {
    /// With these flags besides; `/pub` needs no token.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let service = Service::start().await;
        let issuer = Issuer::start().await;
        let gateway = gateway(&service.base, &issuer.base, flags);
        issuer.token("alice", &json!({}));
        Self {
            gateway,
            service,
            issuer,
        }
    }

    pub(crate) fn base(&self) -> &str {
        self.gateway.base()
    }

    /// The URL of the issuer.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer.base
    }

    /// Makes a token: what the issuer says about `alice`, but for these members.
    pub(crate) fn token(&self, token: &str, members: &Value) {
        self.issuer.token(token, members);
    }

    /// A GET with this token, by a well-behaved client.
    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> reqwest::Response {
        let request = reqwest::Client::new().get(format!("{}{path}", self.base()));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        soon("an answer", request.send()).await.unwrap()
    }

    /// The answer to a request line and fields, as they stand, on a connection of their own.
    pub(crate) async fn raw(&self, line: &str, fields: &[&str]) -> String {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let request =
            format!("{line} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n{fields}\r\n");
        exchange(self.base(), request.as_bytes()).await
    }
}

/// Starts the gateway in front of this service, with tokens of this issuer.
pub(crate) fn gateway(service: &str, issuer: &str, flags: &[&str]) -> Example {
    let client = format!("gateway:{SECRET}");
    let mut arguments = vec!["--listen", "127.0.0.1:0", "--upstream", service];
    arguments.extend(["--introspect", issuer, "--client", &client]);
    arguments.extend(["--audience", AUDIENCE, "--public", "/pub"]);
    arguments.extend(flags);
    Example::start("gateway", &arguments)
}

/// Sends bytes, and reads all that comes until the other side closes.
pub(crate) async fn exchange(base: &str, request: &[u8]) -> String {
    let mut stream = connect(base).await;
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // `Connection: close` may not be among the fields, and then there is nothing to wait for after the first answer.
    while !is_whole(&answer) {
        let mut piece = [0; 4096];
        match soon("all of an answer", stream.read(&mut piece)).await {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) async fn connect(base: &str) -> TcpStream {
    let address = base.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// Whether that is an answer with all of its body, as its length says.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}

/// The status of an answer that was read as text.
pub(crate) fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1);
    status
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
        .parse()
        .unwrap()
}

/// A request as the service got it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.headers.get_all(name).iter();
        fields.map(|value| value.to_str().unwrap()).collect()
    }
}

/// The service behind the gateway: answers everything, and keeps what it was sent.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            seen: Arc::default(),
        };
        let app = Router::new().fallback(keep).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        service
    }

    /// What it was sent since the last time.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// The one request that it was sent since the last time.
    pub(crate) fn one(&self) -> Seen {
        let seen = self.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

async fn keep(State(service): State<Service>, request: Request) -> &'static str {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return "that was no request";
    };
    service.seen.lock().unwrap().push(Seen {
        method: parts.method,
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    "the service"
}

/// An issuer that says about each token what it was told to say.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) base: String,
    tokens: Arc<Mutex<HashMap<String, Value>>>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            tokens: Arc::default(),
        };
        let app = Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/introspect", post(introspect))
            .route("/jwks", get(jwks))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        issuer
    }

    pub(crate) fn token(&self, token: &str, members: &Value) {
        let mut said = json!({
            "active": true, "iss": self.base, "sub": "alice", "client_id": "app", "aud": AUDIENCE,
            "scope": "notes:read notes:write", "exp": 4_000_000_000_u64,
        });
        for (name, value) in members.as_object().unwrap() {
            said[name] = value.clone();
        }
        self.tokens.lock().unwrap().insert(token.to_owned(), said);
    }
}

/// A key that the issuer signs with.
fn key() -> EncodingKey {
    EncodingKey::from_ec_pem(include_bytes!("../it/keys/ec.pem")).unwrap()
}

impl Issuer {
    /// A JWT of this `typ`, for the gateway.
    pub(crate) fn jwt(&self, typ: &str) -> String {
        let claims = json!({
            "iss": self.base, "sub": "bob", "client_id": "app", "aud": AUDIENCE, "jti": "at-1", "iat": 1, "exp": 4_000_000_000_u64,
        });
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(typ.to_owned());
        header.kid = Some("ec".to_owned());
        jsonwebtoken::encode(&header, &claims, &key()).unwrap()
    }
}

async fn jwks() -> Json<Value> {
    let jwk = Jwk::from_encoding_key(&key(), Algorithm::ES256).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = "ec".into();
    Json(json!({ "keys": [jwk] }))
}

async fn metadata(State(issuer): State<Issuer>) -> Json<Value> {
    let base = &issuer.base;
    Json(json!({
        "issuer": base, "introspection_endpoint": format!("{base}/introspect"), "jwks_uri": format!("{base}/jwks"),
    }))
}

async fn introspect(
    State(issuer): State<Issuer>,
    Form(form): Form<HashMap<String, String>>,
) -> Json<Value> {
    let tokens = issuer.tokens.lock().unwrap();
    let said = tokens.get(&form["token"]).cloned();
    Json(said.unwrap_or_else(|| json!({"active": false})))
}
