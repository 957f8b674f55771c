//! The permissions that roles hold. Their numbers are stable for ever: rows and answers carry them.

/// One permission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Permission {
    /// Own credentials, attributes and values; use what lockers share.
    ManageMyCredentials,
    /// Create lockers, act on those one is a member of.
    ManageMyLockers,
    /// See all lockers and all credentials, never their values.
    AdministerAllLockers,
    /// Read and write every value, standard and per user.
    ManageAllValues,
    /// The vault's mode and master key, key rotation.
    ManageSettings,
    /// The whole audit log.
    ViewAllAudit,
    /// Users and roles.
    ManageUsers,
    /// API accesses.
    ManageApiAccess,
    /// May obtain a `public-api` token.
    ConnectToApi,
    /// Own API keys.
    GenerateApiKey,
}

impl Permission {
    /// Every permission, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::ManageMyCredentials,
        Self::ManageMyLockers,
        Self::AdministerAllLockers,
        Self::ManageAllValues,
        Self::ManageSettings,
        Self::ViewAllAudit,
        Self::ManageUsers,
        Self::ManageApiAccess,
        Self::ConnectToApi,
        Self::GenerateApiKey,
    ];

    /// Returns its number.
    #[must_use]
    pub const fn id(self) -> i64 {
        match self {
            Self::ManageMyCredentials => 1,
            Self::ManageMyLockers => 2,
            Self::AdministerAllLockers => 3,
            Self::ManageAllValues => 4,
            Self::ManageSettings => 5,
            Self::ViewAllAudit => 6,
            Self::ManageUsers => 7,
            Self::ManageApiAccess => 8,
            Self::ConnectToApi => 9,
            Self::GenerateApiKey => 10,
        }
    }

    /// Finds a permission by its number.
    #[must_use]
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.id() == id)
    }

    /// Returns what it allows to do.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::ManageMyCredentials => "managecredentials",
            Self::ManageMyLockers | Self::GenerateApiKey => "create",
            Self::AdministerAllLockers => "administer",
            Self::ManageAllValues => "manageall",
            Self::ManageSettings | Self::ManageUsers | Self::ManageApiAccess => "manage",
            Self::ViewAllAudit => "viewall",
            Self::ConnectToApi => "connect",
        }
    }

    /// Returns on what it allows to do it.
    #[must_use]
    pub const fn resource_type(self) -> &'static str {
        match self {
            Self::ManageMyCredentials => "credentials",
            Self::ManageMyLockers | Self::AdministerAllLockers => "locker",
            Self::ManageAllValues => "credentialattribute",
            Self::ManageSettings => "settings",
            Self::ViewAllAudit => "auditlog",
            Self::ManageUsers => "usermanagement",
            Self::ManageApiAccess => "apiaccess",
            Self::ConnectToApi => "api",
            Self::GenerateApiKey => "apikey",
        }
    }

    /// Returns the English name shown to people.
    #[must_use]
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::ManageMyCredentials => "Manage my credentials and lockers",
            Self::ManageMyLockers => "Manage my lockers",
            Self::AdministerAllLockers => "Administer all lockers",
            Self::ManageAllValues => "View and edit ALL credentials attributes value",
            Self::ManageSettings => "View and manage settings",
            Self::ViewAllAudit => "View everyone's audit log actions",
            Self::ManageUsers => "Manage users and roles",
            Self::ManageApiAccess => "Manage API access",
            Self::ConnectToApi => "Connect to the API",
            Self::GenerateApiKey => "Generate API key",
        }
    }

    const fn bit(self) -> u32 {
        1 << self.id()
    }
}

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PermissionSet(u32);

impl PermissionSet {
    /// The set without any.
    pub const EMPTY: Self = Self(0);

    /// Says whether the permission is in the set.
    #[must_use]
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Returns the set with one more.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | permission.bit())
    }

    /// Returns the permissions that are in this set and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the permissions of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Says whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the permissions in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        permissions.into_iter().fold(Self::EMPTY, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_rows_hold() {
        let ids: Vec<i64> = Permission::ALL.iter().map(|permission| permission.id()).collect();
        assert_eq!(ids, (1..=10).collect::<Vec<i64>>());
        assert_eq!(Permission::from_id(5), Some(Permission::ManageSettings));
        assert_eq!(Permission::from_id(11), None);
    }

    #[test]
    fn sets_add_and_take_away() {
        let all: PermissionSet = Permission::ALL.into_iter().collect();
        let one = PermissionSet::EMPTY.with(Permission::ManageUsers);
        assert!(all.contains(Permission::GenerateApiKey));
        assert!(!all.without(one).contains(Permission::ManageUsers));
        assert_eq!(all.iter().count(), 10);
        assert!(one.without(all).is_empty());
    }
}
