//! The table `entries`.

use std::collections::HashSet;

use coffre_db::{Connection, Result, Sql, dialect};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Text};
use diesel::sqlite::Sqlite;

use crate::domain::entry::NewEntry;

diesel::table! {
    entries (log_index) {
        log_index -> BigInt,
        event_id -> Binary,
        canonical -> Binary,
        leaf_hash -> Binary,
        created_at -> BigInt,
        activity -> BigInt,
        status -> BigInt,
        source -> BigInt,
        event -> Text,
        user_id -> BigInt,
        user_name_key -> Text,
        object_type -> Text,
        object_id -> Text,
        object_name_key -> Text,
        request_id -> Text,
        host_name -> Text,
        environment_name -> Text,
        client_address -> Text,
        description -> Text,
        detail -> Text,
    }
}

#[derive(Insertable)]
#[diesel(table_name = entries)]
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
        Self {
            log_index,
            event_id: &entry.event_id,
            canonical: &entry.canonical,
            leaf_hash: &entry.leaf_hash,
            created_at: entry.created_at,
            activity: entry.activity,
            status: entry.status,
            source: entry.source,
            event: &entry.event,
            user_id: entry.user_id,
            user_name_key: &entry.user_name_key,
            object_type: &entry.object_type,
            object_id: &entry.object_id,
            object_name_key: &entry.object_name_key,
            request_id: &entry.request_id,
            host_name: &entry.host_name,
            environment_name: &entry.environment_name,
            client_address: &entry.client_address,
            description: &entry.description,
            detail: &entry.detail,
        }
    }
}

/// Rows of one statement on PostgreSQL: it takes 65 535 values.
const POSTGRES_ROWS: usize = 1000;

/// Adds entries from a position on.
///
/// SQLite runs one prepared statement a row, which costs less than preparing a long one; PostgreSQL pays for each round trip.
pub(super) fn insert(conn: &mut Connection, from: i64, new: &[&NewEntry]) -> Result<()> {
    let rows = (from..).zip(new).map(|(log_index, entry)| Row::of(log_index, entry));
    match conn {
        Connection::Sqlite(conn) => {
            for row in rows {
                InsertOne(row).execute(conn)?;
            }
        }
        Connection::Postgres(conn) => {
            let rows: Vec<Row<'_>> = rows.collect();
            for chunk in rows.chunks(POSTGRES_ROWS) {
                diesel::insert_into(entries::table).values(chunk).execute(conn)?;
            }
        }
    }
    Ok(())
}

/// The statement that adds one entry on SQLite. Its type names it, so that the prepared statement is found without the text: Diesel
/// would write its own `INSERT` out for each row to find it, which costs as much as half of the row's indexes.
struct InsertOne<'a>(Row<'a>);

const INSERT: &str = "\
INSERT INTO entries (log_index, event_id, canonical, leaf_hash, created_at, activity, status, source, event, user_id, user_name_key, \
object_type, object_id, object_name_key, request_id, host_name, environment_name, client_address, description, detail) VALUES (";

impl QueryFragment<Sqlite> for InsertOne<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let row = &self.0;
        out.push_sql(INSERT);
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
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for InsertOne<'_> {
    type QueryId = InsertOne<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for InsertOne<'_> {}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Binary)]
    event_id: Vec<u8>,
}

/// Returns which of these events are in the log: a call whose commit was in doubt may come once more in another stream.
pub(super) fn known(conn: &mut Connection, events: &[&NewEntry]) -> Result<HashSet<Vec<u8>>> {
    let rows: Vec<Known> = dialect::in_chunks(events, |events| {
        let ids = events.iter().map(|entry| entry.event_id.as_slice());
        Sql::new("SELECT event_id FROM entries WHERE event_id IN (").binds(ids).push(")").load(conn)
    })?;
    Ok(rows.into_iter().map(|row| row.event_id).collect())
}
