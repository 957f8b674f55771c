//! The use cases on the vault's mode and keys.
//!
//! Every change is one transaction that compares the generation it began from: all slots, all terms, the transport keys and the entry of the
//! audit change together or not at all. There is no moment in which no slot works, and of two administrators one is told.

use std::sync::Arc;

use coffre_audit_client::CallRecord;
use coffre_crypto::keyring::{OpenKeyring, RootKey};
use coffre_crypto::master::MasterKey;
use coffre_crypto::recovery::RecoveryKey;
use coffre_crypto::rekey::{Holder, RekeyError, Rekeyed};
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_crypto::state::Opened;
use coffre_crypto::{CryptoError, Key256};
use coffre_secret::SecretText;
use coffre_types::Timestamp;

use super::{Call, Result, Vault};
use crate::domain::attempts;
use crate::domain::error::VaultError;
use crate::domain::keys::{Mode, ModeChange, TypedKey, go_on_from, new_master_key, open_terms, slot_word};
use crate::keyring::{Changed, OpenError, Stored, blocking, detached};
use crate::store::Tx;
use crate::store::keys::SealRow;

/// Who holds the key of a new slot.
enum NewHolder {
    Express(Arc<Key256>),
    Manual(MasterKey),
    Recovery(RecoveryKey),
    Kept(Slot),
}

/// What a rekey puts in the place of everything.
struct Next {
    from: i64,
    present: Opened,
    rekeyed: Rekeyed,
    slots: Vec<(Slot, Timestamp)>,
    express_key: Option<Arc<Key256>>,
}

impl Next {
    /// Stores it. The time is that of the commit, from which the grace of the term before counts; stretching took its own.
    fn store(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<Changed> {
        if !tx.raise_generation(self.from, false, now)? {
            return Err(VaultError::KeysChanged);
        }
        tx.replace_slots(&self.slots)?;
        tx.replace_terms(&self.rekeyed.terms, now)?;
        let (ring, present) = (&self.rekeyed.keyring, self.present.keyring());
        tx.reseal_transport_keys(|public, sealed| ring.take_over_transport_key(present, public, sealed).ok())?;
        tx.start_rotation(ring.current().get(), now)?;
        Ok(Changed::Open(self.from.saturating_add(1), ring.reload(&self.rekeyed.terms)?))
    }
}

fn begin(record: &CallRecord) {
    record.clear_changes();
    record.object("vault", "", "");
}

impl Vault {
    /// Opens the slot of a key. The key is counted as wrong before it is tried.
    async fn prove(&self, call: &Call, stored: &Stored, key: TypedKey) -> Result<RootKey> {
        let kind = key.kind();
        let slot = stored.slot(kind)?.ok_or(VaultError::ModeConflict(match kind {
            SlotKind::Recovery => "this vault has no recovery key yet: make one (POST …/keys/recovery, `coffre keys recovery new`)",
            SlotKind::Express | SlotKind::Manual => {
                "the mode is Express: there is no master key; the server opens the vault itself, or the recovery key does (recoveryKey)"
            }
        }))?;
        let (user, now) = (call.caller.user_id, self.clock.now());
        let address = call.record.origin().client_address.map(|address| address.to_canonical().to_string());
        let address = address.unwrap_or_default();
        self.store
            .write_unaudited(move |tx| {
                let (places, counts): (Vec<_>, Vec<_>) = tx.key_attempts(user, now)?.into_iter().unzip();
                let place = attempts::place(&places, &address);
                let own = places.iter().zip(counts).find(|(known, _)| *known == place).map(|(_, counted)| counted);
                let counted = own.unwrap_or_default().begin(now).map_err(VaultError::KeyThrottled)?;
                Ok(tx.put_key_attempts(user, place, counted)?)
            })
            .await?;
        // Only now: keys that are not looked at take nobody's turn.
        let turn = self.keyring.turn().await?;
        let opened = blocking(move || {
            let _turn = turn;
            Ok(key.open(&slot))
        });
        let opened = match opened.await? {
            Ok(root) => Ok(root),
            Err(CryptoError::WrongKey) => return Err(VaultError::KeyWrong),
            Err(CryptoError::Unauthentic | CryptoError::Malformed) => Err(VaultError::KeyDamaged),
            Err(error) => Err(error.into()),
        };
        self.store.write_unaudited(move |tx| Ok(tx.forget_key_attempts(user)?)).await?;
        opened
    }

    /// M4: opens the vault with a key, or checks the key where the vault is open.
    ///
    /// # Errors
    /// See `ApplyMasterKey` in the contract.
    pub async fn apply_key(&self, call: Call, key: TypedKey) -> Result<()> {
        let stored = self.keyring.stored().await?;
        let kind = key.kind();
        let root = self.prove(&call, &stored, key).await?;
        let ring = open_terms(&root, &stored.terms).map_err(VaultError::TermsDamaged)?;
        self.open_with(call, stored.state, ring, kind).await
    }

    /// Opens the vault with a keyring, and ends a seal on purpose. A seal that came meanwhile wins.
    async fn open_with(&self, call: Call, from: SealRow, ring: OpenKeyring, key: SlotKind) -> Result<()> {
        let (keyring, now) = (self.keyring.clone(), self.clock.now());
        detached(async move {
            let (record, opened, here) = (call.record.clone(), keyring.generation_open(), keyring.clone());
            let change = move |tx: &mut Tx<'_>| {
                begin(&call.record);
                call.record.detail("key", slot_word(key));
                let row = tx.seal_state()?.ok_or(VaultError::KeysChanged)?;
                if row.sealed != from.sealed || (row.sealed && row.generation != from.generation) {
                    return Err(VaultError::KeysChanged);
                }
                // Terms may have come or gone meanwhile; another root key is another matter.
                let terms = tx.terms()?;
                go_on_from(here.seen(), &terms)?;
                let ring = ring.reload(&terms).map_err(|_| VaultError::KeysChanged)?;
                if row.sealed || here.is_held() {
                    tx.raise_generation(row.generation, false, now)?;
                    call.record.change("sealed", Some("true".to_owned()), Some("false".to_owned()));
                    return Ok(Changed::Opened(row.generation.saturating_add(1), ring));
                }
                let known = opened == Some(row.generation);
                Ok(if known { Changed::Nothing } else { Changed::Opened(row.generation, ring) })
            };
            keyring.change(&record, change).await
        })
        .await
    }

    /// Proves that a key would open the vault, and changes nothing.
    ///
    /// # Errors
    /// See `DrillKey` in the contract.
    pub async fn drill_key(&self, call: Call, key: TypedKey) -> Result<SlotKind> {
        let stored = self.keyring.stored().await?;
        let kind = key.kind();
        let root = self.prove(&call, &stored, key).await?;
        open_terms(&root, &stored.terms).map_err(VaultError::TermsDamaged)?;
        let record = call.record.clone();
        self.store
            .write(&record, move |_| {
                begin(&call.record);
                call.record.detail("key", slot_word(kind));
                Ok(())
            })
            .await?;
        Ok(kind)
    }

    /// Closes the vault at once, until somebody opens it again. This process closes whether or not that can be stored.
    ///
    /// # Errors
    /// `SealNotStored`.
    pub async fn seal(&self, call: Call) -> Result<()> {
        let (keyring, now) = (self.keyring.clone(), self.clock.now());
        detached(async move {
            let record = call.record.clone();
            let change = move |tx: &mut Tx<'_>| {
                begin(&call.record);
                let row = tx.seal_state()?.ok_or(VaultError::Sealed)?;
                if row.sealed {
                    return Ok(row.generation);
                }
                tx.raise_generation(row.generation, true, now)?;
                call.record.change("sealed", Some("false".to_owned()), Some("true".to_owned()));
                Ok(row.generation.saturating_add(1))
            };
            keyring.seal(&record, change).await
        })
        .await
    }

    /// Ends a seal on purpose in the mode Express. Where the key file does not open the vault, nothing changes.
    ///
    /// # Errors
    /// See `UnsealVault` in the contract.
    pub async fn unseal(&self, call: Call) -> Result<()> {
        let stored = self.keyring.stored().await?;
        let Some(slot) = stored.slot(SlotKind::Express)? else {
            return Err(VaultError::ModeConflict(
                "the mode is Manual: the master key opens the vault (PUT …/keys/private, `coffre keys apply`), or the recovery key",
            ));
        };
        let root = self.keyring.open_express(&slot).map_err(|error| match error {
            OpenError::Damaged => VaultError::KeyDamaged,
            _ => VaultError::KeyFileWrong,
        })?;
        let ring = open_terms(&root, &stored.terms).map_err(VaultError::TermsDamaged)?;
        self.open_with(call, stored.state, ring, SlotKind::Express).await
    }

    /// Says whether this is the key file of the vault.
    fn is_of_vault(stored: &Stored, key: &Key256) -> Result<()> {
        let slot = stored.slot(SlotKind::Express)?.ok_or(VaultError::KeysChanged)?;
        slot.open_express(key).map(drop).map_err(|error| match error {
            CryptoError::WrongKey => VaultError::KeyFileWrong,
            CryptoError::Unauthentic | CryptoError::Malformed => VaultError::KeyDamaged,
            other => other.into(),
        })
    }

    /// M2. Says whether the new master key is short.
    ///
    /// # Errors
    /// See `SetMode` in the contract.
    pub async fn set_mode(&self, call: Call, change: ModeChange) -> Result<bool> {
        let ModeChange { mode, private_key, current_key, recovery_key } = change;
        let (present, stored) = self.keyring.settled().await?;
        let was = stored.mode();
        let given = |key: &SecretText| !key.expose().is_empty();
        if was == Mode::Express && given(&current_key) {
            return Err(VaultError::invalid(
                "current_key",
                "belongs to the mode Manual: in Express there is no master key yet",
            ));
        }
        // What is wrong with the request is said before a key is counted.
        let (new, short) = match mode {
            Mode::Manual if !given(&private_key) => {
                return Err(VaultError::invalid("private_key", "is required: the new master key"));
            }
            Mode::Manual => {
                let (key, short) = new_master_key(&private_key, self.keys)?;
                (NewHolder::Manual(key), short)
            }
            Mode::Express => (NewHolder::Express(self.keyring.read_key_file()?), false),
        };
        if let (Mode::Express, NewHolder::Express(key), false) = (was, &new, given(&recovery_key)) {
            // Where this is the key file of the vault the mode is what it shall be.
            Self::is_of_vault(&stored, key)?;
            let record = call.record.clone();
            self.store
                .write(&record, move |_| {
                    begin(&call.record);
                    call.record.detail("key", slot_word(SlotKind::Express));
                    Ok(())
                })
                .await?;
            return Ok(false);
        }
        let typed = match (was, mode) {
            _ if given(&recovery_key) => Some(TypedKey::recovery("recovery_key", &recovery_key)?),
            (Mode::Express, _) => None,
            (Mode::Manual, Mode::Express) if given(&private_key) => {
                Some(TypedKey::master("private_key", &private_key)?)
            }
            (Mode::Manual, _) if given(&current_key) => Some(TypedKey::master("current_key", &current_key)?),
            (Mode::Manual, Mode::Express) => {
                return Err(VaultError::invalid(
                    "private_key",
                    "is required: the present master key, or the recovery key as recoveryKey",
                ));
            }
            (Mode::Manual, Mode::Manual) => {
                return Err(VaultError::invalid(
                    "current_key",
                    "is required: the present master key, or the recovery key as recoveryKey",
                ));
            }
        };
        // Nobody holds a key in Express, so there nobody has to show one.
        let key = typed.as_ref().map_or("none", |typed| slot_word(typed.kind()));
        if let Some(typed) = typed {
            let root = self.prove(&call, &stored, typed).await?;
            if !present.keyring().is_under(&root) {
                return Err(VaultError::KeysChanged);
            }
        }
        let mut holders = vec![new];
        holders.extend(stored.kept(SlotKind::Recovery, present.keyring())?.map(NewHolder::Kept));
        self.rekey(call, present, stored, holders, move |record| {
            if was == mode {
                record.detail(if mode == Mode::Manual { "masterKey" } else { "keyFile" }, "replaced");
            } else {
                record.change("mode", Some(was.name().to_owned()), Some(mode.name().to_owned()));
            }
            record.detail("key", key);
        })
        .await?;
        Ok(short)
    }

    /// Replaces the recovery key and returns the new one, which is nowhere else.
    ///
    /// # Errors
    /// See `ReplaceRecoveryKey` in the contract.
    pub async fn replace_recovery_key(&self, call: Call, current_key: SecretText) -> Result<SecretText> {
        let (present, stored) = self.keyring.settled().await?;
        let mode = stored.mode();
        // A slot that opens nothing of this vault counts as none: no key could be shown for it, and it protects nothing.
        let (has_recovery, words) = match stored.kept(SlotKind::Recovery, present.keyring()) {
            Ok(None) => (false, "made"),
            Ok(Some(_)) => (true, "replaced"),
            Err(error) => {
                tracing::warn!(%error, "a new recovery key takes its place");
                (false, "made in place of a damaged one")
            }
        };
        let typed = match (mode, current_key.expose().is_empty()) {
            (Mode::Express, _) if !has_recovery => None,
            (Mode::Express, false) => Some(TypedKey::recovery("current_key", &current_key)?),
            (Mode::Manual, false) => match TypedKey::recovery("current_key", &current_key) {
                Ok(key) => Some(key),
                Err(_) => Some(TypedKey::master("current_key", &current_key)?),
            },
            (Mode::Express, true) => {
                return Err(VaultError::invalid("current_key", "is required: the present recovery key"));
            }
            (Mode::Manual, true) => {
                return Err(VaultError::invalid(
                    "current_key",
                    "is required: the master key or the present recovery key",
                ));
            }
        };
        let shown = typed.as_ref().map_or(SlotKind::Express, TypedKey::kind);
        let express = (mode == Mode::Express).then(|| self.keyring.read_key_file()).transpose()?;
        match (typed, &express) {
            (Some(typed), _) => {
                let root = self.prove(&call, &stored, typed).await?;
                if !present.keyring().is_under(&root) {
                    return Err(VaultError::KeysChanged);
                }
            }
            // Without a key from anybody no other file takes the place of the one that is.
            (None, Some(key)) => Self::is_of_vault(&stored, key)?,
            (None, None) => {}
        }
        let recovery = RecoveryKey::generate()?;
        let text = recovery.to_text();
        let other = match express {
            Some(key) => NewHolder::Express(key),
            None => {
                let kept = stored.kept(SlotKind::Manual, present.keyring())?;
                NewHolder::Kept(kept.ok_or(VaultError::KeysChanged)?)
            }
        };
        let holders = vec![other, NewHolder::Recovery(recovery)];
        self.rekey(call, present, stored, holders, move |record| {
            record.detail("recoveryKey", words);
            record.detail("key", slot_word(shown));
        })
        .await?;
        Ok(text)
    }

    /// Makes a new root key for the holders and a new term, and puts them in the place of all that there is.
    ///
    /// Stretching a master key takes a second, and terms come and go by themselves meanwhile. Where no slot has changed it begins again
    /// from what is stored then: only another change of keys is one that somebody has to be told of.
    async fn rekey(
        &self,
        call: Call,
        present: Opened,
        stored: Stored,
        holders: Vec<NewHolder>,
        tell: impl Fn(&CallRecord) + Send + Sync + 'static,
    ) -> Result<()> {
        let (holders, tell) = (Arc::new(holders), Arc::new(tell));
        let (mut present, mut stored) = (present, Arc::new(stored));
        for _ in 0..5 {
            let next = self.next(present, stored.clone(), holders.clone()).await?;
            match self.put_next(call.clone(), next, tell.clone()).await {
                Err(VaultError::KeysChanged) => {}
                done => return done,
            }
            // First, because under another root key this process may be closed by now.
            if self.keyring.stored().await?.slots != stored.slots {
                return Err(VaultError::KeysChanged);
            }
            self.keyring.look().await?;
            let (opened, now) = self.keyring.settled().await?;
            if now.slots != stored.slots {
                return Err(VaultError::KeysChanged);
            }
            (present, stored) = (opened, Arc::new(now));
        }
        Err(VaultError::KeysChanged)
    }

    /// Makes what a rekey stores.
    async fn next(&self, present: Opened, stored: Arc<Stored>, holders: Arc<Vec<NewHolder>>) -> Result<Next> {
        let turn = self.keyring.turn().await?;
        let (now, cost) = (self.clock.now(), self.keys.cost);
        blocking(move || {
            let _turn = turn;
            let express_key = holders.iter().find_map(|holder| match holder {
                NewHolder::Express(key) => Some(key.clone()),
                NewHolder::Manual(_) | NewHolder::Recovery(_) | NewHolder::Kept(_) => None,
            });
            let holders = holders.iter().map(|holder| match holder {
                NewHolder::Express(key) => Holder::Express(key),
                NewHolder::Manual(key) => Holder::Manual(key, cost),
                NewHolder::Recovery(key) => Holder::Recovery(key),
                NewHolder::Kept(slot) => Holder::Kept(slot),
            });
            let holders: Vec<_> = holders.collect();
            let rekeyed = present.keyring().rekey(&holders).map_err(|error| match error {
                RekeyError::Crypto(CryptoError::Unauthentic | CryptoError::Malformed) => VaultError::KeyDamaged,
                RekeyError::Crypto(error) => error.into(),
                RekeyError::NoHolder | RekeyError::TwoOfAKind => VaultError::KeysChanged,
            })?;
            let made_at = holders.iter().zip(&rekeyed.slots).map(|(holder, slot)| match holder {
                Holder::Kept(_) => stored.row(slot.kind()).map_or(now, |row| row.created_at),
                Holder::Express(_) | Holder::Manual(..) | Holder::Recovery(_) => now,
            });
            let slots = rekeyed.slots.iter().cloned().zip(made_at).collect();
            Ok(Next { from: stored.state.generation, present, rekeyed, slots, express_key })
        })
        .await
    }

    async fn put_next(
        &self,
        call: Call,
        next: Next,
        tell: Arc<impl Fn(&CallRecord) + Send + Sync + 'static>,
    ) -> Result<()> {
        let (keyring, clock) = (self.keyring.clone(), self.clock.clone());
        detached(async move {
            let (record, express_key) = (call.record.clone(), next.express_key.clone());
            let change = move |tx: &mut Tx<'_>| {
                begin(&call.record);
                tell(&call.record);
                call.record.detail("term", next.rekeyed.keyring.current().to_string());
                next.store(tx, clock.now())
            };
            keyring.change(&record, change).await?;
            if let Some(key) = express_key {
                keyring.keep_express_key(key);
            }
            Ok(())
        })
        .await
    }

    /// Lists which keys open the vault, and when each slot was made.
    ///
    /// # Errors
    /// The store's.
    pub async fn key_slots(&self) -> Result<Vec<(SlotKind, Timestamp)>> {
        let slots = self.store.read(|tx| Ok(tx.slots()?)).await?;
        Ok(slots.into_iter().map(|slot| (slot.kind, slot.created_at)).collect())
    }
}
