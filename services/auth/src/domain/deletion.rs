//! Deleting users and roles: held everywhere, then a tombstone, then released.
//!
//! ```text
//! live ── begin ──▶ holding ── nobody has anything of it: tombstone ──▶ releasing ── everybody has let go ──▶ gone
//!   ▲                  │
//!   │                  └── something is held, or somebody does not answer ──▶ undoing
//!   └──────────────────────────────────── everybody has restored ────────────────┘
//! ```
//!
//! No transaction spans the services. While something is held nothing can be given to it anywhere, and what the others answered stays true.
//! Every attempt has a number that only rises: what an earlier one sends or writes late counts for nothing, here and there. Whatever a crash
//! or a deadline leaves on its way is settled in the background, in the name of whoever asked; what was refused is never deleted later.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Origin, Source, audited_write};
use coffre_types::{RoleId, UserId, Version};

use super::api_keys::end_other_ways_in;
use super::confirmations::unbind;
use super::error::{Fault, RoleError, UserError};
use super::policy::ManageUsers;
use super::ports::{Asker, Holdings};
use super::role::{RolePatch, permissions_text};
use super::roles::check_version;
use super::user::roles_text;
use super::users::{check_etag, keep_an_administrator};
use super::{Auth, turn};
use crate::store::changes::{self, Subject};
use crate::store::{deletions, roles, sessions, users};

/// A deletion on which nothing was done for longer was left behind by a process that died.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);
/// What could not be settled is tried again after this long: nobody waits for an answer any more.
const AGAIN_AFTER: Duration = Duration::from_secs(20);

/// What is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leaving {
    User(UserId),
    Role(RoleId),
}

/// Where a deletion stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The others are asked to hold.
    Holding,
    /// It is given up, and the others are asked to restore.
    Undoing,
    /// The tombstone stands, and the others are asked to release.
    Releasing,
}

/// A deletion that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    pub(crate) leaving: Leaving,
    pub(crate) attempt: i64,
    pub(crate) step: Step,
    /// Who asked for it.
    pub(crate) by: UserId,
    pub(crate) by_name: String,
    pub(crate) request_id: String,
}

/// An attempt to delete something, in somebody's name.
struct Attempt<'a> {
    number: i64,
    asker: Asker,
    /// The version that the asker named.
    version: Option<Version>,
    record: &'a Arc<CallRecord>,
}

impl Auth {
    /// Deletes a user who holds nothing.
    pub(crate) async fn delete_user(
        &self,
        permit: ManageUsers<'_>,
        id: UserId,
        etag: String,
        record: &Arc<CallRecord>,
    ) -> Result<(), UserError> {
        let asker = Asker::of(permit.caller(), record);
        let (now, request_id) = (self.now(), asker.request_id.clone());
        let asking = permit.asking(self.config.recent_sign_in, now);
        let (number, user) = self
            .database
            .write(move |tx| {
                let conn = tx.conn();
                turn::take::<UserError>(conn, asking)?;
                let user = users::find(conn, id)?.ok_or(UserError::NotFound)?;
                check_etag(&etag, &user)?;
                if user.administrator && !user.disabled {
                    keep_an_administrator(conn, id)?;
                }
                let number = deletions::begin(conn, Leaving::User(id), asking.user, &request_id, now)?;
                let version = (!etag.is_empty()).then_some(user.version);
                Ok::<_, UserError>((number, (user.username, version)))
            })
            .await?;
        let (name, version) = user;
        record.object("user", id, name);
        self.finish_user(id, Attempt { number, asker, version, record }).await
    }

    async fn finish_user(&self, id: UserId, attempt: Attempt<'_>) -> Result<(), UserError> {
        let buried = match self.hold_user(id, attempt.number).await {
            Ok(()) => self.bury_user(id, &attempt).await,
            Err(refused) => Err(refused),
        };
        match buried {
            Ok(()) => {
                self.hub.poke();
                self.release_user(id, attempt.number, &attempt.asker).await;
                Ok(())
            }
            Err(refused) => {
                self.undo(Leaving::User(id), attempt.number).await;
                Err(refused)
            }
        }
    }

    async fn hold_user(&self, id: UserId, attempt: i64) -> Result<(), UserError> {
        let (vault, locker) = (&self.keepers.vault, &self.keepers.locker);
        let (credentials, lockers) = tokio::join!(vault.hold(id, attempt), locker.hold(id, attempt));
        let holdings = Holdings { credentials: credentials?, lockers: lockers? };
        if holdings.credentials.total > 0 || holdings.lockers.total > 0 {
            return Err(UserError::HoldsObjects(holdings));
        }
        Ok(())
    }

    async fn bury_user(&self, id: UserId, attempt: &Attempt<'_>) -> Result<(), UserError> {
        let (now, number, version, by) = (self.now(), attempt.number, attempt.version, attempt.asker.user.get());
        let recorded = attempt.record.clone();
        audited_write(&self.database, attempt.record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            if !deletions::advance(conn, Leaving::User(id), number, Step::Holding, Step::Releasing)? {
                return Err(UserError::Superseded);
            }
            let user = users::find(conn, id)?.ok_or(UserError::NotFound)?;
            if version.is_some_and(|version| version != user.version) {
                return Err(UserError::PreconditionFailed);
            }
            sessions::end_all(conn, id, None, now)?;
            users::delete(conn, id, by, now)?;
            changes::record(conn, Subject::User(id), now)?;
            recorded.object("user", id, user.username.clone());
            recorded.change("username", Some(user.username), None);
            recorded.change("roles", Some(roles_text(&user.roles)), None);
            end_other_ways_in(conn, id, now, &recorded)?;
            unbind(conn, id, UserId::from_trusted(by), now, &recorded)?;
            Ok(())
        })
        .await
    }

    /// Has the others let go of a user who is gone. Where one does not answer it is repeated in the background.
    async fn release_user(&self, id: UserId, attempt: i64, asker: &Asker) {
        let (vault, locker) = (&self.keepers.vault, &self.keepers.locker);
        let released = tokio::join!(vault.release(id, asker), locker.release(id, asker));
        if let (Ok(()), Ok(())) = released {
            self.end(Leaving::User(id), attempt, Step::Releasing).await;
        } else {
            tracing::info!(user_id = %id, "a deleted user is not released everywhere yet; it is tried again");
        }
    }

    /// Deletes a role that no user holds and that consumes no locker.
    pub(crate) async fn delete_role(
        &self,
        permit: ManageUsers<'_>,
        id: RoleId,
        etag: String,
        record: &Arc<CallRecord>,
    ) -> Result<(), RoleError> {
        let asker = Asker::of(permit.caller(), record);
        let (now, request_id) = (self.now(), asker.request_id.clone());
        let asking = permit.asking(self.config.recent_sign_in, now);
        let patch = RolePatch { etag, ..RolePatch::default() };
        let recorded = record.clone();
        let (number, version) = self
            .database
            .write(move |tx| {
                let conn = tx.conn();
                turn::take::<RoleError>(conn, asking)?;
                let role = roles::find(conn, id)?.ok_or(RoleError::NotFound)?;
                recorded.object("role", role.id, role.name.clone());
                if role.system.is_some() {
                    return Err(RoleError::System);
                }
                check_version(&patch, &role)?;
                if role.user_count > 0 {
                    return Err(RoleError::InUse { users: role.user_count });
                }
                let number = deletions::begin(conn, Leaving::Role(id), asking.user, &request_id, now)?;
                Ok((number, (!patch.etag.is_empty()).then_some(role.version)))
            })
            .await?;
        self.finish_role(id, Attempt { number, asker, version, record }).await
    }

    async fn finish_role(&self, id: RoleId, attempt: Attempt<'_>) -> Result<(), RoleError> {
        let buried = match self.keepers.consumers.hold_role(id, attempt.number).await {
            Ok(held) if held.total > 0 => Err(RoleError::ConsumesLockers(held)),
            Ok(_) => self.bury_role(id, &attempt).await,
            Err(silent) => Err(silent.into()),
        };
        match buried {
            Ok(()) => self.hub.poke(),
            Err(_) => self.undo(Leaving::Role(id), attempt.number).await,
        }
        buried
    }

    async fn bury_role(&self, id: RoleId, attempt: &Attempt<'_>) -> Result<(), RoleError> {
        let (now, number, version, by) = (self.now(), attempt.number, attempt.version, attempt.asker.user.get());
        let recorded = attempt.record.clone();
        audited_write(&self.database, attempt.record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            turn::wait(conn)?;
            if !deletions::end(conn, Leaving::Role(id), number, Step::Holding)? {
                return Err(RoleError::Superseded);
            }
            let role = roles::find(conn, id)?.ok_or(RoleError::NotFound)?;
            recorded.object("role", role.id, role.name.clone());
            if version.is_some_and(|version| version != role.version) {
                return Err(RoleError::PreconditionFailed);
            }
            if role.user_count > 0 {
                return Err(RoleError::InUse { users: role.user_count });
            }
            roles::delete(conn, id, by, now)?;
            changes::record(conn, Subject::Role(id), now)?;
            recorded.change("name", Some(role.name), None);
            recorded.change("permissions", Some(permissions_text(role.permissions)), None);
            Ok(())
        })
        .await
    }

    /// Gives an attempt up. From its first step on nothing will be deleted; what it cannot finish is finished in the background.
    async fn undo(&self, leaving: Leaving, attempt: i64) {
        let noted = self
            .database
            .write(move |tx| deletions::advance(tx.conn(), leaving, attempt, Step::Holding, Step::Undoing));
        match noted.await {
            Ok(true) => self.restore(leaving, attempt).await,
            // A later attempt goes on, and restores what it does not delete.
            Ok(false) => {}
            Err(fault) => tracing::warn!(?leaving, %fault, "a deletion could not be given up; it is settled later"),
        }
    }

    /// Has the others restore what they held.
    async fn restore(&self, leaving: Leaving, attempt: i64) {
        let restored = match leaving {
            Leaving::User(id) => {
                let (vault, locker) = (&self.keepers.vault, &self.keepers.locker);
                let (first, second) = tokio::join!(vault.restore(id, attempt), locker.restore(id, attempt));
                first.and(second)
            }
            Leaving::Role(id) => self.keepers.consumers.restore_role(id, attempt).await,
        };
        match restored {
            Ok(()) => self.end(leaving, attempt, Step::Undoing).await,
            Err(silent) => {
                tracing::info!(?leaving, ?silent, "what is not deleted is not restored yet; it is tried again")
            }
        }
    }

    async fn end(&self, leaving: Leaving, attempt: i64, step: Step) {
        let ended = self.database.write(move |tx| deletions::end(tx.conn(), leaving, attempt, step));
        if let Err(fault) = ended.await {
            tracing::warn!(?leaving, %fault, "the end of a deletion could not be noted; it is settled later");
        }
    }

    /// Finishes or undoes deletions that a crash, a deadline or a silent service left behind, in the name of whoever asked for them.
    pub(crate) async fn settle_deletions(&self) -> Result<(), Fault> {
        let now = self.now();
        let before = now.minus(ABANDONED_AFTER);
        let since = before.plus(AGAIN_AFTER);
        for left in self.database.read(move |conn| deletions::left_before(conn, before)).await? {
            let taken = left.clone();
            let number = self.database.write(move |tx| deletions::take_over(tx.conn(), &taken, since, now)).await?;
            let Some(number) = number else { continue };
            self.settle(left, number).await?;
        }
        Ok(())
    }

    async fn settle(&self, left: Deletion, number: i64) -> Result<(), Fault> {
        let asker = Asker {
            user: left.by,
            name: left.by_name.as_str().into(),
            request_id: left.request_id.into(),
            trace_id: None,
            client_address: None,
            source: Source::System,
            client_id: None,
        };
        let (event, activity) = match left.leaving {
            Leaving::User(_) => ("user.deleted", ActivityType::DeleteUser),
            Leaving::Role(_) => ("role.deleted", ActivityType::DeleteRole),
        };
        let origin = Origin {
            site: self.outbox.site(),
            method: "",
            request_id: asker.request_id.clone(),
            trace_id: None,
            client_address: None,
            source: Source::System,
        };
        let record = Arc::new(CallRecord::new(origin, event, activity));
        record.actor(asker.user, asker.name.clone(), None);
        let settled = match (left.step, left.leaving) {
            (Step::Undoing, leaving) => {
                self.restore(leaving, number).await;
                return Ok(());
            }
            (Step::Releasing, Leaving::User(id)) => {
                self.release_user(id, number, &asker).await;
                return Ok(());
            }
            // Nobody has anything of a role that is gone.
            (Step::Releasing, leaving @ Leaving::Role(_)) => {
                self.end(leaving, number, Step::Releasing).await;
                return Ok(());
            }
            (Step::Holding, Leaving::User(id)) => {
                let attempt = Attempt { number, asker, version: None, record: &record };
                self.finish_user(id, attempt).await.map_err(|refused| match refused {
                    UserError::Fault(fault) => Err(fault),
                    refused => Ok(refused.to_string()),
                })
            }
            (Step::Holding, Leaving::Role(id)) => {
                let attempt = Attempt { number, asker, version: None, record: &record };
                self.finish_role(id, attempt).await.map_err(|refused| match refused {
                    RoleError::Fault(fault) => Err(fault),
                    refused => Ok(refused.to_string()),
                })
            }
        };
        match settled {
            Ok(()) => tracing::info!(leaving = ?left.leaving, "an abandoned deletion was finished"),
            Err(Ok(reason)) => tracing::info!(leaving = ?left.leaving, reason, "an abandoned deletion was undone"),
            Err(Err(fault)) => return Err(fault),
        }
        Ok(())
    }
}
