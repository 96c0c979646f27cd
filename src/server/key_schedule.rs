//! When keys are made, used and forgotten. Pure: it takes `now`, and makes no key itself.
//!
//! ```text
//!        made          signs_from                signs_until           kept_until
//!          |- published -|------- signs, published -------|- published ----|
//!                                  next key: |- published -|---- signs …
//! ```

use std::time::Duration;

use super::event::Event;
use crate::types::record::{KeyRing, RingKey};
use crate::types::{SigningAlgorithm, Timestamp};

/// How long keys live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// How long a key signs.
    pub(crate) rotation: Duration,
    /// How long a key is published before it signs: longer than anybody keeps a JWK set.
    pub(crate) ahead: Duration,
    /// How long a key is published after it has signed: as long as the longest token lives, and some more for clocks that differ.
    pub(crate) after: Duration,
}

/// What is to be done with a ring.
#[derive(Debug)]
pub(crate) struct Change {
    /// The ring without what is over, and with the last key of each algorithm signing until the next one does.
    pub(crate) ring: KeyRing,
    /// The keys to be made: what for, from when and until when they sign.
    pub(crate) make: Vec<(SigningAlgorithm, Timestamp, Timestamp)>,
}

impl KeyRing {
    /// What is to be done now, if anything is.
    pub(crate) fn change(
        &self,
        algorithms: &[SigningAlgorithm],
        schedule: Schedule,
        now: Timestamp,
    ) -> Option<Change> {
        let mut ring = self.clone();
        ring.keys.retain(|key| now < key.kept_until);
        let mut changed = ring.keys.len() != self.keys.len();
        let mut make = Vec::new();
        for &algorithm in algorithms {
            let soon = now.saturating_add(schedule.ahead);
            let mut keys = ring.keys.iter_mut().filter(|key| key.alg == algorithm);
            let from = match keys.by_ref().max_by_key(|key| key.signs_until) {
                // Nobody knows a key yet: there is no other to sign with meanwhile.
                None => now,
                Some(last) => {
                    let due = last.signs_until <= soon;
                    // A node that was down or late does not use a key before it was published for long enough.
                    last.signs_until = if due { soon } else { last.signs_until };
                    if !due {
                        continue;
                    }
                    last.signs_until
                }
            };
            make.push((algorithm, from, from.saturating_add(schedule.rotation)));
        }
        for key in &mut ring.keys {
            // Tokens may live longer than when the key was made: each key outlives what it signs from now on.
            let kept = key.signs_until.saturating_add(schedule.after);
            changed |= kept > key.kept_until;
            key.kept_until = key.kept_until.max(kept);
        }
        changed |= ring.close_gaps(now);
        (changed || !make.is_empty()).then_some(Change { ring, make })
    }

    /// Where the key that signs was taken away, the one that is next signs from now on.
    fn close_gaps(&mut self, now: Timestamp) -> bool {
        let gaps = |alg| {
            !self
                .keys
                .iter()
                .any(|key| key.alg == alg && key.signs_at(now))
        };
        let waits = |key: &&RingKey| key.signs_from > now && gaps(key.alg);
        let next = self
            .keys
            .iter()
            .filter(waits)
            .min_by_key(|key| key.signs_from);
        let Some(kid) = next.map(|key| key.kid.clone()) else {
            return false;
        };
        for key in self.keys.iter_mut().filter(|key| key.kid == kid) {
            key.signs_from = now;
        }
        self.close_gaps(now);
        true
    }

    /// Ends the use of every key that signs, as soon as another can take over.
    pub(crate) fn end_early(&mut self, schedule: Schedule, now: Timestamp) {
        let soon = now.saturating_add(schedule.ahead);
        for key in &mut self.keys {
            if key.signs_at(now) {
                key.signs_until = key.signs_until.min(soon);
            } else {
                key.signs_from = key.signs_from.min(soon);
            }
        }
    }

    /// What is to be told when this ring has become that one.
    pub(crate) fn told<'a>(&'a self, after: &'a Self) -> Vec<Event<'a>> {
        let was = |kid: &str| self.keys.iter().find(|key| key.kid == kid);
        let mut told = Vec::new();
        for RingKey { kid, alg, .. } in &self.keys {
            let alg = *alg;
            let Some(now) = after.keys.iter().find(|key| key.kid == *kid) else {
                told.push(Event::SigningKeyRemoved { kid, alg });
                continue;
            };
            let follows = |key: &RingKey| {
                let old = was(&key.kid);
                let is_new = old.is_none_or(|old| old.signs_from != key.signs_from);
                is_new && key.alg == alg && key.signs_from == now.signs_until
            };
            if after.keys.iter().any(follows) {
                told.push(Event::SigningKeyRotated { kid, alg });
            }
        }
        let made = after.keys.iter().filter(|key| was(&key.kid).is_none());
        told.extend(made.map(|RingKey { kid, alg, .. }| Event::SigningKeyMade { kid, alg: *alg }));
        told
    }

    /// When the next change may be due, if nobody else makes one.
    pub(crate) fn next_change(
        &self,
        algorithms: &[SigningAlgorithm],
        schedule: Schedule,
    ) -> Timestamp {
        let ends = self.keys.iter().map(|key| key.kept_until);
        let last = |algorithm: &SigningAlgorithm| {
            let keys = self.keys.iter().filter(|key| key.alg == *algorithm);
            let until = keys
                .map(|key| key.signs_until)
                .max()
                .map(Timestamp::as_secs);
            let ahead = schedule.ahead.as_secs();
            Timestamp::from_secs(until.unwrap_or(0).saturating_sub(ahead))
        };
        ends.chain(algorithms.iter().map(last))
            .min()
            .unwrap_or(Timestamp::from_secs(0))
    }
}

impl RingKey {
    pub(crate) fn signs_at(&self, now: Timestamp) -> bool {
        self.signs_from <= now && now < self.signs_until
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Schedule;
    use crate::types::record::{KeyRing, PrivatePart, RingKey};
    use crate::types::{SigningAlgorithm, Timestamp};

    const DAY: u64 = 86_400;
    const SCHEDULE: Schedule = Schedule {
        rotation: Duration::from_secs(30 * DAY),
        ahead: Duration::from_secs(DAY),
        after: Duration::from_secs(600),
    };
    const ES: &[SigningAlgorithm] = &[SigningAlgorithm::Es256];

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// Does what is to be done now, and says how many keys were made.
    fn step(ring: &mut KeyRing, algorithms: &[SigningAlgorithm], now: Timestamp) -> usize {
        let Some(change) = ring.change(algorithms, SCHEDULE, now) else {
            return 0;
        };
        let made = change.make.len();
        *ring = change.ring;
        for (alg, signs_from, signs_until) in change.make {
            ring.keys.push(RingKey {
                kid: format!("{alg:?}-{}", now.as_secs()),
                alg,
                signs_from,
                signs_until,
                kept_until: signs_until.saturating_add(SCHEDULE.after),
                private: PrivatePart::Sealed(String::new()),
            });
        }
        assert!(
            ring.change(algorithms, SCHEDULE, now).is_none(),
            "done once, nothing is left to do"
        );
        made
    }

    fn signing(ring: &KeyRing, alg: SigningAlgorithm, now: Timestamp) -> Vec<&str> {
        let keys = ring.keys.iter();
        keys.filter(|key| key.alg == alg && key.signs_at(now))
            .map(|key| key.kid.as_str())
            .collect()
    }

    #[test]
    fn the_first_key_signs_at_once_and_each_other_is_published_before() {
        let mut ring = KeyRing::default();
        assert_eq!(step(&mut ring, ES, at(0)), 1);
        let mut published: Vec<(String, u64)> = Vec::new();
        let mut made = 1;
        for hour in 0..24 * 365 {
            let now = at(hour * 3600);
            made += step(&mut ring, ES, now);
            for key in &ring.keys {
                if !published.iter().any(|(kid, _)| *kid == key.kid) {
                    published.push((key.kid.clone(), now.as_secs()));
                }
            }
            let signing = signing(&ring, SigningAlgorithm::Es256, now);
            let [kid] = signing[..] else {
                panic!("{signing:?} sign at {hour}")
            };
            let since = published.iter().find(|(known, _)| known == kid).unwrap().1;
            assert!(
                since == 0 || now.as_secs() - since >= DAY,
                "{kid} at {hour}"
            );
        }
        assert_eq!(made, 13, "one in thirty days, and the first");
        assert!(ring.keys.len() <= 2, "what is over is forgotten");
    }

    #[test]
    fn a_key_is_kept_until_its_last_token_has_expired() {
        let mut ring = KeyRing::default();
        step(&mut ring, ES, at(0));
        let first = ring.keys[0].kid.clone();
        let has_first = |ring: &KeyRing| ring.keys.iter().any(|key| key.kid == first);
        step(&mut ring, ES, at(29 * DAY));
        assert_eq!(ring.keys.len(), 2);
        step(&mut ring, ES, at(30 * DAY + 599));
        assert!(has_first(&ring), "its last token still lives");
        step(&mut ring, ES, at(30 * DAY + 600));
        assert!(!has_first(&ring));
    }

    #[test]
    fn after_a_long_rest_the_old_key_signs_until_the_new_one_was_published_for_long_enough() {
        let mut ring = KeyRing::default();
        step(&mut ring, ES, at(0));
        let late = 30 * DAY + 300; // it no longer signs, but is still published
        assert_eq!(step(&mut ring, ES, at(late)), 1);
        let first = ring.keys[0].kid.clone();
        assert_eq!(signing(&ring, SigningAlgorithm::Es256, at(late)), [first]);
        let new = ring.keys[1].kid.clone();
        assert_eq!(
            signing(&ring, SigningAlgorithm::Es256, at(late + DAY)),
            [new]
        );
        // Once nobody can know the old one any more, the new one signs at once.
        let mut ring = KeyRing::default();
        step(&mut ring, ES, at(0));
        assert_eq!(step(&mut ring, ES, at(300 * DAY)), 1);
        assert_eq!(ring.keys.len(), 1);
        assert!(ring.keys[0].signs_at(at(300 * DAY)));
    }

    #[test]
    fn an_algorithm_that_is_no_longer_used_goes_when_its_tokens_have() {
        let both = [SigningAlgorithm::Es256, SigningAlgorithm::Rs256];
        let mut ring = KeyRing::default();
        assert_eq!(step(&mut ring, &both, at(0)), 2);
        let one = &both[..1];
        assert_eq!(step(&mut ring, one, at(29 * DAY)), 1, "none for the other");
        let rsa = |ring: &KeyRing| ring.keys.iter().any(|key| key.alg == both[1]);
        assert!(rsa(&ring));
        step(&mut ring, one, at(30 * DAY + 600));
        assert!(!rsa(&ring));
    }

    #[test]
    fn tokens_that_live_longer_from_now_on_keep_their_key() {
        let mut ring = KeyRing::default();
        step(&mut ring, ES, at(0));
        let longer = Schedule {
            after: Duration::from_secs(DAY),
            ..SCHEDULE
        };
        let change = ring.change(ES, longer, at(1)).unwrap();
        assert!(change.make.is_empty());
        assert_eq!(change.ring.keys[0].kept_until, at(31 * DAY));
        let shorter = change.ring.change(ES, SCHEDULE, at(1));
        assert!(shorter.is_none(), "never shorter again");
    }

    #[test]
    fn tokens_that_live_longer_keep_the_key_that_signs_though_the_next_is_there() {
        let mut ring = KeyRing::default();
        step(&mut ring, ES, at(0));
        step(&mut ring, ES, at(29 * DAY));
        let longer = Schedule {
            after: Duration::from_secs(DAY),
            ..SCHEDULE
        };
        let change = ring.change(ES, longer, at(29 * DAY + 1)).unwrap();
        let kept: Vec<_> = change.ring.keys.iter().map(|key| key.kept_until).collect();
        assert_eq!(kept, [at(31 * DAY), at(61 * DAY)]);
        assert!(change.ring.change(ES, longer, at(29 * DAY + 1)).is_none());
    }

    #[test]
    fn where_a_key_was_taken_away_the_next_one_signs_at_once() {
        let mut ring = KeyRing::default();
        step(&mut ring, ES, at(0));
        step(&mut ring, ES, at(29 * DAY));
        let next = ring.keys[1].kid.clone();
        ring.keys.remove(0);
        assert_eq!(step(&mut ring, ES, at(29 * DAY + 60)), 0);
        let signs = signing(&ring, SigningAlgorithm::Es256, at(29 * DAY + 60));
        assert_eq!(signs, [next]);
        ring.keys.clear();
        assert_eq!(step(&mut ring, ES, at(29 * DAY + 60)), 1);
        assert!(ring.keys[0].signs_at(at(29 * DAY + 60)));
    }

    #[test]
    fn a_key_whose_use_is_ended_early_signs_until_the_next_was_published_for_long_enough() {
        let mut ring = KeyRing::default();
        step(&mut ring, ES, at(0));
        ring.end_early(SCHEDULE, at(5 * DAY));
        assert_eq!(step(&mut ring, ES, at(5 * DAY)), 1);
        let (old, new) = (ring.keys[0].kid.clone(), ring.keys[1].kid.clone());
        assert_eq!(signing(&ring, ES[0], at(6 * DAY - 1)), [&*old]);
        assert_eq!(signing(&ring, ES[0], at(6 * DAY)), [&*new]);
        // Again before that: nothing is gained by it.
        ring.end_early(SCHEDULE, at(5 * DAY + 10));
        assert_eq!(step(&mut ring, ES, at(5 * DAY + 10)), 0);
        assert_eq!(signing(&ring, ES[0], at(6 * DAY - 1)), [old]);
        assert_eq!(signing(&ring, ES[0], at(6 * DAY)), [new]);
    }

    #[test]
    fn the_next_change_is_looked_for_when_it_is_due() {
        let mut ring = KeyRing::default();
        assert_eq!(ring.next_change(ES, SCHEDULE), at(0));
        step(&mut ring, ES, at(0));
        assert_eq!(ring.next_change(ES, SCHEDULE), at(29 * DAY));
        assert!(ring.change(ES, SCHEDULE, at(29 * DAY - 1)).is_none());
        step(&mut ring, ES, at(29 * DAY));
        assert_eq!(ring.next_change(ES, SCHEDULE), at(30 * DAY + 600));
        assert_eq!(ring.next_change(&[], SCHEDULE), at(30 * DAY + 600));
    }
}
