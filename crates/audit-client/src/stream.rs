//! Streams: one for each thread that commits. A stream numbers its events without gaps and chains them.
//!
//! ```text
//! open ── write ──▶ written ── committed ──▶ open (further on)
//!                     │  └──── rolled_back ─▶ open (as before)
//!                     └─────── in_doubt ────▶ closed; a new stream begins
//! ```
//! A stream whose last commit is in doubt is never written again: its row is there or not, and either way the numbers have no gap.

use std::sync::Arc;

use coffre_db::{Connection, Error, Journal, JournalEntry, Result};

use crate::canonical::Writer;
use crate::chain::{GENESIS, Hash, StreamId, next_hash};
use crate::outbox::Shared;
use crate::rows;

/// A commit writes several segments where one would be larger than this, so that each fits into a message.
const MAX_SEGMENT_BYTES: usize = 512 * 1024;

/// Writes the entries of one committing thread into the outbox. [`crate::Outbox::journal`] makes one for each.
pub struct StreamJournal {
    shared: Arc<Shared>,
    stream_id: StreamId,
    committed: Head,
    written: Option<Head>,
}

/// How far a stream has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) last_sequence: i64,
    pub(crate) hash: Hash,
}

const BEGIN: Head = Head { last_sequence: 0, hash: GENESIS };

impl StreamJournal {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let stream_id = new_stream_id();
        Self { shared, stream_id, committed: BEGIN, written: None }
    }

    fn write_segment(&self, conn: &mut Connection, from: Head, entries: &[JournalEntry]) -> Result<Head> {
        let first_sequence = from.last_sequence + 1;
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let hash = (first_sequence..)
            .zip(entries)
            .fold(from.hash, |hash, (sequence, entry)| next_hash(&self.stream_id, sequence, &hash, entry.bytes()));
        let mac = self.shared.key.segment_mac(&self.stream_id, first_sequence, count, &from.hash, &hash);

        let bytes: usize = entries.iter().map(|entry| entry.bytes().len() + 4).sum();
        let mut segment = Writer::with_capacity(bytes + 160);
        segment.text(1, &self.stream_id);
        segment.integer(2, first_sequence);
        for entry in entries {
            segment.element(3, entry.bytes());
        }
        segment.text(4, &from.hash);
        segment.text(5, &hash);
        segment.text(6, &mac);
        rows::insert(conn, &self.stream_id, first_sequence, count, segment.into_bytes(), self.shared.clock.now())?;
        Ok(Head { last_sequence: first_sequence + count - 1, hash })
    }
}

impl Journal for StreamJournal {
    fn write(&mut self, conn: &mut Connection, entries: &[JournalEntry]) -> Result<(), Error> {
        let mut head = self.committed;
        let mut rest = entries;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take_while(|entry| {
                bytes += entry.bytes().len();
                bytes <= MAX_SEGMENT_BYTES
            });
            let (now, later) = rest.split_at(fitting.count().max(1));
            head = self.write_segment(conn, head, now)?;
            rest = later;
        }
        self.written = Some(head);
        Ok(())
    }

    fn committed(&mut self) {
        if let Some(head) = self.written.take() {
            self.committed = head;
            self.shared.streams.advance(self.stream_id, head);
            self.shared.committed.notify_one();
        }
    }

    fn rolled_back(&mut self) {
        self.written = None;
    }

    fn in_doubt(&mut self) {
        self.written = None;
        tracing::warn!(
            service = self.shared.service,
            "a commit is in doubt; its audit stream ends and a new one begins"
        );
        self.shared.streams.close(self.stream_id);
        self.stream_id = new_stream_id();
        self.committed = BEGIN;
    }
}

fn new_stream_id() -> StreamId {
    let mut id = [0; 16];
    if aws_lc_rs::rand::fill(&mut id).is_err() {
        id = *uuid::Uuid::new_v4().as_bytes();
    }
    id
}

/// The streams of this process: how far each is committed, and how far the audit service has it.
#[derive(Default)]
pub(crate) struct Streams(std::sync::Mutex<Vec<Progress>>);

/// How far one stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    pub(crate) stream_id: StreamId,
    pub(crate) committed: Head,
    pub(crate) acknowledged: i64,
    pub(crate) closed: bool,
}

impl Progress {
    pub(crate) fn is_settled(&self) -> bool {
        self.acknowledged >= self.committed.last_sequence
    }
}

/// Closed streams that are remembered; the oldest go first.
const MAX_STREAMS: usize = 256;

impl Streams {
    fn with<T>(&self, stream_id: StreamId, change: impl FnOnce(&mut Progress) -> T) -> Option<T> {
        let mut streams = self.lock();
        streams.iter_mut().find(|stream| stream.stream_id == stream_id).map(change)
    }

    fn advance(&self, stream_id: StreamId, head: Head) {
        if self.with(stream_id, |stream| stream.committed = head).is_none() {
            let mut streams = self.lock();
            if streams.len() >= MAX_STREAMS
                && let Some(gone) = streams.iter().position(|stream| stream.closed)
            {
                streams.remove(gone);
            }
            streams.push(Progress { stream_id, committed: head, acknowledged: 0, closed: false });
        }
    }

    fn close(&self, stream_id: StreamId) {
        self.with(stream_id, |stream| stream.closed = true);
    }

    /// The audit service has the stream's events up to this one.
    pub(crate) fn acknowledge(&self, stream_id: StreamId, last_sequence: i64) {
        self.with(stream_id, |stream| stream.acknowledged = stream.acknowledged.max(last_sequence));
    }

    pub(crate) fn all(&self) -> Vec<Progress> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Progress>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coffre_proto::audit::internal::v1::Segment;
    use coffre_secret::SecretBytes;
    use coffre_types::{FixedClock, Timestamp};
    use diesel::connection::SimpleConnection as _;
    use diesel::{Connection as _, SqliteConnection};
    use prost::Message as _;

    use super::*;
    use crate::{Outbox, Site};

    fn outbox() -> Outbox {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_800_000_000)));
        let site = Site { service: "vault", host_name: String::new(), environment_name: String::new(), clock };
        Outbox::new(Arc::new(site), &SecretBytes::new(vec![42; 32]))
    }

    fn database() -> Connection {
        let mut conn = SqliteConnection::establish(":memory:").unwrap();
        conn.batch_execute(crate::OUTBOX_SQLITE).unwrap();
        Connection::Sqlite(conn)
    }

    fn entries(count: usize, bytes: usize) -> Vec<JournalEntry> {
        (0..count).map(|_| JournalEntry::new(vec![7; bytes])).collect()
    }

    fn segments(conn: &mut Connection) -> Vec<Segment> {
        let rows = rows::left_behind(conn, Timestamp::from_seconds(1_900_000_000), &[], 100).unwrap();
        rows.iter().map(|row| Segment::decode(row.segment.as_slice()).unwrap()).collect()
    }

    #[test]
    fn what_is_rolled_back_leaves_no_gap() {
        let (outbox, mut conn) = (outbox(), database());
        let mut journal = outbox.journal();
        journal.write(&mut conn, &entries(2, 10)).unwrap();
        journal.committed();
        conn.batch_execute("BEGIN").unwrap();
        journal.write(&mut conn, &entries(3, 10)).unwrap();
        conn.batch_execute("ROLLBACK").unwrap();
        journal.rolled_back();
        journal.write(&mut conn, &entries(1, 10)).unwrap();
        journal.committed();
        let found = segments(&mut conn);
        assert_eq!(found.iter().map(|segment| segment.first_sequence).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(found[0].head_hash, found[1].previous_hash);
        assert!(found.iter().all(|segment| outbox.key().is_authentic(segment)));
        assert_eq!(outbox.shared().streams.all()[0].committed.last_sequence, 3);
    }

    #[test]
    fn a_stream_ends_where_a_commit_is_in_doubt() {
        let (outbox, mut conn) = (outbox(), database());
        let mut journal = outbox.journal();
        for _ in 0..2 {
            journal.write(&mut conn, &entries(1, 10)).unwrap();
            journal.committed();
        }
        journal.write(&mut conn, &entries(1, 10)).unwrap();
        journal.in_doubt();
        journal.write(&mut conn, &entries(1, 10)).unwrap();
        journal.committed();
        let found = segments(&mut conn);
        assert_eq!(found.iter().map(|segment| segment.first_sequence).collect::<Vec<_>>(), [1, 2, 3, 1]);
        assert_ne!(found[2].stream_id, found[3].stream_id);
        let streams = outbox.shared().streams.all();
        assert_eq!(streams.iter().map(|stream| stream.closed).collect::<Vec<_>>(), [true, false]);
        assert_eq!(streams[0].committed.last_sequence, 2, "the head is what is known to stand");
    }

    #[test]
    fn a_large_commit_is_several_segments() {
        let (outbox, mut conn) = (outbox(), database());
        let mut journal = outbox.journal();
        let mut large = entries(40, 40_000);
        large.extend(entries(1, MAX_SEGMENT_BYTES + 1));
        journal.write(&mut conn, &large).unwrap();
        journal.committed();
        let found = segments(&mut conn);
        assert!(found.len() > 3);
        assert_eq!(found.iter().map(|segment| segment.events.len()).sum::<usize>(), 41);
        for pair in found.windows(2) {
            assert_eq!(pair[0].first_sequence + i64::try_from(pair[0].events.len()).unwrap(), pair[1].first_sequence);
            assert_eq!(pair[0].head_hash, pair[1].previous_hash);
        }
    }
}
