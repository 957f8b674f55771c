//! What the dashboard counts. Each count touches what the caller reaches, through an index, however much there is besides.

use coffre_db::{Engine, Sql, dialect};
use coffre_types::TENANT;

use super::Tx;
use super::dialect::in_lockers;
use super::list;
use crate::domain::Asker;
use crate::domain::error::VaultError;
use crate::domain::policy::Fillable;

/// What is counted for one caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counts {
    /// The credentials that it sees.
    pub credentials: i64,
    /// The values that are not stored, and that it could store.
    pub missing_values: i64,
}

/// Counts what a caller sees, and what it could store.
///
/// # Errors
/// `SharesNotAsked`, `LockerUnavailable`, and the store's.
pub fn counts(tx: &mut Tx<'_>, by: Asker<'_>) -> Result<Counts, VaultError> {
    let shares = by.sharing.all()?;
    let credentials = list::count(tx, by.caller, shares)?;
    let missing = missing(dialect::engine(tx.conn), by.caller.user_id.get(), &Fillable::by(by.caller, shares));
    let missing_values = missing.map_or(Ok(0), |sql| dialect::id(tx.conn, sql))?;
    Ok(Counts { credentials, missing_values })
}

/// Attributes of the credentials `c`; to the end of what is bound to the tenant.
const ATTRIBUTES: &str = "\
SELECT count(*) FROM credentials c INNER JOIN attributes a ON a.credential_id = c.id WHERE c.deleted_at IS NULL AND +c.tenant_id = ";

/// Counts both kinds of attribute of what the caller owns, and the user-provided ones of what it consumes and does not own.
fn missing(engine: Engine, user: i64, fillable: &Fillable) -> Option<Sql> {
    let without = " AND NOT EXISTS (SELECT 1 FROM attribute_values v WHERE v.attribute_id = a.id AND v.user_id = ";
    let owned = fillable.owned.map(|owner| {
        let owned = Sql::new(ATTRIBUTES).bind(TENANT.get()).push(" AND c.owner_id = ").bind(owner.get());
        owned.push(without).push("CASE WHEN a.user_provided THEN ").bind(user).push(" ELSE 0 END)")
    });
    let consumed = (!fillable.consumed.is_empty()).then(|| {
        let consumed = Sql::new(ATTRIBUTES).bind(TENANT.get()).push(" AND c.locker_id IS NOT NULL AND c.locker_id");
        let consumed = in_lockers(engine, consumed, &fillable.consumed).push(" AND c.owner_id <> ").bind(user);
        consumed.push(" AND a.user_provided").push(without).bind(user).push(")")
    });
    let mut parts = owned.into_iter().chain(consumed);
    let sum = parts.next().map(|first| Sql::new("SELECT (").join(first).push(")"))?;
    Some(parts.fold(sum, |sum, part| sum.push(" + (").join(part).push(")")).push(" AS id"))
}
