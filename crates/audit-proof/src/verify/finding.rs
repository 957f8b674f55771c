//! What can be wrong with a record, each kind by its name.

use coffre_proto::audit::v1::Event;
use coffre_types::Timestamp;

use super::walk::id_of;
use crate::checkpoint::Refused;
use crate::note;

/// More findings are counted and not kept.
pub const MAX_FINDINGS: usize = 1000;

/// Something that is wrong with a record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Finding {
    /// An entry's bytes are not those of its leaf.
    #[error("changed: entry {index} ({id}) is not the one that was recorded: its bytes do not have its leaf hash")]
    Changed {
        /// Its position.
        index: u64,
        /// Its id, as it says.
        id: String,
    },
    /// Entries do not lead to the root that was signed.
    #[error(
        "changed: among the entries {first} to {last} at least one was changed, removed, added or moved: they do not lead to the signed root"
    )]
    ChangedWithin {
        /// The first entry that may be concerned.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// What a line shows is not what its entry holds.
    #[error("changed: what is shown of entry {index} ({id}) as {field} is not what the entry holds")]
    Shown {
        /// Its position.
        index: u64,
        /// Its id.
        id: String,
        /// The field.
        field: &'static str,
    },
    /// An entry's bytes are no event in its canonical form.
    #[error("changed: entry {index} is no event in the canonical form, or one of a newer version than this program")]
    NotCanonical {
        /// Its position.
        index: u64,
    },
    /// Entries are missing.
    #[error("removed: the entries {first} to {last} are missing")]
    Removed {
        /// The first that is missing.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// The beginning is missing, and no entry says that it was cut off.
    #[error(
        "removed: the entries 0 to {last} are missing: the checkpoint says that they were cut off, and no entry (audit.cut) says so",
        last = .cut.saturating_sub(1)
    )]
    CutUntold {
        /// Where the log begins by its checkpoint.
        cut: u64,
    },
    /// An entry is there that was not recorded at its place.
    #[error("inserted: an entry more than was recorded stands at position {index} ({id})")]
    Inserted {
        /// The position that it claims.
        index: u64,
        /// Its id, as it says.
        id: String,
    },
    /// An entry stands behind later ones.
    #[error("reordered: entry {index} ({id}) stands behind entry {behind}")]
    Reordered {
        /// Its position.
        index: u64,
        /// Its id.
        id: String,
        /// The last entry before it.
        behind: u64,
    },
    /// The log went on differently after an earlier state.
    #[error(
        "rolled back: the log was put back to {kept} entries or fewer and written anew: the witness saw another log of {seen} entries"
    )]
    RolledBack {
        /// The last size at which it was still the same.
        kept: u64,
        /// The size at which the witness saw another.
        seen: u64,
    },
    /// The end is missing.
    #[error(
        "cut tail: the entries {kept} to {last} are missing at the end: a checkpoint of {time} holds {size}",
        last = .size.saturating_sub(1), time = .time.to_rfc3339_micros()
    )]
    CutTail {
        /// How many entries there are.
        kept: u64,
        /// How many there were.
        size: u64,
        /// When the checkpoint was made that says so.
        time: Timestamp,
    },
    /// The witness knows a longer log.
    #[error(
        "cut tail: the entries {kept} to {last} are missing at the end: the witness saw {size} on {time}",
        last = .size.saturating_sub(1), time = .time.to_rfc3339_micros()
    )]
    Behind {
        /// How many entries there are.
        kept: u64,
        /// How many the witness saw.
        size: u64,
        /// When it saw them.
        time: Timestamp,
    },
    /// A picked entry's proof does not lead to the root.
    #[error("not in the log: the proof of entry {index} ({id}) does not lead to the signed root")]
    NotIncluded {
        /// Its position.
        index: u64,
        /// Its id.
        id: String,
    },
    /// A note is signed with another key.
    #[error("wrong key: {place}: {why}")]
    WrongKey {
        /// Where the note is.
        place: String,
        /// What was refused.
        why: String,
    },
    /// A note is about another log.
    #[error("another log: {place}: {why}")]
    OtherLog {
        /// Where the note is.
        place: String,
        /// What was refused.
        why: String,
    },
    /// A note was changed, or is none.
    #[error("changed: {place}: {why}")]
    Note {
        /// Where the note is.
        place: String,
        /// What was refused.
        why: String,
    },
    /// The witness saw two logs.
    #[error("rolled back: the log signed two histories of {size} entries: lines {line} and {other} of the witness")]
    TwoHistories {
        /// The size.
        size: u64,
        /// The line of the one.
        line: u64,
        /// The line of the other.
        other: u64,
    },
    /// A file ends before its end.
    #[error("truncated: the file ends after {entries} entries without its last line")]
    Truncated {
        /// How many entries it has.
        entries: u64,
    },
    /// A line of a file cannot be read.
    #[error("changed: line {line} of the file {why}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// Why.
        why: &'static str,
    },
}

impl Finding {
    /// Makes the finding of a note that was refused.
    pub(crate) fn of_note(place: impl Into<String>, refused: &Refused) -> Self {
        let (place, why) = (place.into(), refused.to_string());
        match refused {
            Refused::OtherLog { .. } => Self::OtherLog { place, why },
            Refused::Note(note::Refused::OtherKey { .. }) => Self::WrongKey { place, why },
            Refused::Note(note::Refused::Changed(_) | note::Refused::Form(_)) | Refused::Form(_) => {
                Self::Note { place, why }
            }
        }
    }

    /// Makes the finding of an entry of which something else is shown than what it holds.
    #[must_use]
    pub fn of_event(index: u64, held: &Event) -> Self {
        Self::Shown { index, id: id_of(Some(held)), field: "event" }
    }

    /// Returns its kind for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Changed { .. } | Self::ChangedWithin { .. } | Self::Shown { .. } | Self::NotCanonical { .. } => {
                "changed"
            }
            Self::Note { .. } | Self::Line { .. } => "changed",
            Self::Removed { .. } | Self::CutUntold { .. } => "removed",
            Self::Inserted { .. } => "inserted",
            Self::Reordered { .. } => "reordered",
            Self::RolledBack { .. } | Self::TwoHistories { .. } => "rolledBack",
            Self::CutTail { .. } | Self::Behind { .. } => "cutTail",
            Self::NotIncluded { .. } => "notIncluded",
            Self::WrongKey { .. } => "wrongKey",
            Self::OtherLog { .. } => "otherLog",
            Self::Truncated { .. } => "truncated",
        }
    }
}

/// Findings in bounded memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    pub(super) total: u64,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        self.total += 1;
        if self.kept.len() < MAX_FINDINGS {
            self.kept.push(finding);
        }
    }
}
