//! The claims of a token of another issuer, read in one go (RFC 7519 §4): those that are checked without a copy, the others as they are.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::jws::{Reason, Text};

/// What a token says.
#[derive(Default)]
pub(crate) struct ClaimSet<'a> {
    pub(crate) iss: Option<Claim<'a>>,
    pub(crate) sub: Option<Claim<'a>>,
    pub(crate) aud: Option<Claim<'a>>,
    pub(crate) client_id: Option<Claim<'a>>,
    pub(crate) jti: Option<Claim<'a>>,
    pub(crate) scope: Option<Claim<'a>>,
    pub(crate) exp: Option<Value>,
    pub(crate) iat: Option<Value>,
    pub(crate) nbf: Option<Value>,
    /// Whether there is `cnf`, whatever it says.
    pub(crate) is_bound: bool,
    pub(crate) others: Map<String, Value>,
}

/// A claim that should be a text, or a list of texts.
#[derive(PartialEq)]
pub(crate) enum Claim<'a> {
    Text(Cow<'a, str>),
    List(Vec<Cow<'a, str>>),
    /// It is there, and neither.
    Malformed,
}

impl<'a> ClaimSet<'a> {
    /// Reads an object in which no member stands twice. The scope stands in the claim of that name.
    pub(crate) fn parse(payload: &'a [u8], scope_claim: &str) -> Result<Self, Reason> {
        const FORM: Reason = "the payload is no JSON object, or repeats a member";
        let payload = str::from_utf8(payload).map_err(|_| FORM)?;
        let mut json = serde_json::Deserializer::from_str(payload);
        let claims = Members { scope_claim }.deserialize(&mut json);
        json.end().map_err(|_| FORM)?;
        claims.map_err(|_| FORM)
    }
}

struct Members<'s> {
    scope_claim: &'s str,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ClaimSet<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ClaimSet<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ClaimSet<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without repeated members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ClaimSet<'de>, A::Error> {
        let mut claims = ClaimSet::default();
        while let Some(Text(name)) = map.next_key()? {
            let is_repeated = if name == self.scope_claim {
                claims.scope.replace(map.next_value()?).is_some()
            } else {
                match &*name {
                    "iss" => claims.iss.replace(map.next_value()?).is_some(),
                    "sub" => claims.sub.replace(map.next_value()?).is_some(),
                    "aud" => claims.aud.replace(map.next_value()?).is_some(),
                    "client_id" => claims.client_id.replace(map.next_value()?).is_some(),
                    "jti" => claims.jti.replace(map.next_value()?).is_some(),
                    "exp" => claims.exp.replace(map.next_value()?).is_some(),
                    "iat" => claims.iat.replace(map.next_value()?).is_some(),
                    "nbf" => claims.nbf.replace(map.next_value()?).is_some(),
                    "cnf" => {
                        map.next_value::<IgnoredAny>()?;
                        std::mem::replace(&mut claims.is_bound, true)
                    }
                    _ => {
                        let value = map.next_value()?;
                        claims.others.insert(name.into_owned(), value).is_some()
                    }
                }
            };
            if is_repeated {
                return Err(A::Error::custom("a member is repeated"));
            }
        }
        Ok(claims)
    }
}

impl<'de> Deserialize<'de> for Claim<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrList)
    }
}

struct TextOrList;

impl<'de> Visitor<'de> for TextOrList {
    type Value = Claim<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Claim<'de>, E> {
        Ok(Claim::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Claim<'de>, E> {
        Ok(Claim::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Claim<'de>, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(item) = list.next_element::<Claim<'de>>()? {
            match (item, &mut texts) {
                (Claim::Text(text), Some(texts)) => texts.push(text),
                _ => texts = None,
            }
        }
        Ok(texts.map_or(Claim::Malformed, Claim::List))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claim<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Claim::Malformed)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Claim<'de>, E> {
        Ok(Claim::Malformed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Claim<'de>, E> {
        Ok(Claim::Malformed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Claim<'de>, E> {
        Ok(Claim::Malformed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Claim<'de>, E> {
        Ok(Claim::Malformed)
    }

    fn visit_unit<E>(self) -> Result<Claim<'de>, E> {
        Ok(Claim::Malformed)
    }
}
