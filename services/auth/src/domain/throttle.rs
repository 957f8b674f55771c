//! How failed sign-ins slow down and block the next ones (`security.md` 2.2).
//!
//! An attempt is counted before its password is hashed and settled after:
//!
//! ```text
//! (free) ── begin: pending + 1 ──▶ (counted) ── settle: pending − 1, and failures + 1 or 0
//!    │
//!    └── blocked, or no more attempts open ──▶ refused, with the time to wait
//! ```
//!
//! Attempts that are still being checked count as failures as soon as there was one failure; before the first one they do not, so that any
//! number of correct sign-ins at once never block each other. How many can be open at once is bounded by the turns at hashing.
//!
//! Account-wide and address-wide there are only delays: nobody can lock another out. Blocks are per account *and* address.
//!
//! What is shown counts in a place of its own ([`Shown`]), so that failures of a key or of a client never stand in a password's way; the
//! address is counted once for all. A secret that was generated cannot be guessed, so nothing is counted before it is compared, and its
//! failure alone afterwards ([`count_failure`]).
//!
//! A clock that was set back would leave blocks that end in a year. What lies further ahead than it can have been put counts from now, and
//! is stored so ([`mend`]).

use std::net::IpAddr;
use std::time::Duration;

use coffre_db::Connection;
use coffre_types::{NameKey, Timestamp};

use crate::config::Throttle;
use crate::secrets::Secrets;
use crate::store::throttle;

/// An address as it is counted: IPv6 by its /64, which one customer holds.
pub(crate) type AddressKey = [u8; 16];

/// Returns how an address is counted. Calls without one share a place.
pub(crate) fn address_key(address: Option<IpAddr>) -> AddressKey {
    match address.map(|address| address.to_canonical()) {
        None => [0; 16],
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(v6)) => {
            let bits = v6.to_bits() & !u128::from(u64::MAX);
            bits.to_be_bytes()
        }
    }
}

/// Names a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BucketKey {
    pub(crate) kind: i64,
    pub(crate) slot: i64,
}

const ACCOUNT: i64 = 1;
const ADDRESS: i64 = 2;
const BOTH: i64 = 3;

/// What somebody shows, and for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown<'a> {
    /// The password of a user.
    Password(&'a NameKey),
    /// An API key of a user.
    ApiKey(&'a NameKey),
    /// The secret of an API access, by its client id.
    ClientSecret(&'a NameKey),
}

impl<'a> Shown<'a> {
    fn account(self) -> [&'a [u8]; 2] {
        let (space, name): (&[u8], &NameKey) = match self {
            Self::Password(name) => (b"user", name),
            Self::ApiKey(name) => (b"key", name),
            Self::ClientSecret(name) => (b"client", name),
        };
        [space, name.as_str().as_bytes()]
    }
}

/// Returns the counters of an attempt: account, address, both.
pub(crate) fn keys(secrets: &Secrets, shown: Shown<'_>, address: AddressKey, slots: u32) -> [BucketKey; 3] {
    let [space, name] = shown.account();
    let key = |kind, parts: &[&[u8]]| BucketKey { kind, slot: secrets.bucket(kind, parts, slots) };
    [key(ACCOUNT, &[space, name]), key(ADDRESS, &[&address]), key(BOTH, &[space, name, &address])]
}

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
const PENDING_LIFE: Duration = Duration::from_secs(30);

impl Bucket {
    /// Returns the counter as it stands now.
    fn at(self, rules: &Throttle, now: Timestamp) -> Self {
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
    fn mended(self, rules: &Throttle, now: Timestamp) -> Self {
        let ahead = |moment: Timestamp| moment > now.plus(PENDING_LIFE);
        Self {
            blocked_until: self.blocked_until.min(now.plus(rules.longest_block + PENDING_LIFE)),
            touched_at: if ahead(self.touched_at) { now } else { self.touched_at },
            failed_at: if ahead(self.failed_at) { now } else { self.failed_at },
            ..self
        }
    }

    fn delay(&self, rules: &Throttle) -> Duration {
        growing(self.failures.saturating_sub(rules.delay_after), rules.first_delay, rules.longest_delay)
    }

    /// Returns how long an attempt has to wait before it may begin; `None`: it may.
    fn refusal(&self, rules: &Throttle, now: Timestamp) -> Option<Duration> {
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
    fn fail(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.touched_at = now;
        self.failed_at = now;
    }

    /// Forgives the failures of an account, here and half of those elsewhere. Not those of the address: whoever has an account of his own there
    /// could guess at others' without a delay.
    fn forgive(account: &mut Self, both: &mut Self) {
        account.failures /= 2;
        both.failures = 0;
        both.blocked_until = Timestamp::default();
    }

    /// Blocks once there were as many failures as that takes.
    fn block(&mut self, rules: &Throttle, now: Timestamp) {
        if self.failures >= rules.block_after {
            let block = growing(self.failures - rules.block_after, rules.first_block, rules.longest_block);
            self.blocked_until = now.plus(block);
        }
    }
}

/// Grows from `first`, doubling, once `excess` is 0 or more.
fn growing(excess: i64, first: Duration, longest: Duration) -> Duration {
    match u32::try_from(excess) {
        Err(_) => Duration::ZERO,
        Ok(doublings) => first.saturating_mul(1_u32.checked_shl(doublings.min(30)).unwrap_or(u32::MAX)).min(longest),
    }
}

/// How an attempt stands before its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outlook {
    /// It would be refused now, and for that long.
    pub(crate) refused: Option<Duration>,
    /// It is held back that long.
    pub(crate) delay: Duration,
    /// The account has failures that count.
    pub(crate) failed: bool,
    /// The clock was set back since something was stored: see [`mend`].
    pub(crate) ahead: bool,
}

/// Looks without counting.
pub(crate) fn look(
    conn: &mut Connection,
    rules: &Throttle,
    keys: &[BucketKey; 3],
    now: Timestamp,
) -> Result<Outlook, coffre_db::Error> {
    let stored = throttle::load(conn, keys, false)?;
    let ahead = stored.iter().any(|bucket| bucket.mended(rules, now) != *bucket);
    let [account, address, both] = stored.map(|bucket| bucket.at(rules, now));
    let delay = account.delay(rules).max(address.delay(rules));
    let failed = account.failures > 0 || both.failures > 0;
    Ok(Outlook { refused: both.refusal(rules, now), delay, failed, ahead })
}

/// Stores counters without the moments that lie too far ahead: from now on their time passes.
pub(crate) fn mend(
    conn: &mut Connection,
    rules: &Throttle,
    keys: &[BucketKey; 3],
    now: Timestamp,
) -> Result<(), coffre_db::Error> {
    let mended = throttle::load(conn, keys, true)?.map(|bucket| bucket.mended(rules, now));
    throttle::store(conn, keys, &mended)
}

/// Counts a failure that was not counted before it was looked at: of a secret that nobody can guess.
pub(crate) fn count_failure(
    conn: &mut Connection,
    rules: &Throttle,
    keys: &[BucketKey; 3],
    now: Timestamp,
) -> Result<(), coffre_db::Error> {
    let mut buckets = throttle::load(conn, keys, true)?.map(|bucket| bucket.at(rules, now));
    for bucket in &mut buckets {
        bucket.fail(now);
    }
    let [_, _, both] = &mut buckets;
    both.block(rules, now);
    throttle::store(conn, keys, &buckets)
}

/// Forgives the failures before a secret that was right and not counted: as [`Counted::settle`] does.
pub(crate) fn forgive(
    conn: &mut Connection,
    rules: &Throttle,
    keys: &[BucketKey; 3],
    now: Timestamp,
) -> Result<(), coffre_db::Error> {
    let [mut account, address, mut both] = throttle::load(conn, keys, true)?.map(|bucket| bucket.at(rules, now));
    if account.failures == 0 && both.failures == 0 {
        return Ok(());
    }
    Bucket::forgive(&mut account, &mut both);
    throttle::store(conn, keys, &[account, address, both])
}

/// An attempt that is counted and not yet settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    keys: [BucketKey; 3],
}

/// Counts an attempt, or says how long it has to wait.
pub(crate) fn begin(
    conn: &mut Connection,
    rules: &Throttle,
    keys: &[BucketKey; 3],
    now: Timestamp,
) -> Result<Result<Counted, Duration>, coffre_db::Error> {
    let mut buckets = throttle::load(conn, keys, true)?.map(|bucket| bucket.at(rules, now));
    let [_, _, both] = &buckets;
    if let Some(wait) = both.refusal(rules, now) {
        return Ok(Err(wait));
    }
    for bucket in &mut buckets {
        bucket.pending += 1;
        bucket.touched_at = now;
    }
    throttle::store(conn, keys, &buckets)?;
    Ok(Ok(Counted { keys: *keys }))
}

impl Counted {
    /// Takes the attempt back: it was none.
    pub(crate) fn release(
        &self,
        conn: &mut Connection,
        rules: &Throttle,
        now: Timestamp,
    ) -> Result<(), coffre_db::Error> {
        let mut buckets = throttle::load(conn, &self.keys, true)?.map(|bucket| bucket.at(rules, now));
        for bucket in &mut buckets {
            bucket.pending = bucket.pending.saturating_sub(1).max(0);
        }
        throttle::store(conn, &self.keys, &buckets)
    }

    /// Settles the attempt.
    pub(crate) fn settle(
        &self,
        conn: &mut Connection,
        rules: &Throttle,
        success: bool,
        now: Timestamp,
    ) -> Result<(), coffre_db::Error> {
        let [mut account, mut address, mut both] =
            throttle::load(conn, &self.keys, true)?.map(|bucket| bucket.at(rules, now));
        for bucket in [&mut account, &mut address, &mut both] {
            bucket.pending = bucket.pending.saturating_sub(1).max(0);
            bucket.touched_at = now;
            if !success {
                bucket.fail(now);
            }
        }
        if success {
            Bucket::forgive(&mut account, &mut both);
        } else {
            both.block(rules, now);
        }
        throttle::store(conn, &self.keys, &[account, address, both])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn bucket(failures: i64, pending: i64) -> Bucket {
        Bucket { failures, pending, blocked_until: Timestamp::default(), touched_at: NOW, failed_at: NOW }
    }

    #[test]
    fn rule_2_2_correct_sign_ins_at_once_never_block_each_other() {
        assert_eq!(bucket(0, 1000).refusal(&Throttle::default(), NOW), None);
    }

    #[test]
    fn rule_2_2_open_attempts_count_once_there_was_a_failure() {
        let rules = Throttle::default();
        assert_eq!(bucket(1, 3).refusal(&rules, NOW), None);
        assert!(bucket(1, 4).refusal(&rules, NOW).is_some());
        assert_eq!(bucket(9, 0).refusal(&rules, NOW), None, "the block is over: one attempt");
        assert!(bucket(9, 1).refusal(&rules, NOW).is_some());
    }

    #[test]
    fn rule_2_2_blocks_and_delays_grow_to_their_caps() {
        let rules = Throttle::default();
        assert_eq!(growing(-1, rules.first_block, rules.longest_block), Duration::ZERO);
        assert_eq!(growing(0, rules.first_block, rules.longest_block), rules.first_block);
        assert_eq!(growing(1, rules.first_block, rules.longest_block), rules.first_block * 2);
        assert_eq!(growing(i64::from(u32::MAX), rules.first_block, rules.longest_block), rules.longest_block);
        assert_eq!(bucket(1_000_000, 0).delay(&rules), rules.longest_delay);
        assert_eq!(bucket(0, 50).delay(&rules), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_no_block_longer_than_the_longest() {
        let rules = Throttle::default();
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let ahead = Bucket {
            blocked_until: NOW.plus(year),
            touched_at: NOW.plus(year),
            failed_at: NOW.plus(year),
            ..bucket(9, 2)
        };
        assert_eq!(ahead.refusal(&rules, NOW), Some(rules.longest_block));
        let mended = ahead.mended(&rules, NOW);
        assert_eq!((mended.touched_at, mended.failed_at, mended.mended(&rules, NOW)), (NOW, NOW, mended));
        let later = NOW.plus(rules.longest_block + PENDING_LIFE);
        assert_eq!(mended.at(&rules, later).refusal(&rules, later), None, "its time passes");
        assert_eq!(mended.at(&rules, later).failures, 11, "what was pending was never settled");
        let skewed = Bucket { touched_at: NOW.plus(Duration::from_secs(5)), ..bucket(1, 0) };
        assert_eq!(skewed.mended(&rules, NOW), skewed, "another replica's clock");
    }

    #[test]
    fn a_clock_that_was_set_forwards_ends_blocks_and_forgets_failures() {
        let rules = Throttle::default();
        let blocked = Bucket { blocked_until: NOW.plus(rules.longest_block), ..bucket(9, 0) };
        let later = NOW.plus(rules.forget_after + Duration::from_secs(1));
        assert_eq!((blocked.at(&rules, later).failures, blocked.at(&rules, later).refusal(&rules, later)), (0, None));
    }

    #[test]
    fn rule_2_2_what_is_shown_counts_apart_and_the_address_once() {
        let secrets = Secrets::derive(&coffre_secret::SecretBytes::new(vec![7; 32])).unwrap();
        let (name, address) = (NameKey::of("ada"), address_key(None));
        let shown = [Shown::Password(&name), Shown::ApiKey(&name), Shown::ClientSecret(&name)];
        let [password, key, client] = shown.map(|shown| keys(&secrets, shown, address, u32::MAX));
        for (one, other) in [(password, key), (key, client), (password, client)] {
            assert!(one[0] != other[0] && one[1] == other[1] && one[2] != other[2]);
        }
    }

    #[test]
    fn rule_2_2_addresses_of_one_64_count_together() {
        let key = |text: &str| address_key(Some(text.parse().unwrap()));
        assert_eq!(key("2001:db8::1"), key("2001:db8:0:0:ffff::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn attempts_of_a_process_that_died_are_failures() {
        let rules = Throttle::default();
        let later = NOW.plus(PENDING_LIFE + Duration::from_secs(1));
        assert_eq!(bucket(1, 2).at(&rules, later).failures, 3);
    }

    #[test]
    fn rule_2_2_failures_are_forgotten_an_hour_after_the_last_one_whoever_signs_in_meanwhile() {
        let rules = Throttle::default();
        let later = NOW.plus(rules.forget_after + Duration::from_secs(1));
        let busy = Bucket { touched_at: later, ..bucket(25, 3) };
        assert_eq!((busy.at(&rules, later).failures, busy.at(&rules, later).pending), (0, 3));
        assert_eq!(busy.at(&rules, NOW.plus(rules.forget_after)).failures, 25);
        let blocked = Bucket { blocked_until: later.plus(Duration::from_secs(1)), ..busy };
        assert_eq!(blocked.at(&rules, later).failures, 25, "not while it blocks");
    }
}
