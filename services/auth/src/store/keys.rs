//! Signing keys. The private halves are sealed.

use coffre_db::{Connection, Error, Sql};
use coffre_types::Timestamp;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

/// A signing key as it is stored.
#[derive(QueryableByName, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    #[diesel(sql_type = Text)]
    pub(crate) kid: String,
    #[diesel(sql_type = Binary)]
    pub(crate) public_key: Vec<u8>,
    #[diesel(sql_type = Binary)]
    pub(crate) sealed_private: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    pub(crate) created_at: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) active_from: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) retired_at: Option<i64>,
}

/// Returns the keys under which a token may be accepted now, the oldest first.
pub(crate) fn accepted(conn: &mut Connection, now: Timestamp) -> Result<Vec<KeyRow>, Error> {
    Ok(Sql::new(
        "SELECT kid, public_key, sealed_private, created_at, active_from, retired_at FROM signing_keys \
         WHERE withdrawn_at IS NULL AND (retired_at IS NULL OR retired_at > ",
    )
    .bind(now.micros())
    .push(") ORDER BY active_from, kid")
    .load(conn)?)
}

/// Adds a key.
pub(crate) fn insert(conn: &mut Connection, key: &KeyRow) -> Result<(), Error> {
    Sql::new("INSERT INTO signing_keys (kid, public_key, sealed_private, created_at, active_from) VALUES (")
        .bind(key.kid.clone())
        .push(", ")
        .bind(key.public_key.clone())
        .push(", ")
        .bind(key.sealed_private.clone())
        .push(", ")
        .bind(key.created_at)
        .push(", ")
        .bind(key.active_from)
        .push(")")
        .execute(conn)?;
    Ok(())
}

/// Lets all keys but one end once their tokens have expired.
pub(crate) fn retire_others(conn: &mut Connection, kid: &str, at: Timestamp) -> Result<(), Error> {
    Sql::new("UPDATE signing_keys SET retired_at = ")
        .bind(at.micros())
        .push(" WHERE retired_at IS NULL AND withdrawn_at IS NULL AND kid <> ")
        .bind(kid)
        .execute(conn)?;
    Ok(())
}

/// Withdraws a key; says whether there was one to withdraw.
pub(crate) fn withdraw(conn: &mut Connection, kid: &str, now: Timestamp) -> Result<bool, Error> {
    let withdrawn = Sql::new("UPDATE signing_keys SET withdrawn_at = ")
        .bind(now.micros())
        .push(" WHERE withdrawn_at IS NULL AND kid = ")
        .bind(kid)
        .execute(conn)?;
    Ok(withdrawn == 1)
}
