//! A new installation: keys, schema, root key, signing key, first administrator. Once.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use coffre_config::Settings;
use coffre_secret::SecretText;
use coffre_types::{Clock, SystemClock};

use crate::compose::{Form, auth_config};
use crate::keys::{self, Keys};
use crate::password::{self, FirstPassword};
use crate::stores::{self, Stores};
use crate::{banner, lock, recorded, settings as read};

/// The key files. `serve` wants them outside of the data folder, so that a copy of the data is not a copy of the keys.
pub(crate) fn keys_folder(settings: &Settings) -> anyhow::Result<PathBuf> {
    let Some(folder) = &settings.keys_dir else {
        bail!("keys_dir is not set: name the folder of the key files with --keys-dir or COFFRE_KEYS_DIR");
    };
    if is_inside(folder, &settings.data_dir)? {
        bail!(
            "keys_dir {} lies in the data folder {}: a backup of the data would hold its keys; name a folder outside",
            folder.display(),
            settings.data_dir.display()
        );
    }
    Ok(folder.clone())
}

/// Says whether a folder is another one or lies in it, however the two are written and linked.
fn is_inside(folder: &Path, other: &Path) -> anyhow::Result<bool> {
    Ok(real(folder)?.starts_with(real(other)?))
}

/// Follows links as far as there is something; what is not there yet is taken as it is written.
fn real(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))?;
    let known = path.ancestors().find_map(|known| Some((known, known.canonicalize().ok()?)));
    let Some((known, followed)) = known else { return Ok(path) };
    Ok(path.strip_prefix(known).map_or_else(|_| path.clone(), |rest| followed.join(rest)))
}

/// `coffre init`.
pub(crate) async fn command(settings: Settings, recovery_key_out: Option<&Path>) -> anyhow::Result<()> {
    let url = read::database(&settings, true)?;
    let _lock = match url.folder() {
        Some(folder) => {
            keys::private_folder(folder)?;
            Some(lock::take(folder)?)
        }
        None => None,
    };
    let folder = keys_folder(&settings)?;
    let migration = recorded::migrate(&settings, &url, None).await?;
    if stores::is_begun(&url).await? {
        bail!("this store is initialised already; nothing was changed");
    }
    keys::make(&folder, false)?;
    let keys = keys::load(&folder)?;
    let opened = Stores::open(&url, &settings.environment, &keys.audit)?;
    migration.record(&opened).await?;
    // Before anything is made: a key that cannot be written would be lost.
    let file = match recovery_key_out {
        Some(path) => {
            let file = keys::private_file(path).with_context(|| format!("{} cannot be made", path.display()))?;
            Some((path, file))
        }
        None => None,
    };
    let mut shown = false;
    let made = if_new(&settings, &opened, &keys, Form::Serve, |key| {
        shown = true;
        match file {
            Some((path, file)) => write_recovery_key(key, path, file),
            None => banner::recovery_key(key),
        }
    })
    .await;
    if let Some(path) = recovery_key_out.filter(|_| !shown) {
        // No key was made: its file is empty.
        std::fs::remove_file(path).with_context(|| format!("the empty file {} stays", path.display()))?;
    }
    let made = made?;
    opened.stop();
    let Some(first) = made else {
        bail!("this store is initialised already; nothing was changed");
    };
    println!("The store is initialised. Keys: {}", folder.display());
    if first.generated {
        println!(
            "The administrator is \"{}\", its password is\n\n  {}\n\nIt is not shown again, and must be changed at the first sign-in.",
            settings.admin_username,
            first.text.expose()
        );
    } else {
        println!("The administrator is \"{}\", with the password that you gave.", settings.admin_username);
    }
    Ok(())
}

/// Writes the recovery key into its file; where that fails it is shown, which is better than lost.
fn write_recovery_key(key: &SecretText, path: &Path, mut file: File) {
    match writeln!(file, "{}", key.expose()).and_then(|()| file.sync_all()) {
        Ok(()) => println!(
            "The vault's recovery key is in {}: write it down, keep it away from the vault, and delete the file.",
            path.display()
        ),
        Err(error) => {
            eprintln!("coffre: the recovery key cannot be written to {}: {error}", path.display());
            banner::recovery_key(key);
        }
    }
}

/// `coffre migrate`.
pub(crate) async fn migrate(settings: Settings) -> anyhow::Result<()> {
    let url = read::database(&settings, true)?;
    let _lock = match url.folder() {
        Some(folder) => {
            keys::private_folder(folder)?;
            Some(lock::take(folder)?)
        }
        None => None,
    };
    // A store that has begun has its keys, and its audit is told.
    let keys =
        settings.keys_dir.is_some().then(|| keys_folder(&settings).and_then(|folder| keys::load(&folder))).transpose();
    let audit_key = keys.as_ref().ok().and_then(Option::as_ref).map(|keys| &keys.audit);
    let migration = recorded::migrate(&settings, &url, audit_key).await?;
    if migration.ran.is_empty() {
        println!("The schema is up to date.");
    } else if audit_key.is_none() && stores::is_begun(&url).await? {
        eprintln!(
            "coffre: the audit does not tell of this migration: its key was not found in the folder of the keys (COFFRE_KEYS_DIR)"
        );
    }
    for version in migration.ran {
        println!("migrated: {version}");
    }
    Ok(())
}

/// Makes what is missing of an installation. Returns the first password where the administrator was made now.
///
/// Vault comes first and auth last: whoever can sign in finds everything there, and a crash in between is mended by the next try. The
/// recovery key is shown at once, since no later try has it.
pub(crate) async fn if_new(
    settings: &Settings,
    stores: &Stores,
    keys: &Keys,
    form: Form,
    show_recovery_key: impl FnOnce(&SecretText),
) -> anyhow::Result<Option<FirstPassword>> {
    if coffre_auth::is_initialised(&stores.auth.database).await? {
        return Ok(None);
    }
    let Some(express) = &keys.express else { bail!("express.key is missing in the folder of the keys") };
    match coffre_vault::init(stores.vault.database.clone(), &stores.vault.outbox, express).await {
        Ok(key) => show_recovery_key(&key),
        Err(coffre_vault::Error::Initialised) => {
            println!("The vault was made by an earlier try, which showed its recovery key.\n");
        }
        Err(error) => return Err(error).context("the vault cannot be initialised"),
    }
    let first = password::first(settings)?;
    let administrator = coffre_auth::FirstAdministrator {
        username: settings.admin_username.clone(),
        password: SecretText::new(first.text.expose().to_owned()),
        must_change: first.generated && form == Form::Serve,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = auth_config(settings, form);
    let made =
        coffre_auth::init(&config, &stores.auth.database, &stores.auth.outbox, &clock, &keys.auth, administrator).await;
    match made {
        Ok(_) => Ok(Some(first)),
        // Another process was quicker.
        Err(coffre_auth::InitError::AlreadyInitialised) => Ok(None),
        Err(error) => Err(error).context("the first administrator cannot be made"),
    }
}

/// Refuses a store that was never initialised.
pub(crate) async fn require(stores: &Stores) -> anyhow::Result<()> {
    if !coffre_auth::is_initialised(&stores.auth.database).await? {
        bail!("this store is not initialised: run `coffre init` first");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_5_7_keys_in_the_data_folder_are_found_however_they_are_written() {
        let home = tempfile::tempdir().unwrap();
        let (data, beside) = (home.path().join("data"), home.path().join("data-keys"));
        std::fs::create_dir_all(data.join("below")).unwrap();
        std::os::unix::fs::symlink(data.join("below"), home.path().join("link")).unwrap();
        for inside in [
            data.clone(),
            data.join("keys"),
            data.join("below/keys/not/there"),
            data.join("below/../keys"),
            home.path().join("link"),
            home.path().join("link/keys"),
        ] {
            assert!(is_inside(&inside, &data).unwrap(), "{}", inside.display());
        }
        for outside in [beside, home.path().to_owned(), data.join("../keys"), PathBuf::from("/")] {
            assert!(!is_inside(&outside, &data).unwrap(), "{}", outside.display());
        }
        // One of them is written from the working folder on.
        let here = std::env::current_dir().unwrap();
        assert!(is_inside(&here.join("coffre-data/keys"), Path::new("coffre-data")).unwrap());
    }
}
