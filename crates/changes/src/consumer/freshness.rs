//! How old the knowledge of changes is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coffre_types::Clock;

/// Knowledge that is older is not used: with the second that a right may outlive its end, this leaves time for a heartbeat and a call.
pub const STALE_AFTER: Duration = Duration::from_millis(800);

/// Says whether what is known is young enough to be used. It takes no lock.
pub struct Freshness {
    clock: Arc<dyn Clock>,
    /// The monotonic start, so that moments fit into an atomic number.
    base: Instant,
    /// The latest moment of which everything is known, in nanoseconds since `base`, plus one; 0 where nothing is.
    complete_up_to: AtomicU64,
    /// The same, for those who watch: a stream that begins anew takes nothing back.
    told_up_to: AtomicU64,
    stale_after: Duration,
}

impl Freshness {
    /// Begins without any knowledge.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, stale_after: Duration) -> Self {
        let (complete_up_to, told_up_to) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { base: clock.monotonic(), clock, complete_up_to, told_up_to, stale_after }
    }

    /// Notes that everything up to `age` ago is known.
    pub fn heard(&self, age: Duration) {
        let moment = self.clock.monotonic().checked_sub(age).map_or(0, |moment| self.measure(moment));
        self.complete_up_to.fetch_max(moment, Ordering::AcqRel);
        self.told_up_to.fetch_max(moment, Ordering::Relaxed);
    }

    /// Forgets how much is known: nothing counts until the stream speaks again.
    pub fn unheard(&self) {
        self.complete_up_to.store(0, Ordering::Release);
    }

    /// Says whether what is kept may be used.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let known = self.complete_up_to.load(Ordering::Acquire);
        known != 0 && self.measure(self.clock.monotonic()).saturating_sub(known) <= nanos(self.stale_after)
    }

    /// Says how long ago everything was known, or since when nothing ever was: for those who watch, not to decide by.
    #[must_use]
    pub fn age(&self) -> Duration {
        let known = self.told_up_to.load(Ordering::Relaxed);
        Duration::from_nanos(self.measure(self.clock.monotonic()).saturating_sub(known.max(1)))
    }

    fn measure(&self, moment: Instant) -> u64 {
        // A moment before the start counts as none: nothing was known then.
        moment.checked_duration_since(self.base).map_or(0, |since| nanos(since).saturating_add(1))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use coffre_types::{FixedClock, Timestamp};

    use super::*;

    fn begun() -> (Arc<FixedClock>, Freshness) {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_800_000_000)));
        let freshness = Freshness::new(clock.clone(), STALE_AFTER);
        clock.advance(Duration::from_secs(10));
        (clock, freshness)
    }

    #[test]
    fn rule_1_4_nothing_counts_before_the_first_word() {
        let (_, freshness) = begun();
        assert!(!freshness.is_fresh());
    }

    #[test]
    fn rule_1_4_knowledge_is_stale_after_800_ms() {
        let (clock, freshness) = begun();
        freshness.heard(Duration::ZERO);
        clock.advance(Duration::from_millis(800));
        assert!(freshness.is_fresh());
        clock.advance(Duration::from_millis(1));
        assert!(!freshness.is_fresh());
    }

    #[test]
    fn rule_1_4_a_word_counts_from_what_it_says_not_from_its_arrival() {
        let (clock, freshness) = begun();
        freshness.heard(Duration::from_millis(801));
        assert!(!freshness.is_fresh());
        freshness.heard(Duration::from_millis(700));
        assert!(freshness.is_fresh());
        clock.advance(Duration::from_millis(101));
        assert!(!freshness.is_fresh());
    }

    #[test]
    fn an_older_word_takes_nothing_back() {
        let (clock, freshness) = begun();
        freshness.heard(Duration::ZERO);
        freshness.heard(Duration::from_secs(5));
        clock.advance(Duration::from_millis(800));
        assert!(freshness.is_fresh());
    }

    #[test]
    fn the_age_is_told_from_the_last_word_on_or_from_the_start() {
        let (clock, freshness) = begun();
        assert_eq!(freshness.age(), Duration::from_secs(10), "nothing was ever said");
        freshness.heard(Duration::from_millis(300));
        assert_eq!(freshness.age(), Duration::from_millis(300));
        clock.advance(Duration::from_secs(2));
        freshness.unheard();
        assert_eq!(freshness.age(), Duration::from_millis(2300), "a stream that begins anew takes nothing back");
        freshness.heard(Duration::ZERO);
        assert_eq!(freshness.age(), Duration::ZERO);
    }

    #[test]
    fn what_is_unheard_does_not_count() {
        let (_, freshness) = begun();
        freshness.heard(Duration::ZERO);
        freshness.unheard();
        assert!(!freshness.is_fresh());
    }
}
