//! The log in the database.

mod checkpoints;
mod cut;
mod entries;
mod incidents;
mod list;
mod log;
mod proofs;
mod streams;
mod stretch;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use coffre_audit_client::Site;
use coffre_audit_client::chain::StreamId;
use coffre_db::list::PageTokens;
use coffre_db::{Database, Sql, dialect};
use coffre_types::Timestamp;
use diesel::RunQueryDsl as _;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use tokio::sync::Semaphore;

use crate::domain::intake::ReportedHead;

pub(crate) const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
pub(crate) const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The log in the database. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    tokens: PageTokens,
    /// Where what is found wrong is put on record.
    site: Arc<Site>,
    /// Searches may take all readers but one, which is left to checkpoints, proofs and the look at the log.
    searches: Arc<Semaphore>,
    /// The reports that are stored, so that one which says the same again costs no commit.
    reported: Arc<Mutex<HashMap<StreamId, (ReportedHead, Timestamp)>>>,
}

impl Store {
    pub(crate) fn new(database: Database, tokens: PageTokens, site: Arc<Site>) -> Self {
        let searches = Arc::new(Semaphore::new(database.readers().saturating_sub(1).max(1)));
        Self { database, tokens, site, searches, reported: Arc::default() }
    }

    #[cfg(test)]
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Says whether a key is the one under which the log was begun; a log that has not begun takes it.
    pub(crate) async fn knows_key(&self, check: [u8; 32]) -> Result<bool, coffre_db::Error> {
        let known = self.database.write(move |tx| {
            let conn = tx.conn();
            Sql::new("UPDATE log_head SET key_check = ")
                .bind(check.as_slice())
                .push(" WHERE id = 1 AND key_check IS NULL")
                .execute(conn)?;
            let same =
                Sql::new("SELECT count(*) AS id FROM log_head WHERE id = 1 AND key_check = ").bind(check.as_slice());
            dialect::id(conn, same)
        });
        Ok(known.await? == 1)
    }
}
