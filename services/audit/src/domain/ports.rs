//! What the domain needs from a store.

use async_trait::async_trait;
use coffre_proto::query::v1::{PageInfo, Query};
use coffre_types::{EventId, Timestamp};

use super::entry::Entry;
use super::intake::{Arrival, Disposition, ReportedHead};
use super::visibility::Visibility;

/// Reads the log.
#[async_trait]
pub(crate) trait ReadEntries: Send + Sync {
    /// Returns a page of what is visible.
    async fn list(
        &self,
        query: Query,
        visibility: Visibility,
    ) -> Result<(Vec<Entry>, PageInfo), coffre_db::list::Error>;

    /// Returns an entry; `NotFound` where there is none or it is not visible.
    async fn get(&self, id: EventId, visibility: Visibility) -> Result<Entry, coffre_db::Error>;
}

/// Adds to the log.
#[async_trait]
pub(crate) trait WriteLog: Send + Sync {
    /// Appends what belongs to the log, in one transaction, and says what became of each segment.
    async fn append(
        &self,
        service: String,
        arrivals: Vec<Arrival>,
        now: Timestamp,
    ) -> Result<Vec<Disposition>, coffre_db::Error>;

    /// Keeps how far the streams of a service have come by their writers' word.
    async fn report(&self, service: String, heads: Vec<ReportedHead>, now: Timestamp) -> Result<(), coffre_db::Error>;
}
