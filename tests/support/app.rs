//! An app that registered itself, built on the published `oauth2` crate, and the person who uses it.

use std::fmt::Display;
use std::time::Duration;

use oauth2::basic::{BasicClient, BasicTokenResponse};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, DeviceAuthorizationUrl, EndpointNotSet,
    EndpointSet, ErrorResponseType, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RefreshToken, RequestTokenError, Scope, StandardDeviceAuthorizationResponse,
    StandardErrorResponse, TokenResponse as _, TokenUrl,
};
use serde_json::{Value, json};

use super::browser::{Browser, Page};

/// Nobody listens there: the browser is stopped before it goes.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:47813/callback";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

type OAuth2 = BasicClient<EndpointSet, EndpointSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

pub(crate) struct App {
    client: OAuth2,
    base: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) scope: String,
}

impl Tokens {
    fn of(answer: &BasicTokenResponse) -> Self {
        let scopes = answer.scopes().into_iter().flatten();
        let scopes: Vec<_> = scopes.map(|scope| scope.as_str()).collect();
        Self {
            access: answer.access_token().secret().clone(),
            refresh: answer.refresh_token().unwrap().secret().clone(),
            scope: scopes.join(" "),
        }
    }
}

/// A code, and what it takes to redeem it.
pub(crate) struct Code {
    pub(crate) code: String,
    pub(crate) verifier: String,
}

impl App {
    /// Registers itself (RFC 7591) and says under which id.
    pub(crate) async fn register(base: &str) -> String {
        let metadata = json!({
            "client_name": "Notes on the go",
            "redirect_uris": [REDIRECT_URI],
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
            "token_endpoint_auth_method": "none",
        });
        let request = reqwest::Client::new().post(format!("{base}/auth/register"));
        let request = request.timeout(PATIENCE);
        let answer = request.json(&metadata).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let client: Value = answer.json().await.unwrap();
        client["client_id"].as_str().unwrap().to_owned()
    }

    /// The app with this id, at the server that is found there.
    pub(crate) fn new(base: &str, client_id: &str) -> Self {
        let at = |path: &str| format!("{base}{path}");
        let client = BasicClient::new(ClientId::new(client_id.to_owned()))
            .set_auth_uri(AuthUrl::new(at("/auth/authorize")).unwrap())
            .set_token_uri(TokenUrl::new(at("/auth/token")).unwrap())
            .set_device_authorization_url(DeviceAuthorizationUrl::new(at("/auth/device")).unwrap())
            .set_redirect_uri(RedirectUrl::new(REDIRECT_URI.to_owned()).unwrap());
        Self {
            client,
            base: base.to_owned(),
        }
    }

    /// Sends a browser to the server, which asks to sign in; gives the page after that, the `state`, and what proves the app.
    pub(crate) async fn ask(&self, browser: &Browser, scope: &str) -> (Page, String, String) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let request = self.client.authorize_url(CsrfToken::new_random);
        let (url, state) = request
            .add_scope(Scope::new(scope.to_owned()))
            .set_pkce_challenge(challenge)
            .url();
        let login = browser.open(url.as_str()).await;
        let page = browser.submit(&login, &ALICE, "Sign in").await;
        (page, state.into_secret(), verifier.into_secret())
    }

    /// A code from alice, with all the pages that it takes.
    pub(crate) async fn code(&self, scope: &str) -> Code {
        let browser = Browser::new();
        let (consent, state, verifier) = self.ask(&browser, scope).await;
        let there = browser.submit(&consent, &[], "Allow").await;
        assert!(there.url.as_str().starts_with(REDIRECT_URI), "{there:?}");
        assert_eq!(there.parameter("state").as_ref(), Some(&state));
        let code = there.parameter("code").unwrap();
        Code { code, verifier }
    }

    pub(crate) async fn redeem(&self, code: &Code) -> Result<Tokens, String> {
        let code_value = AuthorizationCode::new(code.code.clone());
        let request = self.client.exchange_code(code_value);
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(code.verifier.clone()));
        request
            .request_async(&send)
            .await
            .map(|answer| Tokens::of(&answer))
            .map_err(refused)
    }

    pub(crate) async fn refresh(&self, tokens: &Tokens) -> Result<Tokens, String> {
        let token = RefreshToken::new(tokens.refresh.clone());
        let request = self.client.exchange_refresh_token(&token);
        request
            .request_async(&send)
            .await
            .map(|answer| Tokens::of(&answer))
            .map_err(refused)
    }

    /// A device code, and the code that the person types in.
    pub(crate) async fn device(&self, scope: &str) -> StandardDeviceAuthorizationResponse {
        let request = self.client.exchange_device_code();
        let request = request.add_scope(Scope::new(scope.to_owned()));
        request.request_async(&send).await.unwrap()
    }

    /// Alice types the code in at her browser, and presses a button of the page that asks her.
    pub(crate) async fn decide(
        &self,
        device: &StandardDeviceAuthorizationResponse,
        button: &str,
    ) -> Page {
        let (browser, typed) = (Browser::new(), device.user_code().secret().to_lowercase());
        let page = browser.open(&format!("{}/device", self.base)).await;
        let login = browser.submit(&page, &[("Code", &typed)], "Continue").await;
        let consent = browser.submit(&login, &ALICE, "Sign in").await;
        assert!(
            consent.html.contains(device.user_code().secret()),
            "{consent:?}"
        );
        browser.submit(&consent, &[], button).await
    }

    /// Polls until it is told; `meanwhile` happens between two polls in place of waiting.
    pub(crate) async fn poll<F: Future<Output = ()> + Send>(
        &self,
        device: &StandardDeviceAuthorizationResponse,
        meanwhile: impl Fn() -> F + Sync,
    ) -> Result<Tokens, String> {
        let request = self.client.exchange_device_access_token(device);
        let answer = request.request_async(&send, |_| meanwhile(), None).await;
        answer.map(|answer| Tokens::of(&answer)).map_err(refused)
    }
}

const ALICE: [(&str, &str); 2] = [("Username", "alice"), ("Password", "wonderland")];

/// What the `oauth2` crate sends its requests with.
async fn send(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.timeout(PATIENCE);
    let answer = http.build()?.execute(request.try_into()?).await?;
    let mut response = HttpResponse::new(Vec::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    *response.body_mut() = answer.bytes().await?.into();
    Ok(response)
}

/// The error code of the answer.
fn refused<T: ErrorResponseType + Display + 'static>(
    error: RequestTokenError<reqwest::Error, StandardErrorResponse<T>>,
) -> String {
    match error {
        RequestTokenError::ServerResponse(answer) => answer.error().to_string(),
        other => panic!("{other:?}"),
    }
}
