//! A new file that has its name only once it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aws_lc_rs::digest::{Context as Digest, SHA256};

use crate::keys::private_file;

/// A file on its way. Dropped before [`NewFile::keep`] it is gone.
pub(super) struct NewFile {
    out: BufWriter<File>,
    digest: Digest,
    bytes: u64,
    path: PathBuf,
    beside: PathBuf,
    kept: bool,
}

impl NewFile {
    /// Begins a file for the owner's eyes alone, beside the place where it is to be.
    pub(super) fn make(path: &Path) -> anyhow::Result<Self> {
        if path.try_exists().with_context(|| format!("{} cannot be looked for", path.display()))? {
            bail!("{} is there already, and is not replaced: name another file", path.display());
        }
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            bail!("{} names no file", path.display());
        };
        let beside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = private_file(&beside).with_context(|| format!("{} cannot be written", beside.display()))?;
        let out = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { out, digest: Digest::new(&SHA256), bytes: 0, path: path.to_owned(), beside, kept: false })
    }

    /// Sees that all of it is on the disk, and returns its length and SHA-256.
    pub(super) fn finish(&mut self) -> io::Result<(u64, String)> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        let sum = self.digest.clone().finish();
        Ok((self.bytes, sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Gives it its name, unless somebody took it meanwhile.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        // A link takes nobody's place, as a renaming would; some file systems have none.
        let linked = fs::hard_link(&self.beside, &self.path).and_then(|()| fs::remove_file(&self.beside));
        let kept = match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !self.path.exists() => {
                fs::rename(&self.beside, &self.path)
            }
            linked => linked,
        };
        kept.with_context(|| format!("{} cannot be put in place", self.path.display()))?;
        self.kept = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(File::open(folder)?.sync_all()?)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        let done = bytes.get(..written).unwrap_or_default();
        self.digest.update(done);
        self.bytes = self.bytes.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_its_owner_alone_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let mut file = NewFile::make(&path).unwrap();
        file.write_all(b"abc").unwrap();
        assert!(!path.exists());
        let (bytes, sum) = file.finish().unwrap();
        assert_eq!(bytes, 3);
        assert_eq!(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        file.keep().unwrap();
        assert_eq!(names(folder.path()), ["backup"]);
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_there_is_not_replaced_and_what_is_not_finished_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        drop(NewFile::make(&path).unwrap());
        assert!(names(folder.path()).is_empty());
        let mut late = NewFile::make(&path).unwrap();
        late.write_all(b"late").unwrap();
        fs::write(&path, "first").unwrap();
        let refused = NewFile::make(&path).err().unwrap().to_string();
        assert!(refused.contains("not replaced"), "{refused}");
        assert!(late.keep().is_err());
        assert_eq!(names(folder.path()), ["backup"]);
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }
}
