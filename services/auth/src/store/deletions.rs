//! Deletions that other services take part in.

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::{RoleId, Timestamp, UserId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::domain::deletion::{Deletion, Leaving, Step};

fn columns(leaving: Leaving) -> (i64, i64) {
    match leaving {
        Leaving::User(user) => (1, user.get()),
        Leaving::Role(role) => (2, role.get()),
    }
}

fn number(step: Step) -> i64 {
    match step {
        Step::Holding => 1,
        Step::Undoing => 2,
        Step::Releasing => 3,
    }
}

/// Takes the number of an attempt: higher than every one before, also where an older state of this database was restored.
fn next_attempt(conn: &mut Connection, now: Timestamp) -> Result<i64, Error> {
    dialect::id(
        conn,
        Sql::new("UPDATE id_counters SET last = CASE WHEN last < ")
            .bind(now.micros())
            .push(" THEN ")
            .bind(now.micros())
            .push(" ELSE last + 1 END WHERE name = 'deletions' RETURNING last AS id"),
    )
}

/// Begins an attempt, in the place of an earlier one, and returns its number.
pub(crate) fn begin(
    conn: &mut Connection,
    leaving: Leaving,
    by: UserId,
    request_id: &str,
    now: Timestamp,
) -> Result<i64, Error> {
    let attempt = next_attempt(conn, now)?;
    let (kind, subject) = columns(leaving);
    dialect::Insert::into("deletions", &["kind", "subject_id", "attempt", "step", "since", "asked_by", "request_id"])
        .row([
            kind.into(),
            subject.into(),
            attempt.into(),
            number(Step::Holding).into(),
            now.micros().into(),
            by.get().into(),
            request_id.into(),
        ])
        .or_update(&["kind", "subject_id"], &["attempt", "step", "since", "asked_by", "request_id"])
        .execute(conn)?;
    Ok(attempt)
}

/// Says whether something is being deleted.
pub(crate) fn is_leaving(conn: &mut Connection, leaving: Leaving) -> Result<bool, Error> {
    let (kind, subject) = columns(leaving);
    let found = Sql::new("SELECT count(*) AS id FROM deletions WHERE kind = ")
        .bind(kind)
        .push(" AND subject_id = ")
        .bind(subject);
    Ok(dialect::id(conn, found)? > 0)
}

/// Counts the deletions that have begun and not ended.
pub(crate) fn count(conn: &mut Connection) -> Result<i64, Error> {
    dialect::id(conn, Sql::new("SELECT count(*) AS id FROM deletions").cached())
}

/// Goes from one step to the next; says whether the attempt still stood there.
pub(crate) fn advance(
    conn: &mut Connection,
    leaving: Leaving,
    attempt: i64,
    from: Step,
    to: Step,
) -> Result<bool, Error> {
    let sql = Sql::new("UPDATE deletions SET step = ").bind(number(to)).push(" WHERE ");
    Ok(at(sql, leaving, attempt, from).execute(conn)? == 1)
}

/// Ends an attempt; says whether it still stood at this step.
pub(crate) fn end(conn: &mut Connection, leaving: Leaving, attempt: i64, step: Step) -> Result<bool, Error> {
    Ok(at(Sql::new("DELETE FROM deletions WHERE "), leaving, attempt, step).execute(conn)? == 1)
}

fn at(sql: Sql, leaving: Leaving, attempt: i64, step: Step) -> Sql {
    let (kind, subject) = columns(leaving);
    sql.push("kind = ")
        .bind(kind)
        .push(" AND subject_id = ")
        .bind(subject)
        .push(" AND attempt = ")
        .bind(attempt)
        .push(" AND step = ")
        .bind(number(step))
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = BigInt)]
    subject_id: i64,
    #[diesel(sql_type = BigInt)]
    attempt: i64,
    #[diesel(sql_type = BigInt)]
    step: i64,
    #[diesel(sql_type = BigInt)]
    asked_by: i64,
    #[diesel(sql_type = Nullable<Text>)]
    asker: Option<String>,
    #[diesel(sql_type = Text)]
    request_id: String,
}

/// Returns the deletions on which nothing was done since a moment, the oldest first.
pub(crate) fn left_before(conn: &mut Connection, before: Timestamp) -> Result<Vec<Deletion>, Error> {
    let rows: Vec<Row> = Sql::new(
        "SELECT d.kind, d.subject_id, d.attempt, d.step, d.asked_by, u.username AS asker, d.request_id FROM deletions d \
         LEFT JOIN users u ON u.id = d.asked_by WHERE d.since < ",
    )
    .bind(before.micros())
    .push(" ORDER BY d.since, d.kind, d.subject_id LIMIT 100")
    .load(conn)?;
    rows.into_iter().map(deletion).collect()
}

fn deletion(row: Row) -> Result<Deletion, Error> {
    let leaving = match row.kind {
        1 => Leaving::User(UserId::from_trusted(row.subject_id)),
        2 => Leaving::Role(RoleId::from_trusted(row.subject_id)),
        kind => return Err(Error::Bug(format!("a deletion of kind {kind}"))),
    };
    let step = [Step::Holding, Step::Undoing, Step::Releasing].into_iter().find(|step| number(*step) == row.step);
    Ok(Deletion {
        leaving,
        attempt: row.attempt,
        step: step.ok_or_else(|| Error::Bug(format!("a deletion at step {}", row.step)))?,
        by: UserId::from_trusted(row.asked_by),
        by_name: row.asker.unwrap_or_default(),
        request_id: row.request_id,
    })
}

/// Takes an attempt over that was left behind, under a number of its own and as if it had begun at `since`; `None` where somebody else did, or has gone on with it.
pub(crate) fn take_over(
    conn: &mut Connection,
    left: &Deletion,
    since: Timestamp,
    now: Timestamp,
) -> Result<Option<i64>, Error> {
    let attempt = next_attempt(conn, now)?;
    let sql = Sql::new("UPDATE deletions SET attempt = ")
        .bind(attempt)
        .push(", since = ")
        .bind(since.micros())
        .push(" WHERE ");
    let taken = at(sql, left.leaving, left.attempt, left.step).execute(conn)? == 1;
    Ok(taken.then_some(attempt))
}
