//! What the vault asks locker, besides shares: who shares a locker, a place for a credential that enters one, and how many
//! a caller sees.

use std::time::Duration;

use coffre_channel::Channel;
use coffre_error::{Reason, Refusal};
use coffre_proto::locker::internal::v1::reserve_entry_response::Disposition;
use coffre_proto::locker::internal::v1::sharing_service_client::SharingServiceClient;
use coffre_proto::locker::internal::v1::{
    CloseEntryRequest, CountLockersRequest, DescribeLockerRequest, ReserveEntryRequest,
};
use coffre_proto::locker::v1::MemberPermission;
use coffre_types::{Caller, LockerId, Permission, RoleId, UserId};
use tokio::time::timeout;
use tonic::Status;

use crate::domain::access::LockerSharers;
use crate::domain::contents::Entry;
use crate::domain::error::VaultError;
use crate::domain::policy::Standing;

/// How long locker may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// The way to locker. Clones share it.
#[derive(Clone)]
pub struct Lockers {
    client: SharingServiceClient<Channel>,
}

impl Lockers {
    /// Takes the way to locker's internal side.
    #[must_use]
    pub fn new(locker: Channel) -> Self {
        Self { client: SharingServiceClient::new(locker) }
    }

    /// Returns who shares a locker.
    ///
    /// # Errors
    /// `LockerNotFound`, `LockerUnavailable`.
    pub async fn describe(&self, locker: LockerId) -> Result<LockerSharers, VaultError> {
        let request = DescribeLockerRequest { locker_id: locker.get() };
        let answer = timeout(ANSWER, self.client.clone().describe_locker(request)).await;
        let found = match answer {
            Ok(Ok(found)) => found.into_inner(),
            Ok(Err(status)) if Refusal::from_status(&status).reason() == Reason::LockerNotFound => {
                return Err(VaultError::LockerNotFound(locker));
            }
            Ok(Err(status)) => return Err(unavailable(Some(&status))),
            Err(_) => return Err(unavailable(None)),
        };
        let members = found.members.into_iter().map(|member| {
            let manages = member.permissions().any(|permission| match permission {
                MemberPermission::Own | MemberPermission::Manage => true,
                MemberPermission::Participate | MemberPermission::Unspecified => false,
            });
            let standing = if manages { Standing::Manager } else { Standing::Participant };
            (UserId::from_trusted(member.user_id), standing)
        });
        Ok(LockerSharers {
            id: locker,
            name: found.name,
            members: members.collect(),
            consumers: found.role_ids.into_iter().map(RoleId::from_trusted).collect(),
        })
    }

    /// Counts the lockers that a caller sees.
    ///
    /// # Errors
    /// `LockerUnavailable`.
    pub async fn count(&self, caller: &Caller) -> Result<i64, VaultError> {
        let request = CountLockersRequest {
            user_id: caller.user_id.get(),
            role_ids: caller.roles.iter().map(|role| role.get()).collect(),
            permission_ids: caller.permissions.iter().map(Permission::id).collect(),
        };
        match timeout(ANSWER, self.client.clone().count_lockers(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().count),
            Ok(Err(status)) => Err(unavailable(Some(&status))),
            Err(_) => Err(unavailable(None)),
        }
    }

    /// Reserves a place for a credential and returns the locker's name. Until the place is given up the locker is not deleted.
    ///
    /// # Errors
    /// `LockerNotFound`, `LockerNotPermitted`, `PermissionRequired`, `LockerBeingDeleted`, `LockerUnavailable`.
    pub async fn reserve(&self, entry: Entry, caller: &Caller) -> Result<String, VaultError> {
        let request = ReserveEntryRequest {
            locker_id: entry.locker.get(),
            credential_id: entry.credential.get(),
            epoch: entry.epoch,
            user_id: caller.user_id.get(),
            role_ids: caller.roles.iter().map(|role| role.get()).collect(),
            permission_ids: caller.permissions.iter().map(Permission::id).collect(),
        };
        let answer = match timeout(ANSWER, self.client.clone().reserve_entry(request)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(unavailable(Some(&status))),
            Err(_) => return Err(unavailable(None)),
        };
        match answer.disposition() {
            Disposition::Reserved => Ok(answer.locker_name),
            Disposition::NotFound => Err(VaultError::LockerNotFound(entry.locker)),
            Disposition::NotPermitted => Err(VaultError::LockerNotPermitted(entry.locker)),
            Disposition::PermissionMissing => Err(VaultError::PermissionRequired(Standing::Participant.base())),
            Disposition::BeingDeleted => Err(VaultError::LockerBeingDeleted(entry.locker)),
            Disposition::Unspecified => Err(unavailable(None)),
        }
    }

    /// Gives a reserved place up. Where locker does not hear of it, it settles the place itself later.
    pub async fn close(&self, entry: Entry) {
        let request = CloseEntryRequest {
            locker_id: entry.locker.get(),
            credential_id: entry.credential.get(),
            epoch: entry.epoch,
        };
        if !matches!(timeout(ANSWER, self.client.clone().close_entry(request)).await, Ok(Ok(_))) {
            tracing::info!(locker_id = %entry.locker, credential_id = %entry.credential, "locker settles an entry later");
        }
    }
}

fn unavailable(status: Option<&Status>) -> VaultError {
    tracing::warn!(code = ?status.map(Status::code), "locker did not answer");
    VaultError::LockerUnavailable
}
