//! Whether the installation is initialised, and the guard rows.

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::Timestamp;
use diesel::RunQueryDsl as _;

/// Says whether the installation is initialised.
pub(crate) fn is_initialised(conn: &mut Connection) -> Result<bool, Error> {
    Ok(dialect::id(conn, Sql::new("SELECT count(*) AS id FROM installation"))? > 0)
}

/// Marks it; the second time the row exists already.
pub(crate) fn mark_initialised(conn: &mut Connection, now: Timestamp) -> Result<(), Error> {
    Sql::new("INSERT INTO installation (id, initialised_at) VALUES (1, ").bind(now.micros()).push(")").execute(conn)?;
    Ok(())
}

/// A row that transactions raise so that they come one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Guard {
    Administrators,
    SigningKeys,
}

/// Locks a guard row until the transaction ends.
pub(crate) fn raise(conn: &mut Connection, guard: Guard) -> Result<(), Error> {
    let name = match guard {
        Guard::Administrators => "administrators",
        Guard::SigningKeys => "signing_keys",
    };
    let raised = Sql::new("UPDATE guards SET raised = raised + 1 WHERE name = ").bind(name).execute(conn)?;
    if raised == 1 { Ok(()) } else { Err(Error::Bug(format!("the guard row {name} is missing"))) }
}
