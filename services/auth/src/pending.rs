//! What waits to be finished, for whoever looks after the installation.

use coffre_db::Database;

use crate::store::deletions;

/// Counts the deletions of users and roles in which other services take part, and which have begun and not ended.
///
/// # Errors
/// What the database says.
pub async fn deletions_pending(database: &Database) -> Result<i64, coffre_db::Error> {
    database.read(deletions::count).await
}
