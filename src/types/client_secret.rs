//! What the server keeps of a client secret (RFC 6749 §2.3.1).

use argon2::Argon2;
use serde::{Deserialize, Serialize};

use super::{ClientId, Digest, Secret, Timestamp, random};

/// Secrets of at least this many characters are taken for generated, and a fast digest suffices for them; shorter ones for something
/// that a person thought of.
const GENERATED: usize = 32;

/// A digest of a client secret. Of a secret that a person may have chosen it is a slow one: Argon2id with 19 MiB and two passes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientSecret {
    digest: Digest,
    pub(crate) expires_at: Timestamp,
    /// Of slow digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<Digest>,
}

impl ClientSecret {
    /// What is kept of a client's secret. Takes some 20 milliseconds if a person may have chosen it.
    pub(crate) fn new(client_id: &ClientId, secret: &Secret) -> Self {
        let salt = may_be_chosen(secret.expose()).then(|| {
            // Without randomness the name of the client is better than nothing: no two clients share it.
            let name = Digest::of("salt", client_id.as_str().as_bytes());
            random().map_or(name, |bytes| Digest::from_bytes(*bytes))
        });
        Self {
            digest: match &salt {
                Some(salt) => slow(secret.expose(), salt),
                None => fast(secret.expose()),
            },
            expires_at: Timestamp::MAX,
            salt,
        }
    }

    /// What a secret proves of a client that keeps this, if it keeps any. How long that takes depends on what was presented alone.
    pub(crate) fn prove(ours: Option<&Self>, presented: &Secret, now: Timestamp) -> Proof {
        let ours = ours.filter(|ours| now < ours.expires_at);
        if may_be_chosen(presented.expose()) {
            return Proof::Slow(SlowProof {
                ours: ours.cloned(),
                presented: presented.clone(),
            });
        }
        let theirs = fast(presented.expose());
        match ours {
            Some(ours) if ours.digest == theirs => Proof::Holds,
            _ => Proof::Fails,
        }
    }
}

/// What a secret proves.
#[derive(Debug)]
pub(crate) enum Proof {
    Holds,
    Fails,
    /// It takes a slow digest to tell.
    Slow(SlowProof),
}

/// A secret that a person may have chosen, and what it is compared with.
#[derive(Debug)]
pub(crate) struct SlowProof {
    ours: Option<ClientSecret>,
    presented: Secret,
}

impl SlowProof {
    /// Whether the secret is right. Takes some 20 milliseconds of a processor and 19 MiB, whether there is anything to compare it with or
    /// not: not to be done on a thread that serves requests.
    pub(crate) fn holds(&self) -> bool {
        let nobody = Digest::from_bytes([0; 32]);
        let salt = self.ours.as_ref().and_then(|ours| ours.salt);
        let stretched = slow(self.presented.expose(), &salt.unwrap_or(nobody));
        self.ours.as_ref().is_some_and(|ours| match ours.salt {
            Some(_) => ours.digest == stretched,
            // Kept before slow digests were.
            None => ours.digest == fast(self.presented.expose()),
        })
    }

    /// By what a right secret is known again by the process that has found it right; `None` if there is nothing to compare it with.
    pub(crate) fn remembered_as(&self) -> Option<Digest> {
        self.ours.as_ref()?;
        Some(fast(self.presented.expose()))
    }
}

fn may_be_chosen(secret: &str) -> bool {
    secret.len() < GENERATED
}

fn fast(secret: &str) -> Digest {
    Digest::of("client_secret", secret.as_bytes())
}

fn slow(secret: &str, salt: &Digest) -> Digest {
    let mut stretched = [0; 32];
    // Fails for lengths alone that these are not of; were it to, nothing would equal what came of it but itself.
    let made =
        Argon2::default().hash_password_into(secret.as_bytes(), salt.as_bytes(), &mut stretched);
    match made {
        Ok(()) => Digest::from_bytes(stretched),
        Err(_) => fast(secret),
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientSecret, Proof};
    use crate::types::{ClientId, Digest, Secret, Timestamp};

    const NOW: Timestamp = Timestamp::from_secs(1000);
    const CHOSEN: &str = "correct horse battery staple";

    fn id() -> ClientId {
        "c1".parse().unwrap()
    }

    fn proves(ours: Option<&ClientSecret>, presented: &str) -> (bool, bool) {
        match ClientSecret::prove(ours, &Secret::new(presented), NOW) {
            Proof::Holds => (true, false),
            Proof::Fails => (false, false),
            Proof::Slow(proof) => (proof.holds(), true),
        }
    }

    #[test]
    fn s19_a_generated_secret_is_compared_fast_and_a_chosen_one_slowly() {
        let generated = Secret::generate().unwrap();
        let ours = ClientSecret::new(&id(), &generated);
        assert_eq!(proves(Some(&ours), generated.expose()), (true, false));
        let other = Secret::generate().unwrap();
        assert_eq!(proves(Some(&ours), other.expose()), (false, false));
        let ours = ClientSecret::new(&id(), &Secret::new(CHOSEN));
        assert_eq!(proves(Some(&ours), CHOSEN), (true, true));
        assert_eq!(proves(Some(&ours), "correct horse"), (false, true));
    }

    #[test]
    fn s18_the_time_depends_on_what_is_presented_alone() {
        let ours = ClientSecret::new(&id(), &Secret::new(CHOSEN));
        let generated = ClientSecret::new(&id(), &Secret::generate().unwrap());
        for ours in [None, Some(&ours), Some(&generated)] {
            assert_eq!(proves(ours, "wrong"), (false, true));
            assert_eq!(proves(ours, &"w".repeat(40)), (false, false));
        }
    }

    #[test]
    fn s19_a_secret_of_32_characters_is_taken_for_a_generated_one_and_a_shorter_one_is_not() {
        for (length, slow) in [(31, true), (32, false)] {
            let secret = "w".repeat(length);
            let ours = ClientSecret::new(&id(), &Secret::new(&*secret));
            assert_eq!(proves(Some(&ours), &secret), (true, slow), "{length}");
        }
    }

    #[test]
    fn two_clients_with_one_chosen_secret_do_not_look_alike_in_the_store() {
        let secret = Secret::new(CHOSEN);
        let (one, two) = (
            ClientSecret::new(&id(), &secret),
            ClientSecret::new(&id(), &secret),
        );
        assert!(one.digest != two.digest);
        assert!(one.digest != Digest::of("client_secret", CHOSEN.as_bytes()));
    }

    #[test]
    fn s26_a_secret_that_has_ended_proves_nothing() {
        for secret in [CHOSEN.to_owned(), "g".repeat(43)] {
            let mut ours = ClientSecret::new(&id(), &Secret::new(&*secret));
            ours.expires_at = NOW;
            assert!(!proves(Some(&ours), &secret).0);
        }
    }

    #[test]
    fn a_short_secret_that_was_kept_as_a_fast_digest_still_holds() {
        let record = r#"{"digest":"DIGEST","expires_at":18446744073709551615}"#;
        let digest = String::from(Digest::of("client_secret", b"kept before"));
        let ours = serde_json::from_str(&record.replace("DIGEST", &digest)).unwrap();
        assert_eq!(proves(Some(&ours), "kept before"), (true, true));
        assert_eq!(proves(Some(&ours), "kept behind"), (false, true));
    }
}
