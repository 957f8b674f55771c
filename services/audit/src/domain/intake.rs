//! Segments as they arrive: are they authentic, and what is in them.

use coffre_audit_client::StreamKey;
use coffre_audit_client::chain::{Hash, StreamId};
use coffre_proto::audit::internal::v1::Segment;

use super::entry::NewEntry;
use super::position::Span;

/// A segment after the check.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    /// A holder of the key wrote it.
    Authentic(NewSegment),
    /// Nobody with the key did, or it holds something else than events.
    Forged(Claim),
}

/// An authentic segment.
#[derive(Clone, Debug)]
pub(crate) struct NewSegment {
    pub(crate) stream_id: StreamId,
    pub(crate) span: Span,
    pub(crate) entries: Vec<NewEntry>,
}

/// What a forged segment says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    pub(crate) stream_id: Vec<u8>,
    pub(crate) first_sequence: i64,
    pub(crate) last_sequence: i64,
}

/// What became of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disposition {
    /// It is in the log, now or before.
    Stored,
    /// Events before it are missing.
    Gap,
    /// It is not authentic, or another history of its stream.
    Forged,
}

/// How far a stream's writer says it has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ReportedHead {
    pub(crate) stream_id: StreamId,
    pub(crate) last_sequence: i64,
    pub(crate) hash: Hash,
    pub(crate) closed: bool,
}

impl Arrival {
    /// Checks a segment: MAC, chain, contents.
    pub(crate) fn check(key: &StreamKey, segment: Segment) -> Self {
        let count = i64::try_from(segment.events.len()).unwrap_or(i64::MAX);
        // What holds no event claims the place of one.
        let last_sequence = segment.first_sequence.saturating_add(count.max(1)).saturating_sub(1);
        let authentic = key.is_authentic(&segment);
        let claim = Claim { stream_id: segment.stream_id, first_sequence: segment.first_sequence, last_sequence };
        if !authentic {
            return Self::Forged(claim);
        }
        let (Ok(stream_id), Ok(previous), Ok(head)) = (
            StreamId::try_from(claim.stream_id.as_slice()),
            Hash::try_from(segment.previous_hash.as_slice()),
            Hash::try_from(segment.head_hash.as_slice()),
        ) else {
            return Self::Forged(claim);
        };
        let Some(entries) = segment.events.into_iter().map(NewEntry::read).collect::<Option<Vec<_>>>() else {
            return Self::Forged(claim);
        };
        let span = Span { first_sequence: claim.first_sequence, last_sequence, previous, head };
        Self::Authentic(NewSegment { stream_id, span, entries })
    }
}
