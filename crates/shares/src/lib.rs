//! How many connections each address has: no single one may take the place of all others.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of every address. Clones share them.
#[derive(Clone)]
pub struct Shares {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

/// A connection's place in the share of its address; `None` for addresses that are not counted.
pub struct Share(Option<(Shares, IpAddr)>);

impl Shares {
    /// Gives each address so many connections.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { open: Arc::default(), most }
    }

    /// Takes a place; `None` where the address has none left. Addresses of this machine are not counted: behind them is everybody.
    #[must_use]
    pub fn take(&self, address: IpAddr) -> Option<Share> {
        if address.to_canonical().is_loopback() {
            return Some(Share(None));
        }
        let address = host(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share(Some((self.clone(), address))))
    }

    /// A place that is not counted.
    #[must_use]
    pub fn free() -> Share {
        Share(None)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((shares, address)) = self.0.take() else { return };
        let mut open = shares.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

/// One host is one address in IPv4 and a /64 in IPv6.
#[must_use]
pub fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_gets_more_than_its_share_and_places_come_back() {
        let shares = Shares::new(2);
        let take = |address: &str| shares.take(address.parse().unwrap());
        let first = take("192.0.2.1").unwrap();
        let _second = take("::ffff:192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "another address has its own share");
        drop(first);
        assert!(take("192.0.2.1").is_some());
        let _network = [take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap()];
        assert!(take("2001:db8::3").is_none());
    }

    #[test]
    fn a_proxy_on_this_machine_is_not_counted() {
        let shares = Shares::new(0);
        assert!(shares.take([127, 0, 0, 1].into()).is_some());
        assert!(shares.take([192, 0, 2, 1].into()).is_none());
    }
}
