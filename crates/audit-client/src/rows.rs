//! The outbox's rows.

use coffre_db::{Connection, Result, Sql, dialect};
use coffre_types::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};

use crate::chain::StreamId;

/// A segment that waits.
#[derive(QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Binary)]
    pub(crate) stream_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    pub(crate) first_sequence: i64,
    #[diesel(sql_type = Binary)]
    pub(crate) segment: Vec<u8>,
}

/// Which rows wait, roughly: ids without a row between the first and the last are counted too.
#[derive(QueryableByName, Clone, Copy, Default)]
pub(crate) struct Waiting {
    #[diesel(sql_type = Nullable<BigInt>)]
    first_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) oldest: Option<i64>,
}

impl Waiting {
    pub(crate) fn rows(&self) -> i64 {
        match (self.first_id, self.last_id) {
            (Some(first), Some(last)) => last - first + 1,
            _ => 0,
        }
    }
}

pub(crate) fn insert(
    conn: &mut Connection,
    stream_id: &StreamId,
    first_sequence: i64,
    count: i64,
    segment: Vec<u8>,
    now: Timestamp,
) -> Result<()> {
    Sql::new("INSERT INTO outbox_segments (stream_id, first_sequence, event_count, segment, created_at) VALUES (")
        .bind(stream_id.as_slice())
        .push(", ")
        .bind(first_sequence)
        .push(", ")
        .bind(count)
        .push(", ")
        .bind(segment)
        .push(", ")
        .bind(now.micros())
        .push(")")
        .cached()
        .execute(conn)?;
    Ok(())
}

/// The first rows of one stream, in its order.
pub(crate) fn of_stream(conn: &mut Connection, stream_id: &StreamId, limit: i64) -> Result<Vec<Row>> {
    let rows = Sql::new("SELECT id, stream_id, first_sequence, segment FROM outbox_segments WHERE stream_id = ")
        .bind(stream_id.as_slice())
        .push(" ORDER BY first_sequence LIMIT ")
        .bind(limit)
        .cached()
        .load(conn)?;
    Ok(rows)
}

/// The oldest rows that nobody carried away by `before`, of whatever stream but those.
pub(crate) fn left_behind(conn: &mut Connection, before: Timestamp, but: &[StreamId], limit: i64) -> Result<Vec<Row>> {
    let mut sql = Sql::new("SELECT id, stream_id, first_sequence, segment FROM outbox_segments WHERE created_at < ")
        .bind(before.micros());
    if !but.is_empty() {
        sql = sql.push(" AND stream_id NOT IN (").binds(but.iter().map(StreamId::as_slice)).push(")");
    }
    Ok(sql.push(" ORDER BY id LIMIT ").bind(limit).load(conn)?)
}

/// Deletes rows; events hold no secret.
pub(crate) fn delete(conn: &mut Connection, ids: &[i64]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = Sql::new("DELETE FROM outbox_segments WHERE id IN (").binds(ids.iter().copied()).push(")");
    dialect::without_wiping(conn, |conn| Ok(sql.execute(conn)?))?;
    Ok(())
}

pub(crate) fn quarantine(conn: &mut Connection, ids: &[i64], now: Timestamp) -> Result<()> {
    for id in ids {
        Sql::new("INSERT INTO outbox_quarantine (id, stream_id, first_sequence, segment, created_at, quarantined_at) ")
            .push("SELECT id, stream_id, first_sequence, segment, created_at, ")
            .bind(now.micros())
            .push(" FROM outbox_segments WHERE id = ")
            .bind(*id)
            .push(" AND NOT EXISTS (SELECT 1 FROM outbox_quarantine q WHERE q.id = outbox_segments.id)")
            .execute(conn)?;
    }
    delete(conn, ids)
}

pub(crate) fn waiting(conn: &mut Connection) -> Result<Waiting> {
    let rows: Vec<Waiting> = Sql::new("SELECT (SELECT MIN(id) FROM outbox_segments) AS first_id, ")
        .push("(SELECT MAX(id) FROM outbox_segments) AS last_id, ")
        .push("(SELECT created_at FROM outbox_segments ORDER BY id LIMIT 1) AS oldest")
        .cached()
        .load(conn)?;
    Ok(rows.first().copied().unwrap_or_default())
}
