//! Every public RPC, who may call it, and what the audit calls it. What is not here is denied.

use coffre_proto::audit::v1::ActivityType;
use coffre_rpc::{Access, InternalRpc, Rpc, Service};
use coffre_types::Permission;

const fn row(path: &'static str, access: Access, event: &'static str, activity: ActivityType) -> Rpc {
    Rpc { path, access, event, activity }
}

/// One row for each public RPC of the lockers.
pub const RPCS: &[Rpc] = &[
    row(
        "/coffre.locker.v1.LockerService/CreateLocker",
        Access::Permission(Permission::ManageMyLockers),
        "locker.created",
        ActivityType::AddLocker,
    ),
    row("/coffre.locker.v1.LockerService/GetLocker", Access::Caller, "locker.read", ActivityType::ReadLocker),
    row("/coffre.locker.v1.LockerService/ListLockers", Access::Caller, "locker.listed", ActivityType::ReadLocker),
    row("/coffre.locker.v1.LockerService/UpdateLocker", Access::Caller, "locker.updated", ActivityType::UpdateLocker),
    row("/coffre.locker.v1.LockerService/DeleteLocker", Access::Caller, "locker.deleted", ActivityType::DeleteLocker),
    row(
        "/coffre.locker.v1.LockerService/ListMembers",
        Access::Caller,
        "locker.member.listed",
        ActivityType::ReadLocker,
    ),
    row("/coffre.locker.v1.LockerService/SetMember", Access::Caller, "locker.member.set", ActivityType::UpdateLocker),
    row(
        "/coffre.locker.v1.LockerService/RemoveMember",
        Access::Caller,
        "locker.member.removed",
        ActivityType::UpdateLocker,
    ),
    row(
        "/coffre.locker.v1.LockerService/ListConsumers",
        Access::Caller,
        "locker.consumer.listed",
        ActivityType::ReadLocker,
    ),
    row(
        "/coffre.locker.v1.LockerService/AddConsumer",
        Access::Caller,
        "locker.consumer.added",
        ActivityType::UpdateLocker,
    ),
    row(
        "/coffre.locker.v1.LockerService/RemoveConsumer",
        Access::Caller,
        "locker.consumer.removed",
        ActivityType::UpdateLocker,
    ),
];

const fn internal(path: &'static str, callers: &'static [Service]) -> InternalRpc {
    InternalRpc { path, callers }
}

/// One row for each internal RPC: which other services may call it.
pub const INTERNAL_RPCS: &[InternalRpc] = &[
    internal("/coffre.locker.internal.v1.SharingService/ResolveShares", &[Service::Vault]),
    internal("/coffre.locker.internal.v1.SharingService/WatchChanges", &[Service::Vault]),
    internal("/coffre.locker.internal.v1.SharingService/DescribeLocker", &[Service::Vault]),
    internal("/coffre.locker.internal.v1.SharingService/ReserveEntry", &[Service::Vault]),
    internal("/coffre.locker.internal.v1.SharingService/CloseEntry", &[Service::Vault]),
    internal("/coffre.locker.internal.v1.SharingService/HoldRole", &[Service::Auth]),
    internal("/coffre.locker.internal.v1.SharingService/RestoreRole", &[Service::Auth]),
    internal("/coffre.locker.internal.v1.SharingService/InspectRoles", &[Service::Auth]),
    internal("/coffre.locker.internal.v1.SharingService/CountLockers", &[Service::Vault]),
    internal("/coffre.holdings.internal.v1.HoldingsService/ListHoldings", &[Service::Auth]),
    internal("/coffre.holdings.internal.v1.HoldingsService/HoldUser", &[Service::Auth]),
    internal("/coffre.holdings.internal.v1.HoldingsService/RestoreUser", &[Service::Auth]),
    internal("/coffre.holdings.internal.v1.HoldingsService/ReleaseUser", &[Service::Auth]),
    internal("/coffre.holdings.internal.v1.HoldingsService/TransferHoldings", &[Service::Auth]),
];
