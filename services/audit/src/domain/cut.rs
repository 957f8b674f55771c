//! Cutting off the beginning of the log, by age. Never silent: the cut is an entry, and stands in every later checkpoint.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Site};
use coffre_types::{EventId, Timestamp};
use futures_util::future::BoxFuture;

use super::check::WIDTH;
use super::checkpoint::{Checkpoint, signed};
use super::keeper::{Fault, Keeper};
use super::ports::CutLog;

/// So often the entry of a cut is waited for, each time as long as a reader waits for what was committed before.
const ARRIVES_WITHIN: usize = 4;
/// Retention cuts off a day a day, and some more where the service was stopped. A cut of more than that is one of a clock that went wrong as
/// likely as one that somebody wants: he says so himself.
const USUAL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a cut removes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    /// Entries below are gone.
    pub(crate) first_kept: i64,
    /// How many go with it.
    pub(crate) removed: i64,
}

/// Where the database says that the log begins, and the size of the last checkpoint that it says is old enough. What cannot even be read is
/// `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Covering {
    pub(crate) first_kept: i64,
    pub(crate) checkpoint: Option<(i64, Option<Checkpoint>)>,
}

/// Where the database says that the log begins, and the note that vouches for it. Whoever can write to the database can write both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StoredCut {
    pub(crate) first_kept: i64,
    pub(crate) note: Option<String>,
}

/// A cut as whoever decided it signed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SignedCut {
    pub(crate) first_kept: i64,
    /// The entry that says so.
    pub(crate) entry: EventId,
}

/// Where the log begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Beginning {
    /// By what the database says.
    pub(crate) stored: i64,
    /// By what may be signed: a cut stands in a checkpoint only together with its entry.
    pub(crate) provable: i64,
}

/// Waits until what was committed before is in the log.
pub(crate) type Settled = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Cuts.
pub(crate) struct Cutter {
    log: Arc<dyn CutLog>,
    keeper: Arc<Keeper>,
    settled: Settled,
    site: Arc<Site>,
}

impl Cutter {
    pub(crate) fn new(log: Arc<dyn CutLog>, keeper: Arc<Keeper>, settled: Settled, site: Arc<Site>) -> Self {
        Self { log, keeper, settled, site }
    }

    /// Says what a cut would remove: what a checkpoint covers that was signed before that moment, by its note's own word. A row that says
    /// something else was made older by somebody who wants the log to cut itself off.
    pub(crate) async fn plan(&self, before: Timestamp) -> Result<Cut, Fault> {
        if before > self.site.clock.now() {
            let problem = "the moment lies in the future; a cut removes what arrived before it".to_owned();
            return Err(Fault::Invalid { field: "before_time", problem });
        }
        Ok(self.planned(before).await?.0)
    }

    /// As [`Self::plan`], with the size of the checkpoint that covers it.
    async fn planned(&self, before: Timestamp) -> Result<(Cut, i64), Fault> {
        let Covering { first_kept: kept, checkpoint } = self.log.covering(before).await?;
        let covered = match checkpoint {
            Some((size, stored)) => self.keeper.vouched(size, stored).await?.size,
            None => 0,
        };
        let first_kept = kept.max(covered - covered % signed(WIDTH));
        Ok((Cut { first_kept, removed: first_kept - kept }, covered))
    }

    /// Cuts, with the record of the call that asked for it, and returns the checkpoint that holds the cut. The rows go afterwards, a few at a
    /// time ([`Self::sweep`]).
    pub(crate) async fn cut(&self, record: &Arc<CallRecord>, before: Timestamp) -> Result<(Cut, Checkpoint), Fault> {
        let planned = self.plan(before).await?;
        // A log that is not what was signed is left as it is: what would go might tell what happened.
        self.keeper.checkpoint().await?;
        let cut = self.log.cut(record, planned.first_kept, self.keeper.signer()).await?;
        self.keeper.retention_waits(None);
        for _ in 0..ARRIVES_WITHIN {
            (self.settled)().await;
            let made = self.keeper.checkpoint().await?;
            if made.first_kept >= cut.first_kept {
                return Ok((cut, made));
            }
        }
        // Its entry waits in the outbox. A later round signs the cut, and until then no entry is removed.
        Ok((cut, self.keeper.checkpoint().await?))
    }

    /// Cuts what is older than that, as the system itself. Nothing is recorded where nothing is that old.
    ///
    /// A host clock that runs ahead makes nothing older: age is counted back from the newest checkpoint. One that was signed under such a clock
    /// shows as a leap between checkpoints: a cut over it waits for somebody.
    pub(crate) async fn retain(&self, age: Duration) -> Result<(), Fault> {
        let Some(newest) = self.keeper.newest().await? else { return Ok(()) };
        let before = self.site.clock.now().min(newest.created_at).minus(age);
        let (Cut { first_kept, removed }, covered) = self.planned(before).await?;
        if removed == 0 {
            self.keeper.retention_waits(None);
            return Ok(());
        }
        let begins = self.keeper.signed_above(first_kept - removed).await?.unwrap_or(newest.created_at);
        let would_begin = self.keeper.signed_above(covered).await?.unwrap_or(newest.created_at);
        let at_once = would_begin.since(begins);
        if at_once > USUAL {
            let text = format!(
                "retention would cut off {removed} entries of {} days at once and waits: see whether the clock is right, and cut them off \
                 yourself (coffre audit cut --before {})",
                at_once.as_secs() / (24 * 60 * 60),
                before.to_rfc3339_millis()
            );
            self.keeper.retention_waits(Some(text));
            return Ok(());
        }
        let record = CallRecord::system(self.site.clone(), "audit.cut", ActivityType::EditSettings);
        record.object("audit", "", "");
        let (cut, _) = self.cut(&Arc::new(record), before).await?;
        tracing::info!(first_kept = cut.first_kept, removed = cut.removed, "old entries of the audit log were cut off");
        Ok(())
    }

    /// Removes rows that were cut off until none is left: only what a checkpoint of ours says is gone.
    pub(crate) async fn sweep(&self) -> Result<(), Fault> {
        let below = self.keeper.signed_cut().await?;
        while self.log.sweep(below).await? {
            // Between two transactions others have their turn.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
