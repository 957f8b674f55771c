//! What users hold, and how it is handed to somebody else.

use coffre_audit_client::CallRecord;
use coffre_types::UserId;

use super::Auth;
use super::error::{Denied, Invalid, UserError};
use super::policy::{GiveHoldings, SeeHoldings};
use super::ports::{Asker, Holdings, Keeper, KeepsHoldings, NotGiven, Recipient};
use super::user::User;
use crate::store::users;

/// How much of a user's holdings was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Handed {
    pub(crate) credentials: i64,
    pub(crate) lockers: i64,
}

impl Auth {
    /// Lists what a user holds.
    pub(crate) async fn holdings(&self, permit: SeeHoldings, record: &CallRecord) -> Result<Holdings, UserError> {
        let id = permit.of();
        let user = self.existing(id).await?.ok_or(UserError::NotFound)?;
        record.object("user", id, user.username);
        let (credentials, lockers) = tokio::join!(self.keepers.vault.list(id), self.keepers.locker.list(id));
        let holdings = Holdings { credentials: credentials?, lockers: lockers? };
        record.detail("credentials", holdings.credentials.total.to_string());
        record.detail("lockers", holdings.lockers.total.to_string());
        Ok(holdings)
    }

    /// Hands everything that a user holds to another. Where it ends early what was given stays given, and a repetition goes on.
    pub(crate) async fn transfer_holdings(
        &self,
        permit: GiveHoldings<'_>,
        record: &CallRecord,
    ) -> Result<Handed, UserError> {
        // Also of a hand-over that is refused; a name only where there is somebody who can be given something.
        let unnamed = |_: &UserError| record.detail("recipient", permit.to().to_string());
        let (giver, recipient) = self.parties(&permit, record).await.inspect_err(unnamed)?;
        record.detail("recipient", format!("{} ({})", recipient.id, recipient.name));
        for keeper in [Keeper::Vault, Keeper::Locker] {
            let Some(base) = permit.missing(keeper) else { continue };
            if self.keepers.of(keeper).list(giver.id).await?.total > 0 {
                return Err(UserError::Denied(Denied(base)));
            }
        }
        let asker = Asker::of(permit.caller(), record);
        let mut handed = Handed::default();
        let mut outcome = Ok(());
        for (keeper, count) in [(Keeper::Vault, &mut handed.credentials), (Keeper::Locker, &mut handed.lockers)] {
            // What came to a caller without the permission since is not given.
            if outcome.is_ok() && permit.missing(keeper).is_none() {
                outcome = give_all(self.keepers.of(keeper), giver.id, &recipient, &asker, count).await;
            }
        }
        // Also where it ended early: that much was given.
        record.detail("credentials", handed.credentials.to_string());
        record.detail("lockers", handed.lockers.to_string());
        outcome.map(|()| handed)
    }

    /// Finds who gives and who gets.
    async fn parties(&self, permit: &GiveHoldings<'_>, record: &CallRecord) -> Result<(User, Recipient), UserError> {
        let giver = self.existing(permit.from()).await?.ok_or(UserError::NotFound)?;
        record.object("user", giver.id, giver.username.as_str());
        if permit.from() == permit.to() {
            return Err(Invalid::new("recipient_id", "is the user who gives; name somebody else").into());
        }
        let gone = UserError::RecipientNotFound(permit.to().get());
        let recipient = self.existing(permit.to()).await?.filter(|user| !user.deleting).ok_or(gone)?;
        if recipient.disabled {
            return Err(UserError::RecipientDisabled(recipient.id.get()));
        }
        Ok((giver, Recipient { id: recipient.id, name: recipient.username }))
    }

    async fn existing(&self, id: UserId) -> Result<Option<User>, UserError> {
        self.database.read(move |conn| users::find(conn, id).map_err(UserError::from)).await
    }
}

/// Has one keeper give part after part until nothing remains.
async fn give_all(
    keeper: &dyn KeepsHoldings,
    giver: UserId,
    recipient: &Recipient,
    asker: &Asker,
    count: &mut i64,
) -> Result<(), UserError> {
    loop {
        let given = keeper.transfer(giver, recipient, asker).await.map_err(|refused| match refused {
            NotGiven::RecipientGone => UserError::RecipientNotFound(recipient.id.get()),
            NotGiven::Silent(keeper) => UserError::KeeperSilent(keeper),
        })?;
        *count += given.count;
        if given.remaining == 0 {
            return Ok(());
        }
        if given.count == 0 {
            // Others change the same things all the time, or the keeper cannot give them: to go on would never end.
            return Err(coffre_db::Error::Retryable.into());
        }
    }
}
