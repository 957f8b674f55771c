//! Going through some entries of a log, such as a filter leaves, each with a proof of its own.

use coffre_proto::audit::v1::Event;

use super::Report;
use super::finding::{Finding, Findings};
use super::walk::id_of;
use crate::canonical;
use crate::checkpoint::Checkpoint;
use crate::note::VerifierKey;
use crate::proof::verify_inclusion;
use crate::tree::{Hash, leaf_hash};
use crate::witness::Witness;

/// Checks entries by their inclusion proofs against a checkpoint. That none is missing among them cannot be proved.
pub struct Picked {
    checkpoint: Checkpoint,
    witness: Option<Witness>,
    last: Option<u64>,
    entries: u64,
    unproven: u64,
    findings: Findings,
}

impl Picked {
    /// Begins.
    #[must_use]
    pub fn new(checkpoint: Checkpoint, witness: Option<Witness>) -> Self {
        Self { checkpoint, witness, last: None, entries: 0, unproven: 0, findings: Findings::default() }
    }

    /// Takes an entry. Returns the event where the bytes are one.
    pub fn entry(&mut self, index: u64, leaf: Option<Hash>, bytes: &[u8], proof: Option<&[Hash]>) -> Option<Event> {
        self.entries += 1;
        let event = canonical::parse(bytes);
        let id = || id_of(event.as_ref());
        match self.last {
            Some(last) if index == last => self.findings.push(Finding::Inserted { index, id: id() }),
            Some(last) if index < last => self.findings.push(Finding::Reordered { index, id: id(), behind: last }),
            _ => self.last = Some(index),
        }
        if event.is_none() {
            self.findings.push(Finding::NotCanonical { index });
        }
        let computed = leaf_hash(bytes);
        let Checkpoint { size, root, .. } = &self.checkpoint;
        if leaf.is_some_and(|leaf| leaf != computed) {
            self.findings.push(Finding::Changed { index, id: id() });
        } else if let Some(proof) = proof {
            if !verify_inclusion(&computed, index, *size, proof, root) {
                self.findings.push(Finding::NotIncluded { index, id: id() });
            }
        } else {
            self.unproven += 1;
        }
        event
    }

    /// Takes a fault that its reader found.
    pub fn fault(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Ends; `whole`: the record says itself that this is its end.
    #[must_use]
    pub fn finish(mut self, whole: bool, key: &VerifierKey) -> Report {
        let Checkpoint { size, root, time, cut, .. } = self.checkpoint;
        if !whole {
            self.findings.push(Finding::Truncated { entries: self.entries });
        }
        let witness = self.witness.unwrap_or_default();
        witness.findings().iter().for_each(|finding| self.findings.push(finding.clone()));
        let seen = witness.at(size);
        if seen.is_some_and(|seen| seen.root != root) {
            self.findings.push(Finding::RolledBack { kept: size.saturating_sub(1), seen: size });
        }
        Report {
            entries: self.entries,
            cut,
            size,
            time: Some(time),
            picked: true,
            unproven: self.unproven,
            anchored: if seen.is_some() { size } else { 0 },
            witnessed: (!witness.is_empty()).then(|| witness.len()),
            half_notes: witness.half(),
            foreign_notes: witness.foreign(),
            key: key.to_string(),
            unread: None,
            findings: self.findings.kept,
            total_findings: self.findings.total,
        }
    }
}
