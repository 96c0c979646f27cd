//! May this code be redeemed? (RFC 6749 §4.1.3, RFC 7636 §4.6)

use super::Asked;
use crate::protocol::error::OAuthError;
use crate::protocol::form::Form;
use crate::types::record::{Code, CodeState};
use crate::types::{Client, CodeVerifier, Digest, Secret, Timestamp};

#[derive(Debug)]
pub(crate) struct CodeGrant {
    pub(crate) code: Secret,
    redirect_uri: Option<String>,
    verifier: Option<CodeVerifier>,
    pub(crate) asked: Asked,
}

/// What a code is worth to who presents it.
#[derive(Debug, PartialEq)]
pub(crate) enum Redemption {
    /// It is live, and everything about the request is right.
    Fresh,
    /// It is live, but the verifier is wrong: it is to be burnt (RFC 7636 §4.6).
    WrongVerifier,
    /// It was used, and everything else about the request is right: what came of it is to be revoked (RFC 6749 §4.1.2).
    Replay { grant: Digest },
}

impl CodeGrant {
    pub(crate) fn parse(form: &Form<'_>) -> Result<Self, OAuthError> {
        let verifier = form.one("code_verifier")?.map(str::parse).transpose();
        Ok(Self {
            code: Secret::new(form.required("code", "code is missing")?),
            redirect_uri: form.one("redirect_uri")?.map(ToOwned::to_owned),
            verifier: verifier
                .map_err(|_| OAuthError::invalid_request("code_verifier is malformed"))?,
            asked: Asked::parse(form)?,
        })
    }
}

/// The rule, one line per demand. What another client presents changes nothing.
pub(crate) fn redeem(
    request: &CodeGrant,
    code: &Code,
    client: &Client,
    now: Timestamp,
) -> Result<Redemption, OAuthError> {
    if code.client_id != client.client_id {
        return Err(OAuthError::invalid_grant(
            "The code was not issued to this client",
        )); // RFC 6749 §4.1.3: MUST
    }
    let live = code.state == CodeState::Live;
    if live && code.expires_at <= now {
        return Err(OAuthError::invalid_grant("The code has expired")); // RFC 6749 §4.1.2: MUST
    }
    match &request.redirect_uri {
        // RFC 6749 §4.1.3: MUST be identical if it was named; OAuth 2.1 clients no longer repeat it, and PKCE stands in for it.
        Some(uri) if uri == code.redirect_uri.as_str() => {}
        None if !code.redirect_uri_was_named => {}
        _ => {
            return Err(OAuthError::invalid_grant(
                "redirect_uri differs from the authorization request",
            ));
        }
    }
    let Some(verifier) = &request.verifier else {
        return Err(OAuthError::invalid_grant("code_verifier is missing")); // RFC 7636 §4.5
    };
    match (&code.state, code.challenge.matches(verifier)) {
        (CodeState::Live, true) if code.approved.client_epoch == client.epoch => {
            Ok(Redemption::Fresh)
        }
        (CodeState::Live, false) => Ok(Redemption::WrongVerifier), // RFC 7636 §4.6: MUST
        (CodeState::Used { grant }, true) => Ok(Redemption::Replay { grant: *grant }),
        _ => Err(OAuthError::invalid_grant("The code is not valid")),
    }
}

#[cfg(test)]
mod tests {
    use super::{CodeGrant, Redemption, redeem};
    use crate::protocol::error::{ErrorCode, OAuthError};
    use crate::protocol::form::Form;
    use crate::types::record::{Approved, Code, CodeState};
    use crate::types::{Client, Digest, Scope, Subject, Timestamp};

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);
    const RIGHT: &str = "code=c&redirect_uri=https://app.harbor.test/cb&code_verifier=kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z";

    fn code() -> Code {
        Code {
            client_id: "c1".parse().unwrap(),
            redirect_uri: "https://app.harbor.test/cb".parse().unwrap(),
            redirect_uri_was_named: true,
            challenge: "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw"
                .parse()
                .unwrap(),
            approved: Approved {
                subject: Subject::new("alice").unwrap(),
                scope: Scope::empty(),
                resources: vec![],
                client_epoch: 0,
                authentication: crate::types::Authentication::default(),
                subject_epoch: 0,
                removal: 0,
            },
            expires_at: Timestamp::from_secs(NOW.as_secs() + 1),
            state: CodeState::Live,
        }
    }

    fn client(id: &str) -> Client {
        Client::public(id.parse().unwrap())
    }

    fn ask(form: &str, code: &Code) -> Result<Redemption, OAuthError> {
        let request = CodeGrant::parse(&Form::parse(form.as_bytes()).unwrap())?;
        redeem(&request, code, &client("c1"), NOW)
    }

    fn refused(result: Result<Redemption, OAuthError>) -> ErrorCode {
        result.unwrap_err().code
    }

    // req: 6749-4.1.3-7, 6749-4.1.2-5
    #[test]
    fn rfc6749_4_1_3_a_code_is_for_the_client_it_was_issued_to() {
        assert_eq!(ask(RIGHT, &code()).unwrap(), Redemption::Fresh);
        let mut used = code();
        used.state = CodeState::Used {
            grant: Digest::of("grant", b"g"),
        };
        for code in [code(), used] {
            let request = CodeGrant::parse(&Form::parse(RIGHT.as_bytes()).unwrap()).unwrap();
            assert_eq!(
                refused(redeem(&request, &code, &client("c2"), NOW)),
                ErrorCode::InvalidGrant
            );
        }
    }

    // req: 6749-4.1.2-1
    #[test]
    fn rfc6749_4_1_2_a_code_expires() {
        let mut late = code();
        late.expires_at = NOW;
        assert_eq!(refused(ask(RIGHT, &late)), ErrorCode::InvalidGrant);
    }

    // req: 6749-4.1.3-3, 6749-4.1.3-4, 6749-10.6-1, 8252-7.3-5
    #[test]
    fn rfc6749_4_1_3_redirect_uri_is_the_one_of_the_request() {
        for wrong in [
            RIGHT.replace("/cb", "/cb/"),
            RIGHT.replace("&redirect_uri=https://app.harbor.test/cb", ""),
            RIGHT.replace("app.harbor.test", "app.harbor.test:443"),
        ] {
            assert_eq!(
                refused(ask(&wrong, &code())),
                ErrorCode::InvalidGrant,
                "{wrong}"
            );
        }
        let mut unnamed = code();
        unnamed.redirect_uri_was_named = false;
        assert_eq!(
            ask(
                "code=c&code_verifier=kQ4n7rYw2Zt_pB9sXc-LmV3uHe.Fj8oD~a1GqK6yTiN0z",
                &unnamed
            )
            .unwrap(),
            Redemption::Fresh
        );
        assert_eq!(ask(RIGHT, &unnamed).unwrap(), Redemption::Fresh);
    }

    // req: 7636-4.5-1, 7636-4.6-2, tol-pkce-1
    #[test]
    fn s03_a_missing_verifier_is_refused_and_a_wrong_one_burns_the_code() {
        assert_eq!(
            refused(ask(
                "code=c&redirect_uri=https://app.harbor.test/cb",
                &code()
            )),
            ErrorCode::InvalidGrant
        );
        assert_eq!(
            ask(&RIGHT.replace("kQ4n", "XXXX"), &code()).unwrap(),
            Redemption::WrongVerifier
        );
        assert_eq!(
            refused(ask(&RIGHT.replace("kQ4n", "kQ4+"), &code())),
            ErrorCode::InvalidRequest
        );
    }

    // req: 6749-4.1.2-4, oauth21-7.5.2-1, con-replay-1
    #[test]
    fn s04_a_replay_revokes_only_if_all_else_is_right() {
        let grant = Digest::of("grant", b"g");
        let mut used = code();
        used.state = CodeState::Used { grant };
        assert_eq!(ask(RIGHT, &used).unwrap(), Redemption::Replay { grant });
        assert_eq!(
            refused(ask(&RIGHT.replace("kQ4n", "XXXX"), &used)),
            ErrorCode::InvalidGrant
        );
        used.state = CodeState::Burnt;
        assert_eq!(refused(ask(RIGHT, &used)), ErrorCode::InvalidGrant);
    }

    #[test]
    fn a_code_dies_with_everything_of_its_client() {
        let mut code = code();
        code.approved.client_epoch = 1;
        assert_eq!(refused(ask(RIGHT, &code)), ErrorCode::InvalidGrant);
    }
}
