//! What a store keeps: one type per kind of record.
//!
//! A record names other records by digest. Enumerations hold states that exclude each other, so that no record contradicts itself.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Authentication, AuthenticationRequest, Claims, Client, ClientId, ClientSecret, CodeChallenge,
    Digest, GrantType, Introspects, RedirectUri, RegisteredBy, ResourceUri, Scope, Subject,
    Timestamp,
};

/// What an owner said yes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Approved {
    pub(crate) subject: Subject,
    pub(crate) scope: Scope,
    /// The resources that tokens of this approval may be meant for (RFC 8707 §2.1).
    pub(crate) resources: Vec<ResourceUri>,
    /// What the client's and the subject's epochs were: when either moves on, this approval is dead, and all that came of it.
    pub(crate) client_epoch: u64,
    pub(crate) subject_epoch: u64,
    /// What [`SubjectEpoch::removal`] was: when it moves on, this approval never becomes a grant. Those that it has become are revoked one
    /// by one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) removal: u64,
    /// How they had signed in.
    #[serde(default, skip_serializing_if = "Authentication::is_unknown")]
    pub(crate) authentication: Authentication,
}

impl Approved {
    /// Whether nothing was revoked between the one yes and the other.
    pub(crate) fn same_epochs(&self, other: &Self) -> bool {
        let epochs = |of: &Self| (of.client_epoch, of.subject_epoch, of.removal);
        epochs(self) == epochs(other)
    }
}

/// What an owner approved, and its whole refresh family.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// What people and JSON see in place of the key.
    pub(crate) id: String,
    pub(crate) client_id: ClientId,
    pub(crate) approved: Approved,
    /// Where the code went that it was made of; none for a device, which nobody knows the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redirect_uri: Option<RedirectUri>,
    pub(crate) granted_at: Timestamp,
    /// When the family ends, however often it is refreshed.
    pub(crate) ends_at: Timestamp,
    /// When this record may be forgotten: after the longest-lived token under it.
    pub(crate) expires_at: Timestamp,
    pub(crate) revoked: bool,
    pub(crate) family: Option<RefreshFamily>,
}

/// The one live refresh token of a grant, and the way from the one before it (design: the same-successor window).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RefreshFamily {
    pub(crate) generation: u32,
    pub(crate) current: Digest,
    /// When the current one ends if it is not used.
    pub(crate) idle_until: Timestamp,
    pub(crate) rotated: Option<Rotated>,
}

/// How the current refresh token came from the one before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rotated {
    pub(crate) previous: Digest,
    pub(crate) at: Timestamp,
    /// The tail of the current token, sealed under the previous one: only its holder can read it.
    pub(crate) sealed_tail: Digest,
}

/// An authorization code (RFC 6749 §4.1.2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Code {
    pub(crate) client_id: ClientId,
    /// Where the code was sent, byte for byte.
    pub(crate) redirect_uri: RedirectUri,
    /// Whether the request named it; if it did, the token request must too (RFC 6749 §4.1.3).
    pub(crate) redirect_uri_was_named: bool,
    pub(crate) challenge: CodeChallenge,
    pub(crate) approved: Approved,
    pub(crate) expires_at: Timestamp,
    pub(crate) state: CodeState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CodeState {
    Live,
    Used {
        grant: Digest,
    },
    /// A wrong verifier was presented, or another code has taken its place: it is no longer worth anything, and has given nothing.
    Burnt,
}

/// A device code (RFC 8628 §3.2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) client_id: ClientId,
    pub(crate) scope: Scope,
    pub(crate) resources: Vec<ResourceUri>,
    #[serde(default)]
    pub(crate) asked: Option<DeviceAsked>,
    pub(crate) expires_at: Timestamp,
    pub(crate) state: DeviceState,
}

/// What is known of a device: people compare it with their own (RFC 8628 §5.4).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct DeviceAsked {
    pub(crate) at: Timestamp,
    pub(crate) from: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceState {
    Pending {
        last_poll: Option<Timestamp>,
        interval: Duration,
    },
    Approved {
        approved: Approved,
    },
    Redeemed {
        grant: Digest,
    },
    Denied,
}

/// From a user code to the device code it was shown with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UserCode {
    pub(crate) device: Digest,
    pub(crate) expires_at: Timestamp,
}

/// An access token (RFC 6749 §1.4). There are more of these than of anything else: what is not there takes no room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessToken {
    /// `jti`: what people and JSON see in place of the key.
    pub(crate) id: String,
    pub(crate) client_id: ClientId,
    /// The owner; `None` when the client speaks for itself (RFC 6749 §4.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Subject>,
    pub(crate) scope: Scope,
    pub(crate) audience: Vec<ResourceUri>,
    #[serde(default, skip_serializing_if = "Claims::is_empty")]
    pub(crate) claims: Claims,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) client_epoch: u64,
    /// The grant it lives and dies with; `None` for client credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<Digest>,
}

/// What an owner has approved for a client before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Consent {
    pub(crate) scope: Scope,
    pub(crate) resources: Vec<ResourceUri>,
    pub(crate) given_at: Timestamp,
    /// As in [`Approved`]: what is revoked as a whole is not remembered either.
    pub(crate) client_epoch: u64,
    pub(crate) subject_epoch: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) removal: u64,
    /// What was agreed to before at other resources: a scope that several of them know is not the same at each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) before: Vec<Agreed>,
}

/// A scope, and the resources at which it was agreed to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Agreed {
    scope: Scope,
    resources: Vec<ResourceUri>,
}

/// So many sets of resources are remembered apart; what was agreed to at others is asked for again.
const AGREED: usize = 20;

impl Consent {
    /// All that was agreed to, the last first.
    fn agreed(&self) -> impl Iterator<Item = (&Scope, &Vec<ResourceUri>)> {
        let before = self.before.iter();
        let before = before.map(|agreed| (&agreed.scope, &agreed.resources));
        std::iter::once((&self.scope, &self.resources)).chain(before)
    }

    /// Whether all of this scope was agreed to at each of these resources.
    pub(crate) fn covers(&self, scope: &Scope, resources: &[ResourceUri]) -> bool {
        let known = |fits: &dyn Fn(&[ResourceUri]) -> bool| {
            let there = self.agreed().filter(|(_, resources)| fits(resources));
            let scopes = there.map(|(scope, _)| scope.clone());
            let known = scopes.reduce(|all, scope| all.union(&scope));
            known.is_some_and(|known| known.contains_all(scope))
        };
        if resources.is_empty() {
            return known(&<[_]>::is_empty);
        }
        let mut resources = resources.iter();
        resources.all(|resource| known(&|all| all.contains(resource)))
    }

    /// Adds what an earlier one says.
    pub(crate) fn add(&mut self, earlier: &Self) {
        for (scope, resources) in earlier.agreed() {
            let same = resources.len() == self.resources.len()
                && resources.iter().all(|one| self.resources.contains(one));
            if same {
                self.scope = self.scope.union(scope);
            } else if self.before.len() < AGREED {
                let (scope, resources) = (scope.clone(), resources.clone());
                self.before.push(Agreed { scope, resources });
            }
        }
    }
}

/// A request that waits for its owner. Whatever the browser says later, only this counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Interaction {
    pub(crate) client_id: ClientId,
    pub(crate) scope: Scope,
    pub(crate) resources: Vec<ResourceUri>,
    pub(crate) flow: Flow,
    /// How the owner is to sign in; none of a device, and of a request that says nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authentication: Option<AuthenticationRequest>,
    pub(crate) expires_at: Timestamp,
    pub(crate) state: InteractionState,
    /// Beside the state, so that nodes of the version before, which do not know it, still read what is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answered: Option<Answered>,
    /// That of the browser which has brought it, if it is not the first of the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flow {
    /// An authorization request (RFC 6749 §4.1.1).
    Code {
        redirect_uri: RedirectUri,
        redirect_uri_was_named: bool,
        state: Option<String>,
        challenge: CodeChallenge,
    },
    /// An authorization request that can only fail. Its client is told when the owner is signed in (RFC 9700 §4.11.2).
    Refused {
        redirect_uri: RedirectUri,
        state: Option<String>,
        error: String,
        error_description: String,
    },
    /// A user code that somebody typed in (RFC 8628 §3.3).
    Device {
        device: Digest,
        #[serde(default)]
        asked: Option<DeviceAsked>,
        /// What was typed in, sealed under the id of this request, which the store does not have.
        sealed_user_code: Digest,
    },
}

impl Flow {
    /// Where an authorization response goes, with its `state`; none for a device.
    pub(crate) fn address(&self) -> Option<(&RedirectUri, Option<&str>)> {
        match self {
            Self::Code {
                redirect_uri,
                state,
                ..
            }
            | Self::Refused {
                redirect_uri,
                state,
                ..
            } => Some((redirect_uri, state.as_deref())),
            Self::Device { .. } => None,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InteractionState {
    Waiting,
    /// The consent page was shown to this owner.
    Asked(AskedOwner),
    Decided,
}

/// Whom a page has asked; the POST that answers it must carry a value made from `nonce`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AskedOwner {
    pub(crate) subject: Subject,
    pub(crate) nonce: Digest,
}

/// The answer to a request. Who clicks twice sees what comes of the second click alone, so the same answer can be given again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) said: Said,
    /// Whom a page had asked by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<AskedOwner>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// Yes, and the last code that was made of it.
    Code {
        approved: Approved,
        code: Digest,
        /// When that code expires.
        until: Timestamp,
    },
    /// Yes to a device.
    Device {
        subject: Subject,
        scope: Scope,
    },
    No,
}

/// How often everything of a subject was revoked at once, and from which clients they have taken all access of late. It counts instead of
/// naming a moment: clocks of several nodes differ.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SubjectEpoch {
    pub(crate) epoch: u64,
    /// How often access was taken from a client, whichever: the number of the last time.
    #[serde(default, skip_serializing_if = "is_zero")]
    removals: u64,
    /// The last removals, one for each client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Removed>,
    /// Up to this number it was any client's.
    #[serde(default, skip_serializing_if = "is_zero")]
    removed_all: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Removed {
    client_id: ClientId,
    number: u64,
    /// When nothing is left that was approved before it and is no grant yet.
    kept_until: Timestamp,
}

/// So many removals are told apart by their client: the record is read with each check of a token, and stays small.
const REMOVALS: usize = 100;

impl SubjectEpoch {
    /// The number of the last removal of a client's access; 0 if none is remembered.
    pub(crate) fn removal(&self, client_id: &ClientId) -> u64 {
        let mut removed = self.removed.iter();
        let last = removed.find(|removed| removed.client_id == *client_id);
        last.map_or(0, |removed| removed.number)
            .max(self.removed_all)
    }

    /// Counts that all access was taken from a client.
    pub(crate) fn remove(&mut self, client_id: &ClientId, now: Timestamp, kept_until: Timestamp) {
        self.removals += 1;
        let stays = |removed: &Removed| removed.client_id != *client_id && removed.kept_until > now;
        self.removed.retain(stays);
        if self.removed.len() >= REMOVALS {
            // What other clients wait for ends as well: they have to ask again, and nothing lives that should not.
            self.removed.clear();
            self.removed_all = self.removals;
            return;
        }
        self.removed.push(Removed {
            client_id: client_id.clone(),
            number: self.removals,
            kept_until,
        });
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a [`Client`] is kept. The type that hosts see has no form of its own, so that no digest of a secret gets into their JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct ClientRecord(#[serde(with = "ClientMembers")] pub(crate) Client);

/// The same, to be written.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct WrittenClient<'a>(
    #[serde(serialize_with = "ClientMembers::serialize")] &'a Client,
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Client")]
struct ClientMembers {
    client_id: ClientId,
    secret: Option<ClientSecret>,
    registered_by: RegisteredBy,
    client_id_issued_at: Timestamp,
    client_name: Option<String>,
    redirect_uris: Vec<RedirectUri>,
    grant_types: Vec<GrantType>,
    scope: Option<Scope>,
    introspects: Introspects,
    disabled: bool,
    expires_at: Timestamp,
    dedupe: Option<Digest>,
    epoch: u64,
    metadata: Map<String, Value>,
}

impl<'a> From<&'a Client> for WrittenClient<'a> {
    fn from(client: &'a Client) -> Self {
        Self(client)
    }
}

impl From<ClientRecord> for Client {
    fn from(record: ClientRecord) -> Self {
        record.0
    }
}

/// From registered metadata to the client that was registered with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientDedupe {
    pub(crate) client_id: ClientId,
    /// With its client.
    pub(crate) expires_at: Timestamp,
}

/// The key under which user codes are kept: they are too short to be kept as a plain digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerKey {
    pub(crate) key: Digest,
}

/// All keys that sign tokens: one record, so that who replaces it has decided.
#[cfg(feature = "jwt")]
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct KeyRing {
    pub(crate) keys: Vec<RingKey>,
}

/// A key, and when it is used: it signs in a part of the time in which others can read it.
#[cfg(feature = "jwt")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RingKey {
    pub(crate) kid: String,
    pub(crate) alg: super::SigningAlgorithm,
    /// From when on it signs.
    pub(crate) signs_from: Timestamp,
    /// When it no longer signs.
    pub(crate) signs_until: Timestamp,
    /// When the last token that it can have signed has expired.
    pub(crate) kept_until: Timestamp,
    pub(crate) private: PrivatePart,
}

/// PKCS#8 in base64url; sealed under a key of the host's, if there is one.
#[cfg(feature = "jwt")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PrivatePart {
    Pkcs8(zeroize::Zeroizing<String>),
    Sealed(String),
}

#[cfg(feature = "jwt")]
impl std::fmt::Debug for PrivatePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivatePart(…)")
    }
}

/// How far apart the clocks of nodes may be: what keeps a JWT alive or dead is kept for this much longer than the JWT itself.
#[cfg(feature = "jwt")]
pub(crate) const CLOCKS: Duration = Duration::from_secs(300);

/// A JWT that was revoked before it expired: it cannot be taken away, so its id is remembered.
#[cfg(feature = "jwt")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RevokedJwt {
    /// That of the token.
    pub(crate) expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{AskedOwner, Code, Interaction, InteractionState, REMOVALS, SubjectEpoch};
    use crate::types::{ClientId, Timestamp};

    fn client(name: &str) -> ClientId {
        name.parse().unwrap()
    }

    const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);

    fn later(seconds: u64) -> Timestamp {
        Timestamp::from_secs(NOW.as_secs() + seconds)
    }

    #[test]
    fn a_removal_is_counted_for_its_client_alone_and_each_has_a_number_of_its_own() {
        let (one, other) = (client("one"), client("other"));
        let mut of_alice = SubjectEpoch::default();
        assert_eq!(of_alice.removal(&one), 0);
        of_alice.remove(&one, NOW, later(10));
        of_alice.remove(&other, NOW, later(10));
        assert_eq!((of_alice.removal(&one), of_alice.removal(&other)), (1, 2));
        of_alice.remove(&one, NOW, later(10));
        assert_eq!((of_alice.removal(&one), of_alice.removal(&other)), (3, 2));
        // What is forgotten leaves no number to be used again.
        of_alice.remove(&other, later(10), later(20));
        assert_eq!((of_alice.removal(&one), of_alice.removal(&other)), (0, 4));
        assert_eq!(of_alice.removed.len(), 1);
    }

    #[test]
    fn removals_without_end_keep_their_record_small_and_end_all_that_should_end() {
        let mut of_alice = SubjectEpoch::default();
        let name = |number: usize| client(&format!("client-{number}"));
        for number in 0..10 * REMOVALS {
            let before = of_alice.removal(&name(number));
            of_alice.remove(&name(number), NOW, later(10));
            assert!(of_alice.removal(&name(number)) > before);
            assert!(of_alice.removed.len() <= REMOVALS);
        }
        assert!((0..10 * REMOVALS).all(|number| of_alice.removal(&name(number)) > 0));
    }

    #[test]
    fn who_has_removed_nothing_has_the_record_that_earlier_versions_write() {
        let read: SubjectEpoch = serde_json::from_value(json!({"epoch": 3})).unwrap();
        assert_eq!(read.removal(&client("one")), 0);
        assert_eq!(serde_json::to_value(&read).unwrap(), json!({"epoch": 3}));
    }

    #[test]
    fn what_was_written_before_requests_said_how_to_sign_in_is_still_read() {
        let approved = json!({"subject": "alice", "scope": "", "resources": [], "client_epoch": 0, "subject_epoch": 0});
        let read: super::Approved = serde_json::from_value(approved.clone()).unwrap();
        assert!(read.authentication.is_unknown());
        assert_eq!(serde_json::to_value(&read).unwrap(), approved);
        let interaction = json!({
            "client_id": "app", "scope": "", "resources": [], "expires_at": 1, "state": "waiting",
            "flow": {"refused": {"redirect_uri": "https://app.example/cb", "state": null, "error": "x", "error_description": "y"}},
        });
        let read: Interaction = serde_json::from_value(interaction.clone()).unwrap();
        assert!(read.authentication.is_none());
        assert_eq!(serde_json::to_value(&read).unwrap(), interaction);
    }

    #[test]
    fn the_version_before_reads_what_is_asked_and_decided_and_the_next_reads_what_it_wrote() {
        // As that version knows it: members that it does not know stay where they are.
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Before {
            Asked { subject: String, nonce: String },
            Decided,
        }
        let record = |state: Value| {
            json!({
                "client_id": "app", "scope": "", "resources": [], "expires_at": 1, "state": state,
                "flow": {"refused": {"redirect_uri": "https://app.example/cb", "state": null, "error": "x", "error_description": "y"}},
            })
        };
        let nonce = super::Digest::of("x", b"y");
        let asked = AskedOwner {
            subject: super::Subject::new("alice").unwrap(),
            nonce,
        };
        let written = serde_json::to_value(InteractionState::Asked(asked.clone())).unwrap();
        let Ok(Before::Asked { subject, nonce }) = serde_json::from_value(written.clone()) else {
            panic!("{written}")
        };
        assert_eq!(
            (subject.as_str(), nonce),
            ("alice", String::from(asked.nonce))
        );
        let mut read: Interaction = serde_json::from_value(record(written)).unwrap();
        assert!(
            matches!(&read.state, InteractionState::Asked(owner) if owner.subject == asked.subject)
        );
        read.state = InteractionState::Decided;
        let said = super::Said::Device {
            subject: asked.subject.clone(),
            scope: super::Scope::empty(),
        };
        read.answered = Some(super::Answered {
            said: said.clone(),
            asked: Some(asked),
        });
        let written = serde_json::to_value(&read).unwrap();
        let before: Before = serde_json::from_value(written["state"].clone()).unwrap();
        assert!(matches!(before, Before::Decided));
        let again: Interaction = serde_json::from_value(written).unwrap();
        assert_eq!(again.answered.unwrap().said, said);
        let of_before: Interaction = serde_json::from_value(record("decided".into())).unwrap();
        assert!(of_before.answered.is_none() && of_before.language.is_none());
    }

    #[test]
    fn two_yeses_are_as_much_as_they_were_and_no_record_of_them_grows_without_end() {
        let yes = |scope: &str, resources: &[String]| super::Consent {
            scope: scope.parse().unwrap(),
            resources: resources.iter().map(|uri| uri.parse().unwrap()).collect(),
            given_at: NOW,
            client_epoch: 0,
            subject_epoch: 0,
            removal: 0,
            before: Vec::new(),
        };
        let at = |name: &str| format!("https://{name}.example/");
        let covers = |all: &super::Consent, scope: &str, resources: &[String]| {
            let asked = yes(scope, resources);
            all.covers(&asked.scope, &asked.resources)
        };
        let (a, b) = (at("a"), at("b"));
        let both = [b.clone(), a.clone()];
        let mut all = yes("read", &[a.clone(), b.clone()]);
        for (scope, resources) in [("write", &both[..]), ("share", &both[..1]), ("", &[])] {
            let mut new = yes(scope, resources);
            new.add(&all);
            all = new;
        }
        assert_eq!(all.before.len(), 2);
        for (scope, resources, covered) in [
            ("read write", &both[..], true),
            ("read write share", &both[..1], true),
            ("share", &both[1..], false),
            ("share", &both[..], false),
            ("", &both[..], true),
            ("", &[at("c")], false),
            ("", &[], true),
            ("read", &[], false),
        ] {
            assert_eq!(
                covers(&all, scope, resources),
                covered,
                "{scope} {resources:?}"
            );
        }
        for number in 0..100 {
            let mut new = yes("read", &[at(&format!("n{number}"))]);
            new.add(&all);
            all = new;
        }
        assert_eq!(all.before.len(), super::AGREED);
        assert!(covers(&all, "read", &[at("n99")]) && covers(&all, "read", &[at("n80")]));
        assert!(!covers(&all, "read", &[a]));
    }

    // req: 9700-4.8.2-1, 7636-PROJ-1
    #[test]
    fn rfc9700_4_8_2_there_is_no_record_of_a_code_without_a_challenge() {
        let challenge = "kj6EpUHcHNLovRS2MBmyXh3DG-X5wwG4xn21qr77nAw";
        let approved = json!({"subject": "alice", "scope": "", "resources": [], "client_epoch": 0, "subject_epoch": 0});
        let code = |challenge: Value| {
            json!({
                "client_id": "app", "redirect_uri": "https://app.example/cb", "redirect_uri_was_named": true,
                "challenge": challenge, "approved": approved, "expires_at": 1, "state": "live",
            })
        };
        assert!(serde_json::from_value::<Code>(code(challenge.into())).is_ok());
        let mut without = code(Value::Null);
        for none in [Value::Null, "".into(), "plain".into()] {
            assert!(serde_json::from_value::<Code>(code(none)).is_err());
        }
        without.as_object_mut().unwrap().remove("challenge");
        assert!(serde_json::from_value::<Code>(without).is_err());
    }
}
