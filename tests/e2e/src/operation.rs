//! Every call that is served, with what the audit says about it.

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its RPC.
    pub rpc: &'static str,
    /// The words of the documented audit log that fit; the contract leaves some calls a choice.
    pub activities: &'static [&'static str],
    /// Events that other services may record for the same call, in its name and under its request id.
    pub beside: &'static [&'static str],
}

macro_rules! operations {
    ($($name:ident = $rpc:literal: $($activity:literal)|+ $(, beside $($beside:literal)|+)?;)+) => {
        $(pub const $name: Operation = Operation { rpc: $rpc, activities: &[$($activity),+], beside: &[$($($beside),+)?] };)+
        /// All of them.
        pub const ALL: &[Operation] = &[$($name),+];
    };
}

operations! {
    SIGN_IN = "coffre.auth.v1.AuthenticationService/SignIn": "LOGIN";
    VALIDATE_TOKEN = "coffre.auth.v1.AuthenticationService/ValidateToken": "AUDIT_UNSET_ACTIVITY_TYPE";
    REFRESH_TOKEN = "coffre.auth.v1.AuthenticationService/RefreshToken": "LOGIN" | "AUDIT_UNSET_ACTIVITY_TYPE";
    SIGN_OUT = "coffre.auth.v1.AuthenticationService/SignOut": "LOGOUT";
    CHANGE_PASSWORD = "coffre.auth.v1.AuthenticationService/ChangePassword": "UPDATE_USER";
    GET_JSON_WEB_KEY_SET = "coffre.auth.v1.AuthenticationService/GetJsonWebKeySet": "AUDIT_UNSET_ACTIVITY_TYPE";
    CREATE_USER = "coffre.auth.v1.UserService/CreateUser": "CREATE_USER";
    GET_USER = "coffre.auth.v1.UserService/GetUser": "AUDIT_UNSET_ACTIVITY_TYPE";
    LIST_USERS = "coffre.auth.v1.UserService/ListUsers": "AUDIT_UNSET_ACTIVITY_TYPE";
    UPDATE_USER = "coffre.auth.v1.UserService/UpdateUser": "UPDATE_USER" | "ENABLE_USER" | "DISABLE_USER";
    DELETE_USER = "coffre.auth.v1.UserService/DeleteUser": "DELETE_USER", beside "user.released";
    LIST_HOLDINGS = "coffre.auth.v1.UserService/ListUserHoldings": "AUDIT_UNSET_ACTIVITY_TYPE";
    TRANSFER_HOLDINGS = "coffre.auth.v1.UserService/TransferUserHoldings": "UPDATE_USER", beside "credential.transferred" | "locker.member.set";
    CREATE_ROLE = "coffre.auth.v1.RoleService/CreateRole": "ADD_ROLE";
    GET_ROLE = "coffre.auth.v1.RoleService/GetRole": "AUDIT_UNSET_ACTIVITY_TYPE";
    LIST_ROLES = "coffre.auth.v1.RoleService/ListRoles": "AUDIT_UNSET_ACTIVITY_TYPE";
    UPDATE_ROLE = "coffre.auth.v1.RoleService/UpdateRole": "UPDATE_ROLE";
    DELETE_ROLE = "coffre.auth.v1.RoleService/DeleteRole": "DELETE_ROLE";
    LIST_PERMISSIONS = "coffre.auth.v1.RoleService/ListPermissions": "AUDIT_UNSET_ACTIVITY_TYPE";
    ISSUE_TOKEN_FOR_PASSWORD = "coffre.auth.v1.OAuthService/IssueTokenForPassword": "LOGIN";
    ISSUE_TOKEN_FOR_REFRESH = "coffre.auth.v1.OAuthService/IssueTokenForRefreshToken": "CLIENT_LOGIN";
    ISSUE_TOKEN_FOR_CLIENT = "coffre.auth.v1.OAuthService/IssueTokenForClient": "CLIENT_LOGIN";
    REVOKE_TOKEN = "coffre.auth.v1.OAuthService/RevokeToken": "LOGOUT";
    INTROSPECT_TOKEN = "coffre.auth.v1.OAuthService/IntrospectToken": "AUDIT_UNSET_ACTIVITY_TYPE";
    CREATE_API_ACCESS = "coffre.auth.v1.ApiAccessService/CreateApiAccess": "EDIT_SETTINGS";
    GET_API_ACCESS = "coffre.auth.v1.ApiAccessService/GetApiAccess": "AUDIT_UNSET_ACTIVITY_TYPE";
    LIST_API_ACCESSES = "coffre.auth.v1.ApiAccessService/ListApiAccesses": "AUDIT_UNSET_ACTIVITY_TYPE";
    UPDATE_API_ACCESS = "coffre.auth.v1.ApiAccessService/UpdateApiAccess": "EDIT_SETTINGS";
    DELETE_API_ACCESS = "coffre.auth.v1.ApiAccessService/DeleteApiAccess": "EDIT_SETTINGS";
    ROTATE_SECRET = "coffre.auth.v1.ApiAccessService/RotateApiAccessSecret": "EDIT_SETTINGS";
    CONFIRM_API_ACCESS = "coffre.auth.v1.ApiAccessService/ConfirmApiAccess": "EDIT_SETTINGS";
    WITHDRAW_CONFIRMATION = "coffre.auth.v1.ApiAccessService/WithdrawApiAccessConfirmation": "EDIT_SETTINGS";
    CREATE_API_KEY = "coffre.auth.v1.ApiKeyService/CreateApiKey": "UPDATE_USER";
    LIST_API_KEYS = "coffre.auth.v1.ApiKeyService/ListApiKeys": "AUDIT_UNSET_ACTIVITY_TYPE";
    DELETE_API_KEY = "coffre.auth.v1.ApiKeyService/DeleteApiKey": "UPDATE_USER";
    GET_DASHBOARD = "coffre.vault.v1.DashboardService/GetDashboard": "AUDIT_UNSET_ACTIVITY_TYPE";
    CREATE_CREDENTIAL = "coffre.vault.v1.CredentialService/CreateCredential": "ADD_CREDENTIAL";
    GET_CREDENTIAL = "coffre.vault.v1.CredentialService/GetCredential": "READ_CREDENTIAL";
    LIST_CREDENTIALS = "coffre.vault.v1.CredentialService/ListCredentials": "READ_CREDENTIAL";
    UPDATE_CREDENTIAL = "coffre.vault.v1.CredentialService/UpdateCredential": "UPDATE_CREDENTIAL";
    TRANSFER_CREDENTIAL = "coffre.vault.v1.CredentialService/TransferCredential": "UPDATE_CREDENTIAL_OWNERSHIP";
    DELETE_CREDENTIAL = "coffre.vault.v1.CredentialService/DeleteCredential": "DELETE_CREDENTIAL";
    DELETE_ATTRIBUTE = "coffre.vault.v1.CredentialService/DeleteAttribute": "UPDATE_CREDENTIAL";
    ASSIGN_CREDENTIAL = "coffre.vault.v1.CredentialService/AssignCredential": "UPDATE_CREDENTIAL";
    WITHDRAW_CREDENTIAL = "coffre.vault.v1.CredentialService/WithdrawCredential": "UPDATE_CREDENTIAL";
    LIST_LOCKER_CREDENTIALS = "coffre.vault.v1.CredentialService/ListLockerCredentials": "READ_LOCKER";
    EXPLAIN_ACCESS = "coffre.vault.v1.CredentialService/ExplainAccess": "READ_CREDENTIAL";
    LIST_MISSING_VALUES = "coffre.vault.v1.CredentialService/ListMissingValues": "READ_CREDENTIAL";
    CREATE_VALUES = "coffre.vault.v1.AttributeValueService/CreateAttributeValues": "UPDATE_CREDENTIAL";
    LIST_VALUES = "coffre.vault.v1.AttributeValueService/ListAttributeValues": "READ_CREDENTIAL";
    UPDATE_VALUE = "coffre.vault.v1.AttributeValueService/UpdateAttributeValue": "UPDATE_CREDENTIAL";
    DELETE_VALUE = "coffre.vault.v1.AttributeValueService/DeleteAttributeValue": "UPDATE_CREDENTIAL";
    CREATE_LOCKER = "coffre.locker.v1.LockerService/CreateLocker": "ADD_LOCKER";
    GET_LOCKER = "coffre.locker.v1.LockerService/GetLocker": "READ_LOCKER";
    LIST_LOCKERS = "coffre.locker.v1.LockerService/ListLockers": "READ_LOCKER";
    UPDATE_LOCKER = "coffre.locker.v1.LockerService/UpdateLocker": "UPDATE_LOCKER";
    DELETE_LOCKER = "coffre.locker.v1.LockerService/DeleteLocker": "DELETE_LOCKER";
    LIST_MEMBERS = "coffre.locker.v1.LockerService/ListMembers": "READ_LOCKER";
    SET_MEMBER = "coffre.locker.v1.LockerService/SetMember": "UPDATE_LOCKER";
    REMOVE_MEMBER = "coffre.locker.v1.LockerService/RemoveMember": "UPDATE_LOCKER";
    LIST_CONSUMERS = "coffre.locker.v1.LockerService/ListConsumers": "READ_LOCKER";
    ADD_CONSUMER = "coffre.locker.v1.LockerService/AddConsumer": "UPDATE_LOCKER";
    REMOVE_CONSUMER = "coffre.locker.v1.LockerService/RemoveConsumer": "UPDATE_LOCKER";
    GET_MODE = "coffre.vault.v1.KeyService/GetMode": "CV_SETTING";
    GET_KEY_STATUS = "coffre.vault.v1.KeyService/GetMasterKeyStatus": "CV_SETTING";
    GET_TRANSPORT_KEY = "coffre.vault.v1.KeyService/GetTransportPublicKey": "CV_SETTING" | "AUDIT_UNSET_ACTIVITY_TYPE";
    SET_MODE = "coffre.vault.v1.KeyService/SetMode": "CV_SETTING";
    APPLY_KEY = "coffre.vault.v1.KeyService/ApplyMasterKey": "CONNECT_CREDENTIAL_VAULT";
    SEAL_VAULT = "coffre.vault.v1.KeyService/SealVault": "CV_SETTING";
    UNSEAL_VAULT = "coffre.vault.v1.KeyService/UnsealVault": "UNLOCK_CREDENTIAL_VAULT";
    START_ROTATION = "coffre.vault.v1.KeyService/StartRotation": "CV_SETTING";
    GET_ROTATION = "coffre.vault.v1.KeyService/GetRotation": "AUDIT_UNSET_ACTIVITY_TYPE";
    REPLACE_RECOVERY_KEY = "coffre.vault.v1.KeyService/ReplaceRecoveryKey": "CV_SETTING";
    LIST_KEY_SLOTS = "coffre.vault.v1.KeyService/ListKeySlots": "AUDIT_UNSET_ACTIVITY_TYPE";
    DRILL_KEY = "coffre.vault.v1.KeyService/DrillKey": "CV_SETTING";
    LIST_ENTRIES = "coffre.audit.v1.AuditService/ListEntries": "AUDIT_UNSET_ACTIVITY_TYPE";
    GET_ENTRY = "coffre.audit.v1.AuditService/GetEntry": "AUDIT_UNSET_ACTIVITY_TYPE";
    STREAM_ENTRIES = "coffre.audit.v1.AuditService/StreamEntries": "AUDIT_UNSET_ACTIVITY_TYPE", beside "audit.checkpoint.read" | "audit.entry.proved";
    GET_LATEST_CHECKPOINT = "coffre.audit.v1.ProofService/GetLatestCheckpoint": "AUDIT_UNSET_ACTIVITY_TYPE";
    GET_CHECKPOINT = "coffre.audit.v1.ProofService/GetCheckpoint": "AUDIT_UNSET_ACTIVITY_TYPE";
    CREATE_CHECKPOINT = "coffre.audit.v1.ProofService/CreateCheckpoint": "AUDIT_UNSET_ACTIVITY_TYPE";
    GET_CONSISTENCY_PROOF = "coffre.audit.v1.ProofService/GetConsistencyProof": "AUDIT_UNSET_ACTIVITY_TYPE";
    GET_INCLUSION_PROOF = "coffre.audit.v1.ProofService/GetInclusionProof": "AUDIT_UNSET_ACTIVITY_TYPE";
    LIST_INCIDENTS = "coffre.audit.v1.ProofService/ListIncidents": "AUDIT_UNSET_ACTIVITY_TYPE";
    CUT_LOG = "coffre.audit.v1.ProofService/CutLog": "EDIT_SETTINGS" | "AUDIT_UNSET_ACTIVITY_TYPE";
    LIST_VALUE_SEALS = "coffre.vault.v1.ValueSealService/ListValueSeals": "AUDIT_UNSET_ACTIVITY_TYPE";
}
