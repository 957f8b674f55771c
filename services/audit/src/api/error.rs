//! What the caller hears of a failure.

use coffre_db::list;
use coffre_error::{Reason, Refusal};

use crate::domain::keeper::Fault;
use crate::domain::stretch::Misplaced;

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

/// Refuses to begin, or to go on, at a bookmark outside of the log.
pub(super) fn misplaced(misplaced: Misplaced) -> Refusal {
    match misplaced {
        Misplaced::Cut { first_kept } => Refusal::new(
            Reason::AuditCut,
            format!(
                "the entries at this bookmark were cut off; the log begins at {first_kept} now, and so does a stream from 0"
            ),
        )
        .with("firstKept", first_kept.to_string()),
        Misplaced::Beyond { size } => Refusal::invalid(
            "from_index",
            format!(
                "lies beyond the end of the log, which has {size} entries: either this is another log, or it was put back and lost some; find out \
                 which (a witness tells), and begin at {size} at most"
            ),
        )
        .with("size", size.to_string()),
    }
}

/// Refuses for a reason of the store.
pub(super) fn store(error: coffre_db::Error) -> Refusal {
    coffre_rpc::store_refused(error, DATABASE)
}

/// Refuses a checkpoint, a proof or a cut.
pub(super) fn fault(fault: Fault) -> Refusal {
    match fault {
        Fault::Invalid { field, problem } => Refusal::invalid(field, problem),
        Fault::NoEntry => no_entry(),
        Fault::NoCheckpoint => Refusal::new(
            Reason::AuditCheckpointNotFound,
            "no checkpoint of this size; the latest one tells its size, and asking for a new one makes it",
        ),
        Fault::Cut { first_kept } => Refusal::new(
            Reason::AuditCut,
            format!("the entries below {first_kept} were cut off, and with them what this proof is made of"),
        )
        .with("firstKept", first_kept.to_string()),
        Fault::Damaged(problem) => Refusal::new(
            Reason::AuditLogDamaged,
            format!("{problem}; the incidents of the audit log tell more, and somebody has to look at it"),
        ),
        Fault::Witness(problem) => {
            Refusal::new(Reason::StoreUnavailable, format!("{problem}; repeat the call once it can"))
        }
        Fault::Store(error) => store(error),
    }
}

/// Refuses for want of an entry.
pub(super) fn no_entry() -> Refusal {
    entry(coffre_db::Error::NotFound)
}
