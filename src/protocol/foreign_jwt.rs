//! JWT access tokens of other issuers: which are taken for one (RFC 9068 §4, RFC 8725 §3), and what they say.
//!
//! A token is judged from the cheap to the dear: its form, its header, its claims, and only then its signature. Until that holds,
//! nobody is given what it says.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::bearer::LONGEST;
use super::claims::{names, text, time};
use super::jwk_set::{JwkSet, LONGEST_KID, NotSigned};
use super::jws::{Reason, Unverified, is_typ};
use crate::types::{
    Audience, Claims, ClientId, IssuerUrl, JwsAlgorithm, Scope, Subject, Timestamp, VerificationKey,
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
        }
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
        let algorithm = match token.header("alg") {
            Some(Value::String(alg)) => JwsAlgorithm::from_name(alg),
            _ => None,
        };
        let algorithm = algorithm
            .filter(|algorithm| rules.algorithms.contains(algorithm))
            .ok_or("alg is not one of those accepted")?;
        let kid = match token.header("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= LONGEST_KID => Some(kid.clone()),
            Some(_) => return Err("kid is no text of 256 bytes at most"),
        };
        let is_explicit = is_explicit(token.header("typ"), rules.accept_typ_jwt)?;
        if !signature_fits(algorithm, token.encoded_signature().len()) {
            return Err("the signature is of another length than those of its alg");
        }
        let mut members = token.payload()?;
        if !is_explicit {
            is_no_other_kind(&members)?;
        }
        let claims = ForeignClaims::read(&mut members, rules, now)?;
        Ok(Self {
            algorithm,
            kid,
            signed: token.signed(),
            signature: token.signature()?,
            claims: ForeignClaims {
                claims: Claims::of_token(members),
                ..claims
            },
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

/// Whether a token says by itself to be an access token (RFC 9068 §2.1), or only may be one.
fn is_explicit(typ: Option<&Value>, accept_typ_jwt: bool) -> Result<bool, Reason> {
    let may_be_one = match typ {
        None => true,
        Some(Value::String(typ)) if is_typ(typ, "at+jwt") => return Ok(true),
        Some(Value::String(typ)) => is_typ(typ, "JWT"),
        Some(_) => false,
    };
    match (may_be_one, accept_typ_jwt) {
        (true, true) => Ok(false),
        (true, false) => Err("typ is JWT or missing: only accept_typ_jwt lets that in"),
        (false, _) => Err("of another typ"),
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

/// RFC 8725 §3.12: of tokens that one key signs, and that do not say their kind, those of other kinds are told apart by what they say.
fn is_no_other_kind(members: &Map<String, Value>) -> Result<(), Reason> {
    const OTHER: Reason = "an ID token, or another that is no access token";
    if OF_OTHER_KINDS
        .iter()
        .any(|name| members.contains_key(*name))
    {
        return Err(OTHER);
    }
    // Keycloak and Cognito say the kind in a claim of their own.
    for (claim, access) in [
        ("typ", &["Bearer", "JWT", "at+jwt"][..]),
        ("token_use", &["access"]),
    ] {
        let is_access = |kind: &str| access.iter().any(|known| known.eq_ignore_ascii_case(kind));
        if !members
            .get(claim)
            .is_none_or(|kind| kind.as_str().is_some_and(is_access))
        {
            return Err(OTHER);
        }
    }
    // An ID token is for the client that asked for it, and for nobody else.
    let only = match members.get("aud") {
        Some(Value::Array(names)) => match names.as_slice() {
            [only] => Some(only),
            _ => None,
        },
        aud => aud,
    };
    let is_client = |name| only.is_some() && members.get(name) == only;
    if is_client("client_id") || is_client("azp") {
        return Err("meant for its client alone, as an ID token is");
    }
    Ok(())
}

impl ForeignClaims {
    /// Takes what it knows out of the members, and leaves the others.
    fn read(
        members: &mut Map<String, Value>,
        rules: &JwtRules,
        now: Timestamp,
    ) -> Result<Self, Reason> {
        let leeway = rules.leeway.min(MOST_LEEWAY);
        let mut take = |name| members.remove(name);
        if take("iss").as_ref().and_then(Value::as_str) != Some(rules.issuer.as_str()) {
            return Err("issued by another issuer");
        }
        let expires_at = time(take("exp"))?;
        let mut moment = |name| take(name).map(|moment| time(Some(moment))).transpose();
        let (issued_at, not_before) = (moment("iat")?, moment("nbf")?);
        // RFC 7519 §4.1.4: "on or after"
        if expires_at.saturating_add(leeway) <= now {
            return Err("expired");
        }
        if issued_at.max(not_before) > Some(now.saturating_add(leeway)) {
            return Err("not good yet");
        }
        // RFC 7800 §3.1: good only with a proof of another key, which nobody has asked for here.
        if take("cnf").is_some() {
            return Err("bound to a key");
        }
        let subject = text(take("sub")).map_err(|_| "sub is missing or no text")?;
        let audience = names(take("aud"))?;
        let jti = take("jti").map(|jti| text(Some(jti))).transpose();
        let jti = jti.map_err(|_| "jti is no text")?;
        let client_id = match take("client_id") {
            Some(client_id) => Some(text(Some(client_id)).map_err(|_| "client_id is no text")?),
            None if rules.accept_typ_jwt => match members.get("azp") {
                Some(Value::String(azp)) => Some(azp.clone()),
                Some(_) => return Err("azp is no text"),
                None => None,
            },
            None => None,
        };
        // RFC 9068 §2.2
        if !rules.accept_typ_jwt && (client_id.is_none() || issued_at.is_none() || jti.is_none()) {
            return Err("client_id, iat or jti is missing");
        }
        let client_id = client_id.map(|client_id| client_id.parse()).transpose();
        Ok(Self {
            subject: Subject::new(subject).map_err(|_| "sub is malformed")?,
            client_id: client_id.map_err(|_| "client_id is malformed")?,
            scope: scope(members, rules.scope_claim.as_deref())?,
            audience: audience.iter().map(|name| name.as_str().into()).collect(),
            expires_at,
            issued_at,
            not_before,
            jti,
            claims: Claims::none(),
        })
    }
}

/// RFC 8693 §4.2: a text. In a claim that was named for it also a list of texts.
fn scope(members: &mut Map<String, Value>, claim: Option<&str>) -> Result<Scope, Reason> {
    const MALFORMED: Reason = "the scope is malformed";
    match members.remove(claim.unwrap_or("scope")) {
        None => Ok(Scope::empty()),
        Some(Value::String(scope)) => scope.parse().map_err(|_| MALFORMED),
        Some(Value::Array(scopes)) if claim.is_some() => {
            let token = |scope: &Value| scope.as_str().and_then(|scope| scope.parse().ok());
            let scopes: Option<Vec<_>> = scopes.iter().map(token).collect();
            scopes
                .map(|scopes| scopes.into_iter().collect())
                .ok_or(MALFORMED)
        }
        Some(_) => Err(MALFORMED),
    }
}
