//! `coffre.audit.internal.v1.ReadingService`: the record, read on behalf of a caller whom another service knows. Internal.

use std::sync::Arc;

use coffre_error::Refusal;
use coffre_proto::audit::internal::v1::reading_service_server::ReadingService;
use coffre_proto::audit::internal::v1::{
    GetNewestTermRequest, GetNewestTermResponse, ListOwnEntriesRequest, ListOwnEntriesResponse,
};
use coffre_proto::audit::v1::{Event, Outcome};
use coffre_proto::query::v1::{Comparison, Filter, Query, comparison, filter};
use coffre_types::UserId;
use tonic::{Request, Response, Status};

use super::{convert, error};
use crate::app::Settle;
use crate::domain::ports::ReadEntries;
use crate::domain::visibility::Visibility;

/// The most entries of one answer.
const MAX_ENTRIES: i32 = 100;

/// The events of the vault that tell which term is the newest: those that begin one, and the end of what follows.
const TERM_EVENTS: [&str; 4] =
    ["vault.rotation.started", "vault.rotation.ended", "vault.mode.changed", "vault.recovery_key.replaced"];

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

    async fn get_newest_term(
        &self,
        _: Request<GetNewestTermRequest>,
    ) -> Result<Response<GetNewestTermResponse>, Status> {
        (self.settle)().await;
        let mut newest = 0;
        for name in TERM_EVENTS {
            let filter = Filter {
                condition: Some(filter::Condition::Comparison(Comparison {
                    operator: comparison::Operator::Equal.into(),
                    field: "event".to_owned(),
                    value: name.to_owned(),
                })),
            };
            // Several of the last, because clocks of replicas differ, and an entry may tell of no new term.
            let query = Query { filter: Some(filter), page_size: MAX_ENTRIES, ..Query::default() };
            let (entries, _) = self.entries.list(query, Visibility::of_log()).await.map_err(error::listing)?;
            newest = entries.iter().filter_map(|entry| term_of(&entry.event)).fold(newest, i64::max);
        }
        Ok(Response::new(GetNewestTermResponse { term: newest }))
    }
}

/// Returns the term that an event tells of. A change that did not happen tells of none.
fn term_of(event: &Event) -> Option<i64> {
    let told = event.service == "vault"
        && event.outcome() == Outcome::Successful
        && TERM_EVENTS.contains(&event.event.as_str());
    let detail = event.details.iter().find(|detail| detail.key == "term").filter(|_| told);
    detail.and_then(|detail| detail.value.parse().ok())
}
