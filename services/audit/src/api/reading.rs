//! `coffre.audit.internal.v1.ReadingService`: the record, read on behalf of a caller whom another service knows. Internal.

use std::sync::Arc;

use coffre_error::Refusal;
use coffre_proto::audit::internal::v1::reading_service_server::ReadingService;
use coffre_proto::audit::internal::v1::{ListOwnEntriesRequest, ListOwnEntriesResponse};
use coffre_proto::query::v1::Query;
use coffre_types::UserId;
use tonic::{Request, Response, Status};

use super::{convert, error};
use crate::app::Settle;
use crate::domain::ports::ReadEntries;
use crate::domain::visibility::Visibility;

/// The most entries of one answer.
const MAX_ENTRIES: i32 = 100;

/// Answers other services.
pub(crate) struct Reading {
    entries: Arc<dyn ReadEntries>,
    settle: Settle,
}

impl Reading {
    pub(crate) fn new(entries: Arc<dyn ReadEntries>, settle: Settle) -> Self {
        Self { entries, settle }
    }
}

#[tonic::async_trait]
impl ReadingService for Reading {
    async fn list_own_entries(
        &self,
        request: Request<ListOwnEntriesRequest>,
    ) -> Result<Response<ListOwnEntriesResponse>, Status> {
        let ListOwnEntriesRequest { user_id, limit } = request.into_inner();
        let user = UserId::new(user_id).ok_or_else(|| Refusal::invalid("user_id", "ids are positive numbers"))?;
        if limit < 1 {
            return Err(Refusal::invalid("limit", "at least one entry is asked for").into());
        }
        (self.settle)().await;
        let query = Query { page_size: limit.min(MAX_ENTRIES), ..Query::default() };
        let (entries, _) = self.entries.list(query, Visibility::own(user)).await.map_err(error::listing)?;
        Ok(Response::new(ListOwnEntriesResponse { entries: entries.into_iter().map(convert::entry).collect() }))
    }
}
