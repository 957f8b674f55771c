//! Who may do what: the matrix of the contract (section 5), written once.
//!
//! A caller stands to a credential in one or more ways ([`Standing`]): as its owner, through the locker that holds it, or by an
//! administrative permission. A standing counts only with its base permission. [`Action::allowed_to`] is the matrix; everything else
//! here reads it. A [`Permit`] can be made in this file alone, and whatever changes or releases something asks for one. `visible` says
//! which credentials a list shows, `release` which values leave.

mod release;
mod visible;

use std::marker::PhantomData;

use coffre_types::{Caller, CredentialId, Permission, UserId};

use super::error::VaultError;
use super::model::Credential;
use super::shares::{Gap, LockerAnswer, Sharing};
pub use release::{ReadScope, Unreleased, Users};
pub use visible::{Contents, Fillable, Visible, consumed};

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

    /// Returns what it allows, by the matrix.
    pub fn actions(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| action.allowed_to().contains(&self))
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Standings that decide by themselves what an answer says the caller may do: a locker adds nothing to it.
const SELF_SUFFICIENT: u8 = Standing::Owner.bit() | Standing::ValueAdmin.bit();

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
    /// Learn who may do what with it. Everybody who sees it may learn that of himself.
    Explain,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 13] = [
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
        Self::Explain,
    ];

    /// The matrix. A participant sees its own credentials only, and those it sees as their owner.
    #[must_use]
    pub const fn allowed_to(self) -> &'static [Standing] {
        use Standing::{Consumer, LockerAdmin, Manager, Owner, ValueAdmin};
        match self {
            Self::See => &[Owner, Manager, Consumer, LockerAdmin, ValueAdmin],
            Self::Change | Self::Delete | Self::Assign => &[Owner],
            Self::Withdraw | Self::Explain => &[Owner, Manager, LockerAdmin],
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

/// The standings of one caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Standings {
    effective: u8,
    /// Those whose base permission is missing.
    idle: u8,
}

impl Standings {
    fn of(caller: &Caller, owner: bool, locker: LockerAnswer) -> Self {
        let mut standings = Self::default();
        for standing in Standing::ALL {
            let stands = match standing {
                Standing::Owner => owner,
                Standing::Manager => locker.manager,
                Standing::Participant => locker.participant,
                Standing::Consumer => locker.consumer,
                Standing::LockerAdmin | Standing::ValueAdmin => caller.has(standing.base()),
            };
            if stands && caller.has(standing.base()) {
                standings.effective |= standing.bit();
            } else if stands {
                standings.idle |= standing.bit();
            }
        }
        standings
    }

    fn missing_base(self, among: &[Standing]) -> Option<Permission> {
        among.iter().find(|standing| self.idle & standing.bit() != 0).map(|standing| standing.base())
    }
}

/// What a caller may do with one credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    caller: UserId,
    credential: CredentialId,
    standings: Standings,
    /// Why it is not known how the caller stands to the locker.
    gap: Option<Gap>,
}

impl Rights {
    /// Finds out how a caller stands to a credential.
    #[must_use]
    pub fn of(caller: &Caller, credential: &Credential, sharing: &Sharing) -> Self {
        let about = sharing.about(credential.locker);
        let owner = credential.owner == caller.user_id;
        let standings = Standings::of(caller, owner, about.unwrap_or_default());
        // To an owner a locker adds nothing.
        let gap = about.err().filter(|_| standings.effective & Standing::Owner.bit() == 0);
        Self { caller: caller.user_id, credential: credential.id, standings, gap }
    }

    /// Says whether the caller may.
    #[must_use]
    pub fn may(self, action: Action) -> bool {
        self.standings.effective & action.mask() != 0
    }

    /// Says whether a standing is effective.
    #[must_use]
    pub fn stands_as(self, standing: Standing) -> bool {
        self.standings.effective & standing.bit() != 0
    }

    /// Decides.
    ///
    /// # Errors
    /// Not visible → `CredentialNotFound`. A standing would do but for its base permission → `PermissionRequired`. Visible and
    /// otherwise not allowed → `NotPermitted`. Where the decision, or what the answer tells of further rights, hangs on a locker that was
    /// not asked yet → `SharesNotAsked`; where it does not answer, and no other standing suffices → `LockerUnavailable`.
    pub fn check(self, action: Action) -> Result<(), VaultError> {
        let may = self.may(action);
        match self.gap {
            None if may => return Ok(()),
            None => {}
            Some(_) if may && self.standings.effective & SELF_SUFFICIENT != 0 => return Ok(()),
            Some(Gap::Silent) if may => return Ok(()),
            Some(gap) => return Err(gap.into()),
        }
        if let Some(base) = self.standings.missing_base(action.allowed_to()) {
            return Err(VaultError::PermissionRequired(base));
        }
        if self.may(Action::See) {
            return Err(VaultError::NotPermitted(action));
        }
        let unseen = self.standings.missing_base(Action::See.allowed_to());
        Err(unseen.map_or(VaultError::CredentialNotFound, VaultError::PermissionRequired))
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

    /// Gives the permit to learn who may do what: of one user, or (`None`) of everybody.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub fn permit_explain(self, user: Option<UserId>) -> Result<Permit<Explain>, VaultError> {
        self.check(if user == Some(self.caller) { Action::See } else { Action::Explain })?;
        Ok(Permit { credential: self.credential, act: PhantomData })
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
        if let Err(refused) = self.check(Action::ReadStandard) {
            // Whoever asks for his own values alone asks for something that he has no right to.
            if user.is_some() {
                self.check(Action::ReadOwn)?;
            }
            // Who may write standard values and not read them gets the entries, so that they can be changed, without the secret.
            let entries = ReadScope { credential: self.credential, users: Users::Nobody, released: false };
            return if self.may(Action::WriteStandard) { Ok(entries) } else { Err(refused) };
        }
        let users = if user.is_none() && self.may(Action::ReadOther) { Users::All } else { Users::One(self.caller) };
        Ok(ReadScope { credential: self.credential, users, released: true })
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
    /// Putting a credential into a locker.
    Assign;
    /// Taking a credential out of its locker.
    Withdraw;
    /// Giving a credential to another owner.
    Transfer;
}

/// Learning who may do what with a credential.
#[derive(Clone, Copy, Debug)]
pub struct Explain;

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

impl Permit<Transfer> {
    /// Gives the permit to hand over what a user holds, of whom auth decided that it may be handed over; `None` where the user does not
    /// own the credential.
    #[must_use]
    pub fn hand_over(credential: &Credential, giver: UserId) -> Option<Self> {
        (credential.owner == giver).then_some(Self { credential: credential.id, act: PhantomData })
    }
}

impl<A> Permit<A> {
    /// Returns the credential to which it applies.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.credential
    }
}

#[cfg(test)]
mod tests;
