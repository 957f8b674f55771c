//! The modes, and the keys that people type.

use std::fmt;

use coffre_crypto::keyring::{OpenKeyring, RootKey, WrappedTerm};
use coffre_crypto::master::{MasterKey, MasterKeyError};
use coffre_crypto::recovery::RecoveryKey;
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_crypto::{CryptoError, stretch};
use coffre_secret::SecretText;

use super::error::VaultError;

type Result<T> = std::result::Result<T, VaultError>;

/// Who holds the master key: the mode is which slots there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The server.
    Express,
    /// Only people.
    Manual,
}

impl Mode {
    /// Returns its name, as callers and the audit know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Express => "Express",
            Self::Manual => "Manual",
        }
    }
}

/// What the installation says about keys.
#[derive(Clone, Copy, Debug)]
pub struct KeySettings {
    /// What a guess at a new master key costs. Anything but the standard is for tests.
    pub cost: stretch::Cost,
    /// Takes master keys of 6 to 15 characters.
    pub short_master_keys: bool,
    /// After the vault's database was restored on purpose to one with older keys: the newest term that the audit tells of. 0: none.
    pub given_up_term: u32,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { cost: stretch::Cost::STANDARD, short_master_keys: false, given_up_term: 0 }
    }
}

/// Asks for a mode (M2). Keys that were not given are empty.
#[derive(Debug)]
pub struct ModeChange {
    /// The mode.
    pub mode: Mode,
    /// For Manual the new master key, for Express the present one.
    pub private_key: SecretText,
    /// The present master key.
    pub current_key: SecretText,
    /// The recovery key, in its place.
    pub recovery_key: SecretText,
}

/// A key that somebody typed, to open a slot with.
#[derive(Debug)]
pub enum TypedKey {
    /// A master key.
    Master(MasterKey),
    /// A recovery key.
    Recovery(RecoveryKey),
}

impl TypedKey {
    /// Reads a master key.
    ///
    /// # Errors
    /// `Invalid` where it can be none.
    pub fn master(field: &str, typed: &SecretText) -> Result<Self> {
        match MasterKey::new(typed) {
            Ok(key) => Ok(Self::Master(key)),
            Err(error) => Err(VaultError::invalid(field, error.to_string())),
        }
    }

    /// Reads a recovery key.
    ///
    /// # Errors
    /// `Invalid`, which says where it was mistyped and shows nothing of it.
    pub fn recovery(field: &str, typed: &SecretText) -> Result<Self> {
        match RecoveryKey::parse(typed) {
            Ok(key) => Ok(Self::Recovery(key)),
            Err(error) => Err(VaultError::invalid(field, error.to_string())),
        }
    }

    /// Reads the one of the two that was given.
    ///
    /// # Errors
    /// `Invalid`, also where none or both were given.
    pub fn one(private_key: &SecretText, recovery_key: &SecretText) -> Result<Self> {
        match (private_key.expose().is_empty(), recovery_key.expose().is_empty()) {
            (false, true) => Self::master("private_key", private_key),
            (true, false) => Self::recovery("recovery_key", recovery_key),
            (true, true) => Err(VaultError::invalid(
                "private_key",
                "is required: send the master key, or the recovery key as recoveryKey",
            )),
            (false, false) => {
                Err(VaultError::invalid("recovery_key", "stands in for the master key: send one of the two"))
            }
        }
    }

    /// Returns whose slot it opens.
    #[must_use]
    pub const fn kind(&self) -> SlotKind {
        match self {
            Self::Master(_) => SlotKind::Manual,
            Self::Recovery(_) => SlotKind::Recovery,
        }
    }

    /// Opens a slot of its kind. A master key takes seconds: never on an async thread.
    ///
    /// # Errors
    /// As [`Slot::open_manual`].
    pub fn open(&self, slot: &Slot) -> std::result::Result<RootKey, CryptoError> {
        match self {
            Self::Master(key) => slot.open_manual(key),
            Self::Recovery(key) => slot.open_recovery(key),
        }
    }
}

/// Terms whose data keys do not open under the right root key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct TermsDamaged(Vec<u32>);

impl fmt::Display for TermsDamaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("the data keys of all terms are missing in the database (table terms)"),
            terms => {
                let terms: Vec<String> = terms.iter().map(ToString::to_string).collect();
                write!(f, "the data key of term {} is damaged in the database (table terms)", terms.join(", "))
            }
        }
    }
}

/// Stored keys that are older than those that were seen before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the keys in the database are older than those that this process, or the audit, has seen (the newest term is {stored}, and was {seen}): \
     somebody put back old rows (tables key_slots and terms); find out who, and put the present rows back from the latest backup. Only where the \
     whole database was restored on purpose to an older one, start this server with vault.given_up_term set to {seen}"
)]
pub struct RolledBack {
    /// The newest term that was seen.
    pub seen: u32,
    /// The newest one that is stored.
    pub stored: u32,
}

/// Says whether the stored terms go on from those that were seen. Without any they are damaged, which is told elsewhere.
///
/// # Errors
/// [`RolledBack`] where the newest of them is older.
pub fn go_on_from(seen: u32, terms: &[WrappedTerm]) -> std::result::Result<(), RolledBack> {
    match terms.iter().map(|term| term.term.get()).max() {
        Some(stored) if stored < seen => Err(RolledBack { seen, stored }),
        _ => Ok(()),
    }
}

/// Opens the terms under the root key to which they belong.
///
/// # Errors
/// [`TermsDamaged`], which names those that do not open.
pub fn open_terms(root: &RootKey, terms: &[WrappedTerm]) -> std::result::Result<OpenKeyring, TermsDamaged> {
    OpenKeyring::open(root, terms).map_err(|_| {
        let damaged = terms.iter().filter(|term| OpenKeyring::open(root, std::slice::from_ref(term)).is_err());
        TermsDamaged(damaged.map(|term| term.term.get()).collect())
    })
}

/// The same for the terms that are stored now, under the root key of a keyring.
///
/// # Errors
/// [`TermsDamaged`], which names those that do not open.
pub fn reload_terms(ring: &OpenKeyring, terms: &[WrappedTerm]) -> std::result::Result<OpenKeyring, TermsDamaged> {
    ring.reload(terms).map_err(|_| {
        let damaged = terms.iter().filter(|term| ring.reload(std::slice::from_ref(term)).is_err());
        TermsDamaged(damaged.map(|term| term.term.get()).collect())
    })
}

/// Reads a new master key. Says in the second place whether it is short.
///
/// # Errors
/// `KeyWeak`, or `Invalid` where it is too long.
pub fn new_master_key(typed: &SecretText, settings: KeySettings) -> Result<(MasterKey, bool)> {
    let key = MasterKey::new(typed).map_err(|error| match error {
        MasterKeyError::TooShort => VaultError::KeyWeak { setting: false },
        MasterKeyError::TooLong => VaultError::invalid("private_key", error.to_string()),
    })?;
    let short = key.is_short();
    if short && !settings.short_master_keys { Err(VaultError::KeyWeak { setting: true }) } else { Ok((key, short)) }
}

/// Returns the word for a slot, for the audit.
#[must_use]
pub const fn slot_word(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Express => "express",
        SlotKind::Manual => "manual",
        SlotKind::Recovery => "recovery",
    }
}
