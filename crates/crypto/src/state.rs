//! Sealed or open, as one value that readers take without a lock.
//!
//! ```text
//! Sealed(g) --open(g', ring)--> Open(g', ring) --open(g'', ring')--> Open(g'', ring') --seal(g''')--> Sealed(g''')
//! ```
//!
//! Every change raises the generation in the database first. A caller takes an [`Opened`] at its start and asks
//! [`KeyringState::still_open`] once more before a value leaves: a vault that was sealed meanwhile releases nothing. The answer is a type
//! too ([`StillOpen`]), for functions that let plaintext out.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::keyring::OpenKeyring;

/// Counts the changes between sealed and open, over all replicas.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Generation(pub i64);

#[derive(Debug)]
struct Snapshot {
    generation: Generation,
    /// Since which generation the vault is open without a break.
    open_since: Generation,
    keyring: Option<Arc<OpenKeyring>>,
}

/// An open keyring and the generation in which it was open.
#[derive(Clone, Debug)]
pub struct Opened {
    keyring: Arc<OpenKeyring>,
    generation: Generation,
}

impl Opened {
    /// Returns the keyring.
    #[must_use]
    pub fn keyring(&self) -> &OpenKeyring {
        &self.keyring
    }

    /// Returns the generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

/// Proof that the vault was not sealed since a keyring was taken. Nothing else makes one:
///
/// ```compile_fail,E0423
/// let forged = coffre_crypto::state::StillOpen(());
/// ```
///
/// ```
/// use coffre_crypto::keyring::{OpenKeyring, RootKey, Term};
/// use coffre_crypto::state::{Generation, KeyringState};
///
/// # fn main() -> Result<(), coffre_crypto::CryptoError> {
/// let state = KeyringState::sealed(Generation(0));
/// let root = RootKey::generate()?;
/// state.open(Generation(1), OpenKeyring::open(&root, &[root.new_term(Term::FIRST)?])?);
/// let opened = state.opened().ok_or(coffre_crypto::CryptoError::Library)?;
/// assert!(state.still_open(&opened).is_some());
/// state.seal(Generation(2));
/// assert!(state.still_open(&opened).is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StillOpen(());

/// The state of the vault in this process.
#[derive(Debug)]
pub struct KeyringState(ArcSwap<Snapshot>);

impl KeyringState {
    /// Starts sealed.
    #[must_use]
    pub fn sealed(generation: Generation) -> Self {
        Self(ArcSwap::from_pointee(Snapshot { generation, open_since: generation, keyring: None }))
    }

    /// Opens the vault in a generation, or gives an open one another keyring: whoever took the one before may still use it. An older
    /// generation than the present one changes nothing.
    pub fn open(&self, generation: Generation, keyring: OpenKeyring) {
        self.put(generation, Some(Arc::new(keyring)));
    }

    /// Seals the vault in a generation and lets go of its keys. An older generation than the present one changes nothing.
    pub fn seal(&self, generation: Generation) {
        self.put(generation, None);
    }

    fn put(&self, generation: Generation, keyring: Option<Arc<OpenKeyring>>) {
        self.0.rcu(|present| {
            if present.generation > generation {
                return Arc::clone(present);
            }
            let goes_on = present.keyring.is_some() && keyring.is_some();
            let open_since = if goes_on { present.open_since } else { generation };
            Arc::new(Snapshot { generation, open_since, keyring: keyring.clone() })
        });
    }

    /// Returns the open keyring; `None` while the vault is sealed.
    #[must_use]
    pub fn opened(&self) -> Option<Opened> {
        let present: Guard<Arc<Snapshot>> = self.0.load();
        let keyring = Arc::clone(present.keyring.as_ref()?);
        Some(Opened { keyring, generation: present.generation })
    }

    /// Says whether the vault was not sealed since the keyring was taken. A new term or root key in between is no seal: what was sealed
    /// under an old one opens under the new one.
    #[must_use]
    pub fn still_open(&self, opened: &Opened) -> Option<StillOpen> {
        let present = self.0.load();
        (present.keyring.is_some() && present.open_since <= opened.generation).then_some(StillOpen(()))
    }

    /// Returns the present generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.0.load().generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::{RootKey, Term};

    fn ring() -> OpenKeyring {
        let root = RootKey::generate().unwrap();
        OpenKeyring::open(&root, &[root.new_term(Term::FIRST).unwrap()]).unwrap()
    }

    #[test]
    fn rule_5_4_a_seal_is_seen_by_whoever_took_the_keyring_before() {
        let state = KeyringState::sealed(Generation(0));
        assert!(state.opened().is_none());
        state.open(Generation(1), ring());
        let opened = state.opened().unwrap();
        assert!(state.still_open(&opened).is_some());
        state.seal(Generation(2));
        assert!(state.still_open(&opened).is_none());
        assert!(state.opened().is_none());
        state.open(Generation(3), ring());
        assert!(state.still_open(&opened).is_none());
    }

    #[test]
    fn a_new_keyring_in_an_open_vault_is_no_seal() {
        let state = KeyringState::sealed(Generation(0));
        state.open(Generation(1), ring());
        let opened = state.opened().unwrap();
        state.open(Generation(2), ring());
        assert!(state.still_open(&opened).is_some());
        state.seal(Generation(3));
        state.open(Generation(3), ring());
        assert!(state.still_open(&opened).is_none());
    }

    #[test]
    fn an_older_generation_changes_nothing() {
        let state = KeyringState::sealed(Generation(5));
        state.open(Generation(4), ring());
        assert!(state.opened().is_none());
        assert_eq!(state.generation(), Generation(5));
    }
}
