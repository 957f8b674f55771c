//! Users who leave and roles that go, as other services ask about them. The rules are in [`crate::domain::holdings`].

use std::sync::Arc;

use coffre_audit_client::CallRecord;
use coffre_types::{LockerId, RoleId, UserId};

use crate::domain::error::LockerError;
use crate::domain::holdings::{self, HandOver, Holdings, LISTED, NAMED};
use crate::domain::ports::Read as _;
use crate::lockers::Lockers;

type Result<T> = std::result::Result<T, LockerError>;

/// A part of a hand-over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Given {
    /// What was given.
    pub lockers: Vec<LockerId>,
    /// How many remain.
    pub remaining: i64,
}

impl Lockers {
    /// Lists what a user holds.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn holdings(&self, user: UserId) -> Result<Holdings> {
        self.store.read(move |tx| holdings::of_user(tx, user, LISTED)).await
    }

    /// Keeps a user who holds nothing from being given anything.
    ///
    /// # Errors
    /// `Superseded`.
    pub async fn hold_user(&self, user: UserId, attempt: i64) -> Result<Holdings> {
        let now = self.clock.now();
        self.store.write_unaudited(move |tx| holdings::hold_user(tx, user, attempt, now)).await
    }

    /// Undoes [`Self::hold_user`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn restore_user(&self, user: UserId, attempt: i64) -> Result<()> {
        let now = self.clock.now();
        self.store.write_unaudited(move |tx| holdings::restore_user(tx, user, attempt, now)).await
    }

    /// Keeps a role that consumes nothing from consuming anything.
    ///
    /// # Errors
    /// `Superseded`.
    pub async fn hold_role(&self, role: RoleId, attempt: i64) -> Result<Holdings> {
        let now = self.clock.now();
        self.store.write_unaudited(move |tx| holdings::hold_role(tx, role, attempt, now)).await
    }

    /// Undoes [`Self::hold_role`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn restore_role(&self, role: RoleId, attempt: i64) -> Result<()> {
        let now = self.clock.now();
        self.store.write_unaudited(move |tx| holdings::restore_role(tx, role, attempt, now)).await
    }

    /// Removes every membership of a user who left.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn release_user(&self, user: UserId, by: UserId, record: Arc<CallRecord>) -> Result<()> {
        let (now, told) = (self.clock.now(), record.clone());
        self.store.write(&record, move |tx| holdings::release(tx, user, by, now, &told)).await?;
        self.hub.poke();
        Ok(())
    }

    /// Gives a part of what a user holds to another, each locker with an entry of its own in the audit, which `record`
    /// begins.
    ///
    /// # Errors
    /// `UserNotFound` where the recipient can be given nothing.
    pub async fn transfer(&self, hand_over: HandOver, record: impl Fn() -> CallRecord) -> Result<Given> {
        let from = hand_over.from;
        let held = self.store.read(move |tx| Ok(tx.owned_alone(from, NAMED)?)).await?;
        let mut given = Given::default();
        for id in held.into_iter().map(|held| held.id) {
            let record = Arc::new(record());
            let (now, told, hand_over) = (self.clock.now(), record.clone(), hand_over.clone());
            match self.store.write(&record, move |tx| holdings::give(tx, &hand_over, id, now, &told)).await {
                Ok(()) => given.lockers.push(id),
                // Somebody else owns it too by now, or it was deleted.
                Err(LockerError::LockerNotFound) => {}
                Err(refused) => return Err(refused),
            }
        }
        self.hub.poke();
        given.remaining = self.store.read(move |tx| Ok(tx.count_owned_alone(from)?)).await?;
        Ok(given)
    }
}
