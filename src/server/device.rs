//! The device authorization endpoint (RFC 8628 §3.1), and user codes (§6.1).

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;
use sha2::Sha256;

use super::authenticate::authenticate;
use super::throttle::Attempt;
use super::{Answer, Endpoint, Inner};
use crate::grant::Asked;
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::{ErrorCode, OAuthError, json};
use crate::protocol::form::Form;
use crate::store::Insert;
use crate::types::record::{Device, DeviceAsked, DeviceState, UserCode};
use crate::types::{Digest, GrantType, Secret, random};

/// Letters that are not taken for each other and make no words (RFC 8628 §6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// How many of them a user code has: 34.5 bits, which the throttle of the page makes enough (RFC 8628 §5.1).
pub(crate) const USER_CODE: usize = 8;

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Answer {
    authorize_device(server, request)
        .await
        .unwrap_or_else(|error| error.to_response())
        .into()
}

#[derive(Serialize)]
struct DeviceResponse<'a> {
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: &'a str,
    verification_uri_complete: &'a str,
    expires_in: u64,
    interval: u64,
}

async fn authorize_device(
    server: &Inner,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, OAuthError> {
    if request.method() != Method::POST {
        return Err(OAuthError::method_not_allowed("POST"));
    }
    let form = Form::from_body(request.headers(), request.body())?;
    let credentials = Credentials::read(request.headers(), &form)?;
    let client = authenticate(server, request, &credentials).await?;
    // Wrong secrets are counted by themselves: in the name of a client that has one, nobody else uses up what it may ask for.
    let begins = Attempt::DeviceRequest(&client.client_id);
    server
        .take(begins, server.address(request), server.now())
        .await?;
    if !client.may_use(GrantType::DeviceCode) {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "The client may not use the device grant",
        ));
    }
    let (scope, resources) = server
        .config
        .catalog
        .resolve(&Asked::parse(&form)?, &client)?;

    let (now, lifetimes) = (server.now(), &server.config.lifetimes);
    let device_code = Secret::generate()?;
    let digest = Digest::of("device", device_code.expose().as_bytes());
    let expires_at = now.saturating_add(lifetimes.device_code);
    // The pointer first, the device second: a code that leads nowhere is only a wrong code.
    let user_code = keep_user_code(
        server,
        UserCode {
            device: digest,
            expires_at,
        },
    )
    .await?;
    let state = DeviceState::Pending {
        last_poll: None,
        interval: lifetimes.device_interval,
    };
    let device = Device {
        client_id: client.client_id.clone(),
        scope,
        resources,
        asked: Some(DeviceAsked {
            at: now,
            from: server.address(request),
        }),
        expires_at,
        state,
    };
    server.records.create(digest, &device, now).await?;

    let (verification_uri, user_code) =
        (server.config.url(Endpoint::Verification), shown(&user_code));
    let response = DeviceResponse {
        device_code: device_code.expose(),
        user_code: &user_code,
        verification_uri: &verification_uri,
        verification_uri_complete: &format!("{verification_uri}?user_code={user_code}"),
        expires_in: lifetimes.device_code.as_secs(),
        interval: lifetimes.device_interval.as_secs(),
    };
    Ok(json(StatusCode::OK, &response))
}

/// Draws a code that no device shows now.
async fn keep_user_code(server: &Inner, pointer: UserCode) -> Result<String, OAuthError> {
    let key = server.server_key().await?;
    for _ in 0..16 {
        let user_code = draw()?;
        let digest = user_code_digest(&key, &user_code);
        let kept = server
            .records
            .create(digest, &pointer, server.now())
            .await?;
        if let Insert::Inserted(_) = kept {
            return Ok(user_code);
        }
    }
    Err(OAuthError::unavailable(
        "no free user code was found in sixteen draws",
    ))
}

fn draw() -> Result<String, OAuthError> {
    let mut code = String::with_capacity(USER_CODE);
    while code.len() < USER_CODE {
        let random = random::<32>()?;
        let letters = random.iter().copied().filter_map(letter);
        code.extend(letters.take(USER_CODE - code.len()));
    }
    Ok(code)
}

/// The letter that a random byte stands for. Bytes beyond the last multiple of the alphabet would make some letters likelier than others.
fn letter(byte: u8) -> Option<char> {
    let letter = ALPHABET.get(usize::from(byte % 20)).copied();
    letter.filter(|_| byte < 240).map(char::from)
}

/// What somebody typed, as it was drawn: any case, and without whatever is no letter of a code (RFC 8628 §6.1).
pub(crate) fn normal(typed: &str) -> String {
    let letters = typed
        .chars()
        .map(|c| c.to_ascii_uppercase())
        .filter(|c| u8::try_from(*c).is_ok_and(|byte| ALPHABET.contains(&byte)));
    letters.take(USER_CODE + 1).collect()
}

/// A code as people read it: `RKQT-BXVN`.
pub(crate) fn shown(code: &str) -> String {
    match code.split_at_checked(USER_CODE / 2) {
        Some((first, second)) if !second.is_empty() => format!("{first}-{second}"),
        _ => code.to_owned(),
    }
}

/// User codes are short: what is kept of one is made with the server's key.
pub(crate) fn user_code_digest(key: &Digest, code: &str) -> Digest {
    // HMAC takes a key of any length, so this cannot fail; were it to, no code would be found.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        return *key;
    };
    mac.update(b"tower-oauth: user code\0");
    mac.update(code.as_bytes());
    Digest::from_bytes(mac.finalize().into_bytes().into())
}

/// Seals a user code under the id of a waiting request, which is as random as a key.
pub(crate) fn seal_user_code(id: &Secret, code: &str) -> Digest {
    let mut sealed = *seal_key(id).as_bytes();
    sealed
        .iter_mut()
        .zip(code.bytes())
        .for_each(|(key, letter)| *key ^= letter);
    Digest::from_bytes(sealed)
}

/// The code that was sealed, as people read it.
pub(crate) fn open_user_code(id: &Secret, sealed: &Digest) -> String {
    let key = seal_key(id);
    let letters = sealed
        .as_bytes()
        .iter()
        .zip(key.as_bytes())
        .map(|(sealed, key)| char::from(sealed ^ key));
    shown(&letters.take(USER_CODE).collect::<String>())
}

fn seal_key(id: &Secret) -> Digest {
    Digest::of("user_code_seal", id.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{draw, letter, normal, open_user_code, seal_user_code, shown};
    use crate::types::Secret;

    // req: 8628-6.1-1, 8628-5.1-1
    #[test]
    fn rfc8628_6_1_codes_are_eight_letters_without_look_alikes_all_equally_likely() {
        for _ in 0..100 {
            let code = draw().unwrap();
            assert!(
                code.len() == 8
                    && code
                        .bytes()
                        .all(|byte| b"BCDFGHJKLMNPQRSTVWXZ".contains(&byte)),
                "{code}"
            );
        }
        let mut drawn = std::collections::HashMap::new();
        for letter in (0..=u8::MAX).filter_map(letter) {
            *drawn.entry(letter).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), 20);
        assert!(drawn.values().all(|bytes| *bytes == 12), "{drawn:?}");
    }

    #[test]
    fn a_sealed_code_opens_under_its_id_alone() {
        let (id, other) = (Secret::new("one"), Secret::new("two"));
        let sealed = seal_user_code(&id, "WDJBMJHT");
        assert_eq!(open_user_code(&id, &sealed), "WDJB-MJHT");
        assert_ne!(open_user_code(&other, &sealed), "WDJB-MJHT");
    }

    // req: 8628-6.1-2, 8628-6.1-3
    #[test]
    fn rfc8628_6_1_punctuation_and_case_do_not_matter() {
        for typed in [
            "wdjb mjht",
            "WDJB-MJHT",
            "wdjbmjht",
            " w.d.j.b  mjht\u{a0}",
            "WDJB–MJHT",
        ] {
            assert_eq!(normal(typed), "WDJBMJHT", "{typed}");
        }
        assert_eq!(shown("WDJBMJHT"), "WDJB-MJHT");
        assert_eq!((normal("ÀÉ1A"), shown("")), (String::new(), String::new()));
        assert_eq!(
            normal(&"B".repeat(1000)).len(),
            9,
            "no longer than it takes to see that it is too long"
        );
    }
}
