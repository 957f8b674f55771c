//! What users hold: finding it, handing it over, and letting go of users who leave.
//!
//! A user is deleted in three steps, of which auth has the second. [`hold`] finds in one transaction that the user owns nothing and notes
//! that it departs; whatever could make it an owner reads that note in its own transaction. Serializable transactions let one of the two
//! win: no owner is ever a missing user. [`restore`] takes the note back where the deletion is given up, [`release`] makes it final and
//! removes the user's own values.

use coffre_audit_client::CallRecord;
use coffre_types::{CredentialId, Name, Timestamp, UserId};

use super::error::VaultError;
use super::model::Credential;
use super::policy::Permit;
use super::ports::Write;
use super::values;

type Result<T> = std::result::Result<T, VaultError>;

/// How many credentials a hand-over gives at a time.
pub const PART: usize = 100;

/// What a user owns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holdings {
    /// The first of them.
    pub credentials: Vec<(CredentialId, Name)>,
    /// How many there are.
    pub total: i64,
}

/// Lists what a user owns: the first of it, and how much there is.
///
/// # Errors
/// The store's.
pub fn list<T: Write>(tx: &mut T, user: UserId, named: usize) -> Result<Holdings> {
    let total = tx.count_owned_by(user)?;
    let owned = if total > 0 { tx.owned_by(user, named)? } else { Vec::new() };
    let credentials = owned.into_iter().map(|credential| (credential.id, credential.name)).collect();
    Ok(Holdings { credentials, total })
}

/// Keeps a user who owns nothing from being given anything. Where it owns something, says what and changes nothing. It may be repeated; of an
/// attempt that was given up already it counts no more.
///
/// # Errors
/// The store's.
pub fn hold<T: Write>(tx: &mut T, user: UserId, attempt: i64, now: Timestamp) -> Result<Holdings> {
    let holdings = list(tx, user, PART)?;
    let late = tx.departure(user)?.is_some_and(|noted| noted.released || noted.attempt >= attempt);
    if holdings.total == 0 && !late {
        tx.note_departure(user, attempt, true, now)?;
    }
    Ok(holdings)
}

/// Undoes [`hold`]; a user who was released stays so, and one who is held by a later attempt too. It may be repeated.
///
/// # Errors
/// The store's.
pub fn restore<T: Write>(tx: &mut T, user: UserId, attempt: i64, now: Timestamp) -> Result<()> {
    let late = tx.departure(user)?.is_some_and(|noted| noted.released || noted.attempt > attempt);
    if !late {
        // Noted even where nothing was held: the hold of this attempt may come yet.
        tx.note_departure(user, attempt, false, now)?;
    }
    Ok(())
}

/// Removes the own values of a user who was deleted, and keeps it from being given anything for ever. It may be repeated.
///
/// # Errors
/// `StillHolds`: whoever asks did not hold the user before; nothing changes then.
pub fn release<T: Write>(tx: &mut T, user: UserId, now: Timestamp, record: &CallRecord) -> Result<()> {
    record.clear_changes();
    record.object("user", user, "");
    let holdings = list(tx, user, PART)?;
    if holdings.total > 0 {
        return Err(VaultError::StillHolds(holdings));
    }
    let gone = tx.release_user(user, now)?;
    values::record_deleted(record, &gone);
    Ok(())
}

/// A hand-over of all that a user owns. Auth decided that it may happen and that the recipient exists.
#[derive(Clone, Debug)]
pub struct HandOver {
    /// The user who owns.
    pub giver: UserId,
    /// The user who gets.
    pub recipient: UserId,
    /// The name of the user who gets, for the audit.
    pub recipient_name: String,
}

/// Gives a part of what a user owns to another: each credential with a record of its own, which `record` begins. Says which were given.
///
/// # Errors
/// `OwnerUnknown` where the recipient is being deleted.
pub fn hand_over<T: Write>(
    tx: &mut T,
    command: &HandOver,
    by: UserId,
    now: Timestamp,
    record: impl Fn() -> CallRecord,
) -> Result<Vec<(CredentialId, CallRecord)>> {
    if tx.has_departed(command.recipient)? {
        return Err(VaultError::OwnerUnknown(command.recipient));
    }
    let mut given = Vec::new();
    for credential in tx.owned_by(command.giver, PART)? {
        let Some(permit) = Permit::hand_over(&credential, command.giver) else { continue };
        let next = Credential {
            owner: command.recipient,
            version: credential.version.next(),
            stamp: credential.stamp.touched_by(by, now),
            ..credential
        };
        if !tx.transfer_credential(&permit, &next)? {
            return Err(coffre_db::Error::Retryable.into());
        }
        let record = record();
        record.object("credential", next.id, next.name.as_str());
        record.change("ownerId", Some(command.giver.to_string()), Some(command.recipient.to_string()));
        record.detail("newOwner", command.recipient_name.as_str());
        given.push((next.id, record));
    }
    Ok(given)
}
