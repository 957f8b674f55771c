//! A change and its event in one transaction.

use std::sync::Arc;

use coffre_db::{Database, Error, Tx};

use crate::CallRecord;

/// Runs a change and commits its event, as successful, in the same transaction. Every change goes through here.
///
/// The closure may run more than once: it begins with [`CallRecord::clear_changes`] and has no effect outside the transaction.
///
/// # Errors
/// What the closure refuses, and what the database says; `Unavailable` where the call was given up before ([`CallRecord::close`]). Nothing is changed and nothing is recorded then; the layer around the call
/// records the refusal.
pub async fn audited_write<T, E, F>(database: &Database, record: &Arc<CallRecord>, change: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    let writing = record.begin_write().ok_or(Error::Unavailable)?;
    let record = record.clone();
    database
        .write(move |tx| {
            // Dropped with this closure: when the database has finished with it, committed or not, awaited or not.
            let _ = &writing;
            let done = change(tx)?;
            record.entries(record.now()).into_iter().for_each(|entry| tx.journal(entry));
            let record = record.clone();
            tx.after_commit(move || record.mark_recorded());
            Ok(done)
        })
        .await
}
