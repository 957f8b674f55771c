//! For whom a backup is sealed, and whether the key files are those of the installation.

use anyhow::{Context as _, bail};
use coffre_audit_proof::note::SigningKey;
use coffre_backup::StoredSlot;
use coffre_crypto::backup::Recipient;
use coffre_db::copy::{Column, Row, Snapshot};
use coffre_secret::{SecretBytes, equal};

use super::rows::Columns;
use super::witness::Log;
use super::{of_store, signed};

/// Reads all rows of a small table.
pub(super) fn small(snapshot: &mut Snapshot, table: &str) -> anyhow::Result<(Vec<Column>, Vec<Row>)> {
    let Some(table) = snapshot.table(table).cloned() else {
        bail!("the schema of {} has no table {table}: run `coffre migrate` first", snapshot.service());
    };
    let mut all = Vec::new();
    snapshot.rows(&table, |rows| {
        all.extend(rows);
        Ok::<_, coffre_db::Error>(())
    })?;
    Ok((table.columns, all))
}

/// Returns the word for a kind of slot.
fn kind_word(kind: i64) -> anyhow::Result<&'static str> {
    Ok(match kind {
        1 => "express",
        2 => "manual",
        3 => "recovery",
        _ => bail!("the vault has a slot of no known kind (table key_slots)"),
    })
}

/// Returns the recipient and the slots beside which it stands.
pub(super) fn recipient(vault: &mut Snapshot, audit_key: &SecretBytes) -> anyhow::Result<(Recipient, Vec<StoredSlot>)> {
    let (columns, rows) = small(vault, "key_slots")?;
    let columns = Columns(&columns);
    let mut slots = Vec::new();
    for row in &rows {
        slots.push((columns.number(row, "kind")?, columns.bytes(row, "slot")?));
    }
    slots.sort_by_key(|(kind, _)| *kind);
    if slots.is_empty() {
        bail!("the vault has no keys: this store is not initialised, or its table key_slots was emptied");
    }
    let (columns, stored) = small(vault, "backup_recipient")?;
    let columns = Columns(&columns);
    let key = coffre_vault::vouching_key(&coffre_audit_client::StreamKey::new(audit_key))?;
    let numbered = || slots.iter().map(|(kind, slot)| (u8::try_from(*kind).unwrap_or_default(), *slot));
    let vouched = match stored.first() {
        Some(row) => {
            let recipient = Recipient::from_bytes(columns.bytes(row, "public_key")?)?;
            equal(&recipient.vouch(&key, numbered()), columns.bytes(row, "vouched")?).then_some(recipient)
        }
        None => None,
    };
    let Some(recipient) = vouched else {
        bail!(
            "no open vault vouches for the keys that are stored now, and a backup would be sealed for nobody or for somebody else. An open vault \
             does it within a second after its start and after each change of a key: open it (`coffre keys apply`) and try again. Where it \
             is open, audit.key in keys_dir is not the one of this installation, or somebody changed the table key_slots or backup_recipient"
        );
    };
    let slots = slots.iter().map(|(kind, slot)| Ok(StoredSlot::new(kind_word(*kind)?, slot)));
    Ok((recipient, slots.collect::<anyhow::Result<_>>()?))
}

/// Refuses a key file that is another installation's: the backup would be worth nothing.
pub(super) fn of_auth(auth: &mut Snapshot, key: &SecretBytes) -> anyhow::Result<()> {
    let (columns, rows) = small(auth, "signing_keys")?;
    let columns = Columns(&columns);
    for row in rows.iter().take(1) {
        if !opens(key, &columns, row)? {
            bail!(
                "auth.key in keys_dir is not the one of this installation: nobody could sign in with the backup; name the right folder"
            );
        }
    }
    Ok(())
}

/// Says whether auth.key opens a row of the table signing_keys.
pub(super) fn opens(auth_key: &SecretBytes, columns: &Columns<'_>, row: &Row) -> anyhow::Result<bool> {
    let (kid, public) = (columns.text(row, "kid")?, columns.bytes(row, "public_key")?);
    Ok(coffre_auth::opens_signing_key(auth_key, kid, public, columns.bytes(row, "sealed_private")?))
}

/// The same for the key that signs the audit log, and signs the backup.
pub(super) fn of_audit(audit: &mut Snapshot, key: &SecretBytes) -> anyhow::Result<SigningKey> {
    let (columns, rows) = small(audit, "log_head")?;
    let columns = Columns(&columns);
    let log = rows.first().map(|row| Log::of(&columns, row)).transpose()?.unwrap_or_default();
    signed::signing_key(log.key(), key)?
        .context("checkpoint.key in keys_dir is not the one that signed the audit log; name the right folder")
}

/// Refuses a store that was never initialised.
pub(super) fn initialised(auth: &mut Snapshot) -> anyhow::Result<()> {
    let (_, rows) = small(auth, "installation").map_err(|error| error.context("auth's database"))?;
    if rows.is_empty() {
        bail!("this store is not initialised: there is nothing to back up");
    }
    Ok(())
}

/// Returns a service's part of a cut.
pub(super) fn part<'c>(cut: &'c mut coffre_db::copy::Cut, service: &str) -> anyhow::Result<&'c mut Snapshot> {
    cut.of(service).with_context(|| format!("the database of {service} is missing"))
}

/// Takes the cut.
pub(super) fn cut(url: &coffre_db::DatabaseUrl) -> anyhow::Result<coffre_db::copy::Cut> {
    coffre_db::copy::Cut::take(&crate::stores::all_options(url)).map_err(|error| match error {
        coffre_db::Error::NotFound => anyhow::anyhow!("there is no initialised store there: nothing to back up"),
        coffre_db::Error::Retryable => anyhow::anyhow!("the databases are too busy for a common moment; try again"),
        other => of_store(other),
    })
}
