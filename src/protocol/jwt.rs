//! JWT access tokens (RFC 9068): what they say, and what makes one good.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::claims::{text, time};
use super::jws::{Reason, Unverified, sign};
use crate::types::{
    Claims, ClientId, IssuerUrl, PublicKey, ResourceUri, Scope, Secret, SigningFailed, SigningKey,
    Subject, Timestamp,
};

/// Their media type (RFC 9068 §2.1).
const TYP: &str = "at+jwt";

/// By how much the clock of who issued a token may be ahead of ours.
const LEEWAY: Duration = Duration::from_secs(30);

/// The claims of a token that is issued (RFC 9068 §2.2). The host's come last, and can be none of those before.
#[derive(Serialize)]
pub(crate) struct Issued<'a> {
    pub(crate) iss: &'a IssuerUrl,
    pub(crate) exp: Timestamp,
    #[serde(serialize_with = "one_or_more")]
    pub(crate) aud: &'a [ResourceUri],
    pub(crate) sub: &'a str,
    pub(crate) client_id: &'a ClientId,
    pub(crate) iat: Timestamp,
    pub(crate) jti: &'a str,
    #[serde(skip_serializing_if = "Scope::is_empty")]
    pub(crate) scope: &'a Scope,
    /// What the server knows the token's grant by; nobody else can read it.
    #[serde(rename = "tower_oauth_ref")]
    pub(crate) reference: &'a str,
    #[serde(flatten)]
    pub(crate) claims: &'a Claims,
}

/// RFC 7519 §4.1.3: a single audience may be a text.
fn one_or_more<S: serde::Serializer>(
    audience: &&[ResourceUri],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match audience {
        [only] => only.serialize(serializer),
        more => more.serialize(serializer),
    }
}

impl Issued<'_> {
    /// The token.
    pub(crate) fn sign(&self, key: &SigningKey) -> Result<Secret, SigningFailed> {
        sign(key, TYP, self)
    }
}

/// What a good token says.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) subject: Subject,
    pub(crate) client_id: ClientId,
    pub(crate) scope: Scope,
    pub(crate) audience: Vec<ResourceUri>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) jti: String,
    pub(crate) reference: Option<String>,
    pub(crate) claims: Claims,
}

/// Checks a token by RFC 9068 §4, but for what a single resource server knows: whether it is in the audience.
pub(crate) fn verify(
    token: Unverified<'_>,
    key: &PublicKey,
    issuer: &IssuerUrl,
    now: Timestamp,
) -> Result<Verified, Reason> {
    let mut members = token.verify(key, TYP)?;
    let mut take = |name| members.remove(name);
    if text(take("iss"))? != issuer.as_str() {
        return Err("issued by another issuer");
    }
    let expires_at = time(take("exp"))?;
    let issued_at = time(take("iat"))?;
    let not_before = take("nbf").map_or(Ok(issued_at), |nbf| time(Some(nbf)))?;
    if expires_at <= now {
        return Err("expired"); // RFC 7519 §4.1.4: "on or after"
    }
    if issued_at.max(not_before) > now.saturating_add(LEEWAY) {
        return Err("not good yet");
    }
    // RFC 7800 §3.1: good only with a proof of another key, which nobody has asked for here.
    if take("cnf").is_some() {
        return Err("bound to a key");
    }
    let subject = Subject::new(text(take("sub"))?).map_err(|_| "sub is malformed")?;
    let client_id = text(take("client_id"))?.parse();
    let scope = take("scope").map_or(Ok(String::new()), |scope| text(Some(scope)))?;
    let verified = Verified {
        subject,
        client_id: client_id.map_err(|_| "client_id is malformed")?,
        scope: scope.parse().map_err(|_| "scope is malformed")?,
        audience: audience(take("aud"))?,
        issued_at,
        expires_at,
        jti: text(take("jti"))?,
        reference: take("tower_oauth_ref")
            .map(|reference| text(Some(reference)))
            .transpose()?,
        claims: Claims::none(),
    };
    let claims = Claims::new(members).map_err(|_| "a claim is reserved")?;
    Ok(Verified { claims, ..verified })
}

/// RFC 7519 §4.1.3: a text or a list of texts. What is no absolute URI names no resource.
fn audience(value: Option<Value>) -> Result<Vec<ResourceUri>, Reason> {
    let names = match value {
        Some(Value::Array(names)) if !names.is_empty() => names,
        Some(name @ Value::String(_)) => vec![name],
        _ => return Err("aud is missing or malformed"),
    };
    let mut audience = Vec::with_capacity(names.len());
    for name in names {
        audience.extend(text(Some(name))?.parse::<ResourceUri>());
    }
    Ok(audience)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Issued, Reason, Verified, sign, verify};
    use crate::protocol::jws::Unverified;
    use crate::types::{
        Claims, IssuerUrl, ResourceUri, Scope, SigningAlgorithm, SigningKey, Timestamp,
    };

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);

    fn issuer() -> IssuerUrl {
        "https://auth.harbor.test".parse().unwrap()
    }

    fn good() -> Value {
        json!({
            "iss": "https://auth.harbor.test", "sub": "usr_50317", "aud": "https://api.harbor.test/ledger",
            "exp": 1_795_349_700, "iat": 1_795_348_800, "jti": "at-6f2c1d", "client_id": "cl_7Qm2v9Tz",
            "scope": "ledger.read ledger.write", "groups": ["a"],
        })
    }

    fn read(payload: &Value) -> Result<Verified, Reason> {
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let token = sign(&key, "at+jwt", payload).unwrap();
        verify(
            Unverified::parse(token.expose())?,
            key.public(),
            &issuer(),
            NOW,
        )
    }

    fn with(name: &str, value: Value) -> Result<Verified, Reason> {
        let mut payload = good();
        payload[name] = value;
        read(&payload)
    }

    // req: 9068-2.2-1, 9068-2.2-4, 9068-2.2.3-1, 9068-2.1-2
    #[test]
    fn rfc9068_2_2_what_is_issued_has_all_claims_and_is_read_again() {
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let aud: Vec<ResourceUri> = vec!["https://api.harbor.test/ledger".parse().unwrap()];
        let scope: Scope = "ledger.read ledger.write".parse().unwrap();
        let claims = json!({"groups": ["a"]}).as_object().unwrap().clone();
        let issued = Issued {
            iss: &issuer(),
            exp: Timestamp::from_secs(1_795_349_700),
            aud: &aud,
            sub: "usr_50317",
            client_id: &"cl_7Qm2v9Tz".parse().unwrap(),
            iat: NOW,
            jti: "at-6f2c1d",
            scope: &scope,
            reference: "r",
            claims: &Claims::new(claims).unwrap(),
        };
        let mut expected = good();
        expected["tower_oauth_ref"] = "r".into();
        assert_eq!(serde_json::to_value(&issued).unwrap(), expected);
        let two = [aud[0].clone(), "https://b.example".parse().unwrap()];
        let issued = Issued {
            aud: &two,
            scope: &Scope::empty(),
            ..issued
        };
        let json = serde_json::to_value(&issued).unwrap();
        assert_eq!(
            json["aud"],
            json!(["https://api.harbor.test/ledger", "https://b.example"])
        );
        assert!(json.get("scope").is_none());
        let token = issued.sign(&key).unwrap();
        let token = Unverified::parse(token.expose()).unwrap();
        let read = verify(token, key.public(), &issuer(), NOW).unwrap();
        assert_eq!(read.audience, two);
        assert_eq!(read.reference.as_deref(), Some("r"));
        assert_eq!(read.claims.get("groups"), Some(&json!(["a"])));
        assert_eq!(read.claims.as_map().len(), 1);
    }

    // req: 9068-4-13
    #[test]
    fn rfc9068_4_each_required_claim_is_demanded() {
        assert!(read(&good()).is_ok());
        for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
            let mut payload = good();
            payload.as_object_mut().unwrap().remove(name);
            assert!(read(&payload).is_err(), "{name}");
        }
        for optional in ["scope", "groups"] {
            let mut payload = good();
            payload.as_object_mut().unwrap().remove(optional);
            assert!(read(&payload).is_ok(), "{optional}");
        }
    }

    // req: 9068-4-5
    #[test]
    fn rfc9068_4_the_issuer_is_compared_byte_for_byte() {
        for iss in [
            "https://auth.harbor.test/",
            "https://AUTH.harbor.test",
            "https://auth.harbor.test.evil.test",
            "",
        ] {
            assert!(with("iss", iss.into()).is_err(), "{iss}");
        }
        assert!(with("iss", json!(["https://auth.harbor.test"])).is_err());
    }

    // req: 9068-4-10, 9068-4-14, 7662-4-2
    #[test]
    fn rfc9068_4_times_are_held_to_the_second() {
        let (now, late) = (NOW.as_secs(), "expired");
        for (name, value, refused) in [
            ("exp", now + 1, None),
            ("exp", now, Some(late)),
            ("exp", now - 1, Some(late)),
            ("nbf", now, None),
            ("nbf", now + 30, None),
            ("nbf", now + 31, Some("not good yet")),
            ("iat", now + 30, None),
            ("iat", now + 31, Some("not good yet")),
            ("iat", u64::MAX, Some("not good yet")),
            ("exp", u64::MAX, None),
        ] {
            assert_eq!(with(name, value.into()).err(), refused, "{name} {value}");
        }
    }

    #[test]
    fn v15_a_claim_of_another_type_is_not_taken_for_one_that_is_absent() {
        for name in ["exp", "iat", "nbf"] {
            for value in [
                json!("9999999999"),
                json!([]),
                json!([1_795_349_700]),
                json!({}),
                json!(true),
                json!(null),
                json!(-1),
                json!(-1.5),
                json!("NaN"),
            ] {
                assert!(with(name, value.clone()).is_err(), "{name} {value}");
            }
        }
        assert!(with("exp", json!(1_795_349_700.5)).is_ok());
        assert!(with("exp", json!(1e300)).is_ok() == with("exp", json!(1e30)).is_ok());
        for name in ["iss", "sub", "client_id", "jti", "scope", "tower_oauth_ref"] {
            for value in [json!(7), json!(null), json!(["a"]), json!({}), json!(true)] {
                assert!(with(name, value.clone()).is_err(), "{name} {value}");
            }
        }
        for value in [json!(7), json!(null), json!([]), json!([7]), json!({})] {
            assert!(with("aud", value.clone()).is_err(), "aud {value}");
        }
        assert!(with("sub", "".into()).is_err());
        assert!(with("client_id", "a\u{7f}".into()).is_err());
        assert!(with("scope", "a\"b".into()).is_err());
    }

    #[test]
    fn an_audience_that_is_no_absolute_uri_names_no_resource() {
        let read = with("aud", json!(["ledger", "https://b.example"])).unwrap();
        assert_eq!(read.audience, ["https://b.example".parse().unwrap()]);
        assert_eq!(with("aud", "ledger".into()).unwrap().audience, []);
    }

    #[test]
    fn a_token_that_is_bound_to_a_key_is_not_taken_without_it() {
        assert!(with("cnf", json!({"jkt": "x"})).is_err());
        assert!(with("active", json!(true)).is_err());
    }
}
