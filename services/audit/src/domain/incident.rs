//! What was found wrong with the record.

use coffre_types::Timestamp;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// Events of a stream did not come.
    Gap,
    /// Somebody without the key wrote a segment, or its stream has two histories.
    Forged,
    /// The log is not the one that a witness saw.
    RolledBack,
    /// An entry, or a hash above it, is not what it was.
    Changed,
    /// A checkpoint of before is not the one that was signed, or is gone.
    Checkpoint,
}

impl Kind {
    /// Returns the word under which it is stored.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Forged => "forged",
            Self::RolledBack => "rolled_back",
            Self::Changed => "changed",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let all = [Self::Gap, Self::Forged, Self::RolledBack, Self::Changed, Self::Checkpoint];
        all.into_iter().find(|kind| kind.word() == word)
    }
}

/// Where it is: events of a stream, or entries of the log where service and stream are empty, and the size of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) service: &'a str,
    pub(crate) stream_id: &'a [u8],
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Place<'_> {
    /// Entries of the log.
    pub(crate) const fn log(first: i64, last: i64) -> Self {
        Place { service: "", stream_id: &[], first, last }
    }

    /// Says in one line what is wrong there, for the entry of the log.
    pub(crate) fn told(&self, kind: Kind) -> String {
        let Place { service, stream_id, first, last } = self;
        let word = kind.word();
        match stream_id.is_empty() {
            true => format!("{word} {first} to {last}"),
            false => format!("{word} {service} {} {first} to {last}", hex(stream_id)),
        }
    }
}

/// Writes the name of a stream as people read it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Something that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Incident {
    pub(crate) kind: Kind,
    pub(crate) service: String,
    pub(crate) stream_id: Vec<u8>,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) found_at: Timestamp,
}
