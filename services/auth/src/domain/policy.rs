//! Who may do what. The permits of this module are made here and nowhere else; a use case asks for one.

use std::time::Duration;

use coffre_types::{Caller, Permission, PermissionSet, RoleId, Timestamp, UserId};

use super::error::{CallerFault, CannotGive, Denied, GrantFault};
use super::ports::Keeper;
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

    /// Returns what a transaction has to know of whoever asks. A sign-in is recent for as long as `recent`.
    pub(crate) fn asking(self, recent: Duration, now: Timestamp) -> Asking {
        Asking { user: self.caller.user_id, recent: self.caller.signed_in_within(recent, now) }
    }
}

/// Who asks for a change of users or roles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub(crate) user: UserId,
    /// He signed in with the password a moment ago.
    pub(crate) recent: bool,
}

/// Gives the right to administer users and roles to those who hold it.
pub(crate) fn manage_users(caller: &Caller) -> Result<ManageUsers<'_>, Denied> {
    if caller.has(Permission::ManageUsers) { Ok(ManageUsers { caller }) } else { Err(Denied(Permission::ManageUsers)) }
}

/// The right to have API keys of one's own.
#[derive(Clone, Copy)]
pub(crate) struct UseApiKeys<'a> {
    caller: &'a Caller,
}

impl<'a> UseApiKeys<'a> {
    /// Returns who holds it.
    pub(crate) fn caller(self) -> &'a Caller {
        self.caller
    }
}

/// Gives the right to have API keys to those who hold it. To revoke one's own nobody needs it.
pub(crate) fn use_api_keys(caller: &Caller) -> Result<UseApiKeys<'_>, Denied> {
    let permission = Permission::GenerateApiKey;
    if caller.has(permission) { Ok(UseApiKeys { caller }) } else { Err(Denied(permission)) }
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
    missing: [Option<Permission>; 2],
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

    /// Returns the permission without which what a keeper has may not be given, where the caller lacks it.
    pub(crate) fn missing(self, keeper: Keeper) -> Option<Permission> {
        let [credentials, lockers] = self.missing;
        match keeper {
            Keeper::Vault => credentials,
            Keeper::Locker => lockers,
        }
    }
}

/// Gives the right to hand over what a user holds: to those who administer lockers, who never give to themselves, and to the user itself.
/// What one owns oneself is effective with its base permission alone, so it is given with that permission alone.
pub(crate) fn give_holdings(caller: &Caller, from: UserId, to: UserId) -> Result<GiveHoldings<'_>, CannotGive> {
    let administers = caller.has(Permission::AdministerAllLockers);
    if caller.user_id != from {
        if !administers {
            return Err(CannotGive::Denied(Denied(Permission::AdministerAllLockers)));
        }
        if caller.user_id == to {
            return Err(CannotGive::ToSelf);
        }
    }
    let missing = [Permission::ManageMyCredentials, Permission::ManageMyLockers]
        .map(|base| (!administers && !caller.has(base)).then_some(base));
    Ok(GiveHoldings { caller, from, to, missing })
}

/// What holding a role gives.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) role: RoleId,
    pub(crate) name: String,
    pub(crate) permissions: PermissionSet,
    pub(crate) administrator: bool,
    /// The system made it, so it consumes nothing.
    pub(crate) system: bool,
}

/// To whom something would be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum To {
    Oneself,
    Others,
}

/// What is never given by a key, a token of the OAuth side or an old session: whoever has them for a moment would make himself somebody who
/// does with a password of his own what they may not do (`security.md` 1.7).
const RESERVED: [Permission; 4] =
    [Permission::ManageUsers, Permission::ManageApiAccess, Permission::GenerateApiKey, Permission::ManageSettings];

/// What the caller of a change holds while its transaction runs. What was true when the call came in decides nothing: it may have changed
/// since, and perhaps by the caller's own hand in another call.
#[derive(Clone, Debug)]
pub(crate) struct Giver {
    user: UserId,
    roles: Vec<RoleId>,
    permissions: PermissionSet,
    administrator: bool,
    recent: bool,
}

/// Gives the right to change users and roles within a transaction that has read the caller.
pub(crate) fn giver(caller: Option<User>, recent: bool) -> Result<Giver, CallerFault> {
    let caller = caller.filter(|caller| !caller.disabled).ok_or(CallerFault::Gone)?;
    if !caller.permissions.contains(Permission::ManageUsers) {
        return Err(CallerFault::Denied(Denied(Permission::ManageUsers)));
    }
    Ok(Giver {
        user: caller.id,
        roles: caller.roles.iter().map(|role| role.id).collect(),
        permissions: caller.permissions,
        administrator: caller.administrator,
        recent,
    })
}

impl Giver {
    /// Nobody gives more than he holds; only an administrator may, and never to himself (`security.md` 3.1).
    fn may_reach(&self, permissions: PermissionSet, administrator: bool, to: To) -> Result<(), GrantFault> {
        let missing = permissions.without(self.permissions).iter().next();
        let exceeds = missing.is_some() || (administrator && !self.administrator);
        match (exceeds, to) {
            (false, _) => Ok(()),
            (true, To::Oneself) => Err(GrantFault::ToSelf),
            (true, To::Others) if self.administrator => Ok(()),
            (true, To::Others) => Err(GrantFault::Exceeds(missing)),
        }
    }

    /// The same, and what is reserved is given after a recent sign-in alone.
    fn may_give(&self, permissions: PermissionSet, administrator: bool, to: To) -> Result<(), GrantFault> {
        self.may_reach(permissions, administrator, to)?;
        let reserved = RESERVED.into_iter().find(|reserved| permissions.contains(*reserved));
        match self.recent || (reserved.is_none() && !administrator) {
            true => Ok(()),
            false => Err(GrantFault::Reserved(reserved)),
        }
    }

    /// Says whether roles may be given to a user, `None` being one who is about to be made.
    pub(crate) fn may_assign(&self, target: Option<UserId>, added: &[Grant]) -> Result<(), GrantFault> {
        let to = if self.is(target) { To::Oneself } else { To::Others };
        let permissions = added.iter().fold(PermissionSet::EMPTY, |all, grant| all.union(grant.permissions));
        self.may_give(permissions, added.iter().any(|grant| grant.administrator), to)
    }

    /// Says whether the rank of an administrator may be taken from somebody. Whoever could do it without being one would then choose the
    /// password of who is none any more, and so get what the rank protects.
    pub(crate) fn may_strip(&self) -> Result<(), GrantFault> {
        if self.administrator { Ok(()) } else { Err(GrantFault::OfAdministrator) }
    }

    /// Says whether permissions may be added to a role.
    pub(crate) fn may_grant(&self, role: RoleId, added: PermissionSet) -> Result<(), GrantFault> {
        let to = if self.roles.contains(&role) { To::Oneself } else { To::Others };
        self.may_give(added, false, to)
    }

    /// Says whether a role with these permissions may be made. Nobody holds it yet, so nobody is given anything that is reserved.
    pub(crate) fn may_make(&self, permissions: PermissionSet) -> Result<(), GrantFault> {
        self.may_reach(permissions, false, To::Others)
    }

    /// Says whether the caller is a user.
    pub(crate) fn is(&self, user: Option<UserId>) -> bool {
        user == Some(self.user)
    }

    /// Of roles that would be given to a user, or whose holder the caller could act as, returns those that count for what they consume: the
    /// caller does not hold them himself, and is no administrator who gives to others.
    pub(crate) fn in_question(&self, target: Option<UserId>, given: &[Grant]) -> Vec<RoleId> {
        if self.administrator && !self.is(target) {
            return Vec::new();
        }
        let counts = |grant: &&Grant| !grant.system && !self.roles.contains(&grant.role);
        given.iter().filter(counts).map(|grant| grant.role).collect()
    }

    /// Refuses a role in question that consumes something.
    pub(crate) fn may_not_hand(&self, target: Option<UserId>, role: RoleId) -> GrantFault {
        if self.is(target) { GrantFault::ConsumesToSelf(role) } else { GrantFault::Consumes(role) }
    }

    /// Says whether the password of a user may be chosen: whoever does can act as that user. That a recent sign-in is needed the use case
    /// looks at, whatever the user holds.
    pub(crate) fn may_reset_password(&self, target: &User) -> Result<(), GrantFault> {
        self.may_reach(target.permissions, target.administrator, To::Others)
    }

    /// Says whether a user may be renamed: one who is told no new name cannot sign in, so whoever does it shuts out, and an administrator
    /// could be the last one.
    pub(crate) fn may_rename(&self, target: &User) -> Result<(), GrantFault> {
        if self.is(Some(target.id)) {
            return Ok(());
        }
        self.may_reach(target.permissions, target.administrator, To::Others).map_err(|fault| match fault {
            GrantFault::Exceeds(held) => GrantFault::Renames(held),
            other => other,
        })
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
            system: false,
        }
    }

    fn holder(permissions: &[Permission], administrator: bool) -> Giver {
        Giver {
            user: UserId::from_trusted(7),
            roles: vec![RoleId::from_trusted(70)],
            permissions: permissions.iter().copied().collect(),
            administrator,
            recent: true,
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
        let all_values = [Permission::ManageAllValues].into_iter().collect();
        assert!(
            manager.may_make(all_values).is_err() && manager.may_grant(RoleId::from_trusted(71), all_values).is_err()
        );
    }

    #[test]
    fn rule_1_7_what_is_reserved_is_given_after_a_recent_sign_in_alone() {
        for administrator in [false, true] {
            let recent = holder(&Permission::ALL, administrator);
            let old = Giver { recent: false, ..recent.clone() };
            for permission in Permission::ALL {
                let expected =
                    if RESERVED.contains(&permission) { Err(GrantFault::Reserved(Some(permission))) } else { Ok(()) };
                let (given, set) = ([grant(&[permission], false)], PermissionSet::EMPTY.with(permission));
                for target in [None, Some(UserId::from_trusted(8)), Some(UserId::from_trusted(7))] {
                    assert_eq!(recent.may_assign(target, &given), Ok(()));
                    assert_eq!(old.may_assign(target, &given), expected, "{permission:?} to {target:?}");
                }
                for role in [70, 71].map(RoleId::from_trusted) {
                    assert_eq!(recent.may_grant(role, set), Ok(()));
                    assert_eq!(old.may_grant(role, set), expected, "{permission:?} to {role:?}");
                }
                assert_eq!(old.may_make(set), Ok(()), "nobody holds it yet");
            }
        }
        let old = Giver { recent: false, ..holder(&[Permission::ManageUsers], true) };
        assert_eq!(old.may_assign(None, &[grant(&[], true)]), Err(GrantFault::Reserved(None)), "the rank itself");
        let poor = Giver { administrator: false, ..old };
        assert_eq!(
            poor.may_assign(None, &[grant(&[Permission::ManageSettings], false)]),
            Err(GrantFault::Exceeds(Some(Permission::ManageSettings))),
            "what signing in again would not mend comes first"
        );
    }

    #[test]
    fn rule_3_1_an_administrator_gives_more_but_never_to_himself_or_to_a_role_he_holds() {
        let admin = holder(&[Permission::ManageUsers], true);
        let all_values = [grant(&[Permission::ManageAllValues], false)];
        assert_eq!(admin.may_assign(Some(UserId::from_trusted(8)), &all_values), Ok(()));
        assert_eq!(admin.may_assign(Some(UserId::from_trusted(7)), &all_values), Err(GrantFault::ToSelf));
        let added: PermissionSet = [Permission::ManageAllValues].into_iter().collect();
        assert_eq!(admin.may_grant(RoleId::from_trusted(71), added), Ok(()));
        assert_eq!(admin.may_grant(RoleId::from_trusted(70), added), Err(GrantFault::ToSelf));
        assert_eq!(admin.may_grant(RoleId::from_trusted(70), admin.permissions), Ok(()));
    }

    #[test]
    fn rule_3_1_roles_that_the_caller_does_not_hold_count_for_what_they_consume() {
        let [seven, eight] = [7, 8].map(|user| Some(UserId::from_trusted(user)));
        let role = |id, system| Grant { role: RoleId::from_trusted(id), system, ..grant(&[], false) };
        let given = [role(2, true), role(70, false), role(71, false)];
        let counts = vec![RoleId::from_trusted(71)];
        let (manager, admin) = (holder(&[Permission::ManageUsers], false), holder(&[Permission::ManageUsers], true));
        for target in [None, seven, eight] {
            assert_eq!(manager.in_question(target, &given), counts, "{target:?}");
            assert_eq!(
                admin.in_question(target, &given),
                if target == seven { counts.clone() } else { vec![] },
                "{target:?}"
            );
        }
        assert_eq!(admin.may_not_hand(seven, counts[0]), GrantFault::ConsumesToSelf(counts[0]));
        assert_eq!(manager.may_not_hand(eight, counts[0]), GrantFault::Consumes(counts[0]));
        assert_eq!(manager.may_not_hand(None, counts[0]), GrantFault::Consumes(counts[0]));
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
        let missing = |caller: &Caller| {
            let permit = give_holdings(caller, seven, eight).unwrap();
            [Keeper::Vault, Keeper::Locker].map(|keeper| permit.missing(keeper))
        };
        let (credentials, lockers) = (Permission::ManageMyCredentials, Permission::ManageMyLockers);
        assert_eq!(missing(&nobody), [Some(credentials), Some(lockers)], "one's own is not effective");
        assert_eq!(missing(&caller(&[credentials], false)), [None, Some(lockers)]);
        assert_eq!(missing(&caller(&[lockers], false)), [Some(credentials), None]);
        assert_eq!(missing(&admin), [None, None]);
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
