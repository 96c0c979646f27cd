//! What a request asks of its owner's sign-in, held against what the host decides: another login, once, or an error for the client.

use super::authorization_response::page_decided;
use super::interaction::Decision;
use super::waiting::Waiting;
use super::{Answer, Inner};
use crate::grant::{SignIn, judge};
use crate::protocol::error::{ErrorCode, OAuthError};
use crate::types::{AuthenticationRequest, Prompt};

/// `prompt=none` (OpenID Connect Core 1.0 §3.1.2.6): what would have to be shown.
const LOGIN_REQUIRED: OAuthError =
    OAuthError::new(ErrorCode::LoginRequired, "Nobody is signed in as asked for");
const INTERACTION_REQUIRED: OAuthError =
    OAuthError::new(ErrorCode::InteractionRequired, "A page has to be shown");
const CONSENT_REQUIRED: OAuthError = OAuthError::new(
    ErrorCode::ConsentRequired,
    "The person has not agreed to this before",
);

/// The decision that stands, or the answer that comes instead.
pub(crate) async fn hold(
    server: &Inner,
    waiting: &mut Waiting,
    decision: Decision,
) -> Result<Decision, Answer> {
    match &decision {
        Decision::Login => return to_login(server, waiting).await,
        Decision::Respond(_) | Decision::Forward if is_silent(waiting) => {
            return Err(refuse(server, waiting, INTERACTION_REQUIRED).await);
        }
        Decision::Ask(_)
        | Decision::Approve(_)
        | Decision::Deny
        | Decision::Respond(_)
        | Decision::Forward => {}
    }
    match verdict(server, waiting, &decision) {
        SignIn::Enough => Ok(decision),
        SignIn::Again => to_login(server, waiting).await,
        SignIn::Refused(error) => Err(refuse(server, waiting, error).await),
    }
}

/// As `hold`, for a program that only looks: it may be the login itself, which is read before anybody has signed in. So what is not
/// enough leads to the login, and ends the request only when the browser comes back.
pub(crate) async fn look(
    server: &Inner,
    waiting: &mut Waiting,
    decision: Decision,
) -> Result<Decision, Answer> {
    match verdict(server, waiting, &decision) {
        SignIn::Refused(_) => Ok(Decision::Login),
        SignIn::Enough | SignIn::Again => hold(server, waiting, decision).await,
    }
}

/// Whether the sign-in that a decision speaks of is enough; one that speaks of none is.
fn verdict(server: &Inner, waiting: &Waiting, decision: &Decision) -> SignIn {
    let signed_in = match decision {
        Decision::Ask(signed_in) => signed_in,
        Decision::Approve(approval) => &approval.signed_in,
        Decision::Login | Decision::Deny | Decision::Respond(_) | Decision::Forward => {
            return SignIn::Enough;
        }
    };
    let asked = waiting.read.record.authentication.as_ref();
    asked.map_or(SignIn::Enough, |asked| {
        judge(asked, &signed_in.authentication, server.now())
    })
}

/// To the login, which is noted: whoever comes back from there is not sent again for the same reason.
async fn to_login(server: &Inner, waiting: &mut Waiting) -> Result<Decision, Answer> {
    if is_silent(waiting) {
        return Err(refuse(server, waiting, LOGIN_REQUIRED).await);
    }
    match waiting.note_login(server).await {
        Ok(()) => Ok(Decision::Login),
        Err(error) => Err(waiting.refuse(server, &error)),
    }
}

/// Whether no page may be shown.
pub(crate) fn is_silent(waiting: &Waiting) -> bool {
    asks_for(waiting, Prompt::None)
}

/// Whether the owner is asked, whatever is remembered.
pub(crate) fn asks_anew(waiting: &Waiting) -> bool {
    asks_for(waiting, Prompt::Consent)
}

fn asks_for(waiting: &Waiting, prompt: Prompt) -> bool {
    let asks = |asked: &AuthenticationRequest| asked.asks_for(prompt);
    let authentication = waiting.read.record.authentication.as_ref();
    authentication.is_some_and(asks)
}

/// The owner would have to be asked, and no page may be shown.
pub(crate) async fn consent_required(server: &Inner, waiting: &mut Waiting) -> Answer {
    refuse(server, waiting, CONSENT_REQUIRED).await
}

/// Ends the request with an error. Nobody need be there who has signed in for it: whoever has made the link may have been to the login
/// before. So the address of a client that registered itself is shown before anybody is sent to it, as with any error: else a link to us
/// would be a way to anywhere (RFC 9700 §4.11.2: SHOULD).
async fn refuse(server: &Inner, waiting: &mut Waiting, error: OAuthError) -> Answer {
    match waiting.close(server, None).await {
        Ok(true) => waiting.refuse(server, &error),
        Ok(false) => page_decided().into(),
        Err(failed) => waiting.refuse(server, &failed),
    }
}
