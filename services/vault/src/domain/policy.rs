//! Who may do what: the matrix of the contract (section 5), written once.
//!
//! A caller stands to a credential in one or more ways ([`Standing`]): as its owner, through the locker that holds it, or by an
//! administrative permission. A standing counts only with its base permission. [`Action::allowed_to`] is the matrix; everything else
//! here reads it. A [`Permit`] can be made in this file alone, and whatever changes or releases something asks for one.

use std::marker::PhantomData;

use coffre_types::{Caller, CredentialId, Permission, UserId};

use super::error::VaultError;
use super::model::{Credential, Value};

/// How a caller stands to a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Owns it.
    Owner,
    /// Is an `own` or `manage` member of its locker.
    Manager,
    /// Is a `participate` member of its locker.
    Participant,
    /// Has a role that consumes its locker.
    Consumer,
    /// Holds *Administer all lockers*.
    LockerAdmin,
    /// Holds *View and edit ALL credentials attributes value*.
    ValueAdmin,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 6] =
        [Self::Owner, Self::Manager, Self::Participant, Self::Consumer, Self::LockerAdmin, Self::ValueAdmin];

    /// Returns the permission without which the standing is not effective.
    #[must_use]
    pub const fn base(self) -> Permission {
        match self {
            Self::Owner | Self::Consumer => Permission::ManageMyCredentials,
            Self::Manager | Self::Participant => Permission::ManageMyLockers,
            Self::LockerAdmin => Permission::AdministerAllLockers,
            Self::ValueAdmin => Permission::ManageAllValues,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a caller wants to do with a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// See its names and attributes.
    See,
    /// Change it and its attributes.
    Change,
    /// Delete it.
    Delete,
    /// Put it into a locker.
    Assign,
    /// Take it out of its locker.
    Withdraw,
    /// Give it to another owner.
    Transfer,
    /// Read a standard value.
    ReadStandard,
    /// Write a standard value.
    WriteStandard,
    /// Read one's own user-provided value.
    ReadOwn,
    /// Write one's own user-provided value.
    WriteOwn,
    /// Read another's user-provided value.
    ReadOther,
    /// Write another's user-provided value.
    WriteOther,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 12] = [
        Self::See,
        Self::Change,
        Self::Delete,
        Self::Assign,
        Self::Withdraw,
        Self::Transfer,
        Self::ReadStandard,
        Self::WriteStandard,
        Self::ReadOwn,
        Self::WriteOwn,
        Self::ReadOther,
        Self::WriteOther,
    ];

    /// The matrix. A participant sees its own credentials only, and those it sees as their owner.
    #[must_use]
    pub const fn allowed_to(self) -> &'static [Standing] {
        use Standing::{Consumer, LockerAdmin, Manager, Owner, ValueAdmin};
        match self {
            Self::See => &[Owner, Manager, Consumer, LockerAdmin, ValueAdmin],
            Self::Change | Self::Delete | Self::Assign => &[Owner],
            Self::Withdraw => &[Owner, Manager, LockerAdmin],
            Self::Transfer => &[Owner, LockerAdmin],
            Self::ReadStandard => &[Owner, Consumer, ValueAdmin],
            Self::WriteStandard => &[Owner, Manager, ValueAdmin],
            Self::ReadOwn | Self::WriteOwn => &[Owner, Consumer, ValueAdmin],
            Self::ReadOther | Self::WriteOther => &[ValueAdmin],
        }
    }

    fn mask(self) -> u8 {
        self.allowed_to().iter().fold(0, |mask, standing| mask | standing.bit())
    }
}

/// What the locker service says about a caller and the locker that holds a credential. Without a locker: nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LockerAnswer {
    /// An `own` or `manage` member.
    pub manager: bool,
    /// A `participate` member.
    pub participant: bool,
    /// A user of a consuming role.
    pub consumer: bool,
}

/// What a caller may do with one credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    caller: UserId,
    credential: CredentialId,
    effective: u8,
    /// Standings whose base permission is missing.
    idle: u8,
}

impl Rights {
    /// Finds out how a caller stands to a credential.
    #[must_use]
    pub fn of(caller: &Caller, credential: &Credential, locker: LockerAnswer) -> Self {
        let (mut effective, mut idle) = (0, 0);
        for standing in Standing::ALL {
            let stands = match standing {
                Standing::Owner => credential.owner == caller.user_id,
                Standing::Manager => locker.manager,
                Standing::Participant => locker.participant,
                Standing::Consumer => locker.consumer,
                Standing::LockerAdmin | Standing::ValueAdmin => caller.has(standing.base()),
            };
            if stands && caller.has(standing.base()) {
                effective |= standing.bit();
            } else if stands {
                idle |= standing.bit();
            }
        }
        Self { caller: caller.user_id, credential: credential.id, effective, idle }
    }

    /// Says whether the caller may.
    #[must_use]
    pub fn may(self, action: Action) -> bool {
        self.effective & action.mask() != 0
    }

    /// Says whether a standing is effective.
    #[must_use]
    pub fn stands_as(self, standing: Standing) -> bool {
        self.effective & standing.bit() != 0
    }

    /// Decides.
    ///
    /// # Errors
    /// Not visible → `CredentialNotFound`. A standing would do but for its base permission → `PermissionRequired`. Visible and
    /// otherwise not allowed → `NotPermitted`.
    pub fn check(self, action: Action) -> Result<(), VaultError> {
        if self.may(action) {
            return Ok(());
        }
        if let Some(base) = self.missing_base(action) {
            return Err(VaultError::PermissionRequired(base));
        }
        if self.may(Action::See) {
            return Err(VaultError::NotPermitted(action));
        }
        Err(self.missing_base(Action::See).map_or(VaultError::CredentialNotFound, VaultError::PermissionRequired))
    }

    fn missing_base(self, action: Action) -> Option<Permission> {
        action.allowed_to().iter().find(|standing| self.idle & standing.bit() != 0).map(|standing| standing.base())
    }

    /// Gives the permit for an act.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub fn permit<A: Act>(self, _: A) -> Result<Permit<A>, VaultError> {
        self.check(A::ACTION)?;
        Ok(Permit { credential: self.credential, act: PhantomData })
    }

    /// Gives the permit to hand a credential to a new owner.
    ///
    /// # Errors
    /// As for [`Self::check`]; an administrator of lockers does not give to itself (`SelfGrant`).
    pub fn permit_transfer(self, new_owner: UserId) -> Result<Permit<Transfer>, VaultError> {
        let permit = self.permit(Transfer)?;
        if new_owner == self.caller && !self.stands_as(Standing::Owner) {
            return Err(VaultError::SelfGrant);
        }
        Ok(permit)
    }

    /// Gives the permit to write the value of an attribute for everybody (`None`) or for a user.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub fn permit_write(self, user: Option<UserId>) -> Result<Permit<WriteValue>, VaultError> {
        self.check(match user {
            None => Action::WriteStandard,
            Some(user) if user == self.caller => Action::WriteOwn,
            Some(_) => Action::WriteOther,
        })?;
        Ok(Permit { credential: self.credential, act: PhantomData })
    }

    /// Says which values the caller may read, narrowed to one user's where it asks for that.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub fn permit_read(self, user: Option<UserId>) -> Result<ReadScope, VaultError> {
        self.check(Action::See)?;
        if let Some(user) = user.filter(|user| *user != self.caller) {
            self.check(Action::ReadOther)?;
            return Ok(ReadScope { credential: self.credential, users: Users::One(user), released: true });
        }
        let released = self.may(Action::ReadStandard);
        if !released {
            // Who may write standard values and not read them gets the entries, so that they can be changed, without the secret.
            self.check(Action::WriteStandard).map_err(|_| VaultError::NotPermitted(Action::ReadStandard))?;
            return Ok(ReadScope { credential: self.credential, users: Users::Nobody, released });
        }
        let users = if user.is_none() && self.may(Action::ReadOther) { Users::All } else { Users::One(self.caller) };
        Ok(ReadScope { credential: self.credential, users, released })
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
    /// Seeing a credential.
    See;
    /// Changing a credential and its attributes.
    Change;
    /// Deleting a credential.
    Delete;
    /// Giving a credential to another owner.
    Transfer;
}

/// Writing or deleting a value.
#[derive(Clone, Copy, Debug)]
pub struct WriteValue;

/// The proof that a caller may make credentials. Only this file makes one.
#[derive(Clone, Copy, Debug)]
pub struct Creation(());

impl Creation {
    /// Gives the permit to make credentials.
    ///
    /// # Errors
    /// `PermissionRequired` without *Manage my credentials and lockers*.
    pub fn permit(caller: &Caller) -> Result<Self, VaultError> {
        let base = Standing::Owner.base();
        if caller.has(base) { Ok(Self(())) } else { Err(VaultError::PermissionRequired(base)) }
    }
}

/// The proof that the policy was asked. Only this file makes one.
#[derive(Clone, Copy, Debug)]
pub struct Permit<A> {
    credential: CredentialId,
    act: PhantomData<A>,
}

impl<A> Permit<A> {
    /// Returns the credential to which it applies.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.credential
    }
}

/// Whose user-provided values are read, besides the standard ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Users {
    /// Nobody's.
    Nobody,
    /// One user's.
    One(UserId),
    /// Everybody's.
    All,
}

/// The proof that values may be read, and which. Only this file makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadScope {
    credential: CredentialId,
    users: Users,
    released: bool,
}

impl ReadScope {
    /// Returns the credential.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// Returns whose values.
    #[must_use]
    pub fn users(&self) -> Users {
        self.users
    }

    /// Says whether the secrets leave, or the entries alone.
    #[must_use]
    pub fn released(&self) -> bool {
        self.released
    }
}

/// Values that were loaded and not yet released. Only a [`ReadScope`] gets them out.
#[derive(Debug)]
pub struct Unreleased(Vec<Value>);

impl Unreleased {
    /// Takes values as they were loaded.
    #[must_use]
    pub fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// Returns those that the scope covers, in the order of their attributes.
    #[must_use]
    pub fn release(self, scope: &ReadScope) -> Vec<Value> {
        let mut values = self.0;
        values.retain(|value| {
            value.credential == scope.credential
                && match (scope.users, value.user) {
                    (_, None) | (Users::All, _) => true,
                    (Users::One(reader), Some(user)) => reader == user,
                    (Users::Nobody, Some(_)) => false,
                }
        });
        values.sort_unstable_by_key(|value| (value.attribute, value.user, value.id));
        values
    }
}

/// Which credentials a list shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visible {
    /// All of them.
    All,
    /// Those of an owner.
    OwnedBy(UserId),
    /// None: no standing of the caller can be effective without lockers.
    None,
}

impl Visible {
    /// Says which credentials a caller sees.
    ///
    /// # Errors
    /// `PermissionRequired` where the caller holds none of the permissions through which a credential could be seen.
    pub fn to(caller: &Caller) -> Result<Self, VaultError> {
        if caller.has(Permission::AdministerAllLockers) || caller.has(Permission::ManageAllValues) {
            Ok(Self::All)
        } else if caller.has(Permission::ManageMyCredentials) {
            Ok(Self::OwnedBy(caller.user_id))
        } else if caller.has(Permission::ManageMyLockers) {
            Ok(Self::None)
        } else {
            Err(VaultError::PermissionRequired(Permission::ManageMyCredentials))
        }
    }
}

#[cfg(test)]
mod tests;
