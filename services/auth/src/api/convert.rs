//! Messages as domain values, and back. Secrets move out of a message at once.

use coffre_proto::auth::internal::v1 as internal;
use coffre_proto::auth::v1 as proto;
use coffre_secret::SecretText;
use coffre_types::{ApiKeyId, NameKey, Permission, PermissionSet, RoleId, Timestamp, UserId};

use crate::domain::api_key::ApiKey;
use crate::domain::error::Invalid;
use crate::domain::policy::Shown;
use crate::domain::ports::{Held, Holdings};
use crate::domain::role::{Role, RoleDraft, RolePatch};
use crate::domain::user::{Described, HeldRole, User, UserDraft, UserPatch, Whom, description, name, short_text};

/// The most roles and permissions that one request names.
const MOST_ITEMS: usize = 100;
/// The longest `etag` of a request, in characters.
const LONGEST_ETAG: usize = 1000;

pub(super) fn user_id(id: i64) -> Result<UserId, Invalid> {
    UserId::new(id).ok_or_else(|| Invalid::new("id", "must be a number from 1"))
}

pub(super) fn api_key_id(id: i64) -> Result<ApiKeyId, Invalid> {
    ApiKeyId::new(id).ok_or_else(|| Invalid::new("id", "must be a number from 1"))
}

pub(super) fn recipient_id(id: i64) -> Result<UserId, Invalid> {
    UserId::new(id).ok_or_else(|| Invalid::new("recipient_id", "must be a number from 1"))
}

pub(super) fn role_id(id: i64) -> Result<RoleId, Invalid> {
    RoleId::new(id).ok_or_else(|| Invalid::new("id", "must be a number from 1"))
}

pub(super) fn etag(text: String) -> Result<String, Invalid> {
    if text.chars().count() > LONGEST_ETAG {
        return Err(Invalid::new("etag", format!("must have at most {LONGEST_ETAG} characters")));
    }
    Ok(text)
}

fn at_most<T>(field: &str, items: Vec<T>, most: usize) -> Result<Vec<T>, Invalid> {
    if items.len() > most {
        return Err(Invalid::new(field, format!("must have at most {most} items")));
    }
    Ok(items)
}

/// Reads whom another service wants described. Ids that nobody has, and permissions that there are not, match nobody.
pub(super) fn whom(request: internal::DescribeUsersRequest) -> Result<Whom, Invalid> {
    let users = at_most("user_ids", request.user_ids, 10_000)?;
    let roles = at_most("role_ids", request.role_ids, 1000)?;
    let permissions = at_most("permission_ids", request.permission_ids, MOST_ITEMS)?;
    Ok(Whom {
        users: users.into_iter().filter_map(UserId::new).collect(),
        roles: roles.into_iter().filter_map(RoleId::new).collect(),
        permissions: permissions.into_iter().filter_map(Permission::from_id).collect(),
    })
}

pub(super) fn to_described(user: Described) -> internal::DescribedUser {
    let role = |(role, permissions): (HeldRole, PermissionSet)| internal::DescribedRole {
        role_id: role.id.get(),
        name: role.name,
        permission_ids: permissions.iter().map(Permission::id).collect(),
    };
    internal::DescribedUser {
        user_id: user.id.get(),
        username: user.username,
        disabled: user.disabled,
        roles: user.roles.into_iter().map(role).collect(),
    }
}

pub(super) fn to_holdings(holdings: Holdings) -> proto::ListUserHoldingsResponse {
    let all =
        |held: Held| held.first.into_iter().map(|object| proto::Holding { id: object.id, name: object.name }).collect();
    proto::ListUserHoldingsResponse {
        credential_count: holdings.credentials.total,
        locker_count: holdings.lockers.total,
        credentials: all(holdings.credentials),
        lockers: all(holdings.lockers),
    }
}

fn version(version: Option<i64>) -> Result<Option<i64>, Invalid> {
    match version {
        Some(number) if number < 0 => Err(Invalid::new("version", "must not be negative")),
        version => Ok(version),
    }
}

fn role_ids(roles: proto::RoleIds) -> Result<Vec<RoleId>, Invalid> {
    if roles.ids.len() > MOST_ITEMS {
        return Err(Invalid::new("roles", format!("must have at most {MOST_ITEMS} items")));
    }
    roles
        .ids
        .into_iter()
        .map(|id| RoleId::new(id).ok_or_else(|| Invalid::new("roles", "ids are numbers from 1")))
        .collect()
}

fn permission(reference: &proto::PermissionReference) -> Option<Permission> {
    let same = |given: &str, ours: &str| NameKey::of(given) == NameKey::of(ours);
    let by_id = reference.id != 0;
    let by_name = !reference.name.is_empty();
    let by_action = !reference.action.is_empty() || !reference.resource_type.is_empty();
    if !(by_id || by_name || by_action) {
        return None;
    }
    // Whatever is given must fit: a reference that contradicts itself names nothing.
    Permission::ALL.into_iter().find(|permission| {
        (!by_id || permission.id() == reference.id)
            && (!by_name || same(&reference.name, permission.display_name()))
            && (!by_action
                || same(&reference.action, permission.action())
                    && same(&reference.resource_type, permission.resource_type()))
    })
}

pub(super) fn permissions(references: proto::PermissionReferences) -> Result<PermissionSet, Invalid> {
    if references.items.len() > MOST_ITEMS {
        return Err(Invalid::new("permissions", format!("must have at most {MOST_ITEMS} items")));
    }
    let mut set = PermissionSet::EMPTY;
    for (index, reference) in references.items.iter().enumerate() {
        let found = permission(reference).ok_or_else(|| {
            Invalid::new(
                format!("permissions[{index}]"),
                "names no permission; give its id, its name, or its action and resourceType (GET /v1/usermanagement/permissions)",
            )
        })?;
        set = set.with(found);
    }
    Ok(set)
}

pub(super) fn user_draft(request: proto::CreateUserRequest) -> Result<UserDraft, Invalid> {
    let password = SecretText::new(request.password);
    Ok(UserDraft {
        username: name("username", request.username)?,
        password,
        first_name: short_text("first_name", request.first_name)?,
        last_name: short_text("last_name", request.last_name)?,
        email: short_text("email", request.email)?,
        description: description(request.description)?,
        disabled: request.disabled,
        roles: role_ids(request.roles.unwrap_or_default())?,
    })
}

pub(super) fn user_patch(request: proto::UpdateUserRequest) -> Result<UserPatch, Invalid> {
    let password = request.password.map(SecretText::new);
    let short = |field: &str, text: Option<String>| text.map(|text| short_text(field, text)).transpose();
    Ok(UserPatch {
        version: version(request.version)?,
        etag: etag(request.etag)?,
        username: request.username.map(|text| name("username", text)).transpose()?,
        password,
        first_name: short("first_name", request.first_name)?,
        last_name: short("last_name", request.last_name)?,
        email: short("email", request.email)?,
        description: request.description.map(|text| description(Some(text))).transpose()?,
        disabled: request.disabled,
        roles: request.roles.map(role_ids).transpose()?,
    })
}

pub(super) fn role_draft(request: proto::CreateRoleRequest) -> Result<RoleDraft, Invalid> {
    Ok(RoleDraft {
        name: name("name", request.name)?,
        description: description(request.description)?,
        permissions: permissions(request.permissions.unwrap_or_default())?,
    })
}

pub(super) fn role_patch(request: proto::UpdateRoleRequest) -> Result<RolePatch, Invalid> {
    Ok(RolePatch {
        version: version(request.version)?,
        etag: etag(request.etag)?,
        name: request.name.map(|text| name("name", text)).transpose()?,
        description: request.description.map(|text| description(Some(text))).transpose()?,
        permissions: request.permissions.map(permissions).transpose()?,
    })
}

pub(super) fn to_permission(permission: Permission) -> proto::Permission {
    proto::Permission {
        id: permission.id(),
        action: permission.action().to_owned(),
        resource_type: permission.resource_type().to_owned(),
        name: permission.display_name().to_owned(),
    }
}

fn time(moment: Timestamp) -> Option<prost_types::Timestamp> {
    Some(moment.to_proto())
}

pub(super) fn to_user(user: User) -> proto::User {
    proto::User {
        id: user.id.get(),
        username: user.username,
        first_name: user.first_name,
        last_name: user.last_name,
        email: user.email,
        description: user.description,
        disabled: user.disabled,
        roles: user.roles.into_iter().map(|role| proto::RoleSummary { id: role.id.get(), name: role.name }).collect(),
        permissions: user.permissions.iter().map(to_permission).collect(),
        password_set: user.password_set,
        password_change_required: user.password_change_required,
        version: user.version.get(),
        creator_id: user.created_by,
        create_time: time(user.created_at),
        updater_id: user.updated_by,
        update_time: time(user.updated_at),
    }
}

pub(super) fn to_api_key(key: ApiKey) -> proto::ApiKey {
    proto::ApiKey {
        id: key.id.get(),
        name: key.name,
        hint: key.hint,
        create_time: time(key.created_at),
        expire_time: time(key.expires_at),
        last_use_time: key.last_used_at.and_then(time),
    }
}

pub(super) fn to_role(role: Role) -> proto::Role {
    proto::Role {
        id: role.id.get(),
        name: role.name,
        description: role.description,
        permissions: role.permissions.iter().map(to_permission).collect(),
        system: role.system.is_some(),
        version: role.version.get(),
        creator_id: role.created_by,
        create_time: time(role.created_at),
        updater_id: role.updated_by,
        update_time: time(role.updated_at),
        user_count: role.user_count,
    }
}

/// Leaves of a user what the caller may see.
pub(super) fn to_shown_user(user: User, shown: Shown) -> proto::User {
    match shown {
        Shown::Everything => to_user(user),
        Shown::Names => proto::User { id: user.id.get(), username: user.username, ..proto::User::default() },
    }
}

/// Leaves of a role what the caller may see.
pub(super) fn to_shown_role(role: Role, shown: Shown) -> proto::Role {
    match shown {
        Shown::Everything => to_role(role),
        Shown::Names => proto::Role { id: role.id.get(), name: role.name, ..proto::Role::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(id: i64, name: &str, action: &str, resource_type: &str) -> proto::PermissionReference {
        proto::PermissionReference { id, name: name.into(), action: action.into(), resource_type: resource_type.into() }
    }

    #[test]
    fn permissions_are_named_in_three_ways() {
        let expected = Some(Permission::ManageMyLockers);
        assert_eq!(permission(&reference(2, "", "", "")), expected);
        assert_eq!(permission(&reference(0, "manage MY lockers", "", "")), expected);
        assert_eq!(permission(&reference(0, "", "CREATE", "Locker")), expected);
        assert_eq!(permission(&reference(2, "Manage my lockers", "create", "locker")), expected);
    }

    #[test]
    fn a_reference_that_contradicts_itself_names_nothing() {
        assert_eq!(permission(&reference(3, "Manage my lockers", "", "")), None);
        assert_eq!(permission(&reference(0, "", "create", "")), None);
        assert_eq!(permission(&reference(0, "", "", "")), None);
        assert_eq!(permission(&reference(11, "", "", "")), None);
    }

    #[test]
    fn names_alone_show_nothing_else() {
        let user = User {
            id: UserId::from_trusted(3),
            username: "u".into(),
            first_name: "f".into(),
            last_name: "l".into(),
            email: "e".into(),
            description: Some("d".into()),
            disabled: true,
            password_set: true,
            password_change_required: true,
            epoch: 4,
            version: coffre_types::Version::from_trusted(5),
            created_by: 1,
            created_at: Timestamp::from_micros(1),
            updated_by: 1,
            updated_at: Timestamp::from_micros(1),
            deleting: false,
            roles: vec![],
            permissions: PermissionSet::EMPTY,
            administrator: true,
        };
        let shown = to_shown_user(user, Shown::Names);
        assert_eq!(shown, proto::User { id: 3, username: "u".into(), ..proto::User::default() });
    }
}
