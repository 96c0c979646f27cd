//! Signed texts in the compact form (RFC 7515 §3.1): three parts of base64url.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
#[cfg(any(feature = "jwt", feature = "introspection"))]
use serde::Serialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
#[cfg(any(feature = "jwt", feature = "introspection"))]
use serde_json::{Map, Value};

#[cfg(feature = "jwt")]
use crate::types::{PublicKey, SigningAlgorithm};
#[cfg(any(feature = "jwt", feature = "introspection"))]
use crate::types::{Secret, SigningFailed, SigningKey};

/// Why a token is not taken, for the log.
pub(crate) type Reason = &'static str;

#[cfg(any(feature = "jwt", feature = "introspection"))]
#[derive(Serialize)]
struct Signed<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

/// Signs a payload.
#[cfg(any(feature = "jwt", feature = "introspection"))]
pub(crate) fn sign(
    key: &SigningKey,
    typ: &str,
    payload: &impl Serialize,
) -> Result<Secret, SigningFailed> {
    let header = Signed {
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

/// A signed text that has the form of one. Nothing in it is to be believed yet.
pub(crate) struct Unverified<'a> {
    /// What the signature is of.
    signed: &'a str,
    pub(crate) header: Header,
    /// As they were sent: what is refused by its header costs no more.
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Takes the parts apart and reads the header. Encrypted and nested ones have more parts or say so, and are none (RFC 8725 §3.11).
    pub(crate) fn parse(token: &'a str) -> Result<Self, Reason> {
        let (signed, signature) = token.rsplit_once('.').ok_or(FORM)?;
        let (header, payload) = signed.split_once('.').ok_or(FORM)?;
        if payload.contains('.') {
            return Err(FORM);
        }
        let header = decode(header)?;
        // Also what is skipped is UTF-8 (RFC 8725 §3.7).
        let header = str::from_utf8(&header).map_err(|_| "the header is no UTF-8")?;
        let header: Header = serde_json::from_str(header).map_err(|_| "the header is malformed")?;
        // RFC 7515 §4.1.11: what must be understood is not. The others change what the payload is.
        if header.is_beyond_us {
            return Err("the header says something that is not understood");
        }
        Ok(Self {
            signed,
            header,
            payload,
            signature,
        })
    }

    /// What the signature is of: the bytes as they came (RFC 7515 §5.2).
    pub(crate) const fn signed(&self) -> &'a [u8] {
        self.signed.as_bytes()
    }

    /// The signature's characters.
    #[cfg(feature = "jwks")]
    pub(crate) const fn signature_len(&self) -> usize {
        self.signature.len()
    }

    pub(crate) fn signature(&self) -> Result<Vec<u8>, Reason> {
        decode(self.signature)
    }

    /// The payload, whoever has signed it.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, Reason> {
        decode(self.payload)
    }
}

#[cfg(feature = "jwt")]
impl Unverified<'_> {
    /// The name of its key.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The payload's members, if the key has signed it and it is of this type (RFC 8725 §3.11).
    pub(crate) fn verify(self, key: &PublicKey, typ: &str) -> Result<Map<String, Value>, Reason> {
        let header = &self.header;
        if !is_typ(header.typ.as_deref().ok_or("typ is missing")?, typ) {
            return Err("of another typ");
        }
        // The key says what it is for; the header may only agree (RFC 8725 §3.1).
        let alg = header.alg.as_deref().and_then(SigningAlgorithm::from_name);
        if alg != Some(key.algorithm()) {
            return Err("of another alg than its key");
        }
        if !key.has_signed(key.algorithm().jws(), self.signed(), &self.signature()?) {
            return Err("the signature is wrong");
        }
        let Members(payload) = serde_json::from_slice(&self.payload()?)
            .map_err(|_| "the payload is no JSON object")?;
        Ok(payload)
    }
}

/// Of more members than these and the three nothing is known, and each is compared with all others.
const MOST_MEMBERS: usize = 32;

const FORM: Reason = "not three parts of base64url";

/// Without padding, and in its one form: the bits after the last byte are zeros.
fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| FORM)
}

/// Whether both are the same media type, with or without `application/` (RFC 8725 §3.11).
pub(crate) fn is_typ(found: &str, typ: &str) -> bool {
    let short = match found.split_at_checked("application/".len()) {
        Some((tree, short)) if tree.eq_ignore_ascii_case("application/") => short,
        _ => found,
    };
    short.eq_ignore_ascii_case(typ)
}

/// What is read of a header (RFC 7515 §4.1): texts, each once at most. Of where the key might be, nobody reads more than its name: `jwk`,
/// `jku` and `x5u` are anybody's words.
#[derive(Default)]
pub(crate) struct Header {
    pub(crate) alg: Option<String>,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    is_beyond_us: bool,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parameters;

        impl<'de> Visitor<'de> for Parameters {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without repeated members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                let mut others = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    let is_repeated = match &*name {
                        "alg" => header.alg.replace(map.next_value()?).is_some(),
                        "typ" => header.typ.replace(map.next_value()?).is_some(),
                        "kid" => header.kid.replace(map.next_value()?).is_some(),
                        _ => {
                            header.is_beyond_us |= matches!(&*name, "crit" | "b64" | "zip" | "cty");
                            map.next_value::<IgnoredAny>()?;
                            let is_repeated = others.contains(&name);
                            others.push(name);
                            is_repeated || others.len() > MOST_MEMBERS
                        }
                    };
                    if is_repeated {
                        return Err(A::Error::custom(
                            "a member is repeated, or there are too many",
                        ));
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Parameters)
    }
}

/// A text, not copied unless something in it is escaped.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A JSON object in which no member stands twice: of two that disagree, another reader might believe the other (RFC 8725 §2.4).
#[cfg(any(feature = "jwt", feature = "introspection"))]
pub(crate) struct Members(pub(crate) Map<String, Value>);

#[cfg(any(feature = "jwt", feature = "introspection"))]
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

#[cfg(feature = "jwt")]
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
