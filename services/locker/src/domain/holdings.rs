//! Users who leave, and roles that go.
//!
//! A user holds a locker where nobody else who stays owns it. It is held in one transaction that finds no such locker and notes that it
//! leaves; whatever could make it a member or the last owner reads that note in its own transaction. Serializable transactions let one of
//! the two win: no locker is ever left with missing users alone. Roles the same way.

use coffre_audit_client::CallRecord;
use coffre_types::{LockerId, RoleId, Timestamp, UserId};

use super::error::LockerError;
use super::model::{Locker, Member, Membership};
use super::policy::Permit;
use super::ports::{Held, Read, Subject, Write};

type Result<T> = std::result::Result<T, LockerError>;

/// How many lockers an answer of `ListHoldings` names.
pub const LISTED: i64 = 1000;
/// How many lockers a refusal names, and how many one part of a hand-over holds.
pub const NAMED: i64 = 100;

/// What somebody holds: the first of it, and how much there is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holdings {
    /// The first lockers by their numbers.
    pub lockers: Vec<Held>,
    /// How many there are.
    pub total: i64,
}

/// Lists what a user holds.
///
/// # Errors
/// Those of the store.
pub fn of_user<T: Read>(tx: &mut T, user: UserId, limit: i64) -> Result<Holdings> {
    Ok(Holdings { lockers: tx.owned_alone(user, limit)?, total: tx.count_owned_alone(user)? })
}

/// What keeps somebody from being given anything while it leaves. The steps of an attempt to delete it may come late, from a process that
/// was stopped for a while; the attempt's number tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fence {
    /// The attempt that was heard of last.
    pub attempt: i64,
    /// The fence is up.
    pub held: bool,
}

impl Fence {
    /// Of a user who is gone: no attempt takes it down.
    const FOR_EVER: Self = Self { attempt: i64::MAX, held: true };

    /// Puts the fence up.
    ///
    /// # Errors
    /// `Superseded` where this attempt, or a later one, was given up.
    fn hold(found: Option<Self>, attempt: i64) -> Result<Self> {
        match found {
            Some(fence) if !fence.held && fence.attempt >= attempt => Err(LockerError::Superseded),
            Some(fence) => Ok(Self { attempt: fence.attempt.max(attempt), held: true }),
            None => Ok(Self { attempt, held: true }),
        }
    }

    /// Takes the fence down, unless it is the one of a later attempt.
    fn restore(found: Option<Self>, attempt: i64) -> Self {
        match found {
            Some(fence) if fence.attempt > attempt => fence,
            _ => Self { attempt, held: false },
        }
    }
}

/// Keeps a user who holds nothing from being given anything; otherwise says what it holds and changes nothing.
///
/// # Errors
/// `Superseded` where this attempt, or a later one, was given up.
pub fn hold_user<T: Write>(tx: &mut T, user: UserId, attempt: i64, now: Timestamp) -> Result<Holdings> {
    let held = of_user(tx, user, NAMED)?;
    if held.total == 0 {
        let fence = Fence::hold(tx.user_fence(user)?, attempt)?;
        tx.set_user_fence(user, fence, now)?;
    }
    Ok(held)
}

/// Undoes [`hold_user`].
///
/// # Errors
/// Those of the store.
pub fn restore_user<T: Write>(tx: &mut T, user: UserId, attempt: i64, now: Timestamp) -> Result<()> {
    let fence = Fence::restore(tx.user_fence(user)?, attempt);
    Ok(tx.set_user_fence(user, fence, now)?)
}

/// Keeps a role that consumes nothing from consuming anything; otherwise says what it consumes and changes nothing.
///
/// # Errors
/// `Superseded` where this attempt, or a later one, was given up.
pub fn hold_role<T: Write>(tx: &mut T, role: RoleId, attempt: i64, now: Timestamp) -> Result<Holdings> {
    let held = Holdings { lockers: tx.consumed_by(role, NAMED)?, total: tx.count_consumed_by(role)? };
    if held.total == 0 {
        let fence = Fence::hold(tx.role_fence(role)?, attempt)?;
        tx.set_role_fence(role, fence, now)?;
    }
    Ok(held)
}

/// Undoes [`hold_role`].
///
/// # Errors
/// Those of the store.
pub fn restore_role<T: Write>(tx: &mut T, role: RoleId, attempt: i64, now: Timestamp) -> Result<()> {
    let fence = Fence::restore(tx.role_fence(role)?, attempt);
    Ok(tx.set_role_fence(role, fence, now)?)
}

/// Removes every membership of a user who left.
///
/// # Errors
/// Those of the store.
pub fn release<T: Write>(tx: &mut T, user: UserId, by: UserId, now: Timestamp, record: &CallRecord) -> Result<()> {
    record.clear_changes();
    record.object("user", user, "");
    tx.set_user_fence(user, Fence::FOR_EVER, now)?;
    let left = tx.release_user(user, by, now)?;
    record.detail("lockers", left.len().to_string());
    for id in &left {
        record.detail("memberOf", id.to_string());
    }
    if !left.is_empty() {
        tx.tell(&[Subject::User(user)], now)?;
    }
    Ok(())
}

/// Who gives to whom, and in whose name.
#[derive(Clone, Debug)]
pub struct HandOver {
    /// Who holds.
    pub from: UserId,
    /// Who gets.
    pub to: UserId,
    /// Its name, for the audit.
    pub to_name: String,
    /// Who asked.
    pub by: UserId,
}

/// Makes the recipient own a locker that the giver holds.
///
/// # Errors
/// `UserNotFound` where the recipient can be given nothing; `LockerNotFound` where there is nothing to give any more.
pub fn give<T: Write>(
    tx: &mut T,
    hand_over: &HandOver,
    id: LockerId,
    now: Timestamp,
    record: &CallRecord,
) -> Result<()> {
    record.clear_changes();
    if tx.has_departed(hand_over.to)? {
        return Err(LockerError::UserNotFound(hand_over.to));
    }
    let locker = tx.locker(id)?.ok_or(LockerError::LockerNotFound)?;
    // Somebody may have taken the ownership since the list was made.
    if !tx.member(id, hand_over.from)?.is_some_and(|giver| giver.own) {
        return Err(LockerError::LockerNotFound);
    }
    record.object("locker", id, locker.name.as_str());
    record.detail("userId", hand_over.to.to_string());
    record.detail("username", hand_over.to_name.as_str());
    record.detail("handedOverFrom", hand_over.from.to_string());
    let before = tx.member(id, hand_over.to)?;
    if before == Some(Membership::FULL) {
        return Err(LockerError::LockerNotFound);
    }
    record.change("permissions", before.map(|before| before.words()), Some(Membership::FULL.words()));
    let next =
        Locker { version: locker.version.next(), stamp: locker.stamp.touched(hand_over.by, now), ..locker.clone() };
    if !tx.raise_locker(&next)? {
        return Err(coffre_db::Error::Retryable.into());
    }
    tx.set_member(&Permit::of_hand_over(id), Member { user: hand_over.to, membership: Membership::FULL })?;
    tx.tell(&[Subject::User(hand_over.to)], now)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_come_late_change_nothing() {
        let (held, free) = (|attempt| Fence { attempt, held: true }, |attempt| Fence { attempt, held: false });
        assert_eq!(Fence::hold(None, 3).unwrap(), held(3));
        assert_eq!(Fence::hold(Some(held(3)), 3).unwrap(), held(3));
        assert_eq!(Fence::hold(Some(free(3)), 4).unwrap(), held(4));
        assert_eq!(Fence::hold(Some(held(5)), 4).unwrap(), held(5));
        for late in [3, 2] {
            assert!(matches!(Fence::hold(Some(free(3)), late), Err(LockerError::Superseded)));
        }
        assert_eq!(Fence::restore(Some(held(3)), 3), free(3));
        assert_eq!(Fence::restore(None, 3), free(3));
        assert_eq!(Fence::restore(Some(held(3)), 2), held(3));
        assert_eq!(Fence::restore(Some(free(3)), 2), free(3));
        assert_eq!(Fence::restore(Some(Fence::FOR_EVER), 9), Fence::FOR_EVER);
    }
}
