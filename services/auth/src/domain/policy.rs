//! Who may do what. The permits of this module are made here and nowhere else; a use case asks for one.

use coffre_types::{Caller, Permission, PermissionSet, RoleId, UserId};

use super::error::{CallerFault, CannotGive, Denied, GrantFault};
use super::user::User;

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

/// The right to see what a user holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeeHoldings {
    of: UserId,
}

impl SeeHoldings {
    /// Returns whose.
    pub(crate) fn of(self) -> UserId {
        self.of
    }
}

/// Gives the right to see what a user holds: to the user itself, and to those who administer users or lockers.
pub(crate) fn see_holdings(caller: &Caller, of: UserId) -> Result<SeeHoldings, Denied> {
    let administers = [Permission::ManageUsers, Permission::AdministerAllLockers];
    if caller.user_id == of || administers.into_iter().any(|permission| caller.has(permission)) {
        Ok(SeeHoldings { of })
    } else {
        Err(Denied(Permission::ManageUsers))
    }
}

/// The right to hand what one user holds to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GiveHoldings<'a> {
    caller: &'a Caller,
    from: UserId,
    to: UserId,
}

impl<'a> GiveHoldings<'a> {
    /// Returns who asks.
    pub(crate) fn caller(self) -> &'a Caller {
        self.caller
    }

    /// Returns who gives.
    pub(crate) fn from(self) -> UserId {
        self.from
    }

    /// Returns who gets.
    pub(crate) fn to(self) -> UserId {
        self.to
    }
}

/// Gives the right to hand over what a user holds: to the user itself, and to those who administer lockers, who never give to themselves.
pub(crate) fn give_holdings(caller: &Caller, from: UserId, to: UserId) -> Result<GiveHoldings<'_>, CannotGive> {
    if caller.user_id != from {
        if !caller.has(Permission::AdministerAllLockers) {
            return Err(CannotGive::Denied(Denied(Permission::AdministerAllLockers)));
        }
        if caller.user_id == to {
            return Err(CannotGive::ToSelf);
        }
    }
    Ok(GiveHoldings { caller, from, to })
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

/// What the caller of a change holds while its transaction runs. What was true when the call came in decides nothing: it may have changed
/// since, and perhaps by the caller's own hand in another call.
#[derive(Clone, Debug)]
pub(crate) struct Giver {
    user: UserId,
    roles: Vec<RoleId>,
    permissions: PermissionSet,
    administrator: bool,
}

/// Gives the right to change users and roles within a transaction that has read the caller.
pub(crate) fn giver(caller: Option<User>) -> Result<Giver, CallerFault> {
    let caller = caller.filter(|caller| !caller.disabled).ok_or(CallerFault::Gone)?;
    if !caller.permissions.contains(Permission::ManageUsers) {
        return Err(CallerFault::Denied(Denied(Permission::ManageUsers)));
    }
    Ok(Giver {
        user: caller.id,
        roles: caller.roles.iter().map(|role| role.id).collect(),
        permissions: caller.permissions,
        administrator: caller.administrator,
    })
}

impl Giver {
    /// Nobody gives more than he holds; only an administrator may, and never to himself (`security.md` 3.1).
    fn may_give(&self, permissions: PermissionSet, administrator: bool, to: To) -> Result<(), GrantFault> {
        let missing = permissions.without(self.permissions).iter().next();
        let exceeds = missing.is_some() || (administrator && !self.administrator);
        match (exceeds, to) {
            (false, _) => Ok(()),
            (true, To::Oneself) => Err(GrantFault::ToSelf),
            (true, To::Others) if self.administrator => Ok(()),
            (true, To::Others) => Err(GrantFault::Exceeds(missing)),
        }
    }

    /// Says whether roles may be given to a user, `None` being one who is about to be made.
    pub(crate) fn may_assign(&self, target: Option<UserId>, added: &[Grant]) -> Result<(), GrantFault> {
        let to = if target == Some(self.user) { To::Oneself } else { To::Others };
        let permissions = added.iter().fold(PermissionSet::EMPTY, |all, grant| all.union(grant.permissions));
        self.may_give(permissions, added.iter().any(|grant| grant.administrator), to)
    }

    /// Says whether the rank of an administrator may be taken from somebody. Whoever could do it without being one would then choose the
    /// password of who is none any more, and so get what the rank protects.
    pub(crate) fn may_strip(&self) -> Result<(), GrantFault> {
        if self.administrator { Ok(()) } else { Err(GrantFault::OfAdministrator) }
    }

    /// Says whether permissions may be added to a role, `None` being one that is about to be made.
    pub(crate) fn may_grant(&self, role: Option<RoleId>, added: PermissionSet) -> Result<(), GrantFault> {
        let to = if role.is_some_and(|role| self.roles.contains(&role)) { To::Oneself } else { To::Others };
        self.may_give(added, false, to)
    }

    /// Says whether the password of a user may be chosen: whoever does can act as that user.
    pub(crate) fn may_reset_password(&self, permissions: PermissionSet, administrator: bool) -> Result<(), GrantFault> {
        self.may_give(permissions, administrator, To::Others)
    }
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

    fn holder(permissions: &[Permission], administrator: bool) -> Giver {
        Giver {
            user: UserId::from_trusted(7),
            roles: vec![RoleId::from_trusted(70)],
            permissions: permissions.iter().copied().collect(),
            administrator,
        }
    }

    #[test]
    fn rule_3_1_nobody_gives_more_than_he_holds() {
        let manager = holder(&[Permission::ManageUsers], false);
        assert_eq!(manager.may_assign(None, &[grant(&[Permission::ManageUsers], false)]), Ok(()));
        assert_eq!(
            manager.may_assign(None, &[grant(&[Permission::ManageSettings], false)]),
            Err(GrantFault::Exceeds(Some(Permission::ManageSettings)))
        );
        assert_eq!(manager.may_assign(None, &[grant(&[], true)]), Err(GrantFault::Exceeds(None)));
        assert!(manager.may_grant(None, [Permission::ManageAllValues].into_iter().collect()).is_err());
        assert!(manager.may_reset_password(PermissionSet::EMPTY, true).is_err());
        assert!(manager.may_reset_password([Permission::ManageSettings].into_iter().collect(), false).is_err());
    }

    #[test]
    fn rule_3_1_an_administrator_gives_more_but_never_to_himself_or_to_a_role_he_holds() {
        let admin = holder(&[Permission::ManageUsers], true);
        let all_values = [grant(&[Permission::ManageAllValues], false)];
        assert_eq!(admin.may_assign(Some(UserId::from_trusted(8)), &all_values), Ok(()));
        assert_eq!(admin.may_assign(Some(UserId::from_trusted(7)), &all_values), Err(GrantFault::ToSelf));
        let added: PermissionSet = [Permission::ManageAllValues].into_iter().collect();
        assert_eq!(admin.may_grant(Some(RoleId::from_trusted(71)), added), Ok(()));
        assert_eq!(admin.may_grant(Some(RoleId::from_trusted(70)), added), Err(GrantFault::ToSelf));
        assert_eq!(admin.may_grant(Some(RoleId::from_trusted(70)), admin.permissions), Ok(()));
    }

    #[test]
    fn holdings_are_seen_by_their_holder_and_by_those_who_administer() {
        let (seven, eight) = (UserId::from_trusted(7), UserId::from_trusted(8));
        assert_eq!(see_holdings(&caller(&[], false), seven).unwrap().of(), seven);
        assert_eq!(see_holdings(&caller(&[], true), eight).unwrap_err(), Denied(Permission::ManageUsers));
        for permission in [Permission::ManageUsers, Permission::AdministerAllLockers] {
            assert_eq!(see_holdings(&caller(&[permission], false), eight).unwrap().of(), eight);
        }
    }

    #[test]
    fn rule_3_1_whoever_administers_lockers_hands_over_but_never_to_himself() {
        let [seven, eight, nine] = [7, 8, 9].map(UserId::from_trusted);
        let admin = caller(&[Permission::AdministerAllLockers], false);
        let nobody = caller(&[Permission::ManageUsers], true);
        assert!(give_holdings(&admin, eight, nine).is_ok());
        assert_eq!(give_holdings(&admin, eight, seven).unwrap_err(), CannotGive::ToSelf);
        assert!(give_holdings(&nobody, seven, eight).is_ok(), "one's own");
        let denied = CannotGive::Denied(Denied(Permission::AdministerAllLockers));
        assert_eq!(give_holdings(&nobody, eight, nine).unwrap_err(), denied);
        assert_eq!(give_holdings(&nobody, eight, seven).unwrap_err(), denied);
    }

    #[test]
    fn lists_show_names_to_those_who_manage_lockers() {
        assert_eq!(list_users(&caller(&[Permission::ManageMyLockers], false)).unwrap().shown(), Shown::Names);
        assert_eq!(list_users(&caller(&[Permission::ManageUsers], false)).unwrap().shown(), Shown::Everything);
        assert!(list_users(&caller(&[Permission::ManageMyCredentials], false)).is_err());
    }
}
