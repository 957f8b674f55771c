//! Whether the stored keys are the newest. A running process knows which it had open. One that has just started asks the audit, because
//! somebody may have put its database back to keys that were replaced; until the audit has answered that is not known, and told.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Outcome};
use coffre_crypto::keyring::WrappedTerm;
use coffre_error::Reason;
use tokio_util::sync::CancellationToken;

use super::Keyring;
use crate::audit::Audit;
use crate::domain::error::VaultError;
use crate::domain::keys::{RolledBack, go_on_from};

/// How often the audit is asked until it answers.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// What is known of keys that were put back.
#[derive(Default)]
pub(super) struct PutBack {
    /// The stored keys are such now.
    now: Mutex<Option<RolledBack>>,
    /// The last of which log and audit were told.
    told: Mutex<Option<RolledBack>>,
}

fn of(known: &Mutex<Option<RolledBack>>) -> MutexGuard<'_, Option<RolledBack>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keyring {
    /// Returns why the stored keys are refused: they are older than those that were seen. `None` where they are not.
    #[must_use]
    pub fn put_back(&self) -> Option<RolledBack> {
        *of(&self.put_back.now)
    }

    /// Says whether the audit has told, since the start, which keys are the newest.
    #[must_use]
    pub fn is_compared(&self) -> bool {
        self.compared.load(Ordering::Acquire)
    }

    /// Says whether stored terms go on from those that were seen, and keeps it.
    pub(super) fn goes_on(&self, seen: u32, terms: &[WrappedTerm]) -> Result<(), RolledBack> {
        let checked = go_on_from(seen, terms);
        *of(&self.put_back.now) = checked.err();
        checked
    }

    /// Compares the stored keys with the newest that the audit tells of. Where they are older, the vault closes here and stays closed until
    /// those are back.
    ///
    /// # Errors
    /// `KeysRolledBack`; `AuditUnavailable` and the store's, where it is not known yet.
    pub async fn compare(&self, audit: &Audit) -> Result<(), VaultError> {
        let told = audit.newest_term().await?;
        let _one = self.opening.lock().await;
        if told > self.given_up_term {
            self.seen.fetch_max(told, Ordering::AcqRel);
        }
        // Read after the answer: what the audit tells of was committed before.
        let terms = self.store.read(|tx| Ok(tx.terms()?)).await?;
        self.compared.store(true, Ordering::Release);
        let Err(rolled_back) = self.goes_on(self.seen(), &terms) else { return Ok(()) };
        self.close(self.state.generation(), self.clock.now());
        self.tell(rolled_back).await;
        Err(rolled_back.into())
    }

    /// The same until it is known.
    pub async fn compare_at_last(&self, audit: &Audit, stop: &CancellationToken) {
        let mut told = false;
        while !self.is_compared() {
            if let Err(error) = self.compare(audit).await
                && !self.is_compared()
                && !std::mem::replace(&mut told, true)
            {
                tracing::warn!(
                    %error,
                    "it is not known yet whether the keys in the vault's database are the newest: the audit is asked until it answers"
                );
            }
            if stop.run_until_cancelled(tokio::time::sleep(ASKED_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Tells log and audit once of keys that were put back.
    pub(super) async fn tell(&self, rolled_back: RolledBack) {
        if of(&self.put_back.told).replace(rolled_back) == Some(rolled_back) {
            return;
        }
        tracing::error!("{rolled_back}; the vault is closed");
        let record = CallRecord::system(self.site.clone(), "vault.opened", ActivityType::ConnectCredentialVault);
        record.object("vault", "", "");
        record.detail("term", rolled_back.stored.to_string());
        record.detail("seen", rolled_back.seen.to_string());
        let entry = record.entry(Outcome::Unsuccessful, Some(Reason::VaultKeyDamaged), record.now());
        if let Err(error) = self.store.write_recorded(move |_| Ok(((), vec![entry.clone()]))).await {
            *of(&self.put_back.told) = None;
            tracing::warn!(%error, "keys that were put back cannot be recorded in the audit; it is tried again");
        }
    }
}
