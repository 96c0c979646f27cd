//! The records that there are: under which kind, in which form and for how long each is kept, whose it is, and what it announces.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Kind, Owner};
use crate::types::record::{
    AccessToken, ClientDedupe, ClientRecord, Code, Consent, Device, Grant, Interaction, ServerKey,
    SubjectEpoch, UserCode, WrittenClient,
};
#[cfg(feature = "jwt")]
use crate::types::record::{CLOCKS, KeyRing, RevokedJwt};
use crate::types::{Client, ClientId, Digest, Subject, Timestamp};

/// How long used codes and decided devices are remembered beyond their end, so that a late one is still told what it is.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A record that is kept.
pub(crate) trait Stored: Sized + Send + Sync {
    const KIND: Kind;

    /// Its form in the store, as it is read.
    type Form: DeserializeOwned + Into<Self>;

    /// Its form in the store, as it is written.
    type Written<'a>: Serialize + From<&'a Self>
    where
        Self: 'a;

    /// When it may be forgotten.
    fn expires_at(&self) -> Timestamp;

    fn owners(&self) -> Vec<Owner> {
        Vec::new()
    }

    /// Whether something is dead from this writing on.
    fn announce(&self) -> bool {
        false
    }
}

/// The key of a client's record, and the owner of its grants.
pub(crate) fn client_digest(client_id: &ClientId) -> Digest {
    Digest::of("client", client_id.as_str().as_bytes())
}

/// The key of a subject's epoch, and the owner of its grants.
pub(crate) fn subject_digest(subject: &Subject) -> Digest {
    Digest::of("subject", subject.as_str().as_bytes())
}

/// The key of what an owner has approved for a client before.
pub(crate) fn consent_digest(subject: &Subject, client_id: &ClientId) -> Digest {
    // Neither holds a NUL, so no two pairs run together.
    Digest::of("consent", format!("{subject}\0{client_id}").as_bytes())
}

/// The owner under which all clients are listed.
pub(crate) fn all_clients() -> Owner {
    Digest::of("owner", b"clients")
}

impl Stored for Client {
    const KIND: Kind = Kind::Client;
    type Form = ClientRecord;
    type Written<'a> = WrittenClient<'a>;

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    fn owners(&self) -> Vec<Owner> {
        vec![all_clients()]
    }

    fn announce(&self) -> bool {
        true // rare, and what a cached answer rests on
    }
}

impl Stored for ClientDedupe {
    const KIND: Kind = Kind::ClientDedupe;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl Stored for Grant {
    const KIND: Kind = Kind::Grant;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    fn owners(&self) -> Vec<Owner> {
        vec![
            subject_digest(&self.approved.subject),
            client_digest(&self.client_id),
        ]
    }

    fn announce(&self) -> bool {
        self.revoked
    }
}

impl Stored for Code {
    const KIND: Kind = Kind::Code;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        self.expires_at.saturating_add(REMEMBERED)
    }
}

impl Stored for Device {
    const KIND: Kind = Kind::Device;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        self.expires_at.saturating_add(REMEMBERED)
    }
}

impl Stored for UserCode {
    const KIND: Kind = Kind::UserCode;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        // As long as its device code is kept: a code is not shown to somebody else while the first device may still ask.
        self.expires_at.saturating_add(REMEMBERED)
    }
}

impl Stored for AccessToken {
    const KIND: Kind = Kind::AccessToken;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl Stored for Consent {
    const KIND: Kind = Kind::Consent;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        Timestamp::MAX
    }
}

impl Stored for Interaction {
    const KIND: Kind = Kind::Interaction;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl Stored for SubjectEpoch {
    const KIND: Kind = Kind::SubjectEpoch;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        Timestamp::MAX
    }

    fn announce(&self) -> bool {
        true
    }
}

impl Stored for ServerKey {
    const KIND: Kind = Kind::ServerKey;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        Timestamp::MAX
    }
}

#[cfg(feature = "jwt")]
impl Stored for KeyRing {
    const KIND: Kind = Kind::KeyRing;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        Timestamp::MAX
    }

    fn announce(&self) -> bool {
        true // other nodes are to know a new key before it is used, and at once when one is taken away
    }
}

#[cfg(feature = "jwt")]
impl Stored for RevokedJwt {
    const KIND: Kind = Kind::RevokedJwt;
    type Form = Self;
    type Written<'a> = &'a Self;

    fn expires_at(&self) -> Timestamp {
        self.expires_at.saturating_add(CLOCKS)
    }

    fn announce(&self) -> bool {
        true
    }
}
