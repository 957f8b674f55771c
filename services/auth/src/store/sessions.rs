//! Sessions, and what stands behind a token.

use coffre_db::{Connection, Error, Sql};
use coffre_types::{PermissionSet, RoleId, SessionId, Timestamp, UserId};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use super::roles;
use crate::domain::session::{NewSession, Standing};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = BigInt)]
    user_epoch: i64,
    #[diesel(sql_type = Bool)]
    disabled: bool,
    #[diesel(sql_type = Bool)]
    password_change_required: bool,
    #[diesel(sql_type = BigInt)]
    first_epoch: i64,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = BigInt)]
    password_time: i64,
    #[diesel(sql_type = BigInt)]
    expires_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    ended_at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    client_id: Option<String>,
}

/// Opens a session.
pub(crate) fn insert(conn: &mut Connection, session: &NewSession) -> Result<(), Error> {
    Sql::new(
        "INSERT INTO sessions (session_id, user_id, kind, first_epoch, epoch, password_time, opened_at, expires_at) VALUES (",
    )
    .bind(session.session_id.uuid().as_bytes().to_vec())
    .push(", ")
    .bind(session.user_id.get())
    .push(", 1, ")
    .bind(session.epoch)
    .push(", ")
    .bind(session.epoch)
    .push(", ")
    .bind(session.opened_at.micros())
    .push(", ")
    .bind(session.opened_at.micros())
    .push(", ")
    .bind(session.expires_at.micros())
    .push(")")
    .cached()
    .execute(conn)?;
    Ok(())
}

/// Returns what stands behind a token now; `None` where its session, its user or its key is unknown, ended or withdrawn.
///
/// The number of the last change comes from the same statement as the session and the user, and from before the roles: whatever changes
/// in between has a higher number.
pub(crate) fn standing(
    conn: &mut Connection,
    session: SessionId,
    kid: &str,
    now: Timestamp,
) -> Result<Option<Standing>, Error> {
    let row: Option<Row> = Sql::new(
        "SELECT c.sequence, u.id AS user_id, u.username, u.epoch AS user_epoch, u.disabled, u.password_change_required, \
         s.first_epoch, s.epoch, s.password_time, s.expires_at, s.ended_at, s.client_id \
         FROM sessions s JOIN users u ON u.id = s.user_id AND u.deleted_at IS NULL JOIN change_counter c ON c.id = 1 \
         WHERE EXISTS (SELECT 1 FROM signing_keys k WHERE k.withdrawn_at IS NULL AND k.kid = ",
    )
    .bind(kid)
    .push(") AND s.session_id = ")
    .bind(session.uuid().as_bytes().to_vec())
    .cached()
    .load(conn)?
    .into_iter()
    .next();
    let Some(row) = row else { return Ok(None) };
    let dead = row.ended_at.is_some() || row.disabled || row.user_epoch != row.epoch || row.expires_at <= now.micros();
    if dead {
        return Ok(None);
    }
    let held = roles::of_user(conn, UserId::from_trusted(row.user_id))?;
    Ok(Some(Standing {
        sequence: row.sequence,
        session_id: session,
        user_id: UserId::from_trusted(row.user_id),
        username: row.username,
        roles: held.iter().map(|role| role.id).collect::<Vec<RoleId>>(),
        permissions: held.iter().fold(PermissionSet::EMPTY, |all, role| all.union(role.permissions)),
        administrator: held.iter().any(|role| role.administrator),
        password_change_required: row.password_change_required,
        first_epoch: row.first_epoch,
        epoch: row.epoch,
        password_time: Timestamp::from_micros(row.password_time),
        expires_at: Timestamp::from_micros(row.expires_at),
        client_id: row.client_id,
    }))
}

#[derive(QueryableByName)]
struct Owner {
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    ended_at: Option<i64>,
}

/// Who opened a session, and whether it has ended.
pub(crate) struct Opened {
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    pub(crate) ended: bool,
}

/// Returns who opened a session.
pub(crate) fn opened_by(conn: &mut Connection, session: SessionId) -> Result<Option<Opened>, Error> {
    let row: Option<Owner> = Sql::new(
        "SELECT s.user_id, u.username, s.ended_at FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.session_id = ",
    )
    .bind(session.uuid().as_bytes().to_vec())
    .load(conn)?
    .into_iter()
    .next();
    Ok(row.map(|row| Opened {
        user_id: UserId::from_trusted(row.user_id),
        username: row.username,
        ended: row.ended_at.is_some(),
    }))
}

/// Ends a session; says whether it was open.
pub(crate) fn end(conn: &mut Connection, session: SessionId, now: Timestamp) -> Result<bool, Error> {
    let ended = Sql::new("UPDATE sessions SET ended_at = ")
        .bind(now.micros())
        .push(" WHERE ended_at IS NULL AND session_id = ")
        .bind(session.uuid().as_bytes().to_vec())
        .execute(conn)?;
    Ok(ended == 1)
}

/// Ends the sessions of a user, but for one.
pub(crate) fn end_all(
    conn: &mut Connection,
    user: UserId,
    but: Option<SessionId>,
    now: Timestamp,
) -> Result<(), Error> {
    let but = but.map(|session| session.uuid().as_bytes().to_vec()).unwrap_or_default();
    Sql::new("UPDATE sessions SET ended_at = ")
        .bind(now.micros())
        .push(" WHERE ended_at IS NULL AND user_id = ")
        .bind(user.get())
        .push(" AND session_id <> ")
        .bind(but)
        .execute(conn)?;
    Ok(())
}

/// Takes one session along to a new epoch, so that it goes on.
pub(crate) fn carry_on(conn: &mut Connection, session: SessionId, epoch: i64) -> Result<(), Error> {
    let carried = Sql::new("UPDATE sessions SET epoch = ")
        .bind(epoch)
        .push(" WHERE ended_at IS NULL AND session_id = ")
        .bind(session.uuid().as_bytes().to_vec())
        .execute(conn)?;
    if carried == 1 { Ok(()) } else { Err(Error::NotFound) }
}

/// Removes sessions that are long over.
pub(crate) fn prune(conn: &mut Connection, before: Timestamp) -> Result<usize, Error> {
    Ok(Sql::new("DELETE FROM sessions WHERE expires_at < ").bind(before.micros()).execute(conn)?)
}
