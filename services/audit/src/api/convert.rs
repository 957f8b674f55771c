//! Messages and the domain's types.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::chain::{Hash, StreamId};
use coffre_audit_client::{ActivityType, CallRecord, Origin, Site, Source};
use coffre_audit_proof::checkpoint::StreamHead as StreamHeadOfCheckpoint;
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::internal::v1::append_segments_response::Disposition as ProtoDisposition;
use coffre_proto::audit::internal::v1::{RefusedRequest, StreamHead};
use coffre_proto::audit::v1::incident::Kind as ProtoKind;
use coffre_proto::audit::v1::{
    Checkpoint as ProtoCheckpoint, CheckpointStreamHead, CutLogResponse, Entry as ProtoEntry, Incident as ProtoIncident,
};
use coffre_types::{EventId, Timestamp};
use uuid::Uuid;

use crate::domain::checkpoint::Checkpoint;
use crate::domain::cut::Cut;
use crate::domain::entry::Entry;
use crate::domain::incident::{self, Incident};
use crate::domain::intake::{Disposition, ReportedHead};

pub(super) fn entry(entry: Entry) -> ProtoEntry {
    let id = Uuid::from_slice(&entry.event.id).map_or_else(|_| String::new(), |id| id.to_string());
    ProtoEntry {
        id,
        log_index: entry.log_index,
        create_time: Some(Timestamp::from_micros(entry.event.time_us).to_proto()),
        description: entry.said.description,
        leaf_hash: entry.leaf_hash,
        detail: entry.said.detail,
        event: Some(entry.event),
        canonical: Vec::new(),
        proof: Vec::new(),
    }
}

/// The same with the canonical form of the event.
pub(super) fn whole_entry(mut given: Entry) -> ProtoEntry {
    let canonical = std::mem::take(&mut given.canonical);
    ProtoEntry { canonical, ..entry(given) }
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

/// How far the clock of a gateway may be from ours, and how old a report may be.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Makes the record of a request that the gateway refused. A number of requests has no caller of its own.
pub(super) fn refused(
    request: RefusedRequest,
    gateway: &Arc<Site>,
    now: Timestamp,
) -> (CallRecord, Timestamp, Option<Reason>) {
    let reason = Some(request.reason()).filter(|reason| *reason != Reason::Unspecified);
    let origin = Origin {
        site: gateway.clone(),
        method: "",
        request_id: request.request_id.into(),
        trace_id: request.trace_id.try_into().ok(),
        client_address: request.client_address.parse().ok(),
        source: Source::Api,
    };
    let record = CallRecord::new(origin, "request.refused", ActivityType::AuditUnsetActivityType);
    if !request.method.is_empty() {
        record.detail("route", request.method.as_str());
    }
    record.method(request.method);
    record.occurrences(request.occurrences);
    let told = Timestamp::from_micros(request.time_us);
    let believable = now.minus(MAX_AGE) <= told && told <= now.plus(MAX_AGE);
    (record, if believable { told } else { now }, reason)
}

pub(super) fn hashes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.to_vec()).collect()
}

pub(super) fn checkpoint(checkpoint: Checkpoint) -> ProtoCheckpoint {
    let head = |head: StreamHeadOfCheckpoint| CheckpointStreamHead {
        service: head.service,
        stream_id: head.stream_id.to_vec(),
        last_sequence: head.sequence,
        head_hash: head.hash.to_vec(),
    };
    ProtoCheckpoint {
        size: checkpoint.size,
        root_hash: checkpoint.root.to_vec(),
        create_time: Some(checkpoint.created_at.to_proto()),
        note: checkpoint.note,
        heads: checkpoint.heads.into_iter().map(head).collect(),
        witness_time: checkpoint.witnessed_at.map(Timestamp::to_proto),
    }
}

pub(super) fn incident(incident: Incident) -> ProtoIncident {
    let kind = match incident.kind {
        incident::Kind::Gap => ProtoKind::Gap,
        incident::Kind::Forged => ProtoKind::Forged,
        incident::Kind::RolledBack => ProtoKind::RolledBack,
        incident::Kind::Changed => ProtoKind::Changed,
        incident::Kind::Checkpoint => ProtoKind::Checkpoint,
    };
    ProtoIncident {
        kind: kind.into(),
        find_time: Some(incident.found_at.to_proto()),
        service: incident.service,
        stream_id: incident.stream_id,
        first: incident.first,
        last: incident.last,
    }
}

pub(super) fn cut(cut: Cut, holds_it: Option<Checkpoint>) -> CutLogResponse {
    CutLogResponse { first_kept: cut.first_kept, removed: cut.removed, checkpoint: holds_it.map(checkpoint) }
}
