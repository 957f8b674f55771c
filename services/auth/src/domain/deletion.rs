//! Deleting a user: marked, let go by the vault, then a tombstone.
//!
//! ```text
//! live ── mark ──▶ deleting ── the vault lets go ──▶ tombstone
//!   ▲                 │
//!   └── unmark ───────┴── it owns something, or the vault does not answer
//! ```
//!
//! No transaction spans both services. While a user is marked nothing can be given to it, and the vault's answer is final for as long as it
//! is. A row that a crash or a deadline left marked is settled in the background, the same way, in the name of whoever asked.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Origin, Source};
use coffre_types::UserId;

use super::error::{Fault, UserError};
use super::policy::ManageUsers;
use super::user::{Deletion, roles_text};
use super::users::{check_etag, keep_an_administrator};
use super::{Auth, race, turn};
use crate::store::changes::{self, Subject};
use crate::store::{sessions, users};

/// A deletion that takes longer was left behind by a process that died.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

impl Auth {
    /// Deletes a user who owns nothing.
    pub(crate) async fn delete_user(
        &self,
        permit: ManageUsers<'_>,
        id: UserId,
        etag: String,
        record: &Arc<CallRecord>,
    ) -> Result<(), UserError> {
        let (caller, now, request_id) = (permit.caller().user_id, self.now(), record.origin().request_id.clone());
        let name = race::write(&self.database, move |tx| {
            let conn = tx.conn();
            turn::take::<UserError>(conn, caller)?;
            let user = users::find(conn, id)?.ok_or(UserError::NotFound)?;
            check_etag(&etag, &user)?;
            if user.administrator && !user.disabled {
                keep_an_administrator(conn, id)?;
            }
            users::mark_deleting(conn, id, now, caller, &request_id)?;
            Ok::<_, UserError>(user.username)
        })
        .await?;
        record.object("user", id, name);
        self.finish_deletion(id, caller.get(), record).await
    }

    /// Asks the vault to let go of a marked user and deletes it, or takes the mark away.
    async fn finish_deletion(&self, id: UserId, by: i64, record: &Arc<CallRecord>) -> Result<(), UserError> {
        let refused = match self.vault.release(id).await {
            Ok(None) => {
                self.bury(id, by, record).await?;
                self.hub.poke();
                return Ok(());
            }
            Ok(Some(holdings)) => UserError::HoldsObjects(holdings),
            Err(super::ports::VaultSilent) => UserError::VaultSilent,
        };
        race::write(&self.database, move |tx| users::unmark_deleting(tx.conn(), id)).await?;
        Err(refused)
    }

    async fn bury(&self, id: UserId, by: i64, record: &Arc<CallRecord>) -> Result<(), UserError> {
        let (now, recorded) = (self.now(), record.clone());
        race::audited(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let user = users::find(conn, id)?.ok_or(UserError::NotFound)?;
            // Another call may have taken the mark away and something may have been given to the user since.
            if !user.deleting {
                return Err(coffre_db::Error::Retryable.into());
            }
            sessions::end_all(conn, id, None, now)?;
            users::delete(conn, id, by, now)?;
            changes::record(conn, Subject::User(id), now)?;
            recorded.object("user", id, user.username.clone());
            recorded.change("username", Some(user.username), None);
            recorded.change("roles", Some(roles_text(&user.roles)), None);
            Ok(())
        })
        .await
    }

    /// Finishes or undoes deletions that a crash or a deadline left behind, in the name of whoever asked for them.
    pub(crate) async fn settle_deletions(&self) -> Result<(), Fault> {
        let before = self.now().minus(ABANDONED_AFTER);
        let left = self.database.read(move |conn| users::deletions_before(conn, before)).await?;
        for Deletion { user: id, by, request_id } in left {
            let origin = Origin {
                site: self.outbox.site(),
                method: "",
                request_id: request_id.into(),
                trace_id: None,
                client_address: None,
                source: Source::System,
            };
            let record = Arc::new(CallRecord::new(origin, "user.deleted", ActivityType::DeleteUser));
            record.object("user", id, "");
            let by = by.map_or(0, |(by, name)| {
                record.actor(by, name, None);
                by.get()
            });
            match self.finish_deletion(id, by, &record).await {
                Ok(()) => tracing::info!(user_id = %id, "an abandoned deletion of a user was finished"),
                Err(UserError::Fault(fault)) => return Err(fault),
                Err(refused) => {
                    tracing::info!(user_id = %id, reason = %refused, "an abandoned deletion of a user was undone")
                }
            }
        }
        Ok(())
    }
}
