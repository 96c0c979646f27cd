//! The host's hand on clients.

use super::{Event, Grants, Inner};
use crate::store::{Insert, Key, Kind, Read, Replace, StoreError, all_clients, client_digest};
use crate::types::{Client, ClientId, ClientSecret, Secret, Subject};

/// The clients of a server: from [`AuthorizationServer::clients`](super::AuthorizationServer::clients).
///
/// Every method may fail with a [`StoreError`], and then nothing is known about what was asked.
#[derive(Debug, Clone, Copy)]
pub struct Clients<'a>(pub(crate) &'a Inner);

/// How [`Clients::create`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle every outcome")]
pub enum CreateClient {
    /// The client stands in the store.
    Created,
    /// Another client has this id; nothing was written.
    Exists,
    /// A person has this name, and something that they granted is alive; nothing was kept. The `sub` of a client that speaks for
    /// itself is its id, so the two would be taken for each other (RFC 9700 §4.15).
    NameOfSubject,
}

impl Clients<'_> {
    /// Puts a client into the store, vouched for by the host. An id that the host's people could have too is best avoided: from then on,
    /// nobody of that name is given tokens.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn create(&self, client: Client) -> Result<CreateClient, StoreError> {
        let now = self.0.now();
        let client = Client {
            client_id_issued_at: now,
            ..client
        };
        let (client_id, by) = (client.client_id.clone(), client.registered_by);
        let (digest, name) = (client_digest(&client_id), Subject::new(client_id.as_str()));
        if self.0.records.create(digest, &client, now).await? == Insert::Exists {
            return Ok(CreateClient::Exists);
        }
        // It is written before it is looked: who redeems a code of that person meanwhile does so too, and one of the two sees the other.
        if let Ok(subject) = name
            && !Grants(self.0).by_subject(&subject).await?.is_empty()
        {
            self.0.records.remove::<Client>(digest).await?;
            // Who asked for it in between knows it.
            self.0.flags.raise(Key::new(Kind::Client, digest));
            return Ok(CreateClient::NameOfSubject);
        }
        let client_id = &client_id;
        self.0.tell(&Event::ClientRegistered { client_id, by });
        Ok(CreateClient::Created)
    }

    /// Reads a client.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn get(&self, client_id: &ClientId) -> Result<Option<Client>, StoreError> {
        Ok(self.load(client_id).await?.map(|read| read.record))
    }

    /// All clients, those that registered themselves included, in no particular order.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn list(&self) -> Result<Vec<Client>, StoreError> {
        let (mut pages, mut clients) = (self.0.records.owned::<Client>(all_clients()), Vec::new());
        while let Some(page) = pages.next(self.0.now()).await? {
            clients.extend(page.into_iter().map(|(_, client)| client));
        }
        Ok(clients)
    }

    /// Switches a client off, and kills everything that was issued to it, or on again; says whether there is such a client. What was
    /// issued before stays dead.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn disable(&self, client_id: &ClientId, disabled: bool) -> Result<bool, StoreError> {
        let changed = self
            .change(client_id, |client| {
                client.disabled = disabled;
                client.epoch += u64::from(disabled);
            })
            .await?;
        if changed {
            self.0.tell(&if disabled {
                Event::ClientDisabled { client_id }
            } else {
                Event::ClientEnabled { client_id }
            });
        }
        Ok(changed)
    }

    /// Kills everything that was issued to a client: codes, grants, tokens. Says whether there is such a client; it may go on.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn revoke_tokens(&self, client_id: &ClientId) -> Result<bool, StoreError> {
        let changed = self.change(client_id, |client| client.epoch += 1).await?;
        if changed {
            self.0.tell(&Event::ClientRevoked { client_id });
        }
        Ok(changed)
    }

    /// Gives a confidential client a new secret; the old one is worth nothing from then on. `None` if there is no such client, or
    /// it has no secret.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the operating system gave no random bytes.
    pub async fn rotate_secret(&self, client_id: &ClientId) -> Result<Option<Secret>, StoreError> {
        let secret = Secret::generate().map_err(StoreError::new)?;
        let Some(read) = self.load(client_id).await? else {
            return Ok(None);
        };
        if !read.record.is_confidential() {
            return Ok(None);
        }
        let changed = self
            .change(client_id, |client| {
                client.secret = Some(ClientSecret::new(&client.client_id, &secret))
            })
            .await?;
        if changed {
            self.0.tell(&Event::ClientSecretRotated { client_id });
        }
        Ok(changed.then_some(secret))
    }

    async fn load(&self, client_id: &ClientId) -> Result<Option<Read<Client>>, StoreError> {
        self.0
            .records
            .load(client_digest(client_id), self.0.now())
            .await
    }

    async fn change(
        &self,
        client_id: &ClientId,
        change: impl Fn(&mut Client) + Send,
    ) -> Result<bool, StoreError> {
        let digest = client_digest(client_id);
        loop {
            let Some(mut read) = self.load(client_id).await? else {
                return Ok(false);
            };
            change(&mut read.record);
            if let Replace::Replaced(_) = self.0.records.update(digest, read).await? {
                self.0.flags.raise(Key::new(Kind::Client, digest));
                return Ok(true);
            }
        }
    }
}
