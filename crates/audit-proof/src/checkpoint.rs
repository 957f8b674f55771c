//! A checkpoint: the log at one moment, as <https://c2sp.org/tlog-checkpoint> has it, in a signed [`note`].
//!
//! ```text
//! coffre.audit/6f2d1c0b9a8877665544332211009f8e
//! 1234
//! <base64 of the root>
//! time 2026-11-22T14:00:00.000000Z
//! heads <base64 of the digest of the streams' heads>
//! cut 512
//!
//! — coffre.audit/6f2d1c0b9a8877665544332211009f8e <base64 of key hash and signature>
//! ```
//!
//! The line `cut` is there where entries below that position are gone.
//!
//! [`note`]: crate::note

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_types::Timestamp;

use crate::note::{self, Note, SigningKey, VerifierKey};
use crate::tree::{Hash, sha256};

const ORIGIN: &str = "coffre.audit/";
const HEADS_DOMAIN: &[u8] = b"coffre.heads.v1";

/// The name of a log: 16 random bytes, made once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LogId([u8; 16]);

impl LogId {
    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the first line of the log's checkpoints, which is also the name of its key.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{ORIGIN}{}", hex::encode(self.0))
    }

    /// Reads the log's name from that line; `None` where it is something else.
    #[must_use]
    pub fn from_origin(origin: &str) -> Option<Self> {
        let mut id = [0; 16];
        hex::decode_to_slice(origin.strip_prefix(ORIGIN)?, &mut id).ok()?;
        Some(Self(id)).filter(|id| id.origin() == origin)
    }
}

/// Why a checkpoint is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] note::Refused),
    /// The text is no checkpoint.
    #[error("this is no checkpoint of an audit log: {0}")]
    Form(&'static str),
    /// The key belongs to another log.
    #[error("this is a checkpoint of another log: of {found}, and not of {expected}")]
    OtherLog {
        /// The log that was asked for.
        expected: String,
        /// The log whose checkpoint it is.
        found: String,
    },
}

/// The log at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log.
    pub log_id: LogId,
    /// How many entries it had.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// When it was made.
    pub time: Timestamp,
    /// The [`heads_digest`] of its streams.
    pub heads: Hash,
    /// Entries below this position are gone; 0: none.
    pub cut: u64,
}

impl Checkpoint {
    /// Signs it and returns the note.
    ///
    /// # Errors
    /// Where the key is another log's.
    pub fn sign(&self, key: &SigningKey) -> Result<String, Refused> {
        self.check_log(key.verifier())?;
        Ok(key.sign(&self.to_string())?)
    }

    /// Reads it from a note that the key signed.
    ///
    /// # Errors
    /// Where the note is none, is signed by another key, was changed, or is not about the log of the key.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, Refused> {
        let note = Note::parse(note)?;
        // Another log is told apart from a wrong key before the signature is looked at: its key has another name.
        Self::parse(note.unverified_text())?.check_log(key)?;
        let checkpoint = Self::parse(note.verify(key)?)?;
        Ok(checkpoint)
    }

    fn check_log(&self, key: &VerifierKey) -> Result<(), Refused> {
        let found = self.log_id.origin();
        if found == key.name() { Ok(()) } else { Err(Refused::OtherLog { expected: key.name().to_owned(), found }) }
    }

    /// Reads the text of a note: exactly these lines in exactly this form.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let mut lines = text.split('\n');
        let mut line = |missing| lines.next().ok_or(Refused::Form(missing));
        let log_id =
            LogId::from_origin(line("it is empty")?).ok_or(Refused::Form("its first line names no audit log"))?;
        let size = line("it has no size")?.parse().map_err(|_| Refused::Form("its second line is no size"))?;
        let root = hash(line("it has no root")?).ok_or(Refused::Form("its third line is no root"))?;
        let time = line("it has no time")?.strip_prefix("time ").and_then(Timestamp::parse_rfc3339);
        let time = time.ok_or(Refused::Form("its fourth line is no time"))?;
        let heads = line("it has no heads")?.strip_prefix("heads ").and_then(hash);
        let heads = heads.ok_or(Refused::Form("its fifth line is no digest of heads"))?;
        let cut = match line("its last line does not end")? {
            "" => 0,
            rest => {
                let cut = rest.strip_prefix("cut ").and_then(|cut| cut.parse().ok());
                cut.ok_or(Refused::Form("its sixth line is no cut"))?
            }
        };
        let checkpoint = Self { log_id, size, root, time, heads, cut };
        // One text for one checkpoint: no leading zero, no other form of the time, nothing after it.
        if checkpoint.to_string() != text {
            return Err(Refused::Form("it is not written in the one form that it has"));
        }
        if cut > size || i64::try_from(size).is_err() {
            return Err(Refused::Form("its numbers cannot be those of a log"));
        }
        Ok(checkpoint)
    }
}

impl fmt::Display for Checkpoint {
    /// Writes the text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.log_id.origin())?;
        writeln!(f, "{}", self.size)?;
        writeln!(f, "{}", STANDARD.encode(self.root))?;
        writeln!(f, "time {}", self.time.to_rfc3339_micros())?;
        writeln!(f, "heads {}", STANDARD.encode(self.heads))?;
        if self.cut > 0 { writeln!(f, "cut {}", self.cut) } else { Ok(()) }
    }
}

fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// How far a stream had come into the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamHead {
    /// The service.
    pub service: String,
    /// The stream.
    pub stream_id: [u8; 16],
    /// The number of its last event in the log.
    pub sequence: i64,
    /// The hash of the chain there.
    pub hash: Hash,
}

/// Returns the digest of heads that stands in a checkpoint; their order does not matter.
#[must_use]
pub fn heads_digest(heads: &[StreamHead]) -> Hash {
    let mut heads: Vec<&StreamHead> = heads.iter().collect();
    heads.sort_by_key(|head| head.stream_id);
    let mut bytes = HEADS_DOMAIN.to_vec();
    bytes.extend((heads.len() as u64).to_be_bytes());
    for head in heads {
        bytes.extend(head.stream_id);
        bytes.extend(head.sequence.to_be_bytes());
        bytes.extend(head.hash);
        bytes.extend((head.service.len() as u64).to_be_bytes());
        bytes.extend(head.service.as_bytes());
    }
    sha256(&[&bytes])
}

#[cfg(test)]
mod tests;
