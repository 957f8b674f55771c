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

/// Why a part cannot serve that has said nothing yet.
const STARTING: &str = "starting";

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
        component.put(State::Failed(STARTING.to_owned()));
        component
    }

    /// Says that the process is about to stop: it takes nothing new, whatever its parts say.
    pub fn stopping(&self) {
        let state = State::Failed("the process is about to stop".to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert("process", state);
    }

    /// Says whether every part can serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.values().all(|state| !matches!(state, State::Failed(_)))
    }

    /// Returns why parts cannot serve, in the order of their names.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let failed = |(_, state)| match state {
            State::Failed(why) => Some(why),
            State::Ready | State::Degraded(_) => None,
        };
        self.components().into_iter().filter_map(failed).collect()
    }

    /// Returns every part with its state, in the order of their names.
    #[must_use]
    pub fn components(&self) -> Vec<(&'static str, State)> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(name, state)| (*name, state.clone())).collect()
    }
}

impl Component {
    /// Says how the part is. That it cannot serve any more, and that it serves again, is logged once.
    pub fn set(&self, state: State) {
        let (component, now) = (self.name, state.clone());
        match (self.put(state), now) {
            (Some(before), now) if before == now => {}
            (_, State::Failed(why)) => tracing::error!(component, why, "a part of the server cannot serve"),
            (Some(State::Failed(why)), _) if why != STARTING => {
                tracing::info!(component, "a part of the server serves again")
            }
            _ => {}
        }
    }

    /// Stores the state and returns the one before.
    fn put(&self, state: State) -> Option<State> {
        self.health.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, state)
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
        assert!(health.is_ready() && health.failures().is_empty());
        store.set(State::Failed("away".into()));
        assert!(!health.is_ready());
        assert_eq!(health.failures(), ["away"]);
    }

    #[test]
    fn a_process_that_is_about_to_stop_is_not_ready() {
        let health = Health::default();
        health.component("store").set(State::Ready);
        health.stopping();
        assert!(!health.is_ready());
    }
}
