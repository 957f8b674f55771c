//! Users, their passwords and their roles.

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{NameKey, Permission, RoleId, Timestamp, UserId, Version};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use super::roles;
use crate::domain::role::SystemRole;
use crate::domain::user::{HeldRole, NewUser, SignInRow, User};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Text)]
    first_name: String,
    #[diesel(sql_type = Text)]
    last_name: String,
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Nullable<Text>)]
    description: Option<String>,
    #[diesel(sql_type = Bool)]
    disabled: bool,
    #[diesel(sql_type = Bool)]
    password_set: bool,
    #[diesel(sql_type = Bool)]
    password_change_required: bool,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
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
    #[diesel(sql_type = Bool)]
    deleting: bool,
}

const COLUMNS: &str = "SELECT u.id, u.username, u.first_name, u.last_name, u.email, u.description, u.disabled, \
     u.password_hash IS NOT NULL AS password_set, u.password_change_required, u.epoch, u.version, u.created_by, u.created_at, \
     u.updated_by, u.updated_at, \
     EXISTS (SELECT 1 FROM deletions d WHERE d.kind = 1 AND d.subject_id = u.id) AS deleting FROM users u WHERE u.deleted_at IS NULL AND u.id ";

fn user(row: Row) -> User {
    User {
        id: UserId::from_trusted(row.id),
        username: row.username,
        first_name: row.first_name,
        last_name: row.last_name,
        email: row.email,
        description: row.description,
        disabled: row.disabled,
        password_set: row.password_set,
        password_change_required: row.password_change_required,
        epoch: row.epoch,
        version: Version::from_trusted(row.version),
        created_by: row.created_by,
        created_at: Timestamp::from_micros(row.created_at),
        updated_by: row.updated_by,
        updated_at: Timestamp::from_micros(row.updated_at),
        deleting: row.deleting,
        roles: Vec::new(),
        permissions: coffre_types::PermissionSet::EMPTY,
        administrator: false,
    }
}

/// Loads one user who is not deleted, with its roles and permissions.
pub(crate) fn find(conn: &mut Connection, id: UserId) -> Result<Option<User>, Error> {
    let row: Option<Row> = Sql::new(COLUMNS).push("= ").bind(id.get()).cached().load(conn)?.into_iter().next();
    let Some(row) = row else { return Ok(None) };
    let mut user = user(row);
    for held in roles::of_user(conn, id)? {
        user.permissions = user.permissions.union(held.permissions);
        user.administrator |= held.administrator;
        user.roles.push(HeldRole { id: held.id, name: held.name });
    }
    Ok(Some(user))
}

#[derive(QueryableByName)]
struct RoleOfUser {
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = BigInt)]
    role_id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    system_role: i64,
}

/// Loads users by id, in the order of the ids given, with their roles and permissions.
pub(crate) fn by_ids(conn: &mut Connection, ids: &[i64]) -> Result<Vec<User>, Error> {
    let rows: Vec<Row> = dialect::in_chunks(ids, |chunk| {
        Sql::new(COLUMNS).push("IN (").binds(chunk.iter().copied()).push(")").load::<Row>(conn).map_err(Error::from)
    })?;
    let held: Vec<RoleOfUser> = dialect::in_chunks(ids, |chunk| {
        Sql::new(
            "SELECT ur.user_id, ur.role_id, r.name, r.system_role FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id IN (",
        )
        .binds(chunk.iter().copied())
        .push(") ORDER BY ur.user_id, ur.role_id")
        .load::<RoleOfUser>(conn)
        .map_err(Error::from)
    })?;
    let mut roles_held: Vec<i64> = held.iter().map(|row| row.role_id).collect();
    roles_held.sort_unstable();
    roles_held.dedup();
    let permissions = roles::permissions(conn, &roles_held)?;
    let mut found: std::collections::HashMap<i64, User> = rows.into_iter().map(|row| (row.id, user(row))).collect();
    for row in held {
        if let Some(user) = found.get_mut(&row.user_id) {
            let given = permissions.get(&row.role_id).copied().unwrap_or_default();
            user.permissions = user.permissions.union(given);
            user.administrator |= SystemRole::from_number(row.system_role) == Some(SystemRole::Admin);
            user.roles.push(HeldRole { id: RoleId::from_trusted(row.role_id), name: row.name });
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

#[derive(QueryableByName)]
struct SignIn {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Nullable<Text>)]
    password_hash: Option<String>,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = Bool)]
    disabled: bool,
}

/// Reads password hash, epoch and state of a user in one row.
pub(crate) fn for_sign_in(conn: &mut Connection, name: &NameKey) -> Result<Option<SignInRow>, Error> {
    let row: Option<SignIn> = Sql::new(
        "SELECT id, username, password_hash, epoch, disabled FROM users WHERE deleted_at IS NULL AND tenant_id = 1 AND name_key = ",
    )
    .bind(name.as_str())
    .cached()
    .load(conn)?
    .into_iter()
    .next();
    Ok(row.map(|row| SignInRow {
        id: UserId::from_trusted(row.id),
        username: row.username,
        password_hash: row.password_hash,
        epoch: row.epoch,
        disabled: row.disabled,
    }))
}

/// Takes an id that no user had and none will have, whatever becomes of the transaction that asked.
pub(crate) fn reserve_id(conn: &mut Connection) -> Result<UserId, Error> {
    // In a row of its own that is raised, not in the engine's sequence: both engines take explicit ids and forget to count them.
    let id = dialect::id(
        conn,
        Sql::new("UPDATE id_counters SET last = last + 1 WHERE name = 'users' RETURNING last AS id"),
    )?;
    Ok(UserId::from_trusted(id))
}

/// Adds a user under an id that was reserved.
pub(crate) fn insert(conn: &mut Connection, id: UserId, new: &NewUser) -> Result<(), Error> {
    dialect::Insert::into(
        "users",
        &[
            "id",
            "username",
            "name_key",
            "first_name",
            "last_name",
            "email",
            "description",
            "disabled",
            "password_change_required",
            "created_by",
            "created_at",
            "updated_by",
            "updated_at",
        ],
    )
    .row([
        id.get().into(),
        new.username.as_str().into(),
        new.username.key().into_string().into(),
        new.first_name.as_str().into(),
        new.last_name.as_str().into(),
        new.email.as_str().into(),
        new.description.clone().into(),
        new.disabled.into(),
        new.password_change_required.into(),
        new.by.into(),
        new.now.micros().into(),
        new.by.into(),
        new.now.micros().into(),
    ])
    .execute(conn)?;
    Ok(())
}

/// Stores a changed user under the version after the one that was read; says whether that one was still current.
pub(crate) fn update(
    conn: &mut Connection,
    user: &User,
    name_key: &str,
    by: i64,
    now: Timestamp,
) -> Result<bool, Error> {
    let updated = Sql::new("UPDATE users SET username = ")
        .bind(user.username.clone())
        .push(", name_key = ")
        .bind(name_key)
        .push(", first_name = ")
        .bind(user.first_name.clone())
        .push(", last_name = ")
        .bind(user.last_name.clone())
        .push(", email = ")
        .bind(user.email.clone())
        .push(", description = ")
        .bind(user.description.clone())
        .push(", disabled = ")
        .bind(user.disabled)
        .push(", epoch = ")
        .bind(user.epoch)
        .push(", updated_by = ")
        .bind(by)
        .push(", updated_at = ")
        .bind(now.micros())
        .push(", version = version + 1 WHERE deleted_at IS NULL AND id = ")
        .bind(user.id.get())
        .push(" AND version = ")
        .bind(user.version.get())
        .execute(conn)?;
    Ok(updated == 1)
}

/// Stores a password hash. Its epoch is the caller's affair.
pub(crate) fn set_password(conn: &mut Connection, id: UserId, hash: &str, change_required: bool) -> Result<(), Error> {
    Sql::new("UPDATE users SET password_hash = ")
        .bind(hash)
        .push(", password_change_required = ")
        .bind(change_required)
        .push(" WHERE id = ")
        .bind(id.get())
        .execute(conn)?;
    Ok(())
}

/// Stores another hash of the same password.
pub(crate) fn renew_hash(conn: &mut Connection, id: UserId, hash: &str) -> Result<(), Error> {
    Sql::new("UPDATE users SET password_hash = ").bind(hash).push(" WHERE id = ").bind(id.get()).execute(conn)?;
    Ok(())
}

/// Raises the epoch and returns the new one.
pub(crate) fn raise_epoch(conn: &mut Connection, id: UserId) -> Result<i64, Error> {
    dialect::id(
        conn,
        Sql::new("UPDATE users SET epoch = epoch + 1 WHERE deleted_at IS NULL AND id = ")
            .bind(id.get())
            .push(" RETURNING epoch AS id"),
    )
}

/// Makes a user hold exactly these roles.
pub(crate) fn replace_roles(conn: &mut Connection, id: UserId, roles: &[RoleId]) -> Result<(), Error> {
    Sql::new("DELETE FROM user_roles WHERE user_id = ").bind(id.get()).execute(conn)?;
    if roles.is_empty() {
        return Ok(());
    }
    dialect::Insert::into("user_roles", &["user_id", "role_id"])
        .rows(roles.iter().map(|role| vec![id.get().into(), role.get().into()]))
        .execute(conn)?;
    Ok(())
}

/// Counts the enabled administrators besides one user.
pub(crate) fn administrators_besides(conn: &mut Connection, id: UserId) -> Result<i64, Error> {
    dialect::id(
        conn,
        Sql::new(
            "SELECT count(*) AS id FROM users u JOIN user_roles ur ON ur.user_id = u.id JOIN roles r ON r.id = ur.role_id \
             WHERE r.system_role = 1 AND u.deleted_at IS NULL AND u.disabled = FALSE \
             AND NOT EXISTS (SELECT 1 FROM deletions d WHERE d.kind = 1 AND d.subject_id = u.id) AND u.id <> ",
        )
        .bind(id.get()),
    )
}

/// Leaves a tombstone: the row stays, without password and roles, and its id is never used again.
pub(crate) fn delete(conn: &mut Connection, id: UserId, by: i64, now: Timestamp) -> Result<(), Error> {
    replace_roles(conn, id, &[])?;
    Sql::new("UPDATE users SET password_hash = NULL, epoch = epoch + 1, deleted_at = ")
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

/// Returns the ids of users who are named, or hold one of these roles or permissions, in their order; at most `most`.
pub(crate) fn matching(
    conn: &mut Connection,
    users: &[UserId],
    held: &[RoleId],
    permissions: &[Permission],
    most: i64,
) -> Result<Vec<i64>, Error> {
    let mut parts = Vec::new();
    if !users.is_empty() {
        let ids = users.iter().map(|user| user.get());
        parts.push(Sql::new("SELECT id FROM users WHERE id IN (").binds(ids).push(")"));
    }
    if !held.is_empty() {
        let ids = held.iter().map(|role| role.get());
        parts.push(Sql::new("SELECT user_id AS id FROM user_roles WHERE role_id IN (").binds(ids).push(")"));
    }
    if !permissions.is_empty() {
        let ids = permissions.iter().map(|permission| permission.id());
        parts.push(
            Sql::new(
                "SELECT ur.user_id AS id FROM user_roles ur JOIN role_permissions p ON p.role_id = ur.role_id \
                 WHERE p.permission_id IN (",
            )
            .binds(ids)
            .push(")"),
        );
    }
    let Some(union) = parts.into_iter().reduce(|all, part| all.push(" UNION ").join(part)) else {
        return Ok(Vec::new());
    };
    let named = Sql::new("SELECT u.id FROM users u WHERE u.deleted_at IS NULL AND u.id IN (").join(union);
    dialect::ids(conn, named.push(") ORDER BY u.id LIMIT ").bind(most))
}
