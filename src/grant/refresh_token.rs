//! May this refresh token be used? (RFC 6749 §6, RFC 9700 §4.14)
//!
//! A refresh token is a handle that names the grant, a generation, and a tail: 68 bytes, written as `tor_` and 91 characters. The
//! grant keeps digests of the current token and of the one before. The current tail is also kept sealed under the one before, so
//! that who presents that one again inside a short window is given the same successor: an answer that was lost is not a theft.

use std::cmp::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Asked;
use crate::protocol::error::OAuthError;
use crate::protocol::form::Form;
use crate::types::record::{Grant, RefreshFamily, Rotated};
use crate::types::{Client, Digest, Secret, Timestamp};

/// What every refresh token begins with.
const REFRESH_TOKEN_PREFIX: &str = "tor_";

#[derive(Debug)]
pub(crate) struct RefreshGrant {
    /// `None` if what was sent has not the form of one.
    pub(crate) token: Option<RefreshToken>,
    pub(crate) asked: Asked,
}

impl RefreshGrant {
    pub(crate) fn parse(form: &Form<'_>) -> Result<Self, OAuthError> {
        let token = form.required("refresh_token", "refresh_token is missing")?;
        Ok(Self {
            token: RefreshToken::parse(token),
            asked: Asked::parse(form)?,
        })
    }
}

/// handle ‖ generation ‖ tail.
pub(crate) struct RefreshToken(Zeroizing<[u8; 68]>);

impl RefreshToken {
    pub(crate) fn new(handle: &[u8; 32], generation: u32, tail: &[u8; 32]) -> Self {
        let mut bytes = Zeroizing::new([0; 68]);
        let generation = generation.to_be_bytes();
        let parts = handle.iter().chain(&generation).chain(tail);
        bytes
            .iter_mut()
            .zip(parts)
            .for_each(|(place, byte)| *place = *byte);
        Self(bytes)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(REFRESH_TOKEN_PREFIX)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    pub(crate) fn to_secret(&self) -> Secret {
        Secret::encode(REFRESH_TOKEN_PREFIX, self.0.as_slice())
    }

    /// The key of the grant that it belongs to.
    pub(crate) fn grant(&self) -> Digest {
        Digest::of("grant", self.handle())
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of("refresh_token", self.0.as_slice())
    }

    /// Whether this family had it: as its live token, as the one before, or longer ago, when its holder still knows the handle.
    pub(crate) fn is_of(&self, grant: &Grant) -> bool {
        let Some(family) = &grant.family else {
            return false;
        };
        match (self.generation().cmp(&family.generation), &family.rotated) {
            (Ordering::Equal, _) => self.digest() == family.current,
            (Ordering::Less, Some(rotated))
                if self.generation().checked_add(1) == Some(family.generation) =>
            {
                self.digest() == rotated.previous
            }
            (order, _) => order == Ordering::Less,
        }
    }

    fn handle(&self) -> &[u8; 32] {
        self.0.first_chunk().unwrap_or(&[0; 32])
    }

    #[cfg(test)]
    fn tail(&self) -> &[u8; 32] {
        self.0.last_chunk().unwrap_or(&[0; 32])
    }

    fn generation(&self) -> u32 {
        self.0
            .get(32..36)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_be_bytes)
    }

    /// The token of the next generation.
    fn successor(&self, tail: &[u8; 32]) -> Self {
        Self::new(self.handle(), self.generation().saturating_add(1), tail)
    }

    /// Seals a tail under this token, or opens it again: the same step both ways.
    fn seal(&self, tail: &[u8; 32]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).ok()?;
        mac.update(b"tower-oauth: the tail of the successor");
        let mut sealed: [u8; 32] = mac.finalize().into_bytes().into();
        sealed
            .iter_mut()
            .zip(tail)
            .for_each(|(key, byte)| *key ^= byte);
        Some(sealed)
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

/// What a refresh token is worth to who presents it.
#[derive(Debug)]
pub(crate) enum Presented {
    /// It is the one live token of its family.
    Current,
    /// It was the live one a moment ago: here is the successor that it was given before.
    Retry(RefreshToken),
    /// It was used up: somebody else has it, or had it. The family is to be revoked.
    Reused,
}

/// The rule. Only a token that this family really had, of an older generation, is reuse: a made-up one changes nothing.
pub(crate) fn present(
    token: &RefreshToken,
    grant: &Grant,
    client: &Client,
    window: (Duration, Timestamp),
) -> Result<Presented, OAuthError> {
    let (window, now) = window;
    let invalid = || OAuthError::invalid_grant("The refresh token is not valid"); // one sentence for every reason
    if grant.client_id != client.client_id
        || grant.revoked
        || grant.ends_at <= now
        || grant.approved.client_epoch != client.epoch
    {
        return Err(invalid()); // RFC 6749 §6: MUST
    }
    let Some(family) = &grant.family else {
        return Err(invalid());
    };
    if token.generation() == family.generation {
        let live = token.digest() == family.current && family.idle_until > now;
        return if live {
            Ok(Presented::Current)
        } else {
            Err(invalid())
        };
    }
    if token.generation() > family.generation {
        return Err(invalid());
    }
    // Two generations back nothing is left to compare with, but its holder knew the handle, which no stranger does.
    let Some(rotated) = family
        .rotated
        .as_ref()
        .filter(|_| token.generation().checked_add(1) == Some(family.generation))
    else {
        return Ok(Presented::Reused);
    };
    if token.digest() != rotated.previous {
        return Err(invalid());
    }
    if now.since(rotated.at) >= window || family.idle_until <= now {
        return Ok(Presented::Reused);
    }
    let tail = token
        .seal(rotated.sealed_tail.as_bytes())
        .ok_or_else(invalid)?;
    let successor = token.successor(&tail);
    if successor.digest() == family.current {
        Ok(Presented::Retry(successor))
    } else {
        Err(invalid())
    }
}

/// The family after the current token was used, and the token that its client gets.
pub(crate) fn rotate(
    token: &RefreshToken,
    tail: &[u8; 32],
    idle_until: Timestamp,
    now: Timestamp,
) -> Option<(RefreshFamily, RefreshToken)> {
    let successor = token.successor(tail);
    let rotated = Rotated {
        previous: token.digest(),
        at: now,
        sealed_tail: Digest::from_bytes(token.seal(tail)?),
    };
    let family = RefreshFamily {
        generation: successor.generation(),
        current: successor.digest(),
        idle_until,
        rotated: Some(rotated),
    };
    Some((family, successor))
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::{Presented, RefreshToken, present, rotate};
    use crate::types::record::{Approved, Grant, RefreshFamily};
    use crate::types::{Client, Scope, Subject, Timestamp};

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);
    const LATER: Timestamp = Timestamp::from_secs(1_795_348_900);
    const WINDOW: Duration = Duration::from_secs(30);

    fn first() -> (RefreshToken, Grant) {
        let token = RefreshToken::new(&[7; 32], 0, &[8; 32]);
        let family = RefreshFamily {
            generation: 0,
            current: token.digest(),
            idle_until: LATER,
            rotated: None,
        };
        let approved = Approved {
            subject: Subject::new("alice").unwrap(),
            scope: Scope::empty(),
            resources: vec![],
            client_epoch: 0,
            authentication: crate::types::Authentication::default(),
            subject_epoch: 0,
            removal: 0,
        };
        let grant = Grant {
            id: "g".into(),
            client_id: "c1".parse().unwrap(),
            approved,
            redirect_uri: None,
            granted_at: NOW,
            ends_at: LATER,
            expires_at: LATER,
            revoked: false,
            family: Some(family),
        };
        (token, grant)
    }

    fn client() -> Client {
        Client::public("c1".parse().unwrap())
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(NOW.as_secs() + secs)
    }

    fn show(token: &RefreshToken, grant: &Grant, now: Timestamp) -> &'static str {
        match present(token, grant, &client(), (WINDOW, now)) {
            Ok(Presented::Current) => "current",
            Ok(Presented::Retry(_)) => "retry",
            Ok(Presented::Reused) => "reused",
            Err(_) => "invalid_grant",
        }
    }

    fn rotated(token: &RefreshToken, grant: &mut Grant, now: Timestamp) -> RefreshToken {
        let (family, successor) = rotate(
            token,
            &[u8::try_from(now.as_secs() % 251).unwrap(); 32],
            LATER,
            now,
        )
        .unwrap();
        grant.family = Some(family);
        successor
    }

    #[test]
    fn a_refresh_token_reads_what_it_prints() {
        let (token, _) = first();
        assert_eq!(format!("{token:?}"), "RefreshToken(…)");
        let text = token.to_secret();
        assert_eq!((text.expose().len(), &text.expose()[..4]), (95, "tor_"));
        assert_eq!(
            RefreshToken::parse(text.expose()).unwrap().digest(),
            token.digest()
        );
        for bad in [
            "",
            "tor_",
            "toa_AAAA",
            &text.expose()[1..],
            &text.expose()[..94],
            "tor_é",
        ] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }

    // req: 6749-6-4, 6749-6-5, 6749-10.4-2
    #[test]
    fn rfc6749_6_a_refresh_token_is_for_its_client_while_it_lives() {
        let (token, grant) = first();
        assert_eq!(show(&token, &grant, NOW), "current");
        assert!(
            present(
                &token,
                &grant,
                &Client::public("c2".parse().unwrap()),
                (WINDOW, NOW)
            )
            .is_err()
        );
        assert_eq!(
            show(
                &token,
                &Grant {
                    revoked: true,
                    ..grant.clone()
                },
                NOW
            ),
            "invalid_grant"
        );
        assert_eq!(
            show(
                &token,
                &Grant {
                    family: None,
                    ..grant.clone()
                },
                NOW
            ),
            "invalid_grant"
        );
        assert_eq!(
            show(
                &token,
                &Grant {
                    ends_at: NOW,
                    ..grant.clone()
                },
                NOW
            ),
            "invalid_grant"
        );
        let mut idle = grant.clone();
        idle.family.as_mut().unwrap().idle_until = NOW;
        assert_eq!(show(&token, &idle, NOW), "invalid_grant");
        let mut later = client();
        later.epoch = 1;
        assert!(present(&token, &grant, &later, (WINDOW, NOW)).is_err());
    }

    // req: 9700-4.14.2-4
    #[test]
    fn rfc9700_4_14_an_altered_token_is_refused_and_the_family_untouched() {
        let (token, mut grant) = first();
        let made_up = RefreshToken::new(&[7; 32], 0, &[9; 32]);
        assert_eq!(show(&made_up, &grant, NOW), "invalid_grant");
        assert_eq!(
            show(&RefreshToken::new(&[7; 32], 5, &[8; 32]), &grant, NOW),
            "invalid_grant"
        );
        rotated(&token, &mut grant, NOW);
        assert_eq!(show(&made_up, &grant, NOW), "invalid_grant");
    }

    // req: tol-refresh-1
    #[test]
    fn tol_refresh_1_the_same_holder_gets_the_same_successor_inside_the_window() {
        let (token, mut grant) = first();
        let successor = rotated(&token, &mut grant, NOW);
        for now in [NOW, at(29)] {
            let Ok(Presented::Retry(again)) = present(&token, &grant, &client(), (WINDOW, now))
            else {
                panic!("no retry")
            };
            assert_eq!(again.to_secret().expose(), successor.to_secret().expose());
        }
        assert_eq!(show(&successor, &grant, at(29)), "current");
        assert_eq!(show(&token, &grant, at(30)), "reused");
    }

    // req: 9700-4.14.2-3, 6749-10.4-3
    #[test]
    fn s05_a_token_two_generations_old_is_reuse_at_once() {
        let (token, mut grant) = first();
        let second = rotated(&token, &mut grant, NOW);
        let third = rotated(&second, &mut grant, at(1));
        assert_eq!(show(&token, &grant, at(1)), "reused");
        assert_eq!(show(&second, &grant, at(1)), "retry");
        assert_eq!(show(&third, &grant, at(1)), "current");
    }

    // req: 6749-10.4-1
    #[test]
    fn rfc6749_10_4_what_is_kept_does_not_give_the_successor_away() {
        let (token, mut grant) = first();
        let successor = rotated(&token, &mut grant, NOW);
        let kept = serde_json::to_string(&grant).unwrap();
        assert!(!kept.contains(&successor.to_secret().expose()[50..]));
        let sealed = grant.family.unwrap().rotated.unwrap().sealed_tail;
        assert_ne!(sealed.as_bytes(), successor.tail());
        assert_ne!(
            second_opinion(&successor, sealed.as_bytes()),
            *successor.tail(),
            "only the token before opens it"
        );
    }

    fn second_opinion(token: &RefreshToken, sealed: &[u8; 32]) -> [u8; 32] {
        token.seal(sealed).unwrap()
    }
}
