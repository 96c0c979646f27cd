//! What the owner answers to the page that asked them, ours or the host's (RFC 6749 §10.12).
//!
//! Who clicks twice answers twice. The second answer is held to the rules of the first, and what comes of it is the same, or nothing.

use bytes::Bytes;
use http::header::ORIGIN;
use http::{HeaderMap, Request};

use super::approve::{By, approve, ask_host, deny, settle};
use super::authorization_response::{page_decided, page_forged};
use super::consent::csrf;
use super::interaction::{Approval, Decision};
use super::throttle::Attempt;
use super::waiting::Waiting;
use super::{Answer, Inner, sign_in};
use crate::protocol::error::OAuthError;
use crate::protocol::form::Form;
use crate::types::record::AskedOwner;
use crate::types::{Digest, Scope};

/// The person who is signed in now must be the one who was asked, and the answer must come from the page that asked them.
pub(crate) async fn answered(
    server: &Inner,
    mut waiting: Waiting,
    request: &Request<Bytes>,
    form: &Form<'_>,
) -> Result<Answer, OAuthError> {
    let yes = match form.one("decision")? {
        Some("allow") => true,
        Some("deny") => false,
        _ => {
            return Err(OAuthError::invalid_request(
                "The form was not sent by its buttons",
            ));
        }
    };
    let scope = part(form)?;
    // Whatever else comes once the request is decided is told that it is.
    let is_again = waiting.is_decided();
    let refused = || match is_again {
        true => page_decided(),
        false => page_forged(),
    };
    let Some(AskedOwner { subject, nonce }) = waiting.asked() else {
        return Ok(refused().into());
    };
    let posted = form
        .one("csrf")?
        .and_then(|text| Digest::try_from(text.to_owned()).ok());
    if posted != Some(csrf(&waiting.id, nonce)) || !is_same_origin(server, request.headers()) {
        return Ok(refused().into());
    }
    let subject = subject.clone();
    if is_again {
        // It may make another code, as a request does, and so is counted as one.
        let again = Attempt::AuthorizationRequest(&waiting.client.client_id);
        server
            .take(again, server.address(request), server.now())
            .await?;
    }
    let mut decision = ask_host(server, &waiting, request).await;
    // First of all: how somebody else has signed in says nothing about this request.
    if matches!(&decision, Decision::Ask(now) if now.subject != subject) {
        return Ok(refused().into());
    }
    if yes {
        // How they are signed in now is what tokens will say; nobody has to sign in anew to say no.
        decision = match sign_in::hold(server, &mut waiting, decision).await {
            Ok(decision) => decision,
            Err(answer) => return Ok(answer),
        };
    }
    Ok(match decision {
        Decision::Ask(now) if yes => {
            let approval = Approval::new(now);
            let approval = scope.into_iter().fold(approval, Approval::scope);
            approve(server, waiting, approval, By::Page).await
        }
        // Whatever the host has come to think meanwhile: who pressed Deny has denied.
        Decision::Ask(_) | Decision::Approve(_) if !yes => deny(server, waiting, By::Page).await,
        _ if is_again => page_decided().into(),
        decision => settle(server, waiting, decision, By::Owner).await,
    })
}

/// The part of the scope that is agreed to; none if the answer does not say. An empty one is neither all nor nothing.
fn part(form: &Form<'_>) -> Result<Option<Scope>, OAuthError> {
    match form.one("scope")? {
        None if form.names("scope") => Err(OAuthError::invalid_request(
            "scope is empty: leave it out to allow all, or deny",
        )),
        None => Ok(None),
        Some(scope) => match scope.parse() {
            Ok(scope) => Ok(Some(scope)),
            Err(_) => Err(OAuthError::invalid_request("scope is malformed")),
        },
    }
}

/// Whether a browser says that a form comes from a page of ours. What says nothing at all is no browser of these years.
pub(crate) fn is_same_origin(server: &Inner, headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site") {
        // No page can say it in a browser's place. The origin beside it is whatever name the page was reached by, or `null`.
        Some(site) => site == "same-origin",
        None => {
            let mut origins = headers.get_all(ORIGIN).iter().peekable();
            let ours = server.config.issuer.origin();
            origins.peek().is_some() && origins.all(|origin| origin == ours)
        }
    }
}
