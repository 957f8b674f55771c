//! What lockers share with a caller, as the locker service told it.

use std::collections::BTreeSet;
use std::sync::Arc;

use coffre_types::LockerId;

use super::error::VaultError;

/// The lockers of which a user is a member. Both lists ascend.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Those in which it may own or manage.
    pub managed: Vec<LockerId>,
    /// Those in which it may participate and nothing more.
    pub participated: Vec<LockerId>,
}

/// What lockers share with one caller: through its own memberships, and through its roles that consume lockers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    membership: Arc<Membership>,
    /// The lockers of each role that consumes any, ascending.
    consumed: Vec<Arc<[LockerId]>>,
}

/// How a caller stands to a locker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LockerAnswer {
    /// An `own` or `manage` member.
    pub manager: bool,
    /// A member that may participate and nothing more.
    pub participant: bool,
    /// A user of a consuming role.
    pub consumer: bool,
}

impl Shares {
    /// Takes the memberships of a user. What its roles consume is added with [`Self::consume`].
    #[must_use]
    pub fn new(membership: Arc<Membership>) -> Self {
        Self { membership, consumed: Vec::new() }
    }

    /// Adds the lockers that a role of the caller consumes.
    pub fn consume(&mut self, lockers: Arc<[LockerId]>) {
        if !lockers.is_empty() {
            self.consumed.push(lockers);
        }
    }

    /// Says how the caller stands to a locker.
    #[must_use]
    pub fn answer(&self, locker: LockerId) -> LockerAnswer {
        let is_in = |lockers: &[LockerId]| lockers.binary_search(&locker).is_ok();
        LockerAnswer {
            manager: is_in(&self.membership.managed),
            participant: is_in(&self.membership.participated),
            consumer: self.consumed.iter().any(|lockers| is_in(lockers)),
        }
    }

    /// Returns the lockers in which the caller may own or manage.
    #[must_use]
    pub fn managed(&self) -> &[LockerId] {
        &self.membership.managed
    }

    /// Returns the lockers that the caller consumes through any role.
    #[must_use]
    pub fn consumed(&self) -> BTreeSet<LockerId> {
        self.consumed.iter().flat_map(|lockers| lockers.iter().copied()).collect()
    }
}

/// Why it is not known what lockers share with a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// Locker was not asked yet: a caller whose rights do not hang on it is served without.
    NotAsked,
    /// Locker was asked and did not answer.
    Silent,
}

/// What is known of what lockers share with a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// All of it.
    Known(Shares),
    /// Nothing.
    Unknown(Gap),
}

impl Sharing {
    /// Says how the caller stands to the locker that holds a credential; where none does, that is known without asking.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn about(&self, locker: Option<LockerId>) -> Result<LockerAnswer, Gap> {
        match (locker, self) {
            (None, _) => Ok(LockerAnswer::default()),
            (Some(locker), Self::Known(shares)) => Ok(shares.answer(locker)),
            (Some(_), Self::Unknown(gap)) => Err(*gap),
        }
    }

    /// Returns all of it, for what cannot be answered without.
    ///
    /// # Errors
    /// `SharesNotAsked`, `LockerUnavailable`.
    pub fn all(&self) -> Result<&Shares, VaultError> {
        match self {
            Self::Known(shares) => Ok(shares),
            Self::Unknown(gap) => Err((*gap).into()),
        }
    }
}

impl From<Gap> for VaultError {
    fn from(gap: Gap) -> Self {
        match gap {
            Gap::NotAsked => Self::SharesNotAsked,
            Gap::Silent => Self::LockerUnavailable,
        }
    }
}
