//! Checking a record against what its key signed and what a witness saw, and naming what is wrong with it.
//!
//! - [`Walk`] goes through all entries of a log in order, [`Picked`] through some of them that bring their proofs.
//! - [`ExportFile`] reads an export and sends it through one of them.
//! - [`Report`] says what came out. Nothing but a whole record whose last root a witness saw is [`Verdict::Whole`]; some entries of it never are.
//!
//! # How an entry is judged
//! Its bytes must have the hash that the record names for it; the hashes of all entries must lead to the roots that were signed and
//! witnessed. Where an export names the hash of each block of 256 entries, they are compared on the way, so that a fault is found within
//! its block and what comes after it can still be judged.
//!
//! # Memory
//! About 100 bytes for each size that the witness saw and at most [`MAX_FINDINGS`] findings, whatever the number of entries.
//! [`LastSeals`] adds about 150 bytes for each value that was ever written.
//!
//! [`LastSeals`]: crate::seals::LastSeals

mod file;
mod finding;
mod picked;
mod walk;

use coffre_types::Timestamp;

pub use self::file::{Asked, ExportFile, NotAnExport, Position, unopened};
pub use self::finding::{Finding, MAX_FINDINGS};
pub use self::picked::Picked;
pub(crate) use self::walk::BLOCK_LEVEL;
pub use self::walk::Walk;

/// What a check came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing is wrong, and a witness saw the last root.
    Whole,
    /// Each entry that is there is in the log, and a witness saw its root. What is not there may be missing: a record of everything from which
    /// entries were taken looks the same.
    Picked,
    /// Nothing wrong was found, and a witness saw the last root; but the sentences and details are in the words of another version, and
    /// could not be compared.
    Unread,
    /// Nothing wrong was found, but no witness vouches for all of it: whoever holds the server and its key could have written it anew.
    NotAnchored,
    /// Something is wrong.
    Damaged,
}

/// What was checked and what was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// How many entries were looked at.
    pub entries: u64,
    /// Entries below this position were removed by a cut that the checkpoint names.
    pub cut: u64,
    /// How many entries the log had at the checkpoint that was checked.
    pub size: u64,
    /// When that checkpoint was made.
    pub time: Option<Timestamp>,
    /// Whether these are some entries of the log and not all: that none is missing among them cannot be proved.
    pub picked: bool,
    /// Entries that brought no proof.
    pub unproven: u64,
    /// A witness vouches for the entries below this position.
    pub anchored: u64,
    /// How many sizes of the log the witness saw; absent where there was no witness.
    pub witnessed: Option<usize>,
    /// How many notes of the witness were not written to their end. That is no fault: its writer was stopped.
    pub half_notes: u64,
    /// How many notes of the witness were of other logs.
    pub foreign_notes: u64,
    /// The key that the signatures were checked with.
    pub key: String,
    /// The version of the words of sentences and details that were not compared, because it is not [`WORDS`](crate::words::WORDS).
    pub unread: Option<u32>,
    /// What is wrong: at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub total_findings: u64,
}

impl Report {
    /// Says what it comes to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.total_findings > 0 {
            Verdict::Damaged
        } else if self.witnessed.is_none() || self.anchored != self.size || self.unproven > 0 {
            Verdict::NotAnchored
        } else if self.unread.is_some() {
            Verdict::Unread
        } else if self.picked {
            Verdict::Picked
        } else {
            Verdict::Whole
        }
    }
}

#[cfg(test)]
mod tests;
