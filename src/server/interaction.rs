//! Where the host's own login meets the server.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use http::Response;
use http::request::Parts;

use super::SignedIn;
use super::device::open_user_code;
use crate::types::record::{DeviceAsked, Flow, Interaction as Record};
use crate::types::{
    AuthenticationRequest, Body, Client, Prompt, RedirectUri, ResourceUri, Scope, Secret, Timestamp,
};

/// A request that waits for its owner: for a code (RFC 6749 §4.1) or for a device (RFC 8628 §3.3).
///
/// It stands in the store under an opaque id, lives ten minutes, may be shown as often as asked, and is decided once.
#[derive(Debug, Clone)]
pub struct PendingRequest {
    pub(crate) id: Secret,
    pub(crate) client: Client,
    pub(crate) scope: Scope,
    pub(crate) resources: Vec<ResourceUri>,
    pub(crate) redirect_uri: Option<RedirectUri>,
    pub(crate) user_code: Option<Secret>,
    asked: Option<DeviceAsked>,
    lifetime: Duration,
    error: Option<String>,
    authentication: Option<AuthenticationRequest>,
}

impl PendingRequest {
    pub(crate) fn new(id: &Secret, client: &Client, record: &Record, lifetime: Duration) -> Self {
        let (user_code, asked, error) = match &record.flow {
            Flow::Code { .. } => (None, None, None),
            Flow::Refused { error, .. } => (None, None, Some(error.clone())),
            Flow::Device {
                sealed_user_code,
                asked,
                ..
            } => {
                let user_code = open_user_code(id, sealed_user_code);
                (Some(Secret::new(user_code)), *asked, None)
            }
        };
        let redirect_uri = record.flow.address().map(|(uri, _)| uri.clone());
        Self {
            id: id.clone(),
            client: client.clone(),
            scope: record.scope.clone(),
            resources: record.resources.clone(),
            redirect_uri,
            user_code,
            asked,
            lifetime,
            error,
            authentication: record.authentication.clone(),
        }
    }

    /// Its id, for [`AuthorizationServer::resume`](super::AuthorizationServer::resume) and for a hidden field of a form. It is as
    /// good as the request itself: keep it out of logs.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.expose()
    }

    /// The client that asks. Whether anybody vouches for it says [`Client::registered_by`].
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it asks for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The resources that the tokens would be meant for.
    #[must_use]
    pub fn resources(&self) -> &[ResourceUri] {
        &self.resources
    }

    /// Where the answer goes: the redirection URI; `None` for a device.
    #[must_use]
    pub fn redirect_uri(&self) -> Option<&RedirectUri> {
        self.redirect_uri.as_ref()
    }

    /// The code that the device shows, to be compared by the person; `None` for a code request.
    #[must_use]
    pub fn user_code(&self) -> Option<&str> {
        self.user_code.as_ref().map(Secret::expose)
    }

    /// From which address the device asked, for people to compare (RFC 8628 §5.4): what
    /// [`client_address`](super::AuthorizationServerBuilder::client_address) found. `None` for a code request.
    #[must_use]
    pub fn device_address(&self) -> Option<IpAddr> {
        self.asked.and_then(|asked| asked.from)
    }

    /// When the device asked; `None` for a code request.
    #[must_use]
    pub fn device_asked_at(&self) -> Option<Timestamp> {
        self.asked.map(|asked| asked.at)
    }

    /// How long an approval lasts at most, however often it is refreshed (RFC 6749 §10.2).
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// What the client wants its owner to be shown (OpenID Connect Core 1.0 §3.1.2.1); empty if it does not say, and for a device.
    ///
    /// The server sees to it: it sends the browser to the login once for [`Prompt::Login`] and [`Prompt::SelectAccount`], asks though the
    /// answer is remembered for [`Prompt::Consent`], and shows nothing for [`Prompt::None`]. A login page that is sent somebody who is
    /// signed in already looks here for what is wanted of it.
    #[must_use]
    pub fn prompt(&self) -> &[Prompt] {
        self.asked_for().map_or(&[], |asked| &asked.prompt)
    }

    /// How long ago the owner may have signed in at most.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        let max_age = self.asked_for().and_then(|asked| asked.max_age);
        max_age.map(Duration::from_secs)
    }

    /// In which ways the owner may have signed in, the best first (RFC 9470 §4); empty if any will do.
    #[must_use]
    pub fn acr_values(&self) -> &[String] {
        self.asked_for().map_or(&[], |asked| &asked.acr_values)
    }

    /// Whom the client thinks it has before it, to be filled in at the login: at most 255 bytes without control characters. Anybody
    /// may have made the request: it proves nothing.
    #[must_use]
    pub fn login_hint(&self) -> Option<&str> {
        self.asked_for()?.login_hint.as_deref()
    }

    /// The languages that the owner reads, the best first (BCP 47).
    #[must_use]
    pub fn ui_locales(&self) -> &[String] {
        self.asked_for().map_or(&[], |asked| &asked.ui_locales)
    }

    const fn asked_for(&self) -> Option<&AuthenticationRequest> {
        self.authentication.as_ref()
    }

    /// The error code, if the request is invalid: it waits only until somebody is signed in, for nobody is sent away with an error
    /// before that (RFC 9700 §4.11.2), but for [`Prompt::None`], where the host is not asked. [`Decision::Login`], [`Decision::Respond`] and [`Decision::Forward`] do what they say;
    /// whatever else is decided, the client gets this error.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// Why a request cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "an outcome that hosts handle in full"
)]
pub enum NotPending {
    /// It has expired, or never was, or its client is gone: the person begins again at the application.
    #[error("the request has expired or is not known")]
    Gone,
    /// It was answered, and an answer is final.
    #[error("the request was answered before")]
    Decided,
    /// The store failed: try again.
    #[error("the store cannot tell right now")]
    Unavailable,
}

/// What an owner said yes to.
#[derive(Debug, Clone)]
pub struct Approval {
    pub(crate) signed_in: SignedIn,
    pub(crate) scope: Option<Scope>,
}

impl Approval {
    /// This owner, a [`Subject`](crate::types::Subject) or a [`SignedIn`], agrees to all that was asked for.
    #[must_use]
    pub fn new(owner: impl Into<SignedIn>) -> Self {
        Self {
            signed_in: owner.into(),
            scope: None,
        }
    }

    /// This owner agrees to a part; what was not asked for is left out.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }
}

/// What the host says to a pending request.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "hosts make it, and the server handles every case"
)]
pub enum Decision {
    /// Nobody is signed in: send the browser to the login path, with the id of the request in its query as `interaction`.
    Login,
    /// This person is signed in: ask with the consent page, or go on if the answer is remembered.
    Ask(SignedIn),
    /// The answer is yes.
    Approve(Approval),
    /// The answer is no, for good.
    Deny,
    /// Answer the browser with this.
    Respond(Response<Body>),
    /// Let the inner service render the page: it finds the [`PendingRequest`] in the extensions of the request.
    Forward,
}

/// The host's login and consent, in full control.
///
/// The host is asked each time that the browser comes: first, after the login, and again when an answer is posted. What it says is done
/// for a code request and for a device alike:
///
/// | [`Decision`] | when the browser comes (GET) | when an answer is posted |
/// |---|---|---|
/// | `Login` | to the login path, as often as the host says so | to the login; nothing is decided, and the person is asked again |
/// | `Ask` | the consent page, or the host's own; what is remembered goes on at once | the answer counts, if it is the person who was asked: else 403 |
/// | `Approve` | the client gets its answer | as for GET; but who pressed Deny has denied |
/// | `Deny` | the client is told, for good | the client is told, for good |
/// | `Respond` | the host's response, as it is; the request waits | the same |
/// | `Forward` | the inner service renders the page; the request waits | 303 to the GET |
///
/// Whatever a person and a browser do meanwhile, nobody is sent round in circles by the server, and nobody sees an empty page:
///
/// | what happens | what comes of it |
/// |---|---|
/// | the login takes minutes | the request waits ten ([`interaction_lifetime`](super::AuthorizationServerBuilder::interaction_lifetime)), then a page (400) says to start again at the application |
/// | two tabs show one request | both show the same page; the first answer counts, another one is told so (400) |
/// | two requests at once | each stands by itself |
/// | the back button, and then the other answer | a page (400) says that the answer was given and is final |
/// | a second click on Allow | the same as the first: another code takes the place of the first one, which ends. If the client has used that one already, or it has expired, or the access was taken back meanwhile, a page (400) says that the answer was given. One grant at most comes of it |
/// | a second click on Deny, or about a device | the same as the first; if the device has lost its access meanwhile, a page (400) says that the answer was given |
/// | the session is lost before the answer | the host says `Login`: the answer is dropped, and the person is asked again after the login |
/// | somebody else is signed in by then | 403, and their own page when the request is opened again |
/// | `resume` after the request has ended | the same pages, or for the same yes of the same person, or the same no, what a second click gets; [`pending`](super::AuthorizationServer::pending) says [`NotPending`] |
/// | the host says `Login` for ever | each visit leads to the login and there it ends: the host's login has to say why |
/// | the request asks for a new sign-in | the login, once, also if somebody is signed in; if that changes nothing, `login_required` or `unmet_authentication_requirements` for the client (for one that registered itself behind the page that names its host) |
/// | `prompt=none` | nobody is asked: an answer at once (for a client that registered itself behind the page that names its host), or `login_required`, `consent_required` (for `Ask`), `interaction_required` (for `Respond` and `Forward`); an invalid request goes back with its own error, and the host is not asked |
/// | the store fails | a page (503) says to try again, or the client is told `temporarily_unavailable`; nothing is decided |
///
/// A page of the host's that has asked by itself goes on with [`resume`](super::AuthorizationServer::resume). An `Approve` is held against
/// what the request asks of the sign-in as well, so say in its [`Approval`] how the person has signed in.
///
/// [`login`](super::AuthorizationServerBuilder::login) is enough for most hosts. An implementation may read whatever the host's own
/// layers have put into the extensions of the request, provided they stand outside of the serving layer.
///
/// ```
/// use http::request::Parts;
/// use tower_oauth::{Decision, Interaction, PendingRequest, types::Subject};
///
/// #[derive(Clone)]
/// struct User(String);
///
/// struct Sessions;
/// impl Interaction for Sessions {
///     async fn decide(&self, _: &PendingRequest, request: &Parts) -> Decision {
///         match request.extensions.get::<User>().and_then(|user| Subject::new(&user.0).ok()) {
///             Some(subject) => Decision::Ask(subject.into()),
///             None => Decision::Login,
///         }
///     }
/// }
/// ```
pub trait Interaction: Send + Sync + 'static {
    /// Called for a code request or a device code with the parts of the incoming request, each time the browser comes back.
    fn decide(
        &self,
        pending: &PendingRequest,
        request: &Parts,
    ) -> impl Future<Output = Decision> + Send;

    /// Who is signed in, for the page of
    /// [`connected_apps`](super::AuthorizationServerBuilder::connected_apps), by the parts of a request for it. Default: nobody.
    fn signed_in(&self, request: &Parts) -> impl Future<Output = Option<SignedIn>> + Send {
        let _ = request;
        std::future::ready(None)
    }
}

/// The object-safe twin of [`Interaction`].
pub(crate) trait DynInteraction: Send + Sync + 'static {
    fn decide<'a>(
        &'a self,
        pending: &'a PendingRequest,
        request: &'a Parts,
    ) -> Pin<Box<dyn Future<Output = Decision> + Send + 'a>>;

    fn signed_in<'a>(
        &'a self,
        request: &'a Parts,
    ) -> Pin<Box<dyn Future<Output = Option<SignedIn>> + Send + 'a>>;
}

impl<I: Interaction> DynInteraction for I {
    fn decide<'a>(
        &'a self,
        pending: &'a PendingRequest,
        request: &'a Parts,
    ) -> Pin<Box<dyn Future<Output = Decision> + Send + 'a>> {
        Box::pin(Interaction::decide(self, pending, request))
    }

    fn signed_in<'a>(
        &'a self,
        request: &'a Parts,
    ) -> Pin<Box<dyn Future<Output = Option<SignedIn>> + Send + 'a>> {
        Box::pin(Interaction::signed_in(self, request))
    }
}

/// Asks whoever the host says is signed in, and sends everybody else to the login.
pub(crate) struct Login<F>(pub(crate) F);

impl<F, W> Interaction for Login<F>
where
    F: Fn(&Parts) -> Option<W> + Send + Sync + 'static,
    W: Into<SignedIn>,
{
    async fn decide(&self, _: &PendingRequest, request: &Parts) -> Decision {
        (self.0)(request).map_or(Decision::Login, |who| Decision::Ask(who.into()))
    }

    async fn signed_in(&self, request: &Parts) -> Option<SignedIn> {
        (self.0)(request).map(Into::into)
    }
}
