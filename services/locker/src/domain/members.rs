//! What the calls on members mean (L10 to L12).

use coffre_audit_client::CallRecord;
use coffre_types::{LockerId, Timestamp, UserId};

use super::error::LockerError;
use super::lockers::{check_kept, find, raise};
use super::model::{Member, Who};
use super::policy::{Action, ChangeMembers, Rights};
use super::ports::{Read, Subject, Write};

type Result<T> = std::result::Result<T, LockerError>;

/// Lists the members; for consumers there are none (L10).
///
/// # Errors
/// `LockerNotFound`, `PermissionRequired`.
pub fn list<T: Read>(tx: &mut T, who: &Who, id: LockerId, record: &CallRecord) -> Result<Vec<Member>> {
    let (_, place) = find(tx, who, id, record)?;
    match Rights::of(who, id, place).check(Action::SeeMembers) {
        Ok(()) => Ok(tx.members(id)?),
        Err(LockerError::NotPermitted(_)) => Ok(Vec::new()),
        Err(refused) => Err(refused),
    }
}

/// Says whether the caller may make this user a member, before auth is asked about the user.
///
/// # Errors
/// `LockerNotFound`, `PermissionRequired`, `NotPermitted`, `SelfGrant`.
pub fn may_set<T: Read>(tx: &mut T, who: &Who, id: LockerId, user: UserId, record: &CallRecord) -> Result<()> {
    record.detail("userId", user.to_string());
    let (_, place) = find(tx, who, id, record)?;
    Rights::of(who, id, place).permit_member(user).map(|_| ())
}

/// A member to set.
#[derive(Clone, Debug)]
pub struct SetMember {
    /// The locker.
    pub locker: LockerId,
    /// The user and what it may do. Auth said that it exists.
    pub member: Member,
    /// The user's name, for the audit.
    pub username: String,
}

/// Adds a member or changes what it may do (L11).
///
/// # Errors
/// See `SetMember` in the contract.
pub fn set<T: Write>(tx: &mut T, who: &Who, command: &SetMember, now: Timestamp, record: &CallRecord) -> Result<()> {
    let Member { user, membership } = command.member;
    record.clear_changes();
    record.detail("userId", user.to_string());
    let (locker, place) = find(tx, who, command.locker, record)?;
    let permit = Rights::of(who, locker.id, place).permit_member(user)?;
    check_kept(&locker)?;
    if tx.has_departed(user)? {
        return Err(LockerError::UserNotFound(user));
    }
    record.detail("username", command.username.as_str());
    let before = tx.member(locker.id, user)?;
    if before == Some(membership) {
        return Ok(());
    }
    record.change("permissions", before.map(|before| before.words()), Some(membership.words()));
    raise(tx, &locker, who, now)?;
    tx.set_member(&permit, command.member)?;
    if before.is_some_and(|before| before.own) && !membership.own {
        keep_an_owner(tx, locker.id)?;
    }
    tx.tell(&[Subject::User(user)], now)?;
    Ok(())
}

/// Removes a member (L12).
///
/// # Errors
/// See `RemoveMember` in the contract.
pub fn remove<T: Write>(
    tx: &mut T,
    who: &Who,
    id: LockerId,
    user: UserId,
    now: Timestamp,
    record: &CallRecord,
) -> Result<()> {
    record.clear_changes();
    record.detail("userId", user.to_string());
    let (locker, place) = find(tx, who, id, record)?;
    let permit = Rights::of(who, id, place).permit(ChangeMembers)?;
    let before = tx.member(id, user)?.ok_or(LockerError::MemberNotFound(user))?;
    record.change("permissions", Some(before.words()), None);
    raise(tx, &locker, who, now)?;
    tx.remove_member(&permit, user)?;
    if before.own {
        keep_an_owner(tx, id)?;
    }
    tx.tell(&[Subject::User(user)], now)?;
    Ok(())
}

/// Refuses what leaves a locker without an owner who stays. The locker's row was raised before, so of two at once one comes after the other.
fn keep_an_owner<T: Write>(tx: &mut T, id: LockerId) -> Result<()> {
    if tx.count_owners(id)? == 0 { Err(LockerError::LastOwner) } else { Ok(()) }
}
