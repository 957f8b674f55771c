//! What other services ask about sharing: who shares what, and a place for a credential that enters.

use coffre_types::{LockerId, RoleId, UserId};

use crate::domain::entries::{self, Reservation};
use crate::domain::error::LockerError;
use crate::domain::model::{Locker, Member, Who};
use crate::domain::ports::{Entry, Read as _};
use crate::lockers::Lockers;
use crate::store::list;
use crate::store::shares::{self, Shares};

type Result<T> = std::result::Result<T, LockerError>;

/// A locker with whoever shares it.
#[derive(Clone, Debug)]
pub struct Described {
    /// The locker.
    pub locker: Locker,
    /// The members by their numbers.
    pub members: Vec<Member>,
    /// The roles that consume it, ascending.
    pub consumers: Vec<RoleId>,
}

impl Lockers {
    /// Finds out what users and roles share.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn shares(&self, users: Vec<UserId>, roles: Vec<RoleId>) -> Result<Shares> {
        self.store.read(move |tx| shares::resolve(tx, &users, &roles)).await
    }

    /// Finds out which roles consume a locker, ascending. Whoever is about to add one of them asks auth anew who holds it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn inspect(&self, mut roles: Vec<RoleId>) -> Result<Vec<RoleId>> {
        roles.sort_unstable();
        roles.dedup();
        self.store.write_unaudited(move |tx| shares::inspect(tx, &roles)).await
    }

    /// Counts the lockers that somebody sees.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn count(&self, who: Who) -> Result<i64> {
        self.store.read(move |tx| list::count(tx, &who)).await
    }

    /// Describes a locker.
    ///
    /// # Errors
    /// `LockerNotFound`.
    pub async fn describe(&self, id: LockerId) -> Result<Described> {
        self.store
            .read(move |tx| {
                let locker = tx.locker(id)?.ok_or(LockerError::LockerNotFound)?;
                Ok(Described { locker, members: tx.members(id)?, consumers: tx.consumers(id)? })
            })
            .await
    }

    /// Reserves a place for a credential.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reserve(&self, who: Who, entry: Entry) -> Result<Reservation> {
        let now = self.clock.now();
        self.store.write_unaudited(move |tx| entries::reserve(tx, &who, entry, now)).await
    }
}
