//! A token of the issuer, good or bad (RFC 9068 §2).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::Idp;
use crate::types::{Secret, Timestamp};

/// Another issuer, and another resource.
const ELSEWHERE: &str = "https://elsewhere.example";

const MINUTE: Duration = Duration::from_secs(60);

/// Beyond what clocks may differ by.
const LONG: Duration = Duration::from_secs(10 * 60);

/// A token to be minted; made by [`Idp::token`].
///
/// Without a further word it is a good one of RFC 9068: of the issuer's own key, for its resource, for 15 minutes, of the client
/// `test-client`, with no scope. It is minted as often as [`mint`](Self::mint) is called on a clone, each time another one.
#[derive(Debug, Clone)]
#[must_use = "nothing is minted yet"]
pub struct IdpToken {
    idp: Idp,
    typ: String,
    signature: Signature,
    is_id_token: bool,
    issuer: String,
    subject: String,
    audience: Vec<String>,
    client_id: String,
    scope: Option<String>,
    expires_in: Duration,
    shift: Shift,
    claims: Vec<(String, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    Good,
    /// By another key than the one it names.
    Wrong,
    /// By a key that the issuer has never published.
    Unknown,
    None,
}

/// Whether it is out of its time.
#[derive(Debug, Clone, Copy)]
enum Shift {
    None,
    Expired,
    NotYet,
}

impl IdpToken {
    pub(super) fn new(idp: Idp, subject: String) -> Self {
        Self {
            typ: "at+jwt".to_owned(),
            signature: Signature::Good,
            is_id_token: false,
            issuer: idp.url().to_string(),
            subject,
            audience: vec![idp.audience().to_owned()],
            client_id: "test-client".to_owned(),
            scope: None,
            expires_in: Duration::from_secs(15 * 60),
            shift: Shift::None,
            claims: Vec::new(),
            idp,
        }
    }

    /// Whom it is meant for, one or several, instead of the issuer's resource.
    pub fn audience(mut self, audience: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.audience = audience.into_iter().map(Into::into).collect();
        self
    }

    /// Its scope, with spaces between.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// The client it is issued to. Where a client speaks for itself, that is its subject too.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// A further claim, or one instead of that which it would have; `Value::Null` leaves one out. For `acr` and `auth_time`, for roles, and
    /// for what no good issuer says.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.push((name.into(), value.into()));
        self
    }

    /// How long it lives from the moment in which it is minted, in whole seconds. Default: 15 minutes.
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expires_in = time;
        self
    }

    /// The type in its header. Default: `at+jwt` (RFC 9068 §2.1).
    pub fn typ(mut self, typ: impl Into<String>) -> Self {
        self.typ = typ.into();
        self
    }

    /// Bad: it has expired ten minutes ago.
    pub fn expired(mut self) -> Self {
        self.shift = Shift::Expired;
        self
    }

    /// Bad: it is good in ten minutes, and not before (`nbf`).
    pub fn not_yet(mut self) -> Self {
        self.shift = Shift::NotYet;
        self
    }

    /// Bad: it is meant for another resource.
    pub fn wrong_audience(self) -> Self {
        self.audience([ELSEWHERE])
    }

    /// Bad: it names another issuer.
    pub fn wrong_issuer(mut self) -> Self {
        self.issuer = ELSEWHERE.to_owned();
        self
    }

    /// Bad: it names the issuer's key, and another one has signed it, a minute ago: what is newer than the keys that a resource server has
    /// fetched may be signed by a new key of the same name, and after three such tokens it answers 503. As an opaque token: one that the
    /// issuer does not know.
    pub fn wrong_signature(mut self) -> Self {
        self.signature = Signature::Wrong;
        self
    }

    /// Bad: it names a key that the issuer does not publish, which has signed it, a minute ago, as with
    /// [`wrong_signature`](Self::wrong_signature). As an opaque token: one that the issuer does not know.
    pub fn unknown_key(mut self) -> Self {
        self.signature = Signature::Unknown;
        self
    }

    /// Bad: it is an ID token of the issuer (OpenID Connect Core §2), for the client. As an opaque token: one that the issuer does not know.
    pub fn id_token(mut self) -> Self {
        self.is_id_token = true;
        self.typ("JWT")
    }

    /// Bad: its `alg` is `none`, and its signature empty (RFC 8725 §2.1). As an opaque token: one that the issuer does not know.
    pub fn unsigned(mut self) -> Self {
        self.signature = Signature::None;
        self
    }

    /// Mints it as a JWT, now by the issuer's clock.
    ///
    /// # Panics
    /// If the operating system has no random bytes.
    #[must_use]
    pub fn mint(self) -> String {
        let claims = self.all_claims();
        let (key, stranger) = (self.idp.key(), self.idp.stranger());
        let (named, signer) = match self.signature {
            Signature::Good | Signature::None => (&key, &key),
            Signature::Wrong => (&key, &stranger),
            Signature::Unknown => (&stranger, &stranger),
        };
        let alg = match self.signature {
            Signature::None => "none",
            _ => signer.algorithm().as_str(),
        };
        let header = json!({"typ": self.typ, "alg": alg, "kid": named.kid()});
        let encode = |json: String| URL_SAFE_NO_PAD.encode(json);
        let payload = Value::Object(claims.clone()).to_string();
        let signed = format!("{}.{}", encode(header.to_string()), encode(payload));
        let signature = match self.signature {
            Signature::None => String::new(),
            _ => {
                let signature = signer.sign(signed.as_bytes());
                URL_SAFE_NO_PAD.encode(signature.expect("the key is whole"))
            }
        };
        self.remembered(format!("{signed}.{signature}"), claims)
    }

    /// Mints it as a text without meaning, `idp_` and 43 characters, now by the issuer's clock. It has to be asked what it is:
    /// [`Idp::opaque_issuer`].
    ///
    /// # Panics
    /// If the operating system has no random bytes.
    #[cfg(feature = "introspection")]
    #[must_use]
    pub fn mint_opaque(self) -> String {
        let mut claims = self.all_claims();
        claims.insert("token_type".to_owned(), "Bearer".into());
        let token = Secret::generate_with_prefix("idp_");
        let token = token.expect("the operating system has random bytes");
        self.remembered(token.expose().to_owned(), claims)
    }

    /// The issuer knows what it has issued, and that alone.
    fn remembered(&self, token: String, claims: Map<String, Value>) -> String {
        if self.signature == Signature::Good && !self.is_id_token {
            self.idp.remember(&token, claims);
        }
        token
    }

    fn all_claims(&self) -> Map<String, Value> {
        let (issued_at, not_before, expires_at) = self.times();
        let claims = match self.is_id_token {
            true => json!({
                "aud": self.client_id,
                "auth_time": issued_at,
                "nonce": random_id(),
            }),
            false => json!({
                "aud": self.audience,
                "client_id": self.client_id,
                "scope": self.scope,
                "jti": random_id(),
            }),
        };
        let of_all = json!({
            "iss": self.issuer,
            "sub": self.subject,
            "iat": issued_at,
            "nbf": not_before,
            "exp": expires_at,
        });
        let mut members = Map::new();
        for part in [of_all, claims] {
            if let Value::Object(part) = part {
                members.extend(part);
            }
        }
        members.extend(self.claims.iter().cloned());
        members.retain(|_, value| !value.is_null());
        members
    }

    /// `iat`, `nbf` and `exp`.
    fn times(&self) -> (Timestamp, Option<Timestamp>, Timestamp) {
        let now = self.idp.now();
        let after = |moment: Timestamp| moment.saturating_add(self.expires_in);
        let before = |moment: Timestamp, time: Duration| {
            Timestamp::from_secs(moment.as_secs().saturating_sub(time.as_secs()))
        };
        match self.shift {
            Shift::None if matches!(self.signature, Signature::Wrong | Signature::Unknown) => {
                (before(now, MINUTE), None, after(now))
            }
            Shift::None => (now, None, after(now)),
            Shift::NotYet => {
                let later = now.saturating_add(LONG);
                (now, Some(later), after(later))
            }
            Shift::Expired => {
                let expired = before(now, LONG);
                (before(expired, self.expires_in), None, expired)
            }
        }
    }
}

fn random_id() -> String {
    let id = Secret::generate().expect("the operating system has random bytes");
    id.expose().to_owned()
}
