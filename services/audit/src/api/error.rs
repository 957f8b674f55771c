//! What the caller hears of a failure.

use coffre_db::list;
use coffre_error::{Reason, Refusal};

/// Refuses a list.
pub(super) fn listing(error: list::Error) -> Refusal {
    let message = error.to_string();
    match error {
        list::Error::FieldUnknown { field, .. } => Refusal::new(Reason::ListFieldUnknown, message).with("field", field),
        list::Error::Invalid { part, message } => Refusal::invalid(part, message),
        list::Error::TooLarge => Refusal::new(Reason::ListTooLarge, message),
        list::Error::TokenInvalid => Refusal::new(Reason::ListTokenInvalid, message),
        list::Error::Store(error) => store(&error),
    }
}

/// Refuses an entry.
pub(super) fn entry(error: &coffre_db::Error) -> Refusal {
    match error {
        coffre_db::Error::NotFound => {
            Refusal::new(Reason::AuditEntryNotFound, "no audit entry with this id, or it is not one of your own calls")
        }
        other => store(other),
    }
}

/// Refuses for a reason of the store.
pub(super) fn store(error: &coffre_db::Error) -> Refusal {
    use std::time::Duration;

    use coffre_db::Error;
    let soon = Duration::from_secs(1);
    match error {
        Error::Retryable => {
            Refusal::new(Reason::StoreConflict, "others wrote at the same time; repeat the call").retry_after(soon)
        }
        Error::Unavailable => {
            Refusal::new(Reason::StoreUnavailable, "the audit's database does not answer; repeat the call later")
                .retry_after(soon)
        }
        Error::Full => {
            Refusal::new(Reason::StoreUnavailable, "the disk of the audit's database is full").retry_after(soon)
        }
        Error::NotFound | Error::Unique(_) | Error::ForeignKey(_) | Error::Bug(_) => {
            Refusal::internal(&format!("{error:?}"))
        }
    }
}
