//! `coffre.locker.internal.v1.SharingService`: who shares what, what has changed since, and the door of a locker. Internal.

use std::sync::Arc;

use coffre_changes::provider::{Messages, Told};
use coffre_proto::locker::internal::v1::change::Subject as Changed;
use coffre_proto::locker::internal::v1::reserve_entry_response::Disposition;
use coffre_proto::locker::internal::v1::sharing_service_server::SharingService;
use coffre_proto::locker::internal::v1::watch_changes_response::Message;
use coffre_proto::locker::internal::v1::{
    Change, CloseEntryRequest, CloseEntryResponse, CountLockersRequest, CountLockersResponse, DescribeLockerRequest,
    DescribeLockerResponse, Heartbeat, HoldRoleRequest, HoldRoleResponse, InspectRolesRequest, InspectRolesResponse,
    ReserveEntryRequest, ReserveEntryResponse, ResolveSharesRequest, ResolveSharesResponse, RestoreRoleRequest,
    RestoreRoleResponse, RoleShares, Snapshot, UserShares, WatchChangesRequest, WatchChangesResponse,
    hold_role_response,
};
use coffre_types::{Permission, RoleId, UserId};
use tonic::{Request, Response, Status};

use super::convert;
use super::error::status;
use crate::domain::entries::Reservation;
use crate::domain::error::LockerError;
use crate::domain::model::Who;
use crate::domain::ports::{Entry, Subject};
use crate::lockers::Lockers;
use crate::store::shares::Shares;

/// Answers what other services ask about sharing.
pub(crate) struct SharingHandler(pub(crate) Arc<Lockers>);

#[tonic::async_trait]
impl SharingService for SharingHandler {
    type WatchChangesStream = Messages<WatchChangesResponse>;

    async fn resolve_shares(
        &self,
        request: Request<ResolveSharesRequest>,
    ) -> Result<Response<ResolveSharesResponse>, Status> {
        let request = request.into_inner();
        let users = ids(&request.user_ids, convert::user_id, "user_ids").map_err(status)?;
        let roles = ids(&request.role_ids, convert::role_id, "role_ids").map_err(status)?;
        let shares = self.0.shares(users, roles).await.map_err(status)?;
        Ok(Response::new(resolved(&request, &shares)))
    }

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        Ok(Response::new(self.0.hub.stream(self.0.clock.clone(), told).await))
    }

    async fn describe_locker(
        &self,
        request: Request<DescribeLockerRequest>,
    ) -> Result<Response<DescribeLockerResponse>, Status> {
        let id = convert::locker_id("locker_id", request.into_inner().locker_id).map_err(status)?;
        let described = self.0.describe(id).await.map_err(status)?;
        Ok(Response::new(DescribeLockerResponse {
            name: described.locker.name.into_string(),
            members: described.members.into_iter().map(convert::member_to_proto).collect(),
            role_ids: described.consumers.into_iter().map(RoleId::get).collect(),
        }))
    }

    async fn reserve_entry(
        &self,
        request: Request<ReserveEntryRequest>,
    ) -> Result<Response<ReserveEntryResponse>, Status> {
        let request = request.into_inner();
        let entry = entry(request.locker_id, request.credential_id, request.epoch).map_err(status)?;
        let who = who(request.user_id, &request.role_ids, &request.permission_ids).map_err(status)?;
        let (disposition, locker_name) = match self.0.reserve(who, entry).await.map_err(status)? {
            Reservation::Reserved(name) => (Disposition::Reserved, name),
            Reservation::NotFound => (Disposition::NotFound, String::new()),
            Reservation::NotPermitted(name) => (Disposition::NotPermitted, name),
            Reservation::PermissionMissing(name) => (Disposition::PermissionMissing, name),
            Reservation::BeingDeleted(name) => (Disposition::BeingDeleted, name),
        };
        Ok(Response::new(ReserveEntryResponse { disposition: disposition.into(), locker_name }))
    }

    async fn close_entry(&self, request: Request<CloseEntryRequest>) -> Result<Response<CloseEntryResponse>, Status> {
        let request = request.into_inner();
        let entry = entry(request.locker_id, request.credential_id, request.epoch).map_err(status)?;
        self.0.close(entry).await.map_err(status)?;
        Ok(Response::new(CloseEntryResponse {}))
    }

    async fn hold_role(&self, request: Request<HoldRoleRequest>) -> Result<Response<HoldRoleResponse>, Status> {
        let HoldRoleRequest { role_id, attempt } = request.into_inner();
        let role = convert::role_id("role_id", role_id).map_err(status)?;
        let held = self.0.hold_role(role, attempt).await.map_err(status)?;
        let named = held.lockers.into_iter();
        Ok(Response::new(HoldRoleResponse {
            lockers: named.map(|held| hold_role_response::Locker { id: held.id.get(), name: held.name }).collect(),
            total: held.total,
        }))
    }

    async fn restore_role(
        &self,
        request: Request<RestoreRoleRequest>,
    ) -> Result<Response<RestoreRoleResponse>, Status> {
        let RestoreRoleRequest { role_id, attempt } = request.into_inner();
        let role = convert::role_id("role_id", role_id).map_err(status)?;
        self.0.restore_role(role, attempt).await.map_err(status)?;
        Ok(Response::new(RestoreRoleResponse {}))
    }

    async fn inspect_roles(
        &self,
        request: Request<InspectRolesRequest>,
    ) -> Result<Response<InspectRolesResponse>, Status> {
        let roles = ids(&request.into_inner().role_ids, convert::role_id, "role_ids").map_err(status)?;
        let consuming = self.0.inspect(roles).await.map_err(status)?;
        Ok(Response::new(InspectRolesResponse { consuming_role_ids: consuming.into_iter().map(RoleId::get).collect() }))
    }

    async fn count_lockers(
        &self,
        request: Request<CountLockersRequest>,
    ) -> Result<Response<CountLockersResponse>, Status> {
        let CountLockersRequest { user_id, role_ids, permission_ids } = request.into_inner();
        let who = who(user_id, &role_ids, &permission_ids).map_err(status)?;
        let count = self.0.count(who).await.map_err(status)?;
        Ok(Response::new(CountLockersResponse { count }))
    }
}

/// The most ids of a request.
const MAX_IDS: usize = 1000;

fn ids<I>(
    numbers: &[i64],
    read: impl Fn(&str, i64) -> Result<I, LockerError>,
    field: &str,
) -> Result<Vec<I>, LockerError> {
    if numbers.len() > MAX_IDS {
        return Err(LockerError::invalid(field, format!("must be at most {MAX_IDS}")));
    }
    numbers.iter().map(|number| read(field, *number)).collect()
}

/// Whoever asks through another service: a permission that we do not know gives nothing here.
fn who(user: i64, roles: &[i64], permissions: &[i64]) -> Result<Who, LockerError> {
    Ok(Who {
        user: convert::user_id("user_id", user)?,
        roles: ids(roles, convert::role_id, "role_ids")?,
        permissions: permissions.iter().copied().filter_map(Permission::from_id).collect(),
    })
}

fn entry(locker: i64, credential: i64, epoch: i64) -> Result<Entry, LockerError> {
    Ok(Entry {
        locker: convert::locker_id("locker_id", locker)?,
        credential: convert::credential_id("credential_id", credential)?,
        epoch: convert::epoch(epoch)?,
    })
}

fn resolved(request: &ResolveSharesRequest, shares: &Shares) -> ResolveSharesResponse {
    let users = request.user_ids.iter().map(|user_id| {
        let of = shares.users.get(user_id).cloned().unwrap_or_default();
        UserShares { user_id: *user_id, managed_locker_ids: of.managed, participated_locker_ids: of.participated }
    });
    let users = users.collect();
    let roles = request.role_ids.iter().map(|role_id| RoleShares {
        role_id: *role_id,
        locker_ids: shares.roles.get(role_id).cloned().unwrap_or_default(),
    });
    ResolveSharesResponse { sequence: shares.sequence, users, roles: roles.collect() }
}

fn told(told: Told<Subject, ()>) -> WatchChangesResponse {
    let message = match told {
        Told::Snapshot { sequence, state: () } => Message::Snapshot(Snapshot { sequence }),
        Told::Change { sequence, subject, state: () } => {
            let subject = match subject {
                Subject::User(user) => Changed::UserChanged(UserId::get(user)),
                Subject::Role(role) => Changed::RoleChanged(RoleId::get(role)),
            };
            Message::Change(Change { sequence, subject: Some(subject) })
        }
        Told::Heartbeat { sequence, age_ms } => Message::Heartbeat(Heartbeat { sequence, age_ms }),
    };
    WatchChangesResponse { message: Some(message) }
}
