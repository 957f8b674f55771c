//! The log in the database.

mod entries;
mod list;
mod log;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use coffre_audit_client::chain::StreamId;
use coffre_db::Database;
use coffre_db::list::PageTokens;
use coffre_types::Timestamp;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::domain::intake::ReportedHead;

pub(crate) const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
pub(crate) const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The log in the database. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    tokens: PageTokens,
    /// The reports that are stored, so that one which says the same again costs no commit.
    reported: Arc<Mutex<HashMap<StreamId, (ReportedHead, Timestamp)>>>,
}

impl Store {
    pub(crate) fn new(database: Database, tokens: PageTokens) -> Self {
        Self { database, tokens, reported: Arc::default() }
    }
}
