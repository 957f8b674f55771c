//! Whether the witness that the audit would have saw more than the backup holds: beside it the restored log would never be signed.

use std::path::Path;

use anyhow::{Context as _, bail};
use coffre_audit_proof::checkpoint::{Checkpoint, Refused};
use coffre_audit_proof::note::VerifierKey;
use coffre_db::copy::Row;

use super::rows::Columns;

/// The audit's log in a backup.
#[derive(Default)]
pub(super) struct Log {
    /// How many entries it was given.
    size: u64,
    /// What its checkpoints are signed with, if it was ever signed.
    key: Option<VerifierKey>,
}

impl Log {
    /// Reads the head of the log.
    pub(super) fn of(columns: &Columns<'_>, row: &Row) -> anyhow::Result<Self> {
        let size = u64::try_from(columns.number(row, "size")?).context("the size of the log is out of range")?;
        // A log that was never signed names no key yet.
        let key = columns.text(row, "verifier_key").ok().map(str::parse).transpose();
        Ok(Self { size, key: key.context("the key of the log is damaged")? })
    }

    /// Returns what its checkpoints are signed with, if it was ever signed.
    pub(super) const fn key(&self) -> Option<&VerifierKey> {
        self.key.as_ref()
    }

    /// Refuses a witness beside which the log would be one that was put back.
    pub(super) fn refuse_witness(&self, file: &Path) -> anyhow::Result<()> {
        let what = format!("the witness of the audit, {}", file.display());
        let notes = coffre_audit::witnessed(file).with_context(|| format!("{what}, cannot be read"))?;
        for note in &notes {
            let seen = match self.key.as_ref().map(|key| Checkpoint::open(note, key)) {
                Some(Ok(checkpoint)) if checkpoint.size <= self.size => continue,
                Some(Ok(checkpoint)) => {
                    format!("saw {} entries, and the log in this backup has {}", checkpoint.size, self.size)
                }
                // The audit says of its own what it cannot read there.
                Some(Err(refused)) if !matches!(refused, Refused::OtherLog { .. }) => continue,
                _ => "holds checkpoints of another log".to_owned(),
            };
            bail!(
                "{what}, {seen}: with it nothing would be signed after the restoration. Nothing was changed. Name another file \
                 (COFFRE_AUDIT_WITNESS_FILE), for the services too, or move this one away; keep it, it tells what is lost"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use coffre_audit_proof::checkpoint::LogId;
    use coffre_audit_proof::note::SigningKey;
    use coffre_secret::SecretBytes;
    use coffre_types::Timestamp;

    use super::*;

    fn key(of: u8) -> (LogId, SigningKey) {
        let id = LogId::new([of; 16]);
        (id, SigningKey::from_seed(&id.origin(), &SecretBytes::new(vec![7; 32])).unwrap())
    }

    fn witness(notes: &[(u8, u64)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let note = |(of, size): &(u8, u64)| {
            let (log_id, key) = key(*of);
            let time = Timestamp::from_seconds(1_800_000_000);
            let checkpoint = Checkpoint { log_id, size: *size, root: [9; 32], time, heads: [0; 32], cut: 0 };
            coffre_audit_proof::witness::entry(&checkpoint.sign(&key).unwrap())
        };
        std::fs::write(file.path(), notes.iter().map(note).collect::<String>()).unwrap();
        file
    }

    #[test]
    fn a_witness_that_saw_more_than_the_backup_holds_is_refused() {
        let log = Log { size: 14, key: Some(key(1).1.verifier().clone()) };
        log.refuse_witness(Path::new("/nowhere/audit.witness")).unwrap();
        log.refuse_witness(witness(&[]).path()).unwrap();
        log.refuse_witness(witness(&[(1, 3), (1, 14)]).path()).unwrap();
        let refused =
            |log: &Log, notes: &[(u8, u64)]| log.refuse_witness(witness(notes).path()).unwrap_err().to_string();
        assert!(refused(&log, &[(1, 3), (1, 15), (1, 2)]).contains("saw 15 entries"));
        assert!(refused(&log, &[(2, 3)]).contains("another log"));
        assert!(refused(&Log::default(), &[(1, 3)]).contains("another log"));
        assert!(log.refuse_witness(Path::new("/")).is_err(), "what cannot be read is no empty one");
    }
}
