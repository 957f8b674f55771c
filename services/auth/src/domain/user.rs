//! Users.

use coffre_secret::SecretText;
use coffre_types::{Description, Name, Permission, PermissionSet, RoleId, Timestamp, UserId, Version};

use super::error::Invalid;

/// A role as a user holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HeldRole {
    pub(crate) id: RoleId,
    pub(crate) name: String,
}

/// Somebody who can sign in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) username: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) email: String,
    pub(crate) description: Option<String>,
    pub(crate) disabled: bool,
    pub(crate) password_set: bool,
    pub(crate) password_change_required: bool,
    pub(crate) epoch: i64,
    pub(crate) version: Version,
    pub(crate) created_by: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_by: i64,
    pub(crate) updated_at: Timestamp,
    pub(crate) deleting: bool,
    pub(crate) roles: Vec<HeldRole>,
    /// Of all roles together.
    pub(crate) permissions: PermissionSet,
    pub(crate) administrator: bool,
}

/// What a sign-in needs of a user, read in one row.
#[derive(Clone)]
pub(crate) struct SignInRow {
    pub(crate) id: UserId,
    pub(crate) username: String,
    pub(crate) password_hash: Option<String>,
    pub(crate) epoch: i64,
    pub(crate) disabled: bool,
}

/// Which users are to be described: whoever matches one of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whom {
    pub(crate) users: Vec<UserId>,
    /// Whoever holds one of these roles.
    pub(crate) roles: Vec<RoleId>,
    /// Whoever holds one of these permissions.
    pub(crate) permissions: Vec<Permission>,
}

/// A user with what its roles give.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Described {
    pub(crate) id: UserId,
    pub(crate) username: String,
    pub(crate) disabled: bool,
    pub(crate) roles: Vec<(HeldRole, PermissionSet)>,
}

/// A user about to be stored.
#[derive(Clone)]
pub(crate) struct NewUser {
    pub(crate) username: Name,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) email: String,
    pub(crate) description: Option<String>,
    pub(crate) disabled: bool,
    pub(crate) password_change_required: bool,
    /// Who makes it; 0 for the system.
    pub(crate) by: i64,
    pub(crate) now: Timestamp,
}

/// What a caller asks for when it makes a user.
pub(crate) struct UserDraft {
    pub(crate) username: Name,
    pub(crate) password: SecretText,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) email: String,
    pub(crate) description: Option<String>,
    pub(crate) disabled: bool,
    pub(crate) roles: Vec<RoleId>,
}

/// What a caller asks to change. `None` leaves a field as it is.
#[derive(Default)]
pub(crate) struct UserPatch {
    pub(crate) version: Option<i64>,
    pub(crate) etag: String,
    pub(crate) username: Option<Name>,
    pub(crate) password: Option<SecretText>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) email: Option<String>,
    /// `Some(None)` removes it.
    pub(crate) description: Option<Option<String>>,
    pub(crate) disabled: Option<bool>,
    pub(crate) roles: Option<Vec<RoleId>>,
}

/// The longest given name, family name and address, in characters.
const SHORT_TEXT: usize = 255;

/// Checks a text of one line.
pub(crate) fn short_text(field: &str, text: String) -> Result<String, Invalid> {
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    if text.chars().count() > SHORT_TEXT {
        return Err(Invalid::new(field, format!("must have at most {SHORT_TEXT} characters")));
    }
    Ok(text)
}

/// Checks a name.
pub(crate) fn name(field: &str, text: String) -> Result<Name, Invalid> {
    Name::parse(text).map_err(|fault| Invalid::new(field, fault.to_string()))
}

/// Checks a description; an empty one is none.
pub(crate) fn description(text: Option<String>) -> Result<Option<String>, Invalid> {
    match text {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Description::parse(text)
            .map(|description| Some(description.into_string()))
            .map_err(|fault| Invalid::new("description", fault.to_string())),
    }
}

/// Writes roles for the audit: ids and names.
pub(crate) fn roles_text(roles: &[HeldRole]) -> String {
    roles.iter().map(|role| format!("{} ({})", role.id, role.name)).collect::<Vec<_>>().join(", ")
}
