//! The provider as a process, and an API on a socket that takes its tokens.
//!
//! Included by `#[path = "support/provider.rs"] mod provider;`, beside `example` and `npm`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use axum::{Router, routing::get};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_oauth::resource::ResourceServerBuilder;
use tower_oauth::types::SigningKey;
use url::Url;

use crate::example::Example;
use crate::npm;

/// The API that the provider's tokens are for.
pub(crate) const NOTES: &str = "https://api.example/notes";

/// The secret of the clients that ask about tokens.
pub(crate) const API_SECRET: &str = "s3cret+with %/:chars";

/// The key of the one that has none: it opens nothing but the provider of a test.
pub(crate) const API_KEY: &str = r#"{"kty":"EC","x":"2YzksUXE459n50rhRIaXnRMAehQljBhmoTzKPPZRXrc","y":"LM26d86bI-5JAR0pltiQlMmyua5Jz_R9naRyjarPzBI","crv":"P-256","d":"HRJSkyCrDuaG9EaFkyFVfOKIGC6EotR1OvTiW2ApUr4"}"#;

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const REDIRECT_URI: &str = "https://app.example/cb";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// `tests/oidc_provider/server.mjs`, running.
pub(crate) struct Provider {
    process: Example,
    stopped: Stopped,
}

/// One that is down, and can be started again where it was.
pub(crate) struct Stopped {
    folder: PathBuf,
    url: String,
}

impl Provider {
    /// Starts one with keys of its own. `None` if this is to be skipped.
    pub(crate) fn start() -> Option<Self> {
        static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| npm::install("oidc_provider", &["server.mjs"]));
        let stopped = Stopped {
            folder: folder.clone()?,
            url: "http://127.0.0.1:0".to_owned(),
        };
        Some(stopped.start())
    }

    /// The issuer identifier.
    pub(crate) fn url(&self) -> &str {
        self.process.base()
    }

    /// Kills it, as it is.
    pub(crate) fn stop(self) -> Stopped {
        Stopped {
            url: self.process.base().to_owned(),
            ..self.stopped
        }
    }

    /// A token that a client got for itself.
    pub(crate) async fn token(&self, resource: &str) -> String {
        let resource = format!("https://api.example/{resource}");
        self.token_for(Some(&resource)).await
    }

    pub(crate) async fn token_for(&self, resource: Option<&str>) -> String {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("scope", "notes:read"),
        ];
        form.extend(resource.map(|resource| ("resource", resource)));
        let request = client().post(format!("{}/token", self.url()));
        let request = request.basic_auth("job", Some("job-secret"));
        access_token(request.form(&form).send().await.unwrap()).await
    }

    /// What an app got that "ada" has signed in to.
    pub(crate) async fn tokens_of_ada(&self, resource: &str) -> Value {
        let resource = format!("https://api.example/{resource}");
        let elsewhere = Policy::custom(|attempt| match attempt.url().host_str() {
            Some("127.0.0.1") => attempt.follow(),
            _ => attempt.stop(),
        });
        let browser = Client::builder().cookie_store(true).redirect(elsewhere);
        let browser = browser.timeout(PATIENCE).build().unwrap();
        let query = [
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", REDIRECT_URI),
            ("scope", "openid notes:read"),
            ("resource", &resource),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let url = Url::parse_with_params(&format!("{}/auth", self.url()), query).unwrap();
        let answer = browser.get(url).send().await.unwrap();
        let back = answer.headers()["location"].to_str().unwrap();
        let back = Url::parse(back).unwrap();
        let code = back.query_pairs().find(|(name, _)| name == "code");
        let (_, code) = code.unwrap_or_else(|| panic!("no code: {back}"));
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "app"),
            ("code", &code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
            ("resource", &resource),
        ];
        let request = browser.post(format!("{}/token", self.url())).form(&form);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn revoke(&self, token: &str) {
        let request = client().post(format!("{}/token/revocation", self.url()));
        let request = request.basic_auth("job", Some("job-secret"));
        let answer = request.form(&[("token", token)]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// One of the switches that were added to it.
    pub(crate) async fn post(&self, path: &str) {
        let request = client().post(format!("{}{path}", self.url()));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

impl Stopped {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Starts it, with other keys and nothing of what it knew.
    pub(crate) fn start(self) -> Provider {
        let (_, port) = self.url.rsplit_once(':').unwrap();
        let kid = SigningKey::from_jwk(API_KEY).unwrap().kid().to_owned();
        let mut public: Value = serde_json::from_str(API_KEY).unwrap();
        public.as_object_mut().unwrap().remove("d");
        // The provider names no key itself that a client registers, and asks for the name that an assertion says.
        public["kid"] = kid.into();
        let mut node = Command::new("node");
        node.args(["server.mjs", port, &public.to_string()])
            .current_dir(&self.folder);
        Provider {
            process: Example::run(&mut node, "npm was there, so node is"),
            stopped: self,
        }
    }
}

/// One for all, since making one takes a while. Each test has a runtime of its own, so no connection is kept for the next.
fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let builder = Client::builder().pool_max_idle_per_host(0);
        builder.timeout(PATIENCE).build().unwrap()
    })
}

/// A token of the demo's own client.
pub(crate) async fn job_of_the_demo(demo: &Example) -> String {
    let request = client().post(format!("{}/auth/token", demo.base()));
    let request = request.basic_auth("demo-job", Some("demo-job-secret"));
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "notes:read"),
    ];
    access_token(request.form(&form).send().await.unwrap()).await
}

async fn access_token(answer: Response) -> String {
    let body: Value = answer.json().await.unwrap();
    let token = body["access_token"].as_str();
    token
        .unwrap_or_else(|| panic!("no token: {body}"))
        .to_owned()
}

/// An API that tells callers who they are, if their token may read.
pub(crate) struct Api {
    url: String,
    serving: JoinHandle<()>,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) challenge: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) async fn serve(settings: ResourceServerBuilder) -> Self {
        let api = settings.build().unwrap();
        let whoami = get(crate::whoami).route_layer(api.require("notes:read"));
        let app = Router::new().route("/", whoami).route_layer(api.layer());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, serving }
    }

    pub(crate) async fn ask(&self, token: &str) -> Answer {
        let request = client().get(&self.url).bearer_auth(token);
        let answer = request.send().await.unwrap();
        let header = |name| {
            let value = answer.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        Answer {
            status: answer.status().as_u16(),
            challenge: header("www-authenticate"),
            retry_after: header("retry-after"),
            body: answer.json().await.unwrap_or_default(),
        }
    }

    /// The token is none: 401.
    pub(crate) async fn refuses(&self, token: &str) {
        let answer = self.ask(token).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        let challenge = answer.challenge.as_deref().unwrap_or_default();
        assert!(challenge.contains(r#"error="invalid_token""#), "{answer:?}");
    }

    /// Nobody knows whether the token is one: 503, and when to ask again.
    pub(crate) async fn cannot_say(&self, token: &str) {
        let answer = self.ask(token).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        let retry_after = answer.retry_after.as_deref().map(str::parse::<u32>);
        assert!(matches!(retry_after, Some(Ok(1..))), "{answer:?}");
        assert_eq!(answer.challenge, None, "its holder is to keep it");
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
