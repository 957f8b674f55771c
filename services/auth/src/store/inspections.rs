//! How often roles were looked at.

use std::collections::BTreeMap;

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::RoleId;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    role_id: i64,
    #[diesel(sql_type = BigInt)]
    inspections: i64,
}

/// Notes that somebody was told who holds a role.
pub(crate) fn note(conn: &mut Connection, role: RoleId) -> Result<(), Error> {
    Sql::new("INSERT INTO role_inspections (role_id, inspections) VALUES (")
        .bind(role.get())
        .push(", 1) ON CONFLICT (role_id) DO UPDATE SET inspections = role_inspections.inspections + 1")
        .execute(conn)?;
    Ok(())
}

/// Returns how often each of some roles was looked at.
pub(crate) fn of(conn: &mut Connection, roles: &[RoleId]) -> Result<BTreeMap<RoleId, i64>, Error> {
    let mut found: BTreeMap<RoleId, i64> = roles.iter().map(|role| (*role, 0)).collect();
    let ids: Vec<i64> = roles.iter().map(|role| role.get()).collect();
    let rows: Vec<Row> = dialect::in_chunks(&ids, |chunk| {
        Sql::new("SELECT role_id, inspections FROM role_inspections WHERE role_id IN (")
            .binds(chunk.iter().copied())
            .push(")")
            .load::<Row>(conn)
            .map_err(Error::from)
    })?;
    for row in rows {
        found.insert(RoleId::from_trusted(row.role_id), row.inspections);
    }
    Ok(found)
}
