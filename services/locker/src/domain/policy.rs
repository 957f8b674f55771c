//! Who may do what with a locker: the matrix of the contract (section 5), written once.
//!
//! Somebody stands to a locker in one or more ways ([`Standing`]): as a member, through a role that consumes it, or by *Administer all
//! lockers*. A standing counts only with its base permission. [`Action::allowed_to`] is the matrix; everything else here reads it. A
//! [`Permit`] can be made in this file alone, and whatever changes something asks for one.

use std::marker::PhantomData;

use coffre_types::{LockerId, Permission, PermissionSet, RoleId, UserId};

use super::error::LockerError;
use super::model::{Place, Who};

/// How somebody stands to a locker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// An `own` member.
    Owner,
    /// A `manage` member.
    Manager,
    /// A member.
    Participant,
    /// Has a role that consumes it.
    Consumer,
    /// Holds *Administer all lockers*.
    Admin,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Manager, Self::Participant, Self::Consumer, Self::Admin];

    /// Returns the permission without which the standing is not effective.
    #[must_use]
    pub const fn base(self) -> Permission {
        match self {
            Self::Owner | Self::Manager | Self::Participant => Permission::ManageMyLockers,
            Self::Consumer => Permission::ManageMyCredentials,
            Self::Admin => Permission::AdministerAllLockers,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What somebody wants to do with a locker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// See it.
    See,
    /// See who its members are.
    SeeMembers,
    /// See which roles consume it.
    SeeConsumers,
    /// Change its name and description.
    Change,
    /// Add and remove consumers.
    ChangeConsumers,
    /// Add and remove members.
    ChangeMembers,
    /// Delete it.
    Delete,
    /// Put one's own credential in.
    Enter,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] = [
        Self::See,
        Self::SeeMembers,
        Self::SeeConsumers,
        Self::Change,
        Self::ChangeConsumers,
        Self::ChangeMembers,
        Self::Delete,
        Self::Enter,
    ];

    /// The matrix. An `own` member is listed beside `manage` where the contract says "own / manage".
    #[must_use]
    pub const fn allowed_to(self) -> &'static [Standing] {
        use Standing::{Admin, Consumer, Manager, Owner, Participant};
        match self {
            Self::See | Self::SeeConsumers => &[Owner, Manager, Participant, Consumer, Admin],
            Self::SeeMembers => &[Owner, Manager, Participant, Admin],
            Self::Change | Self::ChangeConsumers => &[Owner, Manager, Admin],
            Self::ChangeMembers | Self::Delete => &[Owner, Admin],
            Self::Enter => &[Owner, Manager, Participant],
        }
    }

    fn mask(self) -> u8 {
        self.allowed_to().iter().fold(0, |mask, standing| mask | standing.bit())
    }
}

/// What an administrator of lockers would give to itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grant {
    /// A membership.
    Membership,
    /// The use of what is inside, through a role that it holds.
    Consumption(RoleId),
}

/// What somebody may do with one locker.
#[derive(Clone, Debug)]
pub struct Rights<'a> {
    who: &'a Who,
    locker: LockerId,
    effective: u8,
    /// Standings whose base permission is missing.
    idle: u8,
}

impl<'a> Rights<'a> {
    /// Finds out what somebody may do in its place.
    #[must_use]
    pub fn of(who: &'a Who, locker: LockerId, place: Place) -> Self {
        let (mut effective, mut idle) = (0, 0);
        for standing in Standing::ALL {
            let stands = match standing {
                Standing::Owner => place.member.is_some_and(|member| member.own),
                Standing::Manager => place.member.is_some_and(|member| member.manage),
                Standing::Participant => place.member.is_some(),
                Standing::Consumer => place.consumer,
                Standing::Admin => who.permissions.contains(standing.base()),
            };
            if stands && who.permissions.contains(standing.base()) {
                effective |= standing.bit();
            } else if stands {
                idle |= standing.bit();
            }
        }
        Self { who, locker, effective, idle }
    }

    /// Says whether it may.
    #[must_use]
    pub fn may(&self, action: Action) -> bool {
        self.effective & action.mask() != 0
    }

    /// Decides.
    ///
    /// # Errors
    /// Not visible → `LockerNotFound`. A standing would do but for its base permission → `PermissionRequired`. Visible and otherwise not
    /// allowed → `NotPermitted`.
    pub fn check(&self, action: Action) -> Result<(), LockerError> {
        if self.may(action) {
            return Ok(());
        }
        if let Some(base) = self.missing_base(action) {
            return Err(LockerError::PermissionRequired(base));
        }
        if self.may(Action::See) {
            return Err(LockerError::NotPermitted(action));
        }
        Err(self.missing_base(Action::See).map_or(LockerError::LockerNotFound, LockerError::PermissionRequired))
    }

    fn missing_base(&self, action: Action) -> Option<Permission> {
        action.allowed_to().iter().find(|standing| self.idle & standing.bit() != 0).map(|standing| standing.base())
    }

    /// Gives the permit for an act.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub fn permit<A: Act>(&self, _: A) -> Result<Permit<A>, LockerError> {
        self.check(A::ACTION)?;
        Ok(Permit { locker: self.locker, act: PhantomData })
    }

    /// Says whether an action is allowed by more than *Administer all lockers*.
    fn by_membership(&self, action: Action) -> bool {
        self.effective & action.mask() & !Standing::Admin.bit() != 0
    }

    /// Gives the permit to make a user a member.
    ///
    /// # Errors
    /// As for [`Self::check`]; an administrator of lockers gives nothing to itself (`SelfGrant`).
    pub fn permit_member(&self, user: UserId) -> Result<Permit<ChangeMembers>, LockerError> {
        let permit = self.permit(ChangeMembers)?;
        if user == self.who.user && !self.by_membership(Action::ChangeMembers) {
            return Err(LockerError::SelfGrant(Grant::Membership));
        }
        Ok(permit)
    }

    /// Says whether *Administer all lockers* alone lets the caller add consumers: then it matters which roles it holds.
    #[must_use]
    pub fn administers_consumers(&self) -> bool {
        self.may(Action::ChangeConsumers) && !self.by_membership(Action::ChangeConsumers)
    }

    /// Gives the permit to make a role a consumer, which the caller holds or not.
    ///
    /// # Errors
    /// As for [`Self::check`]; an administrator of lockers adds no role that it holds (`SelfGrant`).
    pub fn permit_consumer(&self, role: RoleId, held: bool) -> Result<Permit<ChangeConsumers>, LockerError> {
        let permit = self.permit(ChangeConsumers)?;
        if held && self.administers_consumers() {
            return Err(LockerError::SelfGrant(Grant::Consumption(role)));
        }
        Ok(permit)
    }
}

/// An act that needs a permit.
pub trait Act: Copy {
    /// Its row in the matrix.
    const ACTION: Action;
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Act for $name {
            const ACTION: Action = Action::$name;
        }
    )*};
}

acts! {
    /// Changing name and description.
    Change;
    /// Adding and removing consumers.
    ChangeConsumers;
    /// Adding and removing members.
    ChangeMembers;
    /// Deleting a locker.
    Delete;
    /// Putting a credential in.
    Enter;
}

/// The proof that the policy was asked. Only this file makes one.
#[derive(Clone, Copy, Debug)]
pub struct Permit<A> {
    locker: LockerId,
    act: PhantomData<A>,
}

impl<A> Permit<A> {
    /// Returns the locker to which it applies.
    #[must_use]
    pub fn locker(&self) -> LockerId {
        self.locker
    }
}

impl Permit<ChangeMembers> {
    /// Gives the permit to hand a locker over with everything else that a user holds. Auth checked the rights of whoever asked.
    #[must_use]
    pub fn of_hand_over(locker: LockerId) -> Self {
        Self { locker, act: PhantomData }
    }
}

/// The proof that somebody may make lockers. Only this file makes one.
#[derive(Clone, Copy, Debug)]
pub struct Creation(());

impl Creation {
    /// Gives the permit to make lockers.
    ///
    /// # Errors
    /// `PermissionRequired` without *Manage my lockers*.
    pub fn permit(permissions: PermissionSet) -> Result<Self, LockerError> {
        let base = Standing::Owner.base();
        if permissions.contains(base) { Ok(Self(())) } else { Err(LockerError::PermissionRequired(base)) }
    }
}

/// Which lockers a list shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// All of them.
    All,
    /// Those of which somebody is a member, those which its roles consume, or both.
    Shared {
        /// Memberships are effective.
        member: bool,
        /// Consumption is effective.
        consumer: bool,
    },
}

impl Reach {
    /// Says which lockers somebody sees.
    ///
    /// # Errors
    /// `PermissionRequired` where it holds none of the permissions through which a locker could be seen.
    pub fn of(permissions: PermissionSet) -> Result<Self, LockerError> {
        if permissions.contains(Standing::Admin.base()) {
            return Ok(Self::All);
        }
        let member = permissions.contains(Standing::Participant.base());
        let consumer = permissions.contains(Standing::Consumer.base());
        if member || consumer {
            Ok(Self::Shared { member, consumer })
        } else {
            Err(LockerError::PermissionRequired(Standing::Participant.base()))
        }
    }
}

/// Says whether somebody's roles let it use what lockers share.
#[must_use]
pub fn consumes(permissions: PermissionSet) -> bool {
    permissions.contains(Standing::Consumer.base())
}

#[cfg(test)]
mod tests;
