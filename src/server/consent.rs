//! The owner is asked, once for what may be remembered (RFC 6749 §10.2, RFC 9700 §4.11).

use bytes::Bytes;
use http::{Response, StatusCode};

use super::approve::approve;
use super::authorization_response::page_decided;
use super::interaction::Approval;
use super::pages::{self, Consent};
use super::waiting::Waiting;
use super::{Answer, Inner};
use crate::protocol::error::OAuthError;
use crate::store::consent_digest;
use crate::types::record::{self, Approved, Flow, InteractionState};
use crate::types::{Client, Digest, RegisteredBy, ScopeToken, Secret, Subject, random};

/// Shows the consent page, unless the same was agreed to before and that may count.
pub(crate) async fn ask(server: &Inner, mut waiting: Waiting, subject: Subject) -> Answer {
    match is_remembered(server, &waiting, &subject).await {
        Ok(true) => return approve(server, waiting, Approval::new(subject), false).await,
        Ok(false) => {}
        Err(error) => return waiting.refuse(server, &error),
    }
    loop {
        match &waiting.read.record.state {
            InteractionState::Asked {
                subject: asked,
                nonce,
            } if *asked == subject => {
                return consent_page(server, &waiting, &subject, csrf(&waiting.id, nonce)).into();
            }
            InteractionState::Decided => return page_decided().into(),
            InteractionState::Asked { .. } | InteractionState::Waiting => {}
        }
        // The value stays the same for the same person, so that two tabs can show the same page.
        let nonce = match random() {
            Ok(nonce) => Digest::from_bytes(*nonce),
            Err(error) => return waiting.refuse(server, &error.into()),
        };
        let asked = InteractionState::Asked {
            subject: subject.clone(),
            nonce,
        };
        if let Err(error) = waiting.update(server, asked).await {
            return waiting.refuse(server, &error);
        }
    }
}

/// What the form must carry: made from the id, which the store does not have, and a value that only the store has.
pub(crate) fn csrf(id: &Secret, nonce: &Digest) -> Digest {
    Digest::of("csrf", &[id.expose().as_bytes(), nonce.as_bytes()].concat())
}

async fn is_remembered(
    server: &Inner,
    waiting: &Waiting,
    subject: &Subject,
) -> Result<bool, OAuthError> {
    if !waiting.is_memorable() {
        return Ok(false);
    }
    let (digest, now) = (
        consent_digest(subject, &waiting.client.client_id),
        server.now(),
    );
    let consent = server
        .records
        .load::<record::Consent>(digest, now)
        .await
        .map_err(OAuthError::unavailable)?;
    let Some(consent) = consent.map(|read| read.record) else {
        return Ok(false);
    };
    let subject_epoch = server
        .records
        .subject_epoch(subject, now)
        .await
        .map_err(OAuthError::unavailable)?;
    let asked = &waiting.read.record;
    let known = |resource| consent.resources.contains(resource);
    Ok(consent.client_epoch == waiting.client.epoch
        && consent.subject_epoch == subject_epoch
        && consent.scope.contains_all(&asked.scope)
        && asked.resources.iter().all(known))
}

/// Remembers a yes. If that fails, the person is asked again next time, and nothing else.
pub(crate) async fn keep_consent(server: &Inner, client: &Client, approved: Approved) {
    let (digest, now) = (
        consent_digest(&approved.subject, &client.client_id),
        server.now(),
    );
    let Approved {
        scope,
        resources,
        client_epoch,
        subject_epoch,
        ..
    } = approved;
    let first = record::Consent {
        scope,
        resources,
        given_at: now,
        client_epoch,
        subject_epoch,
    };
    let merge = |consent: &mut record::Consent| {
        // What was agreed to before everything was taken back does not come back with a new yes.
        if (consent.client_epoch, consent.subject_epoch) != (client_epoch, subject_epoch) {
            *consent = first.clone();
            return true;
        }
        consent.scope = consent.scope.union(&first.scope);
        let new = first
            .resources
            .iter()
            .filter(|resource| !consent.resources.contains(resource))
            .cloned()
            .collect::<Vec<_>>();
        consent.resources.extend(new);
        true
    };
    let kept = match server.records.change(digest, now, merge).await {
        Ok(true) => Ok(()),
        Ok(false) => server
            .records
            .create(digest, first.clone(), now)
            .await
            .map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = kept {
        tracing::error!(cause = %error, client_id = %client.client_id, "a consent could not be remembered");
    }
}

fn consent_page<'a>(
    server: &'a Inner,
    waiting: &'a Waiting,
    subject: &Subject,
    csrf: Digest,
) -> Response<Bytes> {
    let asked = &waiting.read.record;
    let way = match &asked.flow {
        Flow::Code { redirect_uri, .. } => pages::Asked::Redirect(redirect_uri),
        Flow::Device { user_code, .. } => pages::Asked::Device { user_code },
    };
    let words = &server.config.scope_descriptions;
    let described = |token: &'a ScopeToken| {
        (
            token.as_str(),
            words.get(token.as_str()).map(String::as_str),
        )
    };
    let page = Consent {
        client_name: waiting.client.client_name(),
        client_id: waiting.client.client_id.as_str(),
        vouched_for: waiting.client.registered_by == RegisteredBy::Host,
        subject: subject.as_str(),
        scopes: asked.scope.iter().map(described).collect(),
        resources: asked
            .resources
            .iter()
            .map(crate::types::ResourceUri::as_str)
            .collect(),
        asked: way,
        action: server.path(super::Endpoint::Authorize),
        interaction: waiting.id.expose(),
        csrf: &String::from(csrf),
    };
    pages::respond(StatusCode::OK, &page)
}
