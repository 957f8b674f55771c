//! What the domain needs from a store.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use coffre_audit_client::CallRecord;
use coffre_audit_client::chain::StreamId;
use coffre_audit_proof::checkpoint::LogId;
use coffre_audit_proof::tree::Hash;
use coffre_db::list::Filtered;
use coffre_proto::query::v1::{Filter, PageInfo, Query};
use coffre_types::{EventId, Timestamp};

use super::check::{Outdated, Seen};
use super::checkpoint::{Checkpoint, Known, Signer};
use super::cut::{Beginning, Covering, Cut, StoredCut};
use super::entry::Entry;
use super::incident::{Incident, Kind};
use super::intake::{Arrival, Disposition, ReportedHead};
use super::stretch::{Ends, Stretch};
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

/// Reads the log in its own order.
#[async_trait]
pub(crate) trait ReadStretches: Send + Sync {
    /// Checks a filter.
    fn filtered(&self, filter: Option<&Filter>) -> Result<Filtered, coffre_db::list::Error>;

    /// Returns where the log begins and ends.
    async fn ends(&self) -> Result<Ends, coffre_db::Error>;

    /// Reads on from a position: at least one entry further and not beyond the end that is given, and bounded in work and in size.
    async fn stretch(
        &self,
        from: i64,
        to: i64,
        filter: Filtered,
        visibility: Visibility,
    ) -> Result<Stretch, coffre_db::Error>;
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

/// How the log stands to what was signed of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comparison {
    /// It continues what was signed.
    Same,
    /// It is another one, or lies behind: from the first to the last of these entries.
    RolledBack { first: i64, last: i64 },
    /// A hash of the tree is missing or does not fit the others: above these entries.
    Changed { first: i64, last: i64 },
}

/// Why a run of leaves has no hash.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Unprovable {
    /// Its entries were cut off.
    #[error("entries below {first_kept} were cut off")]
    Cut { first_kept: i64 },
    /// What it is computed from is missing, though it was never cut off.
    #[error("the hashes of the entries {first} to {last} are missing")]
    Missing { first: i64, last: i64 },
    /// The database.
    #[error(transparent)]
    Store(#[from] coffre_db::Error),
}

/// An entry in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Located {
    pub(crate) log_index: i64,
    pub(crate) canonical: Vec<u8>,
}

/// Reads the tree.
#[async_trait]
pub(crate) trait ReadTree: Send + Sync {
    /// Returns an entry in its canonical form; `NotFound` where there is none or it is not visible.
    async fn locate(&self, id: EventId, visibility: Visibility) -> Result<Located, coffre_db::Error>;

    /// Returns the hashes of runs of leaves, as proofs consist of them.
    async fn runs(&self, runs: Vec<Range<u64>>) -> Result<Vec<Hash>, Unprovable>;

    /// Looks at 256 entries and at the nodes that they complete; `None` beyond the end of the log.
    async fn check(&self, block: u64) -> Result<Option<Seen>, coffre_db::Error>;

    /// Brings what is searched in into our words.
    async fn say_anew(&self, outdated: Vec<Outdated>) -> Result<(), coffre_db::Error>;
}

/// Keeps checkpoints.
#[async_trait]
pub(crate) trait KeepCheckpoints: Send + Sync {
    /// Returns the log's name; a log without one takes this.
    async fn log_id(&self, fresh: LogId) -> Result<LogId, coffre_db::Error>;

    /// Says whether signatures of the log are checked with this key; a log that was never signed takes it.
    async fn knows_verifier(&self, key: String) -> Result<bool, coffre_db::Error>;

    /// Brings the tree nearer to the end of the log, where an older binary wrote; says whether there is more to do.
    async fn grow(&self) -> Result<bool, coffre_db::Error>;

    /// Compares the log with what was signed of it, the newest first.
    async fn compare(&self, known: Vec<Known>) -> Result<Comparison, coffre_db::Error>;

    /// Returns where the database says that the log begins, and what vouches for it.
    async fn stored_cut(&self) -> Result<StoredCut, coffre_db::Error>;

    /// Says whether an entry is in the log.
    async fn is_in_log(&self, id: EventId) -> Result<bool, coffre_db::Error>;

    /// Signs the log as it is, or returns the latest checkpoint where nothing came since; `Retryable` where it begins elsewhere by now.
    async fn sign(
        &self,
        signer: Arc<Signer>,
        beginning: Beginning,
        now: Timestamp,
    ) -> Result<Checkpoint, coffre_db::Error>;

    /// Keeps when a witness had the checkpoint of a size, and which one; `by` is empty for the lines of the log.
    async fn witnessed(&self, size: i64, by: String, at: Timestamp) -> Result<(), coffre_db::Error>;

    /// Returns the largest size that this witness had by what the database knows; 0 where it knows of none.
    async fn witnessed_by(&self, by: String) -> Result<i64, coffre_db::Error>;

    /// Returns the latest checkpoint.
    async fn latest(&self) -> Result<Option<Checkpoint>, coffre_db::Error>;

    /// Returns the checkpoint of a size.
    async fn at(&self, size: i64) -> Result<Option<Checkpoint>, coffre_db::Error>;

    /// Returns the size of the first checkpoint of that size or a larger one, and the checkpoint where its row can be read.
    async fn from(&self, size: i64) -> Result<Option<(i64, Option<Checkpoint>)>, coffre_db::Error>;

    /// Says whether the log had this root at this size; `None` where nobody can tell, because of a cut or of entries that are missing.
    async fn had(&self, known: Known) -> Result<Option<bool>, coffre_db::Error>;

    /// Returns the largest size that a witness had.
    async fn witnessed_size(&self) -> Result<i64, coffre_db::Error>;
}

/// Keeps what was found wrong.
#[async_trait]
pub(crate) trait KeepIncidents: Send + Sync {
    /// Records, once each, what is wrong with entries of the log, from the first to the last of each place. What is news is an entry of the
    /// log as well.
    async fn record(&self, kind: Kind, places: Vec<(i64, i64)>, now: Timestamp) -> Result<(), coffre_db::Error>;

    /// Returns the newest, and how many there are in all.
    async fn incidents(&self, limit: i64) -> Result<(Vec<Incident>, i64), coffre_db::Error>;
}

/// Cuts off the beginning of the log.
#[async_trait]
pub(crate) trait CutLog: Send + Sync {
    /// Returns where the log begins, and what by its row is the last checkpoint of before that moment.
    async fn covering(&self, before: Timestamp) -> Result<Covering, coffre_db::Error>;

    /// Decides it: one transaction with the event of the call, which the signed note names. What is below the cut already stays so.
    async fn cut(
        &self,
        record: &Arc<CallRecord>,
        first_kept: i64,
        signer: Arc<Signer>,
    ) -> Result<Cut, coffre_db::Error>;

    /// Removes some of the entries below a position that were cut off; says whether there are more.
    async fn sweep(&self, below: i64) -> Result<bool, coffre_db::Error>;
}

/// A stream whose writer says that it is further than the log has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lagging {
    pub(crate) service: String,
    pub(crate) stream_id: StreamId,
    pub(crate) next_sequence: i64,
    pub(crate) reported_sequence: i64,
}

/// A stream without its close, of which nothing was heard for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Silent {
    pub(crate) service: String,
    pub(crate) stream_id: StreamId,
    pub(crate) next_sequence: i64,
}

/// Watches over streams.
#[async_trait]
pub(crate) trait WatchStreams: Send + Sync {
    /// Returns the streams that lag behind the word of their writers.
    async fn lagging(&self) -> Result<Vec<Lagging>, coffre_db::Error>;

    /// Records that the end of a stream never came.
    async fn lost(&self, stream: Lagging, now: Timestamp) -> Result<(), coffre_db::Error>;

    /// Returns some streams that were not closed and of which nothing was heard since, though their services were heard of.
    async fn silent(&self, since: Timestamp) -> Result<Vec<Silent>, coffre_db::Error>;

    /// Puts on record, once, where streams ended that nobody closed. Returns those of which it is news.
    async fn ended(&self, streams: Vec<Silent>) -> Result<Vec<Silent>, coffre_db::Error>;
}

/// Has checkpoints where nobody who can write to the database can change them.
#[async_trait]
pub(crate) trait Witness: Send + Sync {
    /// Returns the last notes that it has, the oldest of them first.
    async fn notes(&self) -> std::io::Result<Vec<String>>;

    /// Takes a note; it is on stable storage afterwards.
    async fn take(&self, note: String) -> std::io::Result<()>;

    /// Names it, for the log.
    fn name(&self) -> String;
}
