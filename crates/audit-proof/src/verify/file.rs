//! Checking an export: a file that may have been on strangers' machines.

use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_proto::audit::v1::Event;
use coffre_types::Timestamp;

use super::finding::Finding;
use super::{Picked, Report, Walk};
use crate::checkpoint::{Checkpoint, LogId, Refused};
use crate::export::{Entry, Header, Mark, VERSION, parse_hash};
use crate::note::VerifierKey;
use crate::seals::LastSeals;
use crate::tree::{EMPTY_ROOT, Frontier, Hash};
use crate::witness::Witness;
use crate::words::WORDS;

/// A longer line is no line of an export.
const MAX_LINE_BYTES: u64 = 1 << 24;

/// Why a file is no export.
#[derive(Debug, thiserror::Error)]
pub enum NotAnExport {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Its first line is something else.
    #[error("its first line is not that of an export: write one with `coffre audit export`")]
    Header,
    /// It is of a newer version.
    #[error("it has the form {0}, and this program reads the form {VERSION}: use a newer program")]
    Version(u32),
}

/// How a check is to be made.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// What a witness saw.
    pub witness: Option<Witness>,
    /// The export may be older than what the witness saw last: entries after its end are not missed.
    pub older: bool,
    /// The export may be in the words of another version: sentences and details in words that this program does not know are not missed.
    pub other_words: bool,
    /// Where the last seals of values are collected.
    pub seals: Option<&'a mut LastSeals>,
}

/// How far a check is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// How many bytes of the file were read.
    pub bytes: u64,
    /// How many entries.
    pub entries: u64,
}

/// An export whose first line was read.
pub struct ExportFile<R> {
    input: R,
    header: Header,
    line: u64,
    bytes: u64,
}

impl<R: BufRead> ExportFile<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// Where it is no export.
    pub fn open(input: R) -> Result<Self, NotAnExport> {
        let mut file = Self { input, header: Header::default(), line: 0, bytes: 0 };
        let Some(Ok(line)) = file.next_line()? else { return Err(NotAnExport::Header) };
        match serde_json::from_slice(&line) {
            Ok(Mark::Export(header)) if header.version == VERSION => file.header = header,
            Ok(Mark::Export(header)) => return Err(NotAnExport::Version(header.version)),
            _ => return Err(NotAnExport::Header),
        }
        Ok(file)
    }

    /// Returns what the file says of itself. Nothing of it is proved yet.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Checks the file and tells on the way how far it is.
    ///
    /// # Errors
    /// Where the file cannot be read. Whatever is wrong with its content stands in the report.
    pub fn check(mut self, key: &VerifierKey, asked: Asked<'_>, mut told: impl FnMut(Position)) -> io::Result<Report> {
        let Asked { witness, older, other_words, mut seals } = asked;
        let our_words = self.header.words == WORDS;
        let checkpoint = match Checkpoint::open(&self.header.checkpoint, key) {
            Ok(checkpoint) => checkpoint,
            Err(refused) => {
                return Ok(unopened("the checkpoint of the file", &refused, key, witness));
            }
        };
        let mut checker = match (&self.header.filter, self.header.frontier()) {
            (Some(_), _) => Checker::Picked(Box::new(Picked::new(checkpoint, witness))),
            (None, Some(before)) => Checker::Walk(Box::new(Walk::new(before, checkpoint, witness))),
            (None, None) => {
                let finding = Finding::Line { line: 1, why: "names hashes before its first entry that are no tree" };
                return Ok(hopeless(finding, key, witness));
            }
        };
        let (mut faults, mut entries, mut whole) = (Vec::new(), 0, false);
        while let Some(line) = self.next_line()? {
            let line = match line {
                // Nothing stands behind the end.
                Ok(_) if whole => Err("stands behind the end of the export"),
                Ok(line) => Ok(line),
                // The last line is cut off: what is missing is told at the end.
                Err(Unended) => break,
            };
            let taken = line.and_then(|line| match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) => {
                    entries += 1;
                    let event = checker.entry(&entry)?;
                    if let (Some(event), Some(seals)) = (&event, seals.as_deref_mut()) {
                        seals.take(event);
                    }
                    Ok(event.and_then(|event| entry.misleads(&event, our_words)))
                }
                Err(_) => match serde_json::from_slice(&line) {
                    Ok(Mark::Block { index, hash }) => checker.block(index, &hash).map(|()| None),
                    Ok(Mark::End { entries: named }) => {
                        whole = true;
                        if named == entries {
                            Ok(None)
                        } else {
                            Err("names another number of entries than the file has")
                        }
                    }
                    Ok(Mark::Export(_)) => Err("begins another export"),
                    Err(_) => Err("is no line of an export"),
                },
            });
            match taken {
                Ok(found) => faults.extend(found),
                Err(why) => faults.push(Finding::Line { line: self.line, why }),
            }
            faults.drain(..).for_each(|fault| checker.fault(fault));
            told(Position { bytes: self.bytes, entries });
        }
        let unread = (!our_words && !other_words).then_some(self.header.words);
        Ok(Report { unread, ..checker.finish(whole, older, key) })
    }

    /// The next line without its end; [`Unended`] where the file ends before it does.
    fn next_line(&mut self) -> io::Result<Option<Result<Vec<u8>, Unended>>> {
        let mut line = Vec::new();
        let read = self.input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        self.bytes += read as u64;
        self.line += 1;
        if read == 0 {
            return Ok(None);
        }
        Ok(Some(if line.pop_if(|last| *last == b'\n').is_some() { Ok(line) } else { Err(Unended) }))
    }
}

/// A line that the file's end cuts off.
struct Unended;

/// The one or the other way of going through entries.
enum Checker {
    Walk(Box<Walk>),
    Picked(Box<Picked>),
}

impl Checker {
    fn entry(&mut self, entry: &Entry) -> Result<Option<Event>, &'static str> {
        let bytes = STANDARD.decode(&entry.canonical).map_err(|_| "holds no base64 as canonical")?;
        let leaf = Some(parse_hash(&entry.leaf_hash).ok_or("holds no hash as leafHash")?);
        match self {
            Self::Walk(walk) => Ok(walk.entry(entry.log_index, leaf, &bytes)),
            Self::Picked(picked) => {
                let proof: Option<Option<Vec<Hash>>> =
                    entry.proof.as_ref().map(|hashes| hashes.iter().map(|hash| parse_hash(hash)).collect());
                let proof = proof.map(|proof| proof.ok_or("holds no hashes as proof")).transpose()?;
                Ok(picked.entry(entry.log_index, leaf, &bytes, proof.as_deref()))
            }
        }
    }

    fn block(&mut self, index: u64, hash: &str) -> Result<(), &'static str> {
        let hash = parse_hash(hash).ok_or("holds no hash")?;
        let fits = match self {
            Self::Walk(walk) => walk.block(index, hash),
            Self::Picked(_) => false,
        };
        if fits { Ok(()) } else { Err("names a block that does not end here") }
    }

    fn fault(&mut self, finding: Finding) {
        match self {
            Self::Walk(walk) => walk.fault(finding),
            Self::Picked(picked) => picked.fault(finding),
        }
    }

    fn finish(self, whole: bool, older: bool, key: &VerifierKey) -> Report {
        match self {
            Self::Walk(walk) => walk.finish(whole, older, key),
            Self::Picked(picked) => picked.finish(whole, key),
        }
    }
}

/// Returns the report of a record whose checkpoint is not one that the key vouches for.
#[must_use]
pub fn unopened(place: &str, refused: &Refused, key: &VerifierKey, witness: Option<Witness>) -> Report {
    hopeless(Finding::of_note(place, refused), key, witness)
}

/// The report of a record that says nothing that the key vouches for.
fn hopeless(finding: Finding, key: &VerifierKey, witness: Option<Witness>) -> Report {
    let empty = Checkpoint {
        log_id: LogId::new([0; 16]),
        size: 0,
        root: EMPTY_ROOT,
        time: Timestamp::default(),
        heads: [0; 32],
        cut: 0,
    };
    let mut walk = Walk::new(Frontier::default(), empty, witness);
    walk.fault(finding);
    Report { time: None, ..walk.finish(true, true, key) }
}
