//! Who shares what, for other services: what they keep, and what makes them forget it.

use std::collections::BTreeMap;

use coffre_changes::provider::{self, Columns, log};
use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{RoleId, TENANT, Timestamp, UserId};
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Bool};

use super::Tx;
use crate::domain::error::LockerError;
use crate::domain::ports::Subject;

/// The kinds that the rows of auth have for the same subjects.
const USER: i64 = 2;
const ROLE: i64 = 3;

impl provider::Subject for Subject {
    fn columns(&self) -> Columns {
        let (kind, id) = match self {
            Self::User(user) => (USER, user.get()),
            Self::Role(role) => (ROLE, role.get()),
        };
        Columns { kind, subject_id: Some(id), session_id: None }
    }

    fn from_columns(columns: &Columns) -> Option<Self> {
        match (columns.kind, columns.subject_id?) {
            (USER, id) => Some(Self::User(UserId::from_trusted(id))),
            (ROLE, id) => Some(Self::Role(RoleId::from_trusted(id))),
            _ => None,
        }
    }
}

pub(super) fn record(conn: &mut Connection, subject: Subject, now: Timestamp) -> Result<(), Error> {
    log::record(conn, subject, now)
}

/// The lockers of which somebody is a member, ascending.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Memberships {
    /// Those in which it may own or manage.
    pub managed: Vec<i64>,
    /// Those in which it may participate and nothing more.
    pub participated: Vec<i64>,
}

/// Who shares what, as of a change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    /// The number of the last change that is in it.
    pub sequence: i64,
    /// The memberships of each user that has any.
    pub users: BTreeMap<i64, Memberships>,
    /// The lockers that each role consumes, ascending; of those that consume any.
    pub roles: BTreeMap<i64, Vec<i64>>,
}

/// Finds out what users and roles share.
///
/// # Errors
/// Those of the store.
pub fn resolve(tx: &mut Tx<'_>, users: &[UserId], roles: &[RoleId]) -> Result<Shares, LockerError> {
    // The number first: what is read after it may be newer, and is forgotten a change too early, never too late.
    let mut shares = Shares { sequence: log::last(tx.conn)?, ..Shares::default() };
    if !users.is_empty() {
        let sql = Sql::new("SELECT user_id, locker_id, (own OR manage) FROM members WHERE user_id IN (")
            .binds(users.iter().map(|user| user.get()))
            .push(") ORDER BY user_id, locker_id");
        let rows: Vec<(i64, i64, bool)> = sql.typed::<(BigInt, BigInt, Bool)>().load(tx.conn).map_err(Error::from)?;
        for (user, locker, managed) in rows {
            let of = shares.users.entry(user).or_default();
            if managed { of.managed.push(locker) } else { of.participated.push(locker) }
        }
    }
    if !roles.is_empty() {
        let sql = Sql::new("SELECT role_id, locker_id FROM consumers WHERE role_id IN (")
            .binds(roles.iter().map(|role| role.get()))
            .push(") ORDER BY role_id, locker_id");
        let rows: Vec<(i64, i64)> = sql.typed::<(BigInt, BigInt)>().load(tx.conn).map_err(Error::from)?;
        for (role, locker) in rows {
            shares.roles.entry(role).or_default().push(locker);
        }
    }
    Ok(shares)
}

/// Finds out which roles consume a locker, ascending, and notes that they were looked at.
///
/// # Errors
/// Those of the store.
pub fn inspect(tx: &mut Tx<'_>, roles: &[RoleId]) -> Result<Vec<RoleId>, LockerError> {
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    for role in roles {
        Sql::new("INSERT INTO role_inspections (role_id, tenant_id, inspections) VALUES (")
            .bind(role.get())
            .push(", ")
            .bind(TENANT.get())
            .push(", 1) ON CONFLICT (role_id) DO UPDATE SET inspections = role_inspections.inspections + 1")
            .cached()
            .execute(tx.conn)
            .map_err(Error::from)?;
    }
    let sql = Sql::new("SELECT DISTINCT role_id AS id FROM consumers WHERE role_id IN (")
        .binds(roles.iter().map(|role| role.get()))
        .push(") ORDER BY id");
    Ok(dialect::ids(tx.conn, sql)?.into_iter().map(RoleId::from_trusted).collect())
}

/// Removes changes that every watcher has long seen.
///
/// # Errors
/// Those of the store.
pub fn prune(tx: &mut Tx<'_>, now: Timestamp) -> Result<usize, LockerError> {
    Ok(log::prune(tx.conn, now.minus(log::KEPT))?)
}
