//! The host's hand on what owners have granted.

use std::time::Duration;

use super::token::revoke_grant;
use super::{Event, Inner, RevokedBy};
use crate::store::{
    Insert, Key, Kind, Owner, Replace, StoreError, client_digest, consent_digest, subject_digest,
};
use crate::types::record::{Consent, Grant, SubjectEpoch};
use crate::types::{Client, ClientId, ResourceUri, Scope, Subject, Timestamp};

/// For how much longer than any code or device a removal is remembered: nodes may be set differently, and their clocks too.
const LONGER: Duration = Duration::from_secs(24 * 3600);

/// What owners have granted: from [`AuthorizationServer::grants`](super::AuthorizationServer::grants).
///
/// Every method may fail with a [`StoreError`], and then nothing is known about what was asked.
#[derive(Debug, Clone, Copy)]
pub struct Grants<'a>(pub(crate) &'a Inner);

/// Something that an owner has granted to a client, alive.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Granted {
    /// Its name, for [`Grants::revoke`]: no secret.
    pub id: String,
    /// To whom.
    pub client_id: ClientId,
    /// By whom.
    pub subject: Subject,
    /// What.
    pub scope: Scope,
    /// For which resources.
    pub resources: Vec<ResourceUri>,
    /// Since when.
    pub granted_at: Timestamp,
    /// Until when, however often it is refreshed.
    pub ends_at: Timestamp,
}

impl Grants<'_> {
    /// What a subject has granted and is alive.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn by_subject(&self, subject: &Subject) -> Result<Vec<Granted>, StoreError> {
        self.alive(subject_digest(subject)).await
    }

    /// What was granted to a client and is alive.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn by_client(&self, client_id: &ClientId) -> Result<Vec<Granted>, StoreError> {
        self.alive(client_digest(client_id)).await
    }

    async fn alive(&self, owner: Owner) -> Result<Vec<Granted>, StoreError> {
        let (now, mut found) = (self.0.now(), Vec::new());
        let mut pages = self.0.records.owned::<Grant>(owner);
        while let Some(page) = pages.next(now).await? {
            for (_, grant) in page {
                if grant.ends_at > now && is_alive(self.0, &grant, now).await? {
                    found.push(Granted::from(grant));
                }
            }
        }
        Ok(found)
    }

    /// Revokes one grant of a subject by its [`Granted::id`], with all tokens under it, and forgets the consent; says whether there
    /// was such a grant. What else its client has, or is about to get, stays: [`revoke_client`](Self::revoke_client) ends that too.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn revoke(&self, subject: &Subject, id: &str) -> Result<bool, StoreError> {
        let now = self.0.now();
        let mut pages = self.0.records.owned::<Grant>(subject_digest(subject));
        while let Some(page) = pages.next(now).await? {
            let Some((digest, grant)) = page.into_iter().find(|(_, grant)| grant.id == id) else {
                continue;
            };
            // The consent first: were it last and left over, the grant would be gone from every list, and the client would get
            // the next one unasked.
            self.0
                .records
                .remove::<Consent>(consent_digest(subject, &grant.client_id))
                .await?;
            revoke_grant(self.0, digest, now, RevokedBy::Host).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Revokes all that a subject has granted to a client, with all tokens under it, and forgets the consent; says whether a grant was
    /// alive. What they have approved and the client has not fetched yet (a code on its way, a device that has not asked since) will be
    /// `invalid_grant`. What they approve from now on lives.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn revoke_client(
        &self,
        subject: &Subject,
        client_id: &ClientId,
    ) -> Result<bool, StoreError> {
        self.end(subject, client_id, RevokedBy::Host).await
    }

    pub(crate) async fn end(
        &self,
        subject: &Subject,
        client_id: &ClientId,
        by: RevokedBy,
    ) -> Result<bool, StoreError> {
        let (now, records) = (self.0.now(), &self.0.records);
        let lifetimes = &self.0.config.lifetimes;
        let longest = lifetimes.authorization_code.max(lifetimes.device_code);
        let kept_until = now.saturating_add(longest).saturating_add(LONGER);
        // Counted first: who keeps a grant that was approved before looks at the count afterwards, so either they see this, or the
        // grant is listed below. The consent before the grants, as above.
        self.count(subject, |revoked| {
            revoked.remove(client_id, now, kept_until)
        })
        .await?;
        records
            .remove::<Consent>(consent_digest(subject, client_id))
            .await?;
        let mut ended = false;
        let mut pages = records.owned::<Grant>(subject_digest(subject));
        while let Some(page) = pages.next(now).await? {
            let theirs = |grant: &Grant| {
                grant.client_id == *client_id && grant.ends_at > now && !grant.revoked
            };
            for (digest, _) in page.into_iter().filter(|(_, grant)| theirs(grant)) {
                revoke_grant(self.0, digest, now, by).await?;
                ended = true;
            }
        }
        Ok(ended)
    }

    /// Kills everything that was ever issued for a subject: codes that are not redeemed yet, grants, tokens, remembered consent.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn revoke_all_of_subject(&self, subject: &Subject) -> Result<(), StoreError> {
        self.count(subject, |revoked| revoked.epoch += 1).await?;
        let key = Key::new(Kind::SubjectEpoch, subject_digest(subject));
        self.0.flags.raise(key);
        self.0.tell(&Event::SubjectRevoked { subject });
        Ok(())
    }

    /// Changes what is counted of a subject.
    async fn count(
        &self,
        subject: &Subject,
        change: impl Fn(&mut SubjectEpoch),
    ) -> Result<(), StoreError> {
        let (digest, now) = (subject_digest(subject), self.0.now());
        let records = &self.0.records;
        loop {
            let done = match records.load::<SubjectEpoch>(digest, now).await? {
                None => {
                    let mut first = SubjectEpoch::default();
                    change(&mut first);
                    records.create(digest, &first, now).await? != Insert::Exists
                }
                Some(mut read) => {
                    change(&mut read.record);
                    records.update(digest, read).await? != Replace::Changed
                }
            };
            if done {
                return Ok(());
            }
        }
    }

    /// Kills everything that was ever issued to a client; says whether there is such a client. The same as
    /// [`Clients::revoke_tokens`](super::Clients::revoke_tokens).
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn revoke_all_of_client(&self, client_id: &ClientId) -> Result<bool, StoreError> {
        super::Clients(self.0).revoke_tokens(client_id).await
    }
}

/// Whether a grant, its client and its subject are alive.
async fn is_alive(server: &Inner, grant: &Grant, now: Timestamp) -> Result<bool, StoreError> {
    let approved = &grant.approved;
    let client = server
        .records
        .load::<Client>(client_digest(&grant.client_id), now)
        .await?;
    let client = client
        .is_some_and(|read| !read.record.disabled && read.record.epoch == approved.client_epoch);
    let epoch = server.records.subject_epoch(&approved.subject, now).await?;
    Ok(client && !grant.revoked && epoch == approved.subject_epoch)
}

impl From<Grant> for Granted {
    fn from(grant: Grant) -> Self {
        Self {
            id: grant.id,
            client_id: grant.client_id,
            subject: grant.approved.subject,
            scope: grant.approved.scope,
            resources: grant.approved.resources,
            granted_at: grant.granted_at,
            ends_at: grant.ends_at,
        }
    }
}
