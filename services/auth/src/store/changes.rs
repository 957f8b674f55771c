//! The numbered changes that watchers follow.

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{RoleId, SessionId, Timestamp, UserId};
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel::{QueryableByName, RunQueryDsl as _};

/// What watchers have to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    Session(SessionId),
    User(UserId),
    Role(RoleId),
    Keys,
}

impl Subject {
    fn columns(self) -> (i64, Option<i64>, Option<Vec<u8>>) {
        match self {
            Self::Session(session) => (1, None, Some(session.uuid().as_bytes().to_vec())),
            Self::User(user) => (2, Some(user.get()), None),
            Self::Role(role) => (3, Some(role.get()), None),
            Self::Keys => (4, None, None),
        }
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    subject_id: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    session_id: Option<Vec<u8>>,
}

impl Row {
    fn subject(self) -> Result<(i64, Subject), Error> {
        let subject = match (self.kind, self.subject_id, self.session_id.as_deref().and_then(SessionId::from_bytes)) {
            (1, _, Some(session)) => Subject::Session(session),
            (2, Some(user), _) => Subject::User(UserId::from_trusted(user)),
            (3, Some(role), _) => Subject::Role(RoleId::from_trusted(role)),
            (4, _, _) => Subject::Keys,
            _ => return Err(Error::Bug(format!("change {} has an unknown subject", self.sequence))),
        };
        Ok((self.sequence, subject))
    }
}

/// Adds a change. The counter's row stays locked until the transaction ends, so call it last.
pub(crate) fn record(conn: &mut Connection, subject: Subject, now: Timestamp) -> Result<(), Error> {
    let sequence = dialect::id(
        conn,
        Sql::new("UPDATE change_counter SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence AS id").cached(),
    )?;
    let (kind, subject_id, session_id) = subject.columns();
    Sql::new("INSERT INTO changes (sequence, kind, subject_id, session_id, created_at) VALUES (")
        .bind(sequence)
        .push(", ")
        .bind(kind)
        .push(", ")
        .bind(subject_id)
        .push(", ")
        .bind(session_id)
        .push(", ")
        .bind(now.micros())
        .push(")")
        .cached()
        .execute(conn)?;
    Ok(())
}

/// Returns the number of the last change.
pub(crate) fn last(conn: &mut Connection) -> Result<i64, Error> {
    dialect::id(conn, Sql::new("SELECT sequence AS id FROM change_counter WHERE id = 1").cached())
}

/// Returns the changes after a number, in order.
pub(crate) fn after(conn: &mut Connection, sequence: i64, most: i64) -> Result<Vec<(i64, Subject)>, Error> {
    let rows: Vec<Row> = Sql::new("SELECT sequence, kind, subject_id, session_id FROM changes WHERE sequence > ")
        .bind(sequence)
        .push(" ORDER BY sequence LIMIT ")
        .bind(most)
        .cached()
        .load(conn)?;
    rows.into_iter().map(Row::subject).collect()
}

/// Removes changes that every watcher has long seen.
pub(crate) fn prune(conn: &mut Connection, before: Timestamp) -> Result<usize, Error> {
    Ok(Sql::new("DELETE FROM changes WHERE created_at < ").bind(before.micros()).execute(conn)?)
}
