//! The host's say at registration, software statements, and secrets that end (RFC 7591 §2.3, §3.1.1, §5).

use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tower_oauth::AuthorizationServer;
use tower_oauth::server::{
    ConfigError, Registration, RegistrationDenial, RegistrationPolicy, RegistrationRequest,
    RegistrationVerdict,
};
use tower_oauth::types::{Client, GrantType, Secret, Timestamp};

use crate::register::{PUBLIC, open, refused, with};
use crate::support::{FOR_ITSELF, Harness, NOW, authorization_request};

/// A host that says what a test wants it to.
struct Says<F>(F);

impl<F> RegistrationPolicy for Says<F>
where
    F: Fn(RegistrationRequest<'_>) -> RegistrationVerdict + Send + Sync + 'static,
{
    async fn register(&self, request: RegistrationRequest<'_>) -> RegistrationVerdict {
        (self.0)(request)
    }
}

async fn saying(
    policy: impl Fn(RegistrationRequest<'_>) -> RegistrationVerdict + Send + Sync + 'static,
) -> Harness {
    let registration = Registration::open().policy(Says(policy));
    Harness::with(|builder| builder.registration(registration)).await
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

fn jwt(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn statement() -> String {
    let claims = json!({"iss": "https://vendor.test", "client_name": "Theirs"});
    jwt(&json!({"alg": "ES256"}), &claims, "c2ln")
}

fn with_statement(statement: &str) -> String {
    format!(r#"{PUBLIC},"client_name":"Mine","software_statement":"{statement}""#)
}

// req: 7591-5-8, 7591-5-4
#[tokio::test]
async fn rfc7591_5_the_host_considers_the_whole_request() {
    let token = Secret::new("initial-access-token-of-the-policy");
    let policy = |request: RegistrationRequest<'_>| {
        assert_eq!(request.metadata["client_name"], "Mine");
        assert_eq!(request.metadata["x_unknown"], 7);
        assert_eq!(request.software_statement, Some(statement().as_str()));
        assert!(request.has_initial_access_token);
        assert_eq!(request.address, Some([192, 0, 2, 7].into()));
        let shown = format!("{request:?}");
        assert!(shown.contains("192.0.2.7"), "{shown}");
        assert!(!shown.contains("Mine") && !shown.contains(&statement()));
        let grants = request.metadata["grant_types"].as_array().unwrap();
        match grants.len() {
            1 => RegistrationVerdict::Allow,
            _ => RegistrationVerdict::Deny(RegistrationDenial::Metadata),
        }
    };
    let registration = Registration::with_initial_access_tokens([&token]).policy(Says(policy));
    let server = Harness::with(|builder| {
        builder
            .registration(registration)
            .client_address(|_| Some([192, 0, 2, 7].into()))
    })
    .await;
    for (grants, status) in [
        (r#"["authorization_code"]"#, 201),
        (r#"["authorization_code","refresh_token"]"#, 400),
    ] {
        let members = with_statement(&statement());
        let body = format!(
            r#"{{"redirect_uris":["https://app.harbor.test/cb"],{members},"x_unknown":7,"grant_types":{grants}}}"#
        );
        let request = http::Request::post("/auth/register")
            .header("content-type", "application/json")
            .header("authorization", "Bearer initial-access-token-of-the-policy")
            .body(body.into());
        let answer = server.send(request.unwrap()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    // Without an initial access token there was none.
    let server = saying(|request| {
        assert!(!request.has_initial_access_token && request.address.is_none());
        assert_eq!(request.software_statement, None);
        RegistrationVerdict::Allow
    })
    .await;
    assert_eq!(with(&server, PUBLIC).await.status, 201);
}

// req: 7591-5-9
#[tokio::test]
async fn rfc7591_5_the_host_can_refuse_a_copy_of_a_client_that_there_is_once() {
    let seen = Mutex::new(Vec::new());
    let server = saying(move |request| {
        let software = request.metadata["software_id"].clone();
        let mut seen = seen.lock().unwrap();
        if seen.contains(&software) {
            return RegistrationVerdict::Deny(RegistrationDenial::Metadata);
        }
        seen.push(software);
        RegistrationVerdict::Allow
    })
    .await;
    let of = |id: &str| format!(r#"{PUBLIC},"software_id":"{id}""#);
    assert_eq!(with(&server, &of("one")).await.status, 201);
    refused(
        &with(&server, &of("one")).await,
        "invalid_client_metadata",
        "a copy",
    );
    assert_eq!(with(&server, &of("two")).await.status, 201);
}

// req: 7591-2-19, 7591-3.2.1-7
#[tokio::test]
async fn rfc7591_2_3_the_members_of_a_statement_that_is_believed_win_and_it_is_given_back() {
    let server = saying(|request| {
        assert!(request.software_statement.is_some());
        RegistrationVerdict::AllowStatement(object(json!({"client_name": "Theirs"})))
    })
    .await;
    let sent = statement();
    let told = with(&server, &with_statement(&sent)).await;
    assert_eq!(told.status, 201, "{told:?}");
    assert_eq!(told.member("client_name"), "Theirs");
    assert_eq!(told.member("software_statement"), sent);
    let id = told.member("client_id");
    let page = server
        .get(&authorization_request(&id, ""), Some("alice"))
        .await;
    assert!(page.text().contains("Theirs") && !page.text().contains("Mine"));
}

// req: 7591-3.1.1-1, 7591-2.3-2
#[tokio::test]
async fn rfc7591_3_1_1_a_statement_that_nobody_verified_is_ignored() {
    let without = open().await;
    for statement in [statement().as_str(), "no JWT"] {
        let told = with(&without, &with_statement(statement)).await.json();
        assert_eq!(told["client_name"], "Mine");
        assert!(told.get("software_statement").is_none());
    }
    let server = saying(|_| RegistrationVerdict::Allow).await;
    let told = with(&server, &with_statement(&statement())).await.json();
    assert_eq!(told["client_name"], "Mine");
    assert!(told.get("software_statement").is_none());
}

// req: 7591-2.3-1
#[tokio::test]
async fn rfc7591_2_3_a_statement_is_a_signed_jwt_that_says_who_made_it() {
    let server = saying(|_| RegistrationVerdict::AllowStatement(Map::new())).await;
    let (header, claims) = (
        json!({"alg": "HS256"}),
        json!({"iss": "https://vendor.test"}),
    );
    let good = jwt(&header, &claims, "c2ln");
    assert_eq!(with(&server, &with_statement(&good)).await.status, 201);
    for bad in [
        jwt(&header, &claims, ""),
        jwt(&json!({"alg": "none"}), &claims, "c2ln"),
        jwt(&json!({"alg": "nOnE"}), &claims, "c2ln"),
        jwt(&json!({"alg": ""}), &claims, "c2ln"),
        jwt(&json!({}), &claims, "c2ln"),
        jwt(&json!([]), &claims, "c2ln"),
        jwt(&header, &json!({"sub": "x"}), "c2ln"),
        jwt(&header, &json!({"iss": 7}), "c2ln"),
        jwt(&header, &json!("iss"), "c2ln"),
        format!("{good}.x"),
        "a.b".to_owned(),
        "é.b.c".to_owned(),
    ] {
        let answer = with(&server, &with_statement(&bad)).await;
        refused(&answer, "invalid_software_statement", &bad);
    }
    let number = format!(r#"{PUBLIC},"software_statement":7"#);
    refused(
        &with(&server, &number).await,
        "invalid_software_statement",
        "7",
    );
}

// req: 7591-3.2.2-5
#[tokio::test]
async fn rfc7591_3_2_2_the_host_denies_with_the_code_that_fits_and_nothing_is_registered() {
    for (denial, code) in [
        (RegistrationDenial::RedirectUri, "invalid_redirect_uri"),
        (RegistrationDenial::Metadata, "invalid_client_metadata"),
        (
            RegistrationDenial::InvalidSoftwareStatement,
            "invalid_software_statement",
        ),
        (
            RegistrationDenial::UnapprovedSoftwareStatement,
            "unapproved_software_statement",
        ),
    ] {
        let server = saying(move |_| RegistrationVerdict::Deny(denial)).await;
        refused(&with(&server, PUBLIC).await, code, "denied");
        assert_eq!(server.oauth.clients().list().await.unwrap().len(), 5);
    }
    let server = saying(|_| RegistrationVerdict::Unavailable).await;
    let answer = with(&server, PUBLIC).await;
    answer.error(503, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(server.oauth.clients().list().await.unwrap().len(), 5);
}

#[tokio::test]
async fn s11_what_the_host_puts_in_place_is_checked_like_what_the_client_said() {
    let changed = |members: Value| {
        let members = object(members);
        saying(move |_| RegistrationVerdict::AllowWith(members.clone()))
    };
    let server =
        changed(json!({"scope": "ledger.read", "client_name": null, "contacts": ["a@b.test"]}))
            .await;
    let asked = format!(r#"{PUBLIC},"client_name":"Mine","scope":"ledger.read ledger.write""#);
    let told = with(&server, &asked).await.json();
    assert_eq!(told["scope"], "ledger.read");
    assert_eq!(told["contacts"], json!(["a@b.test"]));
    assert!(told.get("client_name").is_none());
    let server =
        changed(json!({"grant_types": ["authorization_code", "client_credentials"]})).await;
    let told = with(&server, "").await.json();
    assert_eq!(told["grant_types"], json!(["authorization_code"]));
    let server = changed(json!({"redirect_uris": ["http://evil.test/cb"]})).await;
    refused(&with(&server, PUBLIC).await, "invalid_redirect_uri", "http");
    let server = changed(json!({"client_uri": "javascript:1"})).await;
    refused(
        &with(&server, PUBLIC).await,
        "invalid_client_metadata",
        "javascript",
    );
}

// req: 7591-2.2-2
#[tokio::test]
async fn rfc7591_2_2_language_tags_that_differ_in_case_are_the_same_tag() {
    let server = open().await;
    let named =
        |second: &str| format!(r##"{PUBLIC},"client_name#fr":"Un","client_name#{second}":"Deux""##);
    refused(
        &with(&server, &named("FR")).await,
        "invalid_client_metadata",
        "FR",
    );
    let told = with(&server, &named("ja")).await.json();
    assert_eq!(
        (&told["client_name#fr"], &told["client_name#ja"]),
        (&"Un".into(), &"Deux".into())
    );
}

// req: 7591-3.2.1-5, 7591-3.1-1
#[tokio::test]
async fn s26_a_secret_that_a_client_was_given_ends_when_it_was_told() {
    let registration = Registration::open()
        .grant_types([GrantType::ClientCredentials])
        .client_secret_lifetime(Duration::from_secs(3600));
    let server = Harness::with(|builder| builder.registration(registration)).await;
    let members = r#""grant_types":["client_credentials"]"#;
    let told = with(&server, members).await.json();
    assert_eq!(told["client_secret_expires_at"], NOW.as_secs() + 3600);
    assert_eq!(told["client_id_issued_at"], NOW.as_secs());
    assert_eq!(told["token_endpoint_auth_method"], "client_secret_basic");
    let (id, secret) = (
        told["client_id"].as_str().unwrap(),
        told["client_secret"].as_str().unwrap(),
    );
    let ask = async || {
        server
            .post_as("/auth/token", (id, secret), FOR_ITSELF)
            .await
    };
    server.advance(3599);
    assert_eq!(ask().await.status, 200);
    server.advance(1);
    ask().await.error(401, "invalid_client");

    for wrong in [0, 59, 3651 * 24 * 3600] {
        let registration = Registration::open().client_secret_lifetime(Duration::from_secs(wrong));
        let built = AuthorizationServer::builder("https://a.test")
            .registration(registration)
            .build();
        assert!(
            matches!(
                built,
                Err(ConfigError::Lifetime {
                    setting: "client_secret_lifetime",
                    ..
                })
            ),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn s26_a_secret_of_a_client_of_the_host_ends_in_its_second_and_a_new_one_does_not() {
    let server = Harness::new().await;
    let at = Timestamp::from_secs(NOW.as_secs() + 60);
    let client = Client::confidential("job".parse().unwrap(), &Secret::new("first"))
        .grant_types([GrantType::ClientCredentials])
        .secret_expires_at(at);
    server.create(client).await;
    let ask = async |secret: &str| {
        server
            .post_as("/auth/token", ("job", secret), FOR_ITSELF)
            .await
    };
    server.advance(59);
    assert_eq!(ask("first").await.status, 200);
    server.advance(1);
    ask("first").await.error(401, "invalid_client");
    let id = "job".parse().unwrap();
    let new = server
        .oauth
        .clients()
        .rotate_secret(&id)
        .await
        .unwrap()
        .unwrap();
    server.advance(10 * 365 * 24 * 3600);
    assert_eq!(ask(new.expose()).await.status, 200);
    ask("first").await.error(401, "invalid_client");
}
