//! JWT access tokens of other issuers: which are taken for one (RFC 9068 §4, RFC 8725 §3), and what they say.
//!
//! A token is judged from the cheap to the dear: its form, its header, its claims, and only then its signature. Until that holds,
//! nobody is given what it says.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::bearer::LONGEST;
use super::claim_set::{Claim, ClaimSet};
use super::claims::time;
use super::jwk_set::{JwkSet, LONGEST_KID, NotSigned};
use super::jws::{Reason, Unverified, is_typ};
use crate::types::{
    Audience, Claims, ClientId, InvalidScope, IssuerUrl, JwsAlgorithm, Scope, ScopeToken, Subject,
    Timestamp, VerificationKey,
};

/// As far as two clocks may be apart (RFC 9068 §4 speaks of a few minutes).
pub(crate) const MOST_LEEWAY: Duration = Duration::from_secs(300);

/// What the tokens of one issuer must be like.
#[derive(Debug, Clone)]
pub(crate) struct JwtRules {
    pub(crate) issuer: IssuerUrl,
    /// What they may be signed with, as far as their keys agree.
    pub(crate) algorithms: Vec<JwsAlgorithm>,
    /// Whether `typ` may also be `JWT`, or missing, as with issuers that are older than RFC 9068; `client_id`, `iat` and `jti` may be
    /// missing then too. All that marks a token of another kind is refused.
    pub(crate) accept_typ_jwt: bool,
    /// The claim that the scope stands in, as a text or as a list, where it is not the text `scope`.
    pub(crate) scope_claim: Option<String>,
    /// By how much the issuer's clock may differ from ours. What is above [`MOST_LEEWAY`] counts as that.
    pub(crate) leeway: Duration,
    /// What the resource is called: most tokens name it the same way, and need no parsing of it then.
    pub(crate) audiences: Arc<[Audience]>,
}

impl JwtRules {
    /// The rules of RFC 9068, any asymmetric algorithm, 30 s.
    pub(crate) fn new(issuer: IssuerUrl) -> Self {
        Self {
            issuer,
            algorithms: JwsAlgorithm::ASYMMETRIC.to_vec(),
            accept_typ_jwt: false,
            scope_claim: None,
            leeway: Duration::from_secs(30),
            audiences: Arc::default(),
        }
    }

    fn audience(&self, name: &str) -> Audience {
        let mut known = self.audiences.iter();
        let known = known.find(|known| known.as_str() == name);
        known.cloned().unwrap_or_else(|| name.into())
    }
}

/// A token that says what it should, and that nobody has proven yet.
pub(crate) struct ForeignToken<'a> {
    algorithm: JwsAlgorithm,
    kid: Option<String>,
    signed: &'a [u8],
    signature: Vec<u8>,
    claims: ForeignClaims,
}

/// What a token says, once its signature holds.
#[derive(Debug)]
pub(crate) struct ForeignClaims {
    pub(crate) subject: Subject,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) scope: Scope,
    pub(crate) audience: Vec<Audience>,
    pub(crate) expires_at: Timestamp,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) jti: Option<String>,
    /// All others.
    pub(crate) claims: Claims,
}

impl<'a> ForeignToken<'a> {
    /// Reads a token, and refuses it for whatever can be seen without a key.
    pub(crate) fn parse(token: &'a str, rules: &JwtRules, now: Timestamp) -> Result<Self, Reason> {
        if token.len() > LONGEST {
            return Err("longer than 16 KiB");
        }
        let token = Unverified::parse(token)?;
        let header = &token.header;
        let algorithm = header.alg.as_deref().and_then(JwsAlgorithm::from_name);
        let algorithm = algorithm
            .filter(|algorithm| rules.algorithms.contains(algorithm))
            .ok_or("alg is not one of those accepted")?;
        if header
            .kid
            .as_ref()
            .is_some_and(|kid| kid.len() > LONGEST_KID)
        {
            return Err("kid is longer than 256 bytes");
        }
        let is_explicit = is_explicit(header.typ.as_deref(), rules.accept_typ_jwt)?;
        if !signature_fits(algorithm, token.signature_len()) {
            return Err("the signature is of another length than those of its alg");
        }
        let payload = token.payload()?;
        let claims = ClaimSet::parse(&payload, rules.scope_claim.as_deref().unwrap_or("scope"))?;
        let claims = ForeignClaims::read(claims, is_explicit, rules, now)?;
        Ok(Self {
            algorithm,
            signed: token.signed(),
            signature: token.signature()?,
            kid: token.header.kid,
            claims,
        })
    }

    /// The name of the key that it says to be signed with.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// When it says to have been issued: a set of keys that was read later, and has no such key, has it no more.
    pub(crate) const fn issued_at(&self) -> Option<Timestamp> {
        self.claims.issued_at
    }

    /// What it says, and the key that has signed it. The facts must die with the key ([`VerificationKey::gone`]).
    pub(crate) fn verify(
        self,
        keys: &JwkSet,
    ) -> Result<(ForeignClaims, Arc<VerificationKey>), NotSigned> {
        let key = keys.signer(self.kid.as_deref(), self.algorithm, |key| {
            key.has_signed(self.algorithm, self.signed, &self.signature)
        })?;
        Ok((self.claims, Arc::clone(key)))
    }
}

/// The one reason that a setting takes away, and names.
pub(crate) const NEEDS_ACCEPT_TYP_JWT: Reason =
    "typ is JWT or missing: only accept_typ_jwt lets that in";

/// Whether a token says by itself to be an access token (RFC 9068 §2.1), or only may be one.
fn is_explicit(typ: Option<&str>, accept_typ_jwt: bool) -> Result<bool, Reason> {
    match typ {
        Some(typ) if is_typ(typ, "at+jwt") => Ok(true),
        Some(typ) if !is_typ(typ, "JWT") => Err("of another typ"),
        _ if accept_typ_jwt => Ok(false),
        _ => Err(NEEDS_ACCEPT_TYP_JWT),
    }
}

/// Whether a signature of so many characters can be one by this algorithm: what cannot is not even decoded.
fn signature_fits(algorithm: JwsAlgorithm, length: usize) -> bool {
    match algorithm {
        JwsAlgorithm::Es256 | JwsAlgorithm::EdDsa | JwsAlgorithm::Hs512 => length == 86,
        JwsAlgorithm::Es384 => length == 128,
        JwsAlgorithm::Hs256 => length == 43,
        JwsAlgorithm::Hs384 => length == 64,
        // As long as the key: 2,048 to 8,192 bits.
        JwsAlgorithm::Rs256
        | JwsAlgorithm::Rs384
        | JwsAlgorithm::Rs512
        | JwsAlgorithm::Ps256
        | JwsAlgorithm::Ps384
        | JwsAlgorithm::Ps512 => (342..=1366).contains(&length),
    }
}

/// What only other kinds of tokens say: ID tokens, logout tokens and security events, DPoP proofs, answers about tokens.
const OF_OTHER_KINDS: [&str; 8] = [
    "at_hash",
    "c_hash",
    "events",
    "htm",
    "htu",
    "nonce",
    "s_hash",
    "token_introspection",
];

/// What issuers that are older than RFC 9068 call a client, or what it may do.
const OF_ACCESS_TOKENS: [&str; 5] = ["appid", "azp", "cid", "scope", "scp"];

/// RFC 8725 §3.12: of tokens that one key signs, and that do not say their kind, those of other kinds are told apart by what they say.
fn is_no_other_kind(claims: &ClaimSet<'_>) -> Result<(), Reason> {
    const OTHER: Reason = "an ID token, or another that is no access token";
    let others = &claims.others;
    if OF_OTHER_KINDS.iter().any(|name| others.contains_key(*name)) {
        return Err(OTHER);
    }
    // Keycloak and Cognito say the kind in a claim of their own.
    for (claim, access) in [
        ("typ", &["Bearer", "JWT", "at+jwt"][..]),
        ("token_use", &["access"]),
    ] {
        let is_access = |kind: &str| access.iter().any(|known| known.eq_ignore_ascii_case(kind));
        if !others
            .get(claim)
            .is_none_or(|kind| kind.as_str().is_some_and(is_access))
        {
            return Err(OTHER);
        }
    }
    // An ID token is for the client that asked for it, and for nobody else.
    let only = match &claims.aud {
        Some(Claim::Text(name)) => Some(name),
        Some(Claim::List(names)) => match names.as_slice() {
            [only] => Some(only),
            _ => None,
        },
        _ => None,
    };
    let client_id = match &claims.client_id {
        Some(Claim::Text(client_id)) => Some(&**client_id),
        _ => None,
    };
    let azp = others.get("azp").and_then(Value::as_str);
    if only.is_some_and(|only| [client_id, azp].contains(&Some(only))) {
        return Err("meant for its client alone, as an ID token is");
    }
    // The plainest ID token says who, for whom and when; an access token says which client has it or what it is for.
    let says_more = claims.client_id.is_some()
        || claims.scope.is_some()
        || OF_ACCESS_TOKENS
            .iter()
            .any(|name| others.contains_key(*name));
    if !says_more {
        return Err("nothing in it says that it is an access token");
    }
    Ok(())
}

impl ForeignClaims {
    /// What is checked first is what tokens are refused for most: they become old.
    fn read(
        mut claims: ClaimSet<'_>,
        is_explicit: bool,
        rules: &JwtRules,
        now: Timestamp,
    ) -> Result<Self, Reason> {
        let leeway = rules.leeway.min(MOST_LEEWAY);
        if !matches!(&claims.iss, Some(Claim::Text(iss)) if *iss == rules.issuer.as_str()) {
            return Err("issued by another issuer");
        }
        let moment = |claim: Option<_>| claim.map(|moment| time(Some(moment))).transpose();
        let expires_at = moment(claims.exp.take())?.ok_or("exp is missing")?;
        let issued_at = moment(claims.iat.take())?;
        let not_before = moment(claims.nbf.take())?;
        // RFC 7519 §4.1.4: "on or after"
        if expires_at.saturating_add(leeway) <= now {
            return Err("expired");
        }
        if issued_at.max(not_before) > Some(now.saturating_add(leeway)) {
            return Err("not good yet");
        }
        // RFC 7800 §3.1: good only with a proof of another key, which nobody has asked for here.
        if claims.is_bound {
            return Err("bound to a key");
        }
        if !is_explicit {
            is_no_other_kind(&claims)?;
        }
        let client_id = match (&claims.client_id, claims.others.get("azp")) {
            (None, Some(Value::String(azp))) if rules.accept_typ_jwt => Some(azp.parse()),
            (None, Some(_)) if rules.accept_typ_jwt => return Err("azp is no text"),
            _ => text(claims.client_id, "client_id is no text")?.map(|client_id| client_id.parse()),
        };
        let jti = text(claims.jti, "jti is no text")?;
        // RFC 9068 §2.2
        if !rules.accept_typ_jwt && (client_id.is_none() || issued_at.is_none() || jti.is_none()) {
            return Err("client_id, iat or jti is missing");
        }
        let subject = text(claims.sub, "sub is no text")?.ok_or("sub is missing")?;
        let audience = match &claims.aud {
            Some(Claim::Text(name)) => vec![rules.audience(name)],
            Some(Claim::List(names)) if !names.is_empty() => {
                names.iter().map(|name| rules.audience(name)).collect()
            }
            _ => return Err("aud is missing or malformed"),
        };
        Ok(Self {
            subject: Subject::new(subject).map_err(|_| "sub is malformed")?,
            client_id: client_id
                .transpose()
                .map_err(|_| "client_id is malformed")?,
            scope: scope(claims.scope, rules.scope_claim.is_some())?,
            audience,
            expires_at,
            issued_at,
            not_before,
            jti: jti.map(Cow::into_owned),
            claims: Claims::of_token(claims.others),
        })
    }
}

fn text<'a>(claim: Option<Claim<'a>>, refused: Reason) -> Result<Option<Cow<'a, str>>, Reason> {
    match claim {
        None => Ok(None),
        Some(Claim::Text(text)) => Ok(Some(text)),
        Some(Claim::List(_) | Claim::Malformed) => Err(refused),
    }
}

/// RFC 8693 §4.2: a text. In a claim that was named for it also a list of texts.
fn scope(claim: Option<Claim<'_>>, is_named: bool) -> Result<Scope, Reason> {
    let scope = match claim {
        None => return Ok(Scope::empty()),
        Some(Claim::Text(scope)) => scope.parse(),
        Some(Claim::List(scopes)) if is_named => {
            let scopes = scopes.iter().map(|scope| scope.parse::<ScopeToken>());
            scopes.collect()
        }
        Some(Claim::List(_) | Claim::Malformed) => Err(InvalidScope),
    };
    scope.map_err(|_| "the scope is malformed")
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::OnceLock;

    use aws_lc_rs::hmac;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
    };
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{ForeignClaims, ForeignToken, JwtRules, MOST_LEEWAY, NEEDS_ACCEPT_TYP_JWT, Reason};
    use crate::protocol::jwk_set::{JwkSet, NotSigned};
    use crate::types::{JwsAlgorithm, Timestamp};

    pub(in crate::protocol) const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);
    const SECRET: &[u8] = &[7; 64];

    pub(in crate::protocol) fn encode(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// An issuer's key.
    pub(in crate::protocol) struct Signer {
        pair: Pair,
        algorithm: JwsAlgorithm,
    }

    enum Pair {
        Rsa(&'static RsaKeyPair),
        Ec(EcdsaKeyPair),
        Ed(Ed25519KeyPair),
        Shared,
    }

    /// Made once: it takes a while.
    fn rsa() -> &'static RsaKeyPair {
        static PAIR: OnceLock<RsaKeyPair> = OnceLock::new();
        PAIR.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    impl Signer {
        pub(in crate::protocol) fn new(algorithm: JwsAlgorithm) -> Self {
            let pair = match algorithm {
                JwsAlgorithm::Es256 => {
                    Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
                }
                JwsAlgorithm::Es384 => {
                    Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
                }
                JwsAlgorithm::EdDsa => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
                JwsAlgorithm::Hs256 | JwsAlgorithm::Hs384 | JwsAlgorithm::Hs512 => Pair::Shared,
                _ => Pair::Rsa(rsa()),
            };
            Self { pair, algorithm }
        }

        /// The public key, without `alg`.
        pub(in crate::protocol) fn jwk(&self, kid: &str) -> Value {
            match &self.pair {
                Pair::Rsa(pair) => {
                    let n = pair.public_key().modulus();
                    let n = encode(n.big_endian_without_leading_zero());
                    json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": kid})
                }
                Pair::Ec(pair) => {
                    let (x, y) = pair.public_key().as_ref()[1..]
                        .split_at((pair.public_key().as_ref().len() - 1) / 2);
                    let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                    json!({"kty": "EC", "crv": crv, "x": encode(x), "y": encode(y), "kid": kid})
                }
                Pair::Ed(pair) => {
                    let x = encode(pair.public_key());
                    json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid})
                }
                Pair::Shared => json!({"kty": "oct", "k": encode(SECRET), "kid": kid}),
            }
        }

        pub(in crate::protocol) fn set(&self) -> JwkSet {
            match self.pair {
                Pair::Shared => JwkSet::shared_secret(self.algorithm, SECRET).unwrap(),
                _ => set(&[self.jwk("a")]),
            }
        }

        fn signature(&self, message: &[u8]) -> Vec<u8> {
            let random = SystemRandom::new();
            match &self.pair {
                Pair::Rsa(pair) => {
                    let mut signature = vec![0; pair.public_modulus_len()];
                    let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                        match self.algorithm {
                            JwsAlgorithm::Rs384 => &RSA_PKCS1_SHA384,
                            JwsAlgorithm::Rs512 => &RSA_PKCS1_SHA512,
                            JwsAlgorithm::Ps256 => &RSA_PSS_SHA256,
                            JwsAlgorithm::Ps384 => &RSA_PSS_SHA384,
                            JwsAlgorithm::Ps512 => &RSA_PSS_SHA512,
                            _ => &RSA_PKCS1_SHA256,
                        };
                    pair.sign(padding, &random, message, &mut signature)
                        .unwrap();
                    signature
                }
                Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
                Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
                Pair::Shared => {
                    let algorithm = match self.algorithm {
                        JwsAlgorithm::Hs384 => hmac::HMAC_SHA384,
                        JwsAlgorithm::Hs512 => hmac::HMAC_SHA512,
                        _ => hmac::HMAC_SHA256,
                    };
                    let key = hmac::Key::new(algorithm, SECRET);
                    hmac::sign(&key, message).as_ref().to_vec()
                }
            }
        }

        /// Signs whatever it is given.
        pub(in crate::protocol) fn sign(
            &self,
            header: impl AsRef<[u8]>,
            payload: impl AsRef<[u8]>,
        ) -> String {
            let text = format!("{}.{}", encode(header), encode(payload));
            let signature = self.signature(text.as_bytes());
            format!("{text}.{}", encode(signature))
        }

        fn header(&self) -> Value {
            json!({"typ": "at+jwt", "alg": self.algorithm.as_str(), "kid": "a"})
        }

        fn good(&self) -> String {
            self.sign(self.header().to_string(), good().to_string())
        }
    }

    pub(in crate::protocol) fn set(keys: &[Value]) -> JwkSet {
        JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn es256() -> Signer {
        Signer::new(JwsAlgorithm::Es256)
    }

    fn rules() -> JwtRules {
        JwtRules::new("https://auth.harbor.test".parse().unwrap())
    }

    /// For an issuer that is older than RFC 9068.
    fn lenient() -> JwtRules {
        JwtRules {
            accept_typ_jwt: true,
            ..rules()
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://auth.harbor.test", "sub": "usr_50317", "aud": "https://api.harbor.test/ledger",
            "exp": 1_795_349_700, "iat": 1_795_348_800, "jti": "at-6f2c1d", "client_id": "cl_7Qm2v9Tz",
            "scope": "ledger.read ledger.write", "groups": ["a"],
        })
    }

    const UNKNOWN: Reason = "no key of the set";
    const WRONG: Reason = "the signature is wrong";

    fn check(token: &str, rules: &JwtRules, keys: &JwkSet) -> Result<ForeignClaims, Reason> {
        let verified = ForeignToken::parse(token, rules, NOW)?.verify(keys);
        verified.map(|(claims, _)| claims).map_err(|why| match why {
            NotSigned::Unknown => UNKNOWN,
            NotSigned::Wrong => WRONG,
        })
    }

    /// A token of one issuer, with another header.
    fn with_header(header: &Value) -> Result<ForeignClaims, Reason> {
        with_raw_header(&header.to_string(), &rules())
    }

    fn with_raw_header(header: &str, rules: &JwtRules) -> Result<ForeignClaims, Reason> {
        let signer = es256();
        check(
            &signer.sign(header, good().to_string()),
            rules,
            &signer.set(),
        )
    }

    /// A token of one issuer, with another payload.
    fn with_payload(payload: impl AsRef<[u8]>, rules: &JwtRules) -> Result<ForeignClaims, Reason> {
        let signer = es256();
        check(
            &signer.sign(signer.header().to_string(), payload),
            rules,
            &signer.set(),
        )
    }

    fn with(name: &str, value: Value) -> Result<ForeignClaims, Reason> {
        let mut payload = good();
        payload[name] = value;
        with_payload(payload.to_string(), &rules())
    }

    /// The same with `typ` `JWT`, for an issuer that may do so. `null` takes the claim away.
    fn with_typ_jwt(changes: &Value) -> Result<ForeignClaims, Reason> {
        let signer = es256();
        let mut payload = good();
        for (name, value) in changes.as_object().unwrap() {
            payload.as_object_mut().unwrap().remove(name);
            if !value.is_null() {
                payload[name] = value.clone();
            }
        }
        let header = r#"{"typ":"JWT","alg":"ES256","kid":"a"}"#;
        check(
            &signer.sign(header, payload.to_string()),
            &lenient(),
            &signer.set(),
        )
    }

    // req: 9068-2.1-3, 8725-3.1-1, 9068-4-7, 7515-5.2-1
    #[test]
    fn rfc7518_3_1_each_algorithm_is_checked_and_only_its_signatures_hold() {
        let all = [
            JwsAlgorithm::Hs256,
            JwsAlgorithm::Hs384,
            JwsAlgorithm::Hs512,
        ];
        let all = all.into_iter().chain(JwsAlgorithm::ASYMMETRIC);
        for algorithm in all.clone() {
            let signer = Signer::new(algorithm);
            let (keys, token) = (signer.set(), signer.good());
            let only = JwtRules {
                algorithms: vec![algorithm],
                ..rules()
            };
            let claims = check(&token, &only, &keys).unwrap();
            assert_eq!(claims.subject.as_str(), "usr_50317", "{algorithm}");
            let by_default = check(&token, &rules(), &keys).is_ok();
            assert_eq!(
                by_default,
                !algorithm.as_str().starts_with("HS"),
                "{algorithm}"
            );
            let others = JwtRules {
                algorithms: all.clone().filter(|other| *other != algorithm).collect(),
                ..rules()
            };
            assert_eq!(
                check(&token, &others, &keys).unwrap_err(),
                "alg is not one of those accepted"
            );
            // Each character of a token counts.
            for place in (0..token.len()).step_by(11) {
                let mut changed = token.clone().into_bytes();
                changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert!(
                    check(&changed, &only, &keys).is_err(),
                    "{algorithm} {place}"
                );
            }
            // The header may name what it likes: the key does not do it.
            for other in all.clone().filter(|other| *other != algorithm) {
                let header = json!({"typ": "at+jwt", "alg": other.as_str(), "kid": "a"});
                let token = signer.sign(header.to_string(), good().to_string());
                let any = JwtRules {
                    algorithms: all.clone().collect(),
                    ..rules()
                };
                assert!(
                    check(&token, &any, &keys).is_err(),
                    "{algorithm} as {other}"
                );
            }
        }
    }

    #[test]
    fn the_vectors_of_the_standards_are_judged() {
        let keys = set(&[json!({
            "kty": "EC", "crv": "P-256", "kid": "as-2026-11", "use": "sig", "alg": "ES256",
            "x": "yXvwZhN1hvKqI2-_qOwMt5ZbvGHhFbOl7t-4hlf01KI",
            "y": "x4DKP6PT29pOl2PlB59elahhkgxrg4GA2tZQMM25c8I",
        })]);
        let claims = check(AT_JWT, &rules(), &keys).unwrap();
        assert_eq!(claims.client_id.unwrap().as_str(), "cl_7Qm2v9Tz");
        assert_eq!(claims.scope.to_string(), "ledger.read ledger.write");
        assert_eq!(claims.audience, ["https://api.harbor.test/ledger".into()]);
        assert_eq!(claims.expires_at, Timestamp::from_secs(1_795_349_700));
        assert_eq!(claims.issued_at, Some(NOW));
        assert_eq!(claims.not_before, None);
        assert_eq!(claims.jti.as_deref(), Some("at-6f2c1d"));
        assert!(claims.claims.is_empty());
        for (token, rules, why) in [
            (AT_JWT_BOUND, rules(), "bound to a key"),
            (
                ID_TOKEN,
                rules(),
                "typ is JWT or missing: only accept_typ_jwt lets that in",
            ),
            (
                ID_TOKEN,
                lenient(),
                "an ID token, or another that is no access token",
            ),
            (DPOP_PROOF, lenient(), "of another typ"),
            (CLIENT_ASSERTION, lenient(), "of another typ"),
            (INTROSPECTION_JWT, lenient(), "of another typ"),
        ] {
            assert_eq!(check(token, &rules, &keys).unwrap_err(), why);
        }
    }

    // req: 9068-4-8, 8725-3.2-2, 8725-3.1-4
    #[test]
    fn v01_none_is_no_algorithm_in_any_spelling() {
        let signer = es256();
        let keys = signer.set();
        assert!(check(&signer.good(), &rules(), &keys).is_ok());
        for alg in [
            "none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "RSA1_5", "ES512",
        ] {
            let header = json!({"typ": "at+jwt", "alg": alg, "kid": "a"}).to_string();
            let token = signer.sign(&header, good().to_string());
            let (unsigned, _) = token.rsplit_once('.').unwrap();
            for token in [&token, unsigned, &format!("{unsigned}.")] {
                assert!(check(token, &rules(), &keys).is_err(), "{alg}");
            }
        }
        for header in [
            json!({"typ": "at+jwt", "kid": "a"}),
            json!({"typ": "at+jwt", "kid": "a", "alg": null}),
            json!({"typ": "at+jwt", "kid": "a", "alg": ["ES256"]}),
        ] {
            assert!(with_header(&header).is_err(), "{header}");
        }
        let token = signer.good();
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert!(check(&format!("{unsigned}."), &rules(), &keys).is_err());
        assert!(check(unsigned, &rules(), &keys).is_err());
    }

    // req: 8725-3.1-2
    #[test]
    fn v02_a_code_under_the_public_key_is_no_signature() {
        let signer = Signer::new(JwsAlgorithm::Rs256);
        let jwk = signer.jwk("a");
        let der = rsa().public_key().as_ref().to_vec();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&der);
        let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{base64}\n-----END RSA PUBLIC KEY-----");
        let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
        for secret in [
            pem.clone().into_bytes(),
            format!("{pem}\n").into_bytes(),
            format!("\n {pem}").into_bytes(),
            der,
            modulus,
            jwk["n"].as_str().unwrap().into(),
            jwk.to_string().into_bytes(),
        ] {
            let text = format!(
                "{}.{}",
                encode(r#"{"typ":"at+jwt","alg":"HS256","kid":"a"}"#),
                encode(good().to_string())
            );
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let token = format!("{text}.{}", encode(hmac::sign(&key, text.as_bytes())));
            // Even where somebody lets HMAC in: the key that is there does not do it.
            let both = JwtRules {
                algorithms: vec![JwsAlgorithm::Rs256, JwsAlgorithm::Hs256],
                ..rules()
            };
            for keys in [signer.set(), JwkSet::from_pem(&pem).unwrap()] {
                assert!(check(&token, &rules(), &keys).is_err());
                assert!(check(&token, &both, &keys).is_err());
                assert!(check(&signer.good(), &both, &keys).is_ok());
            }
        }
    }

    // req: 8725-3.1-3
    #[test]
    fn v03_the_type_of_a_key_and_its_alg_say_what_it_checks() {
        for named in JwsAlgorithm::ASYMMETRIC {
            let signer = Signer::new(named);
            let mut jwk = signer.jwk("a");
            jwk["alg"] = named.as_str().into();
            let keys = set(&[jwk]);
            for used in JwsAlgorithm::ASYMMETRIC {
                let header = json!({"typ": "at+jwt", "alg": used.as_str(), "kid": "a"});
                // All RSA algorithms have one key here, and it can sign by each of them.
                let other = Signer::new(used);
                let by = if used == named { &signer } else { &other };
                let token = by.sign(header.to_string(), good().to_string());
                let result = check(&token, &rules(), &keys);
                assert_eq!(
                    result.is_ok(),
                    used == named,
                    "{used} with a key for {named}"
                );
            }
        }
    }

    // req: 9068-4-9, 8725-3.10-2
    #[test]
    fn v04_a_key_that_a_token_brings_along_is_not_used() {
        let (signer, stranger) = (es256(), es256());
        let keys = signer.set();
        for (name, value) in [
            ("jwk", stranger.jwk("a")),
            ("jku", json!("https://evil.test/jwks.json")),
            ("x5u", json!("https://evil.test/x.pem")),
            ("x5c", json!(["MIIB"])),
            ("x5t", json!("AAAA")),
        ] {
            let mut header = signer.header();
            header[name] = value;
            let token = stranger.sign(header.to_string(), good().to_string());
            assert_eq!(check(&token, &rules(), &keys).unwrap_err(), WRONG, "{name}");
            header.as_object_mut().unwrap().remove("kid");
            let token = stranger.sign(header.to_string(), good().to_string());
            assert_eq!(
                check(&token, &rules(), &keys).unwrap_err(),
                UNKNOWN,
                "{name}"
            );
            let token = signer.sign(header.to_string(), good().to_string());
            assert!(check(&token, &rules(), &keys).is_ok(), "{name}");
        }
    }

    // req: 8725-3.10-1
    #[test]
    fn v05_the_name_of_a_key_is_compared_and_nothing_else() {
        let signer = es256();
        let keys = signer.set();
        let named = |kid: Value| {
            let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": kid}).to_string();
            check(&signer.sign(header, good().to_string()), &rules(), &keys)
        };
        assert!(named("a".into()).is_ok());
        for kid in [
            "A",
            "a ",
            "",
            "../../etc/passwd",
            "' or 1=1 --",
            "a\0",
            "a\r\nX: y",
            "%00",
        ] {
            assert_eq!(named(kid.into()).unwrap_err(), UNKNOWN, "{kid}");
        }
        assert_eq!(named("k".repeat(256).into()).unwrap_err(), UNKNOWN);
        for kid in [
            json!("k".repeat(257)),
            json!("k".repeat(10_000)),
            json!(7),
            json!(null),
            json!(true),
            json!(["a"]),
            json!({"a": "a"}),
        ] {
            let why = if kid.is_string() {
                "kid is longer than 256 bytes"
            } else {
                "the header is malformed"
            };
            assert_eq!(named(kid).unwrap_err(), why);
        }
        let long = signer.sign(
            json!({"typ": "at+jwt", "alg": "ES256", "kid": "k".repeat(1 << 20)}).to_string(),
            good().to_string(),
        );
        assert_eq!(
            check(&long, &rules(), &keys).unwrap_err(),
            "longer than 16 KiB"
        );
    }

    // req: 9068-4-3, con-typ-1, 8725-3.11-1, 7519-5.1-1
    #[test]
    fn v12_only_what_calls_itself_an_access_token_is_one() {
        let of = |typ: Value| with_header(&json!({"typ": typ, "alg": "ES256", "kid": "a"}));
        for typ in [
            "at+jwt",
            "at+JWT",
            "AT+JWT",
            "application/at+jwt",
            "Application/at+JWT",
        ] {
            assert!(of(typ.into()).is_ok(), "{typ}");
        }
        let names_the_switch = NEEDS_ACCEPT_TYP_JWT;
        for typ in ["JWT", "jwt", "application/jwt"] {
            assert_eq!(of(typ.into()).unwrap_err(), names_the_switch, "{typ}");
        }
        let missing = json!({"alg": "ES256", "kid": "a"});
        assert_eq!(with_header(&missing).unwrap_err(), names_the_switch);
        for typ in OTHER_TYPES {
            assert_eq!(of(typ.into()).unwrap_err(), "of another typ", "{typ}");
            let header = json!({"typ": typ, "alg": "ES256", "kid": "a"}).to_string();
            assert!(with_raw_header(&header, &lenient()).is_err(), "{typ}");
        }
        for typ in [json!(null), json!(7), json!(["at+jwt"])] {
            assert_eq!(of(typ).unwrap_err(), "the header is malformed");
        }
    }

    const OTHER_TYPES: [&str; 10] = [
        "",
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "client-authentication+jwt",
        "token-introspection+jwt",
        "at+jwt ",
        "id_token",
        "JWT+at",
        "application/application/at+jwt",
    ];

    // req: tol-typ-1, 8725-3.12-1, 9068-5-4
    #[test]
    fn v12_where_typ_says_nothing_what_marks_another_kind_is_refused() {
        assert!(with_typ_jwt(&json!({})).is_ok());
        for header in [r#"{"alg":"ES256"}"#, r#"{"typ":"jwt","alg":"ES256"}"#] {
            assert!(with_raw_header(header, &lenient()).is_ok(), "{header}");
        }
        for changes in [
            json!({"nonce": "n-1"}),
            json!({"at_hash": "12G5TRXixg-UQARUpI8Hg"}),
            json!({"c_hash": "x"}),
            json!({"s_hash": "x"}),
            json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "s"}),
            json!({"htm": "GET", "htu": "https://api.harbor.test/"}),
            json!({"token_introspection": {"active": true}}),
            json!({"typ": "ID"}),
            json!({"typ": "Refresh"}),
            json!({"typ": "Offline"}),
            json!({"typ": "Logout"}),
            json!({"typ": 7}),
            json!({"token_use": "id"}),
            json!({"aud": "cl_7Qm2v9Tz"}),
            json!({"aud": ["cl_7Qm2v9Tz"]}),
            json!({"aud": "cl_7Qm2v9Tz", "client_id": null, "azp": "cl_7Qm2v9Tz"}),
            json!({"aud": null}),
            json!({"aud": []}),
            json!({"client_id": null, "scope": null}),
            json!({"client_id": null, "scope": null, "roles": ["a"]}),
        ] {
            assert!(with_typ_jwt(&changes).is_err(), "{changes}");
        }
        // One of these is enough.
        for mark in ["azp", "cid", "appid", "scp"] {
            let plain = json!({"client_id": null, "scope": null, "jti": null, mark: "x"});
            assert!(with_typ_jwt(&plain).is_ok(), "{mark}");
        }
        // Who says to be an access token by `typ` may say these things.
        assert!(with("nonce", "n-1".into()).is_ok());
        assert!(with("sid", "s".into()).is_ok());
    }

    // req: 9068-4-13
    #[test]
    fn v12_good_tokens_of_keycloak_and_entra_are_taken_where_the_switch_is_on() {
        let keycloak = json!({
            "jti": "onrtro:5d1", "typ": "Bearer", "azp": "portal", "client_id": null, "sid": "b5", "acr": "1",
            "aud": ["ledger", "account"], "realm_access": {"roles": ["user"]}, "scope": "openid email",
            "preferred_username": "ada", "auth_time": 1_795_348_700, "active": true, "username": "ada",
        });
        let claims = with_typ_jwt(&keycloak).unwrap();
        assert_eq!(claims.client_id.unwrap().as_str(), "portal");
        assert_eq!(claims.audience, ["ledger".into(), "account".into()]);
        for name in [
            "typ",
            "azp",
            "sid",
            "realm_access",
            "active",
            "username",
            "groups",
        ] {
            assert!(claims.claims.get(name).is_some(), "{name}");
        }
        let entra = json!({
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "nbf": 1_795_348_800, "azp": "11112222-bbbb",
            "client_id": null, "jti": null, "scope": null, "scp": "access_as_user", "tid": "t", "uti": "u",
            "ver": "2.0", "oid": "o", "rh": "0.AX", "azpacr": "0", "sub": "AAAA_bb-CC",
        });
        let claims = with_typ_jwt(&entra).unwrap();
        assert_eq!(claims.client_id.unwrap().as_str(), "11112222-bbbb");
        assert_eq!((claims.jti, claims.scope.is_empty()), (None, true));
        let bare = json!({"client_id": null, "jti": null, "iat": null});
        let claims = with_typ_jwt(&bare).unwrap();
        assert_eq!((claims.client_id, claims.issued_at), (None, None));
        for required in ["iss", "exp", "aud", "sub"] {
            assert!(
                with_typ_jwt(&json!({ required: null })).is_err(),
                "{required}"
            );
        }
        assert!(with_typ_jwt(&json!({"client_id": null, "azp": 7})).is_err());
    }

    // req: 9068-4-13, tol-aud-2
    #[test]
    fn rfc9068_4_each_required_claim_is_demanded() {
        for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
            let mut payload = good();
            payload.as_object_mut().unwrap().remove(name);
            assert!(
                with_payload(payload.to_string(), &rules()).is_err(),
                "{name}"
            );
        }
        for optional in ["scope", "groups"] {
            let mut payload = good();
            payload.as_object_mut().unwrap().remove(optional);
            assert!(
                with_payload(payload.to_string(), &rules()).is_ok(),
                "{optional}"
            );
        }
        assert!(
            with("azp", "other".into())
                .unwrap()
                .claims
                .get("azp")
                .is_some()
        );
        // `azp` stands for `client_id` with older issuers alone.
        let azp = json!({"client_id": null, "azp": "cl_7Qm2v9Tz"});
        assert!(with_typ_jwt(&azp).is_ok());
        assert!(with_typ_jwt(&json!({"aud": null})).is_err());
        let mut payload = good();
        payload["azp"] = payload
            .as_object_mut()
            .unwrap()
            .remove("client_id")
            .unwrap();
        assert!(with_payload(payload.to_string(), &rules()).is_err());
    }

    // req: 7515-4.1.11-1
    #[test]
    fn v13_whatever_is_critical_is_refused() {
        for more in [
            r#""crit":["exp"],"exp":1"#,
            r#""crit":["b64"],"b64":false"#,
            r#""crit":["b64"]"#,
            r#""crit":[]"#,
            r#""crit":null"#,
            r#""crit":"exp""#,
            r#""b64":false"#,
            r#""b64":true"#,
        ] {
            let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"a",{more}}}"#);
            assert!(with_raw_header(&header, &rules()).is_err(), "{more}");
        }
        let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"a","other":[1]}"#;
        assert!(with_raw_header(header, &rules()).is_ok());
    }

    // req: 9068-4-4, 8725-3.6-1, 8725-3.14-1, 8725-3.15-1
    #[test]
    fn v14_what_is_nested_packed_encrypted_or_not_in_the_compact_form_is_refused() {
        for more in [r#""zip":"DEF""#, r#""cty":"JWT""#, r#""cty":null"#] {
            let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"a",{more}}}"#);
            assert!(with_raw_header(&header, &rules()).is_err(), "{more}");
        }
        let signer = es256();
        let (keys, token) = (signer.set(), signer.good());
        assert!(check(&token, &rules(), &keys).is_ok());
        let parts: Vec<_> = token.split('.').collect();
        let json = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]});
        for other in [
            format!("{token}.AA"),
            format!("{token}.AA.AA"),
            format!("{token}."),
            format!(".{token}"),
            format!("{token}="),
            format!("{token}=="),
            format!(" {token}"),
            format!("{token} "),
            format!("{token}\n"),
            token.replace('.', ""),
            token.replacen('.', "..", 1),
            token
                .replace('-', "+")
                .replace('_', "/")
                .replacen("eyJ", "eyJ+", 1),
            json.to_string(),
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "é.é.é".to_owned(),
        ] {
            assert!(check(&other, &rules(), &keys).is_err(), "{other}");
        }
    }

    // req: 7515-B64-1
    #[test]
    fn rfc7515_2_each_part_has_one_form() {
        let signer = es256();
        let (keys, token) = (signer.set(), signer.good());
        // The last of 86 characters has four bits that mean nothing.
        let (rest, last) = token.split_at(token.len() - 1);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let good = alphabet.chars().filter(|other| {
            let is_same = last.starts_with(*other);
            let holds = check(&format!("{rest}{other}"), &rules(), &keys).is_ok();
            assert!(!holds || is_same, "{other}");
            holds
        });
        assert_eq!(good.count(), 1);
    }

    // req: 7519-4-1, 7515-10.12-1, 7519-7.2-1, 8725-3.7-1
    #[test]
    fn v16_a_repeated_member_and_what_is_no_json_object_are_refused() {
        for header in [
            r#"{"alg":"ES256","alg":"ES256","typ":"at+jwt"}"#,
            r#"{"alg":"none","alg":"ES256","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","typ":"JWT","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","typ":"at+jwt","kid":"a","\u006bid":"a"}"#,
            r#"{"alg":"ES256","typ":"at+jwt","x":1,"x":1}"#,
            r#"{"alg":"ES256","typ":"at+jwt"}{}"#,
            r#"{"alg":"ES256","typ":"at+jwt"} x"#,
            "[]",
            "",
            "null",
            "\u{feff}{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}",
        ] {
            assert!(with_raw_header(header, &rules()).is_err(), "{header}");
        }
        let good = good().to_string();
        let rest = good.strip_prefix('{').unwrap();
        assert!(with_payload(format!("{{\"x\":{{}},{rest}"), &rules()).is_ok());
        for (name, value) in [
            ("iss", r#""https://auth.harbor.test""#),
            ("aud", r#""https://api.harbor.test/ledger""#),
            ("scope", r#""ledger.admin""#),
            ("exp", "9999999999"),
            ("groups", "[]"),
        ] {
            let payload = format!("{{\"{name}\":{value},{rest}");
            assert!(with_payload(&payload, &rules()).is_err(), "{name}");
        }
        let raw = json!({"$serde_json::private::RawValue": good}).to_string();
        for payload in [
            "[]",
            "7",
            "{",
            "\"a\"",
            "null",
            &raw,
            &format!("{good}{{}}"),
        ] {
            assert!(with_payload(payload, &rules()).is_err(), "{payload}");
        }
        // A reader of JSON has a word of its own that makes a text of an object.
        for (name, text) in [
            ("iss", r#""https://auth.harbor.test""#),
            ("aud", r#""https://api.harbor.test/ledger""#),
            ("scope", r#""ledger.admin""#),
        ] {
            let object = json!({ "$serde_json::private::RawValue": text });
            assert!(with(name, object).is_err(), "{name}");
        }
        let more = |count: usize| {
            (0..count)
                .map(|n| format!(r#","x{n}":{n}"#))
                .collect::<String>()
        };
        for (count, is_taken) in [(32, true), (33, false), (1_000, false)] {
            let more = more(count);
            let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"a"{more}}}"#);
            assert_eq!(
                with_raw_header(&header, &rules()).is_ok(),
                is_taken,
                "{count}"
            );
        }
        let mut latin1 = good.replace("usr_50317", "@").into_bytes();
        for byte in &mut latin1 {
            if *byte == b'@' {
                *byte = 0xFF;
            }
        }
        assert!(with_payload(latin1, &rules()).is_err());
        let mut header = br#"{"alg":"ES256","typ":"at+jwt","kid":"a","x":"@"}"#.to_vec();
        header[45] = 0xFF;
        let signer = es256();
        let token = signer.sign(header, &good);
        assert!(check(&token, &rules(), &signer.set()).is_err());
    }

    // req: 9068-4-5, 7519-2-1, 7519-4.1.1-1, 8725-3.8-1
    #[test]
    fn v10_the_issuer_is_compared_byte_for_byte_and_its_keys_are_its_own() {
        for iss in [
            json!("https://auth.harbor.test/"),
            json!("https://AUTH.harbor.test"),
            json!("https://auth.harbor.test.evil.test"),
            json!("https://auth.harbor.tes"),
            json!("http://auth.harbor.test"),
            json!(""),
            json!(["https://auth.harbor.test"]),
            json!(7),
            json!(null),
        ] {
            let refused = with("iss", iss.clone()).unwrap_err();
            assert_eq!(refused, "issued by another issuer", "{iss}");
        }
        let (one, other) = (es256(), es256());
        assert_eq!(
            check(&other.good(), &rules(), &one.set()).unwrap_err(),
            WRONG
        );
    }

    // req: 9068-4-10, 9068-4-14, 7519-4.1.4-1, 7519-4.1.5-1
    #[test]
    fn rfc7519_4_1_times_are_held_to_the_second() {
        let (now, late, early) = (NOW.as_secs(), Some("expired"), Some("not good yet"));
        for (name, value, leeway, refused) in [
            ("exp", now + 1, 0, None),
            ("exp", now, 0, late),
            ("exp", now - 29, 30, None),
            ("exp", now - 30, 30, late),
            ("exp", 0, 30, late),
            ("exp", now - 299, 100_000, None),
            ("exp", now - 300, 100_000, late),
            ("exp", u64::MAX, 30, None),
            ("exp", 1 << 63, 30, None),
            ("nbf", now, 0, None),
            ("nbf", now + 1, 0, early),
            ("nbf", now + 30, 30, None),
            ("nbf", now + 31, 30, early),
            ("nbf", now + 300, 100_000, None),
            ("nbf", now + 301, 100_000, early),
            ("iat", now + 30, 30, None),
            ("iat", now + 31, 30, early),
            ("iat", u64::MAX, 30, early),
            ("iat", 0, 30, None),
        ] {
            let mut payload = good();
            payload[name] = value.into();
            let rules = JwtRules {
                leeway: std::time::Duration::from_secs(leeway),
                ..rules()
            };
            let result = with_payload(payload.to_string(), &rules);
            assert_eq!(result.err(), refused, "{name} {value} {leeway}");
        }
        assert_eq!((rules().leeway.as_secs(), MOST_LEEWAY.as_secs()), (30, 300));
        // A clock that stands at the beginning of time.
        let signer = es256();
        let token = signer.good();
        let early = ForeignToken::parse(&token, &rules(), Timestamp::from_secs(0)).err();
        assert_eq!(early, Some("not good yet"));
        let late = ForeignToken::parse(&token, &rules(), Timestamp::MAX).err();
        assert_eq!(late, Some("expired"));
    }

    // req: 7519-2-2, 7519-4.1.6-1, 7519-4.1.3-2
    #[test]
    fn v15_a_claim_of_another_type_is_not_taken_for_one_that_is_absent() {
        for name in ["exp", "iat", "nbf"] {
            for value in [
                r#""9999999999""#,
                r#""1795349700""#,
                "[]",
                "[1795349700]",
                "{}",
                "true",
                "null",
                "-1",
                "-1.5",
                "-9223372036854775808",
                r#""NaN""#,
                "NaN",
                "1e400",
                "-1e400",
            ] {
                let rest = good()
                    .to_string()
                    .replace(&format!("\"{name}\":"), "\"x\":");
                let rest = rest.strip_prefix('{').unwrap();
                for rules in [rules(), lenient()] {
                    let payload = format!("{{\"{name}\":{value},{rest}");
                    assert!(with_payload(&payload, &rules).is_err(), "{payload}");
                }
            }
        }
        assert!(with("exp", json!(1_795_349_700.5)).is_ok());
        assert_eq!(
            with("exp", json!(1e300)).unwrap_err(),
            "a time is missing or none"
        );
        for name in ["iss", "sub", "client_id", "jti", "scope"] {
            for value in [json!(7), json!(null), json!(["a"]), json!({}), json!(true)] {
                assert!(with(name, value.clone()).is_err(), "{name} {value}");
            }
        }
        for value in [
            json!(7),
            json!(null),
            json!([]),
            json!(["a", 7]),
            json!({}),
            json!([null]),
        ] {
            assert!(with("aud", value.clone()).is_err(), "aud {value}");
            assert!(
                with_typ_jwt(&json!({ "aud": value })).is_err(),
                "aud {value}"
            );
        }
        let two = with("aud", json!(["ledger", "https://B.example"])).unwrap();
        assert_eq!(two.audience, ["ledger".into(), "https://b.example".into()]);
        assert!(with("sub", "".into()).is_err());
        assert!(with("sub", "a\u{0}".into()).is_err());
        assert!(with("client_id", "a\u{7f}".into()).is_err());
        assert!(with("scope", "a\"b".into()).is_err());
    }

    // req: tol-scope-3
    #[test]
    fn tol_scope_3_the_scope_is_the_text_scope_unless_another_claim_is_named() {
        let named = |claim: Option<&str>, changes: &Value| {
            let mut payload = good();
            payload.as_object_mut().unwrap().remove("scope");
            for (name, value) in changes.as_object().unwrap() {
                payload[name] = value.clone();
            }
            let rules = JwtRules {
                scope_claim: claim.map(str::to_owned),
                ..rules()
            };
            with_payload(payload.to_string(), &rules).map(|claims| claims.scope.to_string())
        };
        assert_eq!(
            named(None, &json!({"scope": "b a", "scp": "c"})).unwrap(),
            "a b"
        );
        assert_eq!(named(None, &json!({"scp": "c"})).unwrap(), "");
        assert!(named(None, &json!({"scope": ["a"]})).is_err());
        assert_eq!(
            named(Some("scp"), &json!({"scp": "c d", "scope": "a"})).unwrap(),
            "c d"
        );
        assert_eq!(
            named(Some("scp"), &json!({"scp": ["c", "d"]})).unwrap(),
            "c d"
        );
        assert_eq!(named(Some("scp"), &json!({"scope": "a"})).unwrap(), "");
        assert_eq!(
            named(Some("scope"), &json!({"scope": ["a", "b"]})).unwrap(),
            "a b"
        );
        for scp in [
            json!(7),
            json!([7]),
            json!(["a b"]),
            json!([""]),
            json!({}),
            json!(null),
        ] {
            assert!(named(Some("scp"), &json!({ "scp": scp })).is_err(), "{scp}");
        }
    }

    #[test]
    fn rfc7800_3_1_a_token_that_is_bound_to_a_key_is_not_taken_without_it() {
        for cnf in [json!({"jkt": "x"}), json!({}), json!(null)] {
            assert_eq!(with("cnf", cnf).unwrap_err(), "bound to a key");
        }
    }

    // req: 8725-3.3-1
    #[test]
    fn v36_a_signature_of_another_length_or_of_zeros_is_none() {
        for algorithm in JwsAlgorithm::ASYMMETRIC {
            let signer = Signer::new(algorithm);
            let (keys, token) = (signer.set(), signer.good());
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert!(check(&token, &rules(), &keys).is_ok());
            let of = |signature: &[u8]| {
                check(&format!("{signed}.{}", encode(signature)), &rules(), &keys)
            };
            let zeros = vec![0; signature.len()];
            assert_eq!(of(&zeros).unwrap_err(), WRONG, "{algorithm}");
            let ones = vec![0xFF; signature.len()];
            assert_eq!(of(&ones).unwrap_err(), WRONG, "{algorithm}");
            for wrong in [
                [&signature[..], &[0]].concat(),
                [&[0], &signature[..]].concat(),
                signature[1..].to_vec(),
                signature[..signature.len() - 1].to_vec(),
                signature.repeat(2),
                Vec::new(),
            ] {
                assert!(of(&wrong).is_err(), "{algorithm} {}", wrong.len());
            }
        }
        // RFC 7518 §3.4: both numbers in full, never in DER.
        let signer = es256();
        let token = signer.good();
        let (signed, _) = token.rsplit_once('.').unwrap();
        for length in [0, 63, 65, 70, 71, 72, 96, 8_000] {
            let token = format!("{signed}.{}", encode(vec![0x30; length]));
            let refused = ForeignToken::parse(&token, &rules(), NOW).err();
            let why = "the signature is of another length than those of its alg";
            assert_eq!(refused, Some(why), "{length}");
        }
    }

    // req: 8725-3.5-1
    #[test]
    fn rfc7518_3_2_a_shared_secret_is_as_long_as_its_hash() {
        for (algorithm, size) in [
            (JwsAlgorithm::Hs256, 32),
            (JwsAlgorithm::Hs384, 48),
            (JwsAlgorithm::Hs512, 64),
        ] {
            assert!(JwkSet::shared_secret(algorithm, &vec![7; size]).is_ok());
            assert!(JwkSet::shared_secret(algorithm, &vec![7; size - 1]).is_err());
        }
        for algorithm in JwsAlgorithm::ASYMMETRIC {
            assert!(JwkSet::shared_secret(algorithm, &[7; 64]).is_err());
        }
        let shown = format!(
            "{:?}",
            JwkSet::shared_secret(JwsAlgorithm::Hs256, b"0123456789abcdefghijklmnopqrstuvwxyz")
                .unwrap()
        );
        assert!(
            !shown.contains("0123") && !shown.contains("48, 49"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn v38_no_text_panics_the_parser(token in "[A-Za-z0-9_.{}\":=é -]{0,200}") {
            let _ = ForeignToken::parse(&token, &lenient(), NOW);
        }

        #[test]
        fn v38_no_header_and_no_payload_panics_the_parser(
            header in r#"\{("(alg|kid|typ|crit)":("ES256"|"JWT"|null|-1|[0-9]{1,400}|\[\]),?){0,4}\}?"#,
            payload in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            for header in [header.as_str(), r#"{"alg":"HS256"}"#] {
                let token = format!("{}.{}.{}", encode(header), encode(&payload), encode([0; 32]));
                let rules = JwtRules { algorithms: vec![JwsAlgorithm::Hs256], ..lenient() };
                let _ = ForeignToken::parse(&token, &rules, NOW);
            }
        }

        #[test]
        fn v15_no_number_panics_the_parser(exp in any::<f64>(), iat in any::<i64>(), now in any::<u64>()) {
            let mut payload = good();
            payload["exp"] = json!(exp);
            payload["iat"] = json!(iat);
            let token = format!("{}.{}.{}", encode(r#"{"alg":"HS256"}"#), encode(payload.to_string()), encode([0; 32]));
            let rules = JwtRules { algorithms: vec![JwsAlgorithm::Hs256], ..lenient() };
            let _ = ForeignToken::parse(&token, &rules, Timestamp::from_secs(now));
        }
    }

    const AT_JWT: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6ImFzLTIwMjYtMTEifQ.eyJpc3MiOiJodHRwczovL2F1dGguaGFyYm9yLnRlc3QiLCJzdWIiOiJ1c3JfNTAzMTciLCJhdWQiOiJodHRwczovL2FwaS5oYXJib3IudGVzdC9sZWRnZXIiLCJleHAiOjE3OTUzNDk3MDAsImlhdCI6MTc5NTM0ODgwMCwianRpIjoiYXQtNmYyYzFkIiwiY2xpZW50X2lkIjoiY2xfN1FtMnY5VHoiLCJzY29wZSI6ImxlZGdlci5yZWFkIGxlZGdlci53cml0ZSJ9.jqSoPrdATRIUkah8Hzrg-JsWMRxlOSUp-uNlaflZiQLr2z_RmpEt8BmKh25hsbeiIUlTLKBq2NgfWSVWFo948w";
    const AT_JWT_BOUND: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6ImFzLTIwMjYtMTEifQ.eyJpc3MiOiJodHRwczovL2F1dGguaGFyYm9yLnRlc3QiLCJzdWIiOiJ1c3JfNTAzMTciLCJhdWQiOiJodHRwczovL2FwaS5oYXJib3IudGVzdC9sZWRnZXIiLCJleHAiOjE3OTUzNDk3MDAsImlhdCI6MTc5NTM0ODgwMCwianRpIjoiYXQtNmYyYzFlIiwiY2xpZW50X2lkIjoiY2xfN1FtMnY5VHoiLCJzY29wZSI6ImxlZGdlci5yZWFkIGxlZGdlci53cml0ZSIsImNuZiI6eyJqa3QiOiJNTkN2b2tjcklpTWhObmxJQ3BIVVdrUjdpbFhqa1kxMEltSEh5bTF3TlBRIn19.k-uLjyn8ozxMheehCC4X0pcF9c6eYwCDvmLacn8NC_0q-L9pe446OG4j0sCqUrE92v6OCxvsGlNkH1_fn5a2Bw";
    const ID_TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiIsImtpZCI6ImFzLTIwMjYtMTEifQ.eyJpc3MiOiJodHRwczovL2F1dGguaGFyYm9yLnRlc3QiLCJzdWIiOiJ1c3JfNTAzMTciLCJhdWQiOiJjbF83UW0ydjlUeiIsImV4cCI6MTc5NTM0OTQwMCwiaWF0IjoxNzk1MzQ4ODAwLCJhdXRoX3RpbWUiOjE3OTUzNDg3NjAsIm5vbmNlIjoibmMtOTFhYSIsImF0X2hhc2giOiIxMkc1VFJYaXhfRy1VUUFSVXBJOEhnIn0.rrxTySEEdaLUSfdDruxt4JYbCF9EjIu_Ky2OcVFsVZWw2gRk0pLV3txau3Gh0jVtL3Qpfd8DWGA5iSMxE3kRNQ";
    const DPOP_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoiTWlwOXNaQ000Rm9rV0dfX2ZPVTlibDF1XzVDZGlJT0gyQnMyTzM4cGdxbyIsInkiOiJ5N1h1YXJySmlCMjdhUlVJd1M0dkgweGoyRlBrN3VoV2w5OGNyMk9ZYXJBIn19.eyJqdGkiOiJkcC0wMDAyIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9hcGkuaGFyYm9yLnRlc3QvbGVkZ2VyL2VudHJpZXMiLCJpYXQiOjE3OTUzNDg4MDAsImF0aCI6IjdGekZFLUZBMFFqc1p0cFVxOHEyalMxVXh6bmFSR0huU3RrVWc3TzVIdGcifQ.dvtanpCIB-4pWcHcg-owK_EfhZikr8GV94Xn8uu7zUUY2Cuh3Qw8MPCTUjvZL-QHQoXY1PhOczgv7_UtTzlgTw";
    const CLIENT_ASSERTION: &str = "eyJ0eXAiOiJjbGllbnQtYXV0aGVudGljYXRpb24rand0IiwiYWxnIjoiRVMyNTYiLCJraWQiOiJjbC1rZXktMSJ9.eyJpc3MiOiJjbF9qd3RfMzEiLCJzdWIiOiJjbF9qd3RfMzEiLCJhdWQiOiJodHRwczovL2F1dGguaGFyYm9yLnRlc3QiLCJqdGkiOiJjYS03N2UwIiwiaWF0IjoxNzk1MzQ4ODAwLCJleHAiOjE3OTUzNDg4NjB9.3BzugNl3LbKRt881YU9KwJreCXn8h7-LIUpB4VWy4heFjnabhtKtBJF4oHdOdGVc_swq6UI411bo2Qms_GNAbg";
    const INTROSPECTION_JWT: &str = "eyJ0eXAiOiJ0b2tlbi1pbnRyb3NwZWN0aW9uK2p3dCIsImFsZyI6IkVTMjU2Iiwia2lkIjoiYXMtMjAyNi0xMSJ9.eyJpc3MiOiJodHRwczovL2F1dGguaGFyYm9yLnRlc3QiLCJhdWQiOiJyc19sZWRnZXJfMDEiLCJpYXQiOjE3OTUzNDg4MDAsInRva2VuX2ludHJvc3BlY3Rpb24iOnsiYWN0aXZlIjp0cnVlLCJjbGllbnRfaWQiOiJjbF83UW0ydjlUeiIsInNjb3BlIjoibGVkZ2VyLnJlYWQiLCJzdWIiOiJ1c3JfNTAzMTciLCJhdWQiOiJodHRwczovL2FwaS5oYXJib3IudGVzdC9sZWRnZXIiLCJleHAiOjE3OTUzNDk3MDAsImlhdCI6MTc5NTM0ODgwMCwiaXNzIjoiaHR0cHM6Ly9hdXRoLmhhcmJvci50ZXN0IiwidG9rZW5fdHlwZSI6IkJlYXJlciJ9fQ.lb8bnZAyU8IdL36JpyNEKHFiTiWsf6qynF36q0oy5bt-INN7V4PceDKm14X28vFr79pnU_4_9vFBJaqHxq4CYw";
}
