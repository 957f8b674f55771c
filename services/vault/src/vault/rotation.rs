//! The use cases on the re-encryption of values. [`crate::reencryption`] does the work.

use coffre_types::Timestamp;

use super::{Call, Result, Vault};
use crate::domain::error::VaultError;
use crate::domain::keys::reload_terms;
use crate::keyring::{Changed, detached};
use crate::store::Tx;

/// How far a re-encryption is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Values are still to be re-encrypted.
    pub running: bool,
    /// Values under the newest term.
    pub done: i64,
    /// Values in all.
    pub total: i64,
    /// Values re-encrypted a second, lately.
    pub rate: f64,
    /// How long it will take, in seconds.
    pub seconds_left: Option<i64>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The newest term.
    pub term: i64,
}

impl Vault {
    /// Begins a new term, under which values are sealed from now on; those there are follow in the background.
    ///
    /// # Errors
    /// See `StartRotation` in the contract.
    pub async fn start_rotation(&self, call: Call) -> Result<Progress> {
        for _ in 0..5 {
            match self.begin_term(call.clone()).await {
                // Somebody else was quicker: its keys are looked at, and there is one term more.
                Err(VaultError::KeysChanged) => self.keyring.look().await?,
                done => return done.map(|()| self.rotation())?.await,
            }
        }
        Err(VaultError::KeysChanged)
    }

    async fn begin_term(&self, call: Call) -> Result<()> {
        let opened = self.keyring.opened().await?;
        let term = opened.keyring().next_term()?;
        let (keyring, clock) = (self.keyring.clone(), self.clock.clone());
        detached(async move {
            let record = call.record.clone();
            let change = move |tx: &mut Tx<'_>| {
                call.record.clear_changes();
                call.record.object("vault", "", "");
                // Not before: the grace of the term before counts from here.
                let now = clock.now();
                let row = tx.seal_state()?.ok_or(VaultError::Sealed)?;
                if row.sealed {
                    return Err(VaultError::Sealed);
                }
                if !tx.raise_generation(opened.generation().0, false, now)? {
                    return Err(VaultError::KeysChanged);
                }
                tx.insert_term(&term, now)?;
                tx.start_rotation(term.term.get(), now)?;
                call.record.detail("term", term.term.to_string());
                let ring = reload_terms(opened.keyring(), &tx.terms()?).map_err(VaultError::TermsDamaged)?;
                Ok(Changed::Open(opened.generation().0.saturating_add(1), ring))
            };
            keyring.change(&record, change).await
        })
        .await
    }

    /// Tells how far the re-encryption is, from what is stored.
    ///
    /// # Errors
    /// The store's.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a guess at a time, from counts far below 2^52"
    )]
    pub async fn rotation(&self) -> Result<Progress> {
        let read = self.store.read(|tx| {
            let (row, term) = (tx.rotation()?, tx.newest_term()?);
            Ok((row, term, tx.count_under(term)?))
        });
        let (row, term, (done, total)) = read.await?;
        let running = row.is_some_and(|row| row.ended_at.is_none());
        let left = total.saturating_sub(done).max(0);
        let rate = if running { self.meter.rate(self.clock.monotonic(), term, left) } else { 0.0 };
        let seconds_left = (running && rate > 0.0).then(|| (left as f64 / rate).ceil() as i64);
        let (started_at, ended_at) = (row.map(|row| row.started_at), row.and_then(|row| row.ended_at));
        Ok(Progress { running, done, total, rate, seconds_left, started_at, ended_at, term })
    }
}
