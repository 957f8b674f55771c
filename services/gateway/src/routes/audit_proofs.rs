//! Proving the audit: checkpoints, proofs against them, what was found wrong, and the cut of what is old.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_error::Refusal;
use coffre_proto::audit::v1::incident::Kind;
use coffre_proto::audit::v1::{
    self, CreateCheckpointRequest, CutLogRequest, GetCheckpointRequest, GetConsistencyProofRequest,
    GetInclusionProofRequest, GetLatestCheckpointRequest, ListIncidentsRequest,
};
use coffre_types::Timestamp;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, invalid, moment};
use crate::request::{App, Ids, JsonBody, Named, Parameters, converted, json, present};

/// The log at one moment, signed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checkpoint {
    /// How many entries the log had.
    size: Id,
    /// The root of their tree, in base64.
    #[schema(examples("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="))]
    root_hash: String,
    #[schema(required)]
    created_on: Option<String>,
    /// The signed note: what a verifier trusts. The other fields repeat its content.
    note: String,
    /// When a witness outside of the database had it.
    #[schema(required)]
    witnessed_on: Option<String>,
    /// How far each stream had come into the log.
    heads: Vec<StreamHead>,
}

/// How far a stream had come into the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamHead {
    #[schema(examples("vault"))]
    service: String,
    /// In base64.
    stream_id: String,
    /// The number of its last event in the log.
    last_sequence: Id,
    /// The hash of its chain there, in base64.
    head_hash: String,
}

/// The latest checkpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LatestCheckpoint {
    #[serde(flatten)]
    checkpoint: Checkpoint,
    /// The key that checks the signature. Compare it once with the one with which the installation was begun.
    verifier_key: String,
}

/// Proves that one log is the beginning of another (RFC 9162, section 2.1.4).
#[derive(Serialize, ToSchema)]
struct ConsistencyProof {
    from: Id,
    to: Id,
    /// The nodes, each in base64.
    hashes: Vec<String>,
}

/// Proves that an entry is in the log (RFC 9162, section 2.1.3).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InclusionProof {
    /// The entry's position in the log, from 0.
    log_index: Id,
    /// The entry in its canonical form, in base64. Its hash is SHA-256 of a zero byte and these bytes.
    canonical: String,
    /// The nodes, each in base64.
    hashes: Vec<String>,
    /// The checkpoint whose root the proof leads to.
    checkpoint: Checkpoint,
}

/// Something that was found wrong.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Incident {
    /// `gap`: events never came; `forged`: a segment that no holder of the key wrote; `rolledBack`: the log is not the one that a witness
    /// saw; `changed`: an entry or a node is not what it was.
    #[schema(examples("gap"))]
    kind: &'static str,
    #[schema(required)]
    found_on: Option<String>,
    /// The service whose stream it was; empty for the log itself.
    service: String,
    /// The stream, in base64; empty for the log itself.
    stream_id: String,
    /// The first event of the stream, or entry of the log, that is concerned.
    first: Id,
    /// The last one.
    last: Id,
}

/// What was found wrong with the record.
#[derive(Serialize, ToSchema)]
struct Incidents {
    /// How many there are in all.
    total: i64,
    /// The newest first.
    list: Vec<Incident>,
}

/// What goes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"before": "2026-01-01T00:00:00Z", "dryRun": true}))]
#[allow(dead_code)]
struct CutBody {
    /// Entries that arrived before this moment go; rounded down to where the tree stays provable.
    before: String,
    /// Says what would go, and removes nothing.
    dry_run: Option<bool>,
}

/// What went.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Cut {
    /// Entries below this position are gone.
    first_kept: Id,
    /// How many entries this cut removed, or would remove.
    removed: i64,
    /// The checkpoint that holds the cut; `null` where nothing was removed.
    #[schema(required)]
    checkpoint: Option<Checkpoint>,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

impl From<v1::CheckpointStreamHead> for StreamHead {
    fn from(head: v1::CheckpointStreamHead) -> Self {
        Self {
            service: head.service,
            stream_id: base64(head.stream_id),
            last_sequence: Id(head.last_sequence),
            head_hash: base64(head.head_hash),
        }
    }
}

impl From<v1::Checkpoint> for Checkpoint {
    fn from(checkpoint: v1::Checkpoint) -> Self {
        Self {
            size: Id(checkpoint.size),
            root_hash: base64(checkpoint.root_hash),
            created_on: moment(checkpoint.create_time),
            note: checkpoint.note,
            witnessed_on: moment(checkpoint.witness_time),
            heads: checkpoint.heads.into_iter().map(StreamHead::from).collect(),
        }
    }
}

impl TryFrom<v1::Incident> for Incident {
    type Error = Failure;

    fn try_from(incident: v1::Incident) -> Result<Self, Failure> {
        let kind = match incident.kind() {
            Kind::Gap => "gap",
            Kind::Forged => "forged",
            Kind::RolledBack => "rolledBack",
            Kind::Changed => "changed",
            Kind::Checkpoint => "checkpoint",
            Kind::Unspecified => return Err(Refusal::internal("the audit answered with an unknown incident").into()),
        };
        Ok(Self {
            kind,
            found_on: moment(incident.find_time),
            service: incident.service,
            stream_id: base64(incident.stream_id),
            first: Id(incident.first),
            last: Id(incident.last),
        })
    }
}

fn answered(status: StatusCode, checkpoint: Option<v1::Checkpoint>) -> Result<Response, Failure> {
    Ok(json(status, &Checkpoint::from(present(checkpoint)?)))
}

/// Returns the latest checkpoint of the audit log: at most a minute old, or as old as the last entry.
#[utoipa::path(
    get, path = "/v1/audit/checkpoints/latest", tag = "Audit", operation_id = "getLatestCheckpoint",
    responses(
        (status = 200, description = "The checkpoint", body = LatestCheckpoint),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "There is none yet", body = ErrorBody),
    )
)]
pub(crate) async fn latest(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let request = caller.request(GetLatestCheckpointRequest {});
    let answer = app.clients.proofs().get_latest_checkpoint(request).await?.into_inner();
    let checkpoint = Checkpoint::from(present(answer.checkpoint)?);
    Ok(json(StatusCode::OK, &LatestCheckpoint { checkpoint, verifier_key: answer.verifier_key }))
}

/// Returns the checkpoint of one size.
#[utoipa::path(
    get, path = "/v1/audit/checkpoints/{size}", tag = "Audit", operation_id = "getCheckpoint",
    params(("size" = String, Path, description = "How many entries the log had")),
    responses(
        (status = 200, description = "The checkpoint", body = Checkpoint),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "There is none of this size", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller, size: Ids<1>) -> Result<Response, Failure> {
    let Ids([size]) = size;
    let answer = app.clients.proofs().get_checkpoint(caller.request(GetCheckpointRequest { size })).await?;
    answered(StatusCode::OK, answer.into_inner().checkpoint)
}

/// Makes a checkpoint of the log as it is now and hands it to the witnesses. Where nothing came since the latest one, it is that.
#[utoipa::path(
    post, path = "/v1/audit/checkpoints", tag = "Audit", operation_id = "createCheckpoint",
    responses(
        (status = 201, description = "The checkpoint", body = Checkpoint),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View everyone's audit log actions* is missing", body = ErrorBody),
        (status = 409, description = "The log is not the one that was witnessed: nothing more is signed", body = ErrorBody),
    )
)]
pub(crate) async fn create(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer = app.clients.proofs().create_checkpoint(caller.request(CreateCheckpointRequest {})).await?;
    answered(StatusCode::CREATED, answer.into_inner().checkpoint)
}

/// Proves that the log of one size is the beginning of the log of another.
#[utoipa::path(
    get, path = "/v1/audit/checkpoints/consistency", tag = "Audit", operation_id = "getConsistencyProof",
    params(
        ("from" = String, Query, description = "The smaller size"),
        ("to" = String, Query, description = "The larger size"),
    ),
    responses(
        (status = 200, description = "The proof", body = ConsistencyProof),
        (status = 400, description = "A size is missing, or larger than the log", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 409, description = "What the proof needs was cut off", body = ErrorBody),
    )
)]
pub(crate) async fn consistency(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let size = |key: &str| parameters.count(key)?.ok_or_else(|| invalid(key, "is required: the size of a checkpoint"));
    let (from_size, to_size) = (size("from")?, size("to")?);
    let request = caller.request(GetConsistencyProofRequest { from_size, to_size });
    let answer = app.clients.proofs().get_consistency_proof(request).await?.into_inner();
    let hashes = answer.hashes.iter().map(base64).collect();
    Ok(json(StatusCode::OK, &ConsistencyProof { from: Id(from_size), to: Id(to_size), hashes }))
}

/// Proves that an entry is in the log. The id of the entry of a call is in the `X-Audit-Id` of its answer.
#[utoipa::path(
    get, path = "/v1/audit/messages/{id}/proof", tag = "Audit", operation_id = "getInclusionProof",
    params(
        ("id" = String, Path, description = "The entry's id"),
        ("size" = Option<String>, Query, description = "The size of the checkpoint against which to prove it; without it the latest, or a new one where the entry came after it"),
    ),
    responses(
        (status = 200, description = "The proof", body = InclusionProof),
        (status = 400, description = "The size is none, or the entry came after it", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such entry, or not visible to the caller; no such checkpoint", body = ErrorBody),
        (status = 409, description = "The entry was cut off, or the log is not the one that was witnessed", body = ErrorBody),
    )
)]
pub(crate) async fn proof(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let size = parameters.count("size")?.unwrap_or(0);
    let request = caller.request(GetInclusionProofRequest { id, size });
    let answer = app.clients.proofs().get_inclusion_proof(request).await?.into_inner();
    let proof = InclusionProof {
        log_index: Id(answer.log_index),
        canonical: base64(answer.canonical),
        hashes: answer.hashes.iter().map(base64).collect(),
        checkpoint: present(answer.checkpoint)?.into(),
    };
    Ok(json(StatusCode::OK, &proof))
}

/// Lists what was found wrong with the record, the newest first.
#[utoipa::path(
    get, path = "/v1/audit/incidents", tag = "Audit", operation_id = "getIncidents",
    params(("length" = Option<String>, Query, description = "How many at most, up to 1 000; without it 100")),
    responses(
        (status = 200, description = "The incidents", body = Incidents),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View everyone's audit log actions* is missing", body = ErrorBody),
    )
)]
pub(crate) async fn incidents(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let length = parameters.count("length")?.unwrap_or(0);
    let page_size = i32::try_from(length).map_err(|_| invalid("length", "must be at most 1000"))?;
    let answer = app.clients.proofs().list_incidents(caller.request(ListIncidentsRequest { page_size })).await?;
    let answer = answer.into_inner();
    let list = converted::<Incident, _>(answer.incidents)?;
    Ok(json(StatusCode::OK, &Incidents { total: answer.total_size, list }))
}

/// Removes the entries before a moment.
///
/// What remains stays provable, and the cut is itself an entry and stands in every later checkpoint.
#[utoipa::path(
    post, path = "/v1/audit/cut", tag = "Audit", operation_id = "cutAuditLog",
    request_body = CutBody,
    responses(
        (status = 200, description = "What went, or would go", body = Cut),
        (status = 400, description = "There is no time, or it is none", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View and manage settings* or *View everyone's audit log actions* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 409, description = "The log is not the one that was witnessed", body = ErrorBody),
    )
)]
pub(crate) async fn cut(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let mut body = body.object()?;
    let before = Timestamp::parse_rfc3339(&body.required_text("before")?)
        .ok_or_else(|| invalid("before", "must be a time as RFC 3339 writes it, such as 2026-01-01T00:00:00Z"))?;
    let dry_run = body.flag("dryRun")?.unwrap_or(false);
    let request = CutLogRequest { before_time: Some(before.to_proto()), dry_run };
    let answer = app.clients.proofs().cut_log(caller.request(request)).await?.into_inner();
    let cut = Cut {
        first_kept: Id(answer.first_kept),
        removed: answer.removed,
        checkpoint: answer.checkpoint.map(Checkpoint::from),
    };
    Ok(json(StatusCode::OK, &cut))
}
