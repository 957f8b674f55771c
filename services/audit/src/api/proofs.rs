//! `coffre.audit.v1.ProofService`: proving the record.

use std::sync::Arc;

use coffre_audit_client::ActivityType;
use coffre_error::Refusal;
use coffre_proto::audit::v1::proof_service_server::ProofService;
use coffre_proto::audit::v1::{
    CreateCheckpointRequest, CreateCheckpointResponse, CutLogRequest, CutLogResponse, GetCheckpointRequest,
    GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse, GetInclusionProofRequest,
    GetInclusionProofResponse, GetLatestCheckpointRequest, GetLatestCheckpointResponse, ListIncidentsRequest,
    ListIncidentsResponse,
};
use coffre_rpc::CallContext;
use coffre_types::{Permission, Timestamp};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use super::{convert, error};
use crate::app::Settle;
use crate::domain::cut::Cutter;
use crate::domain::keeper::Keeper;
use crate::domain::ports::KeepIncidents;
use crate::domain::proofs::Prover;
use crate::domain::visibility::Visibility;

/// Incidents of an answer where nobody says how many.
const INCIDENTS: i64 = 100;
/// The most incidents of an answer.
const MAX_INCIDENTS: i64 = 1000;

/// Answers the public calls.
pub(crate) struct Proofs {
    pub(crate) prover: Arc<Prover>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) cutter: Arc<Cutter>,
    pub(crate) incidents: Arc<dyn KeepIncidents>,
    pub(crate) settle: Settle,
    /// Wakes whoever removes what was cut off.
    pub(crate) was_cut: Arc<Notify>,
}

#[tonic::async_trait]
impl ProofService for Proofs {
    async fn get_latest_checkpoint(
        &self,
        request: Request<GetLatestCheckpointRequest>,
    ) -> Result<Response<GetLatestCheckpointResponse>, Status> {
        CallContext::of(&request)?.record().object("audit", "", "");
        let checkpoint = self.prover.latest().await.map_err(error::fault)?;
        let verifier_key = self.keeper.verifier_key();
        Ok(Response::new(GetLatestCheckpointResponse {
            checkpoint: Some(convert::checkpoint(checkpoint)),
            verifier_key,
        }))
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let call = CallContext::of(&request)?;
        let size = request.into_inner().size;
        call.record().object("audit", "", "");
        call.record().detail("size", size.to_string());
        let checkpoint = self.prover.at(size).await.map_err(error::fault)?;
        Ok(Response::new(GetCheckpointResponse { checkpoint: Some(convert::checkpoint(checkpoint)) }))
    }

    async fn create_checkpoint(
        &self,
        request: Request<CreateCheckpointRequest>,
    ) -> Result<Response<CreateCheckpointResponse>, Status> {
        let call = CallContext::of(&request)?;
        call.record().object("audit", "", "");
        (self.settle)().await;
        let checkpoint = self.keeper.checkpoint().await.map_err(error::fault)?;
        call.record().detail("size", checkpoint.size.to_string());
        Ok(Response::new(CreateCheckpointResponse { checkpoint: Some(convert::checkpoint(checkpoint)) }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        let call = CallContext::of(&request)?;
        let GetConsistencyProofRequest { from_size, to_size } = request.into_inner();
        call.record().object("audit", "", "");
        call.record().detail("from", from_size.to_string());
        call.record().detail("to", to_size.to_string());
        let hashes = self.prover.consistency(from_size, to_size).await.map_err(error::fault)?;
        Ok(Response::new(GetConsistencyProofResponse { hashes: convert::hashes(&hashes) }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        let call = CallContext::of(&request)?;
        let visibility = Visibility::of(call.caller()?);
        let GetInclusionProofRequest { id, size } = request.into_inner();
        if id.chars().count() > 36 {
            return Err(Refusal::invalid("id", "an entry's id is a UUID of 36 characters").into());
        }
        if size < 0 {
            return Err(Refusal::invalid("size", "a log has no negative size").into());
        }
        call.record().object("audit", &id, "");
        let id = convert::event_id(&id).ok_or_else(error::no_entry)?;
        (self.settle)().await;
        let proof = self.prover.inclusion(id, visibility, size).await.map_err(error::fault)?;
        Ok(Response::new(GetInclusionProofResponse {
            log_index: proof.entry.log_index,
            canonical: proof.entry.canonical,
            hashes: convert::hashes(&proof.hashes),
            checkpoint: Some(convert::checkpoint(proof.checkpoint)),
        }))
    }

    async fn list_incidents(
        &self,
        request: Request<ListIncidentsRequest>,
    ) -> Result<Response<ListIncidentsResponse>, Status> {
        let call = CallContext::of(&request)?;
        call.record().object("audit", "", "");
        let limit = match i64::from(request.into_inner().page_size) {
            0 => INCIDENTS,
            wanted @ 1..=MAX_INCIDENTS => wanted,
            _ => return Err(Refusal::invalid("page_size", "takes 0, or a number from 1 to 1000").into()),
        };
        let (incidents, total_size) = self.incidents.incidents(limit).await.map_err(error::store)?;
        call.record().detail("incidents", incidents.len().to_string());
        let incidents = incidents.into_iter().map(convert::incident).collect();
        Ok(Response::new(ListIncidentsResponse { incidents, total_size }))
    }

    async fn cut_log(&self, request: Request<CutLogRequest>) -> Result<Response<CutLogResponse>, Status> {
        let call = CallContext::of(&request)?;
        call.record().object("audit", "", "");
        if !call.caller()?.has(Permission::ViewAllAudit) {
            return Err(coffre_rpc::missing(Permission::ViewAllAudit).into());
        }
        let CutLogRequest { before_time, dry_run } = request.into_inner();
        let before = before_time
            .map(Timestamp::from_proto)
            .ok_or_else(|| Refusal::invalid("before_time", "say before which moment entries go"))?;
        if dry_run {
            let planned = self.cutter.plan(before).await.map_err(error::fault)?;
            call.record().event("audit.cut.planned", ActivityType::AuditUnsetActivityType);
            call.record().detail("removed", planned.removed.to_string());
            return Ok(Response::new(convert::cut(planned, None)));
        }
        let (cut, checkpoint) = self.cutter.cut(call.record(), before).await.map_err(error::fault)?;
        self.was_cut.notify_one();
        Ok(Response::new(convert::cut(cut, Some(checkpoint))))
    }
}
