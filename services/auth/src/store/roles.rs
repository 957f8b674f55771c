//! Roles and their permissions.

use std::collections::HashMap;

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{Permission, PermissionSet, RoleId, Timestamp, UserId, Version};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::domain::policy::Grant;
use crate::domain::role::{NewRole, Role, SystemRole};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    description: Option<String>,
    #[diesel(sql_type = BigInt)]
    system_role: i64,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = BigInt)]
    created_by: i64,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = BigInt)]
    updated_by: i64,
    #[diesel(sql_type = BigInt)]
    updated_at: i64,
    #[diesel(sql_type = BigInt)]
    user_count: i64,
}

#[derive(QueryableByName)]
struct PermissionRow {
    #[diesel(sql_type = BigInt)]
    role_id: i64,
    #[diesel(sql_type = BigInt)]
    permission_id: i64,
}

const COLUMNS: &str = "SELECT r.id, r.name, r.description, r.system_role, r.version, r.created_by, r.created_at, r.updated_by, \
     r.updated_at, (SELECT count(*) FROM user_roles x WHERE x.role_id = r.id) AS user_count FROM roles r";

/// Loads live roles by id, in the order of the ids given.
pub(crate) fn by_ids(conn: &mut Connection, ids: &[i64]) -> Result<Vec<Role>, Error> {
    let rows: Vec<Row> = dialect::in_chunks(ids, |chunk| {
        Sql::new(COLUMNS)
            .push(" WHERE r.deleted_at IS NULL AND r.id IN (")
            .binds(chunk.iter().copied())
            .push(")")
            .load::<Row>(conn)
            .map_err(Error::from)
    })?;
    let sets = permissions(conn, ids)?;
    let mut found: HashMap<i64, Role> = rows
        .into_iter()
        .map(|row| {
            let permissions = sets.get(&row.id).copied().unwrap_or_default();
            (row.id, role(row, permissions))
        })
        .collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// Returns the permissions of roles by id; a role without any is missing.
pub(crate) fn permissions(conn: &mut Connection, ids: &[i64]) -> Result<HashMap<i64, PermissionSet>, Error> {
    let rows: Vec<PermissionRow> = dialect::in_chunks(ids, |chunk| {
        Sql::new("SELECT role_id, permission_id FROM role_permissions WHERE role_id IN (")
            .binds(chunk.iter().copied())
            .push(")")
            .load::<PermissionRow>(conn)
            .map_err(Error::from)
    })?;
    let mut sets = HashMap::<i64, PermissionSet>::new();
    for row in rows {
        if let Some(permission) = Permission::from_id(row.permission_id) {
            let set = sets.entry(row.role_id).or_default();
            *set = set.with(permission);
        }
    }
    Ok(sets)
}

fn role(row: Row, permissions: PermissionSet) -> Role {
    Role {
        id: RoleId::from_trusted(row.id),
        name: row.name,
        description: row.description,
        permissions,
        system: SystemRole::from_number(row.system_role),
        version: Version::from_trusted(row.version),
        created_by: row.created_by,
        created_at: Timestamp::from_micros(row.created_at),
        updated_by: row.updated_by,
        updated_at: Timestamp::from_micros(row.updated_at),
        user_count: row.user_count,
    }
}

/// Loads one live role.
pub(crate) fn find(conn: &mut Connection, id: RoleId) -> Result<Option<Role>, Error> {
    Ok(by_ids(conn, &[id.get()])?.into_iter().next())
}

/// Adds a role.
pub(crate) fn insert(conn: &mut Connection, new: &NewRole) -> Result<RoleId, Error> {
    let ids = dialect::Insert::into(
        "roles",
        &["name", "name_key", "description", "system_role", "created_by", "created_at", "updated_by", "updated_at"],
    )
    .row([
        new.name.as_str().into(),
        new.name.key().into_string().into(),
        new.description.clone().into(),
        new.system.map_or(0, SystemRole::number).into(),
        new.by.into(),
        new.now.micros().into(),
        new.by.into(),
        new.now.micros().into(),
    ])
    .returning_ids(conn)?;
    let id = ids.first().copied().ok_or_else(|| Error::Bug("an insert of a role returned no id".to_owned()))?;
    let id = RoleId::from_trusted(id);
    add_permissions(conn, id, new.permissions)?;
    Ok(id)
}

fn add_permissions(conn: &mut Connection, id: RoleId, permissions: PermissionSet) -> Result<(), Error> {
    if permissions.is_empty() {
        return Ok(());
    }
    dialect::Insert::into("role_permissions", &["role_id", "permission_id"])
        .rows(permissions.iter().map(|permission| vec![id.get().into(), permission.id().into()]))
        .execute(conn)?;
    Ok(())
}

/// Stores a changed role under the version after the one that was read; says whether that one was still current.
pub(crate) fn update(
    conn: &mut Connection,
    role: &Role,
    name_key: &str,
    by: i64,
    now: Timestamp,
) -> Result<bool, Error> {
    let updated = Sql::new("UPDATE roles SET name = ")
        .bind(role.name.clone())
        .push(", name_key = ")
        .bind(name_key)
        .push(", description = ")
        .bind(role.description.clone())
        .push(", updated_by = ")
        .bind(by)
        .push(", updated_at = ")
        .bind(now.micros())
        .push(", version = version + 1 WHERE deleted_at IS NULL AND id = ")
        .bind(role.id.get())
        .push(" AND version = ")
        .bind(role.version.get())
        .execute(conn)?;
    if updated == 0 {
        return Ok(false);
    }
    Sql::new("DELETE FROM role_permissions WHERE role_id = ").bind(role.id.get()).execute(conn)?;
    add_permissions(conn, role.id, role.permissions)?;
    Ok(true)
}

/// Leaves a tombstone.
pub(crate) fn delete(conn: &mut Connection, id: RoleId, by: i64, now: Timestamp) -> Result<(), Error> {
    Sql::new("DELETE FROM role_permissions WHERE role_id = ").bind(id.get()).execute(conn)?;
    Sql::new("UPDATE roles SET deleted_at = ")
        .bind(now.micros())
        .push(", updated_at = ")
        .bind(now.micros())
        .push(", updated_by = ")
        .bind(by)
        .push(" WHERE id = ")
        .bind(id.get())
        .execute(conn)?;
    Ok(())
}

/// A role as a user holds it.
pub(crate) struct Held {
    pub(crate) id: RoleId,
    pub(crate) name: String,
    pub(crate) permissions: PermissionSet,
    pub(crate) administrator: bool,
}

#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = BigInt)]
    role_id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    system_role: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    permission_id: Option<i64>,
}

/// Returns the roles of a user, in the order of their ids.
pub(crate) fn of_user(conn: &mut Connection, user: UserId) -> Result<Vec<Held>, Error> {
    let rows: Vec<HeldRow> = Sql::new(
        "SELECT ur.role_id, r.name, r.system_role, p.permission_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id \
         LEFT JOIN role_permissions p ON p.role_id = r.id WHERE ur.user_id = ",
    )
    .bind(user.get())
    .push(" ORDER BY ur.role_id, p.permission_id")
    .cached()
    .load(conn)?;
    let mut held: Vec<Held> = Vec::new();
    for row in rows {
        if held.last().is_none_or(|last| last.id.get() != row.role_id) {
            held.push(Held {
                id: RoleId::from_trusted(row.role_id),
                name: row.name,
                permissions: PermissionSet::EMPTY,
                administrator: SystemRole::from_number(row.system_role) == Some(SystemRole::Admin),
            });
        }
        if let (Some(last), Some(permission)) = (held.last_mut(), row.permission_id.and_then(Permission::from_id)) {
            last.permissions = last.permissions.with(permission);
        }
    }
    Ok(held)
}

/// Returns what assigning each of these roles gives; roles that do not exist are missing from the answer.
pub(crate) fn grants(conn: &mut Connection, ids: &[RoleId]) -> Result<Vec<Grant>, Error> {
    let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
    let roles = by_ids(conn, &ids)?;
    Ok(roles
        .into_iter()
        .map(|role| Grant {
            role: role.id,
            name: role.name,
            permissions: role.permissions,
            administrator: role.system == Some(SystemRole::Admin),
            system: role.system.is_some(),
        })
        .collect())
}
