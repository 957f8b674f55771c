//! Numbers that tell how busy the database is. Whoever exports metrics reads them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long a disk that was full counts as full, where nothing was committed since. Whoever calls then finds out anew: nothing has to be
/// written in order to see that there is room again.
const FULL_FOR: Duration = Duration::from_secs(10);

/// The numbers of one queue and the threads behind it. All but `queued` and `connected` only grow.
#[derive(Debug, Default)]
pub struct LaneStats {
    pub(crate) queued: AtomicU64,
    pub(crate) taken: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) waited_micros: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) commit_micros: AtomicU64,
    pub(crate) slowest_commit_micros: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) failed_batches: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) connected: AtomicU64,
    /// When a statement last found no room on the disk, unless something was committed since.
    full: Mutex<Option<Instant>>,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> u64 {
            self.$name.load(Ordering::Relaxed)
        })*
    };
}

impl LaneStats {
    getters! {
        /// Calls that wait now.
        queued;
        /// Calls that a thread took.
        taken;
        /// Calls refused because the queue was full or no connection stood.
        refused;
        /// Time that calls waited for a thread altogether, in microseconds.
        waited_micros;
        /// Groups of calls that shared a transaction.
        batches;
        /// Commits.
        commits;
        /// Time spent in COMMIT altogether, in microseconds.
        commit_micros;
        /// The slowest COMMIT, in microseconds.
        slowest_commit_micros;
        /// Transactions repeated because they lost a race.
        retries;
        /// Batches that were lost and rerun one by one.
        failed_batches;
        /// Closures that panicked.
        panics;
        /// Connections opened again.
        reconnects;
        /// Connections that stand now.
        connected;
    }

    pub(crate) fn add(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }

    pub(crate) fn waited(&self, long: Duration) {
        self.waited_micros.fetch_add(u64::try_from(long.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commit_micros.fetch_add(micros, Ordering::Relaxed);
        self.slowest_commit_micros.fetch_max(micros, Ordering::Relaxed);
        self.note_room(true);
    }

    /// Notes whether there was room on the disk.
    pub(crate) fn note_room(&self, room: bool) {
        let full = (!room).then(Instant::now);
        *self.full.lock().unwrap_or_else(PoisonError::into_inner) = full;
    }

    /// Says whether the disk was full a moment ago.
    pub(crate) fn is_full(&self) -> bool {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|full| full.elapsed() < FULL_FOR)
    }
}

/// The numbers of a database.
#[derive(Debug)]
pub struct Stats {
    pub(crate) read: std::sync::Arc<LaneStats>,
    pub(crate) write: std::sync::Arc<LaneStats>,
    pub(crate) append: std::sync::Arc<LaneStats>,
}

impl Stats {
    /// Reads.
    #[must_use]
    pub fn read(&self) -> &LaneStats {
        &self.read
    }

    /// Changes.
    #[must_use]
    pub fn write(&self) -> &LaneStats {
        &self.write
    }

    /// Appends; the same as [`Self::write`] on SQLite, where they share the writer.
    #[must_use]
    pub fn append(&self) -> &LaneStats {
        &self.append
    }
}
