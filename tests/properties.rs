//! What holds of all input: nothing panics, what parses prints itself, and a refresh family and a device do what a model says.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use serde_json::Value;
use tower::ServiceExt as _;
use tower_oauth::server::{Limit, Registration};
use tower_oauth::types::{
    Client, ClientId, CodeChallenge, CodeVerifier, GrantType, IssuerUrl, ManualClock, RedirectUri,
    ResourceUri, Scope, ScopeToken, Secret, Subject, Timestamp,
};
use tower_oauth::{AuthorizationServer, MemoryStore};

const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);
const CALLBACK: &str = "https://app.harbor.test/cb";
const VERIFIER: &str = "kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z";
const CHALLENGE: &str = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";

/// Text of all kinds, and text that is nearly what some parser takes.
fn text() -> impl Strategy<Value = String> {
    let uri = "(https|http|com\\.app|HTTPS|urn)(:|:/|://)(a\\.test|127\\.0\\.0\\.1|\\[::1\\]|localhost|u@h)?(:[0-9]{0,6})?(/[a-z%.]{0,6})?(\\?[a-z=&]{0,9})?#?";
    prop_oneof![
        any::<String>(),
        "[ -~]{0,80}",
        "[A-Za-z0-9_-]{42,44}",
        "[A-Za-z0-9._~-]{40,130}",
        "([a-z.:]{1,9} {1,2}){0,5}",
        uri,
    ]
}

/// What parses prints itself.
fn is_kept<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

/// What parses is the same after it was printed and parsed again, though it may be written otherwise.
fn is_stable<T: FromStr + Display + PartialEq>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let printed = value.to_string();
    let again = printed.parse::<T>();
    assert!(again.is_ok_and(|again| again == value && again.to_string() == printed));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_parses_prints_itself(text in text()) {
        is_kept::<RedirectUri>(&text);
        is_kept::<IssuerUrl>(&text);
        is_kept::<ResourceUri>(&text);
        is_kept::<ClientId>(&text);
        is_kept::<ScopeToken>(&text);
        // A scope is a set: order, repeats and further spaces are not kept.
        is_stable::<Scope>(&text);
        if let Ok(subject) = Subject::new(text.as_str()) {
            prop_assert_eq!(subject.as_str(), &text);
        }
        if let Ok(grant_type) = text.parse::<GrantType>() {
            prop_assert_eq!(grant_type.as_str(), &text);
        }
        if let Ok(challenge) = text.parse::<CodeChallenge>() {
            prop_assert_eq!(String::from(challenge), text.as_str());
        }
        let _ = text.parse::<CodeVerifier>();
        if let Ok(uri) = text.parse::<RedirectUri>() {
            prop_assert!(uri.matches(&text));
        }
    }

    #[test]
    fn two_redirection_uris_match_both_ways_or_not_at_all(one in text(), other in text()) {
        if let (Ok(ours), Ok(theirs)) = (one.parse::<RedirectUri>(), other.parse::<RedirectUri>()) {
            prop_assert_eq!(ours.matches(&other), theirs.matches(&one));
            prop_assert!(one == other || !ours.matches(&other) || ours.is_loopback());
        }
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(work)
}

async fn server(now: Timestamp) -> (AuthorizationServer, ManualClock) {
    let clock = ManualClock::new(now);
    let many = Limit::per_minute(u32::MAX, u32::MAX);
    let oauth = AuthorizationServer::builder("https://auth.harbor.test")
        .store(MemoryStore::new())
        .clock(clock.clone())
        .resource("https://auth.harbor.test/ledger", ["ledger.read"])
        .default_scope("ledger.read")
        .registration(Registration::open().limited_to(many))
        .login("/login", |parts| {
            Subject::new(parts.headers.get("x-user")?.to_str().ok()?).ok()
        })
        .build()
        .unwrap();
    use GrantType::{AuthorizationCode, ClientCredentials, DeviceCode, RefreshToken};
    let app = Client::public("app".parse().unwrap())
        .redirect_uri(CALLBACK.parse().unwrap())
        .grant_types([AuthorizationCode, DeviceCode, RefreshToken]);
    let web = Client::confidential("web".parse().unwrap(), &Secret::new("s"))
        .grant_types([ClientCredentials]);
    let other = Client::public("other".parse().unwrap()).grant_types([RefreshToken]);
    let stranger = Client::public("stranger".parse().unwrap()).grant_types([DeviceCode]);
    for client in [app, web, other, stranger] {
        oauth.clients().create(client).await.unwrap();
    }
    (oauth, clock)
}

/// Status, `Location` and body; what holds of every answer is checked on the way.
async fn send(
    oauth: &AuthorizationServer,
    request: Request<Full<Bytes>>,
) -> (u16, Option<String>, Value) {
    let answer = oauth.service().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let status = parts.status.as_u16();
    let known = [200, 201, 204, 303, 400, 401, 403, 404, 405, 413, 429];
    assert!(known.contains(&status), "{parts:?}");
    let location = parts
        .headers
        .get("location")
        .map(|value| value.to_str().unwrap().to_owned());
    if let Some(location) = &location {
        let own = location.starts_with('/') && !location.starts_with("//");
        assert!(
            own || location
                .strip_prefix(CALLBACK)
                .is_some_and(|rest| rest.starts_with('?')),
            "{location}"
        );
    }
    let is_json = parts
        .headers
        .get("content-type")
        .is_some_and(|value| value == "application/json");
    let json = if is_json && !body.is_empty() {
        serde_json::from_slice(&body).unwrap()
    } else {
        Value::Null
    };
    if is_json && status >= 400 && !body.is_empty() {
        let codes = [
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "unauthorized_client",
            "invalid_scope",
            "invalid_target",
            "unsupported_grant_type",
            "unsupported_token_type",
            "invalid_token",
            "authorization_pending",
            "slow_down",
            "access_denied",
            "expired_token",
            "invalid_redirect_uri",
            "invalid_client_metadata",
            "temporarily_unavailable",
        ];
        assert!(
            json["error"]
                .as_str()
                .is_some_and(|code| codes.contains(&code)),
            "{json}"
        );
    }
    (status, location, json)
}

async fn post(oauth: &AuthorizationServer, path: &str, form: String) -> (u16, Value) {
    let request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-user", "alice")
        .header("sec-fetch-site", "same-origin");
    let (status, _, json) = send(oauth, request.body(Full::from(form)).unwrap()).await;
    (status, json)
}

const PATHS: [&str; 8] = [
    "/.well-known/oauth-authorization-server",
    "/auth/authorize",
    "/auth/token",
    "/auth/device",
    "/device",
    "/auth/introspect",
    "/auth/revoke",
    "/auth/register",
];

/// Parameters that mean something, with values that nearly do.
fn parameters() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "client_id",
        "client_secret",
        "grant_type",
        "code",
        "redirect_uri",
        "code_verifier",
        "refresh_token",
        "device_code",
        "user_code",
        "token",
        "response_type",
        "code_challenge",
        "code_challenge_method",
        "scope",
        "resource",
        "state",
        "interaction",
        "csrf",
        "decision",
        "x",
    ]);
    let values = prop_oneof![
        prop::sample::select(vec![
            "app",
            "web",
            "s",
            "code",
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "S256",
            "allow",
            "https%3A%2F%2Fapp.harbor.test%2Fcb",
            "ledger.read",
            CHALLENGE,
            "",
        ])
        .prop_map(str::to_owned),
        "[A-Za-z0-9%+_.~-]{0,50}",
    ];
    prop::collection::vec((names, values), 0..8).prop_map(|pairs| {
        pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("&")
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = "\\{(\"(redirect_uris|grant_types|client_name|scope|jwks)\":(\\[\"https://a.test/cb\"\\]|\"x\"|1|null|\\{\\}),?){0,4}\\}";
    prop_oneof![
        parameters().prop_map(String::into_bytes),
        json.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// At any moment, the first and the last included.
    #[test]
    fn s21_every_endpoint_answers_whatever_it_is_sent(
        path in prop::sample::select(PATHS.to_vec()),
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT]),
        query in prop_oneof![parameters(), "[!-~&&[^#]]{0,60}"],
        body in body(),
        media_type in prop::sample::select(vec!["application/x-www-form-urlencoded", "application/json", "x"]),
        authorization in prop::option::of(prop_oneof!["Basic [A-Za-z0-9+/]{0,20}={0,2}", "Bearer [!-~]{0,20}", "[ -~]{0,30}"]),
        user in prop::option::of("[a-z]{1,5}"),
        now in prop_oneof![Just(0), Just(u64::MAX), Just(NOW.as_secs()), any::<u64>()],
    ) {
        let mut request = Request::builder().method(method).uri(format!("{path}?{query}")).header("content-type", media_type);
        for (name, value) in [("authorization", authorization), ("x-user", user)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let Ok(request) = request.body(Full::from(body)) else { return Ok(()) };
        run(async {
            let (oauth, _) = server(Timestamp::from_secs(now)).await;
            send(&oauth, request).await;
        });
    }

    #[test]
    fn s21_extreme_lifetimes_are_refused_or_work(seconds in prop_oneof![Just(0), Just(u64::MAX), 0..5_000_u64, any::<u64>()]) {
        let time = Duration::from_secs(seconds);
        let built = AuthorizationServer::builder("https://auth.harbor.test")
            .clock(ManualClock::new(Timestamp::MAX))
            .authorization_code_lifetime(time)
            .access_token_lifetime(time)
            .refresh_token_lifetime(time)
            .device_code_lifetime(time)
            .device_interval(time)
            .interaction_lifetime(time)
            .build();
        prop_assert!(built.is_err() == (seconds != 60));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// RFC 8628 §3.5 as a model: the interval grows by five seconds with each poll that comes too soon, to a minute at most, and is
    /// kept; after ten minutes the code has expired.
    #[test]
    fn rfc8628_3_5_polls_are_answered_as_the_model_says(waits in prop::collection::vec(0..90_u64, 1..25)) {
        run(async {
            let (oauth, clock) = server(NOW).await;
            let (status, device) = post(&oauth, "/auth/device", "client_id=app".to_owned()).await;
            assert_eq!(status, 200);
            let code = device["device_code"].as_str().unwrap();
            let (mut interval, mut last, mut now) = (5, None, 0);
            for wait in waits {
                clock.advance(Duration::from_secs(wait));
                now += wait;
                let too_soon = last.is_some_and(|last| now - last < interval);
                let expected = match too_soon {
                    _ if now >= 1200 => "invalid_grant", // the record is forgotten ten minutes after that
                    _ if now >= 600 => "expired_token",
                    true => "slow_down",
                    false => "authorization_pending",
                };
                if too_soon {
                    interval = (interval + 5).min(60);
                }
                last = Some(now);
                let form = format!("grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=app&device_code={code}");
                let (status, told) = post(&oauth, "/auth/token", form).await;
                assert_eq!((status, told["error"].as_str()), (400, Some(expected)));
            }
        });
    }
}

/// RFC 6749 §6, RFC 9700 §4.14.2 as a model: what a refresh family has given out, the last of it being the head.
struct Family {
    tokens: Vec<String>,
    rotated_at: u64,
    idle_until: u64,
    revoked: bool,
}

const IDLE: u64 = 14 * 24 * 3600;
const END: u64 = 90 * 24 * 3600;
const WINDOW: u64 = 30;

#[derive(Debug, PartialEq)]
enum Expected {
    New,
    /// The same successor as before.
    Head,
    Invalid,
}

impl Family {
    /// The token that many generations ago, right or with a wrong tail, at this moment.
    fn present(&mut self, ago: usize, forged: bool, now: u64) -> Expected {
        let idle = now >= self.idle_until;
        if self.revoked || now >= END || (ago < 2 && forged) || (ago == 0 && idle) {
            return Expected::Invalid;
        }
        if ago == 0 {
            (self.rotated_at, self.idle_until) = (now, END.min(now + IDLE));
            return Expected::New;
        }
        if ago == 1 && now - self.rotated_at < WINDOW && !idle {
            return Expected::Head;
        }
        self.revoked = true;
        Expected::Invalid
    }
}

#[derive(Debug, Clone)]
enum Step {
    Present {
        ago: usize,
        forged: bool,
        stranger: bool,
    },
    Advance(u64),
    Revoke,
    RevokeSubject,
}

fn step() -> impl Strategy<Value = Step> {
    let present = (
        prop::sample::select(vec![0, 0, 0, 1, 1, 2, 3]),
        prop::bool::weighted(0.2),
    );
    let spans = vec![
        0,
        1,
        WINDOW - 1,
        WINDOW,
        WINDOW + 1,
        3600,
        IDLE - 1,
        IDLE,
        IDLE / 2,
    ];
    prop_oneof![
        12 => (present, prop::bool::weighted(0.1))
            .prop_map(|((ago, forged), stranger)| Step::Present { ago, forged, stranger }),
        8 => prop::sample::select(spans).prop_map(Step::Advance),
        1 => Just(Step::Revoke),
        1 => Just(Step::RevokeSubject),
    ]
}

/// The interaction and the proof in the form of alice's page at this place.
async fn page(oauth: &AuthorizationServer, target: &str) -> (String, String) {
    let request = Request::get(target).header("x-user", "alice");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let answer = oauth.service().oneshot(request).await.unwrap();
    let page = answer.into_body().collect().await.unwrap().to_bytes();
    let page = std::str::from_utf8(&page).unwrap();
    let field = |name: &str| {
        let (_, rest) = page.split_once(&format!("name=\"{name}\"")).unwrap();
        let (_, value) = rest.split_once("value=\"").unwrap();
        value.split('"').next().unwrap().to_owned()
    };
    (field("interaction"), field("csrf"))
}

/// Where alice is sent by a form of hers, if she is sent anywhere.
async fn submit(oauth: &AuthorizationServer, path: &str, form: String) -> Option<String> {
    let request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-user", "alice")
        .header("sec-fetch-site", "same-origin");
    let (_, location, _) = send(oauth, request.body(Full::from(form)).unwrap()).await;
    location
}

async fn decide(
    oauth: &AuthorizationServer,
    (interaction, csrf): &(String, String),
    decision: &str,
) -> Option<String> {
    let form = format!("interaction={interaction}&csrf={csrf}&decision={decision}");
    submit(oauth, "/auth/authorize", form).await
}

/// The first refresh token of a new grant of alice.
async fn first_refresh_token(oauth: &AuthorizationServer) -> String {
    let target = format!(
        "/auth/authorize?response_type=code&client_id=app&code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    let page = page(oauth, &target).await;
    let location = decide(oauth, &page, "allow").await.unwrap();
    let (_, code) = location.split_once("?code=").unwrap();
    let code = code.split('&').next().unwrap();
    let form =
        format!("grant_type=authorization_code&client_id=app&code={code}&code_verifier={VERIFIER}");
    let (status, told) = post(oauth, "/auth/token", form).await;
    assert_eq!(status, 200, "{told}");
    told["refresh_token"].as_str().unwrap().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s05_a_refresh_family_does_what_the_model_says(steps in prop::collection::vec(step(), 1..30)) {
        run(async {
            let (oauth, clock) = server(NOW).await;
            let first = first_refresh_token(&oauth).await;
            let mut family = Family { tokens: vec![first], rotated_at: 0, idle_until: IDLE, revoked: false };
            let mut now = 0;
            for step in steps {
                let (ago, forged, stranger) = match step {
                    Step::Advance(seconds) => {
                        clock.advance(Duration::from_secs(seconds));
                        now += seconds;
                        continue;
                    }
                    Step::Revoke => {
                        let form = format!("client_id=app&token={}", family.tokens.last().unwrap());
                        assert_eq!(post(&oauth, "/auth/revoke", form).await.0, 200);
                        family.revoked = true;
                        continue;
                    }
                    Step::RevokeSubject => {
                        oauth.grants().revoke_all_of_subject(&Subject::new("alice").unwrap()).await.unwrap();
                        family.revoked = true;
                        continue;
                    }
                    Step::Present { ago, forged, stranger } => (ago, forged, stranger),
                };
                let Some(at) = family.tokens.len().checked_sub(ago + 1) else { continue };
                let mut token = family.tokens[at].clone();
                if forged {
                    let other = if token.as_bytes()[token.len() - 9] == b'A' { "B" } else { "A" };
                    token.replace_range(token.len() - 9..token.len() - 8, other);
                }
                // Another client's attempt changes nothing.
                let (client, expected) = if stranger {
                    ("other", Expected::Invalid)
                } else {
                    ("app", family.present(ago, forged, now))
                };
                let form = format!("grant_type=refresh_token&client_id={client}&refresh_token={token}");
                let (status, told) = post(&oauth, "/auth/token", form).await;
                let given = told["refresh_token"].as_str();
                match expected {
                    Expected::Invalid => assert_eq!((status, told["error"].as_str()), (400, Some("invalid_grant"))),
                    Expected::Head => assert_eq!((status, given), (200, family.tokens.last().map(String::as_str))),
                    Expected::New => {
                        let given = given.unwrap().to_owned();
                        assert!(status == 200 && !family.tokens.contains(&given));
                        family.tokens.push(given);
                    }
                }
            }
        });
    }
}

/// RFC 8628 §3.3 to §3.5 as a model: what becomes of a device record.
#[derive(Debug, Clone, Copy, PartialEq)]
enum DeviceModel {
    Pending,
    Approved,
    /// Approved, and then all of alice's was revoked.
    Dead,
    Denied,
    Redeemed,
}

#[derive(Debug, Clone)]
enum DeviceStep {
    Poll {
        stranger: bool,
    },
    Advance(u64),
    /// In one of two tabs.
    Decide {
        tab: usize,
        yes: bool,
    },
    RevokeSubject,
}

fn device_step() -> impl Strategy<Value = DeviceStep> {
    let spans = vec![1, 4, 5, 10, 60, 299, 600];
    prop_oneof![
        8 => prop::bool::weighted(0.2).prop_map(|stranger| DeviceStep::Poll { stranger }),
        6 => prop::sample::select(spans).prop_map(DeviceStep::Advance),
        4 => (0..2_usize, any::<bool>()).prop_map(|(tab, yes)| DeviceStep::Decide { tab, yes }),
        1 => Just(DeviceStep::RevokeSubject),
    ]
}

impl DeviceModel {
    fn poll(&mut self, now: u64, too_soon: bool) -> Option<&'static str> {
        match self {
            _ if now >= 1200 => Some("invalid_grant"), // forgotten
            Self::Redeemed => Some("invalid_grant"),
            Self::Denied => Some("access_denied"),
            _ if now >= 600 => Some("expired_token"),
            Self::Dead => {
                *self = Self::Redeemed; // it is used up, though nothing comes of it
                Some("invalid_grant")
            }
            Self::Pending if too_soon => Some("slow_down"),
            Self::Pending => Some("authorization_pending"),
            Self::Approved => {
                *self = Self::Redeemed;
                None
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s07_a_device_record_does_what_the_model_says(steps in prop::collection::vec(device_step(), 1..25)) {
        run(async {
            let (oauth, clock) = server(NOW).await;
            let (_, told) = post(&oauth, "/auth/device", "client_id=app".to_owned()).await;
            let (code, user_code) = (told["device_code"].as_str().unwrap(), told["user_code"].as_str().unwrap());
            let mut tabs = Vec::new();
            for _ in 0..2 {
                let place = submit(&oauth, "/device", format!("user_code={user_code}")).await.unwrap();
                tabs.push(page(&oauth, &place).await);
            }
            let mut device = DeviceModel::Pending;
            let (mut interval, mut last, mut now) = (5, None, 0);
            for step in steps {
                match step {
                    DeviceStep::Advance(seconds) => {
                        clock.advance(Duration::from_secs(seconds));
                        now += seconds;
                    }
                    DeviceStep::RevokeSubject => {
                        oauth.grants().revoke_all_of_subject(&Subject::new("alice").unwrap()).await.unwrap();
                        if device == DeviceModel::Approved {
                            device = DeviceModel::Dead;
                        }
                    }
                    // The first decision stands, whatever the other tab says later.
                    DeviceStep::Decide { tab, yes } => {
                        decide(&oauth, &tabs[tab], if yes { "allow" } else { "deny" }).await;
                        if device == DeviceModel::Pending && now < 600 {
                            device = if yes { DeviceModel::Approved } else { DeviceModel::Denied };
                        }
                    }
                    DeviceStep::Poll { stranger } => {
                        let client = if stranger { "stranger" } else { "app" };
                        let form = format!(
                            "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id={client}&device_code={code}"
                        );
                        let (status, told) = post(&oauth, "/auth/token", form).await;
                        let error = told["error"].as_str();
                        if stranger {
                            assert_eq!((status, error), (400, Some("invalid_grant")));
                            continue;
                        }
                        let too_soon = last.is_some_and(|last| now - last < interval);
                        if device == DeviceModel::Pending {
                            last = Some(now);
                            interval = if too_soon { (interval + 5).min(60) } else { interval };
                        }
                        let expected = device.poll(now, too_soon);
                        assert_eq!((status, error), (if expected.is_some() { 400 } else { 200 }, expected));
                    }
                }
            }
        });
    }
}
