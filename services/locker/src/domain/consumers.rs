//! What the calls on consumers mean (L7 to L9).

use coffre_audit_client::CallRecord;
use coffre_types::{LockerId, RoleId, Timestamp};

use super::error::LockerError;
use super::lockers::{check_kept, find, raise};
use super::model::Who;
use super::policy::{Action, ChangeConsumers, Rights};
use super::ports::{Read, Subject, Write};

type Result<T> = std::result::Result<T, LockerError>;

/// Lists the roles that consume a locker (L7).
///
/// # Errors
/// `LockerNotFound`, `PermissionRequired`.
pub fn list<T: Read>(tx: &mut T, who: &Who, id: LockerId, record: &CallRecord) -> Result<Vec<RoleId>> {
    let (_, place) = find(tx, who, id, record)?;
    Rights::of(who, id, place).check(Action::SeeConsumers)?;
    Ok(tx.consumers(id)?)
}

/// Says whether the caller may make this role a consumer, before auth is asked about the role. Where *Administer all lockers* alone allows it
/// auth has to be asked too whether the caller holds the role; then the answer is how often auth was told what the role consumes.
///
/// # Errors
/// `LockerNotFound`, `PermissionRequired`, `NotPermitted`, `SelfGrant`.
pub fn may_add<T: Read>(tx: &mut T, who: &Who, id: LockerId, role: RoleId, record: &CallRecord) -> Result<Option<i64>> {
    let (_, place) = find(tx, who, id, record)?;
    let rights = Rights::of(who, id, place);
    rights.permit_consumer(role, who.roles.contains(&role))?;
    if rights.administers_consumers() { Ok(Some(tx.inspections(role)?)) } else { Ok(None) }
}

/// What auth said when it was asked whether the caller holds a role.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    /// It does.
    pub held: bool,
    /// How often auth had been told before what the role consumes. Where it was told once more since, it may have given the role to the
    /// caller on that: the caller would get by two calls at once what neither gives alone.
    pub inspections: i64,
}

/// A consumer to add.
#[derive(Clone, Debug)]
pub struct AddConsumer {
    /// The locker.
    pub locker: LockerId,
    /// The role. Auth said that it exists and is defined by users.
    pub role: RoleId,
    /// The role's name, for the audit.
    pub role_name: String,
    /// Whether the caller holds it, where that was asked.
    pub holding: Option<Holding>,
}

/// Adds a role as a consumer; a role that is one already stays so (L8).
///
/// # Errors
/// See `AddConsumer` in the contract; `RoleOvertaken` where auth has to be asked anew.
pub fn add<T: Write>(tx: &mut T, who: &Who, command: &AddConsumer, now: Timestamp, record: &CallRecord) -> Result<()> {
    record.clear_changes();
    let (locker, place) = find(tx, who, command.locker, record)?;
    let role = command.role;
    let rights = Rights::of(who, locker.id, place);
    let held = who.roles.contains(&role) || command.holding.is_some_and(|holding| holding.held);
    let permit = rights.permit_consumer(role, held)?;
    if rights.administers_consumers() {
        let now = tx.inspections(role)?;
        if command.holding.is_none_or(|holding| holding.inspections != now) {
            return Err(LockerError::RoleOvertaken(role));
        }
    }
    check_kept(&locker)?;
    if tx.role_has_departed(role)? {
        return Err(LockerError::RoleNotFound(role));
    }
    record.detail("roleName", command.role_name.as_str());
    if tx.is_consumer(locker.id, role)? {
        record.detail("roleId", role.to_string());
        return Ok(());
    }
    record.change("roleId", None, Some(role.to_string()));
    raise(tx, &locker, who, now)?;
    tx.add_consumer(&permit, role)?;
    tx.tell(&[Subject::Role(role)], now)?;
    Ok(())
}

/// Removes a consumer (L9).
///
/// # Errors
/// See `RemoveConsumer` in the contract.
pub fn remove<T: Write>(
    tx: &mut T,
    who: &Who,
    id: LockerId,
    role: RoleId,
    now: Timestamp,
    record: &CallRecord,
) -> Result<()> {
    record.clear_changes();
    let (locker, place) = find(tx, who, id, record)?;
    let permit = Rights::of(who, id, place).permit(ChangeConsumers)?;
    if !tx.is_consumer(id, role)? {
        return Err(LockerError::ConsumerNotFound(role));
    }
    record.change("roleId", Some(role.to_string()), None);
    raise(tx, &locker, who, now)?;
    tx.remove_consumer(&permit, role)?;
    tx.tell(&[Subject::Role(role)], now)?;
    Ok(())
}
