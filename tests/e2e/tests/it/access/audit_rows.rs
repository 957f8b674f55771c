//! One row an RPC: following and proving the audit.

use coffre_e2e::api::rest;
use coffre_e2e::operation;
use coffre_proto::audit::v1 as audit;
use coffre_proto::query::v1 as query;
use coffre_proto::vault::v1 as vault;
use http::Method;
use prost::Message as _;
use serde_json::json;

use super::rows::{Answers, PERMISSION, Row, TOKEN, row};

/// Checkpoints tell nothing of entries: whoever is signed in may have them.
const ANYBODY: Answers = [TOKEN, "", "", "", ""];
/// Holders of *View everyone's audit log actions*: of these five the administrator.
const AUDITOR: Answers = [TOKEN, PERMISSION, PERMISSION, PERMISSION, ""];
const HIDDEN: &str = "audit.entry_not_found";

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            operation::STREAM_ENTRIES,
            |it| {
                let comparison = query::Comparison {
                    operator: query::comparison::Operator::Equal.into(),
                    field: "requestId".to_owned(),
                    value: it.tag.clone(),
                };
                let condition = query::filter::Condition::Comparison(comparison);
                let filter = Some(query::Filter { condition: Some(condition) });
                audit::StreamEntriesRequest { filter, ..Default::default() }.encode_to_vec()
            },
            |it| {
                let filter = json!({"operator": "eq", "field": "requestId", "value": it.tag});
                rest(Method::POST, "/v1/audit/messages/export")
                    .header("accept", "text/csv")
                    .json(json!({"filter": filter}))
            },
            ANYBODY,
        ),
        row(
            operation::GET_LATEST_CHECKPOINT,
            |_| audit::GetLatestCheckpointRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/v1/audit/checkpoints/latest"),
            ANYBODY,
        ),
        row(
            operation::GET_CHECKPOINT,
            |it| audit::GetCheckpointRequest { size: it.checkpoint }.encode_to_vec(),
            |it| rest(Method::GET, format!("/v1/audit/checkpoints/{}", it.checkpoint)),
            ANYBODY,
        ),
        row(
            operation::CREATE_CHECKPOINT,
            |_| audit::CreateCheckpointRequest {}.encode_to_vec(),
            |_| rest(Method::POST, "/v1/audit/checkpoints"),
            AUDITOR,
        ),
        row(
            operation::GET_CONSISTENCY_PROOF,
            |it| audit::GetConsistencyProofRequest { from_size: 1, to_size: it.checkpoint }.encode_to_vec(),
            |it| rest(Method::GET, format!("/v1/audit/checkpoints/consistency?from=1&to={}", it.checkpoint)),
            ANYBODY,
        ),
        row(
            operation::GET_INCLUSION_PROOF,
            |it| audit::GetInclusionProofRequest { id: it.entry.clone(), size: 0 }.encode_to_vec(),
            |it| rest(Method::GET, format!("/v1/audit/messages/{}/proof", it.entry)),
            [TOKEN, HIDDEN, HIDDEN, "", ""],
        ),
        row(
            operation::LIST_INCIDENTS,
            |_| audit::ListIncidentsRequest { page_size: 1 }.encode_to_vec(),
            |_| rest(Method::GET, "/v1/audit/incidents?length=1"),
            AUDITOR,
        ),
        row(
            operation::CUT_LOG,
            |_| {
                let before_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
                audit::CutLogRequest { before_time, dry_run: true }.encode_to_vec()
            },
            |_| rest(Method::POST, "/v1/audit/cut").json(json!({"before": "1970-01-01T00:00:01Z", "dryRun": true})),
            AUDITOR,
        ),
        Row {
            grpc_alone: true,
            ..row(
                operation::LIST_VALUE_SEALS,
                |_| vault::ListValueSealsRequest { page_size: 1, ..Default::default() }.encode_to_vec(),
                |_| rest(Method::GET, "/"),
                AUDITOR,
            )
        },
    ]
}
