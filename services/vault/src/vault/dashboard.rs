//! The use case of the dashboard: the caller's own view.

use coffre_proto::audit::v1::Entry;

use super::{Call, Result, Vault};
use crate::store::dashboard::{self, Counts};

/// How many entries of the audit it shows.
const ENTRIES: i32 = 10;

/// What a caller sees at a glance.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// Credentials that it sees, and values that it could store.
    pub counts: Counts,
    /// Lockers that it sees.
    pub lockers: i64,
    /// The vault is open.
    pub open: bool,
    /// The last entries of the audit about its calls, the newest first.
    pub entries: Vec<Entry>,
}

impl Vault {
    /// Sums up what is the caller's. Vault, locker and audit are asked at once; a part that is not known is not left out.
    ///
    /// # Errors
    /// `LockerUnavailable`, `AuditUnavailable`, and the store's.
    pub async fn dashboard(&self, call: Call) -> Result<Dashboard> {
        let (caller, record) = (call.caller.clone(), call.record.clone());
        let counts = async {
            let sharing = self.shares.resolve(&caller).await;
            self.store.read(move |tx| dashboard::counts(tx, call.asking(&sharing))).await
        };
        let (counts, lockers, entries, open) = tokio::join!(
            counts,
            self.lockers.count(&caller),
            self.audit.own_entries(caller.user_id, ENTRIES),
            self.is_open()
        );
        let found = Dashboard { counts: counts?, lockers: lockers?, open: open?, entries: entries? };
        record.detail("credentials", found.counts.credentials.to_string());
        record.detail("lockers", found.lockers.to_string());
        record.detail("missingValues", found.counts.missing_values.to_string());
        Ok(found)
    }
}
