//! Who is trying to sign in just now, bounded for each address and in all.
//!
//! Whoever is held back or waits for a turn keeps a place among the calls of this process. Without a bound of their own, those who fail would
//! take the places of everybody who has signed in long ago.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::SignIns;
use crate::gate::Overloaded;

/// Those who try. Clones share them.
pub(crate) struct Crowd<K: Clone + Eq + Hash>(Arc<Shared<K>>);

struct Shared<K> {
    most: SignIns,
    state: Mutex<State<K>>,
}

struct State<K> {
    all: usize,
    of: HashMap<K, usize>,
}

/// One who tries; gone when dropped.
pub(crate) struct Trying<K: Clone + Eq + Hash> {
    crowd: Crowd<K>,
    key: K,
}

impl<K: Clone + Eq + Hash> Crowd<K> {
    pub(crate) fn new(most: SignIns) -> Self {
        Self(Arc::new(Shared { most, state: Mutex::new(State { all: 0, of: HashMap::new() }) }))
    }

    /// Lets one more try, or refuses at once.
    pub(crate) fn enter(&self, key: K) -> Result<Trying<K>, Overloaded> {
        let mut state = self.lock();
        let own = state.of.get(&key).copied().unwrap_or_default();
        if state.all >= self.0.most.at_once || own >= self.0.most.per_address {
            return Err(Overloaded);
        }
        state.all += 1;
        state.of.insert(key.clone(), own + 1);
        drop(state);
        Ok(Trying { crowd: Self(self.0.clone()), key })
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Drop for Trying<K> {
    fn drop(&mut self) {
        let mut state = self.crowd.lock();
        state.all = state.all.saturating_sub(1);
        match state.of.get_mut(&self.key) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                state.of.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_2_1_no_address_takes_more_than_its_part_and_all_together_no_more_than_there_is() {
        let crowd = Crowd::new(SignIns { at_once: 4, per_address: 3 });
        let flood: Vec<_> = (0..3).map(|_| crowd.enter(1).unwrap_or_else(|_| panic!("within its part"))).collect();
        assert_eq!(crowd.enter(1).err(), Some(Overloaded));
        let other = crowd.enter(2).unwrap_or_else(|_| panic!("another address has its own part"));
        assert_eq!(crowd.enter(3).err(), Some(Overloaded), "all places are taken");
        drop(flood);
        assert!(crowd.enter(1).is_ok());
        drop(other);
        assert!(crowd.lock().of.is_empty(), "nothing is kept of those who went");
    }
}
