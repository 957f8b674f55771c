//! Resolved callers, kept until a change touches them.
//!
//! Looking up takes no lock of ours. Keeping an answer and applying a change are ordered by one lock, so that an answer which auth gave
//! before a change can never be kept after it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffre_types::{Caller, RoleId, SessionId, Timestamp, UserId};
use moka::sync::Cache;

/// How many changes are remembered: an answer older than all of them is not kept.
const REMEMBERED_CHANGES: usize = 4096;

/// A caller as auth resolved it.
pub(crate) struct ResolvedCaller {
    pub(crate) caller: Arc<Caller>,
    /// When the session ends at the latest.
    pub(crate) session_end: Timestamp,
    /// The oldest epoch of a token that this session takes.
    pub(crate) first_epoch: i64,
    /// The newest epoch of a token that this session takes.
    pub(crate) epoch: i64,
}

/// What a change touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    Session(SessionId),
    User(UserId),
    Role(RoleId),
    /// Nothing that is kept here.
    Other,
}

impl Subject {
    fn touches(self, caller: &Caller) -> bool {
        match self {
            Self::Session(session) => caller.session_id == session,
            Self::User(user) => caller.user_id == user,
            Self::Role(role) => caller.roles.contains(&role),
            Self::Other => false,
        }
    }
}

/// A change that does not follow the one before: the stream is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

struct Recent {
    /// Counts snapshots: an answer that was asked for before one is not kept after it.
    snapshot: u64,
    /// Changes up to here are not remembered.
    floor: i64,
    last: i64,
    changes: VecDeque<(i64, Subject)>,
}

/// The callers that are known.
pub(crate) struct CallerCache {
    entries: Cache<SessionId, Arc<ResolvedCaller>>,
    recent: Mutex<Recent>,
}

impl CallerCache {
    pub(crate) fn new(capacity: u64) -> Self {
        let recent = Recent { snapshot: 0, floor: i64::MAX, last: 0, changes: VecDeque::new() };
        Self { entries: Cache::new(capacity), recent: Mutex::new(recent) }
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<Arc<ResolvedCaller>> {
        self.entries.get(&session)
    }

    /// Returns the count of snapshots; a later [`Self::keep`] names it.
    pub(crate) fn snapshot(&self) -> u64 {
        self.lock().snapshot
    }

    /// Returns the number of the last change that was applied.
    pub(crate) fn last_sequence(&self) -> i64 {
        self.lock().last
    }

    /// Keeps an answer that auth gave as of `sequence`, unless something may have changed since.
    pub(crate) fn keep(&self, resolved: Arc<ResolvedCaller>, sequence: i64, snapshot: u64) -> bool {
        let recent = self.lock();
        let void = recent.snapshot != snapshot
            || sequence < recent.floor
            || recent
                .changes
                .iter()
                .rev()
                .take_while(|(number, _)| *number > sequence)
                .any(|(_, s)| s.touches(&resolved.caller));
        if !void {
            self.entries.insert(resolved.caller.session_id, resolved);
        }
        !void
    }

    /// Starts anew: what was kept is void.
    pub(crate) fn reset(&self, sequence: i64) {
        let mut recent = self.lock();
        recent.snapshot += 1;
        recent.floor = sequence;
        recent.last = sequence;
        recent.changes.clear();
        // One by one: `invalidate_all` hides entries by their time of insertion, and nothing may hang on how fine that clock is.
        for (session, _) in &self.entries {
            self.entries.invalidate(&*session);
        }
    }

    /// Applies one change.
    pub(crate) fn apply(&self, sequence: i64, subject: Subject) -> Result<(), OutOfOrder> {
        let mut recent = self.lock();
        if sequence != recent.last + 1 {
            return Err(OutOfOrder);
        }
        recent.last = sequence;
        recent.changes.push_back((sequence, subject));
        if recent.changes.len() > REMEMBERED_CHANGES
            && let Some((dropped, _)) = recent.changes.pop_front()
        {
            recent.floor = dropped;
        }
        match subject {
            Subject::Session(session) => self.entries.invalidate(&session),
            Subject::Other => {}
            Subject::User(_) | Subject::Role(_) => {
                for (session, resolved) in &self.entries {
                    if subject.touches(&resolved.caller) {
                        self.entries.invalidate(&*session);
                    }
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
