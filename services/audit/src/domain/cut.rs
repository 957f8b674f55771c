//! Cutting off the beginning of the log, by age. Never silent: the cut is an entry, and stands in every later checkpoint.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Site};
use coffre_types::Timestamp;
use futures_util::future::BoxFuture;

use super::checkpoint::Checkpoint;
use super::keeper::{Fault, Keeper};
use super::ports::CutLog;

/// What a cut removes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    /// Entries below are gone.
    pub(crate) first_kept: i64,
    /// How many go with it.
    pub(crate) removed: i64,
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

    /// Says what a cut would remove.
    pub(crate) async fn plan(&self, before: Timestamp) -> Result<Cut, Fault> {
        if before > self.site.clock.now() {
            let problem = "the moment lies in the future; a cut removes what arrived before it".to_owned();
            return Err(Fault::Invalid { field: "before_time", problem });
        }
        Ok(self.log.plan(before).await?)
    }

    /// Cuts, with the record of the call that asked for it, and returns the checkpoint that holds the cut. The rows go afterwards, a few at a
    /// time ([`Self::sweep`]).
    pub(crate) async fn cut(&self, record: &Arc<CallRecord>, before: Timestamp) -> Result<(Cut, Checkpoint), Fault> {
        let planned = self.plan(before).await?;
        // A log that is not what was signed is left as it is: what would go might tell what happened.
        self.keeper.checkpoint().await?;
        let cut = self.log.cut(record, planned.first_kept).await?;
        (self.settled)().await;
        Ok((cut, self.keeper.checkpoint().await?))
    }

    /// Cuts what is older than that, as the system itself. Nothing is recorded where nothing is that old.
    pub(crate) async fn retain(&self, age: Duration) -> Result<(), Fault> {
        let before = self.site.clock.now().minus(age);
        if self.plan(before).await?.removed == 0 {
            return Ok(());
        }
        let record = CallRecord::system(self.site.clone(), "audit.cut", ActivityType::EditSettings);
        record.object("audit", "", "");
        let (cut, _) = self.cut(&Arc::new(record), before).await?;
        tracing::info!(first_kept = cut.first_kept, removed = cut.removed, "old entries of the audit log were cut off");
        Ok(())
    }

    /// Removes rows that were cut off until none is left.
    pub(crate) async fn sweep(&self) -> Result<(), Fault> {
        while self.log.sweep().await? {
            // Between two transactions others have their turn.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
