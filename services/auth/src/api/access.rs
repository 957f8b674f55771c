//! Every public RPC: who may call it, and what the audit calls it.
//!
//! SignOut is open because it looks at its token itself: one that has expired still ends its session. The lists are open to every signed-in
//! user here; how much they show, and whether anything, is decided by [`crate::domain::policy::list_users`]. What a user holds is its own
//! affair too, so who may see and hand it over is decided by [`crate::domain::policy::see_holdings`] and `give_holdings`.

use coffre_audit_client::ActivityType;
use coffre_rpc::{Access, Rpc};
use coffre_types::Permission::ManageUsers;

use Access::{Caller, Open, PasswordChange, Permission};
use ActivityType::{
    AddRole, AuditUnsetActivityType as Unset, CreateUser, DeleteRole, DeleteUser, Login, Logout, UpdateRole, UpdateUser,
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
