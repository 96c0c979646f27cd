//! Where the host's own login meets the server.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use http::Response;
use http::request::Parts;

use super::device::open_user_code;
use crate::types::record::{DeviceAsked, Flow, Interaction as Record};
use crate::types::{Body, Client, RedirectUri, ResourceUri, Scope, Secret, Subject, Timestamp};

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

    /// The error code, if the request is invalid: it waits only until somebody is signed in, for nobody is sent away with an error
    /// before that (RFC 9700 §4.11.2). [`Decision::Login`], [`Decision::Respond`] and [`Decision::Forward`] do what they say;
    /// whatever else is decided, the client gets this error.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// What an owner said yes to.
#[derive(Debug, Clone)]
pub struct Approval {
    pub(crate) subject: Subject,
    pub(crate) scope: Option<Scope>,
}

impl Approval {
    /// This owner agrees to all that was asked for.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
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
    /// This person is signed in: ask with the built-in page, or go on if the answer is remembered.
    Ask(Subject),
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
///             Some(subject) => Decision::Ask(subject),
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
    fn signed_in(&self, request: &Parts) -> impl Future<Output = Option<Subject>> + Send {
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
    ) -> Pin<Box<dyn Future<Output = Option<Subject>> + Send + 'a>>;
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
    ) -> Pin<Box<dyn Future<Output = Option<Subject>> + Send + 'a>> {
        Box::pin(Interaction::signed_in(self, request))
    }
}

/// Asks whoever the host says is signed in, and sends everybody else to the login.
pub(crate) struct Login<F>(pub(crate) F);

impl<F> Interaction for Login<F>
where
    F: Fn(&Parts) -> Option<Subject> + Send + Sync + 'static,
{
    async fn decide(&self, _: &PendingRequest, request: &Parts) -> Decision {
        (self.0)(request).map_or(Decision::Login, Decision::Ask)
    }

    async fn signed_in(&self, request: &Parts) -> Option<Subject> {
        (self.0)(request)
    }
}
