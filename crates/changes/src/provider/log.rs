//! The numbered changes that watchers follow.
//!
//! ```sql
//! CREATE TABLE changes (
//!     sequence BIGINT NOT NULL PRIMARY KEY,
//!     kind BIGINT NOT NULL,
//!     subject_id BIGINT,
//!     session_id BLOB, -- BYTEA
//!     created_at BIGINT NOT NULL
//! );
//! CREATE INDEX changes_created ON changes (created_at);
//! CREATE TABLE change_counter (id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1), sequence BIGINT NOT NULL);
//! INSERT INTO change_counter (id, sequence) VALUES (1, 0);
//! ```

use std::time::Duration;

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::Timestamp;
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel::{QueryableByName, RunQueryDsl as _};

/// Changes are kept this long; a watcher that was away longer begins anew.
pub const KEPT: Duration = Duration::from_secs(60 * 60);

/// What a change is about, as its row says it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Columns {
    /// Which kind of subject; each service numbers its own.
    pub kind: i64,
    /// The subject's number.
    pub subject_id: Option<i64>,
    /// The subject's 16 bytes, where it is a session.
    pub session_id: Option<Vec<u8>>,
}

/// What watchers have to forget.
pub trait Subject: Clone + Send + Sync + 'static {
    /// Returns its columns.
    fn columns(&self) -> Columns;

    /// Reads it back; `None` for columns that no subject of this service has.
    fn from_columns(columns: &Columns) -> Option<Self>;
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

/// Adds a change. The counter's row stays locked until the transaction ends, so call it last.
///
/// # Errors
/// What the database says.
pub fn record(conn: &mut Connection, subject: impl Subject, now: Timestamp) -> Result<(), Error> {
    let sequence = dialect::id(
        conn,
        Sql::new("UPDATE change_counter SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence AS id").cached(),
    )?;
    let Columns { kind, subject_id, session_id } = subject.columns();
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
///
/// # Errors
/// What the database says.
pub fn last(conn: &mut Connection) -> Result<i64, Error> {
    dialect::id(conn, Sql::new("SELECT sequence AS id FROM change_counter WHERE id = 1").cached())
}

/// Returns the changes after a number, in order.
///
/// # Errors
/// What the database says; [`Error::Bug`] for a subject that this service does not know.
pub fn after<S: Subject>(conn: &mut Connection, sequence: i64, most: i64) -> Result<Vec<(i64, S)>, Error> {
    let rows: Vec<Row> = Sql::new("SELECT sequence, kind, subject_id, session_id FROM changes WHERE sequence > ")
        .bind(sequence)
        .push(" ORDER BY sequence LIMIT ")
        .bind(most)
        .cached()
        .load(conn)?;
    rows.into_iter()
        .map(|Row { sequence, kind, subject_id, session_id }| {
            let subject = S::from_columns(&Columns { kind, subject_id, session_id });
            let subject = subject.ok_or_else(|| Error::Bug(format!("change {sequence} has an unknown subject")))?;
            Ok((sequence, subject))
        })
        .collect()
}

/// Removes changes that every watcher has long seen ([`KEPT`]); returns how many.
///
/// # Errors
/// What the database says.
pub fn prune(conn: &mut Connection, before: Timestamp) -> Result<usize, Error> {
    Ok(Sql::new("DELETE FROM changes WHERE created_at < ").bind(before.micros()).execute(conn)?)
}
