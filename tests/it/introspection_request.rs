//! What an issuer is asked, when, and by whom (RFC 7662 §2.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use tower_oauth::resource::{
    ClientAuth, ConfigError, HttpClient, OpaqueIssuer, Refusal, Unavailable,
};
use tower_oauth::types::{ManualClock, SigningKey};
use tower_oauth::{Issuer, ResourceServer};

use crate::introspection_issuer::{Scripted, active_with, answer, status};
use crate::support::{ISSUER, LEDGER, NOW};

fn jwt(header: &str, payload: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2lnbmF0dXJl", encode(header), encode(payload))
}

/// The lines of the head, in order of the alphabet, and the body.
fn parts(request: &str) -> (Vec<&str>, &str) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    (lines, body)
}

// req: 7662-PROJ-6
#[tokio::test]
async fn rfc7662_2_1_the_request_is_this_one_to_the_byte() {
    let issuer = Scripted::start().await;
    issuer.api().check("at_Wk3+/x==").await.unwrap();
    let seen = issuer.seen();
    let (head, body) = parts(&seen);
    let host = issuer.endpoint();
    let host = host
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/introspect")
        .unwrap();
    assert_eq!(
        head,
        [
            "POST /introspect HTTP/1.1",
            "accept: application/json",
            // rs+ledger:s3cret%2Bwith+%25%2F%3Achars
            "authorization: Basic cnMrbGVkZ2VyOnMzY3JldCUyQndpdGgrJTI1JTJGJTNBY2hhcnM=",
            "content-length: 54",
            "content-type: application/x-www-form-urlencoded",
            &format!("host: {host}"),
        ]
    );
    assert_eq!(
        body,
        "token=at_Wk3%2B%2Fx%3D%3D&token_type_hint=access_token"
    );
}

#[tokio::test]
async fn rfc6749_2_3_1_and_rfc7523_credentials_may_be_in_the_form() {
    let issuer = Scripted::start().await;
    let key = SigningKey::from_pem(include_str!("keys/ec.pem")).unwrap();
    for (auth, begin) in [
        (
            ClientAuth::client_secret_post("rs", "a&b"),
            "&client_id=rs&client_secret=a%26b",
        ),
        (
            ClientAuth::private_key_jwt("rs", key),
            "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJ",
        ),
    ] {
        issuer
            .api_with(|settings| settings.client_auth(auth))
            .check("x")
            .await
            .unwrap();
        let seen = issuer.seen();
        assert!(!seen.contains("authorization: "), "{seen}");
        let rest = parts(&seen)
            .1
            .strip_prefix("token=x&token_type_hint=access_token");
        assert!(rest.unwrap().starts_with(begin), "{seen}");
    }
}

#[tokio::test]
async fn v05_nothing_in_a_token_changes_where_and_how_the_issuer_is_asked() {
    let issuer = Scripted::start().await;
    let api = issuer.api();
    api.check("opaque").await.unwrap();
    let plain = issuer.seen();
    let claims = format!(r#"{{"iss":"{ISSUER}"}}"#);
    let without_length = |request: &str| -> Vec<String> {
        let (head, _) = parts(request);
        let head = head.into_iter().map(str::to_owned);
        head.filter(|line| !line.starts_with("content-length: "))
            .collect()
    };
    for header in [
        r#"{"kid":"../../jwks"}"#,
        r#"{"kid":"%00"}"#,
        r#"{"kid":"a\r\nx-injected: 1"}"#,
        r#"{"kid":{"a":1},"jku":"http://127.0.0.1:1/"}"#,
        r#"{"kid":null,"alg":7}"#,
        &format!(r#"{{"kid":"{}"}}"#, "a".repeat(8000)),
    ] {
        let token = jwt(header, &claims);
        api.check(&token).await.unwrap();
        let seen = issuer.seen();
        assert_eq!(without_length(&seen), without_length(&plain));
        let body = format!("token={token}&token_type_hint=access_token");
        assert_eq!(parts(&seen).1, body);
    }
}

// req: 7662-PROJ-8
#[tokio::test]
async fn v26_a_token_that_cannot_be_the_issuers_costs_no_request() {
    let issuer = Scripted::start().await;
    let api = issuer.api_with(|settings| settings.token_prefix("toa_"));
    for foreign in [
        jwt("{}", r#"{"iss":"https://other.example"}"#),
        jwt("{}", &format!(r#"{{"iss":"{ISSUER}/"}}"#)),
        jwt("{}", "{}"),
        "x".to_owned(),
        "to".to_owned(),
        "TOA_x".to_owned(),
        format!("toa_{}", "jW3q".repeat(4096)),
    ] {
        let refusal = api.check(&foreign).await.unwrap_err();
        assert_eq!(refusal, Refusal::InvalidToken);
    }
    assert_eq!(issuer.asked(), 0);
    api.check("toa_x").await.unwrap();
    api.check(&jwt("{}", &format!(r#"{{"iss":"{ISSUER}"}}"#)))
        .await
        .unwrap();
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn v28_a_redirect_is_not_followed_wherever_it_leads() {
    let (issuer, other) = (Scripted::start().await, Scripted::start().await);
    let api = issuer.api();
    for (place, code) in [301, 302, 303, 307, 308].into_iter().enumerate() {
        for target in [
            format!("location: {}", other.endpoint()),
            "location: /introspect".to_owned(),
        ] {
            issuer.then(status(code, &[&target]));
            api.is_unavailable(&format!("t{place}"), &target).await;
            issuer.then(crate::introspection_issuer::active());
            api.check(&format!("good{place}{}", target.len()))
                .await
                .unwrap();
        }
    }
    assert_eq!(other.asked(), 0);
    assert_eq!(issuer.asked(), 20, "each was asked once");
}

/// A client that only knows one answer.
struct Canned(String);

impl HttpClient for Canned {
    async fn send(&self, _: Request<Bytes>, limit: usize) -> Result<Response<Bytes>, Unavailable> {
        assert_eq!(limit, 64 * 1024);
        let answer = Response::builder().header("content-type", "application/json");
        let answer = answer.body(Bytes::from(self.0.clone()));
        answer.map_err(Unavailable::new)
    }
}

#[tokio::test]
async fn an_issuer_may_be_asked_by_a_client_of_the_hosts() {
    let issuer = Scripted::start().await;
    let inactive = || Canned(r#"{"active":false}"#.to_owned());
    let good = || Canned(active_with(&serde_json::json!({})));
    let own = issuer.api_of(
        |server| server.http_client(inactive()),
        |issuer| issuer.http_client(good()),
    );
    own.check("x").await.unwrap();
    let shared = issuer.api_of(|server| server.http_client(inactive()), |issuer| issuer);
    assert_eq!(shared.check("x").await.unwrap_err(), Refusal::InvalidToken);
    assert_eq!(issuer.asked(), 0);
}

fn built(issuer: OpaqueIssuer) -> Result<ResourceServer, ConfigError> {
    ResourceServer::builder(LEDGER).issuer(issuer).build()
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let ready = || {
        Issuer::opaque(ISSUER)
            .client("rs", "rs-secret")
            .endpoint("https://auth.harbor.test/introspect")
    };
    assert!(built(ready()).is_ok());
    for (issuer, name) in [
        (
            Issuer::opaque(ISSUER).endpoint("https://auth.harbor.test"),
            "client",
        ),
        (ready().client("", "rs-secret"), "client"),
        (ready().client("rs", ""), "client"),
        (ready().endpoint("/introspect"), "endpoint"),
        (ready().timeout(std::time::Duration::ZERO), "timeout"),
        (
            ready().timeout(std::time::Duration::from_secs(61)),
            "timeout",
        ),
        (ready().calls_in_flight(0), "calls_in_flight"),
        (ready().calls_in_flight(usize::MAX), "calls_in_flight"),
    ] {
        let shown = format!("{issuer:?}");
        assert!(!shown.contains("rs-secret"), "{shown}");
        let error = built(issuer).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name}: ")), "{error}");
    }
    let shown = format!("{:?} {:?}", ready(), Issuer::from(ready()));
    assert!(!shown.contains("rs-secret"), "{shown}");
}

#[test]
fn v35_credentials_and_tokens_travel_encrypted_or_not_at_all() {
    let at = |issuer: &str, endpoint: &str| {
        built(
            Issuer::opaque(issuer)
                .client("rs", "rs-secret")
                .endpoint(endpoint),
        )
    };
    for plain in [
        "http://auth.harbor.test/introspect",
        "http://10.0.0.1/introspect",
        "http://127.0.0.1.harbor.test/introspect",
        "ftp://auth.harbor.test/introspect",
        "https://rs:rs-secret@auth.harbor.test/introspect",
    ] {
        let error = at(ISSUER, plain).unwrap_err();
        assert_eq!(error, ConfigError::Endpoint, "{plain}");
    }
    assert!(
        at(
            "http://auth.harbor.test",
            "https://auth.harbor.test/introspect"
        )
        .is_err()
    );
    assert!(at(ISSUER, "http://127.0.0.1:8080/introspect").is_ok());
}

#[tokio::test]
async fn v28_an_answer_that_is_too_long_is_not_read_to_its_end() {
    let issuer = Scripted::start().await;
    let api = issuer.api();
    let padded = |length: usize| {
        let good = active_with(&serde_json::json!({}));
        let padding = " ".repeat(length - good.len());
        let body = format!("{good}{padding}");
        crate::introspection_issuer::Reply::Says(answer(
            200,
            &["content-type: application/json"],
            &body,
        ))
    };
    issuer.then(padded(64 * 1024));
    api.check("t0").await.unwrap();
    issuer.always(padded(64 * 1024 + 1));
    api.is_unavailable("t1", "one byte too long").await;
    issuer.always(padded(10 * 1024 * 1024));
    api.is_unavailable("t2", "10 MiB").await;
}

#[tokio::test]
async fn a_jwt_that_names_nobody_is_shown_to_the_issuer_of_tokens_that_are_no_jwts() {
    let issuer = Scripted::start().await;
    let api = issuer.api();
    for foreign in [
        r#"{"iss":"https://other.example"}"#.to_owned(),
        r#"{"iss":null}"#.to_owned(),
        r#"{"iss":7}"#.to_owned(),
        format!(r#"{{"iss":"{ISSUER}","iss":"{ISSUER}"}}"#),
    ] {
        let refusal = api.check(&jwt("{}", &foreign)).await.unwrap_err();
        assert_eq!(refusal, Refusal::InvalidToken, "{foreign}");
    }
    assert_eq!(issuer.asked(), 0);
    api.check(&jwt("{}", r#"{"sub":"alice"}"#)).await.unwrap();
    assert_eq!(issuer.asked(), 1);
}

/// Set for another process: where the issuer is asked.
const ENDPOINT: &str = "TOWER_OAUTH_TEST_ENDPOINT";

/// Asks this issuer, in a process that [`other`] has started.
fn as_other() -> Option<ResourceServer> {
    let endpoint = std::env::var(ENDPOINT).ok()?;
    let settings = Issuer::opaque(ISSUER).client("rs", "rs-secret");
    let server = ResourceServer::builder(LEDGER).issuer(settings.endpoint(endpoint));
    Some(server.clock(ManualClock::new(NOW)).build().unwrap())
}

/// Starts this binary again with one test of this file: what the whole process is told by its environment is for that one alone.
async fn other<'a>(
    test: &str,
    issuer: &Scripted,
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let mut run = tokio::process::Command::new(std::env::current_exe().unwrap());
    run.args(["--exact", &format!("introspection_request::{test}")]);
    for name in ["TEST_LOG", "NO_PROXY", "no_proxy", "SSL_CERT_DIR"] {
        run.env_remove(name);
    }
    run.env(ENDPOINT, issuer.endpoint()).envs(environment);
    let run = run.output().await.unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn v35_no_secret_goes_to_a_proxy_that_the_environment_names() {
    if let Some(api) = as_other() {
        api.authenticate("at_1").await.unwrap();
        return;
    }
    let (issuer, proxy) = (Scripted::start().await, Scripted::start().await);
    let url = proxy.endpoint().replace("/introspect", "");
    let names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    other(
        "v35_no_secret_goes_to_a_proxy_that_the_environment_names",
        &issuer,
        names.map(|name| (name, url.as_str())),
    )
    .await;
    assert_eq!((issuer.asked(), proxy.asked()), (1, 0));
}

#[cfg(target_os = "linux")] // where a file says whom the machine trusts
#[tokio::test]
async fn v29_a_client_that_cannot_be_made_is_made_as_soon_as_it_can() {
    const TRUSTED: &str = "SSL_CERT_FILE";
    if let Some(api) = as_other() {
        let refusal = api.authenticate("at_1").await.unwrap_err();
        assert_eq!(refusal, Refusal::Unavailable, "the machine trusts nobody");
        let certificate = include_str!("keys/tls_ca.pem");
        std::fs::write(std::env::var_os(TRUSTED).unwrap(), certificate).unwrap();
        api.authenticate("at_1").await.unwrap();
        return;
    }
    let issuer = Scripted::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trusted.pem");
    other(
        "v29_a_client_that_cannot_be_made_is_made_as_soon_as_it_can",
        &issuer,
        [(TRUSTED, file.to_str().unwrap())],
    )
    .await;
    assert_eq!(issuer.asked(), 1);
}
