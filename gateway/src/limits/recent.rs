//! A map that forgets: what was not asked for lately goes first, and it never holds more than it may.
//!
//! Two generations. What is used lives in the young one; when that is full it becomes the old one, and the old one before it is
//! forgotten as a whole. So an entry that is asked for stays, one that is not goes within two fillings, nothing is ever searched
//! for, and a flood of new keys costs as much memory as the first hundred thousand.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

/// The map. Safe to share.
pub struct Recent<K, V> {
    generations: Mutex<Generations<K, V>>,
    /// Entries of one generation.
    capacity: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    /// An empty map of `capacity` to twice as many entries.
    pub fn new(capacity: usize) -> Self {
        Self {
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
            capacity: capacity.max(1),
        }
    }

    /// Replaces the value of a key by what `change` makes of it; a refusal leaves it, and counts as use all the same.
    pub fn replace<T, E>(
        &self,
        key: &K,
        change: impl FnOnce(Option<&V>) -> Result<(T, V), E>,
    ) -> Result<T, E> {
        // Nothing panics while it is held, and the maps are whole between two statements.
        let mut guard = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *guard;
        if let Some(value) = young.get_mut(key) {
            let (outcome, new) = change(Some(value))?;
            *value = new;
            return Ok(outcome);
        }
        let known = old.remove(key);
        let outcome = change(known.as_ref());
        let (outcome, value) = match (outcome, known) {
            (Ok((outcome, value)), _) => (Ok(outcome), value),
            (Err(refusal), Some(value)) => (Err(refusal), value),
            (Err(refusal), None) => return Err(refusal),
        };
        if young.len() >= self.capacity {
            *old = std::mem::take(young);
        }
        young.insert(key.clone(), value);
        outcome
    }

    /// Whether a key is there; being asked for keeps it there.
    pub fn knows(&self, key: &K) -> bool {
        self.replace(key, |known| known.cloned().map(|value| ((), value)).ok_or(()))
            .is_ok()
    }

    /// Puts a value there.
    pub fn insert(&self, key: &K, value: V) {
        let _: Result<(), ()> = self.replace(key, |_| Ok(((), value)));
    }

    /// Takes a key out.
    pub fn forget(&self, key: &K) {
        let mut guard = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        guard.young.remove(key);
        guard.old.remove(key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let guard = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        guard.young.len() + guard.old.len()
    }
}

impl<K: Hash + Eq + Clone> StateStore for Recent<K, Nanos> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.replace(key, |known| f(known.copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_takes_no_more_than_two_generations_and_leaves_what_is_in_use() {
        let map = Recent::new(100);
        map.insert(&u32::MAX, ());
        map.insert(&(u32::MAX - 1), ());
        for number in 0..100_000 {
            map.insert(&number, ());
            assert!(map.len() <= 200, "{} entries", map.len());
            if number % 50 == 0 {
                assert!(map.knows(&u32::MAX), "forgotten at {number}");
            }
        }
        assert!(!map.knows(&(u32::MAX - 1)));
        assert!(map.knows(&99_999));
        map.forget(&99_999);
        assert!(!map.knows(&99_999));
    }

    #[test]
    fn a_refusal_leaves_the_value_and_keeps_it() {
        let map = Recent::new(2);
        map.insert(&0, 7);
        for number in 1..10 {
            map.insert(&number, number);
            let seen = map.replace(&0, |known| Err::<((), i32), _>(known.copied()));
            assert_eq!(seen, Err(Some(7)), "after {number}");
        }
        assert_eq!(
            map.replace(&-1, |known| Err::<((), i32), _>(known.copied())),
            Err(None)
        );
        assert!(!map.knows(&-1));
    }
}
