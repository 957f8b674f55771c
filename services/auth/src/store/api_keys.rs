//! API keys. Of a key there is a hash, keyed and bound to its user and its id.

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{ApiKeyId, Name, Timestamp, UserId};
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::domain::api_key::{ApiKey, NamedKey, SignInKey};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    hint: String,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = BigInt)]
    expires_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_used_at: Option<i64>,
}

#[derive(QueryableByName)]
struct SignInRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    expires_at: i64,
    #[diesel(sql_type = Bool)]
    revoked: bool,
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
}

fn named(row: NameRow) -> NamedKey {
    NamedKey { id: ApiKeyId::from_trusted(row.id), name: row.name }
}

/// Adds a key that no secret opens yet, and returns its id: the secret's hash is bound to it.
pub(crate) fn insert(
    conn: &mut Connection,
    user: UserId,
    name: &Name,
    created_at: Timestamp,
    expires_at: Timestamp,
) -> Result<ApiKeyId, Error> {
    let id = dialect::id(
        conn,
        Sql::new("INSERT INTO api_keys (user_id, name, name_key, hint, hash, created_at, expires_at) VALUES (")
            .bind(user.get())
            .push(", ")
            .bind(name.as_str())
            .push(", ")
            .bind(name.key().into_string())
            .push(", '', ")
            .bind(Vec::new())
            .push(", ")
            .bind(created_at.micros())
            .push(", ")
            .bind(expires_at.micros())
            .push(") RETURNING id"),
    )?;
    Ok(ApiKeyId::from_trusted(id))
}

/// Stores what opens a key and how it is recognised.
pub(crate) fn set_hash(conn: &mut Connection, id: ApiKeyId, hash: &[u8], hint: &str) -> Result<(), Error> {
    Sql::new("UPDATE api_keys SET hash = ")
        .bind(hash.to_vec())
        .push(", hint = ")
        .bind(hint)
        .push(" WHERE id = ")
        .bind(id.get())
        .execute(conn)?;
    Ok(())
}

/// Counts the keys of a user that work.
pub(crate) fn live(conn: &mut Connection, user: UserId, now: Timestamp) -> Result<i64, Error> {
    dialect::id(
        conn,
        Sql::new("SELECT count(*) AS id FROM api_keys WHERE revoked_at IS NULL AND user_id = ")
            .bind(user.get())
            .push(" AND expires_at > ")
            .bind(now.micros()),
    )
}

/// Lists the keys of a user, the newest first, but for revoked ones and those that expired before a moment.
pub(crate) fn list(conn: &mut Connection, user: UserId, expired_since: Timestamp) -> Result<Vec<ApiKey>, Error> {
    let rows: Vec<Row> = Sql::new(
        "SELECT id, name, hint, created_at, expires_at, last_used_at FROM api_keys WHERE revoked_at IS NULL AND user_id = ",
    )
    .bind(user.get())
    .push(" AND expires_at > ")
    .bind(expired_since.micros())
    .push(" ORDER BY id DESC")
    .load(conn)?;
    let key = |row: Row| ApiKey {
        id: ApiKeyId::from_trusted(row.id),
        name: row.name,
        hint: row.hint,
        created_at: Timestamp::from_micros(row.created_at),
        expires_at: Timestamp::from_micros(row.expires_at),
        last_used_at: row.last_used_at.map(Timestamp::from_micros),
    };
    Ok(rows.into_iter().map(key).collect())
}

/// Reads what a sign-in compares with.
pub(crate) fn for_sign_in(conn: &mut Connection, id: ApiKeyId) -> Result<Option<SignInKey>, Error> {
    let row: Option<SignInRow> = Sql::new(
        "SELECT id, user_id, name, hash, expires_at, revoked_at IS NOT NULL AS revoked FROM api_keys WHERE id = ",
    )
    .bind(id.get())
    .cached()
    .load(conn)?
    .into_iter()
    .next();
    Ok(row.map(|row| SignInKey {
        id: ApiKeyId::from_trusted(row.id),
        user: UserId::from_trusted(row.user_id),
        name: row.name,
        hash: row.hash,
        expires_at: Timestamp::from_micros(row.expires_at),
        revoked: row.revoked,
    }))
}

/// Notes that somebody signs in with a key; says whether it still works.
pub(crate) fn note_use(conn: &mut Connection, id: ApiKeyId, now: Timestamp) -> Result<bool, Error> {
    let noted = Sql::new("UPDATE api_keys SET last_used_at = ")
        .bind(now.micros())
        .push(" WHERE revoked_at IS NULL AND id = ")
        .bind(id.get())
        .push(" AND expires_at > ")
        .bind(now.micros())
        .cached()
        .execute(conn)?;
    Ok(noted == 1)
}

/// Revokes one key of a user and returns it; `None` where the user has no such key any more.
pub(crate) fn revoke(
    conn: &mut Connection,
    user: UserId,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<Option<NamedKey>, Error> {
    let rows: Vec<NameRow> = Sql::new("UPDATE api_keys SET revoked_at = ")
        .bind(now.micros())
        .push(" WHERE revoked_at IS NULL AND user_id = ")
        .bind(user.get())
        .push(" AND id = ")
        .bind(id.get())
        .push(" RETURNING id, name")
        .load(conn)?;
    Ok(rows.into_iter().next().map(named))
}

/// Revokes all keys of a user and returns those that worked until now.
pub(crate) fn revoke_all(conn: &mut Connection, user: UserId, now: Timestamp) -> Result<Vec<NamedKey>, Error> {
    let rows: Vec<NameRow> = Sql::new("SELECT id, name FROM api_keys WHERE revoked_at IS NULL AND user_id = ")
        .bind(user.get())
        .push(" AND expires_at > ")
        .bind(now.micros())
        .push(" ORDER BY id")
        .load(conn)?;
    Sql::new("UPDATE api_keys SET revoked_at = ")
        .bind(now.micros())
        .push(" WHERE revoked_at IS NULL AND user_id = ")
        .bind(user.get())
        .execute(conn)?;
    Ok(rows.into_iter().map(named).collect())
}

/// Lets go of a user's oldest keys that have expired, but for some: whoever makes keys that expire at once has no more rows than others.
pub(crate) fn drop_expired(conn: &mut Connection, user: UserId, but: i64, now: Timestamp) -> Result<(), Error> {
    let expired = |sql: Sql| {
        sql.push(" WHERE revoked_at IS NULL AND user_id = ")
            .bind(user.get())
            .push(" AND expires_at <= ")
            .bind(now.micros())
    };
    let newest = expired(Sql::new("SELECT id FROM api_keys")).push(" ORDER BY id DESC LIMIT ").bind(but);
    expired(Sql::new("UPDATE api_keys SET revoked_at = ").bind(now.micros()))
        .push(" AND id NOT IN (")
        .join(newest)
        .push(")")
        .execute(conn)?;
    Ok(())
}

/// Removes keys that were revoked, or have expired, before a moment each, once no session refers to them.
pub(crate) fn prune(conn: &mut Connection, revoked: Timestamp, expired: Timestamp) -> Result<usize, Error> {
    Ok(Sql::new("DELETE FROM api_keys WHERE (revoked_at < ")
        .bind(revoked.micros())
        .push(" OR expires_at < ")
        .bind(expired.micros())
        .push(") AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.api_key_id = api_keys.id)")
        .execute(conn)?)
}
