//! The use cases about what lies in lockers.

use coffre_proto::query::v1::PageInfo;
use coffre_types::{CredentialId, LockerId};

use super::{Call, Result, Vault};
use crate::domain::contents::{self, AssignCommand, Entry, Prepared};
use crate::domain::error::VaultError;
use crate::domain::model::View;
use crate::domain::policy::Contents;
use crate::store::list::{self, CredentialQuery};

/// How often an entry is begun in all: others may settle or overtake it.
const ATTEMPTS: usize = 3;

impl Vault {
    /// L13. Says whether anything changed.
    ///
    /// # Errors
    /// See [`contents`], and those of locker.
    pub async fn assign_credential(&self, call: Call, command: AssignCommand) -> Result<(View, bool)> {
        for _ in 0..ATTEMPTS {
            let wanted = command.clone();
            let entry = match self.read(call.clone(), move |tx, by| contents::prepare(tx, by, &wanted)).await? {
                Prepared::There(view) => return Ok((*view, false)),
                Prepared::Ready(entry) => entry,
            };
            let locker_name = self.lockers.reserve(entry, &call.caller).await?;
            let (now, etag) = (self.clock.now(), command.etag.clone());
            let entered =
                self.write(call.clone(), move |tx, by| contents::enter(tx, by, entry, &locker_name, &etag, now)).await;
            match entered {
                Ok(view) => {
                    self.lockers.close(entry).await;
                    return Ok((view, true));
                }
                Err(refused) => {
                    self.give_up(entry).await;
                    if !matches!(refused, VaultError::EntryOvertaken) {
                        return Err(refused);
                    }
                }
            }
        }
        Err(VaultError::CredentialVersionConflict)
    }

    /// Gives up a place into which nothing was put, once nothing more can come into it. Where that cannot be done now, locker does it later.
    async fn give_up(&self, entry: Entry) {
        match self.settle_entry(entry.credential, entry.epoch).await {
            Ok(()) => self.lockers.close(entry).await,
            Err(error) => tracing::info!(%error, credential_id = %entry.credential, "locker settles an entry later"),
        }
    }

    /// Ends an entry: it has committed, or never will.
    ///
    /// # Errors
    /// The store's.
    pub async fn settle_entry(&self, credential: CredentialId, epoch: i64) -> Result<()> {
        self.store.write_unaudited(move |tx| contents::settle(tx, credential, epoch)).await
    }

    /// L15.
    ///
    /// # Errors
    /// See [`contents::withdraw`].
    pub async fn withdraw_credential(
        &self,
        call: Call,
        id: CredentialId,
        locker: LockerId,
        etag: String,
    ) -> Result<()> {
        let now = self.clock.now();
        self.write(call, move |tx, by| contents::withdraw(tx, by, id, locker, &etag, now)).await
    }

    /// L14.
    ///
    /// # Errors
    /// `LockerNotFound`, `PermissionRequired`, `LockerUnavailable`, and those of the list.
    pub async fn locker_credentials(
        &self,
        call: Call,
        locker: LockerId,
        query: CredentialQuery,
    ) -> Result<(Vec<View>, PageInfo)> {
        let Call { caller, record } = &call;
        record.object("locker", locker, "");
        let sharing = self.shares.resolve(caller).await;
        let (contents, exists) = Contents::of(caller, locker, sharing.all()?)?;
        if !exists {
            let found = self.lockers.describe(locker).await?;
            record.object("locker", locker, found.name);
        }
        let asking = call.clone();
        let listed =
            move |tx: &mut crate::store::Tx<'_>| list::in_locker(tx, asking.asking(&sharing), locker, contents, &query);
        let found = self.store.read(listed).await?;
        record.detail("credentials", found.0.len().to_string());
        Ok(found)
    }

    /// Counts the credentials in each of some lockers.
    ///
    /// # Errors
    /// The store's.
    pub async fn count_credentials(&self, lockers: Vec<LockerId>) -> Result<Vec<i64>> {
        self.store.read(move |tx| list::count_in(tx, &lockers)).await
    }
}
