//! The steps of a deletion, and what a crash left of one. The rules are in [`crate::domain::deletion`] and [`crate::domain::entries`].

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Origin, Site, Source};
use coffre_types::{LockerId, UserId};

use crate::domain::deletion::{self, Marked};
use crate::domain::error::LockerError;
use crate::domain::ports::{Abandoned, Entry, Read as _, Write as _};
use crate::lockers::{Call, Lockers};
use crate::store::shares;

type Result<T> = std::result::Result<T, LockerError>;

/// A deletion or a reservation that takes longer was left behind by a process that died.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);
/// How many reservations are settled at a time.
const BATCH: i64 = 100;

impl Lockers {
    /// L6.
    ///
    /// # Errors
    /// See [`deletion::mark`]; `NotEmpty`, `VaultUnavailable`.
    pub async fn delete(&self, call: Call, id: LockerId, etag: String) -> Result<()> {
        let (who, now, record) = (call.who(), self.clock.now(), call.record);
        let (told, by, name) = (record.clone(), who.user, call.caller.username.clone());
        let marked =
            self.store.write_unaudited(move |tx| deletion::mark(tx, &who, &name, id, &etag, now, &told)).await?;
        self.finish_deletion(marked, by, &record).await
    }

    /// Empties a marked locker and deletes it, or takes the mark away.
    async fn finish_deletion(&self, marked: Marked, by: UserId, record: &Arc<CallRecord>) -> Result<()> {
        let refused = match self.empty(marked.locker()).await {
            Ok(0) => {
                let (now, told) = (self.clock.now(), record.clone());
                self.store.write(record, move |tx| deletion::bury(tx, marked, by, now, &told)).await?;
                self.hub.poke();
                return Ok(());
            }
            Ok(count) => LockerError::NotEmpty(count),
            Err(error) => error,
        };
        self.store.write_unaudited(move |tx| Ok(tx.unmark(marked)?)).await?;
        Err(refused)
    }

    /// Settles whatever is about to enter a locker that takes nothing more, and counts what it holds.
    async fn empty(&self, id: LockerId) -> Result<i64> {
        loop {
            let entries = self.store.read(move |tx| Ok(tx.entries_of(id, BATCH)?)).await?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                self.close(entry).await?;
            }
        }
        let counts = self.contents.count(vec![id]).await?;
        counts.first().copied().ok_or(LockerError::VaultUnavailable)
    }

    /// Gives a reserved place up, after vault has ended the entry: two calls may share one reservation, and the one that failed must not
    /// take it from the one that is still about to commit.
    ///
    /// # Errors
    /// `VaultUnavailable`; the place stays reserved then, and housekeeping gives it up.
    pub async fn close(&self, entry: Entry) -> Result<()> {
        self.contents.settle(entry).await?;
        self.store.write_unaudited(move |tx| Ok(tx.close(entry)?)).await
    }

    /// Does what is due besides calls: finishes abandoned deletions, gives up abandoned reservations, forgets old changes.
    ///
    /// # Errors
    /// Those of the store, and `VaultUnavailable`.
    pub async fn keep_house(&self, site: &Arc<Site>) -> Result<()> {
        self.settle_deletions(site).await?;
        self.settle_entries().await?;
        let now = self.clock.now();
        let removed = self.store.write_unaudited(move |tx| shares::prune(tx, now)).await?;
        if removed > 0 {
            tracing::debug!(removed, "old changes were removed");
        }
        Ok(())
    }

    /// Finishes or undoes deletions that a crash or a deadline left behind, in the name of whoever asked for them.
    async fn settle_deletions(&self, site: &Arc<Site>) -> Result<()> {
        let before = self.clock.now().minus(ABANDONED_AFTER);
        let left = self.store.read(move |tx| Ok(tx.deletions_before(before)?)).await?;
        for Abandoned { marked, by, by_name, request_id } in left {
            let locker_id = marked.locker().get();
            let origin = Origin {
                site: site.clone(),
                method: "",
                request_id: request_id.into(),
                trace_id: None,
                client_address: None,
                source: Source::System,
            };
            let record = Arc::new(CallRecord::new(origin, "locker.deleted", ActivityType::DeleteLocker));
            record.actor(by, by_name, None);
            match self.finish_deletion(marked, by, &record).await {
                Ok(()) => tracing::info!(locker_id, "an abandoned deletion of a locker was finished"),
                Err(LockerError::Store(error)) => return Err(error.into()),
                Err(refused) => {
                    tracing::info!(locker_id, reason = %refused, "an abandoned deletion of a locker was undone");
                }
            }
        }
        Ok(())
    }

    /// Gives up places that were reserved and neither used nor given up.
    async fn settle_entries(&self) -> Result<()> {
        let before = self.clock.now().minus(ABANDONED_AFTER);
        loop {
            let entries = self.store.read(move |tx| Ok(tx.entries_before(before, BATCH)?)).await?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in entries {
                self.close(entry).await?;
            }
        }
    }
}
