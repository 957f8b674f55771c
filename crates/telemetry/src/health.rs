//! Which parts of the process can serve.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The state of one part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It serves.
    Ready,
    /// It serves, and somebody should know this.
    Degraded(String),
    /// It cannot serve, for this reason.
    Failed(String),
}

/// The states of all parts. Clones share them.
#[derive(Clone, Default, Debug)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, State>>>);

/// Tells about one part.
#[derive(Clone, Debug)]
pub struct Component {
    name: &'static str,
    health: Health,
}

impl Health {
    /// Adds a part, which cannot serve until it says so.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        let component = Component { name, health: self.clone() };
        component.set(State::Failed("starting".to_owned()));
        component
    }

    /// Says whether every part can serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.values().all(|state| !matches!(state, State::Failed(_)))
    }

    /// Returns every part with its state, in the order of their names.
    #[must_use]
    pub fn components(&self) -> Vec<(&'static str, State)> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(name, state)| (*name, state.clone())).collect()
    }
}

impl Component {
    /// Says how the part is.
    pub fn set(&self, state: State) {
        self.health.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_part_is_enough() {
        let health = Health::default();
        let (store, relay) = (health.component("store"), health.component("relay"));
        assert!(!health.is_ready());
        store.set(State::Ready);
        relay.set(State::Degraded("12 s behind".into()));
        assert!(health.is_ready());
        store.set(State::Failed("away".into()));
        assert!(!health.is_ready());
    }
}
