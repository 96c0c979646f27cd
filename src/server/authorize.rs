//! The authorization endpoint (RFC 6749 §3.1, §4.1.1; RFC 7636 §4.3; RFC 8707 §2.1).
//!
//! A new request is checked, with how it asks its owner to sign in (OpenID Connect Core 1.0 §3.1.2.1, RFC 9470 §4), put into the store
//! under an opaque id, and decided by the host. Whatever the browser brings later is that id alone, and an answer by form or JSON.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};

use super::approve;
use super::authorization_response::{
    Address, UNKNOWN_APPLICATION, UNREGISTERED_ADDRESS, page_error,
};
use super::connected_apps;
use super::throttle::Attempt;
use super::waiting::Waiting;
use super::{Answer, Inner, interaction_json, seen};
use crate::grant::{Asked, step_up};
use crate::protocol::error::{ErrorCode, OAuthError};
use crate::protocol::form::Form;
use crate::types::record::{Flow, Interaction, InteractionState};
use crate::types::{
    AuthenticationRequest, Client, ClientId, CodeChallenge, GrantType, RedirectUri, RegisteredBy,
    ResourceUri, Scope, Secret,
};

/// The longest `state` that is carried; longer ones are refused, never cut.
const STATE: usize = 4096;

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Answer {
    if request.method() == Method::POST && interaction_json::is_sent(request.headers()) {
        return interaction_json::answer(server, request).await;
    }
    let form = match *request.method() {
        Method::GET => Form::from_query(request.uri()),
        Method::POST => Form::from_body(request.headers(), request.body()),
        _ => return page_error(&OAuthError::method_not_allowed("GET, HEAD, POST")).into(),
    };
    let form = match form {
        Ok(form) => form,
        Err(error) => return page_error(&error).into(),
    };
    let reads = request.method() == Method::GET;
    match form.one("interaction") {
        Ok(Some(connected_apps::LOGIN)) => connected_apps::come_back(server).into(),
        Ok(Some(id)) if reads && interaction_json::is_wanted(request.headers()) => {
            interaction_json::view(server, Secret::new(id), request).await
        }
        Ok(Some(id)) => approve::go_on(server, Secret::new(id), request, &form).await,
        Ok(None) => begin(server, request, &form).await,
        Err(error) => page_error(&error).into(),
    }
}

async fn begin(server: &Inner, request: &Request<Bytes>, form: &Form<'_>) -> Answer {
    let proven = match prove(server, request, form).await {
        Ok(proven) => proven,
        Err(error) => return page_error(&error).into(), // RFC 6749 §4.1.2.1: MUST NOT redirect
    };
    let mut told = None;
    let waiting = match check(server, form, &proven) {
        Ok(asked) => wait(server, request, &proven, asked).await,
        // The address of a client that registered itself is shown first, and nobody is sent there by itself.
        Err(error) if proven.client.registered_by == RegisteredBy::Itself => Err(error),
        // No page may be shown, not even a login; a valid silent request goes back without one as well.
        Err(error) if step_up::is_silent(form) => Err(error),
        Err(error) => {
            told = Some(error.refused());
            wait(server, request, &proven, refused(&proven, &error)).await
        }
    };
    match waiting {
        Ok(waiting) => {
            let mut answer = approve::decide(server, waiting, request).await;
            // It is told now, though the client will hear of it later.
            if let (Answer::Respond(response), Some(refused)) = (&mut answer, told) {
                response.extensions_mut().insert(refused);
            }
            answer
        }
        Err(error) => {
            let (issuer, client) = (&server.config.issuer, &proven.client);
            let Proven {
                redirect_uri,
                state,
                ..
            } = &proven;
            Address {
                issuer,
                client,
                redirect_uri,
                state: state.as_deref(),
            }
            .error(&error)
            .into()
        }
    }
}

/// What is asked for, and by which flow.
struct AskedFor {
    flow: Flow,
    scope: Scope,
    resources: Vec<ResourceUri>,
    authentication: Option<AuthenticationRequest>,
}

/// An invalid request waits for its owner like any other: nobody is sent away with an error before they have signed in, so that a
/// link to us is no way to somewhere else (RFC 9700 §4.11.2: MUST, silent authentication apart).
fn refused(proven: &Proven, error: &OAuthError) -> AskedFor {
    let flow = Flow::Refused {
        redirect_uri: proven.redirect_uri.clone(),
        state: proven.state.clone(),
        error: error.code.as_str().to_owned(),
        error_description: error.description.to_owned(),
    };
    AskedFor {
        flow,
        scope: Scope::empty(),
        resources: Vec::new(),
        authentication: None,
    }
}

/// A client and an address that its answers may go to: from here on, errors go there.
struct Proven {
    client: Arc<Client>,
    redirect_uri: RedirectUri,
    redirect_uri_was_named: bool,
    state: Option<String>,
}

async fn prove(
    server: &Inner,
    request: &Request<Bytes>,
    form: &Form<'_>,
) -> Result<Proven, OAuthError> {
    let client_id: ClientId = form
        .required("client_id", "client_id is missing")?
        .parse()
        .map_err(|_| UNKNOWN_APPLICATION)?;
    let now = server.now();
    let begins = Attempt::AuthorizationRequest(&client_id);
    server.take(begins, server.address(request), now).await?;
    let known = server.client(&client_id, now).await?;
    let client = known
        .map(|known| Arc::clone(&known.client))
        .filter(|client| !client.disabled);
    let client = client.ok_or(UNKNOWN_APPLICATION)?;
    seen::client(&client.client_id);
    let named = form.one("redirect_uri")?;
    let redirect_uri = redirect_uri(&client, named)?;
    // A repeated state is an error of the request, told there without one; so is one that is too long, which is kept nowhere.
    let state = form.one("state").unwrap_or_default();
    let state = state.filter(|state| state.len() <= STATE);
    let state = state.map(ToOwned::to_owned);
    Ok(Proven {
        client,
        redirect_uri,
        redirect_uri_was_named: named.is_some(),
        state,
    })
}

/// RFC 6749 §3.1.2.3: the one that is named must match a registered one; none need be named if only one is registered.
fn redirect_uri(client: &Client, named: Option<&str>) -> Result<RedirectUri, OAuthError> {
    match (named, client.redirect_uris.as_slice()) {
        (Some(uri), registered) if registered.iter().any(|ours| ours.matches(uri)) => {
            uri.parse().map_err(|_| UNREGISTERED_ADDRESS)
        }
        (None, [only]) => Ok(only.clone()),
        _ => Err(UNREGISTERED_ADDRESS),
    }
}

/// Puts the request into the store.
async fn wait(
    server: &Inner,
    request: &Request<Bytes>,
    proven: &Proven,
    asked: AskedFor,
) -> Result<Waiting, OAuthError> {
    let expires_at = server
        .now()
        .saturating_add(server.config.lifetimes.interaction);
    let client_id = proven.client.client_id.clone();
    let record = Interaction {
        client_id,
        scope: asked.scope,
        resources: asked.resources,
        flow: asked.flow,
        authentication: asked.authentication,
        expires_at,
        state: InteractionState::Waiting,
        answered: None,
        language: server.config.pages.language(request.headers()),
    };
    Waiting::keep(server, proven.client.clone(), |_| record).await
}

/// Checks the rest (RFC 6749 §4.1.1: all of it, before anybody is asked).
fn check(server: &Inner, form: &Form<'_>, proven: &Proven) -> Result<AskedFor, OAuthError> {
    let state = form.one("state")?;
    if state.is_some_and(|state| state.len() > STATE || state.chars().any(char::is_control)) {
        return Err(OAuthError::invalid_request(
            "state is too long or malformed",
        ));
    }
    if form.required("response_type", "response_type is missing")? != "code"
        || !server.is_on(GrantType::AuthorizationCode)
    {
        return Err(OAuthError::new(
            ErrorCode::UnsupportedResponseType,
            "Only response_type code is supported",
        ));
    }
    if !proven.client.may_use(GrantType::AuthorizationCode) {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "The client may not use response_type code",
        ));
    }
    if form
        .one("response_mode")?
        .is_some_and(|mode| mode != "query")
    {
        return Err(OAuthError::invalid_request(
            "Only response_mode query is supported",
        ));
    }
    let flow = Flow::Code {
        redirect_uri: proven.redirect_uri.clone(),
        redirect_uri_was_named: proven.redirect_uri_was_named,
        state: proven.state.clone(),
        challenge: challenge(form)?,
    };
    let (scope, resources) = server
        .config
        .catalog
        .resolve(&Asked::parse(form)?, &proven.client)?;
    let authentication = step_up::parse(form, server.now())?;
    Ok(AskedFor {
        flow,
        scope,
        resources,
        authentication,
    })
}

/// RFC 7636 §4.3, §4.4.1: S256, from everyone.
fn challenge(form: &Form<'_>) -> Result<CodeChallenge, OAuthError> {
    let challenge = form.required(
        "code_challenge",
        "code_challenge is missing: PKCE is required",
    )?;
    match form.one("code_challenge_method")? {
        Some("S256") => {}
        _ => {
            return Err(OAuthError::invalid_request(
                "code_challenge_method must be S256",
            ));
        }
    }
    challenge
        .parse()
        .map_err(|_| OAuthError::invalid_request("code_challenge is malformed"))
}
