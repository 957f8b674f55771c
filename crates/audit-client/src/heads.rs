//! How far the streams of this process have come: told to the audit service, and where that is away to the lines of the log.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use coffre_channel::Channel;
use coffre_proto::audit::internal::v1::intake_service_client::IntakeServiceClient;
use coffre_proto::audit::internal::v1::{ReportHeadsRequest, StreamHead};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::chain::StreamId;
use crate::outbox::Outbox;
use crate::relay::CALL_TIMEOUT;
use crate::rows;
use crate::stream::{Head, Progress};

const EVERY: Duration = Duration::from_secs(1);

/// Tells the audit service how far the streams have come, and keeps the numbers about the lag.
pub(crate) struct Heads {
    outbox: Outbox,
    intake: IntakeServiceClient<Channel>,
}

impl Heads {
    pub(crate) fn new(outbox: Outbox, intake: IntakeServiceClient<Channel>) -> Self {
        Self { outbox, intake }
    }

    pub(crate) async fn report(&self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.outbox.store_counted(false).await;
            self.measure().await;
            // The next report follows in a second; that events do not arrive is reported where they are sent.
            self.send(false, CALL_TIMEOUT).await;
        }
    }

    /// Says the last time how far the streams have come: there they end.
    pub(crate) async fn close(&self) {
        self.send(true, EVERY).await;
    }

    /// Tells the lines of the log what was committed and is not with the audit service a second later. Whoever writes to the database can
    /// take out of its outbox what waits there, and not out of the lines that somebody collects.
    pub(crate) async fn tell(&self) {
        let (mut ticks, mut unsettled) = (interval(EVERY), Unsettled::default());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (stream_id, Head { last_sequence, hash }) in unsettled.look(&self.outbox.shared().streams.all()) {
                tracing::info!(
                    target: "coffre::audit::head",
                    service = self.outbox.shared().service,
                    stream = hex::encode(stream_id),
                    last_sequence,
                    hash = hex::encode(hash),
                    "what was committed waits for the audit service"
                );
            }
        }
    }

    async fn measure(&self) {
        let Ok(database) = self.outbox.database() else { return };
        // A database that does not answer is for others to report.
        if let Ok(waiting) = database.read(rows::waiting).await {
            let shared = self.outbox.shared();
            let age = waiting.oldest.map_or(0, |oldest| shared.clock.now().micros().saturating_sub(oldest).max(0));
            shared.lag.rows.store(waiting.rows(), Ordering::Relaxed);
            shared.lag.oldest_micros.store(age, Ordering::Relaxed);
        }
    }

    async fn send(&self, ends: bool, at_most: Duration) {
        let streams = self.outbox.shared().streams.all();
        if streams.is_empty() {
            return;
        }
        let head = |stream: Progress| StreamHead {
            stream_id: stream.stream_id.to_vec(),
            last_sequence: stream.committed.last_sequence,
            head_hash: stream.committed.hash.to_vec(),
            closed: stream.closed || ends,
        };
        let heads = streams.into_iter().map(head).collect();
        let request = ReportHeadsRequest { service: self.outbox.shared().service.to_owned(), heads };
        let _ = timeout(at_most, self.intake.clone().report_heads(request)).await;
    }
}

/// Which streams have waited for the audit service since the last look, and what was told of them.
#[derive(Default)]
struct Unsettled(HashMap<StreamId, Seen>);

#[derive(Clone, Copy)]
struct Seen {
    committed: i64,
    told: i64,
}

impl Unsettled {
    /// Returns the heads that are news: of streams of which something has waited since the look before, each head once.
    fn look(&mut self, streams: &[Progress]) -> Vec<(StreamId, Head)> {
        let mut news = Vec::new();
        let mut seen = HashMap::with_capacity(streams.len());
        for stream in streams.iter().filter(|stream| !stream.is_settled()) {
            let committed = stream.committed.last_sequence;
            let before = self.0.get(&stream.stream_id);
            let mut told = before.map_or(0, |before| before.told);
            if told < committed && before.is_some_and(|before| stream.acknowledged < before.committed) {
                told = committed;
                news.push((stream.stream_id, stream.committed));
            }
            seen.insert(stream.stream_id, Seen { committed, told });
        }
        self.0 = seen;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_second_is_told_once_each_time_that_it_grows() {
        let mut unsettled = Unsettled::default();
        let mut look = |committed, acknowledged| {
            let committed = Head { last_sequence: committed, hash: [1; 32] };
            let stream = Progress { stream_id: [7; 16], committed, acknowledged, closed: false };
            unsettled.look(&[stream]).iter().map(|(_, head)| head.last_sequence).collect::<Vec<_>>()
        };
        let none: [i64; 0] = [];
        assert_eq!(look(5, 5), none, "nothing waits");
        assert_eq!(look(9, 5), none, "it is on its way");
        assert_eq!(look(20, 9), none, "what was there a second ago has arrived");
        assert_eq!(look(30, 9), [30]);
        assert_eq!(look(30, 9), none, "it is told");
        assert_eq!(look(31, 9), [31]);
        assert_eq!(look(31, 31), none);
    }
}
