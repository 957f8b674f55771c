//! The secrets of API accesses, and the confirmations that operators gave for them.

use std::collections::HashMap;

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{ApiAccessId, ApiSecretId, Timestamp, UserId};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::domain::api_access::ApiSecret;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    access_id: i64,
    #[diesel(sql_type = Text)]
    hash: String,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    expires_at: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    confirmation: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    confirmed_at: Option<i64>,
}

/// Loads the secrets of API accesses that count now, the newest of each first.
pub(crate) fn of(
    conn: &mut Connection,
    accesses: &[i64],
    now: Timestamp,
) -> Result<HashMap<i64, Vec<ApiSecret>>, Error> {
    let rows: Vec<Row> = dialect::in_chunks(accesses, |chunk| {
        Sql::new(
            "SELECT id, access_id, hash, created_at, expires_at, confirmation, confirmed_at FROM api_access_secrets \
             WHERE access_id IN (",
        )
        .binds(chunk.iter().copied())
        .push(") AND (expires_at IS NULL OR expires_at > ")
        .bind(now.micros())
        .push(") ORDER BY access_id, id DESC")
        .load::<Row>(conn)
        .map_err(Error::from)
    })?;
    let mut found = HashMap::<i64, Vec<ApiSecret>>::new();
    for row in rows {
        found.entry(row.access_id).or_default().push(ApiSecret {
            id: ApiSecretId::from_trusted(row.id),
            hash: row.hash,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: row.expires_at.map(Timestamp::from_micros),
            confirmation: row.confirmation,
            confirmed_at: row.confirmed_at.map(Timestamp::from_micros),
        });
    }
    Ok(found)
}

/// Adds a secret.
pub(crate) fn insert(conn: &mut Connection, access: ApiAccessId, hash: &str, now: Timestamp) -> Result<(), Error> {
    dialect::Insert::into("api_access_secrets", &["access_id", "hash", "created_at"])
        .row([access.get().into(), hash.into(), now.micros().into()])
        .execute(conn)?;
    Ok(())
}

/// Lets a secret of an API access end at a moment, and every session that stands on its confirmation with it; never later than it would have
/// ended anyway.
pub(crate) fn end(conn: &mut Connection, access: ApiAccessId, secret: ApiSecretId, at: Timestamp) -> Result<(), Error> {
    Sql::new("UPDATE api_access_secrets SET expires_at = ")
        .bind(at.micros())
        .push(" WHERE id = ")
        .bind(secret.get())
        .push(" AND (expires_at IS NULL OR expires_at > ")
        .bind(at.micros())
        .push(")")
        .execute(conn)?;
    Sql::new("UPDATE sessions SET expires_at = ")
        .bind(at.micros())
        .push(" WHERE api_access_id = ")
        .bind(access.get())
        .push(" AND api_access_secret_id = ")
        .bind(secret.get())
        .push(" AND expires_at > ")
        .bind(at.micros())
        .execute(conn)?;
    Ok(())
}

/// Stores the operator's confirmation of a secret.
pub(crate) fn confirm(conn: &mut Connection, secret: ApiSecretId, mac: &[u8], now: Timestamp) -> Result<(), Error> {
    let confirmed = Sql::new("UPDATE api_access_secrets SET confirmation = ")
        .bind(mac.to_vec())
        .push(", confirmed_at = ")
        .bind(now.micros())
        .push(" WHERE id = ")
        .bind(secret.get())
        .execute(conn)?;
    if confirmed == 1 { Ok(()) } else { Err(Error::NotFound) }
}

/// Voids every confirmation of an API access, those that are not there any more too, and ends the sessions that stand on one: giving it anew
/// brings none of them back. Says whether there was any.
pub(crate) fn void_confirmations(conn: &mut Connection, access: ApiAccessId, now: Timestamp) -> Result<bool, Error> {
    let voided = Sql::new(
        "UPDATE api_access_secrets SET confirmation = NULL, confirmed_at = NULL WHERE confirmation IS NOT NULL AND access_id = ",
    )
    .bind(access.get())
    .execute(conn)?;
    Sql::new("UPDATE api_accesses SET confirmation_epoch = confirmation_epoch + 1 WHERE id = ")
        .bind(access.get())
        .execute(conn)?;
    Sql::new("UPDATE sessions SET ended_at = ")
        .bind(now.micros())
        .push(" WHERE ended_at IS NULL AND api_access_secret_id IS NOT NULL AND api_access_id = ")
        .bind(access.get())
        .execute(conn)?;
    Ok(voided > 0)
}

/// Voids every confirmation that an operator gave, and returns for which API accesses.
pub(crate) fn void_confirmations_of(
    conn: &mut Connection,
    operator: UserId,
    now: Timestamp,
) -> Result<Vec<ApiAccessId>, Error> {
    let accesses = dialect::ids(
        conn,
        Sql::new(
            "SELECT a.id FROM api_accesses a WHERE EXISTS (SELECT 1 FROM api_access_secrets x WHERE x.access_id = a.id \
             AND x.confirmation IS NOT NULL) AND a.operator_id = ",
        )
        .bind(operator.get())
        .push(" ORDER BY a.id"),
    )?;
    let accesses: Vec<ApiAccessId> = accesses.into_iter().map(ApiAccessId::from_trusted).collect();
    Sql::new("UPDATE users SET confirmation_epoch = confirmation_epoch + 1 WHERE id = ")
        .bind(operator.get())
        .execute(conn)?;
    for access in &accesses {
        void_confirmations(conn, *access, now)?;
    }
    Ok(accesses)
}

/// Removes secrets that are over and on which no session stands any more, a thousand at a time.
pub(crate) fn prune(conn: &mut Connection, before: Timestamp) -> Result<usize, Error> {
    Ok(Sql::new(
        "DELETE FROM api_access_secrets WHERE id IN (SELECT x.id FROM api_access_secrets x WHERE NOT EXISTS \
         (SELECT 1 FROM sessions s WHERE s.api_access_id = x.access_id AND s.api_access_secret_id = x.id) AND x.expires_at < ",
    )
    .bind(before.micros())
    .push(" ORDER BY x.id LIMIT 1000)")
    .execute(conn)?)
}
