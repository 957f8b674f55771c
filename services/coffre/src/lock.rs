//! One process a data folder: a lock that the system gives back however the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Holds the lock until dropped.
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock of a data folder.
pub(crate) fn take(folder: &Path) -> anyhow::Result<Lock> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => bail!(
            "another process uses the data folder {}: stop it, or give this one a folder of its own (--data-dir, COFFRE_DATA_DIR)",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_second_one_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        assert!(take(folder.path()).err().unwrap().to_string().contains("another process"));
        drop(first);
        take(folder.path()).unwrap();
    }
}
