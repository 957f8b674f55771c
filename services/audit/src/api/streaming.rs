//! `AuditService.StreamEntries`: what a stream sends.
//!
//! Between two messages a stream holds nothing but its bookmark: no connection, no snapshot. Entries have their positions for good, on every
//! replica, so a bookmark is one everywhere.

use std::sync::Arc;
use std::time::Duration;

use coffre_db::list::Filtered;
use coffre_error::Refusal;
use coffre_proto::audit::v1::{Entry, StreamEntriesResponse};
use futures_util::Stream;
use futures_util::stream::try_unfold;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{convert, error};
use crate::domain::ports::ReadStretches;
use crate::domain::proofs::Prover;
use crate::domain::stretch::Misplaced;
use crate::domain::visibility::Visibility;

/// How often a stream looks for what other replicas appended.
const LOOKS_EVERY: Duration = Duration::from_millis(500);
/// How often a stream that only moves its bookmark says so.
const TELLS_EVERY: Duration = Duration::from_secs(1);
/// How often a stream to which nothing comes gives a sign of life.
const BEATS_EVERY: Duration = Duration::from_secs(5);

/// A stream on its way.
pub(crate) struct Reader {
    pub(crate) log: Arc<dyn ReadStretches>,
    /// Something was appended by this replica.
    pub(crate) appended: Arc<Notify>,
    pub(crate) filter: Filtered,
    pub(crate) visibility: Visibility,
    /// Everything before it was sent or did not match.
    pub(crate) next: i64,
    /// Where it ends; `None`: never.
    pub(crate) until: Option<i64>,
    pub(crate) canonical: bool,
    /// What proves each entry; `None` where nobody asked for it.
    pub(crate) proofs: Option<Proofs>,
}

/// Proves entries against one checkpoint.
pub(crate) struct Proofs {
    pub(crate) prover: Arc<Prover>,
    /// The size of the checkpoint.
    pub(crate) size: i64,
}

impl Proofs {
    async fn add(&self, entries: &mut [Entry]) -> Result<(), Refusal> {
        let positions: Vec<i64> = entries.iter().map(|entry| entry.log_index).collect();
        let paths = self.prover.paths(&positions, self.size).await.map_err(error::fault)?;
        for (entry, path) in entries.iter_mut().zip(paths) {
            entry.proof = convert::hashes(&path);
        }
        Ok(())
    }
}

/// What a stream sent last: when, and its bookmark.
#[derive(Clone, Copy)]
struct Told {
    at: Instant,
    next: i64,
}

impl Reader {
    /// Returns the messages. There is one at least, and the last one has the last bookmark.
    pub(crate) fn messages(self) -> impl Stream<Item = Result<StreamEntriesResponse, Refusal>> + Send {
        try_unfold((self, None), |(mut reader, told)| async move {
            let message = reader.next_message(told).await?;
            Ok(message.map(|message| {
                let told = Told { at: Instant::now(), next: message.next_index };
                (message, (reader, Some(told)))
            }))
        })
    }

    fn message(&self, entries: Vec<Entry>, size: i64) -> StreamEntriesResponse {
        let everything = self.filter.is_everything() && self.visibility.only().is_none();
        StreamEntriesResponse { entries, next_index: self.next, size, everything }
    }

    /// Reads to the next message; `None` at the end.
    async fn next_message(&mut self, told: Option<Told>) -> Result<Option<StreamEntriesResponse>, Refusal> {
        let since = told.map_or_else(Instant::now, |told| told.at);
        loop {
            let appended = self.appended.clone();
            // Before the size is read: what comes in between wakes, too.
            let appended = appended.notified();
            let size = self.log.ends().await.map_err(error::store)?.size;
            if self.next > size {
                // It was put back under the stream.
                return Err(error::misplaced(Misplaced::Beyond { size }));
            }
            let end = self.until.map_or(size, |until| until.min(size));
            if self.next < end {
                let stretch = self.log.stretch(self.next, end, self.filter.clone(), self.visibility).await;
                let stretch = stretch.map_err(error::store)?;
                if self.next < stretch.first_kept {
                    return Err(error::misplaced(Misplaced::Cut { first_kept: stretch.first_kept }));
                }
                self.next = stretch.next_index;
                if !stretch.entries.is_empty() || since.elapsed() >= TELLS_EVERY {
                    let convert = if self.canonical { convert::whole_entry } else { convert::entry };
                    let mut entries: Vec<Entry> = stretch.entries.into_iter().map(convert).collect();
                    if let Some(proofs) = &self.proofs {
                        proofs.add(&mut entries).await?;
                    }
                    return Ok(Some(self.message(entries, size)));
                }
                continue;
            }
            let beat = self.message(Vec::new(), size);
            if self.until.is_some() {
                return Ok(told.is_none_or(|told| told.next != self.next).then_some(beat));
            }
            if told.is_none() || since.elapsed() >= BEATS_EVERY {
                return Ok(Some(beat));
            }
            // That nothing came is no fault: it looks again.
            let _ = tokio::time::timeout(LOOKS_EVERY, appended).await;
        }
    }
}
