//! How fast values are re-encrypted, for whoever waits.
//!
//! What stands in the database knows no replica's work from another's, so whoever asks again gets what went between the two questions, whoever
//! did it. To the first question a process can only answer how fast it works itself.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How far back *lately* goes.
const WINDOW: Duration = Duration::from_secs(10);
/// Less says too little.
const LEAST: Duration = Duration::from_secs(1);
/// Answers that come sooner after one another are not kept: many may ask.
const APART: Duration = Duration::from_millis(150);

/// Counts what was done lately.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// What this process did.
    own: VecDeque<(Instant, i64)>,
    /// How much was left under which term when somebody asked.
    left: VecDeque<(Instant, i64)>,
    term: i64,
}

impl Meter {
    /// Counts what this process did.
    pub(super) fn add(&self, now: Instant, count: usize) {
        if let Ok(mut counts) = self.0.lock() {
            counts.own.push_back((now, i64::try_from(count).unwrap_or(i64::MAX)));
            drop_old(&mut counts.own, now);
        }
    }

    /// Returns how many values a second were re-encrypted lately, where so many are left under a term.
    #[must_use]
    pub fn rate(&self, now: Instant, term: i64, left: i64) -> f64 {
        let Ok(mut counts) = self.0.lock() else { return 0.0 };
        drop_old(&mut counts.own, now);
        drop_old(&mut counts.left, now);
        // Another term, or a restored database: what was counted before says nothing.
        if counts.term != term || counts.left.back().is_some_and(|(_, before)| *before < left) {
            counts.left.clear();
            counts.term = term;
        }
        let first = counts.left.front().copied();
        if counts.left.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= APART) {
            counts.left.push_back((now, left));
        }
        if let Some((at, before)) = first
            && now.saturating_duration_since(at) >= LEAST
        {
            return a_second(before.saturating_sub(left), now.saturating_duration_since(at));
        }
        let since = counts.own.front().map_or(LEAST, |(at, _)| now.saturating_duration_since(*at));
        a_second(counts.own.iter().map(|(_, count)| count).sum(), since.max(LEAST))
    }
}

fn drop_old(counts: &mut VecDeque<(Instant, i64)>, now: Instant) {
    while counts.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
        counts.pop_front();
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn a_second(count: i64, time: Duration) -> f64 {
    count.max(0) as f64 / time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(rate: f64, expected: f64) {
        assert!((rate - expected).abs() < 0.5, "{rate} is not {expected}");
    }

    #[test]
    fn what_others_do_counts_once_somebody_asks_again() {
        let (meter, begin) = (Meter::default(), Instant::now());
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        near(meter.rate(at(0), 2, 1000), 0.0);
        near(meter.rate(at(2), 2, 600), 200.0);
        near(meter.rate(at(4), 2, 400), 150.0);
        // It stands still: lately nothing was done.
        for second in 5..16 {
            let _ = meter.rate(at(second), 2, 400);
        }
        near(meter.rate(at(16), 2, 400), 0.0);
    }

    #[test]
    fn the_first_answer_is_what_this_process_does() {
        let (meter, begin) = (Meter::default(), Instant::now());
        meter.add(begin, 200);
        meter.add(begin + Duration::from_secs(1), 200);
        near(meter.rate(begin + Duration::from_secs(2), 2, 1000), 200.0);
        near(meter.rate(begin + Duration::from_secs(60), 2, 1000), 0.0);
    }

    #[test]
    fn a_new_term_begins_anew() {
        let (meter, begin) = (Meter::default(), Instant::now());
        let _ = meter.rate(begin, 2, 1000);
        near(meter.rate(begin + Duration::from_secs(5), 3, 2000), 0.0);
        near(meter.rate(begin + Duration::from_secs(7), 3, 1000), 500.0);
        near(meter.rate(begin + Duration::from_secs(8), 3, 1500), 0.0);
    }
}
