//! Where the changes of the database meet those who watch them.
//!
//! One task of the process reads the changes ([`super::tell`]); every watcher gets what it read, in order, through here. A watcher that
//! falls behind, or that meets a gap, is sent away and begins anew with a snapshot.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use coffre_types::Clock;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::{Notify, broadcast, watch};
use tonic::Status;

/// How many notes a watcher may be behind.
const BACKLOG: usize = 4096;

/// The stream that a handler answers with.
pub type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// What watchers are told within the process.
#[derive(Clone, Debug)]
pub enum Note<S, T> {
    /// Something changed.
    Change {
        /// The change's number.
        sequence: i64,
        /// What changed.
        subject: S,
        /// What goes with it.
        state: T,
    },
    /// Everything that was committed before `read_at` has been told.
    Heartbeat {
        /// The number of the last change.
        sequence: i64,
        /// When the database was read.
        read_at: Instant,
    },
    /// What was told before does not lead on.
    Restart,
}

/// How a watcher begins.
pub struct Beginning<S, T> {
    /// The number of the last change.
    pub sequence: i64,
    /// What goes with the snapshot.
    pub state: T,
    /// When the database was read.
    pub read_at: Instant,
    /// What comes next.
    pub notes: broadcast::Receiver<Note<S, T>>,
}

/// One message of a stream, before it is one of a proto.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told<S, T> {
    /// The state from which the changes count on.
    Snapshot {
        /// The number of the last change that it contains.
        sequence: i64,
        /// What goes with it.
        state: T,
    },
    /// A change.
    Change {
        /// Its number.
        sequence: i64,
        /// What changed.
        subject: S,
        /// What goes with it.
        state: T,
    },
    /// Everything that was committed before `age_ms` ago has been told.
    Heartbeat {
        /// The number of the last change.
        sequence: i64,
        /// How long ago the database was read.
        age_ms: i64,
    },
}

#[derive(Clone)]
struct Known<T> {
    sequence: i64,
    state: T,
    read_at: Instant,
}

/// Tells changes to watchers: `S` is what changed, `T` what snapshots and changes carry besides. Clones share it.
pub struct Hub<S, T = ()>(Arc<Inner<S, T>>);

impl<S, T> Clone for Hub<S, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<S, T> {
    known: Mutex<Option<Known<T>>>,
    notes: broadcast::Sender<Note<S, T>>,
    begun: watch::Sender<bool>,
    poked: Notify,
}

impl<S: Clone + Send + 'static, T: Clone + Send + 'static> Default for Hub<S, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + 'static, T: Clone + Send + 'static> Hub<S, T> {
    /// Makes a hub that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            known: Mutex::new(None),
            notes: broadcast::Sender::new(BACKLOG),
            begun: watch::Sender::new(false),
            poked: Notify::new(),
        }))
    }

    /// Has the changes read at once: this process made one.
    pub fn poke(&self) {
        self.0.poked.notify_one();
    }

    /// Sends every watcher away: each begins anew, with whichever replica answers it then. For a process that is about to stop.
    pub fn send_away(&self) {
        let _known = self.lock();
        self.say(Note::Restart);
    }

    /// Answers a watcher: a snapshot, a first heartbeat, then whatever happens. The stream ends where the watcher fell behind or has to
    /// begin anew.
    pub async fn stream<M: Send + 'static>(
        &self,
        clock: Arc<dyn Clock>,
        message: impl Fn(Told<S, T>) -> M + Send + 'static,
    ) -> Messages<M> {
        let Beginning { sequence, state, read_at, notes } = self.watch().await;
        let first = [Told::Snapshot { sequence, state }, heartbeat(sequence, read_at, clock.as_ref())];
        let rest = stream::unfold((notes, clock), |(mut notes, clock)| async move {
            let told = match notes.recv().await {
                Ok(Note::Change { sequence, subject, state }) => Told::Change { sequence, subject, state },
                Ok(Note::Heartbeat { sequence, read_at }) => heartbeat(sequence, read_at, clock.as_ref()),
                Ok(Note::Restart) | Err(_) => return None,
            };
            Some((told, (notes, clock)))
        });
        Box::pin(stream::iter(first).chain(rest).map(move |told| Ok(message(told))))
    }

    /// Waits until the changes are known and begins to watch.
    pub async fn watch(&self) -> Beginning<S, T> {
        let mut begun = self.0.begun.subscribe();
        loop {
            // The sender lives as long as `self`.
            let _ = begun.wait_for(|begun| *begun).await;
            let known = self.lock();
            if let Some(known) = known.as_ref() {
                // Subscribed under the lock: nothing is told between the snapshot and the first note.
                return Beginning {
                    sequence: known.sequence,
                    state: known.state.clone(),
                    read_at: known.read_at,
                    notes: self.0.notes.subscribe(),
                };
            }
        }
    }

    /// Waits for [`Self::poke`].
    pub(super) async fn poked(&self) {
        self.0.poked.notified().await;
    }

    /// Returns the number of the last change that was told.
    pub(super) fn sequence(&self) -> Option<i64> {
        self.lock().as_ref().map(|known| known.sequence)
    }

    /// Begins, or begins anew after a gap.
    pub(super) fn begin(&self, sequence: i64, state: T, read_at: Instant) {
        let mut known = self.lock();
        let again = known.replace(Known { sequence, state, read_at }).is_some();
        if again {
            self.say(Note::Restart);
        }
        drop(known);
        self.0.begun.send_replace(true);
    }

    /// Tells changes that follow the last one.
    pub(super) fn changed(&self, changes: Vec<(i64, S)>, state: &T) {
        let mut known = self.lock();
        let Some(known) = known.as_mut() else { return };
        known.state = state.clone();
        for (sequence, subject) in changes {
            known.sequence = sequence;
            self.say(Note::Change { sequence, subject, state: state.clone() });
        }
    }

    /// Notes that everything committed before `read_at` has been told; says so where `aloud`.
    pub(super) fn complete(&self, read_at: Instant, aloud: bool) {
        let mut known = self.lock();
        let Some(known) = known.as_mut() else { return };
        known.read_at = read_at;
        if aloud {
            self.say(Note::Heartbeat { sequence: known.sequence, read_at });
        }
    }

    fn say(&self, note: Note<S, T>) {
        // An error means that nobody watches.
        let _ = self.0.notes.send(note);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known<T>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn heartbeat<S, T>(sequence: i64, read_at: Instant, clock: &dyn Clock) -> Told<S, T> {
    let age = clock.monotonic().saturating_duration_since(read_at);
    Told::Heartbeat { sequence, age_ms: i64::try_from(age.as_millis()).unwrap_or(i64::MAX) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coffre_types::{FixedClock, Timestamp};

    use super::*;

    type Tested = Hub<&'static str, u8>;

    fn clock() -> Arc<FixedClock> {
        Arc::new(FixedClock::new(Timestamp::from_seconds(1_800_000_000)))
    }

    async fn next(messages: &mut Messages<Told<&'static str, u8>>) -> Option<Told<&'static str, u8>> {
        messages.next().await.map(|told| told.unwrap())
    }

    #[tokio::test]
    async fn a_watcher_gets_a_snapshot_a_heartbeat_and_what_happens_in_order() {
        let (hub, clock) = (Tested::new(), clock());
        hub.begin(5, 1, clock.monotonic());
        clock.advance(Duration::from_millis(30));
        let mut messages = hub.stream(clock.clone(), |told| told).await;
        hub.changed(vec![(6, "a"), (7, "b")], &2);
        hub.complete(clock.monotonic(), false);
        hub.complete(clock.monotonic(), true);
        clock.advance(Duration::from_millis(70));
        let expected = [
            Told::Snapshot { sequence: 5, state: 1 },
            Told::Heartbeat { sequence: 5, age_ms: 30 },
            Told::Change { sequence: 6, subject: "a", state: 2 },
            Told::Change { sequence: 7, subject: "b", state: 2 },
            Told::Heartbeat { sequence: 7, age_ms: 70 },
        ];
        for told in expected {
            assert_eq!(next(&mut messages).await, Some(told));
        }
        let mut late = hub.stream(clock, |told| told).await;
        assert_eq!(next(&mut late).await, Some(Told::Snapshot { sequence: 7, state: 2 }));
    }

    #[tokio::test]
    async fn a_watcher_is_sent_away_where_the_changes_begin_anew() {
        let (hub, clock) = (Tested::new(), clock());
        hub.begin(5, 1, clock.monotonic());
        let mut messages = hub.stream(clock.clone(), |told| told).await;
        next(&mut messages).await.unwrap();
        next(&mut messages).await.unwrap();
        hub.begin(3, 1, clock.monotonic());
        assert_eq!(next(&mut messages).await, None);
    }

    #[tokio::test]
    async fn a_watcher_is_sent_away_where_the_process_is_about_to_stop() {
        let (hub, clock) = (Tested::new(), clock());
        hub.begin(5, 1, clock.monotonic());
        let mut messages = hub.stream(clock.clone(), |told| told).await;
        hub.send_away();
        assert!(next(&mut messages).await.is_some() && next(&mut messages).await.is_some());
        assert_eq!(next(&mut messages).await, None);
        let mut again = hub.stream(clock, |told| told).await;
        assert!(next(&mut again).await.is_some(), "who comes back is served");
    }

    #[tokio::test]
    async fn a_watcher_that_falls_behind_is_sent_away_and_misses_nothing_unseen() {
        let (hub, clock) = (Tested::new(), clock());
        hub.begin(0, 1, clock.monotonic());
        let mut messages = hub.stream(clock.clone(), |told| told).await;
        let many = i64::try_from(BACKLOG).unwrap() + 1;
        hub.changed((1..=many).map(|sequence| (sequence, "x")).collect(), &1);
        next(&mut messages).await.unwrap();
        next(&mut messages).await.unwrap();
        assert_eq!(next(&mut messages).await, None);
    }

    #[tokio::test]
    async fn a_watcher_waits_until_the_changes_are_known() {
        let (hub, clock) = (Tested::new(), clock());
        let waiting = tokio::spawn({
            let hub = hub.clone();
            async move { hub.watch().await.sequence }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        hub.begin(9, 0, clock.monotonic());
        assert_eq!(waiting.await.unwrap(), 9);
    }
}
