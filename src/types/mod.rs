//! The words of the standards. A value that exists is valid.

#[cfg(feature = "resource")]
mod audience;
#[cfg(feature = "server")]
mod authentication;
#[cfg(any(feature = "server", feature = "resource"))]
mod body;
mod claims;
#[cfg(feature = "server")]
mod client;
mod client_id;
#[cfg(feature = "server")]
mod client_secret;
mod clock;
#[cfg(any(feature = "jwks", feature = "introspection"))]
mod endpoint_url;
mod flag;
#[cfg(feature = "server")]
mod grant_type;
mod issuer;
#[cfg(any(feature = "jwt", feature = "jwks", feature = "introspection"))]
mod jws_algorithm;
#[cfg(feature = "server")]
mod pkce;
#[cfg(any(feature = "jwt", feature = "jwks", feature = "introspection"))]
#[cfg_attr(
    not(any(feature = "jwt", feature = "jwks")),
    expect(
        dead_code,
        reason = "who only proves itself by a signature checks none"
    )
)]
mod public_key;
#[cfg(feature = "jwks")]
mod public_key_pem;
#[cfg(feature = "server")]
mod redirect_uri;
mod resource_uri;
mod scope;
mod secret;
#[cfg(any(
    feature = "jwt",
    feature = "introspection",
    all(feature = "testing", feature = "jwks")
))]
#[cfg_attr(
    not(feature = "jwt"),
    expect(dead_code, reason = "who issues tokens makes keys and keeps them")
)]
mod signing_key;
mod subject;
#[cfg(feature = "jwks")]
mod verification_key;

#[cfg(feature = "server")]
pub(crate) mod record;

#[cfg(feature = "resource")]
pub use audience::Audience;
#[cfg(feature = "server")]
pub use authentication::Prompt;
#[cfg(feature = "server")]
pub(crate) use authentication::{Authentication, AuthenticationRequest};
#[cfg(any(feature = "server", feature = "resource"))]
pub use body::{Body, Nothing};
pub use claims::{Claims, InvalidClaims};
#[cfg(feature = "server")]
pub(crate) use client::shows_something;
#[cfg(feature = "server")]
pub use client::{Client, Introspects, RegisteredBy};
pub use client_id::{ClientId, InvalidClientId};
#[cfg(feature = "server")]
pub(crate) use client_secret::{ClientSecret, Proof, SlowProof};
#[cfg(feature = "testing")]
pub use clock::ManualClock;
#[cfg(feature = "server")]
pub(crate) use clock::Stopwatch;
pub use clock::{Clock, SystemClock, Timestamp};
#[cfg(any(feature = "jwks", feature = "introspection"))]
pub use endpoint_url::{EndpointUrl, InvalidEndpointUrl};
pub use flag::Flag;
#[cfg(feature = "server")]
pub use grant_type::{GrantType, UnknownGrantType};
pub use issuer::{InvalidIssuerUrl, IssuerUrl};
#[cfg(any(feature = "jwt", feature = "jwks", feature = "introspection"))]
pub use jws_algorithm::JwsAlgorithm;
#[cfg(feature = "server")]
pub use pkce::{CodeChallenge, CodeVerifier, InvalidCodeChallenge, InvalidCodeVerifier};
#[cfg(feature = "jwt")]
pub(crate) use public_key::Jwk;
#[cfg(any(feature = "jwt", feature = "jwks"))]
pub(crate) use public_key::PublicKey;
#[cfg(feature = "server")]
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use resource_uri::{InvalidResourceUri, ResourceUri};
pub use scope::{InvalidScope, Scope, ScopeToken};
#[cfg(any(feature = "server", feature = "resource"))]
pub(crate) use secret::random;
pub use secret::{Digest, RandomnessUnavailable, Secret};
#[cfg(any(feature = "jwt", feature = "introspection"))]
pub(crate) use signing_key::SigningFailed;
#[cfg(any(
    feature = "jwt",
    feature = "introspection",
    all(feature = "testing", feature = "jwks")
))]
pub use signing_key::{InvalidSigningKey, SigningAlgorithm, SigningKey};
pub use subject::{InvalidSubject, Subject};
#[cfg(feature = "jwks")]
pub(crate) use verification_key::VerificationKey;

#[cfg(test)]
#[cfg(all(feature = "server", feature = "resource", feature = "introspection"))]
mod tests {
    use std::fmt::{Debug, Display};

    use super::*;

    /// Made of a text, it gives that text back in each way, and refuses the other.
    fn keeps<T>(text: &str, refused: &str, debug: &str)
    where
        T: TryFrom<String> + Clone + Debug + Display,
        String: From<T>,
    {
        let read = |text: &str| T::try_from(text.to_owned()).ok();
        let value = read(text).unwrap();
        assert_eq!(value.to_string(), text);
        assert_eq!(String::from(value.clone()), text);
        assert_eq!(format!("{value:?}"), debug);
        assert!(read(refused).is_none(), "{refused}");
    }

    #[test]
    fn a_value_is_printed_and_given_back_as_the_text_it_was_made_of() {
        keeps::<ClientId>("app", "", "ClientId(app)");
        let url = "https://as.example/a";
        keeps::<IssuerUrl>(url, "as.example", "IssuerUrl(https://as.example/a)");
        keeps::<RedirectUri>(url, "/a", "RedirectUri(https://as.example/a)");
        keeps::<ResourceUri>(url, "/a", "ResourceUri(https://as.example/a)");
        keeps::<ScopeToken>("a:b", "a b", "\"a:b\"");
        keeps::<Scope>("a:b c", "\"", "Scope(a:b c)");
        keeps::<Subject>("alice", "", "Subject(alice)");
        let endpoint: EndpointUrl = url.parse().unwrap();
        assert_eq!(endpoint.to_string(), url);
        assert_eq!(format!("{endpoint:?}"), "EndpointUrl(https://as.example/a)");
        let resource: ResourceUri = url.parse().unwrap();
        for audience in [Audience::from(resource), Audience::from(url)] {
            assert_eq!(audience.to_string(), url);
            assert_eq!(format!("{audience:?}"), "Audience(https://as.example/a)");
        }
        for name in ["authorization_code", "refresh_token"] {
            let grant_type = GrantType::try_from(name.to_owned()).unwrap();
            assert_eq!(String::from(grant_type), name);
        }
        assert!(GrantType::try_from("password".to_owned()).is_err());
        assert_eq!(
            JwsAlgorithm::from_name("ES384").unwrap().to_string(),
            "ES384"
        );
    }

    #[test]
    fn s19_what_proves_something_is_given_back_to_stores_and_not_printed() {
        let challenge = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";
        let read = CodeChallenge::try_from(challenge.to_owned()).unwrap();
        assert_eq!(format!("{read:?}"), "CodeChallenge(…)");
        assert_eq!(String::from(read), challenge);
        assert!(CodeChallenge::try_from("plain".to_owned()).is_err());
        let verifier: CodeVerifier = "v".repeat(43).parse().unwrap();
        assert_eq!(format!("{verifier:?}"), "CodeVerifier(…)");
    }

    #[test]
    fn a_body_made_of_bytes_is_those_bytes() {
        let body = Body::<Nothing>::from("what was said");
        assert_eq!(body.into_bytes(), "what was said");
    }
}
