//! The tables of auth. Every function takes a connection and runs within whatever transaction is open on it.

pub(crate) mod api_accesses;
pub(crate) mod api_keys;
pub(crate) mod api_secrets;
pub(crate) mod changes;
pub(crate) mod deletions;
pub(crate) mod inspections;
pub(crate) mod installation;
pub(crate) mod keys;
pub(crate) mod operators;
pub(crate) mod roles;
pub(crate) mod sessions;
pub(crate) mod throttle;
pub(crate) mod users;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};

/// The schema on SQLite.
pub const SQLITE_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// The schema on PostgreSQL.
pub const POSTGRES_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
