//! Where the changes of the database meet those who watch them.
//!
//! One task of the process reads the changes ([`crate::background`]); every watcher gets what it read, in order, through here. A watcher
//! that falls behind, or that meets a gap, is sent away and begins anew with a snapshot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, broadcast, watch};

use crate::domain::signing::PublicKey;
use crate::store::changes::Subject;

/// How many notes a watcher may be behind.
const BACKLOG: usize = 4096;

/// What watchers are told.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    Change {
        sequence: i64,
        subject: Subject,
        keys: Arc<[PublicKey]>,
    },
    /// Everything that was committed before `read_at` has been told.
    Heartbeat {
        sequence: i64,
        read_at: Instant,
    },
    /// What was told before does not lead on.
    Restart,
}

/// How a watcher begins.
pub(crate) struct Beginning {
    pub(crate) sequence: i64,
    pub(crate) keys: Arc<[PublicKey]>,
    pub(crate) read_at: Instant,
    pub(crate) notes: broadcast::Receiver<Note>,
}

#[derive(Clone)]
struct Known {
    sequence: i64,
    keys: Arc<[PublicKey]>,
    read_at: Instant,
}

/// Tells changes to watchers. Clones share it.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    known: Mutex<Option<Known>>,
    notes: broadcast::Sender<Note>,
    begun: watch::Sender<bool>,
    poked: Notify,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            known: Mutex::new(None),
            notes: broadcast::Sender::new(BACKLOG),
            begun: watch::Sender::new(false),
            poked: Notify::new(),
        }))
    }

    /// Has the changes read at once: this process made one.
    pub(crate) fn poke(&self) {
        self.0.poked.notify_one();
    }

    /// Waits for [`Self::poke`].
    pub(crate) async fn poked(&self) {
        self.0.poked.notified().await;
    }

    /// Returns the number of the last change that was told.
    pub(crate) fn sequence(&self) -> Option<i64> {
        self.lock().as_ref().map(|known| known.sequence)
    }

    /// Begins, or begins anew after a gap.
    pub(crate) fn begin(&self, sequence: i64, keys: Arc<[PublicKey]>, read_at: Instant) {
        let mut known = self.lock();
        let again = known.replace(Known { sequence, keys, read_at }).is_some();
        if again {
            self.tell(Note::Restart);
        }
        drop(known);
        self.0.begun.send_replace(true);
    }

    /// Tells changes that follow the last one.
    pub(crate) fn changed(&self, changes: &[(i64, Subject)], keys: &Arc<[PublicKey]>) {
        let mut known = self.lock();
        let Some(known) = known.as_mut() else { return };
        known.keys = keys.clone();
        for (sequence, subject) in changes {
            known.sequence = *sequence;
            self.tell(Note::Change { sequence: *sequence, subject: *subject, keys: keys.clone() });
        }
    }

    /// Notes that everything committed before `read_at` has been told; says so where `aloud`.
    pub(crate) fn complete(&self, read_at: Instant, aloud: bool) {
        let mut known = self.lock();
        let Some(known) = known.as_mut() else { return };
        known.read_at = read_at;
        if aloud {
            self.tell(Note::Heartbeat { sequence: known.sequence, read_at });
        }
    }

    /// Waits until the changes are known and begins to watch.
    pub(crate) async fn watch(&self) -> Beginning {
        let mut begun = self.0.begun.subscribe();
        loop {
            // The sender lives as long as `self`.
            let _ = begun.wait_for(|begun| *begun).await;
            let known = self.lock();
            if let Some(known) = known.as_ref() {
                // Subscribed under the lock: nothing is told between the snapshot and the first note.
                return Beginning {
                    sequence: known.sequence,
                    keys: known.keys.clone(),
                    read_at: known.read_at,
                    notes: self.0.notes.subscribe(),
                };
            }
        }
    }

    fn tell(&self, note: Note) {
        // An error means that nobody watches.
        let _ = self.0.notes.send(note);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
