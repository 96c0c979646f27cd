//! Clients that this process has read already: almost every request begins with one, and they hardly ever change.
//!
//! As everywhere, a flag is registered *before* the store is read, and what is kept is believed only while it is not raised. A client
//! that is not there is asked for again each time.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::Inner;
use crate::store::{Key, Kind, StoreError, client_digest};
use crate::types::{Client, ClientId, Digest, Flag, Timestamp};

/// The most that are kept. When there are more, all are forgotten: those in use are read again.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct KnownClients(RwLock<HashMap<ClientId, Arc<Known>>>);

/// A client, and the flag that is raised when it changes.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) client: Arc<Client>,
    pub(crate) flag: Flag,
    /// By what the secret is known again that it proved itself with, if a person may have chosen that: it takes long to prove.
    pub(crate) proven: OnceLock<Digest>,
}

impl KnownClients {
    fn get(&self, client_id: &ClientId, now: Timestamp) -> Option<Arc<Known>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(client_id)?;
        let fresh = !known.flag.is_set() && now < known.client.expires_at;
        fresh.then(|| known.clone())
    }

    fn keep(&self, known: &Arc<Known>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(known.client.client_id.clone(), known.clone());
    }

    /// For what changes about a client and ends nothing, so that no flag is raised: it is read again.
    pub(crate) fn forget(&self, client_id: &ClientId) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(client_id);
    }
}

impl Inner {
    /// A client as it is now.
    pub(crate) async fn client(
        &self,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        if let Some(known) = self.known_clients.get(client_id, now) {
            return Ok(Some(known));
        }
        let digest = client_digest(client_id);
        let flag = self.flags.register(Key::new(Kind::Client, digest));
        let Some(read) = self.records.load::<Client>(digest, now).await? else {
            return Ok(None);
        };
        let known = Arc::new(Known {
            client: Arc::new(read.record),
            flag,
            proven: OnceLock::new(),
        });
        self.known_clients.keep(&known);
        Ok(Some(known))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use super::{Known, KnownClients, MOST};
    use crate::types::{Client, Flag, Timestamp};

    fn known(id: &str, expires_at: Timestamp) -> Arc<Known> {
        let mut client = Client::public(id.parse().unwrap());
        client.expires_at = expires_at;
        Arc::new(Known {
            client: Arc::new(client),
            flag: Flag::new(),
            proven: OnceLock::new(),
        })
    }

    #[test]
    fn s06_a_client_is_known_until_it_changes_or_expires() {
        let ends = Timestamp::from_secs(1000);
        let (clients, known) = (KnownClients::default(), known("c1", ends));
        let id = known.client.client_id.clone();
        assert!(clients.get(&id, Timestamp::from_secs(1)).is_none());
        clients.keep(&known);
        assert!(clients.get(&id, Timestamp::from_secs(999)).is_some());
        assert!(clients.get(&id, ends).is_none());
        known.flag.set();
        assert!(clients.get(&id, Timestamp::from_secs(1)).is_none());
    }

    #[test]
    fn s20_no_more_are_kept_than_there_is_room_for() {
        let clients = KnownClients::default();
        let keep = |number: usize| {
            clients.keep(&known(&number.to_string(), Timestamp::MAX));
            clients.0.read().unwrap().len()
        };
        for number in 0..MOST {
            assert_eq!(keep(number), number + 1);
        }
        assert_eq!(keep(MOST), 1);
    }
}
