//! Why a call was refused or failed.

use coffre_types::{Permission, RoleId, UserId};

use super::policy::{Action, Grant};

/// Why a call was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum LockerError {
    /// A field breaks a rule.
    #[error("{field}: {description}")]
    Invalid {
        /// The field's path in the request.
        field: String,
        /// What is wrong, and what would be right.
        description: String,
    },
    /// Not there, or not visible to the caller.
    #[error("no such locker")]
    LockerNotFound,
    /// The name is taken.
    #[error("another locker has this name")]
    NameTaken,
    /// The version in the request is not the current one.
    #[error("the locker was changed meanwhile")]
    VersionConflict,
    /// `If-Match` does not match.
    #[error("the entity tag does not match")]
    PreconditionFailed,
    /// The caller sees it but may not do this.
    #[error("not permitted")]
    NotPermitted(Action),
    /// A right of the caller is not effective without this permission.
    #[error("a permission is missing")]
    PermissionRequired(Permission),
    /// An administrator of lockers gives to itself.
    #[error("nobody gives to himself")]
    SelfGrant(Grant),
    /// Nobody would own it any more.
    #[error("a locker keeps an owner")]
    LastOwner,
    /// It takes nothing any more.
    #[error("the locker is being deleted")]
    BeingDeleted,
    /// It holds credentials.
    #[error("the locker holds {0} credentials")]
    NotEmpty(i64),
    /// No such user, or it is being deleted.
    #[error("no user {0}")]
    UserNotFound(UserId),
    /// No such role, or it is being deleted.
    #[error("no role {0}")]
    RoleNotFound(RoleId),
    /// A system role consumes nothing.
    #[error("{name} is a system role")]
    SystemRole {
        /// The role's name.
        name: String,
    },
    /// The user is no member.
    #[error("user {0} is no member")]
    MemberNotFound(UserId),
    /// What was known of who holds the role may have changed.
    #[error("role {0} was looked at meanwhile")]
    RoleOvertaken(RoleId),
    /// The role is no consumer.
    #[error("role {0} is no consumer")]
    ConsumerNotFound(RoleId),
    /// A step of an attempt to delete somebody that was given up.
    #[error("the attempt was given up")]
    Superseded,
    /// Its deletion was given up or finished by another call meanwhile.
    #[error("another call was quicker")]
    Overtaken,
    /// The list was asked for something that it does not have.
    #[error("the list refuses")]
    List(#[from] coffre_db::list::Error),
    /// Auth could not be asked.
    #[error("auth does not answer")]
    AuthUnavailable,
    /// Vault could not be asked.
    #[error("vault does not answer")]
    VaultUnavailable,
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] coffre_db::Error),
}

impl LockerError {
    /// Refuses a field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), description: description.into() }
    }
}
