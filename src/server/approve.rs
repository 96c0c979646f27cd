//! From a waiting request to its end: what the host decides, and what the owner answers.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use super::authorization_code::approve_code;
use super::authorization_response::{DENIED, page, page_decided, page_error, page_gone, see_other};
use super::connected_apps;
use super::consent::ask;
use super::consent_answer::answered;
use super::interaction::{Approval, Decision, NotPending};
use super::issue::is_client;
use super::waiting::Waiting;
use super::{Answer, AuthorizationServer, Event, Inner, PendingRequest, sign_in};
use crate::pages::Message;
use crate::protocol::error::OAuthError;
use crate::protocol::form::Form;
use crate::types::record::{Approved, Device, DeviceState, Flow, Grant, Said, SubjectEpoch};
use crate::types::{Body, Digest, Secret};

/// On whose word a request is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The browser came, and the host decided by what it knows. Only a GET can be forwarded.
    Host { can_forward: bool },
    /// The owner has answered on a page of the host's, which then resumes.
    Owner,
    /// The owner has answered on the page that asked them.
    Page,
}

impl By {
    /// Whether it is an answer of the owner's, which can come twice from one page. A GET that comes twice is nobody's answer.
    pub(crate) const fn is_answer(self) -> bool {
        matches!(self, Self::Owner | Self::Page)
    }
}

impl AuthorizationServer {
    /// The request that waits under this id, for any handler of the host: a login page that says to what people sign in, and fills in
    /// [`login_hint`](PendingRequest::login_hint). The id comes in the query of the login path as `interaction`.
    ///
    /// `connected-apps` stands there for the page of [`connected_apps`](super::AuthorizationServerBuilder::connected_apps), and is no
    /// request: it is [`NotPending::Gone`] here, and [`resume_path`](Self::resume_path) leads to the page.
    ///
    /// # Errors
    /// [`NotPending::Gone`] if there is no such request, or no longer; [`NotPending::Decided`] if it was answered;
    /// [`NotPending::Unavailable`] if the store failed, which is in the log.
    pub async fn pending(&self, interaction: &str) -> Result<PendingRequest, NotPending> {
        match Waiting::find(&self.0, Secret::new(interaction)).await {
            Ok(None) => Err(NotPending::Gone),
            Ok(Some(waiting)) if waiting.is_decided() => Err(NotPending::Decided),
            Ok(Some(waiting)) => Ok(waiting.pending(&self.0)),
            Err(error) => {
                error.log();
                Err(NotPending::Unavailable)
            }
        }
    }

    /// Goes on with a waiting request from any handler of the host: `interaction` is [`PendingRequest::id`](super::PendingRequest::id), and the answer is what
    /// the browser is to be sent. A request that is unknown, expired or decided already gets a page that says so. The same yes of the same
    /// person, or the same no, may be said again, as by a handler that runs twice for a double click: the client gets its answer
    /// again, with a code that takes the place of the one before, unless that was used or has expired.
    /// A page is in the language of the browser that has brought the request; of a request that is not known, in the first.
    ///
    /// Where the browser goes on stands in `Location`. A handler whose caller is a program says it in a way of its own: `fetch` cannot
    /// follow to the client's origin. An answer without `Location` is a page for a person: 200 says that a device is connected or denied,
    /// 400 that the request was answered or is gone, 503 to try again. (A page of the host's that [asks in
    /// JSON](super::AuthorizationServerBuilder::consent_page) needs no handler for it.)
    /// ```
    /// # use tower_oauth::{Approval, AuthorizationServer, Decision, types::Subject};
    /// async fn allow(oauth: &AuthorizationServer, id: &str, person: Subject) -> serde_json::Value {
    ///     let answer = oauth.resume(id, Decision::Approve(Approval::new(person))).await;
    ///     match answer.headers().get("location").map(|to| to.to_str()) {
    ///         Some(Ok(to)) => serde_json::json!({ "redirect_to": to }),
    ///         _ => serde_json::json!({ "status": answer.status().as_u16() }),
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # let oauth = AuthorizationServer::builder("https://auth.example").login("/login", |_| None::<Subject>).build().unwrap();
    /// # assert_eq!(allow(&oauth, "unknown", Subject::new("alice").unwrap()).await["status"], 400);
    /// # });
    /// ```
    pub async fn resume(&self, interaction: &str, decision: Decision) -> Response<Body> {
        // Whoever resumes has no request of the browser's at hand. It says its language when the request comes.
        let mut language = String::new();
        let answering = async {
            if interaction == connected_apps::LOGIN {
                return connected_apps::come_back(&self.0).into();
            }
            match Waiting::find(&self.0, Secret::new(interaction)).await {
                Ok(None) => page_gone().into(),
                // A handler has no inner service to forward to: the browser is sent to the page that does.
                Ok(Some(waiting)) => {
                    language = waiting.read.record.language.clone().unwrap_or_default();
                    settle(&self.0, waiting, decision, By::Owner).await
                }
                Err(error) => page_error(&error).into(),
            }
        };
        match self
            .0
            .observe("authorize", false, Box::pin(answering))
            .await
        {
            Answer::Respond(mut response) => {
                self.0.config.pages.finish_in(&language, &mut response);
                response.map(Body::from)
            }
            Answer::Forward(pending) => see_other(&self.resume_path(pending.id())).map(Body::from),
        }
    }
}

/// The browser comes back with the id of a request, and perhaps with a form's answer.
pub(crate) async fn go_on(
    server: &Inner,
    id: Secret,
    request: &Request<Bytes>,
    form: &Form<'_>,
) -> Answer {
    let waiting = match Waiting::find(server, id).await {
        Ok(Some(waiting)) => waiting,
        Ok(None) => return page_gone().into(),
        Err(error) => return page_error(&error).into(),
    };
    if request.method() == Method::POST {
        return answered(server, waiting, request, form)
            .await
            .unwrap_or_else(|error| page_error(&error).into());
    }
    if waiting.is_decided() {
        return page_decided().into();
    }
    decide(server, waiting, request).await
}

/// Asks the host, and does what it says.
pub(crate) async fn decide(server: &Inner, waiting: Waiting, request: &Request<Bytes>) -> Answer {
    let decision = ask_host(server, &waiting, request).await;
    let can_forward = request.method() == Method::GET;
    settle(server, waiting, decision, By::Host { can_forward }).await
}

pub(crate) async fn ask_host(
    server: &Inner,
    waiting: &Waiting,
    request: &Request<Bytes>,
) -> Decision {
    let Some(interaction) = &server.config.interaction else {
        return Decision::Deny;
    };
    let (parts, ()) = request_parts(request).into_parts();
    interaction.decide(&waiting.pending(server), &parts).await
}

/// The parts of a request for the host to read.
pub(crate) fn request_parts(request: &Request<Bytes>) -> Request<()> {
    let mut parts = Request::new(());
    *parts.method_mut() = request.method().clone();
    *parts.uri_mut() = request.uri().clone();
    *parts.version_mut() = request.version();
    *parts.headers_mut() = request.headers().clone();
    *parts.extensions_mut() = request.extensions().clone();
    parts
}

/// Does what was decided.
pub(crate) async fn settle(
    server: &Inner,
    mut waiting: Waiting,
    decision: Decision,
    by: By,
) -> Answer {
    let decision = match sign_in::hold(server, &mut waiting, decision).await {
        Ok(decision) => decision,
        Err(answer) => return answer,
    };
    // Of what is decided nothing more can come but the same answer again.
    if waiting.is_decided() && !matches!(decision, Decision::Approve(_) | Decision::Deny) {
        return page_decided().into();
    }
    match decision {
        Decision::Ask(_) | Decision::Approve(_) | Decision::Deny if waiting.is_refused() => {
            refused(server, waiting).await
        }
        Decision::Login => match &server.config.login_path {
            Some(path) => see_other(&Inner::with_interaction(path, waiting.id.expose())).into(),
            None => waiting.refuse(
                server,
                &OAuthError::fault(
                    "There is no login",
                    "the host said Login and has no login path",
                ),
            ),
        },
        Decision::Ask(signed_in) => ask(server, waiting, signed_in).await,
        Decision::Approve(approval) => approve(server, waiting, approval, by).await,
        Decision::Deny => deny(server, waiting, by).await,
        Decision::Respond(response) => response.map(Body::into_bytes).into(),
        Decision::Forward if by == (By::Host { can_forward: true }) => {
            Answer::Forward(Box::new(waiting.pending(server)))
        }
        Decision::Forward => see_other(&server.resume_path(waiting.id.expose())).into(),
    }
}

/// Somebody is signed in, or the host has said that nobody need be: the client is told what was wrong with its request.
async fn refused(server: &Inner, mut waiting: Waiting) -> Answer {
    match waiting.close(server, None).await {
        Ok(true) => {}
        Ok(false) => return page_decided().into(),
        Err(error) => return waiting.refuse(server, &error),
    }
    match (waiting.address(server), &waiting.read.record.flow) {
        (
            Some(address),
            Flow::Refused {
                error,
                error_description,
                ..
            },
        ) => address.refused(error, error_description).into(),
        _ => page_decided().into(),
    }
}

/// The owner, or the host for them, says yes.
pub(crate) async fn approve(
    server: &Inner,
    waiting: Waiting,
    approval: Approval,
    by: By,
) -> Answer {
    let subject = &approval.signed_in.subject;
    match server.records.revoked_by(subject, server.now()).await {
        Ok(revoked) => approve_after(server, waiting, approval, (&revoked, by)).await,
        Err(error) => waiting.refuse(server, &OAuthError::unavailable(error)),
    }
}

/// The same, said after these revocations and before any other.
pub(crate) async fn approve_after(
    server: &Inner,
    waiting: Waiting,
    approval: Approval,
    (revoked, by): (&SubjectEpoch, By),
) -> Answer {
    let (asked, signed_in) = (&waiting.read.record, approval.signed_in);
    match is_client(server, &signed_in.subject).await {
        Ok(false) => {}
        Ok(true) => {
            let why =
                "a person has the name of a client: their tokens would be taken for each other";
            let error = OAuthError::fault("The server cannot name this person", why);
            return waiting.refuse(server, &error);
        }
        Err(error) => return waiting.refuse(server, &error.into()),
    }
    let scope = approval.scope.map_or_else(
        || asked.scope.clone(),
        |scope| asked.scope.intersection(&scope),
    );
    // RFC 6749 §3.3: a client must be told what it got less, and `scope` cannot say "nothing".
    if scope.is_empty() && !asked.scope.is_empty() {
        return deny(server, waiting, By::Host { can_forward: false }).await;
    }
    let approved = Approved {
        scope,
        subject: signed_in.subject,
        resources: asked.resources.clone(),
        client_epoch: waiting.client.epoch,
        subject_epoch: revoked.epoch,
        removal: revoked.removal(&waiting.client.client_id),
        authentication: signed_in.authentication,
    };
    match asked.flow.clone() {
        Flow::Code { .. } => approve_code(server, waiting, approved, by).await,
        Flow::Refused { .. } => refused(server, waiting).await,
        Flow::Device { device, .. } => {
            let state = DeviceState::Approved { approved };
            end_device(server, (waiting, device), state, Message::DeviceConnected)
                .await
                .into()
        }
    }
}

pub(crate) async fn deny(server: &Inner, mut waiting: Waiting, by: By) -> Answer {
    if let Flow::Device { device, .. } = waiting.read.record.flow {
        return end_device(
            server,
            (waiting, device),
            DeviceState::Denied,
            Message::DeviceDenied,
        )
        .await
        .into();
    }
    match waiting.close(server, Some(Said::No)).await {
        Ok(true) => server.tell(&Event::ConsentDenied {
            client_id: &waiting.client.client_id,
        }),
        // The client may hear the same no twice.
        Ok(false) if by.is_answer() && waiting.said() == Some(&Said::No) => {}
        Ok(false) => return page_decided().into(),
        Err(error) => return waiting.refuse(server, &error),
    }
    match waiting.address(server) {
        Some(address) if by.is_answer() => address.denied().into(),
        Some(address) => address.error(&DENIED).into(),
        None => page_decided().into(),
    }
}

/// What decides is the device's own step: it is final, whichever of several pages it came from.
async fn end_device(
    server: &Inner,
    (mut waiting, device): (Waiting, Digest),
    state: DeviceState,
    done: Message,
) -> Response<Bytes> {
    let said = match &state {
        DeviceState::Approved { approved } => Said::Device {
            subject: approved.subject.clone(),
            scope: approved.scope.clone(),
        },
        _ => Said::No,
    };
    if waiting.is_decided() {
        // The same answer again changes nothing, and is told what the first was.
        let is_same = waiting.said() == Some(&said);
        return match still_stands(server, device, &state).await {
            Ok(stands) if is_same && stands => page(StatusCode::OK, done),
            Ok(_) => page_decided(),
            Err(error) => page_error(&error),
        };
    }
    let (decided, stands) = match decide_device(server, device, &state).await {
        Ok(decided) => decided,
        Err(error) => return page_error(&error),
    };
    if decided {
        let client_id = &waiting.client.client_id;
        server.tell(&match &state {
            DeviceState::Approved {
                approved: Approved { subject, scope, .. },
            } => Event::DeviceApproved {
                client_id,
                subject,
                scope,
            },
            _ => Event::DeviceDenied { client_id },
        });
    }
    // So that nobody is asked what has been answered; were this to fail, the answer would still count once.
    if let Err(error) = waiting.close(server, stands.then_some(said)).await {
        error.log();
    }
    if stands {
        page(StatusCode::OK, done)
    } else {
        page_decided()
    }
}

/// Whether what was said about a device holds: nothing of it was revoked since.
async fn still_stands(
    server: &Inner,
    device: Digest,
    state: &DeviceState,
) -> Result<bool, OAuthError> {
    let DeviceState::Approved { approved: new } = state else {
        return Ok(true);
    };
    let (records, now) = (&server.records, server.now());
    let device = records.load::<Device>(device, now).await?;
    Ok(match device.map(|read| read.record.state) {
        Some(DeviceState::Approved { approved }) => approved.same_epochs(new),
        Some(DeviceState::Redeemed { grant }) => {
            let grant = records.load::<Grant>(grant, now).await?;
            // One that is not there is about to be.
            grant.is_none_or(|read| !read.record.revoked && read.record.approved.same_epochs(new))
        }
        _ => false,
    })
}

/// A decision about a device is final, and no poll takes it back. Says whether it was made here, and whether it is the one that stands.
async fn decide_device(
    server: &Inner,
    device: Digest,
    state: &DeviceState,
) -> Result<(bool, bool), OAuthError> {
    let (records, now) = (&server.records, server.now());
    let decide = |device: &mut Device| {
        let open = matches!(device.state, DeviceState::Pending { .. }) && device.expires_at > now;
        if open {
            device.state = state.clone();
        }
        open
    };
    if records.change(device, now, decide).await? {
        return Ok((true, true));
    }
    let stands = records.load::<Device>(device, now).await?;
    Ok((
        false,
        stands.is_some_and(|read| read.record.state == *state),
    ))
}
