//! Roles.

use coffre_types::{Name, Permission, PermissionSet, RoleId, Timestamp, Version};

/// The roles that the system makes. They cannot be changed or deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SystemRole {
    Admin,
    Basic,
    LockerAdmin,
}

impl SystemRole {
    pub(crate) const ALL: [Self; 3] = [Self::Admin, Self::Basic, Self::LockerAdmin];

    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Admin => 1,
            Self::Basic => 2,
            Self::LockerAdmin => 3,
        }
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Admin => "AAE_Admin",
            Self::Basic => "AAE_Basic",
            Self::LockerAdmin => "AAE_Locker Admin",
        }
    }

    pub(crate) fn permissions(self) -> PermissionSet {
        match self {
            Self::Admin => Permission::ALL
                .into_iter()
                .filter(|permission| {
                    !matches!(permission, Permission::ManageAllValues | Permission::AdministerAllLockers)
                })
                .collect(),
            Self::Basic => [Permission::ManageMyCredentials, Permission::ManageMyLockers, Permission::ConnectToApi]
                .into_iter()
                .collect(),
            Self::LockerAdmin => [Permission::AdministerAllLockers].into_iter().collect(),
        }
    }
}

/// A named set of permissions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Role {
    pub(crate) id: RoleId,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) permissions: PermissionSet,
    pub(crate) system: Option<SystemRole>,
    pub(crate) version: Version,
    pub(crate) created_by: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_by: i64,
    pub(crate) updated_at: Timestamp,
    pub(crate) user_count: i64,
}

/// A role about to be stored.
#[derive(Clone)]
pub(crate) struct NewRole {
    pub(crate) name: Name,
    pub(crate) description: Option<String>,
    pub(crate) permissions: PermissionSet,
    pub(crate) system: Option<SystemRole>,
    pub(crate) by: i64,
    pub(crate) now: Timestamp,
}

/// What a caller asks for when it makes a role.
pub(crate) struct RoleDraft {
    pub(crate) name: Name,
    pub(crate) description: Option<String>,
    pub(crate) permissions: PermissionSet,
}

/// What a caller asks to change. `None` leaves a field as it is.
#[derive(Default)]
pub(crate) struct RolePatch {
    pub(crate) version: Option<i64>,
    pub(crate) etag: String,
    pub(crate) name: Option<Name>,
    pub(crate) description: Option<Option<String>>,
    pub(crate) permissions: Option<PermissionSet>,
}

/// Writes permissions for the audit.
pub(crate) fn permissions_text(permissions: PermissionSet) -> String {
    permissions.iter().map(Permission::display_name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_roles_hold_what_the_contract_says() {
        let admin = SystemRole::Admin.permissions();
        assert_eq!(admin.iter().count(), 8);
        assert!(!admin.contains(Permission::ManageAllValues));
        assert!(!admin.contains(Permission::AdministerAllLockers));
        assert_eq!(permissions_text(SystemRole::LockerAdmin.permissions()), "Administer all lockers");
        assert_eq!(SystemRole::Basic.permissions().iter().count(), 3);
    }
}
