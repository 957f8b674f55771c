//! Looks again at what was signed before: the stored checkpoints, one after the other, and those that the witness saw.

use super::{Fault, Keeper};
use crate::domain::checkpoint::{Known, Recognised};
use crate::domain::incident::Kind;

/// How far the look at the stored checkpoints is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Looked {
    /// The next one has this size, or is the first that is larger.
    next: i64,
    /// The size of the last one that was whole and whose root the log had.
    good: i64,
}

impl Looked {
    /// Begins with the first checkpoint of this size or a larger one.
    pub(crate) const fn from(size: i64) -> Self {
        Self { next: size, good: 0 }
    }
}

impl Keeper {
    /// Looks at one stored checkpoint again: is it the one that was signed, and did the log have its root? Says whether there was one; behind
    /// the last one it begins anew.
    pub(crate) async fn check_checkpoint(&self, looked: &mut Looked) -> Result<bool, Fault> {
        let Some((size, stored)) = self.store.from(looked.next).await? else {
            *looked = Looked::default();
            return Ok(false);
        };
        let mut good = looked.good;
        match stored.filter(|stored| self.signer.vouches_for(stored)) {
            None => {
                tracing::error!(size, "a stored checkpoint of the audit log is not the one that was signed");
                self.found(Kind::Checkpoint, size, size).await?;
            }
            Some(stored) => match self.store.had(Known { size, root: stored.root }).await? {
                Some(true) => good = size,
                Some(false) => {
                    let last = (size - 1).max(good);
                    tracing::error!(
                        first = good,
                        last,
                        "entries of the audit log do not lead to an earlier checkpoint"
                    );
                    self.found(Kind::RolledBack, good, last).await?;
                }
                None => {}
            },
        }
        *looked = Looked { next: size.saturating_add(1), good };
        Ok(true)
    }

    /// Looks whether the checkpoints that the witness saw last are all there.
    pub(crate) async fn check_witnessed(&self) -> Result<(), Fault> {
        for note in self.witness_notes().await? {
            let Recognised::Ours(Known { size, .. }) = self.signer.recognise(&note) else { continue };
            if self.store.from(size).await?.is_none_or(|(found, _)| found != size) {
                tracing::error!(size, "a checkpoint of the audit log that the witness saw is gone");
                self.found(Kind::Checkpoint, size, size).await?;
            }
        }
        Ok(())
    }

    async fn found(&self, kind: Kind, first: i64, last: i64) -> Result<(), Fault> {
        self.store.record(kind, vec![(first, last)], self.clock.now()).await?;
        self.lock().changed += 1;
        Ok(())
    }
}
