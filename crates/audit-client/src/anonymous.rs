//! Calls whose caller is not known: recorded one by one up to a quota per address and minute, then counted.
//!
//! Otherwise anybody without a password could fill the disk. Counts of a minute become one event per address, with `occurrences`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use coffre_types::Timestamp;

/// Addresses that are told apart in a minute; those beyond share one count.
const MAX_ADDRESSES: usize = 10_000;
const MINUTE_MICROS: i64 = 60_000_000;

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It gets an event of its own.
    Record,
    /// It was counted.
    Counted,
}

/// Alike calls of one address in one minute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Aggregate {
    pub(crate) address: Option<IpAddr>,
    pub(crate) minute: Timestamp,
    /// How often, by reason of the refusal.
    pub(crate) reasons: Vec<(&'static str, i64)>,
}

impl Aggregate {
    pub(crate) fn occurrences(&self) -> i64 {
        self.reasons.iter().map(|(_, count)| count).sum()
    }
}

/// The quota of every address.
pub(crate) struct Quota {
    per_minute: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    minute: i64,
    addresses: HashMap<Option<IpAddr>, Bucket>,
    ended: Vec<Aggregate>,
}

#[derive(Default)]
struct Bucket {
    recorded: u32,
    counted: Vec<(&'static str, i64)>,
}

impl Quota {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, state: Mutex::default() }
    }

    /// Takes one call of an address into account.
    pub(crate) fn take(&self, address: Option<IpAddr>, reason: &'static str, now: Timestamp) -> Verdict {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.turn(now.micros().div_euclid(MINUTE_MICROS));
        let mut key = address.map(network);
        if !state.addresses.contains_key(&key) && state.addresses.len() >= MAX_ADDRESSES {
            key = None;
        }
        let bucket = state.addresses.entry(key).or_default();
        if bucket.recorded < self.per_minute {
            bucket.recorded += 1;
            return Verdict::Record;
        }
        match bucket.counted.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => bucket.counted.push((reason, 1)),
        }
        Verdict::Counted
    }

    /// Takes out what was counted in minutes that are over, or in every minute.
    pub(crate) fn drain(&self, now: Timestamp, everything: bool) -> Vec<Aggregate> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.turn(now.micros().div_euclid(MINUTE_MICROS));
        if everything {
            state.end_minute();
        }
        std::mem::take(&mut state.ended)
    }
}

impl State {
    fn turn(&mut self, minute: i64) {
        if self.minute != minute {
            self.end_minute();
            self.addresses.clear();
            self.minute = minute;
        }
    }

    fn end_minute(&mut self) {
        let minute = Timestamp::from_micros(self.minute.saturating_mul(MINUTE_MICROS));
        for (address, bucket) in &mut self.addresses {
            if !bucket.counted.is_empty() {
                let reasons = std::mem::take(&mut bucket.counted);
                self.ended.push(Aggregate { address: *address, minute, reasons });
            }
        }
    }
}

/// One host is one address in IPv4 and a /64 in IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn calls_beyond_the_quota_are_counted_and_none_is_lost() {
        let quota = Quota::new(3);
        let recorded = (0..10).filter(|_| quota.take(address("10.0.0.1"), "A", NOW) == Verdict::Record).count();
        assert_eq!(recorded, 3);
        assert_eq!(quota.take(address("10.0.0.2"), "A", NOW), Verdict::Record, "another address has its own quota");
        assert!(quota.drain(NOW, false).is_empty(), "the minute is not over");
        let later = NOW.plus(std::time::Duration::from_secs(60));
        let ended = quota.drain(later, false);
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].occurrences(), 7);
        assert_eq!(quota.take(address("10.0.0.1"), "A", later), Verdict::Record, "a new minute, a new quota");
    }

    #[test]
    fn a_v6_network_is_one_address() {
        let quota = Quota::new(1);
        assert_eq!(quota.take(address("2001:db8::1"), "A", NOW), Verdict::Record);
        assert_eq!(quota.take(address("2001:db8::2"), "A", NOW), Verdict::Counted);
        assert_eq!(quota.take(address("2001:db8:0:1::2"), "A", NOW), Verdict::Record);
        assert_eq!(quota.take(address("::ffff:10.0.0.1"), "A", NOW), Verdict::Record);
        assert_eq!(quota.take(address("10.0.0.1"), "A", NOW), Verdict::Counted);
    }

    #[test]
    fn addresses_beyond_the_table_share_a_count() {
        let quota = Quota::new(1);
        for number in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 50 {
            quota.take(Some(IpAddr::V4(number.into())), "A", NOW);
        }
        let counted: i64 = quota.drain(NOW, true).iter().map(Aggregate::occurrences).sum();
        assert_eq!(counted, 49);
    }
}
