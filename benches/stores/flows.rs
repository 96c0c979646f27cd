//! Callers that do one flow again and again, in process or over a connection of their own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tower::ServiceExt as _;

use crate::place::{CALLBACK, Endpoint, SECRET};

const VERIFIER: &str = "kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z";
const CHALLENGE: &str = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    ClientCredentials,
    Code,
    Refresh,
    Introspection,
}

impl Flow {
    pub(crate) const ALL: [Self; 4] = [
        Self::ClientCredentials,
        Self::Code,
        Self::Refresh,
        Self::Introspection,
    ];

    /// What its form is known by: the grant type, or the parameter that introspection alone has.
    pub(crate) const fn marker(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Code => "authorization_code",
            Self::Refresh => "refresh_token",
            Self::Introspection => "token",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client credentials",
            Self::Code => "code",
            Self::Refresh => "refresh",
            Self::Introspection => "introspection",
        }
    }
}

/// Whom a caller asks.
pub(crate) enum Ask {
    InProcess(Endpoint),
    Http(TcpStream),
}

impl Ask {
    pub(crate) async fn http(address: &str) -> Self {
        let connection = TcpStream::connect(address).await.unwrap();
        connection.set_nodelay(true).unwrap();
        Self::Http(connection)
    }

    async fn post(&mut self, path: &str, form: &str) -> Bytes {
        match self {
            Self::InProcess(endpoint) => {
                let request = Request::post(path)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(Full::from(form.to_owned()))
                    .unwrap();
                let response = endpoint.clone().oneshot(request).await.unwrap();
                assert_eq!(response.status(), 200, "{form}");
                response.into_body().collect().await.unwrap().to_bytes()
            }
            Self::Http(connection) => {
                let request = format!(
                    "POST {path} HTTP/1.1\r\nhost: as.example\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                     content-length: {}\r\n\r\n{form}",
                    form.len()
                );
                let answer = over(connection, &request).await;
                assert_eq!(answer.status(), 200, "{form}");
                answer.into_body()
            }
        }
    }

    pub(crate) async fn code(&mut self) -> String {
        let target = format!(
            "/auth/authorize?response_type=code&client_id=app&redirect_uri={CALLBACK}&scope=notes:read+offline_access\
             &code_challenge={CHALLENGE}&code_challenge_method=S256"
        );
        let location = match self {
            Self::InProcess(endpoint) => {
                let request = Request::get(target).body(Full::default()).unwrap();
                let answer = endpoint.clone().oneshot(request).await.unwrap();
                answer.headers()["location"].clone()
            }
            Self::Http(connection) => {
                let request = format!("GET {target} HTTP/1.1\r\nhost: as.example\r\n\r\n");
                let answer = over(connection, &request).await;
                answer.headers()["location"].clone()
            }
        };
        let url = url::Url::parse(location.to_str().unwrap()).unwrap();
        let code = url.query_pairs().find(|(name, _)| name == "code").unwrap();
        code.1.into_owned()
    }
}

/// One request over a connection that stays open.
async fn over(connection: &mut TcpStream, request: &str) -> Response<Bytes> {
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::with_capacity(2048);
    loop {
        let length = connection.read_buf(&mut read).await.unwrap();
        assert!(length > 0, "the server hung up");
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&read[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let mut response = Response::builder().status(status);
        let mut length = 0;
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            if name == "content-length" {
                length = value.parse().unwrap();
            }
            response = response.header(name, value);
        }
        if read.len() == end + 4 + length {
            let body = Bytes::copy_from_slice(&read[end + 4..]);
            return response.body(body).unwrap();
        }
    }
}

/// Somebody who does one flow.
pub(crate) struct Caller {
    ask: Ask,
    flow: Flow,
    /// What is asked next; codes are used up, tokens that are looked up take turns.
    forms: Vec<String>,
    turn: usize,
}

impl Caller {
    /// Makes what the flow needs, codes until then.
    pub(crate) async fn prepared(mut ask: Ask, flow: Flow, codes: Instant) -> Self {
        let mut forms = Vec::new();
        match flow {
            Flow::ClientCredentials => forms.push(format!(
                "grant_type=client_credentials&client_id=service&client_secret={SECRET}&scope=notes%3Aread"
            )),
            Flow::Code => {
                while forms.is_empty() || Instant::now() < codes {
                    consume_budget().await;
                    forms.push(redemption(&ask.code().await));
                }
            }
            Flow::Refresh => forms.push(refresh(&tokens(&mut ask).await)),
            Flow::Introspection => {
                for _ in 0..4 {
                    let answer = tokens(&mut ask).await;
                    let token = member(&answer, "access_token");
                    forms.push(format!("client_id=api&client_secret={SECRET}&token={token}"));
                }
            }
        }
        Self {
            ask,
            flow,
            forms,
            turn: 0,
        }
    }

    /// Does it once; `None` when there is nothing left to do it with.
    pub(crate) async fn step(&mut self) -> Option<Bytes> {
        let path = match self.flow {
            Flow::Introspection => "/auth/introspect",
            _ => "/auth/token",
        };
        match self.flow {
            Flow::Code => {
                let form = self.forms.pop()?;
                Some(self.ask.post(path, &form).await)
            }
            Flow::Refresh => {
                let answer = self.ask.post(path, &self.forms[0]).await;
                self.forms[0] = refresh(&answer);
                Some(answer)
            }
            Flow::ClientCredentials | Flow::Introspection => {
                self.turn += 1;
                let form = &self.forms[self.turn % self.forms.len()];
                let answer = self.ask.post(path, form).await;
                assert!(!answer.starts_with(b"{\"active\":false"), "it is live");
                Some(answer)
            }
        }
    }
}

async fn tokens(ask: &mut Ask) -> Bytes {
    let code = ask.code().await;
    ask.post("/auth/token", &redemption(&code)).await
}

fn redemption(code: &str) -> String {
    format!(
        "grant_type=authorization_code&client_id=app&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
    )
}

fn refresh(answer: &[u8]) -> String {
    let token = member(answer, "refresh_token");
    format!("grant_type=refresh_token&client_id=app&refresh_token={token}")
}

fn member(answer: &[u8], name: &str) -> String {
    let json: serde_json::Value = serde_json::from_slice(answer).unwrap();
    json[name].as_str().unwrap().to_owned()
}

/// Answers a second, by so many callers together, each of whom asks again as soon as it is answered.
pub(crate) async fn rate(asks: Vec<Ask>, flow: Flow, lasts: Duration) -> f64 {
    let begun = Instant::now();
    let mut preparing = JoinSet::new();
    for ask in asks {
        preparing.spawn(Caller::prepared(ask, flow, begun + lasts));
    }
    let callers = preparing.join_all().await;
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for mut caller in callers {
        asking.spawn(async move {
            let mut answers = 0;
            while begun.elapsed() < lasts && caller.step().await.is_some() {
                answers += 1;
                // A store in memory never waits: let the others have their turn.
                consume_budget().await;
            }
            // Who runs out of codes does not keep others waiting.
            (answers, begun.elapsed().as_secs_f64())
        });
    }
    let done = asking.join_all().await;
    done.into_iter()
        .map(|(answers, seconds)| f64::from(answers) / seconds)
        .sum()
}
