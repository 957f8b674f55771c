//! A locker service that does what it is told, and keeps the rules of entries: a locker is not deleted while a place is reserved in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use coffre_channel::Channel;
use coffre_proto::locker::internal::v1::change::Subject;
use coffre_proto::locker::internal::v1::reserve_entry_response::Disposition;
use coffre_proto::locker::internal::v1::sharing_service_server::SharingService;
use coffre_proto::locker::internal::v1::watch_changes_response::Message;
use coffre_proto::locker::internal::v1::{
    Change, CloseEntryRequest, CloseEntryResponse, CountLockersRequest, CountLockersResponse, DescribeLockerRequest,
    DescribeLockerResponse, Heartbeat, HoldRoleRequest, HoldRoleResponse, ReserveEntryRequest, ReserveEntryResponse,
    ResolveSharesRequest, ResolveSharesResponse, RestoreRoleRequest, RestoreRoleResponse, RoleShares, Snapshot,
    UserShares, WatchChangesRequest, WatchChangesResponse,
};
use coffre_proto::locker::v1::{Member, MemberPermission};
use coffre_proto::vault::internal::v1::contents_service_client::ContentsServiceClient;
use coffre_proto::vault::internal::v1::{CountCredentialsRequest, SettleEntryRequest};
use coffre_types::Permission;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::{Notify, watch};
use tonic::{Request, Response, Status};

/// Where a call of the vault stops, as if one of the two had died there, until it is woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Death {
    BeforeReserve,
    AfterReserve,
    BeforeClose,
}

#[derive(Default)]
struct Locker {
    managers: BTreeSet<i64>,
    participants: BTreeSet<i64>,
    consumers: BTreeSet<i64>,
    deleting: bool,
    deleted: bool,
}

#[derive(Default)]
struct State {
    lockers: BTreeMap<i64, Locker>,
    changes: Vec<Subject>,
    reserved: BTreeSet<(i64, i64, i64)>,
    death: Option<Death>,
    /// Deletes this locker in the middle of a reservation, once.
    delete_while_reserving: Option<i64>,
    /// Settles the place that was just reserved, that many times.
    settle_while_reserving: usize,
    silent: bool,
    asked: usize,
    stopped: usize,
    streams: usize,
    streams_refused: usize,
    contents: Option<Channel>,
}

/// A fake. Clones share it.
#[derive(Clone)]
pub(crate) struct FakeLocker {
    state: Arc<Mutex<State>>,
    told: watch::Sender<usize>,
    woken: Arc<Notify>,
}

impl Default for FakeLocker {
    fn default() -> Self {
        Self { state: Arc::default(), told: watch::Sender::new(0), woken: Arc::default() }
    }
}

impl FakeLocker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes something and tells whoever watches.
    fn change<T>(&self, locker: i64, subject: Subject, change: impl FnOnce(&mut Locker) -> T) {
        let changes = {
            let mut state = self.state();
            let _ = change(state.lockers.entry(locker).or_default());
            state.changes.push(subject);
            state.changes.len()
        };
        self.told.send_replace(changes);
    }

    pub(crate) fn manager(&self, locker: i64, user: i64) {
        self.change(locker, Subject::UserChanged(user), |locker| locker.managers.insert(user));
    }

    pub(crate) fn participant(&self, locker: i64, user: i64) {
        self.change(locker, Subject::UserChanged(user), |locker| locker.participants.insert(user));
    }

    pub(crate) fn remove(&self, locker: i64, user: i64) {
        self.change(locker, Subject::UserChanged(user), |locker| {
            locker.managers.remove(&user);
            locker.participants.remove(&user);
        });
    }

    pub(crate) fn consumer(&self, locker: i64, role: i64) {
        self.change(locker, Subject::RoleChanged(role), |locker| locker.consumers.insert(role));
    }

    pub(crate) fn remove_consumer(&self, locker: i64, role: i64) {
        self.change(locker, Subject::RoleChanged(role), |locker| locker.consumers.remove(&role));
    }

    /// Answers nothing any more, or again.
    pub(crate) fn silence(&self, silent: bool) {
        self.state().silent = silent;
    }

    /// Says how many changes there were.
    pub(crate) fn changes(&self) -> i64 {
        i64::try_from(self.state().changes.len()).unwrap()
    }

    /// Says how often its changes were begun to be followed; each time voids what was kept.
    pub(crate) fn streams(&self) -> usize {
        self.state().streams
    }

    /// Says how often shares were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }

    pub(crate) fn die(&self, death: Option<Death>) {
        self.state().death = death;
    }

    pub(crate) fn delete_while_reserving(&self, locker: i64) {
        self.state().delete_while_reserving = Some(locker);
    }

    pub(crate) fn settle_while_reserving(&self, times: usize) {
        self.state().settle_while_reserving = times;
    }

    async fn stop(&self) {
        self.state().stopped += 1;
        self.woken.notified().await;
    }

    /// Says how many calls have stopped so far.
    pub(crate) fn stopped(&self) -> usize {
        self.state().stopped
    }

    /// Wakes the call that stopped first.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Says that nobody hears it: it is silent, and the stream that was open has ended.
    pub(crate) fn is_unheard(&self) -> bool {
        self.state().streams_refused > 0
    }

    pub(crate) fn reserved(&self) -> usize {
        self.state().reserved.len()
    }

    pub(crate) fn is_deleted(&self, locker: i64) -> bool {
        self.state().lockers[&locker].deleted
    }

    /// Says where to ask about contents.
    pub(crate) fn contents(&self, vault: Channel) {
        self.state().contents = Some(vault);
    }

    async fn settle(&self, (locker, credential, epoch): (i64, i64, i64)) {
        let vault = self.state().contents.clone().unwrap();
        let settle = SettleEntryRequest { credential_id: credential, epoch };
        ContentsServiceClient::new(vault).settle_entry(settle).await.unwrap();
        self.state().reserved.remove(&(locker, credential, epoch));
    }

    /// Deletes a locker as the service does: marked, every place settled, counted. Says whether it went.
    pub(crate) async fn delete(&self, locker: i64) -> bool {
        let (places, vault) = {
            let mut state = self.state();
            let found = state.lockers.get_mut(&locker).unwrap();
            if found.deleted {
                return true;
            }
            found.deleting = true;
            let places: Vec<_> = state.reserved.iter().copied().filter(|place| place.0 == locker).collect();
            (places, state.contents.clone().unwrap())
        };
        for place in places {
            self.settle(place).await;
        }
        let count = CountCredentialsRequest { locker_ids: vec![locker] };
        let counts = ContentsServiceClient::new(vault).count_credentials(count).await.unwrap().into_inner().counts;
        let mut state = self.state();
        let found = state.lockers.get_mut(&locker).unwrap();
        found.deleting = false;
        found.deleted |= counts == [0];
        found.deleted
    }

    fn speaking(&self) -> Result<MutexGuard<'_, State>, Status> {
        let state = self.state();
        if state.silent { Err(Status::unavailable("silent")) } else { Ok(state) }
    }
}

fn heartbeat(sequence: i64) -> WatchChangesResponse {
    WatchChangesResponse { message: Some(Message::Heartbeat(Heartbeat { sequence, age_ms: 0 })) }
}

#[tonic::async_trait]
impl SharingService for FakeLocker {
    type WatchChangesStream = BoxStream<'static, Result<WatchChangesResponse, Status>>;

    async fn resolve_shares(
        &self,
        request: Request<ResolveSharesRequest>,
    ) -> Result<Response<ResolveSharesResponse>, Status> {
        let asked = request.into_inner();
        let mut state = self.speaking()?;
        state.asked += 1;
        let those = |wanted: &dyn Fn(&Locker) -> bool| -> Vec<i64> {
            state.lockers.iter().filter(|(_, locker)| !locker.deleted && wanted(locker)).map(|(id, _)| *id).collect()
        };
        let users = asked.user_ids.iter().map(|user| UserShares {
            user_id: *user,
            managed_locker_ids: those(&|locker| locker.managers.contains(user)),
            participated_locker_ids: those(&|locker| {
                locker.participants.contains(user) && !locker.managers.contains(user)
            }),
        });
        let roles = asked
            .role_ids
            .iter()
            .map(|role| RoleShares { role_id: *role, locker_ids: those(&|locker| locker.consumers.contains(role)) });
        let sequence = i64::try_from(state.changes.len()).unwrap();
        Ok(Response::new(ResolveSharesResponse { sequence, users: users.collect(), roles: roles.collect() }))
    }

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let begun = self.speaking().map(|state| state.changes.len());
        let begun = begun.inspect_err(|_| self.state().streams_refused += 1)?;
        self.state().streams += 1;
        let first = Snapshot { sequence: i64::try_from(begun).unwrap() };
        let first = [
            WatchChangesResponse { message: Some(Message::Snapshot(first)) },
            heartbeat(i64::try_from(begun).unwrap()),
        ];
        let follow = (self.clone(), self.told.subscribe(), begun);
        let rest = futures_util::stream::unfold(follow, |(fake, mut told, mut sent)| async move {
            // Something changed, or it is time to say that nothing did.
            let _ = tokio::time::timeout(Duration::from_millis(100), told.wait_for(|changes| *changes > sent)).await;
            let mut said = Vec::new();
            {
                let state = fake.speaking().ok()?;
                for subject in &state.changes[sent..] {
                    sent += 1;
                    let change = Change { sequence: i64::try_from(sent).unwrap(), subject: Some(*subject) };
                    said.push(WatchChangesResponse { message: Some(Message::Change(change)) });
                }
            }
            said.push(heartbeat(i64::try_from(sent).unwrap()));
            Some((futures_util::stream::iter(said), (fake, told, sent)))
        });
        let stream = futures_util::stream::iter(first).chain(rest.flatten()).map(Ok);
        Ok(Response::new(stream.boxed()))
    }

    async fn describe_locker(
        &self,
        request: Request<DescribeLockerRequest>,
    ) -> Result<Response<DescribeLockerResponse>, Status> {
        let id = request.into_inner().locker_id;
        let state = self.speaking()?;
        let Some(locker) = state.lockers.get(&id).filter(|locker| !locker.deleted) else {
            return Err(coffre_error::Refusal::new(coffre_error::Reason::LockerNotFound, "no such locker").into());
        };
        let member = |user: &i64, permissions: &[MemberPermission]| Member {
            user_id: *user,
            permissions: permissions.iter().map(|permission| i32::from(*permission)).collect(),
        };
        let managers =
            locker.managers.iter().map(|user| member(user, &[MemberPermission::Participate, MemberPermission::Manage]));
        let participants = locker.participants.difference(&locker.managers);
        let participants = participants.map(|user| member(user, &[MemberPermission::Participate]));
        let mut members: Vec<_> = managers.chain(participants).collect();
        members.sort_by_key(|member| member.user_id);
        let role_ids = locker.consumers.iter().copied().collect();
        Ok(Response::new(DescribeLockerResponse { name: format!("locker{id}"), members, role_ids }))
    }

    async fn reserve_entry(
        &self,
        request: Request<ReserveEntryRequest>,
    ) -> Result<Response<ReserveEntryResponse>, Status> {
        let entry = request.into_inner();
        let place = (entry.locker_id, entry.credential_id, entry.epoch);
        let death = self.speaking()?.death;
        if death == Some(Death::BeforeReserve) {
            self.stop().await;
        }
        let disposition = {
            let mut state = self.state();
            match state.lockers.get(&entry.locker_id).filter(|locker| !locker.deleted) {
                None => Disposition::NotFound,
                Some(locker) => {
                    let member =
                        locker.managers.contains(&entry.user_id) || locker.participants.contains(&entry.user_id);
                    let consumes = entry.role_ids.iter().any(|role| locker.consumers.contains(role));
                    let manages = entry.permission_ids.contains(&Permission::ManageMyLockers.id());
                    match (member, consumes) {
                        (true, _) if !manages => Disposition::PermissionMissing,
                        (true, _) if locker.deleting => Disposition::BeingDeleted,
                        (true, _) => {
                            state.reserved.insert(place);
                            Disposition::Reserved
                        }
                        (false, true) => Disposition::NotPermitted,
                        (false, false) => Disposition::NotFound,
                    }
                }
            }
        };
        if death == Some(Death::AfterReserve) {
            self.stop().await;
        }
        let (settle, delete) = {
            let mut state = self.state();
            let settle = state.settle_while_reserving > 0;
            state.settle_while_reserving = state.settle_while_reserving.saturating_sub(1);
            (settle, state.delete_while_reserving.take())
        };
        if settle {
            self.settle(place).await;
        }
        if let Some(locker) = delete {
            assert!(self.delete(locker).await, "nothing is in it");
        }
        let locker_name = format!("locker{}", entry.locker_id);
        Ok(Response::new(ReserveEntryResponse { disposition: disposition.into(), locker_name }))
    }

    async fn close_entry(&self, request: Request<CloseEntryRequest>) -> Result<Response<CloseEntryResponse>, Status> {
        let entry = request.into_inner();
        let death = self.speaking()?.death;
        if death == Some(Death::BeforeClose) {
            self.stop().await;
        }
        self.state().reserved.remove(&(entry.locker_id, entry.credential_id, entry.epoch));
        Ok(Response::new(CloseEntryResponse {}))
    }

    async fn hold_role(&self, _: Request<HoldRoleRequest>) -> Result<Response<HoldRoleResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn restore_role(&self, _: Request<RestoreRoleRequest>) -> Result<Response<RestoreRoleResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn inspect_roles(
        &self,
        _: Request<coffre_proto::locker::internal::v1::InspectRolesRequest>,
    ) -> Result<Response<coffre_proto::locker::internal::v1::InspectRolesResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn count_lockers(
        &self,
        request: Request<CountLockersRequest>,
    ) -> Result<Response<CountLockersResponse>, Status> {
        let asked = request.into_inner();
        let state = self.speaking()?;
        let has = |permission: Permission| asked.permission_ids.contains(&permission.id());
        let seen = state.lockers.values().filter(|locker| {
            let member = locker.managers.contains(&asked.user_id) || locker.participants.contains(&asked.user_id);
            let consumes = asked.role_ids.iter().any(|role| locker.consumers.contains(role));
            let seen = has(Permission::AdministerAllLockers)
                || member && has(Permission::ManageMyLockers)
                || consumes && has(Permission::ManageMyCredentials);
            !locker.deleted && seen
        });
        Ok(Response::new(CountLockersResponse { count: i64::try_from(seen.count()).unwrap() }))
    }
}
