//! Deleting a locker: marked, emptied of reservations, counted, then a tombstone (L6).
//!
//! ```text
//! live ── mark ──▶ deleting ── no reservation is left, vault counts 0 ──▶ tombstone
//!   ▲                 │
//!   └── unmark ───────┴── it holds credentials, or vault does not answer
//! ```
//!
//! No transaction spans both services. While a locker is marked it takes no reservation (both write its row, so that none which began before
//! the mark commits after it), and what vault counts can only become less. Each
//! mark has a number: who comes late with the answer to an older mark changes nothing. Two who delete at once share one mark. What a crash
//! or a deadline left marked is finished in the background, the same way, in the name of whoever asked.

use coffre_audit_client::CallRecord;
use coffre_types::{LockerId, Timestamp, UserId};

use super::error::LockerError;
use super::lockers::{check_etag, find};
use super::model::Who;
use super::policy::{Delete, Rights};
use super::ports::{Deleter, Subject, Write};

type Result<T> = std::result::Result<T, LockerError>;

/// A locker under the mark of one deletion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marked {
    locker: LockerId,
    deletions: i64,
}

impl Marked {
    /// Takes what the store holds.
    #[must_use]
    pub fn from_trusted(locker: LockerId, deletions: i64) -> Self {
        Self { locker, deletions }
    }

    /// Returns the locker.
    #[must_use]
    pub fn locker(self) -> LockerId {
        self.locker
    }

    /// Returns the number of the mark.
    #[must_use]
    pub fn deletions(self) -> i64 {
        self.deletions
    }
}

/// Marks a locker: from now on it takes no credential, no member and no consumer.
///
/// # Errors
/// `LockerNotFound`, `PermissionRequired`, `NotPermitted`, `PreconditionFailed`.
pub fn mark<T: Write>(
    tx: &mut T,
    who: &Who,
    by_name: &str,
    id: LockerId,
    etag: &str,
    now: Timestamp,
    record: &CallRecord,
) -> Result<Marked> {
    let (locker, place) = find(tx, who, id, record)?;
    let permit = Rights::of(who, id, place).permit(Delete)?;
    check_etag(etag, locker.version)?;
    if locker.deleting {
        return Ok(Marked { locker: id, deletions: locker.deletions });
    }
    let deletions = locker.deletions.saturating_add(1);
    let by = Deleter { user: who.user, name: by_name, request_id: &record.origin().request_id };
    tx.mark(&permit, deletions, &by, now)?;
    Ok(Marked { locker: id, deletions })
}

/// Leaves a tombstone of a marked locker that vault found empty.
///
/// # Errors
/// `LockerNotFound` where somebody else was quicker; `Overtaken` where the mark was taken away meanwhile: what vault counted holds no more.
pub fn bury<T: Write>(tx: &mut T, marked: Marked, by: UserId, now: Timestamp, record: &CallRecord) -> Result<()> {
    record.clear_changes();
    let id = marked.locker;
    let locker = tx.locker(id)?.ok_or(LockerError::LockerNotFound)?;
    // Another call may have taken the mark away, and a credential may have entered since.
    if !locker.deleting || locker.deletions != marked.deletions || !tx.entries_of(id, 1)?.is_empty() {
        return Err(LockerError::Overtaken);
    }
    let (members, consumers) = (tx.members(id)?, tx.consumers(id)?);
    record.object("locker", id, locker.name.as_str());
    record.change("name", Some(locker.name.as_str().to_owned()), None);
    for member in &members {
        record.change("member", Some(format!("{} ({})", member.user, member.membership.words())), None);
    }
    for role in &consumers {
        record.change("roleId", Some(role.to_string()), None);
    }
    tx.bury(marked, locker.stamp.touched(by, now))?;
    let users = members.iter().map(|member| Subject::User(member.user));
    let subjects: Vec<Subject> = users.chain(consumers.into_iter().map(Subject::Role)).collect();
    tx.tell(&subjects, now)?;
    Ok(())
}
