//! An audit that knows the entries it is told.

use std::sync::{Arc, Mutex};

use coffre_proto::audit::internal::v1::reading_service_server::ReadingService;
use coffre_proto::audit::internal::v1::{
    GetNewestTermRequest, GetNewestTermResponse, ListOwnEntriesRequest, ListOwnEntriesResponse,
};
use coffre_proto::audit::v1::{Actor, Entry, Event};
use tonic::{Request, Response, Status};

/// A fake. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct FakeAudit(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    silent: bool,
    newest_term: i64,
}

impl FakeAudit {
    /// Records an entry about a call of a user.
    pub(crate) fn record(&self, user: i64, description: &str) {
        let actor = Actor { user_id: user, ..Actor::default() };
        let event = Some(Event { actor: Some(actor), ..Event::default() });
        self.0.lock().unwrap().entries.push(Entry { description: description.into(), event, ..Entry::default() });
    }

    /// Tells of this term of the vault's keys as the newest.
    pub(crate) fn newest_term(&self, term: i64) {
        self.0.lock().unwrap().newest_term = term;
    }

    /// Answers nothing any more, or again.
    pub(crate) fn silence(&self, silent: bool) {
        self.0.lock().unwrap().silent = silent;
    }
}

#[tonic::async_trait]
impl ReadingService for FakeAudit {
    async fn list_own_entries(
        &self,
        request: Request<ListOwnEntriesRequest>,
    ) -> Result<Response<ListOwnEntriesResponse>, Status> {
        let ListOwnEntriesRequest { user_id, limit } = request.into_inner();
        let state = self.0.lock().unwrap();
        if state.silent {
            return Err(Status::unavailable("silent"));
        }
        let of = |entry: &&Entry| {
            let event = entry.event.as_ref();
            event.and_then(|event| event.actor.as_ref()).is_some_and(|actor| actor.user_id == user_id)
        };
        let limit = usize::try_from(limit).unwrap();
        let entries = state.entries.iter().rev().filter(of).take(limit).cloned().collect();
        Ok(Response::new(ListOwnEntriesResponse { entries }))
    }

    async fn get_newest_term(
        &self,
        _: Request<GetNewestTermRequest>,
    ) -> Result<Response<GetNewestTermResponse>, Status> {
        let state = self.0.lock().unwrap();
        if state.silent {
            return Err(Status::unavailable("silent"));
        }
        Ok(Response::new(GetNewestTermResponse { term: state.newest_term }))
    }
}
