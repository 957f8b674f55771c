//! What fails call by call, as the log tells of it: once when it begins, counted every minute while it lasts, and once when it is over.
//! However many call meanwhile, the log of a database that is gone is as long as the time that takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two lines of one service.
const EVERY: Duration = Duration::from_secs(60);

/// What is known of calls that failed one after the other.
#[derive(Debug, Default)]
pub struct Outage {
    told: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    untold: u64,
}

impl Outage {
    /// Counts a call that failed. Where it is time for a line, returns how many there were since the last one.
    pub fn failed(&self, now: Instant) -> Option<u64> {
        let mut state = self.state();
        state.untold = state.untold.saturating_add(1);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            return None;
        }
        state.last = Some(now);
        self.told.store(true, Ordering::Relaxed);
        Some(std::mem::take(&mut state.untold))
    }

    /// Notes that a call did not fail. Where a line has told otherwise, returns how many failed since that line.
    pub fn ended(&self) -> Option<u64> {
        // Nearly every call comes here.
        if !self.told.load(Ordering::Relaxed) || !self.told.swap(false, Ordering::Relaxed) {
            return None;
        }
        Some(std::mem::take(&mut self.state().untold))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_when_it_begins_each_minute_and_when_it_is_over() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let at = |seconds| outage.failed(begin + Duration::from_secs(seconds));
        assert_eq!(outage.ended(), None, "nothing was told");
        assert_eq!(at(0), Some(1));
        for second in 1..60 {
            assert_eq!(at(second), None);
        }
        assert_eq!(at(60), Some(60), "counted");
        assert_eq!((at(61), at(62)), (None, None));
        assert_eq!((outage.ended(), outage.ended()), (Some(2), None));
        assert_eq!(at(120), Some(1), "another one");
    }

    #[test]
    fn what_comes_and_goes_tells_no_more_than_two_lines_a_minute() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let mut lines = 0;
        for millis in 0..60_000 {
            lines += u32::from(outage.failed(begin + Duration::from_millis(millis)).is_some());
            lines += u32::from(outage.ended().is_some());
        }
        assert_eq!(lines, 2);
        assert_eq!(outage.failed(begin + EVERY), Some(60_000), "none is forgotten");
    }
}
