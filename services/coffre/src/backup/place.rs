//! A new file that has its name only once it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::keys::private_file;

/// A file on its way. Dropped before [`NewFile::keep`] it is gone; and so it is when the process is killed, where the file system knows files
/// without a name.
pub(super) struct NewFile {
    out: BufWriter<File>,
    digest: Digest,
    bytes: u64,
    path: PathBuf,
    /// The name that it has meanwhile, on file systems where it needs one.
    beside: Option<PathBuf>,
}

impl NewFile {
    /// Begins a file for the owner's eyes alone, in the folder where it is to be.
    pub(super) fn make(path: &Path) -> anyhow::Result<Self> {
        free(path)?;
        match unnamed(folder_of(path)) {
            Some(file) => Ok(Self::on(file, path, None)),
            None => Self::named(path),
        }
    }

    /// Begins it under another name.
    fn named(path: &Path) -> anyhow::Result<Self> {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            bail!("{} names no file", path.display());
        };
        let beside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = private_file(&beside).with_context(|| format!("{} cannot be written", beside.display()))?;
        Ok(Self::on(file, path, Some(beside)))
    }

    fn on(file: File, path: &Path, beside: Option<PathBuf>) -> Self {
        let out = BufWriter::with_capacity(1 << 20, file);
        Self { out, digest: Digest::new(&SHA256), bytes: 0, path: path.to_owned(), beside }
    }

    /// Sees that all of it is on the disk and that its name is still free, and returns its length and SHA-256.
    pub(super) fn finish(&mut self) -> anyhow::Result<(u64, String)> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        free(&self.path)?;
        let sum = self.digest.clone().finish();
        Ok((self.bytes, sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Gives it its name, unless somebody took it meanwhile.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        let kept = match &self.beside {
            None => {
                let opened = opened(self.out.get_ref());
                rustix::fs::linkat(CWD, &opened, CWD, &self.path, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
            }
            // A link takes nobody's place, as a renaming would; some file systems have none.
            Some(beside) => match fs::hard_link(beside, &self.path).and_then(|()| fs::remove_file(beside)) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists && is_free(&self.path)? => {
                    fs::rename(beside, &self.path)
                }
                linked => linked,
            },
        };
        kept.with_context(|| format!("{} cannot be put in place", self.path.display()))?;
        self.beside = None;
        Ok(File::open(folder_of(&self.path))?.sync_all()?)
    }
}

/// Refuses a name that something has: a link that leads nowhere, too.
fn free(path: &Path) -> anyhow::Result<()> {
    if !is_free(path).with_context(|| format!("{} cannot be looked for", path.display()))? {
        bail!("{} is there already, and is not replaced: name another file", path.display());
    }
    Ok(())
}

fn is_free(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a new file without a name, where there is such a thing and a name could be given to it later.
fn unnamed(folder: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR).ok()?);
    opened(&file).exists().then_some(file)
}

/// Where the system shows an open file.
fn opened(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
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
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
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
        for make in [NewFile::make, NewFile::named] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("backup");
            let mut file = make(&path).unwrap();
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
    }

    #[test]
    fn what_is_there_is_not_replaced_and_what_is_not_finished_is_gone() {
        for make in [NewFile::make, NewFile::named] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("backup");
            drop(make(&path).unwrap());
            assert!(names(folder.path()).is_empty());
            let mut late = make(&path).unwrap();
            late.write_all(b"late").unwrap();
            fs::write(&path, "first").unwrap();
            let refused = NewFile::make(&path).err().unwrap().to_string();
            assert!(refused.contains("not replaced"), "{refused}");
            let refused = late.finish().unwrap_err().to_string();
            assert!(refused.contains("not replaced"), "before it is recorded: {refused}");
            assert!(late.keep().is_err());
            assert_eq!(names(folder.path()), ["backup"]);
            assert_eq!(fs::read(&path).unwrap(), b"first");
        }
    }

    #[test]
    fn nothing_is_left_of_a_file_whose_process_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = NewFile::make(&folder.path().join("backup")).unwrap();
        file.write_all(b"abc").unwrap();
        file.finish().unwrap();
        assert!(names(folder.path()).is_empty(), "what has no name goes with its process");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_something() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).unwrap();
        let refused = NewFile::make(&path).err().unwrap().to_string();
        assert!(refused.contains("not replaced"), "{refused}");
    }
}
