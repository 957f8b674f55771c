//! Proofs: that an entry is in the log, and that one log is the beginning of another.

use std::sync::Arc;

use coffre_audit_proof::proof::{consistency, inclusion, verify_inclusion};
use coffre_audit_proof::tree::{Hash, leaf_hash};
use coffre_types::EventId;

use super::check::WIDTH;
use super::checkpoint::{Checkpoint, unsigned};
use super::keeper::{Fault, Keep, Keeper};
use super::ports::Located;
use super::visibility::Visibility;

/// What proves that an entry is in the log.
pub(crate) struct Inclusion {
    pub(crate) entry: Located,
    pub(crate) hashes: Vec<Hash>,
    pub(crate) checkpoint: Checkpoint,
}

/// Proves the record.
pub(crate) struct Prover {
    store: Arc<dyn Keep>,
    keeper: Arc<Keeper>,
}

impl Prover {
    pub(crate) fn new(store: Arc<dyn Keep>, keeper: Arc<Keeper>) -> Self {
        Self { store, keeper }
    }

    /// Returns the latest checkpoint.
    pub(crate) async fn latest(&self) -> Result<Checkpoint, Fault> {
        self.store.latest().await?.ok_or(Fault::NoCheckpoint)
    }

    /// Returns the checkpoint of a size.
    pub(crate) async fn at(&self, size: i64) -> Result<Checkpoint, Fault> {
        self.store.at(size).await?.ok_or(Fault::NoCheckpoint)
    }

    /// Proves that the log of one size is the beginning of the log of another.
    pub(crate) async fn consistency(&self, from: i64, to: i64) -> Result<Vec<Hash>, Fault> {
        let invalid = |field, problem: String| Fault::Invalid { field, problem };
        if from < 0 {
            return Err(invalid("from_size", "a log has no negative size".to_owned()));
        }
        let size = self.store.ends().await?.size;
        if to > size {
            return Err(invalid("to_size", format!("the log has {size} entries")));
        }
        let runs = consistency(unsigned(from), unsigned(to));
        let runs = runs.ok_or_else(|| invalid("to_size", "must be at least from_size".to_owned()))?;
        Ok(self.store.runs(runs).await?)
    }

    /// Returns the proofs that the entries at some positions are in the log of a checkpoint.
    pub(crate) async fn paths(&self, positions: &[i64], size: i64) -> Result<Vec<Vec<Hash>>, Fault> {
        let (mut runs, mut lengths) = (Vec::new(), Vec::with_capacity(positions.len()));
        for position in positions {
            let path = inclusion(unsigned(*position), unsigned(size)).ok_or(Fault::NoEntry)?;
            lengths.push(path.len());
            runs.extend(path);
        }
        let mut hashes = self.store.runs(runs).await?.into_iter();
        Ok(lengths.into_iter().map(|length| hashes.by_ref().take(length).collect()).collect())
    }

    /// Proves that an entry is in the log, against the checkpoint of a size, or against the latest or a new one.
    pub(crate) async fn inclusion(&self, id: EventId, visibility: Visibility, size: i64) -> Result<Inclusion, Fault> {
        let entry = self.store.locate(id, visibility).await.map_err(|error| match error {
            coffre_db::Error::NotFound => Fault::NoEntry,
            error => Fault::Store(error),
        })?;
        let checkpoint = match size {
            0 => self.keeper.covering(entry.log_index.saturating_add(1)).await?,
            size => self.at(size).await?,
        };
        let (index, size) = (unsigned(entry.log_index), unsigned(checkpoint.size));
        let runs = inclusion(index, size).ok_or_else(|| Fault::Invalid {
            field: "size",
            problem: format!("the entry came after this checkpoint, at the position {index}"),
        })?;
        let hashes = self.store.runs(runs).await?;
        if !verify_inclusion(&leaf_hash(&entry.canonical), index, size, &hashes, &checkpoint.root) {
            // What is wrong in its block is named for whoever looks at the incidents.
            self.keeper.check(index / WIDTH).await?;
            return Err(Fault::Damaged(format!("the entry at {index}, or a hash over it, is not what was signed")));
        }
        Ok(Inclusion { entry, hashes, checkpoint })
    }
}
