//! `coffre restore`.

use std::path::Path;

use anyhow::{Context as _, bail};
use coffre_backup::Record;
use coffre_config::Settings;
use coffre_db::DatabaseUrl;
use coffre_db::copy::{Column, Filling};
use coffre_types::{Clock as _, SystemClock};

use super::afterwards::ExpressKey;
use super::examining::Examined;
use super::opening::Opened;
use super::signed::Seen;
use super::{SEEDED, SERVICES, afterwards, keys_folder, of_store};
use crate::cli::RestoreArgs;
use crate::compose::witness_file;
use crate::operator::secrets::Console;
use crate::{init, keys, lock, recorded, say, settings as read, stores};

/// Fills an empty installation from a backup.
pub(crate) async fn restore(settings: Settings, asked: RestoreArgs) -> anyhow::Result<()> {
    let url = read::database(&settings, true)?;
    let folder = match settings.keys_dir {
        Some(_) => init::keys_folder(&settings)?,
        // That of `coffre dev`.
        None if url.folder().is_some() => settings.data_dir.join("keys"),
        None => keys_folder(&settings)?,
    };
    refuse_occupied(&url)?;
    let seen = Seen::look(&asked.file, asked.log_key.as_deref(), asked.sha256.as_deref())?;
    let backup = Opened::open(&seen, &asked.file, &folder, asked.key_file.as_deref(), &mut Console::default())?;
    let examined = Examined::of(&backup)?;
    seen.is_by_its_own(&examined.signed_with)?;
    fits(&examined, &folder)?;
    let witness = witness_file(&settings, Some(&url));
    witness.as_deref().map_or(Ok(()), |file| examined.log.refuse_witness(file))?;
    tell(&seen, &backup, &examined)?;
    if examined.damaged > 0 && !asked.accept_damaged {
        bail!(
            "{} of {} values do not open, so nothing was written: look for a better backup, or go on without them with --accept-damaged",
            examined.damaged,
            examined.values
        );
    }
    if asked.dry_run {
        return said("Nothing was written: this was a dry run. The backup could be restored here.");
    }
    let _lock = match url.folder() {
        Some(data) => {
            keys::private_folder(data)?;
            Some(lock::take(data)?)
        }
        None => None,
    };
    // Before anything is put there.
    let express = ExpressKey::lies_in(&folder)?;
    for (name, key) in &examined.key_files {
        keys::put(&folder, name, key)?;
    }
    let new_express_key = fill(&settings, &url, express, &backup, &examined).await?;
    // The schema is that of the backup until here.
    recorded::migrate(&settings, &url, Some(examined.key_file("audit.key")?)).await?;
    said(&afterwards_to_do(&backup, &folder, new_express_key, witness.as_deref()))
}

fn said(text: &str) -> anyhow::Result<()> {
    say::line(text).context("it is done, and that cannot be printed")
}

/// Refuses a target in which there is something.
fn refuse_occupied(url: &DatabaseUrl) -> anyhow::Result<()> {
    for options in stores::all_options(url) {
        if let Some(table) = Filling::occupied(&options, &SEEDED).map_err(of_store)? {
            return Err(occupied(options.service, &table));
        }
    }
    Ok(())
}

fn occupied(service: &str, table: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the database of {service} is not empty (table {table}), and nothing was changed: a backup is restored into an empty installation alone. Name \
         an empty folder (COFFRE_DATA_DIR) or a new database (COFFRE_DATABASE_URL_FILE), or stop the services and remove what is there"
    )
}

/// Refuses a backup whose schema this program does not know, and key files that would take the place of others.
fn fits(examined: &Examined, folder: &Path) -> anyhow::Result<()> {
    for (service, versions) in &examined.services {
        let (sqlite, _) = stores::migrations(service).with_context(|| format!("the service {service} is not known"))?;
        let known = coffre_db::versions_of(&sqlite)?;
        if let Some(unknown) = versions.iter().find(|version| !known.contains(*version)) {
            bail!(
                "the schema of {service} in the backup has the migration {unknown}, which this program does not know: use the program that made it, or a newer one"
            );
        }
    }
    examined.key_files.iter().try_for_each(|(name, key)| keys::has_room_for(folder, name, key))
}

fn tell(seen: &Seen, backup: &Opened, examined: &Examined) -> anyhow::Result<()> {
    let head = &backup.head;
    say::line(format_args!(
        "Backup {} of {}, made by version {} on {}: {} rows. It is whole. Of {} values {} were opened (key: {}).",
        head.id,
        head.made_on,
        head.program,
        head.engine,
        examined.rows,
        examined.values,
        examined.values - examined.damaged,
        backup.by
    ))?;
    say::line(format_args!("SHA-256 {}", seen.sum))?;
    match seen.maker(&examined.signed_with) {
        Ok(known) => say::line(known)?,
        Err(unknown) => say::wrong(format_args!("warning: {unknown}")),
    }
    for value in &examined.named {
        say::wrong(format_args!("does not open: {value}"));
    }
    Ok(())
}

/// Fills every database in a transaction of its own. That of auth is committed last, after the audit tells of it: before that nobody signs in,
/// and nothing serves.
async fn fill(
    settings: &Settings,
    url: &DatabaseUrl,
    express: ExpressKey,
    backup: &Opened,
    examined: &Examined,
) -> anyhow::Result<bool> {
    let now = SystemClock.now().micros();
    let mut fillings = Vec::with_capacity(SERVICES.len());
    for service in SERVICES {
        fillings.push((service, begin(url, service, examined)?));
    }
    load(&mut fillings, backup)?;
    let above = afterwards::ids_above(examined.last_id);
    let (mut replaced, mut express) = (false, Some(express));
    for (service, filling) in &mut fillings {
        match *service {
            "vault" => {
                afterwards::in_vault(filling, now)?;
                let express = express.take().context("the vault is filled once")?;
                replaced = afterwards::new_express_key(filling, examined, express, now)?;
            }
            "locker" => afterwards::in_locker(filling)?,
            "auth" => afterwards::in_auth(filling, now, above)?,
            _ => {}
        }
        filling.give_ids_above(above).map_err(of_store)?;
    }
    let (last, others): (Vec<_>, Vec<_>) = fillings.into_iter().partition(|(service, _)| *service == "auth");
    for (service, filling) in others {
        filling.commit().map_err(of_store).with_context(|| half_done(service))?;
    }
    let details = vec![
        ("madeOn", backup.head.made_on.clone()),
        ("rows", examined.rows.to_string()),
        ("values", (examined.values - examined.damaged).to_string()),
        ("valuesDamaged", examined.damaged.to_string()),
        ("key", backup.by.to_owned()),
        ("expressKey", if replaced { "replaced" } else { "kept" }.to_owned()),
        ("idsAbove", above.to_string()),
    ];
    let audit_key = examined.key_file("audit.key")?;
    recorded::restored(settings, url, audit_key, &backup.head.id, details).await.with_context(|| half_done("audit"))?;
    for (service, filling) in last {
        filling.commit().map_err(of_store).with_context(|| half_done(service))?;
    }
    Ok(replaced)
}

fn half_done(service: &str) -> String {
    format!(
        "the restoration stopped halfway, at {service}; nothing serves this store, and `coffre init` makes no new one of it: remove what is in the databases, and restore again"
    )
}

fn begin(url: &DatabaseUrl, service: &'static str, examined: &Examined) -> anyhow::Result<Filling> {
    let versions =
        examined.services.iter().find(|(known, _)| known == service).map(|(_, versions)| versions.as_slice());
    let migrations = stores::migrations(service).with_context(|| format!("the service {service} is not known"))?;
    let options = coffre_db::Options::new(url.clone(), service);
    Filling::begin(&options, migrations, versions.unwrap_or_default(), &SEEDED)
        .map_err(|error| {
            of_store(error).context(
                "the schema there cannot be made that of the backup: restore into databases that were not migrated, the restoration does it",
            )
        })?
        .map_err(|table| occupied(service, &table))
}

fn load(fillings: &mut [(&'static str, Filling)], backup: &Opened) -> anyhow::Result<()> {
    let mut reader = backup.records("writing")?;
    let (mut service, mut table): (String, (String, Vec<Column>)) = Default::default();
    while let Some(record) = reader.next_record()? {
        match record {
            Record::Service { name, .. } => service = name,
            Record::Table { name, columns } => table = (name, columns),
            Record::Rows(rows) => {
                let filling = fillings.iter_mut().find(|(known, _)| *known == service).map(|(_, filling)| filling);
                let names: Vec<String> = table.1.iter().map(|column| column.name.clone()).collect();
                let inserted = filling.context("rows of no service")?.insert(&table.0, &names, rows);
                inserted.map_err(of_store).with_context(|| format!("{}: table {}", service, table.0))?;
            }
            Record::KeyFile { .. } | Record::Counter { .. } | Record::End { .. } => {}
        }
    }
    Ok(())
}

fn afterwards_to_do(backup: &Opened, folder: &Path, new_express_key: bool, witness: Option<&Path>) -> String {
    let keys = folder.display();
    let vault = if new_express_key {
        format!(
            "The vault opens itself with the express.key in {keys}, which fits nothing older: keep a copy of it away from the data."
        )
    } else if backup.head.slots.iter().any(|slot| slot.kind == "express") {
        format!("The vault opens itself with the express.key that was in {keys} already.")
    } else {
        "The vault is sealed until somebody types the master key or the recovery key: `coffre keys apply`.".to_owned()
    };
    let here = witness.map_or_else(String::new, |file| format!(" ({} can be used)", file.display()));
    format!(
        "The backup {} is restored; everything is as it was at {}. Keys: {keys}\n{vault}\nAll sessions and tokens have ended. Passwords, API keys and rights are \
         those of that time: what was taken away since has to be taken away again.\nBegin a new witness of the audit (COFFRE_AUDIT_WITNESS_FILE){here} before \
         the first start: beside that of the lost installation nothing is signed. Keep the old one: it alone saw what came after the backup.",
        backup.head.id, backup.head.made_on
    )
}
