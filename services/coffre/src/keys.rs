//! The key files: 32 random bytes each, for the owner's eyes alone.
//!
//! | file | what it keys |
//! | --- | --- |
//! | `auth.key` | password hashes, signing keys at rest, hashed names |
//! | `express.key` | the vault's express slot; in the mode Manual it may be away |
//! | `audit.key` | the MACs of the audit's streams |
//! | `checkpoint.key` | the signatures of the audit's checkpoints |

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use coffre_config::Settings;
use coffre_secret::{SecretBytes, SecretText};
use coffre_tls::Service;

use crate::set::Set;

/// The length of a key in bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// The keys of the services of a process: each gets those it needs, and no other.
#[derive(Default)]
pub(crate) struct Keys {
    /// Where they were read.
    pub(crate) folder: PathBuf,
    /// Of auth.
    pub(crate) auth: Option<SecretBytes>,
    /// Of vault; in the mode Manual it may be away.
    pub(crate) express: Option<SecretBytes>,
    /// Of every service that keeps something.
    pub(crate) audit: Option<SecretBytes>,
}

impl Keys {
    /// Returns a key that was read.
    pub(crate) fn need<'k>(&self, key: &'k Option<SecretBytes>, name: &str) -> anyhow::Result<&'k SecretBytes> {
        key.as_ref().with_context(|| format!("the key {name} was not read from {}", self.folder.display()))
    }
}

/// The files.
pub(crate) const FILES: [&str; 4] = ["auth.key", EXPRESS, AUDIT, CHECKPOINT];
const AUDIT: &str = "audit.key";
const EXPRESS: &str = "express.key";
const CHECKPOINT: &str = "checkpoint.key";

/// Makes the files that are not there yet, for a store that has not begun. A store that has begun needs the keys that it was begun with:
/// none is made for it. Whether it needs the express key is for the vault to say: people may hold its key, or the recovery key.
pub(crate) fn make(folder: &Path, begun: bool) -> anyhow::Result<()> {
    if begun {
        // Whether it needs the checkpoint key, its log says ([`checkpoint`]): older ones were begun without.
        let needed = |name: &&str| ![EXPRESS, CHECKPOINT].contains(name);
        let missing: Vec<&str> = FILES.into_iter().filter(needed).filter(|name| !folder.join(name).exists()).collect();
        if !missing.is_empty() {
            bail!(
                "{} is missing in {}, and this store was begun with it: put back the file that was there",
                missing.join(", "),
                folder.display()
            );
        }
        return Ok(());
    }
    // Where all are there, nothing is made: a mounted secret cannot be changed, and need not be.
    if FILES.iter().all(|name| folder.join(name).exists()) {
        return Ok(());
    }
    private_folder(folder)?;
    for name in FILES {
        let path = folder.join(name);
        if path.exists() {
            continue;
        }
        make_one(&path)?;
    }
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Makes the files of a new installation in a folder that holds none yet, and returns their paths.
pub(crate) fn make_new(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let paths = FILES.map(|name| folder.join(name)).to_vec();
    if let Some(there) = paths.iter().find(|path| path.exists()) {
        bail!(
            "{} is there already, and is not replaced: it may be the key of something; name another folder",
            there.display()
        );
    }
    make(folder, false)?;
    Ok(paths)
}

fn make_one(path: &Path) -> anyhow::Result<()> {
    let mut bytes = vec![0_u8; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gave no random bytes")?;
    let key = SecretBytes::new(bytes);
    let mut file = private_file(path).with_context(|| format!("{} cannot be written", path.display()))?;
    file.write_all(key.expose())?;
    file.sync_all()?;
    Ok(())
}

/// Reads the key that signs the audit's checkpoints. A log that was never signed gets one, but not where every replica would make its own;
/// one that was needs the key that signed it.
pub(crate) fn checkpoint(folder: &Path, is_signed: bool, set: Set) -> anyhow::Result<SecretBytes> {
    let path = folder.join(CHECKPOINT);
    if !path.try_exists().context("the folder of the keys cannot be read")? {
        if set.is_split() && !is_signed {
            bail!(
                "{CHECKPOINT} is missing in {}: `coffre init keys` makes it, and every replica of audit needs the same",
                folder.display()
            );
        }
        if is_signed {
            bail!(
                "{CHECKPOINT} is missing in {}, and the audit log was signed with it: put back the file that was there",
                folder.display()
            );
        }
        make_one(&path)?;
        fs::File::open(folder)?.sync_all()?;
    }
    read(&path)
}

/// Returns the folder of the keys of `dev`.
pub(crate) fn of_dev(settings: &Settings) -> PathBuf {
    settings.keys_dir.clone().unwrap_or_else(|| settings.data_dir.join("keys"))
}

/// Looks at those of some key files that are there.
pub(crate) fn look(folder: &Path, names: &[&str]) -> anyhow::Result<()> {
    for path in names.iter().map(|name| folder.join(name)) {
        if path.try_exists().context("the folder of the keys cannot be read")? {
            read(&path)?;
        }
    }
    Ok(())
}

/// Looks at the key that signs the audit's checkpoints, as far as that can be done without its log: [`checkpoint`] knows whether one is made.
pub(crate) fn look_at_checkpoint(folder: &Path, set: Set) -> anyhow::Result<()> {
    if set.is_split() && !folder.join(CHECKPOINT).exists() {
        bail!(
            "{CHECKPOINT} is missing in {}: put there the one that signed the audit log, or for a new one what `coffre init keys` makes",
            folder.display()
        );
    }
    look(folder, &[CHECKPOINT])
}

/// Reads the keys that some services need. [`checkpoint`] is read by itself.
pub(crate) fn load(folder: &Path, set: Set) -> anyhow::Result<Keys> {
    let read_file = |name, wanted: bool| wanted.then(|| read(&folder.join(name))).transpose();
    let auth = read_file("auth.key", set.has(Service::Auth))?;
    let audit = read_file("audit.key", set.keeps())?;
    let express = if set.has(Service::Vault) { express(folder)? } else { None };
    Ok(Keys { folder: folder.to_owned(), auth, express, audit })
}

/// Reads the express key as it is now; none where its file is away.
pub(crate) fn express(folder: &Path) -> anyhow::Result<Option<SecretBytes>> {
    let path = folder.join(EXPRESS);
    let there = path.try_exists().context("the folder of the keys cannot be read")?;
    there.then(|| read(&path)).transpose()
}

/// The files that a backup brings along: all but the one that opens the vault.
pub(crate) const IN_BACKUPS: [&str; 3] = ["auth.key", AUDIT, CHECKPOINT];

/// Reads a key file of those.
pub(crate) fn of_backup(folder: &Path, name: &str) -> anyhow::Result<SecretBytes> {
    read(&folder.join(name))
}

/// Says whether a key could be put into a folder: it is not there, or the same.
pub(crate) fn has_room_for(folder: &Path, name: &'static str, key: &SecretBytes) -> anyhow::Result<()> {
    let path = folder.join(name);
    if !path.try_exists().context("the folder of the keys cannot be read")? {
        return Ok(());
    }
    if coffre_secret::equal(read(&path)?.expose(), key.expose()) {
        return Ok(());
    }
    bail!(
        "{} is there already and is another key, perhaps of something: name a folder without keys (COFFRE_KEYS_DIR)",
        path.display()
    )
}

/// Puts a key into its file, unless it is there.
pub(crate) fn put(folder: &Path, name: &'static str, key: &SecretBytes) -> anyhow::Result<()> {
    has_room_for(folder, name, key)?;
    let path = folder.join(name);
    if path.exists() {
        return Ok(());
    }
    private_folder(folder)?;
    let mut file = private_file(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    file.write_all(key.expose())?;
    file.sync_all()?;
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Makes an express key where there is none.
pub(crate) fn make_express(folder: &Path) -> anyhow::Result<SecretBytes> {
    private_folder(folder)?;
    make_one(&folder.join(EXPRESS))?;
    fs::File::open(folder)?.sync_all()?;
    read(&folder.join(EXPRESS))
}

/// Makes a file that only its owner may read. One that is there already stays as it is.
pub(crate) fn private_file(path: &Path) -> std::io::Result<fs::File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a key that people keep into its new file, and sees that it and its name are on the disk.
pub(crate) fn write_for_people(key: &SecretText, path: &Path, mut file: fs::File) -> std::io::Result<()> {
    writeln!(file, "{}", key.expose())?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn read(path: &Path) -> anyhow::Result<SecretBytes> {
    // Opening a pipe would wait for whoever writes into it.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        bail!("{} is no file: put the key file of {KEY_BYTES} bytes there", path.display());
    }
    let file = fs::File::open(path).with_context(|| {
        let path = path.display();
        format!(
            "the key file {path} cannot be read: run `coffre init` first, or name the folder of the keys with COFFRE_KEYS_DIR"
        )
    })?;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode();
    if !is_private(mode, metadata.uid(), rustix::process::geteuid().as_raw()) {
        bail!("the key file {} can be read by others (mode {:o}): chmod 600 it", path.display(), mode & 0o777);
    }
    let mut bytes = Vec::with_capacity(KEY_BYTES + 1);
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    let key = SecretBytes::new(bytes);
    if key.len() != KEY_BYTES {
        bail!("the key file {} must hold exactly {KEY_BYTES} bytes", path.display());
    }
    Ok(key)
}

/// Says whether nobody but this process, and whoever rules the machine, can read a file. A mounted secret belongs to root and is read
/// through the group that the process was given for it (PostgreSQL's rule for its keys).
fn is_private(mode: u32, owner: u32, me: u32) -> bool {
    const ROOT: u32 = 0;
    let forbidden = if owner == ROOT && me != ROOT { 0o037 } else { 0o077 };
    mode & forbidden == 0
}

/// Makes a folder that only its owner may enter.
pub(crate) fn private_folder(folder: &Path) -> anyhow::Result<()> {
    if !folder.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    let mode = fs::metadata(folder)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700)).with_context(|| {
            format!("the folder {} can be entered by others and that cannot be changed", folder.display())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), false).unwrap();
        let first = load(folder.path(), Set::ALL).unwrap();
        make(folder.path(), false).unwrap();
        let second = load(folder.path(), Set::ALL).unwrap();
        let bytes = |key: &Option<SecretBytes>| key.as_ref().unwrap().expose().to_vec();
        assert_eq!(bytes(&first.auth), bytes(&second.auth));
        assert_ne!(bytes(&first.auth), bytes(&first.audit));
    }

    #[test]
    fn each_service_gets_the_keys_it_needs_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), false).unwrap();
        for (service, file, expected) in [
            (Service::Auth, "express.key", (true, false, true)),
            (Service::Vault, "auth.key", (false, true, true)),
            (Service::Locker, "auth.key", (false, false, true)),
            (Service::Audit, "auth.key", (false, false, true)),
            (Service::Gateway, "audit.key", (false, false, false)),
        ] {
            // What it does not need may be away, and may be anything.
            let aside = folder.path().join("aside");
            fs::rename(folder.path().join(file), &aside).unwrap();
            let keys = load(folder.path(), Set::of(service)).unwrap();
            fs::rename(&aside, folder.path().join(file)).unwrap();
            assert_eq!((keys.auth.is_some(), keys.express.is_some(), keys.audit.is_some()), expected, "{service:?}");
        }
    }

    #[test]
    fn a_replica_of_audit_makes_no_key_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let refused = checkpoint(folder.path(), false, Set::of(Service::Audit)).err().unwrap().to_string();
        assert!(refused.contains("coffre init keys") && !folder.path().join(CHECKPOINT).exists(), "{refused}");
    }

    #[test]
    fn keys_that_are_mounted_are_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), false).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        make(folder.path(), false).unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o755, "nothing was changed");
    }

    #[test]
    fn new_keys_take_nobodys_place() {
        let folder = tempfile::tempdir().unwrap();
        let made = make_new(&folder.path().join("keys")).unwrap();
        assert_eq!(made.len(), FILES.len());
        assert!(made.iter().all(|path| read(path).is_ok()));
        fs::remove_file(&made[0]).unwrap();
        let refused = make_new(&folder.path().join("keys")).unwrap_err().to_string();
        assert!(refused.contains("is there already") && !made[0].exists(), "{refused}");
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), false).unwrap();
        fs::remove_file(folder.path().join("audit.key")).unwrap();
        let refused = make(folder.path(), true).unwrap_err().to_string();
        assert!(refused.contains("audit.key") && refused.contains("put back"), "{refused}");
        assert!(!folder.path().join("audit.key").exists());
    }

    #[test]
    fn a_log_that_was_never_signed_gets_a_key_and_one_that_was_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let refused = checkpoint(folder.path(), true, Set::ALL).err().unwrap().to_string();
        assert!(refused.contains("checkpoint.key") && refused.contains("put back"), "{refused}");
        let made = checkpoint(folder.path(), false, Set::ALL).unwrap();
        assert_eq!(checkpoint(folder.path(), true, Set::ALL).unwrap().expose(), made.expose());
        assert_eq!(checkpoint(folder.path(), false, Set::ALL).unwrap().expose(), made.expose());
        fs::remove_file(folder.path().join(CHECKPOINT)).unwrap();
        make(folder.path(), false).unwrap();
        fs::remove_file(folder.path().join(CHECKPOINT)).unwrap();
        make(folder.path(), true).unwrap();
        assert!(!folder.path().join(CHECKPOINT).exists(), "the log says whether it needs one");
    }

    #[test]
    fn whether_a_vault_needs_its_key_file_is_not_said_here() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), false).unwrap();
        assert!(load(folder.path(), Set::ALL).unwrap().express.is_some());
        fs::remove_file(folder.path().join(EXPRESS)).unwrap();
        make(folder.path(), true).unwrap();
        assert!(load(folder.path(), Set::ALL).unwrap().express.is_none());
        fs::write(folder.path().join(EXPRESS), b"").unwrap();
        fs::set_permissions(folder.path().join(EXPRESS), Permissions::from_mode(0o600)).unwrap();
        assert!(load(folder.path(), Set::ALL).err().unwrap().to_string().contains("exactly 32 bytes"));
    }

    #[test]
    fn without_keys_it_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let refused = load(folder.path(), Set::ALL).err().unwrap().to_string();
        assert!(refused.contains("run `coffre init` first") && refused.contains("COFFRE_KEYS_DIR"), "{refused}");
    }

    #[test]
    fn readable_by_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), false).unwrap();
        fs::set_permissions(folder.path().join("auth.key"), Permissions::from_mode(0o644)).unwrap();
        assert!(load(folder.path(), Set::ALL).err().unwrap().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_mounted_secret_is_read_through_its_group() {
        for (mode, owner, me, private) in [
            (0o100_600, 1000, 1000, true),
            (0o100_400, 1000, 1000, true),
            (0o100_640, 1000, 1000, false),
            (0o100_604, 1000, 1000, false),
            (0o100_440, 0, 1000, true),
            (0o100_640, 0, 1000, true),
            (0o100_660, 0, 1000, false),
            (0o100_444, 0, 1000, false),
            (0o100_440, 0, 0, false),
            (0o100_440, 1001, 1000, false),
        ] {
            assert_eq!(is_private(mode, owner, me), private, "{mode:o} of {owner} for {me}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), false).unwrap();
        let path = folder.path().join(EXPRESS);
        fs::remove_file(&path).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(load(folder.path(), Set::ALL).err().unwrap().to_string().contains("express.key is no file"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(load(folder.path(), Set::ALL).err().unwrap().to_string().contains("express.key is no file"));
    }

    #[test]
    fn a_key_of_another_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), false).unwrap();
        fs::write(folder.path().join("audit.key"), b"short").unwrap();
        assert!(load(folder.path(), Set::ALL).err().unwrap().to_string().contains("exactly 32 bytes"));
    }
}
