//! Which applications may use an account: its owner sees them, and takes the access of one.
//!
//! A GET shows them, a POST takes the access of one from it. Without a session of ours the form carries a value that only the server can
//! make: for this person, this application, and an hour. So does the address at which the removal is told, for this person and a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;
use sha2::Sha256;

use super::approve::request_parts;
use super::authorization_response::{FORGED_REMOVAL, NOT_SIGNED_IN, page_error, see_other};
use super::consent::{in_words, links};
use super::consent_answer::is_same_origin;
use super::{Answer, Endpoint, Grants, Inner, RevokedBy, SignedIn, interaction_json};
use crate::pages::{self, App, ConnectedApps, LinkKind, Page, display_name};
use crate::protocol::error::{OAuthError, json};
use crate::protocol::form::Form;
use crate::store::subject_digest;
use crate::types::record::Grant;
use crate::types::{
    Client, ClientId, Digest, RedirectUri, RegisteredBy, Scope, Secret, Subject, Timestamp,
};

/// What stands for this page where the login has the id of a request: so whoever signs in for it comes back like everybody else, and no
/// address stands in a query.
pub(crate) const LOGIN: &str = "connected-apps";

/// So many stand on a page, which then is small; and so many grants of a person are looked at.
const ON_A_PAGE: usize = 10;
const MOST: usize = 10_000;

/// How long a form may be open.
const OPEN: Duration = Duration::from_secs(3600);

/// For how long who has removed something may be told so.
const TOLD: Duration = Duration::from_secs(60);

/// What a value is for: none is taken for another.
const FORM: &str = "tower-oauth: connected apps";
const NOTICE: &str = "tower-oauth: access removed";

/// Somebody has signed in to see the page.
pub(crate) fn come_back(server: &Inner) -> Response<Bytes> {
    if !server.config.serves(Endpoint::ConnectedApps) {
        return page_error(&super::authorization_response::EXPIRED);
    }
    // If they are not signed in then, they are told: sent to the login again they would go round in circles.
    let path = server.path(Endpoint::ConnectedApps);
    see_other(&format!("{path}?signed_in=1"))
}

pub(crate) async fn handle(server: &Inner, request: &Request<Bytes>) -> Answer {
    let answer = match *request.method() {
        Method::GET => list(server, request).await,
        Method::POST => remove(server, request).await,
        _ => Err(OAuthError::method_not_allowed("GET, HEAD, POST")),
    };
    let refuse = |error: OAuthError| {
        if wants_json(request) {
            error.to_response()
        } else {
            page_error(&error)
        }
    };
    answer.unwrap_or_else(refuse).into()
}

fn wants_json(request: &Request<Bytes>) -> bool {
    interaction_json::is_wanted(request.headers())
}

async fn signed_in(server: &Inner, request: &Request<Bytes>) -> Option<SignedIn> {
    let interaction = server.config.interaction.as_ref()?;
    let (parts, ()) = request_parts(request).into_parts();
    interaction.signed_in(&parts).await
}

/// Nobody is signed in: to the login, and from there back.
fn sign_in(server: &Inner, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
    if wants_json(request) {
        return Err(NOT_SIGNED_IN);
    }
    let comes_back = Form::from_query(request.uri())?.one("signed_in")?.is_some();
    match &server.config.login_path {
        Some(path) if !comes_back => Ok(see_other(&Inner::with_interaction(path, LOGIN))),
        _ => Err(NOT_SIGNED_IN),
    }
}

async fn list(server: &Inner, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
    let query = Form::from_query(request.uri())?;
    let number = query.one("page")?.and_then(|text| text.parse().ok());
    let number: usize = number.unwrap_or(1);
    let removed = query.one("removed")?;
    let Some(signed_in) = signed_in(server, request).await else {
        return sign_in(server, request);
    };
    let subject = &signed_in.subject;
    let connected = connected(server, subject).await?;
    // Beyond the last page, whose applications may have been removed, is the last one: an empty one would say that nobody has access.
    let number = number.clamp(1, connected.len().div_ceil(ON_A_PAGE).max(1));
    let path = server.path(Endpoint::ConnectedApps);
    let at = |number: usize| format!("{path}?page={number}");
    let more = connected.len() > number * ON_A_PAGE;
    let (key, now) = (server.server_key().await?, server.now());
    // A link that somebody else has made says nothing.
    let removed =
        removed.is_some_and(|value| is_ours(&key, (NOTICE, &[subject.as_str()]), value, now));
    let shown = connected.iter().skip((number - 1) * ON_A_PAGE);
    let app = |connected: &Connected| {
        let client_id = &connected.client.client_id;
        let whose = [subject.as_str(), client_id.as_str()];
        connected.app(
            server,
            value(&key, (FORM, &whose), now.saturating_add(OPEN)),
        )
    };
    let page = ConnectedApps {
        action: path.to_owned(),
        subject: signed_in.shown_name().to_owned(),
        apps: shown.take(ON_A_PAGE).map(app).collect(),
        removed,
        previous: (number > 1).then(|| at(number - 1)),
        next: more.then(|| at(number + 1)),
        now,
    };
    Ok(if wants_json(request) {
        json(StatusCode::OK, &List::of(&page))
    } else {
        pages::page(StatusCode::OK, Page::ConnectedApps(Box::new(page)))
    })
}

async fn remove(server: &Inner, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
    let form = Form::from_body(request.headers(), request.body())?;
    let client_id = form.required("client_id", "client_id is missing")?;
    let posted = form.one("csrf")?.unwrap_or_default();
    let Some(SignedIn { subject, .. }) = signed_in(server, request).await else {
        return sign_in(server, request);
    };
    let client_id: Option<ClientId> = client_id.parse().ok();
    let (key, now) = (server.server_key().await?, server.now());
    let is_of_our_page = |client_id: &ClientId| {
        let whose = [subject.as_str(), client_id.as_str()];
        is_ours(&key, (FORM, &whose), posted, now) && is_same_origin(server, request.headers())
    };
    let Some(client_id) = client_id.filter(is_of_our_page) else {
        return Err(FORGED_REMOVAL);
    };
    let by = RevokedBy::Owner;
    let removed = Grants(server).end(&subject, &client_id, by).await?;
    // What was not there is gone like what was: a form that is sent twice has done what it says.
    Ok(if wants_json(request) {
        json(StatusCode::OK, &serde_json::json!({ "removed": removed }))
    } else {
        let path = server.path(Endpoint::ConnectedApps);
        let told = value(
            &key,
            (NOTICE, &[subject.as_str()]),
            now.saturating_add(TOLD),
        );
        see_other(&format!("{path}?removed={told}"))
    })
}

/// All that a person has granted to a client, in one.
struct Connected {
    client: Arc<Client>,
    scope: Scope,
    /// Where codes went, each kind of place once.
    went_to: Vec<RedirectUri>,
    /// Whether any of it was granted to a device.
    on_device: bool,
    since: Timestamp,
    renewed: Timestamp,
    ends: Timestamp,
}

/// Those whose access is alive, who has renewed it last first.
async fn connected(server: &Inner, subject: &Subject) -> Result<Vec<Connected>, OAuthError> {
    let now = server.now();
    let epoch = server.records.subject_epoch(subject, now).await?;
    let mut found: HashMap<ClientId, Connected> = HashMap::new();
    let mut seen = 0;
    let mut pages = server.records.owned::<Grant>(subject_digest(subject));
    while let Some(page) = pages.next(now).await? {
        seen += page.len();
        for (_, grant) in page {
            let approved = &grant.approved;
            let is_theirs = approved.subject == *subject && approved.subject_epoch == epoch;
            if !is_theirs || grant.revoked || grant.ends_at <= now {
                continue;
            }
            let Some(known) = server.client(&grant.client_id, now).await? else {
                continue;
            };
            let client = Arc::clone(&known.client);
            if client.disabled || client.epoch != approved.client_epoch {
                continue;
            }
            let new = Connected::of(client, &grant);
            let joined = match found.remove(&grant.client_id) {
                Some(before) => before.and(new),
                None => new,
            };
            found.insert(grant.client_id, joined);
        }
        if seen >= MOST {
            break;
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by(|one, two| {
        let by_time = two.renewed.cmp(&one.renewed);
        by_time.then_with(|| {
            one.client
                .client_id
                .as_str()
                .cmp(two.client.client_id.as_str())
        })
    });
    Ok(found)
}

impl Connected {
    fn of(client: Arc<Client>, grant: &Grant) -> Self {
        let rotated = grant
            .family
            .as_ref()
            .and_then(|family| family.rotated.as_ref());
        Self {
            client,
            scope: grant.approved.scope.clone(),
            went_to: Vec::from_iter(grant.redirect_uri.clone()),
            on_device: grant.redirect_uri.is_none(),
            since: grant.granted_at,
            renewed: rotated.map_or(grant.granted_at, |rotated| rotated.at),
            ends: grant.ends_at,
        }
    }

    fn and(mut self, other: Self) -> Self {
        for uri in other.went_to {
            // Loopback ports are drawn anew each time.
            let same = |known: &RedirectUri| {
                let kinds = [known, &uri].map(|uri| (uri.is_loopback(), uri.is_https()));
                let is_same = known.is_loopback() || known.destination() == uri.destination();
                kinds[0] == kinds[1] && is_same
            };
            if !self.went_to.iter().any(same) {
                self.went_to.push(uri);
            }
        }
        Self {
            went_to: self.went_to,
            on_device: self.on_device || other.on_device,
            scope: self.scope.union(&other.scope),
            since: self.since.min(other.since),
            renewed: self.renewed.max(other.renewed),
            ends: self.ends.max(other.ends),
            client: self.client,
        }
    }

    fn app(&self, server: &Inner, csrf: String) -> App {
        let client = &self.client;
        let mut links = links(client, &self.went_to).into_iter();
        let website = links.find(|link| link.kind == LinkKind::Website);
        App {
            client_name: display_name(client.client_name(), client.client_id.as_str()),
            client_id: client.client_id.to_string(),
            vouched_for: client.registered_by == RegisteredBy::Host,
            redirect_uris: self.went_to.clone(),
            on_device: self.on_device,
            website: website.map(|link| link.url),
            scopes: in_words(server, &self.scope),
            since: self.since,
            renewed: self.renewed,
            ends: self.ends,
            csrf: Secret::new(csrf),
        }
    }
}

/// What only the server can make: the second in which it ends, and a digest of that, of what it is for and of whose it is, under the
/// server's key.
fn value(key: &Digest, what: (&str, &[&str]), ends: Timestamp) -> String {
    let digest = String::from(value_digest(key, what, ends));
    format!("{}.{digest}", ends.as_secs())
}

fn is_ours(key: &Digest, what: (&str, &[&str]), sent: &str, now: Timestamp) -> bool {
    let Some((ends, digest)) = sent.split_once('.') else {
        return false;
    };
    let (Ok(ends), Ok(digest)) = (ends.parse(), Digest::try_from(digest.to_owned())) else {
        return false;
    };
    let ends = Timestamp::from_secs(ends);
    ends > now && digest == value_digest(key, what, ends)
}

fn value_digest(key: &Digest, (purpose, whose): (&str, &[&str]), ends: Timestamp) -> Digest {
    // HMAC takes a key of any length, so this cannot fail; were it to, no value would be taken: this one is never shown.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        return Digest::of("csrf", key.as_bytes());
    };
    mac.update(purpose.as_bytes());
    mac.update(b"\0");
    for part in whose {
        // With its length, so that no two pairs are one text.
        mac.update(&part.len().to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.update(&ends.as_secs().to_be_bytes());
    Digest::from_bytes(mac.finalize().into_bytes().into())
}

/// The page as JSON.
#[derive(Serialize)]
struct List<'a> {
    apps: Vec<ListedApp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct ListedApp<'a> {
    client_id: &'a str,
    client_name: &'a str,
    vouched_for: bool,
    redirect_uris: Vec<&'a str>,
    on_device: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    scope: String,
    since: u64,
    renewed: u64,
    ends: u64,
    csrf: &'a str,
}

impl<'a> List<'a> {
    fn of(page: &'a ConnectedApps) -> Self {
        let scopes = |app: &App| {
            let scopes = app.scopes.iter().map(|scope| scope.scope.as_str());
            scopes.collect::<Vec<_>>().join(" ")
        };
        let listed = |app: &'a App| ListedApp {
            client_id: &app.client_id,
            client_name: &app.client_name,
            vouched_for: app.vouched_for,
            redirect_uris: app.redirect_uris.iter().map(RedirectUri::as_str).collect(),
            on_device: app.on_device,
            client_uri: app.website.as_deref(),
            scope: scopes(app),
            since: app.since.as_secs(),
            renewed: app.renewed.as_secs(),
            ends: app.ends.as_secs(),
            csrf: app.csrf.expose(),
        };
        Self {
            apps: page.apps.iter().map(listed).collect(),
            next: page.next.as_deref(),
        }
    }
}
