//! The page where people type device codes in (RFC 8628 §3.3).

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use super::authorization_response::{FORGED_CODE, page_error, see_other};
use super::consent_answer::is_same_origin;
use super::device;
use super::throttle::Attempt;
use super::waiting::Waiting;
use super::{Answer, Endpoint, Event, Inner};
use crate::pages::{self, DeviceCode, Page};
use crate::protocol::error::OAuthError;
use crate::protocol::form::Form;
use crate::types::record::{Device, DeviceState, Flow, Interaction, InteractionState, UserCode};
use crate::types::{Client, Digest, Secret};

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Answer {
    let answer = match *request.method() {
        Method::GET => show(server, request),
        Method::POST => enter(server, request).await,
        _ => Err(OAuthError::method_not_allowed("GET, HEAD, POST")),
    };
    answer.unwrap_or_else(|error| page_error(&error)).into()
}

/// The form. A code in the URL is filled in and nothing more (RFC 8628 §3.3.1).
fn show(server: &Inner, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
    let form = Form::from_query(request.uri())?;
    let user_code = form
        .one("user_code")?
        .map(device::normal)
        .map(|code| device::shown(&code))
        .filter(|code| !code.is_empty());
    Ok(code_page(server, StatusCode::OK, user_code))
}

fn code_page(server: &Inner, status: StatusCode, user_code: Option<String>) -> Response<Bytes> {
    let page = DeviceCode {
        action: server.path(Endpoint::Verification).to_owned(),
        user_code,
        is_wrong: status == StatusCode::BAD_REQUEST,
    };
    pages::page(status, Page::DeviceCode(page))
}

/// A code was typed in: the request that it stands for waits for its owner from now on.
async fn enter(server: &Inner, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
    let now = server.now();
    let address = server.address(request);
    if !is_same_origin(server, request.headers()) {
        return Err(FORGED_CODE);
    }
    // What cannot be read is no guess, and is not counted.
    let form = Form::from_body(request.headers(), request.body())?;
    let typed = form
        .one("user_code")?
        .map(device::normal)
        .unwrap_or_default();
    // Counted before it is known to be wrong: of guesses at the same time, no more are answered than one after the other.
    server.take(Attempt::UserCode, address, now).await?;
    let found = find(server, &typed).await;
    if !matches!(found, Ok(None)) {
        // A right code is no try, and an outage of ours neither.
        let throttle = &server.throttle;
        throttle.give_back(Attempt::UserCode, address, now).await;
    }
    let Some((digest, device, client)) = found? else {
        server.tell(&Event::UserCodeWrong {});
        // One sentence for a wrong, an expired and a used code.
        return Ok(code_page(server, StatusCode::BAD_REQUEST, None));
    };
    // A right one makes a request that waits, and so is counted as one.
    let waits = Attempt::AuthorizationRequest(&device.client_id);
    server.take(waits, address, now).await?;
    let expires_at = now.saturating_add(server.config.lifetimes.interaction);
    let record = |id: &Secret| Interaction {
        client_id: device.client_id,
        scope: device.scope,
        resources: device.resources,
        flow: Flow::Device {
            device: digest,
            asked: device.asked,
            sealed_user_code: device::seal_user_code(id, &typed),
        },
        authentication: None,
        expires_at: expires_at.min(device.expires_at),
        state: InteractionState::Waiting,
        answered: None,
        language: server.config.pages.language(request.headers()),
    };
    let waiting = Waiting::keep(server, client, record).await?;
    Ok(see_other(&server.resume_path(waiting.id.expose())))
}

/// The device that shows this code and still waits, its key, and its client.
async fn find(
    server: &Inner,
    typed: &str,
) -> Result<Option<(Digest, Device, Arc<Client>)>, OAuthError> {
    if typed.len() != device::USER_CODE {
        return Ok(None);
    }
    let (records, now) = (&server.records, server.now());
    let digest = device::user_code_digest(&server.server_key().await?, typed);
    let Some(pointer) = records.load::<UserCode>(digest, now).await? else {
        return Ok(None);
    };
    let digest = pointer.record.device;
    let Some(found) = records.load::<Device>(digest, now).await? else {
        return Ok(None);
    };
    let device = found.record;
    if !matches!(device.state, DeviceState::Pending { .. }) || device.expires_at <= now {
        return Ok(None);
    }
    let known = server.client(&device.client_id, now).await?;
    let Some(client) = known
        .map(|known| Arc::clone(&known.client))
        .filter(|client| !client.disabled)
    else {
        return Ok(None);
    };
    Ok(Some((digest, device, client)))
}
