//! Refusals for reasons of the database and of lists: they read alike whichever service refuses. No `_` arm: a new reason must choose its
//! words.

use std::time::Duration;

use coffre_db::Error as Store;
use coffre_db::list::Error as List;
use coffre_error::{Reason, Refusal};

const SOON: Duration = Duration::from_secs(1);

/// Refuses a list. `database` names whose database it is, as in "the vault's database".
#[must_use]
pub fn list_refused(error: List, database: &str) -> Refusal {
    let text = error.to_string();
    match error {
        List::FieldUnknown { field, .. } => Refusal::new(Reason::ListFieldUnknown, text).with("field", field),
        List::Invalid { part, message } => Refusal::invalid(part, message),
        List::TooLarge => Refusal::new(Reason::ListTooLarge, text),
        List::TokenInvalid => Refusal::new(Reason::ListTokenInvalid, text),
        List::TooWide { rows, .. } => Refusal::new(Reason::AuditSearchTooWide, text).with("rows", rows.to_string()),
        List::Store(error) => store_refused(error, database),
    }
}

/// Refuses for a reason of the database.
#[must_use]
pub fn store_refused(error: Store, database: &str) -> Refusal {
    match error {
        // A row that another one names came or went meanwhile.
        Store::Retryable | Store::ForeignKey(_) => Refusal::new(
            Reason::StoreConflict,
            "others changed the same thing at the same time: read it again and repeat the call",
        )
        .retry_after(SOON),
        Store::Unavailable => Refusal::new(
            Reason::StoreUnavailable,
            format!(
                "{database} does not answer: repeat the call a little later, and where that does not help, whoever runs this server must look at it"
            ),
        )
        .retry_after(SOON),
        Store::Full => Refusal::new(
            Reason::StoreUnavailable,
            format!(
                "the disk of {database} is full; nothing was done: whoever runs this server must make room on it, repeat the call then"
            ),
        )
        .retry_after(SOON),
        Store::Unique(constraint) => Refusal::internal(&format!("an unforeseen key conflict: {constraint:?}")),
        Store::NotFound => Refusal::internal("a row that must be there is not"),
        Store::Bug(text) => Refusal::internal(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: &str = "the database of tests";

    #[test]
    fn every_reason_has_its_refusal() {
        let field = || List::FieldUnknown { field: "colour".into(), known: vec!["name", "id"] };
        for (refusal, reason) in [
            (list_refused(field(), MINE), Reason::ListFieldUnknown),
            (list_refused(List::Invalid { part: "skip", message: "is negative".into() }, MINE), Reason::RequestInvalid),
            (list_refused(List::TooLarge, MINE), Reason::ListTooLarge),
            (list_refused(List::TokenInvalid, MINE), Reason::ListTokenInvalid),
            (list_refused(List::TooWide { rows: 9, advice: "ask for less" }, MINE), Reason::AuditSearchTooWide),
            (list_refused(List::Store(Store::Full), MINE), Reason::StoreUnavailable),
            (store_refused(Store::Retryable, MINE), Reason::StoreConflict),
            (store_refused(Store::Unavailable, MINE), Reason::StoreUnavailable),
            (store_refused(Store::NotFound, MINE), Reason::Internal),
            (store_refused(Store::Bug("SELECT secret".into()), MINE), Reason::Internal),
        ] {
            assert_eq!(refusal.reason(), reason, "{}", refusal.message());
            assert!(!refusal.message().contains("SELECT"), "{}", refusal.message());
            assert_eq!(refusal.message().contains(MINE), reason == Reason::StoreUnavailable, "{}", refusal.message());
        }
        let unknown = list_refused(field(), MINE);
        assert_eq!(unknown.fact("field"), Some("colour"));
        assert!(unknown.message().contains("name"), "it says which there are: {}", unknown.message());
    }
}
