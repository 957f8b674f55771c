//! `coffre.audit.v1.AuditService`: reading the record.

use std::sync::Arc;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::audit_service_server::AuditService;
use coffre_proto::audit::v1::{GetEntryRequest, GetEntryResponse, ListEntriesRequest, ListEntriesResponse};
use coffre_rpc::CallContext;
use tonic::{Request, Response, Status};

use super::{convert, error};
use crate::app::Settle;
use crate::domain::ports::ReadEntries;
use crate::domain::visibility::Visibility;

/// Answers the public calls.
pub(crate) struct Entries {
    entries: Arc<dyn ReadEntries>,
    settle: Settle,
}

impl Entries {
    pub(crate) fn new(entries: Arc<dyn ReadEntries>, settle: Settle) -> Self {
        Self { entries, settle }
    }
}

#[tonic::async_trait]
impl AuditService for Entries {
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
