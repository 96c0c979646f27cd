//! Values: what they take, and what they print of themselves. A name says which it is, and a secret says only that it is one.

use std::collections::HashMap;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tower_oauth::AuthorizationServer;
use tower_oauth::resource::BearerToken;
use tower_oauth::types::{
    Claims, ClientId, CodeChallenge, CodeVerifier, Digest, GrantType, IssuerUrl, RedirectUri,
    ResourceUri, Scope, ScopeToken, Secret, SigningAlgorithm, SigningKey, Subject,
};

use crate::support::VERIFIER;

/// A key of nobody's.
const KEY: &str = include_str!("keys/ed.pem");

#[test]
fn a_name_prints_itself_and_of_which_kind_it_is() {
    let id: ClientId = "web".parse().unwrap();
    let issuer: IssuerUrl = "https://auth.harbor.test".parse().unwrap();
    let redirect_uri: RedirectUri = "https://app.harbor.test/cb".parse().unwrap();
    let resource: ResourceUri = "https://api.harbor.test/ledger".parse().unwrap();
    let token: ScopeToken = "ledger.read".parse().unwrap();
    let scope: Scope = "ledger.write ledger.read".parse().unwrap();
    let subject = Subject::new("alice").unwrap();
    for (debug, display, expected) in [
        (format!("{id:?}"), id.to_string(), ("ClientId", "web")),
        (
            format!("{issuer:?}"),
            issuer.to_string(),
            ("IssuerUrl", "https://auth.harbor.test"),
        ),
        (
            format!("{redirect_uri:?}"),
            redirect_uri.to_string(),
            ("RedirectUri", "https://app.harbor.test/cb"),
        ),
        (
            format!("{resource:?}"),
            resource.to_string(),
            ("ResourceUri", "https://api.harbor.test/ledger"),
        ),
        (
            format!("{scope:?}"),
            scope.to_string(),
            ("Scope", "ledger.read ledger.write"),
        ),
        (
            format!("{subject:?}"),
            subject.to_string(),
            ("Subject", "alice"),
        ),
    ] {
        assert_eq!(display, expected.1);
        assert_eq!(debug, format!("{}({})", expected.0, expected.1));
    }
    let server = format!("{:?}", AuthorizationServer::builder(issuer.as_str()));
    assert!(server.contains(issuer.as_str()), "{server}");
    assert_eq!(format!("{token} {token:?}"), r#"ledger.read "ledger.read""#);
}

#[test]
fn s19_a_secret_prints_that_it_is_one_and_nothing_more() {
    let verifier: CodeVerifier = VERIFIER.parse().unwrap();
    let challenge: CodeChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        .parse()
        .unwrap();
    let token = BearerToken::try_from("hunter2").unwrap();
    let key = SigningKey::from_pem(KEY).unwrap();
    assert_eq!(key.algorithm(), SigningAlgorithm::EdDsa);
    for (printed, expected) in [
        (format!("{:?}", Secret::new("hunter2")), "Secret(…)"),
        (format!("{:?}", Digest::of("code", b"hunter2")), "Digest(…)"),
        (format!("{verifier:?}"), "CodeVerifier(…)"),
        (format!("{challenge:?}"), "CodeChallenge(…)"),
        (format!("{token:?}"), "BearerToken(…)"),
        (format!("{:?}", token.into_owned()), "OwnedToken(…)"),
        (
            format!("{key:?}"),
            &format!(
                "SigningKey {{ kid: {:?}, algorithm: EdDsa, .. }}",
                key.kid()
            ),
        ),
    ] {
        assert_eq!(printed, expected);
    }
}

/// Reads a text in each way there is, and writes it again in each.
fn each_way<T>(text: &str)
where
    T: TryFrom<String> + Into<String> + Serialize + DeserializeOwned,
{
    let read = |value: &str| serde_json::from_value::<T>(json!(value)).ok();
    let owned = T::try_from(text.to_owned()).ok().unwrap();
    assert_eq!(serde_json::to_value(&owned).unwrap(), text);
    let (owned, read_back): (String, String) = (owned.into(), read(text).unwrap().into());
    assert_eq!((owned.as_str(), read_back.as_str()), (text, text));
    assert!(read("\n").is_none() && T::try_from("\n".to_owned()).is_err());
}

#[test]
fn a_value_is_written_as_it_was_read_in_each_way() {
    each_way::<ClientId>("web");
    each_way::<IssuerUrl>("https://auth.harbor.test");
    each_way::<RedirectUri>("https://app.harbor.test/cb");
    each_way::<ResourceUri>("https://api.harbor.test/ledger");
    each_way::<ScopeToken>("ledger.read");
    each_way::<Scope>("ledger.read ledger.write");
    each_way::<Subject>("alice");
    each_way::<GrantType>("refresh_token");
    each_way::<CodeChallenge>("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    each_way::<Digest>("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let clients = HashMap::from([("web".parse::<ClientId>().unwrap(), 7)]);
    assert_eq!((clients.get("web"), clients.get("app")), (Some(&7), None));
}

/// Whether a text of this length is taken: a beginning, and as many letters as are missing.
fn takes<T: FromStr>(beginning: &str, length: usize) -> bool {
    let letters = "a".repeat(length - beginning.len());
    format!("{beginning}{letters}").parse::<T>().is_ok()
}

#[test]
fn s20_a_value_of_the_greatest_length_is_taken_and_a_longer_one_is_not() {
    let subject = |length| Subject::new("a".repeat(length)).is_ok();
    assert!(subject(1) && subject(255) && !subject(256) && !subject(0));
    let id = |length| takes::<ClientId>("", length);
    assert!(id(1) && id(255) && !id(256) && !id(0));
    let redirect_uri = |length| takes::<RedirectUri>("https://app.harbor.test/", length);
    assert!(redirect_uri(2048) && !redirect_uri(2049));
    let resource = |length| takes::<ResourceUri>("https://api.harbor.test/", length);
    assert!(resource(2048) && !resource(2049));
}

#[test]
fn claims_are_none_or_those_that_were_given() {
    let given = json!({"groups": ["a"]}).as_object().unwrap().clone();
    let claims = Claims::new(given.clone()).unwrap();
    assert!(Claims::none().is_empty() && !claims.is_empty());
    assert_eq!(claims.as_map(), &given);
    assert_eq!(claims.get("groups"), Some(&json!(["a"])));
    assert_eq!(claims.get("roles"), None);
}
