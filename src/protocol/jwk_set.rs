//! The keys of another issuer: a JWK set (RFC 7517 §5), keys in PEM, or a shared secret.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::jws::Reason;
use crate::types::{JwsAlgorithm, PublicKey, VerificationKey};

/// More keys than this are no issuer's: each costs time to read and memory to keep.
const MOST_KEYS: usize = 100;

/// As long as the name of a key may be.
pub(crate) const LONGEST_KID: usize = 256;

/// Of so many keys at most one is asked whether it has signed: each costs as much as a good token.
const MOST_TRIED: usize = 5;

/// The keys of one issuer that tokens may be checked with.
#[derive(Debug, Default)]
pub(crate) struct JwkSet {
    keys: Vec<Arc<VerificationKey>>,
}

impl JwkSet {
    /// Reads a set. A key that cannot be used is left out and spoils nothing (RFC 7517 §5); there may be none left.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Reason> {
        let document: Document =
            serde_json::from_slice(json).map_err(|_| "no JSON object with a list of keys")?;
        if document.keys.len() > MOST_KEYS {
            return Err("more than 100 keys");
        }
        let keys = document.keys.into_iter().filter_map(|Jwk(members)| {
            let (kid, key) = read(&members?)?;
            Some(Arc::new(VerificationKey::new(kid, key)))
        });
        Ok(Self {
            keys: keys.collect(),
        })
    }

    /// Reads keys that have no name and check the tokens of every name: `PUBLIC KEY`, `RSA PUBLIC KEY`, `CERTIFICATE`. Nothing is left
    /// out. A certificate is only a wrapping of its key.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, Reason> {
        let keys = PublicKey::all_from_pem(pem, &RSA);
        let keys = keys.ok_or("no public keys on P-256, P-384, Ed25519 or of RSA in PEM")?;
        let keys = keys.into_iter().map(|key| VerificationKey::new(None, key));
        Ok(Self {
            keys: keys.map(Arc::new).collect(),
        })
    }

    /// One key that issuer and resource share, for this algorithm alone.
    pub(crate) fn shared_secret(algorithm: JwsAlgorithm, secret: &[u8]) -> Result<Self, Reason> {
        let key = VerificationKey::shared(algorithm, secret).ok_or(
            "a shared secret is for HS256, HS384 or HS512, and at least 32, 48 or 64 bytes",
        )?;
        Ok(Self {
            keys: vec![Arc::new(key)],
        })
    }

    /// All of them, in their order.
    pub(crate) fn keys(&self) -> &[Arc<VerificationKey>] {
        &self.keys
    }

    /// Takes the place of an older set of the same issuer, and adds nothing of it: what stands in both is the same key again, with its
    /// flag; what only stood there is not trusted any more ([`retire_missing`](Self::retire_missing)).
    pub(crate) fn adopt(mut self, old: &Self) -> Self {
        for key in &mut self.keys {
            let known = old
                .keys
                .iter()
                .find(|known| known.is(key) && !known.gone.is_set());
            if let Some(known) = known {
                *key = Arc::clone(known);
            }
        }
        self
    }

    /// Ends what was checked with keys that do not stand in the set which has [adopted](Self::adopt) this one. Called as soon as that set
    /// is the one in use, so that nobody begins again with these.
    pub(crate) fn retire_missing(&self, new: &Self) {
        for key in &self.keys {
            if !new.keys.iter().any(|kept| Arc::ptr_eq(kept, key)) {
                key.gone.set();
            }
        }
    }

    /// The key that has signed, by this algorithm and under this name, where `has_signed` tells of one whether it has.
    pub(crate) fn signer(
        &self,
        kid: Option<&str>,
        algorithm: JwsAlgorithm,
        has_signed: impl Fn(&VerificationKey) -> bool,
    ) -> Result<&Arc<VerificationKey>, NotSigned> {
        let named = |key: &&Arc<VerificationKey>| key.kid.as_deref() == kid;
        // Keys without a name may have signed what names one, but not where another key has that name.
        let is_known = kid.is_some() && self.keys.iter().any(|key| named(&key));
        self.keys
            .iter()
            .filter(|key| match kid {
                Some(_) if is_known => named(key),
                Some(_) => key.kid.is_none(),
                None => true,
            })
            .filter(|key| key.algorithms().any(|checks| checks == algorithm))
            .take(MOST_TRIED)
            .find(|key| has_signed(key))
            .ok_or(if is_known {
                NotSigned::Wrong
            } else {
                NotSigned::Unknown
            })
    }
}

/// No key of a set has signed a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSigned {
    /// The key it names is there, and has not signed it.
    Wrong,
    /// The set has no key of that name, or the token names none: perhaps the issuer has a newer set.
    Unknown,
}

/// What RSA keys check, if they do not say.
const RSA: [JwsAlgorithm; 6] = [
    JwsAlgorithm::Rs256,
    JwsAlgorithm::Rs384,
    JwsAlgorithm::Rs512,
    JwsAlgorithm::Ps256,
    JwsAlgorithm::Ps384,
    JwsAlgorithm::Ps512,
];

/// RFC 7518 §6.2.2, §6.3.2, §6.4.1: what no published key has.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The name and the key, if it is one that checks signatures (RFC 7517 §4).
fn read(jwk: &Map<String, Value>) -> Option<(Option<String>, PublicKey)> {
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return None; // whoever has read the set can sign with it
    }
    // What is there and no text is not taken for absent.
    let text = |name| jwk.get(name).map(Value::as_str);
    let number = |name| URL_SAFE_NO_PAD.decode(text(name)??).ok();
    let kid = match text("kid") {
        Some(kid) => Some(kid.filter(|kid| kid.len() <= LONGEST_KID)?.to_owned()),
        None => None,
    };
    let algorithm = match text("alg") {
        Some(alg) => Some(JwsAlgorithm::from_name(alg?)?),
        None => None,
    };
    if text("use").is_some_and(|usage| usage != Some("sig")) {
        return None;
    }
    let verify = Value::from("verify");
    let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.contains(&verify));
    if !jwk.get("key_ops").is_none_or(verifies) {
        return None;
    }
    // RFC 7518 §6.2.1.2: coordinates have their full length.
    let point = |size| {
        let (x, y) = (number("x")?, number("y")?);
        (x.len() == size && y.len() == size).then(|| [&[4], &*x, &*y].concat())
    };
    let key = match (text("kty")??, text("crv").flatten()) {
        ("EC", Some("P-256")) => PublicKey::p256(&point(32)?),
        ("EC", Some("P-384")) => PublicKey::p384(&point(48)?),
        ("OKP", Some("Ed25519")) => PublicKey::ed25519(&number("x")?),
        ("RSA", _) => {
            let algorithms = algorithm.as_ref().map_or(&RSA[..], std::slice::from_ref);
            let (n, e) = (number("n")?, number("e")?);
            PublicKey::rsa(significant(&n), significant(&e), algorithms)
        }
        _ => None,
    }?;
    let fits = algorithm.is_none_or(|named| key.algorithms().any(|checks| checks == named));
    fits.then_some((kid, key))
}

/// Without the zeros that RFC 7518 §6.3.1.1 forbids and some write, for the sign.
fn significant(mut number: &[u8]) -> &[u8] {
    while let Some(shorter) = number.strip_prefix(&[0]) {
        number = shorter;
    }
    number
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

/// The members of a key that are read here, the others without their values; nothing, if one stands twice or this is no object.
struct Jwk(Option<Map<String, Value>>);

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Jwk;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Jwk, A::Error> {
        let mut members = Map::new();
        let mut is_repeated = false;
        while let Some(name) = map.next_key::<String>()? {
            let value = if READ.contains(&name.as_str()) {
                map.next_value()?
            } else {
                map.next_value::<IgnoredAny>()?;
                Value::Null
            };
            is_repeated |= members.insert(name, value).is_some();
        }
        Ok(Jwk((!is_repeated).then_some(members)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Jwk, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Jwk(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Jwk, E> {
        Ok(Jwk(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Jwk, E> {
        Ok(Jwk(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Jwk, E> {
        Ok(Jwk(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Jwk, E> {
        Ok(Jwk(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Jwk, E> {
        Ok(Jwk(None))
    }

    fn visit_unit<E>(self) -> Result<Jwk, E> {
        Ok(Jwk(None))
    }
}

/// The members that matter here.
const READ: [&str; 10] = [
    "alg", "crv", "e", "key_ops", "kid", "kty", "n", "use", "x", "y",
];
