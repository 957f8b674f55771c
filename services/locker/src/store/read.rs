//! Reading. Every statement is always the same text but for how many roles somebody has, so that it is prepared once a connection.

use coffre_db::{Sql, dialect};
use coffre_types::{CredentialId, LockerId, RoleId, Timestamp, UserId};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::Tx;
use super::rows::{LOCKER, LockerRow, LockerTypes, MemberRow, MemberTypes, PlacedRow, PlacedTypes, member, placed};
use crate::domain::deletion::Marked;
use crate::domain::model::{Locker, Member, Membership, Place, Who};
use crate::domain::ports::{Abandoned, Entry, Held, Read, Result};

/// Lockers that nobody but one user owns; who leaves does not count.
const OWNED_ALONE: &str = "\
FROM members m INNER JOIN lockers l ON l.id = m.locker_id \
WHERE m.own AND l.deleted_at IS NULL AND NOT EXISTS (\
SELECT 1 FROM members o WHERE o.locker_id = m.locker_id AND o.own AND o.user_id <> m.user_id \
AND NOT EXISTS (SELECT 1 FROM departed_users d WHERE d.user_id = o.user_id AND d.held)) \
AND m.user_id = ";

/// Says of each locker `l` whether one of some roles consumes it.
pub(super) fn consumed(sql: Sql, roles: &[RoleId]) -> Sql {
    if roles.is_empty() {
        return sql.push("FALSE");
    }
    sql.push("EXISTS (SELECT 1 FROM consumers c WHERE c.locker_id = l.id AND c.role_id IN (")
        .binds(roles.iter().map(|role| role.get()))
        .push("))")
}

/// The columns of a locker `l` and of how somebody stands to it: [`PlacedTypes`].
pub(super) fn placed_columns(who: &Who) -> Sql {
    consumed(Sql::new(LOCKER).push(", m.own, m.manage, "), &who.roles)
}

/// Lockers `l`, each with the membership `m` of somebody where there is one.
pub(super) fn placed_from(who: &Who) -> Sql {
    Sql::new("lockers l LEFT JOIN members m ON m.locker_id = l.id AND m.user_id = ").bind(who.user.get())
}

impl Tx<'_> {
    fn held(&mut self, sql: Sql) -> Result<Vec<Held>> {
        let rows: Vec<(i64, String)> = sql.cached().typed::<(BigInt, Text)>().load(self.conn)?;
        Ok(rows.into_iter().map(|(id, name)| Held { id: LockerId::from_trusted(id), name }).collect())
    }

    fn entries(&mut self, sql: Sql, limit: i64) -> Result<Vec<Entry>> {
        let sql = sql.push(" ORDER BY created_at, locker_id, credential_id, epoch LIMIT ").bind(limit);
        let rows: Vec<(i64, i64, i64)> = sql.cached().typed::<(BigInt, BigInt, BigInt)>().load(self.conn)?;
        let entry = |(locker, credential, epoch)| Entry {
            locker: LockerId::from_trusted(locker),
            credential: CredentialId::from_trusted(credential),
            epoch,
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}

impl Read for Tx<'_> {
    fn locker(&mut self, id: LockerId) -> Result<Option<Locker>> {
        let sql = Sql::new("SELECT ")
            .push(LOCKER)
            .push(" FROM lockers l WHERE l.deleted_at IS NULL AND l.id = ")
            .bind(id.get());
        let row: Option<LockerRow> = sql.cached().typed::<LockerTypes>().get_result(self.conn).optional()?;
        Ok(row.map(Locker::from))
    }

    fn place(&mut self, who: &Who, id: LockerId) -> Result<Option<(Locker, Place)>> {
        let sql = Sql::new("SELECT ").join(placed_columns(who)).push(" FROM ").join(placed_from(who));
        let sql = sql.push(" WHERE l.deleted_at IS NULL AND l.id = ").bind(id.get());
        let row: Option<PlacedRow> = sql.cached().typed::<PlacedTypes>().get_result(self.conn).optional()?;
        Ok(row.map(placed))
    }

    fn members(&mut self, id: LockerId) -> Result<Vec<Member>> {
        let sql = Sql::new("SELECT user_id, own, manage FROM members WHERE locker_id = ").bind(id.get());
        let rows: Vec<MemberRow> = sql.push(" ORDER BY user_id").cached().typed::<MemberTypes>().load(self.conn)?;
        Ok(rows.into_iter().map(member).collect())
    }

    fn member(&mut self, id: LockerId, user: UserId) -> Result<Option<Membership>> {
        let sql = Sql::new("SELECT user_id, own, manage FROM members WHERE locker_id = ").bind(id.get());
        let sql = sql.push(" AND user_id = ").bind(user.get());
        let row: Option<MemberRow> = sql.cached().typed::<MemberTypes>().get_result(self.conn).optional()?;
        Ok(row.map(|row| member(row).membership))
    }

    fn consumers(&mut self, id: LockerId) -> Result<Vec<RoleId>> {
        let sql = Sql::new("SELECT role_id AS id FROM consumers WHERE locker_id = ").bind(id.get());
        let roles = dialect::ids(self.conn, sql.push(" ORDER BY role_id").cached())?;
        Ok(roles.into_iter().map(RoleId::from_trusted).collect())
    }

    fn is_consumer(&mut self, id: LockerId, role: RoleId) -> Result<bool> {
        let sql = Sql::new("SELECT role_id AS id FROM consumers WHERE locker_id = ").bind(id.get());
        let sql = sql.push(" AND role_id = ").bind(role.get());
        Ok(!dialect::ids(self.conn, sql.cached())?.is_empty())
    }

    fn inspections(&mut self, role: RoleId) -> Result<i64> {
        let sql = Sql::new("SELECT COALESCE(MAX(inspections), 0) AS id FROM role_inspections WHERE role_id = ");
        dialect::id(self.conn, sql.bind(role.get()).cached())
    }

    fn entries_of(&mut self, id: LockerId, limit: i64) -> Result<Vec<Entry>> {
        let sql =
            Sql::new("SELECT locker_id, credential_id, epoch FROM reservations WHERE locker_id = ").bind(id.get());
        self.entries(sql, limit)
    }

    fn entries_before(&mut self, before: Timestamp, limit: i64) -> Result<Vec<Entry>> {
        let sql = Sql::new("SELECT locker_id, credential_id, epoch FROM reservations WHERE created_at < ");
        self.entries(sql.bind(before.micros()), limit)
    }

    fn deletions_before(&mut self, before: Timestamp) -> Result<Vec<Abandoned>> {
        let sql = Sql::new(
            "SELECT id, deletions, COALESCE(deleting_by, created_by), COALESCE(deleting_name, ''), \
             COALESCE(deleting_request, '') FROM lockers \
             WHERE deleting_at IS NOT NULL AND deleted_at IS NULL AND deleting_at < ",
        );
        let rows: Vec<(i64, i64, i64, String, String)> = sql
            .bind(before.micros())
            .push(" ORDER BY id")
            .cached()
            .typed::<(BigInt, BigInt, BigInt, Text, Text)>()
            .load(self.conn)?;
        let abandoned = |(id, deletions, by, by_name, request_id)| Abandoned {
            marked: Marked::from_trusted(LockerId::from_trusted(id), deletions),
            by: UserId::from_trusted(by),
            by_name,
            request_id,
        };
        Ok(rows.into_iter().map(abandoned).collect())
    }

    fn owned_alone(&mut self, user: UserId, limit: i64) -> Result<Vec<Held>> {
        let sql = Sql::new("SELECT l.id, l.name ").push(OWNED_ALONE).bind(user.get());
        self.held(sql.push(" ORDER BY l.id LIMIT ").bind(limit))
    }

    fn count_owned_alone(&mut self, user: UserId) -> Result<i64> {
        dialect::id(self.conn, Sql::new("SELECT count(*) AS id ").push(OWNED_ALONE).bind(user.get()).cached())
    }

    fn consumed_by(&mut self, role: RoleId, limit: i64) -> Result<Vec<Held>> {
        let sql = Sql::new(
            "SELECT l.id, l.name FROM consumers c INNER JOIN lockers l ON l.id = c.locker_id WHERE c.role_id = ",
        );
        self.held(sql.bind(role.get()).push(" ORDER BY l.id LIMIT ").bind(limit))
    }

    fn count_consumed_by(&mut self, role: RoleId) -> Result<i64> {
        let sql = Sql::new("SELECT count(*) AS id FROM consumers WHERE role_id = ").bind(role.get());
        dialect::id(self.conn, sql.cached())
    }
}
