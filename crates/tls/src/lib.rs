//! Certificates of services and of public ports: read, checked, exchanged while connections are open.
//!
//! - Between services ([`InternalTls`]) both sides show a certificate of our own authority. Who somebody is says one URI in it,
//!   `spiffe://<trust domain>/<service>` ([`Identity`]); host names are not looked at, as addresses come from a name that lists them all.
//! - Public ports ([`PublicTls`]) show an ordinary server certificate, and ask for none.
//!
//! Files are read at the start, where a fault ends the process with a sentence that says what to do, and looked at again every second
//! afterwards: what was exchanged is taken for new connections, and what does not fit together (a pair of which one half is written) is
//! left aside, the last good one stays. Reading them again needs no notification, and sees the swapped folder of a mounted secret too.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod accept;
mod error;
mod files;
mod identity;
mod internal;
mod material;
mod public;
mod verify;
mod watch;

pub use accept::{Accepted, Acceptor};
pub use error::Error;
pub use files::{Files, InternalFiles, is_private};
pub use identity::{Identity, IdentityError, Service, TrustDomain};
pub use internal::InternalTls;
pub use public::{Alpn, PublicTls};
