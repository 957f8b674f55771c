//! The outbox of a service: durable before the answer, on its way afterwards.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coffre_db::{Database, Error, Journal, JournalEntry};
use coffre_error::{Reason, Refusal, reason_name};
use coffre_proto::audit::v1::{ActivityType, Outcome, Source};
use coffre_secret::SecretBytes;
use coffre_types::{Clock, Timestamp};
use tokio::sync::{Notify, watch};

use crate::anonymous::{Aggregate, Quota, Verdict};
use crate::chain::StreamKey;
use crate::outage::Outage;
use crate::record::{CallRecord, Origin, Site};
use crate::stream::{StreamJournal, Streams};

/// How many calls without a known caller an address may have recorded one by one in a minute.
const ANONYMOUS_PER_MINUTE: u32 = 60;

/// The outbox of a service. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

/// What the outbox, its journals and its relay share.
pub(crate) struct Shared {
    pub(crate) service: &'static str,
    pub(crate) site: Arc<Site>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: StreamKey,
    pub(crate) streams: Streams,
    pub(crate) quota: Quota,
    pub(crate) database: OnceLock<Database>,
    /// Something was committed.
    pub(crate) committed: Notify,
    /// Somebody waits for what was committed to arrive.
    pub(crate) urgent: Notify,
    /// Changes whenever the audit service acknowledged something.
    pub(crate) arrived: watch::Sender<u64>,
    pub(crate) lag: Lag,
    /// Calls that could not be recorded.
    pub(crate) outage: Outage,
}

/// How far the audit service is behind, and what the relay did: for metrics and health.
#[derive(Debug, Default)]
pub struct Lag {
    pub(crate) rows: AtomicI64,
    pub(crate) oldest_micros: AtomicI64,
    pub(crate) failing: AtomicI64,
    pub(crate) segments: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) counted: AtomicU64,
}

impl Shared {
    /// The audit service took what it was sent.
    pub(crate) fn works_again(&self) {
        if self.lag.failing.swap(0, Ordering::Relaxed) > 0 {
            tracing::info!(service = self.service, rows = self.lag.rows(), "the audit service takes events again");
        }
    }
}

impl Lag {
    /// Rows (commits) that wait, at most; as of the last second.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Age of the oldest row that waits; as of the last second.
    #[must_use]
    pub fn oldest(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.oldest_micros.load(Ordering::Relaxed)).unwrap_or(0))
    }

    /// The audit service does not take events at the moment.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) > 0
    }

    /// Segments that arrived, since the start.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// Events that arrived, since the start.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Segments that were set aside as forged, since the start.
    #[must_use]
    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Calls of unknown callers that were counted instead of recorded, since the start.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }
}

impl Outbox {
    /// Makes the outbox of a service. It stores nothing until [`Self::attach`].
    #[must_use]
    pub fn new(site: Arc<Site>, key: &SecretBytes) -> Self {
        Self::with_anonymous_quota(site, key, ANONYMOUS_PER_MINUTE)
    }

    /// As [`Self::new`], with another number of calls that an address may have recorded one by one in a minute before a caller is known.
    #[must_use]
    pub fn with_anonymous_quota(site: Arc<Site>, key: &SecretBytes, per_minute: u32) -> Self {
        let shared = Shared {
            service: site.service,
            clock: site.clock.clone(),
            site,
            key: StreamKey::new(key),
            streams: Streams::default(),
            quota: Quota::new(per_minute),
            database: OnceLock::new(),
            committed: Notify::new(),
            urgent: Notify::new(),
            arrived: watch::Sender::new(0),
            lag: Lag::default(),
            outage: Outage::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Makes a journal, one for each thread that commits: `Database::open(options, || outbox.journal())`.
    #[must_use]
    pub fn journal(&self) -> Box<dyn Journal> {
        Box::new(StreamJournal::new(self.shared.clone()))
    }

    /// Says in which database it is: the one that was opened with its journals. Only the first call counts.
    pub fn attach(&self, database: Database) {
        if self.shared.database.set(database).is_err() {
            tracing::error!(service = self.shared.service, "the outbox has a database already");
        }
    }

    /// Returns where calls are answered, for new records.
    #[must_use]
    pub fn site(&self) -> Arc<Site> {
        self.shared.site.clone()
    }

    /// Returns the key, for hashes of unknown names.
    #[must_use]
    pub fn key(&self) -> &StreamKey {
        &self.shared.key
    }

    /// Returns how far the audit service is behind.
    #[must_use]
    pub fn lag(&self) -> &Lag {
        &self.shared.lag
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Commits the event of a call, in a commit that is shared with every other call in flight. Afterwards the answer may leave.
    ///
    /// A call whose caller is not known is only counted once its address has used up its quota: nothing is stored then.
    /// A record that is committed already is left alone.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`, which takes the place of the answer: that must not leave then.
    pub async fn append(&self, record: &CallRecord, outcome: Outcome, reason: Option<Reason>) -> Result<(), Refusal> {
        if record.is_recorded() {
            return Ok(());
        }
        let now = record.now();
        if !record.has_caller() && record.origin().source != Source::System {
            let word = reason.map_or("", reason_name);
            if self.shared.quota.take(record.origin().client_address, word, now) == Verdict::Counted {
                self.shared.lag.counted.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        if cfg!(feature = "null-sink") {
            record.mark_recorded();
            return Ok(());
        }
        let refused = outcome != Outcome::Successful;
        let (id, entry) = match refused && record.attempted_a_write() {
            true => record.entry_beside_a_write(reason, now),
            false => (record.id(), record.entry(outcome, reason, now)),
        };
        self.store(vec![entry], record).await?;
        record.mark_recorded_as(id);
        Ok(())
    }

    /// Commits calls that somebody else refused, with the time of each, in one commit: all of them or none. What is beyond the quota of
    /// its address is counted; a record of several calls has no quota.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`.
    pub async fn append_refused(&self, calls: &[(CallRecord, Timestamp, Option<Reason>)]) -> Result<(), Refusal> {
        let now = self.shared.clock.now();
        let recorded = |(record, _, reason): &&(CallRecord, Timestamp, Option<Reason>)| {
            let word = reason.map_or("", reason_name);
            let verdict = match record.is_count() {
                true => Verdict::Record,
                false => self.shared.quota.take(record.origin().client_address, word, now),
            };
            if verdict == Verdict::Counted {
                self.shared.lag.counted.fetch_add(1, Ordering::Relaxed);
            }
            verdict == Verdict::Record
        };
        let recorded: Vec<_> = calls.iter().filter(recorded).collect();
        let Some((first, ..)) = recorded.first() else { return Ok(()) };
        let entries =
            recorded.iter().map(|(record, time, reason)| record.entry(Outcome::Unsuccessful, *reason, *time)).collect();
        self.store(entries, first).await?;
        recorded.iter().for_each(|(record, ..)| record.mark_recorded());
        Ok(())
    }

    /// Commits the events of calls; `record` is that of one of them.
    async fn store(&self, entries: Vec<JournalEntry>, record: &CallRecord) -> Result<(), Refusal> {
        let (service, outage) = (self.shared.service, &self.shared.outage);
        let stored = match self.database() {
            Ok(database) => database.append(entries).await,
            Err(error) => Err(error),
        };
        let Err(error) = stored else {
            if let Some(calls) = outage.ended() {
                tracing::info!(service, calls, "calls are recorded again");
            }
            return Ok(());
        };
        let refusal = unavailable(service, &error);
        if let Some(calls) = outage.failed(self.shared.clock.monotonic()) {
            let (request_id, why) = (&record.origin().request_id, refusal.message());
            tracing::error!(service, calls, %request_id, ?error, why, "calls cannot be recorded; their answers are withheld");
        }
        Err(refusal)
    }

    /// Waits until the audit service has everything that this process committed before, or until the time is over. Says whether it has.
    pub async fn settle(&self, at_most: Duration) -> bool {
        let wanted: Vec<_> = self.shared.streams.all().into_iter().filter(|stream| !stream.is_settled()).collect();
        if wanted.is_empty() {
            return true;
        }
        let mut arrived = self.shared.arrived.subscribe();
        let settled = || {
            let now = self.shared.streams.all();
            wanted.iter().all(|wanted| {
                now.iter()
                    .find(|stream| stream.stream_id == wanted.stream_id)
                    .is_none_or(|stream| stream.acknowledged >= wanted.committed.last_sequence)
            })
        };
        let waiting = async {
            while !settled() {
                self.shared.urgent.notify_one();
                if arrived.changed().await.is_err() {
                    return;
                }
            }
        };
        // A timeout is an answer: the caller asks `settled` itself.
        let _ = tokio::time::timeout(at_most, waiting).await;
        settled()
    }

    /// Stores what was only counted so far and waits until the audit service has everything: for the end of the process.
    pub async fn flush(&self, at_most: Duration) -> bool {
        self.store_counted(true).await;
        self.settle(at_most).await
    }

    /// Stores the counts of minutes that are over. What cannot be stored is logged and gone: counts may end first.
    pub(crate) async fn store_counted(&self, everything: bool) {
        let counted = self.shared.quota.drain(self.shared.clock.now(), everything);
        if counted.is_empty() {
            return;
        }
        let entries = counted.iter().map(|aggregate| self.aggregate_entry(aggregate)).collect();
        let stored = match self.database() {
            Ok(database) => database.append(entries).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            let calls: i64 = counted.iter().map(Aggregate::occurrences).sum();
            tracing::error!(service = self.shared.service, calls, %error, "counted calls of unknown callers could not be recorded");
        }
    }

    fn aggregate_entry(&self, aggregate: &Aggregate) -> JournalEntry {
        let origin = Origin {
            site: self.shared.site.clone(),
            method: "",
            request_id: Arc::from(""),
            trace_id: None,
            client_address: aggregate.address,
            source: Source::System,
        };
        let record = CallRecord::new(origin, "call.unknown_caller.counted", ActivityType::AuditUnsetActivityType);
        record.detail("minute", aggregate.minute.to_rfc3339_millis());
        for (reason, count) in &aggregate.reasons {
            record.detail(if reason.is_empty() { "SUCCESSFUL" } else { reason }, count.to_string());
        }
        record.occurrences(aggregate.occurrences());
        record.entry(Outcome::Unsuccessful, None, self.shared.clock.now())
    }

    pub(crate) fn database(&self) -> Result<&Database, Error> {
        self.shared.database.get().ok_or_else(|| Error::Bug("the outbox has no database yet".to_owned()))
    }
}

/// Refuses a call that could not be recorded: what a caller does about it, and what whoever runs the server does.
fn unavailable(service: &str, error: &Error) -> Refusal {
    let why = match error {
        Error::Full => format!(
            "the disk of the database of {service} is full, so the call cannot be recorded; whoever runs this server must make room on it: \
             repeat the call then"
        ),
        Error::Unavailable | Error::Retryable => format!(
            "the database of {service} does not answer, so the call cannot be recorded; repeat it a little later, and where that does not \
             help, whoever runs this server must look at its database"
        ),
        Error::NotFound | Error::Unique(_) | Error::ForeignKey(_) | Error::Bug(_) => format!(
            "the database of {service} does not take the record of the call; whoever runs this server finds the cause in its log"
        ),
    };
    Refusal::new(Reason::AuditUnavailable, why).retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_database_and_what_it_lacks() {
        for (error, part) in [
            (Error::Full, "disk of the database of vault is full"),
            (Error::Unavailable, "database of vault does not answer"),
            (Error::Bug("SELECT secret".into()), "database of vault does not take"),
        ] {
            let refusal = unavailable("vault", &error);
            assert_eq!(refusal.reason(), Reason::AuditUnavailable);
            assert!(
                refusal.message().contains(part) && refusal.message().contains("whoever runs this server"),
                "{refusal}"
            );
            assert!(!refusal.message().contains("SELECT"), "{refusal}");
        }
    }
}
