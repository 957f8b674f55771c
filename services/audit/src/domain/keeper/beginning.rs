//! Where the log begins. The database says it, and whoever can write to the database can write it: entries that it says were cut off are gone
//! only where a checkpoint or a note of whoever decided the cut says so, too. Otherwise they were removed.

use std::sync::Arc;

use coffre_types::Timestamp;

use super::{Fault, Keeper};
use crate::domain::checkpoint::{Checkpoint, Signer};
use crate::domain::cut::{Beginning, StoredCut};
use crate::domain::incident::Kind;

impl Keeper {
    /// Returns where the log begins: where the last one that was signed says, or where a cut says that was decided since. `Err`: where the
    /// database says, and nobody who holds the key.
    pub(super) async fn beginning(&self, signed: i64) -> Result<Result<Beginning, i64>, Fault> {
        let StoredCut { first_kept: stored, note } = self.store.stored_cut().await?;
        if stored == signed {
            return Ok(Ok(Beginning { stored, provable: signed }));
        }
        let decided = note.and_then(|note| self.signer.read_cut(&note));
        let Some(decided) = decided.filter(|cut| cut.first_kept == stored && stored > signed) else {
            return Ok(Err(stored));
        };
        let provable = if self.store.is_in_log(decided.entry).await? { stored } else { signed };
        Ok(Ok(Beginning { stored, provable }))
    }

    /// Returns the key that signs the log.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        self.signer.clone()
    }

    /// Returns below which position entries are gone by the latest checkpoint.
    pub(crate) async fn signed_cut(&self) -> Result<i64, Fault> {
        Ok(self.store.latest().await?.map_or(0, |latest| self.signer.cut_of(&latest.note)))
    }

    /// Returns the newest checkpoint, where it is the one that was signed.
    pub(crate) async fn newest(&self) -> Result<Option<Checkpoint>, Fault> {
        let Some(latest) = self.store.latest().await? else { return Ok(None) };
        Ok(Some(self.vouched(latest.size, Some(latest)).await?))
    }

    /// Returns when the first checkpoint of more than that many entries was signed, by its note's word.
    pub(crate) async fn signed_above(&self, size: i64) -> Result<Option<Timestamp>, Fault> {
        let Some((size, stored)) = self.store.from(size.saturating_add(1)).await? else { return Ok(None) };
        Ok(Some(self.vouched(size, stored).await?.created_at))
    }

    /// Keeps why retention does not cut.
    pub(crate) fn retention_waits(&self, why: Option<String>) {
        if let Some(why) = &why {
            tracing::warn!("{why}");
        }
        self.lock().retention_waits = why;
    }

    /// Returns a stored checkpoint that is in every part the one that was signed, and names any other.
    pub(crate) async fn vouched(&self, size: i64, stored: Option<Checkpoint>) -> Result<Checkpoint, Fault> {
        if let Some(stored) = stored.filter(|stored| self.signer.vouches_for(stored)) {
            return Ok(stored);
        }
        let text = format!("the stored checkpoint of {size} entries is not the one that was signed");
        tracing::error!(size, "{text}; nothing is cut off by it");
        self.store.record(Kind::Checkpoint, vec![(size, size)], self.clock.now()).await?;
        Err(Fault::Damaged(text))
    }
}
