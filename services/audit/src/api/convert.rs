//! Messages and the domain's types.

use coffre_audit_client::chain::{Hash, StreamId};
use coffre_error::Refusal;
use coffre_proto::audit::internal::v1::StreamHead;
use coffre_proto::audit::internal::v1::append_segments_response::Disposition as ProtoDisposition;
use coffre_proto::audit::v1::Entry as ProtoEntry;
use coffre_types::{EventId, Timestamp};
use uuid::Uuid;

use crate::domain::entry::Entry;
use crate::domain::intake::{Disposition, ReportedHead};

pub(super) fn entry(entry: Entry) -> ProtoEntry {
    let id = Uuid::from_slice(&entry.event.id).map_or_else(|_| String::new(), |id| id.to_string());
    ProtoEntry {
        id,
        log_index: entry.log_index,
        create_time: Some(Timestamp::from_micros(entry.event.time_us).to_proto()),
        description: entry.description,
        leaf_hash: entry.leaf_hash,
        detail: entry.detail,
        event: Some(entry.event),
    }
}

/// Reads an id; what is no UUID names no entry.
pub(super) fn event_id(text: &str) -> Option<EventId> {
    Uuid::try_parse(text).ok().map(EventId::new)
}

pub(super) fn disposition(disposition: Disposition) -> i32 {
    match disposition {
        Disposition::Stored => ProtoDisposition::Stored,
        Disposition::Gap => ProtoDisposition::Gap,
        Disposition::Forged => ProtoDisposition::Forged,
    }
    .into()
}

pub(super) fn reported_head(head: StreamHead) -> Result<ReportedHead, Refusal> {
    let stream_id = StreamId::try_from(head.stream_id);
    let hash = Hash::try_from(head.head_hash);
    match (stream_id, hash) {
        (Ok(stream_id), Ok(hash)) if head.last_sequence >= 0 => {
            Ok(ReportedHead { stream_id, last_sequence: head.last_sequence, hash, closed: head.closed })
        }
        _ => Err(Refusal::invalid(
            "heads",
            "a head has a stream id of 16 bytes, a hash of 32 and a number that is not negative",
        )),
    }
}
