//! `coffre backup`.

use std::path::Path;

use anyhow::Context as _;
use coffre_audit_client::Outcome;
use coffre_audit_proof::note::SigningKey;
use coffre_backup::{Head, Record, Writer};
use coffre_config::Settings;
use coffre_crypto::{Key256, random};
use coffre_db::copy::{Cut, Snapshot};
use coffre_secret::SecretBytes;
use coffre_types::{Clock as _, SystemClock};

use super::place::NewFile;
use super::progress::Progress;
use super::{SERVICES, keys_folder, of_store, signed, vouched};
use crate::{keys, recorded, say, settings as read};

/// Writes everything into a new file, while the services run.
///
/// It is recorded before the file has its name: a backup of which the audit tells nothing is none.
pub(crate) async fn make(settings: Settings, out: &Path) -> anyhow::Result<()> {
    let url = read::database(&settings, true)?;
    let folder = keys_folder(&settings)?;
    let mut key_files = Vec::new();
    for name in keys::IN_BACKUPS {
        key_files.push((name, keys::of_backup(&folder, name)?));
    }
    let key = |wanted: &str| {
        let found = key_files.iter().find(|(name, _)| *name == wanted).map(|(_, key)| key);
        found.with_context(|| format!("the key {wanted} was not read"))
    };
    let file = NewFile::make(out)?;
    // Whatever was acknowledged before is in it.
    let made_on = SystemClock.now().to_rfc3339_millis();
    let mut cut = vouched::cut(&url)?;
    vouched::initialised(vouched::part(&mut cut, "auth")?)?;
    vouched::of_auth(vouched::part(&mut cut, "auth")?, key("auth.key")?)?;
    let signing = vouched::of_audit(vouched::part(&mut cut, "audit")?, key("checkpoint.key")?)?;
    let (recipient, slots) = vouched::recipient(vouched::part(&mut cut, "vault")?, key("audit.key")?)?;

    let id: String = random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let engine = if url.folder().is_some() { "sqlite" } else { "postgresql" };
    let head = Head::new(id.clone(), made_on.clone(), env!("CARGO_PKG_VERSION"), engine, slots);
    let file_key = Key256::generate()?;
    let head = head.clone().with_key(&recipient.seal(&head.bound_to_key()?, &file_key)?);
    let audit_key = SecretBytes::new(key("audit.key")?.expose().to_vec());
    let (mut file, rows) = write(Writer::begin(file, &head, file_key)?, key_files, cut, &signing)?;
    let (bytes, sum) = file.finish().with_context(|| format!("{} cannot be written", out.display()))?;
    let details =
        vec![("madeOn", made_on), ("rows", rows.to_string()), ("bytes", bytes.to_string()), ("sha256", sum.clone())];
    recorded::backup_made(&settings, &url, &audit_key, &id, details.clone(), Outcome::Successful)
        .await
        .context("the backup cannot be recorded in the audit, and was removed")?;
    if let Err(error) = file.keep() {
        // There is no such backup, and the audit says that there is.
        return Err(
            match recorded::backup_made(&settings, &url, &audit_key, &id, details, Outcome::Unsuccessful).await {
                Ok(()) => error,
                Err(unrecorded) => {
                    error.context(format!("{unrecorded}, so the audit tells of a backup that was removed"))
                }
            },
        );
    }
    say::line(format_args!(
        "The backup {id} is in {}: {rows} rows, {bytes} bytes, SHA-256 {sum}.\nThe master key or the recovery key of now opens it; express.key is not in it.\nIt is signed with the key of the audit log, {}: keep that (or the sum) apart from the backup, for `coffre restore --log-key`.",
        out.display(),
        signing.verifier()
    ))
    .context("the backup is made, and that cannot be printed")
}

fn write(
    mut writer: Writer<NewFile>,
    key_files: Vec<(&'static str, SecretBytes)>,
    mut cut: Cut,
    signing: &SigningKey,
) -> anyhow::Result<(NewFile, u64)> {
    for (name, bytes) in key_files {
        writer.put(&Record::KeyFile { name: name.to_owned(), bytes })?;
    }
    let progress = Progress::of_rows("writing");
    for service in SERVICES {
        write_service(&mut writer, vouched::part(&mut cut, service)?, &progress)?;
    }
    let rows = writer.rows();
    let end = || "the backup cannot be written to its end";
    let unsigned = writer.end().with_context(end)?;
    let signature = signed::sign(signing, &unsigned.sum())?;
    Ok((unsigned.signed(&signature).with_context(end)?, rows))
}

fn write_service(writer: &mut Writer<NewFile>, snapshot: &mut Snapshot, progress: &Progress) -> anyhow::Result<()> {
    let name = snapshot.service().to_owned();
    writer.put(&Record::Service { name, versions: snapshot.versions().to_vec() })?;
    for table in snapshot.tables().to_vec() {
        writer.put(&Record::Table { name: table.name.clone(), columns: table.columns.clone() })?;
        snapshot.rows(&table, |rows| {
            progress.add(rows.len());
            writer.put(&Record::Rows(rows)).map_err(Failed::File)
        })?;
    }
    for (table, last) in snapshot.counters().map_err(of_store)? {
        writer.put(&Record::Counter { table, last })?;
    }
    Ok(())
}

/// Why the rows of a table do not get into the file.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the backup cannot be written: {0}")]
    File(coffre_backup::Error),
    #[error("the database cannot be read: {0}")]
    Store(#[from] coffre_db::Error),
}
