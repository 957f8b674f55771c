//! Every call that is served, with what the audit says about it.

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its RPC.
    pub rpc: &'static str,
    /// The words of the documented audit log that fit; the contract leaves some calls a choice.
    pub activities: &'static [&'static str],
}

macro_rules! operations {
    ($($name:ident = $rpc:literal: $($activity:literal)|+;)+) => {
        $(pub const $name: Operation = Operation { rpc: $rpc, activities: &[$($activity),+] };)+
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
    DELETE_USER = "coffre.auth.v1.UserService/DeleteUser": "DELETE_USER";
    CREATE_ROLE = "coffre.auth.v1.RoleService/CreateRole": "ADD_ROLE";
    GET_ROLE = "coffre.auth.v1.RoleService/GetRole": "AUDIT_UNSET_ACTIVITY_TYPE";
    LIST_ROLES = "coffre.auth.v1.RoleService/ListRoles": "AUDIT_UNSET_ACTIVITY_TYPE";
    UPDATE_ROLE = "coffre.auth.v1.RoleService/UpdateRole": "UPDATE_ROLE";
    DELETE_ROLE = "coffre.auth.v1.RoleService/DeleteRole": "DELETE_ROLE";
    LIST_PERMISSIONS = "coffre.auth.v1.RoleService/ListPermissions": "AUDIT_UNSET_ACTIVITY_TYPE";
    CREATE_CREDENTIAL = "coffre.vault.v1.CredentialService/CreateCredential": "ADD_CREDENTIAL";
    GET_CREDENTIAL = "coffre.vault.v1.CredentialService/GetCredential": "READ_CREDENTIAL";
    LIST_CREDENTIALS = "coffre.vault.v1.CredentialService/ListCredentials": "READ_CREDENTIAL";
    UPDATE_CREDENTIAL = "coffre.vault.v1.CredentialService/UpdateCredential": "UPDATE_CREDENTIAL";
    TRANSFER_CREDENTIAL = "coffre.vault.v1.CredentialService/TransferCredential": "UPDATE_CREDENTIAL_OWNERSHIP";
    DELETE_CREDENTIAL = "coffre.vault.v1.CredentialService/DeleteCredential": "DELETE_CREDENTIAL";
    DELETE_ATTRIBUTE = "coffre.vault.v1.CredentialService/DeleteAttribute": "UPDATE_CREDENTIAL";
    CREATE_VALUES = "coffre.vault.v1.AttributeValueService/CreateAttributeValues": "UPDATE_CREDENTIAL";
    LIST_VALUES = "coffre.vault.v1.AttributeValueService/ListAttributeValues": "READ_CREDENTIAL";
    UPDATE_VALUE = "coffre.vault.v1.AttributeValueService/UpdateAttributeValue": "UPDATE_CREDENTIAL";
    DELETE_VALUE = "coffre.vault.v1.AttributeValueService/DeleteAttributeValue": "UPDATE_CREDENTIAL";
    GET_MODE = "coffre.vault.v1.KeyService/GetMode": "CV_SETTING";
    GET_KEY_STATUS = "coffre.vault.v1.KeyService/GetMasterKeyStatus": "CV_SETTING";
    GET_TRANSPORT_KEY = "coffre.vault.v1.KeyService/GetTransportPublicKey": "CV_SETTING" | "AUDIT_UNSET_ACTIVITY_TYPE";
    LIST_ENTRIES = "coffre.audit.v1.AuditService/ListEntries": "AUDIT_UNSET_ACTIVITY_TYPE";
    GET_ENTRY = "coffre.audit.v1.AuditService/GetEntry": "AUDIT_UNSET_ACTIVITY_TYPE";
}
