//! The code that a yes becomes (RFC 6749 §4.1.2), and the next one when the same yes comes again.
//!
//! A second click on Allow takes the answer to the first out of the browser, and the first code with it. So that one is ended, provided
//! that nobody has used it, and another takes its place. The request names the code that counts: each one is named there after the one
//! before has ended without giving anything, and is put into the store after it was named. So at no time are two of them good, and of
//! all of them together comes one grant at most.

use super::approve::By;
use super::authorization_response::page_decided;
use super::consent::keep_consent;
use super::waiting::Waiting;
use super::{Answer, Event, Inner};
use crate::protocol::error::OAuthError;
use crate::store::{Insert, Replace};
use crate::types::record::{Approved, Code, CodeState, Flow, Said};
use crate::types::{Digest, Secret};

/// Sends the client a code, if this is the answer that counts or the same once more.
pub(crate) async fn approve_code(
    server: &Inner,
    mut waiting: Waiting,
    approved: Approved,
    by: By,
) -> Answer {
    let Flow::Code {
        redirect_uri,
        redirect_uri_was_named,
        challenge,
        ..
    } = waiting.read.record.flow.clone()
    else {
        return page_decided().into();
    };
    // Its end stands before it is named: whoever is so late that its place is free again brings a code that has expired.
    let expires_at = server
        .now()
        .saturating_add(server.config.lifetimes.authorization_code);
    let mut record = Code {
        client_id: waiting.client.client_id.clone(),
        redirect_uri,
        redirect_uri_was_named,
        challenge,
        approved,
        expires_at,
        state: CodeState::Live,
    };
    let code = match keep_code(server, &mut waiting, &mut record, by).await {
        Ok(Some(code)) => code,
        Ok(None) => return page_decided().into(),
        Err(error) => return waiting.refuse(server, &error),
    };
    if by == By::Page && waiting.is_memorable() {
        keep_consent(server, &waiting.client, record.approved).await;
    }
    match waiting.address(server) {
        Some(address) => address.code(&code).into(),
        None => page_decided().into(),
    }
}

/// Names the code in the request, which decides, and then makes it. None if something else was answered, or another code counts.
async fn keep_code(
    server: &Inner,
    waiting: &mut Waiting,
    record: &mut Code,
    by: By,
) -> Result<Option<Secret>, OAuthError> {
    let code = Secret::generate()?;
    let digest = Digest::of("code", code.expose().as_bytes());
    let said = |approved: &Approved| Said::Code {
        approved: approved.clone(),
        code: digest,
        until: record.expires_at,
    };
    if waiting.close(server, Some(said(&record.approved))).await? {
        server.tell(&Event::ConsentGiven {
            client_id: &record.client_id,
            subject: &record.approved.subject,
            scope: &record.approved.scope,
            on_page: by == By::Page,
        });
    } else {
        if !by.is_answer() {
            return Ok(None);
        }
        let Some(approved) = end_before(server, waiting, record).await? else {
            return Ok(None);
        };
        if !waiting.say_again(server, said(&approved)).await? {
            return Ok(None);
        }
        record.approved = approved;
    }
    // Its place is taken if the same yes has come again meanwhile, and has ended this code before it was there.
    match server.records.create(digest, record, server.now()).await? {
        Insert::Inserted(_) => Ok(Some(code)),
        Insert::Exists => Ok(None),
    }
}

/// Ends the code that was made of the same yes before, and says what it was for: the next one is for nothing else. None if it was another
/// answer or another person's, or if the code was used, or presented with a wrong verifier, or has expired, or what it was for was revoked.
async fn end_before(
    server: &Inner,
    waiting: &mut Waiting,
    record: &Code,
) -> Result<Option<Approved>, OAuthError> {
    let (records, now) = (&server.records, server.now());
    let is_same = |before: &Approved| {
        let new = &record.approved;
        // What was revoked in between is worth nothing, and no code that is made of it is either.
        (&before.subject, &before.scope) == (&new.subject, &new.scope) && before.same_epochs(new)
    };
    let mut ended = None;
    loop {
        let (digest, approved) = match waiting.said() {
            Some(Said::Code {
                approved,
                code,
                until,
            }) if is_same(approved) && *until > now => (*code, approved.clone()),
            _ => return Ok(None),
        };
        if ended == Some(digest) {
            return Ok(None);
        }
        let Some(mut before) = records.load::<Code>(digest, now).await? else {
            // Whoever was to make it is still about to, or was cut off; in its place nothing can be put any more.
            let burnt = Code {
                state: CodeState::Burnt,
                ..record.clone()
            };
            match records.create(digest, &burnt, now).await? {
                Insert::Inserted(_) => return Ok(Some(approved)),
                Insert::Exists => continue,
            }
        };
        match before.record.state {
            CodeState::Live => {
                before.record.state = CodeState::Burnt;
                if let Replace::Replaced(_) = records.update(digest, before).await? {
                    return Ok(Some(approved));
                }
            }
            // Somebody else may have ended it for the next one, and have named that by now.
            CodeState::Burnt => {
                ended = Some(digest);
                waiting.read_again(server).await?;
            }
            CodeState::Used { .. } => return Ok(None),
        }
    }
}
