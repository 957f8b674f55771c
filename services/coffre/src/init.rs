//! A new installation: keys, schema, root key, signing key, first administrator. Once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use coffre_config::Settings;
use coffre_secret::SecretText;
use coffre_tls::Service;
use coffre_types::{Clock, SystemClock};

use crate::compose::{Form, auth_config};
use crate::keys::{self, Keys};
use crate::password::{self, FirstPassword};
use crate::set::Set;
use crate::stores::{self, Stores};
use crate::{banner, lock, recorded, say, settings as read};

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
    if stores::is_begun_or_new(&url).await? {
        bail!("this store is initialised already; nothing was changed");
    }
    keys::make(&folder, false)?;
    let keys = keys::load(&folder, Set::ALL)?;
    let opened = Stores::open(Some(&url), &settings.environment, keys.audit.as_ref(), Set::ALL)?;
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
        match file {
            Some((path, file)) => write_recovery_key(key, path, file)?,
            None => banner::recovery_key(key)?,
        }
        shown = true;
        Ok(())
    })
    .await;
    if let Some(path) = recovery_key_out.filter(|_| !shown) {
        // No key was made: its file holds none.
        std::fs::remove_file(path).with_context(|| format!("the file {} stays, without a key", path.display()))?;
    }
    let made = made?;
    opened.stop();
    let Some(first) = made else {
        bail!("this store is initialised already; nothing was changed");
    };
    let password = if first.generated { "above" } else { "that you gave" };
    say::line(format_args!(
        "The store is initialised. Keys: {}\nThe administrator is \"{}\", with the password {password}.",
        folder.display(),
        settings.admin_username
    ))
    .context("the store is initialised, and that cannot be printed")
}

/// `coffre init keys`: the key files of a new installation, made apart from it. A cluster takes them as a secret.
pub(crate) fn make_keys(folder: &Path) -> anyhow::Result<()> {
    let paths = keys::make_new(folder)?;
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    say::line(format_args!(
        "Made:\n  {}\nGive them to the services and to `coffre init` (COFFRE_KEYS_DIR), and keep a copy of auth.key, audit.key and checkpoint.key away from\n\
         the database: what they protect is lost without them. express.key opens the vault: who has it and the database has every value.",
        names.join("\n  ")
    ))
    .context("the keys are made, and that cannot be printed")
}

/// Writes the recovery key into its file.
fn write_recovery_key(key: &SecretText, path: &Path, file: File) -> io::Result<()> {
    keys::write_for_people(key, path, file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    // The key is safe, whether this can be read or not.
    let _ = say::line(format_args!(
        "The vault's recovery key is in {}: write it down, keep it away from the vault, and delete the file.",
        path.display()
    ));
    Ok(())
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
    let of_audit = |folder: PathBuf| keys::load(&folder, Set::of(Service::Audit));
    let keys = settings.keys_dir.is_some().then(|| keys_folder(&settings).and_then(of_audit)).transpose();
    let audit_key = keys.as_ref().ok().and_then(Option::as_ref).and_then(|keys| keys.audit.as_ref());
    let migration = recorded::migrate(&settings, &url, audit_key).await?;
    if !migration.ran.is_empty() && audit_key.is_none() && stores::is_begun(&url).await? {
        say::wrong(
            "coffre: the audit does not tell of this migration: its key was not found in the folder of the keys (COFFRE_KEYS_DIR)",
        );
    }
    let told = if migration.ran.is_empty() {
        say::line("The schema is up to date.")
    } else {
        migration.ran.iter().try_for_each(|version| say::line(format_args!("migrated: {version}")))
    };
    told.context("the schema is up to date, and that cannot be printed")
}

/// Makes what is missing of an installation. Returns the first password where the administrator was made now.
///
/// Vault comes first and auth last: whoever can sign in finds everything there, and a crash in between is mended by the next try. Recovery key
/// and made password are shown before the commits that make them good: shown in vain they open nothing, good and unseen they are lost.
pub(crate) async fn if_new(
    settings: &Settings,
    stores: &Stores,
    keys: &Keys,
    form: Form,
    show_recovery_key: impl FnOnce(&SecretText) -> io::Result<()>,
) -> anyhow::Result<Option<FirstPassword>> {
    let (auth, vault) = (stores.of(Service::Auth)?, stores.of(Service::Vault)?);
    if coffre_auth::is_initialised(&auth.database).await? {
        return Ok(None);
    }
    let Some(express) = &keys.express else { bail!("express.key is missing in the folder of the keys") };
    let mut shown = false;
    let show = |key: &SecretText| {
        show_recovery_key(key)?;
        shown = true;
        Ok(())
    };
    match coffre_vault::init(vault.database.clone(), &vault.outbox, express, show).await {
        Ok(_) => {}
        Err(coffre_vault::Error::Initialised) if !shown => {
            banner::vault_of_an_earlier_try().context("standard output cannot be written")?;
        }
        Err(coffre_vault::Error::Initialised) => {
            bail!(
                "another process made this vault at the same time: the recovery key of this one opens nothing, destroy it"
            )
        }
        Err(error) if shown => {
            return Err(error).context(
                "the vault cannot be initialised: keep the recovery key until the next try; if that says that the vault was made before, it is \
                 the key of this one, otherwise it opens nothing",
            );
        }
        Err(error) => return Err(error).context("the vault cannot be initialised"),
    }
    let first = password::first(settings)?;
    if first.generated {
        banner::first_password(settings, form, &first)
            .context("the administrator's password cannot be shown, so no administrator was made")?;
    }
    let administrator = coffre_auth::FirstAdministrator {
        username: settings.admin_username.clone(),
        password: SecretText::new(first.text.expose().to_owned()),
        must_change: first.generated && form == Form::Serve,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = auth_config(settings, form);
    let auth_key = keys.need(&keys.auth, "auth.key")?;
    let made = coffre_auth::init(&config, &auth.database, &auth.outbox, &clock, auth_key, administrator).await;
    match made {
        Ok(_) => Ok(Some(first)),
        // Another process was quicker.
        Err(coffre_auth::InitError::AlreadyInitialised) => {
            if first.generated {
                say::wrong(
                    "coffre: the administrator was made by another process: the password that was shown here is nobody's",
                );
            }
            Ok(None)
        }
        Err(error) => Err(error).context("the first administrator cannot be made"),
    }
}

/// Refuses a store that was never initialised, where the one is here that says so. Vault says it of its own.
pub(crate) async fn require(stores: &Stores) -> anyhow::Result<()> {
    let Some(auth) = stores.find(Service::Auth) else { return Ok(()) };
    if !coffre_auth::is_initialised(&auth.database).await? {
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
