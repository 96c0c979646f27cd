//! The owner is asked, once for what may be remembered (RFC 6749 §10.2, RFC 9700 §4.11).

use std::slice;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::approve::{By, approve_after};
use super::authorization_response::{page_decided, see_other};
use super::interaction::Approval;
use super::signed_in::SignedIn;
use super::waiting::Waiting;
use super::{Answer, Inner, sign_in};
use crate::pages::{self, Consent, Link, LinkKind, Page, ScopeInWords, display_name};
use crate::protocol::error::OAuthError;
use crate::store::{Insert, StoreError, consent_digest};
use crate::types::record::{self, Approved, AskedOwner, InteractionState, SubjectEpoch};
use crate::types::{
    Client, Digest, RedirectUri, RegisteredBy, Scope, ScopeToken, Secret, Subject, random,
};

/// Shows the consent page, unless the same was agreed to before and that may count.
pub(crate) async fn ask(server: &Inner, mut waiting: Waiting, signed_in: SignedIn) -> Answer {
    match remembered(server, &waiting, &signed_in.subject).await {
        Ok(Some(revoked)) => {
            let by = By::Host { can_forward: false };
            return approve_after(server, waiting, Approval::new(signed_in), (&revoked, by)).await;
        }
        Ok(None) => {}
        Err(error) => return waiting.refuse(server, &error),
    }
    if sign_in::is_silent(&waiting) {
        return sign_in::consent_required(server, &mut waiting).await;
    }
    if let Some(path) = &server.config.consent_path {
        return see_other(&Inner::with_interaction(path, waiting.id.expose())).into();
    }
    match value_for(server, &mut waiting, &signed_in.subject).await {
        Ok(Some(csrf)) => consent_page(server, &waiting, &signed_in, csrf).into(),
        Ok(None) => page_decided().into(),
        Err(error) => waiting.refuse(server, &error),
    }
}

/// The value that this person's answer must carry; none if the request is decided. It stays the same for the same person, so that two
/// tabs can show the same page.
pub(crate) async fn value_for(
    server: &Inner,
    waiting: &mut Waiting,
    subject: &Subject,
) -> Result<Option<Digest>, OAuthError> {
    loop {
        match &waiting.read.record.state {
            InteractionState::Asked(asked) if asked.subject == *subject => {
                return Ok(Some(csrf(&waiting.id, &asked.nonce)));
            }
            InteractionState::Decided => return Ok(None),
            InteractionState::Asked(_) | InteractionState::Waiting => {}
        }
        let asked = AskedOwner {
            subject: subject.clone(),
            nonce: Digest::from_bytes(*random()?),
        };
        let asked = InteractionState::Asked(asked);
        waiting.update(server, asked).await?;
    }
}

/// What the form must carry: made from the id, which the store does not have, and a value that only the store has.
pub(crate) fn csrf(id: &Secret, nonce: &Digest) -> Digest {
    Digest::of("csrf", &[id.expose().as_bytes(), nonce.as_bytes()].concat())
}

/// If the same was agreed to before and that counts: what the person had revoked by then. What they revoke from now on is not to be
/// missed, so it is not asked for again.
async fn remembered(
    server: &Inner,
    waiting: &Waiting,
    subject: &Subject,
) -> Result<Option<SubjectEpoch>, OAuthError> {
    if !waiting.is_memorable() || sign_in::asks_anew(waiting) {
        return Ok(None);
    }
    let (digest, now) = (
        consent_digest(subject, &waiting.client.client_id),
        server.now(),
    );
    let consent = server.records.load::<record::Consent>(digest, now).await?;
    let Some(consent) = consent.map(|read| read.record) else {
        return Ok(None);
    };
    let revoked = server.records.revoked_by(subject, now).await?;
    let asked = &waiting.read.record;
    let client = &waiting.client;
    let stands = consent.client_epoch == client.epoch
        && consent.subject_epoch == revoked.epoch
        && consent.removal >= revoked.removal(&client.client_id);
    let all = consent.covers(&asked.scope, &asked.resources);
    Ok((stands && all).then_some(revoked))
}

/// Remembers a yes, with what was agreed to before. If that fails, the person is asked again next time, and nothing else.
pub(crate) async fn keep_consent(server: &Inner, client: &Client, approved: Approved) {
    if let Err(error) = try_keep_consent(server, client, approved).await {
        tracing::error!(cause = %error, client_id = %client.client_id, "a consent could not be remembered");
    }
}

async fn try_keep_consent(
    server: &Inner,
    client: &Client,
    approved: Approved,
) -> Result<(), StoreError> {
    let (digest, now) = (
        consent_digest(&approved.subject, &client.client_id),
        server.now(),
    );
    let Approved {
        subject,
        scope,
        resources,
        client_epoch,
        subject_epoch,
        removal,
        ..
    } = approved;
    let new = record::Consent {
        scope,
        resources,
        given_at: now,
        client_epoch,
        subject_epoch,
        removal,
        before: Vec::new(),
    };
    let merge = |kept: &mut record::Consent| {
        let mut merged = new.clone();
        let epochs = (kept.client_epoch, kept.subject_epoch);
        if epochs == (client_epoch, subject_epoch) && kept.removal >= removal {
            merged.add(kept);
        }
        *kept = merged;
        true
    };
    let records = &server.records;
    if records.create(digest, &new, now).await? == Insert::Exists {
        records.change(digest, now, merge).await?;
    }
    // Kept, *then* looked: who takes the access away counts that first, and forgets what was agreed to later.
    let revoked = records.revoked_by(&subject, now).await?;
    if revoked.removal(&client.client_id) > removal {
        records.remove::<record::Consent>(digest).await?;
    }
    Ok(())
}

fn consent_page(
    server: &Inner,
    waiting: &Waiting,
    signed_in: &SignedIn,
    csrf: Digest,
) -> Response<Bytes> {
    let (asked, pending) = (&waiting.read.record, waiting.pending(server));
    let way = match asked.flow.address() {
        Some((redirect_uri, _)) => pages::Asked::Redirect(redirect_uri.clone()),
        None => pages::Asked::Device {
            user_code: Secret::new(pending.user_code().unwrap_or_default()),
            age: pending.device_asked_at().map(|at| server.now().since(at)),
            address: pending.device_address(),
        },
    };
    let goes_to = pending.redirect_uri().map_or(&[][..], slice::from_ref);
    let (client, config) = (&waiting.client, &server.config);
    let id = waiting.id.expose();
    let login = config.login_path.as_deref();
    let login = login.filter(|_| config.another_account);
    let resources = asked.resources.iter();
    let page = Consent {
        client_name: display_name(client.client_name(), client.client_id.as_str()),
        client_id: client.client_id.to_string(),
        vouched_for: client.registered_by == RegisteredBy::Host,
        subject: signed_in.shown_name().to_owned(),
        scopes: in_words(server, &asked.scope),
        links: links(client, goes_to),
        lasts: pending.lifetime(),
        resources: resources.map(ToString::to_string).collect(),
        asked: way,
        another_account: login.map(|path| Inner::with_interaction(path, id)),
        action: server.path(super::Endpoint::Authorize).to_owned(),
        interaction: waiting.id.clone(),
        csrf: Secret::new(String::from(csrf)),
    };
    pages::page(StatusCode::OK, Page::Consent(Box::new(page)))
}

/// Each scope with the host's words for it.
pub(crate) fn in_words(server: &Inner, scope: &Scope) -> Vec<ScopeInWords> {
    let words = &server.config.scope_descriptions;
    let described = |token: &ScopeToken| ScopeInWords {
        scope: token.to_string(),
        description: words.get(token.as_str()).cloned(),
    };
    scope.iter().map(described).collect()
}

/// The addresses at which a client tells about itself (RFC 7591 §2). Of a client that registered itself only those at a host that this
/// answer goes to: any other is as little its own as its name (§5), and so is an address that it has registered as well, which it need
/// not have anything to do with. A logo is never shown: nothing on the page comes from elsewhere.
pub(crate) fn links(client: &Client, goes_to: &[RedirectUri]) -> Vec<Link> {
    [
        (LinkKind::Website, "client_uri"),
        (LinkKind::PrivacyPolicy, "policy_uri"),
        (LinkKind::TermsOfService, "tos_uri"),
    ]
    .into_iter()
    .filter_map(|(kind, member)| Link::new(kind, client.metadata.get(member)?.as_str()?))
    .filter(|link| is_own(client, &link.url, goes_to))
    .collect()
}

/// Whether an `https` address may be shown as this client's, whose answers go there.
pub(crate) fn is_own(client: &Client, url: &str, goes_to: &[RedirectUri]) -> bool {
    let host = |text: &str| Some(url::Url::parse(text).ok()?.host_str()?.to_owned());
    let mut places = goes_to.iter().filter(|uri| uri.is_https());
    client.registered_by == RegisteredBy::Host || places.any(|uri| host(uri.as_str()) == host(url))
}
