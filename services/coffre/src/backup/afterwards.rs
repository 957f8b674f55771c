//! What a restored past must not bring back: sessions and tokens that ended since, signing keys that were withdrawn since, ids that were given
//! out since; and the server's own key of the vault, which is in no backup.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use coffre_crypto::Key256;
use coffre_crypto::rekey::Holder;
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_db::Sql;
use coffre_db::copy::Filling;

use super::examining::Examined;
use super::of_store;
use crate::keys;

/// By how much ids go on above the highest one that is in the backup. More is not given out between two backups, and numbers stay such that
/// a program that counts in doubles reads them as they are.
const IDS_LEFT_OUT: i64 = 1_000_000_000;
/// By how much epochs and sequences go on.
const LEAP: i64 = 1_000_000;

/// The highest number that a program which counts in doubles reads as it is, and what is added still fits under it.
const HIGHEST: i64 = (1 << 53) - 1 - IDS_LEFT_OUT;

/// Returns the number above which ids go on.
pub(super) const fn ids_above(last_id: i64) -> i64 {
    last_id.saturating_add(IDS_LEFT_OUT)
}

/// Says whether a column counts: ids, epochs, sequences.
pub(super) fn counts(column: &str) -> bool {
    is_id(column) || ["epoch", "generation", "last", "sequence"].contains(&column)
}

/// Says whether a column names something by its id.
pub(super) fn is_id(column: &str) -> bool {
    column == "id" || column.ends_with("_id")
}

/// Says whether a number is one that was counted up to: above it nothing would be left to go on with.
pub(super) const fn is_counted_up_to(number: i64) -> bool {
    number <= HIGHEST
}

/// Ends in auth what must not come back: every session, with its tokens; every signing key (auth makes a new one at its start); and gives no id twice.
pub(super) fn in_auth(auth: &mut Filling, now: i64, above: i64) -> anyhow::Result<()> {
    for statement in [
        Sql::new("UPDATE sessions SET ended_at = ").bind(now).push(" WHERE ended_at IS NULL"),
        Sql::new("UPDATE users SET epoch = epoch + ").bind(LEAP),
        Sql::new("UPDATE api_accesses SET epoch = epoch + ").bind(LEAP),
        Sql::new("UPDATE signing_keys SET withdrawn_at = ").bind(now).push(" WHERE withdrawn_at IS NULL"),
        Sql::new("UPDATE id_counters SET last = ").bind(above).push(" WHERE name <> 'deletions'"),
        Sql::new("UPDATE id_counters SET last = last + ").bind(LEAP).push(" WHERE name = 'deletions'"),
        Sql::new("DELETE FROM throttle_buckets"),
    ] {
        auth.run(statement).map_err(of_store)?;
    }
    told_anew(auth)
}

/// The same in locker: whoever followed its changes knows none of them.
pub(super) fn in_locker(locker: &mut Filling) -> anyhow::Result<()> {
    told_anew(locker)
}

fn told_anew(filling: &mut Filling) -> anyhow::Result<()> {
    for statement in
        [Sql::new("DELETE FROM changes"), Sql::new("UPDATE change_counter SET sequence = sequence + ").bind(LEAP)]
    {
        filling.run(statement).map_err(of_store)?;
    }
    Ok(())
}

/// The same in vault: transport keys, and wrong keys that were tried, are forgotten.
pub(super) fn in_vault(vault: &mut Filling, now: i64) -> anyhow::Result<()> {
    for statement in [
        Sql::new("DELETE FROM transport_keys"),
        Sql::new("DELETE FROM key_attempts"),
        Sql::new("UPDATE seal_state SET generation = generation + 1, updated_at = ").bind(now),
    ] {
        vault.run(statement).map_err(of_store)?;
    }
    Ok(())
}

/// The express key that lay in the folder of the keys before a backup put anything there: none that a backup brings is ever taken for it.
pub(super) struct ExpressKey {
    key: Option<Key256>,
    folder: PathBuf,
}

impl ExpressKey {
    /// Looks for it.
    pub(super) fn lies_in(folder: &Path) -> anyhow::Result<Self> {
        let key = keys::express(folder)?.map(|key| Key256::from_secret(&key)).transpose()?;
        Ok(Self { key, folder: folder.to_owned() })
    }

    /// Makes one where there was none; refuses one that came meanwhile.
    fn or_new(self) -> anyhow::Result<Key256> {
        Ok(match self.key {
            Some(key) => key,
            None => Key256::from_secret(&keys::make_express(&self.folder)?)?,
        })
    }
}

/// Gives the server a key of the vault again, where it held one (the mode Express) and its file is not here: a new root key, a new data key,
/// and whoever has the old file opens nothing of this vault. Returns whether it did.
pub(super) fn new_express_key(
    vault: &mut Filling,
    examined: &Examined,
    found: ExpressKey,
    now: i64,
) -> anyhow::Result<bool> {
    let find = |wanted: SlotKind| examined.slots.iter().find(|(kind, ..)| *kind == i64::from(wanted.number()));
    let Some((_, express, _)) = find(SlotKind::Express) else { return Ok(false) };
    if let Some(key) = &found.key
        && Slot::from_bytes(express.clone()).and_then(|slot| slot.open_express(key)).is_ok()
    {
        return Ok(false);
    }
    let key = found.or_new()?;
    let recovery =
        find(SlotKind::Recovery).map(|(_, slot, made)| Slot::from_bytes(slot.clone()).map(|slot| (slot, *made)));
    let recovery = recovery.transpose().context("the recovery slot is damaged")?;
    let mut holders = vec![Holder::Express(&key)];
    holders.extend(recovery.iter().map(|(slot, _)| Holder::Kept(slot)));
    let new = examined.keyring.rekey(&holders).context("the vault gets no new express key")?;
    vault.run(Sql::new("DELETE FROM key_slots")).map_err(of_store)?;
    for slot in &new.slots {
        let made = recovery.as_ref().filter(|_| slot.kind() == SlotKind::Recovery).map_or(now, |(_, made)| *made);
        let insert = Sql::new("INSERT INTO key_slots (kind, slot, created_at) VALUES (")
            .binds([coffre_db::Bind::from(i64::from(slot.kind().number())), slot.as_bytes().into(), made.into()])
            .push(")");
        vault.run(insert).map_err(of_store)?;
    }
    for term in &new.terms {
        let (number, wrapped) = (i64::from(term.term.get()), term.wrapped.as_slice());
        let update = Sql::new("UPDATE terms SET wrapped = ").bind(wrapped).push(" WHERE term = ").bind(number);
        if vault.run(update).map_err(of_store)? == 0 {
            let insert = Sql::new("INSERT INTO terms (term, wrapped, created_at) VALUES (")
                .binds([coffre_db::Bind::from(number), wrapped.into(), now.into()])
                .push(")");
            vault.run(insert).map_err(of_store)?;
        }
    }
    vault.run(Sql::new("DELETE FROM rotation")).map_err(of_store)?;
    let current = i64::from(new.keyring.current().get());
    let rotation = Sql::new("INSERT INTO rotation (id, term, started_at) VALUES (").binds([1, current, now]).push(")");
    vault.run(rotation).map_err(of_store)?;
    // The vault names the new one as soon as it is open.
    vault.run(Sql::new("DELETE FROM backup_recipient")).map_err(of_store)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_express_key_that_comes_after_one_looked_is_never_taken() {
        let folder = tempfile::tempdir().unwrap();
        let found = ExpressKey::lies_in(folder.path()).unwrap();
        keys::make_express(folder.path()).unwrap();
        assert!(found.or_new().is_err(), "it is refused");
        let found = ExpressKey::lies_in(folder.path()).unwrap();
        std::fs::write(folder.path().join("express.key"), [7; 32]).unwrap();
        let planted = Key256::from_slice(&[7; 32]).unwrap();
        assert!(!coffre_secret::equal(found.or_new().unwrap().expose(), planted.expose()));
    }
}
