//! A witness: a file beside the database, to which each checkpoint is appended. What it holds is compared with the log: a database that was
//! put back lies behind it. Keep it where whoever can write to the database cannot: on another disk, another host.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use coffre_audit_proof::witness::{Item, Reader, entry};

use crate::domain::ports::Witness;

/// As much of the end of the file is read: some hundred notes.
const TAIL_BYTES: u64 = 64 * 1024;

/// The file.
pub(crate) struct WitnessFile(PathBuf);

impl WitnessFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

#[async_trait]
impl Witness for WitnessFile {
    async fn notes(&self) -> io::Result<Vec<String>> {
        let path = self.0.clone();
        blocking(move || witnessed(&path)).await
    }

    async fn take(&self, note: String) -> io::Result<()> {
        let path = self.0.clone();
        blocking(move || append(&path, &note)).await
    }

    fn name(&self) -> String {
        format!("the witness file {}", self.0.display())
    }
}

/// Returns the last checkpoints that a witness file holds, as they are written; none where there is no file.
///
/// # Errors
/// What the file system says.
pub fn witnessed(path: &Path) -> io::Result<Vec<String>> {
    match tail(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        outcome => notes(&outcome?),
    }
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(f).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes the whole notes out of the end of a file: the first may be cut in two, and the last half-written.
fn notes(bytes: &[u8]) -> io::Result<Vec<String>> {
    let whole = |item: io::Result<Item>| match item {
        Ok(Item::Note { note, .. }) => Some(Ok(note)),
        Ok(Item::Half { .. }) => None,
        Err(error) => Some(Err(error)),
    };
    Reader::new(bytes).filter_map(whole).collect()
}

/// Appends a note, and lets go of it only when it is on the disk.
fn append(path: &Path, note: &str) -> io::Result<()> {
    let is_new = !path.try_exists()?;
    if let Some(folder) = path.parent().filter(|folder| is_new && !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    file.write_all(entry(note).as_bytes())?;
    file.sync_all()?;
    if is_new && let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use coffre_audit_proof::checkpoint::LogId;
    use coffre_secret::SecretBytes;
    use coffre_types::Timestamp;

    use super::*;
    use crate::domain::checkpoint::{Moment, Signer};

    fn note(size: i64) -> String {
        let signer = Signer::new(LogId::new([1; 16]), SecretBytes::new(vec![2; 32])).unwrap();
        let at = Timestamp::from_seconds(1_800_000_000);
        signer.sign(Moment { size, root: [9; 32], heads: Vec::new(), first_kept: 0, at }).unwrap().note
    }

    #[tokio::test]
    async fn notes_come_back_in_their_order_and_only_the_last_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("b").join("witness");
        let witness = WitnessFile::new(path.clone());
        assert!(witness.notes().await.unwrap().is_empty());
        for size in 0..500 {
            witness.take(note(size)).await.unwrap();
        }
        let found = witness.notes().await.unwrap();
        assert!(found.len() > 100 && found.len() < 400, "{}", found.len());
        let first = 500 - i64::try_from(found.len()).unwrap();
        assert_eq!(found, (first..500).map(note).collect::<Vec<_>>());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path) & 0o137, mode(path.parent().unwrap())), (0, 0o700), "others neither read nor write");
    }

    #[tokio::test]
    async fn a_half_written_note_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let witness = WitnessFile::new(folder.path().join("witness"));
        for cut in 1..note(2).len() {
            std::fs::write(&witness.0, [entry(&note(1)).as_bytes(), &entry(&note(2)).as_bytes()[..cut]].concat())
                .unwrap();
            witness.take(note(3)).await.unwrap();
            assert_eq!(witness.notes().await.unwrap(), [note(1), note(3)], "{cut}");
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_a_fault_and_not_an_empty_witness() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let beneath = WitnessFile::new(file.join("witness"));
        assert_eq!(beneath.notes().await.unwrap_err().kind(), ErrorKind::NotADirectory);
        assert!(beneath.take(note(1)).await.is_err());
        assert!(WitnessFile::new(folder.path().to_owned()).notes().await.is_err());
    }
}
