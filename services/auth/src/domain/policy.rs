//! Who may do what. The permits of this module are made here and nowhere else; a use case asks for one.

use coffre_types::{Caller, Permission, PermissionSet, RoleId, UserId};

use super::error::{Denied, GrantFault};

/// The right to administer users and roles.
#[derive(Clone, Copy)]
pub(crate) struct ManageUsers<'a> {
    caller: &'a Caller,
}

impl<'a> ManageUsers<'a> {
    /// Returns who holds it.
    pub(crate) fn caller(self) -> &'a Caller {
        self.caller
    }
}

/// Gives the right to administer users and roles to those who hold it.
pub(crate) fn manage_users(caller: &Caller) -> Result<ManageUsers<'_>, Denied> {
    if caller.has(Permission::ManageUsers) { Ok(ManageUsers { caller }) } else { Err(Denied(Permission::ManageUsers)) }
}

/// How much of users and roles a list shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    Everything,
    /// Id and name alone, and of the roles only those that people made.
    Names,
}

/// The right to list users and roles.
#[derive(Clone, Copy)]
pub(crate) struct ListUsers {
    shown: Shown,
}

impl ListUsers {
    pub(crate) fn shown(self) -> Shown {
        self.shown
    }
}

/// Gives the right to list users and roles: whoever manages lockers needs the names of those who share them.
pub(crate) fn list_users(caller: &Caller) -> Result<ListUsers, Denied> {
    if caller.has(Permission::ManageUsers) {
        Ok(ListUsers { shown: Shown::Everything })
    } else if caller.has(Permission::ManageMyLockers) {
        Ok(ListUsers { shown: Shown::Names })
    } else {
        Err(Denied(Permission::ManageUsers))
    }
}

/// What holding a role gives.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) role: RoleId,
    pub(crate) name: String,
    pub(crate) permissions: PermissionSet,
    pub(crate) administrator: bool,
}

/// To whom something would be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum To {
    Oneself,
    Others,
}

/// Nobody gives more than he holds; only an administrator may, and never to himself (`security.md` 3.1).
fn may_give(caller: &Caller, permissions: PermissionSet, administrator: bool, to: To) -> Result<(), GrantFault> {
    let missing = permissions.without(caller.permissions).iter().next();
    let exceeds = missing.is_some() || (administrator && !caller.administrator);
    match (exceeds, to) {
        (false, _) => Ok(()),
        (true, To::Oneself) => Err(GrantFault::ToSelf),
        (true, To::Others) if caller.administrator => Ok(()),
        (true, To::Others) => Err(GrantFault::Exceeds(missing)),
    }
}

/// Says whether a caller may give roles to a user, `None` being one who is about to be made.
pub(crate) fn may_assign(permit: ManageUsers<'_>, target: Option<UserId>, added: &[Grant]) -> Result<(), GrantFault> {
    let to = if target == Some(permit.caller.user_id) { To::Oneself } else { To::Others };
    let permissions = added.iter().fold(PermissionSet::EMPTY, |all, grant| all.union(grant.permissions));
    may_give(permit.caller, permissions, added.iter().any(|grant| grant.administrator), to)
}

/// Says whether a caller may add permissions to a role, `None` being one that is about to be made.
pub(crate) fn may_grant(permit: ManageUsers<'_>, role: Option<RoleId>, added: PermissionSet) -> Result<(), GrantFault> {
    let to = if role.is_some_and(|role| permit.caller.roles.contains(&role)) { To::Oneself } else { To::Others };
    may_give(permit.caller, added, false, to)
}

/// Says whether a caller may choose the password of a user: whoever does can act as that user.
pub(crate) fn may_reset_password(
    permit: ManageUsers<'_>,
    permissions: PermissionSet,
    administrator: bool,
) -> Result<(), GrantFault> {
    may_give(permit.caller, permissions, administrator, To::Others)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coffre_types::{SessionId, Timestamp, TokenKind};

    use super::*;

    fn caller(permissions: &[Permission], administrator: bool) -> Caller {
        Caller {
            user_id: UserId::from_trusted(7),
            username: Arc::from("seven"),
            session_id: SessionId::new(uuid::Uuid::nil()),
            roles: Arc::from([RoleId::from_trusted(70)]),
            permissions: permissions.iter().copied().collect(),
            administrator,
            password_time: Timestamp::default(),
            password_change_required: false,
            kind: TokenKind::Session,
            client_id: None,
        }
    }

    fn grant(permissions: &[Permission], administrator: bool) -> Grant {
        Grant {
            role: RoleId::from_trusted(1),
            name: "r".to_owned(),
            permissions: permissions.iter().copied().collect(),
            administrator,
        }
    }

    #[test]
    fn rule_3_1_nobody_gives_more_than_he_holds() {
        let manager = caller(&[Permission::ManageUsers], false);
        let permit = manage_users(&manager).unwrap();
        assert_eq!(may_assign(permit, None, &[grant(&[Permission::ManageUsers], false)]), Ok(()));
        assert_eq!(
            may_assign(permit, None, &[grant(&[Permission::ManageSettings], false)]),
            Err(GrantFault::Exceeds(Some(Permission::ManageSettings)))
        );
        assert_eq!(may_assign(permit, None, &[grant(&[], true)]), Err(GrantFault::Exceeds(None)));
        assert!(may_grant(permit, None, [Permission::ManageAllValues].into_iter().collect()).is_err());
        assert!(may_reset_password(permit, PermissionSet::EMPTY, true).is_err());
        assert!(may_reset_password(permit, [Permission::ManageSettings].into_iter().collect(), false).is_err());
    }

    #[test]
    fn rule_3_1_an_administrator_gives_more_but_never_to_himself_or_to_a_role_he_holds() {
        let admin = caller(&[Permission::ManageUsers], true);
        let permit = manage_users(&admin).unwrap();
        let all_values = [grant(&[Permission::ManageAllValues], false)];
        assert_eq!(may_assign(permit, Some(UserId::from_trusted(8)), &all_values), Ok(()));
        assert_eq!(may_assign(permit, Some(UserId::from_trusted(7)), &all_values), Err(GrantFault::ToSelf));
        let added: PermissionSet = [Permission::ManageAllValues].into_iter().collect();
        assert_eq!(may_grant(permit, Some(RoleId::from_trusted(71)), added), Ok(()));
        assert_eq!(may_grant(permit, Some(RoleId::from_trusted(70)), added), Err(GrantFault::ToSelf));
        assert_eq!(may_grant(permit, Some(RoleId::from_trusted(70)), admin.permissions), Ok(()));
    }

    #[test]
    fn lists_show_names_to_those_who_manage_lockers() {
        assert_eq!(list_users(&caller(&[Permission::ManageMyLockers], false)).unwrap().shown(), Shown::Names);
        assert_eq!(list_users(&caller(&[Permission::ManageUsers], false)).unwrap().shown(), Shown::Everything);
        assert!(list_users(&caller(&[Permission::ManageMyCredentials], false)).is_err());
    }
}
