//! A server whose clock stands still, and what holds of all its answers.

use std::cell::RefCell;
use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use tower_oauth::server::{AuthorizationServerBuilder, Limit, Registration};
use tower_oauth::types::{Client, GrantType, Introspects, ManualClock, Secret, Subject, Timestamp};
use tower_oauth::{AuthorizationServer, MemoryStore};

pub const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);
pub const CALLBACK: &str = "https://app.harbor.test/cb";
pub const RESOURCE: &str = "https://auth.harbor.test/ledger";
pub const CHALLENGE: &str = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";
/// As long as a generated one: a shorter one would cost a slow digest each time.
pub const SECRET: &str = "web-secret-0123456789-0123456789-0123456789";

/// Runs to its end what needs a runtime. Servers leave tasks behind that sleep by a clock which stands still: the runtime that holds
/// them is made anew from time to time.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: RefCell<Option<(Runtime, u32)>> = const { RefCell::new(None) };
    }
    let make = || Builder::new_current_thread().enable_time().build().unwrap();
    let kept = RUNTIME.take().filter(|(_, runs)| *runs < 1000);
    let (runtime, runs) = kept.unwrap_or_else(|| (make(), 0));
    let done = runtime.block_on(work);
    RUNTIME.set(Some((runtime, runs + 1)));
    done
}

/// A builder with a resource, scopes and open registration; who asks and who logs in is up to the target.
pub fn builder() -> AuthorizationServerBuilder {
    let much = Limit::per_minute(u32::MAX, u32::MAX);
    AuthorizationServer::builder("https://auth.harbor.test")
        .store(MemoryStore::new())
        .clock(ManualClock::new(NOW))
        .resource(RESOURCE, ["ledger.read", "ledger.write"])
        .scopes(["offline_access"])
        .default_scope("ledger.read")
        .registration(Registration::open().limited_to(much))
}

/// The login of most targets: who is signed in says the header `x-user`.
pub fn with_login(builder: AuthorizationServerBuilder) -> AuthorizationServer {
    let login = |parts: &http::request::Parts| {
        let user = parts.headers.get("x-user")?.to_str().ok()?;
        Subject::new(user).ok()
    };
    builder.login("/login", login).build().unwrap()
}

/// `app` (public), `web` (confidential, three redirection URIs) and `all` (confidential, introspects everything).
pub async fn create_clients(oauth: &AuthorizationServer) {
    let confidential = |id: &str| Client::confidential(id.parse().unwrap(), &Secret::new(SECRET));
    let clients = [
        Client::public("app".parse().unwrap()).redirect_uri(CALLBACK.parse().unwrap()),
        confidential("web")
            .redirect_uri("https://web.harbor.test/cb?to=home".parse().unwrap())
            .redirect_uri("http://127.0.0.1/cb".parse().unwrap())
            .redirect_uri("com.harbor.web:/cb".parse().unwrap())
            .grant_types([GrantType::AuthorizationCode, GrantType::ClientCredentials]),
        confidential("all")
            .grant_types([])
            .introspects(Introspects::Everything),
    ];
    for client in clients {
        oauth.clients().create(client).await.unwrap();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn of<B>(response: Response<B>) -> Self
    where
        B: http_body::Body,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (status, headers) = (parts.status, parts.headers);
        Self {
            status,
            headers,
            body,
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The error code of a JSON answer.
    pub fn error(&self) -> Option<String> {
        Some(self.json()["error"].as_str()?.to_owned())
    }

    pub fn location(&self) -> Option<&str> {
        Some(self.headers.get("location")?.to_str().unwrap())
    }

    /// A parameter of the address that the browser is sent to.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.location()?.split_once('?')?;
        let mut values =
            url::form_urlencoded::parse(query.as_bytes()).filter(|pair| pair.0 == name);
        let first = values.next().map(|(_, value)| value.into_owned());
        assert!(values.next().is_none(), "{name} stands twice in {self:?}");
        first
    }

    /// A hidden field of the page's form.
    pub fn hidden(&self, name: &str) -> Option<String> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let (_, rest) = text.split_once(&format!("name=\"{name}\""))?;
        let (_, value) = rest.split_once("value=\"")?;
        Some(value.split('"').next()?.to_owned())
    }
}

/// Sends a request, and checks what holds of every answer: a status that we mean, JSON that is JSON, nothing kept by caches, and a
/// browser that is sent to a registered address or a path of ours alone.
pub async fn send(oauth: &AuthorizationServer, request: Request<Full<Bytes>>) -> Answer {
    let answer = Answer::of(oauth.service().oneshot(request).await.unwrap()).await;
    let known = [200, 201, 204, 303, 400, 401, 403, 404, 405, 413, 429];
    assert!(known.contains(&answer.status.as_u16()), "{answer:?}");
    let media_type = answer
        .headers
        .get("content-type")
        .map(|value| value.to_str().unwrap());
    if media_type == Some("application/json") && !answer.body.is_empty() {
        let json = answer.json();
        assert!(
            answer.status.is_success() || json["error"].is_string(),
            "{answer:?}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let Some(location) = answer.location() else {
        assert!(!answer.status.is_redirection(), "{answer:?}");
        return answer;
    };
    assert_eq!(answer.status, 303, "{answer:?}");
    if location.starts_with('/') {
        assert!(
            !location.starts_with("//") && !location.contains('\\'),
            "{answer:?}"
        );
        return answer;
    }
    // Where the parameters begin, a registered query that has such words in a value leaves open: one of the places must fit. An
    // address that ends in an empty query keeps its question mark, and the parameters follow it.
    let marks = ["?code=", "&code=", "?error=", "&error="];
    let begins = marks.iter().flat_map(|mark| location.match_indices(mark));
    let clients = oauth.clients().list().await.unwrap();
    let is_registered = |address: &str| {
        let mut registered = clients.iter().flat_map(Client::redirect_uris);
        registered.any(|uri| uri.matches(address))
    };
    let fits = |at: usize| is_registered(&location[..at]) || is_registered(&location[..=at]);
    assert!(begins.map(|(at, _)| at).any(fits), "{answer:?}");
    answer
}

/// A form as it is posted.
pub async fn post(
    oauth: &AuthorizationServer,
    path: &str,
    headers: &[(&str, &str)],
    form: impl Into<Bytes>,
) -> Answer {
    let mut request =
        Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(oauth, request.body(Full::new(form.into())).unwrap()).await
}

/// An `Authorization` header in which neither needs an escape.
pub fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    format!("Basic {pair}")
}

/// The parameters as `url` reads them; `None` where it would guess: a broken escape, bytes that are no UTF-8 (as they stand, or decoded), a
/// NUL, or too many.
pub fn well_formed(text: &[u8]) -> Option<Vec<(String, String)>> {
    std::str::from_utf8(text).ok()?;
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' && !(rest.next()?.is_ascii_hexdigit() && rest.next()?.is_ascii_hexdigit())
        {
            return None;
        }
    }
    for part in text.split(|byte| matches!(byte, b'&' | b'=')) {
        let decoded = percent_encoding::percent_decode(part).decode_utf8().ok()?;
        if decoded.contains('\0') {
            return None;
        }
    }
    let pairs: Vec<_> = url::form_urlencoded::parse(text).into_owned().collect();
    (pairs.len() <= 64).then_some(pairs)
}

/// The values of a parameter.
pub fn values<'a>(pairs: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let named = pairs.iter().filter(|pair| pair.0 == name);
    named.map(|pair| &*pair.1).collect()
}

/// The input with `TOKEN` in place of which the secret stands that no fuzzer can guess.
pub fn with_token(data: &[u8], token: &str) -> Vec<u8> {
    let mut filled = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"TOKEN") {
            filled.extend_from_slice(token.as_bytes());
            rest = after;
        } else {
            filled.push(*first);
            rest = after;
        }
    }
    filled
}

/// An access token of `web`, for itself.
pub async fn access_token(oauth: &AuthorizationServer) -> String {
    let header = basic("web", SECRET);
    let form = "grant_type=client_credentials&scope=ledger.read";
    let answer = post(oauth, "/auth/token", &[("authorization", &header)], form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}
