//! The pending request and its answer as JSON, for hosts whose pages are programs in the browser.
//!
//! The same request, host, rules and functions as for the pages: only what is said is written in another way. Its documentation is that
//! of [`consent_page`](super::AuthorizationServerBuilder::consent_page).

use std::net::IpAddr;
use std::slice;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::approve::{ask_host, go_on};
use super::authorization_response::{
    EXPIRED, FORGED, SentOn, page_decided, page_error, page_forged, page_gone,
};
use super::consent::{is_own, value_for};
use super::interaction::{Decision, PendingRequest};
use super::waiting::Waiting;
use super::{Answer, Endpoint, Inner, sign_in};
use crate::pages::{Message, Page, display_name};
use crate::protocol::error::{self, OAuthError, Refused};
use crate::protocol::form::Form;
use crate::types::{Client, Prompt, RedirectUri, RegisteredBy, Secret};

/// Whether who asks would rather have JSON than a page. Browsers that go somewhere ask for pages, and `*/*` is no wish.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let accepted: Vec<_> = accepted.filter_map(|value| value.to_str().ok()).collect();
    let quality = |media_type: &str| {
        let mut best = 0.0;
        for range in accepted.iter().flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            if !parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(media_type))
            {
                continue;
            }
            let q = parts.find_map(|part| part.strip_prefix("q="));
            best = f32::max(best, q.map_or(1.0, |q| q.parse().unwrap_or(0.0)));
        }
        best
    };
    quality("application/json") > quality("text/html")
}

/// Whether the body says that it is JSON.
pub(crate) fn is_sent(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// The owner's answer.
#[derive(Deserialize)]
struct Sent {
    interaction: String,
    csrf: String,
    decision: String,
    scope: Option<String>,
}

/// What the owner has said, by the rules of the form.
pub(crate) async fn answer(server: &Inner, request: &Request<Bytes>) -> Answer {
    let sent = serde_json::from_slice::<Sent>(request.body()).ok();
    // A list of the same values would be read as one, too.
    let is_object = request.body().trim_ascii_start().starts_with(b"{");
    let Some(sent) = sent.filter(|_| is_object) else {
        let error = OAuthError::invalid_request("The body is not the JSON of an answer");
        return error.to_response().into();
    };
    let id = Secret::new(sent.interaction);
    let scope = sent.scope.map(|scope| ("scope", scope));
    let said = [("csrf", sent.csrf), ("decision", sent.decision)];
    let form = Form::of(said.into_iter().chain(scope));
    as_json(go_on(server, id, request, &form).await)
}

/// What waits, and what is to be done next.
pub(crate) async fn view(server: &Inner, id: Secret, request: &Request<Bytes>) -> Answer {
    let shown = try_view(server, id, request).await;
    as_json(shown.unwrap_or_else(|error| page_error(&error).into()))
}

async fn try_view(
    server: &Inner,
    id: Secret,
    request: &Request<Bytes>,
) -> Result<Answer, OAuthError> {
    let site = request.headers().get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return Ok(page_forged().into());
    }
    let Some(mut waiting) = Waiting::find(server, id).await? else {
        return Ok(page_gone().into());
    };
    if waiting.is_decided() {
        return Ok(page_decided().into());
    }
    let decision = ask_host(server, &waiting, request).await;
    let decision = match sign_in::look(server, &mut waiting, decision).await {
        Ok(decision) => decision,
        Err(answer) => return Ok(answer),
    };
    let id = waiting.id.expose().to_owned();
    let next = match decision {
        Decision::Login => match &server.config.login_path {
            Some(path) => Next::Login {
                login: Inner::with_interaction(path, &id),
            },
            None => Next::Host,
        },
        Decision::Ask(signed_in) if !waiting.is_refused() => {
            let Some(csrf) = value_for(server, &mut waiting, &signed_in.subject).await? else {
                return Ok(page_decided().into());
            };
            Next::Consent {
                csrf: String::from(csrf),
                signed_in: Person {
                    sub: signed_in.subject.as_str().to_owned(),
                    name: signed_in.name,
                },
            }
        }
        // Nothing is decided by looking: the browser goes there, and what the host says is done.
        Decision::Ask(_) | Decision::Approve(_) | Decision::Deny => Next::Continue {
            r#continue: server.resume_path(&id),
        },
        Decision::Respond(_) | Decision::Forward => Next::Host,
    };
    let pending = waiting.pending(server);
    Ok(error::json(StatusCode::OK, &View::new(server, &pending, next)).into())
}

#[derive(Serialize)]
struct View<'a> {
    interaction: &'a str,
    client: Application<'a>,
    scope: Vec<Described<'a>>,
    resources: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Device<'a>>,
    /// In seconds.
    lifetime: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prompt: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ui_locales: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// Where the answer is posted to.
    action: &'a str,
    #[serde(flatten)]
    next: Next,
}

#[derive(Serialize)]
#[serde(tag = "next", rename_all = "snake_case")]
enum Next {
    Login { login: String },
    Consent { csrf: String, signed_in: Person },
    Continue { r#continue: String },
    Host,
}

#[derive(Serialize)]
struct Person {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Application<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_name: String,
    vouched_for: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tos_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_uri: Option<&'a str>,
}

#[derive(Serialize)]
struct Described<'a> {
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Serialize)]
struct Device<'a> {
    user_code: &'a str,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
}

impl<'a> View<'a> {
    fn new(server: &'a Inner, pending: &'a PendingRequest, next: Next) -> Self {
        let words = &server.config.scope_descriptions;
        let scope = pending.scope().iter().map(|token| Described {
            scope: token.as_str(),
            description: words.get(token.as_str()).map(String::as_str),
        });
        let device = pending.user_code().map(|user_code| Device {
            user_code,
            age: pending
                .device_asked_at()
                .map(|at| server.now().since(at).as_secs()),
            address: pending.device_address(),
        });
        Self {
            interaction: pending.id(),
            client: Application::new(pending.client(), pending.redirect_uri()),
            scope: scope.collect(),
            resources: pending
                .resources()
                .iter()
                .map(crate::types::ResourceUri::as_str)
                .collect(),
            redirect_uri: pending.redirect_uri().map(RedirectUri::as_str),
            device,
            lifetime: pending.lifetime().as_secs(),
            prompt: pending
                .prompt()
                .iter()
                .copied()
                .map(Prompt::as_str)
                .collect(),
            login_hint: pending.login_hint(),
            ui_locales: pending.ui_locales(),
            error: pending.error(),
            action: server.path(Endpoint::Authorize),
            next,
        }
    }
}

impl<'a> Application<'a> {
    fn new(client: &'a Client, goes_to: Option<&RedirectUri>) -> Self {
        let vouched_for = client.registered_by == RegisteredBy::Host;
        // By the rules of the page: https alone, and of a client that registered itself only what is at the host the answer goes to.
        let uri = |member| {
            let uri = client.metadata.get(member)?.as_str()?;
            (uri.starts_with("https://")
                && is_own(client, uri, goes_to.map_or(&[], slice::from_ref)))
            .then_some(uri)
        };
        Self {
            client_id: client.client_id.as_str(),
            client_name: display_name(client.client_name(), ""),
            vouched_for,
            client_uri: uri("client_uri"),
            policy_uri: uri("policy_uri"),
            tos_uri: uri("tos_uri"),
            logo_uri: uri("logo_uri").filter(|_| vouched_for),
        }
    }
}

/// What an answer of ours says, in JSON. What the host itself has answered stays as it is.
fn as_json(answer: Answer) -> Answer {
    let Answer::Respond(mut response) = answer else {
        return answer;
    };
    let sent_on = response.extensions_mut().remove::<SentOn>();
    // A page that is left there would take the place of the JSON.
    let said = match response.extensions_mut().remove::<Page>() {
        Some(Page::Message(message)) => Some(message),
        _ => None,
    };
    let refused = response.extensions().get::<Refused>().cloned();
    // What is told of it is what stands there.
    let error = |error, description| Refused {
        error,
        description,
        ..refused.clone().unwrap_or_default()
    };
    let (status, said) = match (sent_on, said) {
        (Some(SentOn), _) => (
            StatusCode::OK,
            Ok(json!({ "redirect_to": location(&response) })),
        ),
        (_, Some(Message::DeviceConnected)) => {
            (StatusCode::OK, Ok(json!({ "status": "device_connected" })))
        }
        (_, Some(Message::DeviceDenied)) => (StatusCode::OK, Ok(json!({ "status": "denied" }))),
        (_, Some(Message::Expired)) => {
            let error = error("unknown_interaction", EXPIRED.description);
            (StatusCode::NOT_FOUND, Err(error))
        }
        (_, Some(Message::Answered)) => {
            let text = "The request was answered before, and an answer is final";
            (StatusCode::CONFLICT, Err(error("already_decided", text)))
        }
        (_, Some(Message::Forged)) => {
            let error = error("forged", FORGED.description);
            (StatusCode::FORBIDDEN, Err(error))
        }
        _ => match refused {
            Some(refused) => (response.status(), Err(refused)),
            None => return response.into(),
        },
    };
    let body = said.unwrap_or_else(|refused| {
        let body = json!({ "error": refused.error, "error_description": refused.description });
        response.extensions_mut().insert(refused);
        body
    });
    let mut told = error::json(status, &body);
    for name in [RETRY_AFTER, ALLOW] {
        if let Some(value) = response.headers_mut().remove(&name) {
            told.headers_mut().insert(name, value);
        }
    }
    *told.extensions_mut() = std::mem::take(response.extensions_mut());
    told.into()
}

fn location(response: &Response<Bytes>) -> Option<&str> {
    response.headers().get(LOCATION)?.to_str().ok()
}
