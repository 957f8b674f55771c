//! One connection type for both engines.
#![allow(missing_docs, reason = "Diesel derives public items without documentation")]

use diesel::{PgConnection, SqliteConnection};

/// A connection to either engine.
///
/// The crate exports it as `Connection`: the derived code needs that name for Diesel's trait.
///
/// Diesel's queries run on it as they are, except for batch inserts, `ON CONFLICT` and row locks: see [`crate::dialect`].
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// PostgreSQL.
    Postgres(PgConnection),
    /// SQLite.
    Sqlite(SqliteConnection),
}
