//! What the caller hears of a failure.

use coffre_db::list;
use coffre_error::{Reason, Refusal};

const DATABASE: &str = "the audit's database";

/// Refuses a list.
pub(super) fn listing(error: list::Error) -> Refusal {
    coffre_rpc::list_refused(error, DATABASE)
}

/// Refuses an entry.
pub(super) fn entry(error: coffre_db::Error) -> Refusal {
    match error {
        coffre_db::Error::NotFound => {
            Refusal::new(Reason::AuditEntryNotFound, "no audit entry with this id, or it is not one of your own calls")
        }
        other => store(other),
    }
}

/// Refuses for a reason of the store.
pub(super) fn store(error: coffre_db::Error) -> Refusal {
    coffre_rpc::store_refused(error, DATABASE)
}
