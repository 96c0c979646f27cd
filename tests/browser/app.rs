//! An app that asks people for access: registers itself, sends them to the server, and has a page that they come back to.

use std::collections::HashMap;

use axum::Router;
use axum::extract::Query;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_oauth::AuthorizationServer;
use tower_oauth::types::Client;
use url::Url;

use crate::https;
use crate::person::Person;

/// The pair of RFC 7636, appendix B. A real client makes a new one for each request.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) const NAME: &str = "Notes on the go";

pub(crate) struct App {
    server: String,
    client_id: String,
    redirect_uri: String,
}

/// What a device is told (RFC 8628 §3.2).
pub(crate) struct Device {
    device_code: String,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: String,
}

impl App {
    /// Registers itself at this server, and serves its page until the test ends.
    pub(crate) async fn register(server: &str) -> Self {
        Self::register_as(server, NAME).await
    }

    /// As `register`, by another name.
    pub(crate) async fn register_as(server: &str, name: &str) -> Self {
        let redirect_uri = serve("/callback").await;
        let metadata = json!({
            "client_name": name,
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
            "token_endpoint_auth_method": "none",
        });
        let request = reqwest::Client::new().post(format!("{server}/auth/register"));
        let answer = request.json(&metadata).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let client: Value = answer.json().await.unwrap();
        Self {
            server: server.to_owned(),
            client_id: client["client_id"].as_str().unwrap().to_owned(),
            redirect_uri,
        }
    }

    /// One that the host of the examples has made: on this machine it may listen at any port (RFC 8252 §7.3).
    pub(crate) async fn of_the_host(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            client_id: "app".to_owned(),
            redirect_uri: serve("/cb").await,
        }
    }

    /// One that the host of this server has made, and vouches for.
    pub(crate) async fn vouched_for(oauth: &AuthorizationServer) -> Self {
        let port = https::serve(pages("/cb")).await;
        let redirect_uri = format!("https://localhost:{port}/cb");
        let client = Client::public("app".parse().unwrap())
            .name(NAME)
            .redirect_uri(redirect_uri.parse().unwrap());
        oauth.clients().create(client).await.unwrap();
        Self {
            server: oauth.issuer().as_str().to_owned(),
            client_id: "app".to_owned(),
            redirect_uri,
        }
    }

    /// Where its page is.
    pub(crate) fn page(&self) -> String {
        self.redirect_uri.clone()
    }

    /// A page of another origin than the server's: by the name `127.0.0.1` of the same site, by `localhost` of another.
    pub(crate) fn elsewhere(&self, host: &str, html: &str) -> String {
        let mut url = Url::parse(&self.redirect_uri).unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_path("/elsewhere");
        url.query_pairs_mut().append_pair("html", html);
        url.into()
    }

    /// Where it sends people for a code.
    pub(crate) fn asks(&self, state: &str) -> String {
        self.asks_for(state, "notes:read notes:write")
    }

    /// As `asks`, and what it wants of the login besides.
    pub(crate) fn asks_with(&self, state: &str, more: &str) -> String {
        format!("{}&{more}", self.asks(state))
    }

    pub(crate) fn asks_for(&self, state: &str, scope: &str) -> String {
        let mut url = Url::parse(&format!("{}/auth/authorize", self.server)).unwrap();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", scope)
            .append_pair("state", state)
            .append_pair("code_challenge", CHALLENGE)
            .append_pair("code_challenge_method", "S256");
        url.into()
    }

    /// What a person who has come back brings along: `code` and `state`, or `error`.
    pub(crate) async fn is_told(&self, person: &Person) -> HashMap<String, String> {
        person.sees_heading("Back at the app").await;
        let url = person.url().await;
        assert!(url.as_str().starts_with(&self.redirect_uri), "{url}");
        url.query_pairs().into_owned().collect()
    }

    /// Alice, who is not signed in, lets it use her account. Gives its tokens.
    pub(crate) async fn is_allowed(&self, person: &Person) -> Value {
        person.open(&self.asks("allowed")).await;
        person.sign_in("alice", "wonderland").await;
        person.press("Allow").await;
        let told = self.is_told(person).await;
        self.tokens(&told["code"]).await
    }

    /// Whether the API knows this token.
    pub(crate) async fn may_use(&self, access_token: &str) -> bool {
        let request = reqwest::Client::new().get(format!("{}/api/whoami", self.server));
        let answer = request.bearer_auth(access_token).send().await.unwrap();
        answer.status() == 200
    }

    /// The scope of the token that a code gives.
    pub(crate) async fn redeems(&self, code: &str) -> Result<String, String> {
        scope(&self.tokens(code).await)
    }

    /// The answer to a code.
    pub(crate) async fn tokens(&self, code: &str) -> Value {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    pub(crate) async fn device(&self) -> Device {
        let form = [
            ("client_id", self.client_id.as_str()),
            ("scope", "notes:read"),
        ];
        let request = reqwest::Client::new().post(format!("{}/auth/device", self.server));
        let answer: Value = request
            .form(&form)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Device {
            device_code: text("device_code"),
            user_code: text("user_code"),
            verification_uri: text("verification_uri"),
            verification_uri_complete: text("verification_uri_complete"),
        }
    }

    /// The scope of the token that the device gets, or why it gets none.
    pub(crate) async fn polls(&self, device: &Device) -> Result<String, String> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", &device.device_code),
        ];
        scope(&self.token(&form).await)
    }

    async fn token(&self, form: &[(&str, &str)]) -> Value {
        let form = [form, &[("client_id", &self.client_id)]].concat();
        let request = reqwest::Client::new().post(format!("{}/auth/token", self.server));
        request
            .form(&form)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}

fn scope(answer: &Value) -> Result<String, String> {
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    text("scope").ok_or_else(|| text("error").unwrap())
}

/// Serves the page that people come back to, and says where.
async fn serve(path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = pages(path);
    tokio::spawn(async { axum::serve(listener, pages).await });
    format!("http://{address}{path}")
}

fn pages(path: &str) -> Router {
    Router::new()
        .route(path, get(came_back))
        .route("/elsewhere", get(elsewhere))
}

/// Whatever a test wants a page of another origin to be.
async fn elsewhere(Query(html): Query<HashMap<String, String>>) -> Html<String> {
    let head = "<!DOCTYPE html><html lang=en><title>Elsewhere</title><link rel=icon href=data:,>";
    Html(format!("{head}{}", html["html"]))
}

/// Has a script, so that one sees whether scripts run.
async fn came_back() -> Html<&'static str> {
    Html(
        "<!DOCTYPE html><html lang=en><title>App</title><link rel=icon href=data:,><h1>Back at the app</h1><p id=said>No script has run.</p>\
         <script>document.getElementById('said').textContent = 'A script has run.'</script>",
    )
}
