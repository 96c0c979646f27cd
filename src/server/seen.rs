//! A request to an endpoint of ours as it is seen from outside: its span, and what is told when it is refused.

use std::cell::OnceCell;
use std::pin::Pin;

use http::{HeaderValue, Response, StatusCode};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::event::Event;
use super::{Answer, Endpoint, Inner, Route};
use crate::protocol::error::Refused;
use crate::types::{ClientId, GrantType, random};

tokio::task_local! {
    /// The request that this task answers now. Endpoints say what they find out about it; only what is told at its end looks here.
    static REQUEST: Seen;
}

/// What is known of a request.
struct Seen {
    span: Span,
    client_id: OnceCell<ClientId>,
    grant_type: OnceCell<GrantType>,
    /// One of the server's own, which is not counted and not told.
    is_probe: bool,
}

/// The request names this client, and there is such a client. What is no client is not named: a text that somebody sent in its place
/// might be anything.
pub(crate) fn client(client_id: &ClientId) {
    let note = |seen: &Seen| {
        if seen.client_id.set(client_id.clone()).is_ok() {
            seen.span
                .record("client_id", tracing::field::display(client_id));
        }
    };
    let _ = REQUEST.try_with(note); // what the host asks outside of a request is no request
}

/// The request asks for this grant.
pub(crate) fn grant_type(grant_type: GrantType) {
    let note = |seen: &Seen| {
        if seen.grant_type.set(grant_type).is_ok() {
            seen.span.record("grant_type", grant_type.as_str());
        }
    };
    let _ = REQUEST.try_with(note);
}

/// Whether the request is one of the server's own, by which it checks itself.
pub(crate) fn is_probe() -> bool {
    REQUEST.try_with(|seen| seen.is_probe).unwrap_or(false)
}

impl Inner {
    /// Answers a request inside of a span of its own, and tells if it is refused. Boxed, since each of the futures around it would
    /// otherwise hold it twice.
    pub(crate) async fn observe(
        &self,
        endpoint: &'static str,
        is_probe: bool,
        answering: Pin<Box<dyn Future<Output = Answer> + Send + '_>>,
    ) -> Answer {
        let span = tracing::info_span!(
            "tower_oauth",
            endpoint,
            client_id = Empty,
            grant_type = Empty,
            error = Empty
        );
        let seen = Seen {
            span: span.clone(),
            client_id: OnceCell::new(),
            grant_type: OnceCell::new(),
            is_probe,
        };
        let observed = async {
            let mut answer = answering.await;
            if let Answer::Respond(response) = &mut answer {
                self.tell_refusal(endpoint, response);
            }
            answer
        };
        REQUEST.scope(seen, observed).instrument(span).await
    }

    fn tell_refusal<B>(&self, endpoint: &'static str, response: &mut Response<B>) {
        let Some(refused) = response.extensions_mut().remove::<Refused>() else {
            return;
        };
        let (client_id, grant_type) = REQUEST.with(|seen| {
            seen.span.record("error", refused.error);
            (
                seen.client_id.get().cloned(),
                seen.grant_type.get().copied(),
            )
        });
        if is_probe() {
            return;
        }
        let client_id = client_id.as_ref();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            self.tell(&Event::Throttled {
                endpoint,
                client_id,
            });
        }
        // Nothing of what went wrong is in the answer but a name for it, by which the line in the log is found.
        let error_id = refused.cause.as_ref().map(|_| error_id());
        if let Some(value) = error_id
            .as_deref()
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            response.headers_mut().insert("error-id", value);
        }
        self.tell(&Event::RequestRefused {
            endpoint,
            error: refused.error,
            description: refused.description,
            client_id,
            grant_type,
            error_id: error_id.as_deref(),
            cause: refused.cause.as_deref(),
            is_forged: refused.is_forged,
        });
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.events.tell(event);
    }
}

/// Sixteen hexadecimal digits; without randomness, which may be the very failure, all zero.
fn error_id() -> String {
    let number = random::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("{number:016x}")
}

impl Route {
    /// Its name in spans, events and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Endpoint(endpoint) => endpoint.as_str(),
            Self::ProtectedResource => "protected_resource",
        }
    }
}

impl Endpoint {
    /// Its name in spans, events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Device => "device",
            Self::Verification => "verification",
            Self::ConnectedApps => "connected_apps",
            Self::Introspect => "introspect",
            Self::Revoke => "revoke",
            Self::Register => "register",
            Self::Jwks => "jwks",
        }
    }
}
