//! The turn of a transaction that changes users or roles.
//!
//! Two calls of one caller, each allowed by what was true before the other, would together give him what neither may: one gives a permission
//! to a role that he does not hold, the other gives him the role. So such transactions raise one guard row first, come one after the other
//! by it, and read in their turn what the caller holds (`security.md` 3.1, 3.4).

use super::error::CallerFault;
use super::policy::{self, Asking, Giver};
use crate::store::installation::{self, Guard};
use crate::store::users;
use coffre_db::Connection;

/// Waits for the turn and reads what the caller holds in it. It comes first in a transaction: whatever was read before may be old.
pub(crate) fn take<E>(conn: &mut Connection, asking: Asking) -> Result<Giver, E>
where
    E: From<CallerFault> + From<coffre_db::Error>,
{
    wait(conn)?;
    look(conn, asking)
}

/// Waits for the turn, for what was allowed in an earlier one.
pub(crate) fn wait(conn: &mut Connection) -> Result<(), coffre_db::Error> {
    installation::raise(conn, Guard::Administrators)
}

/// Reads what the caller holds, to refuse early what the transaction would refuse.
pub(crate) fn look<E>(conn: &mut Connection, asking: Asking) -> Result<Giver, E>
where
    E: From<CallerFault> + From<coffre_db::Error>,
{
    Ok(policy::giver(users::find(conn, asking.user)?, asking.recent)?)
}
