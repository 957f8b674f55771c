//! Which credentials a caller sees: in a list, and in one locker. It reads the matrix.

use coffre_types::{Caller, LockerId, UserId};

use super::{Action, Standing, Standings};
use crate::domain::error::VaultError;
use crate::domain::shares::Shares;

/// Which credentials a list shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Visible {
    /// All of them.
    All,
    /// Those of an owner, and those in some lockers.
    Reached {
        /// The owner.
        owner: Option<UserId>,
        /// The lockers.
        lockers: Vec<LockerId>,
    },
}

impl Visible {
    /// Says which credentials a caller sees: a standing counts only with its base permission.
    ///
    /// # Errors
    /// `PermissionRequired` where the caller holds none of the permissions through which a credential could be seen.
    pub fn to(caller: &Caller, shares: &Shares) -> Result<Self, VaultError> {
        let has = |standing: Standing| caller.has(standing.base());
        if has(Standing::LockerAdmin) || has(Standing::ValueAdmin) {
            return Ok(Self::All);
        }
        if !has(Standing::Owner) && !has(Standing::Manager) {
            return Err(VaultError::PermissionRequired(Standing::Owner.base()));
        }
        let mut lockers = consumed(caller, shares);
        if has(Standing::Manager) {
            lockers.extend_from_slice(shares.managed());
            lockers.sort_unstable();
            lockers.dedup();
        }
        Ok(Self::Reached { owner: has(Standing::Owner).then_some(caller.user_id), lockers })
    }
}

/// Returns the lockers whose credentials a caller reaches as a consumer, ascending: none without the base permission.
#[must_use]
pub fn consumed(caller: &Caller, shares: &Shares) -> Vec<LockerId> {
    if caller.has(Standing::Consumer.base()) { shares.consumed().into_iter().collect() } else { Vec::new() }
}

/// Of which credentials a caller is expected to store values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fillable {
    /// The owner of those of which it stores the standard values and its own.
    pub owned: Option<UserId>,
    /// The lockers with those of which it stores its own, ascending.
    pub consumed: Vec<LockerId>,
}

impl Fillable {
    /// Says of which credentials a caller is expected to store values: what it may write as a manager or an administrator is others' to store.
    #[must_use]
    pub fn by(caller: &Caller, shares: &Shares) -> Self {
        Self { owned: caller.has(Standing::Owner.base()).then_some(caller.user_id), consumed: consumed(caller, shares) }
    }
}

/// Which credentials of a locker a caller sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contents {
    /// All of them.
    All,
    /// Those of an owner.
    OwnedBy(UserId),
    /// None.
    Nothing,
}

impl Contents {
    /// Says which credentials of a locker a caller sees. Through *Administer all lockers* alone it is not known whether there is such a
    /// locker; the second half says so.
    ///
    /// # Errors
    /// `LockerNotFound` where the caller does not see the locker; `PermissionRequired` where it would but for a base permission.
    pub fn of(caller: &Caller, locker: LockerId, shares: &Shares) -> Result<(Self, bool), VaultError> {
        const MEMBERS: [Standing; 3] = [Standing::Manager, Standing::Participant, Standing::Consumer];
        let standings = Standings::of(caller, false, shares.answer(locker));
        let effective = |standing: Standing| standings.effective & standing.bit() != 0;
        let shared = MEMBERS.into_iter().any(effective);
        if !shared && !effective(Standing::LockerAdmin) {
            let missing = standings.missing_base(&MEMBERS);
            return Err(missing.map_or(VaultError::LockerNotFound(locker), VaultError::PermissionRequired));
        }
        let contents = if standings.effective & Action::See.mask() != 0 {
            Self::All
        } else if caller.has(Standing::Owner.base()) {
            Self::OwnedBy(caller.user_id)
        } else {
            Self::Nothing
        };
        Ok((contents, shared))
    }
}
