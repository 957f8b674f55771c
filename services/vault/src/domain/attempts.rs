//! How wrong keys slow down the next ones.
//!
//! Each caller has a count for each address from which it comes, in the vault's database, so that replicas share it: nobody's wrong keys hold
//! up another one's right key. A key is counted as wrong before it is tried and the counts of the caller are forgotten when it was right: whoever
//! is stopped in between has spent an attempt. After a few wrong keys each further one waits, longer each time and never longer than
//! [`LONGEST`].
//!
//! What all callers together can try is bounded by the price of a key: a process stretches one after the other. A caller has no more than
//! [`ADDRESSES`] counts and one for all its further addresses, and counts that are forgotten go: that bounds the rows.

use std::time::Duration;

use coffre_types::Timestamp;

/// How many wrong keys there are without a wait.
pub const FREE: i64 = 3;
/// The longest wait.
pub const LONGEST: Duration = Duration::from_secs(60);
/// After how long without a wrong key they are forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// How many addresses of one caller are counted apart.
pub const ADDRESSES: usize = 4;
/// Where all further addresses of a caller are counted, and what has none.
pub const ELSEWHERE: &str = "";

/// Returns where a caller's key is counted that comes from an address, by the addresses that have a count.
#[must_use]
pub fn place<'a>(counted: &[String], address: &'a str) -> &'a str {
    let known = counted.iter().any(|place| place == address);
    let apart = counted.iter().filter(|place| *place != ELSEWHERE).count();
    if known || apart < ADDRESSES { address } else { ELSEWHERE }
}

/// The wrong keys that a caller tried lately from an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attempts {
    /// How many.
    pub failures: i64,
    /// When the last one was tried.
    pub failed_at: Timestamp,
    /// Until when none is tried.
    pub blocked_until: Timestamp,
}

impl Attempts {
    /// Counts a key that is about to be tried.
    ///
    /// # Errors
    /// How long to wait, where none is tried now. Nothing is counted then.
    pub fn begin(self, now: Timestamp) -> Result<Self, Duration> {
        // A clock that was set back leaves a moment that lies further ahead than it can have been put.
        if self.blocked_until > now && self.blocked_until <= now.plus(LONGEST) {
            return Err(self.blocked_until.since(now));
        }
        let forgotten = self.failed_at.plus(FORGOTTEN_AFTER) < now;
        let failures = if forgotten { 1 } else { self.failures.saturating_add(1) };
        Ok(Self { failures, failed_at: now, blocked_until: now.plus(wait(failures)) })
    }
}

fn wait(failures: i64) -> Duration {
    match u32::try_from(failures.saturating_sub(FREE)) {
        Err(_) | Ok(0) => Duration::ZERO,
        Ok(over) => Duration::from_secs(1_u64.checked_shl(over - 1).unwrap_or(u64::MAX)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut now = Timestamp::from_seconds(1_800_000_000);
        let mut attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..100 {
            attempts = match attempts.begin(now) {
                Ok(next) => next,
                Err(wait) => {
                    waits.push(wait.as_secs());
                    now = now.plus(wait);
                    attempts.begin(now).unwrap()
                }
            };
        }
        assert_eq!(waits.get(..8).unwrap(), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits.len(), 100 - 4, "three are free, and the fourth only makes the fifth wait");
        assert!(waits.iter().all(|wait| *wait <= LONGEST.as_secs()));
        let later = attempts.begin(now.plus(FORGOTTEN_AFTER + LONGEST)).unwrap();
        assert_eq!(later.failures, 1);
    }

    #[test]
    fn a_caller_with_many_addresses_has_few_counts() {
        let mut counted = Vec::<String>::new();
        for number in 0..1000 {
            let address = format!("192.0.2.{number}");
            let place = place(&counted, &address);
            if !counted.iter().any(|known| known == place) {
                counted.push(place.to_owned());
            }
        }
        assert_eq!(counted.len(), ADDRESSES + 1);
        assert_eq!(place(&counted, "192.0.2.3"), "192.0.2.3");
        assert_eq!(place(&counted, "192.0.2.4"), ELSEWHERE);
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let ahead =
            Attempts { failures: 50, failed_at: now.plus(LONGEST * 100), blocked_until: now.plus(LONGEST * 100) };
        assert!(ahead.begin(now).is_ok());
    }
}
