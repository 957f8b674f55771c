//! The tables of lockers, behind the ports of [`crate::domain::ports`].
//!
//! - `read`, `write`: the ports. [`list`]: the list of lockers. [`shares`]: who shares what, for other services.
//! - `pending`: what waits to be finished, for whoever looks after the installation.
//! - `rows`: rows and what they become.

pub mod list;
pub(crate) mod pending;
mod read;
mod rows;
pub mod shares;
mod write;

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_db::{Connection, Database};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::domain::error::LockerError;

/// The migrations for SQLite.
pub const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// The migrations for PostgreSQL.
pub const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The store of lockers. Clones share it.
#[derive(Clone)]
pub struct Store {
    database: Database,
}

/// What a use case runs in.
pub struct Tx<'a> {
    pub(super) conn: &'a mut Connection,
}

impl Store {
    /// Takes the database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Returns the database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Reads. The closure may run twice.
    ///
    /// # Errors
    /// What the closure returns, or the database.
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T, LockerError> + Send + 'static,
    ) -> Result<T, LockerError> {
        self.database.read(move |conn| f(&mut Tx { conn })).await
    }

    /// Changes, with the audit's entry in the same transaction. The closure may run several times.
    ///
    /// # Errors
    /// What the closure returns, or the database.
    pub async fn write<T: Send + 'static>(
        &self,
        record: &Arc<CallRecord>,
        f: impl Fn(&mut Tx<'_>) -> Result<T, LockerError> + Send + 'static,
    ) -> Result<T, LockerError> {
        audited_write(&self.database, record, move |tx| f(&mut Tx { conn: tx.conn() })).await
    }

    /// Changes what is no call of anybody, or a step of one that its last step records.
    ///
    /// # Errors
    /// What the closure returns, or the database.
    pub async fn write_unaudited<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T, LockerError> + Send + 'static,
    ) -> Result<T, LockerError> {
        self.database.write(move |tx| f(&mut Tx { conn: tx.conn() })).await
    }
}
