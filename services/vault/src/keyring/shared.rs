//! The root key of another replica: given, and taken. `docs/vault-peers.md` tells the rules.

use std::sync::Arc;

use coffre_audit_client::CallRecord;
use coffre_crypto::CryptoError;
use coffre_crypto::keyring::{OpenKeyring, RootKey};
use coffre_crypto::peer::{Asked, Between, StoredKeys};
use coffre_crypto::slot::SlotKind;
use coffre_crypto::state::Generation;

use super::{Keyring, Stored};
use crate::domain::error::VaultError;
use crate::domain::keys::{Mode, go_on_from, open_terms, reload_terms};

type Result<T> = std::result::Result<T, VaultError>;

/// Who asks whom for the root key.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The identity of the asker.
    pub asker: String,
    /// What the asker calls itself.
    pub asker_name: String,
    /// The identity of the giver.
    pub giver: String,
}

impl Pair {
    /// Binds it to keys.
    #[must_use]
    pub fn about<'a>(&'a self, generation: i64, stored: &'a StoredKeys) -> Between<'a> {
        let Self { asker, asker_name, giver } = self;
        Between { asker, asker_name, giver, generation: Generation(generation), stored }
    }
}

/// What became of a root key that another replica gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// The vault is open with it.
    Opened,
    /// It was sealed, opened, or its keys changed, since the ask. The root key is forgotten.
    Overtaken,
    /// It is not the root key of what is stored. It is forgotten.
    Unusable,
}

impl Stored {
    /// Returns what tells these keys from all others.
    ///
    /// # Errors
    /// None that happens.
    pub fn digest(&self) -> Result<StoredKeys> {
        let slots: Vec<_> = self.slots.iter().map(|row| (row.kind, row.bytes.as_slice())).collect();
        Ok(StoredKeys::of(Generation(self.state.generation), &slots, &self.terms)?)
    }

    /// Says whether all that is stored was made under the root key of a keyring.
    fn is_of(&self, ring: &OpenKeyring) -> Result<()> {
        reload_terms(ring, &self.terms).map_err(VaultError::TermsDamaged)?;
        self.kept(SlotKind::Manual, ring)?.ok_or(VaultError::KeptSlotDamaged(SlotKind::Manual))?;
        self.kept(SlotKind::Recovery, ring).map(drop)
    }
}

impl Keyring {
    /// Seals the root key to a replica that shows that it reads the same keys, and records it.
    ///
    /// # Errors
    /// `Sealed`, `KeysChanged`, `ModeConflict`, `TermsDamaged`, `KeptSlotDamaged`, `PeerUnproven`, the store's.
    pub async fn share(
        &self,
        record: &Arc<CallRecord>,
        pair: &Pair,
        generation: i64,
        asked: &Asked,
        details: Vec<(&'static str, String)>,
    ) -> Result<Vec<u8>> {
        let (opened, stored) = self.settled().await?;
        if stored.state.sealed {
            return Err(VaultError::Sealed);
        }
        if stored.state.generation != generation {
            return Err(VaultError::KeysChanged);
        }
        if stored.mode() == Mode::Express {
            return Err(VaultError::ModeConflict(
                "the mode is Express: each replica opens the vault with its own key file; put it there",
            ));
        }
        stored.is_of(opened.keyring())?;
        let digest = stored.digest()?;
        let sealed = opened.keyring().share(&pair.about(generation, &digest), asked).map_err(|error| match error {
            CryptoError::WrongKey | CryptoError::Library => VaultError::PeerUnproven,
            error => error.into(),
        })?;
        let (state, told) = (stored.state, record.clone());
        // The entry is committed before the answer leaves; a seal that came meanwhile wins.
        self.store
            .write(record, move |tx| {
                told.clear_changes();
                details.iter().for_each(|(key, value)| told.detail(key, value.as_str()));
                if tx.seal_state()? == Some(state) { Ok(()) } else { Err(VaultError::KeysChanged) }
            })
            .await?;
        self.confirm(&opened).await?;
        Ok(sealed)
    }

    /// Returns what is stored where this process is to ask the others for the root key: in the mode Manual, sealed, but not on purpose.
    ///
    /// # Errors
    /// As for [`Self::stored`].
    pub async fn to_ask_for(&self) -> Result<Option<Stored>> {
        if self.is_open() || self.is_held() {
            return Ok(None);
        }
        let stored = self.stored().await?;
        let asks = !stored.state.sealed && stored.mode() == Mode::Manual && stored.row(SlotKind::Manual).is_some();
        Ok(asks.then_some(stored))
    }

    /// Opens the vault with the root key that another replica gave, where it is the one of what is stored and nothing changed since. The
    /// record tells it. It must not be stopped in between ([`super::detached`]).
    ///
    /// # Errors
    /// The store's; the vault is as it was then.
    pub async fn open_shared(&self, stored: Stored, root: RootKey, record: Arc<CallRecord>) -> Result<Taken> {
        let Ok(ring) = open_terms(&root, &stored.terms) else { return Ok(Taken::Unusable) };
        drop(root);
        if stored.is_of(&ring).is_err() {
            return Ok(Taken::Unusable);
        }
        let _one = self.opening.lock().await;
        if self.is_open() || self.is_held() {
            return Ok(Taken::Overtaken);
        }
        let (generation, seen) = (Generation(stored.state.generation), self.seen());
        // The entry is committed before the first value can be read; a seal that came meanwhile wins.
        let unchanged = self.store.write(&record, move |tx| {
            let now = Stored::read(tx)?;
            go_on_from(seen, &now.terms)?;
            if now == stored && !now.state.sealed { Ok(()) } else { Err(VaultError::KeysChanged) }
        });
        match unchanged.await {
            Ok(()) => {
                self.put(generation, ring);
                Ok(if self.is_open() { Taken::Opened } else { Taken::Overtaken })
            }
            Err(VaultError::KeysChanged) => Ok(Taken::Overtaken),
            Err(error) => Err(error),
        }
    }
}
