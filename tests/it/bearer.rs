//! Bearer tokens on the wire (RFC 6750), the metadata document (RFC 9728), and what the Model Context Protocol asks of both.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_oauth::resource::{
    AccessToken, BearerToken, ConfigError, Facts, Flag, Issuer, NotActive, OwnedToken, Refusal,
    ResourceServer, ResourceServerBuilder, TokenFacts, TokenFactsBuilder, Unavailable, Validator,
};
use tower_oauth::types::{Body, ManualClock, Subject, Timestamp};

pub(crate) const API: &str = "https://api.example/notes";
pub(crate) const AS: &str = "https://as.example";
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_000_000);
pub(crate) const METADATA: &str = "https://api.example/.well-known/oauth-protected-resource/notes";

/// Tokens in a table. Those whose text begins with `slow` are only known after waiting.
#[derive(Clone, Default)]
pub(crate) struct Table(Arc<TableInner>);

#[derive(Default)]
struct TableInner {
    tokens: Mutex<HashMap<String, Arc<TokenFacts>>>,
    down: AtomicBool,
    asked: AtomicUsize,
}

impl Table {
    /// A table with the token `good`, of ada's, with the scope `notes:read`.
    pub(crate) fn new() -> Self {
        Self::default().with("good", ada()).with("slow-good", ada())
    }

    pub(crate) fn with(self, token: &str, facts: TokenFactsBuilder) -> Self {
        let facts = Arc::new(facts.build());
        self.0
            .tokens
            .lock()
            .unwrap()
            .insert(token.to_owned(), facts);
        self
    }

    pub(crate) fn forget(&self, token: &str) {
        self.0.tokens.lock().unwrap().remove(token);
    }

    pub(crate) fn down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// How often it was asked and had to wait.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn look_up(&self, token: &str) -> Facts {
        let tokens = self.0.tokens.lock().unwrap();
        let facts = tokens.get(token).map(Arc::clone);
        facts.ok_or(NotActive::because("no such token"))
    }
}

impl Validator for Table {
    fn validate_now(&self, token: BearerToken<'_>, _: Timestamp) -> Option<Facts> {
        let token = token.expose();
        (!token.starts_with("slow")).then(|| self.look_up(token))
    }

    async fn validate(&self, token: OwnedToken, _: Timestamp) -> Result<Facts, Unavailable> {
        tokio::task::yield_now().await;
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.down.load(Ordering::SeqCst) {
            return Err(Unavailable::new(io::Error::other("no route to host")));
        }
        Ok(self.look_up(token.expose()))
    }
}

/// Facts of a good token, to be made worse.
pub(crate) fn ada() -> TokenFactsBuilder {
    facts_of(AS, NOW.saturating_add(Duration::from_secs(600)))
        .audience([API])
        .scope("notes:read".parse().unwrap())
        .client_id("toc_1".parse().unwrap())
}

fn facts_of(issuer: &str, expires_at: Timestamp) -> TokenFactsBuilder {
    TokenFacts::builder(
        issuer.parse().unwrap(),
        Subject::new("ada").unwrap(),
        expires_at,
    )
}

pub(crate) fn settings(table: Table) -> ResourceServerBuilder {
    ResourceServer::builder(API)
        .issuer(Issuer::custom(AS, table))
        .clock(ManualClock::new(NOW))
}

pub(crate) fn server(table: Table) -> ResourceServer {
    settings(table)
        .scopes_supported(["notes:read", "notes:write"])
        .realm("notes")
        .build()
        .unwrap()
}

pub(crate) type App = BoxCloneSyncService<Request<String>, Response<Body<String>>, Infallible>;

/// A service that says whom it serves, behind the layer. Whatever it answers is 200.
fn app(server: &ResourceServer) -> App {
    BoxCloneSyncService::new(server.layer().layer(service_fn(hello)))
}

/// The same, with a scope asked for.
fn scoped(server: &ResourceServer, scope: &str) -> App {
    let inner = server.require(scope).layer(service_fn(hello));
    let app = server.layer().layer(inner);
    // Two layers make a body within a body; what scopes are about stands in status and headers.
    BoxCloneSyncService::new(app.map_response(|response| response.map(|_| Body::default())))
}

async fn hello(request: Request<String>) -> Result<Response<String>, Infallible> {
    let token = request.extensions().get::<AccessToken>();
    let subject = token.map(|token| token.subject().to_string());
    Ok(Response::new(subject.unwrap_or_default()))
}

pub(crate) fn get(authorization: &[&str]) -> Request<String> {
    let mut request = Request::get("/notes").body(String::new()).unwrap();
    for field in authorization {
        let field = http::HeaderValue::from_bytes(field.as_bytes()).unwrap();
        request.headers_mut().append(AUTHORIZATION, field);
    }
    request
}

async fn answer(app: &App, request: Request<String>) -> Response<Body<String>> {
    app.clone().oneshot(request).await.unwrap()
}

async fn body(response: Response<Body<String>>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

/// A challenge by RFC 9110 §11.6.1, read strictly: the scheme, one space, `name="value"` with `, ` between, nothing escaped.
pub(crate) fn challenge(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut fields = headers.get_all(WWW_AUTHENTICATE).iter();
    let field = fields.next().expect("a challenge").to_str().unwrap();
    assert!(fields.next().is_none(), "one challenge");
    let mut rest = field.strip_prefix("Bearer ").expect("Bearer and a space");
    let mut params = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("name=\"");
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let (value, after) = after.split_once('"').expect("a closing quote");
        assert!(!value.contains('\\') && value.bytes().all(|b| (0x20..=0x7E).contains(&b)));
        params.push((name.to_owned(), value.to_owned()));
        let mut names: Vec<_> = params.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), params.len(), "no parameter twice");
        if after.is_empty() {
            return params;
        }
        rest = after.strip_prefix(", ").expect("a comma and a space");
    }
}

pub(crate) fn param<B>(response: &Response<B>, name: &str) -> Option<String> {
    challenge(response.headers())
        .into_iter()
        .find_map(|(found, value)| (found == name).then_some(value))
}

// req: 6750-2.1-1, 6750-2.1-3, mcp-tok-1, tol-bearer-1
#[tokio::test]
async fn rfc6750_2_1_the_scheme_is_read_in_any_case_with_one_or_more_spaces() {
    let app = app(&server(Table::new()));
    for good in ["Bearer good", "bearer good", "BEARER good", "bEaReR   good"] {
        let response = answer(&app, get(&[good])).await;
        assert_eq!(response.status(), StatusCode::OK, "{good}");
        assert_eq!(body(response).await, "ada");
    }
}

// req: 6750-2.1-2, mcp-err-1, tol-bearer-2
#[tokio::test]
async fn rfc6750_2_1_malformed_credentials_are_400() {
    let app = app(&server(Table::new()));
    for malformed in [
        "Bearer",
        "Bearer ",
        "Bearer\tgood",
        "Bearer good extra",
        "Bearer good,Bearer good",
        "Bearer \"good\"",
        "Bearer g\u{e9}od",
        "Bearer\u{a0}good",
        "Bearer =",
        "Bearer a=b",
        "Bearer realm=\"x\"",
    ] {
        let response = answer(&app, get(&[malformed])).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{malformed}");
        assert_eq!(
            param(&response, "error").as_deref(),
            Some("invalid_request")
        );
    }
}

// req: 6750-2.1-4, http-auth-2, 6750-3.1-1
#[tokio::test]
async fn rfc6750_2_two_authorization_headers_are_400_whatever_they_hold() {
    let app = app(&server(Table::new()));
    for two in [
        ["Bearer good", "Bearer good"],
        ["Bearer good", ""],
        ["", "Bearer good"],
        ["Basic YTpi", "Bearer good"],
        ["Bearer good", "Basic YTpi"],
    ] {
        let response = answer(&app, get(&two)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{two:?}");
        assert_eq!(
            param(&response, "error").as_deref(),
            Some("invalid_request")
        );
    }
}

// req: 6750-2.1-5
#[tokio::test]
async fn another_scheme_is_no_bearer_token() {
    let app = app(&server(Table::new()));
    for other in ["Basic YTpi", "DPoP good", "Bearers good", "good", ""] {
        let response = answer(&app, get(&[other])).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{other}");
        assert_eq!(param(&response, "error"), None);
    }
}

// req: 6750-2.2-1, oauth21-5.1-2, 6750-5.3-4, mcp-proxy-5
#[tokio::test]
async fn rfc6750_2_2_tokens_in_form_query_cookie_or_session_are_not_looked_at() {
    let app = app(&server(Table::new()));
    let form = Request::post("/notes")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body("access_token=good".to_owned())
        .unwrap();
    let plain = |uri: &str, name: &str, value: &str| {
        let request = Request::get(uri).header(name, value);
        request.body(String::new()).unwrap()
    };
    for request in [
        form,
        plain("/notes?access_token=good", "accept", "*/*"),
        plain("/notes", "cookie", "access_token=good"),
        plain("/notes", "mcp-session-id", "good"),
    ] {
        let response = answer(&app, request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(param(&response, "error"), None);
    }
    // A token in the query changes nothing about the one in the header.
    let mut both = get(&["Bearer good"]);
    *both.uri_mut() = "/notes?access_token=other".parse().unwrap();
    assert_eq!(answer(&app, both).await.status(), StatusCode::OK);
}

// req: 6750-3-1, 6750-3-2, 6750-3.1-5, mcp-gen-6
#[tokio::test]
async fn rfc6750_3_without_a_token_the_challenge_has_no_error() {
    let response = answer(&app(&server(Table::new())), get(&[])).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let expected = [
        ("realm", "notes"),
        ("scope", "notes:read notes:write"),
        ("resource_metadata", METADATA),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(challenge(response.headers()), expected);
    assert!(body(response).await.is_empty());

    // With nothing set there is still a parameter.
    let bare = settings(Table::new()).build().unwrap();
    let response = answer(&app(&bare), get(&[])).await;
    assert_eq!(challenge(response.headers()).len(), 1);
}

// req: 6750-3.1-2, 6750-3-5, mcp-tok-5, mcp-tok-4
#[tokio::test]
async fn rfc6750_3_1_each_way_of_being_invalid_is_the_same_401() {
    let revoked = Flag::new();
    revoked.set();
    let good_until = NOW.saturating_add(Duration::from_secs(1));
    let table = Table::new()
        .with("expired", facts_of(AS, NOW).audience([API]))
        .with("revoked", ada().dies_with(revoked))
        .with("no-audience", facts_of(AS, good_until))
        .with("other-audience", ada().audience(["https://api.example/"]))
        .with(
            "other-issuer",
            facts_of("https://as.example/", good_until).audience([API]),
        );
    let app = app(&server(table));
    let mut answers = Vec::new();
    for bad in [
        "unknown",
        "expired",
        "revoked",
        "no-audience",
        "other-audience",
        "other-issuer",
        "slow-unknown",
    ] {
        let response = answer(&app, get(&[&format!("Bearer {bad}")])).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{bad}");
        assert_eq!(param(&response, "error").as_deref(), Some("invalid_token"));
        let headers = format!("{:?}", response.headers());
        answers.push((headers, body(response).await));
    }
    // A stranger learns nothing from which it was.
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(
        answer(&app, get(&["Bearer good"])).await.status(),
        StatusCode::OK
    );
}

// req: 6750-3.1-3, 6750-3.1-4, mcp-err-2, mcp-err-3
#[tokio::test]
async fn rfc6750_3_1_too_little_scope_is_403_and_names_all_that_is_needed() {
    let app = scoped(&server(Table::new()), "notes:write notes:read");
    let response = answer(&app, get(&["Bearer good"])).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let said = |name| param(&response, name);
    assert_eq!(said("error").as_deref(), Some("insufficient_scope"));
    assert_eq!(said("scope").as_deref(), Some("notes:read notes:write"));
    assert_eq!(said("resource_metadata").as_deref(), Some(METADATA));
    assert!(said("error_description").is_some());

    let narrower = scoped(&server(Table::new()), "notes:read");
    let response = answer(&narrower, get(&["Bearer good"])).await;
    assert_eq!(response.status(), StatusCode::OK);
}

// req: mcp-err-5
#[tokio::test]
async fn a_broader_scope_opens_what_a_narrower_one_does() {
    let table = Table::new().with("admin", ada().scope("admin".parse().unwrap()));
    let server = settings(table)
        .scope_implies("admin", "notes:write")
        .scope_implies("notes:write", "notes:read")
        .build()
        .unwrap();
    let admin = || get(&["Bearer admin"]);
    for scope in ["admin", "notes:write", "notes:read", "notes:read admin"] {
        let response = answer(&scoped(&server, scope), admin()).await;
        assert_eq!(response.status(), StatusCode::OK, "{scope}");
    }
    let response = answer(&scoped(&server, "notes:delete"), admin()).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let response = answer(&scoped(&server, "notes:write"), get(&["Bearer good"])).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

// req: 6750-3-3, 6750-3-4, 6750-3-7, 6750-3-10
#[tokio::test]
async fn rfc6750_3_every_challenge_reads_by_a_strict_parser() {
    let server = server(Table::new());
    for refusal in [
        Refusal::NoToken,
        Refusal::InvalidRequest,
        Refusal::InvalidToken,
        Refusal::InsufficientScope,
    ] {
        let response: Response<Body<String>> = server.refuse(refusal);
        let params = challenge(response.headers()); // refuses repeats, missing quotes and what would need escaping
        assert!(params.contains(&("resource_metadata".to_owned(), METADATA.to_owned())));
    }
}

// req: http-cache-4, http-cors-5
#[tokio::test]
async fn refusals_are_not_stored_and_a_script_may_read_the_challenge() {
    let server = server(Table::new());
    let plain = app(&server);
    let scoped = scoped(&server, "notes:write");
    for (app, authorization) in [
        (&plain, ""),
        (&plain, "Bearer a b"),
        (&plain, "Bearer unknown"),
        (&scoped, "Bearer good"),
    ] {
        let response = answer(app, get(&[authorization])).await;
        assert!(response.status().is_client_error());
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(
            response.headers()["access-control-expose-headers"],
            "www-authenticate"
        );
    }
}

// req: http-err-3
#[tokio::test]
async fn an_outage_is_503_with_retry_after_and_passes_when_it_is_over() {
    let table = Table::new();
    let app = app(&server(table.clone()));
    table.down(true);
    let response = answer(&app, get(&["Bearer slow-good"])).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    table.down(false);
    let response = answer(&app, get(&["Bearer slow-good"])).await;
    assert_eq!(response.status(), StatusCode::OK);
}

// req: http-limit-1
#[tokio::test]
async fn a_token_of_a_megabyte_is_refused_before_anybody_is_asked() {
    let table = Table::new();
    let long = format!("slow{}", "a".repeat(1 << 20));
    let app = app(&server(table.clone().with(&long, ada())));
    let response = answer(&app, get(&[&format!("Bearer {long}")])).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(param(&response, "error").as_deref(), Some("invalid_token"));
    assert_eq!(table.asked(), 0);
}

#[tokio::test]
async fn refusals_say_what_is_wrong_in_json_and_nothing_of_the_request() {
    let app = app(&server(Table::new()));
    let response = answer(&app, get(&["Bearer hunter2"])).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
    assert_eq!(json["error"], "invalid_token");
    assert!(!json.to_string().contains("hunter2"));

    let mut head = get(&["Bearer hunter2"]);
    *head.method_mut() = Method::HEAD;
    let response = answer(&app, head).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(body(response).await.is_empty());
}

// req: mcp-tok-6, mcp-sec-13
#[tokio::test]
async fn the_token_is_marked_sensitive_or_taken_away() {
    let server = server(Table::new());
    let seen = service_fn(async |request: Request<String>| {
        let field = request.headers().get(AUTHORIZATION);
        let said = field.map_or_else(|| "gone".to_owned(), |field| format!("{field:?}"));
        Ok::<_, Infallible>(Response::new(said))
    });
    for authorization in ["Bearer good", "Bearer slow-good"] {
        let kept = BoxCloneSyncService::new(server.layer().layer(seen));
        let response = answer(&kept, get(&[authorization])).await;
        assert_eq!(body(response).await, "Sensitive");
        let removed = BoxCloneSyncService::new(server.layer().remove_token().layer(seen));
        let response = answer(&removed, get(&[authorization])).await;
        assert_eq!(body(response).await, "gone");
    }
}

#[tokio::test]
async fn a_token_is_checked_without_a_request_too() {
    let table = Table::new();
    let server = server(table.clone());
    for good in ["good", "slow-good"] {
        let token = server.authenticate(good).await.unwrap();
        assert_eq!(token.subject().as_str(), "ada");
        assert_eq!(token.client_id().unwrap().as_str(), "toc_1");
        assert_eq!(token.owner().unwrap().as_str(), "ada");
        assert_eq!(token.issuer().as_str(), AS);
        assert_eq!(token.audience(), [API.into()]);
        assert!(token.has_scope("notes:read") && !token.has_scope("notes"));
        assert!(token.is_live());
    }
    for bad in ["unknown", "slow-unknown", "a b", "", "é"] {
        let refused = server.authenticate(bad).await.unwrap_err();
        assert_eq!(refused, Refusal::InvalidToken, "{bad}");
    }
    table.down(true);
    let refused = server.authenticate("slow-good").await.unwrap_err();
    assert_eq!(refused, Refusal::Unavailable);
}

#[tokio::test]
async fn rfc9068_2_2_a_client_that_speaks_for_itself_has_no_owner() {
    let itself = TokenFacts::builder(
        AS.parse().unwrap(),
        Subject::new("toc_1").unwrap(),
        Timestamp::MAX,
    )
    .client_id("toc_1".parse().unwrap())
    .audience([API]);
    let server = server(Table::new().with("robot", itself));
    let token = server.authenticate("robot").await.unwrap();
    assert_eq!(token.owner(), None);
    assert_eq!(token.subject().as_str(), "toc_1");
}

// --- RFC 9728 ---------------------------------------------------------------------------------------------------------------

fn document(method: Method, headers: &[(&str, &str)]) -> Request<String> {
    let mut request = Request::builder()
        .method(method)
        .uri("https://api.example/.well-known/oauth-protected-resource/notes");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(String::new()).unwrap()
}

// req: 9728-2-1, 9728-3.2-1, 9728-PROJ-1, mcp-gen-4
#[tokio::test]
async fn rfc9728_3_2_the_document_needs_no_token_and_says_what_was_configured() {
    let server = settings(Table::new())
        .scopes_supported(["notes:write", "notes:read"])
        .resource_name("Notes")
        .build()
        .unwrap();
    let response = answer(&app(&server), document(Method::GET, &[])).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
    let expected = serde_json::json!({
        "resource": API,
        "authorization_servers": [AS],
        "scopes_supported": ["notes:write", "notes:read"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Notes",
    });
    assert_eq!(json, expected);
}

// req: 9728-2-4, 9728-2-7, mcp-gen-7
#[tokio::test]
async fn rfc9728_2_scopes_and_name_follow_the_settings_and_challenges_may_ask_for_others() {
    let server = settings(Table::new())
        .scopes_supported(["notes:read", "notes:write"])
        .challenge_scope(["notes:list"])
        .resource_name("Notes \"and\" more")
        .build()
        .unwrap();
    let app = app(&server);
    let response = answer(&app, document(Method::GET, &[])).await;
    let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
    assert_eq!(
        json["scopes_supported"],
        serde_json::json!(["notes:read", "notes:write"])
    );
    assert_eq!(json["resource_name"], "Notes \"and\" more");
    let response = answer(&app, get(&[])).await;
    assert_eq!(param(&response, "scope").as_deref(), Some("notes:list"));
}

// req: 9728-2-2, 9728-2-5, 9728-3.2-3, 9728-3.2-4
#[tokio::test]
async fn rfc9728_3_2_what_has_no_value_is_left_out_and_one_issuer_is_still_an_array() {
    let server = settings(Table::new()).build().unwrap();
    let response = answer(&app(&server), document(Method::GET, &[])).await;
    let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
    let expected = serde_json::json!({
        "resource": API,
        "authorization_servers": [AS],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(json, expected);
}

// req: 9728-2-3, 9728-2-6, 9728-2.2-1, 9728-2.2-2
#[tokio::test]
async fn rfc9728_2_nothing_is_said_of_keys_signatures_and_bindings_that_there_are_not() {
    // Whoever adds one of them is to say it in the form that the standard asks for.
    let served = crate::support::Harness::new().await;
    let served = served.get(crate::metadata::LEDGERS, None).await.json();
    let response = answer(&app(&server(Table::new())), document(Method::GET, &[])).await;
    let protected = serde_json::from_slice(&body(response).await).unwrap();
    for json in [served, protected] {
        let json: serde_json::Value = json;
        assert!(json["resource"].is_string());
        for name in [
            "jwks_uri",
            "resource_signing_alg_values_supported",
            "signed_metadata",
            "tls_client_certificate_bound_access_tokens",
            "dpop_bound_access_tokens_required",
            "dpop_signing_alg_values_supported",
            "authorization_details_types_supported",
        ] {
            assert!(json.get(name).is_none(), "{name} in {json}");
        }
    }
}

// req: 9728-3.1-1, http-method-2, 9728-7.10-1, http-cache-3
#[tokio::test]
async fn rfc9728_3_1_the_document_is_fetched_with_get_or_head_and_may_be_kept() {
    let app = app(&server(Table::new()));
    let get = answer(&app, document(Method::GET, &[])).await;
    let head = answer(&app, document(Method::HEAD, &[])).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(get.headers(), head.headers());
    assert_eq!(get.headers()[CACHE_CONTROL], "public, max-age=3600");
    let (etag, length) = (
        get.headers()[ETAG].clone(),
        get.headers()[CONTENT_LENGTH].clone(),
    );
    assert_eq!(body(get).await.len().to_string(), length.to_str().unwrap());
    assert!(body(head).await.is_empty());

    let etag = etag.to_str().unwrap();
    for known in [
        etag,
        "*",
        &format!("\"other\", {etag}"),
        &format!("W/{etag}"),
    ] {
        let asked = document(Method::GET, &[(IF_NONE_MATCH.as_str(), known)]);
        let response = answer(&app, asked).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(response.headers()[ETAG], etag);
        assert!(body(response).await.is_empty());
    }
    let asked = document(Method::GET, &[(IF_NONE_MATCH.as_str(), "\"other\"")]);
    assert_eq!(answer(&app, asked).await.status(), StatusCode::OK);

    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let response = answer(&app, document(method, &[])).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD, OPTIONS");
    }
}

// req: 9728-PROJ-2
#[tokio::test]
async fn the_document_is_readable_from_any_origin_with_preflight() {
    let app = app(&server(Table::new()));
    let origin = ("origin", "https://agent.example");
    let response = answer(&app, document(Method::GET, &[origin])).await;
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");

    let preflight = [
        origin,
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "mcp-protocol-version"),
    ];
    let response = answer(&app, document(Method::OPTIONS, &preflight)).await;
    assert!(response.status().is_success());
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let allowed = response.headers()["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(
        allowed
            .split(", ")
            .any(|name| name == "mcp-protocol-version")
    );
    assert!(
        response.headers()["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("GET")
    );
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-credentials")
    );
}

// req: 9728-5-1, 9728-5.1-1, 9728-3-1, mcp-disc-2
#[tokio::test]
async fn rfc9728_5_1_the_challenge_leads_to_the_document() {
    for (resource, url) in [
        (
            "https://api.example",
            "https://api.example/.well-known/oauth-protected-resource",
        ),
        (
            "https://api.example/",
            "https://api.example/.well-known/oauth-protected-resource",
        ),
        (API, METADATA),
        (
            "https://api.example:8443/a/b",
            "https://api.example:8443/.well-known/oauth-protected-resource/a/b",
        ),
        (
            "https://api.example/a?t=1",
            "https://api.example/.well-known/oauth-protected-resource/a?t=1",
        ),
    ] {
        let server = ResourceServer::builder(resource)
            .issuer(Issuer::custom(AS, Table::new()))
            .build()
            .unwrap();
        let app = app(&server);
        let response = answer(&app, get(&[])).await;
        let found = param(&response, "resource_metadata").unwrap();
        assert_eq!(found, url);
        let request = Request::get(found).body(String::new()).unwrap();
        let response = answer(&app, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        let json: serde_json::Value = serde_json::from_slice(&body(response).await).unwrap();
        assert_eq!(json["resource"], resource);
    }
}

// req: 9728-3.1-3, tol-prm-1
#[tokio::test]
async fn rfc9728_3_1_two_resources_of_one_host_have_two_documents() {
    let one = |resource: &str| {
        let issuer = Issuer::custom(AS, Table::new());
        let builder = ResourceServer::builder(resource).issuer(issuer);
        app(&builder.build().unwrap())
    };
    let at = |target: &str| Request::get(target).body(String::new()).unwrap();
    let well_known = "/.well-known/oauth-protected-resource";
    for resource in ["/a", "/b", "/c?t=1", "/c?t=2"] {
        let id = format!("https://api.example{resource}");
        let app = one(&id);
        for target in ["/a", "/b", "/c?t=1", "/c?t=2", "", "/", "/c", "/a/", "/a/b"] {
            let response = answer(&app, at(&format!("{well_known}{target}"))).await;
            if target == resource {
                let json = body(response).await;
                let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
                assert_eq!(json["resource"], id);
            } else {
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{target}");
            }
        }
    }
}

// req: 9728-PROJ-3
#[tokio::test]
async fn hostile_headers_change_nothing() {
    let app = app(&server(Table::new()));
    let hostile = [
        ("host", "evil.test"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.test;proto=http"),
    ];
    let quiet = answer(&app, document(Method::GET, &[])).await;
    let loud = answer(&app, document(Method::GET, &hostile)).await;
    assert_eq!(quiet.headers(), loud.headers());
    assert_eq!(body(quiet).await, body(loud).await);

    let mut request = get(&[]);
    for (name, value) in hostile {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = answer(&app, request).await;
    assert_eq!(
        param(&response, "resource_metadata").as_deref(),
        Some(METADATA)
    );
}

#[tokio::test]
async fn the_document_is_a_service_of_its_own_too() {
    let server = server(Table::new());
    assert_eq!(
        server.metadata_path(),
        "/.well-known/oauth-protected-resource/notes"
    );
    let from_layer = answer(&app(&server), document(Method::GET, &[])).await;
    let response = server
        .metadata_service()
        .oneshot(document(Method::GET, &[]))
        .await
        .unwrap();
    assert_eq!(response.headers(), from_layer.headers());
    assert_eq!(body(response).await, body(from_layer).await);
}

// req: 9728-1.2-1, mcp-disc-1, 9700-4.10.2-1
#[test]
fn rfc9728_1_2_unsafe_settings_are_refused_and_named() {
    let built = |resource: &str| {
        let issuer = Issuer::custom(AS, Table::new());
        ResourceServer::builder(resource)
            .issuer(issuer)
            .build()
            .map(|_| ())
    };
    for good in [
        "https://api.example",
        "http://127.0.0.1:8080",
        "http://[::1]/x",
        "http://localhost",
    ] {
        assert_eq!(built(good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("http://api.example", ConfigError::ResourceNotHttps),
        ("http://127.0.0.1.example", ConfigError::ResourceNotHttps),
        ("https://api.example/#x", ConfigError::Resource),
        ("urn:example:api", ConfigError::Resource),
        ("api", ConfigError::Resource),
        ("", ConfigError::Resource),
    ] {
        assert_eq!(built(bad), Err(why), "{bad}");
    }
    let refused = |builder: ResourceServerBuilder| builder.build().map(|_| ()).unwrap_err();
    assert_eq!(refused(ResourceServer::builder(API)), ConfigError::NoIssuer);
    assert_eq!(
        refused(settings(Table::new()).issuer(Issuer::custom(AS, Table::new()))),
        ConfigError::SameIssuerTwice
    );
    for (builder, setting) in [
        (
            settings(Table::new()).issuer(Issuer::custom("http://as.example", Table::new())),
            "issuer",
        ),
        (settings(Table::new()).realm("a \"realm\""), "realm"),
        (
            settings(Table::new()).scopes_supported(["a b"]),
            "scopes_supported",
        ),
        (
            settings(Table::new()).challenge_scope(["\\"]),
            "challenge_scope",
        ),
        (
            settings(Table::new()).scope_implies("a", ""),
            "scope_implies",
        ),
    ] {
        let said = refused(builder).to_string();
        assert!(said.starts_with(setting), "{said}");
    }
}
