//! Who may call what, and what the audit calls it: one row for each RPC.

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::ActivityType;
use coffre_types::{Caller, Permission};

/// Who may call an RPC. What a caller may do with one object is the service's own policy; this is only the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody, without a token.
    Open,
    /// Any signed-in user.
    Caller,
    /// Any signed-in user, also one who must change the password first.
    PasswordChange,
    /// Holders of a permission.
    Permission(Permission),
}

/// The row of one RPC.
#[derive(Clone, Copy, Debug)]
pub struct Rpc {
    /// The path, such as `/coffre.vault.v1.CredentialService/GetCredential`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The audit's fine word for it, such as `credential.read`.
    pub event: &'static str,
    /// The audit's documented word for it.
    pub activity: ActivityType,
}

impl Access {
    /// Says whether a token is looked at.
    #[must_use]
    pub const fn needs_caller(self) -> bool {
        !matches!(self, Self::Open)
    }

    /// Lets a caller in, or says what is missing.
    ///
    /// # Errors
    /// `AUTH_PASSWORD_CHANGE_REQUIRED` and `AUTHZ_PERMISSION_REQUIRED`.
    pub fn admit(self, caller: &Caller) -> Result<(), Refusal> {
        if caller.password_change_required && self != Self::PasswordChange {
            return Err(password_change_required());
        }
        match self {
            Self::Permission(permission) if !caller.has(permission) => Err(missing(permission)),
            _ => Ok(()),
        }
    }
}

/// Refuses whoever must change the password first.
#[must_use]
pub fn password_change_required() -> Refusal {
    Refusal::new(
        Reason::AuthPasswordChangeRequired,
        "the password was generated or reset: change it first (PUT /v1/authentication/password), then repeat the call",
    )
}

/// Refuses for want of a permission, and names it.
#[must_use]
pub fn missing(permission: Permission) -> Refusal {
    let name = permission.display_name();
    Refusal::new(
        Reason::AuthzPermissionRequired,
        format!("the permission \"{name}\" is missing; somebody who manages roles can give it to one of yours"),
    )
    .with("permission", name)
}
