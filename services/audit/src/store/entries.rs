//! The table `entries`.

use std::collections::HashSet;
use std::sync::LazyLock;

use coffre_audit_proof::words::WORDS;
use coffre_db::{Connection, Error, Result, Sql, dialect};
use diesel::Connection as _;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Text};
use diesel::sqlite::Sqlite;

use crate::domain::entry::NewEntry;

/// The columns of an entry.
struct Row<'a> {
    log_index: i64,
    event_id: &'a [u8],
    canonical: &'a [u8],
    leaf_hash: &'a [u8],
    created_at: i64,
    activity: i64,
    status: i64,
    source: i64,
    event: &'a str,
    user_id: i64,
    user_name_key: &'a str,
    object_type: &'a str,
    object_id: &'a str,
    object_name_key: &'a str,
    request_id: &'a str,
    host_name: &'a str,
    environment_name: &'a str,
    client_address: &'a str,
    description: &'a str,
    detail: &'a str,
}

impl<'a> Row<'a> {
    fn of(log_index: i64, entry: &'a NewEntry) -> Self {
        let NewEntry { columns, said, .. } = entry;
        Self {
            log_index,
            event_id: &entry.event_id,
            canonical: &entry.canonical,
            leaf_hash: &entry.leaf_hash,
            created_at: columns.created_at,
            activity: columns.activity,
            status: columns.status,
            source: columns.source,
            event: &columns.event,
            user_id: columns.user_id,
            user_name_key: &columns.user_name_key,
            object_type: &columns.object_type,
            object_id: &columns.object_id,
            object_name_key: &columns.object_name_key,
            request_id: &columns.request_id,
            host_name: &columns.host_name,
            environment_name: &columns.environment_name,
            client_address: &columns.client_address,
            description: &said.description,
            detail: &said.detail,
        }
    }
}

/// Adds entries from a position on, and returns those that were new, in their order. An event that is in the log comes once more only after
/// a commit in doubt, so nobody looks for it before its key turns out to be taken.
///
/// SQLite runs a statement a row: one for many rows would keep every page as it was before, in case a row fails. PostgreSQL pays for each
/// round trip.
pub(super) fn insert<'e>(conn: &mut Connection, from: i64, new: Vec<&'e NewEntry>) -> Result<Vec<&'e NewEntry>> {
    match conn {
        Connection::Sqlite(conn) => insert_one_by_one(conn, from, new),
        Connection::Postgres(_) => match conn.transaction(|conn| insert_together(conn, from, &new)) {
            Ok(()) => Ok(new),
            Err(Error::Unique(key)) if key.covers(KEY) => {
                let known = known(conn, &new)?;
                let mut new = new;
                new.retain(|entry| !known.contains(entry.event_id.as_slice()));
                insert_together(conn, from, &new)?;
                Ok(new)
            }
            Err(error) => Err(error),
        },
    }
}

const KEY: &str = "event_id";

fn insert_one_by_one<'e>(conn: &mut SqliteConnection, from: i64, new: Vec<&'e NewEntry>) -> Result<Vec<&'e NewEntry>> {
    let mut added = Vec::with_capacity(new.len());
    let mut log_index = from;
    for entry in new {
        match InsertRow(Row::of(log_index, entry)).execute(conn).map_err(Error::from) {
            Err(Error::Unique(key)) if key.covers(KEY) => {}
            Err(error) => return Err(error),
            Ok(_) => {
                added.push(entry);
                log_index += 1;
            }
        }
    }
    Ok(added)
}

fn insert_together(conn: &mut Connection, from: i64, new: &[&NewEntry]) -> Result<()> {
    let rows: Vec<Row<'_>> = (from..).zip(new).map(|(log_index, entry)| Row::of(log_index, entry)).collect();
    if let Connection::Postgres(conn) = conn {
        InsertArrays::of(&rows).execute(conn)?;
    }
    Ok(())
}

/// The statement that adds one entry on SQLite. Its type names it, so that the prepared statement is found without the text: Diesel would
/// write its own `INSERT` out for each row to find it, which costs as much as half of the row's indexes.
struct InsertRow<'a>(Row<'a>);

const INSERT: &str = "\
INSERT INTO entries (log_index, event_id, canonical, leaf_hash, created_at, activity, status, source, event, user_id, user_name_key, \
object_type, object_id, object_name_key, request_id, host_name, environment_name, client_address, description, detail, words) ";
/// In which words the description and the detail of what this program adds are.
static OUR_WORDS: LazyLock<String> = LazyLock::new(|| format!(", {WORDS}"));

impl QueryFragment<Sqlite> for InsertRow<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let row = &self.0;
        out.push_sql(INSERT);
        out.push_sql("VALUES (");
        out.push_bind_param::<BigInt, _>(&row.log_index)?;
        for bytes in [&row.event_id, &row.canonical, &row.leaf_hash] {
            out.push_sql(", ");
            out.push_bind_param::<Binary, _>(bytes)?;
        }
        for number in [&row.created_at, &row.activity, &row.status, &row.source] {
            out.push_sql(", ");
            out.push_bind_param::<BigInt, _>(number)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&row.event)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&row.user_id)?;
        for text in [
            &row.user_name_key,
            &row.object_type,
            &row.object_id,
            &row.object_name_key,
            &row.request_id,
            &row.host_name,
            &row.environment_name,
            &row.client_address,
            &row.description,
            &row.detail,
        ] {
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(text)?;
        }
        out.push_sql(&OUR_WORDS);
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for InsertRow<'_> {
    type QueryId = InsertRow<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for InsertRow<'_> {}

/// The statement that adds entries on PostgreSQL: an array a column, so that its text is the same for any number of rows.
struct InsertArrays<'a> {
    log_index: Vec<i64>,
    bytes: [Vec<&'a [u8]>; 3],
    numbers: [Vec<i64>; 4],
    event: Vec<&'a str>,
    user_id: Vec<i64>,
    texts: [Vec<&'a str>; 10],
}

impl<'a> InsertArrays<'a> {
    fn of(rows: &[Row<'a>]) -> Self {
        fn all<'a, T>(rows: &[Row<'a>], of: impl Fn(&Row<'a>) -> T) -> Vec<T> {
            rows.iter().map(of).collect()
        }
        Self {
            log_index: all(rows, |row| row.log_index),
            bytes: [all(rows, |row| row.event_id), all(rows, |row| row.canonical), all(rows, |row| row.leaf_hash)],
            numbers: [
                all(rows, |row| row.created_at),
                all(rows, |row| row.activity),
                all(rows, |row| row.status),
                all(rows, |row| row.source),
            ],
            event: all(rows, |row| row.event),
            user_id: all(rows, |row| row.user_id),
            texts: [
                all(rows, |row| row.user_name_key),
                all(rows, |row| row.object_type),
                all(rows, |row| row.object_id),
                all(rows, |row| row.object_name_key),
                all(rows, |row| row.request_id),
                all(rows, |row| row.host_name),
                all(rows, |row| row.environment_name),
                all(rows, |row| row.client_address),
                all(rows, |row| row.description),
                all(rows, |row| row.detail),
            ],
        }
    }
}

impl QueryFragment<Pg> for InsertArrays<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(INSERT);
        out.push_sql("SELECT *");
        out.push_sql(&OUR_WORDS);
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&self.log_index)?;
        for column in &self.bytes {
            out.push_sql(", ");
            out.push_bind_param::<Array<Binary>, _>(column)?;
        }
        for column in &self.numbers {
            out.push_sql(", ");
            out.push_bind_param::<Array<BigInt>, _>(column)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.event)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.user_id)?;
        for column in &self.texts {
            out.push_sql(", ");
            out.push_bind_param::<Array<Text>, _>(column)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for InsertArrays<'_> {
    type QueryId = InsertArrays<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for InsertArrays<'_> {}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Binary)]
    event_id: Vec<u8>,
}

/// Returns which of these events are in the log: a call whose commit was in doubt may come once more in another stream.
fn known(conn: &mut Connection, events: &[&NewEntry]) -> Result<HashSet<Vec<u8>>> {
    let rows: Vec<Known> = dialect::in_chunks(events, |events| {
        let ids = events.iter().map(|entry| entry.event_id.as_slice());
        Sql::new("SELECT event_id FROM entries WHERE event_id IN (").binds(ids).push(")").load(conn)
    })?;
    Ok(rows.into_iter().map(|row| row.event_id).collect())
}
