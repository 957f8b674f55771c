//! The vault's tables, behind the ports of [`crate::domain::ports`]. It sees sealed bytes only.
//!
//! - `schema`: the tables; `rows`: rows and what they become.
//! - `read`, `write`: the ports. [`list`]: the list of credentials. [`dashboard`]: its counts. [`keys`]: slots, terms, seal state, transport keys. [`rotation`]: their values sealed anew; `seals`: as they are.
//!   [`recipient`]: for whom backups are sealed.
//! - `dialect`: what truly differs between the engines.

pub mod dashboard;
mod dialect;
pub mod keys;
pub mod list;
mod read;
pub mod recipient;
pub mod rotation;
mod rows;
mod schema;
mod seals;
mod write;

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_db::{Connection, Database, Gather, JournalEntry};
use coffre_types::{CredentialId, UserId};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::domain::error::VaultError;
use crate::domain::ports::WithValues;

/// The migrations for SQLite.
pub const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// The migrations for PostgreSQL.
pub const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The store of the vault. Clones share it.
#[derive(Clone)]
pub struct Store {
    database: Database,
    values: Gather<(CredentialId, UserId), Option<WithValues>>,
}

/// What a use case runs in.
pub struct Tx<'a> {
    conn: &'a mut Connection,
}

impl Store {
    /// Takes the vault's database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let values = Gather::new(database.clone(), read::gathered);
        Self { database, values }
    }

    /// Reads. The closure may run twice.
    ///
    /// # Errors
    /// What the closure returns, or the database.
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        self.database.read(move |conn| f(&mut Tx { conn })).await
    }

    /// Finds a credential with its attributes, the standard values and those of a user, together with whatever else waits to be read: the
    /// busiest read of all.
    ///
    /// # Errors
    /// What the database says.
    pub async fn with_values(&self, id: CredentialId, user: UserId) -> Result<Option<WithValues>, VaultError> {
        Ok(self.values.get((id, user)).await?)
    }

    /// Changes, with the audit's entry in the same transaction. The closure may run several times.
    ///
    /// # Errors
    /// What the closure returns, or the database.
    pub async fn write<T: Send + 'static>(
        &self,
        record: &Arc<CallRecord>,
        f: impl Fn(&mut Tx<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        audited_write(&self.database, record, move |tx| f(&mut Tx { conn: tx.conn() })).await
    }

    /// Changes what is no call of anybody: transport keys that come and go.
    ///
    /// # Errors
    /// What the closure returns, or the database.
    pub async fn write_unaudited<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        self.database.write(move |tx| f(&mut Tx { conn: tx.conn() })).await
    }

    /// Changes several things at once, each with an entry of its own in the audit.
    ///
    /// # Errors
    /// What the closure returns, or the database.
    pub async fn write_recorded<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<(T, Vec<JournalEntry>), VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let change = move |tx: &mut coffre_db::Tx<'_>| {
            let (done, entries) = f(&mut Tx { conn: tx.conn() })?;
            for entry in entries {
                tx.journal(entry);
            }
            Ok(done)
        };
        self.database.write(change).await
    }
}
