//! What the calls on a locker itself mean (L2, L4, L5).

use coffre_audit_client::CallRecord;
use coffre_db::Error;
use coffre_types::{Description, LockerId, Timestamp, Version, etag};

use super::error::LockerError;
use super::model::{Locker, LockerPatch, NewLocker, Place, Stamp, View, Who};
use super::policy::{Action, Change, Creation, Rights};
use super::ports::{Read, Subject, Write};

type Result<T> = std::result::Result<T, LockerError>;

/// Finds a locker and how somebody stands to it, and tells the audit what the call is about. Callers read their own entries, so the entry
/// of one who does not see the locker has no name, as if there were none.
pub(super) fn find<T: Read + ?Sized>(
    tx: &mut T,
    who: &Who,
    id: LockerId,
    record: &CallRecord,
) -> Result<(Locker, Place)> {
    record.object("locker", id, "");
    let (locker, place) = tx.place(who, id)?.ok_or(LockerError::LockerNotFound)?;
    if Rights::of(who, id, place).may(Action::See) {
        record.object("locker", locker.id, locker.name.as_str());
    }
    Ok((locker, place))
}

/// Checks `If-Match` against a version.
pub(super) fn check_etag(header: &str, version: Version) -> Result<()> {
    match etag::matches(header, version) {
        Ok(true) => Ok(()),
        Ok(false) => Err(LockerError::PreconditionFailed),
        Err(malformed) => Err(LockerError::invalid("etag", malformed.to_string())),
    }
}

/// Refuses a locker that takes nothing any more.
pub(super) fn check_kept(locker: &Locker) -> Result<()> {
    if locker.deleting { Err(LockerError::BeingDeleted) } else { Ok(()) }
}

/// Raises the version after a change of members or consumers.
pub(super) fn raise<T: Write>(tx: &mut T, locker: &Locker, who: &Who, now: Timestamp) -> Result<()> {
    let next = Locker { version: locker.version.next(), stamp: locker.stamp.touched(who.user, now), ..locker.clone() };
    if tx.raise_locker(&next)? { Ok(()) } else { Err(Error::Retryable.into()) }
}

fn name_taken(error: Error) -> LockerError {
    match error {
        Error::Unique(_) => LockerError::NameTaken,
        other => LockerError::Store(other),
    }
}

fn text(description: Option<&Description>) -> Option<String> {
    description.map(|text| text.as_str().to_owned())
}

/// Makes a locker; whoever makes it owns, manages and participates (L2).
///
/// # Errors
/// `PermissionRequired`, `NameTaken`, `UserNotFound` where the caller is being deleted.
pub fn create<T: Write>(tx: &mut T, who: &Who, new: &NewLocker, now: Timestamp, record: &CallRecord) -> Result<View> {
    record.clear_changes();
    record.wanted("locker", new.name.as_str());
    let creation = Creation::permit(who.permissions)?;
    if tx.has_departed(who.user)? {
        return Err(LockerError::UserNotFound(who.user));
    }
    let id = tx.insert_locker(&creation, new, Stamp::new(who.user, now)).map_err(name_taken)?;
    let (locker, place) = find(tx, who, id, record)?;
    record.change("name", None, Some(locker.name.as_str().to_owned()));
    record.change("description", None, text(locker.description.as_ref()));
    tx.tell(&[Subject::User(who.user)], now)?;
    Ok(View { locker, place, details: None })
}

/// Returns a locker (L4).
///
/// # Errors
/// `LockerNotFound`, `PermissionRequired`.
pub fn get<T: Read>(tx: &mut T, who: &Who, id: LockerId, record: &CallRecord) -> Result<View> {
    let (locker, place) = find(tx, who, id, record)?;
    Rights::of(who, id, place).check(Action::See)?;
    Ok(View { locker, place, details: None })
}

/// Changes a locker and says whether anything changed (L5).
///
/// # Errors
/// See `UpdateLocker` in the contract.
pub fn update<T: Write>(
    tx: &mut T,
    who: &Who,
    patch: &LockerPatch,
    now: Timestamp,
    record: &CallRecord,
) -> Result<(View, bool)> {
    record.clear_changes();
    let (locker, place) = find(tx, who, patch.id, record)?;
    let permit = Rights::of(who, locker.id, place).permit(Change)?;
    check_etag(&patch.etag, locker.version)?;
    if patch.version.is_some_and(|version| version != locker.version) {
        return Err(LockerError::VersionConflict);
    }
    check_kept(&locker)?;
    let mut next = locker.clone();
    if let Some(name) = &patch.name {
        next.name = name.clone();
    }
    if let Some(description) = &patch.description {
        next.description.clone_from(description);
    }
    if next == locker {
        return Ok((View { locker, place, details: None }, false));
    }
    next.version = locker.version.next();
    next.stamp = locker.stamp.touched(who.user, now);
    record.change("name", Some(locker.name.into_string()), Some(next.name.as_str().to_owned()));
    record.change("description", text(locker.description.as_ref()), text(next.description.as_ref()));
    if !tx.update_locker(&permit, &next).map_err(name_taken)? {
        return Err(LockerError::VersionConflict);
    }
    record.object("locker", next.id, next.name.as_str());
    Ok((View { locker: next, place, details: None }, true))
}
