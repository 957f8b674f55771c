//! A service that keeps things of users, as vault and locker do, and fails where the test wants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_channel::Channel;
use coffre_error::{Reason, Refusal};
use coffre_proto::holdings::internal::v1::holdings_service_server::{HoldingsService, HoldingsServiceServer};
use coffre_proto::holdings::internal::v1::*;
use coffre_proto::locker::internal::v1::sharing_service_server::{SharingService, SharingServiceServer};
use coffre_proto::locker::internal::v1::{
    CloseEntryRequest, CloseEntryResponse, DescribeLockerRequest, DescribeLockerResponse, HoldRoleRequest,
    HoldRoleResponse, InspectRolesRequest, InspectRolesResponse, ReserveEntryRequest, ReserveEntryResponse,
    ResolveSharesRequest, ResolveSharesResponse, RestoreRoleRequest, RestoreRoleResponse, WatchChangesRequest,
    WatchChangesResponse, hold_role_response,
};
use tokio::sync::Notify;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// How a call of a keeper fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fails {
    /// It never came.
    Before,
    /// It was done, and the answer was lost.
    After,
    /// It never came, and nobody says so: whoever asked dies while waiting.
    Hangs,
    /// It was done, and whoever asked dies before the answer, or waits for [`FakeKeeper::go`].
    HangsAfter,
}

/// The fence of one subject, with the rules of the contract.
#[derive(Clone, Copy, Default, Debug)]
struct Fence {
    attempt: i64,
    held: bool,
}

#[derive(Default)]
struct State {
    held: Vec<Holding>,
    fences: HashMap<i64, Fence>,
    calls: Vec<(&'static str, i64)>,
    fails: Option<(&'static str, Fails, usize)>,
    waiting: usize,
    askers: Vec<Asker>,
    departed: Vec<i64>,
    consuming: Vec<i64>,
}

/// What it says and does.
#[derive(Clone, Default)]
pub struct FakeKeeper(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    go: Notify,
}

impl FakeKeeper {
    pub fn channel(&self) -> Channel {
        let routes = Routes::new(HoldingsServiceServer::new(self.clone()));
        Channel::in_process(routes.add_service(SharingServiceServer::new(self.clone())).prepare())
    }

    /// Says what everybody holds here, or what every role consumes.
    pub fn holds(&self, names: &[&str]) {
        let held = names.iter().zip(1..).map(|(name, id)| Holding { id, name: (*name).to_owned() });
        self.0.state.lock().unwrap().held = held.collect();
    }

    pub fn holds_many(&self, count: i64) {
        self.0.state.lock().unwrap().held = (1..=count).map(|id| Holding { id, name: format!("thing {id}") }).collect();
    }

    pub fn left(&self) -> usize {
        self.0.state.lock().unwrap().held.len()
    }

    /// Has a call fail from now on.
    pub fn fail(&self, call: &'static str, how: Fails) {
        self.fail_after(call, how, 0);
    }

    /// Has a call fail once it was answered some times.
    pub fn fail_after(&self, call: &'static str, how: Fails, answered: usize) {
        let mut state = self.0.state.lock().unwrap();
        state.fails = Some((call, how, answered));
        state.waiting = 0;
    }

    pub fn mend(&self) {
        self.0.state.lock().unwrap().fails = None;
    }

    /// Says that a user can be given nothing.
    pub fn departs(&self, user: i64) {
        self.0.state.lock().unwrap().departed.push(user);
    }

    /// Says which roles consume lockers.
    pub fn consumes(&self, roles: &[i64]) {
        self.0.state.lock().unwrap().consuming = roles.to_vec();
    }

    /// Waits until a call hangs.
    pub async fn hangs(&self) {
        while self.0.state.lock().unwrap().waiting == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets a call that hangs after it was done have its answer.
    pub fn go(&self) {
        self.0.go.notify_one();
    }

    /// The calls since the last time, with their subjects.
    pub fn calls(&self) -> Vec<(&'static str, i64)> {
        std::mem::take(&mut self.0.state.lock().unwrap().calls)
    }

    /// In whose names it was called since the last time.
    pub fn askers(&self) -> Vec<Asker> {
        std::mem::take(&mut self.0.state.lock().unwrap().askers)
    }

    /// Says whether a subject can be given nothing.
    pub fn is_held(&self, subject: i64) -> bool {
        self.0.state.lock().unwrap().fences.get(&subject).is_some_and(|fence| fence.held)
    }

    async fn answer<T>(
        &self,
        call: &'static str,
        subject: i64,
        act: impl FnOnce(&mut State) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let (how, answer) = {
            let mut state = self.0.state.lock().unwrap();
            state.calls.push((call, subject));
            let how = match &mut state.fails {
                Some((failing, how, 0)) if *failing == call => Some(*how),
                Some((failing, _, left)) if *failing == call => {
                    *left -= 1;
                    None
                }
                _ => None,
            };
            let acts = !matches!(how, Some(Fails::Before | Fails::Hangs));
            let answer = acts.then(|| act(&mut state));
            state.waiting += usize::from(matches!(how, Some(Fails::Hangs | Fails::HangsAfter)));
            (how, answer)
        };
        match (how, answer) {
            (None, Some(answer)) => answer.map(Response::new),
            (Some(Fails::HangsAfter), Some(answer)) => {
                self.0.go.notified().await;
                answer.map(Response::new)
            }
            (Some(Fails::Hangs), _) => std::future::pending().await,
            _ => Err(Status::unavailable("gone")),
        }
    }
}

impl State {
    fn hold(&mut self, subject: i64, attempt: i64) -> Result<(Vec<Holding>, i64), Status> {
        let total = i64::try_from(self.held.len()).unwrap();
        let fence = self.fences.entry(subject).or_default();
        let late = fence.attempt > attempt || (fence.attempt == attempt && !fence.held);
        if total == 0 && late {
            return Err(Refusal::new(Reason::StoreConflict, "a later attempt was here").into());
        }
        if total == 0 {
            *fence = Fence { attempt, held: true };
        }
        Ok((self.held.iter().take(100).cloned().collect(), total))
    }

    fn restore(&mut self, subject: i64, attempt: i64) {
        let fence = self.fences.entry(subject).or_default();
        if attempt >= fence.attempt {
            *fence = Fence { attempt, held: false };
        }
    }
}

#[tonic::async_trait]
impl HoldingsService for FakeKeeper {
    async fn list_holdings(
        &self,
        request: Request<ListHoldingsRequest>,
    ) -> Result<Response<ListHoldingsResponse>, Status> {
        self.answer("list", request.into_inner().user_id, |state| {
            let total = i64::try_from(state.held.len()).unwrap();
            Ok(ListHoldingsResponse { holdings: state.held.iter().take(1000).cloned().collect(), total })
        })
        .await
    }

    async fn hold_user(&self, request: Request<HoldUserRequest>) -> Result<Response<HoldUserResponse>, Status> {
        let HoldUserRequest { user_id, attempt } = request.into_inner();
        self.answer("hold", user_id, |state| {
            let (holdings, total) = state.hold(user_id, attempt)?;
            Ok(HoldUserResponse { holdings, total })
        })
        .await
    }

    async fn restore_user(
        &self,
        request: Request<RestoreUserRequest>,
    ) -> Result<Response<RestoreUserResponse>, Status> {
        let RestoreUserRequest { user_id, attempt } = request.into_inner();
        self.answer("restore", user_id, |state| {
            state.restore(user_id, attempt);
            Ok(RestoreUserResponse {})
        })
        .await
    }

    async fn release_user(
        &self,
        request: Request<ReleaseUserRequest>,
    ) -> Result<Response<ReleaseUserResponse>, Status> {
        let ReleaseUserRequest { user_id, asker } = request.into_inner();
        self.answer("release", user_id, |state| {
            state.askers.extend(asker);
            Ok(ReleaseUserResponse {})
        })
        .await
    }

    async fn transfer_holdings(
        &self,
        request: Request<TransferHoldingsRequest>,
    ) -> Result<Response<TransferHoldingsResponse>, Status> {
        let request = request.into_inner();
        self.answer("transfer", request.user_id, |state| {
            if state.departed.contains(&request.recipient_id) {
                return Err(Refusal::new(Reason::UserNotFound, "it leaves").into());
            }
            state.askers.extend(request.asker);
            let part = state.held.len().min(100);
            let ids = state.held.drain(..part).map(|held| held.id).collect();
            Ok(TransferHoldingsResponse { ids, remaining: i64::try_from(state.held.len()).unwrap() })
        })
        .await
    }
}

#[tonic::async_trait]
impl SharingService for FakeKeeper {
    type WatchChangesStream = coffre_changes::provider::Messages<WatchChangesResponse>;

    async fn hold_role(&self, request: Request<HoldRoleRequest>) -> Result<Response<HoldRoleResponse>, Status> {
        let HoldRoleRequest { role_id, attempt } = request.into_inner();
        self.answer("hold role", role_id, |state| {
            let (held, total) = state.hold(role_id, attempt)?;
            let lockers = held.into_iter().map(|held| hold_role_response::Locker { id: held.id, name: held.name });
            Ok(HoldRoleResponse { lockers: lockers.collect(), total })
        })
        .await
    }

    async fn restore_role(
        &self,
        request: Request<RestoreRoleRequest>,
    ) -> Result<Response<RestoreRoleResponse>, Status> {
        let RestoreRoleRequest { role_id, attempt } = request.into_inner();
        self.answer("restore role", role_id, |state| {
            state.restore(role_id, attempt);
            Ok(RestoreRoleResponse {})
        })
        .await
    }

    async fn resolve_shares(
        &self,
        _: Request<ResolveSharesRequest>,
    ) -> Result<Response<ResolveSharesResponse>, Status> {
        Err(Status::unimplemented("auth never asks"))
    }

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        Err(Status::unimplemented("auth never asks"))
    }

    async fn describe_locker(
        &self,
        _: Request<DescribeLockerRequest>,
    ) -> Result<Response<DescribeLockerResponse>, Status> {
        Err(Status::unimplemented("auth never asks"))
    }

    async fn reserve_entry(&self, _: Request<ReserveEntryRequest>) -> Result<Response<ReserveEntryResponse>, Status> {
        Err(Status::unimplemented("auth never asks"))
    }

    async fn close_entry(&self, _: Request<CloseEntryRequest>) -> Result<Response<CloseEntryResponse>, Status> {
        Err(Status::unimplemented("auth never asks"))
    }

    async fn inspect_roles(
        &self,
        request: Request<InspectRolesRequest>,
    ) -> Result<Response<InspectRolesResponse>, Status> {
        let roles = request.into_inner().role_ids;
        self.answer("inspect", roles[0], |state| {
            let consuming_role_ids = roles.iter().copied().filter(|role| state.consuming.contains(role)).collect();
            Ok(InspectRolesResponse { consuming_role_ids })
        })
        .await
    }

    async fn count_lockers(
        &self,
        _: Request<coffre_proto::locker::internal::v1::CountLockersRequest>,
    ) -> Result<Response<coffre_proto::locker::internal::v1::CountLockersResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
