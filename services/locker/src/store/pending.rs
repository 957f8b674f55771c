//! What waits to be finished, for whoever looks after the installation.

use coffre_db::{Connection, Error, Sql, dialect};

/// What waits to be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Places that are reserved for credentials which are about to enter.
    pub reservations: i64,
    /// Lockers that are being deleted.
    pub deletions: i64,
}

pub(crate) fn count(conn: &mut Connection) -> Result<Pending, Error> {
    let reservations = Sql::new("SELECT count(*) AS id FROM reservations").cached();
    let deletions = Sql::new("SELECT count(*) AS id FROM lockers WHERE deleting_at IS NOT NULL AND deleted_at IS NULL");
    Ok(Pending { reservations: dialect::id(conn, reservations)?, deletions: dialect::id(conn, deletions.cached())? })
}
