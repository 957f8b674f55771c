//! One counter of the throttle: failures, attempts that are open, and what they ask for.

use std::time::Duration;

use coffre_types::Timestamp;

use crate::config::Throttle;

/// One counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) failures: i64,
    pub(crate) pending: i64,
    pub(crate) blocked_until: Timestamp,
    /// When an attempt last began or was settled.
    pub(crate) touched_at: Timestamp,
    /// When one last failed.
    pub(crate) failed_at: Timestamp,
}

/// An attempt that nobody settled within this time failed: its process died.
pub(super) const PENDING_LIFE: Duration = Duration::from_secs(30);

impl Bucket {
    /// Returns the counter as it stands now.
    pub(super) fn at(self, rules: &Throttle, now: Timestamp) -> Self {
        let mut bucket = self.mended(rules, now);
        if bucket.pending > 0 && bucket.touched_at.plus(PENDING_LIFE) < now {
            bucket.failures = bucket.failures.saturating_add(bucket.pending);
            bucket.failed_at = bucket.touched_at;
            bucket.pending = 0;
        }
        // Since the last failure, not since the last attempt: whoever signs in every minute would never be rid of his failures.
        if bucket.failed_at.plus(rules.forget_after) < now && bucket.blocked_until <= now {
            bucket.failures = 0;
        }
        bucket
    }

    /// Returns the counter without moments that no clock of now can have put there. Clocks of replicas differ a little: what is that little
    /// ahead stays.
    pub(super) fn mended(self, rules: &Throttle, now: Timestamp) -> Self {
        let ahead = |moment: Timestamp| moment > now.plus(PENDING_LIFE);
        Self {
            blocked_until: self.blocked_until.min(now.plus(rules.longest_block + PENDING_LIFE)),
            touched_at: if ahead(self.touched_at) { now } else { self.touched_at },
            failed_at: if ahead(self.failed_at) { now } else { self.failed_at },
            ..self
        }
    }

    pub(super) fn delay(&self, rules: &Throttle) -> Duration {
        growing(self.failures.saturating_sub(rules.delay_after), rules.first_delay, rules.longest_delay)
    }

    /// Returns how long an attempt has to wait before it may begin; `None`: it may.
    pub(super) fn refusal(&self, rules: &Throttle, now: Timestamp) -> Option<Duration> {
        if self.blocked_until > now {
            return Some(self.blocked_until.since(now).min(rules.longest_block));
        }
        let open = self.failures == 0
            || self.failures.saturating_add(self.pending) < rules.block_after
            // After a block one attempt at a time.
            || self.pending == 0;
        (!open).then_some(Duration::from_secs(1))
    }
}

impl Bucket {
    pub(super) fn fail(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.touched_at = now;
        self.failed_at = now;
    }

    /// Forgives the failures of an account, here and half of those elsewhere. Not those of the address: whoever has an account of his own there
    /// could guess at others' without a delay.
    pub(super) fn forgive(account: &mut Self, both: &mut Self) {
        account.failures /= 2;
        both.failures = 0;
        both.blocked_until = Timestamp::default();
    }

    /// Blocks once there were as many failures as that takes.
    pub(super) fn block(&mut self, rules: &Throttle, now: Timestamp) {
        if self.failures >= rules.block_after {
            let block = growing(self.failures - rules.block_after, rules.first_block, rules.longest_block);
            self.blocked_until = now.plus(block);
        }
    }
}

/// Grows from `first`, doubling, once `excess` is 0 or more.
pub(super) fn growing(excess: i64, first: Duration, longest: Duration) -> Duration {
    match u32::try_from(excess) {
        Err(_) => Duration::ZERO,
        Ok(doublings) => first.saturating_mul(1_u32.checked_shl(doublings.min(30)).unwrap_or(u32::MAX)).min(longest),
    }
}
