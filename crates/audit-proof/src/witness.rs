//! Reading what a witness kept: a file of notes one after the other, or lines of a log in JSON that hold a note.
//!
//! A writer may have died in the middle of a note. The next one then begins on a line of its own, and only the half one is lost: it is
//! counted and is no sign of anything bad. [`entry`] is how a note is added to a file so that this holds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, BufRead, Read as _};

use coffre_types::Timestamp;
use serde_json::Value;

use crate::checkpoint::{self, Checkpoint, LogId};
use crate::note::{Note, SIGNATURE, VerifierKey};
use crate::tree::Hash;
use crate::verify::Finding;

/// A longer line is skipped: it is no line of ours.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// A checkpoint and its signature are far shorter.
const MAX_NOTE_BYTES: usize = 1 << 14;

/// Returns what is to be added at the end of a witness file for a note: the note on lines of its own, whatever is before it.
#[must_use]
pub fn entry(note: &str) -> String {
    format!("\n{note}")
}

/// Something that a witness file holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A note. Nobody looked at its signature yet.
    Note {
        /// The line on which it begins, from 1.
        line: u64,
        /// The note.
        note: String,
    },
    /// A note that was not written to its end.
    Half {
        /// The line on which it begins, from 1.
        line: u64,
    },
}

/// Reads the items of a witness file. Lines that belong to no note are skipped.
pub struct Reader<R> {
    input: R,
    line: u64,
    /// A line that was read already, and whether it has an end.
    kept: Option<(String, bool)>,
}

impl<R: BufRead> Reader<R> {
    /// Begins to read.
    pub fn new(input: R) -> Self {
        Self { input, line: 0, kept: None }
    }

    /// The next line without its end, and whether it has one. What is no UTF-8 belongs to no note.
    fn next_line(&mut self) -> io::Result<Option<(String, bool)>> {
        let mut bytes = Vec::new();
        if self.input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        let ended = bytes.pop_if(|last| *last == b'\n').is_some();
        if !ended && bytes.len() as u64 == MAX_LINE_BYTES {
            self.input.skip_until(b'\n')?;
            bytes.clear();
        }
        self.line += 1;
        Ok(Some((String::from_utf8(bytes).unwrap_or_default(), ended)))
    }

    fn read(&mut self) -> io::Result<Option<Item>> {
        loop {
            let Some((line, ended)) = self.kept.take().map_or_else(|| self.next_line(), |line| Ok(Some(line)))? else {
                return Ok(None);
            };
            if LogId::from_origin(&line).is_some() {
                return if ended { self.note(line).map(Some) } else { Ok(Some(Item::Half { line: self.line })) };
            }
            if line.starts_with('{')
                && let Some(note) = note_in(&serde_json::from_str(&line).unwrap_or_default())
            {
                return Ok(Some(Item::Note { line: self.line, note }));
            }
        }
    }

    /// Reads on from the first line of a note.
    fn note(&mut self, first: String) -> io::Result<Item> {
        let line = self.line;
        let (mut note, mut signed) = (format!("{first}\n"), false);
        while let Some((next, ended)) = self.next_line()? {
            let signature = next.starts_with(SIGNATURE);
            if (signed && !signature) || belongs_elsewhere(&next) || note.len() > MAX_NOTE_BYTES {
                self.kept = Some((next, ended));
                break;
            }
            signed = signature;
            note.push_str(&next);
            if ended {
                note.push('\n');
            }
        }
        let whole = Note::parse(&note).is_ok_and(|note| note.is_whole());
        Ok(if whole { Item::Note { line, note } } else { Item::Half { line } })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Says whether a line is the first of another note or one of a log, so that the note before it was left half.
fn belongs_elsewhere(line: &str) -> bool {
    line.starts_with('{') || LogId::from_origin(line).is_some()
}

/// Finds the note in a line of a log, wherever its format puts the fields.
fn note_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Note::parse(text)
            .ok()
            .filter(|note| Checkpoint::parse(note.unverified_text()).is_ok())
            .map(|_| text.clone()),
        // An export vouches for nothing, least of all for itself.
        Value::Object(fields) if fields.get("kind").is_some_and(|kind| kind == "export") => None,
        Value::Object(fields) => fields.values().find_map(note_in),
        _ => None,
    }
}

/// A checkpoint that a witness saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The root of the log at that size.
    pub root: Hash,
    /// When the checkpoint was made.
    pub time: Timestamp,
    /// The line of the file, from 1.
    pub line: u64,
}

/// What a witness saw of one log: about 100 bytes a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    seen: BTreeMap<u64, Seen>,
    half: u64,
    foreign: u64,
    findings: Vec<Finding>,
}

impl Witness {
    /// Reads all that a witness kept of the key's log. What is wrong with it is kept, too, and is part of a verifier's report.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(input: impl BufRead, key: &VerifierKey) -> io::Result<Self> {
        let mut witness = Self::default();
        let mut other = None;
        for item in Reader::new(input) {
            match item? {
                Item::Half { .. } => witness.half += 1,
                Item::Note { line, note } => match Checkpoint::open(&note, key) {
                    Ok(checkpoint) => witness.add(line, &checkpoint),
                    Err(refused @ checkpoint::Refused::OtherLog { .. }) => {
                        witness.foreign += 1;
                        other.get_or_insert((line, refused));
                    }
                    Err(refused) => witness.findings.push(Finding::of_note(place(line), &refused)),
                },
            }
        }
        // A collector may keep the notes of several logs; a file without any of ours is the wrong file.
        if let (true, Some((line, refused))) = (witness.seen.is_empty(), other) {
            witness.findings.push(Finding::of_note(place(line), &refused));
        }
        Ok(witness)
    }

    fn add(&mut self, line: u64, checkpoint: &Checkpoint) {
        let seen = Seen { root: checkpoint.root, time: checkpoint.time, line };
        match self.seen.entry(checkpoint.size) {
            Entry::Vacant(place) => {
                place.insert(seen);
            }
            Entry::Occupied(known) if known.get().root != seen.root => {
                self.findings.push(Finding::TwoHistories {
                    size: checkpoint.size,
                    line: known.get().line,
                    other: line,
                });
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Returns the checkpoint of the largest log that it saw.
    #[must_use]
    pub fn last(&self) -> Option<(u64, Seen)> {
        self.seen.last_key_value().map(|(size, seen)| (*size, *seen))
    }

    /// Returns the checkpoint of one size.
    #[must_use]
    pub fn at(&self, size: u64) -> Option<Seen> {
        self.seen.get(&size).copied()
    }

    /// Returns the first checkpoint of a size above this one.
    pub(crate) fn next_after(&self, size: u64) -> Option<u64> {
        self.seen.range(size.saturating_add(1)..).next().map(|(size, _)| *size)
    }

    /// Returns how many sizes it saw.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Says whether it saw nothing of this log.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Returns how many notes were not written to their end.
    #[must_use]
    pub fn half(&self) -> u64 {
        self.half
    }

    /// Returns how many notes were of other logs.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Returns what is wrong with it.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

fn place(line: u64) -> String {
    format!("line {line} of the witness")
}

#[cfg(test)]
mod tests;
