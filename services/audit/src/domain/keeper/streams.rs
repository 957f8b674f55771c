//! Watches over streams: one whose events do not come, and one that nobody closed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use coffre_audit_client::chain::StreamId;

use super::{Fault, Keeper};
use crate::domain::ports::{Lagging, Silent};

/// A stream that lags or is silent is waited for that long. A service that comes back carries its rows within seconds.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// A stream of which nothing was heard for that long is silent. Its writer's word is kept every half a minute.
const SILENT_FOR: Duration = Duration::from_secs(2 * 60);

/// Since when streams are waited for, and at which event.
#[derive(Default)]
pub(super) struct Waits(Mutex<HashMap<StreamId, (i64, Instant)>>);

impl Waits {
    /// Returns those of the streams, each with the number that it waits for, that were among them for all the time without a move.
    fn over(&self, streams: &[(StreamId, i64)], now: Instant) -> Vec<StreamId> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, (next, _)| streams.contains(&(*id, *next)));
        let is_over = |(id, next): &&(StreamId, i64)| {
            let (_, since) = known.entry(*id).or_insert((*next, now));
            now.saturating_duration_since(*since) >= PATIENCE
        };
        streams.iter().filter(is_over).map(|(id, _)| *id).collect()
    }
}

impl Keeper {
    /// Names streams whose end never came, because its rows were taken out of an outbox or the outbox was put back, and streams that nobody
    /// closed, whose end nobody knows.
    pub(crate) async fn watch_streams(&self) -> Result<(), Fault> {
        let now = self.clock.monotonic();
        let mut lagging = self.store.lagging().await?;
        let waits: Vec<_> = lagging.iter().map(|stream| (stream.stream_id, stream.next_sequence)).collect();
        let over = self.lagging.over(&waits, now);
        lagging.retain(|stream: &Lagging| over.contains(&stream.stream_id));
        for stream in lagging {
            tracing::error!(
                service = stream.service,
                from = stream.next_sequence,
                to = stream.reported_sequence,
                "the end of a stream never came"
            );
            self.store.lost(stream, self.clock.now()).await?;
        }

        let mut silent = self.store.silent(self.clock.now().minus(SILENT_FOR)).await?;
        let waits: Vec<_> = silent.iter().map(|stream| (stream.stream_id, stream.next_sequence)).collect();
        let over = self.silent.over(&waits, now);
        silent.retain(|stream: &Silent| over.contains(&stream.stream_id));
        if silent.is_empty() {
            return Ok(());
        }
        for Silent { service, next_sequence, .. } in self.store.ended(silent).await? {
            tracing::warn!(
                service,
                last = next_sequence - 1,
                "a stream ended without its close: its process was killed, and that nothing came after cannot be proved"
            );
        }
        Ok(())
    }
}
