//! What is stored of the keys, at one moment.

use coffre_crypto::keyring::{OpenKeyring, WrappedTerm};
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_crypto::state::Opened;

use super::Keyring;
use crate::domain::error::VaultError;
use crate::domain::keys::Mode;
use crate::store::Tx;
use crate::store::keys::{SealRow, SlotRow};

type Result<T> = std::result::Result<T, VaultError>;

/// Seal state, slots and terms, all of one generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Whether the vault is sealed on purpose, and the generation.
    pub state: SealRow,
    /// One for each key that opens the vault.
    pub slots: Vec<SlotRow>,
    /// The data keys, wrapped.
    pub terms: Vec<WrappedTerm>,
}

impl Stored {
    /// Reads it in a transaction.
    ///
    /// # Errors
    /// `Sealed` before initialisation; what the database says.
    pub fn read(tx: &mut Tx<'_>) -> Result<Self> {
        let state = tx.seal_state()?.ok_or(VaultError::Sealed)?;
        Ok(Self { state, slots: tx.slots()?, terms: tx.terms()? })
    }

    /// Returns the row of a kind of key.
    #[must_use]
    pub fn row(&self, kind: SlotKind) -> Option<&SlotRow> {
        self.slots.iter().find(|slot| slot.kind == kind)
    }

    /// Returns the slot of a kind of key.
    ///
    /// # Errors
    /// `KeyDamaged`.
    pub fn slot(&self, kind: SlotKind) -> Result<Option<Slot>> {
        let slot = self.row(kind).map(|row| Slot::from_bytes(row.bytes.clone()).map_err(|_| VaultError::KeyDamaged));
        let slot = slot.transpose()?;
        if slot.as_ref().is_some_and(|slot| slot.kind() != kind) { Err(VaultError::KeyDamaged) } else { Ok(slot) }
    }

    /// Returns the slot of a key that people hold, for a new root key.
    ///
    /// # Errors
    /// `KeptSlotDamaged`, also where it was not made under the root key of the keyring.
    pub fn kept(&self, kind: SlotKind, ring: &OpenKeyring) -> Result<Option<Slot>> {
        match self.slot(kind) {
            Ok(Some(slot)) if ring.vouches_for(&slot) => Ok(Some(slot)),
            Ok(None) => Ok(None),
            Ok(Some(_)) | Err(_) => Err(VaultError::KeptSlotDamaged(kind)),
        }
    }

    /// Returns the mode: which slots there are.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.row(SlotKind::Express).is_some() { Mode::Express } else { Mode::Manual }
    }
}

impl Keyring {
    /// Reads what is stored of the keys. On an engine whose reads see several moments it reads again until they are one.
    ///
    /// # Errors
    /// `KeysChanged`, `KeysRolledBack`, the store's.
    pub async fn stored(&self) -> Result<Stored> {
        for _ in 0..5 {
            let seen = self.seen();
            let (stored, after) = self.store.read(|tx| Ok((Stored::read(tx)?, tx.seal_state()?))).await?;
            if after == Some(stored.state) {
                self.goes_on(seen, &stored.terms)?;
                return Ok(stored);
            }
        }
        Err(VaultError::KeysChanged)
    }

    /// Returns the open keyring and what is stored, both of one generation.
    ///
    /// # Errors
    /// `Sealed`; as for [`Self::stored`].
    pub async fn settled(&self) -> Result<(Opened, Stored)> {
        for _ in 0..5 {
            let stored = self.stored().await?;
            let opened = self.opened().await?;
            if opened.generation().0 == stored.state.generation {
                return Ok((opened, stored));
            }
            self.look().await?;
        }
        Err(VaultError::KeysChanged)
    }
}
