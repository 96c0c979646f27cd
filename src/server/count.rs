//! Counters and histograms (feature `metrics`), by the table in the documentation of the crate. Labels are of fixed sets: never a
//! client, a subject, or a text that somebody sent.

use ::metrics::{counter, histogram};

use super::event::{Event, registered_by};
use crate::store::Step;

/// Counts what has happened.
pub(crate) fn event(event: &Event<'_>) {
    match *event {
        Event::TokenIssued { grant_type, .. } => {
            counter!("oauth_tokens_issued_total", "grant_type" => grant_type.as_str())
        }
        Event::RequestRefused {
            endpoint, error, ..
        } => {
            counter!("oauth_requests_refused_total", "endpoint" => endpoint, "error" => error)
        }
        Event::AuthorizationCodeReplayed { .. } => {
            counter!("oauth_authorization_code_replays_total")
        }
        Event::RefreshTokenReused { .. } => counter!("oauth_refresh_token_reuse_total"),
        Event::GrantRevoked { by, .. } => {
            counter!("oauth_grants_revoked_total", "by" => by.as_str())
        }
        Event::TokenRevoked { .. } => counter!("oauth_tokens_revoked_total"),
        Event::ClientRevoked { .. } => counter!("oauth_revocations_total", "of" => "client"),
        Event::SubjectRevoked { .. } => counter!("oauth_revocations_total", "of" => "subject"),
        Event::ClientRegistered { by, .. } => {
            counter!("oauth_clients_registered_total", "by" => registered_by(by))
        }
        Event::ClientDisabled { .. } => counter!("oauth_clients_changed_total", "to" => "disabled"),
        Event::ClientEnabled { .. } => counter!("oauth_clients_changed_total", "to" => "enabled"),
        Event::ClientSecretRotated { .. } => {
            counter!("oauth_clients_changed_total", "to" => "new_secret")
        }
        #[cfg(feature = "jwt")]
        Event::SigningKeyMade { .. } => {
            counter!("oauth_signing_keys_changed_total", "to" => "made")
        }
        #[cfg(feature = "jwt")]
        Event::SigningKeyRotated { .. } => {
            counter!("oauth_signing_keys_changed_total", "to" => "rotated")
        }
        #[cfg(feature = "jwt")]
        Event::SigningKeyRemoved { .. } => {
            counter!("oauth_signing_keys_changed_total", "to" => "removed")
        }
        Event::ConsentGiven { .. } => counter!("oauth_consents_total", "decision" => "given"),
        Event::ConsentDenied { .. } => counter!("oauth_consents_total", "decision" => "denied"),
        Event::DeviceApproved { .. } => counter!("oauth_devices_total", "decision" => "approved"),
        Event::DeviceDenied { .. } => counter!("oauth_devices_total", "decision" => "denied"),
        Event::UserCodeWrong {} => counter!("oauth_user_codes_wrong_total"),
        Event::Throttled { endpoint, .. } => {
            counter!("oauth_requests_throttled_total", "endpoint" => endpoint)
        }
        Event::StoreFailed { verb, kind } => {
            counter!("oauth_store_failures_total", "verb" => verb, "kind" => kind)
        }
    }
    .increment(1);
}

/// Measures a step of the store; not the feed, which waits by design.
pub(crate) fn step(step: &Step<'_>) {
    if let Some(time) = step.time {
        histogram!("oauth_store_duration_seconds", "verb" => step.verb, "kind" => step.kind_name())
            .record(time);
    }
}
