//! What is known: answers, kept until a change touches them.
//!
//! Looking up takes no lock of ours. Keeping an answer and applying a change are ordered by one lock, so that an answer which was given
//! before a change can never be kept after it.

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffre_types::Clock;
use moka::sync::Cache;
use tokio::sync::watch;

use super::freshness::Freshness;

/// How many changes are remembered: an answer older than all of them is not kept.
const REMEMBERED_CHANGES: usize = 4096;

/// What a change is about.
pub trait Subject: Clone + Send + Sync + 'static {
    /// Under what an answer is kept.
    type Key: Hash + Eq + Clone + Send + Sync + 'static;
    /// The answer.
    type Kept: Clone + Send + Sync + 'static;

    /// Returns what it reaches.
    fn reach(&self) -> Reach<Self::Key>;

    /// Says whether it touches an answer. It must hold for whatever [`Self::reach`] names.
    fn touches(&self, key: &Self::Key, _kept: &Self::Kept) -> bool {
        match self.reach() {
            Reach::Nothing => false,
            Reach::One(one) => one == *key,
            Reach::Many => true,
        }
    }
}

/// What a change reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach<K> {
    /// Nothing that is kept here.
    Nothing,
    /// What is kept under one key.
    One(K),
    /// Any number of answers: those that [`Subject::touches`] names.
    Many,
}

/// A change left out, or something said at the wrong place: what follows cannot be trusted, so the stream has to begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a change was left out, or something unknown was said")]
pub struct Disorder;

/// The moment at which something is asked. An answer to it is not kept once a snapshot has come in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked(u64);

struct Order<S> {
    /// Counts snapshots.
    snapshot: u64,
    /// The snapshot of the stream that is followed now has come.
    begun: bool,
    /// Changes up to here are not remembered.
    floor: i64,
    last: i64,
    changes: VecDeque<(i64, S)>,
}

/// The answers that are kept, and how old the knowledge of changes to them is.
pub struct Known<S: Subject> {
    entries: Cache<S::Key, S::Kept>,
    order: Mutex<Order<S>>,
    freshness: Freshness,
    ready: watch::Sender<bool>,
}

impl<S: Subject> Known<S> {
    /// Begins without any knowledge. At most `capacity` answers are kept, and used until `stale_after` after the moment up to which
    /// everything is known ([`super::STALE_AFTER`]).
    #[must_use]
    pub fn new(capacity: u64, clock: Arc<dyn Clock>, stale_after: Duration) -> Self {
        let order = Order { snapshot: 0, begun: false, floor: i64::MAX, last: 0, changes: VecDeque::new() };
        Self {
            entries: Cache::new(capacity),
            order: Mutex::new(order),
            freshness: Freshness::new(clock, stale_after),
            ready: watch::Sender::new(false),
        }
    }

    /// Says whether what is kept may be used.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.freshness.is_fresh()
    }

    /// Says how long ago everything was known, for those who watch the process.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.freshness.age()
    }

    /// Returns an answer that is kept and may be used.
    #[must_use]
    pub fn fresh(&self, key: &S::Key) -> Option<S::Kept> {
        if self.freshness.is_fresh() { self.entries.get(key) } else { None }
    }

    /// Says whether the first snapshot has come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits for the first snapshot.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so this ends with `true`.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Returns the number of the last change that was applied.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.lock().last
    }

    /// Notes that something is about to be asked; [`Self::keep`] wants it with the answer.
    #[must_use]
    pub fn ask(&self) -> Asked {
        Asked(self.lock().snapshot)
    }

    /// Keeps an answer that was given as of `sequence`, unless something may have changed since. Says whether it is kept.
    pub fn keep(&self, key: S::Key, answer: S::Kept, sequence: i64, asked: Asked) -> bool {
        let order = self.lock();
        let void = order.snapshot != asked.0
            || sequence < order.floor
            || order
                .changes
                .iter()
                .rev()
                .take_while(|(number, _)| *number > sequence)
                .any(|(_, subject)| subject.touches(&key, &answer));
        if !void {
            self.entries.insert(key, answer);
        }
        !void
    }

    /// Notes that a stream was opened: until its snapshot comes, nothing else of it counts.
    pub(super) fn opened(&self) {
        self.lock().begun = false;
    }

    /// Takes the snapshot with which a stream begins: what was kept is void.
    pub fn begin(&self, sequence: i64) {
        let mut order = self.lock();
        // In this order: the old answers go before the stream counts as heard.
        self.freshness.unheard();
        order.snapshot += 1;
        order.begun = true;
        order.floor = sequence;
        order.last = sequence;
        order.changes.clear();
        // One by one: `invalidate_all` hides entries by their time of insertion, and nothing may hang on how fine that clock is.
        for (key, _) in &self.entries {
            self.entries.invalidate(&*key);
        }
        drop(order);
        self.ready.send_replace(true);
    }

    /// Applies a change.
    ///
    /// # Errors
    /// [`Disorder`] where it does not follow the one before; nothing is applied then.
    pub fn apply(&self, sequence: i64, subject: S) -> Result<(), Disorder> {
        let mut order = self.lock();
        if !order.begun || sequence != order.last + 1 {
            return Err(Disorder);
        }
        order.last = sequence;
        match subject.reach() {
            Reach::Nothing => {}
            Reach::One(key) => self.entries.invalidate(&key),
            Reach::Many => {
                for (key, kept) in &self.entries {
                    if subject.touches(&key, &kept) {
                        self.entries.invalidate(&*key);
                    }
                }
            }
        }
        order.changes.push_back((sequence, subject));
        if order.changes.len() > REMEMBERED_CHANGES
            && let Some((dropped, _)) = order.changes.pop_front()
        {
            order.floor = dropped;
        }
        Ok(())
    }

    /// Takes a heartbeat: everything up to `age_ms` ago has been told.
    ///
    /// # Errors
    /// [`Disorder`] where it counts another last change than was applied here; it counts for nothing then.
    pub fn hear(&self, sequence: i64, age_ms: i64) -> Result<(), Disorder> {
        let order = self.lock();
        if !order.begun || sequence != order.last {
            return Err(Disorder);
        }
        self.freshness.heard(Duration::from_millis(u64::try_from(age_ms).map_err(|_| Disorder)?));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Order<S>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use coffre_types::{FixedClock, Timestamp};

    use super::*;
    use crate::consumer::STALE_AFTER;

    /// Answers are kept by user and name the roles that they rest on.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Changed {
        User(i64),
        Role(i64),
        Other,
    }

    impl Subject for Changed {
        type Key = i64;
        type Kept = Vec<i64>;

        fn reach(&self) -> Reach<i64> {
            match self {
                Self::User(user) => Reach::One(*user),
                Self::Role(_) => Reach::Many,
                Self::Other => Reach::Nothing,
            }
        }

        fn touches(&self, key: &i64, kept: &Vec<i64>) -> bool {
            match self {
                Self::User(user) => user == key,
                Self::Role(role) => kept.contains(role),
                Self::Other => false,
            }
        }
    }

    fn known() -> (Arc<FixedClock>, Known<Changed>) {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_800_000_000)));
        let known = Known::new(100, clock.clone(), STALE_AFTER);
        known.opened();
        known.begin(10);
        known.hear(10, 0).unwrap();
        (clock, known)
    }

    #[test]
    fn rule_1_4_an_answer_from_before_a_change_is_not_kept_after_it() {
        let (_, known) = known();
        let asked = known.ask();
        known.apply(11, Changed::User(1)).unwrap();
        assert!(!known.keep(1, vec![], 10, asked), "the change has overtaken the answer");
        assert!(known.keep(2, vec![], 10, asked), "another's is untouched");
        assert!(known.keep(1, vec![], 11, asked), "an answer as of the change is good");
        assert!(known.fresh(&1).is_some() && known.fresh(&2).is_some());
    }

    #[test]
    fn rule_1_4_an_answer_is_touched_by_what_it_rests_on() {
        let (_, known) = known();
        let asked = known.ask();
        known.apply(11, Changed::Role(70)).unwrap();
        assert!(!known.keep(1, vec![70], 10, asked));
        assert!(known.keep(1, vec![71], 10, asked));
        known.apply(12, Changed::Role(71)).unwrap();
        assert_eq!(known.fresh(&1), None);
    }

    #[test]
    fn rule_1_4_a_change_drops_what_it_touches_and_nothing_else() {
        let (_, known) = known();
        for (user, roles) in [(1, vec![70]), (2, vec![71]), (3, vec![70, 71])] {
            assert!(known.keep(user, roles, 10, known.ask()));
        }
        known.apply(11, Changed::Other).unwrap();
        known.apply(12, Changed::Role(71)).unwrap();
        assert_eq!((known.fresh(&1), known.fresh(&2), known.fresh(&3)), (Some(vec![70]), None, None));
        known.apply(13, Changed::User(1)).unwrap();
        assert_eq!(known.fresh(&1), None);
    }

    #[test]
    fn rule_1_4_a_snapshot_voids_what_was_kept_and_what_was_asked_before_it() {
        let (_, known) = known();
        assert!(known.keep(1, vec![], 10, known.ask()));
        let asked = known.ask();
        known.opened();
        known.begin(10);
        assert_eq!(known.fresh(&1), None, "until the new stream is heard");
        known.hear(10, 0).unwrap();
        assert_eq!(known.fresh(&1), None);
        assert!(!known.keep(1, vec![], 10, asked));
        assert!(known.keep(1, vec![], 10, known.ask()));
    }

    #[test]
    fn nothing_is_kept_before_the_first_snapshot() {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1)));
        let known: Known<Changed> = Known::new(100, clock, STALE_AFTER);
        assert!(!known.is_ready() && !known.keep(1, vec![], i64::MAX - 1, known.ask()));
        known.opened();
        known.begin(3);
        assert!(known.is_ready() && !known.is_fresh(), "a snapshot alone says nothing of its age");
    }

    #[test]
    fn an_answer_from_before_the_snapshot_is_not_kept() {
        let (_, known) = known();
        assert!(!known.keep(1, vec![], 9, known.ask()), "nobody knows what changed between 9 and 10");
    }

    #[test]
    fn gaps_and_repetitions_are_disorder() {
        let (_, known) = known();
        assert!(known.keep(1, vec![], 10, known.ask()));
        for sequence in [12, 10, 9, i64::MAX, i64::MIN] {
            assert_eq!(known.apply(sequence, Changed::User(1)), Err(Disorder));
        }
        assert_eq!((known.last(), known.fresh(&1)), (10, Some(vec![])), "nothing was applied");
        assert_eq!(known.hear(11, 0), Err(Disorder), "a change is missing");
        assert_eq!(known.hear(10, -1), Err(Disorder));
        known.apply(11, Changed::User(1)).unwrap();
        assert_eq!(known.hear(10, 0), Err(Disorder));
        known.hear(11, 0).unwrap();
    }

    #[test]
    fn a_stream_counts_from_its_snapshot() {
        let (clock, known) = known();
        known.opened();
        assert_eq!(known.apply(11, Changed::User(1)), Err(Disorder));
        assert_eq!(known.hear(10, 0), Err(Disorder));
        clock.advance(Duration::from_millis(801));
        assert!(!known.is_fresh(), "the new stream has not been heard");
        known.begin(20);
        known.apply(21, Changed::Other).unwrap();
        known.hear(21, 0).unwrap();
        assert!(known.is_fresh());
    }

    #[test]
    fn rule_1_4_what_is_stale_is_not_used_and_not_forgotten() {
        let (clock, known) = known();
        assert!(known.keep(1, vec![], 10, known.ask()));
        clock.advance(Duration::from_millis(801));
        assert_eq!(known.fresh(&1), None);
        known.hear(10, 100).unwrap();
        assert_eq!(known.fresh(&1), Some(vec![]));
    }

    #[test]
    fn an_answer_older_than_every_remembered_change_is_not_kept() {
        let (_, known) = known();
        let asked = known.ask();
        let changes = i64::try_from(REMEMBERED_CHANGES).unwrap();
        for sequence in 11..=10 + changes {
            known.apply(sequence, Changed::Other).unwrap();
        }
        assert!(known.keep(1, vec![], 10, asked), "all that came since are remembered");
        known.apply(11 + changes, Changed::Other).unwrap();
        assert!(!known.keep(2, vec![], 10, asked), "change 11 is not");
        assert!(known.keep(2, vec![], 11, asked));
    }
}
