//! The way to the database: two engines, one code path.
//!
//! Diesel is synchronous; it runs on our own few threads, fed by bounded queues, and never on the threads of the async runtime.
//!
//! - [`Database::read`] runs a closure on a reader thread.
//! - [`Gather`] answers many reads of one kind together.
//! - [`Database::write`] runs a re-runnable closure in a transaction that it shares with whatever else is queued, with a savepoint each
//!   where one fails. SQLite has one writer thread; PostgreSQL a few that take turns, each transaction serializable and repeated when it
//!   lost a race.
//! - [`Database::append`] adds journal entries in a commit that it shares with every other append in flight.
//! - A [`Journal`] writes what closures hand to [`Tx::journal`], once a commit and within it: this is how the audit's outbox gets into
//!   the transaction of the change.
//! - [`migrate`] and [`schema_state`] bring a service's schema up to date and compare it with the binary.
//! - [`copy`] reads all services at one moment, and fills empty databases: backup and restore.
//! - [`list`] turns a filter, an order and a page into SQL with binds.
//!
//! Only [`dialect`] and the connection set-up in this crate know which engine is behind a [`Connection`]; what is written with the
//! Diesel query builder or [`Sql`] runs on both.
//!
//! # Columns that both engines know
//! `BIGINT` for ids and for times in microseconds UTC, `INTEGER`, `DOUBLE`, `TEXT`, `BYTEA`/`BLOB`, `BOOLEAN`. On PostgreSQL a text column
//! that lists order by is declared `TEXT COLLATE "C"`, so that its index serves the order, which is the one of code points.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

// Linked for their C code: nothing of the system's is used.
use libsqlite3_sys as _;
use openssl_sys as _;
use pq_sys as _;

mod connection;
pub mod copy;
mod database;
pub mod dialect;
mod error;
mod gather;
mod journal;
mod lane;
pub mod list;
mod migrations;
mod open;
mod options;
mod reader;
mod serial;
mod sql;
mod stats;
mod traced;
mod transaction;
mod writer;

pub use connection::{AnyConnection as Connection, MultiBackend, MultiField, MultiRawValue, MultiRow};
pub use database::Database;
pub use error::{Constraint, Error};
pub use gather::{Gather, Load};
pub use journal::{Journal, JournalEntry, NoJournal, Tx};
pub use migrations::{SchemaState, migrate, schema_state, versions_of};
pub use options::{DatabaseUrl, Engine, InvalidUrl, Options};
pub use sql::{Bind, Sql, Typed};
pub use stats::{LaneStats, Stats};

/// The result of something at the database.
pub type Result<T, E = Error> = std::result::Result<T, E>;
