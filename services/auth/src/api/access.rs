//! Every public RPC: who may call it, and what the audit calls it.
//!
//! SignOut is open because it looks at its token itself: one that has expired still ends its session. The lists are open to every signed-in
//! user here; how much they show, and whether anything, is decided by [`crate::domain::policy::list_users`]. What a user holds is its own
//! affair too, so who may see and hand it over is decided by [`crate::domain::policy::see_holdings`] and `give_holdings`.
//! To give what is reserved asks for a recent sign-in, which the use cases look at: everything else is given by programs as well.
//!
//! The token endpoint is open because a client shows its secret there. An API access is seen and listed by its operator too, and a confirmation taken back
//! by him, at any time: that is decided by [`crate::domain::api_policy`].
//!
//! API keys are their owner's: a permission is needed to have some, not to be rid of one. A change of a user that carries a password is a
//! reset and asks for a recent sign-in, which the use case looks at.

use coffre_audit_client::ActivityType;
use coffre_rpc::{Access, InternalRpc, Rpc, Service};
use coffre_types::Permission::{ConnectToApi, GenerateApiKey, ManageApiAccess, ManageUsers};

use Access::{Caller, Open, PasswordChange, Permission, RecentPermission, Session, SessionPermission};
use ActivityType::{
    AddRole, AuditUnsetActivityType as Unset, ClientLogin, CreateUser, DeleteRole, DeleteUser, EditSettings, Login,
    Logout, UpdateRole, UpdateUser,
};

const fn rpc(path: &'static str, access: Access, event: &'static str, activity: ActivityType) -> Rpc {
    Rpc { path, access, event, activity }
}

/// The rows.
#[rustfmt::skip]
pub const RPCS: &[Rpc] = &[
    rpc("/coffre.auth.v1.AuthenticationService/SignIn", Open, "session.opened", Login),
    rpc("/coffre.auth.v1.AuthenticationService/ValidateToken", Open, "token.validated", Unset),
    rpc("/coffre.auth.v1.AuthenticationService/RefreshToken", Open, "token.refreshed", Login),
    rpc("/coffre.auth.v1.AuthenticationService/SignOut", Open, "session.ended", Logout),
    rpc("/coffre.auth.v1.AuthenticationService/ChangePassword", PasswordChange, "user.password.changed", UpdateUser),
    rpc("/coffre.auth.v1.AuthenticationService/GetJsonWebKeySet", Open, "signing_keys.read", Unset),
    rpc("/coffre.auth.v1.OAuthService/IssueTokenForPassword", Open, "oauth.token.issued", Login),
    rpc("/coffre.auth.v1.OAuthService/IssueTokenForRefreshToken", Open, "oauth.token.refreshed", ClientLogin),
    rpc("/coffre.auth.v1.OAuthService/IssueTokenForClient", Open, "oauth.token.issued", ClientLogin),
    rpc("/coffre.auth.v1.OAuthService/RevokeToken", Open, "oauth.token.revoked", Logout),
    rpc("/coffre.auth.v1.OAuthService/IntrospectToken", Open, "oauth.token.introspected", Unset),
    rpc("/coffre.auth.v1.ApiAccessService/CreateApiAccess", RecentPermission(ManageApiAccess), "api_access.created", EditSettings),
    rpc("/coffre.auth.v1.ApiAccessService/GetApiAccess", Session, "api_access.read", Unset),
    rpc("/coffre.auth.v1.ApiAccessService/ListApiAccesses", Session, "api_access.listed", Unset),
    rpc("/coffre.auth.v1.ApiAccessService/UpdateApiAccess", RecentPermission(ManageApiAccess), "api_access.updated", EditSettings),
    rpc("/coffre.auth.v1.ApiAccessService/DeleteApiAccess", RecentPermission(ManageApiAccess), "api_access.deleted", EditSettings),
    rpc("/coffre.auth.v1.ApiAccessService/RotateApiAccessSecret", RecentPermission(ManageApiAccess), "api_access.secret.rotated", EditSettings),
    rpc("/coffre.auth.v1.ApiAccessService/ConfirmApiAccess", RecentPermission(ConnectToApi), "api_access.confirmed", EditSettings),
    rpc("/coffre.auth.v1.ApiAccessService/WithdrawApiAccessConfirmation", Session, "api_access.confirmation.withdrawn", EditSettings),
    rpc("/coffre.auth.v1.ApiKeyService/CreateApiKey", RecentPermission(GenerateApiKey), "api_key.created", UpdateUser),
    rpc("/coffre.auth.v1.ApiKeyService/ListApiKeys", SessionPermission(GenerateApiKey), "api_key.listed", Unset),
    rpc("/coffre.auth.v1.ApiKeyService/DeleteApiKey", Session, "api_key.deleted", UpdateUser),
    rpc("/coffre.auth.v1.UserService/CreateUser", Permission(ManageUsers), "user.created", CreateUser),
    rpc("/coffre.auth.v1.UserService/GetUser", Permission(ManageUsers), "user.read", Unset),
    rpc("/coffre.auth.v1.UserService/ListUsers", Caller, "user.listed", Unset),
    rpc("/coffre.auth.v1.UserService/UpdateUser", Permission(ManageUsers), "user.updated", UpdateUser),
    rpc("/coffre.auth.v1.UserService/DeleteUser", Permission(ManageUsers), "user.deleted", DeleteUser),
    rpc("/coffre.auth.v1.UserService/ListUserHoldings", Caller, "user.holdings.listed", Unset),
    rpc("/coffre.auth.v1.UserService/TransferUserHoldings", Caller, "user.holdings.transferred", UpdateUser),
    rpc("/coffre.auth.v1.RoleService/CreateRole", Permission(ManageUsers), "role.created", AddRole),
    rpc("/coffre.auth.v1.RoleService/GetRole", Permission(ManageUsers), "role.read", Unset),
    rpc("/coffre.auth.v1.RoleService/ListRoles", Caller, "role.listed", Unset),
    rpc("/coffre.auth.v1.RoleService/UpdateRole", Permission(ManageUsers), "role.updated", UpdateRole),
    rpc("/coffre.auth.v1.RoleService/DeleteRole", Permission(ManageUsers), "role.deleted", DeleteRole),
    rpc("/coffre.auth.v1.RoleService/ListPermissions", Permission(ManageUsers), "permission.listed", Unset),
];

const fn internal(path: &'static str, callers: &'static [Service]) -> InternalRpc {
    InternalRpc { path, callers }
}

/// One row for each internal RPC: which other services may call it.
pub const INTERNAL_RPCS: &[InternalRpc] = &[
    internal(
        "/coffre.auth.internal.v1.CallerService/ResolveCaller",
        &[Service::Vault, Service::Locker, Service::Audit],
    ),
    internal("/coffre.auth.internal.v1.CallerService/WatchChanges", &[Service::Vault, Service::Locker, Service::Audit]),
    internal("/coffre.auth.internal.v1.CallerService/LookUpUser", &[Service::Vault, Service::Locker]),
    internal("/coffre.auth.internal.v1.CallerService/LookUpRole", &[Service::Locker]),
    internal("/coffre.auth.internal.v1.CallerService/DescribeUsers", &[Service::Vault]),
];
