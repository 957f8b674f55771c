//! The places of requests that are being answered: so many in all, a part of them for each address, and a part for sign-ins, which wait.
//!
//! A request costs an atomic count and, for its address, one entry of one of many small maps: nobody waits long for a lock.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use coffre_shares::host;

use crate::config::Limits;

const SHARDS: usize = 64;

/// All places.
pub(crate) struct Places {
    requests: Count,
    sign_ins: Count,
    per_address: usize,
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<IpAddr, Own>>>,
}

/// Which places are full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    Requests,
    SignIns,
    Address,
    SignInsOfAddress,
}

impl Full {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Requests => "the gateway answers as many requests as it can; repeat this one a little later",
            Self::SignIns => "as many sign-ins are under way as there may be at once; repeat this one a little later",
            Self::Address => {
                "as many requests of this address are under way as one may have; wait for one to end, and repeat this one"
            }
            Self::SignInsOfAddress => {
                "as many sign-ins of this address are under way as one may have; wait for one to end, and repeat this one"
            }
        }
    }
}

/// What one address has.
#[derive(Default)]
struct Own {
    requests: usize,
    sign_ins: usize,
}

/// The place of one request; given back when dropped.
pub(crate) struct Place<'a> {
    places: &'a Places,
    address: Option<IpAddr>,
    sign_in: bool,
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            requests: Count::of(limits.requests),
            sign_ins: Count::of(limits.sign_ins),
            per_address: limits.requests_per_address.max(1),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Takes a place, or says what is full. What has no address is part of all alone.
    pub(crate) fn take(&self, address: Option<IpAddr>, sign_in: bool) -> Result<Place<'_>, Full> {
        if !self.requests.take() {
            return Err(Full::Requests);
        }
        if sign_in && !self.sign_ins.take() {
            self.requests.give_back();
            return Err(Full::SignIns);
        }
        // From here on `Drop` gives back what was taken.
        let mut place = Place { places: self, address: None, sign_in };
        let address = address.map(host);
        if let Some(address) = address
            && let Some(mut shard) = self.shard(address)
        {
            let own = shard.entry(address).or_default();
            if own.requests >= self.per_address {
                return Err(Full::Address);
            }
            if sign_in && own.sign_ins >= self.per_address.div_ceil(2) {
                return Err(Full::SignInsOfAddress);
            }
            own.requests += 1;
            own.sign_ins += usize::from(sign_in);
            place.address = Some(address);
        }
        Ok(place)
    }

    fn shard(&self, address: IpAddr) -> Option<MutexGuard<'_, HashMap<IpAddr, Own>>> {
        let [first, ..] = self.hasher.hash_one(address).to_be_bytes();
        let shard = self.shards.get(usize::from(first) % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(address) = self.address
            && let Some(mut shard) = self.places.shard(address)
            && let Some(own) = shard.get_mut(&address)
        {
            own.requests = own.requests.saturating_sub(1);
            own.sign_ins = own.sign_ins.saturating_sub(usize::from(self.sign_in));
            if own.requests == 0 {
                shard.remove(&address);
            }
        }
        if self.sign_in {
            self.places.sign_ins.give_back();
        }
        self.places.requests.give_back();
    }
}

struct Count {
    taken: AtomicUsize,
    most: usize,
}

impl Count {
    const fn of(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most }
    }

    fn take(&self) -> bool {
        let there_was_room = self.taken.fetch_add(1, Ordering::Relaxed) < self.most;
        if !there_was_room {
            self.give_back();
        }
        there_was_room
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(requests: usize, requests_per_address: usize, sign_ins: usize) -> Places {
        Places::new(&Limits { requests, requests_per_address, sign_ins, ..Limits::default() })
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn kept(places: &Places) -> (usize, usize, usize) {
        let addresses = places.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        (places.requests.taken.load(Ordering::Relaxed), places.sign_ins.taken.load(Ordering::Relaxed), addresses)
    }

    #[test]
    fn an_address_that_has_its_part_is_refused_alone() {
        let places = places(100, 4, 100);
        for (here, same, other) in
            [("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")]
        {
            let open: Vec<_> = (0..4).map(|_| places.take(address(here), false).unwrap()).collect();
            assert_eq!(places.take(address(same), false).err(), Some(Full::Address));
            drop(places.take(address(other), false).unwrap());
            drop(open);
            drop(places.take(address(same), false).unwrap());
        }
        assert_eq!(kept(&places), (0, 0, 0), "nothing is kept of what has ended, refused or not");
    }

    #[test]
    fn rule_2_1_sign_ins_leave_half_of_the_places_and_half_of_an_address() {
        let places = places(8, 4, 4);
        let take = |last: u8, sign_in| places.take(Some([192, 0, 2, last].into()), sign_in);
        let first = [take(1, true).unwrap(), take(1, true).unwrap()];
        assert_eq!(take(1, true).err(), Some(Full::SignInsOfAddress));
        let second = [take(2, true).unwrap(), take(2, true).unwrap()];
        assert_eq!(take(3, true).err(), Some(Full::SignIns));
        let others =
            [take(1, false).unwrap(), take(1, false).unwrap(), take(3, false).unwrap(), take(3, false).unwrap()];
        assert_eq!(take(4, false).err(), Some(Full::Requests));
        drop((first, second, others));
        assert_eq!(kept(&places), (0, 0, 0));
    }

    #[test]
    fn what_has_no_address_counts_in_all() {
        let places = places(2, 1, 2);
        let _open = [places.take(None, false).unwrap(), places.take(None, true).unwrap()];
        assert_eq!(places.take(None, false).err(), Some(Full::Requests));
    }
}
