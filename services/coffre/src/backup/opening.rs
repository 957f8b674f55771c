//! Opening a backup with a key that somebody shows.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use coffre_backup::{Head, Reader};
use coffre_crypto::keyring::RootKey;
use coffre_crypto::master::MasterKey;
use coffre_crypto::recovery::RecoveryKey;
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_crypto::{CryptoError, Key256};
use coffre_secret::SecretText;

use super::progress::Progress;
use super::signed::Seen;
use crate::keys;
use crate::operator::secrets::{self, Typed};

/// A backup, and the root key of the vault of its time.
pub(super) struct Opened {
    pub(super) head: Head,
    pub(super) root: RootKey,
    /// Whose key opened it.
    pub(super) by: &'static str,
    path: std::path::PathBuf,
    bytes: u64,
}

impl Opened {
    /// Opens a file that was looked at, with the express key where its file lies in the folder of the keys, and else with the key that somebody
    /// shows.
    pub(super) fn open(
        seen: &Seen,
        path: &Path,
        keys: &Path,
        key_file: Option<&Path>,
        typed: &mut impl Typed,
    ) -> anyhow::Result<Self> {
        let (head, _, bytes) = begin(path)?;
        if head != seen.head {
            bail!("{} was changed meanwhile", path.display());
        }
        let mut slots = Vec::new();
        for stored in &head.slots {
            let slot = Slot::from_bytes(stored.bytes()?)
                .map_err(|_| anyhow!("a slot of the backup is damaged: nothing opens it"))?;
            slots.push(slot);
        }
        let express = if key_file.is_none() { by_express(&slots, keys)? } else { None };
        let (root, by) = match express {
            Some(root) => (root, "express"),
            None => {
                let what = "master key or recovery key of the time of the backup";
                let text = secrets::key(typed, key_file, what).map_err(|fault| anyhow!("{fault}"))?;
                by_text(&slots, &text)?
            }
        };
        Ok(Self { head, root, by, path: path.to_owned(), bytes })
    }

    /// Begins to read its records.
    pub(super) fn records(&self, what: &'static str) -> anyhow::Result<Reader<impl Read + use<>>> {
        let (head, _, _) = begin(&self.path)?;
        if head != self.head {
            bail!("{} was changed meanwhile", self.path.display());
        }
        let key = self.root.open_backup_key(&head.bound_to_key()?, &head.key()?);
        let key =
            key.map_err(|_| anyhow!("this backup was changed since it was made: its key does not fit to its head"))?;
        let file = Progress::of_bytes(what, self.bytes).read(open(&self.path)?);
        let (_, reader) = Reader::begin(BufReader::with_capacity(1 << 20, file))?;
        Ok(reader.with_key(key))
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn begin(path: &Path) -> anyhow::Result<(Head, Reader<BufReader<File>>, u64)> {
    let (file, bytes) = file(path)?;
    let begun = Reader::begin(BufReader::new(file)).with_context(|| path.display().to_string());
    begun.map(|(head, reader)| (head, reader, bytes))
}

/// Opens a file that can be read more than once, and returns its length, too.
pub(super) fn file(path: &Path) -> anyhow::Result<(File, u64)> {
    // Opening a pipe would wait for whoever writes into it.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        bail!("{} is no file: a backup is read more than once", path.display());
    }
    let file = open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

fn of(slots: &[Slot], kind: SlotKind) -> Option<&Slot> {
    slots.iter().find(|slot| slot.kind() == kind)
}

fn by_express(slots: &[Slot], folder: &Path) -> anyhow::Result<Option<RootKey>> {
    let Some(slot) = of(slots, SlotKind::Express) else { return Ok(None) };
    let Some(key) = keys::express(folder)? else { return Ok(None) };
    match slot.open_express(&Key256::from_secret(&key)?) {
        Ok(root) => Ok(Some(root)),
        Err(CryptoError::WrongKey) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn by_text(slots: &[Slot], text: &SecretText) -> anyhow::Result<(RootKey, &'static str)> {
    let damaged = |error| match error {
        CryptoError::Unauthentic | CryptoError::Malformed => {
            anyhow!("the key is right, and its slot in the backup was changed")
        }
        other => anyhow!(other),
    };
    let parsed = RecoveryKey::parse(text);
    if let (Ok(key), Some(slot)) = (&parsed, of(slots, SlotKind::Recovery)) {
        match slot.open_recovery(key) {
            Ok(root) => return Ok((root, "recovery")),
            Err(CryptoError::WrongKey) => {}
            Err(error) => return Err(damaged(error)),
        }
    }
    if let (Ok(key), Some(slot)) = (MasterKey::new(text), of(slots, SlotKind::Manual)) {
        match slot.open_manual(&key) {
            Ok(root) => return Ok((root, "manual")),
            Err(CryptoError::WrongKey) => {}
            Err(error) => return Err(damaged(error)),
        }
    }
    let which = if of(slots, SlotKind::Manual).is_some() {
        "the master key or the recovery key"
    } else {
        "the recovery key (its mode is Express: there was no master key)"
    };
    match parsed {
        Err(error) if of(slots, SlotKind::Manual).is_none() => {
            bail!("this backup is opened with {which} of its time, and that is none: {error}")
        }
        _ => bail!("this key does not open the backup: it is opened with {which} of its time"),
    }
}
