//! The door of a locker while a credential enters it.
//!
//! Vault reserves a place here before it writes the locker into the credential, under the credential's *entry epoch*: the write commits only
//! while the epoch is the same, and raises it. A reservation goes only after vault has said that nothing enters under its epoch any more
//! (`SettleEntry`), and a locker is deleted only when it takes no reservation, has none, and vault counts no credential in it. So no
//! credential ever points at a missing locker, whoever crashes when.

use coffre_types::Timestamp;

use super::error::LockerError;
use super::model::Who;
use super::policy::{Enter, Rights};
use super::ports::{Entry, Write};

/// What became of a reservation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reservation {
    /// The place is reserved in the locker of that name.
    Reserved(String),
    /// No such locker, or not visible.
    NotFound,
    /// The locker is visible, but whoever brings the credential is no member.
    NotPermitted(String),
    /// A member without the permission that makes it count.
    PermissionMissing(String),
    /// It takes nothing any more.
    BeingDeleted(String),
}

/// Reserves a place for a credential (first step of L13).
///
/// # Errors
/// Those of the store.
pub fn reserve<T: Write>(tx: &mut T, who: &Who, entry: Entry, now: Timestamp) -> Result<Reservation, LockerError> {
    let Some((locker, place)) = tx.place(who, entry.locker)? else {
        return Ok(Reservation::NotFound);
    };
    let name = locker.name.into_string();
    let permit = match Rights::of(who, locker.id, place).permit(Enter) {
        Ok(permit) => permit,
        Err(LockerError::NotPermitted(_)) => return Ok(Reservation::NotPermitted(name)),
        Err(LockerError::PermissionRequired(_)) => return Ok(Reservation::PermissionMissing(name)),
        Err(_) => return Ok(Reservation::NotFound),
    };
    if locker.deleting {
        return Ok(Reservation::BeingDeleted(name));
    }
    tx.reserve(&permit, entry, now)?;
    Ok(Reservation::Reserved(name))
}
