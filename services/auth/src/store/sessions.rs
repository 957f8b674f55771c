//! Sessions, and what stands behind a token.

use std::time::Duration;

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{
    ApiAccessId, ApiSecretId, Permission, PermissionSet, RoleId, SessionId, Timestamp, TokenKind, UserId,
};
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use super::roles;
use crate::domain::api_access::Binding;
use crate::domain::session::{NewSession, Origin, Refresh, Standing, StandsOn};

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
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    api_access_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    refresh_generation: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    refreshed_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    refreshed_life: Option<i64>,
    #[diesel(sql_type = Bool)]
    access_lives: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    api_access_secret_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    access_epoch: Option<i64>,
    #[diesel(sql_type = BigInt)]
    operator_epoch: i64,
    #[diesel(sql_type = Nullable<Text>)]
    secret_hash: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    confirmation: Option<Vec<u8>>,
    #[diesel(sql_type = Bool)]
    by_key: bool,
    #[diesel(sql_type = Bool)]
    key_lives: bool,
}

impl Row {
    /// Says whether the session, and everything on which it stands, still holds.
    fn lives(&self, now: Timestamp) -> bool {
        let session = self.ended_at.is_none() && self.expires_at > now.micros();
        let user = !self.disabled && self.user_epoch == self.epoch;
        let confirmed = self.api_access_secret_id.is_none() || self.confirmation.is_some();
        session && user && self.access_lives && confirmed && self.key_lives
    }

    /// Returns the confirmation on which the session stands, as it is stored; `None`: it stands on none.
    fn stands_on(&self) -> Option<StandsOn> {
        self.api_access_secret_id?;
        Some(StandsOn {
            binding: Binding {
                access: ApiAccessId::from_trusted(self.api_access_id.unwrap_or_default()),
                operator: UserId::from_trusted(self.user_id),
                access_epoch: self.access_epoch.unwrap_or_default(),
                operator_epoch: self.operator_epoch,
            },
            secret_hash: self.secret_hash.clone().unwrap_or_default(),
            confirmation: self.confirmation.clone().unwrap_or_default(),
        })
    }

    /// Returns the permission without which the session counts for nothing, however many its user has otherwise.
    fn needs(&self) -> Option<Permission> {
        if self.kind == kind_number(TokenKind::PublicApi) {
            Some(Permission::ConnectToApi)
        } else {
            self.by_key.then_some(Permission::GenerateApiKey)
        }
    }
}

/// Opens a session.
pub(crate) fn insert(conn: &mut Connection, session: &NewSession) -> Result<(), Error> {
    let (password_time, key) = match session.origin {
        Origin::Password => (session.opened_at.micros(), None),
        Origin::ApiKey(key) => (0, Some(key.get())),
        Origin::Client { .. } => (0, None),
    };
    let (access, access_epoch, secret, refreshable) = match session.origin {
        Origin::Password | Origin::ApiKey(_) => (None, None, None, None),
        Origin::Client { access, epoch, confirmed, refreshable } => {
            (Some(access.get()), Some(epoch), confirmed.map(ApiSecretId::get), refreshable)
        }
    };
    Sql::new(
        "INSERT INTO sessions (session_id, user_id, kind, first_epoch, epoch, password_time, opened_at, expires_at, \
         api_access_id, api_access_epoch, api_access_secret_id, api_key_id, refresh_generation, refreshed_at, refreshed_life) VALUES (",
    )
    .bind(session.session_id.uuid().as_bytes().to_vec())
    .push(", ")
    .bind(session.user_id.get())
    .push(", ")
    .bind(kind_number(session.origin.kind()))
    .push(", ")
    .bind(session.epoch)
    .push(", ")
    .bind(session.epoch)
    .push(", ")
    .bind(password_time)
    .push(", ")
    .bind(session.opened_at.micros())
    .push(", ")
    .bind(session.expires_at.micros())
    .push(", ")
    .bind(access)
    .push(", ")
    .bind(access_epoch)
    .push(", ")
    .bind(secret)
    .push(", ")
    .bind(key)
    .push(", ")
    .bind(refreshable.map(|_| 0_i64))
    .push(", ")
    .bind(refreshable.map(|_| session.opened_at.micros()))
    .push(", ")
    .bind(refreshable.map(seconds))
    .push(")")
    .cached()
    .execute(conn)?;
    Ok(())
}

fn seconds(life: Duration) -> i64 {
    i64::try_from(life.as_secs()).unwrap_or(i64::MAX)
}

fn kind_number(kind: TokenKind) -> i64 {
    match kind {
        TokenKind::Session => 1,
        TokenKind::PublicApi => 2,
    }
}

/// Returns what stands behind a token now, but for whether a confirmation is genuine ([`Standing::is_confirmed`]); `None` where its session, its user or its key is unknown, ended or withdrawn. A refresh token has
/// no signing key.
///
/// The number of the last change comes from the same statement as the session and the user, and from before the roles: whatever changes
/// in between has a higher number.
pub(crate) fn standing(
    conn: &mut Connection,
    session: SessionId,
    kid: Option<&str>,
    now: Timestamp,
) -> Result<Option<Standing>, Error> {
    let query = Sql::new(
        "SELECT c.sequence, u.id AS user_id, u.username, u.epoch AS user_epoch, u.disabled, u.password_change_required, \
         s.kind, s.first_epoch, s.epoch, s.password_time, s.expires_at, s.ended_at, s.api_access_id, s.refresh_generation, s.refreshed_at, s.refreshed_life, \
         a.client_id, \
         (s.api_access_id IS NULL OR (a.deleted_at IS NULL AND NOT a.disabled AND a.epoch = s.api_access_epoch)) AS access_lives, \
         s.api_access_secret_id, a.confirmation_epoch AS access_epoch, u.confirmation_epoch AS operator_epoch, x.hash AS secret_hash, \
         x.confirmation, \
         s.api_key_id IS NOT NULL AS by_key, \
         (s.api_key_id IS NULL OR k.revoked_at IS NULL) AS key_lives \
         FROM sessions s JOIN users u ON u.id = s.user_id AND u.deleted_at IS NULL JOIN change_counter c ON c.id = 1 \
         LEFT JOIN api_accesses a ON a.id = s.api_access_id LEFT JOIN api_access_secrets x ON x.id = s.api_access_secret_id \
         LEFT JOIN api_keys k ON k.id = s.api_key_id WHERE s.session_id = ",
    )
    .bind(session.uuid().as_bytes().to_vec());
    let query = match kid {
        Some(kid) => query
            .push(" AND EXISTS (SELECT 1 FROM signing_keys k WHERE k.withdrawn_at IS NULL AND k.kid = ")
            .bind(kid)
            .push(")"),
        None => query,
    };
    let row: Option<Row> = query.cached().load(conn)?.into_iter().next();
    let Some(row) = row else { return Ok(None) };
    if !row.lives(now) {
        return Ok(None);
    }
    let held = roles::of_user(conn, UserId::from_trusted(row.user_id))?;
    let permissions = held.iter().fold(PermissionSet::EMPTY, |all, role| all.union(role.permissions));
    if row.needs().is_some_and(|permission| !permissions.contains(permission)) {
        return Ok(None);
    }
    Ok(Some(Standing {
        stands_on: row.stands_on(),
        sequence: row.sequence,
        session_id: session,
        user_id: UserId::from_trusted(row.user_id),
        username: row.username,
        roles: held.iter().map(|role| role.id).collect::<Vec<RoleId>>(),
        permissions,
        administrator: held.iter().any(|role| role.administrator),
        password_change_required: row.password_change_required,
        first_epoch: row.first_epoch,
        epoch: row.epoch,
        password_time: Timestamp::from_micros(row.password_time),
        expires_at: Timestamp::from_micros(row.expires_at),
        kind: if row.kind == kind_number(TokenKind::PublicApi) { TokenKind::PublicApi } else { TokenKind::Session },
        api_access: row.api_access_id.and_then(ApiAccessId::new),
        client_id: row.client_id,
        refresh: row.refresh_generation.zip(row.refreshed_at).zip(row.refreshed_life).map(
            |((generation, issued_at), life)| Refresh {
                generation,
                issued_at: Timestamp::from_micros(issued_at),
                life: Duration::from_secs(life.unsigned_abs()),
            },
        ),
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
    #[diesel(sql_type = Nullable<BigInt>)]
    api_access_id: Option<i64>,
}

/// Who opened a session, and whether it has ended.
pub(crate) struct Opened {
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    pub(crate) api_access: Option<ApiAccessId>,
    pub(crate) ended: bool,
}

/// Returns who opened a session.
pub(crate) fn opened_by(conn: &mut Connection, session: SessionId) -> Result<Option<Opened>, Error> {
    let row: Option<Owner> = Sql::new(
        "SELECT s.user_id, u.username, s.ended_at, s.api_access_id FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.session_id = ",
    )
    .bind(session.uuid().as_bytes().to_vec())
    .load(conn)?
    .into_iter()
    .next();
    Ok(row.map(|row| Opened {
        user_id: UserId::from_trusted(row.user_id),
        username: row.username,
        api_access: row.api_access_id.and_then(ApiAccessId::new),
        ended: row.ended_at.is_some(),
    }))
}

/// Holds a user until the transaction ends, and says whether a session of his is still open: what he makes within it is not made behind the
/// back of a reset, a deletion or a sign-out that came first, and is seen by one that comes after.
pub(crate) fn hold(conn: &mut Connection, user: UserId, session: SessionId, now: Timestamp) -> Result<bool, Error> {
    let lock = dialect::for_update(conn);
    let held =
        Sql::new("SELECT id FROM users WHERE deleted_at IS NULL AND disabled = FALSE AND id = ").bind(user.get());
    if dialect::ids(conn, held.push(lock))?.is_empty() {
        return Ok(false);
    }
    let open = Sql::new(
        "SELECT count(*) AS id FROM sessions s JOIN users u ON u.id = s.user_id AND u.epoch = s.epoch \
         WHERE s.ended_at IS NULL AND s.session_id = ",
    )
    .bind(session.uuid().as_bytes().to_vec())
    .push(" AND s.user_id = ")
    .bind(user.get())
    .push(" AND s.expires_at > ")
    .bind(now.micros());
    Ok(dialect::id(conn, open)? == 1)
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

/// Stores the number of a session's newest refresh token, the one after what stood there; says whether that one still did.
pub(crate) fn refreshed(conn: &mut Connection, session: SessionId, next: Refresh) -> Result<bool, Error> {
    let refreshed = Sql::new("UPDATE sessions SET refreshed_at = ")
        .bind(next.issued_at.micros())
        .push(", refreshed_life = ")
        .bind(seconds(next.life))
        .push(", refresh_generation = ")
        .bind(next.generation)
        .push(" WHERE ended_at IS NULL AND session_id = ")
        .bind(session.uuid().as_bytes().to_vec())
        .push(" AND refresh_generation = ")
        .bind(next.generation - 1)
        .cached()
        .execute(conn)?;
    Ok(refreshed == 1)
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
