//! Free ports of this machine for what the tests start, each given once.

use std::array;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that the system gives to outgoing connections (Linux: from 32 768), so that nobody takes a port before the process for which it is
/// meant, nor while that process is being started anew.
const PORTS: Range<u32> = 10_000..32_000;

/// Free addresses of this machine, which this process has not given before.
pub(crate) fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    array::from_fn(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())))
}

fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Test processes side by side begin far from each other.
    static BEGIN: OnceLock<u32> = OnceLock::new();
    let begin = *BEGIN.get_or_init(|| uuid::Uuid::new_v4().as_fields().0 % PORTS.len() as u32);
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(
            given < PORTS.end - PORTS.start,
            "every port from {} to {} was given or is taken",
            PORTS.start,
            PORTS.end
        );
        let port = u16::try_from(PORTS.start + (begin + given) % (PORTS.end - PORTS.start)).unwrap();
        // A listener on every address: whoever listens on one of them already is found.
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
