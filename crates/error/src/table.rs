//! Each reason with its gRPC code and its dotted word. No `_` arm: a new reason must choose.

use tonic::Code;

use crate::Reason;

/// Returns the gRPC code that goes with a reason (contract, section 7).
#[must_use]
pub const fn grpc_code(reason: Reason) -> Code {
    match reason {
        Reason::RequestInvalid
        | Reason::RequestMalformed
        | Reason::RequestTooLarge
        | Reason::RequestHeadersTooLarge
        | Reason::RequestEncodingUnsupported
        | Reason::ListTooLarge
        | Reason::ListFieldUnknown
        | Reason::ListTokenInvalid
        | Reason::AuditSearchTooWide
        | Reason::AuthTokenConflict
        | Reason::AuthPasswordWeak
        | Reason::OauthGrantInvalid
        | Reason::OauthClientUnauthorized
        | Reason::OauthScopeInvalid
        | Reason::OauthGrantTypeUnsupported
        | Reason::VaultKeyWeak
        | Reason::TransportKeyUnknown
        | Reason::TransportValueUnreadable
        | Reason::TransportValueTooLong => Code::InvalidArgument,
        Reason::RequestTimeout => Code::DeadlineExceeded,
        Reason::RequestPreconditionFailed
        | Reason::UserLastAdministrator
        | Reason::UserHoldsObjects
        | Reason::RoleSystem
        | Reason::RoleInUse
        | Reason::CredentialInLocker
        | Reason::LockerNotEmpty
        | Reason::LockerLastOwner
        | Reason::LockerBeingDeleted
        | Reason::ApiAccessNotBindable
        | Reason::VaultModeConflict
        | Reason::AuditCut
        | Reason::AuditLogDamaged
        | Reason::ApiKeyLimit
        | Reason::AttributeHasValues => Code::FailedPrecondition,
        Reason::RequestOverloaded
        | Reason::AuthUnavailable
        | Reason::VaultSealed
        | Reason::TransportKeyPending
        | Reason::AuditUnavailable
        | Reason::StoreUnavailable
        | Reason::ServiceUnavailable => Code::Unavailable,
        Reason::RouteNotFound
        | Reason::UserNotFound
        | Reason::RoleNotFound
        | Reason::CredentialNotFound
        | Reason::CredentialOwnerUnknown
        | Reason::AttributeNotFound
        | Reason::ValueNotFound
        | Reason::LockerNotFound
        | Reason::LockerMemberNotFound
        | Reason::LockerConsumerNotFound
        | Reason::CredentialNotInLocker
        | Reason::ApiAccessNotFound
        | Reason::ApiKeyNotFound
        | Reason::AuditEntryNotFound
        | Reason::AuditCheckpointNotFound => Code::NotFound,
        Reason::RouteMethodNotAllowed => Code::Unimplemented,
        Reason::AuthTokenRequired
        | Reason::AuthTokenInvalid
        | Reason::AuthSignInFailed
        | Reason::OauthClientInvalid => Code::Unauthenticated,
        Reason::AuthThrottled | Reason::VaultKeyThrottled => Code::ResourceExhausted,
        Reason::AuthPasswordChangeRequired
        | Reason::AuthTokenKind
        | Reason::AuthRecentSignInRequired
        | Reason::AuthPasswordWrong
        | Reason::VaultKeyWrong
        | Reason::AuthzPermissionRequired
        | Reason::AuthzSelfGrant
        | Reason::AuthzGrantExceeds
        | Reason::CredentialNotPermitted
        | Reason::LockerNotPermitted => Code::PermissionDenied,
        Reason::UserNameTaken
        | Reason::RoleNameTaken
        | Reason::LockerNameTaken
        | Reason::ApiAccessClientIdTaken
        | Reason::ApiKeyNameTaken
        | Reason::CredentialNameTaken
        | Reason::AttributeNameTaken
        | Reason::ValueExists => Code::AlreadyExists,
        Reason::UserVersionConflict
        | Reason::RoleVersionConflict
        | Reason::CredentialVersionConflict
        | Reason::LockerVersionConflict
        | Reason::ApiAccessVersionConflict
        | Reason::VaultKeysChanged
        | Reason::AttributeVersionConflict
        | Reason::ValueVersionConflict
        | Reason::StoreConflict => Code::Aborted,
        Reason::Unspecified | Reason::ValueCorrupt | Reason::VaultKeyDamaged | Reason::Internal => Code::Internal,
    }
}

/// Returns the stable dotted word that REST clients see.
#[must_use]
pub const fn code(reason: Reason) -> &'static str {
    match reason {
        Reason::RequestInvalid => "request.invalid",
        Reason::RequestMalformed => "request.malformed",
        Reason::RequestTooLarge => "request.too_large",
        Reason::RequestHeadersTooLarge => "request.headers_too_large",
        Reason::RequestEncodingUnsupported => "request.encoding_unsupported",
        Reason::RequestTimeout => "request.timeout",
        Reason::RequestPreconditionFailed => "request.precondition_failed",
        Reason::RequestOverloaded => "request.overloaded",
        Reason::RouteNotFound => "route.not_found",
        Reason::RouteMethodNotAllowed => "route.method_not_allowed",
        Reason::ListTooLarge => "list.too_large",
        Reason::ListFieldUnknown => "list.field_unknown",
        Reason::ListTokenInvalid => "list.token_invalid",
        Reason::AuthTokenRequired => "auth.token_required",
        Reason::AuthTokenInvalid => "auth.token_invalid",
        Reason::AuthTokenConflict => "auth.token_conflict",
        Reason::AuthSignInFailed => "auth.sign_in_failed",
        Reason::AuthThrottled => "auth.throttled",
        Reason::AuthPasswordChangeRequired => "auth.password_change_required",
        Reason::AuthRecentSignInRequired => "auth.recent_sign_in_required",
        Reason::AuthPasswordWrong => "auth.password_wrong",
        Reason::AuthPasswordWeak => "auth.password_weak",
        Reason::AuthTokenKind => "auth.token_kind",
        Reason::AuthUnavailable => "auth.unavailable",
        Reason::AuthzPermissionRequired => "authz.permission_required",
        Reason::AuthzSelfGrant => "authz.self_grant",
        Reason::AuthzGrantExceeds => "authz.grant_exceeds",
        Reason::UserNotFound => "user.not_found",
        Reason::UserNameTaken => "user.name_taken",
        Reason::UserVersionConflict => "user.version_conflict",
        Reason::UserLastAdministrator => "user.last_administrator",
        Reason::UserHoldsObjects => "user.holds_objects",
        Reason::RoleNotFound => "role.not_found",
        Reason::RoleNameTaken => "role.name_taken",
        Reason::RoleVersionConflict => "role.version_conflict",
        Reason::RoleSystem => "role.system",
        Reason::RoleInUse => "role.in_use",
        Reason::CredentialNotFound => "credential.not_found",
        Reason::CredentialNameTaken => "credential.name_taken",
        Reason::CredentialVersionConflict => "credential.version_conflict",
        Reason::CredentialInLocker => "credential.in_locker",
        Reason::CredentialNotPermitted => "credential.not_permitted",
        Reason::CredentialOwnerUnknown => "credential.owner_unknown",
        Reason::AttributeNotFound => "attribute.not_found",
        Reason::AttributeVersionConflict => "attribute.version_conflict",
        Reason::AttributeNameTaken => "attribute.name_taken",
        Reason::AttributeHasValues => "attribute.has_values",
        Reason::ValueNotFound => "value.not_found",
        Reason::ValueExists => "value.exists",
        Reason::ValueVersionConflict => "value.version_conflict",
        Reason::ValueCorrupt => "vault.value_corrupt",
        Reason::VaultSealed => "vault.sealed",
        Reason::TransportKeyUnknown => "transport.key_unknown",
        Reason::TransportValueUnreadable => "transport.value_unreadable",
        Reason::TransportValueTooLong => "transport.value_too_long",
        Reason::TransportKeyPending => "transport.key_pending",
        Reason::AuditEntryNotFound => "audit.entry_not_found",
        Reason::AuditCheckpointNotFound => "audit.checkpoint_not_found",
        Reason::AuditCut => "audit.cut",
        Reason::AuditLogDamaged => "audit.log_damaged",
        Reason::AuditSearchTooWide => "audit.search_too_wide",
        Reason::AuditUnavailable => "audit.unavailable",
        Reason::StoreConflict => "store.conflict",
        Reason::StoreUnavailable => "store.unavailable",
        Reason::ServiceUnavailable => "service.unavailable",
        Reason::LockerNotFound => "locker.not_found",
        Reason::LockerNameTaken => "locker.name_taken",
        Reason::LockerVersionConflict => "locker.version_conflict",
        Reason::LockerNotPermitted => "locker.not_permitted",
        Reason::LockerNotEmpty => "locker.not_empty",
        Reason::LockerLastOwner => "locker.last_owner",
        Reason::LockerBeingDeleted => "locker.being_deleted",
        Reason::LockerMemberNotFound => "locker.member_not_found",
        Reason::LockerConsumerNotFound => "locker.consumer_not_found",
        Reason::CredentialNotInLocker => "credential.not_in_locker",
        Reason::OauthClientInvalid => "oauth.invalid_client",
        Reason::OauthGrantInvalid => "oauth.invalid_grant",
        Reason::OauthClientUnauthorized => "oauth.unauthorized_client",
        Reason::OauthScopeInvalid => "oauth.invalid_scope",
        Reason::OauthGrantTypeUnsupported => "oauth.unsupported_grant_type",
        Reason::ApiAccessNotFound => "api_access.not_found",
        Reason::ApiAccessClientIdTaken => "api_access.client_id_taken",
        Reason::ApiAccessVersionConflict => "api_access.version_conflict",
        Reason::ApiAccessNotBindable => "api_access.not_bindable",
        Reason::ApiKeyNotFound => "api_key.not_found",
        Reason::ApiKeyNameTaken => "api_key.name_taken",
        Reason::ApiKeyLimit => "api_key.limit",
        Reason::VaultKeyWrong => "vault.key_wrong",
        Reason::VaultKeyThrottled => "vault.key_throttled",
        Reason::VaultKeyWeak => "vault.key_weak",
        Reason::VaultKeyDamaged => "vault.key_damaged",
        Reason::VaultKeysChanged => "vault.keys_changed",
        Reason::VaultModeConflict => "vault.mode_conflict",
        Reason::Unspecified | Reason::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::{DescriptorPool, Value};

    use super::*;

    #[test]
    fn words_are_those_of_the_proto() {
        let pool = DescriptorPool::decode(coffre_proto::DESCRIPTORS).unwrap();
        let reasons = pool.get_enum_by_name("coffre.error.v1.ErrorReason").unwrap();
        let mut checked = 0;
        for value in reasons.values() {
            let reason = Reason::try_from(value.number()).unwrap();
            let word = value.options().extensions().find_map(|(extension, value)| match value {
                Value::String(word) if extension.full_name() == "coffre.options.v1.code" => Some(word.clone()),
                _ => None,
            });
            if reason == Reason::Unspecified {
                continue;
            }
            assert_eq!(Some(code(reason).to_owned()), word, "{}", value.name());
            checked += 1;
        }
        assert!(checked > 50);
    }

    #[test]
    fn refusals_of_one_kind_share_a_code() {
        for (reason, expected) in [
            (Reason::RequestInvalid, Code::InvalidArgument),
            (Reason::AuthTokenInvalid, Code::Unauthenticated),
            (Reason::AuthzPermissionRequired, Code::PermissionDenied),
            (Reason::CredentialNotFound, Code::NotFound),
            (Reason::CredentialNameTaken, Code::AlreadyExists),
            (Reason::CredentialVersionConflict, Code::Aborted),
            (Reason::CredentialInLocker, Code::FailedPrecondition),
            (Reason::AuthThrottled, Code::ResourceExhausted),
            (Reason::VaultSealed, Code::Unavailable),
            (Reason::Internal, Code::Internal),
        ] {
            assert_eq!(grpc_code(reason), expected, "{reason:?}");
        }
    }
}
