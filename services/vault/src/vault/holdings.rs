//! The use cases about what users hold. Auth asks, and has decided who may.

use std::sync::Arc;

use coffre_audit_client::{CallRecord, Outcome};
use coffre_types::{CredentialId, UserId};

use super::{Result, Vault};
use crate::domain::holdings::{self, HandOver, Holdings};
use crate::domain::ports::Write;

impl Vault {
    /// Lists the first credentials that a user owns, and counts them.
    ///
    /// # Errors
    /// The store's.
    pub async fn holdings(&self, user: UserId, named: usize) -> Result<Holdings> {
        self.store.read(move |tx| holdings::list(tx, user, named)).await
    }

    /// Keeps a user who owns nothing from being given anything; otherwise says what it owns.
    ///
    /// # Errors
    /// The store's.
    pub async fn hold_user(&self, user: UserId, attempt: i64) -> Result<Holdings> {
        let now = self.clock.now();
        self.store.write_unaudited(move |tx| holdings::hold(tx, user, attempt, now)).await
    }

    /// Undoes [`Self::hold_user`].
    ///
    /// # Errors
    /// The store's.
    pub async fn restore_user(&self, user: UserId, attempt: i64) -> Result<()> {
        let now = self.clock.now();
        self.store.write_unaudited(move |tx| holdings::restore(tx, user, attempt, now)).await
    }

    /// Lets go of a user who was deleted. A repetition changes nothing and records nothing.
    ///
    /// # Errors
    /// See [`holdings::release`].
    pub async fn release_user(&self, user: UserId, record: Arc<CallRecord>) -> Result<()> {
        if self.store.read(move |tx| Ok(tx.departure(user)?.is_some_and(|departure| departure.released))).await? {
            return Ok(());
        }
        let now = self.clock.now();
        self.store.write(&record.clone(), move |tx| holdings::release(tx, user, now, &record)).await
    }

    /// Gives a part of what a user owns to another. Says what was given, and how much remains.
    ///
    /// # Errors
    /// See [`holdings::hand_over`].
    pub async fn hand_over(
        &self,
        command: HandOver,
        by: UserId,
        record: impl Fn() -> CallRecord + Send + 'static,
    ) -> Result<(Vec<CredentialId>, i64)> {
        let now = self.clock.now();
        self.store
            .write_recorded(move |tx| {
                let given = holdings::hand_over(tx, &command, by, now, &record)?;
                let remaining = tx.count_owned_by(command.giver)?;
                let (ids, records): (Vec<_>, Vec<_>) = given.into_iter().unzip();
                let entries = records.iter().map(|record| record.entry(Outcome::Successful, None, now));
                Ok(((ids, remaining), entries.collect()))
            })
            .await
    }
}
