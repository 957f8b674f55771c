//! `coffre.audit.v1.AuditService`: reading the record.

use std::sync::Arc;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::audit_service_server::AuditService;
use coffre_proto::audit::v1::{
    GetEntryRequest, GetEntryResponse, ListEntriesRequest, ListEntriesResponse, StreamEntriesRequest,
    StreamEntriesResponse,
};
use coffre_rpc::{Admission, CallContext, Served, Streams, missing};
use coffre_types::{Caller, Permission};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use super::streaming::{Proofs, Reader};
use super::{convert, error};
use crate::app::Settle;
use crate::domain::ports::{ReadEntries, ReadStretches};
use crate::domain::proofs::Prover;
use crate::domain::visibility::Visibility;

/// Answers the public calls.
pub(crate) struct Entries {
    entries: Arc<dyn ReadEntries>,
    log: Arc<dyn ReadStretches>,
    prover: Arc<Prover>,
    settle: Settle,
    appended: Arc<Notify>,
    streams: Streams,
}

impl Entries {
    pub(crate) fn new<S>(
        store: Arc<S>,
        prover: Arc<Prover>,
        settle: Settle,
        appended: Arc<Notify>,
        streams: Streams,
    ) -> Self
    where
        S: ReadEntries + ReadStretches + 'static,
    {
        Self { entries: store.clone(), log: store, prover, settle, appended, streams }
    }
}

#[tonic::async_trait]
impl AuditService for Entries {
    type StreamEntriesStream = Served<StreamEntriesResponse>;

    async fn stream_entries(
        &self,
        request: Request<StreamEntriesRequest>,
    ) -> Result<Response<Self::StreamEntriesStream>, Status> {
        let (call, admission) = (CallContext::of(&request)?, Admission::of(&request)?);
        let visibility = Visibility::of(call.caller()?);
        let StreamEntriesRequest { filter, from_index, follow, canonical, from_end, proof_size } = request.into_inner();
        call.record().object("audit", "", "");
        call.record().detail("follow", follow.to_string());
        if from_index < 0 {
            return Err(Refusal::invalid("from_index", "a position is not negative").into());
        }
        if from_end && from_index > 0 {
            return Err(
                Refusal::invalid("from_end", "a stream from the end has no from_index; leave one of them out").into()
            );
        }
        if proof_size < 0 || (proof_size > 0 && follow) {
            let problem = "is the size of a checkpoint, of a stream that does not follow what comes";
            return Err(Refusal::invalid("proof_size", problem).into());
        }
        let filter = self.log.filtered(filter.as_ref()).map_err(error::listing)?;
        let place = self.streams.take(call.caller()?)?;
        (self.settle)().await;
        let ends = self.log.ends().await.map_err(error::store)?;
        let next = if from_end { ends.size } else { ends.begin(from_index).map_err(error::misplaced)? };
        call.record().detail("from", next.to_string());
        let (mut until, mut proofs) = ((!follow).then_some(ends.size), None);
        if proof_size > 0 {
            let size = self.prover.at(proof_size).await.map_err(error::fault)?.size;
            until = Some(size.min(ends.size));
            proofs = Some(Proofs { prover: self.prover.clone(), size });
        }
        let (log, appended) = (self.log.clone(), self.appended.clone());
        let reader = Reader { log, appended, filter, visibility, next, until, canonical, proofs };
        let may = move |caller: &Caller| match visibility.allows(Visibility::of(caller)) {
            true => Ok(()),
            false => Err(missing(Permission::ViewAllAudit)),
        };
        Ok(Response::new(place.serve(admission, may, reader.messages())))
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let call = CallContext::of(&request)?;
        let visibility = Visibility::of(call.caller()?);
        call.record().object("audit", "", "");
        (self.settle)().await;
        let query = request.into_inner().query.unwrap_or_default();
        let (entries, page) = self.entries.list(query, visibility).await.map_err(error::listing)?;
        call.record().detail("entries", entries.len().to_string());
        let entries = entries.into_iter().map(convert::entry).collect();
        Ok(Response::new(ListEntriesResponse { entries, page: Some(page) }))
    }

    async fn get_entry(&self, request: Request<GetEntryRequest>) -> Result<Response<GetEntryResponse>, Status> {
        let call = CallContext::of(&request)?;
        let visibility = Visibility::of(call.caller()?);
        let id = request.into_inner().id;
        if id.chars().count() > 36 {
            return Err(Refusal::invalid("id", "an entry's id is a UUID of 36 characters").into());
        }
        call.record().object("audit", &id, "");
        let Some(id) = convert::event_id(&id) else {
            return Err(Refusal::new(
                Reason::AuditEntryNotFound,
                "no audit entry with this id: an entry's id is a UUID",
            )
            .into());
        };
        (self.settle)().await;
        let entry = self.entries.get(id, visibility).await.map_err(error::entry)?;
        Ok(Response::new(GetEntryResponse { entry: Some(convert::entry(entry)) }))
    }
}
