//! Signed texts in the compact form (RFC 7515 §3.1): three parts of base64url.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::types::{PublicKey, Secret, SigningAlgorithm, SigningFailed, SigningKey};

/// Why a token is not taken, for the log.
pub(crate) type Reason = &'static str;

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

/// Signs a payload.
pub(crate) fn sign(
    key: &SigningKey,
    typ: &str,
    payload: &impl Serialize,
) -> Result<Secret, SigningFailed> {
    let header = Header {
        typ,
        alg: key.algorithm().as_str(),
        kid: key.kid(),
    };
    let mut token = String::with_capacity(1024);
    for (part, json) in [
        ("", serde_json::to_vec(&header)),
        (".", serde_json::to_vec(payload)),
    ] {
        token.push_str(part);
        URL_SAFE_NO_PAD.encode_string(json.map_err(|_| SigningFailed)?, &mut token);
    }
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(Secret::new(token))
}

/// A signed text that is well-formed. Nothing in it is to be believed yet.
pub(crate) struct Unverified<'a> {
    /// What the signature is of.
    signed: &'a [u8],
    header: Map<String, Value>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes the parts apart. Encrypted and nested ones have more parts or say so, and are none (RFC 8725 §3.11).
    pub(crate) fn parse(token: &'a str) -> Result<Self, Reason> {
        const FORM: Reason = "not three parts of base64url";
        let (signed, signature) = token.rsplit_once('.').ok_or(FORM)?;
        let (header, payload) = signed.split_once('.').ok_or(FORM)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| FORM);
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let Members(header) =
            serde_json::from_slice(&header).map_err(|_| "the header is no JSON object")?;
        // RFC 7515 §4.1.11: what must be understood is not. The others change what the payload is.
        if ["crit", "b64", "zip", "cty"]
            .iter()
            .any(|name| header.contains_key(*name))
        {
            return Err("the header says something that is not understood");
        }
        Ok(Self {
            signed: signed.as_bytes(),
            header,
            payload,
            signature,
        })
    }

    /// The name of its key. That is all that is read of where the key might be: `jwk`, `jku` and `x5u` are anybody's words.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// The payload's members, if the key has signed it and it is of this type (RFC 8725 §3.11), with or without `application/`.
    pub(crate) fn verify(self, key: &PublicKey, typ: &str) -> Result<Map<String, Value>, Reason> {
        let text = |name| self.header.get(name).and_then(Value::as_str);
        let found = text("typ").ok_or("typ is missing")?;
        let short = match found.split_at_checked("application/".len()) {
            Some((tree, short)) if tree.eq_ignore_ascii_case("application/") => short,
            _ => found,
        };
        if !short.eq_ignore_ascii_case(typ) {
            return Err("of another typ");
        }
        // The key says what it is for; the header may only agree (RFC 8725 §3.1).
        if text("alg").and_then(SigningAlgorithm::from_name) != Some(key.algorithm()) {
            return Err("of another alg than its key");
        }
        if !key.has_signed(self.signed, &self.signature) {
            return Err("the signature is wrong");
        }
        let Members(payload) =
            serde_json::from_slice(&self.payload).map_err(|_| "the payload is no JSON object")?;
        Ok(payload)
    }
}

/// A JSON object in which no member stands twice: of two that disagree, another reader might believe the other (RFC 8725 §2.4).
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;

        impl<'de> Visitor<'de> for Once {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without repeated members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is repeated"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Once)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Map, Value, json};

    use super::{Reason, Unverified, sign};
    use crate::types::{SigningAlgorithm, SigningKey};

    fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let text = format!("{}.{}", encode(header), encode(payload));
        let signature = key.sign(text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn read(key: &SigningKey, token: &str) -> Result<Map<String, Value>, Reason> {
        Unverified::parse(token)?.verify(key.public(), "at+jwt")
    }

    fn with_header(key: &SigningKey, header: &str) -> Result<Map<String, Value>, Reason> {
        read(key, &signed(key, header, r#"{"a":1}"#))
    }

    #[test]
    fn rfc7515_3_1_what_is_signed_is_read_again_by_each_algorithm() {
        for algorithm in [
            SigningAlgorithm::Es256,
            SigningAlgorithm::EdDsa,
            SigningAlgorithm::Rs256,
        ] {
            let key = SigningKey::generate(algorithm).unwrap();
            let token = sign(&key, "at+jwt", &json!({"a": 1})).unwrap();
            let token = token.expose();
            assert_eq!(read(&key, token).unwrap()["a"], 1);
            assert_eq!(Unverified::parse(token).unwrap().kid(), Some(key.kid()));
            let other = SigningKey::generate(algorithm).unwrap();
            assert_eq!(read(&other, token).unwrap_err(), "the signature is wrong");
            // Each character of a token counts.
            for place in (0..token.len()).step_by(7) {
                let mut changed = token.as_bytes().to_vec();
                changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert!(read(&key, &changed).is_err(), "{place}: {changed}");
            }
        }
    }

    // req: 9068-2.1-1, 9068-4-8, 9068-4-7
    #[test]
    fn v01_none_is_no_algorithm_in_any_spelling() {
        let key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
        assert!(with_header(&key, r#"{"alg":"ES256","typ":"at+jwt"}"#).is_ok());
        for alg in ["none", "None", "NONE", "nOnE", "", "es256", "ES256 "] {
            let header = json!({"alg": alg, "typ": "at+jwt"}).to_string();
            assert!(with_header(&key, &header).is_err(), "{alg}");
            let token = signed(&key, &header, r#"{"a":1}"#);
            let (unsigned, _) = token.rsplit_once('.').unwrap();
            assert!(read(&key, unsigned).is_err());
            assert!(read(&key, &format!("{unsigned}.")).is_err());
        }
        assert!(with_header(&key, r#"{"typ":"at+jwt"}"#).is_err());
        assert!(with_header(&key, r#"{"alg":["ES256"],"typ":"at+jwt"}"#).is_err());
    }

    #[test]
    fn v02_no_algorithm_but_that_of_the_key_is_taken() {
        let rsa = SigningKey::generate(SigningAlgorithm::Rs256).unwrap();
        assert!(with_header(&rsa, r#"{"alg":"RS256","typ":"at+jwt"}"#).is_ok());
        for alg in ["HS256", "HS384", "ES256", "EdDSA", "PS256", "RS512"] {
            let header = json!({"alg": alg, "typ": "at+jwt"}).to_string();
            assert!(with_header(&rsa, &header).is_err(), "{alg}");
        }
        // A code under the public key, in each form that somebody may know it in, is no signature.
        let jwk = serde_json::to_string(&rsa.public().jwk(rsa.kid())).unwrap();
        let modulus = serde_json::to_value(rsa.public().jwk(rsa.kid())).unwrap()["n"].to_string();
        for secret in [jwk, modulus] {
            use hmac::{KeyInit as _, Mac as _};
            let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let text = format!(
                "{}.{}",
                encode(r#"{"alg":"HS256","typ":"at+jwt"}"#),
                encode("{}")
            );
            let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
            mac.update(text.as_bytes());
            let code = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
            assert!(read(&rsa, &format!("{text}.{code}")).is_err());
        }
    }

    // req: tol-alg-1
    #[test]
    fn tol_alg_1_both_names_of_ed25519_are_taken() {
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        for alg in ["EdDSA", "Ed25519"] {
            let header = json!({"alg": alg, "typ": "at+jwt"}).to_string();
            assert!(with_header(&key, &header).is_ok(), "{alg}");
        }
        for alg in ["eddsa", "Ed448"] {
            let header = json!({"alg": alg, "typ": "at+jwt"}).to_string();
            assert!(with_header(&key, &header).is_err(), "{alg}");
        }
    }

    // req: 9068-4-3, con-typ-1, 9068-5-4
    #[test]
    fn v12_nothing_but_an_access_token_is_taken_for_one() {
        let key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
        let of = |typ: Value| with_header(&key, &json!({"alg": "ES256", "typ": typ}).to_string());
        for typ in [
            "at+jwt",
            "at+JWT",
            "AT+JWT",
            "application/at+jwt",
            "Application/at+JWT",
        ] {
            assert!(of(typ.into()).is_ok(), "{typ}");
        }
        for typ in [
            "JWT",
            "jwt",
            "",
            "dpop+jwt",
            "logout+jwt",
            "secevent+jwt",
            "application/jwt",
            "implication/at+jwt",
            "at+jwt ",
            "application/application/at+jwt",
        ] {
            assert!(of(typ.into()).is_err(), "{typ}");
        }
        assert!(of(Value::Null).is_err());
        assert!(with_header(&key, r#"{"alg":"ES256"}"#).is_err());
    }

    // req: 9068-4-4
    #[test]
    fn v13_v14_what_is_critical_packed_nested_or_encrypted_is_refused() {
        let key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
        for more in [
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""crit":null"#,
            r#""b64":false"#,
            r#""b64":true"#,
            r#""zip":"DEF""#,
            r#""cty":"JWT""#,
        ] {
            let header = format!(r#"{{"alg":"ES256","typ":"at+jwt",{more}}}"#);
            assert!(with_header(&key, &header).is_err(), "{more}");
        }
        let token = signed(&key, r#"{"alg":"ES256","typ":"at+jwt"}"#, "{}");
        assert!(read(&key, &token).is_ok());
        for other in [
            format!("{token}.AA"),
            format!("{token}.AA.AA"),
            format!("{token}="),
            format!(" {token}"),
            token.replace('.', ""),
            String::new(),
            "..".to_owned(),
        ] {
            assert!(read(&key, &other).is_err(), "{other}");
        }
    }

    #[test]
    fn v16_a_repeated_member_is_refused() {
        let key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
        for header in [
            r#"{"alg":"ES256","alg":"ES256","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","typ":"JWT","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","typ":"at+jwt","kid":"a","\u006bid":"b"}"#,
        ] {
            assert!(with_header(&key, header).is_err(), "{header}");
        }
        let header = r#"{"alg":"ES256","typ":"at+jwt"}"#;
        for (payload, is_ok) in [
            (r#"{"iss":"a","aud":"b"}"#, true),
            (r#"{"iss":"a","iss":"a"}"#, false),
            (r#"{"scope":"a","scope":"b"}"#, false),
            ("[]", false),
            ("7", false),
            ("{", false),
            (r#"{"exp":1e400}"#, false),
        ] {
            let read = read(&key, &signed(&key, header, payload));
            assert_eq!(read.is_ok(), is_ok, "{payload}");
        }
    }
}
