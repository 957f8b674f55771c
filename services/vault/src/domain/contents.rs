//! What lies in lockers: how a credential enters one (L13) and leaves it (L15).
//!
//! No transaction spans this service and locker. An entry has four steps, and whoever dies between them leaves nothing behind that the
//! others do not settle:
//!
//! ```text
//! 1 prepare   the owner may, the credential is in no locker; its entry epoch is read
//! 2 reserve   locker keeps a place under that epoch; while it does, the locker is not deleted
//! 3 enter     the credential is written where its epoch is still the same, and the epoch is raised
//! 4 close     locker gives the place up
//! ```
//!
//! [`settle`] raises an epoch that is still the one of a place: afterwards the entry has committed or never will. Locker asks for it before
//! it gives up a place that nobody closed; we do it before we close a place into which nothing was put, because two calls of one epoch share
//! their place and the other may be about to commit. So no credential is ever in a locker that is gone.

use coffre_types::{CredentialId, LockerId, Timestamp};

use super::Asker;
use super::credentials::{check_etag, find, view};
use super::error::VaultError;
use super::model::{Credential, View};
use super::policy::{Assign, Withdraw};
use super::ports::{Read, Write};

type Result<T> = std::result::Result<T, VaultError>;

/// A credential that is to be in a locker.
#[derive(Clone, Debug)]
pub struct AssignCommand {
    /// The credential.
    pub credential: CredentialId,
    /// The locker.
    pub locker: LockerId,
    /// `If-Match`, on the credential.
    pub etag: String,
}

/// A place that locker keeps for a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The credential.
    pub credential: CredentialId,
    /// The locker.
    pub locker: LockerId,
    /// The credential's entry epoch.
    pub epoch: i64,
}

/// What the first step finds.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// A place can be reserved.
    Ready(Entry),
    /// The credential is in the locker already.
    There(Box<View>),
}

/// Finds out whether the caller may put a credential into a locker, and under which epoch.
///
/// # Errors
/// `CredentialNotFound`, `PermissionRequired`, `NotPermitted`, `CredentialInLocker`, `PreconditionFailed`.
pub fn prepare<T: Read>(tx: &mut T, by: Asker<'_>, command: &AssignCommand) -> Result<Prepared> {
    // An entry that was overtaken begins anew: what it was about to change is not what this call changed.
    by.record.clear_changes();
    let (credential, rights) = find(tx, by, command.credential)?;
    let permit = rights.permit(Assign)?;
    check_etag(&command.etag, credential.version)?;
    match credential.locker {
        Some(locker) if locker == command.locker => Ok(Prepared::There(Box::new(view(tx, by, credential, rights)?))),
        Some(locker) => Err(VaultError::CredentialInLocker(locker)),
        None => {
            let epoch = tx.entry_epoch(&permit)?;
            Ok(Prepared::Ready(Entry { credential: credential.id, locker: command.locker, epoch }))
        }
    }
}

/// Puts a credential into the locker in which its place is reserved, under the epoch of that place.
///
/// # Errors
/// As for [`prepare`]; `EntryOvertaken` where the epoch has passed: the entry has to begin anew.
pub fn enter<T: Write>(
    tx: &mut T,
    by: Asker<'_>,
    entry: Entry,
    locker_name: &str,
    etag: &str,
    now: Timestamp,
) -> Result<View> {
    by.record.clear_changes();
    let (credential, rights) = find(tx, by, entry.credential)?;
    let permit = rights.permit(Assign)?;
    check_etag(etag, credential.version)?;
    match credential.locker {
        // Another call of the same wish won.
        Some(locker) if locker == entry.locker => return Err(VaultError::EntryOvertaken),
        Some(locker) => return Err(VaultError::CredentialInLocker(locker)),
        None => {}
    }
    let next = Credential {
        locker: Some(entry.locker),
        version: credential.version.next(),
        stamp: credential.stamp.touched(by.caller, now),
        ..credential
    };
    by.record.change("lockerId", None, Some(entry.locker.to_string()));
    by.record.detail("locker", locker_name);
    if !tx.assign_credential(&permit, &next, entry.epoch)? {
        return Err(VaultError::EntryOvertaken);
    }
    // It is its owner's, whose rights a locker does not change.
    view(tx, by, next, rights)
}

/// Raises the epoch of an entry where it still is the current one.
///
/// # Errors
/// The store's.
pub fn settle<T: Write>(tx: &mut T, credential: CredentialId, epoch: i64) -> Result<()> {
    Ok(tx.raise_entry_epoch(credential, epoch)?)
}

/// Takes a credential out of a locker.
///
/// # Errors
/// See `WithdrawCredential` in the contract.
pub fn withdraw<T: Write>(
    tx: &mut T,
    by: Asker<'_>,
    id: CredentialId,
    locker: LockerId,
    etag: &str,
    now: Timestamp,
) -> Result<()> {
    by.record.clear_changes();
    let (credential, rights) = find(tx, by, id)?;
    let permit = rights.permit(Withdraw)?;
    if credential.locker != Some(locker) {
        return Err(VaultError::CredentialNotInLocker { locker, holder: credential.locker });
    }
    check_etag(etag, credential.version)?;
    by.record.change("lockerId", Some(locker.to_string()), None);
    let next = Credential {
        locker: None,
        version: credential.version.next(),
        stamp: credential.stamp.touched(by.caller, now),
        ..credential
    };
    if tx.withdraw_credential(&permit, &next)? { Ok(()) } else { Err(VaultError::CredentialVersionConflict) }
}
