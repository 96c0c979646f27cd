//! Client credentials, in the header or the form (RFC 6749 §2.3).

use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::OAuthError;
use super::form::{Form, decode};
use crate::types::{Client, ClientId, ClientSecret, Proof, Secret, Timestamp};

/// Standard base64, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest `Authorization` header that is looked into: an id and a secret of the longest kind, percent-encoded, fit in three times.
const LONGEST: usize = 4096;

/// How a client presents itself: `none`, `client_secret_basic` or `client_secret_post`.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) client_id: ClientId,
    /// Basic counts as a secret even if it is empty.
    secret: Option<Secret>,
}

impl Credentials {
    /// Reads them from a request; one method at most (RFC 6749 §2.3).
    pub(crate) fn read(headers: &HeaderMap, form: &Form<'_>) -> Result<Self, OAuthError> {
        let missing = OAuthError::invalid_request("client_id is missing");
        Self::read_if_any(headers, form)?.ok_or(missing)
    }

    /// As [`read`](Self::read); `None` if nothing of the kind was sent.
    pub(crate) fn read_if_any(
        headers: &HeaderMap,
        form: &Form<'_>,
    ) -> Result<Option<Self>, OAuthError> {
        let body_id = form.one("client_id")?;
        let body_secret = form.one("client_secret")?;
        let assertion = form
            .one("client_assertion")?
            .or(form.one("client_assertion_type")?);
        let two_ways = OAuthError::invalid_request("Two ways of client authentication at once");
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let Some(field) = fields.next() else {
            if assertion.is_some() {
                // RFC 7521 §4.2: none is taken here, and who sends one is not somebody who sends nothing.
                let not_supported = OAuthError::invalid_client();
                return Err(body_secret.map_or(not_supported, |_| two_ways));
            }
            let Some(client_id) = body_id else {
                return Ok(None);
            };
            let client_id = client_id
                .parse()
                .map_err(|_| OAuthError::invalid_client())?;
            return Ok(Some(Self {
                client_id,
                secret: body_secret.map(Secret::new),
            }));
        };
        if fields.next().is_some() {
            return Err(OAuthError::invalid_request(
                "The Authorization header is repeated",
            ));
        }
        if body_secret.or(assertion).is_some() {
            return Err(two_ways); // RFC 6749 §2.3: MUST NOT
        }
        // An Authorization header that is no Basic one is never ignored.
        let (client_id, secret) = basic(field.as_bytes()).ok_or(OAuthError::invalid_client())?;
        let client_id: ClientId = client_id
            .parse()
            .map_err(|_| OAuthError::invalid_client())?;
        if body_id.is_some_and(|id| id != client_id.as_str()) {
            return Err(OAuthError::invalid_request(
                "client_id differs from the Authorization header",
            ));
        }
        Ok(Some(Self {
            client_id,
            secret: Some(secret),
        }))
    }

    /// Whether they prove that the request comes from this client. An unknown client takes the same time as a wrong secret.
    pub(crate) fn prove(&self, client: Option<&Client>, now: Timestamp) -> Proof {
        let client = client.filter(|client| !client.disabled);
        let ours = client.and_then(|client| client.secret.as_ref());
        match &self.secret {
            Some(presented) => ClientSecret::prove(ours, presented, now),
            // A public client never becomes a confidential one by sending something (RFC 6749 §2.1), and a client with
            // a secret never gets by without it (RFC 6749 §3.2.1).
            None if client.is_some() && ours.is_none() => Proof::Holds,
            None => Proof::Fails,
        }
    }
}

/// `Basic base64(form(client_id) ":" form(client_secret))` (RFC 6749 §2.3.1).
fn basic(field: &[u8]) -> Option<(String, Secret)> {
    if field.len() > LONGEST {
        return None;
    }
    let (scheme, rest) = field.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = zeroize::Zeroizing::new(BASE64.decode(rest.trim_ascii()).ok()?);
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((decode(id)?.into_owned(), Secret::new(decode(secret)?)))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use http::{HeaderMap, HeaderValue};

    use super::Credentials;
    use crate::protocol::error::{ErrorCode, OAuthError};
    use crate::protocol::form::Form;
    use crate::types::{Client, Proof, Secret, Timestamp};

    fn read(authorization: &[&str], body: &str) -> Result<Credentials, OAuthError> {
        let mut headers = HeaderMap::new();
        for field in authorization {
            headers.append("authorization", HeaderValue::from_str(field).unwrap());
        }
        Credentials::read(&headers, &Form::parse(body.as_bytes()).unwrap())
    }

    fn basic(pair: &str) -> String {
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(pair)
        )
    }

    fn confidential() -> Client {
        Client::confidential("c1".parse().unwrap(), &Secret::new("s3cret+with %/:chars"))
    }

    fn code(result: Result<Credentials, OAuthError>) -> ErrorCode {
        result.unwrap_err().code
    }

    fn proves(credentials: Result<Credentials, OAuthError>, client: &Client) -> bool {
        match credentials.unwrap().prove(Some(client), NOW) {
            Proof::Holds => true,
            Proof::Fails => false,
            Proof::Slow(proof) => proof.holds(),
        }
    }

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);

    // req: 6749-2.3.1-2, http-basic-1, http-basic-2
    #[test]
    fn rfc6749_2_3_1_basic_is_form_decoded_after_base64() {
        let encoded = basic("c1:s3cret%2Bwith+%25%2F%3Achars");
        let spellings = [
            encoded.clone(),
            encoded.replace("Basic", "bAsIc"),
            encoded.trim_end_matches('=').to_owned(),
        ];
        for field in &spellings {
            assert!(proves(read(&[field], ""), &confidential()));
        }
        let raw_colon = basic("c1:s3cret%2Bwith+%25%2F:chars");
        assert!(proves(read(&[&raw_colon], ""), &confidential()));
    }

    // req: http-basic-3, http-auth-1
    #[test]
    fn a_malformed_or_foreign_authorization_header_is_invalid_client() {
        for field in [
            basic("no-colon"),
            "Basic !!!".into(),
            basic("c1:%zz"),
            basic("c1:a\0"),
            "Bearer x".into(),
            "Basic".into(),
            basic(":s"),
        ] {
            assert_eq!(
                code(read(&[&field], "client_id=c1")),
                ErrorCode::InvalidClient,
                "{field}"
            );
        }
    }

    #[test]
    fn s20_a_header_of_4096_bytes_is_looked_at_and_a_longer_one_is_not() {
        // Three bytes make four characters, and the scheme has six: 4096 is 6 + 4 * 1022 + 2, the last two of a last byte.
        let secret = "a".repeat(3 * 1022 + 1 - "c1:".len());
        let longest = basic(&format!("c1:{secret}"));
        let longest = longest.trim_end_matches('=');
        assert_eq!(longest.len(), 4096);
        assert!(read(&[longest], "").is_ok());
        let longer = basic(&format!("c1:{secret}a"));
        let longer = longer.trim_end_matches('=');
        assert_eq!(longer.len(), 4097);
        assert_eq!(code(read(&[longer], "")), ErrorCode::InvalidClient);
    }

    // req: 6749-2.3-2, 6749-5.2-4, tol-basic-3, http-auth-2
    #[test]
    fn s25_two_ways_at_once_are_an_invalid_request() {
        let one = basic("c1:x");
        assert_eq!(
            code(read(&[&one], "client_secret=x")),
            ErrorCode::InvalidRequest
        );
        assert_eq!(code(read(&[&one, &one], "")), ErrorCode::InvalidRequest);
        assert_eq!(
            code(read(&[], "client_id=a&client_id=a")),
            ErrorCode::InvalidRequest
        );
    }

    #[test]
    fn s09_an_assertion_is_not_supported_and_is_not_nothing() {
        for assertion in ["client_assertion=x", "client_assertion_type=x"] {
            let beside = |more: &str| format!("client_id=a&{assertion}{more}");
            assert_eq!(code(read(&[], &beside(""))), ErrorCode::InvalidClient);
            assert_eq!(code(read(&[], assertion)), ErrorCode::InvalidClient);
            let two = read(&[], &beside("&client_secret=x"));
            assert_eq!(code(two), ErrorCode::InvalidRequest);
            let two = read(&[&basic("a:x")], &beside(""));
            assert_eq!(code(two), ErrorCode::InvalidRequest);
            let twice = beside(&format!("&{assertion}"));
            assert_eq!(code(read(&[], &twice)), ErrorCode::InvalidRequest);
        }
        assert!(read(&[], "client_id=a&client_assertion=").is_ok());
    }

    // req: tol-basic-2, 6749-3.2.1-3
    #[test]
    fn a_client_id_beside_basic_must_be_the_same() {
        assert!(read(&[&basic("c1:x")], "client_id=c1").is_ok());
        assert_eq!(
            code(read(&[&basic("c1:x")], "client_id=c2")),
            ErrorCode::InvalidRequest
        );
    }

    // req: 6749-2.1-1, 6749-2.2-1, 6749-10.2-1, http-basic-4
    #[test]
    fn rfc6749_2_1_the_registered_type_decides_and_nothing_else() {
        let public = Client::public("c1".parse().unwrap());
        assert!(proves(read(&[], "client_id=c1"), &public));
        assert!(proves(read(&[], "client_id=c1&client_secret="), &public));
        for wrong in [
            read(&[&basic("c1:x")], ""),
            read(&[&basic("c1:")], ""),
            read(&[], "client_id=c1&client_secret=x"),
        ] {
            assert!(!proves(wrong, &public));
        }
        for wrong in [
            read(&[], "client_id=c1"),
            read(&[&basic("c1:")], ""),
            read(&[], "client_id=c1&client_secret=x"),
        ] {
            assert!(!proves(wrong, &confidential()));
        }
    }

    #[test]
    fn s18_unknown_disabled_and_wrong_are_one_answer() {
        let mut disabled = confidential();
        disabled.disabled = true;
        let right = basic("c1:s3cret%2Bwith+%25%2F%3Achars");
        let of = |client: Option<&Client>, field: &str| {
            let proof = read(&[field], "").unwrap().prove(client, NOW);
            let Proof::Slow(proof) = proof else {
                panic!("a short secret takes the same time whoever it is for")
            };
            proof.holds()
        };
        assert!(of(Some(&confidential()), &right));
        for (client, field) in [
            (None, &right),
            (Some(&disabled), &right),
            (Some(&confidential()), &basic("c1:wrong")),
        ] {
            assert!(!of(client, field));
        }
    }
}
