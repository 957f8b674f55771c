//! Every public RPC, who may call it, and what the audit calls it. What is not here is denied.

use coffre_proto::audit::v1::ActivityType;
use coffre_rpc::{Access, Rpc};
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
];
