//! Requests that wait for their owner, in the store under an opaque id.

use std::sync::Arc;

use super::authorization_response::{Address, EXPIRED, page_error};
use super::interaction::PendingRequest;
use super::issue::lifetime;
use super::{Answer, Inner, seen};
use crate::protocol::error::OAuthError;
use crate::store::{Insert, Read, Replace};
use crate::types::record::{Answered, AskedOwner, Flow, Interaction, InteractionState, Said};
use crate::types::{Client, Digest, RegisteredBy, Secret};

/// A request in the store, its id, and its client as it is now.
pub(crate) struct Waiting {
    pub(crate) id: Secret,
    pub(crate) read: Read<Interaction>,
    pub(crate) client: Arc<Client>,
}

impl Waiting {
    /// Puts a request into the store under a new id.
    pub(crate) async fn keep(
        server: &Inner,
        client: Arc<Client>,
        record: impl FnOnce(&Secret) -> Interaction,
    ) -> Result<Self, OAuthError> {
        let (id, now) = (Secret::generate()?, server.now());
        let record = record(&id);
        let digest = digest(&id);
        let Insert::Inserted(version) = server.records.create(digest, &record, now).await? else {
            return Err(OAuthError::unavailable("two requests drew one id"));
        };
        Ok(Self {
            id,
            read: Read::new(record, version),
            client,
        })
    }

    /// Reads a request by its id, with its client; none if either is gone.
    pub(crate) async fn find(server: &Inner, id: Secret) -> Result<Option<Self>, OAuthError> {
        let now = server.now();
        let read = server.records.load::<Interaction>(digest(&id), now).await?;
        let Some(read) = read else {
            return Ok(None);
        };
        let known = server.client(&read.record.client_id, now).await?;
        let client = known.map(|known| Arc::clone(&known.client));
        let Some(client) = client.filter(|client| !client.disabled) else {
            return Ok(None);
        };
        seen::client(&client.client_id);
        Ok(Some(Self { id, read, client }))
    }

    pub(crate) fn is_decided(&self) -> bool {
        matches!(self.read.record.state, InteractionState::Decided)
    }

    /// Whom a page has asked, before the answer and after it.
    pub(crate) fn asked(&self) -> Option<&AskedOwner> {
        match &self.read.record.state {
            InteractionState::Asked(asked) => Some(asked),
            InteractionState::Waiting => None,
            InteractionState::Decided => self.read.record.answered.as_ref()?.asked.as_ref(),
        }
    }

    /// The answer that was given, if it may be given again.
    pub(crate) fn said(&self) -> Option<&Said> {
        self.read.record.answered.as_ref().map(|given| &given.said)
    }

    /// Whether it is an invalid request, of which only its error can come.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.read.record.flow, Flow::Refused { .. })
    }

    pub(crate) fn pending(&self, server: &Inner) -> PendingRequest {
        let lifetime = lifetime(server, &self.client);
        PendingRequest::new(&self.id, &self.client, &self.read.record, lifetime)
    }

    /// Whether a yes to this may be remembered: only where the answer goes to an https address that the host vouched for.
    pub(crate) fn is_memorable(&self) -> bool {
        let https = matches!(&self.read.record.flow, Flow::Code { redirect_uri, .. } if redirect_uri.is_https());
        https && self.client.registered_by == RegisteredBy::Host
    }

    /// Tells the client if the flow has an address for it, and the person otherwise.
    pub(crate) fn refuse(&self, server: &Inner, error: &OAuthError) -> Answer {
        match self.address(server) {
            Some(address) => address.error(error).into(),
            None => page_error(error).into(),
        }
    }

    /// Where its authorization response goes; none for a device.
    pub(crate) fn address<'a>(&'a self, server: &'a Inner) -> Option<Address<'a>> {
        let (redirect_uri, state) = self.read.record.flow.address()?;
        let (issuer, client) = (&server.config.issuer, &self.client);
        Some(Address {
            issuer,
            client,
            redirect_uri,
            state,
        })
    }

    /// Writes what the request has become; whoever was first wins, and then this is what was read anew.
    pub(crate) async fn update(
        &mut self,
        server: &Inner,
        state: InteractionState,
    ) -> Result<bool, OAuthError> {
        self.read.record.state = state;
        self.write(server).await
    }

    /// Reads it anew.
    pub(crate) async fn read_again(&mut self, server: &Inner) -> Result<(), OAuthError> {
        *self = Self::find(server, self.id.clone()).await?.ok_or(EXPIRED)?;
        Ok(())
    }

    async fn write(&mut self, server: &Inner) -> Result<bool, OAuthError> {
        let written = server
            .records
            .update(digest(&self.id), self.read.clone())
            .await?;
        self.read_again(server).await?;
        Ok(matches!(written, Replace::Replaced(_)))
    }

    /// Notes that the browser goes to the login, if the request asks for anything that a login can bring about.
    pub(crate) async fn note_login(&mut self, server: &Inner) -> Result<(), OAuthError> {
        while !self.is_decided() {
            match &mut self.read.record.authentication {
                Some(asked) if !asked.was_at_login => asked.was_at_login = true,
                _ => break,
            }
            self.write(server).await?;
        }
        Ok(())
    }

    /// Takes the step to decided; only one caller gets to. What was said is kept, if the same may be said again.
    pub(crate) async fn close(
        &mut self,
        server: &Inner,
        said: Option<Said>,
    ) -> Result<bool, OAuthError> {
        while !self.is_decided() {
            let asked = self.asked().cloned();
            let answered = said.clone().map(|said| Answered { said, asked });
            self.read.record.answered = answered;
            if self.update(server, InteractionState::Decided).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts another code in the place of the one that was made of the same answer before; one of all who try gets to.
    pub(crate) async fn say_again(
        &mut self,
        server: &Inner,
        said: Said,
    ) -> Result<bool, OAuthError> {
        if let Some(answered) = &mut self.read.record.answered {
            answered.said = said;
        }
        self.write(server).await
    }
}

fn digest(id: &Secret) -> Digest {
    Digest::of("interaction", id.expose().as_bytes())
}
