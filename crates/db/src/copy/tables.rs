//! What a schema says of its tables.

use std::collections::BTreeMap;

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::{Connection, Engine, Error, Sql, dialect};

/// What a column holds, on either engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `BIGINT`, `INTEGER`.
    Integer,
    /// `TEXT`.
    Text,
    /// `BYTEA`, `BLOB`.
    Bytes,
    /// `BOOLEAN`.
    Bool,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The places of the columns of its primary key.
    pub(crate) key: Vec<usize>,
    /// The database gives out its ids.
    pub(crate) counted: bool,
}

impl Table {
    /// Returns the place of a column.
    #[must_use]
    pub fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// Returns the quoted names of the columns of its key.
    pub(crate) fn key_names(&self) -> String {
        let columns = self.key.iter().filter_map(|place| self.columns.get(*place));
        columns.map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
    }
}

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Text)]
    of: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    /// Its place in the primary key, from 1; 0 where it is not in it.
    #[diesel(sql_type = BigInt)]
    in_key: i64,
    #[diesel(sql_type = BigInt)]
    counted: i64,
}

#[derive(QueryableByName)]
struct Reference {
    #[diesel(sql_type = Text)]
    of: String,
    #[diesel(sql_type = Text)]
    name: String,
}

const SQLITE_COLUMNS: &str = "SELECT m.name AS \"of\", c.name AS name, c.type AS kind, c.pk AS in_key,
    m.sql LIKE '%AUTOINCREMENT%' AND c.pk > 0 AS counted
  FROM sqlite_master m JOIN pragma_table_info(m.name) c
  WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND m.name <> '__diesel_schema_migrations' ORDER BY m.name, c.cid";
const POSTGRES_COLUMNS: &str = "SELECT c.relname::TEXT AS \"of\", a.attname::TEXT AS name, format_type(a.atttypid, a.atttypmod)::TEXT AS kind,
    COALESCE(array_position(i.indkey::SMALLINT[], a.attnum) + 1, 0)::BIGINT AS in_key, (a.attidentity <> '')::INTEGER::BIGINT AS counted
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
  WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.relname <> '__diesel_schema_migrations' ORDER BY c.relname, a.attnum";
const SQLITE_REFERENCES: &str =
    "SELECT m.name AS \"of\", f.\"table\" AS name FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
  WHERE m.type = 'table'";
const POSTGRES_REFERENCES: &str = "SELECT c.relname::TEXT AS \"of\", t.relname::TEXT AS name FROM pg_constraint f
    JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class t ON t.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE f.contype = 'f' AND n.nspname = current_schema()";

/// Reads the tables of the service, those to which others refer first.
pub(crate) fn tables(conn: &mut Connection) -> Result<Vec<Table>, Error> {
    let (columns, references) = match dialect::engine(conn) {
        Engine::Sqlite => (SQLITE_COLUMNS, SQLITE_REFERENCES),
        Engine::Postgres => (POSTGRES_COLUMNS, POSTGRES_REFERENCES),
    };
    let mut found: BTreeMap<String, (Table, Vec<(i64, usize)>)> = BTreeMap::new();
    for row in Sql::new(columns).load::<ColumnRow>(conn)? {
        let kind = kind(&row.kind)
            .ok_or_else(|| Error::Bug(format!("{}.{} is a {}, which no copy knows", row.of, row.name, row.kind)))?;
        if [&row.of, &row.name].into_iter().any(|name| !is_plain(name)) {
            return Err(Error::Bug(format!("{}.{} is named in a way that no copy knows", row.of, row.name)));
        }
        let empty = || Table { name: row.of.clone(), columns: Vec::new(), key: Vec::new(), counted: false };
        let (table, key) = found.entry(row.of.clone()).or_insert_with(|| (empty(), Vec::new()));
        if row.in_key > 0 {
            key.push((row.in_key, table.columns.len()));
        }
        table.counted |= row.counted > 0;
        table.columns.push(Column { name: row.name, kind });
    }
    let mut left: Vec<Table> = Vec::with_capacity(found.len());
    for (mut table, mut key) in found.into_values() {
        key.sort_unstable();
        table.key = key.into_iter().map(|(_, place)| place).collect();
        if table.key.is_empty() {
            return Err(Error::Bug(format!("the table {} has no primary key, and cannot be copied", table.name)));
        }
        left.push(table);
    }
    in_order(left, &Sql::new(references).load::<Reference>(conn)?)
}

/// Puts tables to which others refer before those.
fn in_order(mut left: Vec<Table>, references: &[Reference]) -> Result<Vec<Table>, Error> {
    let mut ordered: Vec<Table> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_free = |table: &Table| {
            let mut to =
                references.iter().filter(|reference| reference.of == table.name && reference.name != table.name);
            to.all(|reference| ordered.iter().any(|placed| placed.name == reference.name))
        };
        let (free, waiting): (Vec<Table>, Vec<Table>) = left.into_iter().partition(is_free);
        if free.is_empty() {
            return Err(Error::Bug("tables refer to each other in a circle, and cannot be copied".to_owned()));
        }
        ordered.extend(free);
        left = waiting;
    }
    Ok(ordered)
}

fn kind(declared: &str) -> Option<Kind> {
    match declared.to_ascii_lowercase().as_str() {
        "bigint" | "integer" => Some(Kind::Integer),
        "text" => Some(Kind::Text),
        "bytea" | "blob" => Some(Kind::Bytes),
        "boolean" => Some(Kind::Bool),
        _ => None,
    }
}

/// Names stand in SQL: they must need no escape within their quotes.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
