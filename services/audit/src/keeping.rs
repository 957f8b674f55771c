//! What runs in the background: checkpoints, a look at the log, the removal of what was cut off.

use std::sync::Arc;
use std::time::Duration;

use coffre_types::Clock;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::domain::cut::Cutter;
use crate::domain::keeper::{Fault, Keeper, Looked, Standing};

/// How often it looks whether something came.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// How often streams are looked after.
const STREAMS_EVERY: Duration = Duration::from_secs(60);
/// How often it looks whether entries are old enough to go, where the last look ended well.
const RETAINS_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often what could not be done is tried again.
const RETAINS_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Blocks of 256 entries that are looked at again in a second: one part in a hundred of a core.
const CHECKS_PER_SECOND: u64 = 4;
/// Between two stored checkpoints that are looked at again.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(250);
/// The whole log is not looked at again more often than that.
const CHECKS_ALL_EVERY: Duration = Duration::from_secs(10 * 60);
/// After a fault of the database.
const AFTER_A_FAULT: Duration = Duration::from_secs(5);

/// Looks after the log in the background, and says how it stands.
#[derive(Clone)]
pub struct Keeping {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) cutter: Arc<Cutter>,
    pub(crate) was_cut: Arc<Notify>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) retention: Option<Duration>,
}

impl Keeping {
    /// Returns how the log stood a moment ago.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.keeper.standing()
    }

    /// Works until the stop, and ends with a checkpoint of what came.
    pub async fn run(self, stop: CancellationToken) {
        let working = async { tokio::join!(self.checkpoints(), self.checks(), self.checkpoints_again(), self.cuts()) };
        tokio::select! {
            _ = working => {}
            () = stop.cancelled() => {}
        }
        if matches!(self.keeper.observe().await, Ok(true)) {
            tell(self.keeper.checkpoint().await.map(|_| ()));
        }
    }

    async fn checkpoints(&self) {
        let mut tick = interval(LOOKS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut next, mut next_streams) = (Instant::now(), Instant::now());
        // A log that was put back to a checkpoint of its own looks as if nothing came.
        tell(self.keeper.look().await);
        loop {
            tick.tick().await;
            let news = match self.keeper.observe().await {
                Ok(news) => news,
                Err(fault) => {
                    tell(Err(fault));
                    continue;
                }
            };
            let now = Instant::now();
            if now >= next && news {
                next = now + self.checkpoint_interval;
                tell(self.keeper.checkpoint().await.map(|_| ()));
            }
            if now >= next_streams {
                next_streams = now + STREAMS_EVERY;
                tell(self.keeper.watch_streams().await);
            }
        }
    }

    /// Goes through the log again and again. It begins somewhere else at each start, so that a process which never runs for long sees all of
    /// it in time.
    async fn checks(&self) {
        tell(self.keeper.observe().await.map(|_| ()));
        let blocks = u64::try_from(self.keeper.standing().size).unwrap_or(0) / 256;
        let mut block = u64::try_from(self.clock.now().seconds()).unwrap_or(0) % (blocks + 1);
        let mut begun = Instant::now();
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for _ in 0..CHECKS_PER_SECOND {
                match self.keeper.check(block).await {
                    Ok(true) => block += 1,
                    Ok(false) => {
                        block = 0;
                        sleep_until(begun + CHECKS_ALL_EVERY).await;
                        begun = Instant::now();
                    }
                    Err(fault) => {
                        tell(Err(fault));
                        sleep(AFTER_A_FAULT).await;
                    }
                }
            }
        }
    }

    /// Goes through the stored checkpoints again and again, and begins somewhere else at each start.
    async fn checkpoints_again(&self) {
        tell(self.keeper.observe().await.map(|_| ()));
        let size = self.keeper.standing().size;
        let mut looked = Looked::from(self.clock.now().seconds().rem_euclid(size.saturating_add(1).max(1)));
        let mut tick = interval(CHECKPOINT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let begun = Instant::now();
            tell(self.keeper.check_witnessed().await);
            loop {
                tick.tick().await;
                match self.keeper.check_checkpoint(&mut looked).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(fault) => {
                        tell(Err(fault));
                        sleep(AFTER_A_FAULT).await;
                    }
                }
            }
            sleep_until(begun + CHECKS_ALL_EVERY).await;
        }
    }

    async fn cuts(&self) {
        let mut tick = interval(RETAINS_AGAIN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retained: Option<Instant> = None;
        loop {
            // The first time at once: a process that was killed may have left rows that were cut off.
            tokio::select! {
                _ = tick.tick() => {}
                () = self.was_cut.notified() => {}
            }
            if let Some(age) = self.retention
                && retained.is_none_or(|at| at.elapsed() >= RETAINS_EVERY)
            {
                let outcome = self.cutter.retain(age).await;
                retained = outcome.is_ok().then(Instant::now);
                tell(outcome);
            }
            tell(self.cutter.sweep().await);
        }
    }
}

/// What is wrong with the log, or with its witness, was told where it was found; a database that does not answer tells it itself.
fn tell(outcome: Result<(), Fault>) {
    match outcome {
        Ok(()) | Err(Fault::Damaged(_) | Fault::Witness(_)) => {}
        Err(fault) => tracing::warn!(%fault, "looking after the audit log failed; it is tried again"),
    }
}
