//! Letting go of users who are deleted.
//!
//! A user is released in one transaction that finds no credential of its own and notes that it departed. Whatever could make it an owner
//! reads that note in its own transaction. Serializable transactions let one of the two win: no owner is ever a missing user.

use coffre_audit_client::CallRecord;
use coffre_types::{CredentialId, Name, Timestamp, UserId};

use super::error::VaultError;
use super::ports::Write;

/// How many credentials an answer names.
const NAMED: usize = 100;

/// What a user still owns.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// The first of them.
    pub credentials: Vec<(CredentialId, Name)>,
    /// How many there are.
    pub total: i64,
}

/// Releases a user who owns nothing: its own values go, and it can own nothing any more. It may be repeated.
///
/// # Errors
/// `StillHolds`, with what it owns; nothing changes then.
pub fn release<T: Write>(tx: &mut T, user: UserId, now: Timestamp, record: &CallRecord) -> Result<(), VaultError> {
    record.clear_changes();
    record.object("user", user, "");
    let total = tx.count_owned_by(user)?;
    if total > 0 {
        let owned = tx.owned_by(user, NAMED)?;
        let credentials = owned.into_iter().map(|credential| (credential.id, credential.name)).collect();
        return Err(VaultError::StillHolds(Holdings { credentials, total }));
    }
    let gone = tx.release_user(user, now)?;
    record.detail("values", gone.len().to_string());
    for id in gone {
        record.detail("valueDeleted", id.to_string());
    }
    Ok(())
}
