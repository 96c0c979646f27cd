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

/// More keys than this are no issuer's: each costs time to read, memory to keep, and a signature for a token that does not name its key.
const MOST_KEYS: usize = 100;

/// As long as the name of a key may be.
pub(crate) const LONGEST_KID: usize = 256;

/// The keys of one issuer that tokens may be checked with.
#[derive(Debug, Default)]
pub(crate) struct JwkSet {
    keys: Vec<Arc<VerificationKey>>,
    /// There were keys, and none that can be used.
    is_unusable: bool,
}

impl JwkSet {
    /// Reads a set. A key that cannot be used is left out and spoils nothing (RFC 7517 §5); there may be none left.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Reason> {
        let document: Document =
            serde_json::from_slice(json).map_err(|_| "no JSON object with a list of keys")?;
        if document.keys.len() > MOST_KEYS {
            return Err("more than 100 keys");
        }
        let is_empty = document.keys.is_empty();
        let keys = document.keys.into_iter().filter_map(|Jwk(members)| {
            let (kid, key) = read(&members?)?;
            Some(Arc::new(VerificationKey::new(kid, key)))
        });
        let keys: Vec<_> = keys.collect();
        Ok(Self {
            is_unusable: keys.is_empty() && !is_empty,
            keys,
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
            is_unusable: false,
        })
    }

    /// One key that issuer and resource share, for this algorithm alone.
    pub(crate) fn shared_secret(algorithm: JwsAlgorithm, secret: &[u8]) -> Result<Self, Reason> {
        let key = VerificationKey::shared(algorithm, secret).ok_or(
            "a shared secret is for HS256, HS384 or HS512, and at least 32, 48 or 64 bytes",
        )?;
        Ok(Self {
            keys: vec![Arc::new(key)],
            is_unusable: false,
        })
    }

    /// Whether it lists keys and none that can be used: an issuer that has none lists none.
    pub(crate) const fn is_unusable(&self) -> bool {
        self.is_unusable
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

    /// The key that has signed, by this algorithm and under this name, where `has_signed` tells of one whether it has. All that may have
    /// are asked: how many there are is up to whoever publishes the keys, never to a token, and a good one is found wherever its key stands.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{JwkSet, MOST_KEYS, NotSigned};
    use crate::protocol::foreign_jwt::tests::{Signer, encode, set};
    use crate::types::{JwsAlgorithm, VerificationKey};

    const EC: JwsAlgorithm = JwsAlgorithm::Es256;

    fn jwk(algorithm: JwsAlgorithm, changes: &Value) -> Value {
        let mut jwk = Signer::new(algorithm).jwk("a");
        for (name, value) in changes.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }

    /// What the key may check, if it may check anything.
    fn algorithms(jwk: &Value) -> Vec<JwsAlgorithm> {
        let keys = set(std::slice::from_ref(jwk));
        let algorithms = keys.keys().iter().flat_map(|key| key.algorithms());
        algorithms.collect()
    }

    // req: 7517-5-2, 8725-3.4-1
    #[test]
    fn v08_a_key_that_cannot_be_used_is_left_out_and_spoils_nothing() {
        let (rsa, ed) = (JwsAlgorithm::Rs256, JwsAlgorithm::EdDsa);
        let bytes = |length: usize| encode(vec![0xFF; length]);
        let bad = [
            json!({"kty": "oct", "k": bytes(32), "kid": "a"}),
            json!({"kty": "oct", "k": bytes(32), "alg": "HS256"}),
            json!({"kty": "OKP", "crv": "X25519", "x": bytes(32)}),
            json!({"kty": "OKP", "crv": "Ed448", "x": bytes(57)}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": bytes(31)}),
            json!({"kty": "OKP", "x": bytes(32)}),
            json!({"kty": "EC", "crv": "P-521", "x": bytes(66), "y": bytes(66)}),
            json!({"kty": "EC", "crv": "secp256k1", "x": bytes(32), "y": bytes(32)}),
            json!({"kty": "EC", "crv": "P-256", "x": bytes(32), "y": bytes(32)}),
            json!({"kty": "AKP", "alg": "ML-DSA-65", "pub": bytes(1952)}),
            json!({"kty": "LATER", "x": [1, {"y": null}], "z": 1.5e300}),
            json!({"kty": "RSA", "n": bytes(128), "e": "AQAB"}),
            json!({"kty": "RSA", "n": bytes(2048), "e": "AQAB"}),
            json!({"kty": "RSA", "n": bytes(256), "e": "AQ"}),
            json!({"kty": "RSA", "n": bytes(256)}),
            json!({"kty": "RSA", "n": "+/", "e": "AQAB"}),
            jwk(EC, &json!({"kid": 7})),
            jwk(EC, &json!({"kid": null})),
            jwk(EC, &json!({"kid": ["a"]})),
            jwk(EC, &json!({"kid": "k".repeat(257)})),
            jwk(EC, &json!({"use": "enc"})),
            jwk(EC, &json!({"use": "SIG"})),
            jwk(EC, &json!({"use": 1})),
            jwk(EC, &json!({"key_ops": ["sign"]})),
            jwk(EC, &json!({"key_ops": []})),
            jwk(EC, &json!({"key_ops": "verify"})),
            jwk(EC, &json!({"alg": "RS256"})),
            jwk(EC, &json!({"alg": "ES384"})),
            jwk(EC, &json!({"alg": "HS256"})),
            jwk(EC, &json!({"alg": "ECDH-ES"})),
            jwk(EC, &json!({"alg": ["ES256"]})),
            jwk(EC, &json!({"alg": null})),
            jwk(EC, &json!({"kty": "RSA"})),
            jwk(EC, &json!({"kty": null})),
            jwk(EC, &json!({"crv": "P-384"})),
            jwk(EC, &json!({"d": bytes(32)})),
            jwk(EC, &json!({"k": bytes(32)})),
            jwk(EC, &json!({"x": bytes(33)})),
            jwk(ed, &json!({"d": bytes(32)})),
            jwk(ed, &json!({"alg": "ES256"})),
            jwk(rsa, &json!({"d": null})),
            jwk(rsa, &json!({"alg": "ES256"})),
            jwk(rsa, &json!({"alg": "RSA-OAEP"})),
            json!({}),
            json!([]),
            json!([{"kty": "EC"}]),
            json!(null),
            json!(true),
            json!(-7),
            json!(7),
            json!(1.5),
            json!("EC"),
        ];
        for bad in &bad {
            let good = Signer::new(EC).jwk("good");
            let keys = set(&[bad.clone(), good, bad.clone()]);
            assert_eq!(keys.keys().len(), 1, "{bad}");
            assert_eq!(keys.keys()[0].kid.as_deref(), Some("good"), "{bad}");
        }
        let good = Signer::new(EC).jwk("good");
        let all: Vec<_> = bad.into_iter().chain([good]).collect();
        assert_eq!(set(&all).keys().len(), 1);
    }

    // req: 7517-4.2-1
    #[test]
    fn v08_what_a_key_says_of_its_use_narrows_what_it_checks() {
        let rsa = JwsAlgorithm::Rs256;
        assert_eq!(algorithms(&jwk(rsa, &json!({}))), super::RSA);
        let only = jwk(
            rsa,
            &json!({"alg": "PS384", "use": "sig", "key_ops": ["sign", "verify"]}),
        );
        assert_eq!(algorithms(&only), [JwsAlgorithm::Ps384]);
        assert_eq!(algorithms(&jwk(EC, &json!({"use": "sig"}))), [EC]);
        assert_eq!(
            algorithms(&jwk(JwsAlgorithm::Es384, &json!({}))),
            [JwsAlgorithm::Es384]
        );
        let other = jwk(
            EC,
            &json!({"x5c": ["MIIB", 7], "x5t#S256": null, "nbf": 1, "iss": {"a": []}}),
        );
        assert_eq!(algorithms(&other), [EC]);
        for alg in ["EdDSA", "Ed25519"] {
            let key = jwk(JwsAlgorithm::EdDsa, &json!({ "alg": alg }));
            assert_eq!(algorithms(&key), [JwsAlgorithm::EdDsa], "{alg}");
        }
        let enc = jwk(EC, &json!({"use": "enc"}));
        assert!(set(&[enc]).keys().is_empty());
    }

    #[test]
    fn v16_a_key_with_a_repeated_member_is_left_out_alone() {
        let good = Signer::new(EC).jwk("a").to_string();
        let rest = good.strip_prefix('{').unwrap();
        for repeated in [r#""kty":"EC""#, r#""kid":"b""#, r#""x5u":1,"x5u":1"#] {
            let json = format!(r#"{{"keys":[{{{repeated},{rest},{good}]}}"#);
            assert_eq!(
                JwkSet::parse(json.as_bytes()).unwrap().keys().len(),
                1,
                "{json}"
            );
        }
        for document in [
            format!(r#"{{"keys":[{good}],"keys":[]}}"#),
            format!(r#"{{"keys":[{good}]}} x"#),
            format!(r#"{{"keys":{good}}}"#),
            format!("[{good}]"),
            good.clone(),
            "{}".to_owned(),
            "<html>".to_owned(),
            String::new(),
            r#"{"keys":null}"#.to_owned(),
            r#"{"keys":[{"kty":"EC"#.to_owned(),
        ] {
            assert!(JwkSet::parse(document.as_bytes()).is_err(), "{document}");
        }
        assert!(
            JwkSet::parse(br#"{"keys":[],"more":[1e9]}"#)
                .unwrap()
                .keys()
                .is_empty()
        );
        let many =
            |count: usize| JwkSet::parse(json!({"keys": vec![1; count]}).to_string().as_bytes());
        assert!(many(100).is_ok());
        assert!(many(101).is_err());
    }

    // req: jwks-select-1, jwks-select-2
    #[test]
    fn v03_the_key_is_chosen_by_name_and_algorithm() {
        let (rsa, ed) = (JwsAlgorithm::Rs256, JwsAlgorithm::EdDsa);
        let named = |algorithm, kid: &str| Signer::new(algorithm).jwk(kid);
        let mut nameless = named(EC, "");
        nameless.as_object_mut().unwrap().remove("kid");
        let asked = |keys: &JwkSet, kid, algorithm| {
            let asked = std::cell::RefCell::new(Vec::new());
            let of = |key: &VerificationKey| {
                asked.borrow_mut().push(key.kid.clone().unwrap_or_default());
                false
            };
            let result = keys.signer(kid, algorithm, of).unwrap_err();
            (asked.into_inner().join(" "), result)
        };
        let keys = set(&[
            named(ed, "a"),
            named(rsa, "a"),
            named(EC, "a"),
            named(EC, "b"),
            nameless,
        ]);
        let (wrong, unknown) = (NotSigned::Wrong, NotSigned::Unknown);
        // A decoy of the same name and another type is not asked.
        assert_eq!(asked(&keys, Some("a"), EC), ("a".to_owned(), wrong));
        assert_eq!(asked(&keys, Some("b"), EC), ("b".to_owned(), wrong));
        assert_eq!(asked(&keys, Some("b"), rsa), (String::new(), wrong));
        // Only a key without a name can be meant by a name that no key has.
        assert_eq!(asked(&keys, Some("c"), EC), (String::new(), unknown));
        assert_eq!(asked(&keys, Some("c"), rsa), (String::new(), unknown));
        assert_eq!(asked(&keys, None, EC), ("a b ".to_owned(), unknown));
        assert_eq!(asked(&keys, None, ed), ("a".to_owned(), unknown));
        assert_eq!(asked(&set(&[]), None, EC), (String::new(), unknown));
        assert!(keys.signer(Some("b"), EC, |_| true).unwrap().kid.as_deref() == Some("b"));
    }

    #[test]
    fn v03_however_many_keys_may_have_signed_the_one_that_has_is_found() {
        let signers: Vec<_> = (0..MOST_KEYS).map(|_| Signer::new(EC)).collect();
        for name in ["", "a"] {
            let mut jwks: Vec<_> = signers.iter().map(|signer| signer.jwk(name)).collect();
            if name.is_empty() {
                for jwk in &mut jwks {
                    jwk.as_object_mut().unwrap().remove("kid");
                }
            }
            let keys = set(&jwks);
            for at in [0, 5, 16, MOST_KEYS - 1] {
                let of = |key: &VerificationKey| key.is(&keys.keys()[at]);
                for kid in [None, Some("a")] {
                    let found = keys.signer(kid, EC, of).unwrap();
                    assert!(Arc::ptr_eq(found, &keys.keys()[at]), "{kid:?} {at}");
                }
            }
        }
    }

    #[test]
    fn v09_a_set_takes_the_place_of_the_old_one_and_what_is_gone_is_told() {
        let (stays, leaves) = (Signer::new(EC), Signer::new(EC));
        let old = set(&[
            stays.jwk("a"),
            leaves.jwk("b"),
            stays.jwk("c"),
            stays.jwk("d"),
        ]);
        let mut narrower = stays.jwk("c");
        narrower["use"] = "sig".into();
        let new = set(&[narrower, stays.jwk("a"), leaves.jwk("other")]).adopt(&old);
        assert_eq!(new.keys().len(), 3);
        assert!(Arc::ptr_eq(&new.keys()[1], &old.keys()[0]));
        assert!(Arc::ptr_eq(&new.keys()[0], &old.keys()[2]));
        assert!(!old.keys().iter().any(|key| key.gone.is_set()));
        old.retire_missing(&new);
        let gone: Vec<_> = old.keys().iter().map(|key| key.gone.is_set()).collect();
        assert_eq!(gone, [false, true, false, true]);
        assert!(!new.keys().iter().any(|key| key.gone.is_set()));
        // Who comes back is new: what was checked with it before stays dead.
        let again = set(&[leaves.jwk("b")]).adopt(&old);
        assert!(!Arc::ptr_eq(&again.keys()[0], &old.keys()[1]));
        assert!(!again.keys()[0].gone.is_set());
        // Another algorithm is another key.
        let rsa = Signer::new(JwsAlgorithm::Rs256);
        let old = set(&[rsa.jwk("a")]);
        let mut narrow = rsa.jwk("a");
        narrow["alg"] = "RS256".into();
        let new = set(&[narrow]).adopt(&old);
        assert!(!Arc::ptr_eq(&new.keys()[0], &old.keys()[0]));
        old.retire_missing(&new);
        assert!(old.keys()[0].gone.is_set());
    }

    #[test]
    fn rfc7638_3_1_keys_have_their_thumbprint_however_their_numbers_are_written() {
        let rsa = Signer::new(JwsAlgorithm::Rs256).jwk("a");
        let modulus = base64::Engine::decode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            rsa["n"].as_str().unwrap(),
        );
        let mut signed = rsa.clone();
        signed["n"] = encode([&[0], &*modulus.unwrap()].concat()).into();
        signed["e"] = "AAEAAQ".into();
        let keys = set(&[rsa, signed]);
        assert_eq!(keys.keys()[0].thumbprint, keys.keys()[1].thumbprint);
        let harbor = set(&[json!({
            "kty": "EC", "crv": "P-256",
            "x": "Mip9sZCM4FokWG__fOU9bl1u_5CdiIOH2Bs2O38pgqo",
            "y": "y7XuarrJiB27aRUIwS4vH0xj2FPk7uhWl98cr2OYarA",
        })]);
        let thumbprint = encode(harbor.keys()[0].thumbprint);
        assert_eq!(thumbprint, "MNCvokcrIiMhNnlICpHUWkR7ilXjkY10ImHHym1wNPQ");
    }

    proptest! {
        #[test]
        fn v08_no_document_panics_the_parser(
            text in r#"\{"keys":\[(\{("(kty|n|e|x|y|crv|kid|use|key_ops)":("RSA"|"EC"|"P-256"|"AQAB"|null|[0-9]{1,400}|\[\]),?){0,6}\},?){0,3}\]\}"#,
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = JwkSet::parse(text.as_bytes());
            let _ = JwkSet::parse(&bytes);
        }
    }
}
