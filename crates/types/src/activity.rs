//! Whether calls are being answered, for work that can wait or make room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Clock;

/// How long after a call others count as likely.
const LATELY: Duration = Duration::from_millis(100);

/// The calls of signed-in callers that this process answers. Clones share it.
#[derive(Clone)]
pub struct Activity(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    start: Instant,
    /// When the last call came, in microseconds after `start`, plus one; 0 where there was none.
    last: AtomicU64,
}

impl Activity {
    /// Begins without calls.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let start = clock.monotonic();
        Self(Arc::new(Inner { clock, start, last: AtomicU64::new(0) }))
    }

    /// A call came.
    pub fn note(&self) {
        self.0.last.store(self.micros() + 1, Ordering::Relaxed);
    }

    /// Says whether a call came within the last 100 ms.
    #[must_use]
    pub fn is_recent(&self) -> bool {
        let last = self.0.last.load(Ordering::Relaxed);
        last > 0 && Duration::from_micros((self.micros() + 1).saturating_sub(last)) < LATELY
    }

    fn micros(&self) -> u64 {
        let since = self.0.clock.monotonic().saturating_duration_since(self.0.start);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX - 1)
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Activity").field(&self.is_recent()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FixedClock, Timestamp};

    #[test]
    fn a_call_counts_for_a_tenth_of_a_second() {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(0)));
        let activity = Activity::new(clock.clone());
        assert!(!activity.is_recent(), "nobody called");
        activity.note();
        clock.advance(Duration::from_millis(99));
        assert!(activity.clone().is_recent());
        clock.advance(Duration::from_millis(1));
        assert!(!activity.is_recent());
        activity.note();
        assert!(activity.is_recent());
    }
}
