//! Client metadata, as it is sent and as it is answered (RFC 7591 §2, §3.2.1).

use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::{ErrorCode, OAuthError};
use super::json_object;
use crate::types::{
    Client, ClientId, Digest, GrantType, RedirectUri, Scope, Secret, Timestamp, shows_something,
};

/// The most redirection URIs, and the longest text of any other member.
const LIST: usize = 20;
const TEXT: usize = 2048;
/// The most that is kept of members that are given back as they came, in bytes of JSON.
const KEPT: usize = 16 * 1024;

/// `token_endpoint_auth_method` (RFC 7591 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    None,
    ClientSecretBasic,
    ClientSecretPost,
}

impl AuthMethod {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
        }
    }
}

/// What a client says about itself: the members this server knows; others are ignored (RFC 7591 §2: MUST).
#[derive(Debug, Clone)]
pub(crate) struct ClientMetadata {
    pub(crate) auth_method: AuthMethod,
    pub(crate) client_name: Option<String>,
    pub(crate) redirect_uris: Vec<RedirectUri>,
    pub(crate) grant_types: Vec<GrantType>,
    pub(crate) scope: Scope,
    asked_scope: Option<Scope>,
    response_types: Option<Vec<String>>,
    /// Members that are kept and given back, and not acted on.
    kept: Map<String, Value>,
}

const fn invalid(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClientMetadata, description)
}

impl ClientMetadata {
    /// Reads the members of a registration request.
    pub(crate) fn read(members: Map<String, Value>) -> Result<Self, OAuthError> {
        if members.contains_key("jwks") && members.contains_key("jwks_uri") {
            return Err(invalid("jwks and jwks_uri are both present")); // RFC 7591 §2: MUST NOT
        }
        let auth_method = match text(&members, "token_endpoint_auth_method")? {
            None | Some("client_secret_basic") => AuthMethod::ClientSecretBasic,
            Some("client_secret_post") => AuthMethod::ClientSecretPost,
            Some("none") => AuthMethod::None,
            Some(_) => return Err(invalid("token_endpoint_auth_method is not supported")),
        };
        let redirect_uris = texts(&members, "redirect_uris")?
            .unwrap_or_default()
            .into_iter()
            .map(str::parse)
            .collect::<Result<_, _>>();
        let redirect_uris = redirect_uris.map_err(|_| {
            OAuthError::new(
                ErrorCode::InvalidRedirectUri,
                "A redirect_uri is not allowed",
            )
        })?;
        let grant_types =
            texts(&members, "grant_types")?.unwrap_or_else(|| vec!["authorization_code"]);
        let scope = text(&members, "scope")?
            .map(str::parse)
            .transpose()
            .map_err(|_| invalid("scope is malformed"))?;
        Ok(Self {
            auth_method,
            // One that nobody can see is as absent: people are shown the client's id then (RFC 7591 §2).
            client_name: text(&members, "client_name")?
                .filter(|name| shows_something(name))
                .map(ToOwned::to_owned),
            redirect_uris,
            // Grants that are not known here are left out (RFC 7591 §2: may be replaced).
            grant_types: grant_types
                .into_iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
            scope: Scope::empty(),
            asked_scope: scope,
            response_types: texts(&members, "response_types")?
                .map(|types| types.into_iter().map(ToOwned::to_owned).collect()),
            kept: kept(members)?,
        })
    }

    /// What of it is registered, by what this server allows.
    pub(crate) fn decide(
        mut self,
        allowed: &[GrantType],
        scopes: &Scope,
    ) -> Result<Self, OAuthError> {
        self.grant_types
            .retain(|grant_type| allowed.contains(grant_type));
        self.grant_types.sort_unstable();
        self.grant_types.dedup();
        if !self
            .grant_types
            .iter()
            .any(|grant_type| *grant_type != GrantType::RefreshToken)
        {
            return Err(invalid(
                "None of the grant_types is offered to clients that register themselves",
            ));
        }
        let code = self.grant_types.contains(&GrantType::AuthorizationCode);
        if code && self.redirect_uris.is_empty() {
            return Err(OAuthError::new(
                ErrorCode::InvalidRedirectUri,
                "redirect_uris is missing",
            )); // RFC 7591 §5: MUST
        }
        if self.auth_method == AuthMethod::None
            && self.grant_types.contains(&GrantType::ClientCredentials)
        {
            return Err(invalid(
                "client_credentials needs a client that can authenticate",
            ));
        }
        // RFC 7591 §2.1: `code` goes with authorization_code, and nothing else is offered.
        match &self.response_types {
            Some(types) if code != types.iter().any(|name| name == "code") => {
                return Err(invalid(
                    "response_types and grant_types do not fit each other",
                ));
            }
            Some(types) if types.iter().any(|name| name != "code") => {
                return Err(invalid("A response_type is not supported"));
            }
            _ => {}
        }
        // What is not known here is left out; where nothing is left, it is what a client gets that names none (RFC 7591 §2).
        let asked = self
            .asked_scope
            .as_ref()
            .map(|asked| asked.intersection(scopes));
        self.scope = asked
            .filter(|scope| !scope.is_empty())
            .unwrap_or_else(|| scopes.clone());
        Ok(self)
    }

    /// The digest of what is registered: equal for equal registrations, whatever order or spelling they came in.
    pub(crate) fn digest(&self) -> Digest {
        let mut uris: Vec<_> = self.redirect_uris.iter().map(RedirectUri::as_str).collect();
        uris.sort_unstable();
        let canonical = (
            &self.client_name,
            uris,
            &self.grant_types,
            &self.scope,
            in_order(&self.kept),
        );
        Digest::of(
            "client_metadata",
            &serde_json::to_vec(&canonical).unwrap_or_default(),
        )
    }

    /// Keeps a statement that was believed, to give it back unmodified (RFC 7591 §3.2.1: MUST).
    pub(crate) fn keep_software_statement(&mut self, statement: Value) {
        self.kept.insert("software_statement".into(), statement);
    }

    /// What the store keeps beside the members that the server acts on.
    pub(crate) fn kept(&self) -> Map<String, Value> {
        let mut kept = self.kept.clone();
        kept.insert(
            "token_endpoint_auth_method".into(),
            self.auth_method.as_str().into(),
        );
        kept
    }
}

/// A registration request: one JSON object without repeated members.
pub(crate) fn parse(body: &[u8]) -> Result<Map<String, Value>, OAuthError> {
    json_object::parse(body).ok_or(invalid(
        "The body is not one JSON object without repeated members",
    ))
}

/// The software statement of a request, if it has one: a JWT that is signed or MACed and says who made it (RFC 7591 §2.3: MUST). Whether
/// it holds is not looked at.
pub(crate) fn software_statement(members: &Map<String, Value>) -> Result<Option<&str>, OAuthError> {
    let invalid = || {
        OAuthError::new(
            ErrorCode::InvalidSoftwareStatement,
            "The software_statement is no signed JWT with iss",
        )
    };
    let statement = match members.get("software_statement") {
        None | Some(Value::Null) => return Ok(None),
        Some(statement) => statement.as_str().ok_or_else(invalid)?,
    };
    let parts: Vec<_> = statement.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err(invalid());
    };
    let object = |part: &str| -> Option<Map<String, Value>> {
        json_object::parse(&URL_SAFE_NO_PAD.decode(part).ok()?)
    };
    let algorithm =
        object(header).and_then(|header| header.get("alg")?.as_str().map(ToOwned::to_owned));
    let is_signed = algorithm
        .is_some_and(|name| !name.is_empty() && !name.eq_ignore_ascii_case("none"))
        && !signature.is_empty();
    let has_issuer =
        object(claims).is_some_and(|claims| claims.get("iss").is_some_and(Value::is_string));
    if is_signed && has_issuer {
        Ok(Some(statement))
    } else {
        Err(invalid())
    }
}

/// The members in the order of their names, at any depth: where some other crate has switched `preserve_order` of `serde_json` on, a
/// map has them as they came.
fn in_order(members: &Map<String, Value>) -> Map<String, Value> {
    fn value(given: &Value) -> Value {
        match given {
            Value::Object(members) => in_order(members).into(),
            Value::Array(list) => list.iter().map(value).collect(),
            plain => plain.clone(),
        }
    }
    let members: BTreeMap<_, _> = members.iter().collect();
    let members = members.into_iter();
    members
        .map(|(name, given)| (name.clone(), value(given)))
        .collect()
}

/// Members that are given back as they came, if they have the right form (RFC 7591 §2, §2.2).
fn kept(members: Map<String, Value>) -> Result<Map<String, Value>, OAuthError> {
    let (mut kept, mut seen) = (Map::new(), HashSet::new());
    for (name, value) in members {
        let plain = name.split('#').next().unwrap_or_default();
        let fits = match plain {
            "client_uri" | "logo_uri" | "tos_uri" | "policy_uri" | "jwks_uri" => {
                value.as_str().is_some_and(is_web_url)
            }
            "software_id" | "software_version" | "application_type" => {
                value.as_str().is_some_and(|text| text.len() <= TEXT)
            }
            "client_name" if name.contains('#') => {
                value.as_str().is_some_and(|text| text.len() <= TEXT)
            }
            "contacts" => value.as_array().is_some_and(|list| {
                list.len() <= LIST
                    && list
                        .iter()
                        .all(|contact| contact.as_str().is_some_and(|text| text.len() <= TEXT))
            }),
            "jwks" => {
                let keys = value.get("keys").and_then(Value::as_array);
                keys.is_some_and(|keys| keys.iter().all(is_public_key))
            }
            _ => continue,
        };
        // RFC 7591 §2.2: the case of a language tag has no meaning.
        let tag = name.get(plain.len()..).unwrap_or_default();
        if !seen.insert(format!("{plain}{}", tag.to_ascii_lowercase())) {
            return Err(invalid("A member is repeated in the same language"));
        }
        // Some clients send null for what they do not have; it is as absent.
        match (fits, value.is_null()) {
            (_, true) => {}
            (true, _) => drop(kept.insert(name, value)),
            (false, _) => return Err(invalid("A member has the wrong form")),
        }
    }
    // Each is short enough; with a language tag for each there could still be as many as fill a request.
    if serde_json::to_vec(&kept).map_or(usize::MAX, |text| text.len()) > KEPT {
        return Err(invalid("The metadata is too long"));
    }
    Ok(kept)
}

/// Whether a JWK holds nothing secret: it is given back to whoever asks, and a client's keys here are its public ones (RFC 7591 §2). The
/// members are those of RFC 7518 §6.2.2, §6.3.2 and §6.4.1.
fn is_public_key(key: &Value) -> bool {
    const SECRET: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    let members = key.as_object();
    members.is_some_and(|members| !SECRET.iter().any(|name| members.contains_key(*name)))
}

fn is_web_url(text: &str) -> bool {
    let has_form =
        text.len() <= TEXT && (text.starts_with("https://") || text.starts_with("http://"));
    has_form && url::Url::parse(text).is_ok()
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, OAuthError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= TEXT => Ok(Some(text)),
        Some(_) => Err(invalid("A member is not a text, or too long")),
    }
}

fn texts<'a>(
    members: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<Vec<&'a str>>, OAuthError> {
    let wrong = invalid("A member is not a list of texts, or too long");
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) if list.len() <= LIST => list
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .map(Some)
            .ok_or(wrong),
        Some(_) => Err(wrong),
    }
}

/// The answer to a registration: all that was registered, what the server chose included (RFC 7591 §3.2.1). No member is `null`.
#[derive(Serialize)]
pub(crate) struct ClientInformation<'a> {
    client_id: &'a ClientId,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// 0: never. Present whenever `client_secret` is (RFC 7591 §3.2.1: MUST).
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    client_id_issued_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    redirect_uris: &'a [RedirectUri],
    grant_types: &'a [GrantType],
    response_types: &'static [&'static str],
    #[serde(skip_serializing_if = "Scope::is_empty")]
    scope: &'a Scope,
    #[serde(flatten)]
    kept: &'a Map<String, Value>,
}

impl<'a> ClientInformation<'a> {
    pub(crate) fn new(client: &'a Client, secret: Option<&'a Secret>) -> Self {
        const NO_SCOPE: &Scope = &Scope::empty();
        Self {
            client_id: &client.client_id,
            client_secret: secret.map(Secret::expose),
            client_secret_expires_at: secret.map(|_| expires_at(client)),
            client_id_issued_at: client.client_id_issued_at,
            client_name: client.client_name(),
            redirect_uris: &client.redirect_uris,
            grant_types: &client.grant_types,
            response_types: if client.may_use(GrantType::AuthorizationCode) {
                &["code"]
            } else {
                &[]
            },
            scope: client.allowed_scope().unwrap_or(NO_SCOPE),
            kept: &client.metadata,
        }
    }
}

/// 0 is never (RFC 7591 §3.2.1).
fn expires_at(client: &Client) -> u64 {
    let secret = client.secret.as_ref();
    secret
        .map(|secret| secret.expires_at)
        .filter(|at| *at != Timestamp::MAX)
        .map_or(0, Timestamp::as_secs)
}

#[cfg(test)]
mod tests {
    use super::{AuthMethod, ClientMetadata, parse};
    use crate::protocol::error::{ErrorCode, OAuthError};
    use crate::types::GrantType;

    const ALLOWED: &[GrantType] = &[
        GrantType::AuthorizationCode,
        GrantType::RefreshToken,
        GrantType::DeviceCode,
    ];

    fn register(json: &str) -> Result<ClientMetadata, OAuthError> {
        ClientMetadata::read(parse(json.as_bytes())?)?.decide(ALLOWED, &"a b".parse().unwrap())
    }

    fn refused(json: &str) -> ErrorCode {
        register(json).map(|_| json.to_owned()).unwrap_err().code
    }

    // req: 7591-2-3, 7591-2-5, 7591-2-17, tol-reg-2
    #[test]
    fn rfc7591_2_what_is_left_out_has_a_default_and_what_is_unknown_is_ignored() {
        let metadata = register(r#"{"redirect_uris":["https://x.example/cb"],"frobnicate":1,"contacts":[],"logo_uri":null}"#).unwrap();
        assert_eq!(
            (metadata.auth_method, metadata.grant_types.as_slice()),
            (AuthMethod::ClientSecretBasic, &ALLOWED[..1])
        );
        assert_eq!(metadata.scope.to_string(), "a b");
        assert!(
            !metadata.kept.contains_key("frobnicate") && !metadata.kept.contains_key("logo_uri")
        );
    }

    #[test]
    fn rfc7591_5_what_is_kept_is_bounded_in_all() {
        let named = |count: usize| {
            let name = "x".repeat(1000);
            let names: String = (0..count)
                .map(|at| format!(r#","client_name#l{at}":"{name}""#))
                .collect();
            format!(r#"{{"redirect_uris":["https://x.example/cb"]{names}}}"#)
        };
        assert_eq!(register(&named(16)).unwrap().kept.len(), 16);
        assert_eq!(refused(&named(17)), ErrorCode::InvalidClientMetadata);
    }

    // req: 7591-2-2, 7591-5-1, 7591-3.2.2-3, 6749-3.1.2.2-1
    #[test]
    fn rfc7591_5_redirection_uris_are_demanded_and_checked() {
        for json in [
            r"{}",
            r#"{"redirect_uris":[]}"#,
            r#"{"redirect_uris":["http://x.example/cb"]}"#,
            r#"{"redirect_uris":["https://x.example/cb#f"]}"#,
            r#"{"redirect_uris":["/cb"]}"#,
        ] {
            assert_eq!(refused(json), ErrorCode::InvalidRedirectUri, "{json}");
        }
        assert!(register(r#"{"grant_types":["urn:ietf:params:oauth:grant-type:device_code"],"token_endpoint_auth_method":"none"}"#).is_ok());
    }

    // req: 7591-3.2.2-4, 7591-2-15, 7591-2-11, http-json-1
    #[test]
    fn rfc7591_3_2_2_other_bad_members_are_invalid_client_metadata() {
        let with =
            |member: &str| format!(r#"{{"redirect_uris":["https://x.example/cb"],{member}}}"#);
        for member in [
            r#""client_name":7"#,
            r#""scope":["a"]"#,
            r#""scope":"a\"b""#,
            r#""client_uri":"javascript:1""#,
            r#""logo_uri":"data:,x""#,
            r#""contacts":"me""#,
            r#""jwks":{},"jwks_uri":"https://x.example/j""#,
            r#""jwks":{}"#,
            r#""jwks":{"keys":["key"]}"#,
            r#""jwks":{"keys":[{"kty":"EC","kty":"EC"}]}"#,
            r#""jwks":{"keys":[]},"frobnicate":[{"a":1,"a":1}]"#,
            r#""token_endpoint_auth_method":"private_key_jwt""#,
            r#""client_name":"a","client_name":"b""#,
            r#""grant_types":["implicit"]"#,
            r#""grant_types":["device_code"]"#,
            r#""grant_types":["refresh_token"]"#,
            r#""grant_types":"authorization_code""#,
        ] {
            assert_eq!(
                refused(&with(member)),
                ErrorCode::InvalidClientMetadata,
                "{member}"
            );
        }
        for body in ["[]", "", "{", "{}x", "null", "\"x\""] {
            assert_eq!(refused(body), ErrorCode::InvalidClientMetadata, "{body}");
        }
        assert_eq!(
            refused(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))),
            ErrorCode::InvalidClientMetadata
        );
    }

    // Threat S19: a key that everybody may see is nobody's secret, and who sends one that is has to hear of it.
    #[test]
    fn s19_keys_with_secret_members_are_refused() {
        let with =
            |key: &str| format!(r#"{{"redirect_uris":["https://x.example/cb"],"jwks":{key}}}"#);
        let public = r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"d","use":"sig"}"#;
        assert!(register(&with(&format!(r#"{{"keys":[{public},{public}]}}"#))).is_ok());
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            let key = public.replace(r#""n""#, &format!(r#""{member}":null,"n""#));
            let json = with(&format!(r#"{{"keys":[{public},{key}]}}"#));
            assert_eq!(refused(&json), ErrorCode::InvalidClientMetadata, "{json}");
        }
    }

    // req: 7591-2-9
    #[test]
    fn rfc7591_2_a_name_that_shows_nothing_is_none() {
        let name = |name: &str| {
            let json =
                serde_json::json!({"redirect_uris": ["https://x.example/cb"], "client_name": name});
            register(&json.to_string()).unwrap().client_name
        };
        assert_eq!(name(" \u{200b}Harbor").as_deref(), Some(" \u{200b}Harbor"));
        for nothing in [
            "",
            " \t\u{a0}",
            "\u{200b}",
            "\u{3164}\u{115f}",
            "\u{2800} \u{feff}\0",
        ] {
            assert_eq!(name(nothing), None, "{nothing:?}");
        }
    }

    // req: 7591-2.1-1, 7591-2-8
    #[test]
    fn rfc7591_2_1_response_types_fit_the_grants() {
        let device = r#"{"grant_types":["urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"]}"#;
        assert_eq!(refused(device), ErrorCode::InvalidClientMetadata);
        for types in [r"[]", r#"["token"]"#, r#"["code","token"]"#] {
            let json =
                format!(r#"{{"redirect_uris":["https://x.example/cb"],"response_types":{types}}}"#);
            assert_eq!(refused(&json), ErrorCode::InvalidClientMetadata, "{types}");
        }
    }

    #[test]
    fn s11_a_client_is_registered_for_no_more_than_is_allowed() {
        let json = r#"{"redirect_uris":["https://x.example/cb"],"grant_types":["authorization_code","client_credentials","password"],"scope":"a root"}"#;
        let metadata = register(json).unwrap();
        assert_eq!(
            (
                metadata.grant_types.as_slice(),
                metadata.scope.to_string().as_str()
            ),
            (&ALLOWED[..1], "a")
        );
    }

    // req: 7591-PROJ-1
    #[test]
    fn s20_lists_and_texts_are_bounded() {
        let uris = vec!["\"https://x.example/cb\""; 21].join(",");
        assert_eq!(
            refused(&format!(r#"{{"redirect_uris":[{uris}]}}"#)),
            ErrorCode::InvalidClientMetadata
        );
        let name = "n".repeat(2049);
        assert_eq!(
            refused(&format!(
                r#"{{"redirect_uris":["https://x.example/cb"],"client_name":"{name}"}}"#
            )),
            ErrorCode::InvalidClientMetadata
        );
    }

    #[test]
    fn no_member_of_the_answer_stands_there_twice() {
        let json = r##"{"redirect_uris":["https://x.example/cb"],"client_name":"n","client_name#de":"m"}"##;
        let metadata = register(json).unwrap();
        assert_eq!(metadata.client_name.as_deref(), Some("n"));
        assert_eq!(
            metadata.kept().keys().collect::<Vec<_>>(),
            ["client_name#de", "token_endpoint_auth_method"]
        );
    }

    #[test]
    fn equal_registrations_have_one_digest_and_others_another() {
        let one = register(
            r#"{"client_name":"n","redirect_uris":["https://x.example/cb"],"scope":"a b","x":1}"#,
        )
        .unwrap();
        let same = register(
            r#"{"scope":"b a","redirect_uris":["https://x.example/cb"],"client_name":"n"}"#,
        )
        .unwrap();
        let other = register(
            r#"{"scope":"b a","redirect_uris":["https://x.example/cb2"],"client_name":"n"}"#,
        )
        .unwrap();
        assert!(one.digest() == same.digest() && one.digest() != other.digest());
    }

    #[test]
    fn registrations_are_equal_in_whatever_order_their_members_came() {
        let digest = |kept: &str| {
            let text = format!(r#"{{"redirect_uris":["https://x.example/cb"],{kept}}}"#);
            register(&text).unwrap().digest()
        };
        let one =
            digest(r#""contacts":["a"],"jwks":{"keys":[{"kty":"OKP","x":"AA","crv":"Ed25519"}]}"#);
        let same =
            digest(r#""jwks":{"keys":[{"crv":"Ed25519","kty":"OKP","x":"AA"}]},"contacts":["a"]"#);
        let other =
            digest(r#""jwks":{"keys":[{"crv":"Ed25519","kty":"OKP","x":"AB"}]},"contacts":["a"]"#);
        assert!(one == same && one != other);
    }
}
