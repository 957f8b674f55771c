//! The vault service: credentials, their attributes, and their values, which it keeps sealed.
//!
//! ```text
//! api     messages in and out; who may call what (access), how refusals read (error)
//! vault   the use cases as the api calls them: keys and users are gathered, the store gets one closure
//! domain  what each call means; the matrix of rights (policy); ports that ask for permits
//! store   the tables, on SQLite and PostgreSQL
//! reencryption         values sealed anew under the newest term, in the background
//! keyring, transport   whether the vault is open; keys that hide values on their way
//! recipient            for whom backups are sealed, kept beside the slots
//! peers                replicas that start sealed get the root key from an open one
//! shares, lockers      what lockers share, kept until locker says that it changed; what else is asked of locker. users: of auth, audit: of the audit
//! app     the wiring
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod api;
mod app;
mod audit;
pub mod domain;
pub mod keyring;
mod lockers;
pub mod peers;
mod recipient;
pub mod reencryption;
mod shares;
pub mod store;
pub mod transport;
mod users;
pub mod vault;

pub use api::{INTERNAL_RPCS, RPCS};
pub use app::{App, Background, Deps, Error, build, init, migrations};
pub use audit::Audit;
pub use domain::keys::KeySettings;
pub use keyring::KeyFile;
pub use lockers::Lockers;
pub use peers::{NoPeers, PeerCounts, Peers, Replica};
pub use recipient::vouching_key;
pub use shares::ShareCache;
pub use users::Users;
