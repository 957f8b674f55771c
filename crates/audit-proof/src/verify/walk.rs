//! Going through all entries of a log in the order of arrival.

use std::ops::Range;

use coffre_proto::audit::v1::{Event, Outcome};
use uuid::Uuid;

use super::Report;
use super::finding::{Finding, Findings};
use crate::canonical;
use crate::checkpoint::Checkpoint;
use crate::note::VerifierKey;
use crate::tree::{Frontier, Hash, leaf_hash};
use crate::witness::Witness;

/// A block is a complete subtree of this level.
pub(crate) const BLOCK_LEVEL: u32 = 8;
/// How many entries a block has.
const BLOCK: u64 = 1 << BLOCK_LEVEL;
/// What stands for an entry that is missing, so that those after it keep their places.
const MISSING: Hash = [0; 32];
/// More gaps than these are not told apart from entries that come twice.
const MAX_GAPS: usize = 1000;

/// A run of entries that do not lead to a root.
struct Doubt {
    entries: Range<u64>,
    /// A block hash says that the fault is here, and not in the root.
    settled: bool,
}

/// Checks all entries of a log, one after the other, against a checkpoint that its key signed and against what a witness saw.
pub struct Walk {
    checkpoint: Checkpoint,
    witness: Option<Witness>,
    /// The tree of what the record says; that the entries are those leaves is checked one by one.
    tree: Frontier,
    /// The tree at the beginning of the present block.
    block_start: Frontier,
    /// The hash of the last complete block.
    block_hash: Hash,
    /// The end and the hash of a block that the record named before its last entry.
    early: Option<(u64, Hash)>,
    /// The next size of which a root is known.
    next_root: u64,
    /// The last size at which the root was right, and whether the last one that was looked at was wrong.
    good: u64,
    broken: bool,
    /// The last position at which an entry is missing: that has a name of its own, and spoils the roots after it.
    named: Option<u64>,
    doubts: Vec<Doubt>,
    gaps: Vec<Range<u64>>,
    agrees: bool,
    anchored: u64,
    entries: u64,
    /// An entry says that the log was cut where the checkpoint says that it begins.
    cut_told: bool,
    findings: Findings,
}

impl Walk {
    /// Begins with what stands before the first entry: nothing, or the tree that the proof of the first entry after a cut gives.
    #[must_use]
    pub fn new(before: Frontier, checkpoint: Checkpoint, witness: Option<Witness>) -> Self {
        let start = before.size();
        let mut walk = Self {
            checkpoint,
            witness,
            tree: before.clone(),
            block_start: before,
            block_hash: MISSING,
            early: None,
            next_root: 0,
            good: start,
            broken: false,
            named: None,
            doubts: Vec::new(),
            gaps: Vec::new(),
            agrees: false,
            anchored: 0,
            entries: 0,
            cut_told: checkpoint.cut == 0,
            findings: Findings::default(),
        };
        if start > checkpoint.cut {
            walk.findings.push(Finding::Removed { first: checkpoint.cut, last: start - 1 });
        }
        walk.check();
        walk
    }

    /// Returns the position of the entry that is expected next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.tree.size()
    }

    /// Takes an entry, with the leaf hash that the record names for it. Returns the event where the bytes are one.
    pub fn entry(&mut self, index: u64, leaf: Option<Hash>, bytes: &[u8]) -> Option<Event> {
        self.entries += 1;
        let event = canonical::parse(bytes);
        let id = || id_of(event.as_ref());
        if index < self.next() {
            let finding = match self.take_gap(index) {
                true => Finding::Reordered { index, id: id(), behind: self.next() - 1 },
                false => Finding::Inserted { index, id: id() },
            };
            self.findings.push(finding);
            return event;
        }
        if index >= self.checkpoint.size {
            self.findings.push(Finding::Inserted { index, id: id() });
            return event;
        }
        self.fill(index);
        if event.is_none() {
            self.findings.push(Finding::NotCanonical { index });
        }
        let computed = leaf_hash(bytes);
        let leaf = leaf.unwrap_or(computed);
        if leaf != computed {
            self.findings.push(Finding::Changed { index, id: id() });
        }
        self.push(leaf);
        self.cut_told |= event.as_ref().and_then(cut_to) == Some(self.checkpoint.cut);
        event
    }

    /// Takes the hash that the record names for a block, after the block's last entry; `false` where the block cannot stand here.
    pub fn block(&mut self, index: u64, hash: Hash) -> bool {
        let Some(end) = index.checked_add(1).and_then(|next| next.checked_mul(BLOCK)) else { return false };
        if end > self.checkpoint.size || end < self.next() || self.next() + BLOCK < end {
            return false;
        }
        if self.next() == end {
            return self.compare_block(end, &hash);
        }
        // Its last entries are missing, or the line stands in the wrong place: what comes next tells.
        self.early = Some((end, hash));
        true
    }

    /// Compares the block that just ended with the hash that the record names for it.
    fn compare_block(&mut self, end: u64, hash: &Hash) -> bool {
        let entries = self.block_start.size()..end;
        let mut named = self.block_start.clone();
        if !named.push_subtree(BLOCK_LEVEL, *hash) || named.size() != end {
            return false;
        }
        if self.block_hash != *hash {
            if self.named.is_none_or(|at| at < entries.start) {
                match self.doubts.last_mut().filter(|doubt| doubt.entries.end > entries.start) {
                    Some(doubt) => {
                        doubt.entries = doubt.entries.start.max(entries.start)..doubt.entries.end.min(entries.end);
                        doubt.settled = true;
                    }
                    None => self.doubts.push(Doubt { entries, settled: true }),
                }
            }
            // A root vouches for the entries: what the record names is wrong itself.
            if self.good == end && !self.broken {
                return true;
            }
            self.broken = false;
        }
        // What comes after is judged as if the block were what it was.
        self.tree = named;
        self.check();
        true
    }

    /// Takes a fault that its reader found.
    pub fn fault(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Ends where the record ends; `whole`: it says itself that this is its end. `older`: the witness may know a longer log.
    #[must_use]
    pub fn finish(mut self, whole: bool, older: bool, key: &VerifierKey) -> Report {
        let (next, size, time) = (self.next(), self.checkpoint.size, self.checkpoint.time);
        if !whole {
            self.findings.push(Finding::Truncated { entries: self.entries });
        } else if next < size {
            self.findings.push(Finding::CutTail { kept: next, size, time });
        } else if !self.cut_told {
            self.findings.push(Finding::CutUntold { cut: self.checkpoint.cut });
        }
        for gap in std::mem::take(&mut self.gaps) {
            self.findings.push(Finding::Removed { first: gap.start, last: gap.end - 1 });
        }
        for Doubt { entries, settled } in std::mem::take(&mut self.doubts) {
            // A log that leads to its own signed root, and not to the one that the witness has, is another log of the same key.
            self.findings.push(if self.agrees && !settled {
                Finding::RolledBack { kept: entries.start, seen: entries.end }
            } else {
                Finding::ChangedWithin { first: entries.start, last: entries.end.max(1) - 1 }
            });
        }
        let witness = self.witness.unwrap_or_default();
        witness.findings().iter().for_each(|finding| self.findings.push(finding.clone()));
        if let Some((seen, last)) = witness.last().filter(|(seen, _)| *seen > size && !older) {
            self.findings.push(Finding::Behind { kept: size, size: seen, time: last.time });
        }
        Report {
            entries: self.entries,
            cut: self.checkpoint.cut,
            size,
            time: Some(time),
            picked: false,
            unproven: 0,
            anchored: self.anchored,
            witnessed: (!witness.is_empty()).then(|| witness.len()),
            half_notes: witness.half(),
            foreign_notes: witness.foreign(),
            key: key.to_string(),
            unread: None,
            findings: self.findings.kept,
            total_findings: self.findings.total,
        }
    }

    /// Lets what is missing before a position have its place.
    fn fill(&mut self, to: u64) {
        let next = self.next();
        if next >= to {
            return;
        }
        self.named = Some(next);
        if self.gaps.len() < MAX_GAPS {
            self.gaps.push(next..to);
        } else {
            self.findings.push(Finding::Removed { first: next, last: to - 1 });
        }
        while self.next() < to {
            self.named = Some(self.next());
            self.push(MISSING);
        }
    }

    /// Says whether an entry was missed, and no longer misses it.
    fn take_gap(&mut self, index: u64) -> bool {
        let Some(at) = self.gaps.iter().position(|gap| gap.contains(&index)) else { return false };
        let gap = self.gaps.swap_remove(at);
        self.gaps.extend([gap.start..index, index + 1..gap.end].into_iter().filter(|gap| !gap.is_empty()));
        true
    }

    fn push(&mut self, leaf: Hash) {
        if self.next().is_multiple_of(BLOCK) {
            self.block_start.clone_from(&self.tree);
        }
        let block_hash = &mut self.block_hash;
        self.tree.push(leaf, |node, hash| {
            if node.level == BLOCK_LEVEL {
                *block_hash = *hash;
            }
        });
        if self.next() == self.next_root {
            self.check();
        }
        if let Some((end, hash)) = self.early.take_if(|(end, _)| *end == self.tree.size()) {
            self.compare_block(end, &hash);
        }
    }

    /// Compares the root with those that are known of this size, and looks for the next.
    fn check(&mut self) {
        let (at, size) = (self.next(), self.checkpoint.size);
        let seen = self.witness.as_ref().and_then(|witness| witness.at(at));
        let next = self.witness.as_ref().and_then(|witness| witness.next_after(at)).unwrap_or(u64::MAX);
        self.next_root = if at < size { next.min(size) } else { next };
        if at != size && seen.is_none() {
            return;
        }
        let root = self.tree.root();
        let signed = (at == size).then_some(self.checkpoint.root == root);
        let witnessed = seen.map(|seen| seen.root == root);
        self.agrees |= signed == Some(true);
        if signed != Some(false) && witnessed != Some(false) {
            self.broken = false;
            self.good = at;
            if witnessed == Some(true) {
                self.anchored = at;
            }
        } else if !self.broken {
            self.broken = true;
            if self.named.is_none_or(|named| named < self.good) {
                self.doubts.push(Doubt { entries: self.good..at, settled: false });
            }
        }
    }
}

/// Returns where the log begins since a cut, by the event of the cut. Whoever cuts records it in front of the checkpoint that first tells of it,
/// so it is always behind what was cut off.
fn cut_to(event: &Event) -> Option<u64> {
    let is_cut = event.event == "audit.cut" && event.outcome() == Outcome::Successful;
    let change = event.changes.iter().find(|change| change.field == "firstKept").filter(|_| is_cut)?;
    change.new_value.as_ref()?.parse().ok()
}

/// Returns an event's id in its usual form.
pub(super) fn id_of(event: Option<&Event>) -> String {
    let id = event.and_then(|event| Uuid::from_slice(&event.id).ok());
    id.map_or_else(|| "without id".to_owned(), |id| id.to_string())
}
