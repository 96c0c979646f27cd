//! How is a poll answered? (RFC 8628 §3.4, §3.5)

use std::time::Duration;

use super::Asked;
use crate::protocol::error::{ErrorCode, OAuthError};
use crate::protocol::form::Form;
use crate::types::record::{Approved, Device, DeviceState};
use crate::types::{Client, Secret, Timestamp};

/// By how much the interval grows with each poll that came too soon (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// No interval grows beyond this: a device that never learns waits no longer than a minute.
const SLOWEST: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct DeviceGrant {
    pub(crate) device_code: Secret,
    pub(crate) asked: Asked,
}

impl DeviceGrant {
    pub(crate) fn parse(form: &Form<'_>) -> Result<Self, OAuthError> {
        // RFC 8707 §2.2: `resource` is understood with every grant. `scope` is not a parameter of this one (RFC 8628 §3.4).
        let Asked { resources, .. } = Asked::parse(form)?;
        let device_code = form.required("device_code", "device_code is missing")?;
        Ok(Self {
            device_code: Secret::new(device_code),
            asked: Asked {
                scope: None,
                resources,
            },
        })
    }
}

/// What a poll meets.
#[derive(Debug, PartialEq)]
pub(crate) enum Poll {
    /// Not decided yet: the state to keep, and what the device is told.
    Wait { next: DeviceState, slow_down: bool },
    /// The owner said yes, and nothing was issued yet.
    Approved(Approved),
}

/// The rule. A poll that comes too soon costs the device time, never the approval.
pub(crate) fn poll(device: &Device, client: &Client, now: Timestamp) -> Result<Poll, OAuthError> {
    if device.client_id != client.client_id {
        return Err(OAuthError::invalid_grant(
            "The device code was not issued to this client",
        ));
    }
    match &device.state {
        DeviceState::Redeemed { .. } => Err(OAuthError::invalid_grant("The device code was used")),
        DeviceState::Denied => Err(OAuthError::new(
            ErrorCode::AccessDenied,
            "The request was denied",
        )),
        _ if device.expires_at <= now => Err(OAuthError::new(
            ErrorCode::ExpiredToken,
            "The device code has expired",
        )),
        DeviceState::Approved { approved } if approved.client_epoch != client.epoch => {
            Err(OAuthError::invalid_grant("The approval was revoked"))
        }
        DeviceState::Approved { approved } => Ok(Poll::Approved(approved.clone())),
        DeviceState::Pending {
            last_poll,
            interval,
        } => {
            // A last poll that is still to come was made at a node whose clock is ahead: how long ago that was nobody knows.
            let slow_down =
                last_poll.is_some_and(|last| last <= now && now.since(last) < *interval);
            let interval = if slow_down {
                interval.saturating_add(SLOWER).min(SLOWEST.max(*interval))
            } else {
                *interval
            };
            Ok(Poll::Wait {
                next: DeviceState::Pending {
                    last_poll: Some(now),
                    interval,
                },
                slow_down,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Poll, poll};
    use crate::protocol::error::ErrorCode;
    use crate::types::record::{Approved, Device, DeviceState};
    use crate::types::{Client, Digest, Scope, Subject, Timestamp};

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_795_348_800 + secs)
    }

    fn client() -> Client {
        Client::public("tv".parse().unwrap())
    }

    fn device(state: DeviceState) -> Device {
        Device {
            client_id: "tv".parse().unwrap(),
            scope: Scope::empty(),
            resources: vec![],
            asked: None,
            expires_at: at(600),
            state,
        }
    }

    fn pending() -> Device {
        device(DeviceState::Pending {
            last_poll: None,
            interval: Duration::from_secs(5),
        })
    }

    fn approved() -> Approved {
        Approved {
            subject: Subject::new("alice").unwrap(),
            scope: Scope::empty(),
            resources: vec![],
            client_epoch: 0,
            authentication: crate::types::Authentication::default(),
            subject_epoch: 0,
            removal: 0,
        }
    }

    /// Polls at these seconds; `true` is `slow_down`.
    fn polls(seconds: &[u64]) -> Vec<bool> {
        let mut device = pending();
        let mut told = vec![];
        for second in seconds {
            let Poll::Wait { next, slow_down } = poll(&device, &client(), at(*second)).unwrap()
            else {
                panic!("approved")
            };
            device.state = next;
            told.push(slow_down);
        }
        told
    }

    // req: 8628-3.5-2, 8628-3.5-3, 8628-3.5-4
    #[test]
    fn rfc8628_3_5_a_poll_too_soon_makes_the_interval_five_seconds_longer_for_good() {
        assert_eq!(polls(&[0, 5, 10]), [false, false, false]);
        assert_eq!(polls(&[0, 4]), [false, true]);
        assert_eq!(
            polls(&[0, 4, 10]),
            [false, true, true],
            "six seconds are less than ten"
        );
        assert_eq!(polls(&[0, 4, 14, 24]), [false, true, false, false]);
        assert_eq!(
            polls(&[0, 1, 2, 16, 17, 37]),
            [false, true, true, true, true, true]
        );
        assert_eq!(
            polls(&[0, 1, 2, 17]),
            [false, true, true, false],
            "after two, fifteen seconds are enough"
        );
    }

    #[test]
    fn a_poll_at_a_node_whose_clock_is_behind_is_not_called_too_soon() {
        // Every five seconds, in turn at a node that is twenty seconds ahead and at one that is right.
        assert_eq!(polls(&[20, 5, 30, 15, 40]), [false; 5]);
    }

    // req: tol-device-1
    #[test]
    fn tol_device_1_a_device_that_never_learns_is_not_locked_out() {
        let told = polls(&(0..400).collect::<Vec<_>>());
        assert!(told[1..].iter().all(|slow_down| *slow_down));
        assert_eq!(
            polls(&(0..50).chain([109]).collect::<Vec<_>>()).last(),
            Some(&false)
        );
    }

    // req: 8628-3.4-5, 8628-3.5-5, 8628-3.5-6
    #[test]
    fn rfc8628_3_5_each_end_has_its_code() {
        let code =
            |device: &Device, client: &Client, now| poll(device, client, now).unwrap_err().code;
        assert_eq!(
            code(&pending(), &Client::public("other".parse().unwrap()), at(0)),
            ErrorCode::InvalidGrant
        );
        assert_eq!(
            code(&pending(), &client(), at(600)),
            ErrorCode::ExpiredToken
        );
        assert_eq!(
            code(&device(DeviceState::Denied), &client(), at(1)),
            ErrorCode::AccessDenied
        );
        assert_eq!(
            code(
                &device(DeviceState::Redeemed {
                    grant: Digest::of("grant", b"g")
                }),
                &client(),
                at(1)
            ),
            ErrorCode::InvalidGrant
        );
        assert_eq!(
            code(
                &device(DeviceState::Approved {
                    approved: approved()
                }),
                &client(),
                at(600)
            ),
            ErrorCode::ExpiredToken
        );
    }

    // req: 8628-3.5-8
    #[test]
    fn rfc8628_an_approval_is_given_however_often_the_device_asked() {
        assert_eq!(
            poll(
                &device(DeviceState::Approved {
                    approved: approved()
                }),
                &client(),
                at(1)
            )
            .unwrap(),
            Poll::Approved(approved())
        );
    }
}
