//! What is told of what happens: to the log, to the metrics and to the host's [`EventSink`], all three from one call.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::store::{Observer, Step};
#[cfg(feature = "jwt")]
use crate::types::SigningAlgorithm;
use crate::types::{ClientId, GrantType, RegisteredBy, ResourceUri, Scope, Subject, Timestamp};

/// Something that has happened: it was written, or it was answered. What lost a race against another request is not told.
///
/// No event carries a token, a code, a secret, a `state`, or a digest of one. Clients are named by `client_id`, grants by their
/// public [`id`](super::Granted::id), tokens by their `jti`. Subjects stand here and never in the log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The token endpoint has answered with an access token (RFC 6749 §5.1).
    #[non_exhaustive]
    TokenIssued {
        /// To whom.
        client_id: &'a ClientId,
        /// On what ground; a refresh is [`GrantType::RefreshToken`].
        grant_type: GrantType,
        /// For whom; none if the client speaks for itself.
        subject: Option<&'a Subject>,
        /// What the token may be used for.
        scope: &'a Scope,
        /// For which resources.
        audience: &'a [ResourceUri],
        /// The grant it belongs to; none if the client speaks for itself.
        grant: Option<&'a str>,
        /// The token's own name (RFC 7519 §4.1.7).
        jti: &'a str,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// An endpoint has answered with an error. The page by which a person learns that a request was answered before is none.
    #[non_exhaustive]
    RequestRefused {
        /// Which: `authorize`, `token`, `device`, `verification`, `connected_apps`, `introspect`, `revoke`, `register`, `metadata`, `jwks`,
        /// `protected_resource`.
        endpoint: &'static str,
        /// The error code, as it stands on the wire, if it was no page.
        error: &'static str,
        /// The sentence that goes with it, as it stands on the wire, if it was no page.
        description: &'static str,
        /// The client that the request named, if there is one of that name. With `invalid_client` it has proven nothing.
        client_id: Option<&'a ClientId>,
        /// The grant that was asked for, at the token endpoint.
        grant_type: Option<GrantType>,
        /// Of a failure of ours: the `error-id` that the answer carries.
        error_id: Option<&'a str>,
        /// Of a failure of ours: what went wrong, in the words of whatever failed. Not for clients.
        cause: Option<&'a str>,
        /// Whether it is a sign of an attack: what was sent as the word of a person came from another page than ours or the host's, or
        /// from another person than the one who was asked.
        is_forged: bool,
    },
    /// A code that was used before was presented again, and all else about the request was right (RFC 6749 §4.1.2): what came of it
    /// is revoked.
    #[non_exhaustive]
    AuthorizationCodeReplayed {
        /// By whom.
        client_id: &'a ClientId,
        /// Who had approved it.
        subject: &'a Subject,
    },
    /// A refresh token that was used up was presented again (RFC 9700 §4.14.2): its grant is revoked.
    #[non_exhaustive]
    RefreshTokenReused {
        /// By whom.
        client_id: &'a ClientId,
        /// Who had approved it.
        subject: &'a Subject,
        /// Which grant.
        grant: &'a str,
    },
    /// A grant is dead, and every token under it.
    #[non_exhaustive]
    GrantRevoked {
        /// To whom it was given.
        client_id: &'a ClientId,
        /// By whom it was given.
        subject: &'a Subject,
        /// Which.
        grant: &'a str,
        /// On whose word.
        by: RevokedBy,
    },
    /// A client has revoked an access token (RFC 7009).
    #[non_exhaustive]
    TokenRevoked {
        /// The client.
        client_id: &'a ClientId,
        /// For whom the token was issued.
        subject: Option<&'a Subject>,
        /// The token's own name.
        jti: &'a str,
    },
    /// The host has revoked everything of a client.
    #[non_exhaustive]
    ClientRevoked {
        /// Which.
        client_id: &'a ClientId,
    },
    /// The host has revoked everything of a subject.
    #[non_exhaustive]
    SubjectRevoked {
        /// Which.
        subject: &'a Subject,
    },
    /// There is a new client. A registration that got a client which was there before makes none.
    #[non_exhaustive]
    ClientRegistered {
        /// Its name.
        client_id: &'a ClientId,
        /// On whose word.
        by: RegisteredBy,
    },
    /// The host has switched a client off, and everything of it is dead.
    #[non_exhaustive]
    ClientDisabled {
        /// Which.
        client_id: &'a ClientId,
    },
    /// The host has switched a client on again.
    #[non_exhaustive]
    ClientEnabled {
        /// Which.
        client_id: &'a ClientId,
    },
    /// The host has given a client a new secret.
    #[non_exhaustive]
    ClientSecretRotated {
        /// Which.
        client_id: &'a ClientId,
    },
    /// A key that signs access tokens was made in the store. It is published from now on, and signs later, unless it is the first.
    #[cfg(feature = "jwt")]
    #[non_exhaustive]
    SigningKeyMade {
        /// Its name (RFC 7517 §4.5).
        kid: &'a str,
        /// What it signs with.
        alg: SigningAlgorithm,
    },
    /// A key has been given a successor: when that one signs, this one is only published.
    #[cfg(feature = "jwt")]
    #[non_exhaustive]
    SigningKeyRotated {
        /// Its name.
        kid: &'a str,
        /// What it signs with.
        alg: SigningAlgorithm,
    },
    /// A key is no longer in the store: the host has taken it away, or the last token that it can have signed has expired.
    #[cfg(feature = "jwt")]
    #[non_exhaustive]
    SigningKeyRemoved {
        /// Its name.
        kid: &'a str,
        /// What it signed with.
        alg: SigningAlgorithm,
    },
    /// An authorization request was approved: a code is made for it.
    #[non_exhaustive]
    ConsentGiven {
        /// To whom.
        client_id: &'a ClientId,
        /// By whom.
        subject: &'a Subject,
        /// What.
        scope: &'a Scope,
        /// Whether the owner said so now, on the built-in page. Otherwise the host said it for them, or a remembered consent did.
        on_page: bool,
    },
    /// An authorization request was denied.
    #[non_exhaustive]
    ConsentDenied {
        /// Who had asked.
        client_id: &'a ClientId,
    },
    /// A device was approved (RFC 8628 §3.3).
    #[non_exhaustive]
    DeviceApproved {
        /// To whom.
        client_id: &'a ClientId,
        /// By whom.
        subject: &'a Subject,
        /// What.
        scope: &'a Scope,
    },
    /// A device was denied.
    #[non_exhaustive]
    DeviceDenied {
        /// Who had asked.
        client_id: &'a ClientId,
    },
    /// Somebody typed in a user code that no waiting device shows (RFC 8628 §5.1).
    #[non_exhaustive]
    UserCodeWrong {},
    /// A request was answered 429, since there were too many of its kind.
    #[non_exhaustive]
    Throttled {
        /// At which endpoint.
        endpoint: &'static str,
        /// The client that the request named, if it got so far.
        client_id: Option<&'a ClientId>,
    },
    /// A step of the store failed. The request it was for is then refused, or goes on without it.
    #[non_exhaustive]
    StoreFailed {
        /// Which step: `insert`, `get`, `replace`, `remove`, `list`, `purge`, `changes`.
        verb: &'static str,
        /// Which kind of record, by [`Kind::as_str`](crate::store::Kind::as_str); `all` for those steps that know none.
        kind: &'static str,
    },
}

/// On whose word a grant was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevokedBy {
    /// Its code was used twice.
    CodeReplay,
    /// One of its refresh tokens was used twice.
    RefreshTokenReuse,
    /// Its client asked for it (RFC 7009).
    Client,
    /// The host: [`Grants::revoke`](super::Grants::revoke).
    Host,
    /// Who gave it, on the page of [connected applications](super::AuthorizationServerBuilder::connected_apps).
    Owner,
}

impl RevokedBy {
    /// Its name, as it stands in the log and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CodeReplay => "code_replay",
            Self::RefreshTokenReuse => "refresh_token_reuse",
            Self::Client => "client",
            Self::Host => "host",
            Self::Owner => "owner",
        }
    }
}

/// Hears of every [`Event`]: for an audit trail, or for alarms.
///
/// It is called where the event happens, between what was written and the answer, so it must not block: hand the event on and return.
/// Under load several events are told at once, from several threads. A sink that panics costs no answer: the panic is caught, logged as
/// an error, and that event is lost.
///
/// ```
/// use std::sync::mpsc::{SyncSender, sync_channel};
/// use tower_oauth::server::{Event, EventSink};
///
/// /// Sends what matters here to a thread that writes it down; what finds no room is dropped rather than waited for.
/// struct Audit(SyncSender<String>);
///
/// impl EventSink for Audit {
///     fn event(&self, event: &Event<'_>) {
///         let line = match event {
///             Event::GrantRevoked { subject, grant, by, .. } => format!("{subject}: grant {grant} revoked by {}", by.as_str()),
///             Event::RefreshTokenReused { client_id, .. } => format!("ALARM: a refresh token of {client_id} is in two hands"),
///             _ => return,
///         };
///         let _ = self.0.try_send(line);
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, lines) = sync_channel(1000);
/// let oauth = tower_oauth::AuthorizationServer::builder("https://notes.example").events(Audit(sender)).build()?;
/// # let _ = (oauth, lines); Ok(()) }
/// ```
pub trait EventSink: Send + Sync + 'static {
    /// Takes an event.
    fn event(&self, event: &Event<'_>);
}

/// Whom a server tells.
#[derive(Default)]
pub(crate) struct Events(pub(crate) Option<Box<dyn EventSink>>);

impl Events {
    /// The one place that tells anything.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        log(event);
        #[cfg(feature = "metrics")]
        super::count::event(event);
        let Some(sink) = &self.0 else { return };
        // What was written is written: the answer must not be lost to somebody who only listens.
        if catch_unwind(AssertUnwindSafe(|| sink.event(event))).is_err() {
            tracing::error!("the event sink panicked");
        }
    }
}

impl Observer for Events {
    fn step(&self, step: &Step<'_>) {
        #[cfg(feature = "metrics")]
        super::count::step(step);
        let Some(error) = step.error else { return };
        let (verb, kind) = (step.verb, step.kind_name());
        // The cause stands in the log where it becomes an answer; here it is only told which step it was.
        tracing::debug!(verb, kind, %error, "a step of the store failed");
        self.tell(&Event::StoreFailed { verb, kind });
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// Our faults are errors, signs of an attack are warnings, mistakes of clients are for debugging, and the rest is information.
fn log(event: &Event<'_>) {
    match *event {
        Event::TokenIssued {
            client_id,
            grant_type,
            scope,
            grant,
            jti,
            ..
        } => {
            tracing::info!(%client_id, grant_type = grant_type.as_str(), %scope, grant, jti, "token issued")
        }
        Event::RequestRefused {
            error,
            description,
            error_id: Some(error_id),
            cause: Some(cause),
            ..
        } => tracing::error!(error, error_id, cause, "{description}"),
        Event::RequestRefused {
            error,
            description,
            is_forged: true,
            ..
        } => tracing::warn!(error, "{description}"),
        Event::RequestRefused {
            error, description, ..
        } => tracing::debug!(error, "{description}"),
        Event::AuthorizationCodeReplayed { client_id, .. } => {
            tracing::warn!(%client_id, "an authorization code was used twice: what came of it is revoked");
        }
        Event::RefreshTokenReused {
            client_id, grant, ..
        } => {
            tracing::warn!(%client_id, grant, "a used refresh token was presented again: its grant is revoked");
        }
        Event::GrantRevoked {
            client_id,
            grant,
            by,
            ..
        } => tracing::info!(%client_id, grant, by = by.as_str(), "grant revoked"),
        Event::TokenRevoked { client_id, jti, .. } => {
            tracing::info!(%client_id, jti, "token revoked");
        }
        Event::ClientRevoked { client_id } => {
            tracing::info!(%client_id, "everything of a client revoked");
        }
        Event::SubjectRevoked { .. } => tracing::info!("everything of a subject revoked"),
        Event::ClientRegistered { client_id, by } => {
            tracing::info!(%client_id, by = registered_by(by), "client registered");
        }
        Event::ClientDisabled { client_id } => tracing::info!(%client_id, "client disabled"),
        Event::ClientEnabled { client_id } => tracing::info!(%client_id, "client enabled"),
        Event::ClientSecretRotated { client_id } => {
            tracing::info!(%client_id, "client secret rotated");
        }
        #[cfg(feature = "jwt")]
        Event::SigningKeyMade { kid, alg } => {
            tracing::info!(kid, alg = alg.as_str(), "signing key made");
        }
        #[cfg(feature = "jwt")]
        Event::SigningKeyRotated { kid, alg } => {
            tracing::info!(kid, alg = alg.as_str(), "signing key rotated");
        }
        #[cfg(feature = "jwt")]
        Event::SigningKeyRemoved { kid, alg } => {
            tracing::info!(kid, alg = alg.as_str(), "signing key removed");
        }
        Event::ConsentGiven {
            client_id,
            scope,
            on_page,
            ..
        } => tracing::info!(%client_id, %scope, on_page, "consent given"),
        Event::ConsentDenied { client_id } => tracing::info!(%client_id, "consent denied"),
        Event::DeviceApproved {
            client_id, scope, ..
        } => tracing::info!(%client_id, %scope, "device approved"),
        Event::DeviceDenied { client_id } => tracing::info!(%client_id, "device denied"),
        Event::UserCodeWrong {} => tracing::debug!("wrong user code"),
        Event::Throttled { endpoint, .. } => tracing::warn!(endpoint, "too many requests"),
        Event::StoreFailed { .. } => {} // logged with its cause
    }
}

pub(crate) const fn registered_by(by: RegisteredBy) -> &'static str {
    match by {
        RegisteredBy::Host => "host",
        RegisteredBy::Itself => "itself",
    }
}
