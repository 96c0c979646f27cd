//! An issuer that says what it is told to say, on a socket of its own, and a resource server that asks it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::resource::{AccessToken, OpaqueIssuer, Refusal, ResourceServerBuilder};
use tower_oauth::types::ManualClock;
use tower_oauth::{Issuer, ResourceServer};

use crate::support::{Answer, ISSUER, LEDGER, NOW};
use crate::waits::soon;
use crate::watch;

pub(crate) const API_SECRET: &str = "s3cret+with %/:chars";

/// Reads requests and writes answers byte for byte. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<State>);

struct State {
    address: SocketAddr,
    next: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Reply>,
    seen: Mutex<Vec<String>>,
    arrived: Semaphore,
    gate: Semaphore,
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Says(String),
    /// The same, once it is [let go](Scripted::let_go).
    Held(String),
    /// It closes the connection.
    HangsUp,
}

/// An answer of this status, with these lines of header.
pub(crate) fn answer(status: u16, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Scripted\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A 200 with this body as JSON.
pub(crate) fn says(body: &str) -> Reply {
    Reply::Says(answer(200, &["content-type: application/json"], body))
}

/// A status, and nothing else of use.
pub(crate) fn status(status: u16, headers: &[&str]) -> Reply {
    Reply::Says(answer(status, headers, ""))
}

/// What is said of a good token, but for these members.
pub(crate) fn active_with(members: &Value) -> String {
    let mut answer = json!({
        "active": true, "sub": "usr_50317", "client_id": "cl_web_204", "scope": "ledger.read", "aud": LEDGER, "iss": ISSUER,
        "token_type": "Bearer", "exp": NOW.as_secs() + 900, "iat": NOW.as_secs(), "jti": "at-6f2c1d",
    });
    for (name, value) in members.as_object().unwrap() {
        match value {
            Value::Null => answer.as_object_mut().unwrap().remove(name),
            value => answer
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    answer.to_string()
}

pub(crate) fn active() -> Reply {
    says(&active_with(&json!({})))
}

impl Scripted {
    /// One that says that tokens are good.
    pub(crate) async fn start() -> Self {
        watch::start();
        watch::secret("client_secret", API_SECRET);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            address: listener.local_addr().unwrap(),
            next: Mutex::default(),
            otherwise: Mutex::new(active()),
            seen: Mutex::default(),
            arrived: Semaphore::new(0),
            gate: Semaphore::new(0),
        });
        let scripted = Self(Arc::clone(&state));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&state), stream));
            }
        });
        scripted
    }

    /// What it says to the next request that nothing else is kept for.
    pub(crate) fn then(&self, reply: Reply) -> &Self {
        self.0.next.lock().unwrap().push_back(reply);
        self
    }

    /// What it says to all the others.
    pub(crate) fn always(&self, reply: Reply) -> &Self {
        *self.0.otherwise.lock().unwrap() = reply;
        self
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/introspect", self.0.address)
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.seen.lock().unwrap().len()
    }

    /// The last request, as it came.
    pub(crate) fn seen(&self) -> String {
        self.0.seen.lock().unwrap().last().unwrap().clone()
    }

    /// Waits until so many further requests have come.
    pub(crate) async fn arrived(&self, count: u32) {
        let came = soon("requests", self.0.arrived.acquire_many(count)).await;
        came.unwrap().forget();
    }

    /// Answers so many that are held.
    pub(crate) fn let_go(&self, count: usize) {
        self.0.gate.add_permits(count);
    }

    /// A resource server that asks it, with further settings.
    pub(crate) fn api_with(&self, more: impl FnOnce(OpaqueIssuer) -> OpaqueIssuer) -> Api {
        self.api_of(|builder| builder, more)
    }

    pub(crate) fn api_of(
        &self,
        server: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder,
        issuer: impl FnOnce(OpaqueIssuer) -> OpaqueIssuer,
    ) -> Api {
        let clock = ManualClock::new(NOW);
        let settings = Issuer::opaque(ISSUER)
            .client("rs ledger", API_SECRET)
            .endpoint(self.endpoint());
        let builder = ResourceServer::builder(LEDGER)
            .issuer(issuer(settings))
            .clock(clock.clone());
        Api {
            server: server(builder).build().unwrap(),
            clock,
        }
    }

    pub(crate) fn api(&self) -> Api {
        self.api_with(|issuer| issuer)
    }
}

async fn serve(state: Arc<State>, mut stream: TcpStream) {
    let mut bytes = Vec::new();
    while !is_whole(&bytes) {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8(bytes).unwrap();
    state.seen.lock().unwrap().push(request);
    let next = state.next.lock().unwrap().pop_front();
    let reply = next.unwrap_or_else(|| state.otherwise.lock().unwrap().clone());
    state.arrived.add_permits(1);
    let text = match reply {
        Reply::Says(text) => text,
        Reply::Held(text) => {
            state.gate.acquire().await.unwrap().forget();
            text
        }
        Reply::HangsUp => return,
    };
    // Who has heard enough hangs up.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Whether the head and as much of a body as it announces are there.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}

/// A resource server, and its clock.
pub(crate) struct Api {
    pub(crate) server: ResourceServer,
    pub(crate) clock: ManualClock,
}

impl Api {
    pub(crate) async fn check(&self, token: &str) -> Result<AccessToken, Refusal> {
        watch::secret("token", token);
        let what = "what the resource server makes of a token";
        soon(what, self.server.authenticate(token)).await
    }

    #[track_caller]
    pub(crate) fn advance(&self, secs: u64) {
        self.clock.advance(std::time::Duration::from_secs(secs));
    }

    /// What a request with this token is answered.
    pub(crate) async fn get(&self, token: &str) -> Answer {
        watch::secret("token", token);
        let service = self.server.layer().layer(service_fn(
            async |_: Request<String>| -> Result<Response<String>, std::convert::Infallible> {
                Ok(Response::new("let in".to_owned()))
            },
        ));
        let request = Request::get("/ledger").header("authorization", format!("Bearer {token}"));
        let request = request.body(String::new()).unwrap();
        let answer = soon("an answer", service.oneshot(request)).await;
        Answer::of(answer.unwrap()).await
    }

    /// That nobody can say whether this token is good: the caller is asked to come again, and hears nothing bad of the token (V29).
    pub(crate) async fn is_unavailable(&self, token: &str, why: &str) {
        let answer = self.get(token).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{why}");
        assert!(answer.headers.contains_key("retry-after"), "{why}");
        let challenge = answer.headers.get("www-authenticate");
        assert!(
            challenge.is_none_or(|field| !field.to_str().unwrap().contains("error")),
            "{why}: {answer:?}"
        );
        assert!(!answer.text().contains("invalid_token"), "{why}");
    }
}
