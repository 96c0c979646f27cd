//! Clients (RFC 6749 §2) with the metadata of RFC 7591 §2 that the server acts on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ClientId, ClientSecret, Digest, GrantType, RedirectUri, ResourceUri, Scope, Secret, Timestamp,
};

/// Who put a client into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RegisteredBy {
    /// The host, through [`Clients::create`](crate::server::Clients::create): it vouches for the redirection URIs.
    Host,
    /// The client itself, at the registration endpoint (RFC 7591): nobody vouches for anything it says.
    Itself,
}

/// Whose tokens a client may ask about at the introspection endpoint (RFC 7662 §4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Introspects {
    /// Tokens that were issued to itself.
    Own,
    /// Also tokens whose audience holds one of these: the client is the resource server of them.
    For(Vec<ResourceUri>),
    /// Every token.
    Everything,
}

/// A client: who may ask for tokens, how it proves itself, and what it may be given.
///
/// ```
/// use tower_oauth::types::{Client, GrantType, Secret};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = Client::public("notes-app".parse()?)
///     .name("Notes")
///     .redirect_uri("https://notes.example/cb".parse()?)
///     .grant_types([GrantType::AuthorizationCode, GrantType::RefreshToken]);
/// let job = Client::confidential("nightly".parse()?, &Secret::generate()?)
///     .grant_types([GrantType::ClientCredentials])
///     .scope("notes:read".parse()?);
/// assert!(!app.is_confidential() && job.is_confidential());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) client_id: ClientId,
    pub(crate) secret: Option<ClientSecret>,
    pub(crate) registered_by: RegisteredBy,
    pub(crate) client_id_issued_at: Timestamp,
    pub(crate) client_name: Option<String>,
    pub(crate) redirect_uris: Vec<RedirectUri>,
    pub(crate) grant_types: Vec<GrantType>,
    /// What it may ask for; `None` is everything the server has.
    pub(crate) scope: Option<Scope>,
    pub(crate) introspects: Introspects,
    pub(crate) disabled: bool,
    /// When it may be forgotten: a client that registered itself and is not used is.
    pub(crate) expires_at: Timestamp,
    /// The pointer by which an equal registration finds this client.
    pub(crate) dedupe: Option<Digest>,
    /// How often everything of this client was revoked at once.
    pub(crate) epoch: u64,
    /// The metadata of RFC 7591 that the server keeps and gives back but does not act on.
    pub(crate) metadata: Map<String, Value>,
}

impl Client {
    /// A client that cannot keep a secret: an app on somebody's computer, phone, browser or television (RFC 6749 §2.1).
    ///
    /// It may use the authorization code and refresh token grants until [`grant_types`](Self::grant_types) says otherwise.
    #[must_use]
    pub fn public(client_id: ClientId) -> Self {
        Self::new(client_id, None)
    }

    /// A client that keeps a secret; only a digest of it is stored. Best is [`Secret::generate`]. One of fewer than 32 characters is taken
    /// for something that a person thought of: its digest is a slow one (Argon2id), so this takes some 20 milliseconds then, and checking
    /// it is throttled.
    #[must_use]
    pub fn confidential(client_id: ClientId, secret: &Secret) -> Self {
        let secret = ClientSecret::new(&client_id, secret);
        Self::new(client_id, Some(secret))
    }

    pub(crate) fn new(client_id: ClientId, secret: Option<ClientSecret>) -> Self {
        Self {
            client_id,
            secret,
            registered_by: RegisteredBy::Host,
            client_id_issued_at: Timestamp::from_secs(0),
            client_name: None,
            redirect_uris: Vec::new(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            scope: None,
            introspects: Introspects::Own,
            disabled: false,
            expires_at: Timestamp::MAX,
            dedupe: None,
            epoch: 0,
            metadata: Map::new(),
        }
    }

    /// The name that people are shown on the consent page.
    #[must_use]
    pub fn name(mut self, client_name: impl Into<String>) -> Self {
        self.client_name = Some(client_name.into());
        self
    }

    /// Its own web page, which the consent page links to (RFC 7591 §2); not shown unless it is an `https` URL of at most 256 bytes.
    #[must_use]
    pub fn client_uri(self, uri: impl Into<String>) -> Self {
        self.metadata("client_uri", uri.into())
    }

    /// Its privacy policy, as [`client_uri`](Self::client_uri).
    #[must_use]
    pub fn policy_uri(self, uri: impl Into<String>) -> Self {
        self.metadata("policy_uri", uri.into())
    }

    /// Its terms of service, as [`client_uri`](Self::client_uri).
    #[must_use]
    pub fn tos_uri(self, uri: impl Into<String>) -> Self {
        self.metadata("tos_uri", uri.into())
    }

    fn metadata(mut self, member: &str, text: String) -> Self {
        self.metadata.insert(member.to_owned(), text.into());
        self
    }

    /// When its secret ends: in this second it proves nothing any more. Default: never. A public client has none, and this changes
    /// nothing; a secret that is rotated never ends.
    #[must_use]
    pub fn secret_expires_at(mut self, expires_at: Timestamp) -> Self {
        if let Some(secret) = &mut self.secret {
            secret.expires_at = expires_at;
        }
        self
    }

    /// Adds an address that answers may go to (RFC 6749 §3.1.2).
    #[must_use]
    pub fn redirect_uri(mut self, redirect_uri: RedirectUri) -> Self {
        self.redirect_uris.push(redirect_uri);
        self
    }

    /// The grants it may use, in place of those it had. A refresh token is issued to clients that hold that grant.
    #[must_use]
    pub fn grant_types(mut self, grant_types: impl IntoIterator<Item = GrantType>) -> Self {
        self.grant_types = grant_types.into_iter().collect();
        self
    }

    /// The most it may ask for (RFC 6749 §3.3); without this, everything the server has.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Whose tokens it may ask about (RFC 7662); [`Introspects::Own`] if this is not said.
    #[must_use]
    pub fn introspects(mut self, introspects: Introspects) -> Self {
        self.introspects = introspects;
        self
    }

    /// Its identifier.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.client_name.as_deref()
    }

    /// Where answers may go.
    #[must_use]
    pub fn redirect_uris(&self) -> &[RedirectUri] {
        &self.redirect_uris
    }

    /// The grants it may use.
    #[must_use]
    pub fn allowed_grant_types(&self) -> &[GrantType] {
        &self.grant_types
    }

    /// The most it may ask for; `None` is everything the server has.
    #[must_use]
    pub fn allowed_scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// Who put it into the store.
    #[must_use]
    pub fn registered_by(&self) -> RegisteredBy {
        self.registered_by
    }

    /// When it was put there.
    #[must_use]
    pub fn client_id_issued_at(&self) -> Timestamp {
        self.client_id_issued_at
    }

    /// Whether it has a secret to prove itself with (RFC 6749 §2.1).
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        self.secret.is_some()
    }

    /// Whether it was switched off: nothing is issued to it and its tokens are dead.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    pub(crate) fn may_use(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }
}

/// Whether a reader sees anything of a text: something beside spaces, controls, what Unicode says is shown as nothing
/// (`Default_Ignorable_Code_Point`), and the Braille pattern without a dot.
pub(crate) fn shows_something(text: &str) -> bool {
    let is_ignorable = |c| {
        matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
    };
    text.chars()
        .any(|c| !(c.is_whitespace() || c.is_control() || is_ignorable(c)))
}
