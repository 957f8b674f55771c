//! Reads the log and tells what is new.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use coffre_db::{Database, Error};
use coffre_types::Clock;
use tokio::time::{MissedTickBehavior, interval};

use super::hub::Hub;
use super::log::{self, Subject};

/// Changes read at once.
const BATCH: i64 = 1000;

/// How often something is done.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often the log is read.
    pub poll: Duration,
    /// How often watchers hear that nothing happened.
    pub heartbeat: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { poll: Duration::from_millis(125), heartbeat: Duration::from_millis(250) }
    }
}

/// Brings what snapshots and changes carry besides their numbers.
pub trait Carries<S>: Send + Sync + 'static {
    /// What they carry.
    type State: Clone + Send + Sync + 'static;
    /// Why it cannot be had.
    type Fault: Display + From<Error> + Send;

    /// Returns it as it is after these changes, which may be none: it is asked at every reading. `None`: after whatever has happened.
    fn state(&self, changes: Option<&[(i64, S)]>) -> impl Future<Output = Result<Self::State, Self::Fault>> + Send;
}

/// Changes that carry nothing but what changed.
#[derive(Clone, Copy, Debug)]
pub struct Stateless;

impl<S: Sync> Carries<S> for Stateless {
    type State = ();
    type Fault = Error;

    async fn state(&self, _: Option<&[(i64, S)]>) -> Result<(), Error> {
        Ok(())
    }
}

/// Reads the changes until the database is stopped: every [`Pace::poll`], and at once after [`Hub::poke`].
pub async fn tell<S: Subject, C: Carries<S>>(
    hub: Hub<S, C::State>,
    database: Database,
    clock: Arc<dyn Clock>,
    carries: C,
    pace: Pace,
) {
    let reader = Reader { hub, database, clock, carries };
    let mut tick = interval(pace.poll.max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let polls_a_heartbeat = (pace.heartbeat.as_millis() / pace.poll.as_millis().max(1)).max(1);
    let mut failing = false;
    let mut polls = 0;
    loop {
        let on_time = tokio::select! {
            _ = tick.tick() => true,
            () = reader.hub.poked() => false,
        };
        polls += u128::from(on_time);
        let heartbeat = on_time && polls % polls_a_heartbeat == 0;
        match reader.read(heartbeat).await {
            Ok(()) => failing = false,
            Err(_) if reader.database.is_stopped() => return,
            Err(fault) if !failing => {
                tracing::warn!(%fault, "the changes cannot be read; calls that rest on them are refused until they can");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

struct Reader<S, C: Carries<S>> {
    hub: Hub<S, C::State>,
    database: Database,
    clock: Arc<dyn Clock>,
    carries: C,
}

impl<S: Subject, C: Carries<S>> Reader<S, C> {
    /// Reads what has changed since the last time and tells it.
    async fn read(&self, heartbeat: bool) -> Result<(), C::Fault> {
        loop {
            // Before the read: whatever was committed by then is in it.
            let read_at = self.clock.monotonic();
            let Some(known) = self.hub.sequence() else {
                let last = self.database.read(log::last).await?;
                self.hub.begin(last, self.carries.state(None).await?, read_at);
                return Ok(());
            };
            let (last, found) = self
                .database
                .read(move |conn| {
                    let last = log::last(conn)?;
                    let found = if last == known { Vec::new() } else { log::after::<S>(conn, known, BATCH)? };
                    Ok::<_, Error>((last, found))
                })
                .await?;
            let follows = found.iter().zip(1..).all(|((sequence, _), step)| *sequence == known + step);
            if last < known || !follows || (last > known && found.is_empty()) {
                // A restored backup, or changes that were removed before they were read.
                tracing::warn!(known, last, "the changes do not follow each other; watchers begin anew");
                self.hub.begin(last, self.carries.state(None).await?, read_at);
                return Ok(());
            }
            let told = found.last().map_or(known, |(sequence, _)| *sequence);
            let state = self.carries.state(Some(&found)).await?;
            self.hub.changed(found, &state);
            if told >= last {
                self.hub.complete(read_at, heartbeat);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
