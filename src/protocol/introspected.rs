//! What an issuer says about a token when it is asked (RFC 7662 §2.2).
//!
//! Left out on purpose: signed answers (RFC 9701).

use std::time::Duration;

use serde_json::{Map, Value};

use super::jws::{Members, Reason};
use crate::types::{Audience, Claims, ClientId, IssuerUrl, Scope, Subject, Timestamp};

/// By how much the clock of the issuer may be ahead of ours. It is the issuer's clock that has decided: this is for tokens that it calls
/// active long before their time.
const LEEWAY: Duration = Duration::from_secs(30);

/// What is taken from issuers that do not keep to RFC 7662 §2.2. Default: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tolerance {
    /// A `scope` that is an array, and a `scp` where there is no `scope`.
    pub(crate) scope_array: bool,
    /// Times with a fraction, or as texts.
    pub(crate) loose_times: bool,
}

/// What the issuer says.
#[derive(Debug)]
pub(crate) enum Introspected {
    Active(Box<Active>),
    /// It is none of the issuer's live access tokens, or none that can be used as a bearer token.
    NotActive(Reason),
}

/// What it says about a token that may be used.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) subject: Subject,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) scope: Scope,
    /// `None`: the issuer does not say whom it is meant for.
    pub(crate) audience: Option<Vec<Audience>>,
    pub(crate) expires_at: Timestamp,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) jti: Option<String>,
    pub(crate) claims: Claims,
}

/// The answer is none by RFC 7662 §2.2: it says nothing about the token, neither good nor bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the issuer's answer is malformed: {member} {fault}")]
pub(crate) struct Malformed {
    member: &'static str,
    fault: &'static str,
}

const NO_TEXT: &str = "is no text";

/// Reads an answer of status 200.
pub(crate) fn read(
    body: &[u8],
    issuer: &IssuerUrl,
    tolerance: Tolerance,
    now: Timestamp,
) -> Result<Introspected, Malformed> {
    let Members(members) = serde_json::from_slice(body).map_err(|_| Malformed {
        member: "it",
        fault: "is no JSON object, or repeats a member",
    })?;
    let mut answer = Answer { members, tolerance };
    match answer.members.remove("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            return Ok(Introspected::NotActive("the issuer says so"));
        }
        // A text "false" would be true to some. RFC 7662 §2.2: "Boolean indicator"
        _ => {
            return Err(Malformed {
                member: "active",
                fault: "is no boolean",
            });
        }
    }
    // All of it is read before any of it is judged: what is malformed is never a reason to refuse the token.
    let (iss, token_type) = (answer.text("iss")?, answer.text("token_type")?);
    let (sub, client_id, jti) = (
        answer.text("sub")?,
        answer.text("client_id")?,
        answer.text("jti")?,
    );
    let (exp, iat, nbf) = (
        answer.time("exp")?,
        answer.time("iat")?,
        answer.time("nbf")?,
    );
    let (audience, scope) = (answer.audience()?, answer.scope()?);
    let judged = || {
        if iss.is_some_and(|iss| iss != issuer.as_str()) {
            return Err("issued by another issuer");
        }
        // RFC 6749 §5.1: "Value is case insensitive."
        if token_type.is_some_and(|token_type| !token_type.eq_ignore_ascii_case("Bearer")) {
            return Err("of another token_type than Bearer");
        }
        // RFC 7800 §3.1: good only with a proof of another key, which nobody has asked for here.
        if answer.members.contains_key("cnf") {
            return Err("bound to a key");
        }
        if answer.is_for_something_else() {
            return Err("a refresh token or an ID token");
        }
        if nbf.is_some_and(|nbf| nbf > now.saturating_add(LEEWAY)) {
            return Err("not good yet");
        }
        // A client that speaks for itself is its own subject (RFC 9068 §2.2).
        let subject = sub.or_else(|| client_id.clone());
        let client_id = client_id.map(|id| id.parse()).transpose();
        Ok(Active {
            subject: Subject::new(subject.ok_or("speaks for nobody")?)
                .map_err(|_| "sub is malformed")?,
            client_id: client_id.map_err(|_| "client_id is malformed")?,
            scope: scope.parse().map_err(|_| "scope is malformed")?,
            audience,
            expires_at: exp.unwrap_or(Timestamp::MAX),
            issued_at: iat,
            jti,
            claims: Claims::of_token(answer.members),
        })
    };
    Ok(match judged() {
        Ok(active) => Introspected::Active(Box::new(active)),
        Err(reason) => Introspected::NotActive(reason),
    })
}

/// The members that were not read yet.
struct Answer {
    members: Map<String, Value>,
    tolerance: Tolerance,
}

impl Answer {
    fn text(&mut self, member: &'static str) -> Result<Option<String>, Malformed> {
        match self.members.remove(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Malformed {
                member,
                fault: NO_TEXT,
            }),
        }
    }

    /// Whole seconds since the epoch.
    fn time(&mut self, member: &'static str) -> Result<Option<Timestamp>, Malformed> {
        let Some(value) = self.members.remove(member) else {
            return Ok(None);
        };
        let loose = self.tolerance.loose_times;
        let time = match &value {
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(secs), _) => Some(Timestamp::from_secs(secs)),
                (None, Some(_)) => Some(Timestamp::from_secs(0)), // before 1970 is long ago
                (None, None) if loose => number.as_f64().and_then(seconds),
                (None, None) => None,
            },
            Value::String(text) if loose => text.parse().ok().and_then(seconds),
            _ => None,
        };
        time.map(Some).ok_or(Malformed {
            member,
            fault: "is no whole number (accept_loose_times takes texts and fractions)",
        })
    }

    /// A text, or an array of texts.
    fn audience(&mut self) -> Result<Option<Vec<Audience>>, Malformed> {
        let audience = match self.members.remove("aud") {
            None => return Ok(None),
            Some(Value::String(one)) => Some(vec![Audience::from(one.as_str())]),
            Some(Value::Array(values)) => {
                texts(&values).map(|texts| texts.map(Audience::from).collect())
            }
            Some(_) => None,
        };
        audience.map(Some).ok_or(Malformed {
            member: "aud",
            fault: "is neither a text nor an array of texts",
        })
    }

    fn scope(&mut self) -> Result<String, Malformed> {
        let tolerant = self.tolerance.scope_array;
        let scope = self.members.remove("scope");
        let value = match scope {
            None if tolerant => self.members.remove("scp"),
            scope => scope,
        };
        let scope = match value {
            None => Some(String::new()),
            Some(Value::String(scope)) => Some(scope),
            Some(Value::Array(values)) if tolerant => {
                texts(&values).map(|texts| texts.collect::<Vec<_>>().join(" "))
            }
            Some(_) => None,
        };
        scope.ok_or(Malformed {
            member: "scope",
            fault: "is no text (accept_scope_array takes arrays)",
        })
    }

    /// Some issuers call every token of theirs active, and say what it is for in one of these members.
    fn is_for_something_else(&self) -> bool {
        let says = |member: &str, others: &[&str]| {
            let text = self.members.get(member).and_then(Value::as_str);
            text.is_some_and(|text| others.iter().any(|other| text.eq_ignore_ascii_case(other)))
        };
        says("token_use", &["refresh_token", "refresh", "id_token", "id"])
            || says("typ", &["refresh", "offline", "id", "logout"])
    }
}

fn texts(values: &[Value]) -> Option<impl Iterator<Item = &str>> {
    let are_texts = values.iter().all(Value::is_string);
    are_texts.then(|| values.iter().filter_map(Value::as_str))
}

fn seconds(number: f64) -> Option<Timestamp> {
    let time = Duration::try_from_secs_f64(number).ok()?;
    Some(Timestamp::from_secs(time.as_secs()))
}

/// Whether an error says that the issuer tells nothing about tokens of this kind (the code is that of RFC 7009 §2.2.1): of one that it gives
/// out as a JWT, for instance.
pub(crate) fn is_unsupported_token_type(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Error {
        error: String,
    }
    serde_json::from_slice(body).is_ok_and(|Error { error }| error == "unsupported_token_type")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Active, Introspected, Malformed, Reason, Tolerance, read};
    use crate::types::{IssuerUrl, Timestamp};

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);
    const LOOSE: Tolerance = Tolerance {
        scope_array: true,
        loose_times: true,
    };

    fn issuer() -> IssuerUrl {
        "https://as.example".parse().unwrap()
    }

    fn raw(text: &str, tolerance: Tolerance) -> Result<Introspected, Malformed> {
        read(text.as_bytes(), &issuer(), tolerance, NOW)
    }

    /// A good answer with other members.
    fn with(members: Value) -> String {
        let mut answer = json!({"active": true, "sub": "ada", "client_id": "app"});
        let Value::Object(mut members) = members else {
            panic!("members are an object")
        };
        answer.as_object_mut().unwrap().append(&mut members);
        answer.to_string()
    }

    fn judged(members: Value, tolerance: Tolerance) -> Result<Box<Active>, Reason> {
        match raw(&with(members), tolerance).unwrap() {
            Introspected::Active(active) => Ok(active),
            Introspected::NotActive(reason) => Err(reason),
        }
    }

    fn active(members: Value) -> Box<Active> {
        judged(members, Tolerance::default()).unwrap()
    }

    #[track_caller]
    fn malformed(members: Value) {
        let text = with(members);
        assert!(raw(&text, Tolerance::default()).is_err(), "{text}");
    }

    #[test]
    fn v28_active_is_a_boolean_or_the_answer_says_nothing() {
        for tolerance in [Tolerance::default(), LOOSE] {
            let read = |text: &str| raw(text, tolerance);
            assert!(matches!(
                read(r#"{"active":false}"#),
                Ok(Introspected::NotActive("the issuer says so"))
            ));
            for other in [
                r#"{"active":"true","sub":"ada"}"#,
                r#"{"active":"false"}"#,
                r#"{"active":1,"sub":"ada"}"#,
                r#"{"active":0}"#,
                r#"{"active":null}"#,
                r#"{"active":[true],"sub":"ada"}"#,
                r#"{"Active":true,"sub":"ada"}"#,
                r#"{"sub":"ada"}"#,
                "{}",
                "true",
                "[]",
                "",
                "<html>",
                r#"{"active":true,"sub":"ada"} "#.trim_end_matches("} "),
                r#"{"active":true,"sub":"ada"}{"active":true}"#,
            ] {
                assert!(read(other).is_err(), "{other}");
            }
        }
    }

    #[test]
    fn v16_a_member_that_stands_twice_makes_the_answer_worthless() {
        for twice in [
            r#"{"active":false,"active":true,"sub":"ada"}"#,
            r#"{"active":true,"active":true,"sub":"ada"}"#,
            r#"{"active":true,"sub":"ada","sub":"bob"}"#,
            r#"{"active":true,"sub":"ada","aud":"a","aud":"b"}"#,
            r#"{"active":true,"sub":"ada","a":1,"\u0061":1}"#,
        ] {
            assert!(raw(twice, LOOSE).is_err(), "{twice}");
        }
    }

    #[test]
    fn rfc7662_2_2_what_is_said_is_read_and_the_rest_is_kept_as_claims() {
        let token = active(json!({
            "iss": "https://as.example", "aud": ["a", "https://b.example"], "scope": "x  y", "token_type": "bearer",
            "exp": 1_795_349_700, "iat": 1_795_348_800, "nbf": 1_795_348_800, "jti": "at-6f2c1d",
            "username": "Ada", "acr": "2", "tower_oauth_ref": "theirs", "groups": ["g"],
        }));
        assert_eq!(token.subject.as_str(), "ada");
        assert_eq!(token.client_id.unwrap().as_str(), "app");
        assert_eq!(token.scope.to_string(), "x y");
        assert_eq!(
            token.audience.unwrap(),
            ["a".into(), "https://b.example".into()]
        );
        assert_eq!(token.expires_at.as_secs(), 1_795_349_700);
        assert_eq!(token.issued_at.unwrap(), NOW);
        assert_eq!(token.jti.as_deref(), Some("at-6f2c1d"));
        let claims = Value::Object(token.claims.as_map().clone());
        assert_eq!(
            claims,
            json!({"username": "Ada", "acr": "2", "tower_oauth_ref": "theirs", "groups": ["g"]})
        );
    }

    #[test]
    fn rfc7662_2_2_only_active_is_required_and_aud_may_be_one_text() {
        let token = active(json!({}));
        assert_eq!(token.expires_at, Timestamp::MAX);
        assert!(token.scope.is_empty() && token.audience.is_none());
        let token = active(json!({"aud": "a"}));
        assert_eq!(token.audience.unwrap(), ["a".into()]);
        assert_eq!(active(json!({"aud": []})).audience.unwrap(), []);
        // A client that speaks for itself.
        let Ok(Introspected::Active(token)) =
            raw(r#"{"active":true,"client_id":"job"}"#, Tolerance::default())
        else {
            panic!("it is good")
        };
        assert_eq!(token.subject.as_str(), "job");
    }

    #[test]
    fn v15_a_member_of_the_wrong_type_is_never_as_absent() {
        for member in [
            "iss",
            "sub",
            "client_id",
            "token_type",
            "jti",
            "scope",
            "aud",
        ] {
            for value in [json!(null), json!(1), json!(true), json!({}), json!([1])] {
                malformed(json!({member: value}));
            }
        }
        for member in ["exp", "iat", "nbf"] {
            for value in [
                json!(null),
                json!("1795349700"),
                json!(1.5),
                json!(true),
                json!([]),
                json!({}),
            ] {
                malformed(json!({member: value}));
            }
        }
        assert!(
            raw(
                r#"{"active":true,"sub":"ada","exp":1e400}"#,
                Tolerance::default()
            )
            .is_err()
        );
        malformed(json!({"scope": ["x", "y"]}));
    }

    // req: 7662-PROJ-9, tol-scope-3
    #[test]
    fn tol_scope_3_arrays_and_loose_times_are_taken_where_the_host_says_so() {
        let loose = |members| judged(members, LOOSE).unwrap();
        assert_eq!(loose(json!({"scope": ["y", "x"]})).scope.to_string(), "x y");
        assert_eq!(loose(json!({"scp": ["y", "x"]})).scope.to_string(), "x y");
        assert_eq!(loose(json!({"scp": "y x"})).scope.to_string(), "x y");
        let both = loose(json!({"scope": "x", "scp": "y"}));
        assert_eq!(both.scope.to_string(), "x");
        let strict = active(json!({"scp": "y x"}));
        assert!(strict.scope.is_empty() && strict.claims.get("scp").is_some());
        malformed(json!({"scope": ["y", "x"]}));

        for exp in [
            json!(1_795_349_700.9),
            json!("1795349700"),
            json!("1795349700.9"),
        ] {
            let members = json!({"exp": exp});
            malformed(members.clone());
            assert_eq!(loose(members).expires_at.as_secs(), 1_795_349_700);
        }
        for exp in [
            json!("soon"),
            json!(""),
            json!("NaN"),
            json!("inf"),
            json!(-1.5),
            json!(null),
        ] {
            let text = with(json!({"exp": exp}));
            assert!(raw(&text, LOOSE).is_err(), "{text}");
        }
        assert!(raw(&with(json!({"scope": ["x", 1]})), LOOSE).is_err());
    }

    // req: 7662-PROJ-5
    #[test]
    fn rfc7662_4_what_no_bearer_token_of_this_issuer_says_is_refused_though_active() {
        let refused = |members: Value| judged(members.clone(), LOOSE).err().ok_or(members);
        for members in [
            json!({"iss": "https://other.example"}),
            json!({"iss": "https://as.example/"}),
            json!({"iss": ""}),
            json!({"token_type": "DPoP"}),
            json!({"token_type": "refresh_token"}),
            json!({"token_type": ""}),
            json!({"cnf": {"jkt": "x"}}),
            json!({"cnf": null}),
            json!({"nbf": 1_795_348_831}),
            json!({"token_use": "refresh_token"}),
            json!({"token_use": "id"}),
            json!({"typ": "Refresh"}),
            json!({"typ": "ID"}),
            json!({"sub": ""}),
            json!({"sub": "a\nb"}),
            json!({"sub": "a".repeat(256)}),
            json!({"client_id": "é"}),
            json!({"scope": "a\"b"}),
        ] {
            assert!(refused(members).is_ok());
        }
        for members in [
            json!({"iss": "https://as.example", "token_type": "BEARER", "nbf": 1_795_348_830}),
            json!({"token_use": "access_token", "typ": "Bearer"}),
        ] {
            assert!(judged(members, Tolerance::default()).is_ok());
        }
        let nobody = raw(r#"{"active":true}"#, Tolerance::default());
        assert!(matches!(nobody, Ok(Introspected::NotActive(_))));
    }

    #[test]
    fn s21_times_from_any_age_are_read_without_a_panic() {
        let expires = |exp: Value| active(json!({"exp": exp})).expires_at;
        assert_eq!(expires(json!(u64::MAX)), Timestamp::MAX);
        assert_eq!(expires(json!(i64::MIN)).as_secs(), 0);
        assert_eq!(expires(json!(0)).as_secs(), 0);
        assert!(judged(json!({"nbf": u64::MAX}), LOOSE).is_err());
    }
}
