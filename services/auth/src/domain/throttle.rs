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
//! What is shown counts in a place of its own ([`Shown`]), so that failures of a key or of a client never stand in a password's way, nor those of
//! a generated client secret in a chosen one's; the address is counted once for all. A secret that was generated cannot be guessed, so nothing is counted before it is compared, and its
//! failure alone afterwards ([`count_failure`]).
//!
//! There is a fixed number of places of each kind, and everybody's name leads to one of them. Each place carries a tag, 64 bits more of the
//! same keyed hash, and counts for its tag alone: to anybody else it reads as if nothing had happened. A newcomer takes it over, unless it
//! blocks just now; then the newcomer is not counted there, and its account and its address count as ever.
//!
//! So whoever fills places blocks nobody, and lifts no block. What it can gain is that failures are forgotten early. Which place is
//! whose cannot be computed without the key, so one particular place is hit once in as many tries as there are places, and each try counts
//! for the address from which it comes. Whoever keeps places blocked, so that his next guesses are not counted there, has to fail five times
//! and again every quarter of an hour for each place, among the passwords at the cost of an Argon2id each (keys and clients have places
//! of their own); what is left to him are guesses at the pace that the delays of account and address and the crowd at one address allow.
//!
//! A clock that was set back would leave blocks that end in a year. What lies further ahead than it can have been put counts from now, and
//! is stored so ([`mend`]).

use std::net::IpAddr;
use std::time::Duration;

use coffre_db::Connection;
use coffre_types::{NameKey, Timestamp};

use super::bucket::Bucket;
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
    /// By which a counter is known in its place.
    pub(crate) tag: i64,
}

/// The counters of addresses. Those of accounts, and of accounts at an address, have kinds of their own for each thing that is shown.
const ADDRESS: i64 = 1;

/// What somebody shows, and for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown<'a> {
    /// The password of a user.
    Password(&'a NameKey),
    /// An API key of a user.
    ApiKey(&'a NameKey),
    /// A secret of an API access that somebody chose, by its client id.
    ChosenSecret(&'a NameKey),
    /// A secret of an API access of the form that is generated here, by its client id.
    GeneratedSecret(&'a NameKey),
}

impl<'a> Shown<'a> {
    /// Returns the kinds of its counters, of the account and of both, and the name.
    fn account(self) -> ([i64; 2], &'a [u8]) {
        let (kinds, name) = match self {
            Self::Password(name) => ([2, 3], name),
            Self::ApiKey(name) => ([4, 5], name),
            Self::ChosenSecret(name) => ([6, 7], name),
            Self::GeneratedSecret(name) => ([8, 9], name),
        };
        (kinds, name.as_str().as_bytes())
    }
}

/// Returns the counters of an attempt: account, address, both.
pub(crate) fn keys(secrets: &Secrets, shown: Shown<'_>, address: AddressKey, slots: u32) -> [BucketKey; 3] {
    let ([account, both], name) = shown.account();
    let key = |kind, parts: &[&[u8]]| {
        let (slot, tag) = secrets.bucket(kind, parts, slots);
        BucketKey { kind, slot, tag }
    };
    [key(account, &[name]), key(ADDRESS, &[&address]), key(both, &[name, &address])]
}

/// What stands in a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Incumbent {
    pub(crate) tag: i64,
    pub(crate) bucket: Bucket,
}

/// What stands in the places of an attempt, and how it counts at this moment.
struct Places<'a> {
    keys: &'a [BucketKey; 3],
    found: [Option<Incumbent>; 3],
    rules: &'a Throttle,
    now: Timestamp,
}

impl<'a> Places<'a> {
    fn new(keys: &'a [BucketKey; 3], found: [Option<Incumbent>; 3], rules: &'a Throttle, now: Timestamp) -> Self {
        Self { keys, found, rules, now }
    }

    fn load(
        conn: &mut Connection,
        rules: &'a Throttle,
        keys: &'a [BucketKey; 3],
        now: Timestamp,
        lock: bool,
    ) -> Result<Self, coffre_db::Error> {
        Ok(Self::new(keys, throttle::load(conn, keys, lock)?, rules, now))
    }

    fn pairs(&self) -> impl Iterator<Item = (BucketKey, Option<Incumbent>)> {
        self.keys.iter().copied().zip(self.found)
    }

    /// Returns the counters that are the attempt's own, as they were stored.
    fn stored(&self) -> impl Iterator<Item = (BucketKey, Bucket)> {
        let own = |(key, found): (BucketKey, Option<Incumbent>)| {
            found.filter(|found| found.tag == key.tag).map(|found| (key, found.bucket))
        };
        self.pairs().filter_map(own)
    }

    /// Returns the counters as they stand now; where somebody else's stands, nothing has happened.
    fn read(&self) -> [Bucket; 3] {
        let mut read = [Bucket::default(); 3];
        for ((key, found), bucket) in self.pairs().zip(&mut read) {
            if let Some(own) = found.filter(|found| found.tag == key.tag) {
                *bucket = own.bucket.at(self.rules, self.now);
            }
        }
        read
    }

    /// Keeps those counters that the attempt may write: its own, and where `takes` those that it takes over.
    fn written(&self, counters: [Bucket; 3], takes: bool) -> Vec<(BucketKey, Bucket)> {
        let may = |key: &BucketKey, found: &Option<Incumbent>| match found {
            Some(found) if found.tag == key.tag => true,
            Some(found) => takes && found.bucket.at(self.rules, self.now).blocked_until <= self.now,
            None => takes,
        };
        let all = self.pairs().zip(counters);
        all.filter(|((key, found), _)| may(key, found)).map(|((key, _), bucket)| (key, bucket)).collect()
    }

    /// Counts a failure.
    fn failed(&self) -> Vec<(BucketKey, Bucket)> {
        let mut buckets = self.read();
        for bucket in &mut buckets {
            bucket.fail(self.now);
        }
        let [_, _, both] = &mut buckets;
        both.block(self.rules, self.now);
        self.written(buckets, true)
    }

    /// Counts an attempt that begins, or says how long it has to wait.
    fn begun(&self) -> Result<Vec<(BucketKey, Bucket)>, Duration> {
        let mut buckets = self.read();
        let [_, _, both] = &buckets;
        if let Some(wait) = both.refusal(self.rules, self.now) {
            return Err(wait);
        }
        for bucket in &mut buckets {
            bucket.pending += 1;
            bucket.touched_at = self.now;
        }
        Ok(self.written(buckets, true))
    }

    /// Settles an attempt that was counted, where it still stands.
    fn settled(&self, success: bool) -> Vec<(BucketKey, Bucket)> {
        let [mut account, mut address, mut both] = self.read();
        for bucket in [&mut account, &mut address, &mut both] {
            bucket.pending = bucket.pending.saturating_sub(1).max(0);
            bucket.touched_at = self.now;
            if !success {
                bucket.fail(self.now);
            }
        }
        if success {
            Bucket::forgive(&mut account, &mut both);
        } else {
            both.block(self.rules, self.now);
        }
        self.written([account, address, both], false)
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
    let places = Places::load(conn, rules, keys, now, false)?;
    let ahead = places.stored().any(|(_, bucket)| bucket.mended(rules, now) != bucket);
    let [account, address, both] = places.read();
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
    let places = Places::load(conn, rules, keys, now, true)?;
    let mended: Vec<_> = places.stored().map(|(key, bucket)| (key, bucket.mended(rules, now))).collect();
    throttle::store(conn, &mended)
}

/// Counts a failure that was not counted before it was looked at: of a secret that nobody can guess.
pub(crate) fn count_failure(
    conn: &mut Connection,
    rules: &Throttle,
    keys: &[BucketKey; 3],
    now: Timestamp,
) -> Result<(), coffre_db::Error> {
    let failed = Places::load(conn, rules, keys, now, true)?.failed();
    throttle::store(conn, &failed)
}

/// Forgives the failures before a secret that was right and not counted: as [`Counted::settle`] does.
pub(crate) fn forgive(
    conn: &mut Connection,
    rules: &Throttle,
    keys: &[BucketKey; 3],
    now: Timestamp,
) -> Result<(), coffre_db::Error> {
    let places = Places::load(conn, rules, keys, now, true)?;
    let [mut account, address, mut both] = places.read();
    if account.failures == 0 && both.failures == 0 {
        return Ok(());
    }
    Bucket::forgive(&mut account, &mut both);
    throttle::store(conn, &places.written([account, address, both], false))
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
    match Places::load(conn, rules, keys, now, true)?.begun() {
        Err(wait) => Ok(Err(wait)),
        Ok(begun) => {
            throttle::store(conn, &begun)?;
            Ok(Ok(Counted { keys: *keys }))
        }
    }
}

impl Counted {
    /// Takes the attempt back: it was none.
    pub(crate) fn release(
        &self,
        conn: &mut Connection,
        rules: &Throttle,
        now: Timestamp,
    ) -> Result<(), coffre_db::Error> {
        let places = Places::load(conn, rules, &self.keys, now, true)?;
        let mut buckets = places.read();
        for bucket in &mut buckets {
            bucket.pending = bucket.pending.saturating_sub(1).max(0);
        }
        throttle::store(conn, &places.written(buckets, false))
    }

    /// Settles the attempt. Where somebody else stands in its place by now, nothing changes there.
    pub(crate) fn settle(
        &self,
        conn: &mut Connection,
        rules: &Throttle,
        success: bool,
        now: Timestamp,
    ) -> Result<(), coffre_db::Error> {
        let settled = Places::load(conn, rules, &self.keys, now, true)?.settled(success);
        throttle::store(conn, &settled)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::bucket::{PENDING_LIFE, growing};
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
        let secrets = secrets();
        let (name, address) = (NameKey::of("ada"), address_key(None));
        let all = shown(&name).map(|shown| keys(&secrets, shown, address, u32::MAX));
        for (place, one) in all.iter().enumerate() {
            for other in all.iter().skip(place + 1) {
                assert!(one[0] != other[0] && one[1] == other[1] && one[2] != other[2]);
            }
        }
    }

    #[test]
    fn rule_2_2_a_block_of_one_kind_of_secret_blocks_no_other() {
        let (secrets, rules) = (secrets(), Throttle::default());
        let (name, address) = (NameKey::of("ada"), address_key(None));
        let places = shown(&name).map(|shown| keys(&secrets, shown, address, rules.slots));
        for failing in 0..places.len() {
            let mut table = Table::default();
            for _ in 0..rules.block_after {
                table.fail(&places[failing], &rules);
            }
            let blocked = places.map(|keys| table.refusal(&keys, &rules).is_some());
            assert_eq!(blocked, std::array::from_fn(|place| place == failing));
        }
    }

    /// Everything that can be shown for a name.
    fn shown(name: &NameKey) -> [Shown<'_>; 4] {
        [Shown::Password(name), Shown::ApiKey(name), Shown::ChosenSecret(name), Shown::GeneratedSecret(name)]
    }

    fn secrets() -> Secrets {
        Secrets::derive(&coffre_secret::SecretBytes::new(vec![7; 32])).unwrap()
    }

    /// The table of a database.
    #[derive(Default)]
    struct Table(HashMap<(i64, i64), Incumbent>);

    impl Table {
        fn places<'a>(&self, keys: &'a [BucketKey; 3], rules: &'a Throttle, now: Timestamp) -> Places<'a> {
            Places::new(keys, keys.map(|key| self.0.get(&(key.kind, key.slot)).copied()), rules, now)
        }

        fn store(&mut self, counters: Vec<(BucketKey, Bucket)>) {
            self.0.extend(
                counters.into_iter().map(|(key, bucket)| ((key.kind, key.slot), Incumbent { tag: key.tag, bucket })),
            );
        }

        fn fail(&mut self, keys: &[BucketKey; 3], rules: &Throttle) {
            let failed = self.places(keys, rules, NOW).failed();
            self.store(failed);
        }

        fn refusal(&self, keys: &[BucketKey; 3], rules: &Throttle) -> Option<Duration> {
            let [_, _, both] = self.places(keys, rules, NOW).read();
            both.refusal(rules, NOW)
        }
    }

    #[test]
    fn rule_2_2_a_hundred_thousand_random_clients_block_nobody_lift_no_block_and_take_no_more_memory() {
        let (secrets, mut table) = (secrets(), Table::default());
        let rules = Throttle { slots: 256, ..Throttle::default() };
        let (here, there) = (address_key(Some([192, 0, 2, 1].into())), address_key(Some([192, 0, 2, 2].into())));
        let of_client =
            |name: &str, address| keys(&secrets, Shown::GeneratedSecret(&NameKey::of(name)), address, rules.slots);
        let blocked = of_client("failed before", there);
        for _ in 0..rules.block_after {
            table.fail(&blocked, &rules);
        }
        assert_eq!(table.refusal(&blocked, &rules), Some(rules.first_block));
        for number in 0..100_000 {
            table.fail(&of_client(&format!("random {number}"), here), &rules);
        }
        assert!(table.0.len() <= 3 * 256, "{} places", table.0.len());
        assert_eq!(table.refusal(&blocked, &rules), Some(rules.first_block), "not lifted");
        for number in 0..1000 {
            let name = NameKey::of(&format!("somebody else {number}"));
            for shown in shown(&name) {
                for address in [here, there] {
                    assert_eq!(table.refusal(&keys(&secrets, shown, address, rules.slots), &rules), None);
                }
            }
        }
    }

    #[test]
    fn rule_2_2_a_newcomer_is_counted_unless_the_place_blocks_and_then_by_account_and_address() {
        let (secrets, mut table, rules) = (secrets(), Table::default(), Throttle { slots: 1, ..Throttle::default() });
        let of = |name: &str| keys(&secrets, Shown::Password(&NameKey::of(name)), address_key(None), 1);
        let (first, second) = (of("first"), of("second"));
        table.fail(&first, &rules);
        for _ in 0..rules.block_after {
            table.fail(&second, &rules);
        }
        assert!(table.refusal(&first, &rules).is_none() && table.refusal(&second, &rules).is_some());
        for _ in 0..=rules.block_after {
            table.fail(&first, &rules);
        }
        let [account, address, both] = table.places(&first, &rules, NOW).read();
        assert_eq!((account.failures, both.failures), (6, 0));
        assert!(address.failures > 6, "one address for both");
        assert!(table.refusal(&second, &rules).is_some());
    }

    #[test]
    fn rule_2_2_what_is_settled_late_changes_nothing_of_whoever_stands_there_now() {
        let (secrets, mut table, rules) = (secrets(), Table::default(), Throttle { slots: 1, ..Throttle::default() });
        let of = |name: &str, last| {
            keys(&secrets, Shown::Password(&NameKey::of(name)), address_key(Some([192, 0, 2, last].into())), 1)
        };
        let (first, second) = (of("first", 1), of("second", 2));
        let begun = table.places(&first, &rules, NOW).begun().unwrap();
        assert_eq!(begun.len(), 3);
        table.store(begun);
        table.fail(&second, &rules);
        for success in [true, false] {
            assert_eq!(table.places(&first, &rules, NOW).settled(success), []);
        }
        assert_eq!(table.places(&second, &rules, NOW).settled(true).len(), 3);
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
