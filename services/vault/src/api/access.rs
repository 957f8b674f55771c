//! Every public RPC, who may call it, and what the audit calls it. What is not here is denied.

use coffre_proto::audit::v1::ActivityType;
use coffre_rpc::{Access, InternalRpc, Rpc, Service};
use coffre_types::Permission;

const fn row(path: &'static str, access: Access, event: &'static str, activity: ActivityType) -> Rpc {
    Rpc { path, access, event, activity }
}

/// One row for each public RPC of the vault.
pub const RPCS: &[Rpc] = &[
    row(
        "/coffre.vault.v1.CredentialService/CreateCredential",
        Access::Permission(Permission::ManageMyCredentials),
        "credential.created",
        ActivityType::AddCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/GetCredential",
        Access::Caller,
        "credential.read",
        ActivityType::ReadCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/ListCredentials",
        Access::Caller,
        "credential.listed",
        ActivityType::ReadCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/UpdateCredential",
        Access::Caller,
        "credential.updated",
        ActivityType::UpdateCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/TransferCredential",
        Access::Caller,
        "credential.transferred",
        ActivityType::UpdateCredentialOwnership,
    ),
    row(
        "/coffre.vault.v1.CredentialService/DeleteCredential",
        Access::Caller,
        "credential.deleted",
        ActivityType::DeleteCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/DeleteAttribute",
        Access::Caller,
        "credential.attribute.deleted",
        ActivityType::UpdateCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/AssignCredential",
        Access::Caller,
        "credential.assigned",
        ActivityType::UpdateCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/WithdrawCredential",
        Access::Caller,
        "credential.withdrawn",
        ActivityType::UpdateCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/ListLockerCredentials",
        Access::Caller,
        "locker.credential.listed",
        ActivityType::ReadLocker,
    ),
    row(
        "/coffre.vault.v1.CredentialService/ExplainAccess",
        Access::Caller,
        "credential.access.explained",
        ActivityType::ReadCredential,
    ),
    row(
        "/coffre.vault.v1.CredentialService/ListMissingValues",
        Access::Caller,
        "credential.missing.listed",
        ActivityType::ReadCredential,
    ),
    row(
        "/coffre.vault.v1.AttributeValueService/CreateAttributeValues",
        Access::Caller,
        "credential.value.created",
        ActivityType::UpdateCredential,
    ),
    row(
        "/coffre.vault.v1.AttributeValueService/ListAttributeValues",
        Access::Caller,
        "credential.value.read",
        ActivityType::ReadCredential,
    ),
    row(
        "/coffre.vault.v1.AttributeValueService/UpdateAttributeValue",
        Access::Caller,
        "credential.value.updated",
        ActivityType::UpdateCredential,
    ),
    row(
        "/coffre.vault.v1.AttributeValueService/DeleteAttributeValue",
        Access::Caller,
        "credential.value.deleted",
        ActivityType::UpdateCredential,
    ),
    row(
        "/coffre.vault.v1.KeyService/GetMode",
        Access::Permission(Permission::ManageSettings),
        "vault.mode.read",
        ActivityType::CvSetting,
    ),
    row(
        "/coffre.vault.v1.KeyService/GetMasterKeyStatus",
        Access::Permission(Permission::ManageSettings),
        "vault.status.read",
        ActivityType::CvSetting,
    ),
    row(
        "/coffre.vault.v1.KeyService/GetTransportPublicKey",
        Access::Caller,
        "vault.transport_key.read",
        ActivityType::CvSetting,
    ),
    row(
        "/coffre.vault.v1.KeyService/SetMode",
        Access::RecentPermission(Permission::ManageSettings),
        "vault.mode.changed",
        ActivityType::CvSetting,
    ),
    row(
        "/coffre.vault.v1.KeyService/ApplyMasterKey",
        Access::RecentPermission(Permission::ManageSettings),
        "vault.key.applied",
        ActivityType::ConnectCredentialVault,
    ),
    row(
        "/coffre.vault.v1.KeyService/SealVault",
        Access::SessionPermission(Permission::ManageSettings),
        "vault.sealed",
        ActivityType::CvSetting,
    ),
    row(
        "/coffre.vault.v1.KeyService/UnsealVault",
        Access::RecentPermission(Permission::ManageSettings),
        "vault.unsealed",
        ActivityType::UnlockCredentialVault,
    ),
    row(
        "/coffre.vault.v1.KeyService/StartRotation",
        Access::RecentPermission(Permission::ManageSettings),
        "vault.rotation.started",
        ActivityType::CvSetting,
    ),
    row(
        "/coffre.vault.v1.KeyService/GetRotation",
        Access::Permission(Permission::ManageSettings),
        "vault.rotation.read",
        ActivityType::AuditUnsetActivityType,
    ),
    row(
        "/coffre.vault.v1.KeyService/ReplaceRecoveryKey",
        Access::RecentPermission(Permission::ManageSettings),
        "vault.recovery_key.replaced",
        ActivityType::CvSetting,
    ),
    row(
        "/coffre.vault.v1.KeyService/ListKeySlots",
        Access::Permission(Permission::ManageSettings),
        "vault.slot.listed",
        ActivityType::AuditUnsetActivityType,
    ),
    row(
        "/coffre.vault.v1.KeyService/DrillKey",
        Access::RecentPermission(Permission::ManageSettings),
        "vault.key.drilled",
        ActivityType::CvSetting,
    ),
    row(
        "/coffre.vault.v1.ValueSealService/ListValueSeals",
        Access::Permission(Permission::ViewAllAudit),
        "vault.value_seal.listed",
        ActivityType::AuditUnsetActivityType,
    ),
    row(
        "/coffre.vault.v1.DashboardService/GetDashboard",
        Access::Caller,
        "dashboard.read",
        ActivityType::AuditUnsetActivityType,
    ),
];

const fn internal(path: &'static str, callers: &'static [Service]) -> InternalRpc {
    InternalRpc { path, callers }
}

/// One row for each internal RPC: which other services may call it.
pub const INTERNAL_RPCS: &[InternalRpc] = &[
    internal("/coffre.vault.internal.v1.ContentsService/CountCredentials", &[Service::Locker]),
    internal("/coffre.vault.internal.v1.ContentsService/SettleEntry", &[Service::Locker]),
    internal("/coffre.vault.internal.v1.PeerService/ShareRootKey", &[Service::Vault]),
    internal("/coffre.holdings.internal.v1.HoldingsService/ListHoldings", &[Service::Auth]),
    internal("/coffre.holdings.internal.v1.HoldingsService/HoldUser", &[Service::Auth]),
    internal("/coffre.holdings.internal.v1.HoldingsService/RestoreUser", &[Service::Auth]),
    internal("/coffre.holdings.internal.v1.HoldingsService/ReleaseUser", &[Service::Auth]),
    internal("/coffre.holdings.internal.v1.HoldingsService/TransferHoldings", &[Service::Auth]),
];
