//! How a resource server shows an issuer who it is (RFC 6749 §2.3, RFC 7523 §2.2), and the request that it sends (RFC 7662 §2.1).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use serde::Serialize;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::{ConfigError, OwnedToken, Unavailable};
use crate::protocol::jws;
use crate::types::{
    ClientId, EndpointUrl, InvalidClientId, IssuerUrl, Secret, SigningKey, Timestamp,
};

/// The credentials of a resource server at an issuer, and the way it presents them. Its `Debug` shows neither secret nor key.
///
/// ```
/// use tower_oauth::resource::ClientAuth;
///
/// let auth = ClientAuth::client_secret_post("ledger", "s3cr3t");
/// assert!(!format!("{auth:?}").contains("s3cr3t"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientAuth {
    client_id: Result<ClientId, InvalidClientId>,
    method: Method,
}

#[derive(Clone)]
enum Method {
    SecretBasic(Secret),
    SecretPost(Secret),
    PrivateKeyJwt(SigningKey),
}

impl ClientAuth {
    /// A secret in the `Authorization` header: `client_secret_basic`, which each issuer that gives out secrets takes (RFC 6749 §2.3.1).
    pub fn client_secret_basic(client_id: impl AsRef<str>, secret: impl Into<String>) -> Self {
        Self::new(client_id.as_ref(), Method::SecretBasic(Secret::new(secret)))
    }

    /// A secret in the form: `client_secret_post`, for issuers that take nothing else (RFC 6749 §2.3.1).
    pub fn client_secret_post(client_id: impl AsRef<str>, secret: impl Into<String>) -> Self {
        Self::new(client_id.as_ref(), Method::SecretPost(Secret::new(secret)))
    }

    /// A key, and no secret that both sides have: `private_key_jwt` (RFC 7523 §2.2, OpenID Connect Core §9). Each request carries a JWT
    /// of its own, good for a minute and for this issuer alone. The issuer knows the key by its [`kid`](SigningKey::kid), which is to be
    /// registered with it.
    pub fn private_key_jwt(client_id: impl AsRef<str>, key: SigningKey) -> Self {
        Self::new(client_id.as_ref(), Method::PrivateKeyJwt(key))
    }

    fn new(client_id: &str, method: Method) -> Self {
        Self {
            client_id: client_id.parse(),
            method,
        }
    }

    pub(crate) fn credentials(self) -> Result<Credentials, ConfigError> {
        let client_id = self.client_id.map_err(|_| ConfigError::Client)?;
        let proof = match self.method {
            Method::SecretBasic(secret) | Method::SecretPost(secret)
                if secret.expose().is_empty() =>
            {
                return Err(ConfigError::Client);
            }
            Method::SecretBasic(secret) => Proof::Header(basic(&client_id, &secret)?),
            Method::SecretPost(secret) => Proof::Secret(secret),
            Method::PrivateKeyJwt(key) => Proof::Key(key),
        };
        Ok(Credentials { client_id, proof })
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match &self.method {
            Method::SecretBasic(_) => "client_secret_basic",
            Method::SecretPost(_) => "client_secret_post",
            Method::PrivateKeyJwt(_) => "private_key_jwt",
        };
        f.debug_struct("ClientAuth")
            .field("client_id", &self.client_id)
            .field("method", &method)
            .finish_non_exhaustive()
    }
}

/// `Basic base64(form(client_id) ":" form(client_secret))` (RFC 6749 §2.3.1).
fn basic(client_id: &ClientId, secret: &Secret) -> Result<HeaderValue, ConfigError> {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(byte_serialize(client_id.as_str().as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(secret.expose().as_bytes()));
    let field = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut field = HeaderValue::from_str(&field).map_err(|_| ConfigError::Client)?;
    field.set_sensitive(true);
    Ok(field)
}

/// [`ClientAuth`] that was found fit for use.
pub(crate) struct Credentials {
    client_id: ClientId,
    proof: Proof,
}

enum Proof {
    Header(HeaderValue),
    Secret(Secret),
    Key(SigningKey),
}

/// How long an assertion is good for.
const LIFETIME: Duration = Duration::from_secs(60);

/// RFC 7523 §3. The audience is the issuer and nothing else: of an endpoint's URL a stranger's metadata may have persuaded us, and
/// whoever receives an assertion for it could use it there (draft-ietf-oauth-rfc7523bis).
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a ClientId,
    sub: &'a ClientId,
    aud: &'a IssuerUrl,
    jti: &'a str,
    iat: Timestamp,
    exp: Timestamp,
}

impl Credentials {
    /// The request that asks about a token.
    pub(crate) fn request(
        &self,
        endpoint: &EndpointUrl,
        token: &OwnedToken,
        (issuer, now): (&IssuerUrl, Timestamp),
    ) -> Result<Request<Bytes>, Unavailable> {
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token.expose())
            .append_pair("token_type_hint", "access_token");
        match &self.proof {
            Proof::Header(_) => {}
            Proof::Secret(secret) => {
                form.append_pair("client_id", self.client_id.as_str())
                    .append_pair("client_secret", secret.expose());
            }
            Proof::Key(key) => {
                let assertion = self.assertion(key, issuer, now)?;
                form.append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", assertion.expose());
            }
        }
        let mut request = Request::post(endpoint.uri())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form.finish()))
            .map_err(Unavailable::new)?;
        if let Proof::Header(field) = &self.proof {
            request.headers_mut().insert(AUTHORIZATION, field.clone());
        }
        Ok(request)
    }

    fn assertion(
        &self,
        key: &SigningKey,
        issuer: &IssuerUrl,
        now: Timestamp,
    ) -> Result<Secret, Unavailable> {
        let jti = Secret::generate().map_err(Unavailable::new)?;
        let assertion = Assertion {
            iss: &self.client_id,
            sub: &self.client_id,
            aud: issuer,
            jti: jti.expose(),
            iat: now,
            exp: now.saturating_add(LIFETIME),
        };
        jws::sign(key, "client-authentication+jwt", &assertion).map_err(Unavailable::new)
    }
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use serde_json::Value;
    use url::form_urlencoded::parse;

    use super::ClientAuth;
    use crate::protocol::bearer::BearerToken;
    use crate::protocol::jws::Unverified;
    use crate::resource::ConfigError;
    use crate::types::{SigningAlgorithm, SigningKey, Timestamp};

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);

    fn request(auth: ClientAuth) -> http::Request<bytes::Bytes> {
        let credentials = auth.credentials().unwrap();
        let token = BearerToken::try_from("at_Wk3+/=").unwrap().into_owned();
        let endpoint = "https://as.example/introspect?tenant=a".parse().unwrap();
        let issuer = "https://as.example".parse().unwrap();
        let request = credentials.request(&endpoint, &token, (&issuer, NOW));
        request.unwrap()
    }

    fn body(request: &http::Request<bytes::Bytes>) -> &str {
        std::str::from_utf8(request.body()).unwrap()
    }

    #[test]
    fn rfc6749_2_3_1_id_and_secret_are_form_encoded_before_they_are_joined() {
        let auth = ClientAuth::client_secret_basic("https://rs.example/", "s3cret+with %/:chars é");
        let request = request(auth);
        let field = request.headers()["authorization"].to_str().unwrap();
        let pair = STANDARD
            .decode(field.strip_prefix("Basic ").unwrap())
            .unwrap();
        assert_eq!(
            String::from_utf8(pair).unwrap(),
            "https%3A%2F%2Frs.example%2F:s3cret%2Bwith+%25%2F%3Achars+%C3%A9"
        );
        assert!(request.headers()["authorization"].is_sensitive());
        assert_eq!(
            body(&request),
            "token=at_Wk3%2B%2F%3D&token_type_hint=access_token"
        );
        assert_eq!(request.uri(), "https://as.example/introspect?tenant=a");
    }

    #[test]
    fn rfc6749_2_3_1_post_puts_both_into_the_form_and_nothing_into_the_header() {
        let request = request(ClientAuth::client_secret_post("ledger", "a&b=c"));
        assert!(!request.headers().contains_key("authorization"));
        assert_eq!(
            body(&request),
            "token=at_Wk3%2B%2F%3D&token_type_hint=access_token&client_id=ledger&client_secret=a%26b%3Dc"
        );
    }

    /// The assertion of a request, if the key has signed it.
    fn assertion(key: &SigningKey) -> Value {
        let request = request(ClientAuth::private_key_jwt("ledger", key.clone()));
        assert!(!request.headers().contains_key("authorization"));
        let pairs: Vec<_> = parse(request.body()).into_owned().collect();
        let names: Vec<_> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "token",
                "token_type_hint",
                "client_assertion_type",
                "client_assertion"
            ]
        );
        assert_eq!(
            pairs[2].1,
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let jwt = Unverified::parse(&pairs[3].1).unwrap();
        assert_eq!(jwt.kid(), Some(key.kid()));
        let header = URL_SAFE_NO_PAD.decode(pairs[3].1.split('.').next().unwrap());
        let header: Value = serde_json::from_slice(&header.unwrap()).unwrap();
        assert_eq!(header["alg"], key.algorithm().as_str());
        let claims = jwt.verify(key.public(), "client-authentication+jwt");
        Value::Object(claims.unwrap())
    }

    // req: 7523-bis-3, fapi2-5.3.3.1-5
    #[test]
    fn v37_an_assertion_is_for_the_issuer_alone_and_used_once() {
        for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let key = SigningKey::generate(algorithm).unwrap();
            let (first, second) = (assertion(&key), assertion(&key));
            assert_eq!(
                first["aud"], "https://as.example",
                "a text, not the endpoint's"
            );
            assert_eq!(
                (&first["iss"], &first["sub"]),
                (&"ledger".into(), &"ledger".into())
            );
            assert_eq!(first["iat"], NOW.as_secs());
            assert_eq!(first["exp"], NOW.as_secs() + 60);
            assert!(first["jti"].as_str().unwrap().len() >= 43);
            assert_ne!(first["jti"], second["jti"]);
            assert_eq!(first.as_object().unwrap().len(), 6);
        }
    }

    #[test]
    fn what_is_no_credential_is_refused_and_none_is_shown() {
        for auth in [
            ClientAuth::client_secret_basic("", "s3cr3t"),
            ClientAuth::client_secret_basic("é", "s3cr3t"),
            ClientAuth::client_secret_basic("ledger", ""),
            ClientAuth::client_secret_post("ledger", ""),
        ] {
            assert!(!format!("{auth:?}").contains("s3cr3t"));
            assert_eq!(auth.credentials().err(), Some(ConfigError::Client));
        }
    }
}
