//! The relay: carries rows from the outbox to the audit service and deletes what it acknowledged.
//!
//! Rows, not ranges above a cursor: whatever is there is sent, and goes after the acknowledgement, so nothing is skipped and a crash at
//! any point only sends something twice. Streams of this process are sent in their own order; rows of others, left behind by a process
//! that died, once they are [`LEFT_BEHIND_AFTER`] old. While the audit service is away, rows wait.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use coffre_channel::Channel;
use coffre_db::Error;
use coffre_proto::audit::internal::v1::append_segments_response::Disposition;
use coffre_proto::audit::internal::v1::intake_service_client::IntakeServiceClient;
use coffre_proto::audit::internal::v1::{AppendSegmentsRequest, Segment};
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::chain::StreamId;
use crate::heads::Heads;
use crate::outbox::Outbox;
use crate::rows::{self, Row};

/// Segments in one request at most. Large requests are what makes catching up cheap: the audit's indexes are written once a request.
const MAX_SEGMENTS: usize = 256;
/// Bytes in one request at most, but for a single segment that is larger.
const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// Rows of other processes are left alone until they are this old.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(3);
/// A stream with a gap is tried again after this time.
const STALLED_FOR: Duration = Duration::from_secs(2);
/// How long commits gather before they are sent, where nobody waits for them.
const GATHER: Duration = Duration::from_millis(20);
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// Carries one service's outbox to the audit service.
pub struct Relay {
    outbox: Outbox,
    intake: IntakeServiceClient<Channel>,
    stalled: HashMap<StreamId, Instant>,
}

/// What came of one round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Round {
    /// Nothing waits.
    Idle,
    /// Everything that waited was sent.
    Sent,
    /// More waits.
    More,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Store(#[from] Error),
    #[error("the audit service answered {0:?}")]
    Call(tonic::Code),
    #[error("the audit service takes no segment of any stream")]
    NoProgress,
}

impl Relay {
    /// Makes the relay of an outbox; `intake` leads to the internal side of the audit service.
    #[must_use]
    pub fn new(outbox: Outbox, intake: Channel) -> Self {
        let intake = IntakeServiceClient::new(intake).max_encoding_message_size(usize::MAX);
        Self { outbox, intake, stalled: HashMap::new() }
    }

    /// Runs until it is stopped, and closes the streams: the audit service knows then that nothing comes after. [`Outbox::flush`] comes before,
    /// for whoever wants nothing left behind.
    pub async fn run(self, stop: CancellationToken) {
        let heads = Heads::new(self.outbox.clone(), self.intake.clone());
        tokio::select! {
            () = self.carry() => {}
            () = heads.report() => {}
            () = heads.tell() => {}
            () = stop.cancelled() => {}
        }
        heads.close().await;
    }

    async fn carry(mut self) {
        let shared = self.outbox.shared().clone();
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let began = shared.clock.monotonic();
            match self.round().await {
                Ok(round) => {
                    shared.works_again();
                    back_off = FIRST_BACK_OFF;
                    self.rest(round, shared.clock.monotonic().saturating_duration_since(began)).await;
                }
                Err(failure) => {
                    if shared.lag.failing.fetch_add(1, Ordering::Relaxed) == 0 {
                        tracing::warn!(service = shared.service, %failure, "events do not reach the audit service; they are kept and sent later");
                    }
                    let _ = tokio::time::timeout(jitter(back_off), shared.urgent.notified()).await;
                    back_off = (back_off * 2).min(LONGEST_BACK_OFF);
                }
            }
        }
    }

    /// Waits for work, or leaves the machine to the calls for a while.
    async fn rest(&self, round: Round, took: Duration) {
        let shared = self.outbox.shared();
        match round {
            Round::Idle => {
                tokio::select! {
                    () = shared.committed.notified() => {
                        let _ = tokio::time::timeout(GATHER, shared.urgent.notified()).await;
                    }
                    () = shared.urgent.notified() => {}
                    () = tokio::time::sleep(LEFT_BEHIND_AFTER) => {}
                }
            }
            Round::Sent => {
                let _ =
                    tokio::time::timeout(GATHER.max(took * pace(shared.lag.oldest())), shared.urgent.notified()).await;
            }
            Round::More => {
                let _ = tokio::time::timeout(took * pace(shared.lag.oldest()), shared.urgent.notified()).await;
            }
        }
    }

    /// Sends one request and acts on its answer.
    async fn round(&mut self) -> Result<Round, Failure> {
        let now = self.outbox.shared().clock.monotonic();
        self.stalled.retain(|_, until| *until > now);
        let waiting = self.waiting().await?;
        if waiting.is_empty() {
            return Ok(Round::Idle);
        }
        let full = waiting.len() >= MAX_SEGMENTS;
        let (batch, cut) = decode(waiting);
        if !batch.is_empty() {
            self.send(batch).await?;
        }
        Ok(if full || cut { Round::More } else { Round::Sent })
    }

    async fn waiting(&self) -> Result<Vec<Row>, Failure> {
        let shared = self.outbox.shared();
        let streams = shared.streams.all();
        let stalled: Vec<StreamId> = self.stalled.keys().copied().collect();
        let own: Vec<StreamId> = streams
            .iter()
            .filter(|stream| !stream.is_settled() && !stalled.contains(&stream.stream_id))
            .map(|stream| stream.stream_id)
            .collect();
        let before = shared.clock.now().minus(LEFT_BEHIND_AFTER);
        let rows = self.outbox.database()?.read(move |conn| {
            let mut rows: Vec<Row> = Vec::new();
            for stream_id in &own {
                let room = MAX_SEGMENTS.saturating_sub(rows.len());
                if room > 0 {
                    rows.extend(rows::of_stream(conn, stream_id, i64::try_from(room).unwrap_or(1))?);
                }
            }
            if rows.is_empty() {
                rows = rows::left_behind(conn, before, &stalled, i64::try_from(MAX_SEGMENTS).unwrap_or(1))?;
            }
            Ok::<_, Error>(rows)
        });
        Ok(rows.await?)
    }

    async fn send(&mut self, batch: Vec<(i64, Segment)>) -> Result<(), Failure> {
        let sent: Vec<Sent> = batch.iter().map(|(id, segment)| Sent::of(*id, segment)).collect();
        let service = self.outbox.shared().service.to_owned();
        let mut request = tonic::Request::new(AppendSegmentsRequest {
            service,
            segments: batch.into_iter().map(|(_, segment)| segment).collect(),
        });
        request.set_timeout(CALL_TIMEOUT);
        let answer = tokio::time::timeout(CALL_TIMEOUT, self.intake.append_segments(request)).await;
        let answer = answer
            .map_err(|_| Failure::Call(tonic::Code::DeadlineExceeded))?
            .map_err(|status| Failure::Call(status.code()))?;
        self.settle(&sent, &answer.into_inner().dispositions).await
    }

    async fn settle(&mut self, sent: &[Sent], dispositions: &[i32]) -> Result<(), Failure> {
        let shared = self.outbox.shared().clone();
        let (mut stored, mut forged) = (Vec::new(), Vec::new());
        let mut gaps = 0;
        for (sent, disposition) in sent.iter().zip(dispositions) {
            match Disposition::try_from(*disposition) {
                Ok(Disposition::Stored) => {
                    stored.push(sent.id);
                    shared.lag.segments.fetch_add(1, Ordering::Relaxed);
                    shared.lag.events.fetch_add(sent.events, Ordering::Relaxed);
                }
                Ok(Disposition::Forged) => forged.push(sent.id),
                Ok(Disposition::Gap) => {
                    gaps += 1;
                    if let Some(stream_id) = sent.stream_id {
                        self.stalled.insert(stream_id, shared.clock.monotonic() + STALLED_FOR);
                    }
                }
                Ok(Disposition::Unspecified) | Err(_) => {}
            }
        }
        for (sent, disposition) in sent.iter().zip(dispositions) {
            if let (Some(stream_id), Ok(Disposition::Stored | Disposition::Forged)) =
                (sent.stream_id, Disposition::try_from(*disposition))
            {
                shared.streams.acknowledge(stream_id, sent.last_sequence);
            }
        }
        shared.works_again();
        shared.arrived.send_modify(|count| *count = count.wrapping_add(1));
        let progress = !stored.is_empty() || !forged.is_empty();
        if !stored.is_empty() {
            // A row that stays after all is sent once more and acknowledged once more.
            self.outbox.database()?.write_beside(move |tx| rows::delete(tx.conn(), &stored)).await?;
        }
        if !forged.is_empty() {
            self.set_aside(forged, "is forged").await?;
        }
        if gaps > 0 {
            tracing::error!(
                service = shared.service,
                gaps,
                "the audit service misses events that came before others: rows were taken out of the outbox"
            );
        }
        if progress || gaps > 0 { Ok(()) } else { Err(Failure::NoProgress) }
    }

    async fn set_aside(&self, ids: Vec<i64>, why: &'static str) -> Result<(), Failure> {
        let shared = self.outbox.shared();
        tracing::error!(service = shared.service, rows = ?ids, why, "rows of the audit's outbox were set aside in outbox_quarantine");
        shared.lag.quarantined.fetch_add(ids.len() as u64, Ordering::Relaxed);
        let now = shared.clock.now();
        self.outbox.database()?.write_beside(move |tx| rows::quarantine(tx.conn(), &ids, now)).await?;
        Ok(())
    }
}

/// Reads rows up to the size of a request. What is no segment, or holds nothing, is sent as what its row claims to be: the audit service
/// finds no MAC in it, and names it.
fn decode(waiting: Vec<Row>) -> (Vec<(i64, Segment)>, bool) {
    let mut batch = Vec::with_capacity(waiting.len());
    let mut bytes = 0;
    for Row { id, mut stream_id, first_sequence, segment } in waiting {
        bytes += segment.len();
        if bytes > MAX_REQUEST_BYTES && !batch.is_empty() {
            return (batch, true);
        }
        let whole = Segment::decode(segment.as_slice()).ok().filter(|segment| !segment.events.is_empty());
        let segment = whole.unwrap_or_else(|| {
            stream_id.truncate(size_of::<StreamId>());
            Segment { stream_id, first_sequence, ..Segment::default() }
        });
        batch.push((id, segment));
    }
    (batch, false)
}

/// What was sent of one row.
struct Sent {
    id: i64,
    stream_id: Option<StreamId>,
    last_sequence: i64,
    events: u64,
}

impl Sent {
    fn of(id: i64, segment: &Segment) -> Self {
        let events = i64::try_from(segment.events.len()).unwrap_or(0);
        Self {
            id,
            stream_id: segment.stream_id.as_slice().try_into().ok(),
            last_sequence: segment.first_sequence.saturating_add(events).saturating_sub(1),
            events: segment.events.len() as u64,
        }
    }
}

/// How many times as long as a round the relay rests after it, by how far it is behind. Short bursts of calls have the machine for
/// themselves, and the relay catches up behind them; under a load that lasts it takes its share.
fn pace(behind: Duration) -> u32 {
    match behind.as_secs() {
        0..10 => 3,
        10..60 => 1,
        _ => 0,
    }
}

/// Between half of a time and all of it, so that replicas do not come back all at once.
fn jitter(time: Duration) -> Duration {
    let mut random = [0; 2];
    let part = if aws_lc_rs::rand::fill(&mut random).is_ok() { u32::from(u16::from_be_bytes(random)) } else { 0 };
    time / 2 + time * part / (2 * u32::from(u16::MAX))
}
