//! Seals on purpose: this process closes first, and the seal is stored then, or as soon as that works. Until it is stored it stands in the
//! memory of this process alone, so whoever asked for it is told to restart nothing before.

use std::sync::{Arc, MutexGuard, PoisonError};

use coffre_audit_client::CallRecord;
use coffre_crypto::state::Generation;
use coffre_db::JournalEntry;

use super::Keyring;
use crate::domain::error::VaultError;
use crate::store::Tx;

/// How many seals that could not be stored keep their entry for the audit.
const MOST_ENTRIES: usize = 100;

/// A seal on purpose that is not stored.
#[derive(Clone, Default)]
pub(super) struct Held {
    /// The vault stays closed in this process, whatever the database says.
    pub(super) closed: bool,
    /// What the audit is to be told of it.
    entries: Vec<JournalEntry>,
}

impl Keyring {
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether the vault stays closed in this process although the database does not say so: a seal could not be stored.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held().closed
    }

    fn hold(&self) {
        self.held().closed = true;
        self.close(self.state.generation(), self.clock.now());
    }

    /// Closes the vault here at once and keeps it closed until somebody opens it, then stores the seal. The change returns the generation
    /// that it left. What cannot be stored is tried again by [`Self::store_seal`].
    ///
    /// # Errors
    /// `SealNotStored`.
    pub async fn seal(
        &self,
        record: &Arc<CallRecord>,
        change: impl Fn(&mut Tx<'_>) -> Result<i64, VaultError> + Send + 'static,
    ) -> Result<(), VaultError> {
        self.hold();
        let _one = self.opening.lock().await;
        // What was under way before may have opened it.
        self.hold();
        match self.store.write(record, change).await {
            Ok(generation) => {
                self.close(Generation(generation), self.clock.now());
                self.held().closed = false;
                Ok(())
            }
            Err(error) => {
                tracing::error!(
                    %error,
                    "the vault is closed in this process, but the seal cannot be stored: it is tried again until it works, and forgotten if the \
                     process ends before"
                );
                let mut held = self.held();
                if held.entries.len() < MOST_ENTRIES {
                    held.entries.push(record.hand_over());
                }
                Err(VaultError::SealNotStored { full: matches!(error, VaultError::Store(coffre_db::Error::Full)) })
            }
        }
    }

    /// Stores a seal that could not be stored when it was asked for, with its entry in the audit.
    ///
    /// # Errors
    /// The store's.
    pub async fn store_seal(&self) -> Result<(), VaultError> {
        let _one = self.opening.lock().await;
        let Held { closed, entries } = self.held().clone();
        if !closed && entries.is_empty() {
            return Ok(());
        }
        let (now, stored) = (self.clock.now(), entries.len());
        let generation = self
            .store
            .write_recorded(move |tx| {
                let row = tx.seal_state()?.ok_or(VaultError::Sealed)?;
                let raise = closed && !row.sealed;
                if raise {
                    tx.raise_generation(row.generation, true, now)?;
                }
                Ok((row.generation.saturating_add(i64::from(raise)), entries.clone()))
            })
            .await?;
        if closed {
            self.close(Generation(generation), now);
            tracing::info!("the seal is stored");
        }
        let mut held = self.held();
        let stored = stored.min(held.entries.len());
        // Nobody but who has the lock adds to them.
        held.entries = held.entries.split_off(stored);
        held.closed &= !closed;
        Ok(())
    }
}
