//! Checkpoints: the log at one moment, signed.

use coffre_audit_proof::checkpoint::{Checkpoint as Text, LogId, Refused, StreamHead, heads_digest};
use coffre_audit_proof::note::{self, NotAKey, Note, SigningKey, VerifierKey};
use coffre_audit_proof::tree::Hash;
use coffre_secret::SecretBytes;
use coffre_types::{EventId, Timestamp};

use super::cut::SignedCut;

/// Returns a position of the database as the tree counts it; the database holds no negative one.
pub(crate) const fn unsigned(position: i64) -> u64 {
    if position < 0 { 0 } else { position.cast_unsigned() }
}

/// Returns a position of the tree as the database counts it.
pub(crate) fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// A checkpoint as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) size: i64,
    pub(crate) root: Hash,
    /// The streams that moved since the checkpoint before.
    pub(crate) heads: Vec<StreamHead>,
    pub(crate) note: String,
    /// Entries below were cut off.
    pub(crate) first_kept: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) witnessed_at: Option<Timestamp>,
}

/// The log, ready to be signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    pub(crate) size: i64,
    pub(crate) root: Hash,
    pub(crate) heads: Vec<StreamHead>,
    pub(crate) first_kept: i64,
    pub(crate) at: Timestamp,
}

/// What a note says of a log: how large it was, and its root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    pub(crate) size: i64,
    pub(crate) root: Hash,
}

/// Whose a note is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Recognised {
    /// This log's, signed with its key.
    Ours(Known),
    /// Signed with this log's key, for a log of another name: this one was begun anew.
    OtherLogOfOurKey(String),
    /// Another installation's.
    Foreign(String),
    /// Nobody's: the signature does not fit, or it is no checkpoint.
    Broken(String),
}

/// What is signed of a cut. The key's name is that of the log.
fn cut_text(cut: &SignedCut) -> String {
    format!("coffre.audit-cut.v1\n{}\n{}\n", cut.first_kept, cut.entry.uuid())
}

/// Signs the log. Its key is in the file `checkpoint.key` and in no database.
pub(crate) struct Signer {
    log_id: LogId,
    key: SigningKey,
    seed: SecretBytes,
}

impl Signer {
    /// Takes the bytes of the key file.
    ///
    /// # Errors
    /// Where they are no seed.
    pub(crate) fn new(log_id: LogId, seed: SecretBytes) -> Result<Self, NotAKey> {
        Ok(Self { key: SigningKey::from_seed(&log_id.origin(), &seed)?, log_id, seed })
    }

    /// Returns the key that checks its signatures.
    pub(crate) fn verifier(&self) -> &VerifierKey {
        self.key.verifier()
    }

    /// Signs the log as it is.
    ///
    /// # Errors
    /// Where what is to be signed is no checkpoint.
    pub(crate) fn sign(&self, moment: Moment) -> Result<Checkpoint, Refused> {
        let Moment { size, root, heads, first_kept, at } = moment;
        let text = Text {
            log_id: self.log_id,
            size: unsigned(size),
            root,
            time: at,
            heads: heads_digest(&heads),
            cut: unsigned(first_kept),
        };
        let note = text.sign(&self.key)?;
        Ok(Checkpoint { size, root, heads, note, first_kept, created_at: at, witnessed_at: None })
    }

    /// Says whether a stored checkpoint is in every part the one that was signed.
    pub(crate) fn vouches_for(&self, stored: &Checkpoint) -> bool {
        Text::open(&stored.note, self.verifier()).is_ok_and(|told| {
            told.size == unsigned(stored.size)
                && told.root == stored.root
                && told.heads == heads_digest(&stored.heads)
                && told.cut == unsigned(stored.first_kept)
                && told.time == stored.created_at
        })
    }

    /// Returns where the log began by a note of ours; 0 by any other.
    pub(crate) fn cut_of(&self, note: &str) -> i64 {
        Text::open(note, self.verifier()).map_or(0, |told| signed(told.cut))
    }

    /// Vouches for a cut.
    ///
    /// # Errors
    /// Never for our own text.
    pub(crate) fn sign_cut(&self, cut: &SignedCut) -> Result<String, note::Refused> {
        self.key.sign(&cut_text(cut))
    }

    /// Reads a cut that the log's key vouches for.
    pub(crate) fn read_cut(&self, note: &str) -> Option<SignedCut> {
        let note = Note::parse(note).ok()?;
        let mut lines = note.verify(self.verifier()).ok()?.lines().skip(1);
        let (first_kept, entry) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
        let cut = SignedCut { first_kept, entry: EventId::new(entry) };
        // The first line says that it is no checkpoint, and there is no other line.
        (note.unverified_text() == cut_text(&cut)).then_some(cut)
    }

    /// Says whose a note is.
    pub(crate) fn recognise(&self, note: &str) -> Recognised {
        match Text::open(note, self.verifier()) {
            Ok(found) => Recognised::Ours(Known { size: signed(found.size), root: found.root }),
            Err(Refused::OtherLog { found, .. }) => {
                let same_key = SigningKey::from_seed(&found, &self.seed);
                match same_key.is_ok_and(|key| Text::open(note, key.verifier()).is_ok()) {
                    true => Recognised::OtherLogOfOurKey(found),
                    false => Recognised::Foreign(found),
                }
            }
            Err(refused) => Recognised::Broken(refused.to_string()),
        }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key.fmt(f)
    }
}
