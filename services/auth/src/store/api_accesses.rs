//! API accesses.

use std::time::Duration;

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{ApiAccessId, NameKey, Timestamp, UserId, Version};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use super::api_secrets;
use crate::domain::api_access::{ApiAccess, NewApiAccess};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    client_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    description: Option<String>,
    #[diesel(sql_type = BigInt)]
    access_token_life: i64,
    #[diesel(sql_type = BigInt)]
    refresh_token_life: i64,
    #[diesel(sql_type = Bool)]
    password_grant: bool,
    #[diesel(sql_type = Bool)]
    refresh_grant: bool,
    #[diesel(sql_type = Bool)]
    client_credentials_grant: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    operator_id: Option<i64>,
    #[diesel(sql_type = Bool)]
    disabled: bool,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = BigInt)]
    confirmation_epoch: i64,
    #[diesel(sql_type = BigInt)]
    operator_epoch: i64,
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
}

const COLUMNS: &str = "SELECT a.id, a.client_id, a.description, a.access_token_life, a.refresh_token_life, a.password_grant, \
     a.refresh_grant, a.client_credentials_grant, a.operator_id, a.disabled, a.epoch, a.confirmation_epoch, \
     COALESCE(u.confirmation_epoch, 0) AS operator_epoch, a.version, a.created_by, a.created_at, a.updated_by, a.updated_at \
     FROM api_accesses a LEFT JOIN users u ON u.id = a.operator_id WHERE a.deleted_at IS NULL AND a.tenant_id = 1 AND a.";

fn seconds(life: i64) -> Duration {
    Duration::from_secs(life.unsigned_abs())
}

fn stored(life: Duration) -> i64 {
    i64::try_from(life.as_secs()).unwrap_or(i64::MAX)
}

fn access(row: Row) -> ApiAccess {
    ApiAccess {
        id: ApiAccessId::from_trusted(row.id),
        client_id: row.client_id,
        description: row.description,
        access_token_life: seconds(row.access_token_life),
        refresh_token_life: seconds(row.refresh_token_life),
        password_grant: row.password_grant,
        refresh_grant: row.refresh_grant,
        client_credentials_grant: row.client_credentials_grant,
        operator: row.operator_id.and_then(UserId::new),
        disabled: row.disabled,
        epoch: row.epoch,
        confirmation_epoch: row.confirmation_epoch,
        operator_epoch: row.operator_epoch,
        version: Version::from_trusted(row.version),
        created_by: row.created_by,
        created_at: Timestamp::from_micros(row.created_at),
        updated_by: row.updated_by,
        updated_at: Timestamp::from_micros(row.updated_at),
        secrets: Vec::new(),
    }
}

/// Loads live API accesses by id, in the order of the ids given, with the secrets that count now.
pub(crate) fn by_ids(conn: &mut Connection, ids: &[i64], now: Timestamp) -> Result<Vec<ApiAccess>, Error> {
    let rows: Vec<Row> = dialect::in_chunks(ids, |chunk| {
        Sql::new(COLUMNS).push("id IN (").binds(chunk.iter().copied()).push(")").load::<Row>(conn).map_err(Error::from)
    })?;
    let mut secrets = api_secrets::of(conn, ids, now)?;
    let mut found: std::collections::HashMap<i64, ApiAccess> =
        rows.into_iter().map(|row| (row.id, access(row))).collect();
    for (id, access) in &mut found {
        access.secrets = secrets.remove(id).unwrap_or_default();
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// Loads one live API access.
pub(crate) fn find(conn: &mut Connection, id: ApiAccessId, now: Timestamp) -> Result<Option<ApiAccess>, Error> {
    Ok(by_ids(conn, &[id.get()], now)?.into_iter().next())
}

/// Loads the API access of a client id. As many statements run for one that nobody has.
pub(crate) fn of_client(conn: &mut Connection, client: &NameKey, now: Timestamp) -> Result<Option<ApiAccess>, Error> {
    let row: Option<Row> =
        Sql::new(COLUMNS).push("client_key = ").bind(client.as_str()).cached().load(conn)?.into_iter().next();
    let id = row.as_ref().map_or(0, |row| row.id);
    let secrets = api_secrets::of(conn, &[id], now)?.remove(&id).unwrap_or_default();
    Ok(row.map(|row| ApiAccess { secrets, ..access(row) }))
}

/// Takes an id that no API access had and none will have.
pub(crate) fn reserve_id(conn: &mut Connection) -> Result<ApiAccessId, Error> {
    let raised = Sql::new("UPDATE id_counters SET last = last + 1 WHERE name = 'api_accesses' RETURNING last AS id");
    Ok(ApiAccessId::from_trusted(dialect::id(conn, raised)?))
}

/// Adds an API access under an id that was reserved.
pub(crate) fn insert(
    conn: &mut Connection,
    id: ApiAccessId,
    new: &NewApiAccess,
    by: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    dialect::Insert::into(
        "api_accesses",
        &[
            "id",
            "client_id",
            "client_key",
            "description",
            "access_token_life",
            "refresh_token_life",
            "password_grant",
            "refresh_grant",
            "client_credentials_grant",
            "operator_id",
            "disabled",
            "created_by",
            "created_at",
            "updated_by",
            "updated_at",
        ],
    )
    .row([
        id.get().into(),
        new.client_id.as_str().into(),
        new.client_id.key().into_string().into(),
        new.description.clone().into(),
        stored(new.access_token_life).into(),
        stored(new.refresh_token_life).into(),
        new.password_grant.into(),
        new.refresh_grant.into(),
        new.client_credentials_grant.into(),
        new.operator.map(UserId::get).into(),
        new.disabled.into(),
        by.get().into(),
        now.micros().into(),
        by.get().into(),
        now.micros().into(),
    ])
    .execute(conn)?;
    Ok(())
}

/// Stores a changed API access under the version after the one that was read; says whether that one was still current.
pub(crate) fn update(conn: &mut Connection, access: &ApiAccess, by: UserId, now: Timestamp) -> Result<bool, Error> {
    let updated = Sql::new("UPDATE api_accesses SET client_id = ")
        .bind(access.client_id.clone())
        .push(", client_key = ")
        .bind(NameKey::of(&access.client_id).into_string())
        .push(", description = ")
        .bind(access.description.clone())
        .push(", access_token_life = ")
        .bind(stored(access.access_token_life))
        .push(", refresh_token_life = ")
        .bind(stored(access.refresh_token_life))
        .push(", password_grant = ")
        .bind(access.password_grant)
        .push(", refresh_grant = ")
        .bind(access.refresh_grant)
        .push(", client_credentials_grant = ")
        .bind(access.client_credentials_grant)
        .push(", operator_id = ")
        .bind(access.operator.map(UserId::get))
        .push(", disabled = ")
        .bind(access.disabled)
        .push(", epoch = ")
        .bind(access.epoch)
        .push(", updated_by = ")
        .bind(by.get())
        .push(", updated_at = ")
        .bind(now.micros())
        .push(", version = version + 1 WHERE deleted_at IS NULL AND id = ")
        .bind(access.id.get())
        .push(" AND version = ")
        .bind(access.version.get())
        .execute(conn)?;
    Ok(updated == 1)
}

/// Clears the operator of every API access that is bound to him, and returns those as they were.
pub(crate) fn unbind(
    conn: &mut Connection,
    operator: UserId,
    by: UserId,
    now: Timestamp,
) -> Result<Vec<ApiAccess>, Error> {
    let bound = Sql::new("SELECT id FROM api_accesses WHERE deleted_at IS NULL AND operator_id = ");
    let ids = dialect::ids(conn, bound.bind(operator.get()).push(" ORDER BY id"))?;
    let bound = by_ids(conn, &ids, now)?;
    for access in &bound {
        if !update(conn, &ApiAccess { operator: None, ..access.clone() }, by, now)? {
            return Err(Error::Retryable);
        }
    }
    Ok(bound)
}

/// Leaves a tombstone: the row stays, its tokens have ended, and its id is never used again.
pub(crate) fn delete(conn: &mut Connection, id: ApiAccessId, by: UserId, now: Timestamp) -> Result<(), Error> {
    Sql::new("UPDATE api_accesses SET epoch = epoch + 1, deleted_at = ")
        .bind(now.micros())
        .push(", updated_at = ")
        .bind(now.micros())
        .push(", updated_by = ")
        .bind(by.get())
        .push(" WHERE id = ")
        .bind(id.get())
        .execute(conn)?;
    Ok(())
}
